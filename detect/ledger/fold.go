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
	// Old things are looked for now and then.
	l.tidy = e.Time.Unix()/tidySeconds != l.Last.Unix()/tidySeconds
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
		l.Sessions = slices.DeleteFunc(l.Sessions, func(s Session) bool { return s.Source == e.Source && s.ID == sessionID(e.SessionID) })
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
	l.Tier = e.Tier
	// The event's list is the decoder's, which uses it again for the next event.
	if !slices.Equal(l.Populations, e.Populations) {
		l.Populations = slices.Clone(e.Populations)
	}
}

func (l *Ledger) recovered(e *event.Event) {
	r := Recovery{Kind: e.Kind, Ref: l.ref(e)}
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
		c.Last, c.Ref = e.Time, l.ref(e)
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
func PlaceOf(e *event.Event) Place { return new(Ledger).place(e) }

// place returns where e came from. Names that l knows are not made again.
func (l *Ledger) place(e *event.Event) Place {
	p := Place{IP: e.Endpoint.IP, ASOrg: e.Endpoint.ASOrg, Country: e.Endpoint.Country, Proxy: e.Endpoint.Proxy,
		Browser: e.UserAgent.Browser, OS: e.UserAgent.OS}
	if e.Endpoint.ASN != 0 {
		p.Network = l.network(e.Endpoint.ASN)
	}
	if p.Browser != "" || p.OS != "" {
		p.Agent = l.agent(cmp.Or(p.Browser, "?"), cmp.Or(p.OS, "?"))
	}
	if d := e.Device; d != nil {
		p.Device = cmp.Or(d.ID, d.Fingerprint)
		p.Managed = d.Managed != nil && *d.Managed || d.Compliant != nil && *d.Compliant
	}
	return p
}

// network returns the name of an autonomous system.
func (l *Ledger) network(asn uint32) string {
	var b [12]byte
	name := strconv.AppendUint(append(b[:0], "AS"...), uint64(asn), 10)
	for i := range l.Networks {
		if l.Networks[i].Value == string(name) {
			return l.Networks[i].Value
		}
	}
	return l.texts.Join(string(name))
}

// agent returns the name of a browser on a system.
func (l *Ledger) agent(browser, os string) string {
	const on = " on "
	for i := range l.Agents {
		if s := l.Agents[i].Value; len(s) == len(browser)+len(on)+len(os) && s[:len(browser)] == browser &&
			s[len(browser):len(browser)+len(on)] == on && s[len(browser)+len(on):] == os {
			return s
		}
	}
	return l.texts.Join(browser, on, os)
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
