package ledger

import (
	"slices"
	"time"

	"stepdown/ingest/event"
)

// The flags of what is encoded. They are part of the encoding.
const (
	flagManaged = 1 << iota
	flagProxy
)

const (
	flagInherited = 1 << iota
	flagOpaque
	flagApp
	flagAdmin
	flagAgain
	flagPast
	flagByFlow
)

// Encode writes l.
func (l *Ledger) Encode(w *Writer) {
	w.Text(l.Name)
	w.Text(l.DisplayName)
	w.Text(string(l.Tier))
	w.List(len(l.Populations), func(i int) { w.Text(l.Populations[i]) })
	w.Time(l.First)
	w.Time(l.Last)
	w.Uint(uint64(l.Successes))
	w.Time(l.Deactivated)
	w.List(len(l.Authenticators), func(i int) { encodeAuthenticator(w, &l.Authenticators[i]) })
	w.List(len(l.Methods), func(i int) {
		m := &l.Methods[i]
		w.Text(string(m.Source))
		w.Text(string(m.Method))
		w.Uint(uint64(m.Count))
		w.Time(m.First)
		w.Time(m.Last)
	})
	for _, list := range l.baselines() {
		w.List(len(*list), func(i int) {
			s := &(*list)[i]
			w.Text(s.Value)
			w.Time(s.First)
			w.Time(s.Last)
			w.Uint(uint64(s.Count))
		})
	}
	w.List(len(l.Attempts), func(i int) { encodeAttempt(w, &l.Attempts[i]) })
	w.List(len(l.Prompts), func(i int) {
		w.Time(l.Prompts[i].Time)
		w.Text(string(l.Prompts[i].Result))
	})
	w.List(len(l.Recoveries), func(i int) {
		r := &l.Recoveries[i]
		w.Text(string(r.Kind))
		w.Text(string(r.Stage))
		w.Text(string(r.Method))
		w.Text(r.By)
		encodeRef(w, &r.Ref)
	})
	w.List(len(l.Consents), func(i int) {
		c := &l.Consents[i]
		w.Text(string(c.Source))
		w.Text(c.AppID)
		w.Time(c.First)
		w.Time(c.Last)
		encodeRef(w, &c.Ref)
	})
	w.List(len(l.Sessions), func(i int) {
		s := &l.Sessions[i]
		w.Fixed(uint64(s.ID))
		w.Text(string(s.Source))
		w.Time(s.Born)
		w.Time(s.Last)
		w.Text(string(s.Method))
		w.Text(s.Attempt)
		p := &s.Place
		w.Text(p.IP)
		w.Text(p.Network)
		w.Text(p.Country)
		w.Text(p.Browser)
		w.Text(p.OS)
		encodeRef(w, &s.Ref)
	})
	w.List(len(l.Roles), func(i int) {
		r := &l.Roles[i]
		w.Text(string(r.Source))
		w.Text(r.Name)
		w.Bool(r.Privileged)
		w.Time(r.Since)
	})
	w.List(len(l.Findings), func(i int) {
		f := &l.Findings[i]
		w.Text(f.Rule)
		w.Text(f.Anchor)
		w.Text(f.Severity)
		w.Text(f.By)
		w.Time(f.Time)
		w.Bool(f.Withdrawn)
	})
}

// Decode reads what Encode wrote into l, in the memory that l has where that is
// enough. r.Err tells whether it could.
func (l *Ledger) Decode(r *Reader) {
	l.Name, l.DisplayName, l.Tier = r.Text(), r.Text(), event.Tier(r.Text())
	l.Populations = resized(l.Populations, r.Count())
	for i := range l.Populations {
		l.Populations[i] = r.Text()
	}
	l.First, l.Last, l.Successes, l.Deactivated = r.Time(), r.Time(), int(r.Uint()), r.Time()
	l.Authenticators = resized(l.Authenticators, r.Count())
	for i := range l.Authenticators {
		decodeAuthenticator(r, &l.Authenticators[i])
	}
	l.Methods = resized(l.Methods, r.Count())
	for i := range l.Methods {
		l.Methods[i] = MethodUse{event.Source(r.Text()), event.Method(r.Text()), int(r.Uint()), r.Time(), r.Time()}
	}
	for _, list := range l.baselines() {
		*list = resized(*list, r.Count())
		for i := range *list {
			(*list)[i] = Seen{r.Text(), r.Time(), r.Time(), int(r.Uint())}
		}
	}
	l.Attempts = resized(l.Attempts, r.Count())
	for i := range l.Attempts {
		decodeAttempt(r, &l.Attempts[i])
	}
	l.Prompts = resized(l.Prompts, r.Count())
	for i := range l.Prompts {
		l.Prompts[i] = Prompt{r.Time(), event.Result(r.Text())}
	}
	l.Recoveries = resized(l.Recoveries, r.Count())
	for i := range l.Recoveries {
		l.Recoveries[i] = Recovery{event.Kind(r.Text()), event.RecoveryStage(r.Text()), event.Method(r.Text()), r.Text(), decodeRef(r)}
	}
	l.Consents = resized(l.Consents, r.Count())
	for i := range l.Consents {
		l.Consents[i] = Consent{event.Source(r.Text()), r.Text(), r.Time(), r.Time(), decodeRef(r)}
	}
	l.Sessions = resized(l.Sessions, r.Count())
	for i := range l.Sessions {
		l.Sessions[i] = Session{SessionID(r.Fixed()), event.Source(r.Text()), r.Time(), r.Time(), event.Method(r.Text()), r.Text(),
			Place{IP: r.Text(), Network: r.Text(), Country: r.Text(), Browser: r.Text(), OS: r.Text()}, decodeRef(r)}
	}
	l.Roles = resized(l.Roles, r.Count())
	for i := range l.Roles {
		l.Roles[i] = Role{event.Source(r.Text()), r.Text(), r.Bool(), r.Time()}
	}
	l.Findings = resized(l.Findings, r.Count())
	for i := range l.Findings {
		l.Findings[i] = Finding{r.Text(), r.Text(), r.Text(), r.Text(), r.Time(), r.Bool()}
	}
}

func (l *Ledger) baselines() [5]*[]Seen {
	return [...]*[]Seen{&l.Networks, &l.Countries, &l.Devices, &l.Agents, &l.Protocols}
}

func encodeAuthenticator(w *Writer, a *Authenticator) {
	w.Text(string(a.Source))
	w.Text(a.ID)
	w.Text(string(a.Method))
	w.Text(a.Name)
	w.Text(a.AAGUID)
	w.Text(string(a.Provenance))
	w.Time(a.Since)
	w.Time(a.LastUsed)
	w.Uint(uint64(a.Uses))
	w.Time(a.Removed)
	w.Bool(a.ByOther)
	encodeRef(w, &a.Ref)
}

func decodeAuthenticator(r *Reader, a *Authenticator) {
	*a = Authenticator{event.Source(r.Text()), r.Text(), event.Method(r.Text()), r.Text(), r.Text(), Provenance(r.Text()),
		r.Time(), r.Time(), int(r.Uint()), r.Time(), r.Bool(), decodeRef(r)}
}

// encodeAttempt writes little of a sign-in of which little is kept.
func encodeAttempt(w *Writer, a *Attempt) {
	byFlow := a.ID != "" && a.Flow != "" && !a.Again && len(a.ID) == len(a.Source)+1+len(a.Flow)
	flags := uint64(0)
	for bit, set := range [...]bool{a.Inherited, a.Opaque, a.App != event.App{}, a.App.Admin, a.Again, a.ID == "", byFlow} {
		if set {
			flags |= 1 << bit
		}
	}
	w.Uint(flags)
	w.Text(string(a.Source))
	w.Time(a.First)
	w.Time(a.Last)
	w.Time(a.Succeeded)
	w.Text(string(a.Protocol))
	w.Text(a.Place.Device)
	if a.ID == "" {
		w.Fixed32(a.Digest)
		w.Text(string(a.Best()))
		return
	}
	if !byFlow {
		w.Text(a.ID)
	}
	w.Text(a.Flow)
	w.Text(a.Session)
	encodePlace(w, &a.Place)
	if flags&flagApp != 0 {
		w.Text(a.App.ID)
		w.Text(a.App.Name)
		w.Text(a.App.ResourceID)
		w.Text(a.App.ResourceName)
		w.Text(a.App.Client)
	}
	w.List(len(a.Steps), func(i int) {
		s := &a.Steps[i]
		w.Text(string(s.Method))
		w.Text(string(s.Result))
		w.Bool(s.Fresh)
		w.Time(s.Time)
	})
	w.List(len(a.Refs), func(i int) { encodeRef(w, &a.Refs[i]) })
}

func decodeAttempt(r *Reader, a *Attempt) {
	steps, refs := a.Steps[:0], a.Refs[:0]
	flags := r.Uint()
	*a = Attempt{Source: event.Source(r.Text()), First: r.Time(), Last: r.Time(), Succeeded: r.Time(),
		Protocol: event.Protocol(r.Text()), Place: Place{Device: r.Text()}, Steps: steps, Refs: refs,
		Inherited: flags&flagInherited != 0, Opaque: flags&flagOpaque != 0, Again: flags&flagAgain != 0}
	if flags&flagPast != 0 {
		a.Digest = r.Fixed32()
		if best := event.Method(r.Text()); best != "" {
			a.Steps = append(a.Steps, Step{Method: best, Result: event.Verified, Fresh: true, Time: a.Succeeded})
		}
		return
	}
	if flags&flagByFlow == 0 {
		a.ID = r.Text()
	}
	a.Flow, a.Session, a.Place = r.Text(), r.Text(), decodePlace(r)
	if flags&flagByFlow != 0 {
		a.ID = r.space.Join(string(a.Source), ":", a.Flow)
	}
	if flags&flagApp != 0 {
		a.App = event.App{ID: r.Text(), Name: r.Text(), ResourceID: r.Text(), ResourceName: r.Text(), Client: r.Text(), Admin: flags&flagAdmin != 0}
	}
	a.Steps = resized(steps, r.Count())
	for i := range a.Steps {
		a.Steps[i] = Step{event.Method(r.Text()), event.Result(r.Text()), r.Bool(), r.Time()}
	}
	a.Refs = resized(refs, r.Count())
	for i := range a.Refs {
		a.Refs[i] = decodeRef(r)
	}
}

func encodePlace(w *Writer, p *Place) {
	flags := uint64(0)
	if p.Managed {
		flags |= flagManaged
	}
	if p.Proxy {
		flags |= flagProxy
	}
	w.Uint(flags)
	w.Text(p.IP)
	w.Text(p.Network)
	w.Text(p.ASOrg)
	w.Text(p.Country)
	w.Text(p.Device)
	w.Text(p.Agent)
	w.Text(p.Browser)
	w.Text(p.OS)
}

func decodePlace(r *Reader) Place {
	flags := r.Uint()
	return Place{IP: r.Text(), Network: r.Text(), ASOrg: r.Text(), Country: r.Text(), Device: r.Text(), Agent: r.Text(),
		Browser: r.Text(), OS: r.Text(), Managed: flags&flagManaged != 0, Proxy: flags&flagProxy != 0}
}

// encodeRef writes nothing but a zero of a reference that is not kept.
func encodeRef(w *Writer, r *Ref) {
	if *r == (Ref{}) {
		w.Uint(0)
		return
	}
	n := 0
	for n < maxProofs && r.Proofs[n].Method != 0 {
		n++
	}
	w.Uint(uint64(n) + 1)
	for _, p := range r.Proofs[:n] {
		w.Byte(p.Method)
		w.Byte(p.Result)
	}
	w.Text(r.EventID)
	w.Text(string(r.Source))
	w.Time(r.Time)
	w.Text(string(r.Kind))
	w.Text(r.Action)
	w.Text(string(r.Outcome))
	w.Text(r.Note)
	w.Text(r.IP)
	w.Text(r.Network)
	w.Text(r.Country)
}

func decodeRef(r *Reader) Ref {
	n := int(r.Uint())
	if n == 0 {
		return Ref{}
	}
	if n-1 > maxProofs {
		r.fail()
		return Ref{}
	}
	var ref Ref
	for i := range n - 1 {
		ref.Proofs[i] = Proof{r.Byte(), r.Byte()}
	}
	ref.EventID, ref.Source, ref.Time, ref.Kind = r.Text(), event.Source(r.Text()), r.Time(), event.Kind(r.Text())
	ref.Action, ref.Outcome, ref.Note = r.Text(), event.Outcome(r.Text()), r.Text()
	ref.IP, ref.Network, ref.Country = r.Text(), r.Text(), r.Text()
	return ref
}

// Shed forgets something, and reports whether there was anything. It is for a ledger
// that somebody has filled with more, or longer, than one person does: first the
// records behind sign-ins that let the person in, then of the longest list the least
// recent.
func (l *Ledger) Shed() bool {
	for i := range len(l.Attempts) - 4 {
		if a := &l.Attempts[i]; a.ID != "" && !a.Succeeded.IsZero() {
			l.reduce(a)
			return true
		}
	}
	lengths := [...]int{4 * len(l.Attempts), 4 * len(l.Sessions), 4 * len(l.Recoveries), 4 * len(l.Consents), 3 * len(l.Authenticators),
		2 * len(l.Findings), 2 * len(l.Roles), 2 * len(l.Populations), len(l.Prompts), len(l.Methods),
		2 * len(l.Networks), 2 * len(l.Countries), 2 * len(l.Devices), 2 * len(l.Agents), 2 * len(l.Protocols)}
	longest := 0
	for i, n := range lengths {
		if n > lengths[longest] {
			longest = i
		}
	}
	if lengths[longest] == 0 {
		return false
	}
	switch longest {
	case 0:
		l.dropAttempt(l.dispensable())
	case 1:
		l.Sessions = room(l.Sessions, len(l.Sessions), func(s *Session) time.Time { return s.Last })
	case 2:
		l.Recoveries = slices.Delete(l.Recoveries, 0, 1)
	case 3:
		l.Consents = room(l.Consents, len(l.Consents), func(c *Consent) time.Time { return c.Last })
	case 4:
		l.dropAuthenticator()
	case 5:
		l.Findings = slices.Delete(l.Findings, 0, 1)
	case 6:
		l.Roles = slices.Delete(l.Roles, 0, 1)
	case 7:
		l.Populations = l.Populations[:len(l.Populations)-1]
	case 8:
		l.Prompts = slices.Delete(l.Prompts, 0, 1)
	case 9:
		l.Methods = room(l.Methods, len(l.Methods), func(m *MethodUse) time.Time { return m.Last })
	default:
		seen := l.baselines()[longest-10]
		*seen = room(*seen, len(*seen), func(s *Seen) time.Time { return s.Last })
	}
	return true
}
