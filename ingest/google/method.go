package google

import "stepdown/ingest/event"

// methodOf reads a value of login_challenge_method. It reports false for a value
// that is not known.
func methodOf(challenge string) (event.Method, bool) {
	switch challenge {
	case "passkey":
		return event.MethodPasskey, true
	case "security_key":
		return event.MethodSecurityKey, true
	case "google_prompt", "device_prompt":
		return event.MethodPush, true
	case "google_authenticator", "offline_otp", "in_house_otp", "internal_two_factor":
		return event.MethodTOTP, true
	case "security_key_otp":
		return event.MethodOTPHardware, true
	case "idv_preregistered_phone", "idv_any_phone":
		return event.MethodSMS, true
	case "idv_preregistered_email", "idv_any_email", "access_to_preregistered_email":
		return event.MethodEmailCode, true
	case "knowledge_preregistered_phone", "knowledge_preregistered_email", "knowledge_employee_id", "login_location":
		return event.MethodSecurityQuestion, true
	case "backup_code", "rescue_code":
		return event.MethodBackupCode, true
	case "password":
		return event.MethodPassword, true
	case "saml", "oidc":
		return event.MethodFederated, true
	case "cross_device", "assistant_approval", "cross_account", "other":
		return event.MethodUnknown, true
	}
	return event.MethodUnknown, false
}

// provesNothing reports whether a challenge is none of the person's proofs.
func provesNothing(challenge string) bool {
	switch challenge {
	case "", "captcha", "recaptcha", "none", "deny":
		return true
	}
	return false
}
