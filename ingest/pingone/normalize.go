package pingone

import (
	"slices"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// The streams.
const (
	streamAudit  = "audit"
	streamPingID = "pingid"
)

type normalizer struct{}

// New returns the normalizer of PingOne and PingID records. It has no state.
func New() ingest.Normalizer { return normalizer{} }

// Normalize implements ingest.Normalizer: one record gives one event or none. The
// event shares the bytes of r.Data as its raw record.
func (normalizer) Normalize(r ingest.Record) ([]event.Event, error) {
	if poll.IsSnapshot(r.Data) {
		return normalizeSnapshot(r)
	}
	events := []event.Event{{
		Schema: event.SchemaVersion, Source: r.Source, Stream: streamAudit, Observed: r.Observed, Raw: r.Data,
	}}
	b := build{e: &events[0]}
	if err := b.decode(r.Data); err != nil {
		return nil, err
	}
	b.e.Tenant = lenient.First(r.Tenant, b.in.environment())
	b.e.Action = string(b.in.Action.Type)
	b.e.Reason = lenient.First(lenient.Known(string(b.in.Result.Description)), lenient.Known(string(b.in.Result.Message)))
	var err error
	if b.in.Source.Name != "" {
		err = b.push()
	} else {
		err = b.activity()
	}
	if err != nil {
		return nil, err
	}
	if b.e.ID = lenient.ID(string(b.in.ID), b.e.Action, b.e.Time.String(), b.e.Subject.ID, b.e.Subject.Name); b.in.ID == "" {
		b.warn("no id: it is a digest of action, time and user")
	}
	b.e.Sanitize()
	return events, nil
}

// build is one record on its way to an event.
type build struct {
	in activity
	e  *event.Event
}

func (b *build) decode(data []byte) error {
	warning, err := lenient.Decode(data, &b.in)
	if err == nil && b.in.Action.Type == "" && len(b.in.Event) > 0 {
		inner := b.in.Event
		b.in = activity{}
		warning, err = lenient.Decode(inner, &b.in)
	}
	if err != nil {
		return err
	}
	if warning != "" {
		b.warn(warning)
	}
	if b.in.Action.Type == "" {
		return ingest.Malformed(ingest.MalformedMissing, "activity has no action.type")
	}
	return nil
}

func (b *build) warn(s string) { b.e.Warnings = append(b.e.Warnings, s) }

// activity reads an activity of PingOne.
func (b *build) activity() error {
	b.e.Outcome = outcomeOf(b.e.Action, string(b.in.Result.Status))
	b.principals()
	if err := b.dispatch(); err != nil {
		return err
	}
	var err error
	if b.e.Time, err = lenient.EventTime(string(b.in.RecordedAt), string(b.in.CreatedAt)); err != nil {
		return err
	}
	b.e.Endpoint.IP = lenient.Address(string(b.in.Source.IP))
	b.e.UserAgent = ingest.ParseUserAgent(lenient.Known(string(b.in.Source.UserAgent)))
	return b.belongs()
}

// principals sets Subject to the user among the resources, else to the actor, and
// Actor to the user who acted, else to the program. An activity without an actor is
// the person's own.
func (b *build) principals() {
	b.e.Subject = b.in.user()
	if u := person(&b.in.Actors.User); !u.IsZero() {
		b.e.Actor = u
	} else if c := person(&b.in.Actors.Client); !c.IsZero() {
		c.Type = typeService
		b.e.Actor = c
	}
	if b.e.Subject.IsZero() {
		b.e.Subject = b.e.Actor
	}
	if b.e.Subject.ID == b.e.Actor.ID && b.e.Subject.Name == "" {
		b.e.Subject.Name = b.e.Actor.Name
	}
	if slices.Contains(b.in.Tags, "adminIdentityEvent") && b.e.Subject.Type == typeUser {
		b.e.Subject.Type = typeAdmin
	}
}

// belongs checks that the event has a ledger it belongs to.
func (b *build) belongs() error {
	switch b.e.Kind {
	case event.PolicyChange, event.TrustChange, event.LoggingChange, event.AppCredential, event.AppChange,
		event.ConsentGrant, event.ConsentRevoke:
		if b.e.Kind != event.ConsentGrant && b.e.Kind != event.ConsentRevoke {
			b.e.Subject = b.e.Actor // whoever made the change
		}
		return nil
	}
	switch {
	case b.e.Subject.IsZero():
		return ingest.Skip(ingest.SkipNoIdentity, b.e.Action)
	case b.e.Subject.Type == typeService:
		return ingest.Skip(ingest.SkipMachine, b.e.Action)
	}
	return nil
}

// outcomeOf reads the suffix of the action first: a check that failed has the status
// SUCCESS, since the activity itself succeeded.
func outcomeOf(action, status string) event.Outcome {
	switch {
	case strings.HasSuffix(action, "_DENIED"), strings.HasSuffix(action, ".DECLINED"), strings.HasSuffix(action, ".REJECTED"):
		return event.Denied
	case strings.HasSuffix(action, "_FAILED"), strings.HasSuffix(action, "_FAILURE"), strings.HasSuffix(action, "_INVALID"):
		return event.Failure
	case strings.HasSuffix(action, "_SUCCEEDED"), strings.HasSuffix(action, "_SUCCESS"), strings.HasSuffix(action, "_ALLOWED"):
		return event.Success
	}
	switch strings.ToUpper(status) {
	case "SUCCESS":
		return event.Success
	case "FAILED", "FAILURE":
		return event.Failure
	}
	return event.OutcomeUnknown
}

func result(o event.Outcome) event.Result {
	switch o {
	case event.Success:
		return event.Verified
	case event.OutcomeUnknown:
		return event.Pending
	}
	return event.Failed
}

// push reads an event of a push subscription of PingOne for Enterprise. Its times
// have been documented with the day before the month.
func (b *build) push() error {
	b.e.Stream = streamPingID
	var err error
	if b.e.Time, err = lenient.EventTime(string(b.in.Recorded)); err != nil {
		r := string(b.in.Recorded)
		if len(r) < len("2006-01-02") {
			return err
		}
		t, ok := lenient.Time(r[:5] + r[8:10] + "-" + r[5:7] + r[10:])
		if !ok {
			return err
		}
		b.e.Time = t
		b.warn("recorded has the day before the month")
	}
	b.e.Actor = person(&b.in.Actors.User)
	b.e.Subject = b.e.Actor
	first, _, _ := strings.Cut(string(b.in.Client.IPAddress), ",")
	b.e.Endpoint.IP = lenient.Address(first)
	b.e.UserAgent = ingest.ParseUserAgent(lenient.Known(string(b.in.Client.ID)))
	if b.e.Subject.IsZero() {
		return ingest.Skip(ingest.SkipNoIdentity, string(b.in.Source.Name))
	}
	status, _, _ := strings.Cut(strings.ToUpper(string(b.in.Result.Status)), ",")
	switch status {
	case "SUCCESS":
		b.e.Outcome = event.Success
	case "FAILURE", "FAILED", "UNSUCCESSFUL_ATTEMPT":
		b.e.Outcome = event.Failure
	default:
		// POLICY is what the policy thought, queue and delivery are e-mail on its way.
		return ingest.Skip(ingest.SkipIntermediate, string(b.in.Source.Name)+" "+status)
	}
	switch strings.ToUpper(string(b.in.Source.Name)) {
	case "ADMINISTRATOR_LOGIN":
		b.e.Kind, b.e.App = event.SignIn, &event.App{Name: "PingOne for Enterprise", Admin: true}
		b.e.Factors = []event.Factor{b.namedFactor(string(b.in.Action.Type))}
		return nil
	case "PINGID":
		b.pingID()
		return nil
	}
	return ingest.Skip(ingest.SkipIrrelevant, string(b.in.Source.Name))
}

// pingID reads what PingID did: a second factor, or a device that was paired.
func (b *build) pingID() {
	text := strings.ToLower(b.e.Action + " " + b.e.Reason)
	m, ok := methodOf(b.e.Action)
	name := b.e.Action
	if !ok {
		m, name = methodIn(b.e.Reason)
	}
	switch {
	case strings.Contains(text, "unpair"):
		b.e.Kind, b.e.Authenticators = event.AuthenticatorRemoved, []event.Authenticator{event.NewAuthenticator(m)}
	case hasWord(text, "paired"), hasWord(text, "pairing"):
		b.e.Kind, b.e.Authenticators = event.AuthenticatorEnrolled, []event.Authenticator{event.NewAuthenticator(m)}
	default:
		b.e.Kind = event.FactorChallenge
		f := event.NewFactor(m, result(b.e.Outcome))
		f.Step, f.Detail = event.StepSecondary, name
		b.e.Factors = []event.Factor{f}
	}
	if m == event.MethodUnknown {
		b.warn("no method is named")
	}
}

func (b *build) namedFactor(name string) event.Factor {
	m, ok := methodOf(name)
	if !ok {
		b.warn("unknown factor " + name)
	}
	f := event.NewFactor(m, result(b.e.Outcome))
	f.Detail = name
	if m == event.MethodPassword {
		f.Step = event.StepPrimary
	}
	return f
}
