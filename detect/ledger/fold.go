package ledger

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"stepdown/ingest/event"
)

// Apply folds e into the ledger. Events come in the order of their time (and id
// among equals); one that is too late for that still adds what it tells, and takes
// nothing back that is newer. It returns the attempt that e belongs to, nil when e is not
// part of a sign-in; the pointer is good until the next Apply.
func (l *Ledger) Apply(e *event.Event) *Attempt {
	if l.First.IsZero() || e.Time.Before(l.First) {
		l.First = e.Time
	}
	if !e.Time.Before(l.Last) {
		l.Last = e.Time
		l.describe(e)
	}
	switch e.Kind {
	case event.SignIn, event.FactorChallenge, event.SessionStart:
		return l.signIn(e)
	case event.SessionActivity, event.SessionAnomaly:
		l.touchSession(e)
	case event.SessionEnd:
		l.Sessions = slices.DeleteFunc(l.Sessions, func(s Session) bool { return s.Source == e.Source && s.ID == e.SessionID })
	case event.AuthenticatorEnrolled:
		if e.Outcome == event.Success {
			for i := range e.Authenticators {
				l.enrol(e, told(e, &e.Authenticators[i], Enrolment))
			}
		}
	case event.AuthenticatorRemoved:
		if e.Outcome == event.Success {
			for i := range e.Authenticators {
				l.remove(e, told(e, &e.Authenticators[i], Observed))
			}
		}
	case event.AuthenticatorsReset:
		if e.Outcome == event.Success {
			l.removeAll(e)
			l.recovered(e)
		}
	case event.AuthenticatorSnapshot:
		if e.Outcome == event.Success && e.Snapshot != nil {
			l.snapshot(e)
		}
	case event.PasswordReset, event.RecoveryActivity, event.RecoveryCredentialIssued, event.ContactChange:
		if e.Outcome == event.Success {
			l.recovered(e)
		}
	case event.ConsentGrant:
		if e.Outcome == event.Success {
			l.consent(e)
		}
	case event.ConsentRevoke:
		l.Consents = slices.DeleteFunc(l.Consents, func(c Consent) bool { return c.Source == e.Source && c.AppID == consentApp(e) })
	case event.RoleChange:
		if e.Outcome == event.Success {
			l.role(e)
		}
	case event.UserLifecycle:
		l.lifecycle(e)
	}
	return nil
}

// describe takes over what the latest event says of the person.
func (l *Ledger) describe(e *event.Event) {
	if e.Subject.Key == e.Key || e.Subject.Key == "" {
		l.Name = cmp.Or(e.Subject.Name, l.Name)
		l.DisplayName = cmp.Or(e.Subject.DisplayName, l.DisplayName)
	}
	l.Tier, l.Populations = e.Tier, e.Populations
}

// signIn adds e to its attempt and, when the person is in by a proof of their own,
// to the baselines.
func (l *Ledger) signIn(e *event.Event) *Attempt {
	a := l.attempt(e)
	proved := a.proved()
	place := PlaceOf(e)
	a.Last = later(a.Last, e.Time)
	// The record that lets the person in describes the browser best; before
	// it, the first that says anything does.
	if e.Kind == event.SignIn && place.Network != "" || a.Place.Network == "" {
		a.Place = mergePlace(place, a.Place)
	} else {
		a.Place = mergePlace(a.Place, place)
	}
	if e.App != nil {
		a.App = e.App
	}
	a.Session = cmp.Or(e.SessionID, a.Session)
	a.Protocol = cmp.Or(a.Protocol, e.Protocol)
	for i := range e.Factors {
		l.step(e, a, &e.Factors[i])
	}
	ref := refOf(e, &place)
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
		if a.Source != e.Source || e.Time.Sub(a.First) > AttemptSpan {
			continue
		}
		if e.FlowID != "" && a.Flow == e.FlowID ||
			e.FlowID == "" && a.Flow == "" && a.Place.IP == e.Endpoint.IP && e.Time.Sub(a.Last) <= joinSpan {
			return a
		}
	}
	id := string(e.Source) + ":" + e.FlowID
	switch {
	case e.FlowID == "":
		id = string(e.Source) + ":event:" + e.ID
	case slices.ContainsFunc(l.Attempts, func(a Attempt) bool { return a.ID == id }),
		slices.ContainsFunc(l.Findings, func(f Finding) bool { return f.Anchor == id }):
		// The flow id is used again: what was said of its first use is not of this.
		id += "@" + strconv.FormatInt(e.Time.Unix(), 10)
	}
	for i := range l.Attempts {
		if a := &l.Attempts[i]; e.Time.Sub(a.Last) > DetailSpan {
			a.Place = Place{Device: a.Place.Device}
			a.Steps, a.App, a.Session, a.Refs = nil, nil, "", nil
		}
	}
	if len(l.Attempts) == maxAttempts {
		l.Attempts = slices.Delete(l.Attempts, l.dispensable(), l.dispensable()+1)
	}
	l.Attempts = append(l.Attempts, Attempt{ID: id, Source: e.Source, Flow: e.FlowID, First: e.Time})
	return &l.Attempts[len(l.Attempts)-1]
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
	return slices.IndexFunc(l.Attempts, func(a Attempt) bool { return !a.Succeeded.IsZero() })
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
	oldest := 0
	for i := range l.Authenticators {
		o := &l.Authenticators[i]
		if now.Sub(o.Since) > DetailSpan {
			o.Ref = Ref{}
		}
		if staler(o, &l.Authenticators[oldest]) {
			oldest = i
		}
	}
	if len(l.Authenticators) >= maxAuthenticators {
		l.Authenticators = slices.Delete(l.Authenticators, oldest, oldest+1)
	}
	l.Authenticators = append(l.Authenticators, a)
	return &l.Authenticators[len(l.Authenticators)-1]
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
	told.ByOther, told.Ref = e.ByOther(), RefOf(e)
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

func (l *Ledger) recovered(e *event.Event) {
	r := Recovery{Kind: e.Kind, Ref: RefOf(e)}
	if e.Recovery != nil {
		r.Stage, r.Method = e.Recovery.Stage, e.Recovery.Method
	}
	if e.ByOther() {
		r.By = cmp.Or(string(e.Actor.Key), e.Actor.Name, e.Actor.ID)
	}
	if len(l.Recoveries) == maxRecoveries {
		l.Recoveries = slices.Delete(l.Recoveries, 0, 1)
	}
	l.Recoveries = append(l.Recoveries, r)
}

func consentApp(e *event.Event) string { return cmp.Or(e.Consent.AppID, e.Consent.AppName) }

func (l *Ledger) consent(e *event.Event) {
	app := consentApp(e)
	i := slices.IndexFunc(l.Consents, func(c Consent) bool { return c.Source == e.Source && c.AppID == app })
	if i < 0 {
		l.Consents = append(room(l.Consents, maxConsents, func(c *Consent) time.Time { return c.Last }),
			Consent{Source: e.Source, AppID: app, First: e.Time})
		i = len(l.Consents) - 1
	}
	if c := &l.Consents[i]; !e.Time.Before(c.Last) {
		c.Last, c.Ref = e.Time, RefOf(e)
	}
}

func (l *Ledger) role(e *event.Event) {
	if e.Role.Full || !e.Role.Granted {
		l.Roles = slices.DeleteFunc(l.Roles, func(r Role) bool {
			return r.Source == e.Source && (e.Role.Full || slices.Contains(e.Role.Roles, r.Name))
		})
	}
	if !e.Role.Granted || e.Role.Eligible {
		return
	}
	for _, name := range e.Role.Roles {
		if slices.ContainsFunc(l.Roles, func(r Role) bool { return r.Source == e.Source && r.Name == name }) {
			continue
		}
		if len(l.Roles) == maxRoles {
			// A role that administers something outlives those that do not.
			i := max(0, slices.IndexFunc(l.Roles, func(r Role) bool { return !r.Privileged }))
			l.Roles = slices.Delete(l.Roles, i, i+1)
		}
		l.Roles = append(l.Roles, Role{Source: e.Source, Name: name, Privileged: e.Role.Privileged, Since: e.Time})
	}
}

// lifecycle remembers that the account was disabled, and that it is back.
func (l *Ledger) lifecycle(e *event.Event) {
	if e.Outcome != event.Success {
		return
	}
	says := func(words ...string) bool {
		action := strings.ToLower(e.Action)
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(action, word) })
	}
	switch {
	case e.Time.Before(l.Deactivated):
	case says("unsuspend", "undelete", "reactivate", "restore"):
		l.Deactivated = time.Time{}
	case says("deactivate", "suspend", "delete", "disable"):
		l.Deactivated = e.Time
	case says("activate", "enable"):
		l.Deactivated = time.Time{}
	}
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

// room returns list with room for one more below limit: the one that was last
// used the longest ago goes.
func room[T any](list []T, limit int, last func(*T) time.Time) []T {
	if len(list) < limit {
		return list
	}
	oldest := 0
	for i := range list {
		if last(&list[i]).Before(last(&list[oldest])) {
			oldest = i
		}
	}
	return slices.Delete(list, oldest, oldest+1)
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

// Standing returns what a rule said about an anchor and did not take back, or nil.
func (l *Ledger) Standing(rule, anchor string) *Finding {
	if f := l.finding(rule, anchor); f != nil && !f.Withdrawn {
		return f
	}
	return nil
}

func (l *Ledger) finding(rule, anchor string) *Finding {
	for i := range l.Findings {
		if f := &l.Findings[i]; f.Rule == rule && f.Anchor == anchor {
			return f
		}
	}
	return nil
}

// Find records what a rule said about an anchor, in place of what it said
// before.
func (l *Ledger) Find(f Finding) {
	if old := l.finding(f.Rule, f.Anchor); old != nil {
		*old = f
		return
	}
	if len(l.Findings) == maxFindings {
		l.Findings = slices.Delete(l.Findings, 0, 1)
	}
	l.Findings = append(l.Findings, f)
}

// PlaceOf returns where e came from.
func PlaceOf(e *event.Event) Place {
	p := Place{IP: e.Endpoint.IP, ASOrg: e.Endpoint.ASOrg, Country: e.Endpoint.Country, Proxy: e.Endpoint.Proxy,
		Browser: e.UserAgent.Browser, OS: e.UserAgent.OS}
	if e.Endpoint.ASN != 0 {
		p.Network = "AS" + strconv.FormatUint(uint64(e.Endpoint.ASN), 10)
	}
	if p.Browser != "" || p.OS != "" {
		p.Agent = cmp.Or(p.Browser, "?") + " on " + cmp.Or(p.OS, "?")
	}
	if d := e.Device; d != nil {
		p.Device = cmp.Or(d.ID, d.Fingerprint)
		p.Managed = d.Managed != nil && *d.Managed || d.Compliant != nil && *d.Compliant
	}
	return p
}

// mergePlace completes p by what q knows.
func mergePlace(p, q Place) Place {
	p.IP, p.Network = cmp.Or(p.IP, q.IP), cmp.Or(p.Network, q.Network)
	p.ASOrg, p.Country = cmp.Or(p.ASOrg, q.ASOrg), cmp.Or(p.Country, q.Country)
	p.Device, p.Agent = cmp.Or(p.Device, q.Device), cmp.Or(p.Agent, q.Agent)
	p.Browser, p.OS = cmp.Or(p.Browser, q.Browser), cmp.Or(p.OS, q.OS)
	p.Managed, p.Proxy = p.Managed || q.Managed, p.Proxy || q.Proxy
	return p
}

// RefOf returns a reference to e with a summary for people.
func RefOf(e *event.Event) Ref {
	place := PlaceOf(e)
	return refOf(e, &place)
}

func refOf(e *event.Event, p *Place) Ref {
	b := make([]byte, 0, maxSummary)
	add := func(texts ...string) {
		for _, s := range texts {
			b = append(b, s[:min(len(s), 2*maxSummary)]...)
		}
	}
	next := func() {
		if len(b) > 0 {
			add(", ")
		}
	}
	for i := range e.Factors {
		next()
		add(string(e.Factors[i].Method), " ", string(e.Factors[i].Result))
	}
	for i := range e.Authenticators {
		next()
		add(string(e.Authenticators[i].Method))
	}
	switch {
	case e.Consent != nil:
		add(cmp.Or(e.Consent.AppName, e.Consent.AppID), ":")
		for _, s := range e.Consent.Scopes {
			add(" ", s)
		}
	case e.Recovery != nil:
		add(string(e.Recovery.Method), " ", string(e.Recovery.Stage))
	}
	if e.ByOther() {
		add(" by ", cmp.Or(e.Actor.Name, e.Actor.ID))
	}
	if p.IP != "" {
		add(" from ", p.IP)
		if detail := strings.Trim(p.Network+" "+p.Country, " "); detail != "" {
			add(" (", detail, ")")
		}
	}
	summary := strings.TrimSpace(string(b))
	if len(summary) > maxSummary {
		summary = strings.ToValidUTF8(summary[:maxSummary], "") + "…"
	}
	return Ref{EventID: e.ID, Source: e.Source, Time: e.Time, Kind: e.Kind, Action: e.Action, Outcome: e.Outcome, Summary: summary}
}
