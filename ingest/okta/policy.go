package okta

import (
	"slices"
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// policyChange is a change of what the org asks, trusts or logs.
func (b *build) policyChange(k event.Kind) error {
	b.e.Kind = k
	d := b.debug()
	p := event.Policy{Change: changeOf(b.in.EventType)}
	var before, after document
	for i := range b.in.Target {
		t := &b.in.Target[i]
		if c := t.ChangeDetails; c != nil {
			before.read(string(c.From))
			after.read(string(c.To))
			if p.Before == "" && p.After == "" {
				p.Before, p.After = present(c.From), present(c.To)
			}
		}
		if strings.EqualFold(t.Type, "User") && len(b.in.Target) > 1 {
			continue
		}
		// A policy comes with its rule, an authenticator with its method: the
		// narrower one has the id, both have names.
		p.ID = first(t.ID, p.ID)
		if name := first(t.DisplayName, t.AlternateID); name != "" && !strings.HasSuffix(p.Name, name) {
			if p.Name != "" {
				p.Name += " / "
			}
			p.Name += name
		}
		p.Type = first(t.Detail.PolicyType, p.Type, t.Type)
	}
	for _, s := range [...]lenient.Text{d.OldRequirements, d.OldRuleAction} {
		before.read(string(s))
	}
	for _, s := range [...]lenient.Text{d.NewRequirements, d.NewRuleAction} {
		after.read(string(s))
	}
	if p.Before == "" && p.After == "" {
		p.Before = first(string(d.OldRequirements), string(d.OldRuleAction), string(d.PrivilegeRevoked))
		p.After = first(string(d.NewRequirements), string(d.NewRuleAction), string(d.PrivilegeGranted))
	}
	if b.e.Outcome == event.Success {
		p.Weakened = b.weakened(p, &before, &after)
	}
	b.e.Policy = &p
	return nil
}

// weakened names what the change opens. A change whose fields do not say is not
// named.
func (b *build) weakened(p event.Policy, before, after *document) []event.Weakening {
	var out []event.Weakening
	add := func(w event.Weakening) {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	d, t := b.debug(), b.in.EventType
	if before.twoFactors && after.oneFactor && !after.twoFactors || before.factorRequired && after.factorNotRequired && !after.factorRequired {
		add(event.WeakeningFactorMode)
	}
	if before.resistant && after.known && !after.resistant {
		add(event.WeakeningPhishingResistance)
	}
	if grew(d.OldZoneInclude, d.NewZoneInclude) || grew(d.OldZoneExclude, d.NewZoneExclude) || grew(d.OldUserExclude, d.NewUserExclude) ||
		grew(d.OldGroupExclude, d.NewGroupExclude) || grew(d.OldUserTypeExclude, d.NewUserTypeExclude) {
		add(event.WeakeningScope)
	}
	switch {
	case strings.HasPrefix(t, "security.authenticator.lifecycle."), strings.HasPrefix(t, "system.mfa.factor."):
		b.authenticatorPolicy(add)
	case strings.HasPrefix(t, "iam."), strings.HasPrefix(t, "group."), strings.HasPrefix(t, "system.feature."),
		strings.HasPrefix(t, "system.idp."), strings.HasPrefix(t, "pki."), strings.HasPrefix(t, "system.agent."),
		strings.HasPrefix(t, "app."), strings.HasPrefix(t, "security.trusted_origin."):
		// Taking these away opens nothing.
	case p.Change == "deleted" || p.Change == "deactivated":
		if guards(p.Type) {
			add(event.WeakeningDisabled)
		}
	case strings.HasPrefix(t, "security.") && switchedOff(before, after):
		add(event.WeakeningDisabled)
	}
	return out
}

// guards reports whether a policy of that type stands between a person and a
// session.
func guards(policyType string) bool {
	switch lenient.Squeeze(policyType) {
	case "wifi", "grouprule", "userlifecycle", "ommenroll", "profileenrollment", "idpdiscovery":
		return false
	}
	return true
}

// authenticatorPolicy: a method of the whole org was switched on or off.
func (b *build) authenticatorPolicy(add func(event.Weakening)) {
	action := b.in.EventType[strings.LastIndexByte(b.in.EventType, '.')+1:]
	judge := func(name, action string) bool {
		m, ok := methodOf(name)
		if !ok {
			return false
		}
		switch strings.ToLower(action) {
		case "activate", "create":
			if c := m.Class(); c == event.Weak || c == event.RecoveryClass {
				add(event.WeakeningMethodEnabled)
			}
		case "deactivate", "delete":
			if m.Class() == event.PhishingResistant {
				add(event.WeakeningMethodDisabled)
			}
		}
		return true
	}
	found := false
	for i := range b.in.Target {
		switch t := &b.in.Target[i]; {
		case t.Detail.MethodType != "":
			found = judge(t.Detail.MethodType, first(t.Detail.MethodAction, action)) || found
		case t.Detail.FactorType != "":
			found = judge(t.Detail.FactorType, action) || found
		}
	}
	if !found {
		found = judge(first(b.debug().AuthenticatorKey, b.debug().Factor), action)
	}
	for i := 0; !found && i < len(b.in.Target); i++ {
		found = judge(b.in.Target[i].DisplayName, action)
	}
}

func changeOf(eventType string) string {
	switch verb := eventType[strings.LastIndexByte(eventType, '.')+1:]; verb {
	case "add", "create", "created", "grant", "register", "make_blacklist":
		return "created"
	case "delete", "deleted", "remove", "revoke", "remove_blacklist", "invalidate":
		return "deleted"
	case "activate", "activated", "reactivate", "enable", "ea_auto_enroll":
		return "activated"
	case "deactivate", "deactivated", "disable":
		return "deactivated"
	}
	return "updated"
}

// document is what a policy asks for, read from any of the forms in which the log
// holds it.
type document struct {
	known bool // there was one
	// twoFactors and oneFactor are the values of factorMode.
	twoFactors, oneFactor bool
	// factorRequired is Classic Engine's requireFactor.
	factorRequired, factorNotRequired bool
	// resistant: a constraint requires phishing resistance.
	resistant bool
	top       map[string]any
}

// maxNesting bounds JSON in strings in JSON.
const maxNesting = 16

// read takes in s where it is JSON; it adds to what was read before.
func (d *document) read(s string) {
	var v any
	if s == "" || s == "null" || json.Unmarshal([]byte(s), &v) != nil {
		return
	}
	if m, ok := v.(map[string]any); ok && len(m) > 0 && d.top == nil {
		d.top = m
	}
	d.walk(v, 0)
}

func (d *document) walk(v any, depth int) {
	if depth > maxNesting {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		d.known = d.known || len(v) > 0
		for key, value := range v {
			switch lenient.Squeeze(key) {
			case "factormode":
				d.twoFactors = d.twoFactors || value == "2FA"
				d.oneFactor = d.oneFactor || value == "1FA"
			case "phishingresistant":
				d.resistant = d.resistant || value == "REQUIRED" || value == true
			case "requirefactor":
				d.factorRequired = d.factorRequired || value == true
				d.factorNotRequired = d.factorNotRequired || value == false
			default:
				d.walk(value, depth+1)
			}
		}
	case []any:
		for _, value := range v {
			d.walk(value, depth+1)
		}
	case string:
		if s := strings.TrimSpace(v); strings.HasPrefix(s, "{") || strings.HasPrefix(s, "[") {
			var inner any
			if json.Unmarshal([]byte(s), &inner) == nil {
				d.walk(inner, depth+1)
			}
		}
	}
}

// switchedOff reports whether a protection of the org's settings went off.
func switchedOff(before, after *document) bool {
	for key, was := range before.top {
		is := after.top[key]
		if on(was) && off(is) {
			return true
		}
	}
	return false
}

func on(v any) bool  { return v == true || v == "true" || v == "ENFORCED" }
func off(v any) bool { return v == false || v == "false" || v == "MONITORING" }

// present returns the JSON of raw, "" for null.
func present(raw json.RawMessage) string {
	if s := strings.TrimSpace(string(raw)); s != "" && s != "null" {
		return s
	}
	return ""
}
