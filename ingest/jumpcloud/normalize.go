package jumpcloud

import (
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

type normalizer struct{}

// New returns the normalizer of Directory Insights events. It has no state.
func New() ingest.Normalizer { return normalizer{} }

// Normalize implements ingest.Normalizer: one record gives one event or none. The
// event shares the bytes of r.Data as its raw record.
func (normalizer) Normalize(r ingest.Record) ([]event.Event, error) {
	if poll.IsSnapshot(r.Data) {
		return normalizeSnapshot(r)
	}
	events := []event.Event{{
		Schema: event.SchemaVersion, Source: r.Source, Observed: r.Observed, Raw: r.Data,
	}}
	b := build{e: &events[0]}
	in := &b.in
	warning, err := lenient.Decode(r.Data, in)
	if err != nil {
		return nil, err
	}
	if warning != "" {
		b.warn(warning)
	}
	if in.EventType == "" {
		return nil, ingest.Malformed(ingest.MalformedMissing, "event has no event_type")
	}
	b.e.Stream = stream
	b.e.Tenant = lenient.First(r.Tenant, lenient.Known(string(in.Organization)))
	b.e.Action = string(in.EventType)
	b.e.Outcome = b.outcome()
	b.e.Reason = lenient.First(lenient.Known(string(in.ErrorMessage)), lenient.Known(string(in.ErrorCode)))
	b.principals()
	if err := b.dispatch(); err != nil {
		return nil, err
	}
	if b.e.Outcome == event.OutcomeUnknown && b.e.Kind != event.SignIn {
		b.e.Outcome = event.Success // a change that is logged has happened
	}
	if b.e.Time, err = lenient.EventTime(string(in.Timestamp)); err != nil {
		return nil, err
	}
	if err := b.belongs(); err != nil {
		return nil, err
	}
	b.place()
	if b.e.ID = lenient.ID(string(in.ID), b.e.Action, b.e.Time.String(), b.e.Subject.ID, b.e.Subject.Name); in.ID == "" {
		b.warn("no id: it is a digest of type, time and user")
	}
	b.e.Sanitize()
	return events, nil
}

// build is one record on its way to an event.
type build struct {
	in raw
	e  *event.Event
}

func (b *build) warn(s string) { b.e.Warnings = append(b.e.Warnings, s) }

// outcome is success, but sso_token_success where an application was reached.
func (b *build) outcome() event.Outcome {
	said := b.in.Success
	if said == lenient.Unsaid {
		said = b.in.SSOTokenSuccess
	}
	switch said {
	case lenient.True:
		return event.Success
	case lenient.False:
		for _, p := range b.auth().Policies {
			if strings.EqualFold(string(p.Metadata.Action), "DENY") {
				return event.Denied
			}
		}
		return event.Failure
	}
	return event.OutcomeUnknown
}

// auth is how somebody signed in: auth_context, in older events auth_meta.
func (b *build) auth() *authContext {
	c, m := &b.in.AuthContext, &b.in.AuthMeta
	if !c.Methods.known && m.Methods.known {
		return m
	}
	return c
}

// principals sets Actor to who initiated it, and Subject to the user or admin that
// is the resource, else to the actor. Some sign-ins name the user alone.
func (b *build) principals() {
	b.e.Actor = b.in.InitiatedBy.principal()
	b.e.Subject = b.in.Resource.principal()
	if b.e.Subject.IsZero() {
		b.e.Subject = b.e.Actor
	}
	if b.e.Subject.IsZero() {
		if name := lenient.First(lenient.Known(string(b.in.Username)), lenient.Known(string(b.in.Outer.Username))); name != "" {
			b.e.Subject = event.Principal{Name: name, Type: typeUser}
		}
	}
	if b.e.Subject.ID == b.e.Actor.ID && b.e.Subject.ID != "" && b.e.Subject.Name == "" {
		b.e.Subject.Name = b.e.Actor.Name
	}
}

// belongs checks that the event has a ledger it belongs to.
func (b *build) belongs() error {
	switch b.e.Kind {
	case event.PolicyChange, event.TrustChange, event.LoggingChange, event.AppCredential, event.AppChange:
		if b.e.Policy == nil || b.e.Policy.Type != typeUser {
			b.e.Subject = b.e.Actor // whoever made the change
		}
		return nil
	}
	switch b.e.Subject.Type {
	case typeUser, typeAdmin:
		return nil
	case typeService:
		return ingest.Skip(ingest.SkipMachine, b.e.Action)
	}
	return ingest.Skip(ingest.SkipNoIdentity, b.e.Action)
}

// place sets where the client is and what it is.
func (b *build) place() {
	in := &b.in
	b.e.Endpoint = endpoint(lenient.Address(string(in.ClientIP), string(in.SrcIP)), &in.GeoIP)
	b.e.UserAgent = in.UserAgent.family()
	if b.e.UserAgent == (event.UserAgent{}) {
		b.e.UserAgent = in.OtherUA.family()
	}
	auth := b.auth()
	for _, s := range [...]*system{&auth.System, &in.System} {
		if id, name := lenient.Known(string(s.ID)), lenient.First(lenient.Known(string(s.Hostname)), lenient.Known(string(s.DisplayName))); id != "" || name != "" {
			managed := true // systems are what JumpCloud's agent manages
			b.e.Device = &event.Device{ID: id, Name: name, OS: ingest.OSFamily(string(s.OS)), Managed: &managed}
			break
		}
	}
	if p := auth.Protect; p != nil {
		if ip := lenient.Address(string(p.IP)); ip != "" {
			ep := endpoint(ip, &p.GeoIP)
			b.e.AuthenticatorEndpoint = &ep
		}
	}
	if b.e.App == nil {
		b.e.App = b.app()
	}
}

func endpoint(ip string, geo *place) event.Endpoint {
	ep := event.Endpoint{IP: ip, Country: ingest.CountryCode(lenient.Known(string(geo.Country))), Region: lenient.Known(string(geo.Region))}
	if geo.Latitude != nil && geo.Longitude != nil {
		ep.Lat, ep.Lon = geo.Latitude, geo.Longitude
	}
	return ep
}

func (b *build) app() *event.App {
	a := event.App{ID: lenient.Known(string(b.in.Application.ID)),
		Name: lenient.First(lenient.Known(string(b.in.Application.DisplayLabel)), lenient.Known(string(b.in.Application.Name)))}
	if a == (event.App{}) {
		return nil
	}
	return &a
}
