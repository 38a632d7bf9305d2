package onelogin

import (
	"fmt"
	"strconv"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// stream is the one log that OneLogin has.
const stream = "events"

type normalizer struct{}

// New returns the normalizer of OneLogin events. It has no state.
func New() ingest.Normalizer { return normalizer{} }

// Normalize implements ingest.Normalizer: one record gives one event or none. The
// event shares the bytes of r.Data as its raw record.
func (normalizer) Normalize(r ingest.Record) ([]event.Event, error) {
	if poll.IsSnapshot(r.Data) {
		return normalizeSnapshot(r)
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
		b.warn(warning)
	}
	if !b.in.EventTypeID.Known {
		return nil, ingest.Malformed(ingest.MalformedMissing, "event has no event_type_id")
	}
	in := &b.in
	b.e.Tenant = lenient.First(r.Tenant, lenient.Known(string(in.AccountID)))
	b.e.Action = strconv.FormatInt(in.EventTypeID.N, 10)
	b.e.Outcome = event.Success
	b.e.Reason = lenient.First(lenient.Known(string(in.ErrorDescription)), lenient.Known(string(in.CustomMessage)))
	b.e.Subject, b.e.Actor = in.principals()
	if err := b.dispatch(); err != nil {
		return nil, err
	}
	if b.e.Time, err = lenient.EventTime(string(in.EventTimestamp), string(in.CreatedAt), string(in.ExportTime)); err != nil {
		return nil, err
	}
	if err := b.belongs(); err != nil {
		return nil, err
	}
	b.e.Endpoint.IP = lenient.Address(string(in.IPAddr))
	b.e.UserAgent = ingest.ParseUserAgent(lenient.Known(string(in.UserAgent)))
	if f := lenient.Known(string(in.Fingerprint)); f != "" {
		b.e.Device = &event.Device{Fingerprint: f}
	}
	if b.e.App == nil {
		b.e.App = in.app()
	}
	id := lenient.First(string(in.UUID), string(in.Create.ID), string(in.ID))
	if b.e.ID = lenient.ID(id, b.e.Action, b.e.Time.String(), b.e.Subject.ID, b.e.Subject.Name, string(in.Notes)); id == "" {
		b.warn("no id: it is a digest of type, time, user and notes")
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

// belongs checks that the event has a ledger it belongs to.
func (b *build) belongs() error {
	switch b.e.Kind {
	case event.PolicyChange, event.TrustChange, event.LoggingChange, event.AppCredential, event.AppChange:
		b.e.Subject = b.e.Actor // whoever made the change
		return nil
	}
	if b.e.Subject.IsZero() {
		b.e.Subject = b.e.Actor
	}
	if b.e.Subject.IsZero() || b.e.Subject.Type != typeUser {
		return ingest.Skip(ingest.SkipNoIdentity, b.e.Action)
	}
	return nil
}

func result(o event.Outcome) event.Result {
	switch o {
	case event.Success:
		return event.Verified
	case event.Challenged:
		return event.Pending
	}
	return event.Failed
}

// signIn reads the password from the steps of the sign-in, and who proved the
// person where it was somebody else. Which second factor there was is told by an
// event of its own; that there was one is told here, lest the sign-in be taken for
// one by password alone.
func (b *build) signIn(o event.Outcome) error {
	b.e.Kind, b.e.Outcome = event.SignIn, o
	b.e.Risk = b.risk()
	if idp := lenient.First(lenient.Known(string(b.in.TrustedIDPName)), lenient.Known(string(b.in.TrustedIDPID))); idp != "" {
		b.federated(idp)
		return nil
	}
	for _, step := range b.in.transitions() {
		switch step {
		case "password":
			b.password()
		case "mfa_login": // which one, another event may say
			f := event.NewFactor(event.MethodUnknown, result(o))
			f.Step, f.Detail = event.StepSecondary, step
			b.e.Factors = append(b.e.Factors, f)
		}
	}
	return nil
}

func (b *build) federated(idp string) {
	f := event.NewFactor(event.MethodFederated, result(b.e.Outcome))
	f.Step, f.Provider = event.StepPrimary, idp
	b.e.Factors = append(b.e.Factors, f)
}

func (b *build) password() {
	f := event.NewFactor(event.MethodPassword, result(b.e.Outcome))
	f.Step = event.StepPrimary
	b.e.Factors = append(b.e.Factors, f)
}

// risk is OneLogin's score of the sign-in, 0 to 100; its levels are no part of the
// event.
func (b *build) risk() *event.Risk {
	if !b.in.RiskScore.Known {
		return nil
	}
	detail := fmt.Sprintf("score %d", b.in.RiskScore.N)
	if reasons := strings.ReplaceAll(strings.TrimSpace(string(b.in.RiskReasons)), "\n", "; "); reasons != "" {
		detail += ": " + reasons
	}
	return &event.Risk{Type: "risk_score", Detail: detail}
}

// factor is a second factor that was asked for, shown or refused.
func (b *build) factor(o event.Outcome, r event.Result) error {
	b.e.Kind, b.e.Outcome = event.FactorChallenge, o
	m, name := b.method()
	f := event.NewFactor(m, r)
	f.Step, f.Detail, f.CredentialID = event.StepSecondary, name, lenient.Known(string(b.in.OTPDeviceID))
	if m == event.MethodDelegated {
		f.Provider = "duo"
	}
	if r == event.Pending {
		f.Fresh = false
	}
	b.e.Factors = []event.Factor{f}
	b.e.Risk = b.risk()
	return nil
}

// method reads which factor it is about.
func (b *build) method() (event.Method, string) {
	name := b.in.factorName()
	m, ok := methodOf(name)
	switch {
	case name == "":
		b.warn("no factor is named")
	case !ok:
		b.warn("unknown factor " + strconv.Quote(name))
	}
	return m, name
}

func (b *build) authenticator(k event.Kind) error {
	b.e.Kind = k
	m, name := b.method()
	a := event.NewAuthenticator(m)
	a.ID, a.Name = lenient.Known(string(b.in.OTPDeviceID)), lenient.First(lenient.Known(string(b.in.OTPDeviceName)), name)
	b.e.Authenticators = []event.Authenticator{a}
	return nil
}

// passwordSet is a reset where somebody else did it, always where by says so.
func (b *build) passwordSet(byAdmin bool) error {
	b.e.Kind = event.PasswordChange
	if byAdmin || b.e.ByOther() {
		b.e.Kind = event.PasswordReset
		b.e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted}
	}
	return nil
}

func (b *build) recovery(stage event.RecoveryStage) error {
	b.e.Kind = event.RecoveryActivity
	b.e.Recovery = &event.Recovery{Stage: stage, SelfService: !b.e.ByOther()}
	return nil
}

func (b *build) role(name lenient.Text, granted, privileged bool) error {
	b.e.Kind = event.RoleChange
	b.e.Role = &event.Role{Granted: granted, Privileged: privileged}
	if n := lenient.Known(string(name)); n != "" {
		b.e.Role.Roles = []string{n}
	}
	return nil
}

// policy is a change of the account's settings.
func (b *build) policy(k event.Kind, kind, change string, weakened ...event.Weakening) error {
	b.e.Kind = k
	b.e.Policy = &event.Policy{ID: lenient.Known(string(b.in.PolicyID)), Type: kind, Change: change, Weakened: weakened,
		Name: lenient.First(lenient.Known(string(b.in.PolicyName)), b.in.factorName(), lenient.Known(string(b.in.TrustedIDPName))), After: lenient.Known(string(b.in.Notes))}
	return nil
}
