package jumpcloud

import (
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// dispatch gives the event to what reads its type, by the list in the vendor's API
// description; the misspelt authpolicy_update is the vendor's.
func (b *build) dispatch() error {
	switch t := b.e.Action; t {
	case "user_login_attempt", "login_attempt", "passwordmanager_extension_unlock", "passwordmanager_app_unlock":
		b.signIn()
	case "admin_login_attempt":
		b.e.App = &event.App{Name: "JumpCloud Admin Console", Admin: true}
		b.signIn()
	case "sso_auth":
		b.sso()
	case "radius_auth", "radius_auth_attempt":
		b.e.Protocol = event.ProtocolRADIUS
		b.signIn()
		b.radius()
	case "ldap_bind":
		b.e.Kind, b.e.Protocol = event.SignIn, event.ProtocolLDAP
		b.add(event.MethodPassword, "password", result(b.e.Outcome)) // a bind carries nothing else

	case "totp_finish_enrollment", "admin_totp_finish_enrollment":
		return b.totp(event.AuthenticatorEnrolled)
	case "totp_delete_enrollment", "admin_totp_disable":
		return b.totp(event.AuthenticatorRemoved)
	case "totp_start_enrollment", "admin_totp_start_enrollment", "user_activation_email", "user_password_warning_email", "user_password_expired":
		return ingest.Skip(ingest.SkipIntermediate, t)
	case "user_mfa_exclusion_expired":
		// Nobody says that the exemption began; it ends here.
		b.e.Kind = event.UserLifecycle

	case "user_password_change", "admin_password_change", "user_password_set":
		b.password()
	case "user_password_reset_request", "admin_password_reset_request":
		b.recovery(event.RecoveryStarted)
	case "user_unlocked":
		b.recovery(event.RecoveryCompleted)
	case "user_update", "admin_update":
		return b.updated()
	case "user_lockout", "admin_lockout", "user_suspended", "user_unsuspended", "admin_suspended", "admin_unsuspend",
		"user_create", "user_delete", "user_activated", "user_create_provision", "user_update_provision", "user_delete_provision":
		b.e.Kind = event.UserLifecycle

	case "admin_create", "admin_delete":
		return b.role("administrator", t == "admin_create")
	case "user_admin_granted", "user_admin_revoked":
		return b.role("administrator of a device", t == "user_admin_granted")
	case "user_group_admin_grant", "user_group_admin_revoke":
		return b.role("administrator of the devices of a group", t == "user_group_admin_grant")

	case "authnpolicy_create", "authnpolicy_delete", "authpolicy_update", "authnpolicy_update",
		"iplist_create", "iplist_update", "iplist_delete", "organization_update":
		return b.policy(event.PolicyChange)
	case "idsource_create", "idsource_update", "idsource_delete", "activedirectory_create", "activedirectory_delete",
		"radiusserver_create", "radiusserver_update", "radiusserver_delete":
		return b.policy(event.TrustChange)
	case "application_create", "application_update", "application_delete":
		b.e.Kind, b.e.App = event.AppChange, b.app()
		if b.e.App == nil {
			b.e.App = &event.App{ID: lenient.Known(string(b.in.Resource.ID)), Name: lenient.Known(string(b.in.Resource.Name))}
		}
	default:
		return ingest.Skip(ingest.SkipIrrelevant, t)
	}
	return nil
}

func result(o event.Outcome) event.Result {
	switch o {
	case event.Success:
		return event.Verified
	case event.OutcomeUnknown:
		return event.Pending
	}
	return event.Failed
}

func (b *build) add(m event.Method, name string, r event.Result) {
	f := event.NewFactor(m, r)
	f.Detail, f.Step = name, event.StepSecondary
	switch m {
	case event.MethodPassword:
		f.Step = event.StepPrimary
	case event.MethodDelegated:
		f.Provider = "duo"
	case event.MethodPlatformCredential, event.MethodPasskey:
		f.Step = event.StepUnknown // it may stand for the password or follow it
	}
	b.e.Factors = append(b.e.Factors, f)
}

// signIn reads the methods of a sign-in. One that did not succeed was tried where
// the sign-in failed, else merely offered.
func (b *build) signIn() {
	b.e.Kind = event.SignIn
	second := false
	for _, m := range b.auth().Methods.list {
		method, ok := methodOf(m.name)
		if !ok {
			b.warn("unknown method " + m.name)
		}
		switch {
		case m.success == lenient.True:
			b.add(method, m.name, event.Verified)
			second = second || method != event.MethodPassword
		case m.success == lenient.False && (b.e.Outcome == event.Failure || b.e.Outcome == event.Denied):
			b.add(method, m.name, event.Failed)
		}
	}
	if second || b.in.MFA != lenient.True || b.e.Outcome != event.Success {
		return
	}
	name := lenient.Known(string(b.in.MFAMeta.Type))
	method, ok := methodOf(name)
	if !ok {
		b.warn("a second factor that is not named")
	}
	b.add(method, name, event.Verified)
}

// sso reaches an application: by methods that are named, or over the session there
// is, which mfa false does not make a sign-in by password.
func (b *build) sso() {
	b.signIn()
	switch strings.ToLower(string(b.in.Application.SSOType)) {
	case "saml":
		b.e.Protocol = event.ProtocolSAML
	case "oidc":
		b.e.Protocol = event.ProtocolOAuth2
	}
	if len(b.e.Factors) == 0 && b.e.Outcome == event.Success {
		b.e.Factors = []event.Factor{event.NewFactor(event.MethodExistingSession, event.Verified)}
	}
}

// radius adds the certificate that EAP-TLS proves, or the password that the other
// types carry, where no method is named.
func (b *build) radius() {
	if len(b.e.Factors) > 0 {
		return
	}
	switch kind := lenient.Squeeze(string(b.in.EAPType) + string(b.in.AuthType)); {
	case strings.HasPrefix(kind, "tls"), strings.HasPrefix(kind, "eaptls"):
		b.add(event.MethodCertificate, string(b.in.EAPType), result(b.e.Outcome))
	case kind != "":
		b.add(event.MethodPassword, lenient.First(string(b.in.EAPType), string(b.in.AuthType)), result(b.e.Outcome))
	}
}

func (b *build) totp(k event.Kind) error {
	b.e.Kind, b.e.Authenticators = k, []event.Authenticator{event.NewAuthenticator(event.MethodTOTP)}
	return nil
}

// password is a reset where somebody else did it.
func (b *build) password() {
	b.e.Kind = event.PasswordChange
	if b.e.ByOther() {
		b.recovery(event.RecoveryCompleted)
		b.e.Kind = event.PasswordReset
	}
}

func (b *build) recovery(stage event.RecoveryStage) {
	b.e.Kind = event.RecoveryActivity
	if b.e.Outcome == event.Failure || b.e.Outcome == event.Denied {
		stage = event.RecoveryFailed
	}
	b.e.Recovery = &event.Recovery{Stage: stage, SelfService: !b.e.ByOther()}
}

// updated reads the changes of a user or an administrator: a second factor that is no
// longer asked for, a new address, a role; anything else is the account's life.
func (b *build) updated() error {
	b.e.Kind = event.UserLifecycle
	for _, c := range b.in.Changes {
		from, to := strings.ToLower(string(c.From)), strings.ToLower(string(c.To))
		switch field := lenient.Squeeze(string(c.Field)); field {
		case "mfaexclusion", "mfaexclusionuntil":
			if to != "" && to != "false" {
				return b.exempted()
			}
		case "enableuserportalmultifactor", "enablemultifactor", "mfaenabled":
			if from == "true" && to == "false" {
				return b.exempted()
			}
		case "totpenabled":
			switch {
			case from == "true" && to == "false":
				return b.totp(event.AuthenticatorRemoved)
			case from == "false" && to == "true":
				return b.totp(event.AuthenticatorEnrolled)
			}
		case "email", "alternateemail", "recoveryemail", "recoveryemailaddress":
			b.e.Kind = event.ContactChange
			b.e.Contact = &event.Contact{Kind: "email", Primary: field == "email"}
			return nil
		case "phonenumbers", "phonenumber":
			b.e.Kind = event.ContactChange
			b.e.Contact = &event.Contact{Kind: "phone"}
			return nil
		case "role", "rolename":
			if b.e.Action == "admin_update" && to != "" {
				b.e.Kind = event.RoleChange
				b.e.Role = &event.Role{Roles: []string{string(c.To)}, Granted: true, Full: true, Privileged: !readOnly(to)}
				return nil
			}
		}
	}
	return nil
}

// exempted: the person need not show a second factor any more, and keeps those
// that are enrolled.
func (b *build) exempted() error {
	b.e.Kind = event.PolicyChange
	b.e.Policy = &event.Policy{Type: typeUser, Change: "updated", Weakened: []event.Weakening{event.WeakeningUserExempt}}
	return nil
}

func readOnly(role string) bool {
	s := lenient.Squeeze(role)
	return s == "readonly" || s == "readonlyadministrator"
}

func (b *build) role(name string, granted bool) error {
	if b.e.Subject.ID == b.e.Actor.ID && b.in.Resource.principal().IsZero() {
		return ingest.Skip(ingest.SkipNoIdentity, b.e.Action) // whose it is, is not said
	}
	b.e.Kind = event.RoleChange
	b.e.Role = &event.Role{Roles: []string{name}, Granted: granted, Privileged: name == "administrator"}
	return nil
}

// policy is a change of what is asked of people, or of whom is trusted.
func (b *build) policy(k event.Kind) error {
	b.e.Kind = k
	r := &b.in.Resource
	object, verb, _ := strings.Cut(b.e.Action, "_")
	p := event.Policy{ID: lenient.Known(string(r.ID)), Name: lenient.Known(string(r.Name)), Type: lenient.First(string(r.Type), object), Change: verb + "d"}
	for _, c := range b.in.Changes {
		p.Before += string(c.Field) + "=" + string(c.From) + "\n"
		p.After += string(c.Field) + "=" + string(c.To) + "\n"
		if field, to := lenient.Squeeze(string(c.Field)), strings.ToLower(string(c.To)); field == "disabled" && to == "true" || field == "enabled" && to == "false" {
			p.Weakened = []event.Weakening{event.WeakeningDisabled}
		}
	}
	if b.e.Action == "authnpolicy_delete" {
		p.Weakened = []event.Weakening{event.WeakeningDisabled}
	}
	if b.e.Outcome == event.Failure {
		p.Weakened = nil
	}
	b.e.Policy = &p
	return nil
}
