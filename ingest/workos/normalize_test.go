package workos

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

	"stepdown/detect/ledger"
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
		fixtureRecord(tb, "steps", "sso challenge failed"),
		fixtureRecord(tb, "sessions", "impersonated"),
		fixtureRecord(tb, "account", "address changed"),
		fixtureRecord(tb, "account", "member with roles"),
		fixtureRecord(tb, "account", "directory user by a list of addresses"),
		fixtureRecord(tb, "account", "account connected"),
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
		kind       event.Kind
		outcome    event.Outcome
		factors    []string
	}{
		// A step is no sign-in: a second factor may be due.
		{"steps", "password succeeded", event.FactorChallenge, event.Success, []string{"password verified fresh primary"}},
		{"steps", "passkey succeeded", event.FactorChallenge, event.Success, []string{"passkey verified fresh primary"}},
		{"steps", "magic_auth succeeded", event.FactorChallenge, event.Success, []string{"email_code verified fresh primary"}},
		{"steps", "oauth succeeded", event.FactorChallenge, event.Success, []string{"federated verified primary"}},
		{"steps", "mfa succeeded", event.FactorChallenge, event.Success, []string{"unknown verified secondary"}},
		{"steps", "mfa failed", event.FactorChallenge, event.Failure, []string{"unknown failed secondary"}},
		{"steps", "password failed", event.SignIn, event.Failure, []string{"password failed primary"}},
		{"steps", "sso timed out", event.SignIn, event.Abandoned, []string{"federated unanswered primary"}},
		{"steps", "code by e-mail", event.FactorChallenge, event.Challenged, []string{"email_code pending"}},
		{"steps", "method of the future", event.FactorChallenge, event.Success, []string{"unknown verified primary"}},
		{"sessions", "session by passkey", event.SignIn, event.Success, []string{"passkey verified fresh primary"}},
		{"sessions", "session by password", event.SignIn, event.Success, []string{"password verified fresh primary"}},
		{"sessions", "session by sso", event.SignIn, event.Success, []string{"federated verified primary"}},
		{"sessions", "session by migrated_session", event.SignIn, event.Success, []string{"unknown verified primary"}},
		{"sessions", "session without a method", event.SignIn, event.Success, nil},
		{"sessions", "impersonated", event.Impersonation, event.Success, nil},
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
			if e := events[0]; e.Kind != tc.kind || e.Outcome != tc.outcome || !slices.Equal(factors, tc.factors) {
				t.Errorf("got %s %s %q, want %s %s %q", e.Kind, e.Outcome, factors, tc.kind, tc.outcome, tc.factors)
			}
		})
	}
}

// TestEventTypes has every type of the vendor's description.
func TestEventTypes(t *testing.T) {
	for _, tc := range []struct {
		kind  event.Kind
		skip  ingest.SkipReason
		types string
	}{
		{kind: event.SignIn, types: `session.created authentication.magic_auth_failed authentication.oauth_failed authentication.passkey_failed
			authentication.password_failed authentication.sso_failed authentication.sso_timed_out action.authentication.denied`},
		{kind: event.FactorChallenge, types: `authentication.email_verification_succeeded authentication.email_verification_failed
			authentication.magic_auth_succeeded authentication.mfa_succeeded authentication.mfa_failed authentication.oauth_succeeded
			authentication.passkey_succeeded authentication.password_succeeded authentication.reauthentication_succeeded
			authentication.sso_succeeded magic_auth.created email_verification.created radar.challenge_created`},
		{kind: event.SessionEnd, types: `session.revoked`},
		{kind: event.RiskDetection, types: `authentication.radar_risk_detected`},
		{kind: event.RecoveryActivity, types: `password_reset.created`},
		{kind: event.PasswordReset, types: `password_reset.succeeded`},
		{kind: event.UserLifecycle, types: `user.created user.deleted invitation.created invitation.accepted invitation.revoked
			dsync.user.created dsync.user.updated dsync.user.deleted action.user_registration.denied`},
		{kind: event.ContactChange, types: `user.updated`},
		{kind: event.RoleChange, types: `organization_membership.created organization_membership.updated organization_membership.deleted
			dsync.group.user_added dsync.group.user_removed`},
		{kind: event.PolicyChange, types: `role.created role.updated role.deleted organization_role.created organization_role.updated
			organization_role.deleted permission.created permission.updated permission.deleted`},
		{kind: event.TrustChange, types: `connection.activated connection.deactivated connection.deleted connection.saml_certificate_renewed
			dsync.activated dsync.deleted organization_domain.created organization_domain.verified organization_domain.deleted`},
		{kind: event.AppCredential, types: `api_key.created api_key.updated api_key.revoked dsync.token.created dsync.token.revoked agent.registration.credential.issued`},
		{kind: event.AppChange, types: `agent.registration.created agent.registration.revoked agent.registration.deleted`},
		{kind: event.ConsentGrant, types: `pipes.connected_account.connected`},
		{kind: event.ConsentRevoke, types: `pipes.connected_account.disconnected`},
		{skip: ingest.SkipIntermediate, types: `authentication.sso_started`},
		{skip: ingest.SkipIrrelevant, types: `agent.registration.claim.attempt.created agent.registration.claim.completed agent.registration.expired
			agent.registration.organization.switched agent.registration.refreshed connection.saml_certificate_renewal_required
			dsync.group.created dsync.group.deleted dsync.group.updated flag.created flag.deleted flag.rule_updated flag.updated
			group.created group.deleted group.member_added group.member_removed group.updated invitation.resent
			organization.created organization.deleted organization.updated organization_domain.updated organization_domain.verification_failed
			pipes.connected_account.connection_failed pipes.connected_account.reauthorization_needed
			vault.byok_key.deleted vault.byok_key.verification_completed vault.data.created vault.data.deleted vault.data.read vault.data.updated
			vault.dek.decrypted vault.dek.read vault.kek.created vault.kek.deleted vault.metadata.read vault.names.listed
			waitlist_user.approved waitlist_user.created waitlist_user.denied something.new authentication.new`},
	} {
		for typ := range strings.FieldsSeq(tc.types) {
			t.Run(typ, func(t *testing.T) {
				r := record(fmt.Sprintf(`{"object":"event","id":"event_1","event":%q,"created_at":"2026-03-02T10:00:00.000Z",
					"data":{"id":"x_1","user_id":"user_1","email":"jane@example.com","auth_method":"password","user":{"id":"u","email":"jane@example.com"}},
					"context":{"previous_attributes":{"email":"jane@example.com"}}}`, typ))
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
				whole := e.Kind == event.PolicyChange || e.Kind == event.TrustChange // of the environment, by nobody who is named
				if e.Kind != tc.kind || e.Action != typ || !whole && e.Subject.Name != "jane@example.com" {
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

// TestEveryTypeAskedForIsRead: what the source asks for by default says something.
func TestEveryTypeAskedForIsRead(t *testing.T) {
	for _, typ := range eventTypes() {
		r := record(fmt.Sprintf(`{"id":"event_1","event":%q,"created_at":"2026-03-02T10:00:00.000Z","data":{"id":"x_1","user_id":"user_1","email":"jane@example.com","user":{"id":"u"}},
			"context":{"previous_attributes":{"email":"j@example.com"}}}`, typ))
		if _, err := New().Normalize(r); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
	}
}

func BenchmarkNormalize(b *testing.B) {
	for _, c := range []struct{ name, file, record string }{
		{"step", "steps", "passkey succeeded"},
		{"session", "sessions", "session by passkey"},
		{"skipped", "shape", "other types"},
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

// TestOneSignIn: the steps and the session that ends them are one attempt, though
// nothing but person, address and time ties them together.
func TestOneSignIn(t *testing.T) {
	for _, tc := range []struct {
		name    string
		records []string
		best    event.Method
		untold  bool
	}{
		{"password", []string{"steps: password succeeded", "sessions: session by password"}, event.MethodPassword, false},
		{"password and a second factor", []string{"steps: password succeeded", "steps: mfa succeeded", "sessions: session by password"}, event.MethodPassword, true},
		{"the second factor comes late", []string{"sessions: session by password", "steps: mfa succeeded"}, event.MethodPassword, true},
		{"passkey", []string{"steps: passkey succeeded", "sessions: session by passkey"}, event.MethodPasskey, false},
		{"code by e-mail", []string{"steps: magic_auth succeeded", "sessions: session by magic_code"}, event.MethodEmailCode, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var l ledger.Ledger
			var a *ledger.Attempt
			for _, r := range tc.records {
				file, name, _ := strings.Cut(r, ": ")
				events, err := New().Normalize(fixtureRecord(t, file, name))
				if err != nil {
					t.Fatal(err)
				}
				a = l.Apply(&events[0])
			}
			untold := slices.ContainsFunc(a.Steps, func(s ledger.Step) bool {
				return s.Result == event.Verified && s.Method.Class() == event.ClassUnknown
			})
			if len(l.Attempts) != 1 || a.Succeeded.IsZero() || a.Session != "session_01EXAMPLE" || a.Best() != tc.best || untold != tc.untold {
				t.Errorf("%d attempts, the last %+v by %s, untold %t; want one by %s, untold %t", len(l.Attempts), a, a.Best(), untold, tc.best, tc.untold)
			}
		})
	}
	// A password that was right while the second factor is due lets nobody in.
	var l ledger.Ledger
	events, err := New().Normalize(fixtureRecord(t, "steps", "password succeeded"))
	if err != nil {
		t.Fatal(err)
	}
	if a := l.Apply(&events[0]); !a.Succeeded.IsZero() {
		t.Error("a right password alone is a sign-in")
	}
}
