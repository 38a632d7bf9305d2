package rest

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest"
)

// metrics are shared by the clients of one process; the label input tells them
// apart.
type metrics struct {
	requests  *prometheus.CounterVec
	throttled *prometheus.CounterVec
}

// newMetrics returns those that reg has, and registers them where it has none yet:
// each input makes clients of its own. They count for nobody where reg is nil.
func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		if reg == nil {
			return v
		}
		err := reg.Register(v)
		if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
			if same, ok := there.ExistingCollector.(*prometheus.CounterVec); ok {
				return same
			}
		}
		if err != nil {
			panic(err) // as MustRegister does: two metrics of one name
		}
		return v
	}
	return &metrics{
		requests: counter("stepdown_ingest_requests_total",
			"Requests to a provider's API, by result: ok, throttled, refused, client_error, server_error, too_large, no_answer.", "input", "result"),
		throttled: counter("stepdown_ingest_throttled_seconds_total",
			"Time for which requests waited because the provider wants fewer.", "input"),
	}
}

// resultOf is a closed set of labels.
func resultOf(err error) string {
	_, isThrottled := errors.AsType[*throttledError](err)
	_, isRefused := errors.AsType[*ingest.CredentialError](err)
	_, isTooLarge := errors.AsType[*tooLargeError](err)
	status, isStatus := errors.AsType[*StatusError](err)
	switch {
	case err == nil:
		return "ok"
	case isThrottled:
		return "throttled"
	case isRefused:
		return "refused"
	case isTooLarge:
		return "too_large"
	case isStatus && status.Status >= http.StatusInternalServerError:
		return "server_error"
	case isStatus:
		return "client_error"
	}
	return "no_answer"
}
