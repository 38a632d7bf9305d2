package auth0

import (
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
)

// dispatch gives the log event to what reads its type. The types are those of the
// published schemas, and some that only older tenants have.
func (b *build) dispatch() error {
	switch t := string(b.in.Type); t {
	case "s":
		return b.login()
	case "ss":
		return b.signUp()
	case "scoa", "scv":
		// The password was right; what lets the person in is the "s" that follows.
		return b.credentials(event.Success)
	case "fcoa":
		return b.credentials(event.Failure)
	case "f", "fu", "fp":
		return b.failedLogin()
	case "sens":
		return b.exchange(event.Success, event.ProtocolOAuth2, event.MethodFederated)
	case "fens", "fecte", "idjag_exchange_failed", "jwt_bearer_exchange_failed":
		return b.exchange(event.Failure, event.ProtocolOAuth2, event.MethodFederated)
	case "idjag_exchange_succeeded":
		return b.exchange(event.Success, event.ProtocolOAuth2, event.MethodFederated)
	case "secte":
		if b.in.Details.Actor.Sub != "" {
			return b.impersonation()
		}
		return b.exchange(event.Success, event.ProtocolOAuth2, event.MethodFederated)
	case "sepft":
		return b.exchange(event.Success, event.ProtocolROPC, event.MethodPassword)
	case "fepft":
		return b.exchange(event.Failure, event.ProtocolROPC, event.MethodPassword)
	case "seotpft":
		return b.exchange(event.Success, event.ProtocolROPC, event.MethodPassword, event.MethodTOTP)
	case "feotpft":
		return b.exchange(event.Failure, event.ProtocolROPC, "", event.MethodTOTP)
	case "seoobft":
		return b.exchange(event.Success, event.ProtocolROPC, event.MethodPassword, event.MethodUnknown)
	case "feoobft":
		return b.exchange(event.Failure, event.ProtocolROPC, "", event.MethodUnknown)
	case "sercft":
		return b.recoveryExchange(event.Success, event.ProtocolROPC, event.MethodPassword)
	case "fercft":
		return b.recoveryExchange(event.Failure, event.ProtocolROPC, "")
	case "sepkotpft":
		return b.exchange(event.Success, event.ProtocolOAuth2, event.MethodPasskey, event.MethodTOTP)
	case "sepkoobft":
		return b.exchange(event.Success, event.ProtocolOAuth2, event.MethodPasskey, event.MethodUnknown)
	case "sepkrcft":
		return b.recoveryExchange(event.Success, event.ProtocolOAuth2, event.MethodPasskey)
	case "fepotpft":
		return b.exchange(event.Failure, event.ProtocolOAuth2, passwordless(string(b.in.Strategy), string(b.in.Connection), ""))
	case "sede":
		return b.deviceCode(event.Success)
	case "fede", "fdeac", "fdeaz":
		return b.deviceCode(event.Failure)
	case "fdecc":
		return b.deviceCode(event.Denied)
	case "ciba_start_succeeded":
		return b.ciba(event.FactorChallenge, event.Challenged)
	case "ciba_exchange_succeeded":
		return b.ciba(event.SignIn, event.Success)
	case "ciba_start_failed", "ciba_exchange_failed":
		return b.ciba(event.SignIn, event.Failure)
	case "ssa":
		return b.silent()
	case "sertft", "success_on_behalf_of_token_exchange", "sd":
		return b.tokenUse(event.Success)
	case "fertft":
		return b.tokenUse(event.Failure)
	case "ferrt":
		return b.tokenReuse()
	case "sdel", "sdelsa":
		return b.impersonation()

	case "gd_start_auth", "mfar":
		return b.asked()
	case "gd_send_pn":
		return b.sent(event.MethodPush, event.Pending)
	case "gd_send_pn_failure":
		return b.sent(event.MethodPush, event.Failed)
	case "gd_send_sms":
		return b.sent(event.MethodSMS, event.Pending)
	case "gd_send_sms_failure":
		return b.sent(event.MethodSMS, event.Failed)
	case "gd_send_voice":
		return b.sent(event.MethodVoice, event.Pending)
	case "gd_send_voice_failure":
		return b.sent(event.MethodVoice, event.Failed)
	case "gd_send_email", "gd_send_email_verification":
		return b.sent(event.MethodEmailCode, event.Pending)
	case "gd_send_email_verification_failure":
		return b.sent(event.MethodEmailCode, event.Failed)
	case "cs", "cls":
		return b.sent(passwordless(string(b.in.Strategy), string(b.in.Connection), string(b.in.Details.Body.Send)), event.Pending)
	case "passkey_challenge_started":
		return b.passkeyChallenge(event.Pending)
	case "passkey_challenge_failed":
		return b.passkeyChallenge(event.Failed)
	case "gd_auth_succeed":
		return b.second(event.Success, event.Verified, "")
	case "gd_auth_failed":
		return b.second(event.Failure, event.Failed, "")
	case "gd_auth_rejected":
		return b.second(event.Denied, event.Rejected, event.MethodPush)
	case "gd_webauthn_challenge_failed":
		return b.second(event.Failure, event.Failed, event.MethodPasskey)
	case "gd_auth_email_verification":
		return b.second(event.Success, event.Verified, event.MethodEmailCode)
	case "gd_auth_fail_email_verification":
		return b.second(event.Failure, event.Failed, event.MethodEmailCode)
	case "gd_otp_rate_limit_exceed":
		b.e.Kind, b.e.Outcome = event.FactorChallenge, event.Denied
		return nil
	case "gd_recovery_succeed":
		return b.recoveryCode(event.Success)
	case "gd_recovery_failed":
		return b.recoveryCode(event.Failure)
	case "gd_recovery_rate_limit_exceed":
		return b.recoveryCode(event.Denied)

	case "gd_enrollment_complete", "gd_update_device_account":
		return b.enrolment(event.AuthenticatorEnrolled, event.Success)
	case "gd_start_enroll_failed", "gd_webauthn_enrollment_failed":
		return b.enrolment(event.AuthenticatorEnrolled, event.Failure)
	case "gd_unenroll":
		return b.enrolment(event.AuthenticatorRemoved, event.Success)
	case "gd_user_delete":
		b.e.Kind, b.e.Outcome, b.e.Actor = event.AuthenticatorsReset, event.Success, event.Principal{}
		return nil
	case "my_account_authentication_method_succeeded":
		return b.myAccount(event.Success)
	case "my_account_authentication_method_failed":
		return b.myAccount(event.Failure)

	case "scpr":
		return b.recovery(event.RecoveryStarted, event.MethodEmailLink, event.Success)
	case "fcpr":
		return b.recovery(event.RecoveryFailed, event.MethodEmailLink, event.Failure)
	case "scp":
		return b.passwordReset(event.Success)
	case "fcp":
		return b.passwordReset(event.Failure)
	case "ublkdu":
		return b.recovery(event.RecoveryCompleted, "", event.Success)
	case "sce":
		return b.contact("email", event.Success)
	case "fce":
		return b.contact("email", event.Failure)
	case "scpn":
		return b.contact("phone", event.Success)
	case "fcpn":
		return b.contact("phone", event.Failure)
	case "scu", "sdu", "si", "organization_member_added":
		return b.lifecycle(event.Success)
	case "fcu", "fdu", "fi":
		return b.lifecycle(event.Failure)

	case "connected_accounts_connection_succeeded":
		return b.connectedAccount(event.ConsentGrant, event.Success)
	case "connected_accounts_connection_failed":
		return b.connectedAccount(event.ConsentGrant, event.Failure)
	case "connected_accounts_delete_succeeded":
		return b.connectedAccount(event.ConsentRevoke, event.Success)

	case "slo", "srrt", "universal_logout_succeeded":
		b.e.Kind, b.e.Outcome = event.SessionEnd, event.Success
		return nil

	case "limit_wc", "limit_mu", "limit_sul", "limit_phone", "limit_delegation":
		return b.protection(event.Denied)
	case "pwd_leak", "reset_pwd_leak", "signup_pwd_leak":
		return b.protection(event.Denied)

	case "sapi", "fapi":
		return b.management()
	case "mgmt_api_read":
		return b.managementRead()
	case "gd_tenant_update", "gd_module_switch":
		b.e.Kind, b.e.Outcome = event.PolicyChange, event.Success
		b.e.Policy = &event.Policy{Type: "guardian", Name: string(b.in.Description), Change: "updated"}
		return nil

	case "seccft", "feccft", "failed_on_behalf_of_token_exchange":
		return ingest.Skip(ingest.SkipMachine, t)
	case "seacft", "feacft", "sdeleacft", "fdeleacft", "fsa", "fdelsa", "pla", "gd_start_enroll", "flo", "federated_logout_failed",
		"universal_logout_failed", "oidc_backchannel_logout_succeeded", "oidc_backchannel_logout_failed",
		"connected_accounts_delete_failed", "fcph", "scph", "fd", "sv", "svr", "fv", "fvr",
		"passkey_register_started", "passkey_register_failed":
		return ingest.Skip(ingest.SkipIntermediate, t)
	default:
		return ingest.Skip(ingest.SkipIrrelevant, strings.ToValidUTF8(t[:min(len(t), 64)], ""))
	}
}
