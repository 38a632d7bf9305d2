package okta

import (
	"strings"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// consent is a grant of scopes to an app, by a person for themselves or by an
// administrator for everybody.
func (b *build) consent(k event.Kind, admin bool) error {
	b.e.Kind = k
	b.e.App = b.app()
	c := event.Consent{ByAdmin: admin, TenantWide: admin, Scopes: b.scopes()}
	if b.e.App != nil {
		c.AppID, c.AppName = b.e.App.ID, b.e.App.Name
	} else {
		c.AppID = lenient.Known(b.in.Client.ID)
	}
	b.e.Consent = &c
	return nil
}

// scopes collects them from the targets and debugData, which each hold them in
// some releases.
func (b *build) scopes() []string {
	var out []string
	seen := map[string]bool{}
	add := func(list string) {
		for _, s := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(" ,[]\"", r) }) {
			if !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		}
	}
	for i := range b.in.Target {
		t := &b.in.Target[i]
		if strings.HasSuffix(lenient.Squeeze(t.Type), "scope") {
			add(first(t.DisplayName, t.AlternateID, t.ID))
		}
		add(string(t.Detail.Scope))
		add(string(t.Detail.Scopes))
	}
	add(string(b.debug().GrantedScopes))
	if len(out) == 0 {
		add(string(b.debug().RequestedScopes))
	}
	return out
}

// tokenGrant is use of a session, unless the grant itself asked for proof.
func (b *build) tokenGrant() error {
	b.e.Kind, b.e.Protocol = event.SessionActivity, event.ProtocolOAuth2
	switch strings.ToLower(b.debug().GrantType) {
	case "password":
		b.e.Kind, b.e.Protocol = event.SignIn, event.ProtocolROPC
		b.passwordStep()
	case "device_code", "urn:ietf:params:oauth:grant-type:device_code":
		b.e.Kind, b.e.Protocol = event.SignIn, event.ProtocolDeviceCode
		if b.e.Outcome == event.Success {
			b.existingSession()
		}
	}
	return nil
}

// appCredential: a secret or right by which a program can act.
func (b *build) appCredential() error {
	b.e.Kind = event.AppCredential
	b.e.App = b.app()
	if b.e.App == nil && len(b.in.Target) > 0 {
		t := &b.in.Target[0]
		b.e.App = &event.App{ID: lenient.Known(t.ID), Name: first(t.DisplayName, t.AlternateID)}
	}
	if strings.HasPrefix(b.in.EventType, "app.oauth2.client.privilege.") {
		b.e.Role = b.roles()
	}
	return nil
}

// privilege: debugData lists all administrator roles that the user has after the
// change; after a revocation there are none.
func (b *build) privilege() error {
	b.e.Kind = event.RoleChange
	b.e.Role = b.roles()
	b.e.Role.Full = true
	return nil
}

func (b *build) roles() *event.Role {
	granted := !strings.HasSuffix(b.in.EventType, ".revoke")
	list := b.debug().PrivilegeGranted
	if !granted {
		list = b.debug().PrivilegeRevoked
	}
	r := event.Role{Granted: granted}
	for role := range javaList(string(list)) {
		r.Roles = append(r.Roles, role)
		r.Privileged = r.Privileged || privileged(role)
	}
	return &r
}

// privileged reports whether a role can change anything. Okta's reading roles
// cannot; a custom role, of which only the name is known, may.
func privileged(role string) bool {
	switch lenient.Squeeze(role) {
	case "readonlyadmin", "readonlyadministrator", "reportadministrator", "reportadmin":
		return false
	}
	return true
}

// binding assigns a role over a resource set to a user.
func (b *build) binding() error {
	b.e.Kind = event.RoleChange
	r := event.Role{Granted: strings.HasSuffix(b.in.EventType, ".add"), Privileged: true}
	for i := range b.in.Target {
		if t := &b.in.Target[i]; strings.Contains(lenient.Squeeze(t.Type), "role") {
			r.Roles = append(r.Roles, first(t.DisplayName, t.AlternateID, t.ID))
		}
	}
	b.e.Role = &r
	return nil
}
