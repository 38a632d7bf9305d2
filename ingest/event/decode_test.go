package event

import (
	stdjson "encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	gojson "github.com/goccy/go-json"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// full returns an event that has every field, with texts and numbers from draw.
func full(text func() string, number func() int64) Event {
	var e Event
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			v.SetString(text())
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[time.Time]() {
				v.Set(reflect.ValueOf(time.Unix(number()%4_000_000_000, number()&0x1fffffff).UTC()))
				return
			}
			for _, field := range v.Fields() {
				fill(field)
			}
		case reflect.Pointer:
			if number()%4 != 0 {
				v.Set(reflect.New(v.Type().Elem()))
				fill(v.Elem())
			}
		case reflect.Slice:
			if v.Type().Elem().Kind() == reflect.Uint8 {
				v.SetBytes([]byte(`{"a":[1,{"b":"}\"]"}],"c":null}`))
				return
			}
			n := int(number() & 3)
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(v.Index(i))
			}
		case reflect.Bool:
			v.SetBool(number()%2 == 0)
		case reflect.Int, reflect.Int64:
			v.SetInt(number())
		case reflect.Uint32:
			v.SetUint(uint64(uint32(number())))
		case reflect.Float64:
			v.SetFloat(float64(number()) / 7)
		}
	}
	fill(reflect.ValueOf(&e).Elem())
	return e
}

// same holds a Decoder to what encoding/json and goccy/go-json read in data.
func same(t interface {
	Helper()
	Fatalf(string, ...any)
}, d *Decoder, data []byte) {
	t.Helper()
	var want, other Event
	wantErr := stdjson.Unmarshal(data, &want)
	if wantErr == nil {
		wantErr = check(&want)
	}
	got, err := d.Decode(data)
	if wantErr != nil {
		// Of the raw record only its length is looked at, and goccy lets some
		// pass that is no JSON.
		return
	}
	if err != nil {
		t.Fatalf("encoding/json reads it, here: %v\n%s", err, data)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Fatalf("another event than of encoding/json (-want +got):\n%s\n%s", diff, data)
	}
	if err := gojson.Unmarshal(data, &other); err != nil {
		t.Fatalf("goccy/go-json does not read it: %v\n%s", err, data)
	}
	if diff := cmp.Diff(&other, got); diff != "" {
		t.Fatalf("another event than of goccy/go-json (-want +got):\n%s\n%s", diff, data)
	}
}

func TestDecoderReadsWhatOthersRead(t *testing.T) {
	d := &Decoder{}
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.OneOf(rapid.SampledFrom([]string{"", "plain", "längere Worte", `"quoted" \ text`, "\x01\t\n\r\b\f", "\u2028 <&>", "emoji \U0001F511", strings.Repeat("x", 40)}), rapid.String())
		e := full(func() string { return texts.Draw(t, "text") }, func() int64 { return rapid.Int64Range(0, 1<<40).Draw(t, "number") })
		// check would refuse nearly all of them.
		data, err := Encode(nil, &e)
		if err != nil {
			t.Fatal(err)
		}
		var want Event
		if err := stdjson.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		got, _ := d.Decode(data)
		if d.odd {
			t.Fatalf("what Encode wrote is left to the general decoder:\n%s", data)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Fatalf("another event (-want +got):\n%s\n%s", diff, data)
		}
	})
}

func TestDecoderLeavesTheRestToOthers(t *testing.T) {
	d := &Decoder{}
	s := sample()
	b, err := Encode(nil, &s)
	if err != nil {
		t.Fatal(err)
	}
	whole := string(b)
	for _, tt := range []struct{ name, old, new string }{
		{"as it is", "", ""},
		{"spaces", `,"id":`, " ,\n\t\"id\" : "},
		{"an unknown key", `{"schema"`, `{"new":{"a":[1,2,"}"]},"schema"`},
		{"other case", `"id":`, `"ID":`},
		{"null", `"id":`, `"reason":null,"id":`},
		{"twice", `{"schema"`, `{"app":{"name":"first"},"factors":[],"schema"`},
		{"surrogates", `"id":"`, `"id":"\ud83d\udd11\ud800`},
		{"invalid UTF-8", `"id":"`, "\"id\":\"\xff"},
		{"escapes", `"id":"`, `"id":"\u00e9\/\b`},
		{"another zone", `Z"`, `+01:00"`},
		{"a raw record without length", `{"schema"`, `{"raw":{"a":"b"},"schema"`},
		{"a wrong length", `{"schema"`, `{"raw_bytes":3,"raw":{"a":"b"},"schema"`},
		{"no event", whole, `[]`}, {"cut", whole, whole[:len(whole)/2]}, {"more behind", whole, whole + "x"}, {"empty", whole, ""},
		{"a trailing comma", `{"schema"`, `{,"schema"`}, {"a number with a zero", `{"schema":`, `{"schema":0`}, {"a fraction", `{"schema":1`, `{"schema":1.0`},
		{"a day too many", "-03-", "-02-3"}, {"a bare control", `"id":"`, "\"id\":\"\x01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := []byte(strings.Replace(whole, tt.old, tt.new, 1))
			same(t, d, data)
			var e Event
			wantErr := stdjson.Unmarshal(data, &e)
			if _, err := d.Decode(data); wantErr != nil && err == nil {
				t.Errorf("encoding/json says %v, here it passes", wantErr)
			}
		})
	}
}

func FuzzDecoder(f *testing.F) {
	s := sample()
	s.Raw = []byte(`{"a":"b"}`)
	b, err := Encode(nil, &s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"schema":1,"id":"\ud800","time":"2026-01-01T00:00:00+25:00"}`))
	f.Add([]byte(`{"app":{"id":"a"},"app":{"name":"b"}}`))
	d := &Decoder{}
	f.Fuzz(func(t *testing.T, data []byte) { same(t, d, data) })
}

func TestDecoderDoesNotAllocate(t *testing.T) {
	s := sample()
	s.Raw = []byte(`{"a":"b"}`)
	data, err := Encode(nil, &s)
	if err != nil {
		t.Fatal(err)
	}
	d := &Decoder{}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := d.Decode(data); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations per event", n)
	}
}

// BenchmarkDecoder reads an event with a raw record of the usual length.
func BenchmarkDecoder(b *testing.B) {
	s := sample()
	s.Raw = []byte(`{"record":"` + strings.Repeat("a provider's words ", 150) + `"}`)
	data, err := Encode(nil, &s)
	if err != nil {
		b.Fatal(err)
	}
	d := &Decoder{}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
