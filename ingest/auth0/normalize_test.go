package auth0

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stepdown/detect/ledger"
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/ingesttest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var observed = time.Date(2026, time.March, 2, 10, 0, 5, 0, time.UTC)

func record(data string) ingest.Record {
	return ingest.Record{Source: source, Tenant: "example.eu.auth0.com", Stream: streamLogs, Data: []byte(data), Observed: observed, Origin: "test"}
}

type fixture struct {
	Cases []struct {
		Name   string          `json:"name"`
		Record json.RawMessage `json:"record"`
	} `json:"cases"`
}

// golden is what a case gives: its events (without their raw record), or why there
// are none.
type golden struct {
	Name   string        `json:"name"`
	Events []event.Event `json:"events,omitempty"`
	Error  string        `json:"error,omitempty"`
}

// readFixture returns the records of a file in testdata, by case.
func readFixture(tb testing.TB, path string) (names []string, records []ingest.Record) {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var f fixture
	if err := json.Unmarshal(data, &f); err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	for _, c := range f.Cases {
		var compact bytes.Buffer
		if err := json.Compact(&compact, c.Record); err != nil {
			tb.Fatal(err)
		}
		r := record(compact.String())
		r.Origin = filepath.Base(path) + ": " + c.Name
		names, records = append(names, c.Name), append(records, r)
	}
	return names, records
}

// fixtures are the files of records in testdata.
func fixtures(tb testing.TB) []string {
	tb.Helper()
	all, err := filepath.Glob("testdata/*.json")
	if err != nil {
		tb.Fatal(err)
	}
	out := slices.DeleteFunc(all, func(path string) bool { return strings.HasSuffix(path, ".golden.json") })
	if len(out) == 0 {
		tb.Fatal("no fixtures in testdata")
	}
	return out
}

func fixtureRecord(tb testing.TB, file, name string) ingest.Record {
	tb.Helper()
	names, records := readFixture(tb, filepath.Join("testdata", file+".json"))
	i := slices.Index(names, name)
	if i < 0 {
		tb.Fatalf("%s has no case %q", file, name)
	}
	return records[i]
}

func TestGolden(t *testing.T) {
	for _, path := range fixtures(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			goldenPath := strings.TrimSuffix(path, ".json") + ".golden.json"
			names, records := readFixture(t, path)
			got := make([]golden, len(names))
			for i, r := range records {
				got[i].Name = names[i]
				events, err := New().Normalize(r)
				if err != nil {
					got[i].Error = err.Error()
					continue
				}
				for _, e := range events {
					e.Key = "jane@example.com"
					if err := e.Validate(); err != nil {
						t.Errorf("%s: %v", names[i], err)
					}
					e.Key, e.Raw = "", nil
					got[i].Events = append(got[i].Events, e)
				}
			}
			if *update {
				b, err := json.MarshalIndent(got, "", " ")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(goldenPath, append(b, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			b, err := os.ReadFile(goldenPath)
			if err != nil {
				t.Fatalf("%v (run with -update)", err)
			}
			var want []golden
			if err := json.Unmarshal(b, &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("differs from %s (-want +got):\n%s", goldenPath, diff)
			}
		})
	}
}

// shapes returns a record of each of the shapes that differ most; the suite makes
// hundreds of mutations of each.
func shapes(tb testing.TB) []ingest.Record {
	tb.Helper()
	return []ingest.Record{
		fixtureRecord(tb, "signin", "password and a second factor that is not named"),
		fixtureRecord(tb, "signin", "consent page"),
		fixtureRecord(tb, "guardian", "succeeded by sms"),
		fixtureRecord(tb, "guardian", "recovery code used"),
		fixtureRecord(tb, "admin", "role given to several"),
		fixtureRecord(tb, "admin", "client grant"),
		fixtureRecord(tb, "admin", "tenant owner invited"),
		fixtureRecord(tb, "inventory", "every type"),
	}
}

func TestConformance(t *testing.T) { ingesttest.Normalizer(t, New(), shapes(t)) }

func FuzzNormalize(f *testing.F) { ingesttest.Fuzz(f, New(), shapes(f)) }

// FuzzValid: whatever the record, an event that comes of it is valid, unless its
// clock is ahead.
func FuzzValid(f *testing.F) {
	for _, path := range fixtures(f) {
		_, records := readFixture(f, path)
		for _, r := range records {
			f.Add(r.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		events, err := New().Normalize(record(string(data)))
		if err != nil {
			return // FuzzNormalize checks the errors
		}
		for _, e := range events {
			e.Key = "jane@example.com"
			if e.Time.After(observed) {
				e.Time = observed
			}
			if err := e.Validate(); err != nil {
				t.Errorf("%v\nrecord: %q", err, data)
			}
		}
	})
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

// TestStrength says in one place what the provider's traps must become; the
// goldens hold the rest.
func TestStrength(t *testing.T) {
	for _, tc := range []struct {
		file, name string
		outcome    event.Outcome
		factors    []string
	}{
		{"signin", "password only, from a stream", event.Success, []string{"password verified fresh primary"}},
		{"signin", "password and a second factor that is not named", event.Success, []string{"password verified fresh primary", "unknown verified secondary"}},
		{"signin", "passkey", event.Success, []string{"passkey verified fresh primary"}},
		{"signin", "passkey told by acr", event.Success, []string{"passkey verified fresh primary"}},
		{"signin", "second factor at duo", event.Success, []string{"password verified fresh primary", "delegated verified secondary"}},
		{"signin", "second factor with an amr of its own", event.Success, []string{"password verified fresh primary", "sms verified fresh secondary"}},
		{"signin", "session cookie", event.Success, []string{"existing_session verified"}},
		{"signin", "session transfer from a native app", event.Success, []string{"existing_session verified"}},
		{"signin", "enterprise connection", event.Success, []string{"federated verified primary"}},
		{"signin", "social connection without prompts", event.Success, []string{"federated verified primary"}},
		{"signin", "passwordless by e-mail", event.Success, []string{"email_code verified fresh primary"}},
		{"signin", "passwordless by text message", event.Success, []string{"sms verified fresh primary"}},
		{"signin", "database without a prompt that proves", event.Success, nil},
		{"signin", "wrong password", event.Failure, []string{"password failed primary"}},
		{"signin", "passkey and recovery code", event.Success, []string{"passkey verified fresh primary", "backup_code verified fresh secondary"}},
		{"signin", "passkey and out of band", event.Success, []string{"passkey verified fresh primary", "unknown verified secondary"}},
		{"signin", "device code", event.Success, []string{"existing_session verified"}},
		{"guardian", "succeeded by webauthn-roaming", event.Success, []string{"security_key verified fresh secondary"}},
		{"guardian", "succeeded by webauthn-platform", event.Success, []string{"passkey verified fresh secondary"}},
		{"guardian", "succeeded by iris-scan", event.Success, []string{"unknown verified secondary"}},
		{"guardian", "browser remembered", event.Success, []string{"remembered_device verified"}},
		{"guardian", "push rejected", event.Denied, []string{"push rejected"}},
		{"guardian", "push sent", event.Challenged, []string{"push pending"}},
		{"guardian", "recovery code used", event.Success, []string{"backup_code verified fresh secondary"}},
		{"guardian", "link sent, and redacted", event.Challenged, []string{"email_link pending"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			events, err := New().Normalize(fixtureRecord(t, tc.file, tc.name))
			if err != nil {
				t.Fatal(err)
			}
			var factors []string
			for _, f := range events[0].Factors {
				factors = append(factors, factor(f))
			}
			if events[0].Outcome != tc.outcome || !slices.Equal(factors, tc.factors) {
				t.Errorf("got %s %q, want %s %q", events[0].Outcome, factors, tc.outcome, tc.factors)
			}
		})
	}
}

// TestEventTypes has every type of the published schemas, and those that only
// documents or older tenants have.
func TestEventTypes(t *testing.T) {
	for _, tc := range []struct {
		kind  event.Kind
		skip  ingest.SkipReason
		types string
	}{
		{kind: event.SignIn, types: `s f fp fu sens fens secte fecte idjag_exchange_succeeded idjag_exchange_failed jwt_bearer_exchange_failed
			sepft fepft seotpft feotpft seoobft feoobft sercft fercft sepkotpft sepkoobft sepkrcft fepotpft sede fede fdeac fdeaz fdecc
			ciba_exchange_succeeded ciba_exchange_failed ciba_start_failed`},
		{kind: event.FactorChallenge, types: `scoa scv fcoa ciba_start_succeeded gd_start_auth mfar gd_send_pn gd_send_pn_failure gd_send_sms gd_send_sms_failure
			gd_send_voice gd_send_voice_failure gd_send_email gd_send_email_verification gd_send_email_verification_failure cs cls
			passkey_challenge_started passkey_challenge_failed gd_auth_succeed gd_auth_failed gd_auth_rejected gd_webauthn_challenge_failed
			gd_auth_email_verification gd_auth_fail_email_verification gd_otp_rate_limit_exceed gd_recovery_succeed gd_recovery_failed gd_recovery_rate_limit_exceed`},
		{kind: event.AuthenticatorEnrolled, types: `gd_enrollment_complete gd_update_device_account gd_start_enroll_failed gd_webauthn_enrollment_failed
			my_account_authentication_method_succeeded my_account_authentication_method_failed`},
		{kind: event.AuthenticatorRemoved, types: `gd_unenroll`},
		{kind: event.AuthenticatorsReset, types: `gd_user_delete`},
		{kind: event.RecoveryActivity, types: `scpr fcpr ublkdu`},
		{kind: event.PasswordReset, types: `scp fcp`},
		{kind: event.ContactChange, types: `sce fce scpn fcpn`},
		{kind: event.UserLifecycle, types: `ss scu fcu sdu fdu si fi organization_member_added`},
		{kind: event.ConsentGrant, types: `connected_accounts_connection_succeeded connected_accounts_connection_failed`},
		{kind: event.ConsentRevoke, types: `connected_accounts_delete_succeeded`},
		{kind: event.SessionEnd, types: `slo srrt universal_logout_succeeded`},
		{kind: event.SessionActivity, types: `ssa sertft fertft success_on_behalf_of_token_exchange sd`},
		{kind: event.TokenAnomaly, types: `ferrt`},
		{kind: event.Impersonation, types: `sdel sdelsa`},
		{kind: event.RiskDetection, types: `limit_wc limit_mu limit_sul limit_phone limit_delegation pwd_leak reset_pwd_leak signup_pwd_leak`},
		{kind: event.PolicyChange, types: `gd_tenant_update gd_module_switch`},
		{skip: ingest.SkipMachine, types: `seccft feccft failed_on_behalf_of_token_exchange`},
		{skip: ingest.SkipIntermediate, types: `seacft feacft sdeleacft fdeleacft fsa fdelsa pla gd_start_enroll flo federated_logout_failed universal_logout_failed
			oidc_backchannel_logout_succeeded oidc_backchannel_logout_failed connected_accounts_delete_failed fcph scph fd sv svr fv fvr
			passkey_register_started passkey_register_failed`},
		{skip: ingest.SkipIrrelevant, types: `acls_summary actions_execution_failed acul_sdk_notice api_limit api_limit_warning appi custom_domain_verification_failed
			depnote directory_sync_completed directory_sync_failed directory_sync_started fco fcpro feta seta flows_execution_completed flows_execution_failed fn
			forms_submission_failed forms_submission_succeeded fpar fpurh fs fscim sscim fui sui kms_key_management_failure kms_key_management_success
			kms_key_state_changed resource_cleanup rich_consents_access_error ss_sso_failure ss_sso_info ss_sso_success w wn wum mgmt_api_read sapi fapi
			admin_update_launch something_new`},
	} {
		for typ := range strings.FieldsSeq(tc.types) {
			t.Run(typ, func(t *testing.T) {
				r := record(fmt.Sprintf(`{"log_id":"9002026030210000000000000000000000000000000000000000001","date":"2026-03-02T10:00:00.000Z","type":%q,
					"user_id":"auth0|1","user_name":"jane@example.com","ip":"192.0.2.10","details":{"authenticator":{"id":"otp|1","type":"otp"},"authentication_method":"totp"}}`, typ))
				events, err := New().Normalize(r)
				if tc.skip != "" {
					if skip, ok := errors.AsType[*ingest.SkipError](err); !ok || skip.Reason != tc.skip {
						t.Errorf("got %v, %v, want skip %s", events, err, tc.skip)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				e := events[0]
				if e.Kind != tc.kind || e.Action != typ || e.Subject.Name != "jane@example.com" && tc.kind != event.PolicyChange {
					t.Errorf("got %s %q of %+v, want %s", e.Kind, e.Action, e.Subject, tc.kind)
				}
				e.Key = "jane@example.com"
				if err := e.Validate(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestOneID: a stream and the Management API deliver the same event.
func TestOneID(t *testing.T) {
	const data = `{"log_id":"9002026030210000000000000000000000000000000000000000001","date":"2026-03-02T10:00:00.000Z","type":"s","user_id":"auth0|1","ip":"192.0.2.10"}`
	api, err := New().Normalize(record(data))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := New().Normalize(record(`{"log_id":"9002026030210000000000000000000000000000000000000000001","data":` + data + `}`))
	if err != nil {
		t.Fatal(err)
	}
	api[0].Raw, stream[0].Raw = nil, nil
	if diff := cmp.Diff(api, stream); diff != "" {
		t.Errorf("the same log event differs (-api +stream):\n%s", diff)
	}
	// Without an id it is a digest of the facts.
	bare := strings.Replace(data, `"log_id":"9002026030210000000000000000000000000000000000000000001",`, "", 1)
	first, err := New().Normalize(record(bare))
	if err != nil {
		t.Fatal(err)
	}
	second, err := New().Normalize(record(`{"data":` + bare + `}`))
	if err != nil {
		t.Fatal(err)
	}
	if first[0].ID != second[0].ID || !strings.HasPrefix(first[0].ID, "digest-") {
		t.Errorf("ids %q and %q, want one digest", first[0].ID, second[0].ID)
	}
}

// TestSecretsAreNotKept: what still works when it is read in a log store is not in
// the raw record.
func TestSecretsAreNotKept(t *testing.T) {
	for _, tc := range []struct{ file, name, secret string }{
		{"recovery", "reset asked for, its url redacted", "/lo/reset?ticket"},
		{"guardian", "link sent, and redacted", "verification_code="},
		{"admin", "password ticket, redacted", "lo/reset?ticket="},
		{"admin", "connection made, its secret redacted", "synthetic-value"},
		{"admin", "client secret rotated", "synthetic-value"},
		{"admin", "recovery code made anew", "SYNTHETICCODE"},
		{"admin", "organization invitation", "invitation=abc"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := fixtureRecord(t, tc.file, tc.name)
			if !bytes.Contains(r.Data, []byte(tc.secret)) {
				t.Fatalf("the fixture does not hold %q", tc.secret)
			}
			events, err := New().Normalize(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				b, err := json.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Contains(b, []byte(tc.secret)) || !bytes.Contains(e.Raw, []byte(redacted)) {
					t.Errorf("the event holds %q", tc.secret)
				}
			}
		})
	}
	plain := fixtureRecord(t, "admin", "password set by an administrator") // masked by Auth0 itself
	events, err := New().Normalize(plain)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(events[0].Raw, plain.Data) {
		t.Error("a record without secrets is not kept as it came")
	}
}

// TestSamples reads the Auth0 events of the unit tests of panther-labs/panther-analysis
// (Apache-2.0): their shapes are real, and not ours. They are not copied into this
// repository; without them beside it the test is skipped.
func TestSamples(t *testing.T) {
	const path = "../../../shared/data/sample-cases.ndjson"
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("skipped: no sample events in %s", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kinds := map[string]event.Event{}
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	read, skipped := 0, 0
	for scanner.Scan() {
		var s struct {
			Source event.Source    `json:"source"`
			Rule   string          `json:"rule"`
			Case   string          `json:"case"`
			Event  json.RawMessage `json:"event"`
		}
		if err := json.Unmarshal(scanner.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if s.Source != source {
			continue
		}
		r := record(string(s.Event))
		r.Observed = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
		events, err := New().Normalize(r)
		if skip, ok := errors.AsType[*ingest.SkipError](err); ok {
			skipped++
			t.Logf("%s / %s: %s", s.Rule, s.Case, skip)
			continue
		}
		if err != nil {
			t.Errorf("%s / %s: %v", s.Rule, s.Case, err)
			continue
		}
		read++
		e := events[0]
		kinds[s.Rule+" / "+s.Case] = e
		e.Key = "somebody"
		if err := e.Validate(); err != nil {
			t.Errorf("%s / %s: %v", s.Rule, s.Case, err)
		}
		if e.Subject.IsZero() {
			t.Errorf("%s / %s: nobody", s.Rule, s.Case)
		}
		if e.Endpoint.IP == "" || e.UserAgent.Raw == "" && bytes.Contains(s.Event, []byte(`"user_agent"`)) {
			t.Errorf("%s / %s: address or user agent is lost", s.Rule, s.Case)
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d normalized, %d skipped", read, skipped)
	for name, want := range map[string]struct {
		kind     event.Kind
		weakened []event.Weakening
	}{
		"Auth0 MFA Policy Disabled / MFA Policy Disabled":                                                              {event.PolicyChange, []event.Weakening{event.WeakeningDisabled}},
		"Auth0 MFA Policy Enabled / MFA Policy Enabled First":                                                          {event.PolicyChange, nil},
		"Auth0 Attack Protection Monitoring Disabled / Auth0 Breached Password Protection Disabled":                    {event.PolicyChange, []event.Weakening{event.WeakeningDisabled}},
		"Auth0 Post Login Action Flow Updated / Action Added":                                                          {event.PolicyChange, nil},
		"Auth0 User Invitation Created / Test-tenant":                                                                  {event.RoleChange, nil},
		"Auth0 User Invitation Created / Test-org":                                                                     {event.RoleChange, nil},
		"Auth0 Integration Installed / Auth0 Integration Installed":                                                    {event.AppChange, nil},
		"Auth0 Limit Detections / Limit WC Event":                                                                      {event.RiskDetection, nil},
		"Auth0 Leaked Password Login Attempt / FCOA Event":                                                             {event.RiskDetection, nil},
		"Auth0 Same Phone Number Shared Across Multiple Users as MFA / SMS Enrollment Missing Phone Number - No Match": {event.AuthenticatorEnrolled, nil},
	} {
		e, ok := kinds[name]
		if !ok || e.Kind != want.kind || e.Policy != nil && !slices.Equal(e.Policy.Weakened, want.weakened) {
			e.Raw = nil
			b, _ := json.Marshal(e)
			t.Errorf("%s: got %s, want %s %v", name, b, want.kind, want.weakened)
		}
	}
}

func BenchmarkNormalize(b *testing.B) {
	for _, c := range []struct{ name, file, record string }{
		{"sign-in", "signin", "password and a second factor that is not named"},
		{"second factor", "guardian", "succeeded by sms"},
		{"management", "admin", "strong factor switched off"},
		{"skipped", "session", "code exchanged"},
	} {
		b.Run(c.name, func(b *testing.B) {
			n, r := New(), fixtureRecord(b, c.file, c.record)
			b.SetBytes(int64(len(r.Data)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = n.Normalize(r)
			}
		})
	}
}

// TestOneSignIn: the records of one sign-in are one attempt, whose strength is what
// all of them say together.
func TestOneSignIn(t *testing.T) {
	for _, tc := range []struct {
		name    string
		records [][2]string
		best    event.Method
		untold  bool
	}{
		{"a second factor that is not named", [][2]string{{"signin", "password and a second factor that is not named"}}, event.MethodPassword, true},
		{"a second factor by text message", [][2]string{{"guardian", "text message sent"}, {"guardian", "succeeded by sms"}, {"signin", "password and a second factor that is not named"}}, event.MethodSMS, true},
		{"the second factor comes late", [][2]string{{"signin", "password and a second factor that is not named"}, {"guardian", "succeeded by webauthn-roaming"}}, event.MethodSecurityKey, true},
		{"the browser is remembered", [][2]string{{"guardian", "browser remembered"}, {"signin", "password and a second factor that is not named"}}, event.MethodPassword, true},
		{"a password alone", [][2]string{{"signin", "password only, from a stream"}}, event.MethodPassword, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var l ledger.Ledger
			var a *ledger.Attempt
			for _, r := range tc.records {
				events, err := New().Normalize(fixtureRecord(t, r[0], r[1]))
				if err != nil {
					t.Fatal(err)
				}
				a = l.Apply(&events[0])
			}
			untold := a.Inherited || a.Opaque || slices.ContainsFunc(a.Steps, func(s ledger.Step) bool {
				return s.Result == event.Verified && s.Method.Class() == event.ClassUnknown
			})
			if len(l.Attempts) != 1 || a.Succeeded.IsZero() || a.Best() != tc.best || untold != tc.untold {
				t.Errorf("%d attempts, the last %+v by %s, untold %t; want one by %s, untold %t", len(l.Attempts), a, a.Best(), untold, tc.best, tc.untold)
			}
		})
	}
}
