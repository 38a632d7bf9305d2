package okta

import (
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// authenticators reads the enrolments that the record is about: those among the
// targets, else the one that debugData or the reason names.
func (b *build) authenticators() {
	d := b.debug()
	name := d.Factor
	if name == "" {
		name = factorOfReason(b.in.Outcome.Reason)
	}
	add := func(t *entity, n named) {
		m := n.method
		if m == event.MethodPasskey {
			m = passkeyKind(or(t.Detail.BackupEligible, d.BackupEligible), t.Detail.Transports)
		}
		if m == event.MethodUnknown {
			b.unknownFactor(n.name)
		}
		a := event.NewAuthenticator(m)
		a.ID, a.Name = lenient.Known(t.ID), first(t.DisplayName, n.name)
		a.AAGUID = aaguid(first(t.Detail.AAGUID, d.AAGUID))
		a.BackupEligible = or(t.Detail.BackupEligible, d.BackupEligible).Pointer()
		if m == event.MethodSMS || m == event.MethodVoice {
			a.Address = b.phone()
		}
		b.e.Authenticators = append(b.e.Authenticators, a)
	}
	for t := range b.enrollments {
		add(t, methodOfEnrollment(name, t))
	}
	if len(b.e.Authenticators) == 0 {
		add(&entity{}, methodOfEnrollment(first(name, d.AuthenticatorKey), &entity{}))
	}
}

// phone is where the number is: a target in Classic Engine, debugData in Identity
// Engine.
func (b *build) phone() string {
	if t := b.target("MobilePhone"); t != nil {
		return first(t.DisplayName, t.AlternateID, t.ID)
	}
	return lenient.Known(string(b.debug().PhoneNumber))
}

func (b *build) enrolled() error {
	b.authenticators()
	if b.e.Authenticators[0].Method == event.MethodTemporaryAccessPass {
		b.e.Authenticators = nil
		return b.codeIssued(event.MethodTemporaryAccessPass)
	}
	b.e.Kind = event.AuthenticatorEnrolled
	return nil
}

func (b *build) removed() error {
	b.e.Kind = event.AuthenticatorRemoved
	b.authenticators()
	return nil
}

// promoted: the page that asks to enrol something better.
func (b *build) promoted() error {
	if b.e.Outcome != event.Success {
		return ingest.Skip(ingest.SkipIntermediate, b.in.EventType)
	}
	return b.enrolled()
}

// factorUpdated: an enrolment keeps its strength when it is changed; a new number
// is a new place where codes go.
func (b *build) factorUpdated() error {
	b.authenticators()
	switch b.e.Authenticators[0].Method {
	case event.MethodSMS, event.MethodVoice:
		b.e.Kind = event.ContactChange
		b.e.Contact = &event.Contact{Kind: "phone", Value: b.phone()}
		b.e.Authenticators = nil
		return nil
	}
	return ingest.Skip(ingest.SkipIntermediate, b.in.EventType)
}

// yubikeySeed is a YubiKey in its one-time-password mode, which is no FIDO
// credential. An administrator uploads them for nobody in particular.
func (b *build) yubikeySeed(k event.Kind) error {
	if b.user == nil {
		return ingest.Skip(ingest.SkipNoIdentity, b.in.EventType)
	}
	b.e.Kind = k
	b.e.Authenticators = []event.Authenticator{event.NewAuthenticator(event.MethodOTPHardware)}
	return nil
}

// deviceAccount is an account in Okta Verify on a device. Which methods it brings
// is told by user.mfa.factor.activate.
func (b *build) deviceAccount(k event.Kind) error {
	b.e.Kind = k
	a := event.NewAuthenticator(event.MethodUnknown)
	a.Name = "Okta Verify"
	if t := b.target("Device", "UDDevice", "DeviceEnrollment"); t != nil {
		a.ID, a.Name = lenient.Known(t.ID), first(t.DisplayName, a.Name)
	}
	b.e.Authenticators = []event.Authenticator{a}
	return nil
}

// codeIssued: a code that stands in for a factor was made.
func (b *build) codeIssued(m event.Method) error {
	b.e.Kind = event.RecoveryCredentialIssued
	b.e.Recovery = &event.Recovery{Stage: event.RecoveryIssued, Method: m, SelfService: !b.e.ByOther()}
	return nil
}

func (b *build) password(k event.Kind) error {
	b.e.Kind = k
	if k == event.PasswordReset {
		self := !b.e.ByOther()
		if v := b.debug().IsSelfInitiated.Pointer(); v != nil {
			self = *v
		}
		stage := event.RecoveryCompleted
		if b.e.Outcome != event.Success {
			stage = event.RecoveryFailed
		}
		b.e.Recovery = &event.Recovery{Stage: stage, SelfService: self}
	}
	return nil
}

// recovery is a step of recovering access. A step that did not succeed has
// failed.
func (b *build) recovery(stage event.RecoveryStage, m event.Method) error {
	b.e.Kind = event.RecoveryActivity
	if b.e.Outcome == event.Failure || b.e.Outcome == event.Denied {
		stage = event.RecoveryFailed
	}
	b.e.Recovery = &event.Recovery{Stage: stage, Method: m, SelfService: !b.e.ByOther() && b.in.EventType != "user.account.unlock_by_admin"}
	return nil
}
