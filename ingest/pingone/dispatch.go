package pingone

import (
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// dispatch gives the activity to what reads its type.
func (b *build) dispatch() error {
	object, verb, _ := strings.Cut(b.e.Action, ".")
	switch object {
	case "USER":
		return b.user(verb)
	case "PASSWORD":
		return b.password(verb)
	case "OTP", "ASSERTION":
		return b.check(object)
	case "DEVICE":
		return b.device(verb)
	case "SESSION":
		switch verb {
		case "CREATED":
			b.e.Kind = event.SessionStart
		case "DELETED":
			b.e.Kind = event.SessionEnd
		default:
			return ingest.Skip(ingest.SkipIntermediate, b.e.Action)
		}
		if s := b.in.resource("session"); s != nil {
			b.e.SessionID = lenient.Known(string(s.ID))
		}
		return nil
	case "ROLE_ASSIGNMENT":
		return b.role(verb, true)
	case "MEMBER_OF_GROUP":
		return b.role(verb, false)
	case "OAUTH_CONSENT":
		return b.consent(verb, false)
	case "GRANT":
		return b.consent(verb, true)
	case "FIDO_POLICY", "MFA_SETTINGS", "DEVICE_AUTHENTICATION_POLICY", "POLICY", "ACTION", "SIGN_ON_POLICY_ASSIGNMENT",
		"RISK_POLICY_SET", "RISK_PREDICTOR", "NOTIFICATION_POLICY", "PASSWORD_POLICY", "ADMIN_CONFIGURATION",
		"FLOW_DEFINITION", "FLOW_POLICY_ASSIGNMENT", "SETTINGS":
		return b.policy(event.PolicyChange, object, verb)
	case "IDENTITY_PROVIDER", "IDP_ATTRIBUTE", "KEY", "CERTIFICATE":
		if verb == "READ" {
			return ingest.Skip(ingest.SkipIrrelevant, b.e.Action)
		}
		return b.policy(event.TrustChange, object, verb)
	case "SUBSCRIPTION":
		return b.policy(event.LoggingChange, object, verb)
	case "SECRET", "PUSH_CREDENTIALS":
		b.e.Kind, b.e.App = event.AppCredential, app(b.in.other())
		return nil
	case "APPLICATION", "SCOPE":
		b.e.Kind, b.e.App = event.AppChange, app(b.in.other())
		return nil
	case "ACCOUNT":
		b.e.Kind = event.UserLifecycle
		return nil
	case "FLOW", "AUTHENTICATION", "AUTHENTICATION_CODE", "RADIUS_SESSION", "NOTIFICATION", "DEVICE_PAYLOAD", "FLOW_EXECUTION":
		return ingest.Skip(ingest.SkipIntermediate, b.e.Action)
	}
	return ingest.Skip(ingest.SkipIrrelevant, b.e.Action)
}

// user reads access, the life of an account, and what was changed about it.
func (b *build) user(verb string) error {
	switch verb {
	case "ACCESS_ALLOWED", "ACCESS_DENIED":
		b.e.Kind = event.SignIn
		b.e.App = app(&b.in.Actors.Client)
		if b.e.Actor.Type == typeService {
			b.e.Actor = event.Principal{} // the app that was reached did not act
		}
		return nil
	case "KERBEROS_SUCCEEDED", "KERBEROS_FAILED":
		b.e.Kind = event.FactorChallenge
		f := event.NewFactor(event.MethodDelegated, result(b.e.Outcome))
		f.Step, f.Provider = event.StepPrimary, "kerberos"
		b.e.Factors = []event.Factor{f}
		return nil
	case "SLO_SUCCESS":
		b.e.Kind = event.SessionEnd
		return nil
	case "SLO_REQUESTED", "SLO_FAILURE", "SLO_PARTIAL_LOGOUT", "QUOTA_RESET":
		return ingest.Skip(ingest.SkipIntermediate, b.e.Action)
	case "UPDATED":
		if c := contactOf(b.e.Reason); c != nil {
			b.e.Kind, b.e.Contact = event.ContactChange, c
			return nil
		}
	}
	b.e.Kind = event.UserLifecycle
	return nil
}

// contactOf reads "Updated email, mobilePhone for User jane": nil where no address
// is among what was updated.
func contactOf(description string) *event.Contact {
	fields, ok := strings.CutPrefix(description, "Updated ")
	if !ok {
		return nil
	}
	fields, _, ok = strings.Cut(fields, " for User")
	if !ok {
		return nil
	}
	for field := range strings.FieldsFuncSeq(fields, func(r rune) bool { return r == ',' || r == ' ' }) {
		switch strings.ToLower(field) {
		case "email":
			return &event.Contact{Kind: "email", Primary: true}
		case "mobilephone", "primaryphone":
			return &event.Contact{Kind: "phone", Primary: strings.EqualFold(field, "primaryPhone")}
		}
	}
	return nil
}

func (b *build) password(verb string) error {
	switch verb {
	case "CHECK_SUCCEEDED", "CHECK_FAILED":
		b.e.Kind = event.FactorChallenge
		f := event.NewFactor(event.MethodPassword, result(b.e.Outcome))
		f.Step = event.StepPrimary
		b.e.Factors = []event.Factor{f}
	case "SET", "UNSET":
		b.e.Kind = event.PasswordChange
		if b.e.ByOther() {
			return b.passwordReset()
		}
	case "RESET", "FORCE_CHANGE":
		return b.passwordReset()
	case "RECOVERY":
		b.recovery(event.RecoveryStarted)
	case "UNLOCKED":
		b.recovery(event.RecoveryCompleted)
	default:
		return ingest.Skip(ingest.SkipIrrelevant, b.e.Action)
	}
	return nil
}

func (b *build) passwordReset() error {
	b.recovery(event.RecoveryCompleted)
	b.e.Kind = event.PasswordReset
	return nil
}

func (b *build) recovery(stage event.RecoveryStage) {
	if b.e.Outcome != event.Success && b.e.Outcome != event.OutcomeUnknown {
		stage = event.RecoveryFailed
	}
	b.e.Kind = event.RecoveryActivity
	b.e.Recovery = &event.Recovery{Stage: stage, SelfService: !b.e.ByOther()}
}

// check is a passcode or a FIDO2 assertion that was looked at.
func (b *build) check(object string) error {
	b.e.Kind = event.FactorChallenge
	m, name := b.deviceMethod()
	switch {
	case object == "ASSERTION" && m.Class() != event.PhishingResistant:
		m = event.MethodPasskey // only FIDO2 makes assertions
	case m == event.MethodUnknown:
		b.warn("a passcode of a device that is not named")
	}
	f := event.NewFactor(m, result(b.e.Outcome))
	f.Step, f.Detail = event.StepSecondary, name
	if d := b.in.resource("device"); d != nil {
		f.CredentialID = lenient.Known(string(d.ID))
	}
	if b.e.Actor.Type == typeService {
		b.e.App, b.e.Actor = app(&b.in.Actors.Client), event.Principal{}
	}
	b.e.Factors = []event.Factor{f}
	return nil
}

// deviceMethod reads the method of the device among the resources, else the one
// that the descriptions name.
func (b *build) deviceMethod() (event.Method, string) {
	if d := b.in.resource("device"); d != nil {
		if m, ok := methodOf(string(d.Name)); ok {
			return m, string(d.Name)
		}
		if m, name := methodIn(string(d.Name)); name != "" {
			return m, string(d.Name)
		}
	}
	if m, name := methodIn(string(b.in.Action.Description) + "; " + b.e.Reason); name != "" {
		return m, name
	}
	return event.MethodUnknown, ""
}

func (b *build) device(verb string) error {
	m, name := b.deviceMethod()
	a := event.NewAuthenticator(m)
	if d := b.in.resource("device"); d != nil {
		a.ID, a.Name = lenient.Known(string(d.ID)), lenient.Known(string(d.Name))
	} else {
		a.Name = name
	}
	switch verb {
	case "CREATED":
		if m.Class() == event.PhishingResistant {
			return ingest.Skip(ingest.SkipIntermediate, b.e.Action)
		}
		b.e.Kind = event.AuthenticatorEnrolled
	case "ACTIVATED", "UNBLOCKED":
		b.e.Kind = event.AuthenticatorEnrolled
	case "DELETED", "BLOCKED":
		b.e.Kind = event.AuthenticatorRemoved
	default: // UPDATED, NICKNAME_UPDATED, ACTIVATION_OTP_*, LOCKED and UNLOCKED, which pass by themselves
		return ingest.Skip(ingest.SkipIntermediate, b.e.Action)
	}
	if m == event.MethodUnknown {
		b.warn("the device's type is not named")
	}
	b.e.Authenticators = []event.Authenticator{a}
	return nil
}

// role is a role or a group of a user, of whom a group's activity only has the
// address. Every assignable role of PingOne administers it.
func (b *build) role(verb string, privileged bool) error {
	if b.in.user().IsZero() {
		return b.policy(event.PolicyChange, "", verb) // of a group or an app
	}
	b.e.Kind = event.RoleChange
	b.e.Role = &event.Role{Granted: verb == "CREATED", Privileged: privileged}
	if r := b.in.other(); r != nil && lenient.Known(string(r.Name)) != "" {
		b.e.Role.Roles = []string{string(r.Name)}
	} else if b.e.Reason != "" {
		name := strings.TrimPrefix(strings.TrimPrefix(b.e.Reason, "Created Role Assignment "), "Deleted Role Assignment ")
		b.e.Role.Roles = []string{name}
	}
	return nil
}

func (b *build) consent(verb string, byAdmin bool) error {
	b.e.Kind = event.ConsentGrant
	switch verb {
	case "DELETED", "REVOKED":
		b.e.Kind = event.ConsentRevoke
	case "DECLINED":
		return ingest.Skip(ingest.SkipIrrelevant, b.e.Action)
	}
	c := event.Consent{ByAdmin: byAdmin, TenantWide: byAdmin}
	a := app(b.in.resource("application"))
	if a == nil && !byAdmin {
		a = app(&b.in.Actors.Client)
	}
	if a != nil {
		b.e.App, c.AppID, c.AppName = a, a.ID, a.Name
	}
	if r := b.in.other(); r != nil && lenient.Squeeze(string(r.Type)) != "application" {
		c.GrantID, c.Resource = lenient.Known(string(r.ID)), lenient.Known(string(r.Name))
	}
	b.e.Consent = &c
	return nil
}

// policy is a change of what is asked of people, of whom is trusted, or of where
// activities go.
func (b *build) policy(k event.Kind, object, verb string) error {
	b.e.Kind = k
	p := event.Policy{Change: strings.ToLower(verb), After: b.e.Reason}
	if r := b.in.other(); r != nil {
		p.ID, p.Name, p.Type = lenient.Known(string(r.ID)), lenient.Known(string(r.Name)), string(r.Type)
	}
	if verb == "DELETED" && b.e.Outcome == event.Success {
		switch object {
		case "POLICY", "ACTION", "SIGN_ON_POLICY_ASSIGNMENT", "DEVICE_AUTHENTICATION_POLICY", "FIDO_POLICY", "RISK_POLICY_SET", "FLOW_POLICY_ASSIGNMENT":
			p.Weakened = []event.Weakening{event.WeakeningDisabled}
		}
	}
	b.e.Policy = &p
	return nil
}

// app reads an application, nil where there is none.
func app(e *entity) *event.App {
	if e == nil {
		return nil
	}
	a := event.App{ID: lenient.Known(string(e.ID)), Name: lenient.Known(string(e.Name))}
	if a == (event.App{}) {
		return nil
	}
	a.Admin = strings.EqualFold(a.Name, "PingOne Admin Console") || a.ID == "adminui"
	return &a
}
