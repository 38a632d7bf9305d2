package auth0

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// call is one request to the Management API, by its method and the segments of its
// path beneath /api/v2.
type call struct {
	method string
	path   []string
}

func callOf(r *request) call {
	path := string(r.Path)
	if _, after, ok := strings.Cut(path, "/v2/"); ok {
		path = after
	}
	path, _, _ = strings.Cut(path, "?")
	c := call{method: strings.ToUpper(string(r.Method))}
	for s := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if decoded, err := url.PathUnescape(s); err == nil {
			s = decoded
		}
		c.path = append(c.path, s)
	}
	return c
}

// is reports whether the path has the segments of pattern, of which "*" is any and
// a last "..." is what may follow.
func (c call) is(method, pattern string) bool {
	if method != "" && c.method != method {
		return false
	}
	want := strings.Split(pattern, "/")
	if last := len(want) - 1; want[last] == "..." {
		want = want[:last]
		if len(c.path) < len(want) {
			return false
		}
	} else if len(want) != len(c.path) {
		return false
	}
	for i, s := range want {
		if s != "*" && !strings.EqualFold(s, c.path[i]) {
			return false
		}
	}
	return true
}

func (c call) segment(i int) string {
	if i < len(c.path) {
		return c.path[i]
	}
	return ""
}

// change is what a call does to an object, in the words of event.Policy.
func (c call) change() string {
	switch c.method {
	case http.MethodPost:
		return "created"
	case http.MethodDelete:
		return "deleted"
	}
	return "updated"
}

// management is a call that changed something, by the dashboard or a program.
func (b *build) management() error {
	d := &b.in.Details
	b.e.Action = string(b.in.Type)
	if b.in.Description != "" {
		b.e.Action += ": " + string(b.in.Description)
	}
	b.e.Outcome = event.Success
	if b.in.Type == "fapi" || d.Response.StatusCode.N >= http.StatusBadRequest {
		b.e.Outcome = event.Failure
	}
	b.e.App = &event.App{ID: string(b.in.ClientID), Name: "Auth0 Management API", Admin: true}
	b.administrator()
	c := callOf(&d.Request)
	switch root := c.segment(0); root {
	case "users":
		return b.userCall(c)
	case "tickets", "guardian", "user-blocks", "sessions", "refresh-tokens", "device-credentials":
		return b.accessCall(c)
	case "roles", "tenants", "organizations":
		return b.roleCall(c)
	case "clients", "client-grants", "grants", "resource-servers", "integrations":
		return b.appCall(c)
	default:
		return b.tenantCall(c)
	}
}

// administrator makes the one who called the actor, and the subject as long as the
// call is about nobody else.
func (b *build) administrator() {
	u := &b.in.Details.Request.Auth.User
	p := event.Principal{ID: lenient.First(lenient.Known(string(u.ID)), lenient.Known(string(b.in.UserID))),
		Name: lenient.First(string(u.Email), string(b.in.UserName)), DisplayName: string(u.Name), Type: typeAdmin}
	if p.ID == "" && p.Name == "" {
		p = event.Principal{ID: lenient.Known(string(b.in.ClientID)), Name: lenient.Known(string(b.in.ClientName)), Type: typeService}
		if p.ID == "" && p.Name == "" {
			p = event.Principal{}
		}
	}
	if strings.HasSuffix(p.ID, "@clients") {
		p.Type = typeService
	}
	b.e.Actor, b.e.Subject = p, p
}

// about makes a user the subject: by id, and by the name that the request or the
// response has for that id.
func (b *build) about(id string) {
	p := event.Principal{ID: lenient.Known(id), Type: typeUser}
	var o struct {
		ID       lenient.Text `json:"user_id"`
		Email    lenient.Text `json:"email"`
		Username lenient.Text `json:"username"`
	}
	for _, body := range [...][]byte{b.in.Details.Response.Body, b.in.Details.Request.Body} {
		if len(body) == 0 || json.Unmarshal(body, &o) != nil {
			continue
		}
		p.ID = lenient.First(p.ID, string(o.ID))
		if o.ID == "" || string(o.ID) == p.ID {
			p.Name = lenient.First(p.Name, string(o.Email), string(o.Username))
		}
	}
	if id != "" {
		p.Name = lenient.First(p.Name, string(b.in.SubjectName))
	}
	if p.ID == b.e.Actor.ID && p.Name == "" {
		p.Name = b.e.Actor.Name
	}
	if p.ID == "" && p.Name == "" {
		b.e.Subject = event.Principal{}
		return
	}
	b.e.Subject = p
}

// userCall is a call about one user, the third segment says what of them.
func (b *build) userCall(c call) error {
	if len(c.path) == 1 {
		if c.method != http.MethodPost {
			return b.irrelevant()
		}
		b.about("")
		b.e.Kind = event.UserLifecycle
		return nil
	}
	b.about(c.segment(1))
	removed := c.method == http.MethodDelete
	switch what := c.segment(2); what {
	case "":
		return b.userChange(c)
	case "authentication-methods":
		return b.methodCall(c)
	case "authenticators":
		if !removed {
			return b.irrelevant()
		}
		b.e.Kind = event.AuthenticatorsReset
	case "multifactor":
		if !removed {
			return b.irrelevant()
		}
		m, _ := methodOf(c.segment(3))
		b.authenticator(event.AuthenticatorRemoved, m, "", c.segment(3))
	case "recovery-code-regeneration":
		b.issued(event.MethodBackupCode)
	case "identities":
		// Another account that may sign in as this user.
		b.authenticator(event.AuthenticatorEnrolled, event.MethodFederated, c.segment(4), c.segment(3))
		if removed {
			b.e.Kind = event.AuthenticatorRemoved
		}
	case "roles", "permissions":
		b.role(!removed, b.listed(what)...)
	case "sessions", "refresh-tokens":
		b.e.Kind = event.SessionEnd
	default:
		return b.irrelevant()
	}
	return nil
}

// userChange is a change of the user object: the members of the request say of
// what.
func (b *build) userChange(c call) error {
	if c.method == http.MethodDelete {
		b.e.Kind = event.UserLifecycle
		return nil
	}
	var o struct {
		Password lenient.Text  `json:"password"`
		Email    lenient.Text  `json:"email"`
		Phone    lenient.Text  `json:"phone_number"`
		Username lenient.Text  `json:"username"`
		Blocked  lenient.Truth `json:"blocked"`
	}
	if json.Unmarshal(b.in.Details.Request.Body, &o) != nil {
		return b.irrelevant()
	}
	switch {
	case o.Password != "":
		b.e.Kind = event.PasswordReset
		b.e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted, SelfService: !b.e.ByOther()}
		if b.e.Outcome != event.Success {
			b.e.Recovery.Stage = event.RecoveryFailed
		}
	case o.Email != "":
		// The address of the request is the new one: nobody is known by it yet.
		b.e.Subject.Name = string(b.in.SubjectName)
		b.e.Kind, b.e.Contact = event.ContactChange, &event.Contact{Kind: "email", Primary: true, Value: string(o.Email)}
	case o.Phone != "":
		b.e.Kind, b.e.Contact = event.ContactChange, &event.Contact{Kind: "phone", Value: string(o.Phone)}
	case o.Blocked != lenient.Unsaid:
		b.e.Kind, b.e.Reason = event.UserLifecycle, "unblocked"
		if o.Blocked == lenient.True {
			b.e.Reason = "blocked"
		}
	case o.Username != "":
		b.e.Kind = event.UserLifecycle
	default:
		return b.irrelevant() // metadata and profile
	}
	return nil
}

// methodCall is an administrator at a user's authentication methods.
func (b *build) methodCall(c call) error {
	var o struct {
		ID    lenient.Text `json:"id"`
		Type  lenient.Text `json:"type"`
		Name  lenient.Text `json:"name"`
		Phone lenient.Text `json:"phone_number"`
		Email lenient.Text `json:"email"`
	}
	for _, body := range [...][]byte{b.in.Details.Response.Body, b.in.Details.Request.Body} {
		if len(body) > 0 {
			_ = json.Unmarshal(body, &o) // a body that is no object tells nothing
		}
	}
	id := c.segment(3)
	switch {
	case c.method == http.MethodDelete && id == "", c.method == http.MethodPut:
		// Put replaces all of them; what is there afterwards the next sweep tells.
		b.e.Kind = event.AuthenticatorsReset
	case c.method == http.MethodDelete:
		kind, _, _ := strings.Cut(id, "|")
		m, _ := methodOf(lenient.First(string(o.Type), kind))
		b.authenticator(event.AuthenticatorRemoved, m, id, "")
	case c.method == http.MethodPost:
		m, _ := methodOf(string(o.Type))
		b.authenticator(event.AuthenticatorEnrolled, m, lenient.First(id, string(o.ID)), string(o.Name))
		b.e.Authenticators[0].Address = lenient.First(string(o.Phone), string(o.Email))
	case o.Phone != "":
		b.e.Kind, b.e.Contact = event.ContactChange, &event.Contact{Kind: "phone", Value: string(o.Phone)}
	case o.Email != "":
		b.e.Kind, b.e.Contact = event.ContactChange, &event.Contact{Kind: "email", Value: string(o.Email)}
	default:
		return b.irrelevant()
	}
	return nil
}

func (b *build) authenticator(k event.Kind, m event.Method, id, name string) {
	a := event.NewAuthenticator(m)
	a.ID, a.Name = id, name
	b.e.Kind, b.e.Authenticators = k, []event.Authenticator{a}
}

// issued: a code or ticket was made that stands in for a factor.
func (b *build) issued(m event.Method) {
	b.e.Kind = event.RecoveryCredentialIssued
	b.e.Recovery = &event.Recovery{Stage: event.RecoveryIssued, Method: m, SelfService: !b.e.ByOther()}
}

// accessCall is about how people get in: tickets, Guardian, blocks and sessions.
func (b *build) accessCall(c call) error {
	switch {
	case c.is(http.MethodPost, "tickets/password-change"), c.is(http.MethodPost, "guardian/enrollments/ticket"):
		b.about("")
		b.issued("")
	case c.is(http.MethodDelete, "guardian/enrollments/*"):
		return ingest.Skip(ingest.SkipNoIdentity, b.e.Action) // gd_unenroll names the user
	case c.is(http.MethodDelete, "user-blocks/*"):
		b.about(c.segment(1))
		b.e.Kind = event.RecoveryActivity
		b.e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted}
	case c.is("", "guardian/..."):
		return b.guardian(c)
	default:
		return b.irrelevant() // sessions and tokens by an id that names no user
	}
	return nil
}

// guardian is a change of which factors the tenant offers or demands.
func (b *build) guardian(c call) error {
	b.policy(event.PolicyChange, c)
	if b.e.Outcome != event.Success {
		return nil
	}
	switch {
	case c.is("", "guardian/factors/*"):
		m, ok := methodOf(c.segment(2))
		switch on := b.enabled(); {
		case !ok:
		case on == lenient.True && (m.Class() == event.Weak || m.Class() == event.RecoveryClass):
			b.weakened(event.WeakeningMethodEnabled)
		case on == lenient.False && m.Class() == event.PhishingResistant:
			b.weakened(event.WeakeningMethodDisabled)
		}
	case c.is(http.MethodPut, "guardian/policies"):
		var left []string
		if json.Unmarshal(b.in.Details.Response.Body, &left) == nil && left != nil && len(left) == 0 {
			b.weakened(event.WeakeningDisabled)
		}
	}
	return nil
}

// enabled reads the switch of a setting after the call.
func (b *build) enabled() lenient.Truth {
	var o struct {
		Enabled lenient.Truth `json:"enabled"`
	}
	for _, body := range [...][]byte{b.in.Details.Response.Body, b.in.Details.Request.Body} {
		if len(body) > 0 && json.Unmarshal(body, &o) == nil && o.Enabled != lenient.Unsaid {
			return o.Enabled
		}
	}
	return lenient.Unsaid
}

func (b *build) weakened(w event.Weakening) { b.e.Policy.Weakened = append(b.e.Policy.Weakened, w) }

// policy makes the event a change of a setting. Before is not in the record.
func (b *build) policy(k event.Kind, c call) {
	p := event.Policy{Type: c.segment(0), ID: strings.Join(c.path, "/"), Name: string(b.in.Description), Change: c.change(),
		After: string(scrub(b.in.Details.Request.Body))}
	b.e.Kind, b.e.Policy = k, &p
}

// roleCall gives and takes roles. Those of Auth0 are roles of the tenant's
// applications; only membership of the tenant itself administers Auth0.
func (b *build) roleCall(c call) error {
	granted := c.method != http.MethodDelete
	switch {
	case c.is("", "tenants/invitations"), c.is("", "tenants/members/..."):
		return b.tenantMember(c, granted)
	case c.is("", "roles/*/users"):
		users := b.listed("users")
		if len(users) == 0 {
			return ingest.Skip(ingest.SkipNoIdentity, b.e.Action)
		}
		b.e.Subject = event.Principal{ID: users[0], Type: typeUser}
		b.role(granted, c.segment(1))
		for _, id := range users[1:min(len(users), event.MaxListLen)] {
			b.also(func(e *event.Event) {
				e.Subject = event.Principal{ID: id, Type: typeUser}
				e.Role = &event.Role{Roles: []string{c.segment(1)}, Granted: granted}
			})
		}
	case c.is("", "organizations/*/members/*/roles"):
		b.about(c.segment(3))
		b.role(granted, b.listed("roles")...)
	case c.is(http.MethodPost, "organizations/*/invitations"):
		var o struct {
			Invitee struct {
				Email lenient.Text `json:"email"`
			} `json:"invitee"`
			Roles lenient.Texts `json:"roles"`
		}
		_ = json.Unmarshal(b.in.Details.Request.Body, &o) // what is missing leaves no subject
		b.e.Subject = user("", string(o.Invitee.Email))
		b.role(true, append([]string{c.segment(1)}, o.Roles...)...)
		b.e.Role.Eligible = true
	case c.is("", "organizations/*/members"):
		members := b.listed("members")
		if len(members) == 0 {
			return ingest.Skip(ingest.SkipNoIdentity, b.e.Action)
		}
		b.e.Subject = event.Principal{ID: members[0], Type: typeUser}
		b.role(granted, c.segment(1))
	case c.is("", "organizations/*/enabled_connections/..."):
		b.policy(event.TrustChange, c)
	case c.is("", "roles/..."), c.is("", "tenants/settings"):
		b.policy(event.PolicyChange, c)
	default:
		return b.irrelevant()
	}
	return nil
}

// tenantMember: somebody may administer the tenant, or no longer. An invitation is
// a role to be taken up.
func (b *build) tenantMember(c call, granted bool) error {
	var o struct {
		Owners   lenient.Texts `json:"owners"`
		Invitees lenient.Texts `json:"invitees"`
		Email    lenient.Text  `json:"email"`
		Roles    lenient.Texts `json:"roles"`
	}
	_ = json.Unmarshal(b.in.Details.Request.Body, &o) // what is missing leaves no subject
	names := slices.Concat(o.Owners, o.Invitees)
	if o.Email != "" {
		names = append(names, string(o.Email))
	}
	role := event.Role{Roles: o.Roles, Granted: granted, Privileged: true, Eligible: c.segment(1) == "invitations"}
	if len(names) == 0 {
		b.about(c.segment(2))
	} else {
		b.e.Subject = user("", names[0])
		for _, name := range names[1:min(len(names), event.MaxListLen)] {
			b.also(func(e *event.Event) { e.Subject, e.Role = user("", name), &role })
		}
	}
	b.e.Kind, b.e.Role = event.RoleChange, &role
	return nil
}

func (b *build) role(granted bool, roles ...string) {
	b.e.Kind, b.e.Role = event.RoleChange, &event.Role{Roles: roles, Granted: granted}
}

// listed returns a list of ids or names in the request.
func (b *build) listed(member string) []string {
	var o map[string]json.RawMessage
	if json.Unmarshal(b.in.Details.Request.Body, &o) != nil {
		return nil
	}
	var permissions []struct {
		Name lenient.Text `json:"permission_name"`
	}
	var out []string
	if member == "permissions" {
		if json.Unmarshal(o[member], &permissions) == nil {
			for _, p := range permissions {
				out = append(out, string(p.Name))
			}
		}
		return out
	}
	var list lenient.Texts
	if raw := o[member]; len(raw) > 0 && json.Unmarshal(raw, &list) == nil {
		out = list
	}
	return out
}

// appCall is about what programs may do.
func (b *build) appCall(c call) error {
	switch {
	case c.is(http.MethodPost, "clients/*/rotate-secret"), c.is("", "clients/*/credentials/..."):
		b.e.Kind = event.AppCredential
		b.e.App = &event.App{ID: c.segment(1)}
	case c.is("", "client-grants/..."):
		var o struct {
			ClientID lenient.Text  `json:"client_id"`
			Audience lenient.Text  `json:"audience"`
			Scope    lenient.Texts `json:"scope"`
		}
		for _, body := range [...][]byte{b.in.Details.Response.Body, b.in.Details.Request.Body} {
			if len(body) > 0 {
				_ = json.Unmarshal(body, &o) // a body that is no object tells nothing
			}
		}
		b.e.Kind = event.ConsentGrant
		if c.method == http.MethodDelete {
			b.e.Kind = event.ConsentRevoke
		}
		b.e.Consent = &event.Consent{AppID: string(o.ClientID), Resource: string(o.Audience), Scopes: scopes(o.Scope...),
			ByAdmin: true, TenantWide: true, GrantID: c.segment(1)}
	case c.is(http.MethodDelete, "grants/..."):
		var q struct {
			User lenient.Text `json:"user_id"`
		}
		_ = json.Unmarshal(b.in.Details.Request.Query, &q) // without one nobody is named
		if q.User != "" {
			b.about(string(q.User))
		}
		b.e.Kind, b.e.Consent = event.ConsentRevoke, &event.Consent{GrantID: c.segment(1), ByAdmin: b.e.ByOther()}
	default:
		b.e.Kind = event.AppChange
		b.e.App = &event.App{ID: c.segment(1), Name: string(b.in.Description)}
	}
	return nil
}

// tenantCall is a change of what the tenant trusts, demands or logs.
func (b *build) tenantCall(c call) error {
	switch c.segment(0) {
	case "connections", "custom-domains", "keys", "self-service-profiles":
		b.policy(event.TrustChange, c)
		if b.e.Outcome == event.Success && c.segment(0) == "connections" && b.passkeyOff() {
			b.weakened(event.WeakeningMethodDisabled)
		}
	case "log-streams":
		b.policy(event.LoggingChange, c)
		var o struct {
			Status lenient.Text `json:"status"`
		}
		if len(b.in.Details.Request.Body) > 0 {
			_ = json.Unmarshal(b.in.Details.Request.Body, &o) // a body that is no object tells nothing
		}
		if b.e.Outcome == event.Success && (c.method == http.MethodDelete || strings.EqualFold(string(o.Status), "paused")) {
			b.weakened(event.WeakeningDisabled)
		}
	case "attack-protection":
		b.policy(event.PolicyChange, c)
		if b.e.Outcome == event.Success && b.enabled() == lenient.False {
			b.weakened(event.WeakeningDisabled)
		}
	case "risk-assessment", "risk-assessments":
		b.policy(event.PolicyChange, c)
		var o struct {
			After lenient.Truth `json:"AfterAuthentication"`
		}
		if len(b.in.Details.Response.Body) > 0 {
			_ = json.Unmarshal(b.in.Details.Response.Body, &o) // a body that is no object tells nothing
		}
		if b.e.Outcome == event.Success && o.After == lenient.False {
			b.weakened(event.WeakeningDisabled)
		}
	case "actions", "rules", "rules-configs", "hooks", "prompts", "network-acls":
		b.policy(event.PolicyChange, c)
	default:
		return b.irrelevant()
	}
	return nil
}

// passkeyOff reports whether a database connection no longer lets people use their
// passkeys.
func (b *build) passkeyOff() bool {
	var o struct {
		Options struct {
			Methods struct {
				Passkey struct {
					Enabled lenient.Truth `json:"enabled"`
				} `json:"passkey"`
			} `json:"authentication_methods"`
		} `json:"options"`
	}
	body := b.in.Details.Request.Body
	return len(body) > 0 && json.Unmarshal(body, &o) == nil && o.Options.Methods.Passkey.Enabled == lenient.False
}

// managementRead is a read, of which only that of a secret matters.
func (b *build) managementRead() error {
	if len(b.in.Details.AccessedSecrets) == 0 {
		return ingest.Skip(ingest.SkipIrrelevant, string(b.in.Type))
	}
	b.administrator()
	b.e.Kind, b.e.Outcome = event.AppCredential, event.Success
	b.e.Reason = strings.Join(b.in.Details.AccessedSecrets, ", ")
	b.e.App = &event.App{ID: callOf(&b.in.Details.Request).segment(1), Admin: true}
	return nil
}

func (b *build) irrelevant() error { return ingest.Skip(ingest.SkipIrrelevant, b.e.Action) }
