package embedded_test

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
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest/stream"
	"stepdown/ingest/stream/embedded"
	"stepdown/ingest/stream/streamtest"
)

// childEnv makes the test binary a broker on the data directory it names, and
// memberEnv a member of a group on the broker it names.
const (
	childEnv  = "STEPDOWN_TEST_BROKER_DIR"
	memberEnv = "STEPDOWN_TEST_MEMBER_OF"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		broker, err := embedded.Start(context.Background(), embedded.Config{DataDir: dir})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(broker.Addr())
		select {}
	}
	if addr := os.Getenv(memberEnv); addr != "" {
		err := runMember(addr)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child starts the test binary with a setting and returns the first line that
// it prints: for childEnv the address of a broker.
func child(t *testing.T, name, value string) (line string, process *exec.Cmd) {
	t.Helper()
	process = exec.Command(os.Args[0])
	process.Env = append(os.Environ(), name+"="+value)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(t, process) })
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("process did not start: %v", err)
	}
	return strings.TrimSpace(line), process
}

// kill ends a process with SIGKILL, if it has not ended, and waits for it.
func kill(t *testing.T, process *exec.Cmd) {
	t.Helper()
	if err := process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := process.Wait(); err != nil && !errors.As(err, &exit) && process.ProcessState == nil {
		t.Error(err)
	}
}

func clientOf(t *testing.T, addr string, change ...func(*stream.Config)) *stream.Client {
	t.Helper()
	config := stream.DefaultConfig()
	config.Brokers = []string{addr}
	config.Partitions = 4
	for _, change := range change {
		change(&config)
	}
	return streamtest.Client(t, config)
}

func TestKilledBrokerLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	addr, process := child(t, childEnv, dir)
	client := clientOf(t, addr)
	if _, err := client.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic := client.Topics().Events

	// A group commits while records are written; the broker dies in the middle.
	// Each of the counts is of records that were acknowledged, so they must be
	// there afterwards; what was in flight may be there or not.
	ctx, cancel := context.WithCancel(t.Context())
	var handled atomic.Int64
	group := make(chan error, 1)
	go func() {
		group <- client.Group(stream.GroupConfig{ID: "killed", Topic: topic}).Run(ctx, counting(&handled))
	}()
	publishing, stop := context.WithCancel(t.Context())
	acknowledged := make(chan int, 1)
	go func() {
		for n := 0; ; n++ {
			if client.Publish(publishing, []stream.Message{{Topic: topic, Key: []byte(strconv.Itoa(n)), Value: []byte(strconv.Itoa(n))}}) != nil {
				acknowledged <- n
				return
			}
		}
	}()
	deadline := time.Now().Add(30 * time.Second)
	for handled.Load() < 300 {
		if time.Now().After(deadline) {
			t.Fatal("300 records were not handled")
		}
		time.Sleep(time.Millisecond)
	}
	kill(t, process)
	stop()
	cancel()
	want := <-acknowledged
	if err := <-group; err != nil {
		t.Fatal(err)
	}
	committedAtLeast := handled.Load() - 500

	addr, _ = child(t, childEnv, dir)
	client = clientOf(t, addr)
	if err := client.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool)
	err := client.Scan(t.Context(), topic, stream.Span{}, func(m stream.Message) error {
		there[string(m.Value)] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range want {
		if !there[strconv.Itoa(n)] {
			t.Fatalf("record %d of %d acknowledged ones is lost", n, want)
		}
	}

	// The group goes on at its commits and not at the beginning.
	var again atomic.Int64
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		group <- client.Group(stream.GroupConfig{ID: "killed", Topic: topic}).Run(ctx, counting(&again))
	}()
	if err := client.Publish(t.Context(), keys(topic, 40)); err != nil {
		t.Fatal(err)
	}
	for deadline = time.Now().Add(30 * time.Second); again.Load() < 40; {
		if time.Now().After(deadline) {
			t.Fatal("records after the restart were not handled")
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-group; err != nil {
		t.Fatal(err)
	}
	if most := int64(len(there)) + 40 - committedAtLeast; again.Load() > most {
		t.Errorf("%d records were handled again, at most %d were not committed", again.Load(), most)
	}
}

func keys(topic string, n int) []stream.Message {
	messages := make([]stream.Message, n)
	for i := range messages {
		messages[i] = stream.Message{Topic: topic, Key: []byte(strconv.Itoa(i)), Value: []byte("after")}
	}
	return messages
}

// counting opens partitions that count what they handle.
func counting(n *atomic.Int64) func(context.Context, stream.Assignment) (stream.Partition, error) {
	return func(context.Context, stream.Assignment) (stream.Partition, error) { return counter{n}, nil }
}

type counter struct{ n *atomic.Int64 }

func (c counter) Handle(_ context.Context, batch []stream.Message) error {
	c.n.Add(int64(len(batch)))
	return nil
}
func (counter) Idle(context.Context, time.Duration) error { return nil }
func (counter) Close() error                              { return nil }

// memberSession is short, to wait less for what a killed member owned.
func memberSession(c *stream.Config) { c.SessionTimeout = 6 * time.Second }

func runMember(addr string) error {
	config := stream.DefaultConfig()
	config.Brokers = []string{addr}
	config.Partitions = 4
	memberSession(&config)
	client, err := stream.New(config, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	return client.Group(stream.GroupConfig{ID: "killed", Topic: config.Topics.Events, MaxBatch: 1}).Run(context.Background(),
		func(context.Context, stream.Assignment) (stream.Partition, error) { return teller{}, nil })
}

// teller prints a line when it has a record, and then never ends.
type teller struct{ counter }

func (teller) Handle(context.Context, []stream.Message) error {
	fmt.Println("handling")
	select {}
}

func TestKilledMemberIsReplaced(t *testing.T) {
	t.Parallel()
	broker := streamtest.Broker(t, embedded.Config{DataDir: t.TempDir()})
	client := clientOf(t, broker.Addr(), memberSession)
	if _, err := client.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic := client.Topics().Events
	if err := client.Publish(t.Context(), keys(topic, 40)); err != nil {
		t.Fatal(err)
	}
	_, process := child(t, memberEnv, broker.Addr())
	kill(t, process)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var handled atomic.Int64
	group := make(chan error, 1)
	begin := time.Now()
	go func() {
		group <- client.Group(stream.GroupConfig{ID: "killed", Topic: topic}).Run(ctx, counting(&handled))
	}()
	for handled.Load() < 40 {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("%d of 40 records were handled", handled.Load())
		}
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("what a killed member owned came back after %s, its session is 6 s", took)
	}
	cancel()
	if err := <-group; err != nil {
		t.Fatal(err)
	}
	if handled.Load() != 40 {
		t.Errorf("%d records were handled, want 40", handled.Load())
	}
}

func TestDataDirHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	addr, process := child(t, childEnv, dir)
	if _, err := embedded.Start(t.Context(), embedded.Config{DataDir: dir}); err == nil ||
		!strings.Contains(err.Error(), fmt.Sprintf("process %d", process.Process.Pid)) || !strings.Contains(err.Error(), "data_dir") {
		t.Fatalf("a second owner of %s beside %s gave %v", dir, addr, err)
	}
	kill(t, process)
	broker, err := embedded.Start(t.Context(), embedded.Config{DataDir: dir})
	if err != nil {
		t.Fatalf("the lock outlived its process: %v", err)
	}
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTakenPort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	config := embedded.Config{DataDir: t.TempDir(), Port: listener.Addr().(*net.TCPAddr).Port}
	if _, err := embedded.Start(t.Context(), config); err == nil || !strings.Contains(err.Error(), "port "+strconv.Itoa(config.Port)) ||
		!strings.Contains(err.Error(), "set another port") {
		t.Fatalf("got %v, want what to set", err)
	}
	// The failed start left nothing locked.
	config.Port = 0
	broker, err := embedded.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStartFailures(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		config embedded.Config
		want   string
	}{
		{"no directory", embedded.Config{}, "data_dir"},
		{"a file for a directory", embedded.Config{DataDir: file}, file},
		{"no such port", embedded.Config{DataDir: t.TempDir(), Port: 70000}, "port: 70000"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := embedded.Start(t.Context(), row.config); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("got %v, want an error with %q", err, row.want)
			}
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := embedded.Start(ended, embedded.Config{DataDir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the context's error", err)
	}
}

func TestListensOnLoopbackOnly(t *testing.T) {
	broker := streamtest.Broker(t, embedded.Config{DataDir: t.TempDir()})
	host, port, err := net.SplitHostPort(broker.Addr())
	if err != nil || host != "127.0.0.1" || port != strconv.Itoa(broker.Port()) {
		t.Fatalf("listens on %s, %v", broker.Addr(), err)
	}
}

func TestDefaultConfigIsValid(t *testing.T) {
	if err := embedded.DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
}
