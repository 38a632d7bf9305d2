package detect

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"stepdown/detect/alert"
	"stepdown/detect/ledger"
	"stepdown/detect/rule"
	"stepdown/ingest/event"
)

// evidenceSpan is how far back evidence is looked for.
const evidenceSpan = ledger.DetailSpan

// maxEvidence caps the evidence of one alert.
const maxEvidence = 10

// step folds n into l, lets the rules speak, and returns whether that changed the
// findings of l. What they say is put down there and in s.found.
func (s *Shard) step(l *ledger.Ledger, n *entry) bool {
	e := &n.event
	attempt := l.Apply(e)
	in := rule.Input{Event: e, Ledger: l, Attempt: attempt}
	s.evaluator.Look(in)
	spoke := false
	for _, r := range s.set.For(e.Kind) {
		// A sign-in is judged when it has succeeded, below.
		if attempt == nil || !r.PerAttempt() {
			spoke = s.judge(r, in) || spoke
		}
	}
	if attempt == nil || attempt.Succeeded.IsZero() {
		return spoke
	}
	// Every record of a sign-in that succeeded judges it again: the stronger
	// factor may come after the session.
	for _, r := range s.set.Attempts() {
		spoke = s.judge(r, in) || spoke
	}
	return spoke
}

// judge asks r about in, and returns whether that changed the findings.
func (s *Shard) judge(r *rule.Rule, in rule.Input) bool {
	if len(s.errors) > 0 && s.errors[r.ID] >= maxRuleErrors {
		return false
	}
	v, err := s.evaluator.Ask(r)
	if err != nil {
		s.fails(r)
		return false
	}
	l, e := in.Ledger, in.Event
	if !v.Matched {
		// A sign-in that turns out better takes back what was said of it.
		if !r.PerAttempt() || in.Attempt == nil {
			return false
		}
		f := l.Standing(r.ID, in.Attempt.ID)
		if f == nil {
			return false
		}
		f.Withdrawn = true
		s.put(finding{id: alert.NewID(r.ID, e.Key, f.Anchor), judgement: judgement{Withdrawn: true}})
		return true
	}
	at := e.Time
	f := l.Standing(r.ID, v.Anchor)
	if f != nil && !r.PerAttempt() {
		if v.Severity.Rank() <= alert.Severity(f.Severity).Rank() {
			return false
		}
		if e.Time.Sub(f.Time) > ledger.AttemptSpan {
			// What was said that long ago stays as it is, and somebody may have
			// closed it: that it got worse is a finding of its own.
			v.Anchor += ":" + string(v.Severity)
			if f = l.Standing(r.ID, v.Anchor); f != nil {
				return false
			}
		}
	}
	if f != nil {
		at = f.Time
	} else if suppressed(l, r, &v, at) {
		if s.placing != nil && e == &s.placing.event {
			s.engine.metrics.suppressed.WithLabelValues(r.ID).Inc()
		}
		return false
	}
	l.Find(ledger.Finding{Rule: r.ID, Anchor: v.Anchor, Severity: string(v.Severity), By: v.By, Time: at})
	id := alert.NewID(r.ID, e.Key, v.Anchor)
	body := s.alert(r, in, &v, id, at)
	data, hash, err := encodeBody(body)
	if err != nil {
		s.fails(r)
		return true
	}
	j := judgement{Hash: hash, Body: data}
	if a := in.Attempt; a != nil && r.PerAttempt() && (a.Best().Rank() <= event.MethodPassword.Rank() || a.Pending()) {
		// The factor is not stated yet; later records may tell of a better one.
		j.ReadyAt = a.Succeeded.Add(s.engine.config.settle(e.Source))
	}
	s.put(finding{id, at, j})
	return true
}

func (s *Shard) fails(r *rule.Rule) {
	s.errors[r.ID]++
	s.engine.metrics.ruleErrors.WithLabelValues(r.ID).Inc()
}

// put takes down what was found, in place of what was found of it before.
func (s *Shard) put(f finding) {
	if i := slices.IndexFunc(s.found, func(o finding) bool { return o.id == f.id }); i >= 0 {
		s.found[i] = f
		return
	}
	s.found = append(s.found, f)
}

// suppressed reports whether the rule has said as much of this identity shortly
// before.
func suppressed(l *ledger.Ledger, r *rule.Rule, v *rule.Verdict, at time.Time) bool {
	if v.SuppressFor <= 0 {
		return false
	}
	return slices.ContainsFunc(l.Findings, func(f ledger.Finding) bool {
		return f.Rule == r.ID && f.Anchor != v.Anchor && !f.Withdrawn && f.By == v.By &&
			!f.Time.After(at) && at.Sub(f.Time) < v.SuppressFor &&
			alert.Severity(f.Severity).Rank() >= v.Severity.Rank()
	})
}

// alert builds the body of a finding from what is known now.
func (s *Shard) alert(r *rule.Rule, in rule.Input, v *rule.Verdict, id alert.ID, at time.Time) *alert.Alert {
	l, e, attempt := in.Ledger, in.Event, in.Attempt
	a := &alert.Alert{
		Schema: alert.SchemaVersion, ID: id, State: alert.Open,
		RuleID: r.ID, RuleVersion: r.Version, RuleTitle: r.Title,
		Severity: v.Severity, Title: v.Title, Reason: v.Reason,
		Time: at, First: at, Observed: e.Observed,
		Key: e.Key, Identity: card(l, e), Source: e.Source, Tenant: e.Tenant, Anchor: v.Anchor,
		Endpoint: e.Endpoint, UserAgent: e.UserAgent, App: e.App, SessionID: e.SessionID,
		Conditions: v.Conditions,
		Tags:       r.Tags, FalsePositives: r.FalsePositives, Runbook: r.Runbook, References: r.References,
	}
	if attempt != nil {
		a.Method = attempt.Best()
		a.Endpoint = endpointOf(attempt.Place)
		a.UserAgent = event.UserAgent{Browser: attempt.Place.Browser, OS: attempt.Place.OS}
		a.App = nil
		if app := attempt.App; app != (event.App{}) {
			a.App = &app
		}
		a.SessionID = attempt.Session
	}
	if strongest := l.Strongest(e.Source); strongest != nil {
		a.Usual = strongest.Method
	}
	a.Evidence = evidence(l, e, attempt)
	if len(a.Evidence) > 0 {
		a.First = a.Evidence[0].Time
	}
	return a
}

// card is what an analyst needs to know of the person at a glance.
func card(l *ledger.Ledger, e *event.Event) alert.Identity {
	c := alert.Identity{
		Name: cmp.Or(l.Name, string(e.Key)), DisplayName: l.DisplayName, Tier: l.Tier, Populations: l.Populations,
	}
	if c.Tier == event.TierStandard && l.Privileged() {
		c.Tier = event.TierPrivileged
	}
	for i := range l.Authenticators {
		n := &l.Authenticators[i]
		if !n.Live() {
			continue
		}
		out := alert.Authenticator{Method: n.Method, Name: n.Name, Since: n.Since, Uses: n.Uses, Provenance: string(n.Provenance)}
		if !n.LastUsed.IsZero() {
			used := n.LastUsed
			out.LastUsed = &used
		}
		c.Authenticators = append(c.Authenticators, out)
	}
	slices.SortStableFunc(c.Authenticators, func(a, b alert.Authenticator) int {
		return cmp.Or(cmp.Compare(b.Method.Rank(), a.Method.Rank()), a.Since.Compare(b.Since))
	})
	return c
}

func endpointOf(p ledger.Place) event.Endpoint {
	n, err := strconv.ParseUint(strings.TrimPrefix(p.Network, "AS"), 10, 32)
	if err != nil {
		n = 0 // the source named no network
	}
	return event.Endpoint{IP: p.IP, ASN: uint32(n), ASOrg: p.ASOrg, Country: p.Country, Proxy: p.Proxy}
}

// evidence collects the records of the sign-in, the record itself, and what
// happened to the identity's access in the day before.
func evidence(l *ledger.Ledger, e *event.Event, attempt *ledger.Attempt) []alert.Evidence {
	refs := []ledger.Ref{ledger.RefOf(e)}
	if attempt != nil {
		refs = append(refs, attempt.Refs...)
	}
	if s := l.Session(e.Source, e.SessionID); s != nil {
		refs = append(refs, s.Ref)
	}
	near := func(r ledger.Ref) bool { return !r.Time.After(e.Time) && e.Time.Sub(r.Time) <= evidenceSpan }
	var around []ledger.Ref
	for i := range l.Recoveries {
		around = append(around, l.Recoveries[i].Ref)
	}
	for i := range l.Authenticators {
		if n := &l.Authenticators[i]; n.Provenance == ledger.Enrolment {
			around = append(around, n.Ref)
		}
	}
	for i := range l.Consents {
		around = append(around, l.Consents[i].Ref)
	}
	for i := range l.Attempts {
		if o := &l.Attempts[i]; o != attempt && o.StrongFailed(e.Time) {
			around = append(around, o.Refs...)
		}
	}
	// The newest first: they matter most when the list is full.
	slices.SortStableFunc(around, func(a, b ledger.Ref) int { return b.Time.Compare(a.Time) })
	for _, r := range around {
		if near(r) {
			refs = append(refs, r)
		}
	}
	var out []alert.Evidence
	for _, r := range refs {
		if len(out) == maxEvidence {
			break
		}
		if slices.ContainsFunc(out, func(o alert.Evidence) bool { return o.EventID == r.EventID && o.Source == r.Source }) {
			continue
		}
		out = append(out, alert.Evidence{EventID: r.EventID, Source: r.Source, Time: r.Time, Kind: r.Kind,
			Action: r.Action, Outcome: r.Outcome, Summary: r.Summary()})
	}
	slices.SortStableFunc(out, func(a, b alert.Evidence) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.EventID, b.EventID))
	})
	return out
}
