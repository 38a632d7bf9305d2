package auth0

import (
	"fmt"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// streamLogs is the one log that Auth0 has.
const streamLogs = "logs"

type normalizer struct{}

// New returns the normalizer of log events and of snapshots of a user's
// authentication methods. It has no state.
func New() ingest.Normalizer { return normalizer{} }

// Normalize implements ingest.Normalizer. One log event gives one event, or
// several where it tells of several things (a recovery code that let somebody in)
// or people.
func (normalizer) Normalize(r ingest.Record) ([]event.Event, error) {
	if poll.IsSnapshot(r.Data) {
		return snapshot(r)
	}
	b := build{}
	var warning string
	var err error
	if b.in, warning, err = read(r.Data); err != nil {
		return nil, err
	}
	if b.in.Type == "" {
		return nil, ingest.Malformed(ingest.MalformedMissing, "log event has no type")
	}
	b.e = event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Stream: streamLogs, Action: string(b.in.Type),
		Tenant: lenient.First(r.Tenant, string(b.in.TenantName)), Observed: r.Observed,
	}
	if warning != "" {
		b.e.Warnings = append(b.e.Warnings, warning)
	}
	b.principals()
	if err := b.dispatch(); err != nil {
		return nil, err
	}
	if b.e.Time, err = lenient.EventTime(string(b.in.Date)); err != nil {
		return nil, err
	}
	b.e.ID = lenient.ID(lenient.First(string(b.in.LogID), string(b.in.OldID)),
		string(b.in.Type), string(b.in.Date), string(b.in.UserID), string(b.in.UserName), string(b.in.IP), string(b.in.Description))
	b.place()
	b.context()
	b.e.Raw = scrub(r.Data)
	return b.events()
}

// build is one log event on its way to events.
type build struct {
	in logEvent
	// e is the first event; more are those that tell of something else.
	e    event.Event
	more []func(*event.Event)
}

// also adds a second event of the same record, which differs from the first by
// what change does.
func (b *build) also(change func(*event.Event)) { b.more = append(b.more, change) }

// events returns those that belong to somebody.
func (b *build) events() ([]event.Event, error) {
	all := []event.Event{b.e}
	for i, change := range b.more {
		e := b.e
		e.ID = fmt.Sprintf("%s#%d", b.e.ID, i+1)
		e.Factors, e.Warnings = nil, nil
		e.Authenticators, e.Snapshot, e.Recovery, e.Contact, e.Consent, e.Policy, e.Role, e.Risk = nil, nil, nil, nil, nil, nil, nil, nil
		change(&e)
		all = append(all, e)
	}
	out := all[:0]
	reason := ingest.SkipNoIdentity
	for _, e := range all {
		switch {
		case ofTenant(e.Kind):
		case e.Subject.IsZero():
			continue
		case e.Subject.Type == typeService:
			reason = ingest.SkipMachine
			continue
		}
		e.Sanitize()
		out = append(out, e)
	}
	if len(out) == 0 {
		return nil, ingest.Skip(reason, string(b.in.Type))
	}
	return out, nil
}

// ofTenant reports whether events of the kind need no subject: they belong to
// whoever made the change, else to the tenant.
func ofTenant(k event.Kind) bool {
	switch k {
	case event.PolicyChange, event.TrustChange, event.LoggingChange, event.AppChange, event.AppCredential, event.ConsentGrant, event.ConsentRevoke:
		return true
	}
	return false
}

func (b *build) warn(format string, args ...any) {
	b.e.Warnings = append(b.e.Warnings, fmt.Sprintf(format, args...))
}

// The principal types of the contract.
const (
	typeUser    = "user"
	typeAdmin   = "admin"
	typeService = "service"
)

// principals sets the user of the record as subject and actor.
func (b *build) principals() {
	p := user(string(b.in.UserID), string(b.in.UserName))
	if p.IsZero() {
		p = user("", lenient.First(string(b.in.Details.Body.Email), string(b.in.Details.Body.Username), string(b.in.Details.Email)))
	}
	b.e.Subject, b.e.Actor = p, p
}

func user(id, name string) event.Principal {
	p := event.Principal{ID: lenient.Known(id), Name: lenient.Known(name)}
	switch {
	case p.IsZero():
	case strings.HasSuffix(p.ID, "@clients"):
		p.Type = typeService // a client with credentials of its own
	default:
		p.Type = typeUser
	}
	return p
}

// place sets where the client is and what it is. The address of an exchange may be
// that of the application's server: nothing tells.
func (b *build) place() {
	in, req := &b.in, &b.in.Details.Request
	l := &in.Location
	b.e.Endpoint = event.Endpoint{
		IP:      lenient.Address(string(req.IP), string(in.IP), string(in.ClientIP)),
		Country: ingest.CountryCode(lenient.Known(lenient.First(string(l.CountryCode), string(l.Country)))),
		City:    lenient.Known(string(l.City)),
	}
	if l.Lat != nil && l.Lon != nil {
		b.e.Endpoint.Lat, b.e.Endpoint.Lon = l.Lat, l.Lon
	}
	b.e.UserAgent = userAgent(lenient.Known(lenient.First(string(in.UserAgent), string(req.UserAgent))))
	if id := lenient.Known(string(in.Details.RiskAssessment.Assessments.NewDevice.Details.Device)); id != "" {
		b.e.Device = &event.Device{ID: id}
	}
}

// userAgent reads "Chrome 134.0.0 / Mac OS X 10.15.7", which Auth0 makes of the
// client's header, or the header itself.
func userAgent(raw string) event.UserAgent {
	browser, system, ok := strings.Cut(raw, " / ")
	if !ok || strings.HasPrefix(raw, "Mozilla/") {
		return ingest.ParseUserAgent(raw)
	}
	return event.UserAgent{Raw: raw, Browser: ingest.BrowserFamily(browser), OS: ingest.OSFamily(system)}
}

// context sets session, flow, app and reason where the handler has not.
func (b *build) context() {
	d := &b.in.Details
	session := string(d.SessionID)
	for i := range d.Prompts {
		session = lenient.First(session, string(d.Prompts[i].SessionID))
	}
	b.e.FlowID = lenient.First(session, string(d.TransactionID))
	if b.e.SessionID == "" && b.in.Type != "srrt" {
		b.e.SessionID = session
	}
	if b.e.App == nil && (b.in.ClientID != "" || b.in.ClientName != "") {
		b.e.App = &event.App{ID: string(b.in.ClientID), Name: lenient.Known(string(b.in.ClientName)), ResourceID: string(b.in.Audience)}
	}
	if b.e.Reason == "" && b.e.Outcome != event.Success {
		b.e.Reason = lenient.First(string(d.Error), string(d.FailureDetails), string(d.ProviderError), string(d.FailureReason), string(b.in.Description))
	}
}

// riskOf reads a risk assessment; nil where there is none.
func riskOf(confidence string, a *assessments) *event.Risk {
	r := event.Risk{Type: "risk_assessment"}
	switch strings.ToLower(confidence) {
	case "low":
		r.Level = "high"
	case "medium":
		r.Level = "medium"
	case "high":
		r.Level = "low"
	}
	var found []string
	for _, x := range [...]struct {
		name string
		a    *assessment
	}{{"ImpossibleTravel", &a.ImpossibleTravel}, {"NewDevice", &a.NewDevice}, {"UntrustedIP", &a.UntrustedIP}, {"PhoneNumber", &a.PhoneNumber}} {
		if !strings.EqualFold(string(x.a.Confidence), "low") {
			continue
		}
		found = append(found, strings.TrimSpace(x.name+" "+lenient.First(string(x.a.Details.Matches), string(x.a.Code))))
	}
	r.Detail = strings.Join(found, ", ")
	if r.Level == "" && r.Detail == "" {
		return nil
	}
	return &r
}
