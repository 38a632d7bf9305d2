package rules_test

import (
	"strings"
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
			for _, a := range r.Alerts {
				if strings.Contains(a.Title, "not known") || strings.Contains(a.Title, "  ") {
					t.Errorf("%s:%d: the message does not read well: %s", r.File, r.Line, a.Title)
				}
			}
		})
	}
}
