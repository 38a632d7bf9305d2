package detect

import (
	"container/heap"
	"fmt"
	"iter"
	"slices"
	"time"

	"stepdown/detect/alert"
	"stepdown/detect/ledger"
	"stepdown/detect/rule"
	"stepdown/ingest/event"
)

// maxRuleErrors is how often a rule may fail in a shard before it is left out.
const maxRuleErrors = 100

// Shard is the ledgers of one partition. One goroutine uses it.
type Shard struct {
	engine    *Engine
	set       *rule.Set
	evaluator *rule.Evaluator
	errors    map[string]int

	identities map[event.Key]*history
	dirty      []event.Key
	// clock is how far event time has come in this partition.
	clock  time.Time
	timers timers
	out    []alert.Alert
}

// NewShard returns an empty shard.
func NewShard(e *Engine) *Shard {
	return &Shard{engine: e, identities: map[event.Key]*history{}, errors: map[string]int{}}
}

// Apply takes one event of the partition. offset orders the partition's events
// and makes a repeat after a restart harmless: an identity skips what it has
// applied. e must be valid and is not kept. An error means that state could not
// be computed; nothing was applied.
func (s *Shard) Apply(e *event.Event, offset int64) error {
	s.takeRules()
	h := s.identities[e.Key]
	if h == nil {
		h = newHistory()
		s.identities[e.Key] = h
		s.engine.metrics.identities.Inc()
	}
	if offset <= h.offset {
		s.engine.metrics.events.WithLabelValues(placedApplied).Inc()
		return nil
	}
	digest, err := e.Digest()
	if err != nil {
		return err
	}
	n := entry{Event: *e, Digest: digest}
	// What no rule reads is not kept: it is what an attacker can make long.
	n.Event.Raw, n.Event.Warnings, n.Event.UserAgent.Raw = nil, nil, ""
	if p := n.Event.Policy; p != nil {
		c := *p
		c.Before, c.After = "", ""
		n.Event.Policy = &c
	}
	placement := s.place(h, n)
	h.offset = offset
	s.engine.metrics.events.WithLabelValues(placement).Inc()
	s.markDirty(e.Key, h)
	s.Advance(e.Time)
	return nil
}

// place puts n into h and judges what that changes.
func (s *Shard) place(h *history, n entry) string {
	if i := h.find(&n); i >= 0 {
		old := &h.window[i]
		// A redelivery says nothing new. Of two versions the one that was
		// observed later holds, whichever comes first; read at the same moment,
		// the one that was written later.
		if old.Digest == n.Digest || n.Event.Observed.Before(old.Event.Observed) {
			return placedDuplicate
		}
		h.window = slices.Delete(h.window, i, i+1)
		h.insert(n)
		s.refold(n.Event.Key, h)
		return placedRewritten
	}
	if slices.Contains(h.remembered, n.hash()) {
		return placedDuplicate
	}
	if cut := h.head.Last.Add(-s.engine.config.Lateness); n.Event.Time.Before(cut) && !h.head.Last.IsZero() {
		// Too late to be put in its place. What it says of the identity still
		// counts, and it is judged by what is known now.
		bodies := map[alert.ID]judged{}
		s.step(h.base, &n.Event, bodies)
		h.remember(&n)
		h.head = h.base.Clone()
		for i := range h.window {
			s.step(h.head, &h.window[i].Event, bodies)
		}
		s.settle(n.Event.Key, h, bodies, false)
		return placedTooLate
	}
	if h.insert(n) {
		bodies := map[alert.ID]judged{}
		s.step(h.head, &n.Event, bodies)
		s.settle(n.Event.Key, h, bodies, false)
		s.finalize(h)
		return placedInOrder
	}
	s.refold(n.Event.Key, h)
	return placedLate
}

// refold computes head anew and compares what the rules say with what was said.
func (s *Shard) refold(key event.Key, h *history) {
	s.engine.metrics.refolds.Inc()
	bodies := map[alert.ID]judged{}
	h.head = h.base.Clone()
	for i := range h.window {
		s.step(h.head, &h.window[i].Event, bodies)
	}
	s.settle(key, h, bodies, true)
	s.finalize(h)
}

// finalize moves what is older than the lateness from the window into base.
func (s *Shard) finalize(h *history) {
	cut := h.head.Last.Add(-s.engine.config.Lateness)
	n := 0
	for n < len(h.window) && (h.window[n].Event.Time.Before(cut) || len(h.window)-n > s.engine.config.WindowEvents) {
		if !h.window[n].Event.Time.Before(cut) {
			s.engine.metrics.overflows.Inc()
		}
		s.step(h.base, &h.window[n].Event, nil)
		h.remember(&h.window[n])
		n++
	}
	if n > 0 {
		h.window = slices.Delete(h.window, 0, n)
	}
	// A sign-in may be judged again for AttemptSpan after it began; older
	// findings are final and need only their revision.
	keep := cut.Add(-ledger.AttemptSpan)
	for i := range h.emissions {
		if m := &h.emissions[i]; m.Revision > 0 && m.Time.Before(keep) {
			m.Body = nil
		}
	}
	if len(h.emissions) > ledger.MaxFindings {
		h.emissions = slices.DeleteFunc(h.emissions, func(m emission) bool { return m.Revision > 0 && m.Body == nil })
	}
}

// settle compares bodies, what the rules said during a fold, with what was
// emitted. whole tells that the fold was over the whole window, so that what is
// missing in bodies has vanished.
func (s *Shard) settle(key event.Key, h *history, bodies map[alert.ID]judged, whole bool) {
	ids := make([]alert.ID, 0, len(bodies))
	for id := range bodies {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		j := bodies[id]
		m := h.emission(id)
		switch {
		case j.withdrawn && m != nil:
			s.withdraw(h, m)
		case j.withdrawn:
		case m == nil:
			h.emissions = append(h.emissions, emission{ID: id, Hash: j.hash, Time: j.body.Time, ReadyAt: j.readyAt, Body: j.body})
			s.emit(key, &h.emissions[len(h.emissions)-1])
		case m.Hash != j.hash || m.Withdrawn:
			m.Hash, m.Time, m.ReadyAt, m.Body, m.Withdrawn = j.hash, j.body.Time, j.readyAt, j.body, false
			s.emit(key, m)
		}
	}
	if !whole || len(h.window) == 0 {
		return
	}
	since := h.window[0].Event.Time
	for i := len(h.emissions) - 1; i >= 0; i-- {
		m := &h.emissions[i]
		if _, said := bodies[m.ID]; !said && !m.Time.Before(since) && !m.Withdrawn {
			s.withdraw(h, m)
		}
	}
}

// emit hands a finding on when it is ready, or sets a timer.
func (s *Shard) emit(key event.Key, m *emission) {
	if m.Revision == 0 && m.ReadyAt.After(s.clock) {
		heap.Push(&s.timers, timer{at: m.ReadyAt, key: key})
		return
	}
	m.Revision++
	change := "amended"
	if m.Revision == 1 {
		change = "raised"
	}
	a := *m.Body
	a.Revision = m.Revision
	s.out = append(s.out, a)
	s.engine.metrics.alerts.WithLabelValues(a.RuleID, change).Inc()
}

// withdraw takes a finding back; one that was never handed on is forgotten.
func (s *Shard) withdraw(h *history, m *emission) {
	if m.Withdrawn {
		return
	}
	if m.Revision == 0 || m.Body == nil {
		h.emissions = slices.DeleteFunc(h.emissions, func(o emission) bool { return o.ID == m.ID })
		return
	}
	m.Withdrawn = true
	m.Revision++
	a := *m.Body
	a.Revision, a.State = m.Revision, alert.Withdrawn
	s.out = append(s.out, a)
	s.engine.metrics.alerts.WithLabelValues(a.RuleID, "withdrawn").Inc()
}

// Advance tells the shard that event time has come to t; it never goes back.
// Findings that waited to settle until then are handed on.
func (s *Shard) Advance(t time.Time) {
	if !t.After(s.clock) {
		return
	}
	s.clock = t
	for len(s.timers) > 0 && !s.timers[0].at.After(t) {
		due := heap.Pop(&s.timers).(timer)
		h := s.identities[due.key]
		if h == nil {
			continue
		}
		for i := range h.emissions {
			if m := &h.emissions[i]; m.Revision == 0 && !m.ReadyAt.After(t) {
				s.emit(due.key, m)
				s.markDirty(due.key, h)
			}
		}
	}
}

// Clock returns how far event time has come.
func (s *Shard) Clock() time.Time { return s.clock }

// Drain returns the alert revisions since the last call, in the order in which
// they were made. They must be durable before what Dirty yields.
func (s *Shard) Drain() []alert.Alert {
	out := s.out
	s.out = nil
	return out
}

// Dirty yields the identities that changed since the last call with their
// encoded state, and marks them clean. It stops at the first error.
func (s *Shard) Dirty() iter.Seq2[State, error] {
	return func(yield func(State, error) bool) {
		keys := s.dirty
		s.dirty = nil
		for _, key := range keys {
			h := s.identities[key]
			h.dirty = false
			data, err := h.encode()
			if err != nil {
				err = fmt.Errorf("identity %s: %w", key, err)
			}
			if !yield(State{Key: key, Data: data}, err) || err != nil {
				return
			}
		}
	}
}

// State is the encoded state of one identity.
type State struct {
	Key  event.Key
	Data []byte
}

// Restore takes over the state of one identity that an earlier shard yielded.
// It is called before the first Apply; a later state of the same key replaces an
// earlier one. Empty data forgets the identity.
func (s *Shard) Restore(key event.Key, data []byte) error {
	s.takeRules()
	if len(data) == 0 {
		if _, ok := s.identities[key]; ok {
			delete(s.identities, key)
			s.engine.metrics.identities.Dec()
		}
		return nil
	}
	h, err := decodeHistory(data)
	if err != nil {
		return fmt.Errorf("identity %s: %w", key, err)
	}
	h.head = h.base.Clone()
	for i := range h.window {
		s.step(h.head, &h.window[i].Event, nil)
	}
	if _, ok := s.identities[key]; !ok {
		s.engine.metrics.identities.Inc()
	}
	s.identities[key] = h
	if h.head.Last.After(s.clock) {
		s.clock = h.head.Last
	}
	for i := range h.emissions {
		if m := &h.emissions[i]; m.Revision == 0 {
			heap.Push(&s.timers, timer{at: m.ReadyAt, key: key})
		}
	}
	return nil
}

// Close gives the shard's share of the gauges back.
func (s *Shard) Close() {
	s.engine.metrics.identities.Sub(float64(len(s.identities)))
	s.identities = nil
}

func (s *Shard) markDirty(key event.Key, h *history) {
	if !h.dirty {
		h.dirty = true
		s.dirty = append(s.dirty, key)
	}
}

func (s *Shard) takeRules() {
	if set := s.engine.rules.Load(); set != s.set {
		s.set, s.evaluator = set, rule.NewEvaluator(set)
		clear(s.errors)
	}
}

// timer wakes an identity whose findings wait to settle.
type timer struct {
	at  time.Time
	key event.Key
}

// timers is a heap ordered by time.
type timers []timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)        { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	old := *t
	x := old[len(old)-1]
	*t = old[:len(old)-1]
	return x
}
