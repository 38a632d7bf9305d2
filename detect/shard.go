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
	// newest is the time of the newest event that was read: a function of the log,
	// so that what an event says at once it says at once in every reading. clock
	// is that, or further where nothing was read for a while.
	newest time.Time
	clock  time.Time
	timers timers
	out    []alert.Alert

	// found is what the rules said during the present fold, and placing the event
	// that it is for.
	found   []finding
	placing *entry
}

// NewShard returns an empty shard.
func NewShard(e *Engine) *Shard {
	return &Shard{engine: e, identities: map[event.Key]*history{}, errors: map[string]int{}}
}

// Apply takes one event of the partition. offset orders the partition's events
// and makes a repeat after a restart harmless: an identity skips what it has
// applied. e must be valid and is not kept, but what it points at is, and must
// not change afterwards. An error means that no ledger can take e; nothing was
// applied.
func (s *Shard) Apply(e *event.Event, offset int64) error {
	if !foldable(e) {
		return fmt.Errorf("apply event %s: it is not valid", e.ID)
	}
	s.takeRules()
	h := s.identities[e.Key]
	if h == nil {
		h = newHistory()
		h.set = s.set
		s.identities[e.Key] = h
		s.engine.metrics.identities.Inc()
	}
	if offset <= h.offset {
		s.engine.metrics.events.WithLabelValues(placedApplied).Inc()
		return nil
	}
	if h.head == nil || h.set != s.set {
		s.fold(e.Key, h)
	}
	placement := s.place(h, newEntry(e))
	h.offset = offset
	s.engine.metrics.events.WithLabelValues(placement).Inc()
	s.markDirty(e.Key, h)
	s.tick(e.Time)
	return nil
}

// foldable reports whether e has what a ledger looks at without asking; every
// valid event has.
func foldable(e *event.Event) bool {
	switch e.Kind {
	case event.ConsentGrant, event.ConsentRevoke:
		return e.Key != "" && e.Consent != nil
	case event.RoleChange:
		return e.Key != "" && e.Role != nil
	}
	return e.Key != ""
}

// place puts n into h and judges what that changes.
func (s *Shard) place(h *history, n *entry) string {
	key := n.event.Key
	cut := h.last().Add(-s.engine.config.Lateness)
	placement := placedLate
	if i := h.find(n); i >= 0 {
		old := h.window[i]
		// A redelivery says nothing new. Of two versions the one that was
		// observed later holds, whichever comes first; read at the same moment,
		// the one that was written later.
		if n.event.Observed.Before(old.event.Observed) {
			return placedDuplicate
		}
		if old.says(n) {
			old.event.Observed = n.event.Observed
			return placedDuplicate
		}
		h.remove(i)
		placement = placedRewritten
	} else if slices.Contains(h.remembered, n.hash) {
		return placedDuplicate
	}
	if n.event.Time.Before(cut) || n.event.Time.Before(h.base.Last) {
		// Too late to be put in its place. What it says of the identity still
		// counts, and it is judged by what is known of the time before the window.
		s.rebase(h, n, true)
		h.remember(n)
		placement = placedTooLate
	} else if h.insert(n) && placement != placedRewritten {
		s.found, s.placing = s.found[:0], n
		n.quiet = !s.step(h.head, &n.event)
		s.settle(key, h, false)
		s.finalize(h)
		return placedInOrder
	}
	s.engine.metrics.refolds.Inc()
	s.placing = n
	s.fold(key, h)
	return placement
}

// fold computes head anew and compares what the rules say with what was said.
func (s *Shard) fold(key event.Key, h *history) {
	s.found = s.found[:0]
	h.head, h.set = h.base.Clone(), s.set
	for _, n := range h.window {
		n.quiet = !s.step(h.head, &n.event)
	}
	s.settle(key, h, true)
	s.finalize(h)
}

// rebase folds n into base, and takes down what base says now. A finding that
// nobody knows of begins only when fresh.
func (s *Shard) rebase(h *history, n *entry, fresh bool) {
	s.found = s.found[:0]
	s.step(h.base, &n.event)
	for i := range s.found {
		f := &s.found[i]
		if m := h.emission(f.id, fresh && !f.Withdrawn); m != nil {
			m.Settled, m.Base = m.Now.same(&f.judgement), nil
			if !m.Settled {
				base := f.judgement
				m.Base = &base
			}
		}
	}
}

// finalize moves what is older than the lateness from the window into base, and
// forgets what cannot change any more.
func (s *Shard) finalize(h *history) {
	cut := h.last().Add(-s.engine.config.Lateness)
	for len(h.window) > 0 {
		n := h.window[0]
		final := n.event.Time.Before(cut)
		if !final && len(h.window) <= s.engine.config.WindowEvents && h.bytes <= maxWindowBytes {
			break
		}
		if !final {
			s.engine.metrics.overflows.Inc()
		}
		if n.quiet {
			// No rule had anything to say of it, nor will it now.
			h.base.Apply(&n.event)
		} else {
			s.rebase(h, n, false)
		}
		h.remember(n)
		h.remove(0)
	}
	s.forget(h, cut.Add(-ledger.AttemptSpan))
}

// forget drops the bodies of findings from before since that base agrees with: a
// sign-in may be judged again for AttemptSpan after it began, and then no more.
// Over the bounds of a history the oldest go earlier.
func (s *Shard) forget(h *history, since time.Time) {
	size := 0
	for i := range h.emissions {
		m := &h.emissions[i]
		if m.Settled && m.Time.Before(since) {
			s.close(m)
		}
		size += m.bodySize()
	}
	h.emissions = slices.DeleteFunc(h.emissions, func(m emission) bool {
		return m.Now.Body == nil && m.Now.Withdrawn && m.Settled && !m.Said
	})
	for i := 0; i < len(h.emissions) && (size > maxBodyBytes || len(h.emissions)-i > maxEmissions); i++ {
		if m := &h.emissions[i]; m.bodySize() > 0 {
			size -= m.bodySize()
			s.close(m)
			s.engine.metrics.overflows.Inc()
		}
	}
	for len(h.emissions) > maxEmissions {
		h.floor = max(h.floor, h.emissions[0].Revision)
		h.emissions = slices.Delete(h.emissions, 0, 1)
	}
}

// close makes a finding final: it stays as it is.
func (s *Shard) close(m *emission) {
	if !m.Said && !m.Now.Withdrawn && m.Now.Body != nil {
		s.handOn(m, alert.Open)
	}
	m.Now.Body, m.Now.Size = nil, 0
	m.Settled, m.Base = true, nil
}

// settle compares what the rules said during a fold with what was emitted. whole
// tells that the fold was over the whole window, so that what they did not say
// is as base has it.
func (s *Shard) settle(key event.Key, h *history, whole bool) {
	for i := range s.found {
		f := &s.found[i]
		if m := h.emission(f.id, !f.Withdrawn); m != nil {
			s.revise(key, m, f.judgement)
		}
	}
	if !whole {
		return
	}
	for i := range h.emissions {
		m := &h.emissions[i]
		if !m.Settled && !slices.ContainsFunc(s.found, func(f finding) bool { return f.id == m.ID }) {
			s.revise(key, m, *m.Base)
		}
	}
}

// revise takes over what head says of a finding now, and hands it on.
func (s *Shard) revise(key event.Key, m *emission, now judgement) {
	if m.Now.same(&now) {
		if !m.Said && !now.Withdrawn && !now.ReadyAt.Equal(m.Now.ReadyAt) {
			m.Now.ReadyAt = now.ReadyAt
			s.offer(key, m)
		}
		return
	}
	if now.Withdrawn {
		// It is withdrawn in the words in which it was raised.
		now.Body, now.Size = m.Now.Body, m.Now.Size
	}
	if now.Body == nil {
		return // final
	}
	switch {
	case m.Settled:
		was := m.Now
		m.Settled, m.Base = false, &was
	case m.Base.same(&now):
		m.Settled, m.Base = true, nil
	}
	m.Now, m.Time = now, now.Body.Time
	m.Revision++
	s.offer(key, m)
}

// offer hands a finding on when it is ready, or sets a timer. One that was taken
// back before anybody heard of it is not spoken of.
func (s *Shard) offer(key event.Key, m *emission) {
	switch {
	case m.Now.Withdrawn && m.Said:
		s.handOn(m, alert.Withdrawn)
	case m.Now.Withdrawn:
	case !m.Said && m.Now.ReadyAt.After(s.newest):
		heap.Push(&s.timers, timer{at: m.Now.ReadyAt, key: key})
	default:
		s.handOn(m, alert.Open)
	}
}

func (s *Shard) handOn(m *emission, state alert.State) {
	a := *m.Now.Body
	a.State, a.Revision = state, m.Revision
	change := "amended"
	switch {
	case state == alert.Withdrawn:
		change = "withdrawn"
	case !m.Said:
		// People read a first revision that is higher as an amendment.
		change, a.Revision = "raised", m.Floor+1
	}
	m.Said = true
	s.out = append(s.out, a)
	s.engine.metrics.alerts.WithLabelValues(a.RuleID, change).Inc()
}

// tick moves the clock to the time of an event that was read.
func (s *Shard) tick(t time.Time) {
	if t.After(s.newest) {
		s.newest = t
		s.wake(t)
	}
	if t.After(s.clock) {
		s.clock = t
	}
}

// Advance tells the shard that event time has come to t although no event says
// so; it never goes back. Findings that waited to settle until then are handed
// on.
func (s *Shard) Advance(t time.Time) {
	if t.After(s.clock) {
		s.clock = t
		s.wake(t)
	}
}

// wake hands on what waited to settle until t.
func (s *Shard) wake(t time.Time) {
	for len(s.timers) > 0 && !s.timers[0].at.After(t) {
		due := heap.Pop(&s.timers).(timer)
		h := s.identities[due.key]
		if h == nil {
			continue
		}
		for i := range h.emissions {
			if m := &h.emissions[i]; m.waits() && !m.Now.ReadyAt.After(t) {
				s.handOn(m, alert.Open)
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

// Dirty yields the identities that changed since they were last yielded with their
// encoded state. What is not reached, because the caller or an error stops it, is
// yielded the next time.
func (s *Shard) Dirty() iter.Seq2[State, error] {
	return func(yield func(State, error) bool) {
		for len(s.dirty) > 0 {
			key := s.dirty[0]
			h := s.identities[key]
			if h == nil || !h.dirty {
				s.dirty = s.dirty[1:] // forgotten or restored meanwhile
				continue
			}
			data, err := h.encode(s.newest)
			if err != nil {
				yield(State{Key: key}, fmt.Errorf("identity %s: %w", key, err))
				return
			}
			h.dirty = false
			s.dirty = s.dirty[1:]
			if !yield(State{Key: key, Data: data}, nil) {
				return
			}
		}
		s.dirty = nil
	}
}

// State is the encoded state of one identity.
type State struct {
	Key  event.Key
	Data []byte
}

// Restore takes over the state of one identity that an earlier shard yielded.
// It is called before the first Apply; a later state of the same key replaces an
// earlier one. Empty data forgets the identity. Its window is folded at its next
// event, and what today's rules say otherwise than those that were is said then.
func (s *Shard) Restore(key event.Key, data []byte) error {
	if len(data) == 0 {
		if _, ok := s.identities[key]; ok {
			delete(s.identities, key)
			s.engine.metrics.identities.Dec()
		}
		return nil
	}
	h, newest, err := decodeHistory(data)
	if err != nil {
		return fmt.Errorf("identity %s: %w", key, err)
	}
	if _, ok := s.identities[key]; !ok {
		s.engine.metrics.identities.Inc()
	}
	s.identities[key] = h
	if newest.After(s.newest) {
		s.newest = newest
	}
	if newest.After(s.clock) {
		s.clock = newest
	}
	for i := range h.emissions {
		if m := &h.emissions[i]; m.waits() {
			heap.Push(&s.timers, timer{at: m.Now.ReadyAt, key: key})
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
