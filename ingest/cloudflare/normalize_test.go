package cloudflare

import (
	"bytes"
	"encoding/json"
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
		fixtureRecord(tb, "access", "api, with the fields of later releases"),
		fixtureRecord(tb, "access", "logpush, temporary access"),
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

// TestBothShapesAreOneRecord: the API and Logpush give a record the same id, so that
// reading both doubles nothing.
func TestBothShapesAreOneRecord(t *testing.T) {
	id := func(name string) string {
		t.Helper()
		events, err := New().Normalize(fixtureRecord(t, "access", name))
		if err != nil {
			t.Fatal(err)
		}
		return events[0].ID
	}
	if a, b := id("api, connection okta"), id("logpush, the same record"); a != b {
		t.Errorf("ids %q and %q of one record", a, b)
	}
	if a, b := id("logpush, the same record"), id("logpush, logout"); a == b {
		t.Errorf("login and logout have the id %q", a)
	}
}

func BenchmarkNormalize(b *testing.B) {
	for _, name := range []string{"api, connection okta", "logpush, the same record", "audit log of the account"} {
		b.Run(name, func(b *testing.B) {
			n, r := New(), fixtureRecord(b, "access", name)
			b.SetBytes(int64(len(r.Data)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = n.Normalize(r)
			}
		})
	}
}
