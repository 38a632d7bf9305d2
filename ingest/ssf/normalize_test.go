package ssf

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
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

var now = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

func recordOf(data string) ingest.Record {
	return ingest.Record{Source: source, Tenant: "example", Stream: stream, Data: []byte(data), Observed: now, Origin: "test"}
}

// golden is what a case gives: events (without their raw record, which must be the
// case's), or why there are none.
type golden struct {
	Name   string        `json:"name"`
	Events []event.Event `json:"events,omitempty"`
	Error  string        `json:"error,omitempty"`
}

// readFixture returns the records of testdata/events.json, by case.
func readFixture(tb testing.TB) (names []string, records []ingest.Record) {
	tb.Helper()
	data, err := os.ReadFile("testdata/events.json")
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
		tb.Fatal(err)
	}
	for _, c := range f.Cases {
		var compact bytes.Buffer
		if err := json.Compact(&compact, c.Record); err != nil {
			tb.Fatal(err)
		}
		r := recordOf(compact.String())
		r.Origin = c.Name
		names, records = append(names, c.Name), append(records, r)
	}
	return names, records
}

func TestGolden(t *testing.T) {
	const path = "testdata/events.golden.json"
	names, records := readFixture(t)
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
		data, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(data, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want []golden
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// types are those that CAEP and RISC define, and those of the stream.
var types = map[string]string{
	caepEvents: "session-revoked token-claims-change credential-change assurance-level-change device-compliance-change session-established session-presented risk-level-change",
	riscEvents: "account-credential-change-required account-purged account-disabled account-enabled identifier-changed identifier-recycled credential-compromise " +
		"opt-in opt-out-initiated opt-out-cancelled opt-out-effective recovery-activated recovery-information-changed sessions-revoked",
	oauthEvents: "tokens-revoked token-revoked",
	ssfEvents:   "verification stream-updated",
}

func TestEveryTypeHasAGolden(t *testing.T) {
	_, records := readFixture(t)
	for space, names := range types {
		for name := range strings.FieldsSeq(names) {
			quoted := []byte(`"` + space + name + `"`)
			if !slices.ContainsFunc(records, func(r ingest.Record) bool { return bytes.Contains(r.Data, quoted) }) {
				t.Errorf("no case has %s%s", space, name)
			}
		}
	}
}

func TestNormalizer(t *testing.T) {
	names, records := readFixture(t)
	var sound []ingest.Record
	for i, r := range records {
		if !strings.HasPrefix(names[i], "malformed: ") {
			sound = append(sound, r)
		}
	}
	ingesttest.Normalizer(t, New(), sound)
}

func FuzzNormalize(f *testing.F) {
	_, records := readFixture(f)
	ingesttest.Fuzz(f, New(), records)
}

func BenchmarkNormalize(b *testing.B) {
	_, records := readFixture(b)
	n := New()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		_, _ = n.Normalize(records[i%len(records)])
		i++
	}
}
