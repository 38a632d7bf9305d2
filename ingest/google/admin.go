package google

import (
	"slices"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// admin reads what administrators did. What they did to a person belongs to that
// person; a change of the whole domain belongs to whoever made it.
func (p *part) admin(e *event.Event) error {
	target := p.value("USER_EMAIL")
	if target != "" && e.Actor.Name != target {
		e.Subject = event.Principal{Name: target, Type: typeUser}
	}
	switch string(p.Type) {
	case "USER_SETTINGS", "DELEGATED_ADMIN_SETTINGS", "SECURITY_SETTINGS", "DOMAIN_SETTINGS", "APPLICATION_SETTINGS", "":
	default:
		return ingest.Skip(ingest.SkipIrrelevant, string(p.Type)+" "+e.Action)
	}
	if ofUser(e.Action) {
		if target == "" {
			return ingest.Skip(ingest.SkipNoIdentity, e.Action)
		}
		return p.userSetting(e)
	}
	return p.domainSetting(e)
}

// ofUser reports whether the action is done to one person.
func ofUser(action string) bool {
	switch action {
	case "CHANGE_PASSWORD", "CHANGE_PASSWORD_ON_NEXT_LOGIN", "TURN_OFF_2_STEP_VERIFICATION", "UNENROLL_USER_FROM_STRONG_AUTH",
		"UNENROLL_USER_FROM_TITANIUM", "GENERATE_2SV_SCRATCH_CODES", "DELETE_2SV_SCRATCH_CODES", "REVOKE_SECURITY_KEY",
		"PASSKEY_REVOKED", "USER_CREATED_PASSKEY_REVOKE", "SECURITY_KEY_REGISTERED_FOR_USER", "USER_ENROLLED_IN_TWO_STEP_VERIFICATION",
		"USER_PUT_IN_TWO_STEP_VERIFICATION_GRACE_PERIOD", "UNBLOCK_USER_SESSION", "GRANT_ADMIN_PRIVILEGE", "REVOKE_ADMIN_PRIVILEGE",
		"GRANT_DELEGATED_ADMIN_PRIVILEGES", "RESET_SIGNIN_COOKIES", "ADD_RECOVERY_EMAIL", "CHANGE_RECOVERY_EMAIL",
		"REMOVE_RECOVERY_EMAIL", "ADD_RECOVERY_PHONE", "CHANGE_RECOVERY_PHONE", "REMOVE_RECOVERY_PHONE",
		"CREATE_USER", "DELETE_USER", "UNDELETE_USER", "SUSPEND_USER", "UNSUSPEND_USER", "ARCHIVE_USER", "UNARCHIVE_USER", "RENAME_USER":
		return true
	}
	return false
}

// The names of the two sorts of administrator, in events and in the directory.
const (
	roleSuper     = "Super Admin"
	roleDelegated = "Delegated Admin"
)

func (p *part) userSetting(e *event.Event) error {
	switch e.Action {
	case "CHANGE_PASSWORD":
		e.Kind = event.PasswordReset
		e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted, SelfService: !e.ByOther()}
		return nil
	case "CHANGE_PASSWORD_ON_NEXT_LOGIN":
		if strings.EqualFold(p.value("NEW_VALUE"), "false") {
			return ingest.Skip(ingest.SkipIrrelevant, e.Action+" off")
		}
		e.Kind = event.PasswordReset
		e.Recovery = &event.Recovery{Stage: event.RecoveryStarted, SelfService: !e.ByOther()}
		return nil
	case "TURN_OFF_2_STEP_VERIFICATION", "UNENROLL_USER_FROM_STRONG_AUTH":
		return secondFactorOff(e)
	case "UNENROLL_USER_FROM_TITANIUM":
		return advancedProtection(e, false)
	case "GENERATE_2SV_SCRATCH_CODES":
		e.Kind = event.RecoveryCredentialIssued
		e.Recovery = &event.Recovery{Stage: event.RecoveryIssued, Method: event.MethodBackupCode, SelfService: !e.ByOther()}
		return nil
	case "DELETE_2SV_SCRATCH_CODES":
		return removed(e, event.MethodBackupCode)
	case "REVOKE_SECURITY_KEY":
		return removed(e, event.MethodSecurityKey)
	case "PASSKEY_REVOKED", "USER_CREATED_PASSKEY_REVOKE":
		return removed(e, event.MethodPasskey)
	case "SECURITY_KEY_REGISTERED_FOR_USER":
		return enrolled(e, event.MethodSecurityKey, "")
	case "USER_ENROLLED_IN_TWO_STEP_VERIFICATION":
		return enrolled(e, event.MethodUnknown, "2-Step Verification")
	case "USER_PUT_IN_TWO_STEP_VERIFICATION_GRACE_PERIOD":
		return exempted(e, "2-Step Verification", p.value("NEW_VALUE"))
	case "UNBLOCK_USER_SESSION":
		return exempted(e, "login challenge", "")
	case "GRANT_ADMIN_PRIVILEGE":
		return role(e, true, roleSuper, true)
	case "REVOKE_ADMIN_PRIVILEGE":
		return role(e, false, roleSuper, true)
	case "GRANT_DELEGATED_ADMIN_PRIVILEGES":
		return role(e, true, lenient.First(p.value("NEW_VALUE"), roleDelegated), true)
	case "RESET_SIGNIN_COOKIES":
		e.Kind = event.SessionEnd
		return nil
	case "ADD_RECOVERY_EMAIL", "CHANGE_RECOVERY_EMAIL", "REMOVE_RECOVERY_EMAIL":
		return contact(e, "email", p.value("NEW_VALUE"))
	case "ADD_RECOVERY_PHONE", "CHANGE_RECOVERY_PHONE", "REMOVE_RECOVERY_PHONE":
		return contact(e, "phone", p.value("NEW_VALUE"))
	}
	e.Kind = event.UserLifecycle
	return nil
}

// exempted: for the moment one person need not show a second factor.
func exempted(e *event.Event, what, until string) error {
	e.Kind = event.PolicyChange
	e.Policy = &event.Policy{Type: what, Change: "updated", After: until, Weakened: []event.Weakening{event.WeakeningUserExempt}}
	return nil
}

func role(e *event.Event, granted bool, name string, privileged bool) error {
	e.Kind = event.RoleChange
	e.Role = &event.Role{Granted: granted, Privileged: privileged}
	if name != "" {
		e.Role.Roles = []string{name}
	} else {
		warn(e, "no role named")
	}
	return nil
}

func (p *part) domainSetting(e *event.Event) error {
	switch e.Action {
	case "ASSIGN_ROLE", "UNASSIGN_ROLE":
		name := p.value("ROLE_NAME")
		if p.value("USER_EMAIL") != "" {
			return role(e, e.Action == "ASSIGN_ROLE", name, isPrivileged(name))
		}
		return p.policy(e, event.PolicyChange, "updated") // of a group or a service account
	case "CREATE_ROLE", "ADD_PRIVILEGE":
		return p.policy(e, event.PolicyChange, "created")
	case "RENAME_ROLE", "UPDATE_ROLE":
		return p.policy(e, event.PolicyChange, "updated")
	case "DELETE_ROLE", "REMOVE_PRIVILEGE":
		return p.policy(e, event.PolicyChange, "deleted")

	case "ALLOW_STRONG_AUTHENTICATION", "ENFORCE_STRONG_AUTHENTICATION", "TOGGLE_CAA_ENABLEMENT":
		if off(p.value("NEW_VALUE")) && !off(p.value("OLD_VALUE")) {
			return p.policy(e, event.PolicyChange, "deactivated", event.WeakeningDisabled)
		}
		return p.policy(e, event.PolicyChange, "updated")
	case "CHANGE_ALLOWED_TWO_STEP_VERIFICATION_METHODS":
		return p.policy(e, event.PolicyChange, "updated", weakenedMethods(p.value("OLD_VALUE"), p.value("NEW_VALUE", "ALLOWED_TWO_STEP_VERIFICATION_METHOD"))...)
	case "CHANGE_CAA_APP_ASSIGNMENTS":
		if p.value("CAA_ACCESS_ASSIGNMENTS_OLD") != "" && p.value("CAA_ACCESS_ASSIGNMENTS_NEW") == "" {
			return p.policy(e, event.PolicyChange, "updated", event.WeakeningScope)
		}
		return p.policy(e, event.PolicyChange, "updated")
	case "CHANGE_TWO_STEP_VERIFICATION_FREQUENCY", "CHANGE_TWO_STEP_VERIFICATION_ENROLLMENT_PERIOD_DURATION",
		"CHANGE_TWO_STEP_VERIFICATION_GRACE_PERIOD_DURATION", "CHANGE_TWO_STEP_VERIFICATION_START_DATE",
		"WEAK_PROGRAMMATIC_LOGIN_SETTINGS_CHANGED", "SESSION_CONTROL_SETTINGS_CHANGE":
		return p.policy(e, event.PolicyChange, "updated")
	case "CREATE_APPLICATION_SETTING", "CHANGE_APPLICATION_SETTING", "DELETE_APPLICATION_SETTING":
		return p.applicationSetting(e)

	case "AUTHORIZE_API_CLIENT_ACCESS", "REMOVE_API_CLIENT_ACCESS":
		return p.domainWideDelegation(e)
	case "ADD_TO_TRUSTED_OAUTH2_APPS", "REMOVE_FROM_TRUSTED_OAUTH2_APPS", "ADD_TO_BLOCKED_OAUTH2_APPS", "REMOVE_FROM_BLOCKED_OAUTH2_APPS",
		"ADD_APPLICATION", "REMOVE_APPLICATION":
		e.Kind = event.AppChange
		e.App = &event.App{ID: p.value("OAUTH2_APP_ID", "APP_ID"), Name: p.value("OAUTH2_APP_NAME", "APPLICATION_NAME")}
		return nil

	case "ADD_TRUSTED_DOMAINS":
		return p.policy(e, event.TrustChange, "created")
	case "REMOVE_TRUSTED_DOMAINS":
		return p.policy(e, event.TrustChange, "deleted")
	case "TOGGLE_SSO_ENABLED", "CHANGE_SSO_SETTINGS":
		return p.policy(e, event.TrustChange, "updated")
	}
	return ingest.Skip(ingest.SkipIrrelevant, e.Action)
}

// policy makes e a change of the domain, which belongs to whoever made it.
func (p *part) policy(e *event.Event, k event.Kind, change string, weakened ...event.Weakening) error {
	e.Kind, e.Subject = k, e.Actor
	e.Policy = &event.Policy{
		ID: p.value("ROLE_ID"), Type: lenient.First(p.value("SETTING_NAME"), e.Action), Change: change, Weakened: weakened,
		Name:   p.value("ROLE_NAME", "DOMAIN_NAME", "ORG_UNIT_NAME", "GROUP_EMAIL"),
		Before: p.value("OLD_VALUE", "CAA_ACCESS_ASSIGNMENTS_OLD", "REAUTH_SETTING_OLD"),
		After: p.value("NEW_VALUE", "ALLOWED_TWO_STEP_VERIFICATION_METHOD", "CAA_ACCESS_ASSIGNMENTS_NEW", "REAUTH_SETTING_NEW",
			"PRIVILEGE_NAME"),
	}
	return nil
}

// applicationSetting reads the settings of the security page; those of other
// applications say nothing of authentication. Of one setting alone it is known
// which value is the weaker one.
func (p *part) applicationSetting(e *event.Event) error {
	if p.value("APPLICATION_NAME") != "Security" {
		return ingest.Skip(ingest.SkipIrrelevant, e.Action+" of "+p.value("APPLICATION_NAME"))
	}
	change := map[string]string{"CREATE": "created", "CHANGE": "updated", "DELETE": "deleted"}[e.Action[:len("CREATE")]]
	if p.value("SETTING_NAME") == "Advanced Protection Program Settings - Enable user enrollment" && off(p.value("NEW_VALUE")) {
		return p.policy(e, event.PolicyChange, change, event.WeakeningDisabled)
	}
	return p.policy(e, event.PolicyChange, change)
}

// domainWideDelegation lets an API client act as anybody in the domain.
func (p *part) domainWideDelegation(e *event.Event) error {
	e.Kind, e.Subject = event.ConsentGrant, e.Actor
	if e.Action == "REMOVE_API_CLIENT_ACCESS" {
		e.Kind = event.ConsentRevoke
	}
	e.Consent = &event.Consent{AppID: p.value("API_CLIENT_NAME"), ByAdmin: true, TenantWide: true}
	for _, s := range p.list("API_SCOPES") {
		for one := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ' ' || r == ',' }) {
			if !slices.Contains(e.Consent.Scopes, one) {
				e.Consent.Scopes = append(e.Consent.Scopes, one)
			}
		}
	}
	return nil
}

// off reports whether a setting's value is that it is switched off.
func off(value string) bool {
	switch strings.ToLower(value) {
	case "false", "off", "disabled":
		return true
	}
	return false
}

// weakenedMethods compares which second steps are allowed, before (which may not be
// told) and after.
func weakenedMethods(before, after string) []event.Weakening {
	var out []event.Weakening
	before, after = strings.ToUpper(before), strings.ToUpper(after)
	keysOnly := func(s string) bool { return strings.HasPrefix(s, "ONLY_SECURITY_KEY") }
	if keysOnly(before) && after != "" && !keysOnly(after) {
		out = append(out, event.WeakeningPhishingResistance)
	}
	if after == "ANY" && before != "ANY" {
		out = append(out, event.WeakeningMethodEnabled)
	}
	return out
}

// isPrivileged reports whether a role administers the domain: the system roles but
// those that only read. Of a role of the domain's own making it is not known, and
// having one makes a person a delegated administrator.
func isPrivileged(name string) bool {
	return !strings.Contains(name, "READER") && !strings.Contains(name, "READONLY") && !strings.Contains(name, "REPORTING")
}
