package stream

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	published      *prometheus.CounterVec
	publishSeconds prometheus.Histogram
	publishErrors  *prometheus.CounterVec
	publishRetries prometheus.Counter

	fetched       *prometheus.CounterVec
	committed     *prometheus.CounterVec
	skipped       *prometheus.CounterVec
	lag           *prometheus.GaugeVec
	lastFetch     *prometheus.GaugeVec
	assigned      *prometheus.GaugeVec
	rebalances    *prometheus.CounterVec
	groupErrors   *prometheus.CounterVec
	handlerErrors *prometheus.CounterVec
	fetchErrors   *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	factory := promauto.With(registerer)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return factory.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return factory.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	return &metrics{
		published: counter("stepdown_stream_published_records_total", "Records acknowledged by all in-sync replicas.", "topic"),
		publishSeconds: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "stepdown_stream_publish_duration_seconds",
			Help:    "Time to publish one batch, with its retries.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
		}),
		publishErrors:  counter("stepdown_stream_publish_errors_total", "Batches that were not published, by reason.", "reason"),
		publishRetries: factory.NewCounter(prometheus.CounterOpts{Name: "stepdown_stream_publish_retries_total", Help: "Attempts to publish that failed and were repeated."}),

		fetched:       counter("stepdown_stream_fetched_records_total", "Records read by a group.", "group", "topic"),
		committed:     counter("stepdown_stream_committed_records_total", "Records handled and committed by a group.", "group", "topic"),
		skipped:       counter("stepdown_stream_skipped_records_total", "Records that retention deleted before a group read them.", "group", "topic"),
		lag:           gauge("stepdown_stream_lag_records", "Records of a partition that this group has not committed.", "group", "topic", "partition"),
		lastFetch:     gauge("stepdown_stream_last_fetch_timestamp_seconds", "When a broker last answered a fetch of a partition, also with no records.", "group", "topic", "partition"),
		assigned:      gauge("stepdown_stream_assigned_partitions", "Partitions that this member of the group owns.", "group", "topic"),
		rebalances:    counter("stepdown_stream_rebalances_total", "Generations of the group that this member joined.", "group", "topic"),
		groupErrors:   counter("stepdown_stream_group_errors_total", "Failed attempts to join the group or to commit.", "group", "topic"),
		handlerErrors: counter("stepdown_stream_handler_errors_total", "Batches that a handler did not accept, and partitions that did not open.", "group", "topic"),
		fetchErrors:   counter("stepdown_stream_fetch_errors_total", "Failed attempts to read a partition.", "group", "topic"),
	}
}
