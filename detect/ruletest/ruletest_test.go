package ruletest

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// pack is a synthetic rule that speaks of every sign-in by text message, with the
// given tests.
func pack(tests string) fstest.MapFS {
	return fstest.MapFS{"area/dg-90.yaml": {Data: []byte(`id: DG-90
title: A rule for tests
status: test
version: 1
description: Synthetic.
on: [sign_in]
when:
  by_text: '"sms" in attempt.methods'
severity: 'attempt.known_network ? "low" : "high"'
message: "{me.name} used {plain(attempt.method)}."
` + tests)}}
}

const firing = `tests:
  - name: fires
    events:
      - at: +5m
        sign_in: {methods: [sms]}
    expect:
      - {rule: DG-90, severity: high, at: +5m, message: a text message}
`

const quiet = `  - name: quiet
    events:
      - at: +5m
        sign_in: {methods: [passkey]}
    expect: []
`

func TestRun(t *testing.T) {
	tests := []struct {
		name, tests string
		want        map[string][]string // failures by test
	}{
		{"both pass", firing + quiet, map[string][]string{"fires": nil, "quiet": nil}},
		{"no tests", "", map[string][]string{"tests are there": {"has no test in which it fires", "has no test in which it stays quiet"}}},
		{"no quiet test", firing, map[string][]string{"fires": nil, "tests are there": {"has no test in which it stays quiet"}}},
		{"fires against expectation", firing + strings.Replace(quiet, "passkey", "sms", 1), map[string][]string{
			"fires": nil, "quiet": {"DG-90 was not expected: high, at +5m0s: ada@example.com used a text message."}}},
		{"silent against expectation", strings.Replace(firing, "[sms]", "[push]", 1) + quiet, map[string][]string{
			"fires": {"DG-90 was expected and is silent"}, "quiet": nil}},
		{"another severity", strings.Replace(firing, "severity: high", "severity: low", 1) + quiet, map[string][]string{
			"fires": {"DG-90 is high, want low: ada@example.com used a text message."}, "quiet": nil}},
		{"another time", strings.Replace(firing, "at: +5m,", "at: +6m,", 1) + quiet, map[string][]string{
			"fires": {"DG-90 came at +5m0s, want +6m0s: ada@example.com used a text message."}, "quiet": nil}},
		{"another message", strings.Replace(firing, "a text message", "a push", 1) + quiet, map[string][]string{
			"fires": {`DG-90 says "ada@example.com used a text message.", want "a push" in it`}, "quiet": nil}},
		{"too severe", firing + "    at_most: medium\n" + quiet, map[string][]string{
			"fires": {"DG-90 is high, at most medium is expected: ada@example.com used a text message."}, "quiet": nil}},
		{"twice where once is expected", strings.Replace(firing, "    expect", "      - at: +3h\n        sign_in: {methods: [sms], from: hotel}\n    expect", 1) + quiet,
			map[string][]string{"fires": {"DG-90 was not expected: high, at +3h0m0s: ada@example.com used a text message."}, "quiet": nil}},
		{"with a past", strings.Replace(strings.Replace(firing, "    events", "    given:\n      passkey: {since: -9d}\n      signed_in: {methods: [passkey], times: 3}\n    events", 1), "severity: high", "severity: low", 1) + quiet,
			map[string][]string{"fires": nil, "quiet": nil}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			results, err := Run(pack(tt.tests))
			if err != nil {
				t.Fatal(err)
			}
			got := map[string][]string{}
			for _, r := range results {
				got[r.Test] = r.Failures
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("failures (-want +got):\n%s", d)
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	change := func(old, new string) string { return strings.Replace(firing, old, new, 1) }
	tests := []struct{ name, tests, want string }{
		{"unknown field", change("methods", "method"), "area/dg-90.yaml:15:19: unknown key method: did you mean methods?"},
		{"unknown method", change("[sms]", "[smss]"), `area/dg-90.yaml:15:29: "smss" is not possible here: did you mean sms?`},
		{"unknown kind", change("sign_in:", "sign_on:"), "area/dg-90.yaml:15:9: unknown key sign_on: did you mean sign_in?"},
		{"time without sign", change("at: +5m", "at: 5m"), `area/dg-90.yaml:14:13: "5m" is not a time: write it with a sign, as in +5m or -30d`},
		{"no expectation", strings.Split(firing, "    expect")[0], "area/dg-90.yaml:12:5: expect is missing: list the alerts, or [] for none"},
		{"no name", change("name: fires", "at_most: low"), "area/dg-90.yaml:12:5: name is missing: say what happens in the timeline"},
		{"event that is not valid", change("{methods: [sms]}", "{outcome: good}"),
			`area/dg-90.yaml:12:5: test "fires": event field outcome: "good" is not an outcome`},
		{"unknown place", change("{methods: [sms]}", "{from: moon}"),
			`area/dg-90.yaml:15:25: "moon" is not possible here: use one of home, office, mobile, hotel, vpn, hosting, none`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Run(pack(tt.tests))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}
