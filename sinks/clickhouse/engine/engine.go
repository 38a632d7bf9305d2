package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// stopTimeout is how long Close waits for a clean stop before it kills the
// engine. What was inserted is kept either way.
const stopTimeout = 5 * time.Second

// stackFrame is a line of the engine's stack traces, which tell a reader
// nothing without its symbols.
var stackFrame = regexp.MustCompile(`^\d+\. .* @ 0x`)

// Engine is a running ClickHouse engine. Its methods may be called from any goroutine.
type Engine struct {
	addr     string
	dir      string
	process  *os.Process
	alive    *os.File // write end; the child stops when it is closed
	stopOnce sync.Once
	stopping chan struct{} // closed by Close
	done     chan struct{} // closed when the child was reaped
	err      error         // set before done is closed
}

// Start runs the engine and returns when it accepts connections. ctx bounds the
// start only; the engine runs until [Engine.Close], or until this process ends.
// An error contains the engine's own last words.
func Start(ctx context.Context, cfg Config, logger *slog.Logger) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("engine configuration: %w", err)
	}
	if cfg.Library == "" {
		return nil, ErrNotInstalled
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.StartTimeout, fmt.Errorf("engine did not start within %s", cfg.StartTimeout))
	defer cancel()
	began := time.Now()
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("resolve engine data directory: %w", err)
	}
	lock, err := prepareDir(ctx, dir, cfg.MinFree)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // the child keeps its copy
	if err := writeSettings(dir, cfg.MaxMemory, cfg.MinFree); err != nil {
		return nil, err
	}
	e := &Engine{dir: dir, stopping: make(chan struct{}), done: make(chan struct{})}
	ready, err := e.launch(cfg, lock)
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	if err := errors.Join(writePID(lock, e.process.Pid), e.awaitReady(ctx, ready)); err != nil {
		e.alive.Close()
		_ = e.process.Kill()
		<-e.done
		return nil, fmt.Errorf("start clickhouse engine: %w%s", err, e.lastWords())
	}
	logger.Info("clickhouse engine started", slog.String("addr", e.addr), slog.Int("pid", e.process.Pid),
		slog.String("data_dir", dir), slog.Duration("duration", time.Since(began)))
	return e, nil
}

// launch starts the child and returns the pipe on which it will report its port.
func (e *Engine) launch(cfg Config, lock *os.File) (ready *os.File, err error) {
	exe, err := ownExecutable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	stderr, err := os.Create(filepath.Join(e.dir, "stderr.log"))
	if err != nil {
		return nil, fmt.Errorf("write to engine data directory: %w", err)
	}
	defer stderr.Close()
	ready, readyWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make engine pipe: %w", err)
	}
	defer readyWrite.Close()
	aliveRead, aliveWrite, err := os.Pipe()
	if err != nil {
		ready.Close()
		return nil, fmt.Errorf("make engine pipe: %w", err)
	}
	defer aliveRead.Close()

	cmd := exec.Command(exe) //nolint:noctx // it ends with Close, or with this process
	cmd.Args = append([]string{"stepdown-clickhouse-engine"}, engineArgs(cfg.Port)...)
	cmd.Dir = e.dir
	// The rest of the environment may hold secrets, which the engine has no use for.
	cmd.Env = []string{childEnv + "=" + cfg.Library, "HOME=" + e.dir, "TZ=UTC", "TERM=dumb"}
	cmd.Stderr = stderr
	cmd.ExtraFiles = []*os.File{readyFD - 3: readyWrite, lockFD - 3: lock, aliveFD - 3: aliveRead}
	cmd.SysProcAttr = childAttr()

	started := make(chan error)
	go func() {
		// Linux sends the parent death signal when the thread that forked ends,
		// so that thread is kept.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		select {
		case <-e.stopping:
		default:
			e.err = exitError(err)
		}
		close(e.done)
	}()
	if err := <-started; err != nil {
		ready.Close()
		aliveWrite.Close()
		return nil, fmt.Errorf("start engine process: %w", err)
	}
	e.process, e.alive = cmd.Process, aliveWrite
	return ready, nil
}

// awaitReady reads the port that the child reports when it listens.
func (e *Engine) awaitReady(ctx context.Context, ready *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := bufio.NewReader(ready).ReadString('\n')
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil { // the child ended, or is about to
		select {
		case <-e.done:
			return e.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	port, err := strconv.ParseUint(strings.TrimSpace(line), 10, 16)
	if err != nil {
		return fmt.Errorf("read engine port: %w", err)
	}
	e.addr = net.JoinHostPort("127.0.0.1", strconv.FormatUint(port, 10))
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", e.addr)
	if err != nil {
		return fmt.Errorf("connect to engine: %w", err)
	}
	return conn.Close()
}

// ErrDiskFull reports an engine that has ended itself because the disk did not
// take what it wrote. What it has acknowledged is kept.
var ErrDiskFull = errors.New("the disk does not take what the engine writes")

func exitError(err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == exitLostWrite {
		return ErrDiskFull
	}
	if err == nil {
		return errors.New("engine process ended")
	}
	return fmt.Errorf("engine process ended: %w", err)
}

// lastWords is the end of what the engine wrote about its troubles, for an
// error message.
func (e *Engine) lastWords() string {
	for _, name := range []string{"stderr.log", "engine.log"} {
		text, err := os.ReadFile(filepath.Join(e.dir, name))
		if err != nil {
			continue
		}
		var lines []string
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			if line == "" || stackFrame.MatchString(line) {
				continue
			}
			lines = append(lines, "\n  "+name+": "+line[:min(len(line), 400)])
		}
		if len(lines) > 0 {
			return strings.Join(lines[max(0, len(lines)-3):], "")
		}
	}
	return ""
}

// Addr is the host and port of the native protocol.
func (e *Engine) Addr() string { return e.addr }

// PasswordFile is the file with the password of [User]. The password stays the
// same over restarts.
func (e *Engine) PasswordFile() string { return filepath.Join(e.dir, passwordFile) }

// Done is closed when the engine has ended, for whatever reason.
func (e *Engine) Done() <-chan struct{} { return e.done }

// Err says why the engine ended without [Engine.Close]. It is nil while the
// engine runs and after a stop.
func (e *Engine) Err() error {
	select {
	case <-e.done:
		return e.err
	default:
		return nil
	}
}

// Close stops the engine and returns when it has ended. It kills an engine that
// is not down within five seconds or when ctx ends, and says so. Clients should
// be closed first: the engine waits about a second for each that is open.
func (e *Engine) Close(ctx context.Context) error {
	e.stopOnce.Do(func() {
		close(e.stopping)
		e.alive.Close()
	})
	ctx, cancel := context.WithTimeoutCause(ctx, stopTimeout, fmt.Errorf("engine did not stop within %s", stopTimeout))
	defer cancel()
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
	}
	_ = e.process.Kill()
	<-e.done
	return fmt.Errorf("stop clickhouse engine: killed: %w", context.Cause(ctx))
}
