package jumpcloud

import (
	"testing"

	"stepdown/ingest/event"
)

var mutated = []string{"signin.json: push, seen from the phone", "signin.json: radius", "account.json: address changed"}

func TestMethodNames(t *testing.T) {
	for name, want := range map[string]event.Method{
		"password": event.MethodPassword, "webauthn": event.MethodPasskey, "totp": event.MethodTOTP, "duo": event.MethodDelegated,
		"jumpcloud_protect": event.MethodPush, "jumpcloud_go_uv": event.MethodPlatformCredential, "jumpcloud_go": event.MethodUnknown,
	} {
		if got, ok := methodOf(name); !ok || got != want {
			t.Errorf("methodOf(%q) = %s, %v, want %s", name, got, ok, want)
		}
	}
	if got, ok := methodOf("retina"); ok || got != event.MethodUnknown {
		t.Errorf("methodOf of a name not known = %s, %v", got, ok)
	}
}

// TestASessionIsNoPassword guards the trap of this log: sso_auth over a session has
// mfa false.
func TestASessionIsNoPassword(t *testing.T) {
	e := one(t, record(`{"id":"1","timestamp":"2026-03-02T09:00:00Z","event_type":"sso_auth","sso_token_success":true,"mfa":false,"initiated_by":{"id":"u-1","type":"user","username":"jane"},"auth_context":{"auth_methods":{}}}`))
	if len(e.Factors) != 1 || e.Factors[0].Class != event.Inherited || e.Factors[0].Fresh {
		t.Errorf("factors = %+v, want one that is inherited", e.Factors)
	}
}
