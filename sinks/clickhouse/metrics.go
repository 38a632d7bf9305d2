package clickhouse

import (
	"context"
	"errors"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// Why an insertion failed, as metric label.
const (
	reasonRefused     = "refused"
	reasonServer      = "server"
	reasonUnreachable = "unreachable"
	reasonCancelled   = "cancelled"
)

type metrics struct {
	rows    *prometheus.CounterVec
	failed  *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	expired prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepdown_sinks_clickhouse_rows_inserted_total",
			Help: "Rows that the server has acknowledged, repeats of a batch included.",
		}, []string{"table"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepdown_sinks_clickhouse_inserts_failed_total",
			Help: "Insertions of a block that failed.",
		}, []string{"table", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "stepdown_sinks_clickhouse_insert_duration_seconds",
			Help:    "Time to insert one block, failures included.",
			Buckets: prometheus.ExponentialBuckets(0.002, 3, 9),
		}, []string{"table"}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "stepdown_sinks_clickhouse_expired_events_total",
			Help: "Inserted events that were older than clickhouse.retention.events, so that the server drops them.",
		}),
	}
	for _, table := range tables() {
		m.rows.WithLabelValues(table)
		m.seconds.WithLabelValues(table)
		for _, reason := range []string{reasonRefused, reasonServer, reasonUnreachable, reasonCancelled} {
			m.failed.WithLabelValues(table, reason)
		}
	}
	for _, c := range []prometheus.Collector{m.rows, m.failed, m.seconds, m.expired} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func reasonOf(err error) string {
	var ex *clickhouse.Exception
	switch {
	case refused(err):
		return reasonRefused
	case errors.As(err, &ex):
		return reasonServer
	case errors.Is(err, context.Canceled):
		return reasonCancelled
	}
	return reasonUnreachable
}
