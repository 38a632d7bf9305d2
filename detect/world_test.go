package detect_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pgregory.net/rapid"

	"stepdown/detect/rule"
	"stepdown/ingest/event"
	"stepdown/rules"
)

// Everything here is synthetic: people of example.com, documentation addresses
// and the networks of RFC 5398.

func origin() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }

// testRules stress what the shipped ones use little: short suppression, findings
// that build on findings, every kind of anchor, a severity that grows.
const testRules = `id: T-01
title: Any weak sign-in
status: test
version: 1
description: every sign-in without a phishing-resistant step
on: [sign_in]
when:
  weak: attempt.rank > 0 and not attempt.phishing_resistant
severity: 'attempt.method == "sms" ? "medium" : "low"'
message: "{me.name} with {attempt.method}, {attempt.pushes_unapproved} pushes"
suppress: {for: 20m, by: [attempt.network]}
---
id: T-02
title: A session that gets worse
status: test
version: 1
description: a session used from elsewhere
on: [session_activity, sign_in]
once_per: session
when:
  elsewhere: event.country != "NL"
severity: 'event.country == "US" ? "high" : "low"'
message: "{event.session_id} in {event.country}"
---
id: T-03
title: A flow with a failed step
status: test
version: 1
description: a failed step
on: [factor_challenge]
once_per: flow
when:
  failed: event.outcome != "success"
severity: low
message: "{event.flow_id} {event.outcome}"
---
id: T-04
title: Anything after a weak sign-in
status: test
version: 1
description: builds on another finding
on: [authenticator_enrolled, consent_grant, role_change]
when:
  after: found(["T-01"], "30m")
severity: medium
message: "{event.kind} after a weak sign-in, {me.successes} so far"
suppress: {for: 5m}
`

// pack returns the shipped rules and the given documents, copied times times under other ids.
func pack(t testing.TB, copies int, more ...string) *rule.Set {
	t.Helper()
	files := fstest.MapFS{}
	for i, text := range more {
		for j, document := range strings.Split(text, "---\n") {
			files[fmt.Sprintf("more-%d-%d.yaml", i, j)] = &fstest.MapFile{Data: []byte(document)}
		}
	}
	err := fs.WalkDir(rules.Files(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(rules.Files(), name)
		if err != nil {
			return err
		}
		for i := range copies {
			text := string(data)
			if i > 0 {
				text = strings.Replace(text, "id: ", fmt.Sprintf("id: C%d", i), 1)
				text, _, _ = strings.Cut(text, "\ntests:\n")
			}
			files[fmt.Sprintf("%d-%s", i, strings.ReplaceAll(name, "/", "-"))] = &fstest.MapFile{Data: []byte(text)}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	set, err := rule.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// person makes the events of one identity.
type person struct {
	key event.Key
	n   int
}

func newPerson(i int) *person { return &person{key: event.Key(fmt.Sprintf("person%d@example.com", i))} }

func (p *person) event(kind event.Kind, at time.Time) event.Event {
	p.n++
	managed := true
	e := event.Event{
		Schema: event.SchemaVersion, ID: fmt.Sprintf("%s-%d", p.key, p.n), Source: "okta", Tenant: "example.okta.com",
		Kind: kind, Action: "test." + string(kind), Time: at, Observed: at.Add(time.Minute), Key: p.key, Outcome: event.Success,
		Subject:   event.Principal{ID: "u-" + string(p.key), Name: string(p.key), Type: "user", Key: p.key},
		Endpoint:  event.Endpoint{IP: "192.0.2.10", ASN: 64496, ASOrg: "Example Broadband", Country: "NL", City: "Utrecht"},
		UserAgent: event.UserAgent{Raw: "Mozilla/5.0 (synthetic)", Browser: "Chrome", OS: "Windows"},
		Device:    &event.Device{ID: "d-laptop", Managed: &managed},
	}
	e.Actor = e.Subject
	return e
}

func (p *person) signIn(at time.Time, methods ...event.Method) event.Event {
	e := p.event(event.SignIn, at)
	e.FlowID, e.SessionID = "f-"+e.ID, "s-"+e.ID
	e.App = &event.App{ID: "0oa1", Name: "Payroll"}
	for _, m := range methods {
		e.Factors = append(e.Factors, event.NewFactor(m, event.Verified))
	}
	return e
}

// past is a life by which an identity is learned: a passkey, and days sign-ins
// with it.
func (p *person) past(days int) []event.Event {
	enrol := p.event(event.AuthenticatorEnrolled, origin().AddDate(0, 0, -days-1))
	enrol.Authenticators = []event.Authenticator{event.NewAuthenticator(event.MethodPasskey)}
	enrol.Authenticators[0].ID = "cred-0"
	out := []event.Event{enrol}
	for day := days; day > 0; day-- {
		out = append(out, p.signIn(origin().AddDate(0, 0, -day), event.MethodPasskey))
	}
	return out
}

// delivery is one copy of one version of a record, and when it arrives.
type delivery struct {
	event   event.Event
	arrives time.Time
}

// history is what happened to several people: the records as they finally read,
// and every delivery of them.
type history struct {
	final      []event.Event
	deliveries []delivery
}

// sorted returns the final records in the order of their time.
func (h *history) sorted() []event.Event {
	out := slices.Clone(h.final)
	slices.SortStableFunc(out, func(a, b event.Event) int { return a.Time.Compare(b.Time) })
	return out
}

// arrived returns the deliveries in the order of their arrival.
func (h *history) arrived() []event.Event {
	list := slices.Clone(h.deliveries)
	slices.SortStableFunc(list, func(a, b delivery) int { return a.arrives.Compare(b.arrives) })
	out := make([]event.Event, len(list))
	for i := range list {
		out[i] = list[i].event
	}
	return out
}

// places are where people are; the first two are ordinary.
func elsewhere(t *rapid.T, e *event.Event) {
	switch rapid.IntRange(0, 4).Draw(t, "place") {
	case 0, 1:
	case 2:
		e.Endpoint = event.Endpoint{IP: "198.51.100.20", ASN: 64498, Country: "DE"}
		e.UserAgent.Browser, e.Device = "Safari", &event.Device{ID: "d-phone"}
	case 3:
		e.Endpoint = event.Endpoint{IP: "203.0.113.130", ASN: 64501, Country: "US"}
		e.UserAgent, e.Device = event.UserAgent{Browser: "Chrome", OS: "Linux"}, nil
	case 4:
		e.Endpoint, e.UserAgent, e.Device = event.Endpoint{}, event.UserAgent{}, nil
	}
}

func anyMethod() *rapid.Generator[event.Method] {
	return rapid.SampledFrom([]event.Method{event.MethodPasskey, event.MethodPasskeySynced, event.MethodSecurityKey, event.MethodPassword,
		event.MethodSMS, event.MethodTOTP, event.MethodPush, event.MethodTemporaryAccessPass, event.MethodPreviouslySatisfied})
}

// episode is one thing that happens to p at a time, in one or several records.
func (p *person) episode(t *rapid.T, at time.Time) []event.Event {
	// One of a few flows and sessions, so that they meet and are used again.
	flow := fmt.Sprintf("flow-%d", rapid.IntRange(0, 5).Draw(t, "flow"))
	session := fmt.Sprintf("session-%d", rapid.IntRange(0, 3).Draw(t, "session"))
	step := func() time.Duration { return time.Duration(rapid.IntRange(0, 40).Draw(t, "step")) * 15 * time.Second }
	signIn := func(at time.Time, methods ...event.Method) event.Event {
		e := p.signIn(at, methods...)
		e.FlowID, e.SessionID = flow, session
		elsewhere(t, &e)
		return e
	}
	challenge := func(at time.Time, m event.Method, r event.Result) event.Event {
		e := p.event(event.FactorChallenge, at)
		e.FlowID = flow
		e.Factors = []event.Factor{event.NewFactor(m, r)}
		if r != event.Verified {
			e.Outcome = event.Failure
		}
		return e
	}
	switch rapid.IntRange(0, 13).Draw(t, "episode") {
	case 0: // told in one record
		return []event.Event{signIn(at, event.MethodPassword, anyMethod().Draw(t, "method"))}
	case 1: // the session first, the factor later
		first := signIn(at, event.MethodPassword)
		return []event.Event{first, challenge(at.Add(step()), anyMethod().Draw(t, "method"), event.Verified)}
	case 2: // a strong step that fails, then another
		return []event.Event{challenge(at, event.MethodPasskey, event.Failed), signIn(at.Add(step()), event.MethodPassword, anyMethod().Draw(t, "method"))}
	case 3: // without a flow
		e := signIn(at, anyMethod().Draw(t, "method"))
		e.FlowID = ""
		return []event.Event{e}
	case 4: // pushes
		var out []event.Event
		for i := range rapid.IntRange(1, 7).Draw(t, "pushes") {
			out = append(out, challenge(at.Add(time.Duration(i)*30*time.Second), event.MethodPush, event.Rejected))
		}
		return append(out, signIn(at.Add(5*time.Minute), event.MethodPassword, event.MethodPush))
	case 5:
		e := p.event(event.AuthenticatorEnrolled, at)
		e.Authenticators = []event.Authenticator{event.NewAuthenticator(anyMethod().Draw(t, "method"))}
		e.Authenticators[0].ID = rapid.SampledFrom([]string{"", "cred-0", "cred-1", "cred-2"}).Draw(t, "credential")
		elsewhere(t, &e)
		return []event.Event{e}
	case 6:
		e := p.event(event.AuthenticatorRemoved, at)
		e.Authenticators = []event.Authenticator{event.NewAuthenticator(anyMethod().Draw(t, "method"))}
		e.Authenticators[0].ID = rapid.SampledFrom([]string{"", "cred-0", "cred-1"}).Draw(t, "credential")
		return []event.Event{e}
	case 7:
		e := p.event(event.AuthenticatorsReset, at)
		e.Actor = event.Principal{ID: "desk", Name: "desk@example.com", Type: "admin", Key: "desk@example.com"}
		return []event.Event{e}
	case 8: // a recovery, a new factor, a sign-in from elsewhere
		e := p.event(event.RecoveryActivity, at)
		e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted, SelfService: true}
		n := p.event(event.AuthenticatorEnrolled, at.Add(2*time.Minute))
		n.Authenticators = []event.Authenticator{event.NewAuthenticator(event.MethodPush)}
		return []event.Event{e, n, signIn(at.Add(4*time.Minute), event.MethodPassword, event.MethodPush)}
	case 9:
		e := p.event(event.ConsentGrant, at)
		e.Consent = &event.Consent{AppID: rapid.SampledFrom([]string{"app-1", "app-2"}).Draw(t, "app"), Scopes: []string{"Mail.Read", "offline_access"}}
		return []event.Event{e}
	case 10:
		e := p.event(event.SessionActivity, at)
		e.SessionID = session
		elsewhere(t, &e)
		return []event.Event{e}
	case 11:
		e := p.event(event.RoleChange, at)
		e.Role = &event.Role{Roles: []string{"Super Administrator"}, Granted: rapid.Bool().Draw(t, "granted"), Privileged: true}
		return []event.Event{e}
	case 12:
		e := p.event(event.AuthenticatorSnapshot, at)
		e.Snapshot = &event.Snapshot{Complete: rapid.Bool().Draw(t, "complete")}
		e.Authenticators = []event.Authenticator{event.NewAuthenticator(event.MethodPasskey), event.NewAuthenticator(event.MethodSMS)}
		e.Authenticators[0].ID = "cred-1"
		return []event.Event{e}
	default: // device code
		e := signIn(at, event.MethodPasskey)
		e.Protocol = event.ProtocolDeviceCode
		return []event.Event{e}
	}
}

// rewritten is a later version of e: the provider has completed it.
func (p *person) rewritten(t *rapid.T, e event.Event) event.Event {
	e.Observed = e.Observed.Add(30 * time.Minute)
	switch rapid.IntRange(0, 4).Draw(t, "rewrite") {
	case 0, 1:
		e.Factors = append(slices.Clone(e.Factors), event.NewFactor(anyMethod().Draw(t, "completed by"), event.Verified))
	case 2:
		e.Outcome = event.Failure
	case 3:
		e.FlowID = "flow-other"
	case 4:
		e.Time = e.Time.Add(time.Duration(rapid.IntRange(-4, 4).Draw(t, "moved")) * time.Minute)
	}
	return e
}

// anyHistory generates what happens to a few people within a day, and the
// deliveries of it: late by less than an hour, twice, and in several versions.
func anyHistory() *rapid.Generator[*history] {
	return rapid.Custom(func(t *rapid.T) *history {
		h := &history{}
		deliver := func(e event.Event) {
			late := time.Duration(0)
			if rapid.IntRange(0, 2).Draw(t, "late") == 0 {
				late = time.Duration(rapid.IntRange(0, 59*60).Draw(t, "seconds late")) * time.Second
			}
			h.deliveries = append(h.deliveries, delivery{event: e, arrives: e.Time.Add(late)})
		}
		for i := range rapid.IntRange(1, 4).Draw(t, "people") {
			p := newPerson(i)
			for _, e := range p.past(rapid.SampledFrom([]int{0, 2, 12}).Draw(t, "days")) {
				h.final = append(h.final, e)
				h.deliveries = append(h.deliveries, delivery{event: e, arrives: e.Time})
			}
			hours := rapid.IntRange(1, 8).Draw(t, "hours")
			for range rapid.IntRange(1, 14).Draw(t, "episodes") {
				at := origin().Add(time.Duration(rapid.IntRange(0, hours*120).Draw(t, "at")) * 30 * time.Second)
				for _, e := range p.episode(t, at) {
					signIn := e.Kind == event.SignIn || e.Kind == event.FactorChallenge
					versions := []event.Event{e}
					if signIn && rapid.IntRange(0, 4).Draw(t, "rewritten") == 0 {
						versions = append(versions, p.rewritten(t, e))
					}
					h.final = append(h.final, versions[len(versions)-1])
					for _, v := range versions {
						deliver(v)
						if rapid.IntRange(0, 5).Draw(t, "twice") == 0 {
							v.Observed = v.Observed.Add(time.Minute)
							deliver(v)
						}
					}
				}
			}
		}
		return h
	})
}

func setOf(t testing.TB, list ...*rule.Rule) *rule.Set {
	t.Helper()
	set, err := rule.NewSet(list...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
