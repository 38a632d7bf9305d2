package sinks

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	written, refused, filtered, superseded, retries prometheus.Counter
	lastSuccess                                     prometheus.Gauge
}

// newMetrics registers the metrics of the sink called name; the name is a
// constant label, so that several sinks share one registerer. up is asked each
// time.
func newMetrics(name string, up func() bool, reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &metrics{
		written:     counter("stepdown_sinks_alerts_written_total", "Alert revisions that are durable at the sink."),
		refused:     counter("stepdown_sinks_alerts_refused_total", "Alert revisions that the sink will never take; they are in the dead-letter topic."),
		filtered:    counter("stepdown_sinks_alerts_filtered_total", "Alert revisions below the minimum severity of the sink."),
		superseded:  counter("stepdown_sinks_alerts_superseded_total", "Alert revisions that the sink was not given because a newer one came with them."),
		retries:     counter("stepdown_sinks_retries_total", "Writes that failed and were tried again."),
		lastSuccess: gauge("stepdown_sinks_last_success_timestamp_seconds", "When the last write succeeded, in Unix time; 0 before the first."),
	}
	isUp := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "stepdown_sinks_up",
		Help: "1 while the last write succeeded, 0 while one is being retried or does not return.",
	}, func() float64 {
		if up() {
			return 1
		}
		return 0
	})
	reg = prometheus.WrapRegistererWith(prometheus.Labels{"sink": name}, reg)
	for _, c := range []prometheus.Collector{m.written, m.refused, m.filtered, m.superseded, m.retries, m.lastSuccess, isUp} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
