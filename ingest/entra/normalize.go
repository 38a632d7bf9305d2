package entra

import (
	"bytes"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// The streams of an event.
const (
	streamSignIn         = "sign_in"
	streamNonInteractive = "sign_in_non_interactive"
	streamAudit          = "audit"
	streamRisk           = "risk_detection"
	streamRiskyUser      = "risky_user"
)

type normalizer struct{}

// New returns the normalizer of Entra records. It has no state.
func New() ingest.Normalizer { return normalizer{} }

// Normalize implements ingest.Normalizer. The events share the bytes of r.Data as
// their raw record.
func (normalizer) Normalize(r ingest.Record) ([]event.Event, error) {
	if len(bytes.TrimSpace(r.Data)) == 0 {
		return nil, ingest.Skip(ingest.SkipEmpty, r.Origin)
	}
	if poll.IsSnapshot(r.Data) {
		return normalizeSnapshot(r)
	}
	rec, err := open(r)
	if err != nil {
		return nil, err
	}
	var events []event.Event
	switch rec.shape() {
	case shapeSignIn:
		events, err = rec.signIn()
	case shapeAudit:
		events, err = rec.audit()
	case shapeRisk:
		events, err = rec.risk()
	case shapeRiskyUser:
		events, err = rec.riskyUser()
	case shapeMachine:
		return nil, ingest.Skip(ingest.SkipMachine, rec.env.Category)
	case shapeOther:
		return nil, ingest.Skip(ingest.SkipIrrelevant, lenient.First(rec.env.Category, rec.env.OperationName))
	default:
		events, err = rec.hinted()
	}
	if err != nil {
		return nil, err
	}
	for i := range events {
		events[i].Sanitize()
	}
	return events, nil
}

// hinted reads a record that does not tell what it is as what its input says.
func (r *record) hinted() ([]event.Event, error) {
	switch r.Stream {
	case streamSignIn, streamNonInteractive:
		return r.signIn()
	case streamAudit:
		return r.audit()
	case streamRisk:
		return r.risk()
	case streamRiskyUser:
		return r.riskyUser()
	}
	return nil, ingest.Malformed(ingest.MalformedShape, "neither a sign-in nor an audit nor a risk record")
}
