package ssf

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are shared by the inputs of a process.
type metrics struct{ tokens *prometheus.CounterVec }

// The results of a token beside the error codes, as a metric label.
const (
	resultDurable    = "durable"
	resultRepeated   = "repeated"
	resultNotDurable = "not_durable"
	resultKeysAway   = "keys_unavailable"
	resultTooLarge   = "too_large"
	resultMethod     = "method"
)

// newMetrics registers them, or returns those that another input registered.
func newMetrics(reg prometheus.Registerer) *metrics {
	tokens := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stepdown_ingest_ssf_tokens_total",
		Help: "Security event tokens, by result: durable, repeated, not_durable, keys_unavailable, too_large, method, or the error code that the transmitter was given.",
	}, []string{"input", "result"})
	if err := reg.Register(tokens); err != nil {
		if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
			if existing, ok := already.ExistingCollector.(*prometheus.CounterVec); ok {
				tokens = existing
			}
		}
	}
	return &metrics{tokens: tokens}
}
