package detect_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stepdown/detect"
	"stepdown/detect/alert"
	"stepdown/detect/rule"
	"stepdown/ingest/event"
)

// run is a shard with the number of its last record.
type run struct {
	t      *testing.T
	shard  *detect.Shard
	engine *detect.Engine
	reg    *prometheus.Registry
	offset int64
}

func newRun(t *testing.T, set *rule.Set, config detect.Config) *run {
	t.Helper()
	reg := prometheus.NewRegistry()
	engine := detect.NewEngine(set, config, reg)
	return &run{t: t, shard: detect.NewShard(engine), engine: engine, reg: reg}
}

func (r *run) apply(events ...event.Event) {
	r.t.Helper()
	for i := range events {
		if err := r.shard.Apply(&events[i], r.offset); err != nil {
			r.t.Fatal(err)
		}
		r.offset++
	}
}

// said returns rule, state and severity of what was handed on since the last call.
func (r *run) said() []string {
	var out []string
	for _, a := range r.shard.Drain() {
		out = append(out, fmt.Sprintf("%s %d %s %s", a.RuleID, a.Revision, a.State, a.Severity))
	}
	return out
}

func (r *run) want(when string, want ...string) {
	r.t.Helper()
	if got := r.said(); fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Errorf("%s: got %q, want %q", when, got, want)
	}
}

func (r *run) counts(name string, label string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	total := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() != name || label != "" && m.GetLabel()[0].GetValue() != label {
				continue
			}
			total += m.GetCounter().GetValue()
		}
	}
	return total
}

func TestSettling(t *testing.T) {
	p := newPerson(1)
	r := newRun(t, pack(t, 1), detect.DefaultConfig())
	r.apply(p.past(12)...)
	signIn := p.signIn(origin(), event.MethodPassword)
	r.apply(signIn)
	r.want("a password alone waits for its factor")
	better := p.event(event.FactorChallenge, origin().Add(time.Minute))
	better.FlowID, better.Factors = signIn.FlowID, []event.Factor{event.NewFactor(event.MethodPasskey, event.Verified)}
	r.apply(better)
	r.shard.Advance(origin().Add(time.Hour))
	r.want("the passkey came in time, and nothing is said")

	r.apply(p.signIn(origin().Add(2*time.Hour), event.MethodPassword))
	r.shard.Advance(origin().Add(2*time.Hour + 4*time.Minute))
	r.want("not yet")
	r.shard.Advance(origin().Add(2*time.Hour + 5*time.Minute))
	r.want("when it has settled", "DG-01 1 open low")
}

func TestLateFactorWithdraws(t *testing.T) {
	p := newPerson(1)
	r := newRun(t, pack(t, 1), detect.DefaultConfig())
	r.apply(p.past(12)...)
	signIn := p.signIn(origin(), event.MethodPassword, event.MethodSMS)
	r.apply(signIn)
	r.want("a stated factor is judged at once", "DG-01 1 open low")
	r.apply(p.signIn(origin().Add(20*time.Minute), event.MethodPasskey))
	rewritten := signIn
	rewritten.Observed = rewritten.Observed.Add(10 * time.Minute)
	rewritten.Factors = []event.Factor{event.NewFactor(event.MethodPasskey, event.Verified)}
	r.apply(rewritten)
	r.want("the record is rewritten", "DG-01 2 withdrawn low")
	r.apply(signIn)
	r.want("the older version comes again")
	if n := r.counts("stepdown_detect_events_total", "duplicate"); n != 1 {
		t.Errorf("%v duplicates, want 1", n)
	}
}

// TestTooLateStillCounts: a record that comes after the lateness adds its facts
// and is judged.
func TestTooLateStillCounts(t *testing.T) {
	p := newPerson(1)
	r := newRun(t, pack(t, 1), detect.DefaultConfig())
	r.apply(p.past(12)...)
	late := p.event(event.AuthenticatorsReset, origin().Add(-30*time.Hour))
	waiting := p.signIn(origin(), event.MethodPassword)
	r.apply(waiting)
	r.apply(late)
	r.want("the reset of yesterday", "RC-01 1 open medium")
	r.apply(late)
	r.want("once")
	if n := r.counts("stepdown_detect_events_total", "too_late"); n != 1 {
		t.Errorf("%v too late, want 1", n)
	}
	// The reset took the passkey: the sign-in that waited passed nothing by.
	r.shard.Advance(origin().Add(time.Hour))
	r.want("what waited is judged by it")
}

// TestASourceThatIsLate: a record is put where it belongs if it comes within the
// lateness of its source.
func TestASourceThatIsLate(t *testing.T) {
	for _, tt := range []struct {
		source event.Source
		want   string
	}{{"okta", "too_late"}, {"google", "late"}} {
		p := newPerson(1)
		r := newRun(t, pack(t, 1), detect.DefaultConfig())
		of := func(e event.Event) event.Event {
			e.Source = tt.source
			return e
		}
		r.apply(of(p.signIn(origin().Add(-2*time.Hour), event.MethodPasskey)), of(p.signIn(origin(), event.MethodPasskey)))
		r.apply(of(p.event(event.SessionActivity, origin().Add(-95*time.Minute))))
		if n := r.counts("stepdown_detect_events_total", tt.want); n != 1 {
			t.Errorf("%s: %v records %s, want the one that comes 95 minutes late", tt.source, n, tt.want)
		}
	}
}

func TestSkipsWhatWasApplied(t *testing.T) {
	p := newPerson(1)
	r := newRun(t, pack(t, 1), detect.DefaultConfig())
	r.apply(p.past(12)...)
	weak := p.signIn(origin(), event.MethodPassword, event.MethodSMS)
	r.apply(weak)
	state := onlyState(t, r.shard)
	again := newRun(t, pack(t, 1), detect.DefaultConfig())
	if err := again.shard.Restore(state.Key, state.Data); err != nil {
		t.Fatal(err)
	}
	other := p.event(event.AuthenticatorsReset, origin().Add(time.Minute))
	for offset := range r.offset {
		// Were it not skipped, the reset would be told of.
		if err := again.shard.Apply(&other, offset); err != nil {
			t.Fatal(err)
		}
	}
	again.want("all was applied before")
	again.offset = r.offset
	again.apply(other)
	again.want("the next offset", "RC-01 1 open medium")
}

func TestNewRulesJudgeTheWindow(t *testing.T) {
	p := newPerson(1)
	all := pack(t, 1)
	r := newRun(t, setOf(t, all.Rule("RC-01")), detect.DefaultConfig())
	r.apply(p.past(12)...)
	r.apply(p.signIn(origin(), event.MethodPassword, event.MethodSMS))
	r.want("no rule asks")
	r.engine.SetRules(all)
	r.apply(p.event(event.SessionActivity, origin().Add(time.Minute)))
	r.want("the sign-in is in the window", "DG-01 1 open low")
	r.engine.SetRules(setOf(t, all.Rule("RC-01")))
	r.apply(p.event(event.SessionActivity, origin().Add(2*time.Minute)))
	r.want("the rule is gone", "DG-01 2 withdrawn low")
}

func TestWindowOverflows(t *testing.T) {
	config := detect.DefaultConfig()
	config.WindowEvents = 16
	p := newPerson(1)
	r := newRun(t, pack(t, 1), config)
	r.apply(p.past(12)...)
	var late event.Event
	for i := range 40 {
		e := p.event(event.SessionActivity, origin().Add(time.Duration(i)*time.Second))
		if i == 2 {
			late = p.event(event.AuthenticatorsReset, e.Time)
		}
		r.apply(e)
	}
	if n := r.counts("stepdown_detect_window_overflows_total", ""); n != 24 {
		t.Errorf("%v overflows, want 24", n)
	}
	r.apply(late)
	r.want("what belongs before the window is not lost", "RC-01 1 open medium")
}

// TestManyFindings makes more findings than a history keeps: no revision may come
// twice, and each is said once.
func TestManyFindings(t *testing.T) {
	p := newPerson(1)
	r := newRun(t, pack(t, 1, testRules), detect.DefaultConfig())
	out, life := newSaid(t), map[alert.ID]uint64{}
	for i := range 1000 {
		e := p.event(event.FactorChallenge, origin().Add(time.Duration(i)*20*time.Second))
		e.FlowID, e.Outcome = fmt.Sprint("flow-", i), event.Failure
		r.apply(e)
		if i%7 == 6 {
			late := p.event(event.SessionActivity, e.Time.Add(-10*time.Minute))
			r.apply(late)
		}
		out.take(r.shard.Drain(), life)
	}
	if n := len(out.open()); n != 1000 {
		t.Errorf("%d findings were said, want 1000", n)
	}
}

func TestRefusesWhatIsNotValid(t *testing.T) {
	p := newPerson(1)
	for _, kind := range []event.Kind{event.ConsentGrant, event.ConsentRevoke, event.RoleChange} {
		e := p.event(kind, origin())
		if err := detect.NewShard(detect.NewEngine(pack(t, 1), detect.DefaultConfig(), nil)).Apply(&e, 0); err == nil {
			t.Errorf("%s without its part was applied", kind)
		}
	}
}

// TestDirtyYieldsTheRestLater: what a caller does not take is not lost.
func TestDirtyYieldsTheRestLater(t *testing.T) {
	r := newRun(t, pack(t, 1), detect.DefaultConfig())
	for i := range 3 {
		r.apply(newPerson(i).signIn(origin(), event.MethodPasskey))
	}
	keys := map[event.Key]bool{}
	for state, err := range r.shard.Dirty() {
		if err != nil {
			t.Fatal(err)
		}
		keys[state.Key] = true
		break
	}
	for state, err := range r.shard.Dirty() {
		if err != nil {
			t.Fatal(err)
		}
		keys[state.Key] = true
	}
	if len(keys) != 3 {
		t.Errorf("states of %d identities, want 3", len(keys))
	}
	for state, err := range r.shard.Dirty() {
		t.Errorf("%s is yielded again: %v", state.Key, err)
	}
}

func TestForgottenIdentity(t *testing.T) {
	p := newPerson(1)
	r := newRun(t, pack(t, 1), detect.DefaultConfig())
	r.apply(p.past(2)...)
	gauge := func() float64 { return r.gauge("stepdown_detect_identities") }
	if gauge() != 1 {
		t.Errorf("%v identities, want 1", gauge())
	}
	if err := r.shard.Restore(p.key, nil); err != nil || gauge() != 0 {
		t.Errorf("%v identities after it was forgotten, %v", gauge(), err)
	}
	for state, err := range r.shard.Dirty() {
		t.Errorf("the state of %s is yielded: %v", state.Key, err)
	}
	r.shard.Advance(origin().Add(time.Hour))
}

func (r *run) gauge(name string) float64 {
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}
