package rule

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"stepdown/detect/alert"
	"stepdown/detect/ledger"
	"stepdown/ingest/event"
)

func clock(n int) time.Time {
	return time.Date(2026, 3, 2, 9, 14, 0, 0, time.UTC).Add(time.Duration(n) * time.Minute)
}

// person is a synthetic identity that holds a passkey and signs in, the last time
// by text message from elsewhere. It returns the input of that sign-in.
func person(days int) Input {
	l := &ledger.Ledger{}
	enrol := event.Event{ID: "e", Source: "okta", Kind: event.AuthenticatorEnrolled, Outcome: event.Success, Time: clock(-60 * 24 * 60),
		Key: "ada@example.com", Authenticators: []event.Authenticator{event.NewAuthenticator(event.MethodPasskey)}}
	l.Apply(&enrol)
	signIn := func(n int, asn uint32, browser string, factors ...event.Factor) (*event.Event, *ledger.Attempt) {
		managed := true
		e := &event.Event{ID: fmt.Sprint("s", n), Source: "okta", Kind: event.SignIn, Outcome: event.Success, Time: clock(n),
			Key: "ada@example.com", Subject: event.Principal{Name: "ada@example.com", Key: "ada@example.com"},
			FlowID: fmt.Sprint("f", n), SessionID: "s-1", Factors: factors,
			Endpoint:  event.Endpoint{IP: "192.0.2.10", ASN: asn, Country: "NL"},
			UserAgent: event.UserAgent{Browser: browser, OS: "Windows"},
			Device:    &event.Device{ID: "d-" + browser, Managed: &managed}, App: &event.App{ID: "0oa1", Name: "Payroll"}}
		return e, l.Apply(e)
	}
	for day := days; day > 0; day-- {
		signIn(-day*24*60, 64496, "Chrome", event.NewFactor(event.MethodPasskey, event.Verified))
	}
	e, a := signIn(0, 64501, "Firefox", event.NewFactor(event.MethodPassword, event.Verified), event.NewFactor(event.MethodSMS, event.Verified))
	return Input{Event: e, Ledger: l, Attempt: a}
}

func parseRule(t testing.TB, text string) (*Rule, *Evaluator) {
	t.Helper()
	r, err := Parse("r.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	set, err := NewSet(r)
	if err != nil {
		t.Fatal(err)
	}
	return r, NewEvaluator(set)
}

const downgrade = `id: DG-90
title: A rule for tests
status: test
version: 1
description: Synthetic.
on: [sign_in]
let:
  weak: attempt.class == "weak"
when:
  weaker: weak and attempt.rank < me.strongest.rank
  passkey_in_use: me.strong_used_within("90d")
unless:
  known: attempt.known_network or found(["DG-90"], "24h")
severity: 'me.privileged ? "critical" : attempt.new_ground ? "high" : "low"'
reason: 'attempt.new_ground ? "other_ground" : "unknown"'
message: "{me.name} used {plain(attempt.method)} at {event.time}, {earlier(me.strongest.last_used)} {attempt.methods}{me.privileged ? \" (privileged)\" : \"\"} in {event.device.name}."
suppress: {for: 1d12h, by: [attempt.network, attempt.app.id]}
`

func TestEval(t *testing.T) {
	r, ev := parseRule(t, downgrade)
	got, err := ev.Eval(r, person(20))
	if err != nil {
		t.Fatal(err)
	}
	want := Verdict{
		Matched: true, Severity: alert.High, Reason: alert.ReasonOtherGround, Anchor: "okta:f0",
		Title: "ada@example.com used a text message at 2 Mar 2026 09:14 UTC, 24 hours earlier password, sms in not known.",
		By:    "AS64501\x1f0oa1", SuppressFor: 36 * time.Hour,
		Conditions: []alert.Condition{
			{Name: "weaker", Expr: "weak and attempt.rank < me.strongest.rank", Value: true, Operands: []alert.Operand{
				{Expr: "weak", Value: "yes"}, {Expr: "attempt.rank", Value: "20"}, {Expr: "me.strongest.rank", Value: "52"}}},
			{Name: "passkey_in_use", Expr: `me.strong_used_within("90d")`, Value: true, Operands: []alert.Operand{
				{Expr: `me.strong_used_within("90d")`, Value: "yes"}}},
			{Name: "not known", Expr: `not (attempt.known_network or found(["DG-90"], "24h"))`, Value: true, Operands: []alert.Operand{
				{Expr: "attempt.known_network", Value: "no"}, {Expr: `found(["DG-90"], "24h")`, Value: "no"}}},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("verdict (-want +got):\n%s", d)
	}
}

func TestExplainShowsWhatFailed(t *testing.T) {
	r, ev := parseRule(t, downgrade)
	in := person(20)
	in.Ledger.Find(ledger.Finding{Rule: "DG-90", Anchor: "a", Time: clock(-60)})
	got, err := ev.Explain(r, in)
	if err != nil {
		t.Fatal(err)
	}
	if got.Matched || got.Title != "" || len(got.Conditions) != 3 {
		t.Fatalf("got matched %t, title %q, %d conditions", got.Matched, got.Title, len(got.Conditions))
	}
	last := got.Conditions[2]
	if last.Value || last.Operands[1].Value != "yes" {
		t.Errorf("got %+v, want the finding shown as the reason", last)
	}
	if v, err := ev.Eval(r, in); err != nil || v.Matched || v.Conditions != nil {
		t.Errorf("Eval says %+v, %v", v, err)
	}
}

func TestEvalOfOtherParts(t *testing.T) {
	tests := []struct {
		name, condition string
		in              func() Input
		want            bool
	}{
		{"nothing is known", `attempt.method == "" and not attempt.succeeded and not recovery.exists and not session.exists and consent.verified == "unknown"`,
			func() Input {
				return Input{Event: &event.Event{Kind: event.SignIn, Time: clock(0)}, Ledger: &ledger.Ledger{}}
			}, true},
		{"an unlearned identity sees nothing new", "attempt.new_network or attempt.new_ground", func() Input { return person(0) }, false},
		{"a learned one does", "attempt.new_network and attempt.new_device and attempt.new_ground", func() Input { return person(20) }, true},
		{"lists", `any(me.strong, .method == "passkey" and .uses == 20 and .age > "59d")`, func() Input { return person(20) }, true},
		{"map and in", `"sms" in map(filter(me.authenticators, .uses > 0), .method)`, func() Input { return person(20) }, true},
		{"time arithmetic", `now - me.strongest.last_used == "24h" and within(me.strongest.last_used, "1d")`, func() Input { return person(20) }, true},
		{"pattern", `event.user_agent matches "(?i)headless" or me.name matches "^ada@"`, func() Input { return person(20) }, true},
		{"session keeps its birth", `session.exists and session.method == "passkey" and session.moved and session.age >= "20d"`, func() Input { return person(20) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, ev := parseRule(t, strings.Replace(minimal, "attempt.succeeded and not attempt.phishing_resistant", "|\n    "+tt.condition, 1))
			v, err := ev.Explain(r, tt.in())
			if err != nil {
				t.Fatal(err)
			}
			if v.Conditions[0].Value != tt.want {
				t.Errorf("got %t, want %t: %+v", v.Conditions[0].Value, tt.want, v.Conditions[0].Operands)
			}
		})
	}
}

func TestEvalError(t *testing.T) {
	r, ev := parseRule(t, strings.Replace(minimal, "attempt.succeeded and not attempt.phishing_resistant", `me.roles[3] == "x"`, 1))
	v, err := ev.Eval(r, person(1))
	if err == nil || v.Matched {
		t.Fatalf("got %+v, %v, want an error and no match", v, err)
	}
	if !strings.Contains(err.Error(), "evaluate weak of rule DG-90") {
		t.Errorf("error does not name rule and condition: %v", err)
	}
}

// TestLateRecordDoesNotMoveNow: a record that completes a sign-in minutes later
// must not push what happened before it out of its span.
func TestLateRecordDoesNotMoveNow(t *testing.T) {
	r, ev := parseRule(t, strings.Replace(minimal, "attempt.succeeded and not attempt.phishing_resistant",
		`me.strongest.age == "60d" and now == attempt.succeeded_at and event.time != now`, 1))
	in := person(20)
	late := event.Event{ID: "late", Source: "okta", Kind: event.FactorChallenge, Outcome: event.Success, Time: clock(12),
		Key: "ada@example.com", FlowID: "f0"}
	in = Input{Event: &late, Ledger: in.Ledger, Attempt: in.Ledger.Apply(&late)}
	v, err := ev.Explain(r, in)
	if err != nil || !v.Matched {
		t.Errorf("got %+v, %v, want the time of the success", v, err)
	}
}

// TestClosuresAgree compares the two ways to evaluate a condition, over generated
// conditions and over inputs with and without history.
func TestClosuresAgree(t *testing.T) {
	c := &compiler{vocabulary: newVocabulary()}
	facts := map[string][]string{}
	for _, p := range []string{"attempt", "me", "event", "session", "recovery", "consent", "me.strongest", "event.app"} {
		for _, name := range c.vocabulary.names(p + ".") {
			f := c.vocabulary.facts[p+"."+name]
			facts[f.typ.String()] = append(facts[f.typ.String()], p+"."+name)
		}
	}
	set, err := NewSet()
	if err != nil {
		t.Fatal(err)
	}
	ev := NewEvaluator(set)
	inputs := []Input{person(0), person(3), person(20), {Event: &event.Event{Kind: event.ConsentGrant, Time: clock(0)}, Ledger: &ledger.Ledger{}}}
	closures := 0
	rapid.Check(t, func(rt *rapid.T) {
		text := condition(rt, facts, 3)
		term, err := c.condition("c", text)
		if err != nil {
			rt.Fatalf("compile %s: %v", text, err)
		}
		if term.fast == nil {
			rt.Skip("only for the machine")
		}
		closures++
		for i, in := range inputs {
			ev.begin(&Rule{}, in)
			ev.fill(term.needs)
			want, err := ev.machine.Run(term.program, ev.facts)
			if err != nil {
				rt.Fatalf("run %s: %v", text, err)
			}
			if got := term.fast(ev); got != want.(bool) {
				rt.Fatalf("input %d, %s: closure %t, machine %t", i, text, got, want)
			}
		}
	})
	if closures < 20 {
		t.Errorf("only %d generated conditions became closures", closures)
	}
}

// condition draws a condition of at most the given depth.
func condition(t *rapid.T, facts map[string][]string, depth int) string {
	pick := func(list []string) string { return rapid.SampledFrom(list).Draw(t, "fact") }
	operators := []string{"==", "!=", "<", "<=", ">", ">="}
	n := rapid.IntRange(0, 10).Draw(t, "form")
	if depth == 0 {
		n %= 8
	}
	switch n {
	case 0, 1:
		return pick(facts["bool"])
	case 2:
		return fmt.Sprintf("%s %s %d", pick(facts["int"]), pick(operators), rapid.IntRange(-1, 60).Draw(t, "number"))
	case 3:
		return fmt.Sprintf("%s %s %q", pick(facts["time.Duration"]), pick(operators), pick([]string{"0s", "24h", "20d", "90d"}))
	case 4:
		return fmt.Sprintf("%s %s %s", pick(facts["string"]), pick([]string{"==", "!=", "contains", "startsWith", "endsWith"}), pick(facts["string"]))
	case 5:
		return fmt.Sprintf("me.name in [%q, %s]", "ada@example.com", `"x"`)
	case 6:
		return fmt.Sprintf("%s in %s", pick(facts["string"]), pick(facts["[]string"]))
	case 7:
		return pick([]string{`found(["DG-*"], "24h")`, `me.strong_used_within("30d")`, `within(me.strongest.last_used, "24h")`,
			`me.deactivated_within("1h")`, "len(attempt.methods) > 1", `attempt.method in ["sms", "voice"]`})
	case 8:
		return "not (" + condition(t, facts, depth-1) + ")"
	case 9:
		return "(" + condition(t, facts, depth-1) + ") and (" + condition(t, facts, depth-1) + ")"
	}
	return "(" + condition(t, facts, depth-1) + ") or (" + condition(t, facts, depth-1) + ")"
}

func TestSetErrors(t *testing.T) {
	parse := func(file, text string) *Rule {
		r, err := Parse(file, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	_, err := NewSet(parse("a.yaml", minimal), parse("b.yaml", minimal))
	if want := "b.yaml: id DG-90 is taken by a.yaml"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	asks := strings.Replace(minimal, "attempt.succeeded and not attempt.phishing_resistant", `found(["DG-9", "RC-*"], "24h")`, 1)
	_, err = NewSet(parse("a.yaml", asks))
	want := "a.yaml:8:9: found asks for DG-9, which is no rule here: did you mean DG-90?\n" +
		"a.yaml:8:9: found asks for RC-*, which is no rule here: use one of DG-90"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// FuzzParse holds the loader to errors that name a place, whatever the file.
func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte(downgrade))
	f.Add([]byte("id: [\nwhen: {a: *b}\n"))
	f.Add([]byte("when:\n  a: |\n    any(me.strong, .x)\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse("r.yaml", data)
		if err == nil {
			if r.ID == "" || len(r.On) == 0 || len(r.when) == 0 {
				t.Fatalf("a rule without id or conditions was taken: %q", data)
			}
			return
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if strings.HasPrefix(line, "r.yaml:") {
				return
			}
		}
		t.Fatalf("the error names no place: %v", err)
	})
}

func BenchmarkEval(b *testing.B) {
	matching, ev := parseRule(b, downgrade)
	quiet, _ := parseRule(b, strings.Replace(downgrade, `me.strong_used_within("90d")`, "attempt.known_ground and not session.moved", 1))
	in := person(20)
	for _, bm := range []struct {
		name string
		rule *Rule
	}{{"matched", matching}, {"quiet", quiet}} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ev.Eval(bm.rule, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
