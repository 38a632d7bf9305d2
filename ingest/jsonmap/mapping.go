package jsonmap

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"stepdown/detect/rule/yamlpos"
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

//go:embed presets/*.yaml
var presets embed.FS

// Presets lists the mappings that another may begin from.
func Presets() []string { return []string{"ecs", "ocsf"} }

// Mapping is one file. It is the normalizer of its source.
type Mapping struct {
	// File is where it was read from.
	File   string
	source event.Source
	title  string

	when    *vm.Program // nil takes every record
	layouts []string
	fields  map[string]assignment
	// order has the names of fields but id and time: warnings are part of the event,
	// so they come in the same order.
	order   []string
	kind    words[event.Kind]
	outcome words[event.Outcome]
	factors words[event.Method]
	tests   []test

	// steps are all paths, own those that the file itself names.
	steps map[string][]string
	own   map[string]bool
}

// assignment is a field of an event and the expression for it.
type assignment struct {
	program *vm.Program
	set     func(e *event.Event, value any)
}

// words say what an app's own words mean; from tells the word of a record.
type words[T ~string] struct {
	from *vm.Program
	mean map[string]T
}

// The words beside those of ingest/event: a kind that yields no event, and a factor
// that is none.
const (
	skipped  event.Kind   = "skip"
	noFactor event.Method = "none"
)

func (w *words[T]) of(word string) (T, bool) {
	v, ok := w.mean[strings.ToLower(word)]
	return v, ok
}

var sourceName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// Parse reads a mapping; file names it in errors, which join every mistake as
// *yamlpos.Error.
func Parse(file string, data []byte) (*Mapping, error) {
	root, err := yamlpos.Parse(file, data)
	if err != nil {
		return nil, err
	}
	m := &Mapping{File: file, steps: map[string][]string{}, own: map[string]bool{}, fields: map[string]assignment{}}
	p := &parser{Mapping: m, own: true}
	p.file(root)
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	for _, name := range slices.Sorted(maps.Keys(m.fields)) {
		if name != "id" && name != "time" {
			m.order = append(m.order, name)
		}
	}
	return m, nil
}

// Source is whose records it reads.
func (m *Mapping) Source() event.Source { return m.source }

// Title names the source for people.
func (m *Mapping) Title() string { return lenient.First(m.title, string(m.source)) }

// parser reads a file, and before it its preset.
type parser struct {
	*Mapping
	own  bool
	errs []error
}

func (p *parser) wrong(err error) {
	if err != nil {
		p.errs = append(p.errs, err)
	}
}

func (p *parser) file(root yamlpos.Node) {
	pairs, err := root.Map("a mapping file")
	if err != nil {
		p.wrong(err)
		return
	}
	// What the file says stands over its preset, wherever it names it.
	for _, at := range pairs {
		if at.Key == "preset" && !at.Value.IsZero() {
			p.preset(at.Value)
		}
	}
	var kindAt yamlpos.Node
	for _, at := range pairs {
		if !p.given(at) {
			continue
		}
		switch at.Key {
		case "preset":
		case "source":
			text, err := at.Value.Text()
			p.wrong(err)
			if err == nil && !sourceName.MatchString(text) {
				p.wrong(at.Name.Errorf("source is %q; use lower-case letters, digits and dashes, such as hr-portal", text))
			}
			p.source = event.Source(text)
		case "title":
			p.title, err = at.Value.Text()
			p.wrong(err)
		case "when":
			p.when = program[bool](p, at)
		case "time_layouts":
			p.times(at.Value)
		case "fields":
			p.assign(at.Value)
		case "kind":
			kindAt = at.Name
			declare(p, at, &p.kind, append(slices.Sorted(maps.Keys(kinds())), skipped), "string")
		case "outcome":
			declare(p, at, &p.outcome, []event.Outcome{event.Success, event.Failure, event.Denied, event.Challenged, event.Abandoned, event.OutcomeUnknown}, "string")
		case "factors":
			declare(p, at, &p.factors, append(event.Methods(), noFactor), "list")
		case "tests":
			p.readTests(at.Value)
		default:
			p.wrong(at.Unknown([]string{"source", "title", "preset", "when", "time_layouts", "fields", "kind", "outcome", "factors", "tests"}))
		}
	}
	if !p.own {
		return
	}
	if p.source == "" {
		p.wrong(root.Errorf("source is not set: it names the app in events and in inputs"))
	}
	if p.kind.from == nil && len(p.errs) == 0 {
		p.wrong(root.Errorf("kind is not set: it says by which words of the app what happened, as in kind: {from: text(\"event\"), words: {login: sign_in}}"))
	}
	if !p.has("subject.name") && !p.has("subject.id") {
		p.wrong(root.Errorf("fields names nobody: set subject.name or subject.id"))
	}
	if kindAt.IsZero() {
		kindAt = root
	}
	for _, kind := range slices.Compact(slices.Sorted(maps.Values(p.kind.mean))) {
		if need := kinds()[kind]; need != "" && !p.has(need) {
			p.wrong(kindAt.Errorf("%s needs %s, which is not set", kind, need))
		}
	}
}

// given reports whether a pair has a value, and says so where it has none.
func (p *parser) given(at yamlpos.Pair) bool {
	if at.Value.IsZero() {
		p.wrong(at.Name.Errorf("%s is empty: give it a value, or leave it out", at.Key))
	}
	return !at.Value.IsZero()
}

// has reports whether a field, or the section factors, is set.
func (p *parser) has(name string) bool {
	_, ok := p.fields[name]
	return ok || name == "factors" && p.factors.from != nil
}

func (p *parser) preset(n yamlpos.Node) {
	name, err := n.Text()
	if err != nil {
		p.wrong(err)
		return
	}
	if !slices.Contains(Presets(), name) {
		p.wrong(n.Errorf("preset %q is not known%s", name, yamlpos.DidYouMean(name, Presets())))
		return
	}
	path := "presets/" + name + ".yaml"
	data, err := presets.ReadFile(path)
	if err != nil {
		p.wrong(err)
		return
	}
	root, err := yamlpos.Parse(path, data)
	if err != nil {
		p.wrong(err)
		return
	}
	p.own = false
	p.file(root)
	p.own = true
}

// program compiles the value of a pair, nil where that is not possible.
func program[T any](p *parser, at yamlpos.Pair) *vm.Program {
	if !p.given(at) {
		return nil
	}
	out, err := compile[T](p.Mapping, at.Value, p.own)
	p.wrong(err)
	return out
}

func (p *parser) times(n yamlpos.Node) {
	list, err := n.List("time_layouts")
	p.wrong(err)
	for _, item := range list {
		layout, err := item.Text()
		p.wrong(err)
		at := time.Date(2026, time.March, 2, 15, 4, 5, 0, time.UTC)
		if back, errBack := time.Parse(layout, at.Format(layout)); err == nil && (errBack != nil || back.Year() != at.Year() || back.YearDay() != at.YearDay()) {
			p.wrong(item.Errorf("%q is no layout of a date: write how 2 January 2006, 15:04:05 would be written", layout))
		}
		p.layouts = append(p.layouts, layout)
	}
}

func (p *parser) assign(n yamlpos.Node) {
	pairs, err := n.Map("fields")
	p.wrong(err)
	text, list, truth := textFields(), listFields(), truthFields()
	// These two are read apart: they have a fallback.
	text["id"], text["time"] = nil, nil
	for _, at := range pairs {
		var a assignment
		if set, ok := text[at.Key]; ok {
			a.program = program[string](p, at)
			a.set = func(e *event.Event, v any) {
				if s, _ := v.(string); s != "" {
					set(e, s)
				}
			}
		} else if set, ok := list[at.Key]; ok {
			a.program = program[[]string](p, at)
			a.set = func(e *event.Event, v any) {
				if s, _ := v.([]string); len(s) > 0 {
					set(e, s)
				}
			}
		} else if set, ok := truth[at.Key]; ok {
			a.program = program[bool](p, at)
			a.set = func(e *event.Event, v any) {
				if b, _ := v.(bool); b {
					set(e, b)
				}
			}
		} else {
			p.wrong(at.Unknown(slices.Concat(slices.Sorted(maps.Keys(text)), slices.Sorted(maps.Keys(list)), slices.Sorted(maps.Keys(truth)))))
			continue
		}
		p.fields[at.Key] = a
	}
}

// declare reads {from: EXPRESSION, words: {WORD: MEANING}}; what a file says of a
// word stands over its preset.
func declare[T ~string](p *parser, at yamlpos.Pair, w *words[T], known []T, form string) {
	pairs, err := at.Value.Map(at.Key)
	if err != nil {
		p.wrong(err)
		return
	}
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = string(k)
	}
	if w.mean == nil {
		w.mean = map[string]T{}
	}
	for _, part := range pairs {
		if !p.given(part) {
			continue
		}
		switch part.Key {
		case "from":
			if form == "list" {
				w.from = program[[]string](p, part)
			} else {
				w.from = program[string](p, part)
			}
		case "words":
			entries, err := part.Value.Map("words")
			p.wrong(err)
			for _, e := range entries {
				meaning, err := e.Value.Text()
				p.wrong(err)
				if err == nil && !slices.Contains(names, meaning) {
					p.wrong(e.Name.Errorf("%s means %q, which is no %s%s", e.Key, meaning, at.Key, yamlpos.DidYouMean(meaning, names)))
				}
				w.mean[strings.ToLower(e.Key)] = T(meaning)
			}
		default:
			p.wrong(part.Unknown([]string{"from", "words"}))
		}
	}
	if w.from == nil && len(p.errs) == 0 {
		p.wrong(at.Name.Errorf("%s has no from: an expression that gives the app's own word", at.Key))
	}
	if len(w.mean) == 0 && len(p.errs) == 0 {
		p.wrong(at.Name.Errorf("%s has no words: what the app's own words mean", at.Key))
	}
}

// run evaluates a program; there is none for what the mapping does not set.
func run[T any](program *vm.Program, e *env, what string) (v T, err error) {
	if program == nil {
		return v, nil
	}
	out, err := expr.Run(program, e)
	if err != nil {
		return v, ingest.Malformed(ingest.MalformedShape, "%s: %w", what, err)
	}
	v, _ = out.(T)
	return v, nil
}

// Normalize implements ingest.Normalizer: one record gives one event or none. The
// event shares the bytes of r.Data as its raw record.
func (m *Mapping) Normalize(r ingest.Record) ([]event.Event, error) {
	record, err := decode(r.Data)
	if err != nil {
		return nil, err
	}
	in := newEnv(record, m.steps)
	if m.when != nil {
		if wanted, err := run[bool](m.when, in, "when"); err != nil || !wanted {
			return nil, lateSkip(err, "when is false")
		}
	}
	word, err := run[string](m.kind.from, in, "kind")
	if err != nil {
		return nil, err
	}
	if word == "" {
		return nil, ingest.Malformed(ingest.MalformedMissing, "no word for what happened in the record")
	}
	kind, known := m.kind.of(word)
	if !known || kind == skipped {
		return nil, ingest.Skip(ingest.SkipIrrelevant, word)
	}
	e := event.Event{Schema: event.SchemaVersion, Source: r.Source, Tenant: r.Tenant, Stream: r.Stream, Observed: r.Observed, Raw: r.Data,
		Kind: kind, Action: word, Outcome: event.OutcomeUnknown, Subject: event.Principal{Type: "user"}}
	for _, name := range m.order {
		v, err := run[any](m.fields[name].program, in, name)
		if err != nil {
			return nil, err
		}
		m.fields[name].set(&e, v)
	}
	if e.Subject.ID == "" && e.Subject.Name == "" {
		return nil, ingest.Skip(ingest.SkipNoIdentity, word)
	}
	if err := m.identify(&e, in, record); err != nil {
		return nil, err
	}
	if err := m.judge(&e, in); err != nil {
		return nil, err
	}
	if err := complete(&e); err != nil {
		return nil, err
	}
	return []event.Event{e}, nil
}

func lateSkip(err error, detail string) error {
	if err != nil {
		return err
	}
	return ingest.Skip(ingest.SkipIrrelevant, detail)
}

// identify sets id and time.
func (m *Mapping) identify(e *event.Event, in *env, record map[string]any) error {
	text, err := run[string](m.fields["time"].program, in, "time")
	if err != nil {
		return err
	}
	var ok bool
	if e.Time, ok = m.time(text); !ok {
		e.Time = e.Observed
		e.Warnings = append(e.Warnings, "time_from_receipt")
	}
	id, err := run[string](m.fields["id"].program, in, "id")
	if err != nil {
		return err
	}
	if e.ID = lenient.ID(id, string(e.Source)); id == "" {
		canonical, err := json.Marshal(record) // members in order
		if err != nil {
			return ingest.Malformed(ingest.MalformedShape, "encode record: %w", err)
		}
		e.ID = lenient.Digest(string(e.Source), string(canonical))
	}
	return nil
}

func (m *Mapping) time(text string) (time.Time, bool) {
	for _, layout := range m.layouts {
		if t, err := time.Parse(layout, text); err == nil && t.Year() >= 2000 {
			return t.UTC(), true
		}
	}
	return lenient.Time(text)
}

// judge sets outcome and factors.
func (m *Mapping) judge(e *event.Event, in *env) error {
	word, err := run[string](m.outcome.from, in, "outcome")
	if err != nil {
		return err
	}
	if outcome, ok := m.outcome.of(word); ok {
		e.Outcome = outcome
	} else if word != "" {
		e.Warnings = append(e.Warnings, "outcome "+strconv.Quote(word)+" is not in the mapping")
	}
	list, err := run[[]string](m.factors.from, in, "factors")
	if err != nil {
		return err
	}
	for _, word := range list {
		method, ok := m.factors.of(word)
		switch {
		case method == noFactor:
			continue
		case !ok:
			method = event.MethodUnknown
			e.Warnings = append(e.Warnings, "factor "+strconv.Quote(word)+" is not in the mapping")
		}
		if e.Kind == event.AuthenticatorEnrolled || e.Kind == event.AuthenticatorRemoved {
			e.Authenticators = append(e.Authenticators, event.NewAuthenticator(method))
			continue
		}
		f := event.NewFactor(method, event.Verified)
		f.Detail = word
		e.Factors = append(e.Factors, f)
	}
	if e.Outcome != event.Success {
		// Of several factors a failure does not say which one was wrong.
		result := event.Pending
		if e.Outcome == event.Failure && len(e.Factors) == 1 {
			result = event.Failed
		}
		for i := range e.Factors {
			e.Factors[i].Result, e.Factors[i].Fresh = result, false
		}
	}
	return nil
}

// complete leaves the part that the kind speaks of, and reports one that is missing.
func complete(e *event.Event) error {
	recovery, contact, consent, role, risk := e.Recovery, e.Contact, e.Consent, e.Role, e.Risk
	e.Recovery, e.Contact, e.Consent, e.Role, e.Risk = nil, nil, nil, nil, nil
	missing := ""
	switch e.Kind {
	case event.AuthenticatorEnrolled, event.AuthenticatorRemoved:
		if len(e.Authenticators) == 0 {
			e.Authenticators = []event.Authenticator{event.NewAuthenticator(event.MethodUnknown)}
			e.Warnings = append(e.Warnings, "which authenticator is not said")
		}
	case event.RecoveryActivity:
		if e.Recovery = recovery; recovery == nil || !recovery.Stage.Valid() {
			missing = "recovery.stage"
		}
	case event.ContactChange:
		if e.Contact = contact; contact == nil {
			missing = "contact.kind"
		}
	case event.ConsentGrant, event.ConsentRevoke:
		if e.Consent = consent; consent == nil {
			missing = "consent.app_name"
		}
	case event.RoleChange:
		if e.Role = role; role == nil || len(role.Roles) == 0 {
			missing = "role.roles"
		}
	case event.RiskDetection:
		if e.Risk = risk; risk == nil {
			missing = "risk.type"
		}
	}
	if missing != "" {
		return ingest.Malformed(ingest.MalformedMissing, "%s: no %s in the record", e.Action, missing)
	}
	return nil
}

var _ ingest.Normalizer = (*Mapping)(nil)

// String names the mapping in messages.
func (m *Mapping) String() string { return fmt.Sprintf("%s (%s)", m.source, m.File) }
