package rule

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"stepdown/detect/ledger"
	"stepdown/ingest/event"
)

// Spans that the facts speak of.
const (
	// sequenceSpan is how long before a success failed steps and unapproved
	// pushes count.
	sequenceSpan = 10 * time.Minute
	// recoverySpan is how long a recovery is looked back to.
	recoverySpan = 24 * time.Hour
	// learnedAge and learnedCount are when an identity is learned.
	learnedAge   = 14 * 24 * time.Hour
	learnedCount = 10
	// deviceTold is how many sign-ins with a device make one without it stand out.
	deviceTold = 3
)

// fill brings the facts of the groups in need that are not there yet.
func (ev *Evaluator) fill(need groups) {
	need &^= ev.filled
	if need == 0 {
		return
	}
	ev.filled |= need
	for ; need != 0; need &= need - 1 {
		switch need & -need {
		case groupEvent:
			ev.fillEvent()
		case groupOrigin:
			ev.fillOrigin()
		case groupMe:
			ev.fillMe()
		case groupLearned:
			ev.facts.Me.Learned = ev.learned()
		case groupAuthenticators:
			ev.fillAuthenticators()
		case groupLists:
			ev.fillLists()
		case groupAttempt:
			ev.fillAttempt()
		case groupMethods:
			ev.fillMethods()
		case groupGround:
			ev.fillGround()
		case groupSequence:
			ev.fillSequence()
		case groupRecovery:
			ev.fillRecovery()
		case groupSession:
			ev.fillSession()
		case groupConsent:
			ev.fillConsent()
		case groupRemoved:
			ev.fillRemoved()
		case groupParts:
			ev.fillParts()
		}
	}
}

func yesNo(b *bool) string {
	switch {
	case b == nil:
		return "unknown"
	case *b:
		return "yes"
	}
	return "no"
}

func appFacts(a *event.App) AppFacts {
	if a == nil {
		return AppFacts{}
	}
	return AppFacts{ID: a.ID, Name: a.Name, Admin: a.Admin, Client: a.Client, ResourceID: a.ResourceID, Resource: a.ResourceName}
}

func (ev *Evaluator) fillEvent() {
	e, f := ev.in.Event, &ev.facts.Event
	ev.facts.Now = ev.now
	f.ID, f.Kind, f.Action, f.Source = e.ID, string(e.Kind), e.Action, string(e.Source)
	f.Tenant, f.Stream, f.Time = e.Tenant, e.Stream, e.Time
	f.Outcome, f.Reason = string(e.Outcome), e.Reason
	f.IP, f.ASOrg, f.Country, f.Proxy = e.Endpoint.IP, e.Endpoint.ASOrg, e.Endpoint.Country, e.Endpoint.Proxy
	f.Browser, f.OS, f.UserAgent = e.UserAgent.Browser, e.UserAgent.OS, e.UserAgent.Raw
	f.App, f.SessionID, f.FlowID, f.Protocol = appFacts(e.App), e.SessionID, e.FlowID, string(e.Protocol)
	f.ByOther = e.ByOther()
	f.Actor = ActorFacts{Key: string(e.Actor.Key), Name: cmp.Or(e.Actor.Name, e.Actor.DisplayName, e.Actor.ID), Type: e.Actor.Type}
	f.Device = DeviceFacts{Managed: "unknown", Compliant: "unknown", Registered: "unknown"}
	if d := e.Device; d != nil {
		f.Device = DeviceFacts{ID: d.ID, Name: d.Name, TrustType: d.TrustType,
			Managed: yesNo(d.Managed), Compliant: yesNo(d.Compliant), Registered: yesNo(d.Registered)}
	}
	f.Recovery, f.Contact = EventRecoveryFacts{}, ContactFacts{}
	if r := e.Recovery; r != nil {
		f.Recovery = EventRecoveryFacts{Stage: string(r.Stage), Method: string(r.Method), SelfService: r.SelfService,
			Lifetime: r.Lifetime, Uses: r.Uses}
	}
	if c := e.Contact; c != nil {
		f.Contact = ContactFacts{Kind: c.Kind, Primary: c.Primary}
	}
}

func (ev *Evaluator) fillOrigin() {
	e, f := ev.in.Event, &ev.facts.Event
	f.Network = ""
	if e.Endpoint.ASN != 0 {
		f.Network = "AS" + strconv.FormatUint(uint64(e.Endpoint.ASN), 10)
	}
	f.Methods = f.Methods[:0]
	for i := range e.Authenticators {
		f.Methods = append(f.Methods, string(e.Authenticators[i].Method))
	}
}

func (ev *Evaluator) fillMe() {
	e, l, f := ev.in.Event, ev.in.Ledger, &ev.facts.Me
	f.Name, f.Key = cmp.Or(l.Name, string(e.Key)), string(e.Key)
	f.Tier, f.Populations, f.Privileged = cmp.Or(string(l.Tier), "standard"), l.Populations, l.Privileged()
	f.FirstSeen, f.Successes = l.First, l.Successes
}

// learned reports whether there was something to compare the event with.
func (ev *Evaluator) learned() bool {
	l, before, at := ev.in.Ledger, ev.in.Ledger.Successes, ev.now
	if a := ev.in.Attempt; a != nil {
		at = a.First
		if !a.Succeeded.IsZero() && a.Best() != "" {
			before--
		}
	}
	return before >= learnedCount || before >= 1 && at.Sub(l.First) >= learnedAge
}

func (ev *Evaluator) authenticator(a *ledger.Authenticator) AuthenticatorFacts {
	if a == nil {
		return AuthenticatorFacts{}
	}
	return AuthenticatorFacts{Exists: true, Method: string(a.Method), Class: string(a.Method.Class()), Rank: a.Method.Rank(),
		Name: a.Name, Source: string(a.Source), Since: a.Since, Age: ev.now.Sub(a.Since), LastUsed: a.LastUsed,
		Uses: a.Uses, Provenance: string(a.Provenance), ByOther: a.ByOther}
}

func (ev *Evaluator) fillAuthenticators() {
	e, l, f := ev.in.Event, ev.in.Ledger, &ev.facts.Me
	f.HasStrong, f.HasStrongAnywhere = false, false
	for i := range l.Authenticators {
		if a := &l.Authenticators[i]; a.Live() && a.PhishingResistant() {
			f.HasStrongAnywhere = true
			f.HasStrong = f.HasStrong || a.Source == e.Source
		}
	}
	f.Strongest = ev.authenticator(l.Strongest(e.Source))
}

func (ev *Evaluator) fillLists() {
	l, f := ev.in.Ledger, &ev.facts.Me
	f.Authenticators, f.Strong, f.Roles = f.Authenticators[:0], f.Strong[:0], f.Roles[:0]
	for i := range l.Authenticators {
		a := &l.Authenticators[i]
		if !a.Live() {
			continue
		}
		facts := ev.authenticator(a)
		f.Authenticators = append(f.Authenticators, facts)
		if a.PhishingResistant() {
			f.Strong = append(f.Strong, facts)
		}
	}
	for i := range l.Roles {
		f.Roles = append(f.Roles, l.Roles[i].Name)
	}
}

func (ev *Evaluator) fillAttempt() {
	a, f := ev.in.Attempt, &ev.facts.Attempt
	if a == nil {
		a = &ledger.Attempt{}
	}
	best := a.Best()
	f.ID, f.Started, f.Succeeded, f.SucceededAt = a.ID, a.First, !a.Succeeded.IsZero(), a.Succeeded
	f.Method, f.Class, f.Rank = string(best), "", best.Rank()
	if best != "" {
		f.Class = string(best.Class())
	}
	f.PhishingResistant = best.Class() == event.PhishingResistant
	atMostPassword := best.Rank() <= event.MethodPassword.Rank()
	untold := a.Inherited || a.Opaque || slices.ContainsFunc(a.Steps, func(s ledger.Step) bool {
		return s.Result == event.Verified && s.Method.Class() == event.ClassUnknown
	})
	f.Inherited = atMostPassword && untold
	f.SingleFactor = best != "" && atMostPassword && !untold
	f.Protocol, f.App = string(a.Protocol), appFacts(&a.App)
	p := &a.Place
	f.IP, f.Network, f.ASOrg, f.Country = p.IP, p.Network, p.ASOrg, p.Country
	f.Browser, f.OS, f.Device, f.Managed, f.Proxy = p.Browser, p.OS, p.Device, p.Managed, p.Proxy
}

func (ev *Evaluator) fillMethods() {
	f := &ev.facts.Attempt
	f.Methods = f.Methods[:0]
	if ev.in.Attempt == nil {
		return
	}
	for _, s := range ev.in.Attempt.Steps {
		if s.Result == event.Verified && s.Fresh && !slices.Contains(f.Methods, string(s.Method)) {
			f.Methods = append(f.Methods, string(s.Method))
		}
	}
}

func (ev *Evaluator) fillGround() {
	a, l, f := ev.in.Attempt, ev.in.Ledger, &ev.facts.Attempt
	if a == nil {
		a = &ledger.Attempt{}
	}
	p, learned := &a.Place, ev.learned()
	f.KnownNetwork, f.NewNetwork = novelty(l.Networks, p.Network, a.First, learned)
	f.KnownCountry, f.NewCountry = novelty(l.Countries, p.Country, a.First, learned)
	f.KnownDevice, f.NewDevice = novelty(l.Devices, p.Device, a.First, learned)
	f.KnownAgent, f.NewAgent = novelty(l.Agents, p.Agent, a.First, learned)
	f.DeviceMissing = learned && ev.deviceMissing(a)
	f.KnownGround = f.KnownNetwork && (f.KnownDevice || p.Device == "" && !f.DeviceMissing && f.KnownAgent)
	f.NewGround = f.NewNetwork && (f.NewDevice || f.NewAgent || f.DeviceMissing)
	f.KnownProtocol = ledger.SeenBefore(l.Protocols, string(a.Protocol), a.First) ||
		slices.ContainsFunc(l.Attempts, func(o ledger.Attempt) bool {
			return o.Protocol == a.Protocol && !o.Succeeded.IsZero() && o.Succeeded.Before(a.First)
		})
}

// novelty reports whether value was in the baseline before t, and whether it is
// told and was not, for a learned identity.
func novelty(baseline []ledger.Seen, value string, t time.Time, learned bool) (known, isNew bool) {
	if value == "" {
		return false, false
	}
	known = ledger.SeenBefore(baseline, value, t)
	return known, learned && !known
}

// deviceMissing reports whether a tells no device though its source did for every
// recent sign-in.
func (ev *Evaluator) deviceMissing(a *ledger.Attempt) bool {
	if a.Place.Device != "" {
		return false
	}
	told := 0
	for i := range ev.in.Ledger.Attempts {
		o := &ev.in.Ledger.Attempts[i]
		if o.Source != a.Source || o.ID == a.ID || o.Succeeded.IsZero() || !o.Succeeded.Before(a.First) {
			continue
		}
		if o.Place.Device == "" {
			return false
		}
		told++
	}
	return told >= deviceTold
}

func (ev *Evaluator) fillSequence() {
	a, l, f := ev.in.Attempt, ev.in.Ledger, &ev.facts.Attempt
	f.StrongFailed, f.PushesUnapproved = false, 0
	if a == nil {
		return
	}
	at := a.Last
	if !a.Succeeded.IsZero() {
		at = a.Succeeded
	}
	since := at.Add(-sequenceSpan)
	f.StrongFailed = a.StrongFailed(at)
	for i := 0; i < len(l.Attempts) && !f.StrongFailed; i++ {
		o := &l.Attempts[i]
		if o.Source == a.Source && o.ID != a.ID && o.Succeeded.IsZero() && !o.Last.Before(since) {
			f.StrongFailed = slices.ContainsFunc(o.Steps, func(s ledger.Step) bool {
				return s.Method.Class() == event.PhishingResistant && s.Result != event.Verified &&
					!s.Time.Before(since) && !s.Time.After(at)
			})
		}
	}
	// Some sources log that a push was sent, some how it was answered, some both.
	sent, approved, refused := 0, 0, 0
	for _, p := range l.Prompts {
		if p.Time.Before(since) || p.Time.After(at) {
			continue
		}
		switch p.Result {
		case event.Pending:
			sent++
		case event.Verified:
			approved++
		default:
			refused++
		}
	}
	f.PushesUnapproved = max(refused, sent-approved)
}

// givesAccess reports whether a recovery opens a way in: a changed recovery
// address does not, nor does a recovery that was begun or failed.
func givesAccess(r *ledger.Recovery) bool {
	switch r.Kind {
	case event.AuthenticatorsReset, event.PasswordReset, event.RecoveryCredentialIssued:
		return true
	case event.RecoveryActivity:
		return r.Stage == event.RecoveryCompleted || r.Stage == event.RecoveryRedeemed || r.Stage == event.RecoveryIssued
	}
	return false
}

func (ev *Evaluator) fillRecovery() {
	l, f, now := ev.in.Ledger, &ev.facts.Recovery, ev.now
	*f = RecoveryFacts{}
	var r *ledger.Recovery
	for i := range l.Recoveries {
		o := &l.Recoveries[i]
		if at := o.Ref.Time; givesAccess(o) && !at.After(now) && now.Sub(at) <= recoverySpan {
			r = o
			break
		}
	}
	if r == nil {
		return
	}
	at := r.Ref.Time
	f.Exists, f.Kind, f.Stage, f.Method = true, string(r.Kind), string(r.Stage), string(r.Method)
	f.ByOther, f.By, f.Time, f.Age = r.By != "", r.By, at, now.Sub(at)
	var added *ledger.Authenticator
	for i := range l.Authenticators {
		n := &l.Authenticators[i]
		if n.Provenance == ledger.Enrolment && n.Since.After(at) && !n.Since.After(now) && (added == nil || n.Since.After(added.Since)) {
			added = n
		}
	}
	if added != nil {
		f.EnrolledSince, f.EnrolledMethod = true, string(added.Method)
	}
	if a := ev.in.Attempt; a != nil && ev.learned() {
		p := &a.Place
		_, network := novelty(l.Networks, p.Network, at, true)
		_, device := novelty(l.Devices, p.Device, at, true)
		_, agent := novelty(l.Agents, p.Agent, at, true)
		f.NewGroundSince = network && (device || agent || ev.deviceMissing(a))
	}
}

func (ev *Evaluator) fillSession() {
	e, f := ev.in.Event, &ev.facts.Session
	*f = SessionFacts{}
	id := e.SessionID
	if a := ev.in.Attempt; id == "" && a != nil {
		id = a.Session
	}
	s := ev.in.Ledger.Session(e.Source, id)
	if s == nil {
		return
	}
	p := &s.Place
	*f = SessionFacts{
		Exists: true, ID: id, Born: s.Born, Age: ev.now.Sub(s.Born),
		Method: string(s.Method), Rank: s.Method.Rank(), PhishingResistant: s.Method.Class() == event.PhishingResistant,
		IP: p.IP, Network: p.Network, Country: p.Country, Browser: p.Browser, OS: p.OS,
	}
	other := func(now, born string) bool { return now != "" && born != "" && now != born }
	if (other(e.UserAgent.Browser, p.Browser) || other(e.UserAgent.OS, p.OS)) && e.Endpoint.ASN != 0 && p.Network != "" {
		var name [12]byte // compared in place: most events of a session are here
		f.Moved = string(strconv.AppendUint(append(name[:0], "AS"...), uint64(e.Endpoint.ASN), 10)) != p.Network
	}
}

func (ev *Evaluator) fillConsent() {
	c, f := ev.in.Event.Consent, &ev.facts.Consent
	risky := f.RiskyScopes[:0]
	*f = ConsentFacts{Verified: "unknown", RiskyScopes: risky}
	if c == nil {
		return
	}
	f.App, f.AppID, f.Publisher, f.Verified = cmp.Or(c.AppName, c.AppID), c.AppID, c.Publisher, yesNo(c.Verified)
	f.Scopes, f.ByAdmin, f.TenantWide = c.Scopes, c.ByAdmin, c.TenantWide
	for _, s := range c.Scopes {
		risky, durable := scopeRisk(s)
		if risky {
			f.RiskyScopes = append(f.RiskyScopes, s)
		}
		f.Durable = f.Durable || durable
	}
	app := cmp.Or(c.AppID, c.AppName)
	f.NewApp = !slices.ContainsFunc(ev.in.Ledger.Consents, func(o ledger.Consent) bool {
		return o.Source == ev.in.Event.Source && o.AppID == app && o.First.Before(ev.in.Event.Time)
	})
}

func (ev *Evaluator) fillRemoved() {
	e, f := ev.in.Event, &ev.facts.Removed
	*f = RemovedFacts{}
	if e.Outcome != event.Success || e.Kind != event.AuthenticatorRemoved && e.Kind != event.AuthenticatorsReset {
		return
	}
	left, leftStrong := false, false
	for i := range ev.in.Ledger.Authenticators {
		a := &ev.in.Ledger.Authenticators[i]
		switch {
		case a.Source != e.Source:
		case a.Live():
			left = true
			leftStrong = leftStrong || a.PhishingResistant()
		case a.Removed.Equal(e.Time) && a.PhishingResistant():
			f.Strong = true
		}
	}
	f.LastStrong = f.Strong && !leftStrong
	f.Everything = !left
}

func (ev *Evaluator) fillParts() {
	e, f := ev.in.Event, ev.facts
	weakened := f.Policy.Weakened[:0]
	f.Policy, f.Role, f.Risk = PolicyFacts{Weakened: weakened}, RoleFacts{}, RiskFacts{}
	if p := e.Policy; p != nil {
		f.Policy.ID, f.Policy.Name, f.Policy.Type, f.Policy.Change = p.ID, p.Name, p.Type, p.Change
		for _, w := range p.Weakened {
			f.Policy.Weakened = append(f.Policy.Weakened, string(w))
		}
	}
	if r := e.Role; r != nil {
		f.Role = RoleFacts{Names: r.Roles, Granted: r.Granted, Privileged: r.Privileged, Eligible: r.Eligible}
	}
	if r := e.Risk; r != nil {
		f.Risk = RiskFacts{Type: r.Type, Level: r.Level, State: r.State, SessionTheft: r.SessionTheft}
	}
}

// found is Facts.Found.
func (ev *Evaluator) found(rules []string, span time.Duration) bool {
	for i := range ev.in.Ledger.Findings {
		f := &ev.in.Ledger.Findings[i]
		if f.Withdrawn || f.Time.After(ev.now) || ev.now.Sub(f.Time) > span {
			continue
		}
		for _, pattern := range rules {
			if matchID(pattern, f.Rule) {
				return true
			}
		}
	}
	return false
}

// matchID reports whether a rule id is pattern, or begins with it up to a star.
func matchID(pattern, id string) bool {
	if n := len(pattern) - 1; n >= 0 && pattern[n] == '*' {
		return len(id) >= n && id[:n] == pattern[:n]
	}
	return pattern == id
}

// within is Facts.Within.
func (ev *Evaluator) within(t time.Time, span time.Duration) bool {
	age := ev.now.Sub(t)
	return !t.IsZero() && age >= 0 && age <= span
}

// earlier is Facts.Earlier.
func (ev *Evaluator) earlier(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return plainDuration(ev.now.Sub(t)) + " earlier"
}

func (ev *Evaluator) strongUsedWithin(span time.Duration) bool {
	l := ev.in.Ledger
	for i := range l.Authenticators {
		a := &l.Authenticators[i]
		if a.Live() && a.PhishingResistant() && a.Source == ev.in.Event.Source &&
			(ev.within(a.LastUsed, span) || ev.within(a.Since, span)) {
			return true
		}
	}
	return false
}

func (ev *Evaluator) deactivatedWithin(span time.Duration) bool {
	return ev.within(ev.in.Ledger.Deactivated, span)
}
