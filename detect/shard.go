package detect

import (
	"bytes"
	"container/heap"
	"encoding/binary"
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

// maxHot is how many histories are kept decoded, at up to 50 KB each. Under a
// skewed load these are the identities of nearly half of the events and of most
// events with long windows.
const maxHot = 1024

// renewRoom is how little room for texts makes a decoded history be encoded and
// decoded again: it then has only the texts that it uses.
const renewRoom = 1 << 10

// Shard is the ledgers of one partition. One goroutine uses it.
type Shard struct {
	engine    *Engine
	set       *rule.Set
	evaluator *rule.Evaluator
	errors    map[string]int
	// rules numbers the rules that set is, from 1.
	rules uint16

	// store has every history as it was last encoded. Some are decoded: those in
	// hot, which take the places of each other, round and round.
	store  *store
	hot    []*history
	hand   int
	maxHot int
	// dirty are the identities that Dirty has to yield.
	dirty []uint32
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

	*tools
	// restored is what Restore read last.
	restored history
}

// NewShard returns an empty shard.
func NewShard(e *Engine) *Shard {
	s := &Shard{engine: e, errors: map[string]int{}, store: newStore(), maxHot: maxHot, tools: newTools()}
	s.restored.tools = s.tools
	return s
}

// Apply takes one event of the partition. offset orders the partition's events
// and makes a repeat after a restart harmless: an identity skips what it has
// applied. e must be valid; neither it nor what it points at is kept. An error
// means that no ledger can take e; nothing was applied.
func (s *Shard) Apply(e *event.Event, offset int64) error {
	if !foldable(e) {
		return fmt.Errorf("apply event %s: it is not valid", e.ID)
	}
	s.takeRules()
	h, err := s.open(s.store.number(e.Key, firstRecord))
	if err != nil {
		return err
	}
	if offset <= h.offset {
		s.engine.metrics.placed[placedApplied].Inc()
		return nil
	}
	if h.rules != s.rules {
		s.placing = nil
		s.fold(h)
	}
	placement := s.place(h, e)
	h.offset = offset
	s.engine.metrics.placed[placement].Inc()
	s.change(h)
	s.tick(e.Time)
	return nil
}

// open returns the decoded history of an identity.
func (s *Shard) open(n uint32) (*history, error) {
	if i := s.store.refs[n].hot; i > 0 {
		h := s.hot[i-1]
		h.used = true
		if room := h.space.Room(); room > 0 && room < renewRoom {
			s.close(h)
			return h, s.load(h, n, int(i-1))
		}
		return h, nil
	}
	i, h := s.claim()
	return h, s.load(h, n, i)
}

// claim returns an unused place among the decoded histories, and the history
// whose memory is to be used there.
func (s *Shard) claim() (int, *history) {
	if len(s.hot) < s.maxHot {
		h := &history{tools: s.tools}
		s.hot = append(s.hot, h)
		return len(s.hot) - 1, h
	}
	for {
		i := s.hand
		s.hand = (s.hand + 1) % len(s.hot)
		h := s.hot[i]
		if h.used {
			h.used = false
			continue
		}
		s.close(h)
		return i, h
	}
}

// close encodes h, if need be, and leaves its memory to another one.
func (s *Shard) close(h *history) {
	if !h.open {
		return
	}
	s.save(h, true)
	s.store.refs[h.number].hot = 0
	h.open = false
}

// save encodes h where it has changed. withHead keeps the head of a long window too,
// for this shard alone: folding it again would take longer than reading it.
func (s *Shard) save(h *history, withHead bool) {
	withHead = withHead && h.folded && h.rules == s.rules && len(h.window) >= minHeadWindow
	if !h.changed && !withHead {
		return
	}
	if shed := h.encode(s.newest, s.cut(h)); shed > 0 {
		s.engine.metrics.forgotten.Add(float64(shed))
	}
	core := len(s.writer.Bytes())
	if withHead {
		s.part.Reset()
		h.head.Encode(s.part)
		s.writer.Append(s.part.Bytes())
	}
	s.writer.Fixed32(uint32(core))
	s.store.put(h.number, h.key, s.writer.Bytes())
	s.store.refs[h.number].rules = h.rules
	h.changed = false
}

// unusual is how many bytes tell that the only event of a window has little in common
// with what is usual.
const unusual = 100

// firstRecord is about what the record of a new identity takes.
const firstRecord = 400

// minHeadWindow is how long a window must be for its head to be kept: a shorter one is
// folded again in less time than its head is encoded.
const minHeadWindow = 6

// split divides what is kept into the state and the encoded head, which may be
// empty.
func split(kept []byte) (core, head []byte) {
	if len(kept) < 4 {
		return nil, nil
	}
	end := len(kept) - 4
	n := binary.LittleEndian.Uint32(kept[end:])
	return kept[:n], kept[n:end]
}

// load decodes the history of an identity into h, at place i of hot.
func (s *Shard) load(h *history, n uint32, i int) error {
	key, record := s.store.slot(n)
	h.empty()
	h.number, h.used, h.open = n, true, true
	s.store.refs[n].hot = uint16(i + 1)
	// The store may move what it holds; texts are in memory of h's own.
	h.data = append(append(h.data[:0], key...), record...)
	name := event.Key(ledger.TextOf(h.data[:len(key)]))
	if len(record) == 0 {
		h.key, h.rules, h.folded = name, s.rules, true
		if s.store.refs[n].kept == keptNowhere {
			s.store.begin(n)
			s.engine.metrics.identities.Inc()
		}
		return nil
	}
	h.rules = s.store.refs[n].rules
	core, head := split(h.data[len(key):])
	if _, err := h.decode(name, core); err != nil {
		return fmt.Errorf("identity %s: %w", name, err) // cannot be: it was read when it came
	}
	if len(head) > 0 && h.rules == s.rules {
		s.partReader.Reset(head, &h.space)
		h.head.Decode(s.partReader)
		h.head.Keep(&h.space)
		h.folded = true
	}
	h.space.Reserve(2 * renewRoom)
	return nil
}

// change marks that h is other than what is encoded and published.
func (s *Shard) change(h *history) {
	h.changed = true
	if r := &s.store.refs[h.number]; !r.unpublished {
		r.unpublished = true
		s.dirty = append(s.dirty, h.number)
	}
}

// foldable reports whether e has what a ledger looks at without asking; every
// valid event has.
func foldable(e *event.Event) bool {
	switch e.Kind {
	case event.ConsentGrant, event.ConsentRevoke:
		return validKey(e.Key) && e.Consent != nil
	case event.RoleChange:
		return validKey(e.Key) && e.Role != nil
	}
	return validKey(e.Key)
}

func validKey(key event.Key) bool { return key != "" && len(key) <= event.MaxIDLen }

// place puts e into h and judges what that changes.
func (s *Shard) place(h *history, e *event.Event) placement {
	n := s.entry()
	s.keeper.space = &h.space
	n.take(e, &s.keeper, &h.usual.event)
	n.event.Key = h.key
	h.lateness = max(h.lateness, s.engine.config.lateness(n.event.Source))
	cut := s.cut(h)
	placed := placedLate
	if i := h.find(n); i >= 0 {
		old := h.get(i)
		// A redelivery says nothing new. Of two versions the one that was
		// observed later holds, whichever comes first; read at the same moment,
		// the one that was written later.
		if n.event.Observed.Before(old.event.Observed) {
			s.release(n)
			return placedDuplicate
		}
		if old.says(n, s.writer) {
			old.event.Observed = n.event.Observed
			h.encodeEntry(h.window[i])
			s.release(n)
			return placedDuplicate
		}
		h.remove(i)
		placed = placedRewritten
	} else if slices.Contains(h.remembered, uint32(n.hash)) {
		s.release(n)
		return placedDuplicate
	}
	if n.event.Time.Before(cut) || n.event.Time.Before(h.base.Last) {
		// Too late to be put in its place. What it says of the identity still
		// counts, and it is judged by what is known of the time before the window.
		s.rebase(h, n, true)
		h.remember(n)
		defer s.release(n)
		placed = placedTooLate
	} else if h.inOrder(n) && placed != placedRewritten {
		if !h.folded {
			s.advance(h, n.event.Time)
			s.refold(h)
		}
		w := h.insert(n)
		s.found, s.placing = s.found[:0], n
		w.quiet = !s.step(&h.head, n)
		s.settle(h, false)
		s.finalize(h)
		if len(h.window) == 1 && len(w.encoded) > unusual && h.window[0] == w {
			h.setUsual(n)
			h.encodeEntry(w)
		}
		h.rest()
		return placedInOrder
	}
	if placed != placedTooLate {
		h.insert(n)
	}
	s.engine.metrics.refolds.Inc()
	s.placing = n
	s.fold(h)
	return placed
}

// cut returns the time before which a record comes too late for h.
func (s *Shard) cut(h *history) time.Time {
	return h.last().Add(-max(h.lateness, s.engine.config.Lateness))
}

// advance does to a history without head what finalize will do when an event of time
// t is there, as far as no rule has to be asked: what goes into base now need not be
// folded into head apart from it.
func (s *Shard) advance(h *history, t time.Time) {
	cut := t.Add(-max(h.lateness, s.engine.config.Lateness))
	for len(h.window) > 0 && h.window[0].quiet && h.window[0].at.Before(cut) {
		n := h.get(0)
		h.fold(n)
		h.remember(n)
		h.remove(0)
	}
}

// fold computes head anew and compares what the rules say with what was said.
func (s *Shard) fold(h *history) {
	s.found = s.found[:0]
	h.head.CopyFrom(&h.base)
	h.folded, h.rules = true, s.rules
	for i, w := range h.window {
		w.quiet = !s.step(&h.head, h.get(i))
	}
	s.settle(h, true)
	s.finalize(h)
	h.rest()
}

// refold computes the head that h had, with the same rules, when it was encoded.
func (s *Shard) refold(h *history) {
	h.head.CopyFrom(&h.base)
	h.folded = true
	s.placing = nil
	for i, w := range h.window {
		if n := h.get(i); w.quiet {
			h.head.Apply(&n.event) // no rule had anything to say
		} else {
			s.step(&h.head, n)
		}
	}
}

// rebase folds n into base, and takes down what base says now. A finding that
// nobody knows of begins only when fresh.
func (s *Shard) rebase(h *history, n *entry, fresh bool) {
	s.found = s.found[:0]
	s.step(&h.base, n)
	h.baseChanged = true
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
	cut := s.cut(h)
	for len(h.window) > 0 {
		final := h.window[0].at.Before(cut)
		if !final && len(h.window) <= s.engine.config.WindowEvents && h.bytes <= h.room() {
			break
		}
		if !final {
			s.engine.metrics.overflows.Inc()
		}
		n := h.get(0)
		if h.window[0].quiet {
			// No rule had anything to say of it, nor will it now.
			h.fold(n)
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
			s.finish(m)
		}
		size += m.bodySize()
	}
	h.emissions = slices.DeleteFunc(h.emissions, func(m emission) bool {
		return m.Now.Body == nil && m.Now.Withdrawn && m.Settled && !m.Said
	})
	for i := 0; i < len(h.emissions) && (size > maxBodyBytes || len(h.emissions)-i > maxEmissions); i++ {
		if m := &h.emissions[i]; m.bodySize() > 0 {
			size -= m.bodySize()
			s.finish(m)
			s.engine.metrics.overflows.Inc()
		}
	}
	for len(h.emissions) > maxEmissions {
		h.floor = max(h.floor, h.emissions[0].Revision)
		h.emissions = slices.Delete(h.emissions, 0, 1)
	}
}

// finish makes a finding final: it stays as it is.
func (s *Shard) finish(m *emission) {
	if !m.Said && !m.Now.Withdrawn && m.Now.Body != nil {
		s.handOn(m, alert.Open)
	}
	m.Now.Body = nil
	m.Settled, m.Base = true, nil
}

// settle compares what the rules said during a fold with what was emitted. whole
// tells that the fold was over the whole window, so that what they did not say
// is as base has it.
func (s *Shard) settle(h *history, whole bool) {
	for i := range s.found {
		f := &s.found[i]
		if m := h.emission(f.id, !f.Withdrawn); m != nil {
			s.revise(h, m, f)
		}
	}
	if !whole {
		return
	}
	for i := range h.emissions {
		m := &h.emissions[i]
		if !m.Settled && !slices.ContainsFunc(s.found, func(f finding) bool { return f.id == m.ID }) {
			s.revise(h, m, &finding{m.ID, m.Time, *m.Base})
		}
	}
}

// revise takes over what head says of a finding now, and hands it on.
func (s *Shard) revise(h *history, m *emission, f *finding) {
	now := f.judgement
	if m.Now.same(&now) {
		if !m.Said && !now.Withdrawn && !now.ReadyAt.Equal(m.Now.ReadyAt) {
			m.Now.ReadyAt = now.ReadyAt
			s.offer(h, m)
		}
		return
	}
	if now.Withdrawn {
		// It is withdrawn in the words in which it was raised.
		now.Body = m.Now.Body
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
	m.Now = now
	if !now.Withdrawn {
		m.Time = f.at
	}
	m.Revision++
	s.offer(h, m)
}

// offer hands a finding on when it is ready, or sets a timer. One that was taken
// back before anybody heard of it is not spoken of.
func (s *Shard) offer(h *history, m *emission) {
	switch {
	case m.Now.Withdrawn && m.Said:
		s.handOn(m, alert.Withdrawn)
	case m.Now.Withdrawn:
	case !m.Said && m.Now.ReadyAt.After(s.newest):
		heap.Push(&s.timers, timer{at: m.Now.ReadyAt, number: h.number})
	default:
		s.handOn(m, alert.Open)
	}
}

func (s *Shard) handOn(m *emission, state alert.State) {
	var a alert.Alert
	if err := alert.Decode(m.Now.Body, &a); err != nil {
		s.engine.metrics.ruleErrors.WithLabelValues(a.RuleID).Inc() // cannot be: it was encoded here
		return
	}
	if r := s.set.Rule(a.RuleID); r != nil {
		a.Tags, a.FalsePositives, a.Runbook, a.References = r.Tags, r.FalsePositives, r.Runbook, r.References
	}
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
		if s.store.refs[due.number].kept == keptNowhere {
			continue // forgotten
		}
		h, err := s.open(due.number)
		if err != nil {
			continue // cannot be: it was read when it came
		}
		for i := range h.emissions {
			if m := &h.emissions[i]; m.waits() && !m.Now.ReadyAt.After(t) {
				s.handOn(m, alert.Open)
				s.change(h)
			}
		}
	}
}

// Clock returns how far event time has come.
func (s *Shard) Clock() time.Time { return s.clock }

// Size returns how many identities are known, and how many bytes their states take
// as they were last encoded.
func (s *Shard) Size() (identities int, bytes int64) { return s.store.live, s.store.bytes }

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
		var space []byte
		for len(s.dirty) > 0 {
			n := s.dirty[0]
			if !s.store.refs[n].unpublished {
				s.dirty = s.dirty[1:] // forgotten or restored meanwhile
				continue
			}
			if i := s.store.refs[n].hot; i > 0 {
				s.save(s.hot[i-1], false)
			}
			key, kept := s.store.slot(n)
			record, _ := split(kept)
			if cap(space)-len(space) < len(key)+len(record) {
				space = make([]byte, 0, max(min(64<<10, len(s.dirty)<<10), len(key)+len(record)))
			}
			// The caller keeps them, the store uses the slot again.
			space = append(append(space, key...), record...)
			both := space[len(space)-len(key)-len(record):]
			s.store.refs[n].unpublished = false
			s.dirty = s.dirty[1:]
			if !yield(State{Key: event.Key(ledger.TextOf(both[:len(key)])), Data: both[len(key):len(both):len(both)]}, nil) {
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
	if !validKey(key) {
		return fmt.Errorf("identity %.40s: the key has %d bytes, 1 to %d are possible", key, len(key), event.MaxIDLen)
	}
	s.takeRules()
	if _, known := s.store.find(key); len(data) == 0 && !known {
		return nil
	}
	live := s.store.live
	defer func() { s.engine.metrics.identities.Add(float64(s.store.live - live)) }()
	n := s.store.number(key, len(data)+4)
	if i := s.store.refs[n].hot; i > 0 {
		s.hot[i-1].changed = false
		s.close(s.hot[i-1])
	}
	s.store.refs[n].unpublished, s.store.refs[n].rules = false, 0
	if len(data) == 0 {
		s.store.put(n, key, nil)
		return nil
	}
	// It is read now, so that what cannot be read is known before the first event.
	h := &s.restored
	h.empty()
	h.number = n
	var newest time.Time
	var err error
	if isV1(data) {
		newest, err = h.decodeV1(key, data)
		h.encode(newest, s.cut(h))
		data = bytes.Clone(s.writer.Bytes())
	} else {
		if newest, err = h.decode(key, data); err == nil {
			err = h.check()
		}
	}
	if err != nil {
		return fmt.Errorf("identity %s: %w", key, err)
	}
	s.writer.Reset()
	s.writer.Append(data)
	s.writer.Fixed32(uint32(len(data)))
	s.store.put(n, key, s.writer.Bytes())
	s.newest, s.clock = later(s.newest, newest), later(s.clock, newest)
	for i := range h.emissions {
		if m := &h.emissions[i]; m.waits() {
			heap.Push(&s.timers, timer{at: m.Now.ReadyAt, number: n})
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Close gives the shard's share of the gauges back.
func (s *Shard) Close() {
	s.engine.metrics.identities.Sub(float64(s.store.live))
	s.store, s.hot = nil, nil
}

func (s *Shard) takeRules() {
	set := s.engine.rules.Load()
	if set == s.set {
		return
	}
	s.set, s.evaluator = set, rule.NewEvaluator(set)
	clear(s.errors)
	if s.rules++; s.rules == 0 {
		for i := range s.store.refs {
			s.store.refs[i].rules = 0
		}
		s.rules = 1
	}
}

// timer wakes an identity whose findings wait to settle.
type timer struct {
	at     time.Time
	number uint32
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
