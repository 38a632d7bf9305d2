package ledger

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stepdown/ingest/event"
)

// The events here are synthetic: a person of example.com at documentation
// addresses.

func at(minutes float64) time.Time {
	return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).Add(time.Duration(minutes * float64(time.Minute)))
}

type change func(*event.Event)

// of returns an event of a kind, at a time in minutes.
func of(kind event.Kind, minutes float64, changes ...change) event.Event {
	e := event.Event{ID: fmt.Sprint(kind, "-", minutes), Source: "okta", Kind: kind, Action: "test", Time: at(minutes), Key: "ada@example.com",
		Outcome: event.Success, Endpoint: event.Endpoint{IP: "192.0.2.10", ASN: 64496, Country: "NL"},
		Subject:   event.Principal{Name: "ada@example.com", Key: "ada@example.com"},
		UserAgent: event.UserAgent{Browser: "Chrome", OS: "Windows"}, Device: &event.Device{ID: "d-1"}}
	for _, c := range changes {
		c(&e)
	}
	return e
}

func flow(id string) change    { return func(e *event.Event) { e.FlowID = id } }
func session(id string) change { return func(e *event.Event) { e.SessionID = id } }
func from(ip string, asn uint32) change {
	return func(e *event.Event) { e.Endpoint.IP, e.Endpoint.ASN = ip, asn }
}
func source(s event.Source) change     { return func(e *event.Event) { e.Source = s } }
func outcome(o event.Outcome) change   { return func(e *event.Event) { e.Outcome = o } }
func action(s string) change           { return func(e *event.Event) { e.Action = s } }
func protocol(p event.Protocol) change { return func(e *event.Event) { e.Protocol = p } }

func proof(m event.Method, r event.Result, id ...string) change {
	return func(e *event.Event) {
		f := event.NewFactor(m, r)
		if len(id) > 0 {
			f.CredentialID = id[0]
		}
		if len(id) > 1 {
			f.AAGUID = id[1]
		}
		e.Factors = append(e.Factors, f)
	}
}

// holds adds an authenticator: its method, id and model.
func holds(m event.Method, id ...string) change {
	return func(e *event.Event) {
		a := event.NewAuthenticator(m)
		if len(id) > 0 {
			a.ID = id[0]
		}
		if len(id) > 1 {
			a.AAGUID = id[1]
		}
		e.Authenticators = append(e.Authenticators, a)
	}
}

func complete(yes bool) change {
	return func(e *event.Event) { e.Snapshot = &event.Snapshot{Complete: yes} }
}

func fold(events ...event.Event) *Ledger {
	l := &Ledger{}
	for i := range events {
		l.Apply(&events[i])
	}
	return l
}

func TestAttempts(t *testing.T) {
	const (
		signIn    = event.SignIn
		challenge = event.FactorChallenge
	)
	password, passkey, sms := proof(event.MethodPassword, event.Verified), proof(event.MethodPasskey, event.Verified), proof(event.MethodSMS, event.Verified)
	tests := []struct {
		name   string
		events []event.Event
		// want is id, best method and whether it succeeded, of each attempt.
		want []string
	}{
		{"records of a flow are one sign-in", []event.Event{of(challenge, 0, flow("f"), passkey), of(signIn, 1, flow("f"), password)},
			[]string{"okta:f passkey in"}},
		{"a flow is of one source", []event.Event{of(challenge, 0, flow("f"), passkey, source("duo")), of(signIn, 1, flow("f"), password)},
			[]string{"duo:f passkey out", "okta:f password in"}},
		{"a flow id that is used again is another sign-in", []event.Event{of(signIn, 0, flow("f"), passkey), of(signIn, 31, flow("f"), sms)},
			[]string{"okta:f passkey in", "okta:f@1772443860 sms in"}},
		{"at thirty minutes it is still the same", []event.Event{of(signIn, 0, flow("f"), passkey), of(signIn, 30, flow("f"), sms)},
			[]string{"okta:f passkey in"}},
		{"without a flow the address ties them", []event.Event{of(challenge, 0, passkey), of(signIn, 10, password)},
			[]string{"okta:event:factor_challenge-0 passkey in"}},
		{"another address is another sign-in", []event.Event{of(challenge, 0, passkey), of(signIn, 1, password, from("203.0.113.7", 64501))},
			[]string{"okta:event:factor_challenge-0 passkey out", "okta:event:sign_in-1 password in"}},
		{"after ten minutes, too", []event.Event{of(challenge, 0, passkey), of(signIn, 10.5, password)},
			[]string{"okta:event:factor_challenge-0 passkey out", "okta:event:sign_in-10.5 password in"}},
		{"a record without a flow is not of a flow", []event.Event{of(challenge, 0, flow("f"), passkey), of(signIn, 1, password)},
			[]string{"okta:f passkey out", "okta:event:sign_in-1 password in"}},
		{"a failure does not let in", []event.Event{of(signIn, 0, flow("f"), sms, outcome(event.Failure))}, []string{"okta:f sms out"}},
		{"what was carried over is no proof", []event.Event{of(signIn, 0, flow("f"), proof(event.MethodPreviouslySatisfied, event.Verified))},
			[]string{"okta:f  in"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, a := range fold(tt.events...).Attempts {
				in := "out"
				if !a.Succeeded.IsZero() {
					in = "in"
				}
				got = append(got, fmt.Sprintf("%s %s %s", a.ID, a.Best(), in))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFlowIDOfAnOldFindingIsNotTakenAgain(t *testing.T) {
	l := fold(of(event.SignIn, 0, flow("f"), proof(event.MethodSMS, event.Verified)))
	l.Find(Finding{Rule: "DG-01", Anchor: "okta:f", Time: at(0)})
	for i := range 2 * maxAttempts {
		e := of(event.SignIn, float64(60+i), flow(fmt.Sprint("other", i)))
		l.Apply(&e)
	}
	e := of(event.SignIn, 5000, flow("f"))
	if a := l.Apply(&e); a.ID == "okta:f" {
		t.Errorf("the sign-in days later is %s, as the one that the finding is of", a.ID)
	}
}

func TestFactorAfterTheSession(t *testing.T) {
	l := fold(
		of(event.SignIn, 0, flow("f"), session("s"), proof(event.MethodPassword, event.Verified)),
		of(event.FactorChallenge, 1, flow("f"), proof(event.MethodPasskey, event.Verified)),
	)
	if s := l.Session("okta", "s"); s == nil || s.Method != event.MethodPasskey {
		t.Errorf("session %+v, want one that rests on the passkey", s)
	}
	if l.Successes != 1 || len(l.Networks) != 1 || l.Networks[0].Count != 1 {
		t.Errorf("%d successes, networks %v; want one", l.Successes, l.Networks)
	}
}

func TestSuccessCountsWhenItsProofComesLater(t *testing.T) {
	l := fold(
		of(event.SignIn, 0, flow("f"), session("s")),
		of(event.FactorChallenge, 1, flow("f"), proof(event.MethodPasskey, event.Verified)),
		of(event.FactorChallenge, 2, flow("f"), proof(event.MethodPasskey, event.Verified)),
	)
	if l.Successes != 1 || !SeenBefore(l.Networks, "AS64496", at(5)) {
		t.Errorf("%d successes, networks %v; want one, counted when the proof came", l.Successes, l.Networks)
	}
}

func TestAuthenticators(t *testing.T) {
	const (
		enrolled = event.AuthenticatorEnrolled
		removed  = event.AuthenticatorRemoved
		listed   = event.AuthenticatorSnapshot
		a, b     = "aaaaaaaa-0000-0000-0000-000000000000", "bbbbbbbb-0000-0000-0000-000000000000"
	)
	use := func(minutes float64, m event.Method, id ...string) event.Event {
		return of(event.SignIn, minutes, flow(fmt.Sprint(minutes)), proof(m, event.Verified, id...))
	}
	tests := []struct {
		name   string
		events []event.Event
		// want is method, id, provenance and uses of each, with - before one that
		// is gone.
		want []string
	}{
		{"two records of one enrolment", []event.Event{of(enrolled, 0, holds(event.MethodPasskeyDeviceBound, "", a)), of(enrolled, 3, holds(event.MethodPasskey))},
			[]string{"passkey_device_bound  enrolment 0"}},
		{"the other way round", []event.Event{of(enrolled, 0, holds(event.MethodPasskey)), of(enrolled, 3, holds(event.MethodPasskeyDeviceBound, "c1", a))},
			[]string{"passkey_device_bound c1 enrolment 0"}},
		{"of other models they are two", []event.Event{of(enrolled, 0, holds(event.MethodPasskey, "", a)), of(enrolled, 3, holds(event.MethodPasskey, "", b))},
			[]string{"passkey  enrolment 0", "passkey  enrolment 0"}},
		{"with other ids they are two", []event.Event{of(enrolled, 0, holds(event.MethodPasskey, "c1")), of(enrolled, 3, holds(event.MethodPasskey, "c2"))},
			[]string{"passkey c1 enrolment 0", "passkey c2 enrolment 0"}},
		{"later it is a second one", []event.Event{of(enrolled, 0, holds(event.MethodTOTP)), of(enrolled, 11, holds(event.MethodTOTP))},
			[]string{"totp  enrolment 0", "totp  enrolment 0"}},
		{"the same id later is the same", []event.Event{of(enrolled, 0, holds(event.MethodTOTP, "c1")), of(enrolled, 999, holds(event.MethodTOTP, "c1"))},
			[]string{"totp c1 enrolment 0"}},
		{"a first use just before the enrolment", []event.Event{use(0, event.MethodPasskey), of(enrolled, 1, holds(event.MethodPasskey, "c1"))},
			[]string{"passkey c1 enrolment 1"}},
		{"a failed enrolment is none", []event.Event{of(enrolled, 0, holds(event.MethodTOTP), outcome(event.Failure))}, nil},
		{"one that is used and not known is observed", []event.Event{use(0, event.MethodPasskey), use(60, event.MethodPasskey)},
			[]string{"passkey  observed in use 2"}},
		{"passwords and codes are not enrolled", []event.Event{use(0, event.MethodPassword), use(60, event.MethodBackupCode)}, nil},
		{"a use tells what sort of passkey it is", []event.Event{of(enrolled, 0, holds(event.MethodPasskey)), use(60, event.MethodPasskeySynced)},
			[]string{"passkey_synced  enrolment 1"}},
		{"a use of another model is of another one", []event.Event{of(enrolled, 0, holds(event.MethodPasskey, "", a)), use(60, event.MethodPasskey, "", b)},
			[]string{"passkey  enrolment 0", "passkey  observed in use 1"}},
		{"removed by id", []event.Event{of(enrolled, 0, holds(event.MethodPasskey, "c1")), of(enrolled, 1, holds(event.MethodPasskey, "c2")), of(removed, 2, holds(event.MethodPasskey, "c1"))},
			[]string{"-passkey c1 enrolment 0", "passkey c2 enrolment 0"}},
		{"removed by method", []event.Event{of(enrolled, 0, holds(event.MethodSMS, "c1")), of(enrolled, 1, holds(event.MethodPasskey, "c2")), of(removed, 2, holds(event.MethodVoice))},
			[]string{"-sms c1 enrolment 0", "passkey c2 enrolment 0"}},
		{"removed and never known", []event.Event{of(removed, 2, holds(event.MethodPasskey, "c1"))}, []string{"-passkey c1 observed in use 0"}},
		{"a removal that comes too late spares what was enrolled since", []event.Event{of(enrolled, 60, holds(event.MethodPasskey, "c1")), of(removed, 0, holds(event.MethodPasskey))},
			[]string{"passkey c1 enrolment 0", "-passkey  observed in use 0"}},
		{"a reset takes all of its source", []event.Event{of(enrolled, 0, holds(event.MethodPasskey)), of(enrolled, 0, holds(event.MethodTOTP), source("duo")), of(event.AuthenticatorsReset, 5)},
			[]string{"-passkey  enrolment 0", "totp  enrolment 0"}},
		{"a complete list", []event.Event{of(enrolled, 0, holds(event.MethodPasskey, "c1")), of(enrolled, 0, holds(event.MethodSMS, "c2")),
			of(listed, 60, complete(true), holds(event.MethodTOTP, "c3"), holds(event.MethodPasskey, "c1"))},
			[]string{"passkey c1 enrolment 0", "-sms c2 enrolment 0", "totp c3 snapshot 0"}},
		{"an incomplete list", []event.Event{of(enrolled, 0, holds(event.MethodSMS, "c2")), of(listed, 60, complete(false), holds(event.MethodTOTP))},
			[]string{"sms c2 enrolment 0", "totp  snapshot 0"}},
		{"two of a kind in a list are two", []event.Event{of(enrolled, 0, holds(event.MethodSMS)), of(listed, 60, complete(true), holds(event.MethodSMS), holds(event.MethodSMS), holds(event.MethodSMS))},
			[]string{"sms  enrolment 0", "sms  snapshot 0", "sms  snapshot 0"}},
		{"in a list those with an id go first", []event.Event{of(enrolled, 0, holds(event.MethodPasskey, "c1")), of(listed, 60, complete(true), holds(event.MethodPasskey), holds(event.MethodPasskey, "c1"))},
			[]string{"passkey c1 enrolment 0", "passkey  snapshot 0"}},
		{"a list that could not be read", []event.Event{of(enrolled, 0, holds(event.MethodSMS)), of(listed, 60, complete(true), outcome(event.Failure))},
			[]string{"sms  enrolment 0"}},
		{"a list of nothing", []event.Event{of(enrolled, 0, holds(event.MethodSMS)), of(listed, 60, complete(true))}, []string{"-sms  enrolment 0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, a := range fold(tt.events...).Authenticators {
				gone := ""
				if !a.Live() {
					gone = "-"
				}
				got = append(got, fmt.Sprintf("%s%s %s %s %d", gone, a.Method, a.ID, a.Provenance, a.Uses))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRoles(t *testing.T) {
	role := func(minutes float64, names string, changes ...func(*event.Role)) event.Event {
		return of(event.RoleChange, minutes, func(e *event.Event) {
			e.Role = &event.Role{Roles: strings.Fields(names), Granted: true}
			for _, c := range changes {
				c(e.Role)
			}
		})
	}
	full := func(r *event.Role) { r.Full = true }
	revoked := func(r *event.Role) { r.Granted = false }
	eligible := func(r *event.Role) { r.Eligible = true }
	admin := func(r *event.Role) { r.Privileged = true }
	tests := []struct {
		name       string
		events     []event.Event
		want       string
		privileged bool
	}{
		{"granted one by one", []event.Event{role(0, "a"), role(1, "b"), role(2, "b")}, "a b", false},
		{"revoked", []event.Event{role(0, "a b", admin), role(1, "b", revoked)}, "a", true},
		{"the full list holds", []event.Event{role(0, "a", admin), role(1, "b c", full)}, "b c", false},
		{"a full list that is taken away", []event.Event{role(0, "a", admin), role(1, "", full, revoked)}, "", false},
		{"eligible is not held", []event.Event{role(0, "a", eligible, admin)}, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := fold(tt.events...)
			var got []string
			for _, r := range l.Roles {
				got = append(got, r.Name)
			}
			if s := strings.Join(got, " "); s != tt.want || l.Privileged() != tt.privileged {
				t.Errorf("got %q, privileged %v; want %q, %v", s, l.Privileged(), tt.want, tt.privileged)
			}
		})
	}
}

func TestLifecycle(t *testing.T) {
	tests := []struct {
		action string
		before bool // was deactivated before
		want   bool
	}{
		{"user.lifecycle.deactivate", false, true}, {"user.lifecycle.suspend", false, true}, {"user.lifecycle.delete.initiated", false, true},
		{"user.lifecycle.unsuspend", true, false}, {"user.lifecycle.activate", true, false}, {"user.lifecycle.reactivate", true, false},
		{"user.lifecycle.create", true, true}, {"user.lifecycle.create", false, false},
		{"Disable account", false, true}, {"Enable account", true, false}, {"Delete user", false, true},
		{"Hard Delete user", false, true}, {"Restore user", true, false}, {"Update user", true, true},
		{"UNDELETE_USER", true, false}, {"UNSUSPEND_USER", true, false}, {"SUSPEND_USER", false, true},
	}
	for _, tt := range tests {
		t.Run(tt.action, func(t *testing.T) {
			l := &Ledger{}
			if tt.before {
				l.Deactivated = at(-5)
			}
			e := of(event.UserLifecycle, 0, action(tt.action))
			l.Apply(&e)
			if got := !l.Deactivated.IsZero(); got != tt.want {
				t.Errorf("deactivated %v, want %v", got, tt.want)
			}
		})
	}
}

func TestConsents(t *testing.T) {
	grant := func(minutes float64, app string) event.Event {
		return of(event.ConsentGrant, minutes, func(e *event.Event) { e.Consent = &event.Consent{AppID: app, Scopes: []string{"Mail.Read"}} })
	}
	revoke := of(event.ConsentRevoke, 9, func(e *event.Event) { e.Consent = &event.Consent{AppID: "a"} })
	l := fold(grant(0, "a"), grant(5, "a"), grant(6, "b"))
	if len(l.Consents) != 2 || !l.Consents[0].First.Equal(at(0)) || !l.Consents[0].Last.Equal(at(5)) {
		t.Errorf("got %+v, want a (first at 0, last at 5) and b", l.Consents)
	}
	l.Apply(&revoke)
	if len(l.Consents) != 1 || l.Consents[0].AppID != "b" {
		t.Errorf("after the revocation: %+v, want b", l.Consents)
	}
}

func TestPrompts(t *testing.T) {
	again := proof(event.MethodPush, event.Verified)
	l := fold(
		of(event.FactorChallenge, 0, flow("f"), proof(event.MethodPush, event.Pending)),
		of(event.FactorChallenge, 1, flow("f"), proof(event.MethodPushNumberMatch, event.Verified)),
		of(event.SignIn, 2, flow("f"), again, func(e *event.Event) { e.Factors[0].Fresh = false }),
	)
	if len(l.Prompts) != 2 {
		t.Errorf("got %+v, want the one that was sent and the one that was answered", l.Prompts)
	}
}

func TestRecoveries(t *testing.T) {
	l := fold(
		of(event.PasswordReset, 0, func(e *event.Event) { e.Actor = event.Principal{Name: "desk@example.com", Key: "desk@example.com"} }),
		of(event.RecoveryActivity, 1, func(e *event.Event) {
			e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted, Method: event.MethodSMS}
		}),
		of(event.ContactChange, 2, outcome(event.Failure)),
	)
	want := []string{"password_reset by desk@example.com", "recovery completed sms"}
	var got []string
	for _, r := range l.Recoveries {
		s := string(r.Kind)
		for _, part := range []string{string(r.Stage), string(r.Method), r.By} {
			if part == r.By && part != "" {
				part = "by " + part
			}
			s = strings.TrimSpace(s + " " + part)
		}
		got = append(got, s)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSessions(t *testing.T) {
	l := fold(
		of(event.SignIn, 0, flow("f"), session("s"), proof(event.MethodSMS, event.Verified)),
		of(event.SessionActivity, 60, session("s")),
		of(event.SignIn, 70, flow("g"), session("t"), outcome(event.Failure)),
	)
	if s := l.Session("okta", "s"); s == nil || s.Method != event.MethodSMS || !s.Last.Equal(at(60)) {
		t.Errorf("got %+v, want the session by text message, last used at 60", s)
	}
	if l.Session("okta", "t") != nil || l.Session("okta", "") != nil || l.Session("entra", "s") != nil {
		t.Error("a session is there that nobody began")
	}
	end := of(event.SessionEnd, 80, session("s"))
	if l.Apply(&end); len(l.Sessions) != 0 {
		t.Errorf("after its end: %+v", l.Sessions)
	}
}

func TestSeenBefore(t *testing.T) {
	l := fold(of(event.SignIn, 0, flow("f"), proof(event.MethodPasskey, event.Verified), protocol(event.ProtocolOAuth2)))
	tests := []struct {
		name  string
		value string
		at    float64
		want  bool
	}{
		{"before it was seen", "AS64496", -1, false},
		{"its own success does not make it known", "AS64496", 0, false},
		{"after it", "AS64496", 1, true},
		{"another value", "AS64497", 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := SeenBefore(l.Networks, tt.value, at(tt.at)); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	if !SeenBefore(l.Protocols, "oauth2", at(1)) {
		t.Error("the protocol is not known")
	}
}

func TestTooLateDoesNotTurnBack(t *testing.T) {
	l := fold(
		of(event.SignIn, 60, flow("f"), session("s"), proof(event.MethodPasskey, event.Verified), func(e *event.Event) { e.Tier = event.TierPrivileged }),
		of(event.SignIn, 0, flow("g"), session("s"), proof(event.MethodPasskey, event.Verified)),
	)
	switch s := l.Session("okta", "s"); {
	case l.Tier != event.TierPrivileged:
		t.Error("an older event took the tier away")
	case !s.Last.Equal(at(60)) || !l.Authenticators[0].LastUsed.Equal(at(60)) || !l.Last.Equal(at(60)):
		t.Errorf("last used at %s and %s, last event at %s", s.Last, l.Authenticators[0].LastUsed, l.Last)
	case !SeenBefore(l.Networks, "AS64496", at(1)) || !l.First.Equal(at(0)):
		t.Error("the older sign-in does not count")
	}
}

// TestFailuresDoNotPushOutSignIns: anybody can fail to sign in as somebody else.
func TestFailuresDoNotPushOutSignIns(t *testing.T) {
	l := &Ledger{}
	apply := func(e event.Event) { l.Apply(&e) }
	for i := range 5 {
		apply(of(event.SignIn, float64(i*1440), flow(fmt.Sprint("own", i)), proof(event.MethodPasskey, event.Verified)))
	}
	for i := range 1000 {
		apply(of(event.SignIn, 7000+float64(i)/10, flow(fmt.Sprint("spray", i)), proof(event.MethodPassword, event.Failed), outcome(event.Failure)))
	}
	own := 0
	for _, a := range l.Attempts {
		if !a.Succeeded.IsZero() && a.Place.Device == "d-1" {
			own++
		}
	}
	if own != 5 {
		t.Errorf("%d of the person's 5 sign-ins are known", own)
	}
}

func TestWhatWasProvedIsNotPushedOut(t *testing.T) {
	l := &Ledger{}
	e := of(event.FactorChallenge, 0, flow("f"), proof(event.MethodPasskey, event.Verified))
	l.Apply(&e)
	var a *Attempt
	for i := range 100 {
		e := of(event.FactorChallenge, 1+float64(i)/10, flow("f"), proof(event.MethodSMS, event.Failed))
		a = l.Apply(&e)
	}
	if a.Best() != event.MethodPasskey || len(a.Steps) > maxSteps {
		t.Errorf("best is %q of %d steps", a.Best(), len(a.Steps))
	}
}

// TestBounded lets an attacker choose everything that a source logs, ten thousand
// times, with texts as long as detect lets through.
func TestBounded(t *testing.T) {
	l := &Ledger{}
	long := func(i int) string { return fmt.Sprintf("%06d%s", i, strings.Repeat("\"", 154)) }
	id := func(i int) string { return fmt.Sprintf("%06d%s", i, strings.Repeat("x", 506)) }
	for i := range 10_000 {
		kinds := []event.Kind{event.SignIn, event.SignIn, event.AuthenticatorEnrolled, event.RecoveryActivity, event.ConsentGrant, event.RoleChange, event.FactorChallenge}
		e := of(kinds[i%len(kinds)], float64(i)/4, func(e *event.Event) {
			s := long(i)
			e.ID, e.Action, e.SessionID = id(i), s, s
			e.FlowID = long(i - i%4)
			e.Endpoint = event.Endpoint{IP: "2001:db8:1111:2222:3333:4444:5555:6666", ASN: uint32(i), ASOrg: s, Country: s}
			e.UserAgent = event.UserAgent{Browser: s, OS: s}
			e.Device = &event.Device{ID: s}
			e.App = &event.App{ID: s, Name: s, ResourceID: s, ResourceName: s, Client: s}
			e.Actor = event.Principal{ID: s, Name: s, Key: event.Key(id(i))}
			e.Consent = &event.Consent{AppID: s, AppName: s, Scopes: []string{s, s, s}}
			e.Role = &event.Role{Granted: true, Roles: []string{s}}
			e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted, Method: event.MethodSMS}
			a := event.NewAuthenticator(event.MethodTOTP)
			a.ID, a.Name, a.AAGUID = s, s, s
			e.Authenticators = []event.Authenticator{a}
			for _, m := range event.Methods()[:20] {
				e.Factors = append(e.Factors, event.NewFactor(m, event.Verified))
			}
		})
		l.Apply(&e)
		l.Find(Finding{Rule: "DG-01", Anchor: long(i), Severity: "informational", By: long(i) + long(i), Time: e.Time})
	}
	data, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &sizes); err != nil {
		t.Fatal(err)
	}
	for name, part := range sizes {
		if len(part) > 10_000 {
			t.Logf("%s: %d bytes", name, len(part))
		}
	}
	t.Logf("%d bytes after 10,000 events of an attacker", len(data))
	if limit := 450_000; len(data) > limit {
		t.Errorf("the ledger takes %d bytes, at most %d leave room for window and alerts", len(data), limit)
	}
}

func TestCloneIsDeep(t *testing.T) {
	l := fold(of(event.SignIn, 0, flow("f"), session("s"), proof(event.MethodPasskey, event.Verified)))
	before, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	c := l.Clone()
	for i := range 50 {
		e := of(event.SignIn, float64(i)/2, flow(fmt.Sprint("f", i/20)), session("s"), proof(event.MethodPasskey, event.Verified), from("203.0.113.7", 64501))
		c.Apply(&e)
	}
	after, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Errorf("folding into a clone changed the original:\n%s", diff)
	}
}

// The decoder uses the memory of an event again for the next one, which is of
// another person.
func TestNothingOfAnEventIsSharedWithTheNext(t *testing.T) {
	l := &Ledger{}
	e := event.Event{ID: "1", Source: "okta", Kind: event.SignIn, Key: "ana@example.com", Time: time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC),
		Outcome: event.Success, Populations: []string{"Finance", "Berlin"}}
	l.Apply(&e)
	e.Populations[0], e.Populations[1] = "IT", "London"
	if diff := cmp.Diff([]string{"Finance", "Berlin"}, l.Populations); diff != "" {
		t.Errorf("populations after the memory was used again (-want +got):\n%s", diff)
	}
}
