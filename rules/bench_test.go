package rules_test

import (
	"fmt"
	"testing"
	"time"

	"stepdown/detect/ledger"
	"stepdown/detect/rule"
	"stepdown/ingest/event"
	"stepdown/rules"
)

// BenchmarkSignIn asks every rule for sign-ins about an ordinary one with a
// passkey, and each rule by itself.
func BenchmarkSignIn(b *testing.B) {
	set, err := rule.Load(rules.Files())
	if err != nil {
		b.Fatal(err)
	}
	ev := rule.NewEvaluator(set)
	l := &ledger.Ledger{}
	var in rule.Input
	for day := range 30 {
		at := time.Date(2026, 2, 1, 9, 0, 0, 0, time.UTC).AddDate(0, 0, day)
		e := &event.Event{ID: fmt.Sprint(day), Source: "okta", Kind: event.SignIn, Outcome: event.Success, Time: at,
			Key: "ada@example.com", FlowID: fmt.Sprint("f", day), SessionID: fmt.Sprint("s", day),
			Factors:   []event.Factor{event.NewFactor(event.MethodPasskey, event.Verified)},
			Endpoint:  event.Endpoint{IP: "192.0.2.10", ASN: 64496, Country: "NL"},
			UserAgent: event.UserAgent{Browser: "Chrome", OS: "Windows"}, Device: &event.Device{ID: "d-1"}}
		in = rule.Input{Event: e, Ledger: l, Attempt: l.Apply(e)}
	}
	ask := func(b *testing.B, list []*rule.Rule) {
		b.ReportAllocs()
		for b.Loop() {
			for _, r := range list {
				if v, err := ev.Eval(r, in); err != nil || v.Matched {
					b.Fatal(v.Matched, err)
				}
			}
		}
	}
	b.Run("all", func(b *testing.B) { ask(b, set.For(event.SignIn)) })
	for _, r := range set.For(event.SignIn) {
		b.Run(r.ID, func(b *testing.B) { ask(b, []*rule.Rule{r}) })
	}
}
