package rule

import "time"

// Facts are what an expression can name: the users' language. Names in rules are
// those of the tags: Attempt.NewGround is attempt.new_ground.
//
// No fact is ever nil. Texts are empty, numbers zero and times zero where a
// source does not say; a yes/no that a source may leave open is "yes", "no" or
// "unknown". Spans are compared with texts such as "90m", "24h" or "30d".
//
// The tags "list" name the closed list a text is from, so that a comparison with
// something that is not on it is refused when the rule is loaded; the tags "group"
// say what is filled together.
type Facts struct {
	// Now is the time of the event; there is no other clock. For a rule that judges
	// a sign-in as a whole (once_per: attempt) it is when the sign-in succeeded.
	Now time.Time `expr:"now" group:"event"`
	// Event is the record that is being judged.
	Event EventFacts `expr:"event" group:"event"`
	// Me is the identity, the one whom the event is about, as it is with the
	// event counted in.
	Me MeFacts `expr:"me" group:"me"`
	// Attempt is the sign-in that the event belongs to, put together from all its
	// records; empty where the event is not part of a sign-in.
	Attempt AttemptFacts `expr:"attempt" group:"attempt"`
	// Recovery is how access was regained within the last 24 hours.
	Recovery RecoveryFacts `expr:"recovery" group:"recovery"`
	// Session is the session of the event or sign-in, as it was at its birth.
	Session SessionFacts `expr:"session" group:"session"`
	// Consent is what the event grants to an app.
	Consent ConsentFacts `expr:"consent" group:"consent"`
	// Removed is which authenticators the event took away.
	Removed RemovedFacts `expr:"removed" group:"removed"`
	// Policy is the provider's rule that the event changes.
	Policy PolicyFacts `expr:"policy" group:"parts"`
	// Role is the role that the event gives or takes.
	Role RoleFacts `expr:"role" group:"parts"`
	// Risk is the provider's own verdict.
	Risk RiskFacts `expr:"risk" group:"parts"`

	// Found reports whether rules, named by id or with a star at the end
	// (found(["DG-*", "RC-02"], "24h")), have said something about this identity
	// within the span before now that still stands.
	Found func(rules []string, span time.Duration) bool `expr:"found"`
	// Within reports whether a time is known and not more than the span before
	// now, nor after it.
	Within func(t time.Time, span time.Duration) bool `expr:"within"`
	// Earlier says how long before now a time was, for messages, which are read
	// later: "3 days earlier".
	Earlier func(t time.Time) string `expr:"earlier"`
	// Plain names a method in plain words, for messages: "a security key".
	Plain func(method string) string `expr:"plain"`
}

// EventFacts are those of the record itself.
type EventFacts struct {
	ID   string `expr:"id"`
	Kind string `expr:"kind" list:"kind"`
	// Action is the source's own name of what happened: "user.mfa.factor.reset_all".
	Action  string    `expr:"action"`
	Source  string    `expr:"source"`
	Tenant  string    `expr:"tenant"`
	Stream  string    `expr:"stream"`
	Time    time.Time `expr:"time"`
	Outcome string    `expr:"outcome" list:"outcome"`
	// Reason is the source's own word for the outcome.
	Reason string `expr:"reason"`

	IP string `expr:"ip"`
	// Network is the autonomous system, "AS64500"; ASOrg is who runs it.
	Network string `expr:"network" group:"origin"`
	ASOrg   string `expr:"as_org"`
	// Country is ISO 3166-1 alpha-2, upper case.
	Country string `expr:"country"`
	// Proxy: the source marks the address as proxy, VPN or anonymizer.
	Proxy bool `expr:"proxy"`
	// Browser and OS are families: "Chrome", "Windows".
	Browser   string `expr:"browser"`
	OS        string `expr:"os"`
	UserAgent string `expr:"user_agent"`

	App    AppFacts    `expr:"app"`
	Device DeviceFacts `expr:"device"`

	SessionID string `expr:"session_id"`
	FlowID    string `expr:"flow_id"`
	Protocol  string `expr:"protocol" list:"protocol"`

	// ByOther: somebody else than the identity did it: an administrator, the
	// help desk, a service.
	ByOther bool       `expr:"by_other"`
	Actor   ActorFacts `expr:"actor"`

	// Recovery is the step of a recovery that the event tells of; its stage is
	// empty for other events.
	Recovery EventRecoveryFacts `expr:"recovery"`
	// Contact is the recovery address that the event changes.
	Contact ContactFacts `expr:"contact"`
	// Methods are those of the authenticators that the event enrols, removes or
	// lists.
	Methods []string `expr:"methods" list:"method" group:"origin"`
}

// AppFacts is an application.
type AppFacts struct {
	ID   string `expr:"id"`
	Name string `expr:"name"`
	// Admin: an administration console or API of the provider.
	Admin bool `expr:"admin"`
	// Client is "browser", "mobile_desktop" or "legacy".
	Client string `expr:"client"`
	// Resource is what the app reached: its id and name.
	ResourceID string `expr:"resource_id"`
	Resource   string `expr:"resource"`
}

// DeviceFacts is what one record says of the device.
type DeviceFacts struct {
	ID         string `expr:"id"`
	Name       string `expr:"name"`
	Managed    string `expr:"managed" list:"yes_no"`
	Compliant  string `expr:"compliant" list:"yes_no"`
	Registered string `expr:"registered" list:"yes_no"`
	TrustType  string `expr:"trust_type"`
}

// ActorFacts is who did it.
type ActorFacts struct {
	Key  string `expr:"key"`
	Name string `expr:"name"`
	// Type is "user", "guest", "service", "admin" or "system".
	Type string `expr:"type"`
}

// EventRecoveryFacts is one step of a recovery.
type EventRecoveryFacts struct {
	Stage       string `expr:"stage" list:"recovery_stage"`
	Method      string `expr:"method" list:"method"`
	SelfService bool   `expr:"self_service"`
	// Lifetime of an issued code; zero where the source does not say.
	Lifetime time.Duration `expr:"lifetime"`
	// Uses is how often an issued code may be used: 0 not said, -1 unlimited.
	Uses int `expr:"uses"`
}

// ContactFacts is a changed recovery address.
type ContactFacts struct {
	// Kind is "email" or "phone".
	Kind    string `expr:"kind"`
	Primary bool   `expr:"primary"`
}

// MeFacts is the identity.
type MeFacts struct {
	Name string `expr:"name"`
	Key  string `expr:"key"`
	// Tier is "standard" for an ordinary person.
	Tier        string   `expr:"tier" list:"tier"`
	Populations []string `expr:"populations"`
	// Privileged: by the directory's tier or by a role that is held.
	Privileged bool `expr:"privileged"`
	// FirstSeen is the time of the first event of the identity.
	FirstSeen time.Time `expr:"first_seen"`
	// Successes counts sign-ins that succeeded by a fresh proof, this one
	// included.
	Successes int `expr:"successes"`
	// Learned: there is something to compare with: ten successful sign-ins
	// before this one, or at least one and 14 days since the first event. Before
	// that, nothing is called new.
	Learned bool `expr:"learned" group:"learned"`

	// HasStrong: a phishing-resistant authenticator is enrolled at the source of
	// the event. HasStrongAnywhere: at any source.
	HasStrong         bool `expr:"has_strong" group:"authenticators"`
	HasStrongAnywhere bool `expr:"has_strong_anywhere" group:"authenticators"`
	// Strongest is the authenticator with the highest rank at the source of the
	// event; the most used one among equals.
	Strongest AuthenticatorFacts `expr:"strongest" group:"authenticators"`
	// Authenticators are all that are enrolled, at any source; Strong are those
	// of them that are phishing-resistant.
	Authenticators []AuthenticatorFacts `expr:"authenticators" group:"lists"`
	Strong         []AuthenticatorFacts `expr:"strong" group:"lists"`
	// Roles are the names of the roles held at any source.
	Roles []string `expr:"roles" group:"lists"`

	// StrongUsedWithin reports whether a phishing-resistant authenticator that is
	// enrolled at the source of the event was used or enrolled within the span
	// before now.
	StrongUsedWithin func(span time.Duration) bool `expr:"strong_used_within"`
	// DeactivatedWithin reports whether the account was disabled within the span
	// before now and is still.
	DeactivatedWithin func(span time.Duration) bool `expr:"deactivated_within"`
}

// AuthenticatorFacts is one enrolled credential.
type AuthenticatorFacts struct {
	// Exists is false for strongest where nothing is enrolled.
	Exists bool   `expr:"exists"`
	Method string `expr:"method" list:"method"`
	Class  string `expr:"class" list:"class"`
	// Rank is the coarse order of methods: 60 is a device-bound credential, 10 a
	// password.
	Rank   int    `expr:"rank"`
	Name   string `expr:"name"`
	Source string `expr:"source"`
	// Since is when it was enrolled, or the earliest sign of it; Age is the span
	// since then.
	Since    time.Time     `expr:"since"`
	Age      time.Duration `expr:"age"`
	LastUsed time.Time     `expr:"last_used"`
	Uses     int           `expr:"uses"`
	// Provenance is how it became known: "enrolment", "snapshot" or "observed in
	// use".
	Provenance string `expr:"provenance" list:"provenance"`
	// ByOther: enrolled by somebody else.
	ByOther bool `expr:"by_other"`
}

// AttemptFacts is one sign-in.
type AttemptFacts struct {
	ID string `expr:"id"`
	// Succeeded: some record let the person in, at SucceededAt. Started is the
	// time of its first record.
	Succeeded   bool      `expr:"succeeded"`
	SucceededAt time.Time `expr:"succeeded_at"`
	Started     time.Time `expr:"started"`

	// Method is the strongest that was verified afresh, with its class and rank;
	// "", "" and 0 where nothing was.
	Method string `expr:"method" list:"method"`
	Class  string `expr:"class" list:"class"`
	Rank   int    `expr:"rank"`
	// Methods are all that were verified afresh.
	Methods []string `expr:"methods" list:"method" group:"methods"`
	// PhishingResistant: Method is.
	PhishingResistant bool `expr:"phishing_resistant"`
	// SingleFactor: a password or less was proved, and nothing was carried over,
	// made elsewhere or left untold that could be more.
	SingleFactor bool `expr:"single_factor"`
	// Inherited: at most a password was proved afresh, and the rest was carried
	// over from an earlier sign-in, made elsewhere, or is not told. Such a sign-in
	// says nothing of strength, for good or ill.
	Inherited bool `expr:"inherited"`

	Protocol string   `expr:"protocol" list:"protocol"`
	App      AppFacts `expr:"app"`

	IP      string `expr:"ip"`
	Network string `expr:"network"`
	ASOrg   string `expr:"as_org"`
	Country string `expr:"country"`
	Browser string `expr:"browser"`
	OS      string `expr:"os"`
	// Device is the device's id or the browser's fingerprint.
	Device string `expr:"device"`
	// Managed: a record of the sign-in says that the device is managed or
	// compliant.
	Managed bool `expr:"managed"`
	Proxy   bool `expr:"proxy"`

	// KnownX: the value is told, and a successful sign-in before this one had it.
	// NewX: the value is told, none had it, and the identity is learned. A value
	// that is not told is neither.
	KnownNetwork bool `expr:"known_network" group:"ground"`
	KnownCountry bool `expr:"known_country" group:"ground"`
	KnownDevice  bool `expr:"known_device" group:"ground"`
	KnownAgent   bool `expr:"known_agent" group:"ground"`
	NewNetwork   bool `expr:"new_network" group:"ground"`
	NewCountry   bool `expr:"new_country" group:"ground"`
	NewDevice    bool `expr:"new_device" group:"ground"`
	NewAgent     bool `expr:"new_agent" group:"ground"`
	// DeviceMissing: the source does not tell the device, though it did for every
	// one of at least three recent successful sign-ins of this identity.
	DeviceMissing bool `expr:"device_missing" group:"ground"`
	// KnownGround: the network is known, and the device or, where none is told or
	// missing, the agent is.
	KnownGround bool `expr:"known_ground" group:"ground"`
	// NewGround: the network is new, and so is the device or the agent, or the
	// device is missing. Either alone is ordinary life: a hotel, a new laptop at
	// home, another browser. Both together is what a relay in the middle cannot
	// easily avoid: it may copy the browser's name, not the device, and not the
	// network.
	NewGround bool `expr:"new_ground" group:"ground"`
	// KnownProtocol: an earlier successful sign-in used the same protocol.
	KnownProtocol bool `expr:"known_protocol" group:"ground"`

	// StrongFailed: a phishing-resistant step was refused, failed or left without
	// an answer, in this sign-in or in another one at the same source that did not
	// succeed, within ten minutes before this one succeeded.
	StrongFailed bool `expr:"strong_failed" group:"sequence"`
	// PushesUnapproved is how many pushes were sent and not approved within ten
	// minutes before the sign-in succeeded.
	PushesUnapproved int `expr:"pushes_unapproved" group:"sequence"`
}

// RecoveryFacts tells how access was regained within 24 hours before now: factors
// or password reset, a temporary code issued or used, a recovery completed. Of
// several steps it is the first: that one opened the door, and what counts is
// what was known before it.
type RecoveryFacts struct {
	Exists bool   `expr:"exists"`
	Kind   string `expr:"kind" list:"kind"`
	Stage  string `expr:"stage" list:"recovery_stage"`
	Method string `expr:"method" list:"method"`
	// ByOther: an administrator or the help desk did it; By names them.
	ByOther bool          `expr:"by_other"`
	By      string        `expr:"by"`
	Time    time.Time     `expr:"time"`
	Age     time.Duration `expr:"age"`
	// EnrolledSince: an authenticator was added since, the latest by
	// EnrolledMethod.
	EnrolledSince  bool   `expr:"enrolled_since"`
	EnrolledMethod string `expr:"enrolled_method" list:"method"`
	// NewGroundSince is attempt.new_ground, asked as of the time of the recovery:
	// what was seen since then is not known ground.
	NewGroundSince bool `expr:"new_ground_since"`
}

// SessionFacts is the session as it was at its birth.
type SessionFacts struct {
	Exists bool          `expr:"exists"`
	ID     string        `expr:"id"`
	Born   time.Time     `expr:"born"`
	Age    time.Duration `expr:"age"`
	// Method is the strongest that the session rests on, with its rank.
	Method            string `expr:"method" list:"method"`
	Rank              int    `expr:"rank"`
	PhishingResistant bool   `expr:"phishing_resistant"`
	IP                string `expr:"ip"`
	Network           string `expr:"network"`
	Country           string `expr:"country"`
	Browser           string `expr:"browser"`
	OS                string `expr:"os"`
	// Moved: the event comes from another network, and another browser or system,
	// than the session was born on. What is not told is not other.
	Moved bool `expr:"moved"`
}

// ConsentFacts is a grant to an app.
type ConsentFacts struct {
	App       string   `expr:"app"`
	AppID     string   `expr:"app_id"`
	Publisher string   `expr:"publisher"`
	Verified  string   `expr:"verified" list:"yes_no"`
	Scopes    []string `expr:"scopes"`
	// ByAdmin: an administrator consented. TenantWide: for everybody.
	ByAdmin    bool `expr:"by_admin"`
	TenantWide bool `expr:"tenant_wide"`
	// NewApp: this identity had not granted the app anything before.
	NewApp bool `expr:"new_app"`
	// RiskyScopes are those of Scopes that reach mail, files, messages or the
	// directory; see scopes.go for the list and its sources. Durable: the app also
	// keeps access when the person is away.
	RiskyScopes []string `expr:"risky_scopes"`
	Durable     bool     `expr:"durable"`
}

// RemovedFacts is what the event took away.
type RemovedFacts struct {
	// Strong: a phishing-resistant authenticator was removed.
	Strong bool `expr:"strong"`
	// LastStrong: it was the last one at the source.
	LastStrong bool `expr:"last_strong"`
	// Everything: no authenticator is left at the source.
	Everything bool `expr:"everything"`
}

// PolicyFacts is a changed rule of the provider.
type PolicyFacts struct {
	ID   string `expr:"id"`
	Name string `expr:"name"`
	// Type is the provider's object type.
	Type string `expr:"type"`
	// Change is "created", "updated", "deleted", "activated" or "deactivated".
	Change string `expr:"change"`
	// Weakened names what the change opens.
	Weakened []string `expr:"weakened" list:"weakening"`
}

// RoleFacts is a role given or taken.
type RoleFacts struct {
	Names      []string `expr:"names"`
	Granted    bool     `expr:"granted"`
	Privileged bool     `expr:"privileged"`
	// Eligible: may be activated, is not active.
	Eligible bool `expr:"eligible"`
}

// RiskFacts is the provider's own verdict.
type RiskFacts struct {
	Type  string `expr:"type"`
	Level string `expr:"level" list:"risk_level"`
	State string `expr:"state"`
	// SessionTheft: it speaks of a stolen token or session.
	SessionTheft bool `expr:"session_theft"`
}
