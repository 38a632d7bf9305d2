package github

import (
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// stream is the one log there is: of an enterprise, or of an organization.
const stream = "audit_log"

type normalizer struct{}

// New returns the normalizer of audit log entries. It has no state.
func New() ingest.Normalizer { return normalizer{} }

// Normalize implements ingest.Normalizer: one entry gives one event or none, a
// recovery code two. The events share the bytes of r.Data as their raw record.
func (normalizer) Normalize(r ingest.Record) ([]event.Event, error) {
	if poll.IsSnapshot(r.Data) {
		return normalizeSnapshot(r)
	}
	var h head
	if _, err := lenient.Decode(r.Data, &h); err != nil {
		return nil, err
	}
	if h.Action == "" {
		return nil, ingest.Malformed(ingest.MalformedMissing, "entry has no action")
	}
	handle := handlerOf(h.Action)
	if handle == nil {
		return nil, ingest.Skip(ingest.SkipIrrelevant, h.Action)
	}
	events := []event.Event{{
		Schema: event.SchemaVersion, Source: r.Source, Stream: stream, Observed: r.Observed, Raw: r.Data,
	}}
	b := build{e: &events[0]}
	warning, err := lenient.Decode(r.Data, &b.in)
	if err != nil {
		return nil, err
	}
	if warning != "" {
		b.e.Warnings = append(b.e.Warnings, warning)
	}
	if b.e.Time, err = lenient.EventTime(string(b.in.Timestamp), string(b.in.CreatedAt)); err != nil {
		return nil, err
	}
	b.e.Tenant = lenient.First(r.Tenant, known(b.in.Business), b.org())
	b.e.Action, b.e.Outcome, b.e.Reason = b.in.Action, event.Success, known(b.in.Reason)
	b.principals()
	b.e.Endpoint = event.Endpoint{IP: lenient.Address(string(b.in.ActorIP)), Country: ingest.CountryCode(known(b.in.Location.CountryCode))}
	b.e.UserAgent = ingest.ParseUserAgent(known(b.in.UserAgent))
	b.e.SessionID = known(b.in.ActorSession)
	if err := handle(&b); err != nil {
		return nil, err
	}
	if err := b.belongs(); err != nil {
		return nil, err
	}
	b.e.ID = lenient.ID(b.in.DocumentID, string(r.Source), b.e.Tenant, b.in.Action, string(b.in.Timestamp), string(b.in.CreatedAt), b.e.Actor.Name, b.e.Subject.Name, string(b.in.RequestID))
	b.e.Sanitize()
	if b.e.Kind == event.FactorChallenge && b.in.Action == recoveryCodeUsed {
		events = append(events, redeemed(events[0]))
	}
	return events, nil
}

// build is one entry on its way to an event.
type build struct {
	in record
	e  *event.Event
}

func known(t lenient.Text) string { return lenient.Known(string(t)) }

// org is the organization; an entry of an enterprise may name several.
func (b *build) org() string {
	for _, o := range b.in.Org {
		if o = lenient.Known(o); o != "" {
			return o
		}
	}
	return ""
}

// The principal types of the contract.
const (
	typeUser    = "user"
	typeService = "service"
)

// principals sets Actor, and Subject to the user that the entry names, else to the
// actor.
func (b *build) principals() {
	b.e.Actor = event.Principal{ID: known(b.in.ActorID), Name: known(b.in.Actor), Type: typeUser}
	if b.in.ActorIsBot == lenient.True || b.in.ActorIsAgent == lenient.True || strings.HasSuffix(b.e.Actor.Name, "[bot]") {
		b.e.Actor.Type = typeService
	}
	if b.e.Actor.ID == "" && b.e.Actor.Name == "" {
		b.e.Actor = event.Principal{}
	}
	b.e.Subject = b.e.Actor
	user := event.Principal{ID: known(b.in.UserID), Name: known(b.in.User), Type: typeUser}
	switch {
	case user.ID == "" && user.Name == "":
	case user.Name != "" && strings.EqualFold(user.Name, b.e.Actor.Name):
	case user.ID != "" && user.ID == b.e.Actor.ID:
	default:
		b.e.Subject = user
	}
}

// belongs checks that the event has a ledger it belongs to.
func (b *build) belongs() error {
	switch b.e.Kind {
	case event.PolicyChange, event.TrustChange, event.LoggingChange, event.AppChange:
		// Whoever made the change, be it a program: a user named beside is no victim.
		b.e.Subject = b.e.Actor
		return nil
	case event.AppCredential:
		return nil
	}
	switch {
	case b.e.Subject.IsZero():
		return ingest.Skip(ingest.SkipNoIdentity, b.in.Action)
	case b.e.Subject.Type == typeService:
		return ingest.Skip(ingest.SkipMachine, b.in.Action)
	}
	return nil
}
