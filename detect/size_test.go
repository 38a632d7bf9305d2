package detect_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stepdown/detect"
	"stepdown/detect/alert"
	"stepdown/detect/rule"
	"stepdown/ingest/event"
)

// maxMessage is what a Kafka message may have by default; a state must fit.
const maxMessage = 1_000_000

// maxCore is what a state may have whatever an attacker does, but for the alerts
// that this raises.
const maxCore = 16 << 10

// stateOf applies events of one identity to a new shard and returns its state.
func stateOf(t testing.TB, set *rule.Set, events []event.Event) detect.State {
	t.Helper()
	shard := detect.NewShard(detect.NewEngine(set, detect.DefaultConfig(), nil))
	for i := range events {
		if err := shard.Apply(&events[i], int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	return onlyState(t, shard)
}

func onlyState(t testing.TB, shard *detect.Shard) detect.State {
	t.Helper()
	var states []detect.State
	for state, err := range shard.Dirty() {
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, state)
	}
	if len(states) != 1 {
		t.Fatalf("%d states, want that of one identity", len(states))
	}
	return states[0]
}

func TestStateOfAnOrdinaryIdentity(t *testing.T) {
	state := stateOf(t, pack(t, 1), newPerson(1).past(60))
	t.Logf("%d bytes after sixty days of sign-ins", len(state.Data))
	if len(state.Data) > 1_000 {
		t.Errorf("the state takes %d bytes, at most 1,000 are ordinary", len(state.Data))
	}
}

// TestStateOfAFloodFits floods one identity with everything a source can be made
// to log, every event with a finding of several rules.
func TestStateOfAFloodFits(t *testing.T) {
	set := pack(t, 2, testRules)
	for _, tt := range []struct {
		name string
		text string
	}{{"quotes", strings.Repeat(`"`, event.MaxTextLen)}, {"controls", strings.Repeat("\x01\u2028", event.MaxTextLen/4)}} {
		t.Run(tt.name, func(t *testing.T) {
			shard := detect.NewShard(detect.NewEngine(set, detect.DefaultConfig(), nil))
			p := newPerson(1)
			kinds := []event.Kind{event.SignIn, event.ConsentGrant, event.SessionActivity, event.AuthenticatorsReset, event.AuthenticatorEnrolled,
				event.RecoveryActivity, event.RoleChange, event.FactorChallenge}
			largest, offset := 0, int64(0)
			for i := range 300 {
				s := fmt.Sprintf("%06d", i) + tt.text
				e := p.event(kinds[i%len(kinds)], origin().Add(time.Duration(i)*5*time.Second))
				e.ID, e.Action, e.Reason, e.Stream, e.Tenant = s[:event.MaxIDLen], s, s, s, s
				e.FlowID, e.SessionID = s, s
				e.Endpoint = event.Endpoint{ASN: uint32(i), ASOrg: s, Country: s, City: s, Region: s}
				e.UserAgent = event.UserAgent{Raw: s, Browser: s, OS: s}
				e.Device = &event.Device{ID: s, Name: s, OS: s, TrustType: s, Fingerprint: s}
				e.App = &event.App{ID: s, Name: s, ResourceID: s, ResourceName: s, Client: s}
				e.Subject.DisplayName, e.Subject.Name = s, s
				e.Actor = event.Principal{ID: s, Name: s, DisplayName: s, Key: event.Key(s[:event.MaxIDLen])}
				e.Consent = &event.Consent{AppID: s, AppName: s, Publisher: s, Scopes: []string{"Mail.Read", "offline_access"}}
				e.Role = &event.Role{Granted: true, Privileged: true}
				e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted, Method: event.MethodSMS}
				for j := range event.MaxListLen {
					a := event.NewAuthenticator(event.MethodPasskey)
					a.ID = fmt.Sprint(j) + s
					a.Name, a.AAGUID, a.Address = a.ID, a.ID, a.ID
					e.Authenticators = append(e.Authenticators, a)
					e.Consent.Scopes = append(e.Consent.Scopes, a.ID)
					e.Role.Roles = append(e.Role.Roles, a.ID)
					e.Populations = append(e.Populations, a.ID)
				}
				for _, m := range event.Methods() {
					f := event.NewFactor(m, event.Verified)
					f.Detail, f.CredentialID, f.AAGUID, f.Provider, f.Transport = s, s, s, s, s
					if m.Class() != event.PhishingResistant {
						e.Factors = append(e.Factors, f)
					}
				}
				if err := shard.Apply(&e, offset); err != nil {
					t.Fatal(err)
				}
				offset++
				if i%50 == 49 {
					for _, a := range shard.Drain() {
						data, err := alert.Encode(&a)
						if err != nil {
							t.Fatal(err)
						}
						if len(data) > maxMessage/4 {
							t.Fatalf("an alert takes %d bytes", len(data))
						}
					}
					state := onlyState(t, shard)
					largest = max(largest, len(state.Data))
					core, err := detect.CoreSize(state.Key, state.Data)
					if err != nil || core > maxCore {
						t.Fatalf("ledger and window take %d bytes, more than %d; %v", core, maxCore, err)
					}
				}
			}
			t.Logf("the largest state took %d bytes", largest)
			if largest > maxMessage {
				t.Errorf("a state takes %d bytes, more than the %d of a message", largest, maxMessage)
			}
		})
	}
}

var update = flag.Bool("update", false, "write the state files in testdata anew")

// TestStatesOfEarlierBuilds restores states that earlier builds wrote. A file is
// added when the encoding changes, and never changed.
func TestStatesOfEarlierBuilds(t *testing.T) {
	set := pack(t, 1)
	p := newPerson(1)
	events := p.past(12)
	pending := p.signIn(origin(), event.MethodPassword)
	moved := p.event(event.SessionActivity, origin().Add(2*time.Minute))
	moved.SessionID = events[len(events)-1].SessionID
	moved.Endpoint = event.Endpoint{IP: "203.0.113.130", ASN: 64501, Country: "US"}
	moved.UserAgent = event.UserAgent{Browser: "Firefox", OS: "Linux"}
	events = append(events, pending, moved)
	file := filepath.Join("testdata", "state-v2.bin")
	if *update {
		state := stateOf(t, set, events)
		if err := os.WriteFile(file, state.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "state-v*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	// The sign-in turns out weak; then somebody lets an app in.
	sms := p.event(event.FactorChallenge, origin().Add(3*time.Minute))
	sms.FlowID, sms.Factors = pending.FlowID, []event.Factor{event.NewFactor(event.MethodSMS, event.Verified)}
	consent := p.event(event.ConsentGrant, origin().Add(4*time.Minute))
	consent.Consent = &event.Consent{AppID: "app-1", Scopes: []string{"Mail.Read", "offline_access"}}
	more := []event.Event{sms, consent}
	want := replay(t, set, append(events, more...))
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			shard := detect.NewShard(detect.NewEngine(set, detect.DefaultConfig(), nil))
			if filepath.Ext(file) == ".json" {
				data = bytes.TrimSpace(data)
			}
			if err := shard.Restore(p.key, data); err != nil {
				t.Fatal(err)
			}
			out := newSaid(t)
			for i := range more {
				if err := shard.Apply(&more[i], int64(len(events)+i)); err != nil {
					t.Fatal(err)
				}
			}
			shard.Advance(origin().Add(72 * time.Hour))
			out.take(shard.Drain(), map[alert.ID]uint64{})
			got := out.open()
			for id, a := range want {
				if a.RuleID == "SE-01" {
					delete(want, id) // was said before the state was written
				}
			}
			if diff := cmp.Diff(want, got); diff != "" || len(got) < 2 {
				t.Errorf("%d alerts after the restore (-of one pass +restored):\n%s", len(got), diff)
			}
		})
	}
}

// FuzzRestore: whatever stands in the state topic, it is an error or a state that an
// event can be applied to.
func FuzzRestore(f *testing.F) {
	set, p := pack(f, 1), newPerson(1)
	events := append(p.past(3), p.signIn(origin(), event.MethodPassword, event.MethodSMS))
	f.Add(stateOf(f, set, events).Data)
	f.Add([]byte{2, 0})
	next := p.signIn(origin().Add(time.Minute), event.MethodPasskey)
	f.Fuzz(func(t *testing.T, data []byte) {
		shard := detect.NewShard(detect.NewEngine(set, detect.DefaultConfig(), nil))
		if shard.Restore(p.key, data) != nil {
			return
		}
		if err := shard.Apply(&next, 1<<60); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRestoreRefusesWhatItCannotRead(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"another version", `{"v":99}`, "version 99"},
		{"no state", `[]`, "decode ledger"},
		{"cut", `{"v":1,"base":{`, "decode ledger"},
		{"an empty window entry", `{"v":1,"window":[{}]}`, "without event"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			shard := detect.NewShard(detect.NewEngine(pack(t, 1), detect.DefaultConfig(), nil))
			err := shard.Restore("ada@example.com", []byte(tt.data))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "ada@example.com") {
				t.Errorf("got %v, want %q with the identity", err, tt.want)
			}
		})
	}
}
