package rules_test

import (
	"testing"

	"stepdown/detect/ruletest"
	"stepdown/rules"
)

// TestRules runs the timelines that stand in the rule files.
func TestRules(t *testing.T) {
	results, err := ruletest.Run(rules.Files())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		t.Run(r.Rule+"/"+r.Test, func(t *testing.T) {
			for _, f := range r.Failures {
				t.Errorf("%s:%d: %s", r.File, r.Line, f)
			}
		})
	}
}
