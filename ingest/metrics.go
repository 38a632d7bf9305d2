package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest/event"
)

// metrics are shared by the collectors of one process. The labels are closed:
// inputs and sources are configured, the rest are enums.
type metrics struct {
	polls         *prometheus.CounterVec
	records       *prometheus.CounterVec
	events        *prometheus.CounterVec
	skipped       *prometheus.CounterVec
	malformed     *prometheus.CounterVec
	lastEvent     *prometheus.GaugeVec
	lag           *prometheus.GaugeVec
	publishErrors *prometheus.CounterVec
	cursorErrors  *prometheus.CounterVec
	held          *prometheus.CounterVec
	through       *prometheus.GaugeVec
	refused       *prometheus.GaugeVec
	gaps          *prometheus.CounterVec
	gapOpen       *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	return &metrics{
		polls:         counter("stepdown_ingest_polls_total", "Polls of an input's source, by result (ok, error, end).", "input", "result"),
		records:       counter("stepdown_ingest_records_total", "Records read.", "input", "source"),
		events:        counter("stepdown_ingest_events_total", "Events made of records and published.", "input", "source", "kind"),
		skipped:       counter("stepdown_ingest_skipped_total", "Records that rightly yield no event, and events that name nobody.", "input", "source", "reason"),
		malformed:     counter("stepdown_ingest_malformed_total", "Records that went to the dead-letter topic.", "input", "source", "reason"),
		lastEvent:     gauge("stepdown_ingest_last_event_timestamp_seconds", "Time of the latest event published, by the provider's clock.", "input", "source"),
		lag:           gauge("stepdown_ingest_lag_seconds", "How old the latest event of the last batch was when it was published.", "input", "source"),
		publishErrors: counter("stepdown_ingest_publish_errors_total", "Attempts to publish events or dead letters that failed and are retried.", "input"),
		cursorErrors:  counter("stepdown_ingest_cursor_errors_total", "Attempts to save a cursor that failed and are retried.", "input"),
		held:          counter("stepdown_ingest_held_seconds_total", "Time an input waited for slower ones to catch up in event time.", "input"),
		through:       gauge("stepdown_ingest_read_through_timestamp_seconds", "Time up to which an input's source has shown what it has; now minus it is how far behind the input is.", "input"),
		refused:       gauge("stepdown_ingest_credential_refused", "1 while a provider refuses the credential of an input.", "input"),
		gaps:          counter("stepdown_ingest_gaps_total", "Intervals of event time that were read late or not at all, by kind (outage, stopped, lost).", "input", "kind"),
		gapOpen:       gauge("stepdown_ingest_gap_open", "1 while an input cannot be read, from when that is a gap.", "input"),
	}
}

// batch counts what became of a batch that is durable.
func (m *metrics) batch(input string, s Summary, now time.Time) {
	for source, c := range s {
		source := string(source)
		m.records.WithLabelValues(input, source).Add(float64(c.Records))
		for kind, n := range c.Events {
			m.events.WithLabelValues(input, source, string(kind)).Add(float64(n))
		}
		for reason, n := range c.Skipped {
			m.skipped.WithLabelValues(input, source, string(reason)).Add(float64(n))
		}
		for reason, n := range c.Malformed {
			m.malformed.WithLabelValues(input, source, string(reason)).Add(float64(n))
		}
		if !c.Newest.IsZero() {
			m.lastEvent.WithLabelValues(input, source).Set(float64(c.Newest.UnixMilli()) / 1000)
			m.lag.WithLabelValues(input, source).Set(now.Sub(c.Newest).Seconds())
		}
	}
}

// forget takes away what is true only of an input that is read here: another
// process may read it from now on.
func (m *metrics) forget(input string) {
	m.refused.DeleteLabelValues(input)
	m.through.DeleteLabelValues(input)
}

// tooLarge moves an event that could not be published to the malformed.
func (s Summary) tooLarge(e *event.Event) {
	c := s.of(e.Source)
	c.Events[e.Kind]--
	c.Malformed[MalformedTooBig]++
}
