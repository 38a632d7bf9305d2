package google

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
	return ingest.Record{Source: source, Tenant: "example.com", Data: []byte(data), Observed: observed, Origin: "test"}
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
		fixtureRecord(tb, "login", "security key shown, text message passed"),
		fixtureRecord(tb, "token", "consent with scopes twice"),
		fixtureRecord(tb, "shape", "cloud logging, verification by text message"),
		fixtureRecord(tb, "shape", "the same event twice in one activity"),
	}
}

func TestConformance(t *testing.T) { ingesttest.Normalizer(t, New(), shapes(t)) }

func FuzzNormalize(f *testing.F) { ingesttest.Fuzz(f, New(), shapes(f)) }

// challenges are all values of login_challenge_method that Google documents, and
// what each is worth.
var challenges = map[string]event.Method{
	"passkey": event.MethodPasskey, "security_key": event.MethodSecurityKey, "cross_device": event.MethodUnknown,
	"google_prompt": event.MethodPush, "device_prompt": event.MethodPush,
	"google_authenticator": event.MethodTOTP, "offline_otp": event.MethodTOTP, "in_house_otp": event.MethodTOTP, "internal_two_factor": event.MethodTOTP,
	"security_key_otp":        event.MethodOTPHardware,
	"idv_preregistered_phone": event.MethodSMS, "idv_any_phone": event.MethodSMS,
	"idv_preregistered_email": event.MethodEmailCode, "idv_any_email": event.MethodEmailCode, "access_to_preregistered_email": event.MethodEmailCode,
	"knowledge_preregistered_phone": event.MethodSecurityQuestion, "knowledge_preregistered_email": event.MethodSecurityQuestion,
	"knowledge_employee_id": event.MethodSecurityQuestion, "login_location": event.MethodSecurityQuestion,
	"backup_code": event.MethodBackupCode, "rescue_code": event.MethodBackupCode,
	"assistant_approval": event.MethodUnknown, "cross_account": event.MethodUnknown, "other": event.MethodUnknown,
	"saml": event.MethodFederated, "oidc": event.MethodFederated,
}

func TestEveryChallengeDecidesASignIn(t *testing.T) {
	for challenge, want := range challenges {
		t.Run(challenge, func(t *testing.T) {
			events, err := New().Normalize(recordOf(fmt.Sprintf(`{"id":{"time":"2026-03-02T10:00:00Z","applicationName":"login","customerId":"C1"},"actor":{"email":"jane@example.com"},
				"events":[{"name":"login_success","parameters":[{"name":"login_type","value":"google_password"},{"name":"login_challenge_method","multiValue":["password",%q]}]}]}`, challenge)))
			if err != nil {
				t.Fatal(err)
			}
			e := events[0]
			last := e.Factors[len(e.Factors)-1]
			if last.Method != want || last.Result != event.Verified || last.Detail != challenge {
				t.Errorf("last factor %+v, want %s verified", last, want)
			}
			if len(e.Warnings) > 0 {
				t.Errorf("warnings %q for a value that is documented", e.Warnings)
			}
		})
	}
	for _, challenge := range []string{"captcha", "recaptcha", "none", "deny", ""} {
		if !provesNothing(challenge) {
			t.Errorf("%q is taken for a proof", challenge)
		}
	}
}

// TestIDs: the qualifier names a user, not an activity.
func TestIDs(t *testing.T) {
	idOf := func(t *testing.T, r ingest.Record) string {
		t.Helper()
		events, err := New().Normalize(r)
		if err != nil {
			t.Fatal(err)
		}
		return events[0].ID
	}
	failed, passed := fixtureRecord(t, "login", "challenge failed"), fixtureRecord(t, "login", "challenge passed")
	if idOf(t, failed) == idOf(t, passed) {
		t.Error("two challenges of one user in one millisecond have one id")
	}
	later := passed
	later.Observed = later.Observed.Add(time.Hour)
	if idOf(t, passed) != idOf(t, later) {
		t.Error("the id depends on when the record was read")
	}
	reordered := passed
	reordered.Data = bytes.Replace(passed.Data, []byte(`{"name":"login_type","value":"google_password"},`), nil, 1)
	reordered.Data = bytes.Replace(reordered.Data, []byte(`,{"name":"is_second_factor","boolValue":true}]`), []byte(`,{"name":"is_second_factor","boolValue":true},{"name":"login_type","value":"google_password"}]`), 1)
	if bytes.Equal(reordered.Data, passed.Data) {
		t.Fatal("the parameters were not reordered")
	}
	if idOf(t, passed) != idOf(t, reordered) {
		t.Error("the id depends on the order of the parameters")
	}
	if a, b := idOf(t, fixtureRecord(t, "accounts", "2sv_enroll in login")), idOf(t, fixtureRecord(t, "accounts", "2sv_enroll in user_accounts")); a != b {
		t.Errorf("one change in two logs has ids %s and %s", a, b)
	}
	if idOf(t, fixtureRecord(t, "shape", "saml sign-in to an app")) == idOf(t, fixtureRecord(t, "login", "password only")) {
		t.Error("a sign-in and one to an app have one id")
	}
}

// TestSamples reads the events of the unit tests of panther-labs/panther-analysis
// (Apache-2.0): their shapes are real, and not ours. They are not copied into this
// repository; without them beside it the test is skipped.
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
	read, skipped, untimed := 0, 0, 0
	for scanner.Scan() {
		var s struct {
			Source event.Source    `json:"source"`
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
		events, err := New().Normalize(recordOf(string(s.Event)))
		if skip, ok := errors.AsType[*ingest.SkipError](err); ok {
			skipped++
			if skip.Reason != ingest.SkipIrrelevant {
				t.Errorf("%s: %v", where, err)
			}
			continue
		}
		if ingest.ReasonOf(err) == ingest.MalformedMissing && !bytes.Contains(s.Event, []byte(`"time"`)) {
			untimed++
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
			if e.Time.After(observed) {
				t.Errorf("%s: time %s", where, e.Time)
			}
			if err := e.Validate(); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			if e.Subject.Name == "" || e.Actor.Name == "" || bytes.Contains(s.Event, []byte(`"ipAddress"`)) && e.Endpoint.IP == "" {
				t.Errorf("%s: subject %+v, actor %+v, address %q: something is lost", where, e.Subject, e.Actor, e.Endpoint.IP)
			}
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d read %v, %d skipped as irrelevant, %d without a time", read, kinds, skipped, untimed)
	want := map[event.Kind]int{event.PolicyChange: 4, event.ContactChange: 1, event.AppChange: 1, event.SignIn: 1, event.ConsentGrant: 1, event.TrustChange: 1}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}

func BenchmarkNormalize(b *testing.B) {
	for _, c := range []struct{ name, file, record string }{
		{"sign-in", "login", "password and security key, with repetitions"},
		{"consent", "token", "consent with scopes twice"},
		{"irrelevant", "shape", "another log"},
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
