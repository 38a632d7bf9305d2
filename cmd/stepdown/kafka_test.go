package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// requireKafkaEnv makes an absent Apache Kafka a failure. So does CI=true.
const requireKafkaEnv = "STEPDOWN_REQUIRE_KAFKA"

// kafkaLibs returns where `make kafka` has laid Apache Kafka.
func kafkaLibs(t *testing.T) string {
	t.Helper()
	libs, err := filepath.Abs("../../deploy/kafka/target/libs")
	if err != nil {
		t.Fatal(err)
	}
	_, err = exec.LookPath("java")
	if found, _ := filepath.Glob(filepath.Join(libs, "kafka_*.jar")); err == nil && len(found) == 0 {
		err = fmt.Errorf("no Apache Kafka in %s: make kafka fetches it", libs)
	}
	switch {
	case err == nil:
	case os.Getenv("CI") == "true" || os.Getenv(requireKafkaEnv) == "1":
		t.Fatalf("this test must not be skipped here: %v", err)
	default:
		t.Skipf("skipped: %v", err)
	}
	return libs
}

// door is a listener of a broker, and the address at which its clients are told to
// find it.
type door struct{ name, listens, advertised string }

// kafka is one node of Apache Kafka, a process of its own.
type kafka struct {
	t     *testing.T
	libs  string
	dir   string
	cmd   *exec.Cmd
	ended chan struct{}
}

// formatKafka prepares a node with a door for each member; the first is its own.
func formatKafka(t *testing.T, doors []door) *kafka {
	t.Helper()
	k := &kafka{t: t, libs: kafkaLibs(t), dir: t.TempDir()}
	controller := freeAddress(t)
	var listeners, advertised, protocols []string
	for _, d := range doors {
		listeners = append(listeners, d.name+"://"+d.listens)
		advertised = append(advertised, d.name+"://"+d.advertised)
		protocols = append(protocols, d.name+":PLAINTEXT")
	}
	k.write("server.properties", `process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=`+controller+`
listeners=`+strings.Join(listeners, ",")+`,CONTROLLER://`+controller+`
advertised.listeners=`+strings.Join(advertised, ",")+`
listener.security.protocol.map=`+strings.Join(protocols, ",")+`,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=`+doors[0].name+`
log.dirs=`+filepath.Join(k.dir, "log")+`
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
controlled.shutdown.enable=false
# What is compacted is compacted while the test runs.
log.segment.bytes=1048576
log.cleaner.backoff.ms=500
log.cleaner.min.cleanable.ratio=0.01
`)
	k.write("log4j2.properties", `status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
`)
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	id[0] &= 0x7f        // so that the text does not begin as an option does
	cmd := k.java("kafka.tools.StorageTool", "format", "--standalone",
		"-t", base64.RawURLEncoding.EncodeToString(id), "-c", filepath.Join(k.dir, "server.properties"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("format Kafka: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if t.Failed() {
			if out, err := os.ReadFile(filepath.Join(k.dir, "out")); err == nil {
				t.Logf("Kafka said at last:\n%s", out[max(0, len(out)-4000):])
			}
		}
		k.end(syscall.SIGKILL)
	})
	return k
}

func (k *kafka) write(name, text string) {
	k.t.Helper()
	if err := os.WriteFile(filepath.Join(k.dir, name), []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// java is a Java program that starts soon and stays small.
func (k *kafka) java(args ...string) *exec.Cmd {
	return exec.CommandContext(k.t.Context(), "java", append([]string{"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Dlog4j2.configurationFile=" + filepath.Join(k.dir, "log4j2.properties"), "-cp", filepath.Join(k.libs, "*")}, args...)...)
}

// begin starts the node; it is ready some seconds later.
func (k *kafka) begin() {
	k.t.Helper()
	out, err := os.OpenFile(filepath.Join(k.dir, "out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		k.t.Fatal(err)
	}
	defer out.Close()
	k.cmd = k.java("kafka.Kafka", filepath.Join(k.dir, "server.properties"))
	k.cmd.Stdout, k.cmd.Stderr = out, out
	if err := k.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait() // it is stopped by signals
		close(ended)
	}(k.cmd, k.ended)
}

// end sends a signal to the node and waits until it has ended. One that does not
// stop when it is asked to is killed.
func (k *kafka) end(s syscall.Signal) {
	if k.cmd == nil {
		return
	}
	_ = k.cmd.Process.Signal(s) // it may have ended
	select {
	case <-k.ended:
	case <-time.After(20 * time.Second):
		k.t.Logf("Kafka was killed: it did not stop on %s", s)
		_ = k.cmd.Process.Kill()
		<-k.ended
	}
	k.cmd = nil
}

// freeAddress is one of 127.0.0.1 at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
