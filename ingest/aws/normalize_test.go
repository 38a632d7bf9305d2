package aws

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
	"time"

	"github.com/google/go-cmp/cmp"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/ingesttest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var observed = time.Date(2026, time.March, 2, 12, 0, 5, 0, time.UTC)

func recordOf(data string) ingest.Record {
	return ingest.Record{Source: source, Tenant: "example", Stream: stream, Data: []byte(data), Observed: observed, Origin: "test"}
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
				if len(events) != 1 || !bytes.Equal(e.Raw, r.Data) {
					t.Errorf("%s: %d events, want one whose raw is the record", names[i], len(events))
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
		fixtureRecord(tb, "signin", "console, password and security key or passkey"),
		fixtureRecord(tb, "identitycenter", "signed in, password and passkey"),
		fixtureRecord(tb, "identitycenter", "mfa switched off"),
		fixtureRecord(tb, "iam", "session with a code of an app"),
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
		events, err := New().Normalize(recordOf(string(data)))
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
	type sample struct {
		Source event.Source    `json:"source"`
		Rule   string          `json:"rule"`
		Case   string          `json:"case"`
		Event  json.RawMessage `json:"event"`
	}
	got := map[string]string{}
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	read, skipped := 0, 0
	for scanner.Scan() {
		var s sample
		if err := json.Unmarshal(scanner.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if s.Source != source {
			continue
		}
		events, err := New().Normalize(recordOf(string(s.Event)))
		if skip, ok := errors.AsType[*ingest.SkipError](err); ok {
			skipped++
			got[s.Case] = string(skip.Reason)
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
		if e.Actor.Name == "" || e.Tenant == "example" {
			t.Errorf("%s / %s: actor %+v in tenant %q: a name or the account is lost", s.Rule, s.Case, e.Actor, e.Tenant)
		}
		var factors []string
		for _, f := range e.Factors {
			factors = append(factors, string(f.Method)+" "+string(f.Result))
		}
		got[s.Case] = strings.Join([]string{string(e.Kind), e.Subject.Name, "by", e.Actor.Name, string(e.Outcome), e.Endpoint.IP, strings.Join(factors, ", ")}, " ")
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d normalized, %d skipped", read, skipped)
	for name, want := range map[string]string{
		"Successful Login w/ MFA":                 "sign_in anaya by anaya success 192.0.2.0 password verified, passkey verified",
		"Unsuccessful Login w/ MFA":               "sign_in anaya by anaya failure 192.0.2.0 unknown failed",
		"No MFA Login - IAM User Unknown Account": "sign_in tester by tester success 111.111.111.111 password verified",
		"MFA Login":                                             "sign_in tester by tester success 111.111.111.111 password verified, unknown verified",
		"AWS SSOv2 Login":                                       "sign_in foo@bar.com by foo@bar.com success 1.2.3.4 federated verified",
		"Login with SAML":                                       "sign_in tester@domain.tld by tester@domain.tld success 111.111.111.111 federated verified",
		"No MFA - IAM Role and External IDP":                    "sign_in role/SomeRole by role/SomeRole success 111.111.111.111 federated verified",
		"Successful Root Login":                                 "sign_in <root_account> by <root_account> success 111.111.111.111 password verified",
		"Failed Root Login":                                     "sign_in <root_account> by <root_account> failure 111.111.111.111 password failed",
		"User changed password for other":                       "password_reset bob by role/IAM success  ",
		"MFA Device Was Created":                                "intermediate_step",
		"User Password Change Error":                            "password_change test_user by test_user failure 64.25.27.224 ",
		"Root Access Key Created":                               "app_credential <root_account> by <root_account> success 111.111.111.111 ",
		"Legitimate SSO Portal GetSigninToken":                  "session_activity user@example.com by user@example.com success 10.0.0.1 ",
		"GetSessionToken by IAM User":                           "session_activity example-user by example-user success 203.0.113.50 ",
		"CreateSAMLProvider":                                    "trust_change role/role by role/role success 1.2.3.4 ",
		"IAM Role Policy Attached without Administrator Access": "policy_change role/tester by role/tester success 111.111.111.111 ",
		"Non-Discovery Event":                                   "irrelevant_type",
		"Test-291327":                                           "irrelevant_type",
	} {
		if got[name] != want {
			t.Errorf("%s:\n got %q\nwant %q", name, got[name], want)
		}
	}
}

func BenchmarkNormalize(b *testing.B) {
	for _, c := range []struct{ name, file, record string }{
		{"console login", "signin", "console, password and security key or passkey"},
		{"identity center", "identitycenter", "signed in, password and passkey"},
		{"irrelevant", "shape", "irrelevant"},
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
