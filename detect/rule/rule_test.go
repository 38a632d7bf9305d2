package rule

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stepdown/ingest/event"
)

// minimal is a rule with the least that is needed; %s is put under when:.
const minimal = `id: DG-90
title: A rule for tests
status: test
version: 1
description: Synthetic.
on: [sign_in]
when:
  weak: attempt.succeeded and not attempt.phishing_resistant
severity: low
message: "{me.name} came in with {plain(attempt.method)}."
`

func TestParse(t *testing.T) {
	r, err := Parse("dg_90.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != "DG-90" || r.Version != 1 || !r.PerAttempt() {
		t.Errorf("got id %s, version %d, per attempt %t", r.ID, r.Version, r.PerAttempt())
	}
	if d := cmp.Diff([]event.Kind{event.SignIn}, r.On); d != "" {
		t.Errorf("on (-want +got):\n%s", d)
	}
}

func TestParseErrors(t *testing.T) {
	when := func(condition string) string {
		return strings.Replace(minimal, "attempt.succeeded and not attempt.phishing_resistant", condition, 1)
	}
	tests := []struct {
		name, file string
		want       string
	}{
		{"typo in a field", when("attempt.new_grund"),
			"r.yaml:8:17: attempt has no new_grund: did you mean new_ground?"},
		{"typo in a name", when("atempt.succeeded"),
			"r.yaml:8:9: unknown name atempt: did you mean attempt?"},
		{"Go's name of a field", when("attempt.NewGround"),
			"r.yaml:8:17: attempt has no NewGround: did you mean new_ground?"},
		{"typo in a list element", when("any(me.strong, .metod == \"sms\")"),
			"r.yaml:8:25: an authenticator has no metod: did you mean method?"},
		{"typo in a function", when("fond([\"DG-90\"], \"24h\")"),
			"r.yaml:8:9: unknown name fond: did you mean found?"},
		{"text that is on no list", when("attempt.succeeded and attempt.method == \"smss\""),
			"r.yaml:8:49: method is never \"smss\": did you mean sms?"},
		{"list with a text that is on no list", when("attempt.class in [\"weak\", \"singel\"]"),
			"r.yaml:8:35: class is never \"singel\": did you mean single?"},
		{"element that is on no list", when("\"smss\" in attempt.methods"), // a YAML text may not begin with a quote and go on
			"r.yaml:8:16: is not YAML: value is not allowed in this context. map key-value is pre-defined"},
		{"wrong type", when("attempt.method"),
			"r.yaml:8:9: must be true or false, it is a text"},
		{"types that do not go together", when("attempt.rank > attempt.method"),
			"r.yaml:8:22: invalid operation: > (a number and a text do not go together)"},
		{"span that is none", when("me.strong_used_within(\"90 days\")"),
			"r.yaml:8:31: \"90 days\" is not a span: write it like 90m, 24h or 14d"},
		{"span compared with a typo", when("recovery.age < \"24x\""),
			"r.yaml:8:24: \"24x\" is not a span: write it like 90m, 24h or 14d"},
		{"dynamic regex", when("event.action matches event.reason"),
			"r.yaml:8:30: the pattern of matches must be a text in quotes: it is compiled once, when the rule is loaded"},
		{"wall clock", when("event.time < now()"),
			"r.yaml:8:22: a time is not a function: write it without parentheses"},
		{"date", when("event.time < date(\"2026-01-01\")"),
			"r.yaml:8:22: unknown name date: use one of attempt, consent, earlier, event, found, me, now, plain, policy, recovery, removed, risk, role, session, within"},
		{"method of a time", when("event.time.Local() == now"),
			"r.yaml:8:20: a time or span has no parts here: compare it, or subtract two times"},
		{"range too long", when("attempt.rank in 1..2000000"),
			"r.yaml:8:25: a range must be between two numbers, of at most 10000"},
		{"predicates too deep", when("any(me.strong, any(me.strong, any(me.strong, .uses > 1)))"),
			"r.yaml:8:9: any is nested too deep: at most 2 of all, any, filter and the like inside each other"},
		{"environment", when("$env.attempt.succeeded"),
			"r.yaml:8:9: $env is not possible here: name a fact"},
		{"syntax", when("attempt.succeeded and"),
			"r.yaml:8:29: unexpected token EOF"},
		{"no condition", strings.Replace(minimal, "when:\n  weak: attempt.succeeded and not attempt.phishing_resistant\n", "", 1),
			"r.yaml:1:1: when is missing: name at least one condition"},
		{"empty condition", when(""),
			"r.yaml:8:3: weak is empty: write an expression"},
		{"folded condition", when(">-\n    attempt.succeeded\n    and attempt.new_grund"),
			"r.yaml:10:17: attempt has no new_grund: did you mean new_ground?"},
		{"literal condition", when("|\n    attempt.succeeded\n    and attempt.new_grund"),
			"r.yaml:10:17: attempt has no new_grund: did you mean new_ground?"},
		{"quoted condition", when("'attempt.method == \"sms\" and attempt.new_grund'"),
			"r.yaml:8:46: attempt has no new_grund: did you mean new_ground?"},
		{"unknown key", strings.Replace(minimal, "status:", "staus:", 1),
			"r.yaml:3:1: unknown key staus: did you mean status?\nr.yaml:1:1: status is missing: use experimental, test, stable or deprecated"},
		{"Sigma's level", strings.Replace(minimal, "severity:", "level:", 1),
			"r.yaml:9:1: unknown key level: here it is severity\nr.yaml:1:1: severity is missing: use one of informational, low, medium, high, critical, or an expression that chooses"},
		{"key twice", minimal + "title: again\n",
			"r.yaml:11:1: is not YAML: mapping key \"title\" already defined at [2:1]"},
		{"severity that is none", strings.Replace(minimal, "severity: low", "severity: hgih", 1),
			"r.yaml:9:11: severity cannot be \"hgih\": did you mean high?"},
		{"severity chosen wrongly", strings.Replace(minimal, "severity: low", "severity: 'me.privileged ? \"hgih\" : \"low\"'", 1),
			"r.yaml:9:28: \"hgih\" is not possible here: did you mean high?"},
		{"reason computed", minimal + "reason: attempt.method + \"x\"\n",
			"r.yaml:11:24: must choose between texts, as in: me.privileged ? \"recovery_flow\" : \"policy_fallback\""},
		{"message with a typo", strings.Replace(minimal, "{me.name}", "{me.nam}", 1),
			"r.yaml:10:15: me has no nam: did you mean name?"},
		{"message not closed", strings.Replace(minimal, "{plain(attempt.method)}", "{plain(attempt.method)", 1),
			"r.yaml:10:34: the brace is not closed"},
		{"message with a function", strings.Replace(minimal, "{me.name}", "{plain}", 1),
			"r.yaml:10:12: cannot be shown: it is a function"},
		{"kind that is none", strings.Replace(minimal, "[sign_in]", "[sign_on]", 1),
			"r.yaml:6:6: \"sign_on\" is not a kind of event: did you mean sign_in?"},
		{"attempt without sign-in", strings.Replace(minimal, "[sign_in]", "[consent_grant]\nonce_per: attempt", 1),
			"r.yaml:6:5: a rule that judges a sign-in as a whole (once_per: attempt) is asked on: [sign_in]"},
		{"suppress without span", minimal + "suppress: {by: [attempt.app.id]}\n",
			"r.yaml:11:11: for is missing: say how long, as in {for: 12h}"},
		{"let named as a fact", strings.Replace(minimal, "when:", "let:\n  attempt: 'true'\nwhen:", 1),
			"r.yaml:8:3: attempt is the name of a fact: choose another"},
		{"let used too early", strings.Replace(minimal, "when:", "let:\n  a: b\n  b: attempt.succeeded\nwhen:", 1),
			"r.yaml:8:6: unknown name b: use one of attempt, consent, earlier, event, found, me, now, plain, policy, recovery, removed, risk, role, session, within"},
		{"tag", minimal + "reason: !not me.privileged\n",
			"r.yaml:11:9: must be a text, it is a YAML tag: put the text in quotes"},
		{"two documents", minimal + "---\nid: X\n",
			"r.yaml:12:3: has a second document: write one file per rule"},
		{"no conditions", strings.Replace(minimal, "when:\n  weak: attempt.succeeded and not attempt.phishing_resistant", "when: {}", 1),
			"r.yaml:7:7: when is empty: name at least one condition"},
		{"no kinds", strings.Replace(minimal, "[sign_in]", "[]", 1),
			"r.yaml:6:5: on is empty: list the kinds of event, as in [sign_in]"},
		{"empty", "# nothing\n", "r.yaml:1:1: is empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("r.yaml", []byte(tt.file))
			if err == nil {
				t.Fatalf("got no error, want %s", tt.want)
			}
			if d := cmp.Diff(tt.want, err.Error()); d != "" {
				t.Errorf("error (-want +got):\n%s", d)
			}
		})
	}
}
