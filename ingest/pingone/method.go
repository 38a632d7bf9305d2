package pingone

import (
	"strings"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// methodOf reads a device type of the API, an authentication type of PingID, or one
// of the names that people see. It is false for a name not known.
func methodOf(name string) (event.Method, bool) {
	switch lenient.Squeeze(name) {
	case "fido2", "fido2biometrics", "platform", "passkey", "biometrics", "fido2device", "fido":
		return event.MethodPasskey, true
	case "securitykey":
		return event.MethodSecurityKey, true
	case "numbermatching":
		return event.MethodPushNumberMatch, true
	case "mobile", "mobileapp", "mobileapplication", "push", "mobileappbiometrics", "mobileappswipe", "swipe", "pingidmobileapp", "pingidapp":
		return event.MethodPush, true
	case "totp", "authenticatorapp", "mobileappotp", "desktop", "desktopotp", "desktopapp", "googleauthenticator":
		return event.MethodTOTP, true
	case "oathtoken", "yubikey":
		return event.MethodOTPHardware, true
	case "sms", "textmessage", "whatsapp":
		return event.MethodSMS, true
	case "voice", "voicecall", "phonecall":
		return event.MethodVoice, true
	case "email":
		return event.MethodEmailCode, true
	case "magiclink", "emaillink":
		return event.MethodEmailLink, true
	case "bypass":
		return event.MethodMFABypassed, true
	case "password":
		return event.MethodPassword, true
	}
	return event.MethodUnknown, false
}

// words are the names that a sentence may hold, those that hold another first.
var words = [...]string{
	"Number Matching", "Security Key", "FIDO2", "Passkey", "Authenticator App", "OATH Token", "YubiKey", "Magic Link",
	"WhatsApp", "Voice Call", "SMS", "Voice", "Email", "Desktop", "Swipe", "Mobile App", "Push", "TOTP", "Bypass",
}

// methodIn finds the one method that a sentence names. It is false where there is
// none, or where it names two that are not alike.
func methodIn(sentence string) (event.Method, string) {
	sentence = strings.ToLower(sentence)
	found, name := event.MethodUnknown, ""
	for _, w := range words {
		if !hasWord(sentence, strings.ToLower(w)) {
			continue
		}
		m, _ := methodOf(w)
		switch {
		case name == "":
			found, name = m, w
		case m.Rank() != found.Rank():
			// "Voice Call" holds "Voice"; anything else is one too many.
			return event.MethodUnknown, ""
		}
	}
	return found, name
}

// hasWord reports whether s, in lower case, holds w with no letter or digit beside it.
func hasWord(s, w string) bool {
	for at := 0; ; {
		i := strings.Index(s[at:], w)
		if i < 0 {
			return false
		}
		i += at
		end := i + len(w)
		if (i == 0 || !alphanumeric(s[i-1])) && (end == len(s) || !alphanumeric(s[end])) {
			return true
		}
		at = i + 1
	}
}

func alphanumeric(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
