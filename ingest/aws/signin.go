package aws

import (
	"net/url"
	"strings"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// consoleApp is the console that administers everything.
func consoleApp() *event.App {
	return &event.App{ID: "console", Name: "AWS Management Console", Client: "browser", Admin: true}
}

// consoleLogin is the end of a sign-in to the console, with the factors of an IAM
// user or the root user, or by a session that another provider let in. MFAUsed is
// "No" for those, which is no sign of a missing factor.
func (b *build) consoleLogin() error {
	b.e.Kind, b.e.App = event.SignIn, consoleApp()
	a := &b.in.Additional
	provider := ""
	role, _ := b.roleOf()
	switch {
	case known(a.SAMLProviderARN) != "":
		provider = lastOf(known(a.SAMLProviderARN))
	case strings.HasPrefix(role, reservedRole):
		provider = "IAM Identity Center"
	case b.in.UserIdentity.Type == "IAMUser", b.in.UserIdentity.Type == "Root":
		b.consoleFactors()
		return nil
	}
	f := event.NewFactor(event.MethodFederated, result(b.e.Outcome))
	f.Provider = provider
	b.e.Factors = []event.Factor{f}
	if provider != "" && known(a.SAMLProviderARN) != "" {
		b.e.Protocol = event.ProtocolSAML
	}
	return nil
}

func (b *build) consoleFactors() {
	a := &b.in.Additional
	res := result(b.e.Outcome)
	password := event.NewFactor(event.MethodPassword, res)
	password.Step = event.StepPrimary
	second := b.mfa(known(a.MFAIdentifier), res)
	switch {
	case a.MFAUsed == lenient.False:
		b.e.Factors = []event.Factor{password}
	case res == event.Failed:
		// With a second step in it the log does not say which of the two was wrong.
		if a.MFAUsed == lenient.True || known(a.MFAIdentifier) != "" {
			b.e.Factors = []event.Factor{second}
		}
	default:
		// MFAUsed without a device, or nothing said of it: there may have been any.
		b.e.Factors = []event.Factor{password, second}
	}
}

// mfa returns the second factor that a serial number names, unknown without one.
func (b *build) mfa(serial string, res event.Result) event.Factor {
	m, ok := deviceMethod(serial)
	if !ok && serial != "" {
		b.warn("unknown mfa device %.200q", serial)
	}
	f := event.NewFactor(m, res)
	f.Step, f.CredentialID, f.Detail = event.StepSecondary, serial, serial
	return f
}

// checkMFA: the password was right and a device is asked for. What kind it asks
// for tells which kinds there are: "Multiple MFA Devices" are of several.
func (b *build) checkMFA() error {
	b.e.Kind, b.e.App = event.FactorChallenge, consoleApp()
	kind := known(b.in.Additional.MFAType)
	if b.e.Outcome == event.Success {
		b.e.Outcome = event.Challenged
	}
	b.e.Reason = lenient.First(b.e.Reason, kind)
	m := event.MethodUnknown
	switch lenient.Squeeze(kind) {
	case "u2fmfa":
		m = event.MethodPasskey
	case "virtualmfa":
		m = event.MethodTOTP
	case "multiplemfadevices":
		return nil // one of them will answer; which is not said
	default:
		b.warn("unknown kind of mfa %.64q", kind)
	}
	f := event.NewFactor(m, result(b.e.Outcome))
	f.Step, f.Detail = event.StepSecondary, kind
	b.e.Factors = []event.Factor{f}
	return nil
}

// credentialMethod reads a CredentialType of IAM Identity Center. The first five
// are documented, SMARTCARD is for WorkSpaces; EMAIL_OTP is the name that the
// settings have for it and was not seen in an event.
func credentialMethod(name string) (event.Method, bool) {
	switch strings.ToUpper(strings.TrimSpace(name)) {
	case "PASSWORD":
		return event.MethodPassword, true
	case "TOTP", "RESYNC_TOTP":
		return event.MethodTOTP, true
	case "WEBAUTHN":
		return event.MethodPasskey, true
	case "EXTERNAL_IDP":
		return event.MethodFederated, true
	case "SMARTCARD":
		return event.MethodCertificate, true
	case "EMAIL_OTP":
		return event.MethodEmailCode, true
	}
	return event.MethodUnknown, false
}

// credentials reads the list of CredentialType, with its result.
func (b *build) credentials(res event.Result) {
	for name := range strings.SplitSeq(known(b.in.Additional.CredentialType), ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		m, ok := credentialMethod(name)
		if !ok {
			b.warn("unknown credential type %.64q", name)
		}
		f := event.NewFactor(m, res)
		f.Detail = name
		switch {
		case m == event.MethodPassword:
			f.Step = event.StepPrimary
		case len(b.e.Factors) > 0:
			f.Step = event.StepSecondary
		}
		b.e.Factors = append(b.e.Factors, f)
	}
}

// workflow sets what all records of one sign-in to Identity Center have.
func (b *build) workflow() {
	a := &b.in.Additional
	b.e.FlowID = known(a.AuthWorkflowID)
	b.e.SessionID = known(b.in.UserIdentity.CredentialID)
	if u, err := url.Parse(known(a.LoginTo)); err == nil && u.Host != "" {
		b.e.App = &event.App{ID: u.Host, Name: "AWS access portal", Client: "browser"}
	}
}

// credential is one step of a sign-in to Identity Center.
func (b *build) credential() error {
	b.e.Kind = event.FactorChallenge
	if b.in.EventName == "CredentialChallenge" && b.e.Outcome == event.Success {
		b.e.Outcome = event.Challenged
	}
	b.workflow()
	b.credentials(result(b.e.Outcome))
	return nil
}

// userAuthentication is its end. There is none for a sign-in that failed.
func (b *build) userAuthentication() error {
	b.e.Kind = event.SignIn
	b.workflow()
	b.credentials(result(b.e.Outcome))
	if b.in.Additional.DeviceEnrollmentRequired == lenient.True && b.e.Reason == "" {
		b.e.Reason = "DeviceEnrollmentRequired"
	}
	return nil
}

// recovery returns a handler for a step of the root user's "forgot password".
func recovery(stage event.RecoveryStage) func(*build) error {
	return func(b *build) error {
		b.e.Kind = event.RecoveryActivity
		b.e.Recovery = &event.Recovery{Stage: stage, Method: event.MethodEmailLink, SelfService: true}
		if b.e.Outcome != event.Success {
			b.e.Recovery.Stage = event.RecoveryFailed
		}
		return nil
	}
}

func (b *build) passwordChanged() error {
	b.e.Kind = event.PasswordChange
	b.target(known(b.req.UserName))
	return nil
}

// emailUpdated: the address where the root user's recovery goes.
func (b *build) emailUpdated() error {
	b.e.Kind = event.ContactChange
	b.e.Contact = &event.Contact{Kind: "email", Primary: true}
	return nil
}

// signinToken makes a console session of temporary credentials; the proof was
// made when those were.
func (b *build) signinToken() error {
	b.e.Kind, b.e.App = event.SessionActivity, consoleApp()
	b.e.SessionID = known(b.in.UserIdentity.AccessKeyID)
	return nil
}

// consoleRole: the person in the console goes on in a role.
func (b *build) consoleRole() error {
	b.e.Kind = event.SessionActivity
	to := lenient.First(known(b.in.Additional.SwitchTo), known(b.in.Additional.RedirectTo))
	if resourceOf(to) != "" {
		to = resourceOf(to)
	} else if u, err := url.Parse(to); err == nil && u.Host != "" {
		to = u.Host
	}
	b.e.App = &event.App{Name: to, Admin: true}
	return nil
}
