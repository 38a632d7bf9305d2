package clickhouse

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"time"

	"stepdown/ingest/secret"
)

// Config says where the server is and how it is written to.
type Config struct {
	// Addresses are tried in order, host:port of the native protocol.
	Addresses []string `yaml:"addresses"`
	// Database is created when it does not exist.
	Database string `yaml:"database"`
	// Username and Password sign in; the password is read for every new
	// connection, so that it can be rotated.
	Username string        `yaml:"username"`
	Password secret.Secret `yaml:"password"`
	TLS      TLS           `yaml:"tls"`

	// DialTimeout bounds a connection attempt and the wait for a free connection.
	DialTimeout time.Duration `yaml:"dial_timeout"`
	// ConnectTimeout bounds Open with its retries.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// WriteTimeout bounds the insertion of one batch.
	WriteTimeout time.Duration `yaml:"write_timeout"`
	// MaxRows and MaxBytes bound one inserted block. Rows beyond go into a
	// further one. The bytes are those of the text of the rows, before
	// compression; the block takes about three times as much memory.
	MaxRows  int `yaml:"max_rows"`
	MaxBytes int `yaml:"max_bytes"`
	// Retention says how long rows are kept, in whole days.
	Retention Retention `yaml:"retention"`
}

// TLS secures the connections.
type TLS struct {
	Enabled bool `yaml:"enabled"`
	// CAFile holds the PEM certificates to trust; empty trusts the system's.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile are a PEM client certificate, read at each handshake
	// so that it can be rotated.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ServerName is the name to expect in the server's certificate, where it is
	// not the host of its address.
	ServerName string `yaml:"server_name"`
}

// Retention is how long rows are kept after the time of the event or alert.
// Events are dropped by whole parts, that is up to a month later.
type Retention struct {
	Events time.Duration `yaml:"events"`
	Alerts time.Duration `yaml:"alerts"`
}

const day = 24 * time.Hour

// DefaultConfig returns a configuration that is complete except for Addresses.
func DefaultConfig() Config {
	return Config{
		Database:       "stepdown",
		Username:       "default",
		DialTimeout:    5 * time.Second,
		ConnectTimeout: 30 * time.Second,
		WriteTimeout:   time.Minute,
		MaxRows:        10_000,
		MaxBytes:       32 << 20,
		Retention:      Retention{Events: 400 * day, Alerts: 1100 * day},
	}
}

var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// Validate reports everything that is wrong with c, by its YAML path.
func (c Config) Validate() error {
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: "+format, append([]any{path}, args...)...))
	}
	if len(c.Addresses) == 0 {
		bad("addresses", "is empty: name at least one host:port of the native protocol")
	}
	for i, a := range c.Addresses {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			bad(fmt.Sprintf("addresses[%d]", i), "is %q: write host:port", a)
		}
	}
	if !databaseName.MatchString(c.Database) {
		bad("database", "is %q: use letters, digits and underscores", c.Database)
	}
	if c.Username == "" {
		bad("username", "is empty")
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		bad("tls", "names only one of cert_file and key_file: name both or none")
	}
	for _, d := range []struct {
		path  string
		value time.Duration
	}{
		{"dial_timeout", c.DialTimeout}, {"connect_timeout", c.ConnectTimeout}, {"write_timeout", c.WriteTimeout},
	} {
		if d.value <= 0 {
			bad(d.path, "is %s: it must be positive", d.value)
		}
	}
	if c.MaxRows < 1 || c.MaxRows > 100_000 {
		bad("max_rows", "is %d: use 1 to 100000", c.MaxRows)
	}
	if c.MaxBytes < 1<<20 || c.MaxBytes > 256<<20 {
		bad("max_bytes", "is %d: use 1 MiB to 256 MiB", c.MaxBytes)
	}
	for _, d := range []struct {
		path  string
		value time.Duration
	}{
		{"retention.events", c.Retention.Events}, {"retention.alerts", c.Retention.Alerts},
	} {
		if d.value < day || d.value%day != 0 {
			bad(d.path, "is %s: use a whole number of days, such as 2160h for 90", d.value)
		}
	}
	return errors.Join(errs...)
}

// config returns the TLS configuration, nil when TLS is off.
func (t TLS) config() (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read tls.ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca_file %s holds no PEM certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
			return &cert, err
		}
	}
	return cfg, nil
}
