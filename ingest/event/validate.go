package event

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of an event. They bound what an attacker who controls a user agent or
// an app's name can make the pipeline carry; Sanitize cuts to them.
const (
	MaxIDLen   = 512
	MaxTextLen = 2048
	MaxListLen = 128
	MaxFactors = 32
	MaxRawLen  = 768 << 10
	// maxClockSkew is how far a source's clock may be ahead of the collector's.
	// An event from the future would make an identity's true events late.
	maxClockSkew = 10 * time.Minute
)

// validationError names the first field of an event that breaks the contract.
type validationError struct {
	field   string // JSON path: "factors[1].method"
	problem string // what is wrong, and what would be right
}

func (e *validationError) Error() string {
	return fmt.Sprintf("event field %s: %s", e.field, e.problem)
}

func invalid(field, format string, args ...any) error {
	return &validationError{field: field, problem: fmt.Sprintf(format, args...)}
}

// Validate reports the first breach of the contract by its field, or nil.
// An event that passes can be encoded, keyed, folded and stored.
func (e *Event) Validate() error {
	switch {
	case e.Schema != SchemaVersion:
		return invalid("schema", "is %d, this build writes %d", e.Schema, SchemaVersion)
	case e.ID == "":
		return invalid("id", "is empty")
	case len(e.ID) > MaxIDLen:
		return invalid("id", "is longer than %d bytes", MaxIDLen)
	case e.Source == "":
		return invalid("source", "is empty")
	case !e.Kind.Valid():
		return invalid("kind", "%q is not a kind", e.Kind)
	case e.Action == "":
		return invalid("action", "is empty")
	case e.Key == "":
		return invalid("key", "is empty: the event belongs to no identity")
	case len(e.Key) > MaxIDLen:
		return invalid("key", "is longer than %d bytes", MaxIDLen)
	case e.Time.IsZero() || e.Time.Year() < 2000:
		return invalid("time", "%s is no time of an event", e.Time.Format(time.RFC3339))
	case e.Observed.IsZero():
		return invalid("observed", "is empty")
	case e.Time.Sub(e.Observed) > maxClockSkew:
		return invalid("time", "%s is more than %s after it was observed", e.Time.Format(time.RFC3339), maxClockSkew)
	case !e.Outcome.Valid():
		return invalid("outcome", "%q is not an outcome", e.Outcome)
	case !e.Tier.Valid():
		return invalid("tier", "%q is not a tier", e.Tier)
	case !e.Protocol.Valid():
		return invalid("protocol", "%q is not a protocol", e.Protocol)
	case len(e.Factors) > MaxFactors:
		return invalid("factors", "has %d entries, at most %d", len(e.Factors), MaxFactors)
	case len(e.Authenticators) > MaxListLen:
		return invalid("authenticators", "has %d entries, at most %d", len(e.Authenticators), MaxListLen)
	case len(e.Raw) > MaxRawLen:
		return invalid("raw", "has %d bytes, at most %d", len(e.Raw), MaxRawLen)
	}
	for i := range e.Factors {
		f := &e.Factors[i]
		if err := validStrength("factors", i, f.Method, f.Class, f.Rank); err != nil {
			return err
		}
		if !f.Result.Valid() {
			return invalid(fmt.Sprintf("factors[%d].result", i), "%q is not a result", f.Result)
		}
		if f.Fresh && f.Rank == 0 {
			return invalid(fmt.Sprintf("factors[%d].fresh", i), "a %s factor proves nothing fresh", f.Class)
		}
	}
	for i := range e.Authenticators {
		a := &e.Authenticators[i]
		if err := validStrength("authenticators", i, a.Method, a.Class, a.Rank); err != nil {
			return err
		}
	}
	if err := validIP("endpoint.ip", e.Endpoint.IP); err != nil {
		return err
	}
	if e.AuthenticatorEndpoint != nil {
		if err := validIP("authenticator_endpoint.ip", e.AuthenticatorEndpoint.IP); err != nil {
			return err
		}
	}
	return e.validParts()
}

// validParts checks that the part a kind speaks of is there and closed lists
// hold.
func (e *Event) validParts() error {
	missing := func(part string) error { return invalid(part, "is missing in an event of kind %s", e.Kind) }
	switch e.Kind {
	case AuthenticatorEnrolled, AuthenticatorRemoved:
		if len(e.Authenticators) == 0 {
			return missing("authenticators")
		}
	case AuthenticatorSnapshot:
		if e.Snapshot == nil {
			return missing("snapshot")
		}
	case RecoveryActivity, RecoveryCredentialIssued:
		if e.Recovery == nil {
			return missing("recovery")
		}
	case ContactChange:
		if e.Contact == nil {
			return missing("contact")
		}
	case ConsentGrant, ConsentRevoke:
		if e.Consent == nil {
			return missing("consent")
		}
	case PolicyChange, TrustChange, LoggingChange:
		if e.Policy == nil {
			return missing("policy")
		}
	case RoleChange:
		if e.Role == nil {
			return missing("role")
		}
	case RiskDetection:
		if e.Risk == nil {
			return missing("risk")
		}
	}
	if e.Recovery != nil && !e.Recovery.Stage.Valid() {
		return invalid("recovery.stage", "%q is not a stage", e.Recovery.Stage)
	}
	if e.Recovery != nil && e.Recovery.Method != "" && !e.Recovery.Method.Valid() {
		return invalid("recovery.method", "%q is not a method", e.Recovery.Method)
	}
	if e.Policy != nil {
		for i, w := range e.Policy.Weakened {
			if !w.Valid() {
				return invalid(fmt.Sprintf("policy.weakened[%d]", i), "%q is not a weakening", w)
			}
		}
	}
	return nil
}

func validStrength(list string, i int, m Method, c Class, rank int) error {
	s, ok := strengths(m)
	field := func(name string) string { return fmt.Sprintf("%s[%d].%s", list, i, name) }
	switch {
	case !ok:
		return invalid(field("method"), "%q is not a method", m)
	case c != s.class:
		return invalid(field("class"), "is %q, the class of %s is %q", c, m, s.class)
	case rank != s.rank:
		return invalid(field("rank"), "is %d, the rank of %s is %d", rank, m, s.rank)
	}
	return nil
}

func validIP(field, ip string) error {
	if ip == "" {
		return nil
	}
	a, err := netip.ParseAddr(ip)
	var canonical [64]byte
	if err != nil || string(a.AppendTo(canonical[:0])) != ip {
		return invalid(field, "%q is not an address in canonical form", ip)
	}
	return nil
}

// Sanitize brings free text of an event within the limits: invalid UTF-8 is
// replaced, over-long text and lists are cut, times become UTC. What it cut is
// said in Warnings. A raw record that is over MaxRawLen is left out with a
// warning, since an event must fit into one Kafka message.
func (e *Event) Sanitize() {
	e.Time, e.Observed, e.Ingested = e.Time.UTC(), e.Observed.UTC(), e.Ingested.UTC()
	cut := func(field string, s *string) {
		if !utf8.ValidString(*s) {
			*s = strings.ToValidUTF8(*s, "\uFFFD")
		}
		if len(*s) > MaxTextLen {
			*s = truncate(*s, MaxTextLen)
			e.warn(field + " cut")
		}
	}
	cut("action", &e.Action)
	cut("reason", &e.Reason)
	cut("session_id", &e.SessionID)
	cut("flow_id", &e.FlowID)
	cut("user_agent.raw", &e.UserAgent.Raw)
	cutPrincipal := func(field string, p *Principal) {
		cut(field+".id", &p.ID)
		cut(field+".name", &p.Name)
		cut(field+".display_name", &p.DisplayName)
	}
	cutPrincipal("subject", &e.Subject)
	cutPrincipal("actor", &e.Actor)
	cut("endpoint.as_org", &e.Endpoint.ASOrg)
	cut("endpoint.city", &e.Endpoint.City)
	cut("endpoint.region", &e.Endpoint.Region)
	if e.Device != nil {
		cut("device.id", &e.Device.ID)
		cut("device.name", &e.Device.Name)
		cut("device.fingerprint", &e.Device.Fingerprint)
	}
	if e.App != nil {
		cut("app.id", &e.App.ID)
		cut("app.name", &e.App.Name)
		cut("app.resource_name", &e.App.ResourceName)
	}
	if len(e.Factors) > MaxFactors {
		// The last steps decide a sign-in.
		e.Factors = e.Factors[len(e.Factors)-MaxFactors:]
		e.warn("factors cut")
	}
	for i := range e.Factors {
		cut("factors.detail", &e.Factors[i].Detail)
		cut("factors.credential_id", &e.Factors[i].CredentialID)
	}
	if len(e.Authenticators) > MaxListLen {
		e.Authenticators = e.Authenticators[:MaxListLen]
		e.warn("authenticators cut")
	}
	for i := range e.Authenticators {
		cut("authenticators.id", &e.Authenticators[i].ID)
		cut("authenticators.name", &e.Authenticators[i].Name)
		cut("authenticators.address", &e.Authenticators[i].Address)
	}
	if c := e.Consent; c != nil {
		cut("consent.app_id", &c.AppID)
		cut("consent.app_name", &c.AppName)
		cut("consent.publisher", &c.Publisher)
		c.Scopes = cutList(e, "consent.scopes", c.Scopes)
	}
	if r := e.Role; r != nil {
		r.Roles = cutList(e, "role.roles", r.Roles)
	}
	if p := e.Policy; p != nil {
		cut("policy.name", &p.Name)
		const maxPolicy = 16 * MaxTextLen
		if len(p.Before) > maxPolicy || len(p.After) > maxPolicy {
			p.Before, p.After = truncate(p.Before, maxPolicy), truncate(p.After, maxPolicy)
			e.warn("policy cut")
		}
	}
	if len(e.Raw) > MaxRawLen {
		e.warn(fmt.Sprintf("raw of %d bytes left out", len(e.Raw)))
		e.Raw = nil
	}
	if len(e.Warnings) > MaxListLen {
		e.Warnings = e.Warnings[:MaxListLen]
	}
}

func cutList(e *Event, field string, list []string) []string {
	if len(list) > MaxListLen {
		list = list[:MaxListLen]
		e.warn(field + " cut")
	}
	for i := range list {
		list[i] = truncate(strings.ToValidUTF8(list[i], "\uFFFD"), MaxTextLen)
	}
	return list
}

func (e *Event) warn(s string) { e.Warnings = append(e.Warnings, s) }

// truncate cuts s to at most n bytes at a rune boundary.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
