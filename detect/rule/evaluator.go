package rule

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/expr-lang/expr/vm"

	"stepdown/detect/alert"
	"stepdown/detect/ledger"
	"stepdown/ingest/event"
)

// Input is what a rule is asked about: an event that has been folded into the
// ledger of its identity, and the sign-in it belongs to, nil where there is none.
type Input struct {
	Event   *event.Event
	Ledger  *ledger.Ledger
	Attempt *ledger.Attempt
}

// Verdict is what a rule says.
type Verdict struct {
	Matched bool
	// Conditions are those of when:, then those of unless: under the name
	// "not …", each with its value and what it looked at. Eval fills them only
	// when the rule matched, Explain always.
	Conditions []alert.Condition

	// The rest is set only when the rule matched.
	Severity alert.Severity
	// Title is the rule's message about this case.
	Title  string
	Reason alert.Reason
	// Anchor is what the finding hangs on: the same anchor is the same finding.
	Anchor string
	// By and SuppressFor say that a later finding of the same rule about the same
	// identity, with the same By and no higher severity, is not to be raised
	// within SuppressFor.
	By          string
	SuppressFor time.Duration
}

// Evaluator asks rules about events. It keeps what it needs between calls and is
// for one goroutine.
type Evaluator struct {
	in Input
	// now is what the facts call by that name.
	now    time.Time
	facts  *Facts
	filled groups
	// values are the facts by their id in the vocabulary.
	values  []reflect.Value
	machine vm.VM
}

// NewEvaluator returns an evaluator for the rules of set.
func NewEvaluator(set *Set) *Evaluator {
	ev := &Evaluator{facts: &Facts{}}
	ev.facts.Found, ev.facts.Within, ev.facts.Earlier, ev.facts.Plain = ev.found, ev.within, ev.earlier, plainMethod
	ev.facts.Me.StrongUsedWithin, ev.facts.Me.DeactivatedWithin = ev.strongUsedWithin, ev.deactivatedWithin
	ev.values = make([]reflect.Value, set.vocabulary.size)
	root := reflect.ValueOf(ev.facts).Elem()
	for _, f := range set.vocabulary.facts {
		ev.values[f.id] = root.FieldByIndex(f.index)
	}
	return ev
}

// Eval asks r about in. An error means that the rule could not be evaluated; the
// verdict is then that it did not match.
func (ev *Evaluator) Eval(r *Rule, in Input) (Verdict, error) {
	ev.Look(in)
	return ev.Ask(r)
}

// Look turns to another input, about which rules are then asked. As long as they
// are, event and ledger do not change but in the ledger's findings.
func (ev *Evaluator) Look(in Input) { ev.in, ev.filled, ev.now = in, 0, in.Event.Time }

// Ask is Eval about what Look has turned to.
func (ev *Evaluator) Ask(r *Rule) (Verdict, error) {
	ev.asOf(r)
	for i := range r.when {
		if ok, err := ev.holds(r, &r.when[i]); !ok || err != nil {
			return Verdict{}, err
		}
	}
	for i := range r.unless {
		if ok, err := ev.holds(r, &r.unless[i]); ok || err != nil {
			return Verdict{}, err
		}
	}
	v := Verdict{Matched: true}
	if err := ev.conditions(r, &v); err != nil {
		return Verdict{}, err
	}
	if err := ev.conclude(r, &v); err != nil {
		return Verdict{}, err
	}
	return v, nil
}

// Explain is Eval with every condition evaluated and shown, whether or not the
// rule matched.
func (ev *Evaluator) Explain(r *Rule, in Input) (Verdict, error) {
	ev.begin(r, in)
	v := Verdict{Matched: true}
	if err := ev.conditions(r, &v); err != nil {
		return Verdict{}, err
	}
	for _, c := range v.Conditions {
		v.Matched = v.Matched && c.Value
	}
	if v.Matched {
		if err := ev.conclude(r, &v); err != nil {
			return Verdict{}, err
		}
	}
	return v, nil
}

// begin turns to another input and rule.
func (ev *Evaluator) begin(r *Rule, in Input) {
	ev.Look(in)
	ev.asOf(r)
}

// asOf sets the time as of which r judges. A sign-in that is judged as a whole is
// judged as of its success, so that a record that comes later does not move the
// spans before it.
func (ev *Evaluator) asOf(r *Rule) {
	now := ev.in.Event.Time
	if a := ev.in.Attempt; r.PerAttempt() && a != nil && !a.Succeeded.IsZero() {
		now = a.Succeeded
	}
	if now != ev.now {
		ev.now, ev.filled = now, 0
	}
}

func (ev *Evaluator) holds(r *Rule, t *term) (bool, error) {
	ev.fill(t.needs)
	if t.fast != nil {
		return t.fast(ev), nil
	}
	v, err := ev.machine.Run(t.program, ev.facts)
	if err != nil {
		return false, fmt.Errorf("evaluate %s of rule %s: %w", t.name, r.ID, err)
	}
	return v.(bool), nil
}

func (ev *Evaluator) conditions(r *Rule, v *Verdict) error {
	v.Conditions = make([]alert.Condition, 0, len(r.when)+len(r.unless))
	for i := range r.when {
		t := &r.when[i]
		ok, err := ev.holds(r, t)
		if err != nil {
			return err
		}
		v.Conditions = append(v.Conditions, alert.Condition{Name: t.name, Expr: t.text, Value: ok, Operands: ev.operands(t)})
	}
	for i := range r.unless {
		t := &r.unless[i]
		ok, err := ev.holds(r, t)
		if err != nil {
			return err
		}
		v.Conditions = append(v.Conditions, alert.Condition{Name: "not " + t.name, Expr: "not (" + t.text + ")", Value: !ok, Operands: ev.operands(t)})
	}
	return nil
}

func (ev *Evaluator) operands(t *term) []alert.Operand {
	out := make([]alert.Operand, 0, len(t.operands))
	for i := range t.operands {
		o := &t.operands[i]
		ev.fill(o.needs)
		value, err := ev.machine.Run(o.program, ev.facts)
		text := show(value)
		if err != nil {
			text = "not known"
		}
		out = append(out, alert.Operand{Expr: o.text, Value: text})
	}
	return out
}

// conclude fills what a verdict says beyond its conditions.
func (ev *Evaluator) conclude(r *Rule, v *Verdict) error {
	severity, err := ev.text(r, &r.severity)
	if err != nil {
		return err
	}
	reason, err := ev.text(r, &r.reason)
	if err != nil {
		return err
	}
	v.Severity, v.Reason = alert.Severity(severity), alert.Reason(reason)
	var title strings.Builder
	for i := range r.message {
		s, err := ev.text(r, &r.message[i])
		if err != nil {
			return err
		}
		title.WriteString(s)
	}
	v.Title = title.String()
	v.Anchor = ev.anchor(r.OncePer)
	v.SuppressFor = r.suppressFor
	for i := range r.suppressBy {
		s, err := ev.text(r, &r.suppressBy[i])
		if err != nil {
			return err
		}
		if i > 0 {
			v.By += "\x1f"
		}
		v.By += s
	}
	return nil
}

// text evaluates t and shows its value; a term without program is its text.
func (ev *Evaluator) text(r *Rule, t *term) (string, error) {
	if t.program == nil {
		return t.text, nil
	}
	ev.fill(t.needs)
	v, err := ev.machine.Run(t.program, ev.facts)
	if err != nil {
		return "", fmt.Errorf("evaluate %s of rule %s: %w", t.name, r.ID, err)
	}
	if v == "" && t.blank {
		return "", nil
	}
	return show(v), nil
}

// anchor names what a finding hangs on; where the event has no such thing, the
// event itself.
func (ev *Evaluator) anchor(per OncePer) string {
	e := ev.in.Event
	switch a := ev.in.Attempt; {
	case per == PerAttempt && a != nil:
		return a.ID
	case per == PerSession && e.SessionID != "":
		return string(e.Source) + ":session:" + e.SessionID
	case per == PerSession && a != nil && a.Session != "":
		return string(e.Source) + ":session:" + a.Session
	case per == PerFlow && e.FlowID != "":
		return string(e.Source) + ":flow:" + e.FlowID
	}
	return string(e.Source) + ":event:" + e.ID
}
