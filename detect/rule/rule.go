package rule

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"stepdown/detect/alert"
	"stepdown/detect/rule/yamlpos"
	"stepdown/ingest/event"
)

// Status is how far a rule has come, in Sigma's words.
type Status string

// The statuses. A deprecated rule is kept for its tests and its id, and is not
// asked.
const (
	Experimental Status = "experimental"
	Test         Status = "test"
	Stable       Status = "stable"
	Deprecated   Status = "deprecated"
)

// OncePer is what one finding of a rule hangs on.
type OncePer string

// The anchors. PerAttempt rules judge a sign-in that has succeeded, and judge it
// again with every later record of it; the others judge each event by itself.
const (
	PerAttempt OncePer = "attempt"
	PerEvent   OncePer = "event"
	PerSession OncePer = "session"
	PerFlow    OncePer = "flow"
)

// Rule is one rule, checked and compiled. It does not change and is safe for
// concurrent use.
type Rule struct {
	// File is where it was read from.
	File        string
	ID          string
	Title       string
	Status      Status
	Version     int
	Description string
	Author      string
	Owner       string
	// Date and Modified are days, 2006-01-02.
	Date     string
	Modified string
	// Tags are MITRE ATT&CK ids as Sigma writes them: attack.t1556.006.
	Tags           []string
	References     []string
	FalsePositives []string
	Runbook        []string
	// On are the kinds of event that the rule is asked about.
	On      []event.Kind
	OncePer OncePer

	when, unless []term
	severity     term
	reason       term
	message      []term
	suppressFor  time.Duration
	suppressBy   []term
	mentioned    []mention
}

// mention is a rule that found() asks for, and where.
type mention struct {
	id string
	at yamlpos.Node
}

// PerAttempt reports whether the rule judges a sign-in as a whole.
func (r *Rule) PerAttempt() bool { return r.OncePer == PerAttempt }

func keys() []string {
	return []string{"id", "title", "status", "version", "description", "author", "owner", "date", "modified", "tags",
		"references", "falsepositives", "runbook", "on", "once_per", "let", "when", "unless", "severity", "reason",
		"message", "suppress", "tests"}
}

// parsing is the state of reading one rule file.
type parsing struct {
	rule     *Rule
	compiler *compiler
	root     yamlpos.Node
	values   map[string]yamlpos.Node
	errs     []error
}

// Parse reads and compiles one rule. data is the file's content, file its name in
// errors. The error joins everything that is wrong with the file, each with file,
// line and column. What stands under tests is read by ruletest.
func Parse(file string, data []byte) (*Rule, error) {
	root, err := yamlpos.Parse(file, data)
	if err != nil {
		return nil, err
	}
	pairs, err := root.Map("a rule")
	if err != nil {
		return nil, err
	}
	p := &parsing{rule: &Rule{File: file}, compiler: &compiler{vocabulary: newVocabulary()}, root: root, values: map[string]yamlpos.Node{}}
	for _, pair := range pairs {
		switch {
		case pair.Key == "level":
			p.fail(pair.Name.Errorf("unknown key level: here it is severity"))
		case !slices.Contains(keys(), pair.Key):
			p.fail(pair.Unknown(keys()))
		case pair.Value.IsZero():
			p.fail(pair.Name.Errorf("%s is empty: fill it in or leave it out", pair.Key))
		}
		p.values[pair.Key] = pair.Value
	}
	p.metadata()
	p.trigger()
	p.logic()
	p.conclusion()
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return p.rule, nil
}

func (p *parsing) fail(err error) {
	if err != nil {
		p.errs = append(p.errs, err)
	}
}

// text returns the text under key; want says what is missing when it is required.
func (p *parsing) text(key, want string) string {
	n := p.values[key]
	if n.IsZero() {
		if _, there := p.values[key]; want != "" && !there {
			p.fail(p.root.Errorf("%s is missing: %s", key, want))
		}
		return ""
	}
	s, err := n.Text()
	p.fail(err)
	return strings.TrimSpace(s)
}

func (p *parsing) list(key string) []string {
	n := p.values[key]
	if n.IsZero() {
		return nil
	}
	nodes, err := n.List(key)
	p.fail(err)
	var out []string
	for _, m := range nodes {
		s, err := m.Text()
		p.fail(err)
		out = append(out, strings.TrimSpace(s))
	}
	return out
}

func (p *parsing) metadata() {
	r := p.rule
	r.ID = p.text("id", "give the rule an id such as DG-01")
	if r.ID != "" && !regexp.MustCompile(`^[A-Z][A-Z0-9]*-[0-9]+$`).MatchString(r.ID) {
		p.fail(p.values["id"].Errorf("%q is not an id: write capitals, a dash and a number, as in DG-01", r.ID))
	}
	r.Title = p.text("title", "name the rule in a few words")
	r.Description = p.text("description", "say what the rule finds and why it matters")
	r.Status = Status(p.text("status", "use experimental, test, stable or deprecated"))
	if known := texts([]Status{Experimental, Test, Stable, Deprecated}); r.Status != "" && !slices.Contains(known, string(r.Status)) {
		p.fail(p.values["status"].Errorf("%q is not a status%s", r.Status, yamlpos.DidYouMean(string(r.Status), known)))
	}
	version := p.text("version", "begin with 1, and count up when the rule's meaning changes")
	if n, err := strconv.Atoi(version); version != "" && (err != nil || n < 1) {
		p.fail(p.values["version"].Errorf("%q is not a version: use a number from 1", version))
	} else {
		r.Version = n
	}
	r.Author, r.Owner = p.text("author", ""), p.text("owner", "")
	r.Date, r.Modified = p.text("date", ""), p.text("modified", "")
	for _, key := range []string{"date", "modified"} {
		if s := p.text(key, ""); s != "" {
			if _, err := time.Parse(time.DateOnly, s); err != nil {
				p.fail(p.values[key].Errorf("%q is not a day: write 2026-11-24", s))
			}
		}
	}
	r.Tags, r.References = p.list("tags"), p.list("references")
	r.FalsePositives, r.Runbook = p.list("falsepositives"), p.list("runbook")
}

// trigger reads what the rule is asked about and what a finding hangs on.
func (p *parsing) trigger() {
	r := p.rule
	if _, ok := p.values["on"]; !ok {
		p.fail(p.root.Errorf("on is missing: list the kinds of event, as in [sign_in]"))
	}
	if n := p.values["on"]; !n.IsZero() {
		nodes, err := n.List("on")
		p.fail(err)
		if err == nil && len(nodes) == 0 {
			p.fail(n.Errorf("on is empty: list the kinds of event, as in [sign_in]"))
		}
		for _, m := range nodes {
			s, err := m.Text()
			p.fail(err)
			if k := event.Kind(s); k.Valid() {
				r.On = append(r.On, k)
			} else if err == nil {
				p.fail(m.Errorf("%q is not a kind of event%s", s, yamlpos.DidYouMean(s, closedList("kind"))))
			}
		}
	}
	signIn := len(r.On) > 0 && !slices.ContainsFunc(r.On, func(k event.Kind) bool {
		return k != event.SignIn && k != event.FactorChallenge && k != event.SessionStart
	})
	r.OncePer = OncePer(p.text("once_per", ""))
	known := texts([]OncePer{PerAttempt, PerEvent, PerSession, PerFlow})
	switch {
	case r.OncePer == "" && signIn:
		r.OncePer = PerAttempt
	case r.OncePer == "":
		r.OncePer = PerEvent
	case !slices.Contains(known, string(r.OncePer)):
		p.fail(p.values["once_per"].Errorf("%q is nothing a finding can hang on%s", r.OncePer, yamlpos.DidYouMean(string(r.OncePer), known)))
	}
	if r.OncePer == PerAttempt && len(r.On) > 0 && !(signIn && slices.Contains(r.On, event.SignIn)) {
		p.fail(p.values["on"].Errorf("a rule that judges a sign-in as a whole (once_per: attempt) is asked on: [sign_in]"))
	}
}

// logic reads let, when and unless.
func (p *parsing) logic() {
	r := p.rule
	names := map[string]bool{}
	name := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	each := func(key string, f func(pair yamlpos.Pair, text string)) {
		n := p.values[key]
		if n.IsZero() {
			return
		}
		pairs, err := n.Map(key)
		p.fail(err)
		for _, pair := range pairs {
			switch {
			case !name.MatchString(pair.Key):
				p.fail(pair.Name.Errorf("%q is not a name: write small letters, numbers and _", pair.Key))
			case names[pair.Key]:
				p.fail(pair.Name.Errorf("%s is there twice", pair.Key))
			case pair.Value.IsZero():
				p.fail(pair.Name.Errorf("%s is empty: write an expression", pair.Key))
			default:
				names[pair.Key] = true
				text, err := pair.Value.Text()
				if err != nil {
					p.fail(err)
					continue
				}
				f(pair, text)
			}
		}
	}
	each("let", func(pair yamlpos.Pair, text string) {
		if _, taken := p.compiler.vocabulary.facts[pair.Key]; taken {
			p.fail(pair.Name.Errorf("%s is the name of a fact: choose another", pair.Key))
			return
		}
		if _, err := p.compiler.compile(text); err != nil {
			p.fail(at(pair.Value, err))
			return
		}
		p.compiler.lets = append(p.compiler.lets, binding{pair.Key, text})
	})
	if _, ok := p.values["when"]; !ok {
		p.fail(p.root.Errorf("when is missing: name at least one condition"))
	}
	condition := func(into *[]term) func(yamlpos.Pair, string) {
		return func(pair yamlpos.Pair, text string) {
			p.compiler.mentioned = nil
			t, err := p.compiler.condition(pair.Key, text)
			if err != nil {
				p.fail(at(pair.Value, err))
				return
			}
			for _, id := range p.compiler.mentioned {
				r.mentioned = append(r.mentioned, mention{id, pair.Value})
			}
			*into = append(*into, t)
		}
	}
	each("when", condition(&r.when))
	if n := p.values["when"]; !n.IsZero() && len(r.when) == 0 && len(p.errs) == 0 {
		p.fail(n.Errorf("when is empty: name at least one condition"))
	}
	each("unless", condition(&r.unless))
}

// at places a problem of an expression in the file.
func at(n yamlpos.Node, err error) error {
	if p, ok := errors.AsType[*problem](err); ok {
		return n.ErrorAt(p.offset, "%s", p.message)
	}
	return n.Errorf("%v", err)
}

// conclusion reads what the rule says when it matched.
func (p *parsing) conclusion() {
	r := p.rule
	r.severity = p.choice("severity", texts(alert.Severities()), "")
	r.reason = p.choice("reason", texts(alert.Reasons()), string(alert.ReasonUnknown))
	message := p.text("message", "say in one sentence what happened, with facts in braces")
	if n := p.values["message"]; message != "" {
		r.message = p.interpolate(n)
	}
	n := p.values["suppress"]
	if n.IsZero() {
		return
	}
	pairs, err := n.Map("suppress")
	p.fail(err)
	for _, pair := range pairs {
		switch pair.Key {
		case "for":
			s, err := pair.Value.Text()
			p.fail(err)
			d, err := ParseDuration(s)
			if err != nil || d == 0 {
				p.fail(pair.Value.Errorf("%q is not a span: write it like 90m, 24h or 14d", s))
			}
			r.suppressFor = d
		case "by":
			nodes, err := pair.Value.List("by")
			p.fail(err)
			for _, m := range nodes {
				s, err := m.Text()
				p.fail(err)
				t, err := p.compiler.value("suppress.by", s)
				if err != nil {
					p.fail(at(m, err))
					continue
				}
				r.suppressBy = append(r.suppressBy, t)
			}
		default:
			p.fail(pair.Unknown([]string{"for", "by"}))
		}
	}
	if err == nil && r.suppressFor == 0 && len(p.errs) == 0 {
		p.fail(n.Errorf("for is missing: say how long, as in {for: 12h}"))
	}
}

// choice reads a value from a closed list, or an expression that chooses one.
func (p *parsing) choice(key string, allowed []string, fallback string) term {
	n := p.values[key]
	if n.IsZero() {
		if _, there := p.values[key]; fallback == "" && !there {
			p.fail(p.root.Errorf("%s is missing: use one of %s, or an expression that chooses", key, strings.Join(allowed, ", ")))
		}
		return term{name: key, text: fallback}
	}
	s, err := n.Text()
	if err != nil {
		p.fail(err)
		return term{}
	}
	if word := strings.TrimSpace(s); regexp.MustCompile(`^\w+$`).MatchString(word) {
		if !slices.Contains(allowed, word) {
			p.fail(n.Errorf("%s cannot be %q%s", key, word, yamlpos.DidYouMean(word, allowed)))
		}
		return term{name: key, text: word}
	}
	t, err := p.compiler.choice(key, s, allowed)
	if err != nil {
		p.fail(at(n, err))
	}
	return t
}

// interpolate splits a message into texts and the expressions in its braces.
func (p *parsing) interpolate(n yamlpos.Node) []term {
	s, err := n.Text()
	if err != nil {
		return nil // said before
	}
	s = strings.TrimRight(s, "\n ")
	var out []term
	for offset, rest := 0, s; rest != ""; {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			return append(out, term{name: "message", text: rest})
		}
		if open > 0 {
			out = append(out, term{name: "message", text: rest[:open]})
		}
		end := closing(rest[open+1:])
		before := runes(s[:offset+open+1])
		if end < 0 {
			p.fail(n.ErrorAt(before-1, "the brace is not closed"))
			return nil
		}
		inner := rest[open+1:][:end]
		t, err := p.compiler.value("message", inner)
		if err != nil {
			var what *problem
			if !errors.As(err, &what) {
				p.fail(n.Errorf("%v", err))
				return nil
			}
			p.fail(n.ErrorAt(before+what.offset, "%s", what.message))
			return nil
		}
		out = append(out, t)
		offset += open + 1 + end + 1
		rest = s[offset:]
	}
	return out
}

func runes(s string) int { return len([]rune(s)) }

// closing returns the index of the brace that closes an expression, -1 for none.
// Braces in the expression's own texts and blocks do not count.
func closing(s string) int {
	depth := 0
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '{':
			depth++
		case c == '}' && depth == 0:
			return i
		case c == '}':
			depth--
		}
	}
	return -1
}

// String names the rule for people.
func (r *Rule) String() string { return fmt.Sprintf("%s %s", r.ID, r.Title) }
