package okta

import (
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// enrollments yields the enrolments among the targets.
func (b *build) enrollments(yield func(*entity) bool) {
	for i := range b.in.Target {
		if t := &b.in.Target[i]; strings.EqualFold(t.Type, "AuthenticatorEnrollment") && !yield(t) {
			return
		}
	}
}

// step makes the event one step of a sign-in.
func (b *build) step(f event.Factor) error {
	b.e.Kind = event.FactorChallenge
	b.e.Factors = append(b.e.Factors, f)
	b.e.Risk = b.risk()
	return nil
}

// sessionStart: in Classic Engine it comes before the factors that an app asks
// for. The password is the only proof it may tell of.
func (b *build) sessionStart() error {
	b.e.Kind = event.SignIn
	b.e.Risk = b.risk()
	for t := range b.enrollments {
		b.e.Factors = append(b.e.Factors, b.factor(t, result(b.e.Outcome)))
	}
	switch {
	case len(b.e.Factors) > 0:
	case b.declined():
		b.e.Factors = append(b.e.Factors, b.factor(nil, event.Failed))
	default:
		b.credentialType()
	}
	if b.e.Reason == "" {
		b.e.Reason = failureOf(b.debug().LoginResult)
	}
	return nil
}

func failureOf(loginResult string) string {
	if loginResult == "SUCCESS" {
		return ""
	}
	return lenient.Known(loginResult)
}

// credentialType adds the password where the log says that it was one. It has no
// value for most other methods and is null for them.
func (b *build) credentialType() {
	if b.in.AuthenticationContext.CredentialType == "PASSWORD" {
		b.passwordStep()
	}
}

func (b *build) passwordStep() {
	f := event.NewFactor(event.MethodPassword, result(b.e.Outcome))
	f.Step, f.Detail = event.StepPrimary, b.in.AuthenticationContext.CredentialType
	b.e.Factors = append(b.e.Factors, f)
}

// viaMFA: Classic Engine logs second factors, Identity Engine every factor,
// passwords included.
func (b *build) viaMFA() error {
	d := b.debug()
	if d.FactorIntent == "CREDENTIAL_ENROLLMENT" {
		// It tries a credential that is being made; user.mfa.factor.activate tells of it.
		return ingest.Skip(ingest.SkipIntermediate, b.in.EventType+" to enrol a credential")
	}
	res := result(b.e.Outcome)
	if b.e.Outcome == event.Failure && d.PushResponse == "OV_RESPONSE_DENY" {
		res, b.e.Outcome = event.Rejected, event.Denied
	}
	var enrollment *entity
	for t := range b.enrollments {
		enrollment = t
		break
	}
	f := b.factor(enrollment, res)
	if d.FactorIntent == "CREDENTIAL_RECOVERY" {
		stage := event.RecoveryStarted
		if res != event.Verified && res != event.Pending {
			stage = event.RecoveryFailed
		}
		b.e.Kind, b.e.Factors = event.RecoveryActivity, []event.Factor{f}
		b.e.Recovery = &event.Recovery{Stage: stage, Method: f.Method, SelfService: !b.e.ByOther()}
		return nil
	}
	return b.step(f)
}

// verify tells which methods met the policy of an app. They may have been
// proved hours before.
func (b *build) verify() error {
	b.e.Kind = event.SignIn
	b.e.Risk = b.risk()
	for t := range b.enrollments {
		f := b.factor(t, result(b.e.Outcome))
		b.verifiedAt(&f, t.Detail.MethodVerificationTime)
		b.e.Factors = append(b.e.Factors, f)
	}
	return nil
}

// singleSignOn lets the person into an app over the session there is.
func (b *build) singleSignOn() error {
	b.e.Kind = event.SignIn
	b.e.Risk = b.risk()
	if b.e.Outcome != event.Success {
		return nil
	}
	d := b.debug()
	for _, m := range [...]struct {
		name string
		at   lenient.Text
	}{{d.AuthMethodFirst, d.AuthMethodFirstTime}, {d.AuthMethodSecond, d.AuthMethodSecondTime}} {
		if f, ok := b.sessionMethod(m.name, string(m.at)); ok {
			b.e.Factors = append(b.e.Factors, f)
		}
	}
	for _, f := range b.e.Factors {
		if f.Fresh {
			return nil
		}
	}
	b.existingSession()
	return nil
}

func (b *build) existingSession() {
	b.e.Factors = append(b.e.Factors, event.NewFactor(event.MethodExistingSession, event.Verified))
}

// sessionMethod reads "okta_verify:totp:…" of the session's context.
func (b *build) sessionMethod(name, at string) (event.Factor, bool) {
	if lenient.Known(name) == "" {
		return event.Factor{}, false
	}
	parts := strings.SplitN(name, ":", 3)
	m, ok := event.MethodUnknown, false
	if len(parts) > 1 {
		m, ok = methodOf(parts[1])
	}
	if !ok {
		m, ok = methodOf(parts[0])
	}
	if !ok {
		b.unknownFactor(name)
	}
	if m == event.MethodFastPassPR {
		m = event.MethodUnknown // nothing here says whether it resisted phishing
	}
	f := event.NewFactor(m, event.Verified)
	f.Detail = name
	if m == event.MethodPassword {
		f.Step = event.StepPrimary
	}
	b.verifiedAt(&f, at)
	return f, true
}

// evaluate tells what a policy asked for and offered, not what was shown: an
// offered factor is neither a prompt nor a proof, so there are none.
func (b *build) evaluate() error {
	b.e.Kind = event.FactorChallenge
	b.e.Risk = b.risk()
	return nil
}

// direct is a sign-in that creates no session: RADIUS and basic authentication.
func (b *build) direct(p event.Protocol) error {
	b.e.Kind, b.e.Protocol = event.SignIn, p
	if p == event.ProtocolLegacy {
		b.passwordStep() // there is nothing else in basic authentication
		return nil
	}
	b.credentialType()
	return nil
}

// viaDirectory: an agent of a directory checked the password.
func (b *build) viaDirectory() error {
	b.e.Kind = event.FactorChallenge
	switch b.in.EventType {
	case "user.authentication.auth_via_AD_agent", "user.authentication.auth_via_LDAP_agent":
		b.passwordStep()
	default:
		b.credentialType()
	}
	return nil
}

// federated: somebody else proved the person; amrList says how they say so.
func (b *build) federated() error {
	d := b.debug()
	m := event.MethodFederated
	if b.target("X509IdpAppUser") != nil {
		m = event.MethodCertificate // Okta's smart card provider checks it itself
	}
	f := event.NewFactor(m, result(b.e.Outcome))
	f.Step, f.Provider = event.StepPrimary, lenient.Known(d.IDPDisplayName)
	if amr := strings.Trim(string(d.AMRList), "[] "); amr != "" {
		f.Detail = "amr: " + amr
	}
	return b.step(f)
}

func (b *build) platformSSO() error {
	for i := range b.in.Target {
		switch b.in.Target[i].Detail.PlatformSSOMethod {
		case "SECURE_ENCLAVE":
			return b.step(event.NewFactor(event.MethodPlatformCredential, result(b.e.Outcome)))
		case "PASSWORD":
			b.e.Kind = event.FactorChallenge
			b.passwordStep()
			return nil
		}
	}
	b.warn("unknown method of platform single sign-on")
	return b.step(event.NewFactor(event.MethodUnknown, result(b.e.Outcome)))
}

// oktaVerify is the answer to a push in Classic Engine.
func (b *build) oktaVerify(denied bool) error {
	res := result(b.e.Outcome)
	if denied {
		res, b.e.Outcome = event.Rejected, event.Denied
	} else if b.in.EventType != "user.mfa.okta_verify" {
		res, b.e.Outcome = event.Failed, event.Failure
	}
	return b.step(event.NewFactor(event.MethodPush, res))
}

// challenge is a code or push on its way to the person.
func (b *build) challenge(m event.Method) error {
	res := event.Pending
	if b.e.Outcome == event.Success || b.e.Outcome == event.OutcomeUnknown {
		b.e.Outcome = event.Challenged
	} else {
		res = event.Failed
	}
	f := event.NewFactor(m, res)
	f.Fresh = false
	return b.step(f)
}

func (b *build) emailRedeemed() error {
	m := event.MethodEmailCode
	if how := first(b.debug().Verification, b.debug().Action); strings.EqualFold(how, "link clicked") {
		m = event.MethodEmailLink
	}
	f := event.NewFactor(m, result(b.e.Outcome))
	f.Detail = first(b.debug().Verification, b.debug().Action)
	return b.step(f)
}
