package okta

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/ingesttest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

type fixture struct {
	Cases []struct {
		Name   string          `json:"name"`
		Record json.RawMessage `json:"record"`
	} `json:"cases"`
}

// golden is what a case gives: an event (without its raw record, which must be the
// case's), or why there is none.
type golden struct {
	Name  string       `json:"name"`
	Event *event.Event `json:"event,omitempty"`
	Error string       `json:"error,omitempty"`
}

// readFixture returns the records of a file in testdata, by case.
func readFixture(tb testing.TB, path string) (names []string, records []ingest.Record) {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var f fixture
	if err := json.Unmarshal(data, &f); err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	for _, c := range f.Cases {
		var compact bytes.Buffer
		if err := json.Compact(&compact, c.Record); err != nil {
			tb.Fatal(err)
		}
		r := record(compact.String())
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
	var out []string
	for _, path := range all {
		if !strings.HasSuffix(path, ".golden.json") {
			out = append(out, path)
		}
	}
	if len(out) == 0 {
		tb.Fatal("no fixtures in testdata")
	}
	return out
}

func TestGolden(t *testing.T) {
	for _, path := range fixtures(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			goldenPath := strings.TrimSuffix(path, ".json") + ".golden.json"
			names, records := readFixture(t, path)
			got := make([]golden, len(names))
			for i, r := range records {
				got[i].Name = names[i]
				events, err := New().Normalize(r)
				if err != nil {
					got[i].Error = err.Error()
					continue
				}
				e := events[0]
				if !bytes.Equal(e.Raw, r.Data) {
					t.Errorf("%s: raw is not the record", names[i])
				}
				e.Key = "jane@example.com"
				if err := e.Validate(); err != nil {
					t.Errorf("%s: %v", names[i], err)
				}
				e.Key, e.Raw = "", nil
				got[i].Event = &e
			}
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

// shapes returns a record of each of the shapes that differ most; the suite makes
// hundreds of mutations of each.
func shapes(tb testing.TB) []ingest.Record {
	tb.Helper()
	return []ingest.Record{
		fixtureRecord(tb, "factor", "fastpass phishing resistant, seen from okta verify"),
		fixtureRecord(tb, "signin", "sso with methods verified just now"),
		fixtureRecord(tb, "policy", "phishing resistance becomes optional"),
	}
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

func TestConformance(t *testing.T) { ingesttest.Normalizer(t, New(), shapes(t)) }

func FuzzNormalize(f *testing.F) { ingesttest.Fuzz(f, New(), shapes(f)) }

// FuzzValid: whatever the record, an event that comes of it is valid, unless its
// clock is ahead.
func FuzzValid(f *testing.F) {
	for _, path := range fixtures(f) {
		_, records := readFixture(f, path)
		for _, r := range records {
			f.Add(r.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		events, err := New().Normalize(record(string(data)))
		if err != nil {
			return // FuzzNormalize checks the errors
		}
		for _, e := range events {
			e.Key = "jane@example.com"
			if e.Time.After(observed) {
				e.Time = observed
			}
			if err := e.Validate(); err != nil {
				t.Errorf("%v\nrecord: %q", err, data)
			}
		}
	})
}

// sample is one line of the shared sample events.
type sample struct {
	Source event.Source    `json:"source"`
	Rule   string          `json:"rule"`
	Case   string          `json:"case"`
	Event  json.RawMessage `json:"event"`
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
	byCase := map[string]sample{}
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	read, skipped, malformed := 0, 0, 0
	for scanner.Scan() {
		var s sample
		if err := json.Unmarshal(scanner.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if s.Source != "okta" {
			continue
		}
		byCase[s.Rule+" / "+s.Case] = s
		r := record(string(s.Event))
		events, err := New().Normalize(r)
		if skip, ok := errors.AsType[*ingest.SkipError](err); ok {
			skipped++
			if skip.Reason != ingest.SkipIrrelevant {
				t.Errorf("%s / %s: %v", s.Rule, s.Case, err)
			}
			continue
		}
		if ingest.ReasonOf(err) == ingest.MalformedTime && bytes.Contains(s.Event, []byte(`"published": "redacted"`)) {
			malformed++
			continue
		}
		if err != nil {
			t.Errorf("%s / %s: %v", s.Rule, s.Case, err)
			continue
		}
		read++
		e := events[0]
		e.Key = "somebody"
		if err := e.Validate(); err != nil {
			t.Errorf("%s / %s: %v", s.Rule, s.Case, err)
		}
		if e.Subject.Name == "" || e.Actor.Name == "" {
			t.Errorf("%s / %s: subject %+v, actor %+v: a name is lost", s.Rule, s.Case, e.Subject, e.Actor)
		}
		if bytes.Contains(s.Event, []byte(`"ipAddress": "`)) && e.Endpoint.IP == "" {
			t.Errorf("%s / %s: the address is lost", s.Rule, s.Case)
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d normalized, %d skipped as irrelevant, %d without a time", read, skipped, malformed)

	for _, tc := range []struct {
		name, subject, actor, ip string
		kind                     event.Kind
		outcome                  event.Outcome
		check                    func(e event.Event) bool
	}{
		{"Okta Admin Role Assigned / Super Admin Access Assigned (High sev)", "alice@acme.io", "jack@acme.io", "136.24.229.58", event.RoleChange, event.Success,
			func(e event.Event) bool {
				return e.Role.Full && e.Role.Granted && e.Role.Privileged && len(e.Role.Roles) == 2 && e.Role.Roles[0] == "Super administrator" && e.Endpoint.Country == "US"
			}},
		{"Okta AiTM Phishing Attempt Blocked by FastPass / FastPass Phishing Block Event", "peter.griffin@company.com", "homer.simpson@duff.com", "1.3.2.4", event.FactorChallenge, event.Failure,
			func(e event.Event) bool {
				return e.Factors[0].Method == event.MethodFastPassPR && e.Factors[0].Result == event.Failed && e.Endpoint.ASN == 701
			}},
		{"Okta AiTM Phishing Attempt Blocked by FastPass / Other Event", "peter.griffin@company.com", "homer.simpson@duff.com", "1.3.2.4", event.FactorChallenge, event.Failure,
			func(e event.Event) bool {
				return e.Factors[0].Method == event.MethodUnknown && e.Reason == "INVALID_CREDENTIALS"
			}},
		{"Okta Login Signal / Failed Login", "casey.hill@hey.com", "casey.hill@hey.com", "", event.SignIn, event.Failure,
			func(e event.Event) bool {
				return e.FlowID == "5167029d2c8308348d651c0be650230f" && e.Factors[0].Method == event.MethodPassword && e.App.Name == "Okta Dashboard"
			}},
		{"Okta New Behaviors Acessing Admin Console / New Behavior Accessing Admin Console (behavior)", "peter.griffin@company.com", "homer.simpson@duff.com", "1.3.2.4", event.FactorChallenge, event.Challenged,
			func(e event.Event) bool { return e.App.Admin && e.Risk.Detail == "New Device, New IP" }},
		{"Okta New Behaviors Acessing Admin Console / New Behavior Accessing Admin Console (logSecurityDataOnly)", "peter.griffin@company.com", "homer.simpson@duff.com", "1.3.2.4", event.FactorChallenge, event.Challenged,
			func(e event.Event) bool { return e.Risk.Level == "low" && e.Risk.Detail == "New Device, New IP" }},
		{"Okta New Behaviors Acessing Admin Console / New Behavior Accessing Admin Console (logSecurityDataOnly) - not jsonified string", "peter.griffin@company.com", "homer.simpson@duff.com", "1.3.2.4", event.FactorChallenge, event.Challenged,
			func(e event.Event) bool { return e.Risk.Level == "low" && e.Risk.Detail == "New Device, New IP" }},
		{"Okta User MFA Factor Suspend / Suspend Event", "peter.griffin@company.com", "homer.simpson@duff.com", "1.3.2.4", event.AuthenticatorRemoved, event.Success,
			func(e event.Event) bool {
				return e.Authenticators[0].Method == event.MethodFastPassPR && e.ByOther()
			}},
		{"Okta User Reported Suspicious Activity / Other Event", "peter.griffin@company.com", "homer.simpson@duff.com", "1.3.2.4", event.AuthenticatorsReset, event.Success,
			func(e event.Event) bool { return e.ByOther() && e.SessionID == "100-abc-9999" }},
		{"Okta Support Reset Credential / Support Reset Credential", "homer@springfield.gov", "system@okta.com", "", event.PasswordReset, event.Success,
			func(e event.Event) bool { return e.ByOther() && !e.Recovery.SelfService && e.FlowID == "" }},
		{"Okta User Account Locked / Account Lock Event", "homer.simpson@duff.com", "homer.simpson@duff.com", "", event.SignIn, event.Denied,
			func(e event.Event) bool { return e.Reason == "LOCKED_OUT" }},
		{"Okta Identity Provider Created or Modified / FastPass Phishing Block Event", "homer.simpson@duff.com", "homer.simpson@duff.com", "1.3.2.4", event.TrustChange, event.Success,
			func(e event.Event) bool {
				return e.Policy.Change == "created" && e.Policy.ID == "0002222AAAA" && e.Policy.Name == "Peter Griffin"
			}},
		{"Sign In from Rogue State / Okta - Rogue State Sign-In", "dude.lightbulb@example.co", "dude.lightbulb@example.co", "1.1.1.1", event.SignIn, event.Success,
			func(e event.Event) bool {
				return e.Endpoint.Country == "RU" && e.Endpoint.ASN == 7122 && e.UserAgent.Browser == "Chrome" && e.UserAgent.OS == "macOS" && e.Device.Fingerprint == "xxx"
			}},
		{"Okta Sign-In from VPN Anonymizer / Apple Private Relay Used", "peter.griffin@company.com", "homer.simpson@duff.com", "1.3.2.4", event.SignIn, event.Failure,
			func(e event.Event) bool {
				return e.Endpoint.Proxy && e.Factors[0].Method == event.MethodFastPassPR && e.Factors[0].Result == event.Failed
			}},
		{"Okta Password Accessed / User accessed their own password", "eric.montgomery@email.com", "eric.montgomery@email.com", "", event.SessionActivity, event.Success,
			func(e event.Event) bool { return e.App.Name == "Application2" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, ok := byCase[tc.name]
			if !ok {
				t.Fatal("no such case among the samples")
			}
			e := one(t, record(string(s.Event)))
			if e.Subject.Name != tc.subject || e.Actor.Name != tc.actor || tc.ip != "" && e.Endpoint.IP != tc.ip ||
				e.Kind != tc.kind || e.Outcome != tc.outcome || !tc.check(e) {
				e.Raw = nil
				b, _ := json.MarshalIndent(e, "", " ")
				t.Errorf("want %s of %s by %s from %s: %s; got %s", tc.kind, tc.subject, tc.actor, tc.ip, tc.outcome, b)
			}
		})
	}
}

func BenchmarkNormalize(b *testing.B) {
	for _, c := range []struct{ name, file, record string }{
		{"factor", "factor", "fastpass phishing resistant, seen from okta verify"},
		{"session start", "signin", "oie session start"},
		{"irrelevant", "shape", "rate limit"},
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
