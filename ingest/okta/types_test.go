package okta

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

var observed = time.Date(2026, time.March, 2, 10, 0, 5, 0, time.UTC)

func record(data string) ingest.Record {
	return ingest.Record{Source: "okta", Tenant: "example", Stream: stream, Data: []byte(data), Observed: observed, Origin: "test"}
}

// recordOf is a synthetic record of a type with members of its own.
func recordOf(eventType, members string) ingest.Record {
	return record(fmt.Sprintf(`{"uuid":"u-1","published":"2026-03-02T10:00:00.000Z","eventType":%q,
		"outcome":{"result":"SUCCESS"},
		"actor":{"id":"00u1","type":"User","alternateId":"jane@example.com","displayName":"Jane"}%s}`, eventType, members))
}

// one normalizes r into its one event, which must be valid once it has a key.
func one(t *testing.T, r ingest.Record) event.Event {
	t.Helper()
	events, err := New().Normalize(r)
	if err != nil {
		t.Fatalf("Normalize: %v\nrecord: %s", err, r.Data)
	}
	if len(events) != 1 {
		t.Fatalf("%d events, want 1", len(events))
	}
	e := events[0]
	keyed := e
	keyed.Key = "jane@example.com"
	if err := keyed.Validate(); err != nil {
		t.Fatalf("event of %s is not valid: %v", e.Action, err)
	}
	return e
}

func TestEventTypes(t *testing.T) {
	const (
		user       = `,"target":[{"id":"00u1","type":"User","alternateId":"jane@example.com"}]`
		app        = `,"target":[{"id":"0oa1","type":"AppInstance","displayName":"Mail"}]`
		enrollment = `,"target":[{"id":"fwf1","type":"AuthenticatorEnrollment","displayName":"Phone","detailEntry":{"methodTypeUsed":"SMS"}}]`
	)
	for _, tc := range []struct {
		kind    event.Kind
		skip    ingest.SkipReason
		members string
		types   string
	}{
		{kind: event.SignIn, types: `user.session.start user.authentication.sso app.oauth2.signon user.authentication.verify
			user.authentication.auth_via_radius user.authentication.auth_via_richclient application.policy.sign_on.deny_access user.account.lock`},
		{kind: event.FactorChallenge, types: `user.authentication.auth_via_mfa policy.evaluate_sign_on user.authentication.auth_via_IDP
			user.authentication.auth_via_social user.authentication.auth_via_inbound_SAML user.authentication.auth_via_AD_agent
			user.authentication.auth_via_LDAP_agent user.authentication.auth_via_iwa user.authentication.auth user.authentication.authenticate
			user.authentication.auth_via_inbound_delauth device.platform_sso.authentication
			user.mfa.okta_verify user.mfa.okta_verify.deny_push user.mfa.okta_verify.deny_push_upgrade_needed user.mfa.attempt_bypass
			system.push.send_factor_verify_push system.sms.send_factor_verify_message system.voice.send_mfa_challenge_call
			system.email.send_factor_verify_message system.sms.send_phone_verification_message system.voice.send_phone_verification_call
			system.email.challenge_factor_redeemed`},
		{kind: event.AuthenticatorEnrolled, members: enrollment, types: `user.mfa.factor.activate user.mfa.factor.unsuspend user.mfa.promote_enrollment`},
		{kind: event.AuthenticatorEnrolled, members: user, types: `credential.register device.enrollment.create device.user.add`},
		{kind: event.AuthenticatorRemoved, members: user, types: `credential.revoke device.user.remove user.mfa.factor.deactivate user.mfa.factor.suspend`},
		{kind: event.AuthenticatorsReset, types: `user.mfa.factor.reset_all`},
		{kind: event.ContactChange, members: enrollment, types: `user.mfa.factor.update user.account.update_primary_email user.account.update_secondary_email`},
		{kind: event.PasswordReset, types: `user.account.reset_password user.account.expire_password`},
		{kind: event.PasswordChange, types: `user.account.update_password`},
		{kind: event.RecoveryActivity, types: `system.email.password_reset.sent_message system.email.account_unlock.sent_message
			system.sms.send_password_reset_message system.voice.send_password_reset_call system.sms.send_account_unlock_message
			system.voice.send_account_unlock_call user.account.unlock user.account.unlock_by_admin user.account.unlock_token
			user.account.unlock_failure user.account.use_token user.identity_verification user.identity_verification.start`},
		{kind: event.RecoveryCredentialIssued, types: `device.desktop_mfa.recovery_pin.generate`},
		{kind: event.PolicyChange, types: `policy.rule.update policy.rule.add policy.rule.activate policy.rule.deactivate policy.rule.delete policy.rule.invalidate
			policy.lifecycle.update policy.lifecycle.activate policy.lifecycle.deactivate policy.lifecycle.delete policy.lifecycle.create policy.lifecycle.overwrite
			application.policy.sign_on.update application.policy.sign_on.rule.create application.policy.sign_on.rule.delete
			security.authenticator.lifecycle.create security.authenticator.lifecycle.activate security.authenticator.lifecycle.update
			security.authenticator.lifecycle.deactivate system.mfa.factor.activate system.mfa.factor.deactivate
			zone.create zone.update zone.delete zone.deactivate zone.activate security.attack_protection.settings.update
			security.protected_action.settings.update security.session_protection.status.update system.feature.enable system.feature.disable
			group.privilege.grant group.privilege.revoke iam.resourceset.bindings.add iam.resourceset.bindings.delete iam.role.create iam.role.update`},
		{kind: event.ConsentGrant, members: app, types: `app.oauth2.as.consent.grant app.oauth2.consent.grant app.oauth2.admin.consent.grant`},
		{kind: event.ConsentRevoke, members: app, types: `app.oauth2.as.consent.revoke app.oauth2.as.consent.revoke.user app.oauth2.admin.consent.revoke`},
		{kind: event.SessionActivity, members: app, types: `app.oauth2.token.grant.access_token app.oauth2.as.token.grant.access_token
			app.oauth2.as.token.grant.refresh_token user.session.access_admin_app application.user_membership.show_password`},
		{kind: event.AppCredential, members: app, types: `system.api_token.create system.api_token.revoke app.oauth2.client.lifecycle.create
			app.oauth2.client.lifecycle.update app.oauth2.client.privilege.grant app.oauth2.credentials.lifecycle.create
			app.oauth2.credentials.lifecycle.activate app.oauth2.credentials.lifecycle.deactivate app.oauth2.credentials.lifecycle.delete
			app.oauth2.client.read_client_secret integration.api_service.lifecycle.authorize`},
		{kind: event.AppChange, members: app, types: `application.lifecycle.create application.lifecycle.update application.configuration.update`},
		{kind: event.TokenAnomaly, members: app, types: `app.oauth2.token.detect_reuse app.oauth2.as.token.detect_reuse app.token.reuse`},
		{kind: event.RoleChange, members: user, types: `user.account.privilege.grant user.account.privilege.revoke iam.resourceset.bindings.add`},
		{kind: event.SessionEnd, types: `user.session.end user.session.clear user.session.expire user.authentication.slo user.authentication.universal_logout`},
		{kind: event.SessionAnomaly, types: `user.session.context.change security.session.detect_client_roaming policy.auth_reevaluate.fail`},
		{kind: event.Impersonation, types: `user.session.impersonation.grant user.session.impersonation.initiate user.session.impersonation.extend
			user.session.impersonation.end user.session.impersonation.revoke`},
		{kind: event.UserReport, types: `user.account.report_suspicious_activity_by_enduser`},
		{kind: event.RiskDetection, types: `user.risk.change user.risk.detect security.threat.detected security.request.blocked security.attack.start
			security.attack.end security.events.provider.receive_event security.breached_credential.detected policy.entity_risk.evaluate policy.entity_risk.action`},
		{kind: event.TrustChange, types: `system.idp.lifecycle.create system.idp.lifecycle.update system.idp.lifecycle.activate system.idp.lifecycle.deactivate
			system.idp.lifecycle.delete system.idp.key.create system.agent.ad.create system.agent.ad.delete pki.ca.add`},
		{kind: event.LoggingChange, types: `system.log_stream.lifecycle.create system.log_stream.lifecycle.update system.log_stream.lifecycle.activate
			system.log_stream.lifecycle.deactivate system.log_stream.lifecycle.delete event_hook.deactivated event_hook.deleted`},
		{kind: event.UserLifecycle, types: `user.lifecycle.create user.lifecycle.activate user.lifecycle.deactivate user.lifecycle.suspend
			user.lifecycle.unsuspend user.lifecycle.reactivate user.lifecycle.delete.initiated user.lifecycle.delete.completed`},
		{skip: ingest.SkipIntermediate, types: `app.oauth2.token.grant.id_token user.authentication.universal_logout.scheduled system.mfa.preregister.initiate
			policy.auth_reevaluate.enforce policy.auth_reevaluate.action system.sms.send_okta_push_verify_message`},
		{skip: ingest.SkipIntermediate, members: `,"debugContext":{"debugData":{"factor":"FIDO_WEBAUTHN"}}`, types: `user.mfa.factor.update`},
		{skip: ingest.SkipNoIdentity, types: `credential.register credential.revoke`},
		{skip: ingest.SkipIrrelevant, types: `system.org.rate_limit.warning user.account.update_profile group.user_membership.add user.credential.enroll
			system.agent.ad.connect policy.rule.action.execute user.lifecycle.jit.error.read_only something.new`},
	} {
		for eventType := range strings.FieldsSeq(tc.types) {
			t.Run(eventType, func(t *testing.T) {
				r := recordOf(eventType, tc.members)
				if tc.skip == "" {
					if got := one(t, r).Kind; got != tc.kind {
						t.Errorf("kind %q, want %q", got, tc.kind)
					}
					return
				}
				_, err := New().Normalize(r)
				skip, ok := errors.AsType[*ingest.SkipError](err)
				if !ok || skip.Reason != tc.skip {
					t.Errorf("error %v, want a skip for %s", err, tc.skip)
				}
			})
		}
	}
}

func TestFactorNames(t *testing.T) {
	for _, tc := range []struct {
		method event.Method
		names  []string
	}{
		{event.MethodPasskey, []string{"FIDO_WEBAUTHN", "webauthn", "Security Key or Biometric", "Passkey (FIDO2 WebAuthn)"}},
		{event.MethodSecurityKey, []string{"FIDO_U2F", "u2f"}},
		{event.MethodFastPassPR, []string{"SIGNED_NONCE", "signed_nonce", "Use Okta FastPass"}},
		{event.MethodCertificate, []string{"SMART_CARD", "cert", "smart_card_idp"}},
		{event.MethodPush, []string{"OKTA_VERIFY_PUSH", "CUSTOM_APP_PUSH", "push", "Get a push notification"}},
		{event.MethodTOTP, []string{"OKTA_SOFT_TOKEN", "SOFT_TOKEN", "TOTP", "VIP_FACTOR", "token:software:totp", "Enter code", "otp", "google_otp"}},
		{event.MethodOTPHardware, []string{"HOTP_FACTOR", "SECURID_FACTOR", "SECUREID_FACTOR", "YUBIKEY_OTP_FACTOR", "token:hardware", "token:hotp", "yubikey_token"}},
		{event.MethodDelegated, []string{"DUO_SECURITY", "duo"}},
		{event.MethodFederated, []string{"CLAIMS_AS_FACTOR", "idp", "external_idp"}},
		{event.MethodSMS, []string{"SMS_FACTOR", "sms", "SMS"}},
		{event.MethodVoice, []string{"CALL_FACTOR", "call", "VOICE"}},
		{event.MethodEmailCode, []string{"EMAIL_FACTOR", "email", "Okta_Email"}},
		{event.MethodSecurityQuestion, []string{"SECURITY_QUESTION", "question", "security_question"}},
		{event.MethodTemporaryAccessPass, []string{"TEMPORARY_ACCESS_CODE", "tac"}},
		{event.MethodPassword, []string{"PASSWORD_AS_FACTOR", "Password", "okta_password"}},
	} {
		for _, name := range tc.names {
			if got, ok := methodOf(name); !ok || got != tc.method {
				t.Errorf("methodOf(%q) = %s, %v, want %s", name, got, ok, tc.method)
			}
		}
	}
	if got, ok := methodOf("RETINA_SCAN"); ok || got != event.MethodUnknown {
		t.Errorf("methodOf of a name not known = %s, %v", got, ok)
	}
}

func TestText(t *testing.T) {
	collect := func(s string) string {
		var out []string
		for k, v := range javaMap(s) {
			out = append(out, k+"→"+v)
		}
		return strings.Join(out, "|")
	}
	for _, tc := range []struct{ name, in, want string }{
		{"map", "{reasons=Anomalous Device, level=MEDIUM}", "reasons→Anomalous Device|level→MEDIUM"},
		{"comma in a value", "{reasons=Anomalous Device, New IP, level=HIGH}", "reasons→Anomalous Device, New IP|level→HIGH"},
		{"class name", "Risk{level=LOW}", "level→LOW"},
		{"nested", "{a={b=1, c=2}, d=3}", "a→{b=1, c=2}|d→3"},
		{"empty", "{}", ""},
		{"no map", "LOW", ""},
		{"not closed", "{a=b", "a→b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := collect(tc.in); got != tc.want {
				t.Errorf("javaMap(%q) = %q, want %q", tc.in, got, tc.want)
			}
		})
	}
	for _, tc := range []struct{ name, in, want string }{
		{"java", "[DEVICE_BOUND, PHISHING_RESISTANT]", "DEVICE_BOUND|PHISHING_RESISTANT"},
		{"json", `["internal","hybrid"]`, "internal|hybrid"},
		{"bare", "Super administrator, Read only admin", "Super administrator|Read only admin"},
		{"parentheses", "Help Desk administrator (a, b), Report administrator", "Help Desk administrator (a, b)|Report administrator"},
		{"empty", "[]", ""},
	} {
		t.Run("list "+tc.name, func(t *testing.T) {
			var out []string
			for v := range javaList(tc.in) {
				out = append(out, v)
			}
			if got := strings.Join(out, "|"); got != tc.want {
				t.Errorf("javaList(%q) = %q, want %q", tc.in, got, tc.want)
			}
		})
	}
	for _, tc := range []struct{ name, in string }{
		{"java map", "{New Geo-Location=NEGATIVE, New Device=POSITIVE, New IP=POSITIVE, Velocity=UNKNOWN}"},
		{"json object", `{"New Geo-Location":"NEGATIVE","New Device":"POSITIVE","New IP":"POSITIVE"}`},
		{"json list", `["New Geo-Location=NEGATIVE","New Device=POSITIVE","New IP=POSITIVE"]`},
		{"entries as keys", `{"New Geo-Location=NEGATIVE":null,"New Device=POSITIVE":null,"New IP=POSITIVE":null}`},
	} {
		t.Run("behaviors "+tc.name, func(t *testing.T) {
			var out []string
			for v := range positive(lenient.Text(tc.in)) {
				out = append(out, v)
			}
			if got := strings.Join(out, "|"); got != "New Device|New IP" {
				t.Errorf("positive(%q) = %q", tc.in, got)
			}
		})
	}
	for in, want := range map[string]string{
		"User reset FIDO_WEBAUTHN factor":    "FIDO_WEBAUTHN",
		"User suspended SIGNED_NONCE factor": "SIGNED_NONCE",
		"User set up OKTA_SOFT_TOKEN factor": "OKTA_SOFT_TOKEN",
		"factor":                             "",
		"":                                   "",
	} {
		if got := factorOfReason(in); got != want {
			t.Errorf("factorOfReason(%q) = %q, want %q", in, got, want)
		}
	}
}
