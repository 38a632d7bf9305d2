package app

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	buried         *prometheus.CounterVec
	restoreSeconds prometheus.Histogram
	reloads        *prometheus.CounterVec
	reloadOK       prometheus.Gauge
	reloadTime     prometheus.Gauge
	ready          prometheus.Gauge
	brokenParts    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, version string) *metrics {
	f := promauto.With(reg)
	f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "stepdown_app_build_info",
		Help: "Always 1; the label names the version.",
	}, []string{"version"}).WithLabelValues(version).Set(1)
	m := &metrics{
		buried: f.NewCounterVec(prometheus.CounterOpts{
			Name: "stepdown_app_dead_letters_total",
			Help: "Records of our own topics that were set aside, by role and reason.",
		}, []string{"role", "reason"}),
		restoreSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "stepdown_app_restore_seconds",
			Help:    "Time to read a partition's ledgers before its first event.",
			Buckets: prometheus.ExponentialBuckets(0.01, 4, 8),
		}),
		reloads: f.NewCounterVec(prometheus.CounterOpts{
			Name: "stepdown_app_reloads_total",
			Help: "Times that the configuration with its rules, or the directory alone, was read again, by part and result: ok, error.",
		}, []string{"part", "result"}),
		reloadOK: f.NewGauge(prometheus.GaugeOpts{
			Name: "stepdown_app_config_last_reload_successful",
			Help: "1 when configuration, rules and directory could be read the last time.",
		}),
		reloadTime: f.NewGauge(prometheus.GaugeOpts{
			Name: "stepdown_app_config_last_reload_success_timestamp_seconds",
			Help: "When the configuration was put in force the last time, at the start or by a reload.",
		}),
		brokenParts: f.NewCounter(prometheus.CounterOpts{
			Name: "stepdown_app_store_broken_parts_total",
			Help: "Parts that the embedded engine found broken at the start, after which the store was filled again from Kafka.",
		}),
		ready: f.NewGauge(prometheus.GaugeOpts{
			Name: "stepdown_app_ready",
			Help: "1 when every part is ready, as /-/ready says.",
		}),
	}
	m.reloadOK.Set(1)
	m.reloadTime.SetToCurrentTime()
	return m
}
