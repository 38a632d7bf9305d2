package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"stepdown/ingest/event"
)

// Apply folds e into the ledger. Events must come in the order of their time (and
// id among equals). It returns the attempt that e belongs to, nil when e is not
// part of a sign-in; the pointer is good until the next Apply.
func (l *Ledger) Apply(e *event.Event) *Attempt {
	if l.First.IsZero() {
		l.First = e.Time
	}
	if e.Time.After(l.Last) {
		l.Last = e.Time
	}
	l.describe(e)
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
				l.enrol(e, &e.Authenticators[i])
			}
		}
	case event.AuthenticatorRemoved:
		if e.Outcome == event.Success {
			for i := range e.Authenticators {
				l.remove(e, &e.Authenticators[i])
			}
		}
	case event.AuthenticatorsReset:
		if e.Outcome == event.Success {
			l.removeAll(e, func(*Authenticator) bool { return true })
			l.recovered(e)
		}
	case event.AuthenticatorSnapshot:
		l.snapshot(e)
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

// signIn adds e to its attempt and, when e lets the person in, to the baselines.
func (l *Ledger) signIn(e *event.Event) *Attempt {
	a := l.attempt(e)
	place := PlaceOf(e)
	a.Last = e.Time
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
	if len(a.Refs) < maxRefs {
		a.Refs = append(a.Refs, RefOf(e))
	} else {
		a.Refs[maxRefs-1] = RefOf(e)
	}
	if e.Kind == event.SignIn && e.Outcome == event.Success {
		first := a.Succeeded.IsZero()
		if first {
			a.Succeeded = e.Time
		}
		if a.Best() != "" {
			if first {
				l.Successes++
			}
			l.baseline(a, e.Time)
		} else if a.Inherited {
			// How a client asks is a habit even where the proof was carried over.
			touch(&l.Protocols, string(a.Protocol), e.Time)
		}
		l.session(e, a)
	}
	// A stronger proof later in the same sign-in is what the session rests on.
	for i := range l.Sessions {
		if s := &l.Sessions[i]; s.Attempt == a.ID && a.Best().Rank() > s.Method.Rank() {
			s.Method = a.Best()
		}
	}
	return a
}

// attempt finds the attempt of e or begins one.
func (l *Ledger) attempt(e *event.Event) *Attempt {
	ip := e.Endpoint.IP
	for i := len(l.Attempts) - 1; i >= 0; i-- {
		a := &l.Attempts[i]
		if a.Source != e.Source || e.Time.Sub(a.First) > AttemptSpan {
			continue
		}
		if e.FlowID != "" && a.Flow == e.FlowID ||
			e.FlowID == "" && a.Flow == "" && a.Place.IP == ip && e.Time.Sub(a.Last) <= joinSpan {
			return a
		}
	}
	id := string(e.Source) + ":" + e.FlowID
	switch {
	case e.FlowID == "":
		id = string(e.Source) + ":event:" + e.ID
	case slices.ContainsFunc(l.Attempts, func(a Attempt) bool { return a.ID == id }):
		id += "@" + strconv.FormatInt(e.Time.Unix(), 10)
	}
	if len(l.Attempts) == maxAttempts {
		l.Attempts = slices.Delete(l.Attempts, 0, 1)
	}
	l.Attempts = append(l.Attempts, Attempt{ID: id, Source: e.Source, Tenant: e.Tenant, Flow: e.FlowID, First: e.Time})
	return &l.Attempts[len(l.Attempts)-1]
}

// step adds one factor to the attempt, the histogram, the prompts and, where it
// proves possession, the authenticators.
func (l *Ledger) step(e *event.Event, a *Attempt, f *event.Factor) {
	at := e.Time
	if f.Time != nil && f.Fresh {
		at = *f.Time
	}
	if len(a.Steps) == maxSteps {
		a.Steps = slices.Delete(a.Steps, 0, 1)
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
		l.Methods = append(l.Methods, MethodUse{Source: e.Source, Method: f.Method, First: e.Time})
		i = len(l.Methods) - 1
	}
	l.Methods[i].Count++
	l.Methods[i].Last = e.Time
	if f.Method == event.MethodPassword || f.Class == event.RecoveryClass || f.Class == event.None {
		return
	}
	a := l.match(e.Source, f.CredentialID, f.AAGUID, f.Method)
	if a == nil {
		a = l.add(Authenticator{Source: e.Source, ID: f.CredentialID, Method: f.Method, AAGUID: f.AAGUID,
			Provenance: Observed, Since: e.Time, From: PlaceOf(e), Ref: RefOf(e)}, e.Time)
	}
	if f.Method != a.Method && f.Method.Rank() > 0 && compatible(f.Method, a.Method) {
		// The sign-in knows more of the passkey than its enrolment did.
		if a.Method == event.MethodPasskey {
			a.Method = f.Method
		}
	}
	a.Uses++
	a.LastUsed = e.Time
}

// match finds the live authenticator that a factor or removal speaks of: by id,
// else by model, else by method.
func (l *Ledger) match(source event.Source, id, aaguid string, m event.Method) *Authenticator {
	var byModel, byMethod *Authenticator
	for i := range l.Authenticators {
		a := &l.Authenticators[i]
		if a.Source != source || !a.Live() {
			continue
		}
		if id != "" && a.ID == id {
			return a
		}
		if !compatible(m, a.Method) || id != "" && a.ID != "" {
			continue
		}
		if aaguid != "" && a.AAGUID == aaguid && byModel == nil {
			byModel = a
		}
		if byMethod == nil || a.LastUsed.After(byMethod.LastUsed) {
			byMethod = a
		}
	}
	if byModel != nil {
		return byModel
	}
	return byMethod
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
		oldest := 0
		for i := range l.Authenticators {
			if staler(&l.Authenticators[i], &l.Authenticators[oldest]) {
				oldest = i
			}
		}
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

func (l *Ledger) enrol(e *event.Event, n *event.Authenticator) {
	// One enrolment is told twice: by the credential service and by the
	// directory, minutes apart and with different detail.
	for i := range l.Authenticators {
		a := &l.Authenticators[i]
		if a.Source != e.Source || !a.Live() || !compatible(n.Method, a.Method) {
			continue
		}
		same := n.ID != "" && a.ID == n.ID
		twice := (n.ID == "" || a.ID == "") && a.Provenance == Enrolment && e.Time.Sub(a.Since) <= enrolMergeSpan
		if same || twice {
			a.ID, a.Name, a.AAGUID = cmp.Or(a.ID, n.ID), cmp.Or(a.Name, n.Name), cmp.Or(a.AAGUID, n.AAGUID)
			if a.Method == event.MethodPasskey {
				a.Method = n.Method
			}
			if a.Provenance != Enrolment {
				a.Provenance = Enrolment
			}
			return
		}
	}
	l.add(Authenticator{Source: e.Source, ID: n.ID, Method: n.Method, Name: n.Name, AAGUID: n.AAGUID,
		Provenance: Enrolment, Since: e.Time, ByOther: e.ByOther(), From: PlaceOf(e), Ref: RefOf(e)}, e.Time)
}

func (l *Ledger) remove(e *event.Event, n *event.Authenticator) {
	if a := l.match(e.Source, n.ID, n.AAGUID, n.Method); a != nil {
		a.Removed = e.Time
		return
	}
	// Not known before: remember that it was there and is gone.
	a := l.add(Authenticator{Source: e.Source, ID: n.ID, Method: n.Method, Name: n.Name, AAGUID: n.AAGUID,
		Provenance: Observed, Since: e.Time, Ref: RefOf(e)}, e.Time)
	a.Removed = e.Time
}

// removeAll marks every live authenticator of e's source that gone accepts.
func (l *Ledger) removeAll(e *event.Event, gone func(*Authenticator) bool) {
	for i := range l.Authenticators {
		if a := &l.Authenticators[i]; a.Source == e.Source && a.Live() && gone(a) {
			a.Removed = e.Time
		}
	}
}

func (l *Ledger) snapshot(e *event.Event) {
	listed := make(map[*Authenticator]bool, len(e.Authenticators))
	for i := range e.Authenticators {
		n := &e.Authenticators[i]
		a := l.match(e.Source, n.ID, n.AAGUID, n.Method)
		if a == nil || listed[a] {
			since := e.Time
			if n.Created != nil {
				since = *n.Created
			}
			l.add(Authenticator{Source: e.Source, ID: n.ID, Method: n.Method, Name: n.Name, AAGUID: n.AAGUID,
				Provenance: Snapshot, Since: since, Ref: RefOf(e)}, e.Time)
			// add may move the list: find the others again.
			clear(listed)
			for j := range i + 1 {
				if m := l.match(e.Source, e.Authenticators[j].ID, e.Authenticators[j].AAGUID, e.Authenticators[j].Method); m != nil {
					listed[m] = true
				}
			}
			continue
		}
		a.ID, a.Name = cmp.Or(a.ID, n.ID), cmp.Or(a.Name, n.Name)
		if n.LastUsed != nil && n.LastUsed.After(a.LastUsed) {
			a.LastUsed = *n.LastUsed
		}
		listed[a] = true
	}
	if e.Snapshot != nil && e.Snapshot.Complete {
		l.removeAll(e, func(a *Authenticator) bool { return !listed[a] && a.Since.Before(e.Time) })
	}
}

func (l *Ledger) recovered(e *event.Event) {
	r := Recovery{Kind: e.Kind, Place: PlaceOf(e), Ref: RefOf(e)}
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
		if len(l.Consents) == maxConsents {
			l.Consents = slices.Delete(l.Consents, 0, 1)
		}
		l.Consents = append(l.Consents, Consent{Source: e.Source, AppID: app, First: e.Time})
		i = len(l.Consents) - 1
	}
	c := &l.Consents[i]
	c.Name, c.Scopes, c.Last, c.Ref = cmp.Or(e.Consent.AppName, c.Name), e.Consent.Scopes, e.Time, RefOf(e)
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
		if len(l.Roles) == maxRoles {
			return
		}
		if !slices.ContainsFunc(l.Roles, func(r Role) bool { return r.Source == e.Source && r.Name == name }) {
			l.Roles = append(l.Roles, Role{Source: e.Source, Name: name, Privileged: e.Role.Privileged, Since: e.Time})
		}
	}
}

// lifecycle remembers that the account was disabled, and that it is back.
func (l *Ledger) lifecycle(e *event.Event) {
	if e.Outcome != event.Success {
		return
	}
	action := strings.ToLower(e.Action)
	for _, word := range []string{"deactivate", "suspend", "delete", "disable"} {
		if strings.Contains(action, word) && !strings.Contains(action, "unsuspend") {
			l.Deactivated = e.Time
			return
		}
	}
	for _, word := range []string{"activate", "enable", "unsuspend", "restore"} {
		if strings.Contains(action, word) {
			l.Deactivated = time.Time{}
		}
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
		if len(*list) == maxSeen {
			oldest := 0
			for j := range *list {
				if (*list)[j].Last.Before((*list)[oldest].Last) {
					oldest = j
				}
			}
			*list = slices.Delete(*list, oldest, oldest+1)
		}
		*list = append(*list, Seen{Value: value, First: at})
		i = len(*list) - 1
	}
	(*list)[i].Last = at
	(*list)[i].Count++
}

// session remembers the session that a sign-in created, or touches it.
func (l *Ledger) session(e *event.Event, a *Attempt) {
	if e.SessionID == "" || l.touchSession(e) {
		return
	}
	if len(l.Sessions) == maxSessions {
		oldest := 0
		for i := range l.Sessions {
			if l.Sessions[i].Last.Before(l.Sessions[oldest].Last) {
				oldest = i
			}
		}
		l.Sessions = slices.Delete(l.Sessions, oldest, oldest+1)
	}
	l.Sessions = append(l.Sessions, Session{ID: e.SessionID, Source: e.Source, Born: e.Time, Last: e.Time,
		Method: a.Best(), Attempt: a.ID, Place: a.Place, Ref: RefOf(e)})
}

func (l *Ledger) touchSession(e *event.Event) bool {
	if s := l.Session(e.Source, e.SessionID); s != nil {
		s.Last = e.Time
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
	var b strings.Builder
	for i, f := range e.Factors {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %s", f.Method, f.Result)
	}
	for i, a := range e.Authenticators {
		if i > 0 || b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(a.Method))
	}
	switch {
	case e.Consent != nil:
		fmt.Fprintf(&b, "%s: %s", cmp.Or(e.Consent.AppName, e.Consent.AppID), strings.Join(e.Consent.Scopes, " "))
	case e.Recovery != nil:
		fmt.Fprintf(&b, "%s %s", e.Recovery.Method, e.Recovery.Stage)
	}
	if e.ByOther() {
		fmt.Fprintf(&b, " by %s", cmp.Or(e.Actor.Name, e.Actor.ID))
	}
	if p := PlaceOf(e); p.IP != "" {
		fmt.Fprintf(&b, " from %s", p.IP)
		if detail := strings.Trim(p.Network+" "+p.Country, " "); detail != "" {
			fmt.Fprintf(&b, " (%s)", detail)
		}
	}
	return Ref{EventID: e.ID, Source: e.Source, Time: e.Time, Kind: e.Kind, Action: e.Action, Outcome: e.Outcome,
		Summary: strings.TrimSpace(b.String())}
}
