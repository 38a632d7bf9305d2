package detect

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"stepdown/detect/ledger"
	"stepdown/ingest/event"
)

// anyEvent fills every field of an event that a text or list can make long.
func anyEvent(t *rapid.T) event.Event {
	text := rapid.SampledFrom([]string{"", "plain", `"quoted" \ text`, "\x00\x01\x7f", "\xff\xfe", "grün \u2028", strings.Repeat("long", 500), strings.Repeat("\u00e9", 900), strings.Repeat(`"`, 300)})
	var e event.Event
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			v.SetString(text.Draw(t, "text"))
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[time.Time]() {
				v.Set(reflect.ValueOf(time.Date(2026, 3, 2, 9, 14, 3, 123456789, time.FixedZone("", 5400))))
				return
			}
			for _, field := range v.Fields() {
				fill(field)
			}
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem())
		case reflect.Slice:
			if v.Type().Elem().Kind() == reflect.Uint8 {
				v.SetBytes([]byte(`{"raw":true}`))
				return
			}
			n := rapid.SampledFrom([]int{0, 1, 3, 150}).Draw(t, "list")
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range min(n, 3) {
				fill(v.Index(i))
			}
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int64:
			v.SetInt(1 << 40)
		case reflect.Uint32:
			v.SetUint(1 << 31)
		case reflect.Float64:
			v.SetFloat(-12.345678901234)
		}
	}
	fill(reflect.ValueOf(&e).Elem())
	if len(e.Key) > event.MaxIDLen {
		e.Key = e.Key[:event.MaxIDLen]
	}
	// The closed lists are checked by Validate.
	e.Kind, e.Outcome, e.Protocol, e.Tier = event.ConsentGrant, event.Success, event.ProtocolOAuth2, event.TierStandard
	for i := range e.Factors {
		e.Factors[i].Method, e.Factors[i].Class = event.MethodTemporaryAccessPass, event.PhishingResistant
		e.Factors[i].Result, e.Factors[i].Step = event.Unanswered, event.StepSecondary
	}
	for i := range e.Authenticators {
		e.Authenticators[i].Method, e.Authenticators[i].Class = event.MethodTemporaryAccessPass, event.PhishingResistant
	}
	e.Recovery.Stage, e.Recovery.Method = event.RecoveryCompleted, event.MethodTemporaryAccessPass
	for i := range e.Policy.Weakened {
		e.Policy.Weakened[i] = event.WeakeningPhishingResistance
	}
	return e
}

func TestTrim(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent(t)
		before, err := event.Encode(nil, &e)
		if err != nil {
			t.Fatal(err)
		}
		n := newEntry(&e)
		if after, err := event.Encode(nil, &e); err != nil || string(before) != string(after) {
			t.Fatal("trimming changed the caller's event", err)
		}
		w := ledger.NewWriter()
		n.encode(w, nil, &ledger.Ledger{})
		if size := len(w.Bytes()); size > 40<<10 {
			t.Fatalf("one event takes %d bytes", size)
		}
		again := newEntry(&n.event)
		if !again.says(n, ledger.NewWriter()) || again.hash != n.hash {
			t.Fatal("trimming twice is not trimming once")
		}
		r := ledger.NewReader()
		r.Reset(w.Bytes(), nil)
		decoded := &entry{}
		decoded.decode(r, nil, n.event.Key, &ledger.Ledger{})
		if err := r.End(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(n.event, decoded.event); diff != "" || decoded.hash != n.hash {
			t.Fatalf("decoded it is another (-taken +decoded):\n%s", diff)
		}
	})
}

func TestCutIDsGoOnDiffering(t *testing.T) {
	a, b := event.Event{SessionID: strings.Repeat("s", 300) + "1"}, event.Event{SessionID: strings.Repeat("s", 300) + "2"}
	trim(&a)
	trim(&b)
	if a.SessionID == b.SessionID || len(a.SessionID) > maxText {
		t.Errorf("got %q and %q", a.SessionID, b.SessionID)
	}
}
