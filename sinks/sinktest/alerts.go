package sinktest

import (
	"fmt"
	"reflect"
	"time"

	"stepdown/detect/alert"
	"stepdown/ingest/event"
)

// Alert returns a small synthetic alert, the n-th of its kind, at revision 1.
func Alert(n int) alert.Alert {
	key := event.Key(fmt.Sprintf("person%d@example.com", n))
	at := time.Date(2026, 11, 20, 9, 0, n, 0, time.UTC)
	return alert.Alert{
		Schema: alert.SchemaVersion, ID: alert.NewID("test-rule", key, "anchor"), Revision: 1, State: alert.Open,
		RuleID: "test-rule", RuleVersion: 1, RuleTitle: "Test rule", Severity: alert.High,
		Title: fmt.Sprintf("Person %d signed in with SMS although a passkey is enrolled", n), Reason: alert.ReasonUnknown,
		Time: at, First: at, Observed: at.Add(20 * time.Second), Key: key, Identity: alert.Identity{Name: string(key)},
		Source: "okta", Anchor: "anchor",
	}
}

// Revised returns a at another revision.
func Revised(a alert.Alert, revision uint64) alert.Alert {
	a.Revision = revision
	return a
}

// Sample returns a synthetic alert with every part filled in: a privileged person
// with a passkey who signed in with SMS six minutes after the help desk reset all
// authenticators.
func Sample() alert.Alert {
	at := time.Date(2026, 11, 20, 9, 14, 3, 0, time.UTC)
	used := time.Date(2026, 11, 19, 16, 2, 0, 0, time.UTC)
	key := event.Key("alice@example.com")
	from := event.Endpoint{IP: "198.51.100.7", ASN: 64500, ASOrg: "Example Hosting", Country: "NL", City: "Amsterdam", Proxy: true}
	return alert.Alert{
		Schema: alert.SchemaVersion, ID: alert.NewID("passkey-to-weak", key, "flow-7"), Revision: 1, State: alert.Open,
		RuleID: "passkey-to-weak", RuleVersion: 3, RuleTitle: "Passkey holder signed in with a weak method", Severity: alert.High,
		Title:  "Alice Example, who holds a passkey, signed in with SMS from a network never seen before",
		Reason: alert.ReasonRecovery, Time: at, First: at.Add(-6 * time.Minute), Observed: at.Add(41 * time.Second), Emitted: at.Add(42 * time.Second),
		Key: key, Source: "okta", Tenant: "example.okta.com", Anchor: "flow-7",
		Identity: alert.Identity{
			Name: "alice@example.com", DisplayName: "Alice Example", Tier: event.TierPrivileged, Populations: []string{"finance", "okta-admins"},
			Authenticators: []alert.Authenticator{
				{Method: event.MethodPasskey, Name: "MacBook Touch ID", Since: time.Date(2026, 2, 3, 8, 0, 0, 0, time.UTC), LastUsed: &used, Uses: 142, Provenance: "enrolment"},
				{Method: event.MethodSMS, Name: "+1 XXX-XXX-0142", Since: time.Date(2025, 6, 11, 8, 0, 0, 0, time.UTC), Uses: 0, Provenance: "snapshot"},
			},
		},
		Method: event.MethodSMS, Usual: event.MethodPasskey, Endpoint: from,
		UserAgent: event.UserAgent{Raw: "Mozilla/5.0 (Windows NT 10.0; Win64; x64)", Browser: "Chrome", OS: "Windows"},
		App:       &event.App{ID: "0oa1", Name: "Okta Admin Console", Client: "browser", Admin: true}, SessionID: "sess-1",
		Conditions: []alert.Condition{
			{Name: "holds_passkey", Expr: "identity.strongest.rank >= 45", Value: true, Operands: []alert.Operand{{Expr: "identity.strongest.rank", Value: "52"}}},
			{Name: "weak_sign_in", Expr: "attempt.rank < 28 && attempt.success", Value: true, Operands: []alert.Operand{{Expr: "attempt.rank", Value: "20"}, {Expr: "attempt.success", Value: "true"}}},
			{Name: "new_network", Expr: "first_seen(\"asn\", event.endpoint.asn)", Value: true, Operands: []alert.Operand{{Expr: "event.endpoint.asn", Value: "64500"}}},
		},
		Evidence: []alert.Evidence{
			{EventID: "e1", Source: "okta", Time: at.Add(-6 * time.Minute), Kind: event.AuthenticatorsReset, Action: "user.mfa.factor.reset_all", Outcome: event.Success, Summary: "all authenticators reset by helpdesk@example.com from 192.0.2.10"},
			{EventID: "e2", Source: "okta", Time: at.Add(-35 * time.Second), Kind: event.FactorChallenge, Action: "user.authentication.auth_via_mfa", Outcome: event.Challenged, Summary: "SMS sent to +1 XXX-XXX-0142"},
			{EventID: "e3", Source: "okta", Time: at, Kind: event.SignIn, Action: "user.session.start", Outcome: event.Success, Summary: "SMS verified from 198.51.100.7 (AS64500 Example Hosting, NL)"},
		},
		Tags:           []string{"attack.t1556.006", "attack.t1621"},
		FalsePositives: []string{"A laptop was lost and its owner called the help desk.", "A traveller uses a hotel network."},
		Runbook: []string{
			"Call the person on a number from the HR system, not by chat or mail: was that sign-in theirs?",
			"If not: clear the sessions, suspend the account, remove what was enrolled since the reset.",
			"Ask the help desk who requested the reset and how the caller proved who they are.",
		},
		References: []string{"https://attack.mitre.org/techniques/T1556/006/"},
	}
}

// Hostile returns Sample with text put before every string that an attacker or a
// provider can choose.
func Hostile(text string) alert.Alert {
	a := Sample()
	prefix(reflect.ValueOf(&a).Elem(), text)
	return a
}

// closed are the fields that hold words of closed lists or ids of our own.
var closed = map[string]bool{"ID": true, "State": true, "Severity": true, "Reason": true, "RuleID": true, "Source": true,
	"Method": true, "Usual": true, "Tier": true, "Kind": true, "Outcome": true, "Provenance": true}

// prefix puts text before every string below v that is not of a closed list.
func prefix(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text + v.String())
	case reflect.Pointer:
		if !v.IsNil() {
			prefix(v.Elem(), text)
		}
	case reflect.Slice:
		for i := range v.Len() {
			prefix(v.Index(i), text)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			if !closed[v.Type().Field(i).Name] {
				prefix(v.Field(i), text)
			}
		}
	}
}
