package onelogin

import (
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// dispatch gives the event to what reads its type, by the vendor's list of types.
func (b *build) dispatch() error {
	switch b.in.EventTypeID.N {
	case 5:
		return b.signIn(event.Success)
	case 6, 86:
		return b.signIn(event.Failure)
	case 8, 78:
		b.e.Kind = event.SignIn
		b.e.Factors = []event.Factor{event.NewFactor(event.MethodExistingSession, event.Verified)}
		return nil
	case 35, 90:
		b.e.Kind, b.e.Outcome = event.SignIn, event.Denied
		return nil
	case 68:
		b.e.Protocol = event.ProtocolRADIUS
		return b.signIn(event.Success)
	case 69:
		b.e.Protocol = event.ProtocolRADIUS
		return b.signIn(event.Failure)
	case 122, 153:
		return b.signIn(event.Success)
	case 123, 154:
		return b.signIn(event.Failure)
	case 129, 130:
		b.e.Kind, b.e.Protocol = event.SignIn, event.ProtocolLDAP
		if b.in.EventTypeID.N == 129 {
			b.e.Outcome = event.Failure
		}
		b.password() // a bind carries nothing else
		return nil
	case 140, 141:
		b.e.Kind = event.SignIn
		if b.in.EventTypeID.N == 141 {
			b.e.Outcome = event.Failure
		}
		b.federated(lenient.First(lenient.Known(string(b.in.TrustedIDPName)), "social network"))
		return nil
	case 7, 516:
		b.e.Kind = event.SessionEnd
		return nil
	case 515:
		b.e.Kind = event.SessionStart
		return nil
	case 240:
		b.e.Kind = event.SessionActivity
		return nil
	case 3:
		b.e.Kind = event.Impersonation
		return nil

	case 1400, 528:
		return b.factor(event.Success, event.Verified)
	case 1002, 527:
		return b.factor(event.Failure, event.Failed)
	case 22:
		return b.authenticator(event.AuthenticatorEnrolled)
	case 24:
		return b.authenticator(event.AuthenticatorRemoved)
	case 170, 171, 172:
		return b.factorSetting()

	case 11:
		return b.passwordSet(false)
	case 211, 510, 511:
		return b.passwordSet(true)
	case 10, 18, 36:
		return b.recovery(event.RecoveryStarted)
	case 12, 120:
		return b.recovery(event.RecoveryCompleted)
	case 13, 14, 15, 16, 17, 19, 21, 32, 33, 48, 115, 529, 530, 531, 533, 551, 553:
		b.e.Kind = event.UserLifecycle
		return nil

	case 72:
		return b.role(b.in.PrivilegeName, true, true)
	case 73:
		return b.role(b.in.PrivilegeName, false, true)
	case 4, 147, 149, 513:
		return b.role(b.in.RoleName, true, false)
	case 148, 150, 514:
		return b.role(b.in.RoleName, false, false)
	case 151:
		return b.role("manage "+b.in.RoleName, true, true)
	case 152:
		return b.role("manage "+b.in.RoleName, false, true)

	case 156:
		return b.policy(event.PolicyChange, "policy", "created")
	case 157:
		return b.policy(event.PolicyChange, "policy", "updated")
	case 158:
		return b.policy(event.PolicyChange, "policy", "deleted", event.WeakeningDisabled)
	case 161, 162, 163:
		return b.policy(event.PolicyChange, "radius_configuration", "updated")
	case 173:
		return b.policy(event.PolicyChange, "security_questions", "updated")
	case 174, 175, 176:
		return b.policy(event.PolicyChange, "desktop_sso", "updated")
	case 183, 184, 185:
		return b.policy(event.PolicyChange, "vldap", "updated")
	case 189, 190, 191, 192, 193:
		return b.policy(event.PolicyChange, "mapping", "updated")
	case 70, 71, 197:
		return b.policy(event.PolicyChange, "account", "updated")
	case 74, 76, 112:
		return b.policy(event.TrustChange, "trusted_idp", "updated")
	case 75, 119:
		return b.policy(event.TrustChange, "trusted_idp", "deleted")
	case 177, 178:
		return b.policy(event.TrustChange, "certificate", "updated")
	case 126, 127, 198, 199, 200, 201:
		return b.policy(event.TrustChange, "directory", "updated")
	case 179, 180, 181, 182:
		b.e.Kind = event.AppCredential
		b.e.App = &event.App{Name: lenient.First(lenient.Known(string(b.in.APICredential)), "API credential")}
		return nil

	case 40, 105:
		return ingest.Skip(ingest.SkipIntermediate, b.e.Action)
	}
	return b.byName()
}

// factorSetting: an authentication factor of the account, or of one user where the
// event names that user's device.
func (b *build) factorSetting() error {
	deleted := b.in.EventTypeID.N == 172
	if deleted && (lenient.Known(string(b.in.OTPDeviceID)) != "" || lenient.Known(string(b.in.OTPDeviceName)) != "" || b.e.ByOther()) {
		return b.authenticator(event.AuthenticatorRemoved)
	}
	change := "updated"
	var weakened []event.Weakening
	m, _ := methodOf(b.in.factorName())
	switch {
	case deleted:
		change = "deleted"
		if m.Class() == event.PhishingResistant {
			weakened = []event.Weakening{event.WeakeningMethodDisabled}
		}
	case b.in.EventTypeID.N == 170:
		change = "created"
		if c := m.Class(); c == event.Weak || c == event.RecoveryClass {
			weakened = []event.Weakening{event.WeakeningMethodEnabled}
		}
	}
	return b.policy(event.PolicyChange, "authentication_factor", change, weakened...)
}

// byName reads a type that is not in the table by what the API calls it: the numbers
// above 535 are known from nowhere else.
func (b *build) byName() error {
	if b.in.Added.Type == nil {
		return ingest.Skip(ingest.SkipIrrelevant, b.e.Action)
	}
	said := strings.ToLower(strings.ReplaceAll(b.in.Added.Type.Name, "_", " ") + "; " + b.in.Added.Type.Description)
	says := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(said, w) {
				return true
			}
		}
		return false
	}
	device := says("otp device", "security factor", "authentication factor")
	switch {
	case says("denied auth") && says("push"):
		return b.factor(event.Denied, event.Rejected)
	case says("failed otp challenge"):
		return b.factor(event.Failure, event.Failed)
	case says("challenged for otp"):
		return b.factor(event.Challenged, event.Pending)
	case says("verified otp device"):
		return b.factor(event.Success, event.Verified)
	case device && says("failed", "could not", "not "):
		return ingest.Skip(ingest.SkipIntermediate, b.e.Action)
	case device && says("deregistered", "deleted", "removed", "revoked"):
		return b.authenticator(event.AuthenticatorRemoved)
	case device && says("registered", "enrolled", "added"):
		return b.authenticator(event.AuthenticatorEnrolled)
	case says("force logged out"):
		b.e.Kind = event.SessionEnd
		return nil
	case says("broadcaster"):
		return b.policy(event.LoggingChange, "broadcaster", changeIn(said))
	case says("smart hook") && !says("failed"):
		return b.policy(event.PolicyChange, "smart_hook", changeIn(said))
	}
	return ingest.Skip(ingest.SkipIrrelevant, b.e.Action)
}

func changeIn(said string) string {
	switch {
	case strings.Contains(said, "deleted"):
		return "deleted"
	case strings.Contains(said, "created"):
		return "created"
	}
	return "updated"
}
