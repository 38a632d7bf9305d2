package ingest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stepdown/ingest/event"
)

var testTime = time.Date(2026, time.March, 2, 10, 0, 0, 0, time.UTC)

// fakeNormalizer reads a synthetic log: {"id":…,"who":…,"at":RFC 3339,"n":events}.
type fakeNormalizer struct{}

func (fakeNormalizer) Normalize(r Record) ([]event.Event, error) {
	var in struct {
		ID    string    `json:"id"`
		Who   string    `json:"who"`
		At    time.Time `json:"at"`
		Also  []string  `json:"also"`
		Skip  string    `json:"skip"`
		Kind  string    `json:"kind"`
		Panic bool      `json:"panic"`
	}
	if err := json.Unmarshal(r.Data, &in); err != nil {
		return nil, Malformed(MalformedSyntax, "%w", err)
	}
	switch {
	case in.Panic:
		panic("synthetic panic")
	case in.Skip != "":
		return nil, Skip(SkipReason(in.Skip), in.ID)
	case in.Kind == "":
		in.Kind = string(event.SignIn)
	}
	var events []event.Event
	for _, who := range append([]string{in.Who}, in.Also...) {
		events = append(events, event.Event{
			Schema: event.SchemaVersion, ID: in.ID, Source: r.Source, Kind: event.Kind(in.Kind), Action: "login",
			Time: in.At, Observed: r.Observed, Subject: event.Principal{Name: who}, Outcome: event.Success, Raw: r.Data,
		})
	}
	return events, nil
}

// fakeIdentity takes the name as the key.
type fakeIdentity struct{}

func (fakeIdentity) Resolve(e *event.Event) error {
	if e.Subject.Name == "" {
		return errors.New("nobody")
	}
	e.Key = event.Key(e.Subject.Name)
	return nil
}

func testRecord(data string) Record {
	return Record{Source: "synthetic", Data: []byte(data), Observed: testTime, Origin: "test"}
}

var testNormalizers = map[event.Source]Normalizer{"synthetic": fakeNormalizer{}}

func TestNormalize(t *testing.T) {
	const at = `"at":"2026-03-02T09:00:00Z"`
	other := testRecord(`{}`)
	other.Source = "other"
	unsplit := testRecord(`garbage`)
	unsplit.Err = errors.New("no JSON")
	tooLong := testRecord(`xxx`)
	tooLong.Err = Malformed(MalformedTooBig, "line")
	records := []Record{
		testRecord(`{"id":"a","who":"ana",` + at + `}`),
		testRecord("  \n"),
		testRecord(`{"id":"b","skip":"machine_identity"}`),
		testRecord(`{"id":"c","who":"","also":["ben"],` + at + `}`),
		testRecord(`{"id":"d","panic":true}`),
		testRecord(`{"id":"e","who":"eve","kind":"nonsense",` + at + `}`),
		testRecord(`{"id":"f","who":"fay","at":"1970-01-01T00:00:00Z","also":["gus"]}`),
		testRecord(`not json`),
		other,
		unsplit,
		tooLong,
		testRecord(`{"id":"z","who":"zoe","kind":"password_change","at":"2026-03-02T09:30:00Z"}`),
	}
	got := Normalize(records, testNormalizers, fakeIdentity{})

	var ids []string
	for i, e := range got.Events {
		ids = append(ids, e.ID+" "+string(e.Key))
		if err := e.Validate(); err != nil {
			t.Errorf("event %s: %v", e.ID, err)
		}
		if want := got.records[i]; !strings.Contains(string(records[want].Data), e.ID) {
			t.Errorf("event %s is said to be of record %d", e.ID, want)
		}
	}
	if diff := cmp.Diff([]string{"a ana", "c ben", "z zoe"}, ids); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	var reasons []MalformedReason
	for _, r := range got.Rejected {
		reasons = append(reasons, ReasonOf(r.Err))
		if len(r.Record.Data) == 0 {
			t.Errorf("rejected record without its bytes: %v", r.Err)
		}
	}
	if diff := cmp.Diff([]MalformedReason{
		MalformedPanic, MalformedEvent, MalformedEvent, MalformedSyntax, MalformedSource, MalformedSyntax, MalformedTooBig,
	}, reasons); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	want := Counts{
		Records:   12,
		Events:    map[event.Kind]int{event.SignIn: 2, event.PasswordChange: 1},
		Skipped:   map[SkipReason]int{SkipEmpty: 1, SkipMachine: 1, SkipNoIdentity: 1},
		Malformed: map[MalformedReason]int{MalformedPanic: 1, MalformedEvent: 2, MalformedSyntax: 2, MalformedSource: 1, MalformedTooBig: 1},
		Newest:    time.Date(2026, time.March, 2, 9, 30, 0, 0, time.UTC),
	}
	total := Summary{}
	for _, c := range got.Summary {
		total.Add(Summary{"": c})
	}
	if diff := cmp.Diff(want, *total[""]); diff != "" {
		t.Errorf("total (-want +got):\n%s", diff)
	}
	if n := got.Summary["other"].Malformed[MalformedSource]; n != 1 {
		t.Errorf("unknown source counted %d times under its name, want 1", n)
	}
	if !strings.Contains(got.Rejected[0].Err.Error(), "synthetic panic") || !strings.Contains(got.Rejected[0].Err.Error(), "normalize_test.go") {
		t.Errorf("panic error %q names neither the value nor the place", got.Rejected[0].Err)
	}
}

func TestNormalizeLeavesLaterRecordsAlone(t *testing.T) {
	good := testRecord(`{"id":"a","who":"ana","at":"2026-03-02T09:00:00Z"}`)
	bad := testRecord(`{"panic":true}`)
	alone := Normalize([]Record{good}, testNormalizers, fakeIdentity{})
	beside := Normalize([]Record{bad, good, bad}, testNormalizers, fakeIdentity{})
	if diff := cmp.Diff(alone.Events, beside.Events); diff != "" {
		t.Errorf("events beside broken records (-alone +beside):\n%s", diff)
	}
}
