package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"stepdown/cmd/internal/app"
	"stepdown/cmd/internal/config"
	"stepdown/detect/alert"
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/identity"
	"stepdown/ingest/simulate"
	"stepdown/sinks"
	"stepdown/sinks/clickhouse"
	"stepdown/sinks/clickhouse/engine"
)

// demoOptions are the flags of the demo.
type demoOptions struct {
	once    bool
	output  string
	dataDir string
	logsDir string
	port    int
	company simulate.Config
}

func (c *cli) demoCommand() *cobra.Command {
	opts := demoOptions{company: simulate.DefaultConfig()}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Simulate a company and six attacks through the real pipeline",
		Long: `Simulates a company over two weeks on two identity providers, with ordinary noise
and six planted attacks, as the providers' own logs. They travel the whole way:
collector, Kafka (embedded broker), detector, ClickHouse (embedded engine). The
table shows what was planted, what was found, and how long after the deciding
record the alert was in ClickHouse.

Everything listens on loopback and lives in a directory of its own, which is
removed at the end unless --data-dir names one.`,
		Args: cobra.NoArgs,
		RunE: failing(func(cmd *cobra.Command, _ []string) error {
			if opts.output != "table" && opts.output != "json" {
				return withCode(exitUsage, fmt.Errorf("--output %q: use table or json", opts.output))
			}
			if err := opts.company.Validate(); err != nil {
				return withCode(exitUsage, err)
			}
			if opts.logsDir != "" {
				return c.writeLogs(&opts)
			}
			return c.demo(cmd.Context(), &opts)
		}),
	}
	f := cmd.Flags()
	f.BoolVar(&opts.once, "once", false, "end when all is judged; exit code 0 only if every planted attack has its alert in ClickHouse and nothing else was raised at high or above")
	f.StringVarP(&opts.output, "output", "o", "table", "table, or json: one object at the end")
	f.StringVar(&opts.dataDir, "data-dir", "", "keep everything in this directory, and go on there if it was used before")
	f.StringVar(&opts.logsDir, "logs", "", "only write the simulated providers' logs into this directory, for stepdown replay and normalize")
	f.IntVar(&opts.port, "broker-port", 0, "port of the embedded broker on 127.0.0.1; 0 takes a free one")
	f.IntVar(&opts.company.People, "people", opts.company.People, "people in the company")
	f.IntVar(&opts.company.Days, "days", opts.company.Days, "days to simulate")
	f.Uint64Var(&opts.company.Seed, "seed", opts.company.Seed, "another seed is another company")
	return cmd
}

// writeLogs writes the logs of the simulation and says how to use them.
func (c *cli) writeLogs(opts *demoOptions) error {
	company, err := simulate.New(opts.company)
	if err != nil {
		return withCode(exitUsage, err)
	}
	dir := opts.logsDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("--logs: %w", err)
	}
	if err := company.WriteFiles(dir); err != nil {
		return fmt.Errorf("--logs: %w", err)
	}
	cfg := config.Default()
	cfg.Identity = company.Identity(filepath.Join(dir, simulate.FileDirectory))
	data, err := yaml.Marshal(map[string]any{"identity": cfg.Identity})
	if err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	file := filepath.Join(dir, "stepdown.yaml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return fmt.Errorf("--logs: %w", err)
	}
	fmt.Fprintf(c.Stdout, "written; try\n  stepdown replay -c %s okta=%s entra=%s entra=%s\n", file,
		filepath.Join(dir, simulate.FileOkta), filepath.Join(dir, simulate.FileEntraSignIns), filepath.Join(dir, simulate.FileEntraAudit))
	return nil
}

// interrupted returns what an interrupt means before there is a verdict: nothing
// to somebody who looks on, a failure where the exit code is the verdict.
func (o *demoOptions) interrupted() error {
	if o.once {
		return errors.New("interrupted before all was judged")
	}
	return nil
}

// demo runs one demonstration from its directory to its verdict.
func (c *cli) demo(ctx context.Context, opts *demoOptions) (err error) {
	dir := opts.dataDir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "stepdown-demo-"); err != nil {
			return fmt.Errorf("make a directory for the demo: %w; set TMPDIR or use --data-dir", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	company, err := simulate.New(opts.company)
	if err != nil {
		return withCode(exitUsage, err)
	}
	directory := filepath.Join(dir, "directory.yaml")
	if err := os.WriteFile(directory, company.Directory(), 0o600); err != nil {
		return fmt.Errorf("write the company's directory: %w", err)
	}
	cfg := config.Default()
	cfg.SetDataDir(dir)
	cfg.HTTP.Listen = "127.0.0.1:0"
	cfg.Broker.Port = opts.port
	cfg.Identity = company.Identity(directory)
	cfg.Sinks.NDJSON.SetDefault()
	cfg.Sinks.NDJSON.Value.Path = filepath.Join(dir, "alerts.ndjson")
	if err := cfg.Validate(); err != nil {
		return withCode(exitConfig, err)
	}

	level := config.Log{Level: "error", Format: "logfmt"}
	log, err := c.logger(level)
	if err != nil {
		return err
	}
	d := newDemo(c, company, opts)
	d.say("Simulating %d people over %d days on Okta and Entra ID, with six planted attacks among ordinary noise.", opts.company.People, opts.company.Days)
	d.say("Real Kafka protocol, detector and ClickHouse, on loopback, in %s.", dir)
	d.say("AFTER is the time from the deciding record entering the pipeline to its alert in ClickHouse.\n")
	if _, err := engine.Locate(""); err != nil {
		d.say("no ClickHouse: %v", err)
		d.say("going on with the terminal and %s", cfg.Sinks.NDJSON.Value.Path)
	}
	reg := newRegistry()
	a, err := app.New(cfg, app.Options{Roles: app.All(), Version: c.Version, Log: log, Registerer: reg, Gatherer: reg,
		Sources: map[string]ingest.Source{"simulation": d}, Sinks: map[string]sinks.Sink{"demo": d.sink}})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	// The pipeline ends before what it writes to is closed.
	ended := make(chan error, 1)
	defer func() {
		stop()
		err = errors.Join(err, <-ended, a.Close())
	}()
	if err := a.Open(running); err != nil {
		ended <- nil
		if ctx.Err() != nil {
			return opts.interrupted()
		}
		return withCode(exitUnavailable, err)
	}
	d.store = a.Store()
	go func() { ended <- a.Run(running) }()

	verdict, err := d.watch(ctx, a, ended)
	if err != nil {
		return err
	}
	if verdict == nil {
		return opts.interrupted()
	}
	if err := d.print(verdict); err != nil {
		return err
	}
	if opts.once {
		return verdict.failure()
	}
	d.explain(a, cfg)
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		ended <- nil
		return err
	}
}

// demo is a demonstration under way. It is the source of the pipeline, to know
// when a record went in, and has a sink, to know when an alert came out.
type demo struct {
	*simulate.Source
	cli     *cli
	opts    *demoOptions
	screen  *screen
	store   *clickhouse.Store
	sink    *demoSink
	attacks []*attack
	records int // in the whole simulation
	begun   time.Time

	mu     sync.Mutex
	sent   int       // records handed to the pipeline
	day    time.Time // simulated time of the last of them
	closed bool      // the source came to its end
}

// attack is one planted attack and what came of it.
type attack struct {
	simulate.Planted
	key event.Key
	// index is the position of the deciding record among all.
	index int
	// sent is when that record was handed to the pipeline, zero before.
	sent time.Time
	// alert is the most severe fitting alert; found is when there was one.
	alert *alert.Alert
	found time.Time
}

func newDemo(c *cli, company *simulate.Company, opts *demoOptions) *demo {
	d := &demo{cli: c, opts: opts, sink: newDemoSink(), begun: time.Now(), screen: newScreen(c.Stdout)}
	if opts.output == "json" {
		d.screen = newScreen(c.Stderr)
	}
	d.Source = simulate.NewSource(company, 500, nil)
	resolver, err := identity.New(company.Identity(""))
	for _, p := range company.Plan() {
		a := &attack{Planted: p, index: -1}
		e := event.Event{Source: p.Source, Subject: event.Principal{Name: p.Identity, Type: "user"}}
		if err == nil && resolver.Resolve(&e) == nil {
			a.key = e.Key
		}
		d.attacks = append(d.attacks, a)
	}
	for delivery := range company.Deliveries() {
		for _, a := range d.attacks {
			if a.index < 0 && delivery.ID == a.RecordID && delivery.Record.Source == a.Source {
				a.index = d.records
			}
		}
		d.records++
	}
	return d
}

// Seek implements ingest.Source.
func (d *demo) Seek(cursor json.RawMessage) error {
	if cursor != nil {
		var at struct {
			Delivered int `json:"delivered"`
		}
		if err := json.Unmarshal(cursor, &at); err != nil {
			return fmt.Errorf("cursor of the demo: %w", err)
		}
		d.sent = at.Delivered
	}
	return d.Source.Seek(cursor)
}

// Poll implements ingest.Source and notes when deciding records go in.
func (d *demo) Poll(ctx context.Context) (ingest.Batch, error) {
	batch, err := d.Source.Poll(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, a := range d.attacks {
		if a.index >= d.sent && a.index < d.sent+len(batch.Records) {
			a.sent = now
		}
	}
	d.sent += len(batch.Records)
	if n := len(batch.Records); n > 0 {
		d.day = batch.Records[n-1].Observed
	}
	d.closed = d.closed || errors.Is(err, io.EOF)
	return batch, err
}

// progress returns how much has gone in.
func (d *demo) progress() (sent int, day time.Time, closed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sent, d.day, d.closed
}

// watch follows the pipeline until everything that went in is judged and
// stored. It returns nil when ctx ends first.
func (d *demo) watch(ctx context.Context, a *app.App, ended chan error) (*verdict, error) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	var failing time.Time // since when looking fails
	for {
		select {
		case <-ctx.Done():
			return nil, nil
		case err := <-ended:
			ended <- nil
			if err == nil {
				err = errors.New("the pipeline ended by itself")
			}
			return nil, err
		case <-tick.C:
		}
		v, err := d.look(ctx, a)
		switch {
		case ctx.Err() != nil:
			return nil, nil
		case err == nil && v != nil:
			return v, nil
		case err == nil:
			failing = time.Time{}
		case failing.IsZero():
			failing = time.Now()
		case time.Since(failing) > lookPatience:
			return nil, errors.Join(err, a.Ready())
		}
	}
}

// lookPatience is how long looking at what was found may fail: a busy machine is
// slow to answer, and that is no verdict.
const lookPatience = 20 * time.Second

// look shows how far the demo is, and returns the verdict when all that went in
// is judged and stored.
func (d *demo) look(ctx context.Context, a *app.App) (*verdict, error) {
	if err := d.match(ctx); err != nil {
		return nil, err
	}
	sent, _, closed := d.progress()
	d.draw(sent)
	if !closed {
		return nil, nil
	}
	if backlog, err := a.Backlog(ctx); err != nil || backlog > 0 {
		return nil, err
	}
	if err := d.match(ctx); err != nil {
		return nil, err
	}
	d.draw(sent)
	return d.verdict(ctx, a)
}

// match gives every attack the alert that fits it, from ClickHouse where there
// is one, else from the pipeline's alerts.
func (d *demo) match(ctx context.Context) error {
	alerts, err := d.alerts(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	for i := range alerts {
		for _, a := range d.attacks {
			if !a.fits(&alerts[i]) {
				continue
			}
			// The most severe one, in its latest revision.
			if a.alert == nil || alerts[i].ID == a.alert.ID || alerts[i].Severity.Rank() > a.alert.Severity.Rank() {
				if a.alert == nil {
					a.found = now
				}
				a.alert = &alerts[i]
			}
		}
	}
	return nil
}

// alerts returns the latest revision of every alert so far, oldest first.
func (d *demo) alerts(ctx context.Context) ([]alert.Alert, error) {
	alerts := d.sink.alerts()
	if d.store != nil {
		var err error
		if alerts, err = d.store.Alerts(ctx, clickhouse.AlertFilter{}); err != nil {
			return nil, fmt.Errorf("read alerts from ClickHouse: %w", err)
		}
	}
	slices.SortFunc(alerts, func(a, b alert.Alert) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID))
	})
	return alerts, nil
}

// fits reports whether al is what was to be found of a.
func (a *attack) fits(al *alert.Alert) bool {
	return al.Key == a.key && al.State == alert.Open && slices.Contains(a.Rules, al.RuleID) &&
		al.Severity.Rank() >= alert.Severity(a.Severity).Rank() && !al.Time.Before(a.Start)
}

// demoSink remembers the latest revision of every alert.
type demoSink struct {
	mu     sync.Mutex
	latest map[alert.ID]alert.Alert
}

func newDemoSink() *demoSink { return &demoSink{latest: map[alert.ID]alert.Alert{}} }

// Write implements sinks.Sink.
func (s *demoSink) Write(_ context.Context, alerts []alert.Alert) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range alerts {
		if old, ok := s.latest[a.ID]; !ok || old.Revision <= a.Revision {
			s.latest[a.ID] = a
		}
	}
	return nil
}

// Close implements sinks.Sink.
func (s *demoSink) Close() error { return nil }

// alerts returns the latest revisions, in no order.
func (s *demoSink) alerts() []alert.Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]alert.Alert, 0, len(s.latest))
	for _, a := range s.latest {
		out = append(out, a)
	}
	return out
}
