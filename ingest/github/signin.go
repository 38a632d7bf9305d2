package github

import (
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// kind returns a handler for what needs no more than its kind.
func kind(k event.Kind) func(*build) error {
	return func(b *build) error {
		b.e.Kind = k
		return nil
	}
}

// login: the log names a passkey by its nickname where one was used, and says
// nothing else of how the person came in.
func (b *build) login() error {
	b.e.Kind = event.SignIn
	m := event.MethodUnknown
	nickname := known(b.in.PasskeyNickname)
	if nickname != "" {
		m = event.MethodPasskey
	}
	f := event.NewFactor(m, event.Verified)
	f.Detail = nickname
	b.e.Factors = []event.Factor{f}
	return nil
}

// failedLogin may be a wrong name, password or code: there is no factor to tell.
func (b *build) failedLogin() error {
	b.e.Kind, b.e.Outcome = event.SignIn, event.Failure
	return nil
}

// secondFactor returns a handler for a step after the password.
func secondFactor(o event.Outcome, m event.Method, res event.Result) func(*build) error {
	return func(b *build) error {
		b.e.Kind, b.e.Outcome = event.FactorChallenge, o
		f := event.NewFactor(m, res)
		f.Step, f.Detail = event.StepSecondary, b.in.Action
		b.e.Factors = []event.Factor{f}
		return nil
	}
}

// redeemed tells of a recovery code as of a step of recovery, beside the factor
// that it stood in for.
func redeemed(e event.Event) event.Event {
	e.ID += "#1"
	e.Kind, e.Factors = event.RecoveryActivity, nil
	e.Recovery = &event.Recovery{Stage: event.RecoveryRedeemed, Method: event.MethodBackupCode, SelfService: true}
	return e
}

// ssoResponse: the identity provider of the organization has answered. The log does
// not say whether the person was let in.
func (b *build) ssoResponse() error {
	b.e.Kind, b.e.Outcome, b.e.Protocol = event.SignIn, event.OutcomeUnknown, event.ProtocolSAML
	f := event.NewFactor(event.MethodFederated, event.Pending)
	f.Provider = known(b.in.Issuer)
	b.e.Factors = []event.Factor{f}
	switch name := known(b.in.NameID); {
	case name == "":
	case b.e.Subject.IsZero():
		b.e.Subject = event.Principal{Name: name, Type: typeUser}
	default:
		b.e.Subject.DisplayName = name
	}
	return nil
}

// unrecognized is GitHub's own remark on a sign-in.
func (b *build) unrecognized() error {
	b.e.Kind = event.RiskDetection
	b.e.Risk = &event.Risk{Type: b.in.Action}
	return nil
}

// sessionMoved: a session is used from another country than before.
func (b *build) sessionMoved() error {
	b.e.Kind = event.SessionAnomaly
	b.e.Risk = &event.Risk{Type: b.in.Action}
	return nil
}

// impersonation: a site administrator of GitHub Enterprise Server signs in as
// somebody else.
func (b *build) impersonation() error {
	b.e.Kind = event.Impersonation
	return nil
}

// recovery returns a handler for a step of recovering access: to the account, or
// past the identity provider of an organization.
func recovery(stage event.RecoveryStage, m event.Method) func(*build) error {
	return func(b *build) error {
		b.e.Kind = event.RecoveryActivity
		if stage == event.RecoveryFailed {
			b.e.Outcome = event.Failure
		}
		b.e.Recovery = &event.Recovery{Stage: stage, Method: m, SelfService: !b.e.ByOther()}
		return nil
	}
}

// codes: recovery codes were made, or handed to whoever is in the session.
func codes(b *build) error {
	b.e.Kind = event.RecoveryCredentialIssued
	b.e.Recovery = &event.Recovery{Stage: event.RecoveryIssued, Method: event.MethodBackupCode, SelfService: !b.e.ByOther()}
	return nil
}

func (b *build) passwordReset() error {
	b.e.Kind = event.PasswordReset
	b.e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted, Method: event.MethodEmailLink, SelfService: !b.e.ByOther()}
	return nil
}

// authenticator returns a handler for a factor that a person gets or loses. Of
// those of two_factor_authentication the log does not say what they are.
func authenticator(k event.Kind, m event.Method) func(*build) error {
	return func(b *build) error {
		b.e.Kind = k
		a := event.NewAuthenticator(m)
		a.Name = lenient.First(known(b.in.Nickname), known(b.in.PasskeyNickname))
		b.e.Authenticators = []event.Authenticator{a}
		return nil
	}
}

// twoFactorDisabled is the end of every second factor of the account.
func (b *build) twoFactorDisabled() error {
	b.e.Kind = event.AuthenticatorsReset
	b.e.Policy = &event.Policy{Type: "two_factor_authentication", Change: "deactivated", Weakened: []event.Weakening{event.WeakeningUserExempt}}
	return nil
}

// fallback: another phone number receives codes when the first factor is not at
// hand.
func (b *build) fallback() error {
	b.e.Kind = event.ContactChange
	b.e.Contact = &event.Contact{Kind: "phone"}
	return nil
}

func (b *build) email() error {
	b.e.Kind = event.ContactChange
	b.e.Contact = &event.Contact{Kind: "email", Value: known(b.in.Email)}
	return nil
}

func lifecycle(b *build) error {
	b.e.Kind = event.UserLifecycle
	return nil
}

// member: owners of an organization administer it. Who is an ordinary member is no
// matter of rights.
func (b *build) member() error {
	permission, old := known(b.in.Permission), known(b.in.OldPermission)
	switch {
	case permission == "admin":
		return role(true, "", true)(b)
	case old == "admin":
		return role(false, "", true)(b)
	case b.in.Action == "org.add_member":
		return lifecycle(b)
	}
	return ingest.Skip(ingest.SkipIrrelevant, b.in.Action+" without a change of owners")
}

// memberRemoved takes ownership with it.
func (b *build) memberRemoved() error { return role(false, "", true)(b) }
