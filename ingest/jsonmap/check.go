package jsonmap

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"stepdown/detect/rule/yamlpos"
	"stepdown/ingest"
	"stepdown/ingest/event"
)

// test is a record and what it must give.
type test struct {
	name   string
	line   int
	record string
	// want has texts and lists of texts, by the path in the event.
	want map[string][]string
}

// Result is how one test of a file ended.
type Result struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Test string `json:"test"`
	// Failures say what is otherwise; none is a pass.
	Failures []string `json:"failures,omitempty"`
}

// Report is what the tests of a mapping gave.
type Report struct {
	Source  event.Source `json:"source"`
	File    string       `json:"file"`
	Results []Result     `json:"results"`
	// Unseen are the paths of the mapping that no record of a test has: untested, or
	// misspelt.
	Unseen []string `json:"unseen_paths,omitempty"`
}

// The words of want that are no path of an event.
const (
	wantSkipped = "skipped"
	wantFailed  = "failed"
)

func (p *parser) readTests(n yamlpos.Node) {
	list, err := n.List("tests")
	p.wrong(err)
	for _, item := range list {
		pairs, err := item.Map("a test")
		if err != nil {
			p.wrong(err)
			continue
		}
		t := test{line: item.Line()}
		for _, at := range pairs {
			if !p.given(at) {
				continue
			}
			switch at.Key {
			case "name":
				t.name, err = at.Value.Text()
				p.wrong(err)
			case "record":
				t.record, err = at.Value.Text()
				p.wrong(err)
				if err == nil && !json.Valid([]byte(t.record)) {
					p.wrong(at.Name.Errorf("record is no JSON: put a record of the log in quotes, or behind record: |"))
				}
			case "want":
				t.want = p.readWant(at)
			default:
				p.wrong(at.Unknown([]string{"name", "record", "want"}))
			}
		}
		if t.name == "" || t.record == "" || len(t.want) == 0 {
			p.wrong(item.Errorf("a test has a name, a record and what it is wanted to give"))
		}
		p.tests = append(p.tests, t)
	}
}

func (p *parser) readWant(at yamlpos.Pair) map[string][]string {
	pairs, err := at.Value.Map("want")
	p.wrong(err)
	known := []string{"id", "time", "kind", "outcome", "factors", "authenticators", "warnings", wantSkipped, wantFailed}
	known = slices.Concat(known, slices.Sorted(maps.Keys(textFields())), slices.Sorted(maps.Keys(listFields())), slices.Sorted(maps.Keys(truthFields())))
	want := map[string][]string{}
	for _, w := range pairs {
		if !slices.Contains(known, w.Key) {
			p.wrong(w.Unknown(known))
			continue
		}
		if !p.given(w) {
			continue
		}
		values := []yamlpos.Node{w.Value}
		if w.Value.IsList() {
			values, err = w.Value.List(w.Key)
			p.wrong(err)
		}
		want[w.Key] = []string{}
		for _, v := range values {
			text, err := v.Text()
			p.wrong(err)
			if text != "" {
				want[w.Key] = append(want[w.Key], text)
			}
		}
	}
	return want
}

// Test runs the tests of the file.
func (m *Mapping) Test() Report {
	out := Report{Source: m.source, File: m.File, Results: []Result{}}
	seen := map[string]bool{}
	for _, t := range m.tests {
		out.Results = append(out.Results, Result{File: m.File, Line: t.line, Test: t.name, Failures: m.try(&t)})
		if record, err := decode([]byte(t.record)); err == nil {
			for path := range m.own {
				seen[path] = seen[path] || len(find(record, m.steps[path], nil)) > 0
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(m.own)) {
		if !seen[path] && len(m.tests) > 0 {
			out.Unseen = append(out.Unseen, path)
		}
	}
	return out
}

// try returns what a test's record gives otherwise than wanted.
func (m *Mapping) try(t *test) (failures []string) {
	// A fixed time, so that what falls back to it is the same each time.
	received := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	events, err := m.Normalize(ingest.Record{Source: m.source, Data: []byte(t.record), Observed: received, Origin: m.File})
	got := map[string]any{}
	if skip, ok := errors.AsType[*ingest.SkipError](err); ok {
		got[wantSkipped] = string(skip.Reason)
	} else if err != nil {
		got[wantFailed] = string(ingest.ReasonOf(err))
	} else {
		e := events[0]
		if got, err = asMap(&e); err != nil {
			return []string{err.Error()}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(t.want)) {
		var texts []string
		for _, v := range find(got, strings.Split(path, "."), nil) {
			texts = append(texts, textOf(v))
		}
		if want := t.want[path]; !slices.Equal(texts, want) {
			failures = append(failures, fmt.Sprintf("%s is %s, want %s", path, show(texts), show(want)))
		}
	}
	if err != nil && len(failures) > 0 {
		failures = append(failures, "the record gives no event: "+err.Error())
	}
	return failures
}

// asMap is an event as a test asks for it: factors and authenticators by their
// methods.
func asMap(e *event.Event) (map[string]any, error) {
	encoded, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	got, err := decode(encoded)
	if err != nil {
		return nil, err
	}
	var factors, authenticators []any
	for i := range e.Factors {
		factors = append(factors, string(e.Factors[i].Method))
	}
	for i := range e.Authenticators {
		authenticators = append(authenticators, string(e.Authenticators[i].Method))
	}
	got["factors"], got["authenticators"] = factors, authenticators
	return got, nil
}

func show(texts []string) string {
	switch len(texts) {
	case 0:
		return "nothing"
	case 1:
		return fmt.Sprintf("%q", texts[0])
	}
	return fmt.Sprintf("%q", texts)
}
