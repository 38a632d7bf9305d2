package workos

import (
	"slices"
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// streamEvents is the one log that WorkOS has.
const streamEvents = "events"

type normalizer struct{}

// New returns the normalizer of events and of snapshots of a user's factors. It has
// no state.
func New() ingest.Normalizer { return normalizer{} }

// Normalize implements ingest.Normalizer: one record gives one event or none. The
// event shares the bytes of r.Data as its raw record.
func (normalizer) Normalize(r ingest.Record) ([]event.Event, error) {
	if poll.IsSnapshot(r.Data) {
		return snapshot(r)
	}
	b := build{e: event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Tenant: r.Tenant, Stream: streamEvents, Observed: r.Observed, Raw: r.Data,
	}}
	warning, err := lenient.Decode(r.Data, &b.in)
	if err != nil {
		return nil, err
	}
	if warning != "" {
		b.e.Warnings = append(b.e.Warnings, warning)
	}
	if b.in.Event == "" {
		return nil, ingest.Malformed(ingest.MalformedMissing, "event has no type")
	}
	b.e.Action, b.e.Outcome = string(b.in.Event), event.Success
	b.principals()
	if err := b.dispatch(); err != nil {
		return nil, err
	}
	if b.e.Time, err = lenient.EventTime(string(b.in.CreatedAt)); err != nil {
		return nil, err
	}
	d := &b.in.Data
	b.e.ID = lenient.ID(string(b.in.ID), string(b.in.Event), string(b.in.CreatedAt), string(d.ID), string(d.UserID), string(d.Email), string(d.IPAddress))
	b.e.Endpoint.IP = lenient.Address(string(d.IPAddress))
	b.e.UserAgent = ingest.ParseUserAgent(lenient.Known(string(d.UserAgent)))
	if b.e.App == nil && b.in.Context.ClientID != "" {
		b.e.App = &event.App{ID: string(b.in.Context.ClientID)}
	}
	if b.e.Reason == "" {
		b.e.Reason = lenient.First(string(d.Error.Code), string(d.Error.Message))
	}
	if b.e.Subject.IsZero() && !ofTenant(b.e.Kind) {
		return nil, ingest.Skip(ingest.SkipNoIdentity, b.e.Action)
	}
	b.e.Sanitize()
	return []event.Event{b.e}, nil
}

// ofTenant reports whether events of the kind need no subject: they belong to
// whoever made the change, else to the environment.
func ofTenant(k event.Kind) bool {
	switch k {
	case event.PolicyChange, event.TrustChange, event.LoggingChange, event.AppChange, event.AppCredential:
		return true
	}
	return false
}

// build is one record on its way to an event.
type build struct {
	in wireEvent
	e  event.Event
}

// The principal types of the contract.
const (
	typeUser    = "user"
	typeAdmin   = "admin"
	typeService = "service"
)

func user(id, email string) event.Principal {
	p := event.Principal{ID: lenient.Known(id), Name: lenient.Known(email)}
	if !p.IsZero() {
		p.Type = typeUser
	}
	return p
}

// principals sets the user of the event as subject, and whom the context names as
// actor: for a step of a sign-in without one it is the user.
func (b *build) principals() {
	d := &b.in.Data
	b.e.Subject = user(string(d.UserID), lenient.First(string(d.Email), string(b.in.UserEmail)))
	a := &b.in.Context.Actor
	switch {
	case a.ID == "" && !strings.HasPrefix(b.e.Action, "authentication.") && b.e.Action != "session.created":
		return
	case a.ID == "" || string(a.ID) == b.e.Subject.ID:
		b.e.Actor = b.e.Subject
		return
	}
	b.e.Actor = event.Principal{ID: string(a.ID), DisplayName: string(a.Name), Type: typeService}
	switch {
	case a.Source == "dashboard":
		b.e.Actor.Type = typeAdmin
	case strings.HasPrefix(string(a.ID), "user_"):
		b.e.Actor.Type = typeUser
	}
}

// dispatch gives the event to what reads its type.
func (b *build) dispatch() error {
	t := string(b.in.Event)
	switch t {
	case "session.created":
		return b.session()
	case "session.revoked":
		b.e.Kind, b.e.SessionID = event.SessionEnd, string(b.in.Data.ID)
		return nil
	case "authentication.sso_started":
		return b.skip(ingest.SkipIntermediate)
	case "authentication.sso_timed_out":
		b.e.Kind, b.e.Outcome = event.SignIn, event.Abandoned
		b.factor(event.MethodFederated, event.Unanswered, event.StepPrimary)
		return nil
	case "authentication.radar_risk_detected":
		return b.radar()
	case "action.authentication.denied":
		b.e.Kind, b.e.Outcome, b.e.Reason = event.SignIn, event.Denied, string(b.in.Data.Verdict)
		return nil
	case "action.user_registration.denied":
		b.e.Kind, b.e.Outcome, b.e.Reason = event.UserLifecycle, event.Denied, string(b.in.Data.Verdict)
		return nil
	case "magic_auth.created", "email_verification.created", "radar.challenge_created":
		b.e.Kind, b.e.Outcome = event.FactorChallenge, event.Challenged
		b.factor(event.MethodEmailCode, event.Pending, event.StepUnknown)
		return nil
	case "password_reset.created":
		b.e.Kind = event.RecoveryActivity
		b.e.Recovery = &event.Recovery{Stage: event.RecoveryStarted, Method: event.MethodEmailLink, SelfService: !b.e.ByOther()}
		return nil
	case "password_reset.succeeded":
		b.e.Kind = event.PasswordReset
		b.e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted, SelfService: !b.e.ByOther()}
		return nil
	case "user.created", "user.deleted":
		return b.account()
	case "user.updated":
		return b.accountUpdated()
	case "invitation.created", "invitation.accepted", "invitation.revoked":
		return b.invitation()
	case "organization_membership.created", "organization_membership.updated", "organization_membership.deleted":
		return b.membership()
	case "dsync.user.created", "dsync.user.updated", "dsync.user.deleted":
		return b.directoryUser()
	case "dsync.group.user_added", "dsync.group.user_removed":
		return b.directoryGroup()
	case "role.created", "role.updated", "role.deleted", "organization_role.created", "organization_role.updated", "organization_role.deleted",
		"permission.created", "permission.updated", "permission.deleted":
		return b.policy(event.PolicyChange)
	case "connection.activated", "connection.deactivated", "connection.deleted", "connection.saml_certificate_renewed",
		"dsync.activated", "dsync.deleted", "organization_domain.created", "organization_domain.verified", "organization_domain.deleted":
		return b.policy(event.TrustChange)
	case "api_key.created", "api_key.updated", "api_key.revoked", "dsync.token.created", "dsync.token.revoked", "agent.registration.credential.issued":
		return b.credential()
	case "agent.registration.created", "agent.registration.revoked", "agent.registration.deleted":
		b.e.Kind, b.e.App = event.AppChange, &event.App{ID: string(b.in.Data.ID), Name: string(b.in.Data.Name)}
		return nil
	case "pipes.connected_account.connected":
		return b.connected(event.ConsentGrant)
	case "pipes.connected_account.disconnected":
		return b.connected(event.ConsentRevoke)
	}
	if step, ok := strings.CutPrefix(t, "authentication."); ok {
		return b.authentication(step)
	}
	return b.skip(ingest.SkipIrrelevant)
}

func (b *build) skip(reason ingest.SkipReason) error {
	return ingest.Skip(reason, strings.ToValidUTF8(b.e.Action[:min(len(b.e.Action), 64)], ""))
}

func (b *build) factor(m event.Method, r event.Result, step event.Step) {
	f := event.NewFactor(m, r)
	f.Fresh = f.Fresh && r == event.Verified
	f.Step = step
	f.Detail = lenient.First(string(b.in.Data.AuthMethod), string(b.in.Data.Type))
	if m == event.MethodFederated {
		f.Provider = lenient.First(string(b.in.Data.SSO.ConnectionID), string(b.in.Data.Type))
	}
	b.e.Factors = append(b.e.Factors, f)
}

// methodOf reads a method as the steps and the sessions name it.
func methodOf(name string) (event.Method, bool) {
	switch name {
	case "passkey":
		return event.MethodPasskey, true
	case "password":
		return event.MethodPassword, true
	case "magic_auth", "magic_code", "email_verification":
		return event.MethodEmailCode, true
	case "oauth", "sso", "external_auth", "cross_app_auth":
		return event.MethodFederated, true
	case "mfa", "reauthentication", "migrated_session", "unknown":
		return event.MethodUnknown, true
	}
	return event.MethodUnknown, false
}

// authentication is a step: "passkey_succeeded", "mfa_failed". A first step that
// failed is a sign-in that did.
func (b *build) authentication(step string) error {
	name, ok := strings.CutSuffix(step, "_succeeded")
	result := event.Verified
	b.e.Kind = event.FactorChallenge
	if !ok {
		if name, ok = strings.CutSuffix(step, "_failed"); !ok {
			return b.skip(ingest.SkipIrrelevant)
		}
		result, b.e.Outcome = event.Failed, event.Failure
	}
	m, known := methodOf(name)
	if !known {
		b.e.Warnings = append(b.e.Warnings, "method not known: "+name)
	}
	place := event.StepPrimary
	switch name {
	case "mfa", "email_verification":
		place = event.StepSecondary
	case "reauthentication":
		place = event.StepUnknown
	default:
		if result == event.Failed {
			b.e.Kind = event.SignIn
		}
	}
	b.factor(m, result, place)
	return nil
}

// session is the session that a sign-in ends with.
func (b *build) session() error {
	d := &b.in.Data
	b.e.SessionID = string(d.ID)
	if d.Impersonator != nil || d.AuthMethod == "impersonation" {
		b.e.Kind, b.e.Actor = event.Impersonation, event.Principal{}
		if d.Impersonator != nil {
			b.e.Actor = event.Principal{Name: string(d.Impersonator.Email), Type: typeAdmin}
			b.e.Reason = string(d.Impersonator.Reason)
		}
		return nil
	}
	b.e.Kind = event.SignIn
	if d.AuthMethod == "" {
		return nil
	}
	m, ok := methodOf(string(d.AuthMethod))
	if !ok {
		b.e.Warnings = append(b.e.Warnings, "method not known: "+string(d.AuthMethod))
	}
	b.factor(m, event.Verified, event.StepPrimary)
	return nil
}

// radar is WorkOS's own verdict on a request.
func (b *build) radar() error {
	d := &b.in.Data
	b.e.Kind, b.e.Outcome = event.RiskDetection, event.OutcomeUnknown
	switch d.Control {
	case "block":
		b.e.Outcome = event.Denied
	case "challenge":
		b.e.Outcome = event.Challenged
	}
	b.e.Risk = &event.Risk{Type: "radar", State: string(d.Control),
		Detail: strings.Trim(string(d.Action)+" "+string(d.AuthMethod)+" "+string(d.BlocklistType), " ")}
	return nil
}

func (b *build) account() error {
	b.e.Kind = event.UserLifecycle
	b.ofObject(b.in.Data.Email)
	return nil
}

// ofObject makes the user that data is about the subject, known by email.
func (b *build) ofObject(email lenient.Text) {
	self := b.in.Context.Actor.ID != "" && b.in.Context.Actor.ID == b.in.Data.ID
	b.e.Subject = user(string(b.in.Data.ID), string(email))
	if self {
		b.e.Actor = b.e.Subject
	}
}

// accountUpdated: of a user's attributes only the address matters, which a reset of
// the password goes to. The person is still known by the one before.
func (b *build) accountUpdated() error {
	var was previous
	if len(b.in.Context.Previous) > 0 && json.Unmarshal(b.in.Context.Previous, &was) != nil || was.Email == "" {
		return b.skip(ingest.SkipIrrelevant)
	}
	b.ofObject(was.Email)
	b.e.Kind = event.ContactChange
	b.e.Contact = &event.Contact{Kind: "email", Primary: true, Value: string(b.in.Data.Email)}
	return nil
}

// invitation is about whom it went to.
func (b *build) invitation() error {
	d := &b.in.Data
	b.e.Kind = event.UserLifecycle
	b.e.Subject = user(string(d.AcceptedUserID), string(d.Email))
	if b.e.Actor.IsZero() {
		b.e.Actor = user(string(d.InviterUserID), "")
	}
	return nil
}

// membership gives a role within an organization. They are roles of the tenant's
// application; none of them administers WorkOS.
func (b *build) membership() error {
	d := &b.in.Data
	r := event.Role{Granted: b.e.Action != "organization_membership.deleted" && d.Status != "inactive"}
	for _, role := range append([]role{d.Role}, d.Roles...) {
		if name := string(d.OrganizationID) + "/" + string(role.Slug); role.Slug != "" && !slices.Contains(r.Roles, name) {
			r.Roles = append(r.Roles, name)
		}
	}
	if len(r.Roles) == 0 {
		r.Roles = []string{string(d.OrganizationID)}
	}
	r.Eligible = d.Status == "pending"
	b.e.Kind, b.e.Role = event.RoleChange, &r
	return nil
}

func primary(email string, list []address) string {
	if email != "" {
		return email
	}
	for _, a := range list {
		if a.Primary == lenient.True || len(list) == 1 {
			return string(a.Value)
		}
	}
	return ""
}

// directoryUser is a user of a customer's directory, which is the actor.
func (b *build) directoryUser() error {
	d := &b.in.Data
	b.e.Kind = event.UserLifecycle
	b.e.Subject = user(string(d.ID), primary(string(d.Email), d.Emails))
	return nil
}

func (b *build) directoryGroup() error {
	d := &b.in.Data
	b.e.Kind = event.RoleChange
	b.e.Subject = user(string(d.User.ID), primary(string(d.User.Email), d.User.Emails))
	b.e.Role = &event.Role{Roles: []string{lenient.First(string(d.Group.Name), string(d.Group.ID))}, Granted: b.e.Action == "dsync.group.user_added"}
	return nil
}

// policy is a change of what the environment trusts or allows.
func (b *build) policy(k event.Kind) error {
	d := &b.in.Data
	object, verb := b.e.Action[:strings.LastIndexByte(b.e.Action, '.')], b.e.Action[strings.LastIndexByte(b.e.Action, '.')+1:]
	p := event.Policy{ID: lenient.First(string(d.ID), string(d.Slug)), Name: lenient.First(string(d.Name), string(d.Slug)), Type: object, Change: "updated"}
	switch verb {
	case "created", "deleted", "activated", "deactivated":
		p.Change = verb
	}
	b.e.Kind, b.e.Policy = k, &p
	b.e.Subject = b.e.Actor
	return nil
}

// credential is a secret by which a program can act.
func (b *build) credential() error {
	d := &b.in.Data
	b.e.Kind = event.AppCredential
	b.e.App = &event.App{ID: string(d.ID), Name: lenient.First(string(d.Name), string(d.Object))}
	if d.Owner.Type == "user" {
		b.e.Subject = user(string(d.Owner.ID), string(b.in.UserEmail))
	}
	if b.e.Subject.IsZero() {
		b.e.Subject = b.e.Actor
	}
	return nil
}

// connected: the user gave the application access to an account elsewhere.
func (b *build) connected(k event.Kind) error {
	d := &b.in.Data
	b.e.Kind = k
	b.e.Consent = &event.Consent{AppID: string(b.in.Context.ClientID), Resource: string(d.ProviderSlug), GrantID: string(d.ID)}
	for _, s := range d.Scopes {
		if !slices.Contains(b.e.Consent.Scopes, s) {
			b.e.Consent.Scopes = append(b.e.Consent.Scopes, s)
		}
	}
	return nil
}
