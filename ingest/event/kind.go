package event

// Kind is what an event is about. The list is closed.
type Kind string

// The kinds. Those of one sign-in (SignIn, FactorChallenge, SessionStart) are
// assembled into an attempt by the detector.
const (
	SignIn                   Kind = "sign_in"
	FactorChallenge          Kind = "factor_challenge"
	AuthenticatorEnrolled    Kind = "authenticator_enrolled"
	AuthenticatorRemoved     Kind = "authenticator_removed"
	AuthenticatorsReset      Kind = "authenticators_reset"
	AuthenticatorSnapshot    Kind = "authenticator_snapshot"
	PasswordChange           Kind = "password_change"
	PasswordReset            Kind = "password_reset"
	RecoveryActivity         Kind = "recovery"
	RecoveryCredentialIssued Kind = "recovery_credential_issued"
	ContactChange            Kind = "contact_change"
	ConsentGrant             Kind = "consent_grant"
	ConsentRevoke            Kind = "consent_revoke"
	AppCredential            Kind = "app_credential"
	AppChange                Kind = "app_change"
	PolicyChange             Kind = "policy_change"
	RoleChange               Kind = "role_change"
	SessionStart             Kind = "session_start"
	SessionActivity          Kind = "session_activity"
	SessionEnd               Kind = "session_end"
	SessionAnomaly           Kind = "session_anomaly"
	Impersonation            Kind = "impersonation"
	TokenAnomaly             Kind = "token_anomaly"
	TrustChange              Kind = "trust_change"
	UserReport               Kind = "user_report"
	RiskDetection            Kind = "risk"
	UserLifecycle            Kind = "user_lifecycle"
	LoggingChange            Kind = "logging_change"
)

// Kinds lists every kind, in the order of the constants.
func Kinds() []Kind {
	return []Kind{
		SignIn, FactorChallenge, AuthenticatorEnrolled, AuthenticatorRemoved, AuthenticatorsReset,
		AuthenticatorSnapshot, PasswordChange, PasswordReset, RecoveryActivity, RecoveryCredentialIssued,
		ContactChange, ConsentGrant, ConsentRevoke, AppCredential, AppChange, PolicyChange, RoleChange,
		SessionStart, SessionActivity, SessionEnd, SessionAnomaly, Impersonation, TokenAnomaly,
		TrustChange, UserReport, RiskDetection, UserLifecycle, LoggingChange,
	}
}

// Valid reports whether k is one of Kinds.
func (k Kind) Valid() bool {
	switch k {
	case SignIn, FactorChallenge, AuthenticatorEnrolled, AuthenticatorRemoved, AuthenticatorsReset,
		AuthenticatorSnapshot, PasswordChange, PasswordReset, RecoveryActivity, RecoveryCredentialIssued,
		ContactChange, ConsentGrant, ConsentRevoke, AppCredential, AppChange, PolicyChange, RoleChange,
		SessionStart, SessionActivity, SessionEnd, SessionAnomaly, Impersonation, TokenAnomaly,
		TrustChange, UserReport, RiskDetection, UserLifecycle, LoggingChange:
		return true
	}
	return false
}

// Outcome is how it ended, as far as this record tells.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	// Failure: the proof was wrong or missing.
	Failure Outcome = "failure"
	// Denied: the proof may have been right; policy or the person said no.
	Denied Outcome = "denied"
	// Challenged: the sign-in was interrupted to ask for more.
	Challenged Outcome = "challenged"
	// Abandoned: nobody answered.
	Abandoned Outcome = "abandoned"
	// OutcomeUnknown: the source does not say.
	OutcomeUnknown Outcome = "unknown"
)

// Valid reports whether o is one of the outcomes.
func (o Outcome) Valid() bool {
	switch o {
	case Success, Failure, Denied, Challenged, Abandoned, OutcomeUnknown:
		return true
	}
	return false
}

// Tier is how much an identity can do, or what sort of account it is. The empty
// tier is an ordinary person.
type Tier string

// The tiers.
const (
	TierStandard   Tier = ""
	TierPrivileged Tier = "privileged"
	TierBreakGlass Tier = "break_glass"
	TierService    Tier = "service"
	TierShared     Tier = "shared"
)

// Valid reports whether t is one of the tiers.
func (t Tier) Valid() bool {
	switch t {
	case TierStandard, TierPrivileged, TierBreakGlass, TierService, TierShared:
		return true
	}
	return false
}

// Protocol is how the client asked for the sign-in. Empty where the source does
// not say.
type Protocol string

// The protocols that detection tells apart.
const (
	ProtocolOAuth2       Protocol = "oauth2"
	ProtocolSAML         Protocol = "saml"
	ProtocolWSFederation Protocol = "ws_federation"
	// ProtocolDeviceCode is the OAuth 2.0 device authorization grant, RFC 8628.
	ProtocolDeviceCode Protocol = "device_code"
	// ProtocolROPC is the OAuth 2.0 password grant.
	ProtocolROPC Protocol = "ropc"
	// ProtocolTransfer is Entra's authentication transfer between devices.
	ProtocolTransfer Protocol = "authentication_transfer"
	ProtocolNative   Protocol = "native"
	// ProtocolLegacy is basic authentication of mail and similar protocols.
	ProtocolLegacy Protocol = "legacy"
	ProtocolRADIUS Protocol = "radius"
	ProtocolLDAP   Protocol = "ldap"
)

// Valid reports whether p is empty or one of the protocols.
func (p Protocol) Valid() bool {
	switch p {
	case "", ProtocolOAuth2, ProtocolSAML, ProtocolWSFederation, ProtocolDeviceCode, ProtocolROPC,
		ProtocolTransfer, ProtocolNative, ProtocolLegacy, ProtocolRADIUS, ProtocolLDAP:
		return true
	}
	return false
}

// RecoveryStage is how far a recovery got.
type RecoveryStage string

// The stages.
const (
	RecoveryStarted   RecoveryStage = "started"
	RecoveryCompleted RecoveryStage = "completed"
	RecoveryFailed    RecoveryStage = "failed"
	// RecoveryIssued: a temporary pass, bypass or recovery code was made.
	RecoveryIssued RecoveryStage = "issued"
	// RecoveryRedeemed: such a code was used.
	RecoveryRedeemed RecoveryStage = "redeemed"
)

// Valid reports whether s is one of the stages.
func (s RecoveryStage) Valid() bool {
	switch s {
	case RecoveryStarted, RecoveryCompleted, RecoveryFailed, RecoveryIssued, RecoveryRedeemed:
		return true
	}
	return false
}

// Weakening is one way in which a policy change opens a weaker path.
type Weakening string

// The weakenings.
const (
	// WeakeningFactorMode: two factors were asked, now one.
	WeakeningFactorMode Weakening = "factor_mode_lowered"
	// WeakeningPhishingResistance: phishing resistance is no longer required.
	WeakeningPhishingResistance Weakening = "phishing_resistance_dropped"
	// WeakeningDisabled: the policy was deleted, disabled or made report-only.
	WeakeningDisabled Weakening = "enforcement_off"
	// WeakeningScope: more people, apps or networks are excluded.
	WeakeningScope Weakening = "scope_narrowed"
	// WeakeningMethodEnabled: a weak method was switched on.
	WeakeningMethodEnabled Weakening = "weak_method_enabled"
	// WeakeningMethodDisabled: a phishing-resistant method was switched off.
	WeakeningMethodDisabled Weakening = "strong_method_disabled"
	// WeakeningUserExempt: one user no longer has to show a second factor.
	WeakeningUserExempt Weakening = "user_exempted"
)

// Valid reports whether w is one of the weakenings.
func (w Weakening) Valid() bool {
	switch w {
	case WeakeningFactorMode, WeakeningPhishingResistance, WeakeningDisabled, WeakeningScope,
		WeakeningMethodEnabled, WeakeningMethodDisabled, WeakeningUserExempt:
		return true
	}
	return false
}
