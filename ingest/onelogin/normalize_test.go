package onelogin

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

var observed = time.Date(2026, time.March, 2, 10, 0, 5, 0, time.UTC)

func record(data string) ingest.Record {
	return ingest.Record{Source: source, Data: []byte(data), Observed: observed, Origin: "test"}
}

// fixture is a file of records in testdata; note says where their shape is from.
type fixture struct {
	Note  string `json:"note"`
	Cases []struct {
		Name   string          `json:"name"`
		Record json.RawMessage `json:"record"`
	} `json:"cases"`
}

// golden is what a case gives: its event (without the raw record, which must be the
// case's), or why there is none.
type golden struct {
	Name  string       `json:"name"`
	Event *event.Event `json:"event,omitempty"`
	Error string       `json:"error,omitempty"`
}

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

// records are all fixtures that are read or rightly skipped.
func records(tb testing.TB) []ingest.Record {
	tb.Helper()
	var out []ingest.Record
	for _, path := range fixtures(tb) {
		if filepath.Base(path) == "malformed.json" {
			continue
		}
		_, rs := readFixture(tb, path)
		out = append(out, rs...)
	}
	return out
}

// shapes are records of the shapes that differ most, for the mutations.
func shapes(tb testing.TB) []ingest.Record {
	tb.Helper()
	var out []ingest.Record
	for _, want := range mutated {
		for _, r := range records(tb) {
			if r.Origin == want {
				out = append(out, r)
			}
		}
	}
	if len(out) != len(mutated) {
		tb.Fatalf("%d of %d shapes found", len(out), len(mutated))
	}
	return out
}

func TestConformance(t *testing.T) { ingesttest.Normalizer(t, New(), shapes(t)) }

func FuzzNormalize(f *testing.F) { ingesttest.Fuzz(f, New(), records(f)) }

// FuzzValid: whatever the record, an event that comes of it is valid, unless its
// clock is ahead.
func FuzzValid(f *testing.F) {
	for _, r := range records(f) {
		f.Add(r.Data)
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

// one normalizes r into its first event.
func one(t *testing.T, r ingest.Record) event.Event {
	t.Helper()
	events, err := New().Normalize(r)
	if err != nil {
		t.Fatalf("Normalize: %v\nrecord: %s", err, r.Data)
	}
	return events[0]
}

func BenchmarkNormalize(b *testing.B) {
	for _, r := range shapes(b) {
		b.Run(r.Origin, func(b *testing.B) {
			n := New()
			b.SetBytes(int64(len(r.Data)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = n.Normalize(r)
			}
		})
	}
}
