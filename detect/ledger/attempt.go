package ledger

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"stepdown/ingest/event"
)

// signIn adds e to its attempt and, when the person is in by a proof of their own,
// to the baselines.
func (l *Ledger) signIn(e *event.Event) *Attempt {
	a := l.attempt(e)
	proved := a.proved()
	place := l.place(e)
	a.Last = later(a.Last, e.Time)
	// The record that lets the person in describes the browser best; before
	// it, the first that says anything does.
	if e.Kind == event.SignIn && place.Network != "" || a.Place.Network == "" {
		a.Place = mergePlace(place, a.Place)
	} else {
		a.Place = mergePlace(a.Place, place)
	}
	if e.App != nil {
		a.App = *e.App
	}
	a.Session = cmp.Or(e.SessionID, a.Session)
	a.Protocol = cmp.Or(a.Protocol, e.Protocol)
	for i := range e.Factors {
		l.step(e, a, &e.Factors[i])
	}
	ref := l.refFrom(e, &place)
	if len(a.Refs) < maxRefs {
		a.Refs = append(a.Refs, ref)
	} else {
		a.Refs[maxRefs-1] = ref
	}
	success := e.Kind == event.SignIn && e.Outcome == event.Success
	if success {
		if a.Succeeded.IsZero() {
			a.Succeeded = e.Time
		}
		l.session(e, a, ref)
	}
	switch {
	case a.proved() && (success || !proved):
		if !proved {
			l.Successes++
		}
		l.baseline(a, e.Time)
	case success && a.Inherited:
		// How a client asks is a habit even where the proof was carried over.
		touch(&l.Protocols, string(a.Protocol), e.Time)
	}
	// A stronger proof later in the same sign-in is what the session rests on.
	for i := range l.Sessions {
		if s := &l.Sessions[i]; s.Attempt == a.ID && a.Best().Rank() > s.Method.Rank() {
			s.Method = a.Best()
		}
	}
	return a
}

// proved reports whether the person is in, by a proof made afresh.
func (a *Attempt) proved() bool { return !a.Succeeded.IsZero() && a.Best() != "" }

// attempt finds the attempt of e or begins one.
func (l *Ledger) attempt(e *event.Event) *Attempt {
	for i := len(l.Attempts) - 1; i >= 0; i-- {
		a := &l.Attempts[i]
		if a.Source != e.Source || a.ID == "" || e.Time.Sub(a.First) > AttemptSpan {
			continue
		}
		if e.FlowID != "" && a.Flow == e.FlowID ||
			e.FlowID == "" && a.Flow == "" && a.Place.IP == e.Endpoint.IP && e.Time.Sub(a.Last) <= joinSpan {
			return a
		}
	}
	id := l.texts.Join(string(e.Source), ":", e.FlowID)
	switch {
	case e.FlowID == "":
		id = l.texts.Join(string(e.Source), ":event:", e.ID)
	case slices.ContainsFunc(l.Attempts, func(a Attempt) bool { return a.ID == id }),
		slices.ContainsFunc(l.Findings, func(f Finding) bool { return f.Anchor == id }):
		// The flow id is used again: what was said of its first use is not of this.
		id = l.texts.Join(id, "@", strconv.FormatInt(e.Time.Unix(), 10))
	}
	l.shrink(e.Time)
	if len(l.Attempts) >= maxAttempts {
		l.dropAttempt(l.dispensable())
	}
	l.Attempts = resized(l.Attempts, len(l.Attempts)+1)
	a := &l.Attempts[len(l.Attempts)-1]
	*a = Attempt{ID: id, Source: e.Source, Flow: e.FlowID, First: e.Time, Steps: a.Steps[:0], Refs: a.Refs[:0]}
	return a
}

// shrink forgets of older sign-ins what nothing asks for any more: after
// AttemptSpan the records behind one that let the person in, since no record
// joins it; after DetailSpan all but when it succeeded, on what device and how.
// The failed ones go. The records behind other things are kept as long.
func (l *Ledger) shrink(now time.Time) {
	for i := 0; i < len(l.Attempts); i++ {
		a := &l.Attempts[i]
		switch age := now.Sub(a.Last); {
		case age > DetailSpan && a.Succeeded.IsZero():
			l.dropAttempt(i)
			i--
		case age > DetailSpan && a.ID != "":
			*a = Attempt{Source: a.Source, First: a.First, Last: a.Last, Succeeded: a.Succeeded, Protocol: a.Protocol,
				Place: Place{Device: a.Place.Device}, Steps: a.Steps[:0], Refs: a.Refs[:0]}
		case age > 2*AttemptSpan && len(a.Refs) > 0 && !a.Succeeded.IsZero() && !l.isEvidence(a):
			a.Refs, a.Session, a.App = a.Refs[:0], "", event.App{}
		}
	}
	for i := range l.Authenticators {
		if a := &l.Authenticators[i]; now.Sub(a.Since) > DetailSpan {
			a.Ref = Ref{}
		}
	}
	for i := range l.Consents {
		if c := &l.Consents[i]; now.Sub(c.Last) > DetailSpan {
			c.Ref = Ref{}
		}
	}
	l.Prompts = slices.DeleteFunc(l.Prompts, func(p Prompt) bool { return now.Sub(p.Time) > DetailSpan })
	l.Recoveries = slices.DeleteFunc(l.Recoveries, func(r Recovery) bool { return now.Sub(r.Ref.Time) > recoveryKeep })
}

// isEvidence reports whether the records of a may still be asked for.
func (l *Ledger) isEvidence(a *Attempt) bool {
	return a.StrongFailed(a.Last) || slices.ContainsFunc(l.Findings, func(f Finding) bool { return f.Anchor == a.ID })
}

// dropAttempt forgets the i-th attempt, and keeps its memory for the next.
func (l *Ledger) dropAttempt(i int) {
	dropped := l.Attempts[i]
	copy(l.Attempts[i:], l.Attempts[i+1:])
	n := len(l.Attempts) - 1
	l.Attempts[n] = Attempt{Steps: dropped.Steps[:0], Refs: dropped.Refs[:0]}
	l.Attempts = l.Attempts[:n]
}

// dispensable returns the index of the attempt to forget. Anybody can fail to sign
// in as somebody else: failures push out failures, and not what is known of the
// person's own sign-ins.
func (l *Ledger) dispensable() int {
	failed, first := 0, -1
	for i := range l.Attempts {
		if l.Attempts[i].Succeeded.IsZero() {
			failed++
			if first < 0 {
				first = i
			}
		}
	}
	if failed > maxAttempts/2 {
		return first
	}
	return max(0, slices.IndexFunc(l.Attempts, func(a Attempt) bool { return !a.Succeeded.IsZero() }))
}

// step adds one factor to the attempt, the histogram, the prompts and, where it
// proves possession, the authenticators.
func (l *Ledger) step(e *event.Event, a *Attempt, f *event.Factor) {
	at := e.Time
	if f.Time != nil && f.Fresh {
		at = *f.Time
	}
	if len(a.Steps) == maxSteps {
		// What was proved is not pushed out by what was tried.
		i := max(0, slices.IndexFunc(a.Steps, func(s Step) bool { return s.Result != event.Verified || !s.Fresh }))
		a.Steps = slices.Delete(a.Steps, i, i+1)
	}
	a.Steps = append(a.Steps, Step{Method: f.Method, Result: f.Result, Fresh: f.Fresh, Time: at})
	switch f.Class {
	case event.Inherited:
		a.Inherited = true
	case event.Opaque:
		a.Opaque = true
	}
	switch f.Method {
	case event.MethodPush, event.MethodPushNumberMatch:
		if f.Result == event.Verified && !f.Fresh {
			break // told again by a later record; nobody was asked
		}
		if len(l.Prompts) == maxPrompts {
			l.Prompts = slices.Delete(l.Prompts, 0, 1)
		}
		l.Prompts = append(l.Prompts, Prompt{Time: e.Time, Result: f.Result})
	}
	if f.Result != event.Verified || !f.Fresh {
		return
	}
	l.use(e, f)
}

func (l *Ledger) baseline(a *Attempt, at time.Time) {
	touch(&l.Networks, a.Place.Network, at)
	touch(&l.Countries, a.Place.Country, at)
	touch(&l.Devices, a.Place.Device, at)
	touch(&l.Agents, a.Place.Agent, at)
	touch(&l.Protocols, string(a.Protocol), at)
}

// touch counts value in a baseline; over the cap the one that was not seen for
// longest goes.
func touch(list *[]Seen, value string, at time.Time) {
	if value == "" {
		return
	}
	i := slices.IndexFunc(*list, func(s Seen) bool { return s.Value == value })
	if i < 0 {
		*list = append(room(*list, maxSeen, func(s *Seen) time.Time { return s.Last }), Seen{Value: value, First: at})
		i = len(*list) - 1
	}
	s := &(*list)[i]
	if at.Before(s.First) {
		s.First = at
	}
	s.Last = later(s.Last, at)
	s.Count++
}

// session remembers the session that a sign-in created, or touches it.
func (l *Ledger) session(e *event.Event, a *Attempt, ref Ref) {
	if e.SessionID == "" || l.touchSession(e) {
		return
	}
	l.Sessions = slices.DeleteFunc(l.Sessions, func(s Session) bool { return e.Time.Sub(s.Last) > idleKeep })
	for i := range l.Sessions {
		if s := &l.Sessions[i]; e.Time.Sub(s.Born) > AttemptSpan {
			s.Attempt = ""
		}
	}
	p := a.Place
	l.Sessions = append(room(l.Sessions, maxSessions, func(s *Session) time.Time { return s.Last }),
		Session{ID: e.SessionID, Source: e.Source, Born: e.Time, Last: e.Time, Method: a.Best(), Attempt: a.ID,
			Place: Place{IP: p.IP, Network: p.Network, Country: p.Country, Browser: p.Browser, OS: p.OS}, Ref: ref})
}

func (l *Ledger) touchSession(e *event.Event) bool {
	if s := l.Session(e.Source, e.SessionID); s != nil {
		s.Last = later(s.Last, e.Time)
		return true
	}
	return false
}

// Session returns the live session with that id, or nil.
func (l *Ledger) Session(source event.Source, id string) *Session {
	if id == "" {
		return nil
	}
	for i := range l.Sessions {
		if s := &l.Sessions[i]; s.Source == source && s.ID == id {
			return s
		}
	}
	return nil
}
