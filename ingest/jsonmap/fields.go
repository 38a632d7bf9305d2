package jsonmap

import (
	"strconv"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// textFields are the parts of an event that an expression of a text sets, by their
// paths in the event. It is not called for an empty text.
func textFields() map[string]func(*event.Event, string) {
	device := func(e *event.Event) *event.Device { return part(&e.Device) }
	app := func(e *event.Event) *event.App { return part(&e.App) }
	consent := func(e *event.Event) *event.Consent { return part(&e.Consent) }
	contact := func(e *event.Event) *event.Contact { return part(&e.Contact) }
	risk := func(e *event.Event) *event.Risk { return part(&e.Risk) }
	warn := func(e *event.Event, what, s string) {
		e.Warnings = append(e.Warnings, what+" "+strconv.Quote(s)+" is not understood")
	}
	return map[string]func(*event.Event, string){
		"action":               func(e *event.Event, s string) { e.Action = s },
		"tenant":               func(e *event.Event, s string) { e.Tenant = s },
		"reason":               func(e *event.Event, s string) { e.Reason = s },
		"subject.id":           func(e *event.Event, s string) { e.Subject.ID = s },
		"subject.name":         func(e *event.Event, s string) { e.Subject.Name = s },
		"subject.display_name": func(e *event.Event, s string) { e.Subject.DisplayName = s },
		"subject.type":         func(e *event.Event, s string) { e.Subject.Type = s },
		"actor.id":             func(e *event.Event, s string) { e.Actor.ID = s },
		"actor.name":           func(e *event.Event, s string) { e.Actor.Name = s },
		"actor.display_name":   func(e *event.Event, s string) { e.Actor.DisplayName = s },
		"actor.type":           func(e *event.Event, s string) { e.Actor.Type = s },
		"endpoint.ip": func(e *event.Event, s string) {
			if e.Endpoint.IP = lenient.Address(s); e.Endpoint.IP == "" {
				warn(e, "address", s)
			}
		},
		"endpoint.country":   func(e *event.Event, s string) { e.Endpoint.Country = ingest.CountryCode(s) },
		"endpoint.city":      func(e *event.Event, s string) { e.Endpoint.City = s },
		"endpoint.asn":       func(e *event.Event, s string) { e.Endpoint.ASN = lenient.ASN(s) },
		"endpoint.as_org":    func(e *event.Event, s string) { e.Endpoint.ASOrg = s },
		"user_agent.raw":     func(e *event.Event, s string) { e.UserAgent = ingest.ParseUserAgent(s) },
		"device.id":          func(e *event.Event, s string) { device(e).ID = s },
		"device.name":        func(e *event.Event, s string) { device(e).Name = s },
		"device.os":          func(e *event.Event, s string) { device(e).OS = ingest.OSFamily(s) },
		"device.fingerprint": func(e *event.Event, s string) { device(e).Fingerprint = s },
		"app.id":             func(e *event.Event, s string) { app(e).ID = s },
		"app.name":           func(e *event.Event, s string) { app(e).Name = s },
		"session_id":         func(e *event.Event, s string) { e.SessionID = s },
		"flow_id":            func(e *event.Event, s string) { e.FlowID = s },
		"protocol": func(e *event.Event, s string) {
			if e.Protocol = event.Protocol(s); !e.Protocol.Valid() {
				e.Protocol = ""
				warn(e, "protocol", s)
			}
		},
		"recovery.stage":    func(e *event.Event, s string) { part(&e.Recovery).Stage = event.RecoveryStage(s) },
		"contact.kind":      func(e *event.Event, s string) { contact(e).Kind = s },
		"contact.value":     func(e *event.Event, s string) { contact(e).Value = s },
		"consent.app_id":    func(e *event.Event, s string) { consent(e).AppID = s },
		"consent.app_name":  func(e *event.Event, s string) { consent(e).AppName = s },
		"consent.publisher": func(e *event.Event, s string) { consent(e).Publisher = s },
		"risk.type":         func(e *event.Event, s string) { risk(e).Type = s },
		"risk.level":        func(e *event.Event, s string) { risk(e).Level = s },
	}
}

// listFields are those that take a list of texts.
func listFields() map[string]func(*event.Event, []string) {
	return map[string]func(*event.Event, []string){
		"consent.scopes": func(e *event.Event, list []string) { part(&e.Consent).Scopes = list },
		"role.roles":     func(e *event.Event, list []string) { part(&e.Role).Roles = list },
	}
}

// truthFields are those that take true or false.
func truthFields() map[string]func(*event.Event, bool) {
	return map[string]func(*event.Event, bool){
		"app.admin":             func(e *event.Event, b bool) { part(&e.App).Admin = b },
		"consent.by_admin":      func(e *event.Event, b bool) { part(&e.Consent).ByAdmin = b },
		"consent.tenant_wide":   func(e *event.Event, b bool) { part(&e.Consent).TenantWide = b },
		"recovery.self_service": func(e *event.Event, b bool) { part(&e.Recovery).SelfService = b },
		"role.granted":          func(e *event.Event, b bool) { part(&e.Role).Granted = b },
		"role.privileged":       func(e *event.Event, b bool) { part(&e.Role).Privileged = b },
		"device.managed":        func(e *event.Event, b bool) { part(&e.Device).Managed = &b },
		"device.compliant":      func(e *event.Event, b bool) { part(&e.Device).Compliant = &b },
	}
}

// part returns the part that p points at, and makes it where it is not there.
func part[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

// kinds are those that a mapping can make, with the field that each needs besides.
func kinds() map[event.Kind]string {
	return map[event.Kind]string{
		event.SignIn: "", event.FactorChallenge: "", event.AuthenticatorEnrolled: "factors", event.AuthenticatorRemoved: "factors",
		event.AuthenticatorsReset: "", event.PasswordChange: "", event.PasswordReset: "", event.RecoveryActivity: "recovery.stage",
		event.ContactChange: "contact.kind", event.ConsentGrant: "consent.app_name", event.ConsentRevoke: "consent.app_name",
		event.RoleChange: "role.roles", event.SessionStart: "", event.SessionActivity: "", event.SessionEnd: "", event.Impersonation: "",
		event.UserReport: "", event.RiskDetection: "risk.type", event.UserLifecycle: "",
	}
}
