package entra

import (
	"slices"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// consent reads grants of permissions to applications, and their end. One consent
// of a user writes up to three records: the consent, the delegated permission
// grant, and the assignment of the user to the application.
func (a *auditRecord) consent() ([]event.Event, error) {
	switch {
	case strings.Contains(a.name, "app role assignment"):
		return a.appRole()
	case strings.Contains(a.name, "permission grant"), strings.Contains(a.name, "oauth2permissiongrant"):
		return a.delegatedGrant()
	}
	kind := event.ConsentGrant
	if strings.HasPrefix(a.name, "revoke") || strings.HasPrefix(a.name, "remove") {
		kind = event.ConsentRevoke
	}
	e := a.event(kind)
	grant := parseGrants(a.newValue("ConsentAction.Permissions"))
	c := &event.Consent{AppID: a.detail("AppId"), Scopes: grant.scopes, Resource: grant.resource, GrantID: grant.id,
		ByAdmin:    strings.EqualFold(a.newValue("ConsentContext.IsAdminConsent"), "true"),
		TenantWide: grant.tenantWide || strings.EqualFold(a.newValue("ConsentContext.OnBehalfOfAll"), "true")}
	if t := a.targetOf("ServicePrincipal", "Application"); t != nil {
		c.AppID, c.AppName = lenient.First(c.AppID, t.ID), t.DisplayName
	}
	reason := lenient.First(a.newValue("MethodExecutionResult."), a.newValue("ConsentAction.Reason"))
	if e.Outcome == event.Failure {
		e.Reason = lenient.First(e.Reason, reason)
		if said := e.Reason + reason; strings.Contains(said, "Blocked") || strings.Contains(said, "Risky application") {
			e.Outcome = event.Denied
		}
	}
	e.Consent, e.App = c, &event.App{ID: c.AppID, Name: c.AppName}
	return one(e)
}

// grants is what ConsentAction.Permissions says:
//
//	[] => [[Id: x, ClientId: …, ResourceId: r, ConsentType: Principal, Scope:  Mail.Read Files.Read, CreatedDateTime: …]];
type grants struct {
	id, resource string
	scopes       []string
	tenantWide   bool
}

func parseGrants(s string) grants {
	if _, after, ok := strings.Cut(s, "=>"); ok {
		s = after
	}
	var g grants
	field := func(s, name string) string {
		_, rest, ok := strings.Cut(s, name+":")
		if !ok {
			return ""
		}
		if end := strings.IndexAny(rest, ",]"); end >= 0 {
			rest = rest[:end]
		}
		return strings.TrimSpace(rest)
	}
	for _, one := range strings.Split(s, "[Id:")[1:] {
		one = "Id:" + one
		g.id = lenient.First(g.id, field(one, "Id"))
		g.resource = lenient.First(g.resource, field(one, "ResourceId"))
		g.tenantWide = g.tenantWide || strings.EqualFold(field(one, "ConsentType"), "AllPrincipals")
		g.scopes = addScopes(g.scopes, strings.Fields(field(one, "Scope")))
	}
	return g
}

func addScopes(to, from []string) []string {
	for _, s := range from {
		if s != "" && !slices.Contains(to, s) {
			to = append(to, s)
		}
	}
	return to
}

// delegatedGrant reads the change of a delegated grant. When a consent is widened,
// "Consent to application" shows the old scopes on both sides and a "Remove
// delegated permission grant" comes along in which the scopes grow: the addition
// is what is true, so the scopes are those that came or went.
func (a *auditRecord) delegatedGrant() ([]event.Event, error) {
	var before, after []string
	if c := a.modified("DelegatedPermissionGrant.Scope"); c != nil {
		before, after = strings.Fields(c.old()), strings.Fields(c.new())
	}
	added := slices.DeleteFunc(slices.Clone(after), func(s string) bool { return slices.Contains(before, s) })
	gone := slices.DeleteFunc(slices.Clone(before), func(s string) bool { return slices.Contains(after, s) })
	remove := strings.HasPrefix(a.name, "remove")
	if remove && len(added) > 0 && len(gone) == 0 && len(before) > 0 {
		return a.skipStep()
	}
	kind, scopes := event.ConsentGrant, added
	if remove {
		kind, scopes = event.ConsentRevoke, gone
		if len(before) == 0 {
			scopes = after // some records have what was removed as the new value
		}
	}
	if len(scopes) == 0 {
		scopes = after
	}
	e := a.event(kind)
	value := func(property string) string {
		if c := a.modified(property); c != nil {
			return strings.TrimSpace(lenient.First(c.new(), c.old()))
		}
		return ""
	}
	c := &event.Consent{AppID: value("ServicePrincipal.ObjectID"), AppName: value("ServicePrincipal.DisplayName"),
		Scopes: addScopes(nil, scopes), TenantWide: strings.EqualFold(value("DelegatedPermissionGrant.ConsentType"), "AllPrincipals")}
	c.ByAdmin = c.TenantWide
	if t := a.targetOf("ServicePrincipal"); t != nil {
		c.Resource = lenient.First(t.DisplayName, t.ID)
	}
	if id := objectID(value("DelegatedPermissionGrant.PrincipalId")); id != "" && id != e.Subject.ID {
		// Somebody consented for this person.
		e.Subject = event.Principal{ID: id, Type: "user"}
		c.ByAdmin = true
	}
	e.Consent, e.App = c, &event.App{ID: c.AppID, Name: c.AppName, ResourceName: c.Resource}
	return one(e)
}

// appRole reads the assignment of an application permission to a service, or of
// an application role to a person. An assignment without a role only opens the
// application's tile.
func (a *auditRecord) appRole() ([]event.Event, error) {
	kind := event.ConsentGrant
	property := func(name string) string {
		c := a.modified(name)
		if c == nil {
			return ""
		}
		return strings.TrimSpace(lenient.First(c.new(), c.old()))
	}
	if strings.HasPrefix(a.name, "remove") {
		kind = event.ConsentRevoke
	}
	role := lenient.First(property("AppRole.Value"), property("AppRole.DisplayName"))
	if role == "" {
		return a.skipIrrelevant()
	}
	e := a.event(kind)
	c := &event.Consent{Scopes: []string{role}, ByAdmin: true}
	t := a.targetOf("ServicePrincipal")
	if strings.Contains(a.name, "service principal") {
		c.TenantWide = true
		c.AppID = lenient.First(property("ServicePrincipal.AppId"), property("ServicePrincipal.ObjectID"))
		c.AppName = property("ServicePrincipal.DisplayName")
		if t != nil {
			c.Resource = lenient.First(t.DisplayName, t.ID)
		}
	} else {
		if t != nil {
			c.AppID, c.AppName = t.ID, t.DisplayName
		}
		if id, name := objectID(property("User.ObjectID")), property("User.UPN"); a.user == nil && (id != "" || name != "") {
			e.Subject = principal(id, name, "", "")
		}
		c.ByAdmin = e.ByOther()
	}
	e.Consent, e.App = c, &event.App{ID: c.AppID, Name: c.AppName, ResourceName: c.Resource}
	return one(e)
}

// app returns the application that is a target.
func (a *auditRecord) app() *event.App {
	app := &event.App{ID: lenient.First(a.detail("AppId"), a.newValue("AppId"))}
	if t := a.targetOf("Application", "ServicePrincipal"); t != nil {
		app.ID, app.Name = lenient.First(app.ID, t.ID), t.DisplayName
	}
	return app
}

// byActor returns an event of who acted: its target is no person, or an owner.
func (a *auditRecord) byActor(k event.Kind) event.Event {
	e := a.event(k)
	if !e.Actor.IsZero() {
		e.Subject = e.Actor
	}
	return e
}

func (a *auditRecord) appCredential() ([]event.Event, error) {
	e := a.byActor(event.AppCredential)
	e.App = a.app()
	return one(e)
}

// appChange reads changes of an application by a person; those that services of
// Microsoft write all day are no one's act.
func (a *auditRecord) appChange() ([]event.Event, error) {
	if a.name == "update application" || a.name == "update service principal" {
		for _, credential := range []string{"KeyDescription", "KeyCredentials", "PasswordCredentials", "FederatedIdentityCredentials"} {
			if a.modified(credential) != nil {
				return a.appCredential()
			}
		}
	}
	e := a.byActor(event.AppChange)
	if e.Subject.Type == "service" || e.Subject.IsZero() {
		return nil, ingest.Skip(ingest.SkipMachine, a.base.Action)
	}
	e.App = a.app()
	return one(e)
}
