package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

const (
	mechanismPlain    = "plain"
	mechanismSCRAM256 = "scram-sha-256"
	mechanismSCRAM512 = "scram-sha-512"
)

// security is what a connection needs; both parts may be nil.
type security struct {
	tls  *tls.Config
	sasl sasl.Mechanism
}

func (t TLS) client() (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read tls.ca_file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read tls.ca_file: %s holds no PEM certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("read tls.cert_file and tls.key_file: %w", err)
			}
			return &pair, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return config, nil
}

func (s SASL) client() sasl.Mechanism {
	if s.Mechanism == "" {
		return nil
	}
	return mechanism{s}
}

// mechanism reads the password at each authentication, so that a rotated one
// is used from the next connection on.
type mechanism struct{ config SASL }

func (m mechanism) Name() string {
	switch m.config.Mechanism {
	case mechanismSCRAM256:
		return scram.SHA256.Name()
	case mechanismSCRAM512:
		return scram.SHA512.Name()
	}
	return plain.Mechanism{}.Name()
}

func (m mechanism) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	password, err := m.config.Password.Value()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrAuth, err)
	}
	var inner sasl.Mechanism
	switch m.config.Mechanism {
	case mechanismSCRAM256:
		inner, err = scram.Mechanism(scram.SHA256, m.config.Username, password)
	case mechanismSCRAM512:
		inner, err = scram.Mechanism(scram.SHA512, m.config.Username, password)
	default:
		inner = plain.Mechanism{Username: m.config.Username, Password: password}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: prepare %s: %w", ErrAuth, m.Name(), err)
	}
	return inner.Start(ctx)
}
