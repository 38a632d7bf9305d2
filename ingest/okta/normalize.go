package okta

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-json"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// stream is the one log that Okta has.
const stream = "system_log"

type normalizer struct{}

// New returns the normalizer of System Log records. It has no state.
func New() ingest.Normalizer { return normalizer{} }

// Normalize implements ingest.Normalizer: one LogEvent gives one event or none.
// The event shares the bytes of r.Data as its raw record.
func (normalizer) Normalize(r ingest.Record) ([]event.Event, error) {
	if poll.IsSnapshot(r.Data) {
		return normalizeSnapshot(r)
	}
	events := []event.Event{{
		Schema: event.SchemaVersion, Source: r.Source, Tenant: r.Tenant, Stream: stream,
		Observed: r.Observed, Raw: r.Data,
	}}
	b := build{e: &events[0]}
	warning, err := decode(r.Data, &b.in)
	if err != nil {
		return nil, err
	}
	if warning != "" {
		b.e.Warnings = append(b.e.Warnings, warning)
	}
	if b.in.EventType == "" {
		return nil, ingest.Malformed(ingest.MalformedMissing, "log event has no eventType")
	}
	b.e.Action = b.in.EventType
	b.e.Outcome, b.e.Reason = outcomeOf(b.in.Outcome), lenient.Known(b.in.Outcome.Reason)
	timeErr := b.time()
	b.principals()
	if err := b.dispatch(); err != nil {
		return nil, err
	}
	if timeErr != nil {
		return nil, timeErr
	}
	if err := b.belongs(); err != nil {
		return nil, err
	}
	b.place()
	b.context()
	if b.e.ID = b.in.UUID; b.e.ID == "" || len(b.e.ID) > event.MaxIDLen {
		b.e.ID = digest(r.Data)
		b.warn("no uuid: the id is a digest of the record")
	}
	b.e.Sanitize()
	return events, nil
}

// build is one record on its way to an event.
type build struct {
	in logEvent
	e  *event.Event
	// user is the User among the targets, nil when there is none.
	user *entity
}

func (b *build) debug() *debugData { return &b.in.DebugContext.DebugData }

func (b *build) warn(format string, args ...any) {
	b.e.Warnings = append(b.e.Warnings, fmt.Sprintf(format, args...))
}

// target returns the first target of one of the types, nil when there is none:
// their order is not fixed.
func (b *build) target(types ...string) *entity {
	for i := range b.in.Target {
		t := &b.in.Target[i]
		for _, want := range types {
			if strings.EqualFold(t.Type, want) {
				return t
			}
		}
	}
	return nil
}

func (b *build) time() error {
	t, ok := lenient.Time(b.in.Published)
	if !ok {
		if t, ok = lenient.Time(b.in.ExportTime); ok {
			b.warn("published is no time: taken from p_event_time")
		}
	}
	if !ok {
		return ingest.Malformed(ingest.MalformedTime, "published %q is no time of an event", b.in.Published)
	}
	b.e.Time = t
	return nil
}

// The principal types of the contract.
const (
	typeUser    = "user"
	typeService = "service"
	typeSystem  = "system"
)

// oktaSystem is the login of Okta's own staff and services.
const oktaSystem = "system@okta.com"

func principal(t *entity) event.Principal {
	p := event.Principal{ID: lenient.Known(t.ID), Name: lenient.Known(t.AlternateID), DisplayName: lenient.Known(t.DisplayName)}
	switch lenient.Squeeze(t.Type) {
	case "user":
		p.Type = typeUser
	case "systemprincipal":
		p.Type = typeSystem
	case "publicclientapp", "client", "serviceaccount", "agent", "workloadprincipal", "apiclient":
		p.Type = typeService
	case "ipaddress":
		return event.Principal{}
	}
	if strings.EqualFold(p.Name, oktaSystem) {
		p.Type = typeSystem
	}
	if p.ID == "" && p.Name == "" {
		return event.Principal{}
	}
	return p
}

// principals sets Actor, and Subject to the user among the targets, else to the
// actor.
func (b *build) principals() {
	b.e.Actor = principal(&b.in.Actor)
	if b.e.Actor.Type == typeSystem && isMessage(b.in.EventType) {
		b.e.Actor = event.Principal{} // Okta sends the message, somebody else asked for it
	}
	b.e.Subject = b.e.Actor
	b.user = b.target("User")
	if b.user == nil {
		return
	}
	s := principal(b.user)
	if s.IsZero() {
		return
	}
	b.e.Subject = s
	if b.e.Actor.Type == typeSystem && b.e.Actor.ID == s.ID && b.e.Actor.Name != s.Name {
		// Okta's support acts under the id of the user it helps.
		b.e.Actor.ID = ""
	}
}

func isMessage(eventType string) bool {
	for _, prefix := range [...]string{"system.email.", "system.sms.", "system.voice.", "system.push."} {
		if strings.HasPrefix(eventType, prefix) {
			return true
		}
	}
	return false
}

// belongs checks that the event has a ledger it belongs to.
func (b *build) belongs() error {
	switch b.e.Kind {
	case event.PolicyChange, event.TrustChange, event.LoggingChange, event.AppCredential, event.AppChange:
		// Whoever made the change, be it a program: a target user is not its victim.
		b.e.Subject = b.e.Actor
	case event.ConsentGrant, event.ConsentRevoke, event.Impersonation:
	default:
		switch b.e.Subject.Type {
		case typeService:
			return ingest.Skip(ingest.SkipMachine, b.in.EventType)
		case typeSystem:
			return ingest.Skip(ingest.SkipNoIdentity, b.in.EventType)
		}
	}
	if b.e.Subject.IsZero() {
		return ingest.Skip(ingest.SkipNoIdentity, b.in.EventType)
	}
	return nil
}

func outcomeOf(o outcome) event.Outcome {
	switch strings.ToUpper(o.Result) {
	case "SUCCESS", "ALLOW":
		return event.Success
	case "FAILURE":
		if o.Reason == "LOCKED_OUT" {
			return event.Denied
		}
		return event.Failure
	case "DENY", "RATE_LIMIT":
		return event.Denied
	case "CHALLENGE":
		return event.Challenged
	case "ABANDONED", "UNANSWERED":
		return event.Abandoned
	}
	return event.OutcomeUnknown
}

// result returns how a step ended by the outcome of the record that tells of it.
func result(o event.Outcome) event.Result {
	switch o {
	case event.Success:
		return event.Verified
	case event.Abandoned:
		return event.Unanswered
	case event.Challenged, event.OutcomeUnknown:
		return event.Pending
	}
	return event.Failed
}

// place sets where the client is and what it is.
func (b *build) place() {
	c, s := &b.in.Client, &b.in.SecurityContext
	ep := event.Endpoint{
		IP: b.address(c.IPAddress), ASN: s.ASNumber, ASOrg: lenient.Known(s.ASOrg),
		City: lenient.Known(c.Geo.City), Region: lenient.Known(c.Geo.State), Country: ingest.CountryCode(lenient.Known(c.Geo.Country)),
		Proxy: s.IsProxy == lenient.True || tunnelled(b.debug().Tunnels),
	}
	if g := c.Geo.Geolocation; g != nil && g.Lat != nil && g.Lon != nil {
		ep.Lat, ep.Lon = g.Lat, g.Lon
	}
	if ep.IP == "" && len(b.in.Request.IPChain) > 0 {
		ep.IP = b.address(b.in.Request.IPChain[0].IP)
	}
	ua := ingest.ParseUserAgent(lenient.Known(c.UserAgent.Raw))
	if ua.Browser == "" {
		ua.Browser = ingest.BrowserFamily(c.UserAgent.Browser)
	}
	if ua.OS == "" {
		ua.OS = ingest.OSFamily(c.UserAgent.OS)
	}
	b.e.Endpoint, b.e.UserAgent = ep, ua
	if (b.e.Kind == event.FactorChallenge || b.e.Kind == event.RecoveryActivity) && strings.Contains(strings.ToLower(ua.Raw), "oktaverify") {
		// The authenticator answered, not the browser that signs in.
		b.e.AuthenticatorEndpoint, b.e.Endpoint = &ep, event.Endpoint{}
		b.e.UserAgent = event.UserAgent{Raw: ua.Raw}
	}
	fingerprint := b.debug().DTHash
	if d := b.in.Device; d != nil && (lenient.Known(d.ID) != "" || lenient.Known(d.Name) != "" || fingerprint != "") {
		b.e.Device = &event.Device{ID: lenient.Known(d.ID), Name: lenient.Known(d.Name), OS: ingest.OSFamily(d.OSPlatform),
			Managed: d.Managed.Pointer(), Registered: d.Registered.Pointer(), Fingerprint: fingerprint}
	} else if fingerprint != "" {
		b.e.Device = &event.Device{Fingerprint: fingerprint}
	}
}

// address returns ip in canonical form.
func (b *build) address(ip string) string {
	ip = lenient.Known(ip)
	a := lenient.Address(ip)
	if a == "" && ip != "" {
		b.warn("%.64q is no address", ip)
	}
	return a
}

// tunnelled reads debugData.tunnels: a JSON list of the proxies and VPNs that the
// address belongs to.
func tunnelled(tunnels lenient.Text) bool {
	switch strings.TrimSpace(string(tunnels)) {
	case "", "[]", "null":
		return false
	}
	return true
}

// context sets session, flow, app and protocol where the handler has not.
func (b *build) context() {
	ac, tx := &b.in.AuthenticationContext, &b.in.Transaction
	// The session in the record is the actor's, also where it ends another's.
	if b.e.SessionID == "" && !(b.e.Kind == event.SessionEnd && b.e.ByOther()) {
		b.e.SessionID = first(ac.ExternalSessionID, ac.RootSessionID)
	}
	switch {
	case b.debug().AuthnRequestID != "":
		b.e.FlowID = b.debug().AuthnRequestID
	case tx.ID != "" && (tx.Type == "WEB" || b.in.EventType == "user.session.start"):
		b.e.FlowID = tx.ID
	default:
		b.e.FlowID = b.e.SessionID
	}
	if b.e.App == nil {
		b.e.App = b.app()
	}
	if b.e.Protocol == "" {
		mode := b.debug().SignOnMode
		if t := b.target("AppInstance"); mode == "" && t != nil {
			mode = t.Detail.SignOnModeType
		}
		b.e.Protocol = protocolOf(mode)
	}
}

func (b *build) app() *event.App {
	t := b.target("AppInstance", "PublicClientApp", "OAuthClient", "AppInstanceEntity")
	if t == nil {
		return nil
	}
	app := event.App{ID: lenient.Known(t.ID), Name: first(t.DisplayName, t.AlternateID)}
	app.Admin = isAdminConsole(t.DisplayName) || isAdminConsole(t.AlternateID)
	if app == (event.App{}) {
		return nil
	}
	return &app
}

func isAdminConsole(name string) bool {
	return strings.EqualFold(name, "Okta Admin Console") || strings.EqualFold(name, "Okta Administration")
}

func protocolOf(signOnMode string) event.Protocol {
	switch m := lenient.Squeeze(signOnMode); {
	case strings.HasPrefix(m, "saml"):
		return event.ProtocolSAML
	case strings.HasPrefix(m, "openidconnect"), strings.HasPrefix(m, "oauth"):
		return event.ProtocolOAuth2
	case strings.HasPrefix(m, "wsfed"):
		return event.ProtocolWSFederation
	}
	return ""
}

// digest names a record that has no id by its content; the order of members and
// white space do not count.
func digest(data []byte) string {
	var v any
	if err := json.Unmarshal(data, &v); err == nil {
		if canonical, err := json.Marshal(v); err == nil {
			data = canonical
		}
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// freshFor is how long before a record a proof may lie and still be one of the
// same sign-in.
const freshFor = 5 * time.Minute

// verifiedAt puts the time of proof into f and takes its freshness away when
// that is not known or too long ago.
func (b *build) verifiedAt(f *event.Factor, at string) {
	t, ok := lenient.Time(at)
	if ok {
		f.Time = &t
	}
	age := b.e.Time.Sub(t)
	f.Fresh = f.Fresh && ok && age <= freshFor && age >= -freshFor
}
