package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest/secret"
	"stepdown/sinks/clickhouse/engine"
	"stepdown/sinks/clickhouse/engine/enginetest"
)

const mib = 1 << 20

// disk is a small disk with an engine on it.
type disk struct {
	t      *testing.T
	dir    string
	cfg    engine.Config
	reg    *prometheus.Registry
	keeper *engine.Keeper
}

// newDisk mounts a file system of so many bytes and keeps an engine on it that
// leaves 32 MiB free. Where mounting is not permitted the test is skipped, or
// fails in CI, where it was promised.
func newDisk(t *testing.T, size int) *disk {
	t.Helper()
	if testing.Short() {
		t.Skip("starts ClickHouse on a small disk")
	}
	d := &disk{t: t, dir: t.TempDir(), cfg: engine.DefaultConfig(), reg: prometheus.NewRegistry()}
	d.cfg.Library = enginetest.Library(t)
	err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
	switch {
	case errors.Is(err, syscall.EPERM) && os.Getenv("CI") != "true":
		t.Skip("skipped: a small disk needs the right to mount one; run as root")
	case err != nil:
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(d.dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	d.cfg.DataDir, d.cfg.MinFree = filepath.Join(d.dir, "clickhouse"), 32*mib
	if d.keeper, err = engine.Keep(t.Context(), d.cfg, slog.New(slog.DiscardHandler), d.reg); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- d.keeper.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, d.keeper.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *disk) store() *Store {
	d.t.Helper()
	cfg := DefaultConfig()
	cfg.Addresses, cfg.Username, cfg.Password = []string{d.keeper.Addr()}, engine.User, secret.FromFile(d.keeper.PasswordFile())
	s := open(d.t, cfg)
	if err := s.Migrate(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	return s
}

// fill takes all of the disk but so many bytes, and returns what gives it back.
func (d *disk) fill(leave int) (empty func()) {
	d.t.Helper()
	file, err := os.Create(filepath.Join(d.dir, "filler"))
	if err != nil {
		d.t.Fatal(err)
	}
	block := make([]byte, mib)
	for {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(d.dir, &fs); err != nil {
			d.t.Fatal(err)
		}
		if int(fs.Bavail)*int(fs.Bsize) < leave+mib {
			break
		}
		if _, err := file.Write(block); err != nil {
			break
		}
	}
	for leave == 0 && len(block) > 0 { // to the last byte
		if _, err := file.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	return func() {
		if err := errors.Join(file.Close(), os.Remove(file.Name())); err != nil {
			d.t.Error(err)
		}
	}
}

func (d *disk) until(what string, done func() bool) {
	d.t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("no %s within a minute; the engine: %v", what, d.keeper.Check())
		}
	}
}

// writer inserts small batches, each until it is acknowledged, as the sinks do,
// and counts the events, until done is closed.
func writer(s *Store, number int, events *atomic.Uint64, done <-chan struct{}) {
	for batch := 0; ; batch++ {
		rows := synthetic(200)
		for i := range rows {
			rows[i].ID = fmt.Sprintf("event-%d-%d-%d", number, batch, i)
		}
		for s.InsertEvents(context.Background(), rows) != nil {
			time.Sleep(20 * time.Millisecond) // the pause of a sink
		}
		events.Add(uint64(len(rows)))
		select {
		case <-done:
			return
		default:
		}
	}
}

// TestFullDiskLosesNothing fills the disk faster than the engine can see, again
// and again while it inserts and merges.
func TestFullDiskLosesNothing(t *testing.T) {
	d := newDisk(t, 220*mib)
	s := d.store()
	var events atomic.Uint64
	var writing sync.WaitGroup
	done := make(chan struct{})
	for i := range 2 {
		writing.Go(func() { writer(s, i, &events, done) })
	}
	restarts := func() float64 {
		families, err := d.reg.Gather()
		if err != nil || len(families) != 1 {
			t.Fatalf("gathered %d metrics, %v", len(families), err)
		}
		return families[0].GetMetric()[0].GetCounter().GetValue()
	}
	const rounds = 20
	round := 0
	for ; restarts() < 3 && round < rounds; round++ {
		more := events.Load() + 4000
		d.until("inserts", func() bool { return events.Load() > more })
		empty := d.fill(0)
		d.until("word of the full disk", func() bool { return d.keeper.Check() != nil })
		empty()
		d.until("engine with room", func() bool { return d.keeper.Check() == nil })
	}
	close(done)
	writing.Wait()
	want := events.Load()
	stands := func(when string, s *Store) {
		t.Helper()
		got, err := s.count(t.Context(), "SELECT count() FROM (SELECT * FROM {db}.events FINAL) WHERE NOT ignore(*)")
		if err != nil || got != want {
			t.Errorf("%s: %d events, %v; want %d", when, got, err, want)
		}
		if got := number(t, s, "SELECT count() FROM system.detached_parts"); got != 0 {
			t.Errorf("%s: %d broken parts", when, got)
		}
	}
	stands("with room again", s)
	if round == rounds {
		t.Errorf("the engine has ended %v times in %d full disks: too few to show anything", restarts(), rounds)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	d.restart()
	stands("after a restart", d.store())
}

// restart ends the engine and waits for the next one.
func (d *disk) restart() {
	d.t.Helper()
	text, err := os.ReadFile(filepath.Join(d.cfg.DataDir, "lock"))
	if err != nil {
		d.t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		d.t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		d.t.Fatal(err)
	}
	d.until("end of the engine", func() bool { return d.keeper.Check() != nil })
	d.until("engine", func() bool { return d.keeper.Check() == nil })
}

func TestBelowTheFloorTheEngineOnlyReads(t *testing.T) {
	d := newDisk(t, 200*mib)
	s := d.store()
	if err := s.InsertEvents(t.Context(), synthetic(500)); err != nil {
		t.Fatal(err)
	}
	empty := d.fill(24 * mib)
	err := s.InsertEvents(t.Context(), synthetic(700)[500:])
	if ex, ok := errors.AsType[*clickhouse.Exception](err); !ok || ex.Code != 243 {
		t.Errorf("insert below the floor: %v, want NOT_ENOUGH_SPACE", err)
	}
	if err := d.keeper.Check(); err == nil || !strings.Contains(err.Error(), "min_free_bytes") {
		t.Errorf("below the floor the engine says %v", err)
	}
	if got := number(t, s, "SELECT count() FROM {db}.events"); got != 500 {
		t.Errorf("%d events below the floor, want 500", got)
	}
	empty()
	if err := s.InsertEvents(t.Context(), synthetic(700)[500:]); err != nil {
		t.Errorf("insert with room again: %v", err)
	}
	if err := d.keeper.Check(); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
