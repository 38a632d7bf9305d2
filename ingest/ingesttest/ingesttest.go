package ingesttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stepdown/ingest"
	"stepdown/ingest/event"
)

// Normalizer checks that n is one, on records that n should read (or rightly
// skip), and on some hundred mutations of each. A record needs Source, Data and
// Observed, as an input would set them.
func Normalizer(t *testing.T, n ingest.Normalizer, records []ingest.Record) {
	t.Helper()
	if len(records) == 0 {
		t.Fatal("no records: the suite would prove nothing")
	}
	t.Run("records", func(t *testing.T) {
		for i, r := range records {
			events, err := check(t, n, r, true)
			if err != nil && !isSkip(err) {
				t.Errorf("record %d (%s): %v", i, r.Origin, err)
			}
			if err == nil && len(events) == 0 {
				t.Errorf("record %d (%s): no events and no *SkipError to say why", i, r.Origin)
			}
		}
	})
	t.Run("mutations", func(t *testing.T) {
		for _, r := range records {
			for _, m := range mutations(r.Data) {
				mutated := r
				mutated.Data, mutated.Origin = m.data, r.Origin+" "+m.what
				_, _ = check(t, n, mutated, false) // what it makes of it is its own affair
			}
			if t.Failed() {
				return
			}
		}
	})
	t.Run("concurrent", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for _, r := range records {
					_, _ = n.Normalize(r) // the race detector judges
				}
			})
		}
		wg.Wait()
	})
}

// Fuzz runs the checks on what the fuzzer makes of the records' bytes.
func Fuzz(f *testing.F, n ingest.Normalizer, records []ingest.Record) {
	for _, r := range records {
		f.Add(string(r.Source), r.Stream, r.Data)
	}
	observed := time.Date(2026, time.March, 2, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, source, stream string, data []byte) {
		r := ingest.Record{Source: event.Source(source), Stream: stream, Data: data, Observed: observed, Origin: "fuzz"}
		_, _ = check(t, n, r, false) // what it makes of it is its own affair
	})
}

// reporter is the part of testing.T that check needs.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// check normalizes r twice and reports every breach of the contract. Only
// sound records must give events that are valid: a mutated one may give an event
// that Validate refuses.
func check(t reporter, n ingest.Normalizer, r ingest.Record, sound bool) ([]event.Event, error) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s: %s\nrecord: %.2000s", r.Origin, fmt.Sprintf(format, args...), r.Data)
	}
	before := slices.Clone(r.Data)
	events, panicked, err := normalize(n, r)
	if panicked != nil {
		fail("panic: %v", panicked)
		return nil, nil
	}
	if !bytes.Equal(before, r.Data) {
		fail("the record's bytes were changed")
		r.Data = before
	}
	again, _, errAgain := normalize(n, r)
	if !reflect.DeepEqual(events, again) {
		// cmp.Diff only for the message: its own randomness would keep a fuzzer busy.
		diff := cmp.Diff(events, again)
		fail("a second time gives other events, so a replay would differ from live (-first +second):\n%s", diff)
	}
	if (err == nil) != (errAgain == nil) || err != nil && errAgain != nil && err.Error() != errAgain.Error() {
		fail("a second time gives error %v, the first %v", errAgain, err)
	}
	if err != nil {
		checkError(fail, events, err)
		return nil, err
	}

	ids := map[string]bool{}
	for i, e := range events {
		where := fmt.Sprintf("event %d (%s %q)", i, e.Kind, e.ID)
		if e.Key != "" || e.Subject.Key != "" || e.Actor.Key != "" || e.Tier != "" || e.Populations != nil {
			fail("%s: sets key, tier or populations, which ingest/identity does", where)
		}
		if !e.Ingested.IsZero() {
			fail("%s: sets ingested, which the collector does", where)
		}
		if e.Source != r.Source {
			fail("%s: source is %q, of the record %q", where, e.Source, r.Source)
		}
		if !e.Observed.Equal(r.Observed) {
			fail("%s: observed is %s, of the record %s", where, e.Observed, r.Observed)
		}
		if ids[e.ID] {
			fail("%s: the id is used twice in one record; add #1, #2", where)
		}
		ids[e.ID] = true
		if !sound {
			continue
		}
		e.Key, e.Ingested = "person@example.com", e.Observed
		e.Sanitize()
		if err := e.Validate(); err != nil {
			fail("%s: not valid: %v", where, err)
			continue
		}
		encoded, err := event.Encode(nil, &e)
		if err != nil {
			fail("%s: %v", where, err)
			continue
		}
		var decoded event.Event
		if err := event.Decode(encoded, &decoded); err != nil {
			fail("%s: decode what was encoded: %v", where, err)
			continue
		}
		e.Raw, decoded.Raw = nil, nil // may be compacted on the way
		if diff := cmp.Diff(e, decoded, emptyIsNil); diff != "" {
			fail("%s: is not the same after the wire (-before +after):\n%s", where, diff)
		}
	}
	return events, nil
}

// emptyIsNil: the wire omits empty lists.
var emptyIsNil = cmp.FilterValues(func(a, b any) bool {
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	return va.IsValid() && vb.IsValid() && va.Kind() == reflect.Slice && vb.Kind() == reflect.Slice && va.Len() == 0 && vb.Len() == 0
}, cmp.Ignore())

func checkError(fail func(string, ...any), events []event.Event, err error) {
	if len(events) != 0 {
		fail("%d events beside the error %v, nobody would read them", len(events), err)
	}
	if skip, ok := errors.AsType[*ingest.SkipError](err); ok {
		if !slices.Contains(ingest.SkipReasons(), skip.Reason) {
			fail("skip reason %q is not in the closed list", skip.Reason)
		}
		return
	}
	malformed, ok := errors.AsType[*ingest.MalformedError](err)
	if !ok {
		fail("error is neither *ingest.SkipError nor *ingest.MalformedError: %v", err)
		return
	}
	if !slices.Contains(ingest.MalformedReasons(), malformed.Reason) {
		fail("malformed reason %q is not in the closed list", malformed.Reason)
	}
}

func normalize(n ingest.Normalizer, r ingest.Record) (events []event.Event, panicked any, err error) {
	defer func() { panicked = recover() }()
	events, err = n.Normalize(r)
	return events, nil, err
}

func isSkip(err error) bool {
	_, ok := errors.AsType[*ingest.SkipError](err)
	return ok
}

// maxMutations bounds those of one record; where there are more, they are
// thinned out evenly.
const maxMutations = 600

type mutation struct {
	what string
	data []byte
}

// mutations returns what a provider, a proxy or an attacker could make of data:
// cut bytes, and each member removed or replaced by another type.
func mutations(data []byte) []mutation {
	var out []mutation
	for i := range 16 {
		n := len(data) * i / 16
		out = append(out, mutation{fmt.Sprintf("cut at %d", n), slices.Clone(data[:n])})
	}
	for _, whole := range []string{"null", "[]", "{}", `""`, "0", "[{}]", "[null]", "\xff\xfe", "{\"\\u0000\":1}"} {
		out = append(out, mutation{"replaced by " + whole, []byte(whole)})
	}
	var root any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if dec.Decode(&root) != nil {
		return out
	}
	var paths [][]any
	walk(root, nil, &paths)
	replacements := []any{nil, "", "\x00\ufffd", 0, -1, 1e300, true, []any{}, map[string]any{}, []any{nil}, map[string]any{"": nil}, "2026-13-45T99:99:99Z"}
	total := len(paths) * (1 + len(replacements))
	step := max(1, total/maxMutations)
	for k := 0; k < total; k += step {
		path, choice := paths[k/(1+len(replacements))], k%(1+len(replacements))
		what := fmt.Sprintf("without %v", path)
		var value any = remove{}
		if choice > 0 {
			value = replacements[choice-1]
			what = fmt.Sprintf("with %v = %#v", path, value)
		}
		mutated, err := json.Marshal(set(root, path, value))
		if err != nil {
			continue
		}
		out = append(out, mutation{what, mutated})
	}
	return out
}

// remove is the value that makes set delete a member.
type remove struct{}

// walk appends the path of every member beneath v in a fixed order.
func walk(v any, path []any, paths *[][]any) {
	add := func(step, child any) {
		p := append(slices.Clone(path), step)
		*paths = append(*paths, p)
		walk(child, p, paths)
	}
	switch v := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			add(k, v[k])
		}
	case []any:
		for i, child := range v {
			add(i, child)
		}
	}
}

// set returns a copy of v in which path holds value.
func set(v any, path []any, value any) any {
	if len(path) == 0 {
		return value
	}
	_, gone := value.(remove)
	gone = gone && len(path) == 1
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, child := range v {
			switch {
			case k != path[0]:
				out[k] = child
			case !gone:
				out[k] = set(child, path[1:], value)
			}
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for i, child := range v {
			switch {
			case i != path[0]:
				out = append(out, child)
			case !gone:
				out = append(out, set(child, path[1:], value))
			}
		}
		return out
	}
	return v
}
