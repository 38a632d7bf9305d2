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
	best := a.Best()
	for i := range l.Sessions {
		if s := &l.Sessions[i]; s.Attempt == a.ID && best.Rank() > s.Method.Rank() {
			s.Method = best
		}
	}
	return a
}

// proved reports whether the person is in, by a proof made afresh.
func (a *Attempt) proved() bool { return !a.Succeeded.IsZero() && a.Best() != "" }

// attempt finds the attempt of e or begins one.
func (l *Ledger) attempt(e *event.Event) *Attempt {
	flow := digest(e.FlowID)
	for i := len(l.Attempts) - 1; i >= 0; i-- {
		a := &l.Attempts[i]
		if a.Source != e.Source || e.Time.Sub(a.First) > AttemptSpan {
			continue
		}
		if a.ID == "" {
			// A record that comes far too late.
			if e.FlowID != "" && a.Digest == flow && a.First.Sub(e.Time) <= AttemptSpan {
				a.ID, a.Flow, a.Digest = l.attemptID(e.Source, e.FlowID, a.First, a.Again), e.FlowID, 0
				return a
			}
			continue
		}
		if e.FlowID != "" && a.Flow == e.FlowID ||
			e.FlowID == "" && a.Flow == "" && a.Place.IP == e.Endpoint.IP && e.Time.Sub(a.Last) <= joinSpan {
			return a
		}
	}
	id, again := l.texts.Join(string(e.Source), ":event:", e.ID), false
	if e.FlowID != "" {
		id = l.attemptID(e.Source, e.FlowID, e.Time, false)
		// Where the flow id is used again, what was said of its first use is not of
		// this.
		if again = l.taken(e.Source, id, flow); again {
			id = l.attemptID(e.Source, e.FlowID, e.Time, true)
		}
	}
	if l.tidy || len(l.Attempts) >= maxAttempts {
		l.Shrink(e.Time.Add(-AttemptSpan)) // some of what comes too late still finds its place
	}
	if len(l.Attempts) >= maxAttempts {
		l.dropAttempt(l.dispensable())
	}
	l.Attempts = resized(l.Attempts, len(l.Attempts)+1)
	a := &l.Attempts[len(l.Attempts)-1]
	*a = Attempt{ID: id, Source: e.Source, Flow: e.FlowID, Again: again, First: e.Time, Steps: a.Steps[:0], Refs: a.Refs[:0]}
	return a
}

// attemptID names the sign-in of a flow; again tells that the name is taken.
func (l *Ledger) attemptID(source event.Source, flow string, first time.Time, again bool) string {
	if again {
		return l.texts.Join(string(source), ":", flow, "@", strconv.FormatInt(first.Unix(), 10))
	}
	return l.texts.Join(string(source), ":", flow)
}

// taken reports whether an earlier sign-in, or what was said of one, has the id.
func (l *Ledger) taken(source event.Source, id string, flow uint32) bool {
	for i := range l.Attempts {
		a := &l.Attempts[i]
		if a.ID == id || a.ID == "" && a.Source == source && a.Digest == flow {
			return true
		}
	}
	return l.found(id)
}

// found reports whether something was said about an anchor.
func (l *Ledger) found(anchor string) bool {
	for i := range l.Findings {
		if l.Findings[i].Anchor == anchor {
			return true
		}
	}
	return false
}

// digest is short and not 0.
func digest(flow string) uint32 { return uint32(hashText(flow)>>32) | 1 }

// Shrink forgets of older sign-ins what nothing asks for any more, if no event from
// before now comes that is not too late. One that let the person in is left with
// when it did, how, and on what device, when no record can join it: maxPast of those
// are kept. The failed ones and those that may be evidence go after DetailSpan, and
// so do the records behind other things.
func (l *Ledger) Shrink(now time.Time) {
	past := 0
	for i := len(l.Attempts) - 1; i >= 0; i-- {
		a := &l.Attempts[i]
		age := now.Sub(a.Last)
		if a.ID != "" && !a.Succeeded.IsZero() && (age > DetailSpan || now.Sub(a.First) > AttemptSpan && !l.isEvidence(a)) {
			l.reduce(a)
		}
		if a.ID == "" {
			past++
		}
		if past > maxPast || age > DetailSpan && a.Succeeded.IsZero() {
			l.dropAttempt(i)
			past = min(past, maxPast)
		}
	}
	for i := range l.Sessions {
		if s := &l.Sessions[i]; now.Sub(s.Born) > DetailSpan {
			s.Ref = Ref{}
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
	for len(l.Recoveries) > 0 && now.Sub(l.Recoveries[0].Ref.Time) > recoveryKeep {
		l.Recoveries = slices.Delete(l.Recoveries, 0, 1)
	}
}

// reduce leaves of a what outlives its records.
func (l *Ledger) reduce(a *Attempt) {
	best := a.Best()
	r := Attempt{Source: a.Source, First: a.First, Last: a.Last, Succeeded: a.Succeeded, Protocol: a.Protocol, Again: a.Again,
		Inherited: a.Inherited, Opaque: a.Opaque, Place: Place{Device: a.Place.Device}, Steps: a.Steps[:0], Refs: a.Refs[:0]}
	if a.Flow != "" {
		r.Digest = digest(a.Flow)
	}
	if best != "" {
		r.Steps = append(r.Steps, Step{Method: best, Result: event.Verified, Fresh: true, Time: a.Succeeded})
	}
	*a = r
}

// isEvidence reports whether the records of a may still be asked for.
func (l *Ledger) isEvidence(a *Attempt) bool {
	return a.StrongFailed(a.Last) || l.found(a.ID)
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
	i := 0
	for i < len(*list) && (*list)[i].Value != value {
		i++
	}
	if i == len(*list) {
		*list = append(room(*list, maxSeen, func(s *Seen) time.Time { return s.Last }), Seen{Value: value, First: at})
	}
	s := &(*list)[min(i, len(*list)-1)]
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
	for i := len(l.Sessions) - 1; i >= 0; i-- {
		s := &l.Sessions[i]
		if e.Time.Sub(s.Born) > AttemptSpan {
			s.Attempt = ""
		}
		if e.Time.Sub(s.Last) > idleKeep {
			l.Sessions = slices.Delete(l.Sessions, i, i+1)
		}
	}
	p := a.Place
	l.Sessions = append(room(l.Sessions, maxSessions, func(s *Session) time.Time { return s.Last }),
		Session{ID: sessionID(e.SessionID), Source: e.Source, Born: e.Time, Last: e.Time, Method: a.Best(), Attempt: a.ID,
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
	want := sessionID(id)
	for i := range l.Sessions {
		if s := &l.Sessions[i]; s.ID == want && s.Source == source {
			return s
		}
	}
	return nil
}
