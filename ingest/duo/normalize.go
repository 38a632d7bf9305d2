package duo

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// The logs, and streams of an event.
const (
	streamAuth      = "authentication"
	streamActivity  = "activity"
	streamAdmin     = "administrator"
	streamTelephony = "telephony"
)

type normalizer struct{}

// New returns the normalizer of Duo's logs. It has no state.
func New() ingest.Normalizer { return normalizer{} }

// Normalize implements ingest.Normalizer. The log is read off the row; the events
// share the bytes of r.Data as their raw record.
func (normalizer) Normalize(r ingest.Record) ([]event.Event, error) {
	if poll.IsSnapshot(r.Data) {
		return normalizeSnapshot(r)
	}
	var in record
	warning, err := lenient.Decode(r.Data, &in)
	if err != nil {
		return nil, err
	}
	b := build{in: &in, base: event.Event{Schema: event.SchemaVersion, Source: r.Source, Tenant: r.Tenant,
		Raw: r.Data, Observed: r.Observed, Outcome: event.Success}}
	if warning != "" {
		b.base.Warnings = []string{warning}
	}
	switch {
	case in.TelephonyID != "":
		return nil, ingest.Skip(ingest.SkipNoIdentity, "telephony "+string(in.Context))
	case in.ActivityID != "":
		err = b.activity()
	case in.EventType != "" || in.Factor != "" || in.Result != "":
		err = b.authentication()
	case in.Action != "":
		err = b.administrator()
	default:
		return nil, ingest.Malformed(ingest.MalformedShape, "row of none of the logs that are known")
	}
	if err != nil {
		return nil, err
	}
	return b.finish()
}

// build is one row on its way to events.
type build struct {
	in   *record
	base event.Event
	out  []event.Event
	// id is that of the row.
	id string
}

// event adds an event of kind k and returns it; the pointer is good until the
// next.
func (b *build) event(k event.Kind) *event.Event {
	e := b.base
	e.Kind = k
	e.Warnings = append([]string(nil), b.base.Warnings...)
	b.out = append(b.out, e)
	return &b.out[len(b.out)-1]
}

func (b *build) time(candidates ...lenient.Text) error {
	texts := make([]string, len(candidates))
	for i, c := range candidates {
		texts[i] = string(c)
	}
	at, err := lenient.EventTime(texts...)
	b.base.Time = at
	return err
}

// finish checks that the events have a ledger, and names them.
func (b *build) finish() ([]event.Event, error) {
	for i := range b.out {
		e := &b.out[i]
		switch e.Kind {
		case event.PolicyChange, event.AppChange, event.AppCredential, event.TrustChange, event.LoggingChange:
		default:
			switch {
			case e.Subject.ID == "" && e.Subject.Name == "", e.Subject.Type == typeSystem:
				return nil, ingest.Skip(ingest.SkipNoIdentity, e.Action)
			case e.Subject.Type == typeService:
				return nil, ingest.Skip(ingest.SkipMachine, e.Action)
			}
		}
		if e.ID = b.id; i > 0 {
			e.ID += "#" + strconv.Itoa(i)
		}
		e.Sanitize()
	}
	return b.out, nil
}

// The principal types of the contract.
const (
	typeUser    = "user"
	typeAdmin   = "admin"
	typeService = "service"
	typeSystem  = "system"
)

// person names a user. A login without a domain is nobody elsewhere, so the e-mail
// address is taken where there is one.
func person(key, name, email string) event.Principal {
	p := event.Principal{ID: lenient.Known(key), Name: lenient.Known(name), Type: typeUser}
	if email = lenient.Known(email); email != "" && !strings.Contains(p.Name, "@") {
		p.DisplayName, p.Name = p.Name, email
	}
	if p.ID == "" && p.Name == "" {
		return event.Principal{}
	}
	return p
}

// administrator names one by e-mail address where that is known, else by the
// display name that the log has.
func administrator(key, name, email string) event.Principal {
	p := event.Principal{ID: lenient.Known(key), Name: lenient.Known(name), Type: typeAdmin}
	if email = lenient.Known(email); email != "" {
		p.DisplayName, p.Name = p.Name, email
	}
	switch {
	case p.ID == "" && p.Name == "":
		return event.Principal{}
	case strings.EqualFold(name, "API") || strings.HasPrefix(name, "API ("):
		p.Type = typeService
	case strings.EqualFold(name, "System"):
		p.Type = typeSystem
	}
	return p
}

// place sets where the browser is and what it is.
func place(e *event.Event, a *accessDevice) {
	e.Endpoint = event.Endpoint{IP: string(a.IP), Country: ingest.CountryCode(lenient.Known(string(a.Location.Country))),
		Region: lenient.Known(string(a.Location.State)), City: lenient.Known(string(a.Location.City))}
	e.UserAgent = event.UserAgent{Browser: ingest.BrowserFamily(lenient.Known(string(a.Browser))), OS: ingest.OSFamily(lenient.Known(string(a.OS)))}
	if id, name := lenient.Known(string(a.Key)), lenient.Known(string(a.Hostname)); id != "" || name != "" {
		e.Device = &event.Device{ID: id, Name: name, OS: e.UserAgent.OS}
	}
}

func warn(e *event.Event, format string, args ...any) {
	e.Warnings = append(e.Warnings, fmt.Sprintf(format, args...))
}

// second is how the two logs that tell of an administrator's action agree on its
// time.
func second(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }
