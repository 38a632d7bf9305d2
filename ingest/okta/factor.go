package okta

import (
	"strings"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// methodOf reads a name that Okta has for a method: a value of debugData.factor, a
// methodTypeUsed, a factor type of the API, an authenticator key or its display
// name. FastPass is fastpass_pr here, WebAuthn passkey; callers that know what
// was verified say it more precisely. It is false for a name not known.
func methodOf(name string) (event.Method, bool) {
	switch lenient.Squeeze(name) {
	case "password", "passwordasfactor", "oktapassword":
		return event.MethodPassword, true
	case "signednonce", "useoktafastpass", "oktafastpass", "fastpass":
		return event.MethodFastPassPR, true
	case "fidowebauthn", "webauthn", "passkey", "passkeys", "passkeyfido2webauthn", "securitykeyorbiometric",
		"securitykeyorbiometricauthenticator", "fido2webauthn":
		return event.MethodPasskey, true
	case "fidou2f", "u2f":
		return event.MethodSecurityKey, true
	case "smartcard", "smartcardidp", "cert", "certificate", "x509":
		return event.MethodCertificate, true
	case "oktaverifypush", "customapppush", "custompush", "push", "getapushnotification", "oktaverify", "customapp":
		return event.MethodPush, true
	case "oktasofttoken", "softtoken", "totp", "entercode", "enteracode", "googleauthenticator", "googleotp",
		"otp", "token", "tokensoftwaretotp", "vipfactor", "symantecvip", "customotp":
		return event.MethodTOTP, true
	case "hotpfactor", "hotp", "tokenhotp", "tokenhardware", "securidfactor", "secureidfactor", "rsasecurid",
		"yubikeyotpfactor", "yubikeytoken", "yubikeyotp", "yubikey", "onpremmfa", "onpremmfafactor":
		return event.MethodOTPHardware, true
	case "sms", "smsfactor", "phonenumber", "phone":
		return event.MethodSMS, true
	case "voice", "call", "callfactor", "voicecall":
		return event.MethodVoice, true
	case "email", "emailfactor", "oktaemail":
		return event.MethodEmailCode, true
	case "emailmagiclink", "emaillink":
		return event.MethodEmailLink, true
	case "securityquestion", "question":
		return event.MethodSecurityQuestion, true
	case "tac", "temporaryaccesscode":
		return event.MethodTemporaryAccessPass, true
	case "duosecurity", "duo":
		return event.MethodDelegated, true
	case "claimsasfactor", "idp", "externalidp", "claimsprovider":
		return event.MethodFederated, true
	}
	return event.MethodUnknown, false
}

// named is a method and the name in the record that it was read from.
type named struct {
	method event.Method
	name   string
}

// methodOfEnrollment reads the method of an enrolment t; the names are tried in
// this order, the record's own debugData.factor first. Only a WebAuthn credential
// is marked as a passkey or has a model.
func methodOfEnrollment(factor string, t *entity) named {
	names := [...]string{factor, t.Detail.MethodTypeUsed, t.Detail.AuthenticatorKey, t.DisplayName}
	for _, n := range names {
		if m, ok := methodOf(n); ok {
			return named{m, n}
		}
	}
	m := event.MethodUnknown
	if t.Detail.Passkey == lenient.True || aaguid(t.Detail.AAGUID) != "" {
		m = event.MethodPasskey
	}
	return named{m, first(names[:]...)}
}

// resistantMethod returns which phishing-resistant method of t was verified, when
// n, which cannot be, is what the record names: it may be what was prompted. The
// kind of one that is named nowhere is not known.
func (b *build) resistantMethod(n named, t *entity) event.Method {
	if b.target("X509IdpAppUser") != nil {
		return event.MethodCertificate
	}
	for _, name := range [...]string{n.name, t.Detail.MethodTypeUsed, t.Detail.AuthenticatorKey, t.DisplayName} {
		switch m, _ := methodOf(name); {
		case m == event.MethodPush: // only the signed nonce of Okta Verify can be
			return event.MethodFastPassPR
		case m.Class() == event.PhishingResistant:
			return m
		}
	}
	return event.MethodPasskey
}

// passkeyKind tells the kinds of WebAuthn credentials apart. Without the flag
// backupEligible the kind is not known.
func passkeyKind(backupEligible lenient.Truth, transports lenient.Text) event.Method {
	switch {
	case backupEligible == lenient.True:
		return event.MethodPasskeySynced
	case backupEligible != lenient.False:
		return event.MethodPasskey
	}
	listed := false
	for t := range javaList(string(transports)) {
		listed = true
		switch strings.ToLower(t) {
		case "usb", "nfc", "ble":
		default:
			return event.MethodPasskeyDeviceBound
		}
	}
	if listed {
		return event.MethodSecurityKey
	}
	return event.MethodPasskeyDeviceBound
}

// factor returns the factor that the record proves or fails with result: of the
// enrolment t, which is nil where the record names none.
func (b *build) factor(t *entity, result event.Result) event.Factor {
	d := b.debug()
	if t == nil {
		t = &entity{}
	}
	if b.declined() {
		f := event.NewFactor(event.MethodFastPassPR, event.Failed)
		f.Detail, f.CredentialID = b.in.Outcome.Reason, lenient.Known(t.ID)
		return f
	}
	n := methodOfEnrollment(d.Factor, t)
	m := n.method
	resistant := listed(t.Detail.MethodUsedVerifiedProps, "PHISHING_RESISTANT")
	if c := m.Class(); resistant && c != event.PhishingResistant && c != event.Opaque {
		if m != event.MethodPush {
			b.warn("factor %q was verified as phishing-resistant", n.name)
		}
		m = b.resistantMethod(n, t)
	}
	switch m {
	case event.MethodFastPassPR:
		if !resistant {
			m = event.MethodPush
		}
	case event.MethodPush:
		if strings.HasPrefix(d.NumberResponse, "OV_WITH_CHALLENGE_RESPONSE_") && !strings.HasSuffix(d.NumberResponse, "NOT_APPLICABLE") {
			m = event.MethodPushNumberMatch
		}
	case event.MethodPasskey:
		m = passkeyKind(or(t.Detail.BackupEligible, d.BackupEligible), t.Detail.Transports)
	case event.MethodUnknown:
		if b.target("X509IdpAppUser") != nil {
			m = event.MethodCertificate
			break
		}
		b.unknownFactor(n.name)
	}
	f := event.NewFactor(m, result)
	f.Detail = n.name
	f.CredentialID = lenient.Known(t.ID)
	f.AAGUID = aaguid(first(t.Detail.AAGUID, d.AAGUID))
	f.BackupEligible = or(t.Detail.BackupEligible, d.BackupEligible).Pointer()
	switch m {
	case event.MethodPassword:
		f.Step = event.StepPrimary
	case event.MethodDelegated:
		f.Provider = "duo"
	case event.MethodFederated:
		f.Provider = lenient.Known(d.IDPDisplayName)
	}
	if f.Step == event.StepUnknown && t.Type == "" {
		f.Step = event.StepSecondary // Classic Engine logs second factors only, and names no enrolment
	}
	return f
}

func (b *build) unknownFactor(name string) {
	if name == "" {
		b.warn("no factor is named")
		return
	}
	b.warn("unknown factor %q", name)
}

// declined: FastPass refused to answer, as the page that asked was not Okta's.
func (b *build) declined() bool {
	return strings.EqualFold(b.in.Outcome.Reason, "FastPass declined phishing attempt")
}

func or(a, b lenient.Truth) lenient.Truth {
	if a != lenient.Unsaid {
		return a
	}
	return b
}

func aaguid(s string) string {
	s = strings.ToLower(lenient.Known(s))
	if len(s) == 32 && !strings.Contains(s, "-") {
		s = s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
	}
	return s
}

// first returns the first that is not a word for nothing.
func first(values ...string) string {
	for _, v := range values {
		if v = lenient.Known(v); v != "" {
			return v
		}
	}
	return ""
}
