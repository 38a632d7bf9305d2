package detect

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are those of all shards of a process.
type metrics struct {
	placed     [placements]prometheus.Counter
	forgotten  prometheus.Counter
	refolds    prometheus.Counter
	overflows  prometheus.Counter
	alerts     *prometheus.CounterVec
	suppressed *prometheus.CounterVec
	ruleErrors *prometheus.CounterVec
	identities prometheus.Gauge
}

// placement is how an event was placed, the label of stepdown_detect_events_total.
type placement int

// The placements.
const (
	placedInOrder placement = iota
	placedLate
	placedDuplicate
	placedRewritten
	placedTooLate
	placedApplied
	placements
)

func (p placement) String() string {
	return [...]string{"in_order", "late", "duplicate", "rewritten", "too_late", "already_applied"}[p]
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	events := f.NewCounterVec(prometheus.CounterOpts{
		Name: "stepdown_detect_events_total",
		Help: "Events by how they were placed: in_order, late (within the lateness), rewritten, duplicate, too_late, already_applied (read again after a restart).",
	}, []string{"placement"})
	m := &metrics{
		forgotten: f.NewCounter(prometheus.CounterOpts{
			Name: "stepdown_detect_ledger_evictions_total",
			Help: "Entries that ledgers forgot because an identity's state had reached its bound in bytes.",
		}),
		refolds: f.NewCounter(prometheus.CounterOpts{
			Name: "stepdown_detect_refolds_total",
			Help: "Windows that were folded again for a late or rewritten event.",
		}),
		overflows: f.NewCounter(prometheus.CounterOpts{
			Name: "stepdown_detect_window_overflows_total",
			Help: "Events that became final before the allowed lateness because an identity's window was full.",
		}),
		alerts: f.NewCounterVec(prometheus.CounterOpts{
			Name: "stepdown_detect_alerts_total",
			Help: "Alert revisions by rule and change: raised, amended, withdrawn.",
		}, []string{"rule", "change"}),
		suppressed: f.NewCounterVec(prometheus.CounterOpts{
			Name: "stepdown_detect_suppressed_total",
			Help: "Findings not raised because the same rule had spoken within its suppress window.",
		}, []string{"rule"}),
		ruleErrors: f.NewCounterVec(prometheus.CounterOpts{
			Name: "stepdown_detect_rule_errors_total",
			Help: "Evaluations that ended in an error; they count as not matched.",
		}, []string{"rule"}),
		identities: f.NewGauge(prometheus.GaugeOpts{
			Name: "stepdown_detect_identities",
			Help: "Identities held in memory by the shards of this process.",
		}),
	}
	// Made once: a look-up by label for every event would cost more than placing it.
	for p := range placements {
		m.placed[p] = events.WithLabelValues(p.String())
	}
	return m
}
