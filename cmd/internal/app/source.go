package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stepdown/cmd/internal/config"
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/poll"
	"stepdown/ingest/stream"
)

// Checked is what one look at a stream of a live input gave.
type Checked struct {
	Input  string `json:"input"`
	Stream string `json:"stream"`
	// NotLookedAt is why this stream cannot be looked at without taking its records
	// away; empty for others.
	NotLookedAt string `json:"not_looked_at,omitempty"`
	// Err is why it cannot be read; Refused that the credential is the reason.
	Err     error `json:"-"`
	Refused bool  `json:"refused"`
	// Records, Events, Skipped and Failed are of the first page since the time
	// that was asked for; Newest is the time of its latest event.
	Records int       `json:"records"`
	Events  int       `json:"events"`
	Skipped int       `json:"skipped"`
	Failed  int       `json:"failed"`
	Newest  time.Time `json:"newest,omitzero"`
	// Skew is how far the provider's clock is ahead of ours, by the Date of its
	// answers, which have whole seconds.
	Skew time.Duration `json:"skew_ns"`
	// Requests is how many it took.
	Requests int `json:"requests"`
	// Took is how long.
	Took time.Duration `json:"took_ns"`
}

// CheckInput looks once at each stream of a live input, beginning at since. It
// publishes nothing and leaves the saved positions alone.
func CheckInput(ctx context.Context, cfg *config.Config, in *config.Input, since time.Time, log *slog.Logger) ([]Checked, error) {
	watch := &watchedTransport{next: http.DefaultTransport}
	rt := ingest.NewRuntime(in.Name, since, log, prometheus.NewRegistry())
	rt.HTTP = watch
	sources, err := openPolled(in, rt)
	if err != nil {
		return nil, err
	}
	resolver, err := Resolver(cfg, log)
	if err != nil {
		return nil, err
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("input %s: %w", in.Name, ErrOnlyPushed)
	}
	var out []Checked
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		watch.reset()
		began := time.Now()
		c := Checked{Input: in.Name, Stream: name}
		if q, ok := sources[name].(ingest.Consumer); ok {
			c.NotLookedAt = "it is " + q.Consumes()
			out = append(out, c)
			continue
		}
		batch, err := firstPage(ctx, sources[name])
		c.Took = time.Since(began)
		c.Requests, c.Skew = watch.seen()
		if err != nil {
			_, c.Refused = errors.AsType[*ingest.CredentialError](err)
			c.Err = err
			out = append(out, c)
			continue
		}
		for i := range batch.Records {
			if batch.Records[i].Observed.IsZero() {
				batch.Records[i].Observed = time.Now().UTC()
			}
		}
		n := ingest.Normalize(batch.Records, Normalizers(), resolver)
		c.Records, c.Events, c.Failed = len(batch.Records), len(n.Events), len(n.Rejected)
		for _, s := range n.Summary {
			for _, k := range s.Skipped {
				c.Skipped += k
			}
		}
		for i := range n.Events {
			if t := n.Events[i].Time; t.After(c.Newest) {
				c.Newest = t
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// ErrOnlyPushed is about an input that is never asked.
var ErrOnlyPushed = errors.New("is only pushed to; there is nothing to ask")

// lookable leaves of sources those that can be read without taking anything away,
// and is an error where that is none.
func lookable(in *config.Input, sources map[string]ingest.Source) error {
	if len(sources) == 0 {
		return fmt.Errorf("input %s: %w", in.Name, ErrOnlyPushed)
	}
	from := ""
	maps.DeleteFunc(sources, func(_ string, s ingest.Source) bool {
		q, ok := s.(ingest.Consumer)
		if ok {
			from = q.Consumes()
		}
		return ok
	})
	if len(sources) == 0 || len(sources) == 1 && sources[poll.StreamInventory] != nil && from != "" {
		return fmt.Errorf("input %s reads %s; only its collector may", in.Name, from)
	}
	return nil
}

// firstPage polls a source from its beginning.
func firstPage(ctx context.Context, s ingest.Source) (ingest.Batch, error) {
	defer s.Close() //nolint:errcheck // it was only read
	if err := s.Seek(nil); err != nil {
		return ingest.Batch{}, err
	}
	return s.Poll(ctx)
}

// watchedTransport counts requests and compares clocks.
type watchedTransport struct {
	next http.RoundTripper

	mu       sync.Mutex
	requests int
	skew     time.Duration
}

// RoundTrip implements http.RoundTripper.
func (w *watchedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := w.next.RoundTrip(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	if err != nil {
		return nil, err
	}
	if date, errDate := http.ParseTime(resp.Header.Get("Date")); errDate == nil {
		w.skew = clockSkew(date, began, time.Now())
	}
	return resp, nil
}

// clockSkew is how far date, of whole seconds, is outside of the time between a
// request and its answer.
func clockSkew(date, asked, answered time.Time) time.Duration {
	switch {
	case date.Add(time.Second).Before(asked):
		return date.Add(time.Second).Sub(asked)
	case date.After(answered):
		return date.Sub(answered)
	}
	return 0
}

func (w *watchedTransport) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests, w.skew = 0, 0
}

func (w *watchedTransport) seen() (requests int, skew time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.requests, w.skew
}

// Tail polls the streams of a live input from since on and hands what they
// normalize to each, which is called by one goroutine at a time, until ctx ends. It
// publishes nothing and leaves the saved positions alone. Errors of a stream are
// logged and polled again.
func Tail(ctx context.Context, cfg *config.Config, in *config.Input, since time.Time, log *slog.Logger, each func(ingest.Normalized) error) error {
	rt := ingest.NewRuntime(in.Name, since, log, prometheus.NewRegistry())
	sources, err := openPolled(in, rt)
	if err == nil {
		err = lookable(in, sources)
	}
	if err != nil {
		return err
	}
	resolver, err := Resolver(cfg, log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &tailPublisher{each: each, cancel: cancel}
	pipeline := ingest.New(cfg.Ingest, ingest.Deps{Normalizers: Normalizers(), Identity: resolver, Publisher: p,
		Cursors: memoryCursors{}, Registerer: prometheus.NewRegistry(), Log: log, Now: time.Now})
	var wg sync.WaitGroup
	for name, source := range sources {
		c := pipeline.Collector(inputName(in, name), source)
		wg.Go(func() { _ = c.Run(ctx) }) // ends with ctx
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// tailPublisher shows events instead of publishing them.
type tailPublisher struct {
	mu     sync.Mutex
	each   func(ingest.Normalized) error
	cancel context.CancelCauseFunc
}

// Publish implements ingest.Publisher.
func (p *tailPublisher) Publish(_ context.Context, events []event.Event) error {
	return p.show(ingest.Normalized{Events: events})
}

// DeadLetter implements ingest.Publisher.
func (p *tailPublisher) DeadLetter(_ context.Context, rejected []ingest.Rejected) error {
	return p.show(ingest.Normalized{Rejected: rejected})
}

func (p *tailPublisher) show(n ingest.Normalized) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.each(n); err != nil {
		p.cancel(err)
		return err
	}
	return nil
}

// memoryCursors forget at the end of the process.
type memoryCursors struct{}

// Load implements ingest.CursorStore.
func (memoryCursors) Load(string) (json.RawMessage, error) { return nil, nil }

// Save implements ingest.CursorStore.
func (memoryCursors) Save(string, json.RawMessage) error { return nil }

// caughtUp is how near to now a backfill is at its end.
const caughtUp = 2 * time.Minute

// Backfilled is how far a stream of a backfill has come.
type Backfilled struct {
	Stream  string
	Records int
	Through time.Time
	Done    bool
}

// Backfill reads the streams of a live input from since to now and publishes the
// events, beside what a collector does: the saved positions stay. tell is called
// after each page, by one goroutine at a time.
func Backfill(ctx context.Context, cfg *config.Config, in *config.Input, client *stream.Client, since time.Time, log *slog.Logger, tell func(Backfilled)) error {
	rt := ingest.NewRuntime(in.Name, since, log, prometheus.NewRegistry())
	sources, err := openPolled(in, rt)
	if err == nil {
		err = lookable(in, sources)
	}
	if err != nil {
		return err
	}
	resolver, err := Resolver(cfg, log)
	if err != nil {
		return err
	}
	pipeline := ingest.New(cfg.Ingest, ingest.Deps{Normalizers: Normalizers(), Identity: resolver, Publisher: publisher{client},
		Cursors: memoryCursors{}, Registerer: prometheus.NewRegistry(), Log: log, Now: time.Now})
	var mu sync.Mutex
	type stretch struct {
		collector *ingest.Collector
		source    *bounded
	}
	collectors := map[string]stretch{}
	for name, source := range sources {
		if name == poll.StreamInventory { // it has no history
			continue
		}
		b := &bounded{Source: source, name: name, tell: func(b Backfilled) {
			mu.Lock()
			defer mu.Unlock()
			tell(b)
		}}
		collectors[name] = stretch{pipeline.Collector(inputName(in, name), b), b}
	}
	errs := make(chan error, len(collectors))
	for name, c := range collectors {
		go func() {
			err := errors.Join(c.collector.Run(ctx), c.source.refused)
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			errs <- err
		}()
	}
	var all []error
	for range collectors {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// bounded is a source that ends where it has caught up.
type bounded struct {
	ingest.Source
	name string
	tell func(Backfilled)
	// refused ends the stream: nobody waits for a new credential here.
	refused error
	state   Backfilled
	quiet   int
}

// quietEnd is how many looks without records end a stream that does not say how
// far it is read.
const quietEnd = 2

// Poll implements ingest.Source.
func (b *bounded) Poll(ctx context.Context) (ingest.Batch, error) {
	if b.state.Done {
		return ingest.Batch{}, io.EOF
	}
	batch, err := b.Source.Poll(ctx)
	if _, refused := errors.AsType[*ingest.CredentialError](err); refused {
		b.refused = err
		return ingest.Batch{}, io.EOF
	}
	if err != nil {
		return batch, err
	}
	b.state.Stream, b.state.Records = b.name, b.state.Records+len(batch.Records)
	if !batch.Through.IsZero() {
		b.state.Through = batch.Through
	}
	if b.quiet++; len(batch.Records) > 0 {
		b.quiet = 0
	}
	if batch.Through.IsZero() {
		b.state.Done = b.quiet >= quietEnd
	} else { // a window without records is no end
		b.state.Done = b.quiet > 0 && time.Since(batch.Through) < caughtUp
	}
	b.tell(b.state)
	if b.state.Done {
		return batch, io.EOF
	}
	return batch, nil
}

// ResetCursor forgets the position of a stream of a live input, so that it begins
// again where its settings say. A collector that holds its lease notices within
// seconds.
func ResetCursor(ctx context.Context, client *stream.Client, input, streamName string) error {
	topic := client.Topics().Cursors
	n, err := client.PartitionsOf(ctx, topic)
	if err != nil {
		return err
	}
	return client.PublishTo(ctx, stream.PartitionOf([]byte(input), n), []stream.Message{{Topic: topic, Key: []byte(input + "/" + streamName)}})
}
