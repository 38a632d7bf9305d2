package onelogin

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"stepdown/ingest"
	"stepdown/ingest/event"
)

var mutated = []string{"signin.json: login with a second factor to come", "signin.json: factor Duo Security", "api.json: push denied, by name"}

func TestFactorNames(t *testing.T) {
	for _, tc := range []struct {
		method event.Method
		names  []string
	}{
		{event.MethodPush, []string{"OneLogin Protect", "OneLogin"}},
		{event.MethodTOTP, []string{"Google Authenticator", "Authenticator"}},
		{event.MethodSMS, []string{"OneLogin SMS"}},
		{event.MethodVoice, []string{"OneLogin Voice"}},
		{event.MethodEmailCode, []string{"OneLogin Email"}},
		{event.MethodPasskey, []string{"WebAuthn", "Security Key", "Biometric"}},
		{event.MethodOTPHardware, []string{"YubiKey", "Yubico YubiKey", "RSA SecurID"}},
		{event.MethodDelegated, []string{"Duo Security"}},
		{event.MethodSecurityQuestion, []string{"Security Questions"}},
		{event.MethodBackupCode, []string{"Backup code"}},
		{event.MethodBypassCode, []string{"Temporary OTP token"}},
	} {
		for _, name := range tc.names {
			if got, ok := methodOf(name); !ok || got != tc.method {
				t.Errorf("methodOf(%q) = %s, %v, want %s", name, got, ok, tc.method)
			}
		}
	}
	if got, ok := methodOf("Retina Scan"); ok || got != event.MethodUnknown {
		t.Errorf("methodOf of a name not known = %s, %v", got, ok)
	}
}

// TestSampleCases reads the events of the unit tests of panther-labs/panther-analysis
// (Apache-2.0), which are not copied into this repository; without them beside it the
// test is skipped. Most have no time, since those rules need none; they get one.
func TestSampleCases(t *testing.T) {
	const path = "../../../shared/data/sample-cases.ndjson"
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("skipped: no sample events in %s", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	got := map[event.Kind]int{}
	read := 0
	for scanner.Scan() {
		var s struct {
			Source event.Source   `json:"source"`
			Rule   string         `json:"rule"`
			Case   string         `json:"case"`
			Event  map[string]any `json:"event"`
		}
		if err := json.Unmarshal(scanner.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if s.Source != source {
			continue
		}
		if s.Event["p_event_time"] == nil {
			data, err := json.Marshal(s.Event)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := New().Normalize(record(string(data))); ingest.ReasonOf(err) != ingest.MalformedMissing {
				t.Errorf("%s / %s: error %v, want that there is no time", s.Rule, s.Case, err)
			}
			s.Event["event_timestamp"] = "2026-03-02 09:00:00 UTC"
		}
		data, err := json.Marshal(s.Event)
		if err != nil {
			t.Fatal(err)
		}
		r := record(string(data))
		e := one(t, r)
		e.Key = "somebody"
		if err := e.Validate(); err != nil {
			t.Errorf("%s / %s: %v", s.Rule, s.Case, err)
		}
		if e.Subject.ID == "" || s.Event["actor_user_id"] != nil && e.Actor.ID == "" {
			t.Errorf("%s / %s: subject %+v, actor %+v: an id is lost", s.Rule, s.Case, e.Subject, e.Actor)
		}
		if by := s.Event["actor_user_id"]; by != nil && by != s.Event["user_id"] && !e.ByOther() {
			t.Errorf("%s / %s: it is lost that somebody else acted", s.Rule, s.Case)
		}
		if s.Event["ipaddr"] != nil && e.Endpoint.IP == "" {
			t.Errorf("%s / %s: the address is lost", s.Rule, s.Case)
		}
		got[e.Kind]++
		read++
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	if read == 0 {
		t.Fatal("no events of this provider among the samples")
	}
	t.Logf("%d normalized: %v", read, got)
}
