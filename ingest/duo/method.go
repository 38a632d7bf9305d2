package duo

import (
	"strings"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// methodOf reads a factor of the authentication log or of an administrator's
// sign-in. It reports false for a word that is not known; none is "".
func methodOf(factor string) (event.Method, bool) {
	switch word := lenient.Squeeze(factor); word {
	case "", "notavailable", "na", "none":
		return "", true
	case "webauthnsecuritykey", "u2ftoken", "u2f", "securitykey":
		return event.MethodSecurityKey, true
	case "webauthncredential", "webauthnchrometouchid", "webauthn", "roamingauthenticator", "platformauthenticator", "touchid":
		return event.MethodPasskey, true
	case "duopush", "push":
		return event.MethodPush, true
	case "duomobilepasscode", "passcode", "mobileotp", "duomobilepasscodes":
		return event.MethodTOTP, true
	case "hardwaretoken", "hardtoken", "hardwaretokens", "digipassgo7token", "yubikeycode", "yubikeypasscode", "yubikey", "yubikeyaes":
		return event.MethodOTPHardware, true
	case "smspasscode", "smsrefresh", "sms":
		return event.MethodSMS, true
	case "phonecall", "phone", "voice":
		return event.MethodVoice, true
	case "bypasscode":
		return event.MethodBypassCode, true
	case "remembereddevice", "trustedmobileauthenticator":
		return event.MethodRememberedDevice, true
	case "trustednetwork":
		return event.MethodMFABypassed, true
	default:
		if i := strings.Index(word, "verified"); i >= 0 && strings.Contains(word[i:], "push") {
			return event.MethodPushNumberMatch, true
		}
	}
	return event.MethodUnknown, false
}

// credentialID is the id of an authenticator. A phone is one for each of its
// methods.
func credentialID(key string, m event.Method) string {
	if !strings.HasPrefix(key, "DP") {
		return key
	}
	switch m {
	case event.MethodPush, event.MethodPushNumberMatch:
		return key + ":push"
	case event.MethodTOTP:
		return key + ":passcode"
	case event.MethodSMS:
		return key + ":sms"
	case event.MethodVoice:
		return key + ":phone"
	}
	return key
}

// webauthnMethod reads the kind of a WebAuthn credential: label of the API,
// authenticator_type of activity.
func webauthnMethod(label string) event.Method {
	if lenient.Squeeze(label) == "securitykey" {
		return event.MethodSecurityKey
	}
	return event.MethodPasskey
}
