package sinks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// DeadLetter keeps an alert that a sink refused, with the reason. An error means
// that it is not kept; it is tried again.
type DeadLetter func(ctx context.Context, a *alert.Alert, reason error) error

// Runner keeps the contract of one sink: it retries, buries what is refused, and
// returns when the batch is settled. One goroutine owns it; SetMinimum is for any.
type Runner struct {
	name    string
	sink    Sink
	minimum atomic.Value // an alert.Severity
	dead    DeadLetter
	log     *slog.Logger
	metrics *metrics
	waits   *backoff.ExponentialBackOff
	down    bool
}

// NewRunner returns the runner of sink under a name that is unique in reg. Alerts
// below minimum are left out; the empty severity leaves out none.
func NewRunner(name string, sink Sink, minimum alert.Severity, dead DeadLetter, log *slog.Logger, reg prometheus.Registerer) (*Runner, error) {
	if minimum != "" && minimum.Rank() == 0 {
		return nil, fmt.Errorf("sink %s: minimum severity %q is not one of %v", name, minimum, alert.Severities())
	}
	m, err := newMetrics(name, reg)
	if err != nil {
		return nil, fmt.Errorf("sink %s: register metrics: %w", name, err)
	}
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = firstWait, maxWait
	r := &Runner{name: name, sink: sink, dead: dead, log: log.With(slog.String("sink", name)), metrics: m, waits: waits}
	r.SetMinimum(minimum)
	return r, nil
}

// SetMinimum changes, from the next batch on, below which severity alerts are
// left out. The severity is one that NewRunner takes.
func (r *Runner) SetMinimum(minimum alert.Severity) { r.minimum.Store(minimum) }

// Handle returns nil when every one of alerts is settled: durable at the sink,
// in the dead-letter topic, or below the minimum severity. Until then it tries
// again. The only error is that of ctx; then nothing may be committed.
func (r *Runner) Handle(ctx context.Context, alerts []alert.Alert) error {
	rest := r.wanted(alerts)
	r.waits.Reset()
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

// wanted returns the alerts that the sink asked for.
func (r *Runner) wanted(alerts []alert.Alert) []alert.Alert {
	minimum, _ := r.minimum.Load().(alert.Severity)
	if minimum.Rank() <= 1 {
		return alerts
	}
	holder, _ := r.sink.(Holder)
	passed := map[alert.ID]bool{}
	var kept []alert.Alert
	for _, a := range alerts {
		switch {
		case a.Severity.Rank() >= minimum.Rank():
		case passed[a.ID]:
		case holder != nil && holder.Holds(a.ID):
		default:
			r.metrics.filtered.Inc()
			continue
		}
		passed[a.ID] = true
		kept = append(kept, a)
	}
	return kept
}

// write hands batch to the sink once and returns what is still unsettled. After
// a refusal that is buried, that is the rest of the batch and no error.
func (r *Runner) write(ctx context.Context, batch []alert.Alert) ([]alert.Alert, error) {
	err := r.sink.Write(ctx, batch)
	if err == nil {
		r.metrics.written.Add(float64(len(batch)))
		r.succeeded()
		return nil, nil
	}
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok {
		return batch, err
	}
	return r.bury(ctx, batch, refused)
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
	r.down = true
	r.metrics.up.Set(0)
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

func (r *Runner) succeeded() {
	r.metrics.lastSuccess.SetToCurrentTime()
	r.metrics.up.Set(1)
	if r.down {
		r.down = false
		r.log.Info("sink takes alerts again")
	}
}
