package entra

import (
	"strings"

	"stepdown/ingest/event"
)

// signInMethod returns the method that authenticationDetails[] names. It reports
// false for a name it does not know.
//
// Number matching is not in the log. A push notification is therefore a plain
// push; the passwordless phone sign-in always shows a number.
func signInMethod(name string) (event.Method, bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case "fido2 security key", "fido2", "fido", "security key":
		return event.MethodSecurityKey, true
	case "passkey (device-bound)", "passkey (device bound)", "passkey (device-bound) security key":
		return event.MethodPasskeyDeviceBound, true
	case "passkey (synced)":
		return event.MethodPasskeySynced, true
	case "passkey":
		return event.MethodPasskey, true
	case "windows hello for business", "windows hello",
		"macos platform credentials", "macos platform credential", "platform credential":
		return event.MethodPlatformCredential, true
	case "x.509 certificate", "x.509 certificate multifactor", "certificate":
		return event.MethodCertificate, true
	case "passwordless phone sign-in", "passwordless microsoft authenticator":
		return event.MethodPushNumberMatch, true
	case "mobile app notification", "authenticator app", "microsoft authenticator":
		return event.MethodPush, true
	case "mobile app verification code", "app verification code", "oath verification code",
		"software oath token", "oath software token":
		return event.MethodTOTP, true
	case "oath hardware token", "hardware oath token":
		return event.MethodOTPHardware, true
	case "sms", "text message", "sms sign-in":
		return event.MethodSMS, true
	case "voice", "phone call", "phone call approval":
		return event.MethodVoice, true
	case "email verification code", "email otp", "email one-time passcode":
		return event.MethodEmailCode, true
	case "qr code", "qr code pin":
		return event.MethodQRPIN, true
	case "temporary access pass":
		return event.MethodTemporaryAccessPass, true
	case "password", "app password", "pta", "phs":
		return event.MethodPassword, true
	case "previously satisfied", "satisfied by token":
		return event.MethodPreviouslySatisfied, true
	case "primary refresh token":
		return event.MethodPrimaryRefreshToken, true
	case "external authentication method":
		return event.MethodDelegated, true
	}
	switch {
	case strings.HasPrefix(name, "phone call approval"):
		return event.MethodVoice, true
	case strings.HasPrefix(name, "qr code"):
		return event.MethodQRPIN, true
	}
	return event.MethodUnknown, false
}

// standIn returns the method of a step or status that was met without a factor,
// by what its result says: an older proof, another provider or an exemption.
func standIn(result string) (event.Method, bool) {
	result = strings.ToLower(result)
	has := func(s string) bool { return strings.Contains(result, s) }
	switch {
	case has("satisfied by claim provided by external provider"):
		return event.MethodFederated, true
	case has("satisfied by claim"), has("satisfied by token"):
		return event.MethodPreviouslySatisfied, true
	case has("skipped due to remembered device"), has("skipped due to registered device"):
		return event.MethodRememberedDevice, true
	case has("windows broker logon"):
		return event.MethodPrimaryRefreshToken, true
	case has("mfa requirement skipped"):
		return event.MethodMFABypassed, true
	}
	return "", false
}

// enrolledMethod returns the method that the audit log speaks of in texts, best
// first. It reports false when none names one. The words are those of result
// reasons ("User registered Authenticator App with Code"), of activities ("Add
// Windows Hello for Business credential") and of details ("Passkey").
func enrolledMethod(texts ...string) (event.Method, bool) {
	for _, t := range texts {
		t = strings.ToLower(t)
		for _, w := range [...]struct {
			word   string
			method event.Method
		}{
			// The order matters: the narrower word comes first.
			{"temporary access pass", event.MethodTemporaryAccessPass},
			{"temporaryaccesspass", event.MethodTemporaryAccessPass},
			{"app password", event.MethodPassword},
			{"application password", event.MethodPassword},
			{"synced", event.MethodPasskeySynced},
			{"device-bound", event.MethodPasskeyDeviceBound},
			{"device bound", event.MethodPasskeyDeviceBound},
			{"fido2 security key", event.MethodSecurityKey},
			// "Fido2 Authentication Method" is any passkey.
			{"fido", event.MethodPasskey},
			{"passkey", event.MethodPasskey},
			{"security key", event.MethodSecurityKey},
			{"windows hello", event.MethodPlatformCredential},
			{"platform credential", event.MethodPlatformCredential},
			{"certificate", event.MethodCertificate},
			{"passwordless", event.MethodPushNumberMatch},
			{"hardware oath", event.MethodOTPHardware},
			{"notification", event.MethodPush},
			{"app with code", event.MethodTOTP},
			{"software oath", event.MethodTOTP},
			{"verification code", event.MethodTOTP},
			{"authenticator", event.MethodPush},
			{"mobile app", event.MethodPush},
			{"phone app", event.MethodPush},
			{"oath", event.MethodTOTP},
			{"sms", event.MethodSMS},
			{"office phone", event.MethodVoice},
			{"phone call", event.MethodVoice},
			{"voice", event.MethodVoice},
			{"phone", event.MethodSMS},
			{"email", event.MethodEmailCode},
			{"security question", event.MethodSecurityQuestion},
			{"qrpin", event.MethodQRPIN},
			{"qr code", event.MethodQRPIN},
			{"qrcode", event.MethodQRPIN},
			{"external authentication", event.MethodDelegated},
		} {
			if strings.Contains(t, w.word) {
				return w.method, true
			}
		}
	}
	return event.MethodUnknown, false
}

// strongAuthenticationMethod returns the method of a MethodType in the directory
// property StrongAuthenticationMethod: a number, or its name.
func strongAuthenticationMethod(methodType string) (event.Method, bool) {
	switch strings.ToLower(methodType) {
	case "0", "2", "3", "twowayvoicemobile", "twowayvoiceoffice", "twowayvoiceothermobile", "twowayvoicealternatemobile":
		return event.MethodVoice, true
	case "1", "4", "5", "twowaysms", "twowaysmsothermobile", "onewaysms":
		return event.MethodSMS, true
	case "6", "phoneappnotification":
		return event.MethodPush, true
	case "7", "phoneappotp":
		return event.MethodTOTP, true
	}
	return event.MethodUnknown, false
}
