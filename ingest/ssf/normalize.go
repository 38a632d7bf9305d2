package ssf

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// The namespaces of event types.
const (
	caepEvents  = "https://schemas.openid.net/secevent/caep/event-type/"
	riscEvents  = "https://schemas.openid.net/secevent/risc/event-type/"
	oauthEvents = "https://schemas.openid.net/secevent/oauth/event-type/"
	ssfEvents   = "https://schemas.openid.net/secevent/ssf/event-type/"
	// sseEvents is what ssfEvents was called in drafts.
	sseEvents = "https://schemas.openid.net/secevent/sse/event-type/"
)

// record is a set of claims.
type record struct {
	ID       lenient.Text              `json:"jti"`
	Issuer   lenient.Text              `json:"iss"`
	Issued   lenient.Text              `json:"iat"`
	Happened lenient.Text              `json:"toe"`
	Txn      lenient.Text              `json:"txn"`
	Subject  lenient.Object            `json:"sub_id"`
	Events   map[string]lenient.Object `json:"events"`
}

// claims are those of one event, of all types.
type claims struct {
	// Subject is where drafts have what sub_id says now.
	Subject    lenient.Object `json:"subject"`
	Timestamp  lenient.Text   `json:"event_timestamp"`
	Initiator  lenient.Text   `json:"initiating_entity"`
	AdminWhy   lenient.Text   `json:"reason_admin"`
	UserWhy    lenient.Text   `json:"reason_user"`
	Reason     lenient.Text   `json:"reason"`
	RiskReason lenient.Text   `json:"risk_reason"`

	CredentialType lenient.Text `json:"credential_type"`
	OfDrafts       lenient.Text `json:"credential-type"`
	ChangeType     lenient.Text `json:"change_type"`
	FriendlyName   lenient.Text `json:"friendly_name"`
	AAGUID         lenient.Text `json:"fido2_aaguid"`

	Namespace     lenient.Text `json:"namespace"`
	CurrentLevel  lenient.Text `json:"current_level"`
	PreviousLevel lenient.Text `json:"previous_level"`
	Direction     lenient.Text `json:"change_direction"`
	Principal     lenient.Text `json:"principal"`

	CurrentStatus  lenient.Text `json:"current_status"`
	PreviousStatus lenient.Text `json:"previous_status"`

	IPs         lenient.Texts `json:"ips"`
	AMR         lenient.Texts `json:"amr"`
	ACR         lenient.Text  `json:"acr"`
	Fingerprint lenient.Text  `json:"fp_ua"`
	Session     lenient.Text  `json:"ext_id"`

	NewValue lenient.Text `json:"new-value"`
}

type normalizer struct{}

// New returns the normalizer of the claims of security event tokens. It has no state.
func New() ingest.Normalizer { return normalizer{} }

// Normalize implements ingest.Normalizer: each event of a token that is about a
// person gives one. The events share the bytes of r.Data as their raw record.
func (normalizer) Normalize(r ingest.Record) ([]event.Event, error) {
	var in record
	warning, err := lenient.Decode(r.Data, &in)
	if err != nil {
		return nil, err
	}
	if in.ID == "" {
		return nil, ingest.Malformed(ingest.MalformedMissing, "no jti in the claims")
	}
	if len(in.Events) == 0 {
		return nil, ingest.Malformed(ingest.MalformedMissing, "no events in the claims")
	}
	id := lenient.ID(string(in.ID), string(in.Issuer))
	var out []event.Event
	var first error
	skip := func(err error) {
		if first == nil {
			first = err
		}
	}
	types := slices.Sorted(maps.Keys(in.Events))
	for i, uri := range types {
		e := event.Event{
			Schema: event.SchemaVersion, ID: id, Source: r.Source, Tenant: r.Tenant, Stream: stream, Observed: r.Observed,
			Action: uri, Outcome: event.Success, Raw: r.Data,
		}
		if len(types) > 1 {
			e.ID += "#" + strconv.Itoa(i+1)
		}
		if warning != "" {
			e.Warnings = append(e.Warnings, warning)
		}
		var c claims
		if body := in.Events[uri]; len(body) > 0 {
			// A member of another type costs that member.
			if warning, err := lenient.Decode(body, &c); err != nil {
				skip(err)
				continue
			} else if warning != "" {
				e.Warnings = append(e.Warnings, warning)
			}
		}
		if e.Time, err = lenient.EventTime(string(c.Timestamp), string(in.Happened), string(in.Issued)); err != nil {
			skip(err)
			continue
		}
		s := subjectOf(in.Subject, c.Subject)
		s.stamp(&e)
		c.common(&e)
		if !c.fill(&e, s) {
			skip(ingest.Skip(ingest.SkipIrrelevant, uri))
			continue
		}
		if e.Subject.IsZero() && e.Kind != event.LoggingChange {
			skip(ingest.Skip(ingest.SkipNoIdentity, uri))
			continue
		}
		out = append(out, e)
	}
	if len(out) == 0 {
		return nil, first
	}
	return out, nil
}

// common sets what events of all types may tell.
func (c *claims) common(e *event.Event) {
	switch c.Initiator {
	case "user":
		e.Actor = e.Subject
	case "admin":
		e.Actor = event.Principal{Type: "admin"}
	case "policy", "system":
		e.Actor = event.Principal{Type: "system"}
	}
	e.Reason = lenient.First(said(c.AdminWhy), said(c.UserWhy), said(c.RiskReason), said(c.Reason))
	e.SessionID = lenient.First(string(c.Session), e.SessionID)
	e.Endpoint.IP = lenient.Address(c.IPs...)
}

// said is a reason: a text, or texts by language, of which English is preferred.
func said(t lenient.Text) string {
	var by map[string]lenient.Text
	if !strings.HasPrefix(string(t), "{") || json.Unmarshal([]byte(t), &by) != nil {
		return string(t)
	}
	if en, ok := by["en"]; ok {
		return string(en)
	}
	for _, language := range slices.Sorted(maps.Keys(by)) {
		return string(by[language])
	}
	return ""
}

// fill sets what the type of event tells; it returns false for a type that says
// nothing of authentication.
func (c *claims) fill(e *event.Event, s subject) bool {
	if name, ok := strings.CutPrefix(e.Action, caepEvents); ok {
		return c.caep(e, name)
	}
	if name, ok := strings.CutPrefix(e.Action, riscEvents); ok {
		return c.risc(e, name, s)
	}
	if name, ok := strings.CutPrefix(e.Action, oauthEvents); ok && (name == "tokens-revoked" || name == "token-revoked") {
		e.Kind = event.SessionEnd
		return true
	}
	return false // of the stream itself: verification, stream-updated
}

func (c *claims) caep(e *event.Event, name string) bool {
	switch name {
	case "session-revoked":
		e.Kind = event.SessionEnd
	case "session-established":
		e.Kind = event.SessionStart
		c.device(e)
		for _, word := range c.AMR {
			c.factor(e, word)
		}
	case "session-presented", "token-claims-change":
		e.Kind = event.SessionActivity
		c.device(e)
	case "credential-change":
		c.credential(e)
	case "assurance-level-change":
		e.Kind = event.SessionActivity
		detail := c.change(string(c.PreviousLevel), string(c.CurrentLevel))
		if c.Namespace != "" {
			detail += " (" + string(c.Namespace) + ")"
		}
		if c.Direction == "decrease" {
			e.Kind = event.RiskDetection
			e.Risk = &event.Risk{Type: name, State: string(c.Direction), Detail: detail}
		}
		e.Reason = lenient.First(e.Reason, detail)
	case "device-compliance-change":
		e.Kind = event.SessionActivity
		if e.Device == nil {
			e.Device = &event.Device{}
		}
		switch c.CurrentStatus {
		case "compliant":
			e.Device.Compliant = new(true)
		case "not-compliant":
			e.Device.Compliant = new(false)
		default:
			e.Warnings = append(e.Warnings, "compliance status "+strconv.Quote(string(c.CurrentStatus))+" is not understood")
		}
		e.Reason = lenient.First(e.Reason, c.change(string(c.PreviousStatus), string(c.CurrentStatus)))
	case "risk-level-change":
		e.Kind = event.RiskDetection
		e.Risk = &event.Risk{Type: name, Level: c.level(e), State: strings.ToLower(string(c.Principal)),
			Detail: c.change(string(c.PreviousLevel), string(c.CurrentLevel))}
	default:
		return false
	}
	return true
}

// level is the level of a risk in the words of the contract.
func (c *claims) level(e *event.Event) string {
	switch level := strings.ToLower(string(c.CurrentLevel)); level {
	case "low", "medium", "high":
		return level
	case "":
		return ""
	}
	e.Warnings = append(e.Warnings, "risk level "+strconv.Quote(string(c.CurrentLevel))+" is not understood")
	return ""
}

// change says "a -> b".
func (*claims) change(from, to string) string {
	if from == "" {
		return to
	}
	return from + " -> " + to
}

// device sets the fingerprint of the browser.
func (c *claims) device(e *event.Event) {
	if c.Fingerprint == "" {
		return
	}
	if e.Device == nil {
		e.Device = &event.Device{}
	}
	e.Device.Fingerprint = string(c.Fingerprint)
}

// factor adds the factor of a word of amr (RFC 8176); words of how a device knew its
// user, and of what is no proof, add none.
func (c *claims) factor(e *event.Event, word string) {
	method := event.MethodUnknown
	switch word {
	case "pwd":
		method = event.MethodPassword
	case "hwk", "swk", "pop":
		// A key that was proved; whether it is bound to the device, or to this
		// site, the word does not say.
		method = event.MethodPasskey
	case "sc":
		method = event.MethodCertificate
	case "sms":
		method = event.MethodSMS
	case "tel":
		method = event.MethodVoice
	case "kba":
		method = event.MethodSecurityQuestion
	case "wia":
		method = event.MethodDelegated
	case "otp", "mfa", "mca":
		// otp may have come by text message.
	case "pin", "fpt", "face", "iris", "retina", "vbm", "user", "rba", "geo":
		return
	default:
		e.Warnings = append(e.Warnings, "amr "+strconv.Quote(word)+" is not understood")
	}
	if word == "mfa" && len(c.AMR) > 1 {
		return // the other words say which
	}
	f := event.NewFactor(method, event.Verified)
	f.Detail = word
	e.Factors = append(e.Factors, f)
}

// credential sets what a change of a credential means.
func (c *claims) credential(e *event.Event) {
	word := lenient.First(string(c.CredentialType), string(c.OfDrafts))
	changed := string(c.ChangeType)
	if word == "password" {
		e.Kind = event.PasswordChange
		if c.Initiator == "admin" || changed == "revoke" || changed == "delete" {
			e.Kind = event.PasswordReset
		}
		return
	}
	a := event.NewAuthenticator(methodOf(word))
	a.Name, a.AAGUID = string(c.FriendlyName), strings.ToLower(string(c.AAGUID))
	if a.Method == event.MethodUnknown && word != "app" && word != "pin" && word != "verifiable-credential" {
		e.Warnings = append(e.Warnings, "credential type "+strconv.Quote(word)+" is not understood")
	}
	e.Authenticators = []event.Authenticator{a}
	switch changed {
	case "create":
		e.Kind = event.AuthenticatorEnrolled
	case "revoke", "delete":
		e.Kind = event.AuthenticatorRemoved
	default:
		// It was there before and is there now.
		e.Kind = event.UserLifecycle
		if changed != "update" {
			e.Warnings = append(e.Warnings, "change "+strconv.Quote(changed)+" of a credential is not understood")
		}
	}
	e.Reason = lenient.First(e.Reason, word+" "+changed)
}

// methodOf is the method of a credential_type.
func methodOf(word string) event.Method {
	switch word {
	case "fido2-platform", "fido2-roaming":
		return event.MethodPasskey
	case "fido-u2f":
		return event.MethodSecurityKey
	case "x509":
		return event.MethodCertificate
	case "phone-voice":
		return event.MethodVoice
	case "phone-sms":
		return event.MethodSMS
	}
	return event.MethodUnknown
}

func (c *claims) risc(e *event.Event, name string, s subject) bool {
	switch name {
	case "account-credential-change-required", "account-purged", "account-disabled", "account-enabled", "identifier-recycled",
		"opt-out-initiated", "opt-out-cancelled":
		e.Kind = event.UserLifecycle
	case "identifier-changed":
		e.Kind = event.ContactChange
		e.Contact = &event.Contact{Kind: s.contact, Primary: true, Value: string(c.NewValue)}
	case "recovery-information-changed":
		e.Kind = event.ContactChange
		e.Contact = &event.Contact{}
		e.Warnings = append(e.Warnings, "which address changed is not said")
	case "recovery-activated":
		e.Kind = event.RecoveryActivity
		e.Recovery = &event.Recovery{Stage: event.RecoveryStarted, SelfService: c.Initiator != "admin"}
	case "credential-compromise":
		e.Kind = event.RiskDetection
		e.Risk = &event.Risk{Type: name, Detail: lenient.First(string(c.CredentialType), string(c.OfDrafts))}
	case "sessions-revoked":
		e.Kind = event.SessionEnd
	case "opt-in", "opt-out-effective":
		// From then on the transmitter tells, or does not tell, of this account.
		e.Kind = event.LoggingChange
		e.Policy = &event.Policy{Type: "risc", Change: map[bool]string{true: "activated", false: "deactivated"}[name == "opt-in"]}
	default:
		return false
	}
	return true
}
