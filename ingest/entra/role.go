package entra

import (
	"slices"
	"strings"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// roleChange reads a role given, made eligible, activated or taken. Requests and
// approvals of Privileged Identity Management are steps; the completion counts.
func (a *auditRecord) roleChange() ([]event.Event, error) {
	has := func(s string) bool { return strings.Contains(a.name, s) }
	if slices.ContainsFunc([]string{"requested", "cancel", "request approved", "request denied", "approved by admin", "denied by admin"}, has) {
		return a.skipStep()
	}
	granted := !strings.HasPrefix(a.name, "remove")
	e := a.event(event.RoleChange)
	e.Role = &event.Role{Granted: granted, Eligible: has("eligible")}
	name, template := a.roleName(granted)
	if name == "" {
		e.Warnings = append(e.Warnings, "no role named")
	} else {
		e.Role.Roles = []string{name}
	}
	e.Role.Privileged = isPrivilegedRole(name) || isPrivilegedTemplate(template)
	return one(e)
}

// roleName returns the role's display name and template. The directory writes
// them as properties of the person, PIM has the role as a target.
func (a *auditRecord) roleName(granted bool) (name, template string) {
	value := func(property string) string {
		c := a.modified(property)
		switch {
		case c == nil:
			return ""
		case granted:
			return strings.TrimSpace(c.new())
		}
		return lenient.First(strings.TrimSpace(c.old()), strings.TrimSpace(c.new()))
	}
	name = value("Role.DisplayName")
	template = lenient.First(value("Role.TemplateId"), value("TemplateId"), a.detail("TemplateId"))
	if t := a.targetOf("Role", "RoleDefinition"); name == "" && t != nil {
		name = t.DisplayName
	}
	return lenient.First(name, value("Role.WellKnownObjectName")), template
}

// groupChange reads membership of a group, which may carry roles and exemptions.
func (a *auditRecord) groupChange() ([]event.Event, error) {
	if a.user == nil {
		return a.skipIrrelevant() // a device or a service
	}
	granted := strings.HasPrefix(a.name, "add")
	e := a.event(event.RoleChange)
	e.Role = &event.Role{Granted: granted}
	group := ""
	if c := a.modified("Group.DisplayName"); c != nil {
		group = lenient.First(c.new(), c.old())
	}
	if t := a.targetOf("Group"); group == "" && t != nil {
		group = lenient.First(t.DisplayName, t.ID)
	}
	if group != "" {
		e.Role.Roles = []string{"group:" + group}
	}
	return one(e)
}

// isPrivilegedRole lists the built-in roles that Microsoft labels PRIVILEGED
// (learn.microsoft.com, "Microsoft Entra built-in roles", 2026-01), without those
// that only read, and with Authentication Policy Administrator, who decides which
// methods there are. "Company Administrator" is the directory's own name of the
// Global Administrator.
func isPrivilegedRole(name string) bool {
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "agent id administrator", "application administrator", "application developer", "attribute provisioning administrator",
		"authentication administrator", "authentication extensibility administrator", "authentication policy administrator",
		"b2c ief keyset administrator", "cloud application administrator", "cloud device administrator",
		"conditional access administrator", "directory writers", "domain name administrator",
		"external identity provider administrator", "global administrator", "company administrator", "helpdesk administrator",
		"hybrid identity administrator", "intune administrator", "lifecycle workflows administrator",
		"partner tier1 support", "partner tier2 support", "password administrator", "privileged authentication administrator",
		"privileged role administrator", "security administrator", "security operator", "user administrator":
		return true
	}
	return false
}

// isPrivilegedTemplate knows those of the roles by template, for exports in which
// the name is missing or localized.
func isPrivilegedTemplate(id string) bool {
	switch strings.ToLower(id) {
	case "62e90394-69f5-4237-9190-012177145e10", // Global Administrator
		"e8611ab8-c189-46e8-94e1-60213ab1f814", // Privileged Role Administrator
		"7be44c8a-adaf-4e2a-84d6-ab2649e08a13", // Privileged Authentication Administrator
		"c4e39bd9-1100-46d3-8c65-fb160da0071f", // Authentication Administrator
		"0526716b-113d-4c15-b2c8-68e3c22b9f80", // Authentication Policy Administrator
		"194ae4cb-b126-40b2-bd5b-6091b380977d", // Security Administrator
		"b1be1c3e-b65d-4f19-8427-f6fa0d97feb9", // Conditional Access Administrator
		"9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3", // Application Administrator
		"158c047a-c907-4556-b7ef-446551a6b5f7", // Cloud Application Administrator
		"8ac3fc64-6eca-42ea-9e69-59f4c7b60eb2", // Hybrid Identity Administrator
		"729827e3-9c14-49f7-bb1b-9608f156bbb8", // Helpdesk Administrator
		"966707d0-3269-4727-9be2-8c3a10f19b9d", // Password Administrator
		"8329153b-31d0-4727-b945-745eb3bc5f31", // Domain Name Administrator
		"be2f45a1-457d-42af-a067-6ec1fa63bc45", // External Identity Provider Administrator
		"3a2c62db-5318-420d-8d74-23affee5d9d5", // Intune Administrator
		"fe930be7-5e62-47db-91af-98c3a49a38b1": // User Administrator
		return true
	}
	return false
}
