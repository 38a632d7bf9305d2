package okta

import (
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
)

// dispatch gives the record to what reads its type. The types are those of Okta's
// catalogue, release 2026.08, and some that only older exports have.
func (b *build) dispatch() error {
	switch t := b.in.EventType; t {
	case "user.session.start":
		return b.sessionStart()
	case "user.authentication.sso", "app.oauth2.signon":
		return b.singleSignOn()
	case "user.authentication.verify":
		return b.verify()
	case "user.authentication.auth_via_mfa":
		return b.viaMFA()
	case "policy.evaluate_sign_on":
		return b.evaluate()
	case "user.authentication.auth_via_radius":
		return b.direct(event.ProtocolRADIUS)
	case "user.authentication.auth_via_richclient":
		return b.direct(event.ProtocolLegacy)
	case "user.authentication.auth", "user.authentication.authenticate",
		"user.authentication.auth_via_AD_agent", "user.authentication.auth_via_LDAP_agent",
		"user.authentication.auth_via_inbound_delauth":
		return b.viaDirectory()
	case "user.authentication.auth_via_IDP", "user.authentication.auth_via_social",
		"user.authentication.auth_via_inbound_SAML", "user.authentication.auth_via_iwa":
		return b.federated()
	case "device.platform_sso.authentication":
		return b.platformSSO()
	case "application.policy.sign_on.deny_access", "user.account.lock":
		b.e.Kind, b.e.Outcome = event.SignIn, event.Denied
		return nil

	case "user.mfa.okta_verify", "user.mfa.okta_verify.deny_push", "user.mfa.okta_verify.deny_push_upgrade_needed":
		return b.oktaVerify(strings.HasSuffix(t, ".deny_push"))
	case "user.mfa.attempt_bypass":
		return b.step(event.NewFactor(event.MethodMFABypassed, result(b.e.Outcome)))
	case "system.push.send_factor_verify_push":
		return b.challenge(event.MethodPush)
	case "system.sms.send_factor_verify_message", "system.sms.send_phone_verification_message":
		return b.challenge(event.MethodSMS)
	case "system.voice.send_mfa_challenge_call", "system.voice.send_phone_verification_call":
		return b.challenge(event.MethodVoice)
	case "system.email.send_factor_verify_message":
		return b.challenge(event.MethodEmailCode)
	case "system.email.challenge_factor_redeemed":
		return b.emailRedeemed()

	case "user.mfa.factor.activate", "user.mfa.factor.unsuspend":
		return b.enrolled()
	case "user.mfa.promote_enrollment":
		return b.promoted()
	case "credential.register":
		return b.yubikeySeed(event.AuthenticatorEnrolled)
	case "credential.revoke":
		return b.yubikeySeed(event.AuthenticatorRemoved)
	case "device.enrollment.create", "device.user.add":
		return b.deviceAccount(event.AuthenticatorEnrolled)
	case "device.user.remove":
		return b.deviceAccount(event.AuthenticatorRemoved)
	case "user.mfa.factor.deactivate", "user.mfa.factor.suspend":
		return b.removed()
	case "user.mfa.factor.reset_all":
		b.e.Kind = event.AuthenticatorsReset
		return nil
	case "user.mfa.factor.update":
		return b.factorUpdated()
	case "device.desktop_mfa.recovery_pin.generate":
		return b.codeIssued(event.MethodBypassCode)

	case "user.account.reset_password", "user.account.expire_password":
		return b.password(event.PasswordReset)
	case "user.account.update_password":
		return b.password(event.PasswordChange)
	case "system.email.password_reset.sent_message":
		return b.recovery(event.RecoveryStarted, event.MethodEmailLink)
	case "system.email.account_unlock.sent_message":
		return b.recovery(event.RecoveryStarted, event.MethodEmailLink)
	case "system.sms.send_password_reset_message", "system.sms.send_account_unlock_message":
		return b.recovery(event.RecoveryStarted, event.MethodSMS)
	case "system.voice.send_password_reset_call", "system.voice.send_account_unlock_call":
		return b.recovery(event.RecoveryStarted, event.MethodVoice)
	case "user.account.unlock", "user.account.unlock_by_admin":
		return b.recovery(event.RecoveryCompleted, "")
	case "user.account.unlock_token":
		return b.recovery(event.RecoveryRedeemed, "")
	case "user.identity_verification.start", "user.identity_verification":
		// It may open a recovery; what follows tells what came of it.
		return b.recovery(event.RecoveryStarted, "")
	case "user.account.unlock_failure":
		return b.recovery(event.RecoveryFailed, "")
	case "user.account.use_token":
		// By its description an invalid token, whatever the outcome says.
		b.e.Outcome = event.Failure
		return b.recovery(event.RecoveryFailed, "")
	case "user.account.update_primary_email", "user.account.update_secondary_email":
		b.e.Kind = event.ContactChange
		b.e.Contact = &event.Contact{Kind: "email", Primary: t == "user.account.update_primary_email"}
		return nil

	case "user.account.privilege.grant", "user.account.privilege.revoke":
		return b.privilege()
	case "user.session.end", "user.session.clear", "user.session.expire",
		"user.authentication.slo", "user.authentication.universal_logout":
		return b.sessionEnd()
	case "user.session.access_admin_app":
		return b.adminConsole()
	case "application.user_membership.show_password":
		b.e.Kind = event.SessionActivity
		return nil
	case "user.session.context.change", "security.session.detect_client_roaming", "policy.auth_reevaluate.fail":
		return b.sessionAnomaly()
	case "user.session.impersonation.grant", "user.session.impersonation.initiate", "user.session.impersonation.extend",
		"user.session.impersonation.end", "user.session.impersonation.revoke":
		return b.impersonation()
	case "app.oauth2.token.detect_reuse", "app.oauth2.as.token.detect_reuse", "app.token.reuse":
		b.e.Kind = event.TokenAnomaly
		return nil
	case "user.account.report_suspicious_activity_by_enduser":
		return b.report()
	case "user.risk.change", "user.risk.detect", "security.threat.detected", "security.request.blocked",
		"security.attack.start", "security.attack.end", "security.events.provider.receive_event",
		"security.breached_credential.detected", "policy.entity_risk.evaluate", "policy.entity_risk.action":
		return b.riskDetected()

	case "app.oauth2.token.grant", "app.oauth2.token.grant.access_token",
		"app.oauth2.as.token.grant", "app.oauth2.as.token.grant.access_token",
		"app.oauth2.token.grant.refresh_token", "app.oauth2.as.token.grant.refresh_token":
		return b.tokenGrant()
	case "app.oauth2.consent.grant", "app.oauth2.as.consent.grant":
		return b.consent(event.ConsentGrant, false)
	case "app.oauth2.admin.consent.grant":
		return b.consent(event.ConsentGrant, true)
	case "app.oauth2.admin.consent.revoke":
		return b.consent(event.ConsentRevoke, true)

	case "system.api_token.create", "system.api_token.enable", "system.api_token.update", "system.api_token.revoke",
		"app.oauth2.client.privilege.grant", "app.oauth2.client.privilege.revoke",
		"app.oauth2.client.read_client_secret", "application.configuration.read_client_secret",
		"system.idp.lifecycle.read_client_secret",
		"integration.api_service.lifecycle.authorize", "integration.api_service.lifecycle.revoke":
		return b.appCredential()
	case "iam.resourceset.bindings.add", "iam.resourceset.bindings.delete":
		if b.user != nil {
			return b.binding()
		}
		return b.policyChange(event.PolicyChange)
	case "group.privilege.grant", "group.privilege.revoke":
		return b.policyChange(event.PolicyChange)
	case "application.policy.sign_on.update", "application.policy.sign_on.rule.create", "application.policy.sign_on.rule.delete",
		"system.mfa.factor.activate", "system.mfa.factor.deactivate",
		"system.feature.enable", "system.feature.disable", "system.feature.ea_auto_enroll",
		"security.attack_protection.settings.update", "security.protected_action.settings.update",
		"security.session_protection.status.update", "security.threat.configuration.update",
		"security.zone.make_blacklist", "security.zone.remove_blacklist", "policy.mapping.create":
		return b.policyChange(event.PolicyChange)
	case "system.agent.ad.create", "system.agent.ad.update", "system.agent.ad.deactivate", "system.agent.ad.delete",
		"system.agent.ad.reactivate", "system.agent.ad.config_change_detected", "system.agent.register",
		"pki.ca.add", "pki.ca.delete", "pki.ca.renew", "app.oauth2.trusted_server.add", "app.oauth2.trusted_server.delete":
		return b.policyChange(event.TrustChange)
	case "event_hook.created", "event_hook.updated", "event_hook.activated", "event_hook.deactivated", "event_hook.deleted":
		return b.policyChange(event.LoggingChange)

	case "app.oauth2.token.grant.id_token", "app.oauth2.as.token.grant.id_token",
		"user.authentication.universal_logout.scheduled", "system.mfa.preregister.initiate",
		"policy.auth_reevaluate.enforce", "policy.auth_reevaluate.action",
		"system.sms.send_okta_push_verify_message", "system.sms.receive_status", "system.voice.receive_status", "system.voice.send_call":
		return ingest.Skip(ingest.SkipIntermediate, t)

	case "user.lifecycle.jit.error.read_only", "user.lifecycle.password_mass_expiry":
		return ingest.Skip(ingest.SkipIrrelevant, t)
	default:
		return b.dispatchFamily()
	}
}

// dispatchFamily reads the types that are named alike and mean alike.
func (b *build) dispatchFamily() error {
	t := b.in.EventType
	has := func(prefix string) bool { return strings.HasPrefix(t, prefix) }
	switch {
	case has("user.lifecycle."):
		b.e.Kind = event.UserLifecycle
		return nil
	case has("app.oauth2.as.consent.revoke"):
		return b.consent(event.ConsentRevoke, false)
	case has("app.oauth2.client.lifecycle."), has("app.oauth2.credentials.lifecycle."),
		has("app.oauth2.as.resource_server.credentials.lifecycle."), has("workload_principal.ai_agent.credential."):
		return b.appCredential()
	case has("application.lifecycle."), has("application.configuration.update"):
		b.e.Kind = event.AppChange
		return nil
	case has("policy.rule.") && t != "policy.rule.action.execute", has("policy.lifecycle."),
		has("security.authenticator.lifecycle."), has("zone."), has("device.assurance.policy."),
		has("security.behavior.settings."), has("iam.role."), has("iam.resourceset."):
		return b.policyChange(event.PolicyChange)
	case has("system.idp.lifecycle."), has("system.idp.key."), has("security.trusted_origin."):
		return b.policyChange(event.TrustChange)
	case has("system.log_stream.lifecycle."):
		return b.policyChange(event.LoggingChange)
	}
	return ingest.Skip(ingest.SkipIrrelevant, t)
}
