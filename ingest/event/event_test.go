package event

import (
	stdjson "encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sample is synthetic: a passkey holder's sign-in that ended with SMS.
func sample() Event {
	at := time.Date(2026, 3, 2, 9, 14, 7, 123_000_000, time.UTC)
	yes := true
	lat := 52.37
	return Event{
		Schema: SchemaVersion, ID: "5b1c", Source: "okta", Tenant: "example.okta.com", Stream: "system_log",
		Kind: SignIn, Action: "user.session.start",
		Time: at, Observed: at.Add(3 * time.Second), Ingested: at.Add(4 * time.Second),
		Key: "ada@example.com", Tier: TierPrivileged, Populations: []string{"finance"},
		Subject: Principal{ID: "00u1", Name: "Ada@example.com", Type: "user", Key: "ada@example.com"},
		Outcome: Success,
		Factors: []Factor{NewFactor(MethodPassword, Verified), NewFactor(MethodSMS, Verified)},
		Endpoint: Endpoint{IP: "198.51.100.7", ASN: 64500, ASOrg: "Example Hosting <&>", Country: "NL",
			Lat: &lat},
		UserAgent: UserAgent{Raw: "Mozilla/5.0", Browser: "Chrome", OS: "Windows"},
		Device:    &Device{ID: "guo1", Managed: &yes},
		App:       &App{ID: "0oa1", Name: "Payroll"},
		SessionID: "s-1", FlowID: "f-1", Protocol: ProtocolSAML,
		Raw: stdjson.RawMessage(`{"uuid":"5b1c"}`),
	}
}

func TestCodecRoundTrip(t *testing.T) {
	want := sample()
	b, err := Encode(nil, &want)
	if err != nil {
		t.Fatal(err)
	}
	var got Event
	if err := Decode(b, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("round trip changed the event (-want +got):\n%s", d)
	}
}

// TestCodecIsPlainJSON holds the wire to what encoding/json would read, since
// other consumers of the topic use their own decoder.
func TestCodecIsPlainJSON(t *testing.T) {
	want := sample()
	b, err := Encode(nil, &want)
	if err != nil {
		t.Fatal(err)
	}
	var got Event
	if err := stdjson.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("encoding/json reads another event (-want +got):\n%s", d)
	}
	if !strings.Contains(string(b), `"class":"weak","rank":20`) {
		t.Errorf("class and rank are not on the wire: %s", b)
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Event)
		field  string // of the *validationError
		is     error
	}{
		{name: "newer schema", change: func(e *Event) { e.Schema = SchemaVersion + 1 }, is: ErrSchema},
		{name: "no id", change: func(e *Event) { e.ID = "" }, field: "id"},
		{name: "unknown kind", change: func(e *Event) { e.Kind = "signin" }, field: "kind"},
		{name: "no identity", change: func(e *Event) { e.Key = "" }, field: "key"},
		{name: "no time", change: func(e *Event) { e.Time = time.Time{} }, field: "time"},
		{name: "time from the future", change: func(e *Event) { e.Time = e.Observed.AddDate(0, 0, 2) }, field: "time"},
		{name: "strength of its own", change: func(e *Event) { e.Factors[1].Rank = 60 }, field: "factors[1].rank"},
		{name: "class of its own", change: func(e *Event) { e.Factors[1].Class = PhishingResistant }, field: "factors[1].class"},
		{name: "inherited but fresh", change: func(e *Event) {
			e.Factors[1] = NewFactor(MethodRefreshToken, Verified)
			e.Factors[1].Fresh = true
		}, field: "factors[1].fresh"},
		{name: "address not canonical", change: func(e *Event) { e.Endpoint.IP = "::ffff:1.2.3.4 " }, field: "endpoint.ip"},
		{name: "kind without its part", change: func(e *Event) { e.Kind = ConsentGrant }, field: "consent"},
		{name: "weakening of its own", change: func(e *Event) { e.Policy = &Policy{Weakened: []Weakening{"bad"}} }, field: "policy.weakened[0]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := sample()
			tt.change(&e)
			b, err := Encode(nil, &e)
			if err != nil {
				t.Fatal(err)
			}
			err = Decode(b, new(Event))
			var ve *validationError
			switch {
			case tt.is != nil:
				if !errors.Is(err, tt.is) {
					t.Errorf("got %v, want %v", err, tt.is)
				}
			case !errors.As(err, &ve):
				t.Errorf("got %v, want a validation error", err)
			case ve.field != tt.field:
				t.Errorf("got field %s, want %s", ve.field, tt.field)
			}
		})
	}
}

func TestStrengthTable(t *testing.T) {
	// The order and ranks are the product's contract with its users: an alert
	// says "weaker" only by this table.
	want := map[Method]int{
		MethodSecurityKey: 60, MethodPasskeyDeviceBound: 60, MethodPlatformCredential: 60, MethodCertificate: 60,
		MethodFastPassPR: 60, MethodPasskeySynced: 55, MethodPasskey: 52, MethodPasskeyHybrid: 45,
		MethodPushNumberMatch: 34, MethodOTPHardware: 32, MethodTOTP: 30, MethodPush: 28, MethodSMS: 20,
		MethodVoice: 20, MethodEmailCode: 18, MethodEmailLink: 18, MethodSecurityQuestion: 15, MethodQRPIN: 15,
		MethodBackupCode: 12, MethodBypassCode: 12, MethodTemporaryAccessPass: 12, MethodPassword: 10,
		MethodMFABypassed: 5,
	}
	last := 61
	for _, m := range Methods() {
		if !m.Valid() {
			t.Errorf("%s is listed and not valid", m)
		}
		if got := m.Rank(); got != want[m] {
			t.Errorf("rank of %s: got %d, want %d", m, got, want[m])
		}
		if m.Rank() > last {
			t.Errorf("%s is listed after a weaker method", m)
		}
		last = m.Rank()
		if ranked := m.Rank() > 0; ranked == (m.Class() == Inherited || m.Class() == Opaque || m.Class() == ClassUnknown) {
			t.Errorf("%s of class %s has rank %d", m, m.Class(), m.Rank())
		}
		if (m.Rank() >= 45) != (m.Class() == PhishingResistant) {
			t.Errorf("%s of rank %d has class %s", m, m.Rank(), m.Class())
		}
	}
	for m := range want {
		if !m.Valid() {
			t.Errorf("%s has a rank and is not valid", m)
		}
	}
	for _, k := range Kinds() {
		if !k.Valid() {
			t.Errorf("kind %s is listed and not valid", k)
		}
	}
}

func TestStrongest(t *testing.T) {
	stale := NewFactor(MethodSecurityKey, Verified)
	stale.Fresh = false
	tests := []struct {
		name    string
		factors []Factor
		want    Method
	}{
		{name: "strongest of two", factors: []Factor{NewFactor(MethodPassword, Verified), NewFactor(MethodTOTP, Verified)}, want: MethodTOTP},
		{name: "failed does not count", factors: []Factor{NewFactor(MethodPasskey, Failed), NewFactor(MethodSMS, Verified)}, want: MethodSMS},
		{name: "pending does not count", factors: []Factor{NewFactor(MethodPassword, Verified), NewFactor(MethodPush, Pending)}, want: MethodPassword},
		{name: "verified hours ago does not count", factors: []Factor{stale, NewFactor(MethodPassword, Verified)}, want: MethodPassword},
		{name: "inherited is no evidence", factors: []Factor{NewFactor(MethodPrimaryRefreshToken, Verified)}, want: ""},
		{name: "nothing", want: ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := Strongest(tt.factors)
			if got.Method != tt.want || ok != (tt.want != "") {
				t.Errorf("got %q, %v, want %q", got.Method, ok, tt.want)
			}
		})
	}
}

func TestByOther(t *testing.T) {
	ada := Principal{ID: "1", Name: "ada@example.com", Key: "ada@example.com"}
	tests := []struct {
		name  string
		actor Principal
		want  bool
	}{
		{name: "self", actor: ada, want: false},
		{name: "same person, other login", actor: Principal{ID: "9", Name: "ada@example.org", Key: "ada@example.com"}, want: false},
		{name: "help desk", actor: Principal{ID: "2", Name: "hd@example.com", Key: "hd@example.com"}, want: true},
		{name: "unresolved, other id", actor: Principal{ID: "2"}, want: true},
		{name: "not said", want: false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := Event{Subject: ada, Actor: tt.actor}
			if got := e.ByOther(); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestSanitize(t *testing.T) {
	e := sample()
	e.UserAgent.Raw = strings.Repeat("é", MaxTextLen)
	e.Reason = "bad \xff byte"
	e.Raw = stdjson.RawMessage(`"` + strings.Repeat("a", MaxRawLen) + `"`)
	for range MaxFactors + 3 {
		e.Factors = append(e.Factors, NewFactor(MethodPush, Unanswered))
	}
	e.Factors = append(e.Factors, NewFactor(MethodSMS, Verified))
	e.Sanitize()
	if err := e.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(e.UserAgent.Raw) > MaxTextLen || !strings.HasSuffix(e.UserAgent.Raw, "é") {
		t.Errorf("user agent of %d bytes does not end at a rune", len(e.UserAgent.Raw))
	}
	if got := e.Factors[len(e.Factors)-1].Method; got != MethodSMS {
		t.Errorf("the deciding factor was cut: last is %s", got)
	}
	if len(e.Warnings) != 3 {
		t.Errorf("got warnings %q, want one each for user agent, factors and raw", e.Warnings)
	}
}

// FuzzDecode: whatever arrives on the topic, Decode returns an error or an event
// that survives another trip unchanged.
func FuzzDecode(f *testing.F) {
	s := sample()
	b, err := Encode(nil, &s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"schema":1}`))
	f.Add([]byte(`{"schema":1,"id":"\ud800","time":"2026-01-01T00:00:00+25:00"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second Event
		if Decode(data, &first) != nil {
			return
		}
		first.Sanitize()
		b, err := Encode(nil, &first)
		if err != nil {
			t.Fatalf("valid event does not encode: %v", err)
		}
		if err := Decode(b, &second); err != nil {
			t.Fatalf("own encoding does not decode: %v\n%s", err, b)
		}
		again, err := Encode(nil, &second)
		if err != nil {
			t.Fatal(err)
		}
		if string(b) != string(again) {
			t.Fatalf("encoding is not stable:\n%s\n%s", b, again)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	e := sample()
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = Encode(buf[:0], &e); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecode(b *testing.B) {
	s := sample()
	data, err := Encode(nil, &s)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var e Event
	for b.Loop() {
		if err := Decode(data, &e); err != nil {
			b.Fatal(err)
		}
	}
}
