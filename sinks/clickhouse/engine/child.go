package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/ebitengine/purego"
)

// childEnv is set for the child only; its value is the path of the library.
const childEnv = "STEPDOWN_ENGINE_CHILD"

// Files that the child inherits.
const (
	readyFD = 3 + iota // the engine writes its port here
	lockFD             // keeps the data directory locked
	aliveFD            // at its end when the parent wants the child to stop, or is gone
)

// exitLostWrite is the exit code of a child whose disk did not take a write.
const exitLostWrite = 74

// childGrace is how long a child that was told to stop may take before it ends
// itself. It is longer than [stopTimeout]: it only matters when the parent is
// gone.
const childGrace = 10 * time.Second

// Child is the engine process. main, and TestMain of a test that starts an
// engine, call it first: it returns at once in a normal process and never in
// one that [Start] made.
func Child() {
	library := os.Getenv(childEnv)
	if library == "" {
		return
	}
	if err := serve(library, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// engineArgs are the arguments of clickhouse-local, relative to the data directory.
func engineArgs(port int) []string {
	return []string{
		"--config-file", "engine.xml",
		"--path", "data",
		"--log-level", "warning",
		"--listen_host", "127.0.0.1",
		"--tcp_port", strconv.Itoa(port),
		"--interactive", "--disable_suggestion", "--progress", "off", "--progress-table", "off", "--enable-progress-table-toggle", "0",
	}
}

// serve runs the engine until the parent closes its end of aliveFD, or until
// SIGTERM or SIGINT.
func serve(library string, args []string) error {
	lib, err := load(library)
	if err != nil {
		return err
	}
	// Before anything else, because it resets the handlers of fatal signals: a
	// crash shall end the process, where the engine's own handler would hold it
	// for minutes.
	lib.setSignalHandlers(0)
	terminal, err := openTerminal()
	if err != nil {
		return fmt.Errorf("open terminal: %w", err)
	}
	_, _ = io.WriteString(terminal, "exit\n")
	busyRead, busyWrite, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	go func() {
		awaitStop()
		busyWrite.Close()
		time.Sleep(childGrace)
		os.Exit(1)
	}()
	queries := fmt.Sprintf("SYSTEM START LISTEN TCP;"+
		" SELECT getServerPort('tcp_port') INTO OUTFILE '/dev/fd/%d' TRUNCATE FORMAT TSV;"+
		" SELECT count() FROM file('/dev/fd/%d', LineAsString) FORMAT Null", readyFD, busyRead.Fd())
	argv := cStrings(append(append([]string{"clickhouse-local"}, args...), "--query", queries))
	runtime.LockOSThread()
	result := lib.queryCmdline(int32(len(argv)-1), argv)
	runtime.KeepAlive(argv)
	if result == 0 {
		return errors.New("engine returned no result")
	}
	if text := lib.resultError(result); text != "" {
		return errors.New(text)
	}
	return nil
}

// awaitStop returns when the parent is gone or wants a stop, or when a signal says so.
func awaitStop() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.NewFile(aliveFD, "alive"))
		close(gone)
	}()
	select {
	case <-signals:
	case <-gone:
	}
}

// functions are those of libchdb that the child calls.
type functions struct {
	setSignalHandlers func(enabled int32)
	queryCmdline      func(argc int32, argv []*byte) uintptr
	resultError       func(result uintptr) string
}

// load opens the library. It fails on one that does not fit this system or is
// too old to be listened to.
func load(path string) (functions, error) {
	var f functions
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return f, fmt.Errorf("load clickhouse engine: %w", err)
	}
	for name, fn := range map[string]any{
		"chdb_set_signal_handlers_enabled": &f.setSignalHandlers,
		"chdb_query_cmdline":               &f.queryCmdline,
		"chdb_result_error":                &f.resultError,
	} {
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			return f, fmt.Errorf("load clickhouse engine: %s is not libchdb 26.6 or later: %w", path, err)
		}
		purego.RegisterFunc(fn, symbol)
	}
	if err := watchWrites(handle, path); err != nil {
		return f, err
	}
	return f, nil
}

// cStrings makes a C argument vector, which ends with a nil.
func cStrings(list []string) []*byte {
	argv := make([]*byte, 0, len(list)+1)
	for _, s := range list {
		b := append([]byte(s), 0)
		argv = append(argv, &b[0])
	}
	return append(argv, nil)
}
