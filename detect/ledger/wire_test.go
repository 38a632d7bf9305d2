package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"stepdown/ingest/event"
)

// TestWire: what is read is what was written, for texts of every kind, times of
// every unit and numbers of every size.
func TestWire(t *testing.T) {
	w, r := NewWriter(), NewReader()
	text := rapid.OneOf(
		rapid.SampledFrom([]string{"", "okta", "sign_in", "192.0.2.10", "256.0.0.1", "01.2.3.4", "1.2.3", "0.0.0.0",
			"aaaaaaaa-0000-4000-8000-0123456789ab", "AAAAAAAA-0000-4000-8000-0123456789ab", "aaaaaaaa-0000-4000-8000-0123456789ag"}),
		rapid.String())
	unit := rapid.SampledFrom([]time.Duration{1, time.Microsecond, time.Millisecond, time.Second, time.Hour})
	rapid.Check(t, func(t *rapid.T) {
		w.Reset()
		var texts []string
		var times []time.Time
		var ints []int64
		for range rapid.IntRange(0, 60).Draw(t, "entries") {
			texts = append(texts, text.Draw(t, "text"))
			at := time.Unix(rapid.Int64Range(-20_000_000_000, 20_000_000_000).Draw(t, "seconds"), 0).UTC()
			times = append(times, at.Add(time.Duration(rapid.IntRange(0, 999).Draw(t, "part"))*unit.Draw(t, "unit")))
			ints = append(ints, rapid.Int64().Draw(t, "int"))
			w.Text(texts[len(texts)-1])
			w.Time(times[len(times)-1])
			w.Int(ints[len(ints)-1])
		}
		r.Reset(w.Bytes(), &Texts{})
		for i := range texts {
			if s := r.Text(); s != texts[i] {
				t.Fatalf("text %q, want %q", s, texts[i])
			}
			if at := r.Time(); !at.Equal(times[i]) {
				t.Fatalf("time %s, want %s", at, times[i])
			}
			if n := r.Int(); n != ints[i] {
				t.Fatalf("number %d, want %d", n, ints[i])
			}
		}
		if err := r.End(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestVocabularyStays: words are appended, not moved.
func TestVocabularyStays(t *testing.T) {
	words := vocabulary()
	for i, want := range map[int]string{0: "okta", 31: "failed", 63: "passkey_device_bound", 100: "redeemed"} {
		if words[i] != want {
			t.Errorf("word %d is %q, and was %q", i, words[i], want)
		}
	}
	seen := map[string]bool{}
	for _, s := range words {
		if seen[s] {
			t.Errorf("%q is there twice", s)
		}
		seen[s] = true
	}
}

// TestCodec: a ledger is the same after a round trip, into memory that had another
// one.
func TestCodec(t *testing.T) {
	l := &Ledger{}
	for i, e := range lifeOfEverything() {
		l.Apply(&e)
		w, r := NewWriter(), NewReader()
		l.Encode(w)
		r.Reset(w.Bytes(), &Texts{})
		got := Ledger{Authenticators: make([]Authenticator, 3, 9), Attempts: make([]Attempt, 1)}
		got.Decode(r)
		if err := r.End(); err != nil {
			t.Fatal(err)
		}
		again := NewWriter()
		got.Encode(again)
		if diff := cmp.Diff(w.Bytes(), again.Bytes()); diff != "" {
			t.Fatalf("after event %d (-before +after):\n%s", i, diff)
		}
	}
}

// lifeOfEverything is events of all the kinds that leave something in a ledger.
func lifeOfEverything() []event.Event {
	consent := func(e *event.Event) {
		e.Consent = &event.Consent{AppID: "a", AppName: "An app", Scopes: []string{"Mail.Read"}}
	}
	role := func(e *event.Event) {
		e.Role = &event.Role{Roles: []string{"Super Administrator"}, Granted: true, Privileged: true}
	}
	recovery := func(e *event.Event) {
		e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted, Method: event.MethodSMS}
	}
	app := func(e *event.Event) { e.App = &event.App{ID: "0oa1", Name: "Payroll", Admin: true} }
	passkey, push := proof(event.MethodPasskey, event.Verified, "c1"), proof(event.MethodPush, event.Rejected)
	return []event.Event{
		of(event.AuthenticatorEnrolled, 0, holds(event.MethodPasskey, "c1", "aaaaaaaa-0000-4000-8000-0123456789ab")),
		of(event.SignIn, 1, flow("f"), session("s"), passkey, app), of(event.SignIn, 2, passkey), of(event.FactorChallenge, 3, flow("g"), push),
		of(event.SignIn, 50, flow("f"), session("t"), passkey, protocol("device_code")), of(event.ConsentGrant, 51, consent),
		of(event.RoleChange, 52, role), of(event.RecoveryActivity, 53, recovery), of(event.AuthenticatorsReset, 54),
		of(event.UserLifecycle, 55, action("user.lifecycle.suspend")), of(event.SignIn, 2000, flow("h"), passkey), of(event.SignIn, 9000, flow("i"), push),
	}
}
