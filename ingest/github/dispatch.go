package github

import (
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
)

// recoveryCodeUsed is the action of one who came in by a code kept for the loss of
// the second factor.
const recoveryCodeUsed = "user.two_factor_recover"

// handlerOf returns what reads an action, nil for one that says nothing of how
// people prove themselves.
func handlerOf(action string) func(*build) error {
	category, what, _ := strings.Cut(action, ".")
	switch category {
	case "user":
		return userHandler(action)
	case "two_factor_authentication":
		return twoFactorHandler(what)
	case "passkey", "security_key", "trusted_device":
		return keyHandler(category, what)
	case "org", "business":
		return tenantHandler(action, what)
	}
	switch action {
	case "user_session.country_change":
		return (*build).sessionMoved
	case "public_key.create", "public_key.update", "public_key.delete",
		"oauth_access.create", "oauth_access.regenerate", "oauth_access.revoke", "oauth_access.destroy",
		"personal_access_token.create", "personal_access_token.access_granted", "personal_access_token.credential_regenerated",
		"personal_access_token.access_revoked", "personal_access_token.credential_revoked", "personal_access_token.destroy", "personal_access_token.update",
		"org_credential_authorization.grant", "org_credential_authorization.revoke", "org_credential_authorization.deauthorized",
		"oauth_application.generate_client_secret", "oauth_application.reset_secret", "oauth_application.remove_client_secret",
		"integration.generate_client_secret", "integration.remove_client_secret":
		return (*build).credential
	case "oauth_authorization.create", "oauth_authorization.update":
		return consent(event.ConsentGrant, false)
	case "oauth_authorization.destroy":
		return consent(event.ConsentRevoke, false)
	case "integration_installation.create", "integration_installation.version_updated":
		return consent(event.ConsentGrant, true)
	case "integration_installation.destroy":
		return consent(event.ConsentRevoke, true)
	case "oauth_application.create", "oauth_application.destroy", "oauth_application.transfer",
		"integration.create", "integration.destroy", "integration.transfer":
		return (*build).appChanged
	case "external_identity.provision", "external_identity.deprovision", "external_identity.update":
		return lifecycle
	case "role.create", "role.update", "role.destroy":
		return policy(event.PolicyChange, "role")
	case "organization_role.assign":
		return organizationRole(true)
	case "organization_role.revoke":
		return organizationRole(false)
	case "team.add_member":
		return team(true)
	case "team.remove_member":
		return team(false)
	case "ip_allow_list.disable":
		return policy(event.PolicyChange, "ip_allow_list", event.WeakeningDisabled)
	case "ip_allow_list.enable":
		return policy(event.PolicyChange, "ip_allow_list")
	case "ip_allow_list_entry.create":
		return policy(event.PolicyChange, "ip_allow_list", event.WeakeningScope)
	case "ip_allow_list_entry.update", "ip_allow_list_entry.destroy":
		return policy(event.PolicyChange, "ip_allow_list")
	case "audit_log_streaming.create", "audit_log_streaming.update":
		return policy(event.LoggingChange, "audit_log_streaming")
	case "audit_log_streaming.destroy":
		return policy(event.LoggingChange, "audit_log_streaming", event.WeakeningDisabled)
	case "staff.fake_login":
		return (*build).impersonation
	}
	return nil
}

func userHandler(action string) func(*build) error {
	switch action {
	case "user.login":
		return (*build).login
	case "user.failed_login":
		return (*build).failedLogin
	case "user.two_factor_requested", "user.device_verification_requested":
		return secondFactor(event.Challenged, event.MethodUnknown, event.Pending)
	case "user.two_factor_challenge_success", "user.device_verification_success":
		return secondFactor(event.Success, event.MethodUnknown, event.Verified)
	case "user.two_factor_challenge_failure", "user.device_verification_failure":
		return secondFactor(event.Failure, event.MethodUnknown, event.Failed)
	case recoveryCodeUsed:
		return secondFactor(event.Success, event.MethodBackupCode, event.Verified)
	case "user.two_factor_recovery_codes_viewed", "user.two_factor_recovery_codes_downloaded", "user.two_factor_recovery_codes_printed":
		return codes
	case "user.forgot_password":
		return recovery(event.RecoveryStarted, event.MethodEmailLink)
	case "user.reset_password":
		return (*build).passwordReset
	case "user.change_password":
		return kind(event.PasswordChange)
	case "user.add_email", "user.remove_email":
		return (*build).email
	case "user.sign_in_from_unrecognized_device", "user.sign_in_from_unrecognized_device_and_location", "user.new_device_used":
		return (*build).unrecognized
	case "user.logout":
		return kind(event.SessionEnd)
	case "user.promote":
		return role(true, "site administrator", true)
	case "user.demote":
		return role(false, "site administrator", true)
	case "user.create", "user.recreate", "user.async_delete", "user.delete", "user.destroy", "user.rename", "user.suspend", "user.unsuspend":
		return lifecycle
	}
	return nil
}

func twoFactorHandler(what string) func(*build) error {
	switch what {
	case "sign_in_fallback_sms":
		return secondFactor(event.Challenged, event.MethodSMS, event.Pending)
	case "password_reset_fallback_sms":
		return recovery(event.RecoveryStarted, event.MethodSMS)
	case "enabled", "add_factor":
		return authenticator(event.AuthenticatorEnrolled, event.MethodUnknown)
	case "remove_factor":
		return authenticator(event.AuthenticatorRemoved, event.MethodUnknown)
	case "disabled":
		return (*build).twoFactorDisabled
	case "update_fallback":
		return (*build).fallback
	case "recovery_codes_regenerated":
		return codes
	}
	return nil
}

func keyHandler(category, what string) func(*build) error {
	method := event.MethodUnknown
	switch category {
	case "passkey":
		method = event.MethodPasskey
	case "security_key":
		method = event.MethodSecurityKey
	}
	switch what {
	case "register":
		return authenticator(event.AuthenticatorEnrolled, method)
	case "remove":
		return authenticator(event.AuthenticatorRemoved, method)
	}
	return nil
}

// tenantHandler reads the categories of an organization and of an enterprise,
// which have most actions in common.
func tenantHandler(action, what string) func(*build) error {
	switch what {
	case "sso_response":
		return (*build).ssoResponse
	case "recovery_code_used":
		return recovery(event.RecoveryRedeemed, event.MethodBackupCode)
	case "recovery_code_failed":
		return recovery(event.RecoveryFailed, event.MethodBackupCode)
	case "recovery_codes_generated", "recovery_codes_downloaded", "recovery_codes_printed", "recovery_codes_viewed":
		return codes
	case "disable_two_factor_requirement":
		return policy(event.PolicyChange, "two_factor_requirement", event.WeakeningFactorMode)
	case "enable_two_factor_requirement":
		return policy(event.PolicyChange, "two_factor_requirement")
	case "disable_saml", "saml_disabled":
		return policy(event.TrustChange, "saml", event.WeakeningDisabled)
	case "disable_oidc":
		return policy(event.TrustChange, "oidc", event.WeakeningDisabled)
	case "enable_saml", "saml_enabled", "update_saml_provider_settings":
		return policy(event.TrustChange, "saml")
	case "enable_oidc":
		return policy(event.TrustChange, "oidc")
	case "disable_oauth_app_restrictions":
		return policy(event.PolicyChange, "oauth_app_restrictions", event.WeakeningDisabled)
	case "enable_oauth_app_restrictions":
		return policy(event.PolicyChange, "oauth_app_restrictions")
	case "disable_source_ip_disclosure":
		return policy(event.LoggingChange, "source_ip_disclosure", event.WeakeningDisabled)
	case "enable_source_ip_disclosure":
		return policy(event.LoggingChange, "source_ip_disclosure")
	case "oauth_app_access_approved":
		return consent(event.ConsentGrant, true)
	case "oauth_app_access_denied":
		return consent(event.ConsentRevoke, true)
	case "oauth_app_access_requested":
		return func(b *build) error { return ingest.Skip(ingest.SkipIntermediate, b.in.Action) }
	case "revoke_sso_session":
		return kind(event.SessionEnd)
	case "revoke_external_identity":
		return lifecycle
	}
	switch action {
	case "business.add_admin":
		return role(true, "enterprise owner", true)
	case "business.remove_admin":
		return role(false, "enterprise owner", true)
	case "org.add_member", "org.update_member":
		return (*build).member
	case "org.remove_member":
		return (*build).memberRemoved
	}
	return nil
}
