package pingone

import (
	"testing"

	"stepdown/ingest/event"
)

var mutated = []string{"signin.json: passcode by text message", "pingid.json: pingid fails", "account.json: into a group, user only in the address"}

func TestMethodNames(t *testing.T) {
	for _, tc := range []struct {
		method event.Method
		names  []string
	}{
		{event.MethodPasskey, []string{"FIDO2", "PLATFORM", "FIDO2_BIOMETRICS", "Passkey"}},
		{event.MethodSecurityKey, []string{"SECURITY_KEY", "Security Key"}},
		{event.MethodPush, []string{"MOBILE", "MOBILE_APP_SWIPE", "MOBILE_APP_BIOMETRICS"}},
		{event.MethodPushNumberMatch, []string{"NUMBER_MATCHING"}},
		{event.MethodTOTP, []string{"TOTP", "AUTHENTICATOR_APP", "MOBILE_APP_OTP", "DESKTOP_OTP"}},
		{event.MethodOTPHardware, []string{"OATH_TOKEN", "YUBIKEY"}},
		{event.MethodSMS, []string{"SMS", "WHATSAPP"}},
		{event.MethodVoice, []string{"VOICE"}},
		{event.MethodEmailCode, []string{"EMAIL"}},
		{event.MethodMFABypassed, []string{"BYPASS"}},
	} {
		for _, name := range tc.names {
			if got, ok := methodOf(name); !ok || got != tc.method {
				t.Errorf("methodOf(%q) = %s, %v, want %s", name, got, ok, tc.method)
			}
		}
	}
	if got, ok := methodOf("RETINA"); ok || got != event.MethodUnknown {
		t.Errorf("methodOf of a name not known = %s, %v", got, ok)
	}
	for sentence, want := range map[string]event.Method{
		"User authenticated with SMS":            event.MethodSMS,
		"Voice Call to +1 555 0100":              event.MethodVoice,
		"Security Key, then SMS":                 event.MethodUnknown,
		"the mobile app opened a pushy dialogue": event.MethodPush,
		"smsing is no word":                      event.MethodUnknown,
		"":                                       event.MethodUnknown,
	} {
		if got, _ := methodIn(sentence); got != want {
			t.Errorf("methodIn(%q) = %s, want %s", sentence, got, want)
		}
	}
}

// TestOutcomeIsTheSuffix guards the trap of this log: a check that failed has the
// status SUCCESS.
func TestOutcomeIsTheSuffix(t *testing.T) {
	for _, tc := range []struct {
		action, status string
		want           event.Outcome
	}{
		{"PASSWORD.CHECK_FAILED", "SUCCESS", event.Failure},
		{"OTP.CHECK_INVALID", "SUCCESS", event.Failure},
		{"USER.ACCESS_DENIED", "SUCCESS", event.Denied},
		{"PASSWORD.CHECK_SUCCEEDED", "", event.Success},
		{"DEVICE.ACTIVATED", "FAILED", event.Failure},
		{"DEVICE.ACTIVATED", "", event.OutcomeUnknown},
	} {
		if got := outcomeOf(tc.action, tc.status); got != tc.want {
			t.Errorf("outcomeOf(%s, %s) = %s, want %s", tc.action, tc.status, got, tc.want)
		}
	}
}

func TestWebhookAndAPIGiveTheSameEvent(t *testing.T) {
	_, records := readFixture(t, "testdata/signin.json")
	api := records[3]
	webhook := record(`{"event":` + string(api.Data) + `,"host":"example.com"}`)
	a, w := one(t, api), one(t, webhook)
	if a.ID != w.ID || a.Tenant != w.Tenant || !a.Time.Equal(w.Time) || a.Subject != w.Subject || a.Kind != w.Kind {
		t.Errorf("api %s %s %+v, webhook %s %s %+v", a.ID, a.Tenant, a.Subject, w.ID, w.Tenant, w.Subject)
	}
}
