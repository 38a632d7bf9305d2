package duo

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/ingesttest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var observed = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

func recordOf(data string) ingest.Record {
	return ingest.Record{Source: source, Tenant: "api-12345678.duosecurity.com", Data: []byte(data), Observed: observed, Origin: "test"}
}

// golden is what a case gives: events (without their raw record, which must be the
// case's), or why there are none.
type golden struct {
	Name   string        `json:"name"`
	Events []event.Event `json:"events,omitempty"`
	Error  string        `json:"error,omitempty"`
}

// readFixture returns the records of a file in testdata, by case.
func readFixture(tb testing.TB, path string) (names []string, records []ingest.Record) {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var f struct {
		Cases []struct {
			Name   string          `json:"name"`
			Record json.RawMessage `json:"record"`
		} `json:"cases"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	for _, c := range f.Cases {
		var compact bytes.Buffer
		if err := json.Compact(&compact, c.Record); err != nil {
			tb.Fatal(err)
		}
		r := recordOf(compact.String())
		r.Origin = filepath.Base(path) + ": " + c.Name
		names, records = append(names, c.Name), append(records, r)
	}
	return names, records
}

// fixtures are the files of records in testdata.
func fixtures(tb testing.TB) []string {
	tb.Helper()
	all, err := filepath.Glob("testdata/*.json")
	if err != nil {
		tb.Fatal(err)
	}
	out := slices.DeleteFunc(all, func(path string) bool { return strings.HasSuffix(path, ".golden.json") })
	if len(out) == 0 {
		tb.Fatal("no fixtures in testdata")
	}
	return out
}

func fixtureRecord(tb testing.TB, file, name string) ingest.Record {
	tb.Helper()
	names, records := readFixture(tb, filepath.Join("testdata", file+".json"))
	i := slices.Index(names, name)
	if i < 0 {
		tb.Fatalf("%s has no case %q", file, name)
	}
	return records[i]
}

func TestGolden(t *testing.T) {
	for _, path := range fixtures(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			names, records := readFixture(t, path)
			got := make([]golden, len(names))
			for i, r := range records {
				got[i].Name = names[i]
				events, err := New().Normalize(r)
				if err != nil {
					got[i].Error = err.Error()
				}
				for _, e := range events {
					if !bytes.Equal(e.Raw, r.Data) {
						t.Errorf("%s: raw is not the record", names[i])
					}
					e.Key = "jane@example.com"
					if err := e.Validate(); err != nil {
						t.Errorf("%s: %v", names[i], err)
					}
					e.Key, e.Raw = "", nil
					got[i].Events = append(got[i].Events, e)
				}
			}
			goldenPath := strings.TrimSuffix(path, ".json") + ".golden.json"
			if *update {
				b, err := json.MarshalIndent(got, "", " ")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(goldenPath, append(b, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			b, err := os.ReadFile(goldenPath)
			if err != nil {
				t.Fatalf("%v (run with -update)", err)
			}
			var want []golden
			if err := json.Unmarshal(b, &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("differs from %s (-want +got):\n%s", goldenPath, diff)
			}
		})
	}
}

// shapes are records of the shapes that differ most; the suite makes hundreds of
// mutations of each.
func shapes(tb testing.TB) []ingest.Record {
	tb.Helper()
	return []ingest.Record{
		fixtureRecord(tb, "authentication", "low trust, push harassment"),
		fixtureRecord(tb, "authentication", "marked as fraud"),
		fixtureRecord(tb, "administrator", "bypass code"),
		fixtureRecord(tb, "administrator", "administrator marks a push as fraud"),
		fixtureRecord(tb, "activity", "security key enrolled"),
		fixtureRecord(tb, "shape", "telephony"),
	}
}

func TestConformance(t *testing.T) { ingesttest.Normalizer(t, New(), shapes(t)) }

func FuzzNormalize(f *testing.F) { ingesttest.Fuzz(f, New(), shapes(f)) }

func TestFactorNames(t *testing.T) {
	for _, tc := range []struct {
		method event.Method
		names  []string
	}{
		{event.MethodSecurityKey, []string{"WebAuthn Security Key", "u2f_token", "Security key"}},
		{event.MethodPasskey, []string{"WebAuthn Credential", "WebAuthn Chrome Touch ID", "Roaming authenticator", "Platform authenticator"}},
		{event.MethodPushNumberMatch, []string{"verified_duo_push", "Verified Duo Push", "duo verified push"}},
		{event.MethodPush, []string{"duo_push", "push"}},
		{event.MethodTOTP, []string{"duo_mobile_passcode", "passcode"}},
		{event.MethodOTPHardware, []string{"hardware_token", "yubikey_code", "yubikey_passcode", "digipass_go_7_token"}},
		{event.MethodSMS, []string{"sms_passcode", "sms_refresh", "sms"}},
		{event.MethodVoice, []string{"phone_call", "phone"}},
		{event.MethodBypassCode, []string{"bypass_code"}},
		{event.MethodRememberedDevice, []string{"remembered_device", "trusted_mobile_authenticator"}},
		{event.MethodMFABypassed, []string{"trusted_network"}},
		{"", []string{"not_available", "n/a", ""}},
	} {
		for _, name := range tc.names {
			if got, ok := methodOf(name); !ok || got != tc.method {
				t.Errorf("methodOf(%q) = %q, %v, want %q", name, got, ok, tc.method)
			}
		}
	}
	if got, ok := methodOf("Duo Passport"); ok || got != event.MethodUnknown {
		t.Errorf("methodOf of a name not known = %q, %v", got, ok)
	}
}

func one(t *testing.T, r ingest.Record) event.Event {
	t.Helper()
	events, err := New().Normalize(r)
	if err != nil {
		t.Fatalf("%s: %v", r.Origin, err)
	}
	return events[0]
}

func TestIDs(t *testing.T) {
	push := fixtureRecord(t, "authentication", "factor duo_push")
	if a, b := one(t, push), one(t, fixtureRecord(t, "authentication", "denied user_mistake")); a.ID == b.ID || a.FlowID != b.FlowID {
		t.Errorf("two rows of one transaction have ids %s, %s in flows %s, %s", a.ID, b.ID, a.FlowID, b.FlowID)
	}
	later := push
	later.Observed = later.Observed.Add(time.Hour)
	if one(t, push).ID != one(t, later).ID {
		t.Error("the id depends on when the row was read")
	}
	// An administrator's action stands in two logs.
	admin, activity := fixtureRecord(t, "administrator", "user to bypass"), fixtureRecord(t, "activity", "user to bypass")
	if a, b := one(t, admin), one(t, activity); a.ID != b.ID || a.Kind != b.Kind {
		t.Errorf("one action in two logs is %s %s and %s %s", a.Kind, a.ID, b.Kind, b.ID)
	}
}

// TestANewAddressIsNotTheSubjects: who sets the e-mail address of a user does not
// choose whose ledger tells of it.
func TestANewAddressIsNotTheSubjects(t *testing.T) {
	e := one(t, fixtureRecord(t, "administrator", "e-mail of a user"))
	if e.Subject.Name != "jane" || e.Contact == nil || e.Contact.Value != "elsewhere@example.org" {
		t.Errorf("subject %+v, contact %+v", e.Subject, e.Contact)
	}
	e = one(t, fixtureRecord(t, "activity", "e-mail of a user"))
	if e.Subject.Name != "jane@example.com" || e.Contact == nil || e.Contact.Value != "elsewhere@example.org" {
		t.Errorf("subject %+v, contact %+v", e.Subject, e.Contact)
	}
}

// TestReasonBeforeFactor: whatever factor is named, a bypass proves nothing.
func TestReasonBeforeFactor(t *testing.T) {
	for _, reason := range []string{"bypass_user", "allow_unenrolled_user", "trusted_network", "trusted_location", "allowed_by_policy"} {
		for _, factor := range []string{"duo_push", "WebAuthn Security Key", "not_available", ""} {
			e := one(t, recordOf(fmt.Sprintf(`{"event_type":"authentication","result":"success","reason":%q,"factor":%q,"timestamp":1772445600,"txid":"t","user":{"name":"jane@example.com"}}`, reason, factor)))
			if len(e.Factors) != 1 || e.Factors[0].Method != event.MethodMFABypassed || e.Factors[0].Rank != event.MethodMFABypassed.Rank() {
				t.Errorf("%s by %q: factors %+v, want mfa_bypassed", reason, factor, e.Factors)
			}
		}
	}
}

// TestSamples reads the events of the unit tests of panther-labs/panther-analysis
// (Apache-2.0): their shapes are real, and not ours. They are not copied into this
// repository; without them beside it the test is skipped. The rows of the
// authentication log have no time there; one is put in.
func TestSamples(t *testing.T) {
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
	kinds := map[event.Kind]int{}
	read, untimed := 0, 0
	var skipped []string
	for scanner.Scan() {
		var s struct {
			Source event.Source    `json:"source"`
			Stream string          `json:"stream"`
			Rule   string          `json:"rule"`
			Case   string          `json:"case"`
			Event  json.RawMessage `json:"event"`
		}
		if err := json.Unmarshal(scanner.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if s.Source != source {
			continue
		}
		where := s.Rule + " / " + s.Case
		data := string(s.Event)
		if s.Stream == "Duo.Authentication" {
			if _, err := New().Normalize(recordOf(data)); ingest.ReasonOf(err) != ingest.MalformedMissing {
				t.Errorf("%s: error %v, want that the time is missing", where, err)
			}
			untimed++
			data = `{"timestamp":1672531200,` + data[1:]
		}
		events, err := New().Normalize(recordOf(data))
		if skip, ok := errors.AsType[*ingest.SkipError](err); ok {
			skipped = append(skipped, skip.Detail)
			if skip.Reason != ingest.SkipIrrelevant {
				t.Errorf("%s: %v", where, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		read++
		for _, e := range events {
			kinds[e.Kind]++
			e.Key = "somebody"
			if err := e.Validate(); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			if e.Subject.Name == "" || e.Actor.Name == "" || strings.Contains(data, `"ip`) && e.Endpoint.IP == "" {
				t.Errorf("%s: subject %+v, actor %+v, address %q: something is lost", where, e.Subject, e.Actor, e.Endpoint.IP)
			}
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d read %v, %d of them without a time, skipped as irrelevant: %v", read, kinds, untimed, skipped)
	want := map[event.Kind]int{event.SignIn: 10, event.UserReport: 1, event.AppCredential: 2, event.RecoveryCredentialIssued: 1, event.RoleChange: 1,
		event.PolicyChange: 5, event.UserLifecycle: 1}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}

func BenchmarkNormalize(b *testing.B) {
	for _, c := range []struct{ name, file, record string }{
		{"sign-in", "authentication", "factor duo_push"},
		{"bypass code", "administrator", "bypass code"},
		{"activity", "activity", "security key enrolled"},
		{"irrelevant", "activity", "log export"},
	} {
		b.Run(c.name, func(b *testing.B) {
			n, r := New(), fixtureRecord(b, c.file, c.record)
			b.SetBytes(int64(len(r.Data)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = n.Normalize(r)
			}
		})
	}
}
