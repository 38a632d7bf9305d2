package entra

import (
	"slices"
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// policy returns what changed, with the provider's values before and after.
func (a *auditRecord) policy() *event.Policy {
	p := &event.Policy{Type: a.name, Change: changeOf(a.name)}
	if len(a.TargetResources) == 0 {
		return p
	}
	t := &a.TargetResources[0]
	p.ID, p.Name, p.Type = t.ID, t.DisplayName, lenient.First(t.Type, a.name)
	before, after := make([]namedValue, 0, len(t.ModifiedProperties)), make([]namedValue, 0, len(t.ModifiedProperties))
	for i := range t.ModifiedProperties {
		c := &t.ModifiedProperties[i]
		if strings.EqualFold(c.Name, "Included Updated Properties") {
			continue
		}
		before, after = append(before, namedValue{c.Name, c.old()}), append(after, namedValue{c.Name, c.new()})
	}
	p.Before, p.After = joinValues(before), joinValues(after)
	return p
}

type namedValue struct{ name, value string }

// joinValues returns the one value as it is, or several by name as a JSON object.
func joinValues(values []namedValue) string {
	if len(values) == 1 {
		return values[0].value
	}
	empty := !slices.ContainsFunc(values, func(v namedValue) bool { return v.value != "" })
	if empty {
		return ""
	}
	var b strings.Builder
	for i, v := range values {
		if i == 0 {
			b.WriteByte('{')
		} else {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(v.name)
		b.Write(name)
		b.WriteByte(':')
		if json.Valid([]byte(v.value)) && v.value != "" {
			b.WriteString(v.value)
		} else {
			quoted, _ := json.Marshal(v.value)
			b.Write(quoted)
		}
	}
	b.WriteByte('}')
	return b.String()
}

func changeOf(name string) string {
	for _, w := range [...]struct{ word, change string }{
		{"delete", "deleted"}, {"remove", "deleted"}, {"add ", "created"}, {"create", "created"},
		{"enable", "activated"}, {"disable", "deactivated"}, {"reset", "updated"},
	} {
		if strings.Contains(name, w.word) {
			return w.change
		}
	}
	return "updated"
}

func (a *auditRecord) policyChange() ([]event.Event, error) {
	if strings.Contains(a.name, "bypass") {
		return a.bypassUser()
	}
	e := a.byActor(event.PolicyChange)
	e.Policy = a.policy()
	if e.Outcome == event.Success {
		e.Policy.Weakened = a.weakened()
	}
	return one(e)
}

// bypassUser reads the one-time bypass of the second factor for a person.
func (a *auditRecord) bypassUser() ([]event.Event, error) {
	e := a.event(event.PolicyChange)
	e.Policy = a.policy()
	adds := strings.Contains(a.name, "add ") || strings.Contains(a.name, "create")
	if adds && e.Outcome == event.Success {
		e.Policy.Weakened = []event.Weakening{event.WeakeningUserExempt}
	}
	return one(e)
}

func (a *auditRecord) trustChange() ([]event.Event, error) {
	e := a.byActor(event.TrustChange)
	e.Policy = a.policy()
	return one(e)
}

func (a *auditRecord) loggingChange() ([]event.Event, error) {
	e := a.byActor(event.LoggingChange)
	e.Policy = a.policy()
	return one(e)
}

// weakened returns what the changes of a policy open, without duplicates.
func (a *auditRecord) weakened() []event.Weakening {
	var out []event.Weakening
	for i := range a.TargetResources {
		for j := range a.TargetResources[i].ModifiedProperties {
			c := &a.TargetResources[i].ModifiedProperties[j]
			var found []event.Weakening
			switch {
			case strings.Contains(a.name, "conditional access policy"):
				found = conditionalAccess(c.old(), c.new(), strings.HasPrefix(a.name, "delete"))
			case strings.Contains(a.name, "named location"):
				found = namedLocation(c.old(), c.new())
			case strings.Contains(a.name, "security defaults"):
				if isOn(c.Name, c.old()) && isOff(c.Name, c.new()) {
					found = []event.Weakening{event.WeakeningDisabled}
				}
			case strings.Contains(a.name, "authentication strength"):
				found = authenticationStrength(c.old(), c.new())
			case strings.Contains(a.name, "authentication methods policy"):
				found = methodStates(c)
			}
			for _, w := range found {
				if !slices.Contains(out, w) {
					out = append(out, w)
				}
			}
		}
	}
	return out
}

// conditionalPolicy is the part of a conditional access policy that decides who
// is asked for what.
type conditionalPolicy struct {
	State      lenient.Text `json:"state"`
	Conditions struct {
		Users struct {
			IncludeUsers  []string        `json:"includeUsers"`
			ExcludeUsers  []string        `json:"excludeUsers"`
			IncludeGroups []string        `json:"includeGroups"`
			ExcludeGroups []string        `json:"excludeGroups"`
			IncludeRoles  []string        `json:"includeRoles"`
			ExcludeRoles  []string        `json:"excludeRoles"`
			ExcludeGuests json.RawMessage `json:"excludeGuestsOrExternalUsers"`
		} `json:"users"`
		Applications struct {
			Include []string `json:"includeApplications"`
			Exclude []string `json:"excludeApplications"`
			Actions []string `json:"includeUserActions"`
		} `json:"applications"`
		Locations struct {
			Include []string `json:"includeLocations"`
			Exclude []string `json:"excludeLocations"`
		} `json:"locations"`
		Platforms struct {
			Include []string `json:"includePlatforms"`
			Exclude []string `json:"excludePlatforms"`
		} `json:"platforms"`
		ClientAppTypes   []string `json:"clientAppTypes"`
		UserRiskLevels   []string `json:"userRiskLevels"`
		SignInRiskLevels []string `json:"signInRiskLevels"`
	} `json:"conditions"`
	GrantControls *struct {
		Operator        string   `json:"operator"`
		BuiltInControls []string `json:"builtInControls"`
		Strength        *struct {
			ID          string `json:"id"`
			DisplayName string `json:"displayName"`
		} `json:"authenticationStrength"`
	} `json:"grantControls"`
}

func (p *conditionalPolicy) enforced() bool {
	return strings.EqualFold(string(p.State), "enabled")
}

func (p *conditionalPolicy) control(name string) bool {
	return p.GrantControls != nil && slices.ContainsFunc(p.GrantControls.BuiltInControls, func(c string) bool { return strings.EqualFold(c, name) })
}

// strength reports an authentication strength, and whether it is one that only
// phishing-resistant methods meet: the built-in one, or one that is called so.
func (p *conditionalPolicy) strength() (any, resistant bool) {
	if p.GrantControls == nil || p.GrantControls.Strength == nil {
		return false, false
	}
	s := p.GrantControls.Strength
	if s.ID == "" && s.DisplayName == "" {
		return false, false
	}
	return true, s.ID == "00000000-0000-0000-0000-000000000004" || strings.Contains(strings.ToLower(s.DisplayName), "phish")
}

// alternatives reports that one of several controls is enough, so that mfa need
// not be met.
func (p *conditionalPolicy) alternatives() bool {
	g := p.GrantControls
	return g != nil && strings.EqualFold(g.Operator, "OR") && len(g.BuiltInControls) > 1
}

// conditionalAccess compares two versions of a policy. What a policy that was not
// enforced loses is no weakening, and a version that cannot be read, such as one
// that the log cut, is evidence of nothing.
func conditionalAccess(before, after string, deleted bool) []event.Weakening {
	var o, n conditionalPolicy
	if json.Unmarshal([]byte(before), &o) != nil || !o.enforced() {
		return nil
	}
	if deleted {
		return []event.Weakening{event.WeakeningDisabled}
	}
	if json.Unmarshal([]byte(after), &n) != nil || n.State == "" {
		return nil
	}
	if !n.enforced() {
		return []event.Weakening{event.WeakeningDisabled}
	}
	var out []event.Weakening
	if narrowed(&o, &n) {
		out = append(out, event.WeakeningScope)
	}
	if n.control("block") {
		return out // nothing asks for more
	}
	if o.control("block") {
		out = append(out, event.WeakeningDisabled)
	}
	anyBefore, resistantBefore := o.strength()
	anyAfter, resistantAfter := n.strength()
	if resistantBefore && !resistantAfter {
		out = append(out, event.WeakeningPhishingResistance)
	}
	two := func(p *conditionalPolicy, strength bool) bool {
		return strength || p.control("mfa") && !p.alternatives()
	}
	if two(&o, anyBefore) && !two(&n, anyAfter) {
		out = append(out, event.WeakeningFactorMode)
	}
	return out
}

// narrowed reports that fewer people, applications, places or clients are asked.
func narrowed(o, n *conditionalPolicy) bool {
	oc, nc := &o.Conditions, &n.Conditions
	for _, x := range [...][2][]string{
		{oc.Users.ExcludeUsers, nc.Users.ExcludeUsers},
		{oc.Users.ExcludeGroups, nc.Users.ExcludeGroups},
		{oc.Users.ExcludeRoles, nc.Users.ExcludeRoles},
		{oc.Applications.Exclude, nc.Applications.Exclude},
		{oc.Locations.Exclude, nc.Locations.Exclude},
		{oc.Platforms.Exclude, nc.Platforms.Exclude},
	} {
		if !covers(x[0], x[1]) {
			return true
		}
	}
	none := func(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
	if none(oc.Users.ExcludeGuests) && !none(nc.Users.ExcludeGuests) {
		return true
	}
	// Whoever is included by one list need not be by another.
	if !covers(nc.Users.IncludeUsers, oc.Users.IncludeUsers) ||
		!everybody(nc.Users.IncludeUsers) && (!covers(nc.Users.IncludeGroups, oc.Users.IncludeGroups) || !covers(nc.Users.IncludeRoles, oc.Users.IncludeRoles)) {
		return true
	}
	for _, x := range [...][2][]string{
		{oc.Applications.Include, nc.Applications.Include},
		{oc.Applications.Actions, nc.Applications.Actions},
	} {
		if !covers(x[1], x[0]) {
			return true
		}
	}
	// An empty list of these means all of them.
	for _, x := range [...][2][]string{
		{oc.Locations.Include, nc.Locations.Include},
		{oc.Platforms.Include, nc.Platforms.Include},
		{oc.ClientAppTypes, nc.ClientAppTypes},
		{oc.UserRiskLevels, nc.UserRiskLevels},
		{oc.SignInRiskLevels, nc.SignInRiskLevels},
	} {
		if len(x[1]) > 0 && !everybody(x[1]) && (len(x[0]) == 0 || !covers(x[1], x[0])) {
			return true
		}
	}
	return false
}

func everybody(list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, "All") })
}

// covers reports that every element of small is in big, which may say All.
// "None" names nobody.
func covers(big, small []string) bool {
	if everybody(big) {
		return true
	}
	for _, s := range small {
		if !strings.EqualFold(s, "None") && !slices.Contains(big, s) {
			return false
		}
	}
	return true
}

// namedLocation reports a network that policies may now pass as trusted.
func namedLocation(before, after string) []event.Weakening {
	type location struct {
		IsTrusted bool              `json:"isTrusted"`
		Ranges    []json.RawMessage `json:"ipRanges"`
		Countries []string          `json:"countriesAndRegions"`
	}
	var o, n location
	if json.Unmarshal([]byte(after), &n) != nil {
		return nil
	}
	_ = json.Unmarshal([]byte(before), &o) // absent for a new location
	wider := n.IsTrusted && (!o.IsTrusted || len(n.Ranges) > len(o.Ranges))
	if wider || before != "" && !covers(o.Countries, n.Countries) {
		return []event.Weakening{event.WeakeningScope}
	}
	return nil
}

// authenticationStrength compares the combinations that meet a strength.
func authenticationStrength(before, after string) []event.Weakening {
	combinations := func(s string) []string {
		if list := listOf[string](s); list != nil {
			return list
		}
		var p struct {
			Allowed []string `json:"allowedCombinations"`
		}
		if json.Unmarshal([]byte(s), &p) != nil {
			return nil
		}
		return p.Allowed
	}
	o, n := combinations(before), combinations(after)
	resistant := func(list []string) bool {
		return len(list) > 0 && !slices.ContainsFunc(list, func(c string) bool { return !isResistantCombination(c) })
	}
	if resistant(o) && !resistant(n) {
		return []event.Weakening{event.WeakeningPhishingResistance}
	}
	single := func(list []string) bool {
		return slices.ContainsFunc(list, func(c string) bool {
			switch strings.ToLower(c) {
			case "password", "sms", "x509certificatesinglefactor", "qrcodepin":
				return true
			}
			return false
		})
	}
	if len(o) > 0 && !single(o) && single(n) {
		return []event.Weakening{event.WeakeningFactorMode}
	}
	return nil
}

func isResistantCombination(c string) bool {
	switch strings.ToLower(c) {
	case "fido2", "windowshelloforbusiness", "x509certificatemultifactor":
		return true
	}
	return false
}

// methodsPolicy reads the policy that says which methods there are. Where it
// changes whose discovery document an external method trusts, it is a change of
// trust.
func (a *auditRecord) methodsPolicy() ([]event.Event, error) {
	e := a.byActor(event.PolicyChange)
	e.Policy = a.policy()
	for i := range a.TargetResources {
		for _, c := range a.TargetResources[i].ModifiedProperties {
			name := strings.ToLower(c.Name)
			if (strings.Contains(name, "openidconnect") || strings.Contains(name, "discoveryurl")) && c.Old != c.New {
				e.Kind = event.TrustChange
			}
		}
	}
	if e.Outcome == event.Success {
		e.Policy.Weakened = a.weakened()
	}
	return one(e)
}

// methodStates compares which methods are on. Records have the whole policy as
// JSON; since April 2026 most have one property per changed setting.
func methodStates(c *change) []event.Weakening {
	type configuration struct {
		ID    string       `json:"id"`
		State lenient.Text `json:"state"`
	}
	states := func(value string) map[string]string {
		var p struct {
			configuration
			Configurations []configuration `json:"authenticationMethodConfigurations"`
		}
		if json.Unmarshal([]byte(value), &p) != nil || value == "" {
			name := strings.ToLower(c.Name)
			if !strings.Contains(name, "state") && !strings.Contains(name, "enabled") {
				return nil // another setting of a method
			}
			return map[string]string{methodIn(c.Name): value}
		}
		out := map[string]string{}
		for _, m := range p.Configurations {
			out[methodIn(m.ID)] = string(m.State)
		}
		if len(p.Configurations) == 0 {
			out[methodIn(lenient.First(p.ID, c.Name))] = string(p.State)
		}
		return out
	}
	o, n := states(c.old()), states(c.new())
	var out []event.Weakening
	for _, m := range weakMethods() {
		if isOn("state", n[m]) && !isOn("state", o[m]) {
			out = append(out, event.WeakeningMethodEnabled)
			break
		}
	}
	for _, m := range strongMethods() {
		if isOn("state", o[m]) && isOff("state", n[m]) {
			out = append(out, event.WeakeningMethodDisabled)
			break
		}
	}
	return out
}

func weakMethods() []string {
	return []string{"sms", "voice", "email", "qrcodepin", "temporaryaccesspass"}
}
func strongMethods() []string { return []string{"fido2", "x509certificate"} }

// methodIn returns the method that a configuration's id or a property's name
// speaks of, or "".
func methodIn(name string) string {
	name = strings.ToLower(name)
	for _, list := range [][]string{weakMethods(), strongMethods()} {
		for _, m := range list {
			if strings.Contains(name, m) {
				return m
			}
		}
	}
	return ""
}

// isOn and isOff read the state of a switch. As a number it is Graph's
// enumeration, where 0 is enabled; of a property that says "enabled" it is a
// truth value.
func isOn(property, value string) bool {
	switch v := strings.ToLower(strings.Trim(value, `[]" `)); v {
	case "enabled", "true":
		return true
	case "0":
		return !strings.Contains(strings.ToLower(property), "enabled")
	case "1":
		return strings.Contains(strings.ToLower(property), "enabled")
	}
	return false
}

func isOff(property, value string) bool {
	switch v := strings.ToLower(strings.Trim(value, `[]" `)); v {
	case "disabled", "false":
		return true
	case "1":
		return !strings.Contains(strings.ToLower(property), "enabled")
	case "0":
		return strings.Contains(strings.ToLower(property), "enabled")
	}
	return false
}
