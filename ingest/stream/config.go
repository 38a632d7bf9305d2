package stream

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"stepdown/ingest/secret"
)

// Config says where the brokers are and how the topics are laid out.
type Config struct {
	// Brokers are the bootstrap addresses, host:port.
	Brokers []string `yaml:"brokers"`
	// ClientID is what brokers show in their logs and quotas. The consumer groups
	// are named after it: two installations on one cluster need two.
	ClientID string `yaml:"client_id"`
	// Topics are the names of the seven topics.
	Topics Topics `yaml:"topics"`
	// Partitions is the partition count of events, alerts and state. It is
	// fixed for the life of a cluster: a key's partition depends on it.
	Partitions int `yaml:"partitions"`
	// ReplicationFactor is used for topics that Apply creates; 0 leaves it to
	// the brokers' default.
	ReplicationFactor int `yaml:"replication_factor"`
	// Retention says how long records are kept.
	Retention Retention `yaml:"retention"`
	// MaxMessageBytes is the size above which a record is refused, counted
	// before compression with key and headers. Apply raises the topics' limit
	// (max.message.bytes) to it where that is lower.
	MaxMessageBytes int `yaml:"max_message_bytes"`
	// TLS and SASL secure the connections.
	TLS  TLS  `yaml:"tls"`
	SASL SASL `yaml:"sasl"`

	// DialTimeout bounds a connection attempt with its handshakes.
	DialTimeout time.Duration `yaml:"dial_timeout"`
	// RequestTimeout bounds one request to a broker.
	RequestTimeout time.Duration `yaml:"request_timeout"`
	// PublishTimeout bounds a Publish with all its retries.
	PublishTimeout time.Duration `yaml:"publish_timeout"`
	// SessionTimeout is the silence after which the coordinator takes a
	// member's partitions away.
	SessionTimeout time.Duration `yaml:"session_timeout"`
	// RebalanceTimeout is how long the coordinator waits for members to join
	// a new generation.
	RebalanceTimeout time.Duration `yaml:"rebalance_timeout"`
}

// Topics names the topics.
type Topics struct {
	Events     string `yaml:"events"`
	Alerts     string `yaml:"alerts"`
	State      string `yaml:"state"`
	Cursors    string `yaml:"cursors"`
	Health     string `yaml:"health"`
	Triage     string `yaml:"triage"`
	DeadLetter string `yaml:"dead_letter"`
}

// All lists them.
func (t Topics) All() []string {
	return []string{t.Events, t.Alerts, t.State, t.Cursors, t.Health, t.Triage, t.DeadLetter}
}

// Retention says how long a topic keeps records; 0 keeps them for ever. The
// topics of state and cursors are compacted and have none; health is kept as long
// as events.
type Retention struct {
	Events     time.Duration `yaml:"events"`
	Alerts     time.Duration `yaml:"alerts"`
	Triage     time.Duration `yaml:"triage"`
	DeadLetter time.Duration `yaml:"dead_letter"`
}

// TLS secures connections to the brokers.
type TLS struct {
	Enabled bool `yaml:"enabled"`
	// CAFile holds the PEM certificates to trust; empty trusts the system's.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile are a PEM client certificate, read at each
	// handshake so that it can be rotated.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ServerName is the name to expect in the brokers' certificates, where it
	// is not the host they are reached by.
	ServerName string `yaml:"server_name"`
}

// SASL authenticates the client. An empty mechanism means none.
type SASL struct {
	// Mechanism is plain, scram-sha-256 or scram-sha-512.
	Mechanism string        `yaml:"mechanism"`
	Username  string        `yaml:"username"`
	Password  secret.Secret `yaml:"password"`
}

// DefaultConfig returns a configuration that is complete except for Brokers.
func DefaultConfig() Config {
	const day = 24 * time.Hour
	return Config{
		ClientID: "stepdown",
		Topics: Topics{
			Events:     "stepdown.events",
			Alerts:     "stepdown.alerts",
			State:      "stepdown.state",
			Cursors:    "stepdown.cursors",
			Health:     "stepdown.health",
			Triage:     "stepdown.triage",
			DeadLetter: "stepdown.deadletter",
		},
		Partitions: 48,
		Retention: Retention{
			Events:     14 * day,
			Alerts:     30 * day,
			Triage:     90 * day,
			DeadLetter: 90 * day,
		},
		MaxMessageBytes:  1_000_000,
		DialTimeout:      5 * time.Second,
		RequestTimeout:   10 * time.Second,
		PublishTimeout:   30 * time.Second,
		SessionTimeout:   10 * time.Second,
		RebalanceTimeout: 30 * time.Second,
	}
}

// The bounds of MaxMessageBytes. The lower one leaves room for the metadata of
// a dead letter beside a piece of it.
const (
	minMaxMessageBytes = 64 << 10
	maxMaxMessageBytes = 64 << 20
)

// Validate reports everything that is wrong with c, by its YAML path.
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if len(c.Brokers) == 0 {
		wrong("brokers: none; want a list of host:port")
	}
	for i, broker := range c.Brokers {
		if host, port, err := net.SplitHostPort(broker); err != nil || host == "" || port == "" {
			wrong("brokers[%d]: %q is not host:port, such as kafka.example.com:9092", i, broker)
		}
	}
	names := c.Topics.All()
	for i, name := range names {
		switch {
		case name == "":
			wrong("topics: a name is empty; leave the key out for the default")
		case slices.Contains(names[:i], name):
			wrong("topics: %q is used twice; each topic needs its own", name)
		}
	}
	if c.Partitions < 1 {
		wrong("partitions: %d; want at least 1", c.Partitions)
	}
	if c.ReplicationFactor < 0 {
		wrong("replication_factor: %d; want 0 for the brokers' default, or more", c.ReplicationFactor)
	}
	if c.Retention.Events < 0 || c.Retention.Alerts < 0 || c.Retention.Triage < 0 || c.Retention.DeadLetter < 0 {
		wrong("retention: negative; want a duration such as 720h, or 0 to keep records for ever")
	}
	if c.MaxMessageBytes < minMaxMessageBytes || c.MaxMessageBytes > maxMaxMessageBytes {
		wrong("max_message_bytes: %d; want %d to %d", c.MaxMessageBytes, minMaxMessageBytes, maxMaxMessageBytes)
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		wrong("tls: cert_file and key_file go together")
	}
	if !c.TLS.Enabled && c.TLS != (TLS{}) {
		wrong("tls: settings are given but enabled is false")
	}
	switch c.SASL.Mechanism {
	case "":
		if c.SASL != (SASL{}) {
			wrong("sasl.mechanism: empty; want %s, %s or %s", mechanismPlain, mechanismSCRAM256, mechanismSCRAM512)
		}
	case mechanismPlain, mechanismSCRAM256, mechanismSCRAM512:
		if c.SASL.Username == "" {
			wrong("sasl.username: empty")
		}
		if c.SASL.Password.IsZero() {
			wrong("sasl.password: not set; want {file: PATH} or ${ENV_NAME}")
		}
	default:
		wrong("sasl.mechanism: %q; want %s, %s or %s", c.SASL.Mechanism, mechanismPlain, mechanismSCRAM256, mechanismSCRAM512)
	}
	for _, timeout := range []struct {
		name  string
		value time.Duration
		min   time.Duration
	}{
		{"dial_timeout", c.DialTimeout, 100 * time.Millisecond},
		{"request_timeout", c.RequestTimeout, time.Second},
		{"publish_timeout", c.PublishTimeout, time.Second},
		{"session_timeout", c.SessionTimeout, 6 * time.Second},
		{"rebalance_timeout", c.RebalanceTimeout, 6 * time.Second},
	} {
		if timeout.value < timeout.min {
			wrong("%s: %s; want at least %s", timeout.name, timeout.value, timeout.min)
		}
	}
	return errors.Join(errs...)
}
