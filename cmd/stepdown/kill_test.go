package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"stepdown/cmd/internal/app"
	"stepdown/cmd/internal/config"
	"stepdown/detect/alert"
	"stepdown/ingest/simulate"
	"stepdown/ingest/stream"
	"stepdown/sinks/clickhouse"
	"stepdown/sinks/clickhouse/engine"
	"stepdown/sinks/clickhouse/engine/enginetest"
)

// installation is the program with a configuration and a data directory.
type installation struct {
	t       *testing.T
	dir     string
	config  string
	library string
}

// install writes a configuration that reads the logs of a company into a
// ClickHouse engine and a file.
func install(t *testing.T, logs string) *installation {
	t.Helper()
	dir := t.TempDir()
	in := &installation{t: t, dir: dir, config: filepath.Join(dir, "stepdown.yaml"), library: enginetest.Library(t)}
	text := fmt.Sprintf(`
data_dir: %[1]s/data
http: {listen: ""}
embedded_broker: {port: 0}
identity:
  domains: [{canonical: example.com, equivalent: [corp.example.com]}]
  directory: %[2]s/%[3]s
inputs:
  - {name: okta, file: {source: okta, paths: ["%[2]s/%[4]s"], batch_size: 100}}
  - {name: entra, file: {source: entra, paths: ["%[2]s/%[5]s", "%[2]s/%[6]s"], batch_size: 100}}
sinks:
  ndjson: {path: %[1]s/alerts.ndjson}
`, dir, logs, simulate.FileDirectory, simulate.FileOkta, simulate.FileEntraSignIns, simulate.FileEntraAudit)
	if err := os.WriteFile(in.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the program said at last:\n%s", in.log())
		}
	})
	return in
}

// begin starts the program as its user does.
func (in *installation) begin() *exec.Cmd {
	in.t.Helper()
	_ = os.Remove(in.file("data/running.json")) // that of a killed one
	log, err := os.Create(in.file("log"))
	if err != nil {
		in.t.Fatal(err)
	}
	defer log.Close()
	cmd := program(in.t, "run", "-c", in.config)
	cmd.Env = append(os.Environ(), engine.LibraryEnv+"="+in.library)
	cmd.Stderr = log
	start(in.t, cmd)
	return cmd
}

// program is a run of the program that is not started yet.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), path, args...)
	cmd.Args[0] = "stepdown" // which makes the test binary the program
	return cmd
}

// start starts cmd, and kills it when the test ends before it does.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
}

// log is what the program has said since it was started last.
func (in *installation) log() string {
	data, err := os.ReadFile(in.file("log"))
	if err != nil {
		in.t.Error(err)
	}
	return string(data)
}

func (in *installation) file(name string) string { return filepath.Join(in.dir, name) }

// running returns the configuration with which the running program is reached.
func (in *installation) running() *config.Config {
	in.t.Helper()
	cfg, err := config.Load(in.config)
	if err != nil {
		in.t.Fatal(err)
	}
	in.until("start", func() bool {
		if err := app.Locate(in.t.Context(), cfg); err != nil {
			return false // half written
		}
		return len(cfg.Kafka.Brokers) > 0
	})
	return cfg
}

func (in *installation) until(what string, done func() bool) {
	in.t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			in.t.Fatalf("no %s within %s", what, patience)
		}
	}
}

// written returns the alerts of the file, every revision, except a line that is
// being written.
func (in *installation) written() []alert.Alert {
	in.t.Helper()
	data, err := os.ReadFile(in.file("alerts.ndjson"))
	if err != nil && !os.IsNotExist(err) {
		in.t.Fatal(err)
	}
	return alertsOf(in.t, data)
}

// alertsOf reads whole lines of alerts.
func alertsOf(t *testing.T, data []byte) []alert.Alert {
	t.Helper()
	var out []alert.Alert
	for line := range bytes.Lines(data) {
		if !bytes.HasSuffix(line, []byte{'\n'}) {
			break
		}
		var a alert.Alert
		if err := alert.Decode(line, &a); err != nil {
			t.Fatalf("a line of the alerts: %v", err)
		}
		out = append(out, a)
	}
	return out
}

// standing returns what stands of alerts, in a form that does not depend on when
// it was made or on how many revisions it took.
func standing(alerts []alert.Alert) map[alert.ID]alert.Alert {
	revisions := map[alert.ID]uint64{}
	out := map[alert.ID]alert.Alert{}
	for _, a := range alerts {
		if a.Revision < revisions[a.ID] {
			continue
		}
		revisions[a.ID] = a.Revision
		a.Revision, a.Emitted, a.Observed = 0, time.Time{}, time.Time{}
		if out[a.ID] = a; a.State != alert.Open {
			delete(out, a.ID)
		}
	}
	return out
}

// outcome is what an installation has at the end.
type outcome struct {
	Written, Stored map[alert.ID]alert.Alert
	Events          uint64
}

// finish runs the program until nothing is left to do, and ends it.
func (in *installation) finish() outcome {
	in.t.Helper()
	cmd := in.begin()
	cfg := in.running()
	reg := prometheus.NewRegistry()
	client, err := stream.New(cfg.Kafka, slog.New(slog.DiscardHandler), reg)
	if err != nil {
		in.t.Fatal(err)
	}
	defer client.Close()
	topics := client.Topics()
	groups := []struct{ id, topic string }{ // the detector first: what it has committed is said
		{"stepdown-detect", topics.Events}, {"stepdown-sink-ndjson", topics.Alerts},
		{"stepdown-sink-clickhouse", topics.Alerts}, {"stepdown-sink-clickhouse-events", topics.Events},
	}
	in.until("end of the inputs", func() bool { return strings.Count(in.log(), "input read to its end") == 2 })
	in.until("end of the backlog", func() bool {
		for _, g := range groups {
			if lag, err := client.Lag(in.t.Context(), g.id, g.topic); err != nil || lag > 0 {
				return false
			}
		}
		return true
	})
	store, err := clickhouse.Open(in.t.Context(), cfg.ClickHouse.Config, slog.New(slog.DiscardHandler), reg)
	if err != nil {
		in.t.Fatal(err)
	}
	alerts, err := store.Alerts(in.t.Context(), clickhouse.AlertFilter{})
	if err != nil {
		in.t.Fatal(err)
	}
	seen := map[alert.ID]bool{}
	for _, a := range alerts {
		if seen[a.ID] {
			in.t.Errorf("alert %s is in ClickHouse twice", a.ID)
		}
		seen[a.ID] = true
	}
	events, err := store.CountEvents(in.t.Context())
	if err != nil {
		in.t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		in.t.Error(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		in.t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		in.t.Errorf("the end: %v", err)
	}
	type revision struct {
		id       alert.ID
		revision uint64
	}
	lines := map[revision]bool{}
	written := in.written()
	for _, a := range written {
		r := revision{a.ID, a.Revision}
		if lines[r] {
			in.t.Errorf("revision %d of alert %s is in the file twice", a.Revision, a.ID)
		}
		lines[r] = true
	}
	return outcome{Written: standing(written), Stored: standing(alerts), Events: events}
}

// TestKilledAnywhere kills the program again and again while it works, each time
// at another point, and wants what an undisturbed one has.
func TestKilledAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("starts ClickHouse many times")
	}
	logs := t.TempDir()
	if err := company(t).WriteFiles(logs); err != nil {
		t.Fatal(err)
	}
	want := install(t, logs).finish()
	if len(want.Written) < 12 || want.Events < 5000 {
		t.Fatalf("the undisturbed program has %d alerts and %d events", len(want.Written), want.Events)
	}
	if diff := cmp.Diff(want.Written, want.Stored); diff != "" {
		t.Fatalf("undisturbed (-file +ClickHouse):\n%s", diff)
	}

	in := install(t, logs)
	exists := func(name string) func() bool {
		return func() bool {
			_, err := os.Stat(in.file(name))
			return err == nil
		}
	}
	ended := func() bool { return strings.Count(in.log(), "input read to its end") >= 2 }
	// saves counts from the start on: so far the input goes each time, or to its
	// end where less was left.
	saves := func(n int) func() bool {
		var last []byte
		return func() bool {
			data, err := os.ReadFile(in.file("data/cursors/okta.json"))
			if err == nil && !bytes.Equal(data, last) {
				last = data
				n--
			}
			return n < 0 || ended()
		}
	}
	midway := 0
	wrote := func() bool { return len(in.written()) > 0 }
	for _, kill := range []struct {
		when string
		now  func() bool
	}{
		{"the broker is there", exists("data/kafka/log")},
		{"the engine is there", exists("data/running.json")},
		{"the first cursor is saved", exists("data/cursors/okta.json")},
		{"5 batches more are in", saves(5)},
		{"10 batches more are in", saves(10)},
		{"an alert is written", wrote},
		{"8 batches more are in", saves(8)},
		{"6 batches more are in", saves(6)},
		{"3 batches more are in", saves(3)},
	} {
		cmd := in.begin()
		in.until(kill.when, kill.now)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it says that it was killed
		if !ended() {
			midway++
		}
		t.Logf("killed when %s; %d revisions are written", kill.when, len(in.written()))
	}
	if midway < 5 {
		t.Fatalf("only %d kills came before the inputs were read: too few to tell anything", midway)
	}
	got := in.finish()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what it has after all (-undisturbed +killed):\n%s", diff)
	}
}
