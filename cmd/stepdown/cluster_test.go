package main

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"stepdown/cmd/internal/app"
	"stepdown/cmd/internal/config"
	"stepdown/detect"
	"stepdown/detect/alert"
	"stepdown/detect/ledger"
	"stepdown/ingest/event"
	"stepdown/ingest/simulate"
	"stepdown/ingest/stream"
	"stepdown/rules"
	"stepdown/sinks/clickhouse"
	"stepdown/sinks/clickhouse/engine"
	"stepdown/sinks/clickhouse/engine/enginetest"
)

const (
	// faultsEnv is how many faults TestCluster injects; without it, it is skipped.
	faultsEnv = "STEPDOWN_FAULTS"
	// seedEnv is the seed of its schedule; without it, a new one.
	seedEnv = "STEPDOWN_SEED"
)

// The kinds of faults: each disturbs one process once.
const (
	kill          = "SIGKILL"
	pause         = "SIGSTOP beyond the session, SIGCONT"
	cut           = "network cut"
	hang          = "network hangs"
	restart       = "graceful restart"
	reload        = "reload of the rules"
	member        = "detector joins or leaves" // which reassigns partitions
	killBroker    = "SIGKILL of the broker"
	restartBroker = "graceful restart of the broker"
)

// The processes of the cluster. The last detector comes and goes.
const (
	detectors = 3
	guest     = detectors
	collector = detectors + 1
	sink      = detectors + 2
	processes = detectors + 3
	broker    = processes
)

// fault is one disturbance of one process.
type fault struct {
	kind   string
	target int
	// lasts is how long it goes on, and gap the time until the next fault begins.
	lasts, gap time.Duration
}

// schedule draws n faults. After every calmAfter of them the cluster is left
// alone until it has caught up.
func schedule(rng *rand.Rand, n int) []fault {
	seconds := func(from, to float64) time.Duration {
		return time.Duration((from + rng.Float64()*(to-from)) * float64(time.Second))
	}
	var out []fault
	for block := 0; len(out) < n; block++ {
		var faults []fault
		add := func(times int, kind string, targets []int, from, to float64) {
			for range times {
				faults = append(faults, fault{kind, targets[rng.IntN(len(targets))], seconds(from, to), seconds(0.2, 1.6)})
			}
		}
		anyone, some := []int{0, 1, 2, collector, sink}, []int{0, 1, 2}
		add(4, kill, some, 0, 3)
		add(1, kill, []int{collector}, 0, 2)
		add(1, kill, []int{sink}, 0, 2)
		add(3, pause, some, 6.5, 9)
		add(2, cut, some, 0.5, 8)
		add(1, cut, anyone, 0.5, 8)
		add(2, hang, anyone, 6.5, 9)
		add(1, restart, []int{0}, 0, 0.5)
		add(1, restart, []int{1}, 0, 0.5)
		add(1, restart, []int{2}, 0, 0.5)
		add(1, reload, some, 0, 0)
		add(2, member, []int{guest}, 0, 0)
		rng.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
		kind := killBroker
		if block%2 == 1 {
			kind = restartBroker
		}
		faults = slices.Insert(faults, rng.IntN(len(faults)), fault{kind, broker, seconds(0, 1), seconds(0.2, 1.6)})
		out = append(out, faults...)
	}
	return out[:n]
}

// calmAfter is the number of faults of one block of a schedule.
const calmAfter = 21

// cluster is Kafka and the processes of every role on it.
type cluster struct {
	t       *testing.T
	kafka   *kafka
	members [processes]*process
	client  *stream.Client
	cfg     stream.Config
	rules   string
	feed    *feed
	// mends ends the disturbances that go on.
	mends map[int]mend
	count map[string]int
}

type mend struct {
	at time.Time
	do func()
}

// process is a member of the cluster with its configuration, and its own way to
// the broker.
type process struct {
	*installation
	verb, name string
	env        []string
	proxy      *toxiproxy.Proxy
	cmd        *exec.Cmd
	ended      chan struct{}
	starts     int
	// up tells whether it is meant to run.
	up bool
}

func (p *process) logName() string { return fmt.Sprintf("log.%d", p.starts) }

func (p *process) said() string {
	data, err := os.ReadFile(p.file(p.logName()))
	if err != nil {
		p.t.Error(err)
	}
	return string(data)
}

// begin starts the process.
func (p *process) begin() {
	p.t.Helper()
	p.starts++
	log, err := os.Create(p.file(p.logName()))
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = program(p.t, p.verb, "-c", p.config)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.ended, p.up = make(chan struct{}), true
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait() // ProcessState tells
		close(ended)
	}(p.cmd, p.ended)
}

// end sends a signal and waits until the process has ended.
func (p *process) end(s syscall.Signal) {
	p.t.Helper()
	if p.cmd == nil {
		return
	}
	p.up = false
	_ = p.cmd.Process.Signal(s) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Errorf("%s did not end within %s of %s", p.name, patience, s)
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// keep starts a process again that found no broker when it began, as a service
// manager does. It ends for no other reason.
func (p *process) keep() {
	if !p.up {
		return
	}
	select {
	case <-p.ended:
	default:
		return
	}
	const unavailable = 69
	if code := p.cmd.ProcessState.ExitCode(); code != unavailable {
		p.t.Fatalf("%s ended by itself with %d:\n%s", p.name, code, p.said())
	}
	p.begin()
}

// running tells whether it has opened what it needs.
func (p *process) running() bool { return strings.Contains(p.said(), "msg=running") }

// feed is the log files of a company that grow.
type feed struct {
	t          *testing.T
	next       func() (simulate.Delivery, bool)
	files      map[string]*os.File
	fed, total int
}

func newFeed(t *testing.T, c *simulate.Company, dir string) *feed {
	t.Helper()
	f := &feed{t: t, files: map[string]*os.File{}}
	for range c.Deliveries() {
		f.total++
	}
	for _, name := range []string{simulate.FileOkta, simulate.FileEntraSignIns, simulate.FileEntraAudit} {
		file, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		f.files[name] = file
	}
	next, stop := iter.Pull(c.Deliveries())
	t.Cleanup(stop)
	f.next = next
	return f
}

// to writes what is missing of a share of all records.
func (f *feed) to(share float64) {
	lines := map[string]*bytes.Buffer{}
	for f.fed < int(share*float64(f.total)) {
		d, ok := f.next()
		if !ok {
			break
		}
		f.fed++
		name := simulate.FileEntraSignIns
		switch {
		case d.Record.Source == event.Source("okta"):
			name = simulate.FileOkta
		case d.Record.Stream == "audit":
			name = simulate.FileEntraAudit
		}
		if lines[name] == nil {
			lines[name] = &bytes.Buffer{}
		}
		lines[name].Write(d.Record.Data)
		lines[name].WriteByte('\n')
	}
	for name, data := range lines {
		if _, err := f.files[name].Write(data.Bytes()); err != nil {
			f.t.Fatal(err)
		}
	}
}

// TestCluster runs three detectors, a collector and a sink as processes on Apache
// Kafka, disturbs them and the broker again and again while logs come in, and wants
// the alerts and the ledgers that an undisturbed reading of the same logs has.
func TestCluster(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv(faultsEnv))
	if err != nil {
		t.Skipf("%s says how many faults there are to be; make cluster does", faultsEnv)
	}
	kafkaLibs(t)
	seed := rand.Uint64() >> 1
	if text := os.Getenv(seedEnv); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
	}
	t.Logf("%s=%d %s=%d", seedEnv, seed, faultsEnv, n)
	faults := schedule(rand.New(rand.NewPCG(seed, 1)), n)

	size := simulate.DefaultConfig()
	company, err := simulate.New(size)
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, company)
	began := time.Now()
	for i, f := range faults {
		c.inject(f)
		c.wait(f.gap, func(part float64) { c.feed.to((float64(i) + part) / float64(n)) })
		if (i+1)%calmAfter == 0 || i+1 == n {
			disturbed := time.Now()
			c.calm()
			t.Logf("%d faults in %s; all caught up %s after the last, %d of %d records written", i+1,
				time.Since(began).Round(time.Second), time.Since(disturbed).Round(100*time.Millisecond), c.feed.fed, c.feed.total)
		}
	}
	c.finish()
	for _, kind := range slices.Sorted(maps.Keys(c.count)) {
		t.Logf("%3d × %s", c.count[kind], kind)
	}
	t.Logf("%d faults, %d records, %s", n, c.feed.fed, time.Since(began).Round(time.Second))
	c.compare(company)
}

func newCluster(t *testing.T, company *simulate.Company) *cluster {
	t.Helper()
	c := &cluster{t: t, rules: t.TempDir(), mends: map[int]mend{}, count: map[string]int{}}
	if err := os.CopyFS(c.rules, rules.Files()); err != nil {
		t.Fatal(err)
	}
	logs := t.TempDir()
	c.feed = newFeed(t, company, logs)
	if err := os.WriteFile(filepath.Join(logs, simulate.FileDirectory), company.Directory(), 0o600); err != nil {
		t.Fatal(err)
	}

	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	direct := freeAddress(t)
	doors := []door{{"DIRECT", direct, direct}}
	for i := range c.members {
		p := &process{installation: &installation{t: t, dir: t.TempDir()}, name: fmt.Sprintf("detector %d", i), verb: "detect"}
		switch i {
		case guest:
			p.name = "guest detector"
		case collector:
			p.name, p.verb = "collector", "collect"
		case sink:
			p.name, p.verb, p.env = "sink", "sink", []string{engine.LibraryEnv + "=" + enginetest.Library(t)}
		}
		listens := freeAddress(t)
		p.proxy = toxiproxy.NewProxy(server, p.name, "127.0.0.1:0", listens)
		if err := p.proxy.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.proxy.Stop)
		doors = append(doors, door{fmt.Sprintf("MEMBER%d", i), listens, p.proxy.Listen})
		c.members[i] = p
	}
	c.kafka = formatKafka(t, doors)
	c.kafka.begin()

	c.cfg = stream.DefaultConfig()
	c.cfg.Partitions, c.cfg.ReplicationFactor = 8, 1
	c.cfg.SessionTimeout, c.cfg.RebalanceTimeout = 6*time.Second, 6*time.Second
	c.cfg.Brokers = []string{direct}
	var err error
	if c.client, err = stream.New(c.cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.client.Close() })
	c.until("topics", 2*patience, func() bool { _, err := c.client.Apply(t.Context()); return err == nil })

	for i, p := range c.members {
		c.configure(i, logs, true)
		if i != guest {
			p.begin()
		}
		t.Cleanup(func() {
			if p.cmd != nil {
				_ = p.cmd.Process.Kill()
				<-p.ended
			}
			if t.Failed() && p.starts > 0 {
				t.Logf("%s said at last:\n%s", p.name, p.said())
			}
		})
	}
	c.until("start of all", 2*patience, c.running)
	return c
}

// configure writes the configuration of a member.
func (c *cluster) configure(i int, logs string, follow bool) {
	c.t.Helper()
	p := c.members[i]
	cfg := c.cfg
	cfg.Brokers = []string{p.proxy.Listen}
	section, err := yaml.Marshal(map[string]stream.Config{"kafka": cfg})
	if err != nil {
		c.t.Fatal(err)
	}
	text := fmt.Sprintf("%shttp: {listen: \"\"}\ndata_dir: %s/data\nrules: {dir: %s}\n", section, p.dir, c.rules)
	switch i {
	case collector:
		text += fmt.Sprintf(`
identity: {domains: [{canonical: example.com, equivalent: [corp.example.com]}], directory: %[1]s/%[2]s}
inputs:
  - {name: okta, file: {source: okta, paths: [%[1]s/%[3]s], batch_size: 50, poll_interval: 50ms, follow: %[6]v}}
  - {name: entra, file: {source: entra, paths: [%[1]s/%[4]s, %[1]s/%[5]s], batch_size: 50, poll_interval: 50ms, follow: %[6]v}}
`, logs, simulate.FileDirectory, simulate.FileOkta, simulate.FileEntraSignIns, simulate.FileEntraAudit, follow)
	case sink:
		text += fmt.Sprintf("sinks: {ndjson: {path: %s/alerts.ndjson}}\n", p.dir)
	}
	p.config = p.file("stepdown.yaml")
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// inject begins a disturbance. An earlier one of the same process ends first.
func (c *cluster) inject(f fault) {
	c.t.Helper()
	if m, ok := c.mends[f.target]; ok {
		delete(c.mends, f.target)
		m.do()
	}
	c.count[f.kind]++
	if f.target == broker {
		signal := syscall.SIGKILL
		if f.kind == restartBroker {
			signal = syscall.SIGTERM
		}
		c.kafka.end(signal)
		c.mend(f, c.kafka.begin)
		return
	}
	p := c.members[f.target]
	p.keep()
	switch f.kind {
	case kill:
		p.end(syscall.SIGKILL)
		c.mend(f, p.begin)
	case restart:
		p.end(syscall.SIGTERM)
		c.mend(f, p.begin)
	case pause:
		c.must(p.cmd.Process.Signal(syscall.SIGSTOP))
		c.mend(f, func() { c.must(p.cmd.Process.Signal(syscall.SIGCONT)) })
	case cut:
		p.proxy.Stop()
		c.mend(f, func() { c.must(p.proxy.Start()) })
	case hang:
		for _, way := range []string{"upstream", "downstream"} {
			_, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(`{"name": "` + way + `", "type": "timeout", "stream": "` + way + `", "attributes": {"timeout": 0}}`))
			c.must(err)
		}
		c.mend(f, func() { p.proxy.Toxics.ResetToxics(context.Background()) })
	case reload:
		c.until(p.name+" to reload", patience, func() bool { p.keep(); return p.running() })
		c.reword()
		c.must(p.cmd.Process.Signal(syscall.SIGHUP))
	case member:
		if p.up {
			p.end(syscall.SIGTERM)
		} else {
			p.begin()
		}
	default:
		c.t.Fatalf("no fault is called %s", f.kind)
	}
}

// reword changes the rule files, and nothing that they say.
func (c *cluster) reword() {
	c.must(filepath.WalkDir(c.rules, func(path string, d os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, append(data, "# read again\n"...), 0o600)
	}))
}

func (c *cluster) mend(f fault, do func()) { c.mends[f.target] = mend{time.Now().Add(f.lasts), do} }

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// wait lets time go by, in which load comes and disturbances end.
func (c *cluster) wait(d time.Duration, load func(part float64)) {
	c.t.Helper()
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for began := time.Now(); ; <-ticks.C {
		part := min(1, float64(time.Since(began))/float64(d))
		load(part)
		c.tend(time.Now())
		if part == 1 {
			return
		}
	}
}

// tend ends the disturbances that are over at now.
func (c *cluster) tend(now time.Time) {
	for _, target := range slices.Sorted(maps.Keys(c.mends)) {
		if m := c.mends[target]; !now.Before(m.at) {
			delete(c.mends, target)
			m.do()
		}
	}
	for _, p := range c.members {
		p.keep()
	}
}

func (c *cluster) until(what string, within time.Duration, done func() bool) {
	c.t.Helper()
	for end := time.Now().Add(within); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("no %s within %s", what, within)
		}
	}
}

func (c *cluster) running() bool {
	for _, p := range c.members {
		p.keep()
		if p.up && !p.running() {
			return false
		}
	}
	return true
}

// calm ends every disturbance and waits until all has been handled.
func (c *cluster) calm() {
	c.t.Helper()
	c.tend(time.Now().Add(time.Hour)) // later than any is due
	c.until("calm", 3*patience, func() bool { return c.running() && c.caughtUp() })
}

func (c *cluster) caughtUp() bool {
	id, topics := c.cfg.ClientID, c.cfg.Topics
	for _, g := range []struct{ id, topic string }{
		{id + "-detect", topics.Events}, {id + "-sink-ndjson", topics.Alerts},
		{id + "-sink-clickhouse", topics.Alerts}, {id + "-sink-clickhouse-events", topics.Events},
	} {
		ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
		lag, err := c.client.Lag(ctx, g.id, g.topic)
		cancel()
		if err != nil || lag > 0 {
			return false
		}
	}
	return true
}

// finish reads the logs to their end and waits until all is handled.
func (c *cluster) finish() {
	c.t.Helper()
	c.feed.to(1)
	p := c.members[collector]
	p.end(syscall.SIGTERM)
	c.configure(collector, filepath.Dir(c.feed.files[simulate.FileOkta].Name()), false)
	p.begin()
	c.until("end of the logs", 3*patience, func() bool { return strings.Count(p.said(), "input read to its end") == 2 })
	c.until("end of the backlog", 3*patience, c.caughtUp)
}

// compare wants what an undisturbed reading of the logs has.
func (c *cluster) compare(company *simulate.Company) {
	c.t.Helper()
	logs := c.t.TempDir()
	c.must(company.WriteFiles(logs))
	log := func(name string) string { return filepath.Join(logs, name) }
	replayed, err := program(c.t, "replay", "-c", c.members[collector].config, "okta="+log(simulate.FileOkta),
		"entra="+log(simulate.FileEntraSignIns), "entra="+log(simulate.FileEntraAudit)).Output()
	if err != nil {
		c.t.Fatalf("replay: %v", err)
	}
	want := standing(alertsOf(c.t, replayed))
	if len(want) < 12 {
		c.t.Fatalf("replay has %d alerts", len(want))
	}

	type revision struct {
		id       alert.ID
		revision uint64
	}
	written, lines := c.members[sink].written(), map[revision]bool{}
	for _, a := range written {
		r := revision{a.ID, a.Revision}
		if lines[r] {
			c.t.Errorf("revision %d of alert %s is in the file twice", a.Revision, a.ID)
		}
		lines[r] = true
	}
	c.equal("the file", want, standing(written))
	stored, ids := c.stored(), map[alert.ID]bool{}
	for _, a := range stored {
		if ids[a.ID] {
			c.t.Errorf("alert %s is in ClickHouse twice", a.ID)
		}
		ids[a.ID] = true
	}
	c.equal("ClickHouse", want, standing(stored))
	for _, p := range c.members {
		p.end(syscall.SIGTERM)
	}
	c.said()
	c.ledgers(c.records(logs))
	c.t.Logf("%d alerts stand, of %d revisions in the file", len(want), len(written))
}

// equal says what is lost, what is invented and what differs.
func (c *cluster) equal(where string, want, got map[alert.ID]alert.Alert) {
	c.t.Helper()
	for id, w := range want {
		if g, ok := got[id]; !ok {
			c.t.Errorf("lost in %s: %s %s about %s at %s", where, id, w.RuleID, w.Key, w.Time)
		} else if diff := cmp.Diff(w, g); diff != "" {
			c.t.Errorf("alert %s in %s (-undisturbed +disturbed):\n%s", id, where, diff)
		}
	}
	for id, g := range got {
		if _, ok := want[id]; !ok {
			c.t.Errorf("invented in %s: %s %s about %s at %s", where, id, g.RuleID, g.Key, g.Time)
		}
	}
}

// stored returns the alerts that ClickHouse has.
func (c *cluster) stored() []alert.Alert {
	c.t.Helper()
	cfg, err := config.Load(c.members[sink].config)
	c.must(err)
	c.until("ClickHouse", patience, func() bool {
		return app.Locate(c.t.Context(), cfg) == nil && len(cfg.ClickHouse.Addresses) > 0
	})
	store, err := clickhouse.Open(c.t.Context(), cfg.ClickHouse.Config, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	c.must(err)
	defer store.Close()
	alerts, err := store.Alerts(c.t.Context(), clickhouse.AlertFilter{})
	c.must(err)
	return alerts
}

// said wants every revision of an alert to say the same, however often it was
// published.
func (c *cluster) said() {
	c.t.Helper()
	type revision struct {
		id       alert.ID
		revision uint64
	}
	first, again := map[revision]alert.Alert{}, 0
	for partition := range c.cfg.Partitions {
		c.must(c.client.ReadToEnd(c.t.Context(), c.cfg.Topics.Alerts, partition, func(m stream.Message) error {
			var a alert.Alert
			if err := alert.Decode(m.Value, &a); err != nil {
				return err
			}
			a.Emitted, a.Observed = time.Time{}, time.Time{}
			r := revision{a.ID, a.Revision}
			f, ok := first[r]
			if !ok {
				first[r] = a
				return nil
			}
			again++
			if diff := cmp.Diff(f, a); diff != "" {
				c.t.Errorf("revision %d of alert %s was published as two things (-first +later):\n%s", a.Revision, a.ID, diff)
			}
			return nil
		}))
	}
	c.t.Logf("%d revisions were published, %d of them again", len(first), again)
}

// ledgers wants the state topic to hold, for every identity, the ledger that one
// reading of the events topic makes.
func (c *cluster) ledgers(records map[record]time.Time) {
	c.t.Helper()
	lateness := detect.DefaultConfig().Lateness
	late := 0
	set, err := app.LoadRules(config.Rules{Dir: c.rules})
	c.must(err)
	engine := detect.NewEngine(set, detect.DefaultConfig(), prometheus.NewRegistry())
	identities, events := 0, 0
	for partition := range c.cfg.Partitions {
		read, kept := detect.NewShard(engine), detect.NewShard(engine)
		var decoder event.Decoder
		var newest time.Time
		offsets := map[event.Key]int64{} // of the last event of each
		last := map[event.Key]time.Time{}
		c.must(c.client.ReadToEnd(c.t.Context(), c.cfg.Topics.Events, partition, func(m stream.Message) error {
			e, err := decoder.Decode(m.Value)
			if err != nil {
				return err
			}
			events++
			offsets[e.Key] = m.Offset
			r := record{e.Source, strings.Clone(e.ID)}
			if t, ok := records[r]; ok && t.IsZero() {
				records[r] = e.Time
				if by := last[e.Key].Sub(e.Time); by > lateness {
					late++
					c.t.Logf("%s of %s comes %s late at offset %d of partition %d", e.ID, e.Key, by, m.Offset, partition)
				}
			} else if !ok {
				c.t.Errorf("event %s of %s is in no log", e.ID, e.Source)
			}
			if e.Time.After(last[e.Key]) {
				last[e.Key] = e.Time
			}
			if e.Time.After(newest) {
				newest = e.Time
			}
			return read.Apply(e, m.Offset)
		}))
		latest := map[event.Key][]byte{}
		c.must(c.client.ReadToEnd(c.t.Context(), c.cfg.Topics.State, partition, func(m stream.Message) error {
			key := event.Key(m.Key)
			if before, ok := latest[key]; ok {
				was, _ := c.decoded(before)
				if is, _ := c.decoded(m.Value); is < was {
					c.t.Errorf("the ledger of %s goes back from offset %d to %d in record %d of partition %d", key, was, is, m.Offset, partition)
				}
			}
			latest[key] = m.Value
			return nil
		}))
		for key, data := range latest {
			c.must(kept.Restore(key, data))
			if _, ok := offsets[key]; !ok {
				c.t.Errorf("there is a ledger of %s, who is in no event", key)
			}
		}
		for key, offset := range offsets {
			identities++
			if latest[key] == nil {
				c.t.Errorf("the ledger of %s is lost", key)
				continue
			}
			if applied, _ := c.decoded(latest[key]); applied != offset {
				c.t.Errorf("the ledger of %s has applied offset %d of partition %d, want %d", key, applied, partition, offset)
			}
		}
		// Long after all else everybody says one thing more, so that nothing waits
		// to be put in its place.
		want, got := c.later(read, offsets, newest), c.later(kept, offsets, newest)
		for key := range offsets {
			if diff := cmp.Diff(want[key], got[key], cmpopts.IgnoreUnexported(ledger.Ledger{})); diff != "" {
				c.t.Errorf("the ledger of %s (-what its events make +what is kept):\n%s", key, diff)
			}
		}
		read.Close()
		kept.Close()
	}
	for r, seen := range records {
		if seen.IsZero() {
			c.t.Errorf("lost: event %s of %s", r.id, r.source)
		}
	}
	if late > 0 {
		// Two weeks in minutes: an input that is a moment behind another is hours behind.
		c.t.Logf("%d events came later than %s after the newest of their identities", late, lateness)
	}
	c.t.Logf("%d ledgers are what %d events make", identities, events)
}

// record names an event by what its provider calls it.
type record struct {
	source event.Source
	id     string
}

// records returns the events of the logs.
func (c *cluster) records(logs string) map[record]time.Time {
	c.t.Helper()
	out := map[record]time.Time{}
	for name, source := range map[string]event.Source{simulate.FileOkta: "okta", simulate.FileEntraSignIns: "entra", simulate.FileEntraAudit: "entra"} {
		cmd := program(c.t, "normalize", "-c", c.members[collector].config, "--source", string(source), filepath.Join(logs, name))
		lines, _ := cmd.Output() // some records are broken
		for line := range bytes.Lines(lines) {
			e, err := new(event.Decoder).Decode(line)
			c.must(err)
			out[record{e.Source, strings.Clone(e.ID)}] = time.Time{}
		}
	}
	return out
}

// later returns the ledgers of everybody in shard days after newest.
func (c *cluster) later(shard *detect.Shard, keys map[event.Key]int64, newest time.Time) map[event.Key]*ledger.Ledger {
	c.t.Helper()
	at := newest.AddDate(0, 0, 3)
	for key := range keys {
		c.must(shard.Apply(&event.Event{Schema: event.SchemaVersion, ID: "later", Source: "okta", Kind: event.LoggingChange,
			Time: at, Observed: at, Key: key, Outcome: event.Success}, math.MaxInt64))
	}
	out := map[event.Key]*ledger.Ledger{}
	for state, err := range shard.Dirty() {
		c.must(err)
		_, out[state.Key] = c.decoded(state.Data)
	}
	return out
}

// decoded reads the offset that a state has applied, and what of it is final.
func (c *cluster) decoded(state []byte) (offset int64, l *ledger.Ledger) {
	c.t.Helper()
	r, base, l := ledger.NewReader(), ledger.NewReader(), &ledger.Ledger{}
	r.Reset(state, nil)
	r.Byte()
	offset = r.Int()
	r.Uint()
	r.Time()
	base.Reset(r.Blob(), nil)
	c.must(r.Err())
	l.Decode(base)
	c.must(base.End())
	return offset, l
}
