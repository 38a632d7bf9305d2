package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"stepdown/cmd/internal/config"
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/file"
	"stepdown/ingest/geo"
	"stepdown/ingest/identity"
	"stepdown/ingest/stream"
	"stepdown/ingest/webhook"
)

// Normalizers are the providers that this build reads, by source.
func Normalizers() map[event.Source]ingest.Normalizer {
	all := map[event.Source]ingest.Normalizer{}
	for _, p := range config.Providers() {
		all[p.Source] = p.Normalizer
	}
	return all
}

// Resolver returns what completes an event before it is published: its place, then
// its identity. What it opens is small and is not closed: it is for one command.
func Resolver(cfg *config.Config, log *slog.Logger) (ingest.Identity, error) {
	resolver, err := identity.New(cfg.Identity)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	places, err := geo.Open(cfg.Geo, log)
	if err != nil {
		return nil, fmt.Errorf("geo: %w", err)
	}
	return places.Before(resolver), nil
}

// openInputs makes the sources and finds what of them cannot be.
func (a *App) openInputs(ctx context.Context) (err error) {
	if a.cursors, err = ingest.NewFileCursors(filepath.Join(a.cfg.DataDir, "cursors")); err != nil {
		return err
	}
	if a.normalizers, err = NormalizersOf(a.cfg); err != nil {
		return err
	}
	a.inputs = maps.Clone(a.opts.Sources)
	if a.inputs == nil {
		a.inputs = map[string]ingest.Source{}
	}
	hooks := http.NewServeMux()
	hookMetrics := webhook.NewMetrics(a.opts.Registerer)
	for i := range a.cfg.Inputs {
		in := &a.cfg.Inputs[i]
		_, settings := in.Settings()
		switch {
		case in.Webhook.Set:
			e := webhook.New(in.Webhook.Value, file.Split, a.runtime(in.Name), hookMetrics)
			hooks.Handle(e.Path(), e)
			a.inputs[in.Name] = e
		case in.Topic.Set:
			a.live = append(a.live, in)
		case settings != nil:
			// Made once here to find mistakes, and again by each holder of the lease.
			sources, err := settings.Open(a.runtime(in.Name))
			if err != nil {
				return fmt.Errorf("inputs[%d] %s: %w", i, in.Name, err)
			}
			pushed := 0
			for name, source := range sources {
				if r, ok := source.(ingest.Receiver); ok {
					hooks.Handle(r.Path(), r)
					a.inputs[inputName(in, name)] = r
					pushed++
				}
			}
			if pushed < len(sources) {
				a.live = append(a.live, in)
			}
		default:
			source, err := file.New(in.File, a.log)
			if err != nil {
				return fmt.Errorf("inputs[%d] %s: %w", i, in.Name, err)
			}
			source.MergeBy(ingest.TimeOf(a.normalizers[in.File.Source]))
			a.inputs[in.Name] = source
		}
	}
	return a.openReceiver(ctx, hooks)
}

// runtime is what an input's sources are given.
func (a *App) runtime(input string) ingest.Runtime {
	rt := ingest.NewRuntime(input, a.opts.Since, a.log.With(slog.String("input", input)), a.opts.Registerer)
	rt.Now = a.now
	return rt
}

// openReceiver takes the address at which webhooks arrive.
func (a *App) openReceiver(ctx context.Context, hooks http.Handler) error {
	if a.cfg.Receiver.Listen == "" {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.cfg.Receiver.Listen)
	if err != nil {
		return fmt.Errorf("receiver.listen: %w; name a free address", err)
	}
	a.receiver = &http.Server{Handler: hooks, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx }} // a push in hand at the end is answered that it is not durable
	a.receiverListener = listener
	a.onClose("receiver", func(context.Context) error {
		if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return nil
}

// ReceiverAddr is the address of the receiver; empty before Open and where there
// is none.
func (a *App) ReceiverAddr() string {
	if a.receiverListener == nil {
		return ""
	}
	return a.receiverListener.Addr().String()
}

func (a *App) runReceiver(ctx context.Context, g *errgroup.Group) {
	if a.receiver == nil {
		return
	}
	a.log.Info("receiver listens", slog.String("address", a.ReceiverAddr()), slog.Bool("tls", a.cfg.Receiver.CertFile != ""))
	serve := func() error { return a.receiver.Serve(a.receiverListener) }
	if tls := a.cfg.Receiver; tls.CertFile != "" {
		serve = func() error { return a.receiver.ServeTLS(a.receiverListener, tls.CertFile, tls.KeyFile) }
	}
	g.Go(func() error {
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("receiver: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		//nolint:contextcheck // ctx has ended: the server gets a moment of its own
		stop, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := a.receiver.Shutdown(stop); err != nil {
			return a.receiver.Close()
		}
		return nil
	})
}

func (a *App) runCollectors(ctx context.Context, g *errgroup.Group) {
	pipeline := ingest.New(a.cfg.Ingest, ingest.Deps{
		Normalizers: a.normalizers, Identity: a.places.Before(a.resolver), Publisher: publisher{a.client}, Cursors: a.cursors, Lateness: a.cfg.Detect.Lateness,
		Health: publisher{a.client}, Registerer: a.opts.Registerer, Log: a.log, Now: a.now,
	})
	a.flushHealth = pipeline.FlushHealth
	g.Go(func() error {
		pipeline.ReportHealth(ctx)
		return nil
	})
	// All lanes must exist before the first runs, so that the inputs wait for
	// each other.
	collectors := map[string]*ingest.Collector{}
	for name, source := range a.inputs {
		if _, pushed := source.(ingest.Receiver); pushed {
			collectors[name] = pipeline.Pushed(name, source)
		} else {
			collectors[name] = pipeline.Collector(name, source)
		}
	}
	for name, c := range collectors {
		a.health.watch("input "+name, c.Ready)
		g.Go(func() error {
			err := c.Run(ctx)
			switch {
			case err == nil:
				a.log.Info("input read to its end", slog.String("input", name))
			case ctx.Err() != nil:
				return nil
			default:
				return fmt.Errorf("input %s: %w", name, err)
			}
			return nil
		})
	}
	a.runReceiver(ctx, g)
	if len(a.live) == 0 {
		return
	}
	a.runGroup(ctx, g, "collectors", stream.GroupConfig{ID: a.cfg.Kafka.ClientID + "-collect", Topic: a.client.Topics().Cursors, Reopen: true},
		func(ctx context.Context, p stream.Assignment) (stream.Partition, error) {
			return a.openLease(ctx, pipeline, p)
		})
}

// lease is the right to poll the inputs that belong to a partition of the topic of
// cursors. Of the collectors with the same configuration one holds it at a time;
// it ends with the generation of their group, before the next one begins.
//
// A process that was suspended for longer than the session notices the end of its
// generation within a second of waking up. What it polled meanwhile is published
// twice under the same ids; a cursor that it saves late is an older one, and costs
// repeated records at the next change of hands.
type lease struct {
	app      *App
	pipeline *ingest.Pipeline
	ctx      context.Context //nolint:containedctx // that of its generation
	cursors  *kafkaCursors
	// running are the collectors by their inputs' names.
	running map[string]*held
}

// held is a collector that runs under a lease.
type held struct {
	input  *config.Input
	stream string
	cancel context.CancelFunc
	done   chan struct{}
}

func (h *held) stop() {
	h.cancel()
	<-h.done
}

// openLease starts the collectors of a partition from the cursors in it.
func (a *App) openLease(ctx context.Context, pipeline *ingest.Pipeline, p stream.Assignment) (*lease, error) {
	n, err := a.client.PartitionsOf(ctx, p.Topic)
	if err != nil {
		return nil, err
	}
	l := &lease{app: a, pipeline: pipeline, ctx: ctx, running: map[string]*held{},
		cursors: &kafkaCursors{ctx: ctx, client: a.client, partition: p.Partition, saved: map[string]json.RawMessage{}}}
	type waiting struct {
		input  *config.Input
		stream string
		source ingest.Source
	}
	inputs := slices.DeleteFunc(slices.Clone(a.live), func(in *config.Input) bool { return stream.PartitionOf([]byte(in.Name), n) != p.Partition })
	if len(inputs) == 0 {
		return l, nil
	}
	if err := l.cursors.restore(ctx); err != nil {
		return nil, err
	}
	var mine []waiting
	for _, in := range inputs {
		sources, err := a.open(in)
		if err != nil {
			for _, w := range mine {
				err = errors.Join(err, w.source.Close())
			}
			return nil, err
		}
		for name, source := range sources {
			mine = append(mine, waiting{in, name, source})
		}
	}
	collectors := make([]*ingest.Collector, len(mine))
	for i, w := range mine {
		collectors[i] = pipeline.Collector(inputName(w.input, w.stream), w.source).WithCursors(l.cursors)
	}
	for i, w := range mine {
		l.start(w.input, w.stream, collectors[i])
	}
	return l, nil
}

// inputName names a stream of a live input in metrics, logs and cursors.
func inputName(in *config.Input, stream string) string { return in.Name + "/" + stream }

// open makes the sources of a live input.
func (a *App) open(in *config.Input) (map[string]ingest.Source, error) {
	if in.Topic.Set {
		source, err := openTopic(in.Topic.Value, a.kafka, a.runtime(in.Name))
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", in.Name, err)
		}
		return map[string]ingest.Source{TopicStream: source}, nil
	}
	sources, err := openPolled(in, a.runtime(in.Name))
	if err != nil {
		return nil, fmt.Errorf("input %s: %w", in.Name, err)
	}
	return sources, nil
}

// openPolled makes those sources of a live input that are asked, and not pushed to.
func openPolled(in *config.Input, rt ingest.Runtime) (map[string]ingest.Source, error) {
	_, settings := in.Settings()
	sources, err := settings.Open(rt)
	maps.DeleteFunc(sources, func(_ string, s ingest.Source) bool { _, pushed := s.(ingest.Receiver); return pushed })
	return sources, err
}

func (l *lease) start(in *config.Input, stream string, c *ingest.Collector) {
	//nolint:gosec // stop calls cancel
	ctx, cancel := context.WithCancel(l.ctx)
	h := &held{input: in, stream: stream, cancel: cancel, done: make(chan struct{})}
	l.running[inputName(in, stream)] = h
	go func() {
		defer close(h.done)
		l.app.collect(ctx, inputName(in, stream), c)
	}()
}

// collect runs a collector for as long as its lease is held.
func (a *App) collect(ctx context.Context, name string, c *ingest.Collector) {
	part := "input " + name
	a.health.forget(part)
	a.health.watch(part, c.Ready)
	log := a.log.With(slog.String("input", name))
	log.Info("input is polled here")
	err := c.Run(ctx)
	if ctx.Err() != nil {
		a.health.forget(part)
		log.Info("input is no longer polled here")
		return
	}
	if err == nil {
		log.Info("input read to its end")
		return
	}
	// It could not begin: a cursor that cannot be used. The others go on.
	err = fmt.Errorf("%w; `stepdown source reset %s` starts it over", err, name)
	log.Error("input does not run", slog.Any("error", err))
	a.health.watch(part, func() error { return err })
	<-ctx.Done()
	a.health.forget(part)
}

// Handle implements stream.Partition. The records are cursors, mostly our own; one
// without a value, written by ResetCursor, starts its input over.
func (l *lease) Handle(_ context.Context, batch []stream.Message) error {
	for i := range batch {
		h := l.running[string(batch[i].Key)]
		if h == nil || len(batch[i].Value) > 0 || batch[i].Offset <= l.cursors.restored {
			continue
		}
		h.stop()
		// What it saved after that record must not come back after a crash.
		if err := l.cursors.forget(string(batch[i].Key)); err != nil {
			return err
		}
		sources, err := l.app.open(h.input)
		if err != nil {
			return err
		}
		for name, source := range sources {
			if name != h.stream {
				_ = source.Close() // it was not used
			}
		}
		l.app.log.Info("input starts over", slog.String("input", string(batch[i].Key)))
		l.start(h.input, h.stream, l.pipeline.Collector(string(batch[i].Key), sources[h.stream]).WithCursors(l.cursors))
	}
	return nil
}

// Idle implements stream.Partition.
func (l *lease) Idle(context.Context, time.Duration) error { return nil }

// Close implements stream.Partition: it returns when nothing is polled any more.
func (l *lease) Close() error {
	for _, h := range l.running {
		h.cancel()
	}
	for _, h := range l.running {
		<-h.done
	}
	return nil
}

// kafkaCursors keeps the cursors of a partition in the compacted topic of cursors,
// so that whichever collector holds the lease goes on where the last one was.
type kafkaCursors struct {
	ctx       context.Context //nolint:containedctx // the lease's: a CursorStore has none
	client    *stream.Client
	partition int

	// restored is the offset of the last record that restore read.
	restored int64

	mu    sync.Mutex
	saved map[string]json.RawMessage
}

func (k *kafkaCursors) restore(ctx context.Context) error {
	k.restored = -1
	return k.client.ReadToEnd(ctx, k.client.Topics().Cursors, k.partition, func(m stream.Message) error {
		k.restored = m.Offset
		if len(m.Value) == 0 || string(m.Value) == string(noCursor) {
			delete(k.saved, string(m.Key))
		} else {
			k.saved[string(m.Key)] = m.Value
		}
		return nil
	})
}

// Load implements ingest.CursorStore.
func (k *kafkaCursors) Load(input string) (json.RawMessage, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	cursor := k.saved[input]
	if cursor != nil && !json.Valid(cursor) {
		return nil, errors.New("load cursor: it is no JSON")
	}
	return cursor, nil
}

// noCursor is the record of a cursor that was taken away. It is no empty one, which
// asks for that.
var noCursor = json.RawMessage("null")

// forget takes a cursor away for good.
func (k *kafkaCursors) forget(input string) error {
	if err := k.Save(input, noCursor); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.saved, input)
	return nil
}

// cursorTimeout bounds a save, so that the end of a lease waits no longer for it
// than its group does.
const cursorTimeout = 5 * time.Second

// Save implements ingest.CursorStore.
func (k *kafkaCursors) Save(input string, cursor json.RawMessage) error {
	// What is durable is saved also when the lease ends.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(k.ctx), cursorTimeout)
	defer cancel()
	err := k.client.PublishTo(ctx, k.partition, []stream.Message{{Topic: k.client.Topics().Cursors, Key: []byte(input), Value: cursor}})
	if err != nil {
		return fmt.Errorf("save cursor: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.saved[input] = cursor
	return nil
}
