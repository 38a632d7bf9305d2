package app_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stepdown/cmd/internal/app"
	"stepdown/cmd/internal/config"
	"stepdown/ingest"
	"stepdown/ingest/identity"
	"stepdown/ingest/simulate"
	"stepdown/sinks"
	"stepdown/sinks/clickhouse"
	"stepdown/sinks/clickhouse/engine"
)

// signalEngine sends a signal to the embedded engine.
func signalEngine(t *testing.T, cfg *config.Config, s syscall.Signal) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(cfg.ClickHouse.Engine.DataDir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// uniqueEvents is how many events a company has, each counted once.
func uniqueEvents(t *testing.T, cfg *config.Config, c *simulate.Company) int {
	t.Helper()
	resolver, err := identity.New(cfg.Identity)
	if err != nil {
		t.Fatal(err)
	}
	unique := map[string]bool{}
	for d := range c.Deliveries() {
		for _, e := range ingest.Normalize([]ingest.Record{d.Record}, app.Normalizers(), resolver).Events {
			unique[fmt.Sprintf("%s %s %s %s %s", e.Key, e.Time, e.Source, e.Tenant, e.ID)] = true
		}
	}
	return len(unique)
}

// stored checks that the store has all alerts of the other sink and all events.
func (p *pipeline) stored(sink *recorder, events int) {
	p.t.Helper()
	alerts, err := p.Store().Alerts(p.t.Context(), clickhouse.AlertFilter{})
	if err != nil {
		p.t.Fatal(err)
	}
	if diff := cmp.Diff(sink.latest(), latest(alerts)); diff != "" {
		p.t.Errorf("alerts (-sink +ClickHouse):\n%s", diff)
	}
	if n, err := p.Store().CountEvents(p.t.Context()); err != nil || n != uint64(events) {
		p.t.Errorf("%d events are stored, %v; want %d", n, err, events)
	}
}

func TestEngineThatIsKilledIsStartedAgain(t *testing.T) {
	cfg := newConfig(t.TempDir())
	withEngine(t, cfg)
	c := company(t, cfg)
	sink := &recorder{}
	killed := make(chan struct{})
	batches := 0
	pace := func(ctx context.Context, _ time.Time) error {
		if batches++; batches == 12 {
			close(killed) // the rest comes when the engine is gone
		}
		return ctx.Err()
	}
	p := start(t, cfg, app.Options{Sources: map[string]ingest.Source{"simulation": simulate.NewSource(c, 200, pace)}, Sinks: map[string]sinks.Sink{"up": sink}})
	<-killed
	signalEngine(t, cfg, syscall.SIGKILL)
	p.until("restart of the engine", func() bool {
		return p.metric("stepdown_sinks_clickhouse_engine_restarts_total", nil) == 1
	})
	p.finished(1)
	p.until("readiness", func() bool { return p.Ready() == nil })
	p.stored(sink, uniqueEvents(t, cfg, c))
}

func TestEngineThatDoesNotAnswerIsNotReady(t *testing.T) {
	cfg := newConfig(t.TempDir())
	withEngine(t, cfg)
	cfg.ClickHouse.WriteTimeout = 2 * time.Second
	c := company(t, cfg)
	sink := &recorder{}
	stopped := make(chan struct{})
	batches := 0
	pace := func(ctx context.Context, _ time.Time) error {
		if batches++; batches == 12 {
			<-stopped
		}
		return ctx.Err()
	}
	p := start(t, cfg, app.Options{Sources: map[string]ingest.Source{"simulation": simulate.NewSource(c, 200, pace)}, Sinks: map[string]sinks.Sink{"up": sink}})
	p.until("readiness", func() bool { return p.Ready() == nil })
	signalEngine(t, cfg, syscall.SIGSTOP)
	close(stopped)
	p.until("word of both sinks", func() bool {
		err := p.Ready()
		return err != nil && strings.Contains(err.Error(), "sink clickhouse: takes no alerts for ") &&
			strings.Contains(err.Error(), "sink clickhouse events: ")
	})
	if code, _ := get(t, p.Handler(), "GET", "/-/ready"); code != 503 {
		t.Errorf("/-/ready answers %d, want 503", code)
	}
	if up := p.metric("stepdown_sinks_up", map[string]string{"sink": "clickhouse"}); up != 0 {
		t.Errorf("stepdown_sinks_up is %v, want 0", up)
	}
	signalEngine(t, cfg, syscall.SIGCONT)
	p.finished(1)
	p.until("readiness again", func() bool { return p.Ready() == nil })
	p.stored(sink, uniqueEvents(t, cfg, c))
}

func TestWithoutTheEngineThePipelineRunsAndSaysSo(t *testing.T) {
	t.Setenv(engine.LibraryEnv, filepath.Join(t.TempDir(), "libchdb.so"))
	cfg := newConfig(t.TempDir())
	cfg.ClickHouse.Disabled = false
	c := company(t, cfg)
	sink := &recorder{}
	p := start(t, cfg, app.Options{Sources: map[string]ingest.Source{"simulation": simulate.NewSource(c, 200, nil)}, Sinks: map[string]sinks.Sink{"up": sink}})
	p.finished(1)
	if n := len(sink.latest()); n < 12 {
		t.Errorf("%d alerts, want those of the company", n)
	}
	err := p.Ready()
	if err == nil || strings.Count(err.Error(), "\n") > 0 {
		t.Fatalf("Ready() = %v, want one line", err)
	}
	for _, want := range []string{"clickhouse: clickhouse engine is not installed", "make engine", "clickhouse.disabled"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Ready() = %v, want %q in it", err, want)
		}
	}
}

func TestSinkThatIsDownIsNotReady(t *testing.T) {
	cfg := newConfig(t.TempDir())
	c := company(t, cfg)
	down := &recorder{err: errors.New("away")}
	p := start(t, cfg, app.Options{Sources: map[string]ingest.Source{"simulation": simulate.NewSource(c, 200, nil)}, Sinks: map[string]sinks.Sink{"down": down}})
	p.until("word of the sink", func() bool {
		err := p.Ready()
		return err != nil && strings.HasPrefix(err.Error(), "sink down: takes no alerts for ") && strings.HasSuffix(err.Error(), "s: away")
	})
	down.set(nil)
	p.until("readiness", func() bool { return p.Ready() == nil })
}

// TestStoreWithBrokenPartsIsFilledAgain spoils parts of both tables between two
// runs, as a disk that lost power may.
func TestStoreWithBrokenPartsIsFilledAgain(t *testing.T) {
	cfg := newConfig(t.TempDir())
	withEngine(t, cfg)
	c := company(t, cfg)
	sink := &recorder{}
	opts := func() app.Options {
		return app.Options{Sources: map[string]ingest.Source{"simulation": simulate.NewSource(c, 200, nil)}, Sinks: map[string]sinks.Sink{"up": sink}}
	}
	p := start(t, cfg, opts())
	p.finished(1)
	events := uniqueEvents(t, cfg, c)
	p.stored(sink, events)
	rows, _, err := p.Store().Query(t.Context(), "SELECT path FROM system.parts WHERE database = 'stepdown' AND table IN ('events', 'alerts')", 1000)
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	for _, row := range rows.Rows {
		path := row[0]
		if !filepath.IsAbs(path) {
			path = filepath.Join(cfg.ClickHouse.Engine.DataDir, path)
		}
		// An old part may have been removed at the end.
		if err := os.Truncate(filepath.Join(path, "columns.txt"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}

	p = start(t, cfg, opts())
	p.finished(1)
	p.until("readiness", func() bool { return p.Ready() == nil })
	p.stored(sink, events)
	if n := p.metric("stepdown_app_store_broken_parts_total", nil); n < 2 {
		t.Errorf("%v broken parts are counted, want those of both tables", n)
	}
	p.stop()

	p = start(t, cfg, opts())
	p.finished(1)
	if n := p.metric("stepdown_app_store_broken_parts_total", nil); n != 0 {
		t.Errorf("%v broken parts are counted again", n)
	}
	p.stored(sink, events)
}
