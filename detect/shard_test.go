package detect_test

import (
	"hash/fnv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"stepdown/detect"
	"stepdown/detect/alert"
	"stepdown/detect/rule"
	"stepdown/ingest/event"
)

// said is what a run handed on, as a sink sees it: every revision once, the
// highest holds.
type said struct {
	t         rapid.TB
	revisions map[alert.ID]map[uint64]alert.Alert
	latest    map[alert.ID]alert.Alert
}

func newSaid(t rapid.TB) *said {
	return &said{t: t, revisions: map[alert.ID]map[uint64]alert.Alert{}, latest: map[alert.ID]alert.Alert{}}
}

// content is what an alert says, without when it was read and handed on.
func content(a alert.Alert) alert.Alert {
	a.Observed, a.Emitted = time.Time{}, time.Time{}
	return a
}

// take takes over what a shard handed on. life is the highest revision of each
// alert since that shard was made: it must grow.
func (s *said) take(alerts []alert.Alert, life map[alert.ID]uint64) {
	for _, a := range alerts {
		if err := a.Validate(); err != nil {
			s.t.Fatalf("%s: %v", a.RuleID, err)
		}
		if a.Revision <= life[a.ID] {
			s.t.Fatalf("%s %s: revision %d after %d in one life", a.RuleID, a.Anchor, a.Revision, life[a.ID])
		}
		life[a.ID] = a.Revision
		before, known := s.latest[a.ID]
		if a.State == alert.Withdrawn && (!known || before.State == alert.Withdrawn && before.Revision < a.Revision) {
			s.t.Fatalf("%s %s: revision %d withdraws what was not open", a.RuleID, a.Anchor, a.Revision)
		}
		if s.revisions[a.ID] == nil {
			s.revisions[a.ID] = map[uint64]alert.Alert{}
		}
		// The first revision is of when it was first said: after a crash the clock
		// may be further. Higher ones follow then.
		if old, again := s.revisions[a.ID][a.Revision]; again && a.Revision > 1 {
			if diff := cmp.Diff(content(old), content(a)); diff != "" {
				s.t.Fatalf("%s %s: revision %d says something else the second time:\n%s", a.RuleID, a.Anchor, a.Revision, diff)
			}
		}
		s.revisions[a.ID][a.Revision] = a
		if a.Revision > before.Revision {
			s.latest[a.ID] = a
		}
	}
}

// open is what stands at the end.
func (s *said) open() map[alert.ID]alert.Alert {
	out := map[alert.ID]alert.Alert{}
	for id, a := range s.latest {
		if a.State == alert.Open {
			a = content(a)
			a.Revision = 0
			out[id] = a
		}
	}
	return out
}

// sortedPass is one shard that gets every final record once, in order.
func sortedPass(t rapid.TB, set *rule.Set, h *history) map[alert.ID]alert.Alert {
	return replay(t, set, h.sorted())
}

func replay(t rapid.TB, set *rule.Set, events []event.Event) map[alert.ID]alert.Alert {
	t.Helper()
	shard := detect.NewShard(detect.NewEngine(set, detect.DefaultConfig(), nil))
	out, life := newSaid(t), map[alert.ID]uint64{}
	for i := range events {
		if err := shard.Apply(&events[i], int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	shard.Advance(origin().Add(72 * time.Hour))
	out.take(shard.Drain(), life)
	return out.open()
}

// partition is one partition of the log with everything durable about it.
type partition struct {
	engine    *detect.Engine
	log       []event.Event
	states    map[event.Key][]byte
	order     []event.Key
	committed int
	shard     *detect.Shard
	// decoded is how many histories the shard keeps decoded.
	decoded int
	life    map[alert.ID]uint64
	out     *said
}

// start begins a new life of the partition's detector.
func (p *partition) start(t rapid.TB) {
	p.shard, p.life = detect.NewShard(p.engine), map[alert.ID]uint64{}
	detect.KeepDecoded(p.shard, p.decoded)
	for _, key := range p.order {
		if err := p.shard.Restore(key, p.states[key]); err != nil {
			t.Fatal(err)
		}
	}
}

// batch handles up to n records. It crashes after stage steps of what makes them
// durable; a negative stage does not crash.
func (p *partition) batch(t rapid.TB, n, stage int) {
	end := min(p.committed+n, len(p.log))
	for i := p.committed; i < end; i++ {
		if err := p.shard.Apply(&p.log[i], int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	p.flush(t, end, stage)
}

func (p *partition) flush(t rapid.TB, end, stage int) {
	alerts := p.shard.Drain()
	if stage >= 0 && stage < 2 {
		// Some alerts, or none, were published.
		p.out.take(alerts[:len(alerts)*stage/2], p.life)
		p.start(t)
		return
	}
	p.out.take(alerts, p.life)
	for state, err := range p.shard.Dirty() {
		if err != nil {
			t.Fatal(err)
		}
		if stage == 2 {
			p.start(t)
			return
		}
		if stage > 2 {
			stage--
		}
		if _, ok := p.states[state.Key]; !ok {
			p.order = append(p.order, state.Key)
		}
		p.states[state.Key] = state.Data
	}
	if stage >= 2 {
		p.start(t)
		return
	}
	p.committed = end
}

func TestFinalAlertsDoNotDependOnDelivery(t *testing.T) {
	set := pack(t, 1, testRules)
	raised := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory().Draw(t, "history")
		want := sortedPass(t, set, h)
		for _, a := range want {
			raised[a.RuleID]++
		}
		compare := func(how string, got map[alert.ID]alert.Alert) {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s (-sorted +%s):\n%s", how, how, diff)
			}
		}
		arrived := h.arrived()
		compare("arrived", replay(t, set, arrived))

		count := rapid.IntRange(1, 8).Draw(t, "partitions")
		engine := detect.NewEngine(set, detect.DefaultConfig(), nil)
		out := newSaid(t)
		partitions := make([]*partition, count)
		for i := range partitions {
			// With one, every event of another identity encodes and decodes.
			decoded := rapid.SampledFrom([]int{1, 2, 1000}).Draw(t, "decoded")
			partitions[i] = &partition{engine: engine, decoded: decoded, states: map[event.Key][]byte{}, out: out}
			partitions[i].start(t)
		}
		for _, e := range arrived {
			f := fnv.New32a()
			_, _ = f.Write([]byte(e.Key))
			p := partitions[int(f.Sum32())%count]
			p.log = append(p.log, e)
		}
		for _, p := range partitions {
			for p.committed < len(p.log) {
				stage := -1
				if rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
					stage = rapid.IntRange(0, 6).Draw(t, "stage")
				}
				p.batch(t, rapid.IntRange(1, 20).Draw(t, "batch"), stage)
				if rapid.IntRange(0, 7).Draw(t, "idle") == 0 {
					p.shard.Advance(p.shard.Clock().Add(10 * time.Minute))
					p.flush(t, p.committed, -1)
				}
				if rapid.IntRange(0, 7).Draw(t, "handed over") == 0 {
					p.start(t)
				}
			}
			p.shard.Advance(origin().Add(72 * time.Hour))
			p.flush(t, p.committed, -1)
		}
		compare("crashed", out.open())
	})
	for _, r := range set.All() {
		if raised[r.ID] == 0 {
			t.Logf("%s was never raised", r.ID)
		}
	}
	t.Log("raised in sorted passes:", raised)
}
