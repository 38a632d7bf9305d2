package entra

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/ingesttest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden is what a record becomes. The raw bytes are the input and left out.
type golden struct {
	Error  string        `json:"error,omitempty"`
	Events []event.Event `json:"events,omitempty"`
}

// fixture reads a case of testdata; all of them are synthetic.
func fixture(t testing.TB, name string) ingest.Record {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return ingest.Record{Source: "entra", Data: data, Observed: time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC), Origin: name}
}

func fixtures(t testing.TB) []ingest.Record {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var out []ingest.Record
	for _, p := range paths {
		if name := strings.TrimSuffix(filepath.Base(p), ".json"); !strings.HasSuffix(name, ".golden") {
			out = append(out, fixture(t, name))
		}
	}
	if len(out) == 0 {
		t.Fatal("no fixtures in testdata")
	}
	return out
}

func TestGolden(t *testing.T) {
	for _, r := range fixtures(t) {
		t.Run(r.Origin, func(t *testing.T) {
			var got golden
			events, err := New().Normalize(r)
			if err != nil {
				got.Error = err.Error()
			}
			for _, e := range events {
				e.Key = "ada@example.com"
				if err := e.Validate(); err != nil {
					t.Errorf("event is not valid: %v", err)
				}
				e.Key, e.Raw = "", nil
				got.Events = append(got.Events, e)
			}
			b, err := json.MarshalIndent(got, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			b = append(b, '\n')
			path := filepath.Join("testdata", r.Origin+".golden.json")
			if *update {
				if err := os.WriteFile(path, b, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(b)); d != "" {
				t.Errorf("golden differs (-want +got), -update rewrites:\n%s", d)
			}
		})
	}
}

// factor is how the tests write a factor: what a rule can see of its strength.
func factor(f event.Factor) string {
	s := string(f.Method) + " " + string(f.Result)
	if f.Fresh {
		s += " fresh"
	}
	if f.Step != "" {
		s += " " + string(f.Step)
	}
	return s
}

// TestSignInFactors says in one place what the provider's traps must become; the
// goldens hold the rest.
func TestSignInFactors(t *testing.T) {
	tests := []struct {
		fixture string
		outcome event.Outcome
		factors []string
	}{
		{"signin_fido2_graph", event.Success, []string{"password verified fresh primary", "security_key verified fresh secondary"}},
		{"signin_push_in_progress", event.Success, []string{"password verified fresh primary", "push verified fresh secondary"}},
		{"signin_passkey_synced", event.Success, []string{"passkey_synced verified fresh primary"}},
		{"signin_passkey_device_bound", event.Success, []string{"passkey_device_bound verified fresh primary"}},
		{"signin_whfb", event.Success, []string{"platform_credential verified fresh primary"}},
		{"signin_certificate_macos", event.Success, []string{"certificate failed fresh primary", "platform_credential verified fresh secondary"}},
		{"signin_fido_failed_then_sms", event.Success, []string{"password verified fresh primary", "security_key failed fresh secondary", "sms verified fresh secondary"}},
		{"signin_unknown_method", event.Success, []string{"password verified fresh primary", "unknown verified"}},
		{"signin_external_method", event.Success, []string{"password verified fresh primary", "delegated verified"}},
		{"signin_previously_satisfied", event.Success, []string{"previously_satisfied verified", "previously_satisfied verified"}},
		{"signin_remembered_device", event.Success, []string{"password verified fresh primary", "remembered_device verified"}},
		{"signin_skipped_location", event.Success, []string{"password verified fresh primary", "mfa_bypassed verified fresh secondary"}},
		{"signin_stale_step", event.Success, []string{"password verified primary"}},
		{"signin_mfa_required_ropc", event.Challenged, []string{"password verified fresh primary"}},
		{"signin_ropc_no_details", event.Success, []string{"password verified fresh primary"}},
		{"signin_mfa_declined", event.Denied, []string{"password verified fresh primary", "push rejected fresh secondary"}},
		{"signin_mfa_no_answer", event.Abandoned, []string{"password verified fresh primary", "push unanswered fresh secondary"}},
		{"signin_mfa_wrong_code", event.Failure, []string{"password verified fresh primary", "totp failed fresh secondary"}},
		{"signin_bad_password", event.Failure, []string{"password failed fresh primary"}},
		{"signin_blocked_by_policy", event.Denied, []string{"password verified fresh primary"}},
		{"signin_unknown_code", event.Failure, nil},
		{"signin_external_challenge", event.Challenged, []string{"federated pending"}},
		{"signin_device_code_confirm", event.Challenged, nil},
		{"signin_federated_adfs", event.Success, []string{"federated verified"}},
		{"signin_nps", event.Success, []string{"delegated verified"}},
		{"signin_guest", event.Success, []string{"federated verified"}},
		{"signin_v1_no_method", event.Success, []string{"unknown verified"}},
		{"signin_legacy_fields", event.Success, []string{"password verified fresh primary", "sms verified fresh"}},
		{"signin_qr_code", event.Success, []string{"qr_pin verified fresh"}},
		{"signin_guest_home_prt", event.Success, []string{"refresh_token verified"}},
		{"signin_failed_twice_then_ok", event.Success, []string{"password failed fresh primary", "password verified fresh primary", "sms verified fresh secondary"}},
		{"noninteractive_fido2", event.Success, []string{"security_key verified fresh primary"}},
		{"noninteractive_prt", event.Success, []string{"primary_refresh_token verified"}},
		{"noninteractive_plain_graph", event.Success, []string{"existing_session verified"}},
		{"signin_lower_keys", event.Success, []string{"password verified fresh primary"}},
		{"signin_log_analytics", event.Success, []string{"password verified fresh primary", "platform_credential verified fresh secondary"}},
	}
	for _, tt := range tests {
		t.Run(tt.fixture, func(t *testing.T) {
			events, err := New().Normalize(fixture(t, tt.fixture))
			if err != nil {
				t.Fatal(err)
			}
			e := events[0]
			var got []string
			for _, f := range e.Factors {
				got = append(got, factor(f))
			}
			if d := cmp.Diff(tt.factors, got); d != "" {
				t.Errorf("factors (-want +got):\n%s", d)
			}
			if e.Kind != event.SignIn || e.Outcome != tt.outcome {
				t.Errorf("got %s %s, want sign_in %s", e.Kind, e.Outcome, tt.outcome)
			}
		})
	}
}

func TestAuditKinds(t *testing.T) {
	method := func(m event.Method) func(event.Event) string {
		return func(e event.Event) string {
			if e.Authenticators[0].Method != m {
				return "method " + string(e.Authenticators[0].Method)
			}
			return ""
		}
	}
	weakened := func(want ...event.Weakening) func(event.Event) string {
		return func(e event.Event) string { return cmp.Diff(want, e.Policy.Weakened) }
	}
	tests := []struct {
		fixture string
		kinds   []event.Kind
		// wrong says what is wrong with the first event, "" when nothing is.
		wrong func(event.Event) string
	}{
		{"audit_add_passkey", []event.Kind{event.AuthenticatorEnrolled}, method(event.MethodPasskeyDeviceBound)},
		{"audit_registered_passkey", []event.Kind{event.AuthenticatorEnrolled}, method(event.MethodPasskey)},
		{"audit_add_passkey_synced", []event.Kind{event.AuthenticatorEnrolled}, method(event.MethodPasskeySynced)},
		{"audit_add_whfb", []event.Kind{event.AuthenticatorEnrolled}, method(event.MethodPlatformCredential)},
		{"audit_delete_fido2", []event.Kind{event.AuthenticatorRemoved}, method(event.MethodSecurityKey)},
		{"audit_admin_deleted_info", []event.Kind{event.AuthenticatorRemoved}, method(event.MethodPush)},
		{"audit_registered_app_password", []event.Kind{event.AuthenticatorEnrolled}, method(event.MethodPassword)},
		{"audit_registered_phone", []event.Kind{event.AuthenticatorEnrolled}, method(event.MethodSMS)},
		{"audit_registered_app_code", []event.Kind{event.AuthenticatorEnrolled}, method(event.MethodTOTP)},
		{"audit_registered_unknown", []event.Kind{event.AuthenticatorEnrolled}, method(event.MethodUnknown)},
		{"audit_register_device", []event.Kind{event.AuthenticatorEnrolled}, method(event.MethodPrimaryRefreshToken)},
		{"audit_tap_admin", []event.Kind{event.RecoveryCredentialIssued}, func(e event.Event) string {
			return cmp.Diff(&event.Recovery{Stage: event.RecoveryIssued, Method: event.MethodTemporaryAccessPass, Lifetime: time.Hour, Uses: -1}, e.Recovery)
		}},
		{"audit_tap_user", []event.Kind{event.RecoveryCredentialIssued}, func(e event.Event) string {
			return cmp.Diff(&event.Recovery{Stage: event.RecoveryIssued, Method: event.MethodTemporaryAccessPass, SelfService: true}, e.Recovery)
		}},
		{"audit_disable_mfa", []event.Kind{event.AuthenticatorsReset}, weakened(event.WeakeningUserExempt)},
		{"audit_per_user_mfa_disabled", []event.Kind{event.AuthenticatorsReset}, weakened(event.WeakeningUserExempt)},
		{"audit_enable_mfa", []event.Kind{event.PolicyChange}, weakened()},
		{"audit_update_user_methods", []event.Kind{event.AuthenticatorEnrolled, event.AuthenticatorEnrolled, event.AuthenticatorRemoved, event.ContactChange}, method(event.MethodVoice)},
		{"audit_update_user_reset", []event.Kind{event.AuthenticatorsReset}, nil},
		{"audit_update_user_app_added", []event.Kind{event.AuthenticatorEnrolled}, method(event.MethodPush)},
		{"audit_reset_by_admin", []event.Kind{event.PasswordReset}, func(e event.Event) string {
			if e.Recovery.SelfService || !e.ByOther() {
				return "self-service"
			}
			return ""
		}},
		{"audit_reset_by_service", []event.Kind{event.PasswordReset}, func(e event.Event) string {
			if !e.Actor.IsZero() || !e.Recovery.SelfService {
				return "the service is taken for an administrator"
			}
			return ""
		}},
		{"audit_strength_deleted", []event.Kind{event.PolicyChange}, weakened(event.WeakeningPhishingResistance)},
		{"audit_policy_by_nobody", []event.Kind{event.PolicyChange}, weakened(event.WeakeningDisabled)},
		{"audit_sspr_step", []event.Kind{event.RecoveryActivity}, func(e event.Event) string {
			return cmp.Diff(&event.Recovery{Stage: event.RecoveryStarted, Method: event.MethodSMS, SelfService: true}, e.Recovery)
		}},
		{"audit_ca_report_only", []event.Kind{event.PolicyChange}, weakened(event.WeakeningDisabled)},
		{"audit_ca_deleted", []event.Kind{event.PolicyChange}, weakened(event.WeakeningDisabled)},
		{"audit_ca_deleted_disabled", []event.Kind{event.PolicyChange}, weakened()},
		{"audit_ca_mfa_dropped", []event.Kind{event.PolicyChange}, weakened(event.WeakeningFactorMode)},
		{"audit_ca_strength_dropped", []event.Kind{event.PolicyChange}, weakened(event.WeakeningPhishingResistance)},
		{"audit_ca_excluded", []event.Kind{event.PolicyChange}, weakened(event.WeakeningScope)},
		{"audit_ca_tightened", []event.Kind{event.PolicyChange}, weakened()},
		{"audit_ca_failed", []event.Kind{event.PolicyChange}, weakened()},
		{"audit_ca_now_blocks", []event.Kind{event.PolicyChange}, weakened()},
		{"audit_ca_cut", []event.Kind{event.PolicyChange}, weakened()},
		{"audit_ca_quoted", []event.Kind{event.PolicyChange}, weakened(event.WeakeningDisabled)},
		{"audit_named_location", []event.Kind{event.PolicyChange}, weakened(event.WeakeningScope)},
		{"audit_security_defaults", []event.Kind{event.PolicyChange}, weakened(event.WeakeningDisabled)},
		{"audit_methods_policy", []event.Kind{event.PolicyChange}, weakened(event.WeakeningMethodEnabled, event.WeakeningMethodDisabled)},
		{"audit_methods_policy_numbers", []event.Kind{event.PolicyChange}, weakened(event.WeakeningMethodEnabled)},
		{"audit_methods_policy_property", []event.Kind{event.PolicyChange}, weakened(event.WeakeningMethodEnabled)},
		{"audit_methods_policy_oidc", []event.Kind{event.TrustChange}, weakened()},
		{"audit_strength_policy", []event.Kind{event.PolicyChange}, weakened(event.WeakeningPhishingResistance)},
		{"audit_consent_user", []event.Kind{event.ConsentGrant}, func(e event.Event) string {
			return cmp.Diff([]string{"Mail.Read", "Mail.Send"}, e.Consent.Scopes) + e.Endpoint.IP
		}},
		{"audit_consent_tenant_wide", []event.Kind{event.ConsentGrant}, func(e event.Event) string {
			if !e.Consent.ByAdmin || !e.Consent.TenantWide {
				return "not tenant-wide by an administrator"
			}
			return ""
		}},
		{"audit_consent_blocked", []event.Kind{event.ConsentGrant}, func(e event.Event) string { return cmp.Diff(event.Denied, e.Outcome) }},
		{"audit_grant_widened", []event.Kind{event.ConsentGrant}, func(e event.Event) string { return cmp.Diff([]string{"Files.Read.All"}, e.Consent.Scopes) }},
		{"audit_grant_removed", []event.Kind{event.ConsentRevoke}, nil},
		{"audit_grant_for_other", []event.Kind{event.ConsentGrant}, func(e event.Event) string {
			if !e.ByOther() || !e.Consent.ByAdmin {
				return "not by another"
			}
			return ""
		}},
		{"audit_app_role", []event.Kind{event.ConsentGrant}, nil},
		{"audit_app_credential", []event.Kind{event.AppCredential}, nil},
		{"audit_app_update_key", []event.Kind{event.AppCredential}, nil},
		{"audit_role_added", []event.Kind{event.RoleChange}, func(e event.Event) string {
			return cmp.Diff(&event.Role{Roles: []string{"Privileged Role Administrator"}, Granted: true, Privileged: true}, e.Role)
		}},
		{"audit_role_removed", []event.Kind{event.RoleChange}, func(e event.Event) string {
			return cmp.Diff(&event.Role{Roles: []string{"Reports Reader"}}, e.Role)
		}},
		{"audit_pim_activated", []event.Kind{event.RoleChange}, func(e event.Event) string {
			return cmp.Diff(&event.Role{Roles: []string{"Global Administrator"}, Granted: true, Privileged: true}, e.Role)
		}},
		{"audit_pim_eligible", []event.Kind{event.RoleChange}, func(e event.Event) string {
			return cmp.Diff(&event.Role{Roles: []string{"Global Administrator"}, Granted: true, Privileged: true, Eligible: true}, e.Role)
		}},
		{"audit_federation", []event.Kind{event.TrustChange}, nil},
		{"audit_pim_alert_disabled", []event.Kind{event.LoggingChange}, nil},
		{"audit_sessions_revoked", []event.Kind{event.SessionEnd}, nil},
		{"audit_fraud", []event.Kind{event.UserReport}, nil},
		{"audit_invite", []event.Kind{event.UserLifecycle}, func(e event.Event) string { return cmp.Diff("cy@example.org", e.Subject.Name) }},
		{"audit_log_analytics", []event.Kind{event.UserLifecycle}, func(e event.Event) string {
			return cmp.Diff("72f1f7a4-0000-4000-8000-00000000000a", e.Tenant)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.fixture, func(t *testing.T) {
			events, err := New().Normalize(fixture(t, tt.fixture))
			if err != nil {
				t.Fatal(err)
			}
			var kinds []event.Kind
			for _, e := range events {
				kinds = append(kinds, e.Kind)
			}
			if d := cmp.Diff(tt.kinds, kinds); d != "" {
				t.Fatalf("kinds (-want +got):\n%s", d)
			}
			if tt.wrong != nil {
				if w := tt.wrong(events[0]); w != "" {
					t.Errorf("first event: %s", w)
				}
			}
		})
	}
}

func TestSkips(t *testing.T) {
	tests := []struct {
		fixture string
		reason  ingest.SkipReason
	}{
		{"signin_keep_signed_in", ingest.SkipIntermediate},
		{"signin_silent", ingest.SkipIntermediate},
		{"signin_nobody", ingest.SkipNoIdentity},
		{"service_principal", ingest.SkipMachine},
		{"service_principal_graph", ingest.SkipMachine},
		{"audit_registered_all", ingest.SkipIntermediate},
		{"audit_passkey_options", ingest.SkipIntermediate},
		{"audit_pim_requested", ingest.SkipIntermediate},
		{"audit_grant_widened_companion", ingest.SkipIntermediate},
		{"audit_update_user_app_refresh", ingest.SkipIrrelevant},
		{"audit_update_user_department", ingest.SkipIrrelevant},
		{"audit_app_role_default", ingest.SkipIrrelevant},
		{"audit_app_by_service", ingest.SkipMachine},
		{"audit_irrelevant", ingest.SkipIrrelevant},
		{"audit_no_identity", ingest.SkipNoIdentity},
		{"other_category", ingest.SkipIrrelevant},
	}
	for _, tt := range tests {
		t.Run(tt.fixture, func(t *testing.T) {
			_, err := New().Normalize(fixture(t, tt.fixture))
			skip, ok := errors.AsType[*ingest.SkipError](err)
			if !ok || skip.Reason != tt.reason {
				t.Errorf("got %v, want skip %s", err, tt.reason)
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	tests := []struct {
		name, data string
		reason     ingest.MalformedReason
	}{
		{"cut", `{"category":"SignInLogs"`, ingest.MalformedSyntax},
		{"list", `[]`, ingest.MalformedShape},
		{"anything", `{"a":1}`, ingest.MalformedShape},
		{"no time", `{"category":"SignInLogs","properties":{"userId":"u"}}`, ingest.MalformedMissing},
		{"no such time", `{"category":"SignInLogs","time":"yesterday","properties":{"userId":"u"}}`, ingest.MalformedTime},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New().Normalize(ingest.Record{Source: "entra", Data: []byte(tt.data), Observed: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)})
			if bad, ok := errors.AsType[*ingest.MalformedError](err); !ok || bad.Reason != tt.reason {
				t.Errorf("got %v, want %s", err, tt.reason)
			}
		})
	}
}

// TestRewrittenRecord: Entra completes a sign-in later under the same id.
func TestRewrittenRecord(t *testing.T) {
	first := fixture(t, "signin_push_in_progress")
	second := first
	second.Data = []byte(strings.Replace(string(first.Data), "2026-03-02T09:18:30", "2026-03-02T09:25:00", 1))
	a, err := New().Normalize(first)
	if err != nil {
		t.Fatal(err)
	}
	b, err := New().Normalize(second)
	if err != nil {
		t.Fatal(err)
	}
	if a[0].ID != b[0].ID || !a[0].Time.Equal(b[0].Time) {
		t.Errorf("got %s at %s, want %s at %s", b[0].ID, b[0].Time, a[0].ID, a[0].Time)
	}
}

// TestStreamHint: a record that does not tell what it is is read as its input says.
func TestStreamHint(t *testing.T) {
	r := ingest.Record{Source: "entra", Stream: "risk_detection", Observed: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC),
		Data: []byte(`{"id":"r","userId":"u","detectedDateTime":"2026-03-01T00:00:00Z"}`)}
	events, err := New().Normalize(r)
	if err != nil {
		t.Fatal(err)
	}
	if events[0].Kind != event.RiskDetection {
		t.Errorf("got %s, want risk", events[0].Kind)
	}
}

// TestConformance takes one fixture of each shape and way of reading, since the
// suite mutates every member of each.
func TestConformance(t *testing.T) {
	var records []ingest.Record
	for _, name := range []string{"signin_push_in_progress", "signin_log_analytics", "audit_update_user_methods",
		"audit_ca_strength_dropped", "audit_consent_user", "audit_tap_admin", "risk_graph"} {
		records = append(records, fixture(t, name))
	}
	ingesttest.Normalizer(t, New(), records)
}

func FuzzNormalize(f *testing.F) { ingesttest.Fuzz(f, New(), fixtures(f)) }

// TestSamples reads the events of the unit tests of panther-labs/panther-analysis
// (Apache-2.0): their shapes are real, and not ours. They are not copied into this
// repository; without them beside it the test is skipped.
func TestSamples(t *testing.T) {
	file, err := os.Open("../../../shared/data/sample-cases.ndjson")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("skipped: shared/data/sample-cases.ndjson is not beside the repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	// What must come of a case: kind or skip reason, outcome, method and network
	// of the first event.
	want := map[string]string{
		"Account Lockout Error 50053":       "sign_in denied 4.4.4.4 RU",
		"Different Error Code":              "sign_in failure 3.3.3.3 US password",
		"Failed ROPC Login":                 "sign_in failure 192.0.2.250 password",
		"Device Code Without Broker Client": "sign_in success 192.0.2.100 unknown",
		"Non-Interactive Sign-In via NonInteractiveUserSignInLogs Category": "sign_in success 203.0.113.10 existing_session",
		"Sign-In with legacy auth":                                 "sign_in success 12.12.12.12 US password",
		"High Risk During Sign-In":                                 "sign_in success 4.4.4.4 RU unknown",
		"Successfully added PIM role":                              "role_change success 1.2.3.4",
		"Policy Changed":                                           "policy_change success 1.2.3.4 enforcement_off",
		"Authentication Methods Policy OIDC Discovery URL Changed": "trust_change success 1.2.3.4",
		"Non-OIDC Policy Change":                                   "policy_change success 203.0.113.50",
		"Different Values Changed":                                 "trust_change success 203.0.113.100",
		"Successful Invite external user":                          "user_lifecycle success 1.2.3.4",
		"Missing RiskState":                                        "machine_identity",
		"No Risk Sign-In":                                          "sign_in success 203.0.113.200 US unknown",
		"VS Code to Microsoft Graph":                               "sign_in success 9.9.9.9 US existing_session",
		"Multiple IP Access to Same Microsoft Graph Session":       "sign_in success 5.5.5.5 unknown",
	}
	seen := map[string]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var c struct {
			Source, Case string
			Event        json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		if c.Source != "entra" {
			continue
		}
		got := ""
		events, err := New().Normalize(ingest.Record{Source: "entra", Data: c.Event, Observed: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)})
		if skip, ok := errors.AsType[*ingest.SkipError](err); ok {
			got = string(skip.Reason)
		} else if err != nil {
			t.Errorf("%s: %v", c.Case, err)
			continue
		}
		for i, e := range events {
			e.Key = "person@example.com"
			if err := e.Validate(); err != nil {
				t.Errorf("%s: %v", c.Case, err)
			}
			if e.Subject.IsZero() || e.Actor.IsZero() {
				t.Errorf("%s: subject %+v, actor %+v", c.Case, e.Subject, e.Actor)
			}
			if i > 0 {
				continue
			}
			parts := []string{string(e.Kind), string(e.Outcome), e.Endpoint.IP, e.Endpoint.Country}
			for _, f := range e.Factors {
				parts = append(parts, string(f.Method))
			}
			if e.Policy != nil {
				for _, w := range e.Policy.Weakened {
					parts = append(parts, string(w))
				}
			}
			got = strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
		}
		if w, ok := want[c.Case]; ok {
			seen[c.Case] = true
			if got != w {
				t.Errorf("%s: got %q, want %q", c.Case, got, w)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for name := range want {
		if !seen[name] {
			t.Errorf("case %q is not among the samples", name)
		}
	}
}

func BenchmarkNormalize(b *testing.B) {
	for _, name := range []string{"signin_push_in_progress", "noninteractive_prt", "audit_ca_mfa_dropped"} {
		b.Run(name, func(b *testing.B) {
			r := fixture(b, name)
			var compact strings.Builder
			var v any
			if err := json.Unmarshal(r.Data, &v); err != nil {
				b.Fatal(err)
			}
			if err := json.NewEncoder(&compact).Encode(v); err != nil {
				b.Fatal(err)
			}
			r.Data = []byte(compact.String())
			n := New()
			b.SetBytes(int64(len(r.Data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := n.Normalize(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
