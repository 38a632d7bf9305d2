package stream_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest/secret"
	"stepdown/ingest/stream"
)

func valid() stream.Config {
	config := stream.DefaultConfig()
	config.Brokers = []string{"kafka.example.com:9092"}
	return config
}

func TestConfigValidate(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*stream.Config)
		want   string
	}{
		{"default with brokers", func(*stream.Config) {}, ""},
		{"everything", func(c *stream.Config) {
			c.TLS = stream.TLS{Enabled: true, CertFile: "c", KeyFile: "k", CAFile: "a", ServerName: "kafka.example.com"}
			c.SASL = stream.SASL{Mechanism: "scram-sha-256", Username: "anna", Password: secret.FromEnv("X")}
			c.ReplicationFactor = 3
			c.Retention.Triage = 0
		}, ""},
		{"no brokers", func(c *stream.Config) { c.Brokers = nil }, "brokers:"},
		{"broker without a port", func(c *stream.Config) { c.Brokers = []string{"kafka.example.com"} }, "brokers[0]"},
		{"topic without a name", func(c *stream.Config) { c.Topics.State = "" }, "topics:"},
		{"one topic twice", func(c *stream.Config) { c.Topics.State = c.Topics.Events }, "used twice"},
		{"no partitions", func(c *stream.Config) { c.Partitions = 0 }, "partitions:"},
		{"negative replication", func(c *stream.Config) { c.ReplicationFactor = -1 }, "replication_factor:"},
		{"negative retention", func(c *stream.Config) { c.Retention.Alerts = -1 }, "retention:"},
		{"tiny messages", func(c *stream.Config) { c.MaxMessageBytes = 100 }, "max_message_bytes:"},
		{"certificate without a key", func(c *stream.Config) { c.TLS = stream.TLS{Enabled: true, CertFile: "c"} }, "tls:"},
		{"certificate without TLS", func(c *stream.Config) { c.TLS.CAFile = "a" }, "enabled is false"},
		{"unknown mechanism", func(c *stream.Config) { c.SASL.Mechanism = "gssapi" }, "sasl.mechanism:"},
		{"user without a mechanism", func(c *stream.Config) { c.SASL.Username = "anna" }, "sasl.mechanism:"},
		{"mechanism without a user", func(c *stream.Config) {
			c.SASL = stream.SASL{Mechanism: "plain", Password: secret.FromEnv("X")}
		}, "sasl.username:"},
		{"mechanism without a password", func(c *stream.Config) {
			c.SASL = stream.SASL{Mechanism: "plain", Username: "anna"}
		}, "sasl.password:"},
		{"short session", func(c *stream.Config) { c.SessionTimeout = time.Second }, "session_timeout:"},
	} {
		t.Run(row.name, func(t *testing.T) {
			config := valid()
			row.change(&config)
			err := config.Validate()
			if row.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("got %v, want an error with %q", err, row.want)
			}
		})
	}
}

func TestConfigIsReadStrictlyFromItsOwnOutput(t *testing.T) {
	want := valid()
	want.SASL = stream.SASL{Mechanism: "plain", Username: "anna", Password: secret.FromFile("/run/secrets/kafka")}
	text, err := yaml.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got stream.Config
	if err := yaml.UnmarshalWithOptions(text, &got, yaml.Strict()); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	again, err := yaml.Marshal(got)
	if err != nil || string(again) != string(text) || got.SASL != want.SASL {
		t.Fatalf("read again as\n%s\nwant\n%s", again, text)
	}
}

func TestNewReadsCertificatesAndDoesNotDial(t *testing.T) {
	config := valid()
	if _, err := stream.New(config, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, []byte("not PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		tls  stream.TLS
		want string
	}{
		{"missing authority", stream.TLS{Enabled: true, CAFile: "missing.pem"}, "missing.pem"},
		{"no PEM", stream.TLS{Enabled: true, CAFile: path}, "no PEM certificate"},
		{"missing pair", stream.TLS{Enabled: true, CertFile: "missing.crt", KeyFile: "missing.key"}, "missing.crt"},
	} {
		t.Run(row.name, func(t *testing.T) {
			config := valid()
			config.TLS = row.tls
			if _, err := stream.New(config, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("got %v, want an error with %q", err, row.want)
			}
		})
	}
}
