package google

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// The logs: applications of the Reports API, and streams of an event.
const (
	streamLogin    = "login"
	streamAccounts = "user_accounts"
	streamToken    = "token"
	streamAdmin    = "admin"
	streamSAML     = "saml"
	streamAccess   = "context_aware_access"
)

type normalizer struct{}

// New returns the normalizer of Workspace records. It has no state.
func New() ingest.Normalizer { return normalizer{} }

// Normalize implements ingest.Normalizer: an activity gives one event for each of
// its events that says something of authentication. The events share the bytes of
// r.Data as their raw record.
func (normalizer) Normalize(r ingest.Record) ([]event.Event, error) {
	if poll.IsSnapshot(r.Data) {
		return normalizeSnapshot(r)
	}
	var in record
	warning, err := lenient.Decode(r.Data, &in)
	if err != nil {
		return nil, err
	}
	a, err := open(r, &in)
	if err != nil {
		return nil, err
	}
	if warning != "" {
		a.base.Warnings = append(a.base.Warnings, warning)
	}
	return a.events()
}

// log is one activity on its way to events.
type log struct {
	// base has what all of the events share.
	base   event.Event
	parts  []activity
	prefix []string // what names the activity in the id of an event
	insert string   // the id that Cloud Logging gave it
}

// open reads what the shapes have in common.
func open(r ingest.Record, in *record) (*log, error) {
	if in.Payload != nil {
		return openEntry(r, in)
	}
	app := lenient.First(string(in.ID.Application), r.Stream)
	if len(in.Events) == 0 {
		return nil, ingest.Malformed(ingest.MalformedMissing, "activity has no events")
	}
	at, err := lenient.EventTime(string(in.ID.Time))
	if err != nil {
		return nil, err
	}
	ip := lenient.Address(string(in.IPAddress))
	l := &log{parts: in.Events, base: event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Stream: app, Raw: r.Data, Observed: r.Observed, Time: at,
		Tenant: lenient.First(r.Tenant, string(in.ID.Customer)), Actor: principal(&in.Actor),
		Endpoint: event.Endpoint{IP: ip, Country: ingest.CountryCode(string(in.Network.Region)), Region: string(in.Network.Subdivision)},
	}}
	if len(in.Network.ASN) > 0 {
		l.base.Endpoint.ASN = lenient.ASN(in.Network.ASN[0])
	}
	l.prefix = []string{string(in.ID.Customer), at.Format(time.RFC3339Nano), ip, string(in.Actor.Profile) + string(in.Actor.Email),
		app, string(in.ID.Qualifier)}
	return l, nil
}

// openEntry reads an entry of Cloud Logging.
func openEntry(r ingest.Record, in *record) (*log, error) {
	p := in.Payload
	at, err := lenient.EventTime(string(p.Metadata.ActivityID.TimeUsec), string(in.Timestamp))
	if err != nil {
		return nil, err
	}
	app := applicationOf(string(p.Service), string(p.Method))
	if app == "" {
		return nil, ingest.Skip(ingest.SkipIrrelevant, string(p.Service))
	}
	if len(p.Metadata.Events) == 0 {
		return nil, ingest.Malformed(ingest.MalformedMissing, "log entry has no metadata.event")
	}
	ip := lenient.Address(string(p.Request.IP))
	who := actor{Email: p.Authentication.Email}
	l := &log{parts: p.Metadata.Events, base: event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Stream: app, Raw: r.Data, Observed: r.Observed, Time: at,
		Tenant: lenient.First(r.Tenant, string(p.Resource)), Actor: principal(&who), Endpoint: event.Endpoint{IP: ip},
	}}
	l.prefix = []string{string(p.Resource), at.Format(time.RFC3339Nano), ip, string(who.Email), app, string(p.Metadata.ActivityID.Qualifier)}
	if in.InsertID != "" {
		l.insert = string(in.InsertID) + "@" + at.Format(time.RFC3339Nano)
	}
	for i := range l.parts {
		e := &l.parts[i]
		e.Type, e.Name, e.Parameters = e.EventType, e.EventName, e.Parameter
	}
	return l, nil
}

// applicationOf returns the application of the Reports API that an entry of Cloud
// Logging belongs to; "" for logs that say nothing of authentication.
func applicationOf(service, method string) string {
	switch service {
	case "login.googleapis.com":
		if strings.Contains(method, "Saml") {
			return streamSAML
		}
		return streamLogin
	case "admin.googleapis.com":
		return streamAdmin
	case "oauth2.googleapis.com":
		return streamToken
	}
	return ""
}

// The principal types of the contract.
const (
	typeUser    = "user"
	typeService = "service"
	typeSystem  = "system"
)

func principal(a *actor) event.Principal {
	p := event.Principal{ID: lenient.Known(string(a.Profile)), Name: lenient.Known(string(a.Email)), Type: typeUser}
	switch {
	case p.Name != "":
	case strings.EqualFold(string(a.Key), "SYSTEM"):
		return event.Principal{ID: string(a.Key), Type: typeSystem}
	case a.CallerType == "KEY" && a.Key != "":
		return event.Principal{ID: string(a.Key), Type: typeService}
	case p.ID == "":
		return event.Principal{}
	}
	return p
}

// events makes the events of all parts. A part that says nothing of authentication
// costs the others nothing; where none says anything, the first reason stands.
func (l *log) events() ([]event.Event, error) {
	var out []event.Event
	var reason error
	seen := map[string]int{}
	for i := range l.parts {
		p := part{log: l, activity: &l.parts[i]}
		e, err := p.event()
		if err != nil {
			if _, skip := errors.AsType[*ingest.SkipError](err); !skip {
				return nil, err
			}
			if reason == nil {
				reason = err
			}
			continue
		}
		e.ID = p.id()
		seen[e.ID]++
		if n := seen[e.ID]; n > 1 {
			e.ID += "#" + strconv.Itoa(n-1)
		}
		e.Sanitize()
		out = append(out, e)
	}
	if len(out) == 0 {
		return nil, reason
	}
	return out, nil
}

// part is one event of an activity.
type part struct {
	*log
	*activity
}

func (p *part) id() string {
	if p.insert != "" {
		return lenient.ID(p.insert, string(p.Name))
	}
	prefix := p.prefix
	if changesAccount(string(p.Name)) {
		prefix = prefix[:4] // without log and qualifier: login and user_accounts tell of it
	}
	return lenient.Digest(append(append(make([]string, 0, 8), prefix...), string(p.Name), canonical(p.Parameters))...)
}

// event dispatches by log; what it returns lacks only its id.
func (p *part) event() (event.Event, error) {
	e := p.base
	e.Action = string(p.Name)
	if e.Action == "" {
		return e, ingest.Malformed(ingest.MalformedMissing, "event of an activity has no name")
	}
	e.Warnings = append([]string(nil), p.base.Warnings...)
	e.Subject, e.Outcome = e.Actor, event.Success
	var err error
	switch e.Stream {
	case streamLogin, streamAccounts:
		err = p.login(&e)
	case streamSAML:
		err = p.saml(&e)
	case streamAccess:
		err = p.access(&e)
	case streamToken:
		err = p.token(&e)
	case streamAdmin:
		err = p.admin(&e)
	default:
		err = ingest.Skip(ingest.SkipIrrelevant, e.Stream)
	}
	if err != nil {
		return e, err
	}
	return e, belongs(&e)
}

// belongs checks that the event has a ledger it belongs to.
func belongs(e *event.Event) error {
	switch e.Kind {
	case event.PolicyChange, event.TrustChange, event.AppChange, event.AppCredential:
		return nil // of the actor, else of the tenant
	}
	switch {
	case e.Subject.IsZero(), e.Subject.Type == typeSystem:
		return ingest.Skip(ingest.SkipNoIdentity, e.Action)
	case e.Subject.Type == typeService:
		return ingest.Skip(ingest.SkipMachine, e.Action)
	}
	return nil
}

// param returns the parameter of that name, nil when there is none.
func (a *activity) param(name string) *parameter {
	for i := range a.Parameters {
		if a.Parameters[i].Name == lenient.Text(name) {
			return &a.Parameters[i]
		}
	}
	return nil
}

// value returns the first of the parameters that has a value, "" when none has.
func (a *activity) value(names ...string) string {
	for _, name := range names {
		if p := a.param(name); p != nil {
			if s := lenient.Known(p.text()); s != "" {
				return s
			}
		}
	}
	return ""
}

func (a *activity) list(name string) []string {
	if p := a.param(name); p != nil {
		return p.list()
	}
	return nil
}

func (a *activity) isTrue(name string) bool {
	p := a.param(name)
	return p != nil && (p.Bool == lenient.True || strings.EqualFold(string(p.Value), "true"))
}

func warn(e *event.Event, format string, args ...any) {
	e.Warnings = append(e.Warnings, fmt.Sprintf(format, args...))
}
