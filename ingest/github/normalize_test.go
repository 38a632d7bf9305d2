package github

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

var observed = time.Date(2026, time.March, 2, 12, 0, 5, 0, time.UTC)

func recordOf(data string) ingest.Record {
	return ingest.Record{Source: source, Tenant: "", Stream: stream, Data: []byte(data), Observed: observed, Origin: "test"}
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
		fixtureRecord(tb, "signin", "saml response of an enterprise"),
		fixtureRecord(tb, "signin", "recovery code used"),
		fixtureRecord(tb, "account", "app authorized"),
		fixtureRecord(tb, "tenant", "member becomes owner"),
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
	want := map[string]string{
		"GitHub - SAML Disabled":                   "trust_change cat [enforcement_off] my-org",
		"GitHub - Two Factor Requirement Enabled":  "policy_change security-admin [] my-org",
		"GitHub - OAuth App Restrictions Disabled": "policy_change org-owner [enforcement_off] my-org",
		"GitHub - OAuth App Restrictions Enabled":  "policy_change security-admin [] my-org",
		"GitHub - SAML Enabled":                    "trust_change security-team [] my-org",
		"GitHub - Non Org Action":                  "irrelevant_type",
		"GitHub - Org MFA Disabled":                "policy_change cat [factor_mode_lowered] my-org",
	}
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var s struct {
			Source event.Source    `json:"source"`
			Case   string          `json:"case"`
			Event  json.RawMessage `json:"event"`
		}
		if err := json.Unmarshal(scanner.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if s.Source != source {
			continue
		}
		events, err := New().Normalize(recordOf(string(s.Event)))
		got := ""
		if skip, ok := errors.AsType[*ingest.SkipError](err); ok {
			got = string(skip.Reason)
		} else if err != nil {
			t.Errorf("%s: %v", s.Case, err)
			continue
		} else {
			e := events[0]
			e.Key = "somebody"
			if err := e.Validate(); err != nil {
				t.Errorf("%s: %v", s.Case, err)
			}
			got = fmt.Sprintf("%s %s %v %s", e.Kind, e.Actor.Name, e.Policy.Weakened, e.Tenant)
		}
		if got != want[s.Case] {
			t.Errorf("%s: got %q, want %q", s.Case, got, want[s.Case])
		}
		delete(want, s.Case)
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	for name := range want {
		t.Errorf("no sample %q", name)
	}
}

func BenchmarkNormalize(b *testing.B) {
	for _, c := range []struct{ name, file, record string }{
		{"login", "signin", "login with a passkey"},
		{"policy", "tenant", "saml off, organization"},
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
