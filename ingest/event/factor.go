package event

import "time"

// Method is one way of proof. The list is closed; a value that a source logs and
// that is not understood becomes MethodUnknown with a warning, never a weak
// method.
type Method string

// The methods, strongest first.
const (
	MethodSecurityKey        Method = "security_key"
	MethodPasskeyDeviceBound Method = "passkey_device_bound"
	// MethodPlatformCredential is Windows Hello for Business, macOS Platform
	// Credential and the like.
	MethodPlatformCredential Method = "platform_credential"
	MethodCertificate        Method = "certificate"
	// MethodFastPassPR is Okta FastPass where the log shows phishing resistance.
	MethodFastPassPR    Method = "fastpass_pr"
	MethodPasskeySynced Method = "passkey_synced"
	// MethodPasskey is a passkey of which the source does not say whether it is
	// synced.
	MethodPasskey Method = "passkey"
	// MethodPasskeyHybrid is a cross-device ceremony (QR and Bluetooth), only
	// where the source truly says so.
	MethodPasskeyHybrid Method = "passkey_hybrid"

	MethodPushNumberMatch Method = "push_number_match"
	MethodOTPHardware     Method = "otp_hardware"
	MethodTOTP            Method = "totp"
	// MethodPush is a plain push; FastPass without evidence of phishing
	// resistance counts as this.
	MethodPush Method = "push"

	MethodSMS              Method = "sms"
	MethodVoice            Method = "voice"
	MethodEmailCode        Method = "email_code"
	MethodEmailLink        Method = "email_link"
	MethodSecurityQuestion Method = "security_question"
	// MethodQRPIN is Entra's QR code with PIN for front-line workers; it is not
	// a cross-device passkey.
	MethodQRPIN Method = "qr_pin"

	MethodBackupCode          Method = "backup_code"
	MethodBypassCode          Method = "bypass_code"
	MethodTemporaryAccessPass Method = "temporary_access_pass"

	MethodPassword Method = "password"
	// MethodMFABypassed means that policy let the sign-in through without a
	// second factor.
	MethodMFABypassed Method = "mfa_bypassed"

	MethodPreviouslySatisfied Method = "previously_satisfied"
	MethodRefreshToken        Method = "refresh_token"
	MethodPrimaryRefreshToken Method = "primary_refresh_token"
	MethodRememberedDevice    Method = "remembered_device"
	MethodExistingSession     Method = "existing_session"

	// MethodFederated: another provider proved the person.
	MethodFederated Method = "federated"
	// MethodDelegated: a second-factor product beside the provider did.
	MethodDelegated Method = "delegated"

	MethodUnknown Method = "unknown"
)

// Class groups methods by what an attacker has to do to get past them.
type Class string

// The classes.
const (
	PhishingResistant Class = "phishing_resistant"
	// Phishable: a relay in the middle or a tired thumb gives it away.
	Phishable Class = "phishable"
	// Weak: also lost by a SIM swap or a read mailbox.
	Weak Class = "weak"
	// RecoveryClass: codes that stand in for a factor.
	RecoveryClass Class = "recovery"
	Single        Class = "single"
	None          Class = "none"
	// Inherited: proved earlier; says nothing of this sign-in.
	Inherited Class = "inherited"
	// Opaque: proved elsewhere.
	Opaque Class = "opaque"
	// ClassUnknown: the source does not say.
	ClassUnknown Class = "unknown"
)

type strength struct {
	class Class
	rank  int
}

// strengths returns class and rank of m. A switch and not a map: it is on the
// hot path of encoding and evaluation, and cannot be written to.
func strengths(m Method) (strength, bool) {
	switch m {
	case MethodSecurityKey, MethodPasskeyDeviceBound, MethodPlatformCredential, MethodCertificate, MethodFastPassPR:
		return strength{PhishingResistant, 60}, true
	case MethodPasskeySynced:
		return strength{PhishingResistant, 55}, true
	case MethodPasskey:
		return strength{PhishingResistant, 52}, true
	case MethodPasskeyHybrid:
		return strength{PhishingResistant, 45}, true
	case MethodPushNumberMatch:
		return strength{Phishable, 34}, true
	case MethodOTPHardware:
		return strength{Phishable, 32}, true
	case MethodTOTP:
		return strength{Phishable, 30}, true
	case MethodPush:
		return strength{Phishable, 28}, true
	case MethodSMS, MethodVoice:
		return strength{Weak, 20}, true
	case MethodEmailCode, MethodEmailLink:
		return strength{Weak, 18}, true
	case MethodSecurityQuestion, MethodQRPIN:
		return strength{Weak, 15}, true
	case MethodBackupCode, MethodBypassCode, MethodTemporaryAccessPass:
		return strength{RecoveryClass, 12}, true
	case MethodPassword:
		return strength{Single, 10}, true
	case MethodMFABypassed:
		return strength{None, 5}, true
	case MethodPreviouslySatisfied, MethodRefreshToken, MethodPrimaryRefreshToken, MethodRememberedDevice, MethodExistingSession:
		return strength{Inherited, 0}, true
	case MethodFederated, MethodDelegated:
		return strength{Opaque, 0}, true
	case MethodUnknown:
		return strength{ClassUnknown, 0}, true
	}
	return strength{}, false
}

// Valid reports whether m is one of the methods.
func (m Method) Valid() bool { _, ok := strengths(m); return ok }

// Class returns the class of m; ClassUnknown for a method that is not valid.
func (m Method) Class() Class {
	if s, ok := strengths(m); ok {
		return s.class
	}
	return ClassUnknown
}

// Rank returns the coarse order within what was proved afresh: 60 is a
// device-bound credential, 10 a password. 0 means not ranked: neither strong nor
// weak.
func (m Method) Rank() int { s, _ := strengths(m); return s.rank }

// Methods lists every method, strongest first.
func Methods() []Method {
	return []Method{
		MethodSecurityKey, MethodPasskeyDeviceBound, MethodPlatformCredential, MethodCertificate, MethodFastPassPR,
		MethodPasskeySynced, MethodPasskey, MethodPasskeyHybrid, MethodPushNumberMatch, MethodOTPHardware,
		MethodTOTP, MethodPush, MethodSMS, MethodVoice, MethodEmailCode, MethodEmailLink, MethodSecurityQuestion,
		MethodQRPIN, MethodBackupCode, MethodBypassCode, MethodTemporaryAccessPass, MethodPassword,
		MethodMFABypassed, MethodPreviouslySatisfied, MethodRefreshToken, MethodPrimaryRefreshToken,
		MethodRememberedDevice, MethodExistingSession, MethodFederated, MethodDelegated, MethodUnknown,
	}
}

// Result is how one step of proof ended.
type Result string

// The results.
const (
	Verified Result = "verified"
	// Failed: a wrong code, a refused ceremony, an error.
	Failed Result = "failed"
	// Rejected: the person said no, or reported fraud.
	Rejected Result = "rejected"
	// Unanswered: the prompt timed out or the person went another way.
	Unanswered Result = "unanswered"
	// Pending: asked for, not yet known; a later record may tell.
	Pending Result = "pending"
)

// Valid reports whether r is one of the results.
func (r Result) Valid() bool {
	switch r {
	case Verified, Failed, Rejected, Unanswered, Pending:
		return true
	}
	return false
}

// Step is the place of a factor in the sign-in.
type Step string

// The steps.
const (
	StepPrimary   Step = "primary"
	StepSecondary Step = "secondary"
	StepUnknown   Step = ""
)

// Factor is one step of proof in a record.
type Factor struct {
	Method Method `json:"method"`
	// Class and Rank are those of Method; NewFactor sets them.
	Class Class `json:"class"`
	Rank  int   `json:"rank,omitempty"`
	// Result of the step; Step is its place.
	Result Result `json:"result"`
	Step   Step   `json:"step,omitempty"`
	// Fresh is true when the factor was proved in this sign-in. It is false for
	// inherited methods and for a factor whose verification time is older.
	Fresh bool `json:"fresh"`
	// Transport of this ceremony ("usb", "internal", "hybrid") where the source
	// truly says so; not the transports the credential could use.
	Transport string `json:"transport,omitempty"`
	// Provider of the factor where it is not the source itself.
	Provider       string `json:"provider,omitempty"`
	CredentialID   string `json:"credential_id,omitempty"`
	AAGUID         string `json:"aaguid,omitempty"`
	BackupEligible *bool  `json:"backup_eligible,omitempty"`
	// Detail is the source's own name of the method or result.
	Detail string `json:"detail,omitempty"`
	// Time of the step where the source tells it apart from the record's.
	Time *time.Time `json:"time,omitempty"`
}

// NewFactor returns a factor of method m with its class and rank. It is fresh
// when verified by a ranked method; callers with better knowledge change it.
func NewFactor(m Method, r Result) Factor {
	c := m.Class()
	return Factor{Method: m, Class: c, Rank: m.Rank(), Result: r, Fresh: m.Rank() > 0}
}

// NewAuthenticator returns an authenticator of method m with class and rank.
func NewAuthenticator(m Method) Authenticator {
	return Authenticator{Method: m, Class: m.Class(), Rank: m.Rank()}
}

// Strongest returns the highest-ranked factor that was verified afresh, and
// whether there is one.
func Strongest(factors []Factor) (Factor, bool) {
	var best Factor
	for _, f := range factors {
		if f.Result == Verified && f.Fresh && f.Rank > best.Rank {
			best = f
		}
	}
	return best, best.Rank > 0
}
