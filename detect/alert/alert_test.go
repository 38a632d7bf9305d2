package alert

import (
	stdjson "encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stepdown/ingest/event"
)

// sample is synthetic.
func sample() Alert {
	at := time.Date(2026, 3, 2, 9, 14, 7, 0, time.UTC)
	used := at.Add(-2 * time.Hour)
	return Alert{
		Schema: SchemaVersion, ID: NewID("DG-01", "ada@example.com", "okta:f1"), Revision: 2, State: Open,
		RuleID: "DG-01", RuleVersion: 1, RuleTitle: "Enrolled passkey bypassed", Severity: High,
		Title: `ada@example.com "<came in>" by SMS & nothing else`, Reason: ReasonOtherGround,
		Time: at, First: at.Add(-time.Minute), Observed: at.Add(time.Second),
		Key: "ada@example.com", Source: "okta", Anchor: "okta:f1",
		Identity: Identity{Name: "ada@example.com", Tier: event.TierPrivileged,
			Authenticators: []Authenticator{{Method: event.MethodPasskey, Since: at.AddDate(0, -1, 0), LastUsed: &used, Uses: 142, Provenance: "enrolment"}}},
		Method: event.MethodSMS, Usual: event.MethodPasskey,
		Endpoint:   event.Endpoint{IP: "198.51.100.7", ASN: 64500, Country: "NL"},
		Conditions: []Condition{{Name: "weaker_proof", Expr: "attempt.rank < 45", Value: true, Operands: []Operand{{Expr: "attempt.rank", Value: "20"}}}},
		Evidence:   []Evidence{{EventID: "e1", Source: "okta", Time: at, Kind: event.SignIn, Action: "user.session.start", Outcome: event.Success, Summary: "sms verified"}},
		Tags:       []string{"attack.t1556.006"},
	}
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	b, err := Encode(&want)
	if err != nil {
		t.Fatal(err)
	}
	var got, plain Alert
	if err := Decode(b, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("round trip changed the alert (-want +got):\n%s", d)
	}
	// Other consumers of the topic bring their own decoder.
	if err := stdjson.Unmarshal(b, &plain); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, plain); d != "" {
		t.Errorf("encoding/json reads another alert (-want +got):\n%s", d)
	}
	if strings.Contains(string(b), `\u003c`) {
		t.Errorf("text is escaped for HTML: %s", b)
	}
}

func TestIDIsOfRuleIdentityAndAnchor(t *testing.T) {
	id := NewID("DG-01", "ada@example.com", "okta:f1")
	// Stored alerts, Slack messages and dead letters are found by it for years:
	// it must not change with a build.
	if want := ID("31641dfc94d3a663ba02cd17ef"); id != want {
		t.Errorf("got %s, want %s", id, want)
	}
	if again := NewID("DG-01", "ada@example.com", "okta:f1"); again != id {
		t.Errorf("the same finding has the ids %s and %s", id, again)
	}
	for name, other := range map[string]ID{
		"rule":     NewID("DG-02", "ada@example.com", "okta:f1"),
		"identity": NewID("DG-01", "ben@example.com", "okta:f1"),
		"anchor":   NewID("DG-01", "ada@example.com", "okta:f2"),
		"border":   NewID("DG-01", "ada@example.comokta", ":f1"),
	} {
		if other == id {
			t.Errorf("another %s has the same id", name)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Alert)
		want   string
	}{
		{name: "newer schema", change: func(a *Alert) { a.Schema = SchemaVersion + 1 }, want: "newer schema"},
		{name: "no id", change: func(a *Alert) { a.ID = "" }, want: "without id"},
		{name: "no anchor", change: func(a *Alert) { a.Anchor = "" }, want: "anchor"},
		{name: "no revision", change: func(a *Alert) { a.Revision = 0 }, want: "revision"},
		{name: "unknown severity", change: func(a *Alert) { a.Severity = "urgent" }, want: "severity"},
		{name: "unknown state", change: func(a *Alert) { a.State = "gone" }, want: "state"},
		{name: "no time", change: func(a *Alert) { a.Time = time.Time{} }, want: "time"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := sample()
			tt.change(&a)
			b, err := Encode(&a)
			if err != nil {
				t.Fatal(err)
			}
			err = Decode(b, new(Alert))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if newer := tt.name == "newer schema"; errors.Is(err, ErrSchema) != newer {
				t.Errorf("errors.Is(err, ErrSchema) = %v, want %v", !newer, newer)
			}
		})
	}
}

func TestSeverityOrder(t *testing.T) {
	last := 0
	for _, s := range Severities() {
		if s.Rank() <= last {
			t.Errorf("%s ranks %d, not above %d", s, s.Rank(), last)
		}
		last = s.Rank()
		if got, err := ParseSeverity(strings.ToUpper(string(s))); err != nil || got != s {
			t.Errorf("ParseSeverity(%q) = %q, %v", strings.ToUpper(string(s)), got, err)
		}
	}
	if _, err := ParseSeverity("urgent"); err == nil || !strings.Contains(err.Error(), "medium") {
		t.Errorf("got %v, want an error that lists the severities", err)
	}
}

// FuzzDecode: what Decode takes survives another trip unchanged.
func FuzzDecode(f *testing.F) {
	s := sample()
	b, err := Encode(&s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second Alert
		if Decode(data, &first) != nil {
			return
		}
		b, err := Encode(&first)
		if err != nil {
			t.Skip() // a time that JSON cannot say
		}
		if err := Decode(b, &second); err != nil {
			t.Fatalf("own encoding does not decode: %v\n%s", err, b)
		}
	})
}
