package sinks

import (
	"fmt"
	"strings"
	"time"

	"stepdown/detect/alert"
	"stepdown/ingest/event"
)

// MethodWords returns the name of m as a person says it.
func MethodWords(m event.Method) string {
	switch m {
	case event.MethodSecurityKey:
		return "security key"
	case event.MethodPasskeyDeviceBound:
		return "device-bound passkey"
	case event.MethodPlatformCredential:
		return "platform credential"
	case event.MethodFastPassPR:
		return "FastPass (phishing-resistant)"
	case event.MethodPasskeySynced:
		return "synced passkey"
	case event.MethodPasskeyHybrid:
		return "passkey on another device"
	case event.MethodPushNumberMatch:
		return "push with number match"
	case event.MethodOTPHardware:
		return "hardware token code"
	case event.MethodTOTP:
		return "authenticator app code"
	case event.MethodSMS:
		return "SMS"
	case event.MethodVoice:
		return "voice call"
	case event.MethodEmailCode:
		return "e-mail code"
	case event.MethodEmailLink:
		return "e-mail link"
	case event.MethodQRPIN:
		return "QR code with PIN"
	case event.MethodPassword:
		return "password alone"
	case event.MethodMFABypassed:
		return "no second factor"
	case event.MethodPreviouslySatisfied:
		return "an earlier sign-in"
	case event.MethodFederated:
		return "another provider"
	case event.MethodDelegated:
		return "a second-factor product"
	case event.MethodUnknown:
		return "an unknown method"
	}
	return strings.ReplaceAll(string(m), "_", " ")
}

// TierWords returns what sort of account t is.
func TierWords(t event.Tier) string {
	switch t {
	case event.TierStandard:
		return "standard account"
	case event.TierBreakGlass:
		return "break-glass account"
	}
	return string(t) + " account"
}

// SinceWords returns how the date before which nothing is known of h is meant:
// "since" for an enrolment, "seen in use since" where only use was observed.
func SinceWords(h alert.Authenticator) string {
	if h.Provenance == "observed in use" {
		return "seen in use since"
	}
	return "since"
}

// ReasonWords returns why the weaker way was taken, as a clause.
func ReasonWords(r alert.Reason) string {
	switch r {
	case alert.ReasonRecovery:
		return "account recovery"
	case alert.ReasonPolicyFallback:
		return "policy allowed the weaker method"
	case alert.ReasonNewDevice:
		return "new device"
	case alert.ReasonStrongFailed:
		return "the strong method failed first"
	case alert.ReasonAdminIssued:
		return "a pass issued by an administrator"
	case alert.ReasonOtherGround:
		return "session used from elsewhere"
	case alert.ReasonConsent:
		return "consent to an app"
	case alert.ReasonDeviceCode:
		return "device-code sign-in"
	case alert.ReasonPushFatigue:
		return "repeated push prompts"
	}
	return "not clear"
}

// SeverityWord returns s with a capital letter.
func SeverityWord(s alert.Severity) string {
	if s == "" {
		return "Unknown"
	}
	return strings.ToUpper(string(s[:1])) + string(s[1:])
}

// Network returns the autonomous system and country of e in a few words:
// "AS64500 Example Net, NL, proxy". It is empty where the source says nothing.
func Network(e event.Endpoint) string {
	var parts []string
	if e.ASN != 0 {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("AS%d %s", e.ASN, e.ASOrg)))
	} else if e.ASOrg != "" {
		parts = append(parts, e.ASOrg)
	}
	if e.Country != "" {
		parts = append(parts, e.Country)
	}
	if e.Proxy {
		parts = append(parts, "proxy")
	}
	return strings.Join(parts, ", ")
}

// Client returns the browser and system of u: "Chrome on Windows".
func Client(u event.UserAgent) string {
	switch {
	case u.Browser != "" && u.OS != "":
		return u.Browser + " on " + u.OS
	case u.Browser != "" || u.OS != "":
		return u.Browser + u.OS
	}
	return u.Raw
}

// Delay returns how late the source was with the record that completed a: its
// reading time minus its event time, to the second; 0 where that is not known.
func Delay(a *alert.Alert) time.Duration {
	if a.Observed.IsZero() || a.Observed.Before(a.Time) {
		return 0
	}
	return a.Observed.Sub(a.Time).Round(time.Second)
}

// DurationWords returns d in its two largest units: "41 s", "22 min", "3 h 5 min",
// "2 d 4 h".
func DurationWords(d time.Duration) string {
	two := func(big int64, bigUnit string, small int64, smallUnit string) string {
		if small == 0 {
			return fmt.Sprintf("%d %s", big, bigUnit)
		}
		return fmt.Sprintf("%d %s %d %s", big, bigUnit, small, smallUnit)
	}
	seconds := int64(d / time.Second)
	switch {
	case seconds < 60:
		return fmt.Sprintf("%d s", seconds)
	case seconds < 3600:
		return two(seconds/60, "min", seconds%60, "s")
	case seconds < 86400:
		return two(seconds/3600, "h", seconds%3600/60, "min")
	}
	return two(seconds/86400, "d", seconds%86400/3600, "h")
}
