package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest/stream"
)

// health is what /-/ready says: one line for each part that is not ready.
type health struct {
	mu     sync.Mutex
	checks map[string][]func() error
	gauge  prometheus.Gauge
	// complete is whether all parts are in checks.
	complete bool
}

func newHealth(gauge prometheus.Gauge) *health {
	return &health{checks: map[string][]func() error{}, gauge: gauge}
}

// watch adds something to ask of a part each time.
func (h *health) watch(part string, check func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[part] = append(h.checks[part], check)
}

// forget takes a part away.
func (h *health) forget(part string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.checks, part)
}

// completed tells that no more parts come.
func (h *health) completed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.complete = true
}

// group adds the member of a consumer group.
func (h *health) group(name string) *groupHealth {
	g := newGroupHealth(0)
	g.joining = true
	h.watch(name, g.ready)
	return g
}

func (h *health) ready() error {
	h.mu.Lock()
	checks, complete := maps.Clone(h.checks), h.complete
	h.mu.Unlock()
	var errs []error
	if !complete {
		errs = append(errs, errors.New("pipeline: starting"))
	}
	for _, part := range slices.Sorted(maps.Keys(checks)) {
		for _, check := range checks[part] {
			if err := check(); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", part, err))
			}
		}
	}
	err := errors.Join(errs...)
	if err == nil {
		h.gauge.Set(1)
	} else {
		h.gauge.Set(0)
	}
	return err
}

const (
	// troubleAge is how long a partition that says nothing more counts as failing:
	// longer than the longest time between two tries. After it, the partition is
	// another member's.
	troubleAge = 2 * time.Minute
	// insertGrace is how long inserts may fail before it is said: what the next
	// try mends is nobody's business.
	insertGrace = 5 * time.Second
	// handlePatience is how long a batch may take; the usual is less than a second.
	handlePatience = 30 * time.Second
)

// groupHealth is how the partitions of a group's member are.
type groupHealth struct {
	mu      sync.Mutex
	joining bool
	// grace is how long a partition may fail before it is said.
	grace time.Duration
	// begun is when the batch that a partition has in hand was begun.
	begun  map[int]time.Time
	failed map[int]trouble
}

// trouble is the last error of a partition, and since when there are errors.
type trouble struct {
	err       error
	since, at time.Time
}

func newGroupHealth(grace time.Duration) *groupHealth {
	return &groupHealth{grace: grace, begun: map[int]time.Time{}, failed: map[int]trouble{}}
}

// joined notes that a partition was opened. It says nothing of trouble in
// handling: that is over when a batch went through.
func (g *groupHealth) joined() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.joining = false
}

// report notes how a partition is; nil is well.
func (g *groupHealth) report(partition int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.joining = false
	if err == nil {
		delete(g.failed, partition)
		return
	}
	now := time.Now()
	t, ok := g.failed[partition]
	if !ok {
		t.since = now
	}
	t.err, t.at = err, now
	g.failed[partition] = t
}

// handling notes that a partition has a batch in hand, and no longer when done
// is called.
func (g *groupHealth) handling(partition int) (done func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.begun[partition] = time.Now()
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.begun, partition)
	}
}

func (g *groupHealth) ready() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.joining {
		return errors.New("joining its consumer group")
	}
	now := time.Now()
	maps.DeleteFunc(g.failed, func(_ int, t trouble) bool { return now.Sub(t.at) > troubleAge })
	why := map[int]error{}
	for partition, begun := range g.begun {
		if now.Sub(begun) > handlePatience {
			why[partition] = fmt.Errorf("its batch is in hand for %s", now.Sub(begun).Round(time.Second))
		}
	}
	for partition, t := range g.failed {
		if now.Sub(t.since) >= g.grace {
			why[partition] = t.err
		}
	}
	if len(why) == 0 {
		return nil
	}
	first := slices.Min(slices.Collect(maps.Keys(why)))
	return fmt.Errorf("%d partitions not processed, the first is %d: %w", len(why), first, why[first])
}

// watched is a partition whose trouble is told.
type watched struct {
	stream.Partition
	number int
	health *groupHealth
}

// Handle implements stream.Partition.
func (w *watched) Handle(ctx context.Context, batch []stream.Message) error {
	defer w.health.handling(w.number)()
	return w.told(ctx, w.Partition.Handle(ctx, batch))
}

// Idle implements stream.Partition.
func (w *watched) Idle(ctx context.Context, quiet time.Duration) error {
	return w.told(ctx, w.Partition.Idle(ctx, quiet))
}

func (w *watched) told(ctx context.Context, err error) error {
	if ctx.Err() == nil { // the end of a generation is no trouble
		w.health.report(w.number, err)
	}
	return err
}
