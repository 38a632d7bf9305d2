package ledger

import (
	"cmp"
	"slices"
	"time"

	"stepdown/ingest/event"
)

// use counts a fresh proof and touches the authenticator that made it.
func (l *Ledger) use(e *event.Event, f *event.Factor) {
	i := slices.IndexFunc(l.Methods, func(m MethodUse) bool { return m.Source == e.Source && m.Method == f.Method })
	if i < 0 {
		l.Methods = append(room(l.Methods, maxMethods, func(m *MethodUse) time.Time { return m.Last }),
			MethodUse{Source: e.Source, Method: f.Method, First: e.Time})
		i = len(l.Methods) - 1
	}
	l.Methods[i].Count++
	l.Methods[i].Last = later(l.Methods[i].Last, e.Time)
	if f.Method == event.MethodPassword || f.Class == event.RecoveryClass || f.Class == event.None {
		return
	}
	var a *Authenticator
	if i := l.match(e, &Authenticator{ID: f.CredentialID, AAGUID: f.AAGUID, Method: f.Method}, nil); i >= 0 {
		a = &l.Authenticators[i]
	} else {
		a = l.add(Authenticator{Source: e.Source, ID: f.CredentialID, Method: f.Method, AAGUID: f.AAGUID,
			Provenance: Observed, Since: e.Time}, e.Time)
	}
	if a.Method == event.MethodPasskey && compatible(f.Method, a.Method) {
		// The sign-in knows more of the passkey than its enrolment did.
		a.Method = f.Method
	}
	a.Uses++
	a.LastUsed = later(a.LastUsed, e.Time)
}

// match returns the index of the live authenticator of e's source that n is another
// view of, -1 for none: by id, else by model, else the last used of the method.
// Those that taken marks are left out, and so are those enrolled after e.
func (l *Ledger) match(e *event.Event, n *Authenticator, taken []bool) int {
	byModel, byMethod := -1, -1
	for i := range l.Authenticators {
		a := &l.Authenticators[i]
		if a.Source != e.Source || !a.Live() || a.Since.After(e.Time) || i < len(taken) && taken[i] {
			continue
		}
		if n.ID != "" && a.ID == n.ID {
			return i
		}
		if !compatible(n.Method, a.Method) || n.ID != "" && a.ID != "" || otherModel(n, a) {
			continue
		}
		if byModel < 0 && n.AAGUID != "" && a.AAGUID == n.AAGUID {
			byModel = i
		}
		if byMethod < 0 || a.LastUsed.After(l.Authenticators[byMethod].LastUsed) {
			byMethod = i
		}
	}
	if byModel >= 0 {
		return byModel
	}
	return byMethod
}

// otherModel reports whether both models are known and differ.
func otherModel(a, b *Authenticator) bool {
	return a.AAGUID != "" && b.AAGUID != "" && a.AAGUID != b.AAGUID
}

// compatible reports whether two methods may be two names of one authenticator:
// sources are less precise at one end of its life than at the other.
func compatible(a, b event.Method) bool {
	if a == b {
		return true
	}
	family := func(m event.Method) int {
		switch m {
		case event.MethodPasskey, event.MethodPasskeySynced, event.MethodPasskeyDeviceBound,
			event.MethodSecurityKey, event.MethodPasskeyHybrid:
			return 1
		case event.MethodPush, event.MethodPushNumberMatch:
			return 2
		case event.MethodSMS, event.MethodVoice:
			return 3
		case event.MethodEmailCode, event.MethodEmailLink:
			return 4
		}
		return 0
	}
	return family(a) != 0 && family(a) == family(b)
}

// add appends an authenticator; over the cap the longest unused one goes,
// removed ones first.
func (l *Ledger) add(a Authenticator, now time.Time) *Authenticator {
	l.Authenticators = slices.DeleteFunc(l.Authenticators, func(o Authenticator) bool {
		return !o.Live() && now.Sub(o.Removed) > removedKeep
	})
	if len(l.Authenticators) >= maxAuthenticators {
		l.dropAuthenticator()
	}
	l.Authenticators = append(l.Authenticators, a)
	return &l.Authenticators[len(l.Authenticators)-1]
}

// dropAuthenticator forgets the one that was not used for longest, removed ones
// first.
func (l *Ledger) dropAuthenticator() {
	oldest := 0
	for i := range l.Authenticators {
		if staler(&l.Authenticators[i], &l.Authenticators[oldest]) {
			oldest = i
		}
	}
	l.Authenticators = slices.Delete(l.Authenticators, oldest, oldest+1)
}

func staler(a, b *Authenticator) bool {
	if a.Live() != b.Live() {
		return !a.Live()
	}
	return later(a.Since, a.LastUsed).Before(later(b.Since, b.LastUsed))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// told returns what e tells of an authenticator.
func told(e *event.Event, n *event.Authenticator, p Provenance) Authenticator {
	return Authenticator{Source: e.Source, ID: n.ID, Method: n.Method, Name: n.Name, AAGUID: n.AAGUID, Provenance: p, Since: e.Time}
}

// complete takes over what n knows and a does not.
func (a *Authenticator) complete(n *Authenticator) {
	a.ID, a.Name, a.AAGUID = cmp.Or(a.ID, n.ID), cmp.Or(a.Name, n.Name), cmp.Or(a.AAGUID, n.AAGUID)
	if a.Method == event.MethodPasskey {
		a.Method = n.Method
	}
}

func (l *Ledger) enrol(e *event.Event, told Authenticator) {
	told.ByOther, told.Ref = e.ByOther(), l.ref(e)
	// One enrolment is told twice: by the credential service and by the
	// directory, minutes apart and with different detail. And its first use may
	// be on record before it.
	for i := range l.Authenticators {
		a := &l.Authenticators[i]
		if a.Source != e.Source || !a.Live() || !compatible(told.Method, a.Method) || otherModel(&told, a) {
			continue
		}
		same := told.ID != "" && a.ID == told.ID
		twice := (told.ID == "" || a.ID == "") && a.Provenance != Snapshot && e.Time.Sub(a.Since).Abs() <= enrolMergeSpan
		if same || twice {
			if a.Provenance != Enrolment {
				a.Provenance, a.ByOther, a.Ref = Enrolment, told.ByOther, told.Ref
			}
			a.complete(&told)
			return
		}
	}
	l.add(told, e.Time)
}

func (l *Ledger) remove(e *event.Event, told Authenticator) {
	if i := l.match(e, &told, nil); i >= 0 {
		l.Authenticators[i].Removed = e.Time
		return
	}
	// Not known before: remember that it was there and is gone.
	told.Removed = e.Time
	l.add(told, e.Time)
}

// removeAll marks every authenticator of e's source that was live then.
func (l *Ledger) removeAll(e *event.Event) {
	for i := range l.Authenticators {
		if a := &l.Authenticators[i]; a.Source == e.Source && a.Live() && !a.Since.After(e.Time) {
			a.Removed = e.Time
		}
	}
}

// snapshot takes over what the source lists. Those that have the same id find each
// other first, the others by model and method; what is listed and not known is
// added, what is known and not listed is gone where the list is complete.
func (l *Ledger) snapshot(e *event.Event) {
	known := make([]bool, len(l.Authenticators))
	listed := make([]bool, len(e.Authenticators))
	for _, byID := range []bool{true, false} {
		for i := range e.Authenticators {
			n := told(e, &e.Authenticators[i], Snapshot)
			j := l.match(e, &n, known)
			if listed[i] || j < 0 || byID && (n.ID == "" || l.Authenticators[j].ID != n.ID) {
				continue
			}
			known[j], listed[i] = true, true
			a := &l.Authenticators[j]
			a.complete(&n)
			if used := e.Authenticators[i].LastUsed; used != nil {
				a.LastUsed = later(a.LastUsed, *used)
			}
		}
	}
	for i := range known {
		if a := &l.Authenticators[i]; e.Snapshot.Complete && !known[i] && a.Source == e.Source && a.Live() && a.Since.Before(e.Time) {
			a.Removed = e.Time
		}
	}
	for i := range e.Authenticators {
		if !listed[i] {
			n := told(e, &e.Authenticators[i], Snapshot)
			if created := e.Authenticators[i].Created; created != nil && created.Before(e.Time) {
				n.Since = *created
			}
			if used := e.Authenticators[i].LastUsed; used != nil {
				n.LastUsed = *used
			}
			l.add(n, e.Time)
		}
	}
}
