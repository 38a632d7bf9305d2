package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// The tables.
const (
	tableEvents = "events"
	tableAlerts = "alerts"
	tableHealth = "source_health"
	tableGaps   = "source_gaps"
)

// tables lists them.
func tables() []string { return []string{tableEvents, tableAlerts, tableHealth, tableGaps} }

// Server error codes that Open does not wait out: they need a change of the
// configuration.
const (
	codeUnknownUser          = 192
	codeWrongPassword        = 193
	codeAuthenticationFailed = 516
)

// Store is a database of events, alerts and the inputs' health. Its methods may be called from any
// goroutine.
type Store struct {
	cfg     Config
	conn    driver.Conn
	log     *slog.Logger
	metrics *metrics
	// sayExpired bounds the log lines about events that are too old to be kept.
	sayExpired rate.Sometimes
}

// Open connects to the server of cfg. It tries again until cfg.ConnectTimeout,
// except when the server refuses the credentials. It does not touch the schema,
// see [Store.Migrate]. A connection that breaks later is replaced by the next
// call that needs one.
func Open(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("clickhouse configuration: %w", err)
	}
	tlsConfig, err := cfg.TLS.config()
	if err != nil {
		return nil, fmt.Errorf("clickhouse configuration: %w", err)
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("register clickhouse metrics: %w", err)
	}
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr:        cfg.Addresses,
		TLS:         tlsConfig,
		DialTimeout: cfg.DialTimeout,
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
		DialStrategy: func(ctx context.Context, id int, opt *clickhouse.Options, dial clickhouse.Dial) (clickhouse.DialResult, error) {
			o := *opt
			o.Auth = clickhouse.Auth{Username: cfg.Username}
			if !cfg.Password.IsZero() {
				password, err := cfg.Password.Value()
				if err != nil {
					return clickhouse.DialResult{}, err
				}
				o.Auth.Password = password
			}
			return clickhouse.DefaultDialStrategy(ctx, id, &o, dial)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("clickhouse configuration: %w", err)
	}
	s := &Store{cfg: cfg, conn: conn, log: log, metrics: m, sayExpired: rate.Sometimes{First: 1, Interval: time.Hour}}
	if err := s.awaitServer(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect to clickhouse at %v: %w", cfg.Addresses, err)
	}
	return s, nil
}

// awaitServer pings until the server answers.
func (s *Store) awaitServer(ctx context.Context) error {
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = 100*time.Millisecond, 2*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := s.Ping(ctx)
		if ex, ok := errors.AsType[*clickhouse.Exception](err); ok {
			switch ex.Code {
			case codeUnknownUser, codeWrongPassword, codeAuthenticationFailed:
				err = backoff.Permanent(err)
			}
		}
		return struct{}{}, err
	}, backoff.WithBackOff(waits), backoff.WithMaxElapsedTime(s.cfg.ConnectTimeout),
		backoff.WithNotify(func(err error, next time.Duration) {
			s.log.Debug("clickhouse does not answer, trying again", slog.Duration("retry_in", next), slog.Any("error", err))
		}))
	return err
}

// Ping asks the server for a sign of life.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.conn.Ping(ctx); err != nil {
		return fmt.Errorf("ping clickhouse: %w", err)
	}
	return nil
}

// Close closes the connections. What was inserted stays.
func (s *Store) Close() error {
	if err := s.conn.Close(); err != nil {
		return fmt.Errorf("close clickhouse connections: %w", err)
	}
	return nil
}

// table returns the full name of a table of ours.
func (s *Store) table(name string) string { return s.cfg.Database + "." + name }
