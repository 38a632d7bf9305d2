package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"stepdown/sinks/clickhouse/engine"
	"stepdown/sinks/clickhouse/engine/enginetest"
)

// parentEnv makes the test binary a program that starts an engine in the named
// directory and waits to be killed.
const parentEnv = "ENGINE_TEST_PARENT"

func TestMain(m *testing.M) {
	engine.Child()
	if dir := os.Getenv(parentEnv); dir != "" {
		parent(dir)
	}
	os.Exit(m.Run())
}

func parent(dir string) {
	cfg := engine.DefaultConfig()
	cfg.DataDir, cfg.Library = dir, os.Getenv(engine.LibraryEnv)
	e, err := engine.Start(context.Background(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(e.Addr())
	<-e.Done()
}

func open(t *testing.T, e *engine.Engine) driver.Conn {
	t.Helper()
	return openAs(t, e, engine.User, password(t, e))
}

func password(t *testing.T, e *engine.Engine) string {
	t.Helper()
	b, err := os.ReadFile(e.PasswordFile())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func openAs(t *testing.T, e *engine.Engine, user, password string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{e.Addr()},
		Auth: clickhouse.Auth{Database: "default", Username: user, Password: password},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func exec1(t *testing.T, conn driver.Conn, query string) {
	t.Helper()
	if err := conn.Exec(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func count(t *testing.T, conn driver.Conn, query string) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func config(t *testing.T, dir string) engine.Config {
	t.Helper()
	cfg := engine.DefaultConfig()
	cfg.DataDir, cfg.Library = dir, enginetest.Library(t)
	return cfg
}

func pidOf(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// lockIsFree waits for the end of every process that has the data directory locked.
func lockIsFree(t *testing.T, dir string, within time.Duration) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for deadline := time.Now().Add(within); ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("an engine is still running after %s", within)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestDataSurvivesStop(t *testing.T) {
	dir := t.TempDir()
	cfg := config(t, dir)
	e := enginetest.StartConfig(t, cfg)
	pw := password(t, e)
	conn := openAs(t, e, engine.User, pw)
	exec1(t, conn, "CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
	exec1(t, conn, "INSERT INTO t SELECT number FROM numbers(1000)")
	conn.Close()
	if err := e.Close(t.Context()); err != nil {
		t.Fatalf("Close() = %v", err)
	}
	if err := e.Err(); err != nil {
		t.Errorf("Err() after Close = %v, want nil", err)
	}

	again := enginetest.StartConfig(t, cfg)
	if got := count(t, openAs(t, again, engine.User, pw), "SELECT count() FROM t"); got != 1000 {
		t.Errorf("rows after a restart = %d, want 1000", got)
	}
}

func TestKilledEngineKeepsRowsAndReports(t *testing.T) {
	dir := t.TempDir()
	cfg := config(t, dir)
	e := enginetest.StartConfig(t, cfg)
	conn := open(t, e)
	exec1(t, conn, "CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
	exec1(t, conn, "INSERT INTO t SELECT number FROM numbers(1000)")
	if err := syscall.Kill(pidOf(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-e.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("Done() is open after the engine was killed")
	}
	if err := e.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("Err() = %v, want the signal", err)
	}

	again := enginetest.StartConfig(t, cfg)
	if got := count(t, open(t, again), "SELECT count() FROM t"); got != 1000 {
		t.Errorf("rows after a kill = %d, want 1000", got)
	}
}

func TestEngineEndsWithItsParent(t *testing.T) {
	for _, tc := range []struct {
		name   string
		signal syscall.Signal
	}{
		{"killed", syscall.SIGKILL},
		{"terminated", syscall.SIGTERM},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), parentEnv+"="+dir, engine.LibraryEnv+"="+enginetest.Library(t))
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			addr := make([]byte, 64)
			n, err := stdout.Read(addr)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := net.SplitHostPort(strings.TrimSpace(string(addr[:n]))); err != nil {
				t.Fatalf("parent said %q", addr[:n])
			}
			if err := cmd.Process.Signal(tc.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // reports the signal
			lockIsFree(t, dir, 5*time.Second)
		})
	}
}

func TestSecondEngineOnSameDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	cfg := config(t, dir)
	enginetest.StartConfig(t, cfg)
	second, err := engine.Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		second.Close(t.Context())
		t.Fatal("a second engine started in the same directory")
	}
	for _, want := range []string{"in use", strconv.Itoa(pidOf(t, dir))} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not contain %q", err, want)
		}
	}
}

func TestCloseWithOpenClient(t *testing.T) {
	e := enginetest.Start(t)
	conn := open(t, e)
	if err := conn.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := e.Close(t.Context()); err != nil {
		t.Errorf("Close() with a client open = %v", err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("Close() took %s", took)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Errorf("second Close() = %v", err)
	}
}

func TestCloseKillsAnEngineThatHangs(t *testing.T) {
	dir := t.TempDir()
	e := enginetest.StartConfig(t, config(t, dir))
	if err := syscall.Kill(pidOf(t, dir), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := e.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close() = %v, want the deadline", err)
	}
	lockIsFree(t, dir, time.Second)
}

func TestOnlyTheOwnUserComesIn(t *testing.T) {
	e := enginetest.Start(t)
	for _, tc := range []struct {
		name, user, password string
		want                 string // in the error; empty when it works
	}{
		{"own user", engine.User, password(t, e), ""},
		{"wrong password", engine.User, "wrong", "Authentication failed"},
		{"unknown user", "nobody", "", "Authentication failed"},
		{"session user", "default", "", "session count"},
		{"own user again", engine.User, password(t, e), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := openAs(t, e, tc.user, tc.password).Ping(t.Context())
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("Ping() = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestNoAccessToFilesOrNetwork(t *testing.T) {
	conn := open(t, enginetest.Start(t))
	for _, query := range []string{
		"SELECT * FROM file('/etc/hostname', LineAsString)",
		"SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
		"CREATE TABLE f (s String) ENGINE = File(LineAsString, '/etc/hostname')",
		"SELECT * FROM remote('127.0.0.1:1', 'system', 'one')",
		"GRANT READ ON FILE TO " + engine.User,
	} {
		t.Run(query, func(t *testing.T) {
			var ex *clickhouse.Exception
			if err := conn.Exec(t.Context(), query); !errors.As(err, &ex) || ex.Code != 497 {
				t.Errorf("got %v, want ACCESS_DENIED", err)
			}
		})
	}
}

func TestBrokenHandshakesDoNotEndTheEngine(t *testing.T) {
	e := enginetest.Start(t)
	for _, tc := range []struct{ name, sent string }{
		{"nothing", ""},
		{"bytes", "\xff\xfe\x00\n"},
		{"TLS", "\x16\x03\x01\x00\xa5\x01"},
		{"half a hello", "\x00\x05pro"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := net.Dial("tcp", e.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte(tc.sent)); err != nil {
				t.Fatal(err)
			}
			if err := c.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			for err == nil { // until the engine has hung up
				_, err = c.Read(make([]byte, 512))
			}
		})
	}
	if err := open(t, e).Ping(t.Context()); err != nil {
		t.Errorf("Ping() = %v", err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	cfg := config(t, t.TempDir())
	cfg.MaxMemory = 400 << 20
	conn := open(t, enginetest.StartConfig(t, cfg))
	err := conn.Exec(t.Context(), "SELECT count() FROM (SELECT number, toString(number) AS s FROM numbers(30000000) GROUP BY number, s) SETTINGS max_bytes_before_external_group_by = 0, max_bytes_ratio_before_external_group_by = 0")
	var ex *clickhouse.Exception
	if !errors.As(err, &ex) || ex.Code != 241 {
		t.Errorf("got %v, want MEMORY_LIMIT_EXCEEDED", err)
	}
	if err := conn.Ping(t.Context()); err != nil {
		t.Errorf("Ping() afterwards = %v", err)
	}
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, bytes.Repeat([]byte("not a library\n"), 10), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		change func(*engine.Config)
		want   string
	}{
		{"directory under a file", func(c *engine.Config) { c.DataDir = filepath.Join(file, "data") }, "create engine data directory"},
		{"no directory", func(c *engine.Config) { c.DataDir = "/proc/self/nowhere" }, "create engine data directory"},
		{"not a library", func(c *engine.Config) { c.Library = file }, "stderr.log: load clickhouse engine"},
		{"no library", func(c *engine.Config) { c.Library = "" }, "make engine"},
		{"memory", func(c *engine.Config) { c.MaxMemory = 1 }, "max_memory_bytes: 1 is less than"},
		{"time", func(c *engine.Config) { c.StartTimeout = time.Millisecond }, "did not start within 1ms"},
		{"port in use", func(c *engine.Config) { c.Port = listen(t) }, "in use"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := config(t, t.TempDir())
			tc.change(&cfg)
			e, err := engine.Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
			if err == nil {
				e.Close(t.Context())
				t.Fatal("engine started")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v\nwant %q in it", err, tc.want)
			}
		})
	}
}

// listen occupies a port until the end of the test.
func listen(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func TestStartIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := engine.Start(ctx, config(t, t.TempDir()), slog.New(slog.DiscardHandler)); !errors.Is(err, context.Canceled) {
		t.Errorf("Start() = %v, want context.Canceled", err)
	}
}
