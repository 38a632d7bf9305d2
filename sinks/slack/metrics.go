package slack

import "github.com/prometheus/client_golang/prometheus"

// Results of a call, as a metric label.
const (
	resultOK        = "ok"
	resultLimited   = "limited"
	resultWorkspace = "workspace_limited"
	resultAuth      = "auth"
	resultRefused   = "refused"
	resultGone      = "gone"
	resultMoment    = "unavailable"
)

type metrics struct {
	calls *prometheus.CounterVec
	plain prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stepdown_sinks_slack_calls_total",
			Help: "Calls of the Slack Web API by method and result; auth means that the token or its scopes are not accepted.",
		}, []string{"method", "result"}),
		plain: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "stepdown_sinks_slack_plain_messages_total",
			Help: "Alerts shown as plain text because Slack did not take their blocks.",
		}),
	}
	for _, c := range []prometheus.Collector{m.calls, m.plain} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
