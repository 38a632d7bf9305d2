package ruletest

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"stepdown/detect"
	"stepdown/detect/alert"
	"stepdown/detect/rule"
	"stepdown/detect/rule/yamlpos"
)

// settle is how long after its last event a timeline is looked at.
const settle = 2 * time.Hour

// Result is how one test of a rule file ended.
type Result struct {
	// Rule is the rule of the file; Test is the name of the test.
	Rule string
	Test string
	// File and Line are where the test stands.
	File string
	Line int
	// Alerts are those that stood at the end, of every rule.
	Alerts []alert.Alert
	// Failures say what was otherwise than expected; none means that it passed.
	Failures []string
}

// Run runs the tests of every rule file of fsys, which is loaded as one pack. The
// error is that the pack, or a test, could not be read; tests that fail are in the
// results, and so is a rule without a test that fires and one that does not.
func Run(fsys fs.FS) ([]Result, error) {
	set, err := rule.Load(fsys)
	if err != nil {
		return nil, err
	}
	var results []Result
	var errs []error
	for _, r := range set.All() {
		data, err := fs.ReadFile(fsys, r.File)
		if err != nil {
			return nil, fmt.Errorf("read tests of %s: %w", r.ID, err)
		}
		timelines, err := timelinesOf(r.File, data)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		results = append(results, coverage(r, timelines)...)
		for i := range timelines {
			result, err := run(set, r, &timelines[i])
			if err != nil {
				return nil, err
			}
			results = append(results, result)
		}
	}
	return results, errors.Join(errs...)
}

func timelinesOf(file string, data []byte) ([]timeline, error) {
	root, err := yamlpos.Parse(file, data)
	if err != nil {
		return nil, err
	}
	pairs, err := root.Map("a rule")
	if err != nil {
		return nil, err
	}
	for _, p := range pairs {
		if p.Key == "tests" {
			return readTimelines(p.Value)
		}
	}
	return nil, nil
}

// coverage reports a rule whose tests cannot fail for the right reason.
func coverage(r *rule.Rule, timelines []timeline) []Result {
	fires := func(t timeline) bool {
		return slices.ContainsFunc(t.expect, func(x expectation) bool { return x.rule == r.ID })
	}
	quiet := func(t timeline) bool { return !fires(t) }
	var missing []string
	if !slices.ContainsFunc(timelines, fires) {
		missing = append(missing, "has no test in which it fires")
	}
	if !slices.ContainsFunc(timelines, quiet) {
		missing = append(missing, "has no test in which it stays quiet")
	}
	if missing == nil {
		return nil
	}
	return []Result{{Rule: r.ID, Test: "tests are there", File: r.File, Line: 1, Failures: missing}}
}

// run plays t through an engine of its own.
func run(set *rule.Set, r *rule.Rule, t *timeline) (Result, error) {
	result := Result{Rule: r.ID, Test: t.name, File: r.File, Line: t.at.Line()}
	shard := detect.NewShard(detect.NewEngine(set, detect.DefaultConfig(), nil))
	defer shard.Close()
	last := origin()
	for i := range t.events {
		if err := shard.Apply(&t.events[i], int64(i)); err != nil {
			return result, fmt.Errorf("apply event %s: %w", t.events[i].ID, err)
		}
		last = t.events[i].Time
	}
	shard.Advance(last.Add(settle))
	standing := map[alert.ID]alert.Alert{}
	for _, a := range shard.Drain() {
		standing[a.ID] = a
	}
	for _, a := range standing {
		if a.State == alert.Open {
			result.Alerts = append(result.Alerts, a)
		}
	}
	slices.SortFunc(result.Alerts, func(a, b alert.Alert) int {
		if c := a.Time.Compare(b.Time); c != 0 {
			return c
		}
		return strings.Compare(a.RuleID, b.RuleID)
	})
	result.Failures = compare(r.ID, t, result.Alerts)
	return result, nil
}

// compare says what is otherwise than t expects.
func compare(id string, t *timeline, alerts []alert.Alert) []string {
	var failures []string
	taken := make([]bool, len(alerts))
	for _, x := range t.expect {
		found, nearest := -1, -1
		for i := range alerts {
			switch {
			case alerts[i].RuleID != x.rule || taken[i]:
			case x.differs(&alerts[i]) == "" && found < 0:
				found = i
			case nearest < 0:
				nearest = i
			}
		}
		switch {
		case found >= 0:
			taken[found] = true
		case nearest >= 0:
			taken[nearest] = true
			failures = append(failures, fmt.Sprintf("%s %s", x.rule, x.differs(&alerts[nearest])))
		default:
			failures = append(failures, x.rule+" was expected and is silent")
		}
	}
	for i, a := range alerts {
		if a.RuleID == id && !taken[i] {
			failures = append(failures, fmt.Sprintf("%s was not expected: %s, at %s: %s", id, a.Severity, moment(a.Time), a.Title))
		}
		if t.atMost != "" && a.Severity.Rank() > t.atMost.Rank() {
			failures = append(failures, fmt.Sprintf("%s is %s, at most %s is expected: %s", a.RuleID, a.Severity, t.atMost, a.Title))
		}
	}
	return failures
}

// differs says how a is otherwise than expected, "" when it is not.
func (x *expectation) differs(a *alert.Alert) string {
	switch {
	case x.severity != "" && a.Severity != x.severity:
		return fmt.Sprintf("is %s, want %s: %s", a.Severity, x.severity, a.Title)
	case !x.time.IsZero() && !a.Time.Equal(x.time):
		return fmt.Sprintf("came at %s, want %s: %s", moment(a.Time), moment(x.time), a.Title)
	case x.reason != "" && a.Reason != x.reason:
		return fmt.Sprintf("has the reason %s, want %s: %s", a.Reason, x.reason, a.Title)
	case !strings.Contains(a.Title, x.message):
		return fmt.Sprintf("says %q, want %q in it", a.Title, x.message)
	}
	return ""
}

// moment says a time as timelines do.
func moment(t time.Time) string {
	if d := t.Sub(origin()); d >= 0 {
		return "+" + d.String()
	}
	return t.Sub(origin()).String()
}
