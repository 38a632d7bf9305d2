package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest/event"
)

// Publisher makes events durable.
type Publisher interface {
	// Publish returns nil when every event is durable. *TooLargeError names
	// those that never can be; it does not say whether the others are, and the
	// collector publishes them again. Any other error is of the moment.
	Publish(ctx context.Context, events []event.Event) error
	// DeadLetter returns nil when every record is durable. It cuts what is too
	// large for the topic and says so beside it.
	DeadLetter(ctx context.Context, rejected []Rejected) error
}

// TooLargeError says which events of a Publish are larger than a message may be.
type TooLargeError struct {
	// Indexes are positions in the slice that was published, ascending.
	Indexes []int
	Err     error
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%d events too large: %v", len(e.Indexes), e.Err)
}

// Unwrap returns the cause.
func (e *TooLargeError) Unwrap() error { return e.Err }

// Deps is what the collectors of one process share.
type Deps struct {
	Normalizers map[event.Source]Normalizer
	Identity    Identity
	Publisher   Publisher
	Cursors     CursorStore
	// Health is told how the inputs stand; nil where nobody wants to know.
	Health HealthPublisher
	// Lateness is how late detection takes an event; 0 is not known.
	Lateness   time.Duration
	Registerer prometheus.Registerer
	Log        *slog.Logger
	// Now stamps Observed, where a source left it open, and Ingested.
	Now func() time.Time
}

// Pipeline makes collectors that are aligned with each other and count into
// the same metrics.
type Pipeline struct {
	cfg     Config
	deps    Deps
	align   *aligner
	metrics *metrics
	health  *health
}

// New returns a pipeline. cfg must be valid.
func New(cfg Config, deps Deps) *Pipeline {
	p := &Pipeline{
		cfg:     cfg,
		deps:    deps,
		align:   newAligner(cfg.MaxSkew, cfg.IdleAfter),
		metrics: newMetrics(deps.Registerer),
	}
	if deps.Health != nil {
		p.health = &health{publisher: deps.Health, metrics: p.metrics, log: deps.Log, now: deps.Now, inputs: map[string]*tracker{}}
	}
	return p
}

// Collector drives one source: poll, normalize, resolve, publish, save the
// cursor, in this order.
type Collector struct {
	*Pipeline
	input   string
	source  Source
	cursors CursorStore
	lane    *lane
	log     *slog.Logger
	// unsaved is the cursor of a durable batch that could not be saved yet.
	unsaved json.RawMessage
	// progress tells of history that is being caught up.
	progress progress
	late     late
	tracked  *tracker

	mu sync.Mutex
	// failing is what the source says since failingSince; nil while it is well.
	failing      error
	failingSince time.Time
}

// Collector returns the collector of source; input names it in metrics, logs
// and the cursor store, and is unique. From now on the other collectors wait a
// moment for its first events, so make all of them before running the first.
func (p *Pipeline) Collector(input string, source Source) *Collector {
	return &Collector{
		Pipeline: p,
		input:    input,
		source:   source,
		cursors:  p.deps.Cursors,
		lane:     p.align.join(),
		log:      p.deps.Log.With(slog.String("input", input)),
	}
}

// Pushed returns the collector of a source whose records are pushed and wait for
// an answer. It waits for no other input, and no other waits for it: a sender's
// patience is seconds, and history may take hours to catch up.
func (p *Pipeline) Pushed(input string, source Source) *Collector {
	alone := *p
	alone.cfg.MaxSkew = 0
	alone.align = newAligner(0, p.cfg.IdleAfter)
	return alone.Collector(input, source)
}

// WithCursors makes the collector keep its cursor elsewhere than Deps says; it
// returns the collector.
func (c *Collector) WithCursors(s CursorStore) *Collector {
	c.cursors = s
	return c
}

// Run collects until the input ends, when it returns nil, or ctx does. An error
// from before the first poll (a cursor that cannot be loaded or used) is
// returned; afterwards nothing that an input or Kafka does ends it. A last
// cursor that cannot be saved is returned beside ctx's error. It closes the
// source.
func (c *Collector) Run(ctx context.Context) (err error) {
	defer c.lane.leave()
	c.tracked = c.health.begin(c.input, c.cursors, c.log)
	defer func() { c.tracked.ended(ctx, err) }()
	defer c.metrics.forget(c.input)
	defer func() {
		if c.unsaved != nil {
			err = errors.Join(err, c.cursors.Save(c.input, c.unsaved)) // one more try
		}
		if errClose := c.source.Close(); err == nil && errClose != nil {
			err = fmt.Errorf("close input %s: %w", c.input, errClose)
		}
	}()
	cursor, err := c.cursors.Load(c.input)
	if err != nil {
		return fmt.Errorf("start input %s: %w", c.input, err)
	}
	if err := c.source.Seek(cursor); err != nil {
		return fmt.Errorf("start input %s: %w", c.input, err)
	}
	c.tracked.started(cursor != nil)
	pause := c.newBackOff()
	for {
		c.lane.polling()
		batch, err := c.source.Poll(ctx)
		if ctx.Err() != nil {
			return ctx.Err() // what Poll returned was not acknowledged and comes again
		}
		// Not errors.Is: a connection that broke off wraps it too, and is no end.
		ended := err == io.EOF //nolint:errorlint // see above
		switch {
		case err == nil:
			pause.Reset()
			c.metrics.polls.WithLabelValues(c.input, "ok").Inc()
			c.polled(ctx, nil, 0)
		case ended:
			c.metrics.polls.WithLabelValues(c.input, "end").Inc()
			c.polled(ctx, nil, 0)
		default:
			c.metrics.polls.WithLabelValues(c.input, "error").Inc()
			c.lane.idle()
			next := pause.NextBackOff()
			c.polled(ctx, err, next)
			if err := sleep(ctx, next); err != nil {
				return err
			}
			continue
		}
		if err := c.collect(ctx, batch); err != nil {
			return err
		}
		if ended {
			return nil
		}
	}
}

// polled notes how a poll went, and logs what is news. A refused credential is
// an error with its own words: nothing but an operator ends it.
func (c *Collector) polled(ctx context.Context, err error, retryIn time.Duration) {
	_, refused := errors.AsType[*CredentialError](err)
	c.tracked.polled(err)
	c.mu.Lock()
	was := c.failing
	c.failing = err
	if was == nil && err != nil {
		c.failingSince = time.Now()
	}
	c.mu.Unlock()
	c.metrics.refused.WithLabelValues(c.input).Set(map[bool]float64{true: 1}[refused])
	switch {
	case err == nil && was != nil:
		c.log.InfoContext(ctx, "input polled again")
	case err == nil:
	case refused && (was == nil || was.Error() != err.Error()):
		c.log.ErrorContext(ctx, "input cannot be polled", slog.Any("error", err), slog.Duration("retry_in", retryIn))
	case !refused:
		c.log.WarnContext(ctx, "poll input", slog.Any("error", err), slog.Duration("retry_in", retryIn))
	}
}

// failingAfter is how long a source may fail before Ready says so: a refused
// request in the night is no reason to page anybody.
const failingAfter = 2 * time.Minute

// Ready returns nil while the source can be polled, else why not. A refused
// credential counts at once, anything else after two minutes.
func (c *Collector) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, refused := errors.AsType[*CredentialError](c.failing); refused {
		return c.failing
	}
	if c.failing != nil && time.Since(c.failingSince) >= failingAfter {
		return fmt.Errorf("failing for %s: %w", time.Since(c.failingSince).Round(time.Second), c.failing)
	}
	return nil
}

// collect brings one batch through. It returns only the error of ctx: there is
// nothing else that would make it right to drop or to skip a batch.
func (c *Collector) collect(ctx context.Context, batch Batch) error {
	for i := range batch.Records {
		if r := &batch.Records[i]; r.Observed.IsZero() {
			r.Observed = c.deps.Now().UTC()
		}
	}
	out := Normalize(batch.Records, c.deps.Normalizers, c.deps.Identity)
	out.sortByTime()
	if err := c.publish(ctx, batch.Records, &out); err != nil {
		return err
	}
	if len(out.Rejected) > 0 {
		err := c.untilDurable(ctx, "dead letters", func() error { return c.deps.Publisher.DeadLetter(ctx, out.Rejected) })
		if err != nil {
			return err
		}
		c.logRejected(ctx, out.Rejected)
	}
	c.metrics.batch(c.input, out.Summary, c.deps.Now())
	c.tracked.collected(batch, out)
	if batch.Durable != nil {
		batch.Durable(ctx)
	}
	if !batch.Through.IsZero() {
		c.metrics.through.WithLabelValues(c.input).Set(float64(batch.Through.UnixMilli()) / 1000)
		c.lane.published(batch.Through)
		c.progress.note(ctx, c.log, c.deps.Now(), batch.Through, len(batch.Records))
	}
	if batch.Cursor != nil {
		c.unsaved = batch.Cursor
	}
	return c.saveCursor(ctx)
}

// publish makes the events durable, as far at a time as the other inputs'
// progress allows.
func (c *Collector) publish(ctx context.Context, records []Record, out *Normalized) error {
	events, origins := out.Events, out.records
	now := c.deps.Now()
	times := make([]time.Time, len(events))
	for i := range events {
		// A clock that is ahead must not make an input wait for the future.
		times[i] = events[i].Time
		if times[i].After(now) {
			times[i] = now
		}
	}
	if c.deps.Lateness > 0 {
		c.late.note(ctx, c.log, now, c.deps.Lateness, times)
	}
	for len(events) > 0 {
		n := len(events)
		if c.cfg.MaxSkew > 0 {
			start := time.Now()
			var err error
			if n, err = c.lane.allow(ctx, times); err != nil {
				return err
			}
			c.metrics.held.WithLabelValues(c.input).Add(time.Since(start).Seconds())
		}
		if err := c.publishPart(ctx, records, out, events[:n], origins[:n]); err != nil {
			return err
		}
		c.lane.published(times[n-1])
		events, origins, times = events[n:], origins[n:], times[n:]
	}
	return nil
}

func (c *Collector) publishPart(ctx context.Context, records []Record, out *Normalized, events []event.Event, origins []int) error {
	ingested := c.deps.Now().UTC()
	for i := range events {
		events[i].Ingested = ingested
	}
	return c.untilDurable(ctx, "events", func() error {
		for len(events) > 0 {
			err := c.deps.Publisher.Publish(ctx, events)
			large, ok := errors.AsType[*TooLargeError](err)
			if !ok || len(large.Indexes) == 0 {
				return err
			}
			var kept []event.Event
			var keptOrigins []int
			for i := range events {
				if slices.Contains(large.Indexes, i) {
					out.Summary.tooLarge(&events[i])
					out.Rejected = append(out.Rejected, Rejected{
						Record: records[origins[i]],
						Err:    &MalformedError{Reason: MalformedTooBig, Err: large.Err},
					})
					continue
				}
				kept, keptOrigins = append(kept, events[i]), append(keptOrigins, origins[i])
			}
			if len(kept) == len(events) {
				return err
			}
			events, origins = kept, keptOrigins
		}
		return nil
	})
}

// untilDurable repeats publish until it succeeds or ctx ends. While it fails,
// the other inputs do not wait for this one.
func (c *Collector) untilDurable(ctx context.Context, what string, publish func() error) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, publish() },
		backoff.WithBackOff(c.newBackOff()), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, next time.Duration) {
			c.lane.idle()
			c.metrics.publishErrors.WithLabelValues(c.input).Inc()
			c.tracked.polled(fmt.Errorf("publish %s: %w", what, err))
			c.log.WarnContext(ctx, "publish", slog.String("what", what), slog.Any("error", err), slog.Duration("retry_in", next))
		}))
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// cursorTries is how often a cursor is tried before the input goes on; it is
// tried again after the next batch. An old cursor repeats events after a crash,
// which detection absorbs; to stand still would lose time.
const cursorTries = 3

func (c *Collector) saveCursor(ctx context.Context) error {
	if c.unsaved == nil {
		return nil
	}
	failed := func(err error, _ time.Duration) {
		c.lane.idle()
		c.metrics.cursorErrors.WithLabelValues(c.input).Inc()
		c.log.ErrorContext(ctx, "save cursor", slog.Any("error", err))
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, c.cursors.Save(c.input, c.unsaved) },
		backoff.WithBackOff(c.newBackOff()), backoff.WithMaxTries(cursorTries), backoff.WithNotify(failed))
	switch {
	case err == nil:
		c.unsaved = nil
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		failed(err, 0)
	}
	return nil
}

// logRejected says once per batch what the dead letters are about; each is kept
// with its reason in the topic.
func (c *Collector) logRejected(ctx context.Context, rejected []Rejected) {
	first := rejected[0]
	c.log.WarnContext(ctx, "records set aside as dead letters", slog.Int("count", len(rejected)),
		slog.String("reason", string(ReasonOf(first.Err))), slog.String("first_origin", first.Record.Origin))
}

func (c *Collector) newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = retryMin, c.cfg.RetryMax
	return b
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sortByTime puts the events in the order of their time: providers that list
// the newest first would else look late to detection, and alignment needs it.
func (n *Normalized) sortByTime() {
	byTime := func(a, b event.Event) int { return a.Time.Compare(b.Time) }
	if slices.IsSortedFunc(n.Events, byTime) {
		return
	}
	order := make([]int, len(n.Events))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return n.Events[i].Time.Compare(n.Events[j].Time) })
	events, records := make([]event.Event, len(order)), make([]int, len(order))
	for to, from := range order {
		events[to], records[to] = n.Events[from], n.records[from]
	}
	n.Events, n.records = events, records
}
