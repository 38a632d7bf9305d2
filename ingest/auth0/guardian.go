package auth0

import (
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// methodOf reads a name that Auth0 has for an authenticator: a value of
// details.authenticator.type, of the authentication-methods API, of the My Account
// API, or a factor of the tenant's settings. It is false for a name not known.
func methodOf(name string) (event.Method, bool) {
	switch lenient.Squeeze(name) {
	case "passkey", "webauthnplatform", "webauthn":
		return event.MethodPasskey, true
	case "webauthnroaming":
		return event.MethodSecurityKey, true
	case "push", "pushnotification", "guardian", "pn":
		return event.MethodPush, true
	case "otp", "totp", "googleauthenticator":
		return event.MethodTOTP, true
	case "sms", "phone":
		return event.MethodSMS, true
	case "voice":
		return event.MethodVoice, true
	case "email", "emailverification":
		return event.MethodEmailCode, true
	case "recoverycode":
		return event.MethodBackupCode, true
	case "password":
		return event.MethodPassword, true
	case "duo":
		return event.MethodDelegated, true
	}
	return event.MethodUnknown, false
}

// ofRecord returns the method that a record of Guardian is about: by its
// authenticator, else by the description's "(sms)" or "(voice)", else fallback.
func (b *build) ofRecord(fallback event.Method) (m event.Method, name string) {
	name = lenient.Known(string(b.in.Details.Authenticator.Type))
	if name == "" {
		// An id is "passkey|dev_…".
		name, _, _ = strings.Cut(string(b.in.Details.Authenticator.ID), "|")
	}
	if name == "" {
		if _, after, ok := strings.Cut(string(b.in.Description), "("); ok {
			name, _, _ = strings.Cut(after, ")")
		}
	}
	m, ok := methodOf(name)
	switch {
	case ok:
	case name == "" || fallback != "":
		m = fallback
	default:
		b.warn("unknown authenticator %q", name)
	}
	if m == "" {
		m = event.MethodUnknown
	}
	return m, name
}

// step is one factor of a sign-in that Guardian tells of.
func (b *build) step(o event.Outcome, m event.Method, r event.Result, name string) *event.Factor {
	b.e.Kind, b.e.Outcome = event.FactorChallenge, o
	f := event.NewFactor(m, r)
	f.Detail, f.CredentialID = name, lenient.Known(string(b.in.Details.Authenticator.ID))
	f.Fresh = f.Fresh && r == event.Verified
	switch b.in.Details.FirstFactor {
	case lenient.True:
		f.Step = event.StepPrimary
	case lenient.False:
		f.Step = event.StepSecondary
	}
	b.e.Factors = append(b.e.Factors, f)
	return &b.e.Factors[len(b.e.Factors)-1]
}

// second is the answer to a second factor.
func (b *build) second(o event.Outcome, r event.Result, fallback event.Method) error {
	m, name := b.ofRecord(fallback)
	if r == event.Verified && b.in.Details.RememberBrowser == lenient.True {
		m = event.MethodRememberedDevice
	}
	b.step(o, m, r, name)
	return nil
}

// asked: a second factor was demanded; which one is not chosen yet.
func (b *build) asked() error {
	b.e.Kind, b.e.Outcome = event.FactorChallenge, event.Challenged
	d := &b.in.Details
	b.e.Risk = riskOf(string(d.Confidence), &d.Assessments)
	return nil
}

// sent is a code or push on its way to the person.
func (b *build) sent(m event.Method, r event.Result) error {
	o := event.Challenged
	if r == event.Failed {
		o = event.Failure
	}
	b.step(o, m, r, string(b.in.Details.DeliveryMethod))
	return nil
}

// passkeyChallenge is a ceremony of the native API.
func (b *build) passkeyChallenge(r event.Result) error {
	if strings.EqualFold(string(b.in.Details.Purpose), "register") {
		return ingest.Skip(ingest.SkipIntermediate, string(b.in.Type)+" to register a passkey")
	}
	o := event.Challenged
	if r == event.Failed {
		o = event.Failure
	}
	b.step(o, event.MethodPasskey, r, "").Step = event.StepPrimary
	return nil
}

// recoveryCode stood in for the second factor, or was wrong.
func (b *build) recoveryCode(o event.Outcome) error {
	r := event.Failed
	if o == event.Success {
		r = event.Verified
	}
	b.step(o, event.MethodBackupCode, r, "recovery-code").Step = event.StepSecondary
	b.redeemed(o)
	return nil
}

// enrolment is an authenticator that was added to a user or taken away. Who took it
// away is not told: the user, or an administrator.
func (b *build) enrolment(k event.Kind, o event.Outcome) error {
	b.e.Kind, b.e.Outcome = k, o
	fallback := event.MethodUnknown
	switch {
	case b.in.Type == "gd_webauthn_enrollment_failed":
		fallback = event.MethodPasskey
	case k == event.AuthenticatorEnrolled && b.in.Type != "gd_start_enroll_failed":
		fallback = event.MethodPush // Guardian's app: the only one that the description does not name
	}
	if k == event.AuthenticatorRemoved {
		b.e.Actor = event.Principal{}
	}
	d := &b.in.Details
	m, name := b.ofRecord(fallback)
	a := event.NewAuthenticator(m)
	a.ID = lenient.First(lenient.Known(string(d.Authenticator.ID)), string(d.Enrollment.ID), string(d.DeviceID))
	a.Name = lenient.First(string(d.Enrollment.Name), name)
	a.Address = lenient.First(string(d.Authenticator.PhoneNumber), string(d.Enrollment.PhoneNumber))
	b.e.Authenticators = []event.Authenticator{a}
	return nil
}

// myAccount is a user at work on the own authenticators.
func (b *build) myAccount(o event.Outcome) error {
	d := &b.in.Details
	m, ok := methodOf(string(d.Method))
	if !ok {
		b.warn("unknown authentication method %q", d.Method)
	}
	a := event.NewAuthenticator(m)
	a.ID, a.Name = string(d.MethodID), string(d.Method)
	switch op := strings.ToLower(string(d.Operation) + " " + string(d.Request.Method)); {
	case strings.Contains(op, "delete") || strings.Contains(op, "remove"):
		b.e.Kind = event.AuthenticatorRemoved
	case strings.Contains(op, "update") || strings.Contains(op, "patch") || strings.Contains(op, "read") || strings.Contains(op, "list") || strings.Contains(op, " get"):
		return ingest.Skip(ingest.SkipIntermediate, string(b.in.Type)+" "+string(d.Operation))
	default:
		b.e.Kind = event.AuthenticatorEnrolled
	}
	b.e.Outcome, b.e.Authenticators = o, []event.Authenticator{a}
	return nil
}

// recovery is a step of getting access back.
func (b *build) recovery(stage event.RecoveryStage, m event.Method, o event.Outcome) error {
	b.e.Kind, b.e.Outcome = event.RecoveryActivity, o
	b.e.Recovery = &event.Recovery{Stage: stage, Method: m, SelfService: true}
	return nil
}

// passwordReset: a password of Auth0 is only ever changed through the link that a
// reset sends, or by an administrator, who leaves a "sapi" as well.
func (b *build) passwordReset(o event.Outcome) error {
	b.e.Kind, b.e.Outcome = event.PasswordReset, o
	b.e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted, SelfService: true}
	if o != event.Success {
		b.e.Recovery.Stage = event.RecoveryFailed
	}
	return nil
}

// contact is a new address, to which recovery goes from then on.
func (b *build) contact(kind string, o event.Outcome) error {
	b.e.Kind, b.e.Outcome = event.ContactChange, o
	d := &b.in.Details
	c := event.Contact{Kind: kind, Primary: kind == "email", Value: lenient.First(string(d.Body.PhoneNumber), string(d.PhoneNumber))}
	if kind == "email" {
		c.Value = lenient.First(string(d.Body.NewEmail), string(d.Body.Email))
	}
	b.e.Contact = &c
	return nil
}

func (b *build) lifecycle(o event.Outcome) error {
	b.e.Kind, b.e.Outcome = event.UserLifecycle, o
	if b.e.Subject.IsZero() {
		b.e.Subject = user("", string(b.in.Details.Invitation.Invitee.Email))
		b.e.Actor = b.e.Subject
	}
	b.e.Reason = lenient.First(string(b.in.Details.Reason), b.e.Reason)
	return nil
}

// connectedAccount: the user gave the tenant's applications access to an account
// elsewhere.
func (b *build) connectedAccount(k event.Kind, o event.Outcome) error {
	b.e.Kind, b.e.Outcome = k, o
	d := &b.in.Details.ConnectedAccount
	b.e.Consent = &event.Consent{AppID: string(b.in.ClientID), AppName: lenient.Known(string(b.in.ClientName)),
		Resource: lenient.First(string(d.Connection), string(b.in.Connection)), Scopes: scopes(d.Scopes...), GrantID: string(d.ID)}
	return nil
}
