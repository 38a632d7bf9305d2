package event

import (
	"encoding/json"
	"time"
)

// SchemaVersion is the version of the encoding that this build writes. It grows
// when a field changes its meaning or disappears; adding an optional field does
// not change it.
const SchemaVersion = 1

// Key names one person or account across sources. It is made by
// ingest/identity, is the Kafka key of the event, and is the key of the ledger.
type Key string

// Source is the provider whose log the record comes from: "okta", "entra".
type Source string

// Event is one normalized fact. The zero value is not valid; see Validate.
type Event struct {
	// Schema is the SchemaVersion of the writer.
	Schema int `json:"schema"`
	// ID is the provider's id of the record, or a digest where it has none. With
	// Source and Tenant it is unique; a record that a provider rewrites keeps
	// its ID. A record that yields several events adds "#1", "#2" to the ID.
	ID     string `json:"id"`
	Source Source `json:"source"`
	// Tenant is the provider's organisation (Okta org host, Entra tenant id).
	Tenant string `json:"tenant,omitempty"`
	// Stream is the provider's log within the source: "system_log",
	// "sign_in", "sign_in_non_interactive", "audit", "risk_detection".
	Stream string `json:"stream,omitempty"`
	Kind   Kind   `json:"kind"`
	// Action is the provider's own name of what happened, unchanged.
	Action string `json:"action"`

	// Time is when it happened, by the provider's clock, in UTC.
	Time time.Time `json:"time"`
	// Observed is when the collector read the record.
	Observed time.Time `json:"observed"`
	// Ingested is when the event was handed to Kafka; zero before that.
	Ingested time.Time `json:"ingested,omitzero"`

	// Key is the canonical identity whose ledger this event belongs to: the
	// subject, never the help-desk person who acted on it.
	Key Key `json:"key"`
	// Tier and Populations come from the directory at the time of ingest, so
	// that detection is a function of the event log alone.
	Tier        Tier     `json:"tier,omitempty"`
	Populations []string `json:"populations,omitempty"`

	// Subject is whom it happened to; Actor is who did it. They are the same
	// for self-service. Actor is zero when the source does not say.
	Subject Principal `json:"subject"`
	Actor   Principal `json:"actor,omitzero"`

	Outcome Outcome `json:"outcome"`
	// Reason is the source's own word for the outcome.
	Reason string `json:"reason,omitempty"`

	// Factors are the steps of proof that this record tells of, in order.
	Factors []Factor `json:"factors,omitempty"`

	// Endpoint is where the browser or client is.
	Endpoint Endpoint `json:"endpoint,omitzero"`
	// AuthenticatorEndpoint is where the authenticator is (the phone that
	// approved), where the source tells it apart from Endpoint.
	AuthenticatorEndpoint *Endpoint `json:"authenticator_endpoint,omitempty"`
	UserAgent             UserAgent `json:"user_agent,omitzero"`
	Device                *Device   `json:"device,omitempty"`
	App                   *App      `json:"app,omitempty"`

	// SessionID is the session at the source that the record belongs to or
	// creates; FlowID ties the records of one sign-in together.
	SessionID string   `json:"session_id,omitempty"`
	FlowID    string   `json:"flow_id,omitempty"`
	Protocol  Protocol `json:"protocol,omitempty"`

	// By kind; nil where the kind has no such part.
	Authenticators []Authenticator `json:"authenticators,omitempty"`
	Snapshot       *Snapshot       `json:"snapshot,omitempty"`
	Recovery       *Recovery       `json:"recovery,omitempty"`
	Contact        *Contact        `json:"contact,omitempty"`
	Consent        *Consent        `json:"consent,omitempty"`
	Policy         *Policy         `json:"policy,omitempty"`
	Role           *Role           `json:"role,omitempty"`
	Risk           *Risk           `json:"risk,omitempty"`
	Report         *Report         `json:"report,omitempty"`

	// Raw is the provider's record as it came.
	Raw json.RawMessage `json:"raw,omitempty"`
	// Warnings say what the normalizer could not read and left out.
	Warnings []string `json:"warnings,omitempty"`
}

// Principal is a user, service or administrator as one source names it.
type Principal struct {
	// ID is the provider's object id.
	ID string `json:"id,omitempty"`
	// Name is the login name (user principal name, e-mail), as logged.
	Name        string `json:"name,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
	// Type is "user", "guest", "service", "admin" or "system".
	Type string `json:"type,omitempty"`
	// Key is the canonical identity, set by ingest/identity for users.
	Key Key `json:"key,omitempty"`
}

// IsZero reports whether the source named nobody.
func (p Principal) IsZero() bool { return p == Principal{} }

// ByOther reports whether somebody else than the subject acted: an
// administrator, the help desk, a service.
func (e *Event) ByOther() bool {
	switch {
	case e.Actor.IsZero():
		return false
	case e.Actor.Key != "" && e.Subject.Key != "":
		return e.Actor.Key != e.Subject.Key
	case e.Actor.ID != "" && e.Subject.ID != "":
		return e.Actor.ID != e.Subject.ID
	case e.Actor.Name != "" && e.Subject.Name != "":
		return e.Actor.Name != e.Subject.Name
	}
	return false
}

// Endpoint is one end of the connection as the source saw it.
type Endpoint struct {
	// IP is in its canonical text form (net/netip).
	IP    string `json:"ip,omitempty"`
	ASN   uint32 `json:"asn,omitempty"`
	ASOrg string `json:"as_org,omitempty"`
	// Country is ISO 3166-1 alpha-2, upper case.
	Country string   `json:"country,omitempty"`
	Region  string   `json:"region,omitempty"`
	City    string   `json:"city,omitempty"`
	Lat     *float64 `json:"lat,omitempty"`
	Lon     *float64 `json:"lon,omitempty"`
	// Proxy is true when the source marks the address as proxy, VPN or
	// anonymizer.
	Proxy bool `json:"proxy,omitempty"`
}

// UserAgent is the client program. Browser and OS are families without
// versions ("Chrome", "Windows"), the same spelling for every source.
type UserAgent struct {
	Raw     string `json:"raw,omitempty"`
	Browser string `json:"browser,omitempty"`
	OS      string `json:"os,omitempty"`
}

// Device is what the source knows of the device; the pointers are nil where it
// does not say.
type Device struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// OS is a family without version, as in UserAgent.
	OS         string `json:"os,omitempty"`
	Managed    *bool  `json:"managed,omitempty"`
	Compliant  *bool  `json:"compliant,omitempty"`
	Registered *bool  `json:"registered,omitempty"`
	// TrustType is the source's word: "Azure AD joined".
	TrustType string `json:"trust_type,omitempty"`
	// Fingerprint identifies the browser across sessions where the source has
	// such a value (Okta's dtHash).
	Fingerprint string `json:"fingerprint,omitempty"`
}

// App is the application that was reached, and the resource behind it.
type App struct {
	ID           string `json:"id,omitempty"`
	Name         string `json:"name,omitempty"`
	ResourceID   string `json:"resource_id,omitempty"`
	ResourceName string `json:"resource_name,omitempty"`
	// Client is the kind of client: "browser", "mobile_desktop", "legacy".
	Client string `json:"client,omitempty"`
	// Admin is true for a provider's administration console or API.
	Admin bool `json:"admin,omitempty"`
}

// Authenticator is one enrolled credential.
type Authenticator struct {
	// ID is the provider's id of the enrolment; it may be empty.
	ID     string `json:"id,omitempty"`
	Method Method `json:"method"`
	Class  Class  `json:"class"`
	Rank   int    `json:"rank,omitempty"`
	Name   string `json:"name,omitempty"`
	// AAGUID is the model of a FIDO2 authenticator, lower case with dashes.
	AAGUID         string `json:"aaguid,omitempty"`
	BackupEligible *bool  `json:"backup_eligible,omitempty"`
	// Phone or e-mail address that receives codes, masked as logged.
	Address string `json:"address,omitempty"`
	// Created and LastUsed are what a snapshot tells; zero where it does not.
	Created  *time.Time `json:"created,omitempty"`
	LastUsed *time.Time `json:"last_used,omitempty"`
}

// Snapshot says that Authenticators is what the identity has enrolled.
type Snapshot struct {
	// Complete means that an authenticator of this source which is not listed
	// does not exist.
	Complete bool `json:"complete"`
}

// Recovery is a step of a recovery of access.
type Recovery struct {
	Stage RecoveryStage `json:"stage"`
	// Method is the channel or code that was used or issued: email_link, sms,
	// temporary_access_pass, backup_code, bypass_code.
	Method Method `json:"method,omitempty"`
	// SelfService is false when an administrator or the help desk did it.
	SelfService bool `json:"self_service"`
	// Lifetime of an issued code; zero where the source does not say.
	Lifetime time.Duration `json:"lifetime_ns,omitempty"`
	// Uses is how often an issued code may be used; 0 where not said, -1 for
	// unlimited.
	Uses int `json:"uses,omitempty"`
}

// Contact is a changed recovery address.
type Contact struct {
	// Kind is "email" or "phone".
	Kind    string `json:"kind"`
	Primary bool   `json:"primary,omitempty"`
	// Value is masked as logged.
	Value string `json:"value,omitempty"`
}

// Consent is a grant of delegated or application permissions.
type Consent struct {
	AppID     string `json:"app_id,omitempty"`
	AppName   string `json:"app_name,omitempty"`
	Publisher string `json:"publisher,omitempty"`
	// Verified is nil where the source does not say whether the publisher is.
	Verified *bool `json:"verified,omitempty"`
	// Scopes are as granted, without duplicates, in the source's spelling.
	Scopes []string `json:"scopes,omitempty"`
	// ByAdmin: an administrator consented. TenantWide: for all users.
	ByAdmin    bool   `json:"by_admin,omitempty"`
	TenantWide bool   `json:"tenant_wide,omitempty"`
	Resource   string `json:"resource,omitempty"`
	GrantID    string `json:"grant_id,omitempty"`
}

// Policy is a changed rule of the provider: sign-on policy, authenticator
// policy, conditional access, federation trust, log stream.
type Policy struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// Type is the provider's object type.
	Type string `json:"type,omitempty"`
	// Change is created, updated, deleted, activated or deactivated.
	Change string `json:"change,omitempty"`
	// Weakened names what the change opens, from the closed list Weakening*.
	Weakened []Weakening `json:"weakened,omitempty"`
	// Before and After are the provider's own values, JSON where it was JSON.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Role is a role, group or privilege given or taken.
type Role struct {
	// Roles are those granted or revoked; where the source only gives the full
	// list after the change, Full is true.
	Roles   []string `json:"roles,omitempty"`
	Full    bool     `json:"full,omitempty"`
	Granted bool     `json:"granted"`
	// Privileged is true where one of the roles administers the provider.
	Privileged bool `json:"privileged,omitempty"`
	// Eligible: may be activated, is not active.
	Eligible bool `json:"eligible,omitempty"`
}

// Risk is the provider's own verdict.
type Risk struct {
	// Type is the provider's name of the detection.
	Type string `json:"type,omitempty"`
	// Level is "low", "medium", "high", "none" or "hidden".
	Level string `json:"level,omitempty"`
	State string `json:"state,omitempty"`
	// SessionTheft is true for verdicts that speak of a stolen token or session.
	SessionTheft bool   `json:"session_theft,omitempty"`
	Detail       string `json:"detail,omitempty"`
	// EventID is the id of the sign-in the verdict is about.
	EventID string `json:"event_id,omitempty"`
}

// Report is a person saying "that was not me".
type Report struct {
	// EventID and EventType point at what was reported.
	EventID   string `json:"event_id,omitempty"`
	EventType string `json:"event_type,omitempty"`
	IP        string `json:"ip,omitempty"`
}
