package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stepdown/ingest/stream"
	"stepdown/ingest/stream/embedded"
	"stepdown/ingest/stream/streamtest"
)

// childEnv makes the test binary a broker on the data directory it names.
const childEnv = "STEPDOWN_TEST_BROKER_DIR"

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
	os.Exit(m.Run())
}

// child starts a broker in a process of its own.
func child(t *testing.T, dir string) (addr string, process *exec.Cmd) {
	t.Helper()
	process = exec.Command(os.Args[0])
	process.Env = append(os.Environ(), childEnv+"="+dir)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		process.Process.Kill()
		process.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("broker did not start: %v", err)
	}
	return strings.TrimSpace(line), process
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
	addr, process := child(t, dir)
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
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	process.Wait()
	stop()
	cancel()
	want := <-acknowledged
	if err := <-group; err != nil {
		t.Fatal(err)
	}
	committedAtLeast := handled.Load() - 500

	addr, _ = child(t, dir)
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

func TestDataDirHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	addr, process := child(t, dir)
	if _, err := embedded.Start(t.Context(), embedded.Config{DataDir: dir}); err == nil ||
		!strings.Contains(err.Error(), fmt.Sprintf("process %d", process.Process.Pid)) || !strings.Contains(err.Error(), "data_dir") {
		t.Fatalf("a second owner of %s beside %s gave %v", dir, addr, err)
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	process.Wait()
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
