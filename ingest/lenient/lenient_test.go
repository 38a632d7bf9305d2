package lenient

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/goccy/go-json"

	"stepdown/ingest"
)

type record struct {
	Text   Text   `json:"text"`
	Texts  Texts  `json:"texts"`
	Truth  Truth  `json:"truth"`
	Number Number `json:"number"`
	Object Object `json:"object"`
	Plain  string `json:"plain"`
}

func TestOddMembersCostThemselvesAlone(t *testing.T) {
	for name, tc := range map[string]struct {
		in      string
		want    record
		warning string
	}{
		"as documented": {
			in:   `{"text":"a","texts":["x","y"],"truth":true,"number":7,"object":{"k":1},"plain":"p"}`,
			want: record{Text: "a", Texts: Texts{"x", "y"}, Truth: True, Number: Number{7, true}, Object: Object(`{"k":1}`), Plain: "p"},
		},
		"everything in strings": {
			in:   `{"text":"a","texts":"[\"x\",\"y\"]","truth":"False","number":"-7","object":"{\"k\":1}","plain":"p"}`,
			want: record{Text: "a", Texts: Texts{"x", "y"}, Truth: False, Number: Number{-7, true}, Object: Object(`{"k":1}`), Plain: "p"},
		},
		"other types": {
			in:   `{"text":12,"texts":"x","truth":0,"number":1.9e3,"object":[1],"plain":"p"}`,
			want: record{Text: "12", Texts: Texts{"x"}, Truth: False, Number: Number{1900, true}, Plain: "p"},
		},
		"nulls": {
			in:   `{"text":null,"texts":null,"truth":null,"number":null,"object":null,"plain":null}`,
			want: record{},
		},
		"nonsense": {
			in:   `{"text":{"a":[]},"texts":[1,{"b":2}],"truth":"perhaps","number":"many","object":"{broken","plain":"p"}`,
			want: record{Text: `{"a":[]}`, Texts: Texts{"1", `{"b":2}`}, Plain: "p"},
		},
		"a plain member of another type": {
			in:      `{"plain":{"a":1},"text":"kept"}`,
			want:    record{Text: "kept"},
			warning: "left out plain: unexpected JSON object",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got record
			warning, err := Decode([]byte(tc.in), &got)
			if err != nil || warning != tc.warning {
				t.Errorf("Decode() = %q, %v, want warning %q", warning, err, tc.warning)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestDecodeRefusesWhatIsNoObject(t *testing.T) {
	for in, want := range map[string]ingest.MalformedReason{
		`[1]`: ingest.MalformedShape, `"a"`: ingest.MalformedShape, `7`: ingest.MalformedShape, `null`: ingest.MalformedShape,
		`{"text":`: ingest.MalformedSyntax, `nonsense`: ingest.MalformedSyntax,
	} {
		if _, err := Decode([]byte(in), &record{}); ingest.ReasonOf(err) != want {
			t.Errorf("Decode(%s) = %v, want %s", in, err, want)
		}
	}
	_, err := Decode([]byte(" \n"), &record{})
	if skip, ok := errors.AsType[*ingest.SkipError](err); !ok || skip.Reason != ingest.SkipEmpty {
		t.Errorf("Decode of an empty record = %v, want a skip", err)
	}
}

func TestTime(t *testing.T) {
	want := time.Date(2026, time.March, 2, 9, 14, 5, 0, time.UTC)
	for _, s := range []string{
		"2026-03-02T09:14:05Z", "2026-03-02T10:14:05+01:00", "2026-03-02T09:14:05.000Z", "2026-03-02T10:14:05+0100",
		"2026-03-02T09:14:05", "2026-03-02 09:14:05", "2026-03-02 09:14:05 UTC", "3/2/2026 9:14:05 AM",
		"1772442845", "1772442845000", "1772442845000000", "1772442845000000000", "1772442845.0",
	} {
		if got, ok := Time(s); !ok || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("Time(%q) = %v, %v, want %v", s, got, ok, want)
		}
	}
	if got, ok := Time("1772442845.25"); !ok || got.Sub(want) != 250*time.Millisecond {
		t.Errorf("Time with a fraction = %v, %v", got, ok)
	}
	for _, s := range []string{"", "yesterday", "0001-01-01T00:00:00Z", "-5", "0", "999999999999999999999", "1e300", "NaN.0", "7.5"} {
		if got, ok := Time(s); ok {
			t.Errorf("Time(%q) = %v, want none", s, got)
		}
	}
	if _, err := EventTime("", " "); ingest.ReasonOf(err) != ingest.MalformedMissing {
		t.Errorf("EventTime without candidates = %v, want missing", err)
	}
	if _, err := EventTime("", "soon"); ingest.ReasonOf(err) != ingest.MalformedTime {
		t.Errorf("EventTime of a word = %v, want invalid time", err)
	}
}

func TestSmallWords(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "192.0.2.1:443": "192.0.2.1", "[2001:DB8::1]:443": "2001:db8::1", "[2001:db8::1]": "2001:db8::1",
		"::ffff:192.0.2.1": "192.0.2.1", "fe80::1%eth0": "fe80::1", "localhost": "", "": "",
	} {
		if got := Address(in); got != want {
			t.Errorf("Address(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]uint32{"AS64500": 64500, "64500": 64500, "as64500 Example": 64500, "": 0, "AS": 0, "-1": 0, "4294967296": 0} {
		if got := ASN(in); got != want {
			t.Errorf("ASN(%q) = %d, want %d", in, got, want)
		}
	}
	if Digest("a", "b") == Digest("ab") {
		t.Error("Digest does not name its parts")
	}
}

func FuzzTypesNeverFail(f *testing.F) {
	f.Add(`{"text":1,"texts":"[","truth":"x","number":"1e999","object":"{}"}`)
	f.Fuzz(func(t *testing.T, s string) {
		var v struct {
			Text   Text   `json:"text"`
			Texts  Texts  `json:"texts"`
			Truth  Truth  `json:"truth"`
			Number Number `json:"number"`
			Object Object `json:"object"`
		}
		warning, err := Decode([]byte(s), &v)
		if warning != "" {
			t.Errorf("Decode(%q) left something out: %s", s, warning)
		}
		if err == nil && v.Object != nil && !json.Valid(v.Object) {
			t.Errorf("Decode(%q) kept an object that is none: %q", s, v.Object)
		}
		Time(s)
		Address(s)
	})
}
