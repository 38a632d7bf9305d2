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
const evidenceSpan = 24 * time.Hour

// maxEvidence caps the evidence of one alert.
const maxEvidence = 10

// judged is what a rule said about one anchor during a fold.
type judged struct {
	body      *alert.Alert
	hash      uint64
	readyAt   time.Time
	withdrawn bool
}

// step folds e into l and lets the rules speak. What they say is kept in the
// ledger's findings and, when bodies is not nil, as alerts in bodies.
func (s *Shard) step(l *ledger.Ledger, e *event.Event, bodies map[alert.ID]judged) {
	attempt := l.Apply(e)
	in := rule.Input{Event: e, Ledger: l, Attempt: attempt}
	for _, r := range s.set.For(e.Kind) {
		// A sign-in is judged when it has succeeded, below.
		if attempt == nil || !r.PerAttempt() {
			s.judge(r, in, bodies)
		}
	}
	if attempt == nil || attempt.Succeeded.IsZero() {
		return
	}
	// Every record of a sign-in that succeeded judges it again: the stronger
	// factor may come after the session.
	for _, r := range s.set.For(event.SignIn) {
		if r.PerAttempt() {
			s.judge(r, in, bodies)
		}
	}
}

func (s *Shard) judge(r *rule.Rule, in rule.Input, bodies map[alert.ID]judged) {
	if s.errors[r.ID] >= maxRuleErrors {
		return
	}
	v, err := s.evaluator.Eval(r, in)
	if err != nil {
		s.errors[r.ID]++
		s.engine.metrics.ruleErrors.WithLabelValues(r.ID).Inc()
		return
	}
	l, e := in.Ledger, in.Event
	anchor := v.Anchor
	if !v.Matched && r.PerAttempt() && in.Attempt != nil {
		anchor = in.Attempt.ID
	}
	if anchor == "" {
		return
	}
	id := alert.NewID(r.ID, e.Key, anchor)
	i := slices.IndexFunc(l.Findings, func(f ledger.Finding) bool { return f.AlertID == string(id) })
	stands := i >= 0 && !l.Findings[i].Withdrawn
	if !v.Matched {
		if stands && r.PerAttempt() {
			l.Findings[i].Withdrawn = true
			if bodies != nil {
				bodies[id] = judged{withdrawn: true}
			}
		}
		return
	}
	at := e.Time
	if stands {
		// One act that leaves several records (a consent does) is told best by
		// the last of them; a session that goes on being used elsewhere says
		// nothing new. Neither becomes milder.
		worse := v.Severity.Rank() - alert.Severity(l.Findings[i].Severity).Rank()
		if !r.PerAttempt() && (worse < 0 || worse == 0 && r.OncePer != rule.PerFlow) {
			return
		}
		at = l.Findings[i].Time
	} else if s.suppressed(l, r, &v, string(id), at) {
		if bodies != nil {
			s.engine.metrics.suppressed.WithLabelValues(r.ID).Inc()
		}
		return
	}
	l.Find(ledger.Finding{AlertID: string(id), Rule: r.ID, Anchor: anchor, Severity: string(v.Severity), By: v.By, Time: at})
	if bodies == nil {
		return
	}
	body := s.alert(r, in, &v, id, anchor, at)
	hash, err := hashBody(body)
	if err != nil {
		s.engine.metrics.ruleErrors.WithLabelValues(r.ID).Inc()
		return
	}
	j := judged{body: body, hash: hash}
	if a := in.Attempt; a != nil && r.PerAttempt() && (a.Best().Rank() <= event.MethodPassword.Rank() || a.Pending()) {
		// The factor is not stated yet; later records may tell of a better one.
		j.readyAt = a.Succeeded.Add(s.engine.config.settle(e.Source))
	}
	bodies[id] = j
}

// suppressed reports whether the rule has said as much of this identity shortly
// before.
func (s *Shard) suppressed(l *ledger.Ledger, r *rule.Rule, v *rule.Verdict, id string, at time.Time) bool {
	if v.SuppressFor <= 0 {
		return false
	}
	return slices.ContainsFunc(l.Findings, func(f ledger.Finding) bool {
		return f.Rule == r.ID && f.AlertID != id && !f.Withdrawn && f.By == v.By &&
			!f.Time.After(at) && at.Sub(f.Time) < v.SuppressFor &&
			alert.Severity(f.Severity).Rank() >= v.Severity.Rank()
	})
}

// alert builds the body of a finding from what is known now.
func (s *Shard) alert(r *rule.Rule, in rule.Input, v *rule.Verdict, id alert.ID, anchor string, at time.Time) *alert.Alert {
	l, e, attempt := in.Ledger, in.Event, in.Attempt
	a := &alert.Alert{
		Schema: alert.SchemaVersion, ID: id, State: alert.Open,
		RuleID: r.ID, RuleVersion: r.Version, RuleTitle: r.Title,
		Severity: v.Severity, Title: v.Title, Reason: v.Reason,
		Time: at, First: at, Observed: e.Observed,
		Key: e.Key, Identity: card(l, e), Source: e.Source, Tenant: e.Tenant, Anchor: anchor,
		Endpoint: e.Endpoint, UserAgent: e.UserAgent, App: e.App, SessionID: e.SessionID,
		Conditions: v.Conditions,
		Tags:       r.Tags, FalsePositives: r.FalsePositives, Runbook: r.Runbook, References: r.References,
	}
	if attempt != nil {
		a.Method = attempt.Best()
		a.Endpoint = endpointOf(attempt.Place)
		a.UserAgent = event.UserAgent{Browser: attempt.Place.Browser, OS: attempt.Place.OS}
		a.App = attempt.App
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
			Action: r.Action, Outcome: r.Outcome, Summary: r.Summary})
	}
	slices.SortStableFunc(out, func(a, b alert.Evidence) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.EventID, b.EventID))
	})
	return out
}
