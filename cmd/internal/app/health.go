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
	checks map[string]func() error
	gauge  prometheus.Gauge
	// complete is whether all parts are in checks.
	complete bool
}

func newHealth(gauge prometheus.Gauge) *health {
	return &health{checks: map[string]func() error{}, gauge: gauge}
}

// watch adds a part that is asked each time.
func (h *health) watch(part string, check func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[part] = check
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
	h.mu.Lock()
	defer h.mu.Unlock()
	g := &groupHealth{joining: true, failed: map[int]trouble{}}
	h.checks[name] = g.ready
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
		if err := checks[part](); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", part, err))
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

// troubleAge is how long a partition that says nothing more counts as failing:
// longer than the longest time between two tries. After it, the partition is
// another member's.
const troubleAge = 2 * time.Minute

// groupHealth is how the partitions of a group's member are.
type groupHealth struct {
	mu      sync.Mutex
	joining bool
	failed  map[int]trouble
}

type trouble struct {
	err error
	at  time.Time
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
	} else {
		g.failed[partition] = trouble{err: err, at: time.Now()}
	}
}

func (g *groupHealth) ready() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.joining {
		return errors.New("joining its consumer group")
	}
	maps.DeleteFunc(g.failed, func(_ int, t trouble) bool { return time.Since(t.at) > troubleAge })
	if len(g.failed) == 0 {
		return nil
	}
	first := slices.Min(slices.Collect(maps.Keys(g.failed)))
	return fmt.Errorf("%d partitions not processed, the first is %d: %w", len(g.failed), first, g.failed[first].err)
}

// watched is a partition whose trouble is told.
type watched struct {
	stream.Partition
	number int
	health *groupHealth
}

// Handle implements stream.Partition.
func (w *watched) Handle(ctx context.Context, batch []stream.Message) error {
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
