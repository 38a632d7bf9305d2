package github

import (
	"strings"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// ownerRole names the role of an organization's owner.
func ownerRole(org string) string { return "org/" + org + " owner" }

// role returns a handler for a role that a person gets or loses; without a name it
// is that of an owner of the organization.
func role(granted bool, name string, privileged bool) func(*build) error {
	return func(b *build) error {
		b.e.Kind = event.RoleChange
		b.e.Role = &event.Role{Granted: granted, Privileged: privileged, Roles: []string{lenient.First(name, ownerRole(b.org()))}}
		return nil
	}
}

// organizationRole returns a handler for a role of an organization's own making or
// of GitHub's; what it allows is not in the entry.
func organizationRole(granted bool) func(*build) error {
	return func(b *build) error {
		return role(granted, "org/"+b.org()+" "+lenient.First(known(b.in.RoleName), known(b.in.Role), known(b.in.Name), "role"), false)(b)
	}
}

// team returns a handler for membership of a team.
func team(granted bool) func(*build) error {
	return func(b *build) error { return role(granted, "team/"+known(b.in.Team), false)(b) }
}

// policy returns a handler for a setting of an organization or enterprise.
func policy(k event.Kind, what string, weakened ...event.Weakening) func(*build) error {
	return func(b *build) error {
		b.e.Kind = k
		b.e.Policy = &event.Policy{Name: lenient.First(b.org(), known(b.in.Business)), Type: what, Change: changeOf(b.in.Action), Weakened: weakened}
		return nil
	}
}

// changeOf reads the verb of an action.
func changeOf(action string) string {
	_, what, _ := strings.Cut(action, ".")
	for _, v := range []struct{ contains, change string }{
		{"disable", "deactivated"}, {"enable", "activated"}, {"create", "created"}, {"destroy", "deleted"},
	} {
		if strings.Contains(what, v.contains) {
			return v.change
		}
	}
	return "updated"
}

// app is the application that the entry names, nil where there is none.
func (b *build) app() *event.App {
	r := &b.in
	a := event.App{
		ID:   lenient.First(known(r.OAuthAppID), known(r.ClientID)),
		Name: lenient.First(known(r.OAuthAppName), known(r.OAuthApp), known(r.Integration), known(r.Name)),
	}
	if a == (event.App{}) {
		return nil
	}
	return &a
}

// consent returns a handler for what an app may do: for one person, or for an
// organization by whoever administers it.
func consent(k event.Kind, admin bool) func(*build) error {
	return func(b *build) error {
		b.e.Kind, b.e.App = k, b.app()
		c := event.Consent{ByAdmin: admin, TenantWide: admin, GrantID: known(b.in.TokenID)}
		if b.e.App != nil {
			c.AppID, c.AppName = b.e.App.ID, b.e.App.Name
		}
		c.Scopes = scopesOf(b.in.Scopes, b.in.TokenScopes)
		if admin {
			b.e.Subject = b.e.Actor // who installed it
			c.Resource = b.org()
		}
		b.e.Consent = &c
		return nil
	}
}

// scopesOf reads lists of scopes, each of which may be one text with commas.
func scopesOf(lists ...lenient.Texts) []string {
	var out []string
	seen := map[string]bool{}
	for _, list := range lists {
		for _, text := range list {
			for scope := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' }) {
				if !seen[scope] {
					seen[scope] = true
					out = append(out, scope)
				}
			}
		}
	}
	return out
}

// credential: a key or token by which a program acts as the person or the app.
func (b *build) credential() error {
	b.e.Kind, b.e.App = event.AppCredential, b.app()
	if b.e.App == nil {
		b.e.App = &event.App{ID: lenient.First(known(b.in.TokenID), known(b.in.Fingerprint)), Name: lenient.First(known(b.in.AccessType), strings.SplitN(b.in.Action, ".", 2)[0])}
	}
	return nil
}

func (b *build) appChanged() error {
	b.e.Kind, b.e.App = event.AppChange, b.app()
	return nil
}
