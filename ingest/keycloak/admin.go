package keycloak

import (
	"slices"
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// admin reads a change that an administrator or a program made through the admin
// API. What it is about is in the path of the resource.
func (b *build) admin() error {
	in := &b.in
	b.e.Stream, b.e.Action = streamAdminEvents, strings.TrimSpace(string(in.Operation)+" "+string(in.Resource))
	b.e.Endpoint.IP = lenient.Address(string(in.Auth.IPAddress))
	b.e.App = &event.App{ID: lenient.Known(string(in.Auth.ClientID)), Name: "Keycloak admin API", Admin: true}
	if in.Error != "" {
		b.e.Outcome = event.Failure
	}
	b.e.Actor = principal(string(in.Auth.UserID), lenient.First(lenient.Known(string(in.Auth.Username)), string(in.ActorUsername)))
	if b.e.Actor.Type == typeUser {
		b.e.Actor.Type = typeAdmin
	}
	b.e.Subject = b.e.Actor
	path := strings.Split(strings.Trim(string(in.Path), "/"), "/")
	at := func(i int) string {
		if i < len(path) {
			return path[i]
		}
		return ""
	}
	switch at(0) {
	case "users":
		if at(1) == "" {
			return b.irrelevant()
		}
		b.e.Subject = principal(at(1), string(in.Username))
		return b.userCall(path[2:], at)
	case "authentication":
		return b.authentication(path)
	case "identity-provider", "components", "identity-provider-storage":
		return b.policy(event.TrustChange)
	case "clients":
		switch last := path[len(path)-1]; {
		case slices.Contains(path, "client-secret"), slices.Contains(path, "certificates"), last == "registration-access-token":
			b.e.Kind = event.AppCredential
		default:
			b.e.Kind = event.AppChange
		}
		b.e.App = &event.App{ID: at(1), Name: b.named("clientId", "name")}
		return nil
	case "client-scopes":
		b.e.Kind, b.e.App = event.AppChange, &event.App{ID: at(1), Name: b.named("name")}
		return nil
	case "roles", "roles-by-id", "groups", "default-groups", "client-policies":
		return b.policy(event.PolicyChange)
	case "events":
		return b.events()
	}
	if in.Resource == "REALM" && (in.Operation == "UPDATE" || in.Operation == "CREATE" || in.Operation == "DELETE") {
		return b.policy(event.PolicyChange)
	}
	return b.irrelevant()
}

func (b *build) irrelevant() error {
	return ingest.Skip(ingest.SkipIrrelevant, b.e.Action[:min(len(b.e.Action), 64)])
}

// userCall is about one user; what holds the segments of the path after the id.
func (b *build) userCall(what []string, at func(int) string) error {
	in := &b.in
	granted := in.Operation != "DELETE"
	if len(what) == 0 {
		b.e.Kind = event.UserLifecycle
		var u struct {
			Username lenient.Text  `json:"username"`
			Enabled  lenient.Truth `json:"enabled"`
		}
		if in.represented(&u) {
			b.e.Subject.Name = lenient.First(b.e.Subject.Name, lenient.Known(string(u.Username)))
			if u.Enabled == lenient.False {
				b.e.Reason = "not enabled"
			}
		}
		return nil
	}
	switch what[0] {
	case "reset-password":
		b.e.Kind = event.PasswordReset
		b.e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted, SelfService: !b.e.ByOther()}
		if b.e.Outcome != event.Success {
			b.e.Recovery.Stage = event.RecoveryFailed
		}
	case "execute-actions-email", "reset-password-email":
		var actions lenient.Texts
		if in.represented(&actions) {
			b.e.Reason = strings.Join(actions, ", ")
		}
		if len(actions) == 1 && strings.EqualFold(actions[0], "VERIFY_EMAIL") {
			return b.irrelevant()
		}
		b.e.Kind = event.RecoveryActivity
		b.e.Recovery = &event.Recovery{Stage: event.RecoveryStarted, Method: event.MethodEmailLink, SelfService: !b.e.ByOther()}
	case "disable-credential-types":
		b.e.Kind = event.AuthenticatorsReset
		var types lenient.Texts
		if in.represented(&types) && len(types) > 0 {
			b.e.Kind = event.AuthenticatorRemoved
			for _, typ := range types {
				m, _ := methodOf(typ)
				a := event.NewAuthenticator(m)
				a.Name = typ
				b.e.Authenticators = append(b.e.Authenticators, a)
			}
		}
	case "credentials":
		// A removal is an ACTION in version 26 and a DELETE elsewhere; labels and the
		// order have a longer path.
		if in.Operation != "DELETE" && in.Operation != "ACTION" || len(what) != 2 {
			return b.irrelevant()
		}
		m, _ := methodOf(lenient.First(in.detail("credential_type"), b.named("type")))
		b.authenticator(event.AuthenticatorRemoved, m)
		b.e.Authenticators[0].ID = what[1]
	case "impersonation":
		b.e.Kind = event.Impersonation
	case "logout":
		b.e.Kind = event.SessionEnd
	case "role-mappings":
		return b.roles(granted)
	case "groups":
		b.e.Kind, b.e.Role = event.RoleChange, &event.Role{Roles: []string{lenient.First(b.named("path", "name"), at(3))}, Granted: granted}
	case "federated-identity":
		kind := event.AuthenticatorEnrolled
		if !granted {
			kind = event.AuthenticatorRemoved
		}
		b.authenticator(kind, event.MethodFederated)
		b.e.Authenticators[0].Name = at(3)
	case "consents":
		b.e.Kind, b.e.Consent = event.ConsentRevoke, &event.Consent{AppID: at(3), ByAdmin: b.e.ByOther()}
	default:
		return b.irrelevant()
	}
	return nil
}

// named returns the first of the members of the representation that is text.
func (b *build) named(members ...string) string {
	var o map[string]json.RawMessage
	if !b.in.represented(&o) {
		return ""
	}
	for _, m := range members {
		var s string
		if json.Unmarshal(o[m], &s) == nil && s != "" {
			return s
		}
	}
	return ""
}

// apiRole is a role as the API writes it.
type apiRole struct {
	Name       lenient.Text  `json:"name"`
	ClientRole lenient.Truth `json:"clientRole"`
}

// roles are given to a user or taken.
func (b *build) roles(granted bool) error {
	var list []apiRole
	if !b.in.represented(&list) || len(list) == 0 {
		b.e.Warnings = append(b.e.Warnings, "admin event without its representation: the roles are not known")
	}
	r := event.Role{Granted: granted}
	for _, role := range list {
		r.Roles = append(r.Roles, string(role.Name))
		r.Privileged = r.Privileged || administers(string(role.Name))
	}
	b.e.Kind, b.e.Role = event.RoleChange, &r
	return nil
}

// administers reports whether a role may change a realm. They are those of the master
// realm and of the client realm-management.
func administers(role string) bool {
	switch role {
	case "admin", "realm-admin", "create-realm", "create-client", "impersonation",
		"manage-authorization", "manage-clients", "manage-events", "manage-identity-providers", "manage-organizations", "manage-realm", "manage-users":
		return true
	}
	return false
}

// policy is a change of what the realm demands or trusts. What was before is not
// in the event.
func (b *build) policy(k event.Kind) error {
	p := event.Policy{ID: string(b.in.Path), Name: b.named("alias", "displayName", "name", "realm"), Type: string(b.in.Resource), Change: "updated"}
	switch b.in.Operation {
	case "CREATE":
		p.Change = "created"
	case "DELETE":
		p.Change = "deleted"
	}
	b.e.Kind, b.e.Policy = k, &p
	return nil
}

// authentication is a change of flows, of their executions or of required actions.
func (b *build) authentication(path []string) error {
	if err := b.policy(event.PolicyChange); err != nil {
		return err
	}
	b.e.Policy.After = string(b.in.Representation)
	if b.e.Outcome != event.Success {
		return nil
	}
	var o struct {
		Provider    lenient.Text  `json:"providerId"`
		Alias       lenient.Text  `json:"alias"`
		Requirement lenient.Text  `json:"requirement"`
		Enabled     lenient.Truth `json:"enabled"`
	}
	b.in.represented(&o)
	off := o.Requirement == "DISABLED" || slices.Contains(path, "required-actions") && (o.Enabled == lenient.False || b.in.Operation == "DELETE")
	name := strings.ToLower(strings.Join(path, "/") + " " + string(o.Provider) + " " + string(o.Alias))
	switch {
	case !off:
	case strings.Contains(name, "webauthn"):
		b.e.Policy.Weakened = []event.Weakening{event.WeakeningMethodDisabled}
	case strings.Contains(name, "otp"):
		b.e.Policy.Weakened = []event.Weakening{event.WeakeningDisabled}
	}
	return nil
}

// events is a change of what the realm records.
func (b *build) events() error {
	if err := b.policy(event.LoggingChange); err != nil {
		return err
	}
	var o struct {
		Events lenient.Truth `json:"eventsEnabled"`
		Admin  lenient.Truth `json:"adminEventsEnabled"`
	}
	if b.e.Outcome == event.Success && (b.in.Operation == "DELETE" || b.in.represented(&o) && (o.Events == lenient.False || o.Admin == lenient.False)) {
		b.e.Policy.Weakened = []event.Weakening{event.WeakeningDisabled}
	}
	return nil
}
