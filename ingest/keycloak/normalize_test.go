package keycloak

import (
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

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/ingesttest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var observed = time.Date(2026, time.March, 2, 10, 0, 5, 0, time.UTC)

func record(data string) ingest.Record {
	return ingest.Record{Source: source, Tenant: "production", Stream: streamEvents, Data: []byte(data), Observed: observed, Origin: "test"}
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
		fixtureRecord(tb, "signin", "passkey"),
		fixtureRecord(tb, "signin", "broker and a second factor here"),
		fixtureRecord(tb, "enrolment", "passkey"),
		fixtureRecord(tb, "admin", "client role taken"),
		fixtureRecord(tb, "admin", "webauthn switched off in a flow"),
		fixtureRecord(tb, "shape", "webhook of an event"),
		fixtureRecord(tb, "shape", "log line"),
		fixtureRecord(tb, "shape", "log line of version 15"),
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
		name    string
		kind    event.Kind
		outcome event.Outcome
		factors []string
	}{
		{"passkey", event.SignIn, event.Success, []string{"passkey verified fresh primary"}},
		{"webauthn as second factor", event.SignIn, event.Success, []string{"passkey verified fresh secondary"}},
		{"webauthn by its detail alone, of an older version", event.SignIn, event.Success, []string{"passkey verified fresh"}},
		// What an action was about is no proof.
		{"after the enrolment of a passkey", event.SignIn, event.Success, []string{"unknown verified"}},
		{"after the removal of a passkey", event.SignIn, event.Success, []string{"unknown verified"}},
		{"after a change of the password", event.SignIn, event.Success, []string{"unknown verified"}},
		{"passkey, then an action", event.SignIn, event.Success, []string{"passkey verified fresh"}},
		{"wrong code", event.SignIn, event.Failure, []string{"totp failed secondary"}},
		// A password, a password and a code, or a cookie.
		{"nothing said", event.SignIn, event.Success, []string{"unknown verified"}},
		{"a credential without a type", event.SignIn, event.Success, []string{"unknown verified secondary"}},
		{"a credential whose type was looked up", event.SignIn, event.Success, []string{"totp verified fresh secondary"}},
		{"a recovery code that was looked up", event.SignIn, event.Success, []string{"backup_code verified fresh secondary"}},
		{"client certificate", event.SignIn, event.Success, []string{"certificate verified fresh primary"}},
		{"broker", event.SignIn, event.Success, []string{"federated verified primary"}},
		{"broker and a second factor here", event.SignIn, event.Success, []string{"federated verified primary", "passkey verified fresh secondary"}},
		{"direct grant", event.SignIn, event.Success, []string{"password verified fresh primary"}},
		{"kerberos", event.SignIn, event.Success, []string{"federated verified primary"}},
		{"wrong credentials", event.SignIn, event.Failure, nil},
		{"webauthn failed", event.SignIn, event.Failure, []string{"passkey failed"}},
		{"user disabled", event.SignIn, event.Denied, nil},
		{"device code", event.SignIn, event.Success, []string{"existing_session verified"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			events, err := New().Normalize(fixtureRecord(t, "signin", tc.name))
			if err != nil {
				t.Fatal(err)
			}
			var factors []string
			for _, f := range events[0].Factors {
				factors = append(factors, factor(f))
			}
			if e := events[0]; e.Kind != tc.kind || e.Outcome != tc.outcome || !slices.Equal(factors, tc.factors) {
				t.Errorf("got %s %s %q, want %s %s %q", e.Kind, e.Outcome, factors, tc.kind, tc.outcome, tc.factors)
			}
		})
	}
}

// TestEventTypes has every type of Keycloak's enumeration, and its failure where
// that means something else.
func TestEventTypes(t *testing.T) {
	for _, tc := range []struct {
		kind  event.Kind
		skip  ingest.SkipReason
		types string
	}{
		{kind: event.SignIn, types: `LOGIN LOGIN_ERROR JWT_BEARER JWT_BEARER_ERROR OAUTH2_EXTENSION_GRANT OAUTH2_EXTENSION_GRANT_ERROR
			AUTHREQID_TO_TOKEN AUTHREQID_TO_TOKEN_ERROR OAUTH2_DEVICE_CODE_TO_TOKEN USER_DISABLED_BY_TEMPORARY_LOCKOUT`},
		{kind: event.FactorChallenge, types: `IDENTITY_PROVIDER_LOGIN IDENTITY_PROVIDER_LOGIN_ERROR IDENTITY_PROVIDER_FIRST_LOGIN
			IDENTITY_PROVIDER_FIRST_LOGIN_ERROR IDENTITY_PROVIDER_POST_LOGIN IDENTITY_PROVIDER_POST_LOGIN_ERROR`},
		{kind: event.UserLifecycle, types: `REGISTER REGISTER_ERROR DELETE_ACCOUNT DELETE_ACCOUNT_ERROR USER_DISABLED_BY_PERMANENT_LOCKOUT`},
		{kind: event.SessionEnd, types: `LOGOUT USER_SESSION_DELETED`},
		{kind: event.SessionActivity, types: `REFRESH_TOKEN REFRESH_TOKEN_ERROR TOKEN_EXCHANGE TOKEN_EXCHANGE_ERROR`},
		{kind: event.AuthenticatorEnrolled, types: `UPDATE_CREDENTIAL UPDATE_CREDENTIAL_ERROR UPDATE_TOTP UPDATE_TOTP_ERROR FEDERATED_IDENTITY_LINK
			FEDERATED_IDENTITY_LINK_ERROR IDENTITY_PROVIDER_LINK_ACCOUNT CLIENT_INITIATED_ACCOUNT_LINKING`},
		{kind: event.AuthenticatorRemoved, types: `REMOVE_CREDENTIAL REMOVE_CREDENTIAL_ERROR REMOVE_TOTP REMOVE_TOTP_ERROR REMOVE_FEDERATED_IDENTITY`},
		{kind: event.PasswordChange, types: `UPDATE_PASSWORD UPDATE_PASSWORD_ERROR`},
		{kind: event.ContactChange, types: `UPDATE_EMAIL UPDATE_EMAIL_ERROR`},
		{kind: event.RecoveryActivity, types: `SEND_RESET_PASSWORD SEND_RESET_PASSWORD_ERROR RESET_PASSWORD RESET_PASSWORD_ERROR EXECUTE_ACTIONS
			EXECUTE_ACTIONS_ERROR EXECUTE_ACTION_TOKEN EXECUTE_ACTION_TOKEN_ERROR`},
		{kind: event.ConsentGrant, types: `GRANT_CONSENT GRANT_CONSENT_ERROR UPDATE_CONSENT UPDATE_CONSENT_ERROR`},
		{kind: event.ConsentRevoke, types: `REVOKE_GRANT`},
		{kind: event.Impersonation, types: `IMPERSONATE IMPERSONATE_ERROR`},
		{kind: event.AppChange, types: `CLIENT_REGISTER CLIENT_UPDATE CLIENT_DELETE`},
		{skip: ingest.SkipMachine, types: `CLIENT_LOGIN CLIENT_LOGIN_ERROR`},
		{skip: ingest.SkipIntermediate, types: `CODE_TO_TOKEN CODE_TO_TOKEN_ERROR RESTART_AUTHENTICATION VERIFY_EMAIL SEND_VERIFY_EMAIL VERIFY_PROFILE
			SEND_IDENTITY_PROVIDER_LINK IDENTITY_PROVIDER_RESPONSE IDENTITY_PROVIDER_RETRIEVE_TOKEN OAUTH2_DEVICE_AUTH
			OAUTH2_DEVICE_VERIFY_USER_CODE OAUTH2_DEVICE_CODE_TO_TOKEN_ERROR PUSHED_AUTHORIZATION_REQUEST PERMISSION_TOKEN LOGOUT_ERROR`},
		{skip: ingest.SkipIrrelevant, types: `UPDATE_PROFILE CUSTOM_REQUIRED_ACTION VALIDATE_ACCESS_TOKEN INTROSPECT_TOKEN INVALID_SIGNATURE REGISTER_NODE
			UNREGISTER_NODE USER_INFO_REQUEST CLIENT_INFO SOMETHING_NEW`},
	} {
		for typ := range strings.FieldsSeq(tc.types) {
			t.Run(typ, func(t *testing.T) {
				details := `{"username":"jane@example.com"}`
				if strings.Contains(typ, "_CREDENTIAL") {
					details = `{"username":"jane@example.com","credential_type":"otp"}`
				}
				r := record(fmt.Sprintf(`{"id":"1","time":1772445600123,"type":%q,"realmId":"r","clientId":"webapp","userId":"u1","ipAddress":"192.0.2.1","error":"invalid_code","details":%s}`, typ, details))
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
				if e.Kind != tc.kind || e.Action != typ || e.Subject.Name != "jane@example.com" || strings.HasSuffix(typ, "_ERROR") != (e.Outcome == event.Failure) && e.Outcome != event.Denied {
					t.Errorf("got %s %s %q of %+v, want %s", e.Kind, e.Outcome, e.Action, e.Subject, tc.kind)
				}
				e.Key = "jane@example.com"
				if err := e.Validate(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestOneID: an event without an id has the digest of its facts, whatever the order
// of its members and whatever the source has added.
func TestOneID(t *testing.T) {
	ids := map[string]bool{}
	for _, data := range []string{
		`{"time":1772445600123,"type":"LOGIN","realmId":"r","clientId":"webapp","userId":"u1","ipAddress":"192.0.2.1","details":{"code_id":"c","username":"jane"}}`,
		`{"details":{"username":"jane","code_id":"c"},"ipAddress":"192.0.2.1","userId":"u1","clientId":"webapp","realmId":"r","type":"LOGIN","time":1772445600123}`,
		`{"stepdown_credential_type":"otp","time":1772445600123,"type":"LOGIN","realmId":"r","clientId":"webapp","userId":"u1","ipAddress":"192.0.2.1","details":{"code_id":"c","username":"jane"}}`,
	} {
		events, err := New().Normalize(record(data))
		if err != nil {
			t.Fatal(err)
		}
		ids[events[0].ID] = true
	}
	other, err := New().Normalize(record(`{"time":1772445600123,"type":"LOGIN","realmId":"r","clientId":"webapp","userId":"u1","ipAddress":"192.0.2.1","details":{"code_id":"d","username":"jane"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(ids) != 1 || ids[other[0].ID] {
		t.Errorf("ids %v of one event, %s of another", ids, other[0].ID)
	}
}

func TestLogLines(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     map[string]string
	}{
		{"quoted", `type="LOGIN", userId="null", redirect_uri="https://example.com/a, b=c"`, map[string]string{"type": "LOGIN", "redirect_uri": "https://example.com/a, b=c"}},
		{"not quoted", `type=LOGIN, userId=null, redirect_uri=https://example.com/a, b, code_id=c`, map[string]string{"type": "LOGIN", "redirect_uri": "https://example.com/a, b", "code_id": "c"}},
		{"escaped", `type="LOGIN", username="a\"b"`, map[string]string{"type": "LOGIN", "username": `a"b`}},
		{"cut", `type="LOGIN", username="a`, map[string]string{"type": "LOGIN", "username": "a"}},
		{"no pairs", `started`, map[string]string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, pairsOf(tc.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzLogLine(f *testing.F) {
	f.Add(`type="LOGIN", userId="null"`)
	f.Add(`type=LOGIN, userId=null, a=b, c`)
	f.Fuzz(func(_ *testing.T, s string) { pairsOf(s) }) // ends, and does not panic
}

func BenchmarkNormalize(b *testing.B) {
	for _, c := range []struct{ name, file, record string }{
		{"sign-in", "signin", "passkey"},
		{"admin", "admin", "client role taken"},
		{"log line", "shape", "log line"},
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
