package file

import (
	"time"

	"stepdown/ingest"
)

// ahead is the next value of a stream, looked at before its turn.
type ahead struct {
	// held says that the value was taken from the splitter and not returned yet;
	// at is the position before it.
	held  bool
	value value
	at    position
	// known says that there is a next value, the held one or, where the file was
	// closed meanwhile, the one to be read again; due is its time.
	known bool
	due   time.Time
	// undated is how many values in a row had no time.
	undated int
}

// take returns the value that is held.
func (a *ahead) take() (value, bool) {
	v, ok := a.value, a.held
	a.value, a.held = value{}, false
	return v, ok
}

// maxUndated is how many values without a time may come before a file counts as
// one whose values have none.
const maxUndated = 1000

// never is when a file without times is due: after all others.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// MergeBy makes the source read files that have something unread side by side,
// the earliest record first, instead of one after the other: of several logs in
// one input, else, the second would be read when the first has long gone on. time
// returns the time of a record, the zero time where it has none; such a record
// goes with the one before it in its file. To call it is for before the first Poll.
func (s *Source) MergeBy(time func(ingest.Record) time.Time) { s.timeOf = time }

// merge fills b from the streams that have something to read until fewer than two
// have. It returns those that it has read to their ends; the caller reads the
// others, and finds the errors again.
func (s *Source) merge(b *batch) (ended []*stream) {
	if s.timeOf == nil || len(s.streams) < 2 {
		return nil
	}
	open := 0
	var waiting []*stream
	for _, st := range s.streams {
		if st.file != nil && !st.finished {
			// It may have been truncated since.
			if _, changed, _ := st.ready(); changed {
				s.begin(st, b)
			}
		}
		if !s.peek(st, b) {
			if st.finished {
				ended = append(ended, st)
			}
			continue
		}
		waiting = append(waiting, st)
		if st.file == nil {
			continue
		}
		if open++; open > maxOpen/2 {
			st.close() // it is read again when it is due
		}
	}
	for len(waiting) > 1 && !b.full() {
		first, second := 0, never
		for i, st := range waiting {
			switch due := st.ahead.due; {
			case due.Before(waiting[first].ahead.due):
				first, second = i, waiting[first].ahead.due
			case i != first && due.Before(second):
				second = due
			}
		}
		st := waiting[first]
		more := true
		for more && !b.full() && !st.ahead.due.After(second) {
			more = s.take(st, b) && s.peek(st, b)
		}
		if !more && st.finished {
			ended = append(ended, st)
		}
		if !more {
			waiting = append(waiting[:first], waiting[first+1:]...)
		}
	}
	return ended
}

// take moves the next value of st into b.
func (s *Source) take(st *stream, b *batch) bool {
	if !st.ahead.held { // closed since
		st.ahead.known = false
		if !s.peek(st, b) {
			return false
		}
	}
	v, ok := st.ahead.take()
	if ok {
		b.add(st.at.Path, v)
	}
	st.ahead.known = false
	return ok
}

// peek looks at the next value of st, and reports whether there is one.
func (s *Source) peek(st *stream, b *batch) bool {
	if st.ahead.known {
		return true
	}
	final := s.final(st) // before ready forgets why
	if st.file == nil || st.finished {
		ok, changed, err := st.ready()
		if changed {
			s.begin(st, b)
			ok, _, err = st.ready()
		}
		if !ok || err != nil {
			return false
		}
	}
	at := st.position()
	v, ok, _ := st.next(final)
	if !ok {
		if st.finished {
			st.close()
		}
		return false
	}
	a := &st.ahead
	a.held, a.value, a.at, a.known = true, v, at, true
	switch t := s.timeOfValue(v); {
	case !t.IsZero():
		a.due, a.undated = t, 0
	case a.undated >= maxUndated:
		a.due = never
	default:
		a.undated++
	}
	return true
}

// timeOfValue is the time of the earliest record within v.
func (s *Source) timeOfValue(v value) (earliest time.Time) {
	if v.err != nil {
		return time.Time{}
	}
	for _, data := range unwrap(v.data) {
		t := s.timeOf(ingest.Record{Source: s.cfg.Source, Tenant: s.cfg.Tenant, Stream: s.cfg.Stream, Data: data})
		if earliest.IsZero() || !t.IsZero() && t.Before(earliest) {
			earliest = t
		}
	}
	return earliest
}
