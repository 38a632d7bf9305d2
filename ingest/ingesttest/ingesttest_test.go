package ingesttest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
)

var observed = time.Date(2026, time.March, 2, 10, 0, 0, 0, time.UTC)

// synthetic is a made-up provider's record.
func synthetic(data string) ingest.Record {
	return ingest.Record{Source: "synthetic", Data: []byte(data), Observed: observed, Origin: "synthetic"}
}

type normalizerFunc func(r ingest.Record) ([]event.Event, error)

func (f normalizerFunc) Normalize(r ingest.Record) ([]event.Event, error) { return f(r) }

// sound is a normalizer that keeps the contract.
func sound(r ingest.Record) ([]event.Event, error) {
	var in struct {
		ID   string    `json:"id"`
		Time time.Time `json:"time"`
		Who  string    `json:"who"`
		Type string    `json:"type"`
	}
	if err := json.Unmarshal(r.Data, &in); err != nil {
		return nil, ingest.Malformed(ingest.MalformedSyntax, "%w", err)
	}
	if in.Type == "noise" {
		return nil, ingest.Skip(ingest.SkipIrrelevant, in.Type)
	}
	return []event.Event{{
		Schema: event.SchemaVersion, ID: in.ID, Source: r.Source, Kind: event.SignIn, Action: "login",
		Time: in.Time, Observed: r.Observed, Subject: event.Principal{Name: in.Who}, Outcome: event.Success, Raw: r.Data,
	}}, nil
}

const record = `{"id":"1","time":"2026-03-02T09:59:00Z","who":"ana@example.com","nested":{"list":[1,{"a":null}]}}`

func TestNormalizerAcceptsTheContract(t *testing.T) {
	Normalizer(t, normalizerFunc(sound), []ingest.Record{synthetic(record), synthetic(`{"type":"noise"}`)})
}

// recorder remembers that a breach was reported.
type recorder struct{ failed bool }

func (*recorder) Helper()                 {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestCheckFindsBreaches(t *testing.T) {
	n := 0
	for _, tt := range []struct {
		name string
		n    normalizerFunc
	}{
		{"panics", func(ingest.Record) ([]event.Event, error) { panic("x") }},
		{"depends on what went before", func(r ingest.Record) ([]event.Event, error) {
			n++
			events, err := sound(r)
			events[0].ID = strings.Repeat("x", n)
			return events, err
		}},
		{"sets the key", with(func(e *event.Event) { e.Key = "x" })},
		{"sets ingested", with(func(e *event.Event) { e.Ingested = observed })},
		{"changes the source", with(func(e *event.Event) { e.Source = "other" })},
		{"invents observed", with(func(e *event.Event) { e.Observed = observed.Add(time.Second) })},
		{"makes an invalid event", with(func(e *event.Event) { e.Kind = "other" })},
		{"repeats an id", func(r ingest.Record) ([]event.Event, error) {
			events, err := sound(r)
			return append(events, events...), err
		}},
		{"changes the bytes", func(r ingest.Record) ([]event.Event, error) {
			events, err := sound(r)
			r.Data[0] = ' '
			return events, err
		}},
		{"returns a plain error", func(ingest.Record) ([]event.Event, error) { return nil, errors.New("x") }},
		{"returns an open reason", func(ingest.Record) ([]event.Event, error) { return nil, ingest.Skip("because", "") }},
		{"returns events beside an error", func(r ingest.Record) ([]event.Event, error) {
			events, _ := sound(r)
			return events, ingest.Skip(ingest.SkipEmpty, "")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got recorder
			_, _ = check(&got, tt.n, synthetic(record), true)
			if !got.failed {
				t.Error("the breach was not found")
			}
		})
	}
}

func with(change func(*event.Event)) normalizerFunc {
	return func(r ingest.Record) ([]event.Event, error) {
		events, err := sound(r)
		change(&events[0])
		return events, err
	}
}

func TestMutationsReachEveryMember(t *testing.T) {
	all := mutations([]byte(record))
	for _, want := range []string{"without [id]", "without [nested list 1 a]", "with [who] = <nil>", "cut at 0"} {
		found := false
		for _, m := range all {
			found = found || m.what == want
		}
		if !found {
			t.Errorf("no mutation %q among %d", want, len(all))
		}
	}
}
