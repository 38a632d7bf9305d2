package sinks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"

	"stepdown/detect/alert"
)

// Waits between two attempts to write the same batch.
const (
	firstWait = 500 * time.Millisecond
	maxWait   = time.Minute
)

// When a write is trouble.
const (
	// failingFor is how long an error may last: one that the second attempt mends
	// is none to anybody.
	failingFor = 5 * time.Second
	// hangingFor is how long a write may take, and hangingPerAlert how much
	// longer for each alert: a chat is given its messages one by one.
	hangingFor      = 15 * time.Second
	hangingPerAlert = 2 * time.Second
)

// DeadLetter keeps an alert that a sink refused, with the reason. An error means
// that it is not kept; it is tried again.
type DeadLetter func(ctx context.Context, a *alert.Alert, reason error) error

// Runner keeps the contract of one sink: it retries, buries what is refused, and
// returns when the batch is settled. One goroutine owns it; SetMinimum and
// Trouble are for any.
type Runner struct {
	name    string
	sink    Sink
	minimum atomic.Value // an alert.Severity
	dead    DeadLetter
	log     *slog.Logger
	metrics *metrics
	waits   *backoff.ExponentialBackOff

	mu sync.Mutex // guards what follows, which Trouble reads
	// down is whether the last attempt failed, for whatever batch.
	down bool
	// failing is since when the batch in hand is refused, reason the last error;
	// zero while it is not.
	failing time.Time
	reason  error
	// late is when the write under way has taken too long; zero between writes.
	late time.Time
}

// NewRunner returns the runner of sink under a name that is unique in reg. Alerts
// below minimum are left out; the empty severity leaves out none.
func NewRunner(name string, sink Sink, minimum alert.Severity, dead DeadLetter, log *slog.Logger, reg prometheus.Registerer) (*Runner, error) {
	if minimum != "" && minimum.Rank() == 0 {
		return nil, fmt.Errorf("sink %s: minimum severity %q is not one of %v", name, minimum, alert.Severities())
	}
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = firstWait, maxWait
	r := &Runner{name: name, sink: sink, dead: dead, log: log.With(slog.String("sink", name)), waits: waits}
	r.SetMinimum(minimum)
	var err error
	if r.metrics, err = newMetrics(name, r.up, reg); err != nil {
		return nil, fmt.Errorf("sink %s: register metrics: %w", name, err)
	}
	return r, nil
}

// SetMinimum changes, from the next batch on, below which severity alerts are
// left out. The severity is one that NewRunner takes.
func (r *Runner) SetMinimum(minimum alert.Severity) { r.minimum.Store(minimum) }

// Handle returns nil when every one of alerts is settled: durable at the sink,
// in the dead-letter topic, below the minimum severity, or replaced by a newer
// revision among alerts, of which the sink is given only the newest. Until then
// it tries again. The only error is that of ctx; then nothing may be committed.
func (r *Runner) Handle(ctx context.Context, alerts []alert.Alert) error {
	rest := r.wanted(r.newest(alerts))
	r.waits.Reset()
	defer r.settled()
	for len(rest) > 0 {
		var err error
		if rest, err = r.write(ctx, rest); err == nil {
			r.waits.Reset()
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.wait(ctx, err, len(rest)); err != nil {
			return err
		}
	}
	return nil
}

// newest returns the newest revision of each alert, in the order in which those
// came: catching up, a finding and its withdrawal arrive together.
func (r *Runner) newest(alerts []alert.Alert) []alert.Alert {
	latest := make(map[alert.ID]int, len(alerts))
	for i := range alerts {
		if j, ok := latest[alerts[i].ID]; !ok || alerts[i].Revision >= alerts[j].Revision {
			latest[alerts[i].ID] = i
		}
	}
	if len(latest) == len(alerts) {
		return alerts
	}
	kept := make([]alert.Alert, 0, len(latest))
	for i := range alerts {
		if latest[alerts[i].ID] == i {
			kept = append(kept, alerts[i])
		}
	}
	r.metrics.superseded.Add(float64(len(alerts) - len(kept)))
	return kept
}

// wanted returns the alerts that the sink asked for.
func (r *Runner) wanted(alerts []alert.Alert) []alert.Alert {
	minimum, _ := r.minimum.Load().(alert.Severity)
	if minimum.Rank() <= 1 {
		return alerts
	}
	holder, _ := r.sink.(Holder)
	var kept []alert.Alert
	for _, a := range alerts {
		switch {
		case a.Severity.Rank() >= minimum.Rank():
		case holder != nil && holder.Holds(a.ID):
		default:
			r.metrics.filtered.Inc()
			continue
		}
		kept = append(kept, a)
	}
	return kept
}

// write hands batch to the sink once and returns what is still unsettled. After
// a refusal that is buried, that is the rest of the batch and no error.
func (r *Runner) write(ctx context.Context, batch []alert.Alert) ([]alert.Alert, error) {
	r.begin(len(batch))
	err := r.sink.Write(ctx, batch)
	r.begin(0)
	if err == nil {
		r.metrics.written.Add(float64(len(batch)))
		r.metrics.lastSuccess.SetToCurrentTime()
		r.answered()
		return nil, nil
	}
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok {
		return batch, err
	}
	rest, err := r.bury(ctx, batch, refused)
	if err == nil {
		r.answered()
	}
	return rest, err
}

// bury hands the refused alerts of batch to the dead-letter topic.
func (r *Runner) bury(ctx context.Context, batch []alert.Alert, refused *RefusedError) ([]alert.Alert, error) {
	if len(refused.Indexes) == 0 {
		return batch, fmt.Errorf("refusal that names no alert: %w", refused.Err)
	}
	gone := make(map[int]bool, len(refused.Indexes))
	for _, i := range refused.Indexes {
		if i < 0 || i >= len(batch) {
			return batch, fmt.Errorf("refusal of alert %d in a batch of %d: %w", i, len(batch), refused.Err)
		}
		gone[i] = true
	}
	for i := range batch {
		if !gone[i] {
			continue
		}
		a := &batch[i]
		if err := r.dead(ctx, a, refused.Err); err != nil {
			return batch, fmt.Errorf("keep refused alert %s: %w", a.ID, err)
		}
		r.metrics.refused.Inc()
		r.log.Error("alert refused and kept in the dead-letter topic", slog.String("alert", string(a.ID)),
			slog.Uint64("revision", a.Revision), slog.Any("reason", refused.Err))
	}
	var rest []alert.Alert
	for i := range batch {
		if !gone[i] {
			rest = append(rest, batch[i])
		}
	}
	return rest, nil
}

// wait marks the sink as down and waits until the next attempt.
func (r *Runner) wait(ctx context.Context, reason error, pending int) error {
	r.failed(reason)
	r.metrics.retries.Inc()
	next := r.waits.NextBackOff()
	if later, ok := errors.AsType[*LaterError](reason); ok {
		next = max(next, later.After)
	}
	r.log.Warn("sink does not take alerts, trying again", slog.Int("pending", pending),
		slog.Duration("retry_in", next), slog.Any("error", reason))
	timer := time.NewTimer(next)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// answered notes that the sink took or refused what it was given.
func (r *Runner) answered() {
	r.mu.Lock()
	again := r.down
	r.down = false
	r.mu.Unlock()
	if again {
		r.log.Info("sink takes alerts again")
	}
}

// begin notes that a write of so many alerts is under way; 0 that none is.
func (r *Runner) begin(alerts int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = time.Time{}
	if alerts > 0 {
		r.late = time.Now().Add(hangingFor + time.Duration(alerts)*hangingPerAlert)
	}
}

// failed notes that an attempt failed.
func (r *Runner) failed(reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down, r.reason = true, reason
	if r.failing.IsZero() {
		r.failing = time.Now()
	}
}

// settled notes that no batch is in hand.
func (r *Runner) settled() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failing, r.reason = time.Time{}, nil
}

// Trouble says what keeps the batch in hand from being settled: attempts that
// have failed for some seconds, or a write that does not return. It is nil when
// nothing does. It may be called from any goroutine.
func (r *Runner) Trouble() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch now := time.Now(); {
	case r.hangs(now):
		return errors.New("a write does not return")
	case !r.failing.IsZero() && now.Sub(r.failing) >= failingFor:
		return fmt.Errorf("takes no alerts for %s: %w", now.Sub(r.failing).Round(time.Second), r.reason)
	}
	return nil
}

func (r *Runner) hangs(now time.Time) bool { return !r.late.IsZero() && now.After(r.late) }

func (r *Runner) up() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.down && !r.hangs(time.Now())
}
