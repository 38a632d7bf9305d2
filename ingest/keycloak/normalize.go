package keycloak

import (
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// The two logs of a realm.
const (
	streamEvents      = "events"
	streamAdminEvents = "admin_events"
)

type normalizer struct{}

// New returns the normalizer of events, admin events and snapshots of a user's
// credentials. It has no state.
func New() ingest.Normalizer { return normalizer{} }

// Normalize implements ingest.Normalizer: one record gives one event or none, a
// snapshot two where roles were read. The event shares the bytes of r.Data as its
// raw record.
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
	b.e = event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Tenant: lenient.First(r.Tenant, string(b.in.RealmName), string(b.in.RealmID)),
		Stream: streamEvents, Observed: r.Observed, Outcome: event.Success, Raw: r.Data,
	}
	if warning != "" {
		b.e.Warnings = append(b.e.Warnings, warning)
	}
	switch {
	case b.in.Operation != "":
		err = b.admin()
	case b.in.Type != "":
		err = b.user()
	default:
		err = ingest.Malformed(ingest.MalformedMissing, "record is neither an event nor an admin event")
	}
	if err != nil {
		return nil, err
	}
	if b.e.Time, err = lenient.EventTime(string(b.in.Time)); err != nil {
		return nil, err
	}
	if b.e.ID = string(or(b.in.ID, b.in.UID)); b.e.ID == "" || len(b.e.ID) > event.MaxIDLen {
		b.e.ID = lenient.Digest(b.in.facts()...)
	}
	if b.e.Outcome != event.Success && b.e.Reason == "" {
		b.e.Reason = lenient.First(b.in.detail("reason"), b.in.detail("authentication_error_detail"), string(b.in.Error))
	}
	if b.e.Subject.IsZero() && !ofTenant(b.e.Kind) {
		return nil, ingest.Skip(ingest.SkipNoIdentity, b.e.Action)
	}
	b.e.Sanitize()
	return []event.Event{b.e}, nil
}

// ofTenant reports whether events of the kind need no subject: they belong to
// whoever made the change, else to the realm.
func ofTenant(k event.Kind) bool {
	switch k {
	case event.PolicyChange, event.TrustChange, event.LoggingChange, event.AppChange, event.AppCredential:
		return true
	}
	return false
}

// build is one record on its way to an event.
type build struct {
	in wire
	e  event.Event
}

// The principal types of the contract.
const (
	typeUser    = "user"
	typeAdmin   = "admin"
	typeService = "service"
)

// serviceAccount begins the names of users that stand for clients.
const serviceAccount = "service-account-"

func principal(id, name string) event.Principal {
	p := event.Principal{ID: lenient.Known(id), Name: lenient.Known(name)}
	switch {
	case p.IsZero():
	case strings.HasPrefix(p.Name, serviceAccount):
		p.Type = typeService
	default:
		p.Type = typeUser
	}
	return p
}

// user reads an event of a user.
func (b *build) user() error {
	in := &b.in
	b.e.Action = string(in.Type)
	b.e.Subject = principal(string(in.UserID), lenient.First(in.detail("username"), string(in.Username), in.detail("email")))
	b.e.Actor = b.e.Subject
	b.e.Endpoint.IP = lenient.Address(string(in.IPAddress))
	b.e.SessionID = lenient.Known(string(in.SessionID))
	b.e.FlowID = in.detail("code_id")
	if client := lenient.Known(string(in.ClientID)); client != "" {
		b.e.App = &event.App{ID: client, Admin: isConsole(client)}
	}
	switch in.detail("auth_method") {
	case "openid-connect":
		b.e.Protocol = event.ProtocolOAuth2
	case "saml":
		b.e.Protocol = event.ProtocolSAML
	}
	t, failed := strings.CutSuffix(string(in.Type), "_ERROR")
	if failed {
		b.e.Outcome = outcomeOf(string(in.Error))
	}
	if b.e.Subject.Type == typeService {
		return ingest.Skip(ingest.SkipMachine, b.e.Action)
	}
	return b.dispatch(t, failed)
}

// isConsole reports whether a client is Keycloak's own for administrators.
func isConsole(client string) bool {
	return client == "security-admin-console" || client == "admin-cli"
}

func outcomeOf(reason string) event.Outcome {
	switch reason {
	case "user_disabled", "user_temporarily_disabled", "rejected_by_user", "access_denied", "consent_denied", "not_allowed":
		return event.Denied
	}
	return event.Failure
}

func (b *build) result() event.Result {
	switch b.e.Outcome {
	case event.Success:
		return event.Verified
	case event.Denied:
		return event.Rejected
	}
	return event.Failed
}

// dispatch gives the event to what reads its type, t without _ERROR.
func (b *build) dispatch(t string, failed bool) error {
	skip := func(reason ingest.SkipReason) error {
		return ingest.Skip(reason, strings.ToValidUTF8(b.e.Action[:min(len(b.e.Action), 64)], ""))
	}
	in := &b.in
	switch t {
	case "LOGIN":
		return b.login()
	case "IDENTITY_PROVIDER_LOGIN", "IDENTITY_PROVIDER_FIRST_LOGIN", "IDENTITY_PROVIDER_POST_LOGIN":
		b.e.Kind = event.FactorChallenge
		b.factor(event.MethodFederated, in.detail("identity_provider"), event.StepPrimary)
		return nil
	case "JWT_BEARER", "OAUTH2_EXTENSION_GRANT", "AUTHREQID_TO_TOKEN":
		b.e.Kind, b.e.Protocol = event.SignIn, event.ProtocolOAuth2
		m := event.MethodUnknown
		if t == "JWT_BEARER" {
			m = event.MethodFederated
		}
		b.factor(m, in.detail("grant_type"), event.StepUnknown)
		return nil
	case "OAUTH2_DEVICE_CODE_TO_TOKEN":
		if failed {
			return skip(ingest.SkipIntermediate) // the device asks again until the person has answered
		}
		b.e.Kind, b.e.Protocol = event.SignIn, event.ProtocolDeviceCode
		b.factor(event.MethodExistingSession, "", event.StepUnknown)
		return nil
	case "USER_DISABLED_BY_TEMPORARY_LOCKOUT":
		b.e.Kind, b.e.Outcome, b.e.Actor = event.SignIn, event.Denied, event.Principal{}
		b.e.Reason = lenient.First(in.detail("reason"), "temporary lockout")
		return nil
	case "USER_DISABLED_BY_PERMANENT_LOCKOUT":
		b.e.Kind, b.e.Actor, b.e.Reason = event.UserLifecycle, event.Principal{}, in.detail("reason")
		return nil

	case "UPDATE_CREDENTIAL", "REMOVE_CREDENTIAL":
		return b.credential(in.detail("credential_type"), t == "REMOVE_CREDENTIAL")
	case "UPDATE_TOTP", "REMOVE_TOTP", "UPDATE_PASSWORD", "CUSTOM_REQUIRED_ACTION":
		if in.detail("credential_type") != "" {
			return skip(ingest.SkipIntermediate) // UPDATE_CREDENTIAL and REMOVE_CREDENTIAL tell it
		}
		return b.legacy(t)
	case "FEDERATED_IDENTITY_LINK", "IDENTITY_PROVIDER_LINK_ACCOUNT", "CLIENT_INITIATED_ACCOUNT_LINKING":
		return b.linked(event.AuthenticatorEnrolled)
	case "REMOVE_FEDERATED_IDENTITY":
		return b.linked(event.AuthenticatorRemoved)

	case "SEND_RESET_PASSWORD":
		return b.recovery(event.RecoveryStarted)
	case "RESET_PASSWORD", "EXECUTE_ACTIONS":
		return b.recovery(event.RecoveryRedeemed)
	case "EXECUTE_ACTION_TOKEN":
		if strings.Contains(in.detail("action"), "verify-email") {
			return skip(ingest.SkipIntermediate)
		}
		return b.recovery(event.RecoveryRedeemed)
	case "UPDATE_EMAIL", "UPDATE_PROFILE":
		updated := in.detail("updated_email")
		if updated == "" && t == "UPDATE_PROFILE" {
			return skip(ingest.SkipIrrelevant)
		}
		b.e.Kind, b.e.Contact = event.ContactChange, &event.Contact{Kind: "email", Primary: true, Value: updated}
		return nil

	case "GRANT_CONSENT", "UPDATE_CONSENT":
		return b.consent(event.ConsentGrant, lenient.First(in.detail("granted_client"), string(in.ClientID)))
	case "REVOKE_GRANT":
		return b.consent(event.ConsentRevoke, lenient.First(in.detail("revoked_client"), string(in.ClientID)))

	case "REGISTER", "DELETE_ACCOUNT":
		b.e.Kind = event.UserLifecycle
		return nil
	case "LOGOUT", "USER_SESSION_DELETED":
		if failed {
			return skip(ingest.SkipIntermediate)
		}
		b.e.Kind = event.SessionEnd
		return nil
	case "REFRESH_TOKEN":
		return b.refresh()
	case "TOKEN_EXCHANGE":
		if in.detail("requested_subject") != "" {
			b.e.Kind, b.e.Actor = event.Impersonation, event.Principal{}
			return nil
		}
		b.e.Kind, b.e.Protocol = event.SessionActivity, event.ProtocolOAuth2
		return nil
	case "IMPERSONATE":
		b.e.Kind, b.e.Actor = event.Impersonation, principal("", in.detail("impersonator"))
		return nil
	case "CLIENT_REGISTER", "CLIENT_UPDATE", "CLIENT_DELETE":
		b.e.Kind = event.AppChange
		return nil

	case "CLIENT_LOGIN":
		return skip(ingest.SkipMachine)
	case "CODE_TO_TOKEN", "RESTART_AUTHENTICATION", "VERIFY_EMAIL", "SEND_VERIFY_EMAIL", "VERIFY_PROFILE", "SEND_IDENTITY_PROVIDER_LINK",
		"IDENTITY_PROVIDER_RESPONSE", "IDENTITY_PROVIDER_RETRIEVE_TOKEN", "OAUTH2_DEVICE_AUTH", "OAUTH2_DEVICE_VERIFY_USER_CODE",
		"PUSHED_AUTHORIZATION_REQUEST", "PERMISSION_TOKEN":
		return skip(ingest.SkipIntermediate)
	}
	return skip(ingest.SkipIrrelevant)
}

func (b *build) factor(m event.Method, detail string, step event.Step) *event.Factor {
	f := event.NewFactor(m, b.result())
	f.Fresh = f.Fresh && f.Result == event.Verified
	f.Detail, f.Step = detail, step
	if m == event.MethodFederated {
		f.Provider = detail
	}
	b.e.Factors = append(b.e.Factors, f)
	return &b.e.Factors[len(b.e.Factors)-1]
}

// methodOf reads a type of credential.
func methodOf(credentialType string) (event.Method, bool) {
	switch credentialType {
	case "webauthn", "webauthn-passwordless":
		return event.MethodPasskey, true
	case "otp", "totp", "hotp":
		return event.MethodTOTP, true
	case "recovery-authn-codes":
		return event.MethodBackupCode, true
	case "password":
		return event.MethodPassword, true
	case "kerberos":
		return event.MethodFederated, true
	case "x509":
		return event.MethodCertificate, true
	}
	return event.MethodUnknown, false
}

// login lets a person in, or not. It names what was proved for some factors only.
func (b *build) login() error {
	in := &b.in
	b.e.Kind = event.SignIn
	if b.e.Outcome == event.Success {
		b.e.SessionID = lenient.First(b.e.SessionID, in.detail("code_id"))
	}
	if in.detail("grant_type") == "password" {
		b.e.Protocol = event.ProtocolROPC
	}
	if provider := in.detail("identity_provider"); provider != "" {
		b.factor(event.MethodFederated, provider, event.StepPrimary)
	}
	selected := in.detail("selected_credential_id")
	typ := lenient.First(in.detail("credential_type"), string(in.CredentialType))
	if in.detail("custom_required_action") != "" {
		// The details are those of the action that came before: of a credential that
		// was made, changed or removed, and not of one that was shown.
		typ, selected = "", ""
	}
	switch {
	case in.detail("web_authn_authentication_error") != "":
		b.e.Outcome = event.Failure
		b.factor(event.MethodPasskey, in.detail("web_authn_authentication_error"), event.StepUnknown)
	case typ != "":
		m, ok := methodOf(typ)
		if !ok {
			b.e.Warnings = append(b.e.Warnings, "credential type not known: "+typ)
		}
		step := event.StepSecondary
		if typ == "webauthn-passwordless" || typ == "password" || typ == "kerberos" || typ == "x509" {
			step = event.StepPrimary
		}
		b.factor(m, typ, step).CredentialID = selected
	case in.detail("web_authn_authenticator_user_verification_checked") != "":
		b.factor(event.MethodPasskey, "webauthn", event.StepUnknown)
	case in.detail("x509_cert_serial_number") != "":
		b.factor(event.MethodCertificate, "x509", event.StepPrimary)
	case b.e.Outcome != event.Success:
	case b.e.Protocol == event.ProtocolROPC:
		// There is a password in every direct grant; a code beside it makes it no
		// harder to relay.
		b.factor(event.MethodPassword, "password", event.StepPrimary)
	case selected != "":
		b.factor(event.MethodUnknown, "a credential of the user", event.StepSecondary).CredentialID = selected
	case len(b.e.Factors) == 0:
		b.factor(event.MethodUnknown, "", event.StepUnknown)
	}
	return nil
}

func aaguid(in *wire) string { return model(in.detail("public_key_credential_aaguid")) }

// noModel is what an authenticator says that does not tell its model.
const noModel = "00000000-0000-0000-0000-000000000000"

func model(aaguid string) string {
	if aaguid = strings.ToLower(aaguid); aaguid != noModel {
		return aaguid
	}
	return ""
}

// credential is one that its user made, changed or removed.
func (b *build) credential(typ string, removed bool) error {
	m, ok := methodOf(typ)
	if !ok {
		b.e.Warnings = append(b.e.Warnings, "credential type not known: "+typ)
	}
	switch {
	case removed:
		b.authenticator(event.AuthenticatorRemoved, m)
		b.e.Authenticators[0].ID = b.in.detail("credential_id")
	case m == event.MethodPassword:
		b.e.Kind = event.PasswordChange
	case m == event.MethodBackupCode:
		b.e.Kind = event.RecoveryCredentialIssued
		b.e.Recovery = &event.Recovery{Stage: event.RecoveryIssued, Method: m, SelfService: true}
	default:
		b.authenticator(event.AuthenticatorEnrolled, m)
	}
	return nil
}

func (b *build) authenticator(k event.Kind, m event.Method) {
	a := event.NewAuthenticator(m)
	a.Name = lenient.First(b.in.detail("public_key_credential_label"), b.in.detail("credential_user_label"))
	a.AAGUID = aaguid(&b.in)
	b.e.Kind, b.e.Authenticators = k, []event.Authenticator{a}
}

// legacy reads the types of versions before 26.
func (b *build) legacy(t string) error {
	switch t {
	case "UPDATE_TOTP":
		b.authenticator(event.AuthenticatorEnrolled, event.MethodTOTP)
		return nil
	case "REMOVE_TOTP":
		b.authenticator(event.AuthenticatorRemoved, event.MethodTOTP)
		return nil
	case "UPDATE_PASSWORD":
		b.e.Kind = event.PasswordChange
		return nil
	}
	switch action := strings.ToLower(b.in.detail("custom_required_action")); {
	case strings.HasPrefix(action, "webauthn-register"):
		return b.credential("webauthn", false)
	case strings.Contains(action, "recovery_authn_codes"):
		return b.credential("recovery-authn-codes", false)
	}
	return ingest.Skip(ingest.SkipIrrelevant, t)
}

// linked is an account at another provider that may sign in as this user.
func (b *build) linked(k event.Kind) error {
	b.authenticator(k, event.MethodFederated)
	b.e.Authenticators[0].Name = b.in.detail("identity_provider")
	return nil
}

// recovery goes by a link in a mail.
func (b *build) recovery(stage event.RecoveryStage) error {
	b.e.Kind = event.RecoveryActivity
	if b.e.Outcome != event.Success {
		stage = event.RecoveryFailed
	}
	b.e.Recovery = &event.Recovery{Stage: stage, Method: event.MethodEmailLink, SelfService: true}
	return nil
}

func (b *build) consent(k event.Kind, client string) error {
	b.e.Kind = k
	c := event.Consent{AppID: lenient.Known(client)}
	c.Scopes = unique(strings.Fields(b.in.detail("scope")))
	b.e.Consent = &c
	return nil
}

func unique(list []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// refresh is an application that goes on over a grant it has. A token that was
// used before is one that two parties hold.
func (b *build) refresh() error {
	b.e.Kind, b.e.Protocol = event.SessionActivity, event.ProtocolOAuth2
	if reason := b.in.detail("reason"); b.e.Outcome != event.Success && strings.Contains(strings.ToLower(reason), "reuse") {
		b.e.Kind, b.e.Risk = event.TokenAnomaly, &event.Risk{Type: "refresh_token_reuse", SessionTheft: true, Detail: reason}
	}
	return nil
}
