package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"stepdown/cmd/internal/app"
	"stepdown/cmd/internal/config"
	"stepdown/detect/alert"
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/file"
	"stepdown/ingest/identity"
	"stepdown/ingest/simulate"
	"stepdown/ingest/stream"
	"stepdown/rules"
	"stepdown/sinks"
	"stepdown/sinks/clickhouse"
	"stepdown/sinks/clickhouse/engine"
	"stepdown/sinks/clickhouse/engine/enginetest"
)

func TestMain(m *testing.M) {
	engine.Child()
	os.Exit(m.Run())
}

// patience bounds every wait for the pipeline.
const patience = 60 * time.Second

// newConfig is a pipeline with everything of its own below dir and without a
// store.
func newConfig(dir string) *config.Config {
	cfg := config.Default()
	cfg.SetDataDir(dir)
	cfg.HTTP.Listen = ""
	cfg.Broker.Port = 0
	cfg.ClickHouse.Disabled = true
	return cfg
}

// withEngine gives cfg the embedded engine; it skips the test where there is none.
func withEngine(t *testing.T, cfg *config.Config) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts ClickHouse")
	}
	cfg.ClickHouse.Disabled = false
	cfg.ClickHouse.Engine.Library = enginetest.Library(t)
}

// pipeline is an app under test.
type pipeline struct {
	*app.App
	t        *testing.T
	registry *prometheus.Registry
	cancel   context.CancelFunc
	ended    chan error
	stop     func()
}

// start opens and runs an app until stop or the end of the test.
func start(t *testing.T, cfg *config.Config, opts app.Options) *pipeline {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	p := &pipeline{t: t, registry: prometheus.NewRegistry(), ended: make(chan error, 1)}
	opts.Version, opts.Registerer, opts.Gatherer = "test", p.registry, p.registry
	if opts.Roles == (app.Roles{}) {
		opts.Roles = app.All()
	}
	opts.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	opts.Stdout = io.Discard
	var err error
	if p.App, err = app.New(cfg, opts); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	p.stop = sync.OnceFunc(func() {
		p.cancel()
		if err := errors.Join(<-p.ended, p.Close()); err != nil {
			t.Errorf("the end: %v", err)
		}
	})
	t.Cleanup(p.stop)
	if err := p.Open(ctx); err != nil {
		p.ended <- nil
		t.Fatal(err)
	}
	go func() { p.ended <- p.Run(ctx) }()
	return p
}

// until polls done.
func (p *pipeline) until(what string, done func() bool) {
	p.t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("no %s within %s; not ready: %v", what, patience, p.Ready())
		}
	}
}

// metric sums the samples of a metric whose labels contain want.
func (p *pipeline) metric(name string, want map[string]string) float64 {
	p.t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			fits := true
			for k, v := range want {
				fits = fits && labels[k] == v
			}
			if fits {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// finished waits until n inputs are read to their ends and all is judged and
// written.
func (p *pipeline) finished(inputs int) {
	p.t.Helper()
	p.until("end of the inputs", func() bool {
		return p.metric("stepdown_ingest_polls_total", map[string]string{"result": "end"}) == float64(inputs)
	})
	// The poll that ends is counted before its batch, if it has one, is published.
	p.until("end of the backlog", func() bool {
		for range 2 {
			if n, err := p.Backlog(p.t.Context()); err != nil || n > 0 {
				return false
			}
		}
		return true
	})
}

// company is a small company and the configuration of its identities.
func company(t *testing.T, cfg *config.Config) *simulate.Company {
	t.Helper()
	sc := simulate.DefaultConfig()
	sc.People, sc.Days = 40, 12
	c, err := simulate.New(sc)
	if err != nil {
		t.Fatal(err)
	}
	directory := filepath.Join(t.TempDir(), "directory.yaml")
	if err := os.WriteFile(directory, c.Directory(), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Identity = c.Identity(directory)
	return c
}

// recorder is a sink that can be down.
type recorder struct {
	mu     sync.Mutex
	err    error         // what Write returns instead
	block  chan struct{} // Write waits until it is closed
	alerts []alert.Alert
}

func (r *recorder) Write(ctx context.Context, alerts []alert.Alert) error {
	r.mu.Lock()
	block, err := r.block, r.err
	r.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alerts = append(r.alerts, alerts...)
	return nil
}

func (r *recorder) Close() error { return nil }

func (r *recorder) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// latest returns the latest revision of every alert, in a form that does not
// depend on when it was made.
func (r *recorder) latest() map[alert.ID]alert.Alert {
	r.mu.Lock()
	defer r.mu.Unlock()
	return latest(r.alerts)
}

func latest(alerts []alert.Alert) map[alert.ID]alert.Alert {
	revisions := map[alert.ID]uint64{}
	out := map[alert.ID]alert.Alert{}
	for _, a := range alerts {
		if a.Revision < revisions[a.ID] {
			continue
		}
		revisions[a.ID] = a.Revision
		a.Emitted, a.Observed = time.Time{}, time.Time{}
		out[a.ID] = a
	}
	return out
}

func TestSinkThatIsDownHoldsNobodyUp(t *testing.T) {
	cfg := newConfig(t.TempDir())
	c := company(t, cfg)
	up, stuck, failing := &recorder{}, &recorder{block: make(chan struct{})}, &recorder{err: errors.New("away")}
	p := start(t, cfg, app.Options{
		Sources: map[string]ingest.Source{"simulation": simulate.NewSource(c, 500, nil)},
		Sinks:   map[string]sinks.Sink{"up": up, "stuck": stuck, "failing": failing},
	})
	p.until("end of the input", func() bool {
		return p.metric("stepdown_ingest_polls_total", map[string]string{"result": "end"}) == 1
	})
	p.until("alerts at the sink that is up", func() bool { return len(up.latest()) >= 12 })
	if n := len(stuck.latest()) + len(failing.latest()); n != 0 {
		t.Fatalf("the sinks that are down have %d alerts", n)
	}
	p.until("failing sink that counts as down", func() bool {
		return p.metric("stepdown_sinks_up", map[string]string{"sink": "failing"}) == 0 &&
			p.metric("stepdown_sinks_up", map[string]string{"sink": "up"}) == 1
	})
	if n, err := p.Backlog(t.Context()); err != nil || n == 0 {
		t.Errorf("backlog %d, %v while two sinks are down; want some", n, err)
	}

	close(stuck.block)
	failing.set(nil)
	p.finished(1)
	for name, sink := range map[string]*recorder{"stuck": stuck, "failing": failing} {
		if diff := cmp.Diff(up.latest(), sink.latest()); diff != "" {
			t.Errorf("what %s has after it is back (-up +%s):\n%s", name, name, diff)
		}
	}
}

func TestEndIsQuickAlsoWithSinksThatAreDown(t *testing.T) {
	cfg := newConfig(t.TempDir())
	c := company(t, cfg)
	p := start(t, cfg, app.Options{
		Sources: map[string]ingest.Source{"simulation": simulate.NewSource(c, 500, nil)},
		Sinks: map[string]sinks.Sink{"stuck": &recorder{block: make(chan struct{})},
			"failing": &recorder{err: errors.New("away")}},
	})
	p.until("alerts that wait", func() bool { return p.metric("stepdown_detect_alerts_total", nil) >= 12 })
	began := time.Now()
	p.stop()
	// A third of the session timeout is the grace of the batches in hand.
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the end took %s, want about 4s", took)
	}
}

func TestEndIsQuick(t *testing.T) {
	cfg := newConfig(t.TempDir())
	withEngine(t, cfg)
	p := start(t, cfg, app.Options{Sinks: map[string]sinks.Sink{"up": &recorder{}}})
	p.until("ready", func() bool { return p.Ready() == nil })
	began := time.Now()
	p.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %s, want less than 5s", took)
	} else {
		t.Logf("the end took %s", took)
	}
}

// TestRestartGoesOnWithWhatSinksAreOwed ends a pipeline whose sink was down and
// starts another one on its data.
func TestRestartGoesOnWithWhatSinksAreOwed(t *testing.T) {
	cfg := newConfig(t.TempDir())
	c := company(t, cfg)
	up := &recorder{}
	first := start(t, cfg, app.Options{
		Sources: map[string]ingest.Source{"simulation": simulate.NewSource(c, 500, nil)},
		Sinks:   map[string]sinks.Sink{"up": up, "down": &recorder{err: errors.New("away")}},
	})
	first.until("end of the input", func() bool {
		return first.metric("stepdown_ingest_polls_total", map[string]string{"result": "end"}) == 1
	})
	first.until("alerts", func() bool { return len(up.latest()) >= 12 })
	first.stop()

	down := &recorder{}
	second := start(t, cfg, app.Options{
		Sources: map[string]ingest.Source{"simulation": simulate.NewSource(c, 500, nil)},
		Sinks:   map[string]sinks.Sink{"up": up, "down": down},
	})
	second.finished(1)
	if diff := cmp.Diff(up.latest(), down.latest()); diff != "" {
		t.Errorf("after the restart (-up +down):\n%s", diff)
	}
	if n := second.metric("stepdown_ingest_records_total", nil); n != 0 {
		t.Errorf("%v records were read again", n)
	}
}

func get(t *testing.T, h http.Handler, method, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody))
	return w.Code, w.Body.String()
}

func TestAdminEndpoints(t *testing.T) {
	cfg := newConfig(t.TempDir())
	cfg.HTTP.Listen = "127.0.0.1:0"
	p := start(t, cfg, app.Options{Sinks: map[string]sinks.Sink{"up": &recorder{}}})
	h := p.Handler()
	p.until("ready", func() bool { return p.Ready() == nil })
	for _, c := range []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", "/-/healthy", 200, "healthy\n"},
		{"GET", "/-/ready", 200, "ready\n"},
		{"GET", "/metrics", 200, "stepdown_app_build_info{version=\"test\"} 1\n"},
		{"GET", "/metrics", 200, "stepdown_app_ready 1\n"},
		{"GET", "/-/reload", 405, ""},
		{"POST", "/-/reload", 200, " rules in force\n"},
		{"GET", "/", 404, ""},
	} {
		if code, body := get(t, h, c.method, c.path); code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: got %d %q, want %d with %q", c.method, c.path, code, body, c.code, c.want)
		}
	}
	resp, err := http.Get("http://" + p.AdminAddr() + "/-/ready")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("over the network: got %s", resp.Status)
	}
	p.stop()
	refused(t, p.AdminAddr())
}

// refused wants nobody to listen on addr.
func refused(t *testing.T, addr string) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%s: got %v, want a refused connection", addr, err)
	}
}

func TestNotReadyBeforeTheGroupsAreJoined(t *testing.T) {
	cfg := newConfig(t.TempDir())
	a, err := app.New(cfg, app.Options{Roles: app.All(), Version: "test", Log: slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(), Gatherer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, a.Handler(), "GET", "/-/ready"); code != 503 {
		t.Errorf("got %d %q before Run, want 503", code, body)
	}
}

func TestReloadIsRefusedWhole(t *testing.T) {
	cfg := newConfig(t.TempDir())
	cfg.Rules.Dir = t.TempDir()
	if err := os.CopyFS(cfg.Rules.Dir, rules.Files()); err != nil {
		t.Fatal(err)
	}
	cfg.Identity.Directory = filepath.Join(t.TempDir(), "directory.yaml")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const good = "identities:\n  - {identity: a@example.com, tier: privileged}\n"
	write(cfg.Identity.Directory, good)
	p := start(t, cfg, app.Options{Sinks: map[string]sinks.Sink{"up": &recorder{}}})
	extra := filepath.Join(cfg.Rules.Dir, "xx-01.yaml")
	reload := func(code int, want ...string) {
		t.Helper()
		got, body := get(t, p.Handler(), "POST", "/-/reload")
		if got != code {
			t.Errorf("got %d %q, want %d", got, body, code)
		}
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("got %q, want %q in it", body, w)
			}
		}
		ok := 0.0
		if code == 200 {
			ok = 1
		}
		if got := p.metric("stepdown_app_config_last_reload_successful", nil); got != ok {
			t.Errorf("the gauge is %v after %d", got, code)
		}
	}
	reload(200, "10 rules in force, directory unchanged")

	write(extra, "id: XX-01\n")
	reload(422, "not reloaded, all stays as it was", "rules: ", "xx-01.yaml:1:")
	write(cfg.Identity.Directory, "identities: nobody\n")
	reload(422, "xx-01.yaml:1:", "directory.yaml:1:")
	if err := os.Remove(extra); err != nil {
		t.Fatal(err)
	}
	reload(422, "directory.yaml:1:")
	if got := p.metric("stepdown_app_reloads_total", map[string]string{"part": "configuration", "result": "error"}); got != 3 {
		t.Errorf("got %v failed reloads, want 3", got)
	}

	// Mended to what is in force all the time, it is well again.
	write(cfg.Identity.Directory, good)
	reload(200, "10 rules in force, directory unchanged")
	write(cfg.Identity.Directory, good+"  - {identity: b@example.com, tier: service}\n")
	reload(200, "directory read anew")
}

func TestReloadTakesOverWhatItCan(t *testing.T) {
	cfg := newConfig(t.TempDir())
	cfg.Sinks.NDJSON.SetDefault()
	cfg.Sinks.NDJSON.Value.Path = filepath.Join(t.TempDir(), "alerts.ndjson")
	next, broken := *cfg, error(nil)
	level := &slog.LevelVar{}
	p := start(t, cfg, app.Options{LogLevel: level, Load: func() (*config.Config, error) { c := next; return &c, broken }})
	reload := func(code int, want string) {
		t.Helper()
		if got, body := get(t, p.Handler(), "POST", "/-/reload"); got != code || body != want {
			t.Errorf("got %d %q, want %d %q", got, body, code, want)
		}
	}
	reload(200, "10 rules in force\n")

	next.Log.Level = "debug"
	next.Sinks.NDJSON.Value.MinSeverity = alert.High
	next.HTTP.Listen, next.Detect.Lateness = "127.0.0.1:1", time.Minute
	next.Identity.Directory = filepath.Join(t.TempDir(), "directory.yaml")
	if err := os.WriteFile(next.Identity.Directory, []byte("identities: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	next.Rules.Dir = t.TempDir()
	reload(422, "not reloaded, all stays as it was:\nrules: no rule in "+next.Rules.Dir+"; leave rules.dir out for the shipped ones\n")
	if level.Level() != slog.LevelInfo {
		t.Errorf("a reload that was refused has set the level to %v", level.Level())
	}
	if err := os.CopyFS(next.Rules.Dir, rules.Files()); err != nil {
		t.Fatal(err)
	}
	const restart = "needs a restart: http.listen, detect.lateness\n"
	reload(200, "10 rules in force, directory read anew\nchanged: log.level, identity.directory, rules.dir, sinks.ndjson.min_severity\n"+restart)
	if level.Level() != slog.LevelDebug {
		t.Errorf("the level is %v after the reload, want debug", level.Level())
	}
	reload(200, "10 rules in force, directory unchanged\n"+restart)

	broken = errors.New("stepdown.yaml:1:1: nothing is right")
	reload(422, "not reloaded, all stays as it was:\nstepdown.yaml:1:1: nothing is right\n")
}

// samples are real events of other people's making, one case a line.
const samples = "../../../../shared/data/sample-cases.ndjson"

func TestEveryRecordIsAccountedFor(t *testing.T) {
	f, err := os.Open(samples)
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("skipped: shared/data/sample-cases.ndjson is not beside the repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	logs := map[event.Source]*bytes.Buffer{"okta": {}, "entra": {}}
	records := map[event.Source][]ingest.Record{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c struct {
			Source event.Source    `json:"source"`
			Event  json.RawMessage `json:"event"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		if log := logs[c.Source]; log != nil {
			log.Write(append(c.Event, '\n'))
			records[c.Source] = append(records[c.Source], ingest.Record{Source: c.Source, Data: c.Event, Observed: time.Now()})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	cfg := newConfig(filepath.Join(dir, "data"))
	withEngine(t, cfg)
	cfg.ClickHouse.Retention.Events = 50 * 365 * 24 * time.Hour // some samples are years old
	cfg.ClickHouse.Retention.Alerts = cfg.ClickHouse.Retention.Events
	want := ingest.Summary{}
	unique := map[string]bool{}
	resolver, err := identity.New(cfg.Identity)
	if err != nil {
		t.Fatal(err)
	}
	for source, log := range logs {
		// What is broken is accounted for as well.
		log.WriteString("{\"uuid\": \"broken\n")
		records[source] = append(records[source], ingest.Record{Source: source, Err: errors.New("broken"), Observed: time.Now()})
		path := filepath.Join(dir, string(source)+".ndjson")
		if err := os.WriteFile(path, log.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		in := config.Input{Name: string(source), File: file.DefaultConfig()}
		in.File.Source, in.File.Paths = source, []string{path}
		cfg.Inputs = append(cfg.Inputs, in)

		n := ingest.Normalize(records[source], app.Normalizers(), resolver)
		want.Add(n.Summary)
		for i := range n.Events {
			e := &n.Events[i]
			unique[fmt.Sprintf("%s %s %s %s %s", e.Key, e.Time, e.Source, e.Tenant, e.ID)] = true
		}
	}
	sink := &recorder{}
	p := start(t, cfg, app.Options{Sinks: map[string]sinks.Sink{"up": sink}})
	p.finished(2)

	malformed := 0
	for source, w := range want {
		in := map[string]string{"input": string(source), "source": string(source)}
		events, skipped, bad := total(w.Events), total(w.Skipped), total(w.Malformed)
		malformed += bad
		for _, c := range []struct {
			metric string
			want   int
		}{
			{"stepdown_ingest_records_total", w.Records},
			{"stepdown_ingest_events_total", events},
			{"stepdown_ingest_skipped_total", skipped},
			{"stepdown_ingest_malformed_total", bad},
		} {
			if got := p.metric(c.metric, in); got != float64(c.want) {
				t.Errorf("%s of %s: got %v, want %d", c.metric, source, got, c.want)
			}
		}
		if w.Records < 20 || events == 0 {
			t.Errorf("%s: %d records made %d events: too few to tell anything", source, w.Records, events)
		}
		if events+skipped+bad < w.Records {
			t.Errorf("%s: %d records are %d events, %d skipped and %d set aside", source, w.Records, events, skipped, bad)
		}
		t.Logf("%s: %d records, %d events, %d skipped, %d set aside", source, w.Records, events, skipped, bad)
	}
	stored, err := p.Store().CountEvents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if stored != uint64(len(unique)) {
		t.Errorf("%d events are stored, want %d", stored, len(unique))
	}
	letters, err := p.Client().ListDeadLetters(t.Context(), stream.DeadLetterFilter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(letters) != malformed {
		t.Errorf("%d dead letters, want %d", len(letters), malformed)
	}
	for _, l := range letters {
		if l.Reason == "" || l.Error == "" || l.Origin == "" {
			t.Errorf("dead letter %s has reason %q, error %q, origin %q; want all three", l.ID, l.Reason, l.Error, l.Origin)
		}
	}
	alerts, err := p.Store().Alerts(t.Context(), clickhouse.AlertFilter{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sink.latest(), latest(alerts)); diff != "" {
		t.Errorf("alerts in ClickHouse (-sink +ClickHouse):\n%s", diff)
	}
}

func total[K comparable](m map[K]int) int {
	sum := 0
	for _, n := range m {
		sum += n
	}
	return sum
}

func TestOpenThatFailsLeavesNothingBehind(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, cfg *config.Config)
		want  string
	}{
		{"input that is not there", func(_ *testing.T, cfg *config.Config) {
			in := config.Input{Name: "okta", File: file.DefaultConfig()}
			in.File.Source, in.File.Paths = "okta", []string{"nowhere.ndjson"}
			cfg.Inputs = append(cfg.Inputs, in)
		}, "inputs[0] okta: "},
		{"data directory that is a file", func(t *testing.T, cfg *config.Config) {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			cfg.SetDataDir(path)
		}, "data_dir: "},
		{"engine library that is not there", func(_ *testing.T, cfg *config.Config) {
			cfg.ClickHouse.Disabled = false
			cfg.ClickHouse.Engine.Library = "nowhere/libchdb.so"
		}, "clickhouse.engine.library: clickhouse engine is not installed"},
		{"store that is away", func(_ *testing.T, cfg *config.Config) {
			cfg.ClickHouse.Disabled = false
			cfg.ClickHouse.Addresses = []string{"127.0.0.1:1"}
			cfg.ClickHouse.ConnectTimeout = time.Second
		}, "clickhouse: "},
		{"more partitions than there were", func(t *testing.T, cfg *config.Config) {
			p := start(t, newConfig(cfg.DataDir), app.Options{})
			p.stop()
			cfg.EmbeddedPartitions = 12
		}, "embedded_broker: topic stepdown.events: wrong partitions: want 12, have 8"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := newConfig(t.TempDir())
			cfg.HTTP.Listen = "127.0.0.1:0"
			test.spoil(t, cfg)
			reg := prometheus.NewRegistry()
			a, err := app.New(cfg, app.Options{Roles: app.All(), Version: "test", Log: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg})
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Open(t.Context()); err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want an error that begins with %q", err, test.want)
			}
			if err := a.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			refused(t, a.AdminAddr())
			if _, err := os.Stat(filepath.Join(cfg.DataDir, "running.json")); err == nil {
				t.Error("running.json is there")
			}
		})
	}
}
