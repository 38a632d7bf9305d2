package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"stepdown/ingest/event"
)

// Identity finds whom an event belongs to. Resolve sets Key, the keys of the
// principals, Tier and Populations; an error means that the event names nobody,
// and the event is skipped.
type Identity interface {
	Resolve(e *event.Event) error
}

// Rejected is a record that could not be read, or that made an event which
// breaks the contract.
type Rejected struct {
	Record Record
	// Err holds a *MalformedError; see ReasonOf.
	Err error
}

// Normalized is what Normalize made of some records.
type Normalized struct {
	// Events are valid and lack only Ingested.
	Events   []event.Event
	Rejected []Rejected
	Summary  Summary

	// records holds, for each event, the index of the record it was made of.
	records []int
}

// Summary counts what became of records, by source. It is what the collector
// puts into metrics and what the command line prints.
type Summary map[event.Source]*Counts

// Counts are those of one source.
type Counts struct {
	Records int
	Events  map[event.Kind]int
	// Skipped counts records that rightly yield no event, and single events
	// that name nobody.
	Skipped   map[SkipReason]int
	Malformed map[MalformedReason]int
	// Newest is the latest time of an event; zero when there is none.
	Newest time.Time
}

// Add adds what o counted.
func (s Summary) Add(o Summary) {
	for source, from := range o {
		to := s.of(source)
		to.Records += from.Records
		addAll(to.Events, from.Events)
		addAll(to.Skipped, from.Skipped)
		addAll(to.Malformed, from.Malformed)
		if from.Newest.After(to.Newest) {
			to.Newest = from.Newest
		}
	}
}

func (s Summary) of(source event.Source) *Counts {
	c := s[source]
	if c == nil {
		c = &Counts{
			Events:    map[event.Kind]int{},
			Skipped:   map[SkipReason]int{},
			Malformed: map[MalformedReason]int{},
		}
		s[source] = c
	}
	return c
}

func addAll[K comparable](to, from map[K]int) {
	for k, n := range from {
		to[k] += n
	}
}

// Normalize makes events of records: it is the one path from a provider's bytes
// to an event, for the collector and the command line alike. It is a pure
// function of its arguments. A record costs the others nothing: whatever is
// wrong with it, a panic of its normalizer included, puts it into Rejected.
func Normalize(records []Record, normalizers map[event.Source]Normalizer, identity Identity) Normalized {
	out := Normalized{
		Events:  make([]event.Event, 0, len(records)),
		records: make([]int, 0, len(records)),
		Summary: Summary{},
	}
	for i, r := range records {
		counts := out.Summary.of(r.Source)
		counts.Records++
		reject := func(err error) {
			counts.Malformed[ReasonOf(err)]++
			out.Rejected = append(out.Rejected, Rejected{Record: r, Err: err})
		}
		events, err := normalizeOne(r, normalizers)
		if err != nil {
			if skip, ok := errors.AsType[*SkipError](err); ok {
				counts.Skipped[skip.Reason]++
			} else {
				reject(err)
			}
			continue
		}
		broken := false
		for j := range events {
			e := &events[j]
			if err := identity.Resolve(e); err != nil {
				counts.Skipped[SkipNoIdentity]++
				continue
			}
			e.Sanitize()
			if err := e.Validate(); err != nil {
				if !broken { // one dead letter for one record
					reject(Malformed(MalformedEvent, "%s event %q: %w", r.Source, e.ID, err))
				}
				broken = true
				continue
			}
			counts.Events[e.Kind]++
			if e.Time.After(counts.Newest) {
				counts.Newest = e.Time
			}
			out.Events = append(out.Events, *e)
			out.records = append(out.records, i)
		}
	}
	return out
}

// maxStack bounds the stack in the error of a panic, which travels in a header.
const maxStack = 2 << 10

// TimeOf returns a function that reads the time of the first of the events that n
// makes of a record; zero where it makes none.
func TimeOf(n Normalizer) func(Record) time.Time {
	return func(r Record) (first time.Time) {
		events, err := normalizeOne(r, map[event.Source]Normalizer{r.Source: n})
		if err != nil {
			return time.Time{}
		}
		for i := range events {
			if t := events[i].Time; first.IsZero() || t.Before(first) {
				first = t
			}
		}
		return first
	}
}

func normalizeOne(r Record, normalizers map[event.Source]Normalizer) (events []event.Event, err error) {
	if r.Err != nil {
		if _, ok := errors.AsType[*MalformedError](r.Err); ok {
			return nil, r.Err
		}
		return nil, &MalformedError{Reason: MalformedSyntax, Err: r.Err}
	}
	if len(bytes.TrimSpace(r.Data)) == 0 {
		return nil, Skip(SkipEmpty, r.Origin)
	}
	n := normalizers[r.Source]
	if n == nil {
		return nil, Malformed(MalformedSource, "no normalizer for source %q", r.Source)
	}
	defer func() {
		if p := recover(); p != nil {
			stack := debug.Stack()
			err = &MalformedError{Reason: MalformedPanic, Err: fmt.Errorf("%v\n%s", p, stack[:min(len(stack), maxStack)])}
			events = nil
		}
	}()
	return n.Normalize(r)
}
