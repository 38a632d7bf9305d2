package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"stepdown/detect/alert"
	"stepdown/ingest/event"
	"stepdown/ingest/identity"
	"stepdown/ingest/simulate"
	"stepdown/sinks/clickhouse/engine"
	"stepdown/sinks/clickhouse/engine/enginetest"
)

// TestMain makes the test binary the program under test, too. That one executes
// itself for the ClickHouse engine, so the engine comes first as in main.
func TestMain(m *testing.M) {
	engine.Child()
	testscript.Main(m, map[string]func(){"stepdown": main})
}

// company is small: the six attacks in it are what the scripts need.
func company(t testing.TB) *simulate.Company {
	t.Helper()
	cfg := simulate.DefaultConfig()
	cfg.People, cfg.Days = 40, 12
	c, err := simulate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestScripts is the program as its users meet it, without ClickHouse.
func TestScripts(t *testing.T) {
	runScripts(t, "testdata/script", func(env *testscript.Env) error {
		env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
		env.Setenv("XDG_CACHE_HOME", "")
		env.Setenv(engine.LibraryEnv, "")
		return nil
	})
}

// TestEngineScripts is the same with the real ClickHouse engine.
func TestEngineScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("starts ClickHouse several times")
	}
	library := enginetest.Library(t)
	runScripts(t, "testdata/engine", func(env *testscript.Env) error {
		env.Setenv(engine.LibraryEnv, library)
		return nil
	})
}

func runScripts(t *testing.T, dir string, setup func(*testscript.Env) error) {
	c := company(t)
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     exits,
			"until":     until,
			"http":      request,
			"freeport":  freePort,
			"occupy":    occupy,
			"expand":    expand,
			"capture":   capture,
			"terminate": terminate,
			"hangup":    hangup,
			"empty":     empty,
			"nochild":   noChild,
			"uncomment": uncomment,
			"shuffle":   shuffle,
			"attacks":   func(ts *testscript.TestScript, neg bool, args []string) { attacks(ts, c, args) },
		},
	})
}

// patience is how long a script waits for what happens in the background.
const patience = time.Minute

// exits CODE PROGRAM ARG… runs a program and wants the exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s exits with %d, want %d", args[1], got, want)
	}
}

// until REGEXP PROGRAM ARG… runs a program again and again until its output or
// its standard error matches.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP PROGRAM ARG…")
	}
	pattern := regexp.MustCompile("(?m)" + args[0])
	poll(ts, "output that matches "+args[0], func() bool {
		_ = ts.Exec(args[1], args[2:]...)
		return pattern.MatchString(ts.ReadFile("stdout")) || pattern.MatchString(ts.ReadFile("stderr"))
	})
}

func poll(ts *testscript.TestScript, what string, done func() bool) {
	for end := time.Now().Add(patience); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("no %s within %s", what, patience)
		}
	}
}

// http METHOD URL STATUS REGEXP asks until the answer is that.
func request(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: http METHOD URL STATUS REGEXP")
	}
	pattern := regexp.MustCompile("(?m)" + args[3])
	last := ""
	defer func() { ts.Logf("%s", last[:min(len(last), 500)]) }()
	poll(ts, "answer "+args[2]+" "+args[3], func() bool {
		req, err := http.NewRequest(args[0], args[1], nil)
		ts.Check(err)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			last = err.Error()
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		last = fmt.Sprintf("%d %s", resp.StatusCode, body)
		return err == nil && strconv.Itoa(resp.StatusCode) == args[2] && pattern.Match(body)
	})
}

// freeport VARIABLE names a port that nobody listens on.
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	l := listen(ts, neg, args)
	ts.Check(l.Close())
}

// occupy VARIABLE names a port that somebody listens on.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	l := listen(ts, neg, args)
	ts.Defer(func() { l.Close() })
}

func listen(ts *testscript.TestScript, neg bool, args []string) net.Listener {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: freeport|occupy VARIABLE")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], port)
	return l
}

// capture VARIABLE REGEXP keeps the first group of what matches in the output.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture VARIABLE REGEXP")
	}
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("the output does not match %s", args[1])
	}
	ts.Setenv(args[0], m[1])
}

// terminate sends SIGTERM, as a service manager does, to what runs in the
// background.
func terminate(ts *testscript.TestScript, _ bool, _ []string) { send(ts, syscall.SIGTERM) }

// hangup sends SIGHUP, which asks to read files anew.
func hangup(ts *testscript.TestScript, _ bool, _ []string) { send(ts, syscall.SIGHUP) }

func send(ts *testscript.TestScript, s os.Signal) {
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(s))
	}
}

// expand FILE… puts variables of the script into files.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: expand FILE…")
	}
	for _, name := range args {
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(os.Expand(ts.ReadFile(name), ts.Getenv)), 0o600))
	}
}

// empty DIR wants a directory to have nothing in it, or not to be there.
func empty(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: empty DIR")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		ts.Check(err)
	}
	if (len(entries) == 0) == neg {
		ts.Fatalf("%s has %d entries: %v", args[0], len(entries), entries)
	}
}

// nochild waits until no engine runs in the script's directory, with ! until one
// does.
func noChild(ts *testscript.TestScript, neg bool, _ []string) {
	if _, err := os.Stat("/proc/self/cwd"); err != nil {
		return // only Linux tells of other processes this way
	}
	poll(ts, "change of the engine's process", func() bool {
		found, err := filepath.Glob("/proc/[0-9]*/cwd")
		ts.Check(err)
		running := slices.ContainsFunc(found, func(cwd string) bool {
			name, err := os.ReadFile(filepath.Join(filepath.Dir(cwd), "cmdline"))
			if err != nil || !bytes.HasPrefix(name, []byte("stepdown-clickhouse-engine")) {
				return false
			}
			dir, err := os.Readlink(cwd)
			return err == nil && strings.HasPrefix(dir, ts.Getenv("WORK"))
		})
		return running == neg
	})
}

// example is a line of YAML that is commented out; prose has one blank behind
// its mark.
var example = regexp.MustCompile(`(?m)^#([a-z]|  )`)

// uncomment FROM TO makes every example in a configuration count.
func uncomment(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: uncomment FROM TO")
	}
	text := example.ReplaceAllString(ts.ReadFile(args[0]), "$1")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// shuffle FROM TO SEED changes the order of lines as delivery may: any line up
// to 60 places away, versions of one record in their order.
func shuffle(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: shuffle FROM TO SEED")
	}
	seed, err := strconv.ParseUint(args[2], 10, 64)
	ts.Check(err)
	rng := rand.New(rand.NewPCG(seed, 1))
	id := regexp.MustCompile(`"(?:uuid|id)":\s*"([^"]+)"`)
	type line struct {
		text  string
		place float64
	}
	var all []line
	latest := map[string]float64{}
	scanner := bufio.NewScanner(strings.NewReader(ts.ReadFile(args[0])))
	scanner.Buffer(nil, 1<<20)
	for n := 0; scanner.Scan(); n++ {
		l := line{scanner.Text(), float64(n) + 60*rng.Float64()}
		if m := id.FindStringSubmatch(l.text); m != nil {
			l.place = max(l.place, latest[m[1]])
			latest[m[1]] = l.place
		}
		all = append(all, l)
	}
	ts.Check(scanner.Err())
	slices.SortStableFunc(all, func(a, b line) int {
		switch {
		case a.place < b.place:
			return -1
		case a.place > b.place:
			return 1
		}
		return 0
	})
	var out strings.Builder
	for _, l := range all {
		out.WriteString(l.text + "\n")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(out.String()), 0o600))
}

// attacks FILE waits until what is to be found of every planted attack is among
// the alerts, and wants nothing else that is high, and no revision twice.
func attacks(ts *testscript.TestScript, c *simulate.Company, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: attacks FILE")
	}
	resolver, err := identity.New(c.Identity(""))
	ts.Check(err)
	keys := map[string]event.Key{}
	for _, p := range c.Plan() {
		e := event.Event{Source: p.Source, Subject: event.Principal{Name: p.Identity, Type: "user"}}
		ts.Check(resolver.Resolve(&e))
		keys[p.Name] = e.Key
	}
	missing := ""
	defer func() { ts.Logf("nothing was found of: %s", missing) }()
	poll(ts, "alerts of all attacks", func() bool {
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		if errors.Is(err, os.ErrNotExist) {
			return false
		}
		ts.Check(err)
		alerts := standingOf(ts, data)
		missing = ""
		planned := map[alert.ID]bool{}
		for _, p := range c.Plan() {
			found := false
			for _, a := range alerts {
				if a.Key != keys[p.Name] || a.Time.Before(p.Start) {
					continue
				}
				planned[a.ID] = true
				found = found || slices.Contains(p.Rules, a.RuleID) && a.Severity.Rank() >= alert.Severity(p.Severity).Rank()
			}
			if !found {
				missing += " " + p.Name
			}
		}
		for id, a := range alerts {
			if missing == "" && !planned[id] && a.Severity.Rank() >= alert.High.Rank() {
				ts.Fatalf("raised and not planted: %s about %s", a.RuleID, a.Key)
			}
		}
		return missing == ""
	})
}

// standingOf reads what stands of the alerts in whole lines of NDJSON.
func standingOf(ts *testscript.TestScript, data []byte) map[alert.ID]alert.Alert {
	var alerts []alert.Alert
	seen := map[string]bool{}
	for line := range bytes.Lines(data) {
		if !bytes.HasSuffix(line, []byte{'\n'}) {
			break // it is being written
		}
		var a alert.Alert
		ts.Check(alert.Decode(line, &a))
		revision := fmt.Sprint(a.ID, a.Revision)
		if seen[revision] {
			ts.Fatalf("revision %d of alert %s is there twice", a.Revision, a.ID)
		}
		seen[revision] = true
		alerts = append(alerts, a)
	}
	return standing(alerts)
}
