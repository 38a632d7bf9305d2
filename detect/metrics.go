package detect

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are those of all shards of a process.
type metrics struct {
	events     *prometheus.CounterVec
	refolds    prometheus.Counter
	overflows  prometheus.Counter
	alerts     *prometheus.CounterVec
	suppressed *prometheus.CounterVec
	ruleErrors *prometheus.CounterVec
	identities prometheus.Gauge
}

// The placements are the values of the label of stepdown_detect_events_total.
const (
	placedInOrder   = "in_order"
	placedLate      = "late"
	placedDuplicate = "duplicate"
	placedRewritten = "rewritten"
	placedTooLate   = "too_late"
	placedApplied   = "already_applied"
)

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		events: f.NewCounterVec(prometheus.CounterOpts{
			Name: "stepdown_detect_events_total",
			Help: "Events by how they were placed: in_order, late (within the lateness), rewritten, duplicate, too_late, already_applied (read again after a restart).",
		}, []string{"placement"}),
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
}
