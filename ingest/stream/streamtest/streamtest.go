package streamtest

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest/stream"
	"stepdown/ingest/stream/embedded"
)

// BrokersEnv names brokers, host:port separated by commas, to test against.
const BrokersEnv = "STEPDOWN_TEST_KAFKA"

// Partitions is the partition count of the keyed topics of Config.
const Partitions = 4

// Start returns a client whose topics exist and are empty.
func Start(t testing.TB) *stream.Client {
	t.Helper()
	client := Client(t, Config(t))
	if _, err := client.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	return client
}

// Config returns the configuration of a test: topic names of its own, on an
// embedded broker that ends with the test or on the brokers of BrokersEnv.
func Config(t testing.TB) stream.Config {
	t.Helper()
	config := stream.DefaultConfig()
	config.Partitions = Partitions
	if brokers := os.Getenv(BrokersEnv); brokers != "" {
		config.Brokers = strings.Split(brokers, ",")
	} else {
		config.Brokers = []string{Broker(t, embedded.Config{DataDir: t.TempDir()}).Addr()}
	}
	prefix := "test-" + strings.ToLower(rand.Text()[:10]) + "."
	config.Topics.Events = prefix + "events"
	config.Topics.Alerts = prefix + "alerts"
	config.Topics.State = prefix + "state"
	config.Topics.Cursors = prefix + "cursors"
	config.Topics.Health = prefix + "health"
	config.Topics.Triage = prefix + "triage"
	config.Topics.DeadLetter = prefix + "deadletter"
	return config
}

// Broker starts an embedded broker that ends with the test.
func Broker(t testing.TB, config embedded.Config) *embedded.Broker {
	t.Helper()
	broker, err := embedded.Start(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	return broker
}

// Client returns a client that logs to the test and ends with it.
func Client(t testing.TB, config stream.Config) *stream.Client {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	client, err := stream.New(config, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}
