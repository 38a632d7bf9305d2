package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"stepdown/cmd/internal/config"
	"stepdown/detect"
	"stepdown/detect/rule"
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/geo"
	"stepdown/ingest/identity"
	"stepdown/ingest/stream"
	"stepdown/ingest/stream/embedded"
	"stepdown/rules"
	"stepdown/sinks"
	"stepdown/sinks/clickhouse"
	"stepdown/sinks/clickhouse/engine"
	"stepdown/sinks/ndjson"
	"stepdown/sinks/slack"
	"stepdown/sinks/terminal"
)

// Sources are the names of the providers that this build reads, in order.
func Sources() []string {
	return namesOf(Normalizers())
}

// sinkMakers make the alert sinks that the configuration asks for.
func (a *App) sinkMakers() map[string]func() (sinks.Sink, error) {
	makers := map[string]func() (sinks.Sink, error){}
	if s := a.cfg.Sinks.Terminal; s.Set {
		makers["terminal"] = func() (sinks.Sink, error) { return terminal.New(s.Value.Config, a.opts.Stdout, os.Getenv) }
	}
	if s := a.cfg.Sinks.NDJSON; s.Set {
		makers["ndjson"] = func() (sinks.Sink, error) { return ndjson.New(s.Value.Config, a.opts.Stdout) }
	}
	if s := a.cfg.Sinks.Slack; s.Set {
		makers["slack"] = func() (sinks.Sink, error) {
			store, err := slack.OpenFileStore(filepath.Join(a.cfg.DataDir, "slack.ndjson"))
			if err != nil {
				return nil, err
			}
			return slack.New(s.Value.Config, store, a.opts.Registerer)
		}
	}
	return makers
}

// Roles are the parts of the pipeline that a process runs.
type Roles struct {
	Collect, Detect, Sink bool
}

// All is every role.
func All() Roles { return Roles{Collect: true, Detect: true, Sink: true} }

// Options are what the caller brings beside the configuration.
type Options struct {
	Roles   Roles
	Version string
	Log     *slog.Logger
	// LogLevel is the level of Log, which a reload sets; nil where it stays.
	LogLevel *slog.LevelVar
	// Load reads the configuration again for a reload, with all that is wrong as
	// its error; nil where there is only the one that New was given.
	Load func() (*config.Config, error)
	// Registerer and Gatherer are the process's metrics.
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer
	// Stdout is where the terminal sink and an NDJSON sink with path "-" write.
	Stdout io.Writer
	// Sources are inputs beside those of the configuration, by name; the demo
	// brings its company.
	Sources map[string]ingest.Source
	// Since is where live inputs without a cursor begin; zero leaves it to them.
	Since time.Time
	// Sinks are alert sinks beside those of the configuration, by name.
	Sinks map[string]sinks.Sink
}

// App is one process of the pipeline.
type App struct {
	cfg     *config.Config
	opts    Options
	log     *slog.Logger
	metrics *metrics
	health  *health
	now     func() time.Time

	resolver *identity.Resolver
	places   *geo.Databases
	engine   *detect.Engine
	client   *stream.Client
	broker   string
	kafka    stream.Config // with the address of the embedded broker
	store    *clickhouse.Store
	embedded *engine.Keeper
	runners  map[string]*sinks.Runner
	listener net.Listener
	inputs   map[string]ingest.Source
	// normalizers are those of the providers and of the mappings.
	normalizers map[event.Source]ingest.Normalizer
	// live are the inputs whose provider is polled by whoever holds the lease.
	live             []*config.Input
	receiver         *http.Server
	receiverListener net.Listener
	cursors          ingest.CursorStore
	// flushHealth publishes the inputs' health once more; nil without collectors.
	flushHealth func(context.Context)
	reload      reloadState
	// closers run in reverse order when Run ends.
	closers []closer
}

type closer struct {
	name  string
	close func(ctx context.Context) error
}

// New prepares an app: it reads rules and directory and opens no connection.
func New(cfg *config.Config, opts Options) (*App, error) {
	a := &App{cfg: cfg, opts: opts, log: opts.Log, metrics: newMetrics(opts.Registerer, opts.Version), now: time.Now}
	a.health = newHealth(a.metrics.ready)
	a.reload.inForce = cfg
	var err error
	if opts.Roles.Collect {
		if a.resolver, err = identity.New(cfg.Identity); err != nil {
			return nil, fmt.Errorf("identity: %w", err)
		}
		if a.places, err = geo.Open(cfg.Geo, a.log); err != nil {
			return nil, fmt.Errorf("geo: %w", err)
		}
		a.onClose("address databases", func(context.Context) error { return a.places.Close() })
	}
	if opts.Roles.Detect {
		set, err := LoadRules(cfg.Rules)
		if err != nil {
			return nil, err
		}
		a.engine = detect.NewEngine(set, cfg.Detect, opts.Registerer)
	}
	return a, nil
}

// RuleFiles returns the file system that the configuration takes rules from.
func RuleFiles(cfg config.Rules) fs.FS {
	if cfg.Dir != "" {
		return os.DirFS(cfg.Dir)
	}
	return rules.Files()
}

// LoadRules reads and compiles the rules.
func LoadRules(cfg config.Rules) (*rule.Set, error) {
	set, err := loadRules(cfg)
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	return set, nil
}

func loadRules(cfg config.Rules) (*rule.Set, error) {
	if cfg.Dir != "" {
		if _, err := os.ReadDir(cfg.Dir); err != nil {
			return nil, err // which names the directory
		}
	}
	set, err := rule.Load(RuleFiles(cfg))
	if errors.Is(err, rule.ErrNone) {
		return nil, fmt.Errorf("no rule in %s; leave rules.dir out for the shipped ones", cfg.Dir)
	}
	return set, err
}

// Store is the alert store; nil while there is none.
func (a *App) Store() *clickhouse.Store { return a.store }

// Broker is the address of the first broker; empty before Open.
func (a *App) Broker() string { return a.broker }

// AdminAddr is the address of the admin server; empty before Open and where
// there is none.
func (a *App) AdminAddr() string {
	if a.listener == nil {
		return ""
	}
	return a.listener.Addr().String()
}

// Client is the connection to Kafka; nil before Open.
func (a *App) Client() *stream.Client { return a.client }

// Ready reports nil when every part is ready, else what is not.
func (a *App) Ready() error { return a.health.ready() }

// Open makes ready what the roles need: the cheap and likely to be wrong first,
// then the connections, with the embedded broker and engine started where the
// configuration names no others. Close undoes it.
func (a *App) Open(ctx context.Context) error {
	if err := a.openAdmin(ctx); err != nil {
		return err
	}
	if a.keepsData() {
		if err := os.MkdirAll(a.cfg.DataDir, 0o700); err != nil {
			return fmt.Errorf("data_dir: %w; name a directory that this user may write", err)
		}
	}
	if a.opts.Roles.Collect {
		if err := a.lock("collect"); err != nil {
			return err
		}
		if err := a.openInputs(ctx); err != nil {
			return err
		}
	}
	if err := a.openKafka(ctx); err != nil {
		return err
	}
	if a.opts.Roles.Sink {
		if a.cfg.Sinks.Slack.Set {
			if err := a.lock("sink"); err != nil {
				return err
			}
		}
		if err := a.openStore(ctx); err != nil {
			return err
		}
		if err := a.openSinks(); err != nil {
			return err
		}
	}
	return a.announce()
}

// keepsData reports whether this process writes below the data directory: a
// detector by itself has its memory in Kafka.
func (a *App) keepsData() bool {
	engine := len(a.cfg.ClickHouse.Addresses) == 0 && !a.cfg.ClickHouse.Disabled
	return len(a.cfg.Kafka.Brokers) == 0 || a.opts.Roles.Collect || a.opts.Roles.Sink && (engine || a.cfg.Sinks.Slack.Set)
}

func (a *App) openKafka(ctx context.Context) error {
	cfg := a.cfg.Kafka
	own := len(cfg.Brokers) == 0
	if own {
		broker, err := embedded.Start(ctx, a.cfg.Broker)
		if err != nil {
			return fmt.Errorf("embedded_broker: %w", err)
		}
		a.onClose("embedded broker", func(context.Context) error { return broker.Close() })
		cfg.Brokers = []string{broker.Addr()}
		cfg.Partitions = min(cfg.Partitions, a.cfg.EmbeddedPartitions)
		a.log.Info("embedded broker started", slog.String("address", broker.Addr()), slog.String("data", a.cfg.Broker.DataDir))
	}
	client, err := stream.New(cfg, a.log, a.opts.Registerer)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	a.client, a.broker, a.kafka = client, cfg.Brokers[0], cfg
	a.onClose("kafka client", func(context.Context) error { return client.Close() })
	if own {
		if _, err := client.Apply(ctx); err != nil {
			return fmt.Errorf("embedded_broker: %w", err)
		}
	}
	if err := client.Check(ctx); err != nil {
		if !own {
			return fmt.Errorf("kafka: %w; `stepdown topics check` shows the differences, `stepdown topics apply` makes what is missing", err)
		}
		return fmt.Errorf("embedded_broker: %w", err)
	}
	return nil
}

// Run runs the roles until ctx ends or one of them cannot go on. It returns nil
// after a graceful end. Inputs that end (files without follow) do not end it.
func (a *App) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	a.runAdmin(ctx, g)
	if a.opts.Roles.Sink {
		a.runSinks(ctx, g)
	}
	if a.opts.Roles.Detect {
		a.runGroup(ctx, g, "detector", stream.GroupConfig{ID: a.detectorGroup(), Topic: a.client.Topics().Events},
			func(ctx context.Context, p stream.Assignment) (stream.Partition, error) {
				return openDetector(ctx, a.client, a.engine, p.Partition, a.metrics, a.log, a.now)
			})
	}
	if a.opts.Roles.Collect {
		a.runCollectors(ctx, g)
	}
	a.health.completed()
	g.Go(func() error { return a.reloadOnChange(ctx, directoryInterval) })
	err := g.Wait()
	if a.flushHealth != nil {
		//nolint:contextcheck // ctx has ended: the last reports get a moment of their own
		last, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		a.flushHealth(last)
	}
	return err
}

// runGroup runs one consumer group and keeps its health.
func (a *App) runGroup(ctx context.Context, g *errgroup.Group, name string, cfg stream.GroupConfig, open func(context.Context, stream.Assignment) (stream.Partition, error)) {
	health := a.health.group(name)
	cfg.Spare = health.joined
	group := a.client.Group(cfg)
	g.Go(func() error {
		if err := group.Run(ctx, func(ctx context.Context, p stream.Assignment) (stream.Partition, error) {
			partition, err := open(ctx, p)
			if err != nil {
				health.report(p.Partition, err)
				return nil, err
			}
			health.joined()
			return &watched{Partition: partition, number: p.Partition, health: health}, nil
		}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// openSinks makes the alert sinks and their runners.
func (a *App) openSinks() error {
	all := maps.Clone(a.opts.Sinks)
	if all == nil {
		all = map[string]sinks.Sink{}
	}
	for name, make := range a.sinkMakers() {
		sink, err := make()
		if err != nil {
			return fmt.Errorf("sinks.%s: %w", name, err)
		}
		a.onClose("sink "+name, func(context.Context) error { return sink.Close() })
		all[name] = sink
	}
	if a.store != nil {
		all[storeAlerts] = a.store // closed as the client that it is
	}
	a.runners = map[string]*sinks.Runner{}
	for name, sink := range all {
		runner, err := sinks.NewRunner(name, sink, a.cfg.Sinks.Minimum(name), deadAlert(a.client, a.metrics, name), a.log, a.opts.Registerer)
		if err != nil {
			return fmt.Errorf("sinks.%s: %w", name, err)
		}
		a.runners[name] = runner
	}
	return nil
}

func (a *App) runSinks(ctx context.Context, g *errgroup.Group) {
	for name, runner := range a.runners {
		// One goroutine owns a runner, and a partition is one: they take turns.
		turn := &sync.Mutex{}
		a.health.watch("sink "+name, runner.Trouble)
		a.runGroup(ctx, g, "sink "+name, stream.GroupConfig{ID: a.sinkGroup(name), Topic: a.client.Topics().Alerts},
			func(context.Context, stream.Assignment) (stream.Partition, error) {
				return &alertSink{client: a.client, runner: runner, turn: turn, metrics: a.metrics, log: a.log}, nil
			})
	}
	if a.embedded != nil {
		g.Go(func() error { return a.embedded.Run(ctx) })
	}
	if a.store == nil {
		return
	}
	turns := make(chan struct{}, storeInserts)
	tries := newGroupHealth(insertGrace)
	a.health.watch("sink clickhouse events", tries.ready)
	a.runGroup(ctx, g, "sink clickhouse events", stream.GroupConfig{ID: a.sinkGroup(storeEvents), Topic: a.client.Topics().Events, MaxBatch: storeBatch, MaxBytes: storeBytes},
		func(_ context.Context, p stream.Assignment) (stream.Partition, error) {
			trouble := func(err error) { tries.report(p.Partition, err) }
			return &eventSink{client: a.client, store: a.store, turns: turns, trouble: trouble, metrics: a.metrics, log: a.log}, nil
		})
	a.runGroup(ctx, g, "sink clickhouse health", stream.GroupConfig{ID: a.sinkGroup(storeHealth), Topic: a.client.Topics().Health, MaxBatch: storeBatch, MaxBytes: storeBytes},
		func(context.Context, stream.Assignment) (stream.Partition, error) {
			return &healthSink{client: a.client, store: a.store, metrics: a.metrics, log: a.log}, nil
		})
}

func (a *App) onClose(name string, close func(context.Context) error) {
	a.closers = append(a.closers, closer{name: name, close: close})
}

// Close stops what Open and Run made, the last first.
func (a *App) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	var errs []error
	for _, c := range slices.Backward(a.closers) {
		if err := c.close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", c.name, err))
		}
	}
	a.closers = nil
	return errors.Join(errs...)
}
