package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"stepdown/ingest"
)

// split returns the values of in as "line:data", broken ones as "line!data".
func split(t interface {
	Helper()
	Fatal(...any)
}, in io.Reader, limit int, end error) []string {
	t.Helper()
	s := newSplitter(0, 1, inNothing, nil)
	s.limit = limit
	var got []string
	var stop error
	for {
		if v, ok := s.next(stop); ok {
			mark := ":"
			if v.err != nil {
				mark = "!"
			}
			got = append(got, fmt.Sprint(v.line, mark, string(v.data)))
			continue
		}
		if stop != nil {
			return got
		}
		switch _, err := s.read(in); {
		case errors.Is(err, io.EOF):
			stop = end
		case err != nil:
			t.Fatal(err)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   string
		want []string
	}{
		{"nothing", "", nil},
		{"blank lines", " \n\r\n\t\n", nil},
		{"ndjson", `{"a":1}` + "\n" + `{"a":2}` + "\n", []string{`1:{"a":1}`, `2:{"a":2}`}},
		{"no line end at the end", `{"a":1}` + "\n" + `{"a":2}`, []string{`1:{"a":1}`, `2:{"a":2}`}},
		{"byte order mark and carriage returns", "\ufeff" + `{"a":1}` + "\r\n\r\n" + `{"a":2}` + "\r\n", []string{`1:{"a":1}`, `3:{"a":2}`}},
		{"concatenated", `{"a":1}{"a":2} {"a":3}`, []string{`1:{"a":1}`, `1:{"a":2}`, `1:{"a":3}`}},
		{"comma at the line's end", `{"a":1},` + "\n" + `{"a":2}`, []string{`1:{"a":1}`, `2:{"a":2}`}},
		{"braces and quotes in strings", `{"a":"}{\"\\"}{"b":"[\\\""}`, []string{`1:{"a":"}{\"\\"}`, `1:{"b":"[\\\""}`}},
		{"array", `[{"a":1},{"a":2}]`, []string{`1:{"a":1}`, `1:{"a":2}`}},
		{"array of lines", "[\n{\"a\":1},\n{\"a\":2}\n]\n", []string{`2:{"a":1}`, `3:{"a":2}`}},
		{"an array per line", `[{"a":1}]` + "\n" + `[{"a":2},{"a":3}]` + "\n[]\n", []string{`1:{"a":1}`, `2:{"a":2}`, `2:{"a":3}`}},
		{"pretty-printed", "{\n  \"a\": {\n    \"b\": [\n      {}\n    ]\n  }\n}\n{\n  \"a\": 2\n}\n",
			[]string{"1:{\n  \"a\": {\n    \"b\": [\n      {}\n    ]\n  }\n}", "8:{\n  \"a\": 2\n}"}},
		{"pretty-printed array", "[\n  {\n    \"a\": 1\n  },\n  {\n    \"a\": 2\n  }\n]\n", []string{"2:{\n    \"a\": 1\n  }", "5:{\n    \"a\": 2\n  }"}},
		{"pretty-printed without indentation", "{\n\"a\": {\n\"b\": [\n{\n\"c\": 1\n},\n{\n\"c\": 2\n}\n]\n}\n}\n{\"d\":1}\n",
			[]string{"1:{\n\"a\": {\n\"b\": [\n{\n\"c\": 1\n},\n{\n\"c\": 2\n}\n]\n}\n}", `13:{"d":1}`}},
		{"azure", `{"records":[{"a":1},{"a":2}]}`, []string{`1:{"a":1}`, `1:{"a":2}`}},
		{"azure, one per line", `{"records":[{"a":1}]}` + "\r\n" + `{ "records" : [ {"a":2} ] }` + "\n" + `{"records":[]}` + "\n" + `{"a":3}`,
			[]string{`1:{"a":1}`, `2:{"a":2}`, `4:{"a":3}`}},
		{"aws", `{"Records":[{"a":1}]}`, []string{`1:{"a":1}`}},
		{"graph", `{"@odata.context":"https://graph.example.com/v1.0/$metadata#x","@odata.nextLink":"https://graph.example.com/?a={b}\"","value":[{"a":1},{"a":2}]}` + "\n" + `{"a":3}`,
			[]string{`1:{"a":1}`, `1:{"a":2}`, `2:{"a":3}`}},
		{"graph, pretty-printed", "{\n  \"@odata.context\": \"x\",\n  \"value\": [\n    {\"a\": 1},\n    {\"a\": 2}\n  ],\n  \"@odata.nextLink\": \"x}\"\n}\n{\"a\":3}\n",
			[]string{`4:{"a": 1}`, `5:{"a": 2}`, `9:{"a":3}`}},
		{"a value that is no envelope", `{"value":["a","b"]}{"records":{"a":1}}{"value":7}{"@odata.type":"x","a":1}`,
			[]string{`1:{"value":["a","b"]}`, `1:{"records":{"a":1}}`, `1:{"value":7}`, `1:{"@odata.type":"x","a":1}`}},

		{"garbage line", "garbage {\n" + `{"a":1}`, []string{`1!garbage {`, `2:{"a":1}`}},
		{"empty braces closed twice", `{"a":1}}` + "\n" + `{"a":2}`, []string{`1:{"a":1}`, `1!}`, `2:{"a":2}`}},
		{"line that breaks off within a string", `{"a":"x` + "\n" + `{"a":2}` + "\n" + `{"a":3}`, []string{`1!{"a":"x`, `2:{"a":2}`, `3:{"a":3}`}},
		{"line that breaks off after a member", `{"a":{"b":1` + "\n" + `{"a":2}` + "\n" + `{"a":3}`, []string{`1!{"a":{"b":1`, `2:{"a":2}`, `3:{"a":3}`}},
		{"line that breaks off after a comma", `{"a":1,` + "\n" + `{"a":2}` + "\n", []string{`1!{"a":1,`, `2:{"a":2}`}},
		{"line that breaks off where an object could stand", `{"a":[{},` + "\n" + `{"a":2}` + "\n" + `{"a":3}` + "\n", []string{`1!{"a":[{},`, `2:{"a":2}`, `3:{"a":3}`}},
		{"line that breaks off after a colon", `{"a":` + "\n" + `{"a":2}` + "\n" + `{"a":3}`, []string{`1!{"a":`, `2:{"a":2}`, `3:{"a":3}`}},
		{"two lines that break off", `{"a":{"b":1` + "\n" + `{"a":{"b":2` + "\n" + `{"a":3}`, []string{`1!{"a":{"b":1`, `2!{"a":{"b":2`, `3:{"a":3}`}},
		{"wrong bracket", `{"a":[1}` + "\n" + `{"a":2}`, []string{`1!{"a":[1}`, `2:{"a":2}`}},
		{"lines that close each other", `{"a":[{"b":1},` + "\n" + `{"c":2}]}x` + "\n" + `{"d":3}`, []string{"1:{\"a\":[{\"b\":1},\n{\"c\":2}]}", `2!x`, `3:{"d":3}`}},
		{"lines that are no value together", `{"a":{"b":1,` + "\n" + `"c"}}` + "\n" + `{"d":3}`, []string{"1!{\"a\":{\"b\":1,\n\"c\"}}", `3:{"d":3}`}},
		{"broken member of a pretty-printed array", "[\n  {\n    \"a\": 1]\n  },\n  {\n    \"a\": 2\n  }\n]\n", []string{"2!{\n    \"a\": 1]\n  },", "5:{\n    \"a\": 2\n  }"}},
		{"last line breaks off", `{"a":1}` + "\n" + `{"a":"x`, []string{`1:{"a":1}`, `2!{"a":"x`}},
		{"array that does not end", `[{"a":1},{"a":2}`, []string{`1:{"a":1}`, `1:{"a":2}`, `1!`}},
		{"array that breaks off", `[{"a":1},{"a"`, []string{`1:{"a":1}`, `1!{"a"`}},
		{"envelope that does not end", `{"records":[{"a":1}`, []string{`1:{"a":1}`, `1!`}},
		{"envelope whose tail breaks off", `{"records":[{"a":1}],"x"` + "\n" + `{"a":2}`, []string{`1:{"a":1}`, `2:{"a":2}`}},
		{"broken member of a line's array", `[{"a":1},{"a":]` + "\n" + `[{"a":2}]`, []string{`1:{"a":1}`, `1!{"a":]`, `2:{"a":2}`}},

		{"long line", `{"a":"` + strings.Repeat("x", 200) + `"}` + "\n" + `{"a":2}`, []string{`1!{"a":"` + strings.Repeat("x", 200) + `"}`, `2:{"a":2}`}},
		{"long line with a quote", `{"a":"` + strings.Repeat(`\"`, 100) + `"}` + "\n" + `{"a":2}`, []string{`1!{"a":"` + strings.Repeat(`\"`, 100) + `"}`, `2:{"a":2}`}},
		{"long member of an array in one line", `[{"a":1},{"a":"` + strings.Repeat("x", 200) + `"},{"a":3}]`, []string{`1:{"a":1}`, `1!{"a":"` + strings.Repeat("x", 200) + `"}`, `1:{"a":3}`}},
		{"long pretty-printed value", "{\n" + strings.Repeat("  \"a\": 1,\n", 20) + "  \"b\": {}\n}\n" + `{"a":2}`,
			[]string{"1!{\n" + strings.Repeat("  \"a\": 1,\n", 20) + "  \"b\": {}\n}", `24:{"a":2}`}},
		{"long line that breaks off", `{"a":[1` + strings.Repeat(",1", 100) + "\n" + `{"a":2}`, []string{`1!{"a":[1` + strings.Repeat(",1", 100), `2:{"a":2}`}},
		{"long garbage", strings.Repeat("x", 300) + "\n" + `{"a":2}`, []string{`1!` + strings.Repeat("x", 300), `2:{"a":2}`}},
		{"long last line", `{"a":"` + strings.Repeat("x", 200), []string{`1!{"a":"` + strings.Repeat("x", 200)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, in := range []struct {
				name string
				r    io.Reader
			}{
				{"whole", strings.NewReader(tt.in)},
				{"byte by byte", iotest.OneByteReader(strings.NewReader(tt.in))},
				{"in halves", iotest.HalfReader(strings.NewReader(tt.in))},
			} {
				if diff := cmp.Diff(tt.want, split(t, in.r, 100, io.EOF)); diff != "" {
					t.Errorf("%s: values (-want +got):\n%s", in.name, diff)
				}
			}
		})
	}
}

func TestSplitSaysWhyItEnds(t *testing.T) {
	s := newSplitter(0, 1, inNothing, nil)
	s.write([]byte(`{"a":1}{"b`))
	broken := errors.New("synthetic checksum")
	first, ok := s.next(broken)
	if !ok || first.err != nil {
		t.Fatalf("first value %q, %v", first.data, first.err)
	}
	if v, ok := s.next(broken); !ok || !errors.Is(v.err, broken) || string(v.data) != `{"b` {
		t.Errorf("rest %q with %v, want the cause", v.data, v.err)
	}
	if v, ok := s.next(broken); ok {
		t.Errorf("one more value: %q, %v", v.data, v.err)
	}
}

func TestSplitKeepsLittleOfWhatIsTooLong(t *testing.T) {
	in := io.MultiReader(strings.NewReader(`{"a":"`), io.LimitReader(zeroes{}, 3*maxValue), strings.NewReader(`"}`+"\n"+`{"a":2}`))
	s := newSplitter(0, 1, inNothing, nil)
	var values []value
	var stop error
	for {
		if v, ok := s.next(stop); ok {
			v.data = bytes.Clone(v.data)
			values = append(values, v)
			continue
		}
		if stop != nil {
			break
		}
		if _, err := s.read(in); err != nil {
			stop = err
		}
		if cap(s.buf) > 3*maxValue {
			t.Fatalf("buffer of %d bytes", cap(s.buf))
		}
	}
	if len(values) != 2 || string(values[1].data) != `{"a":2}` {
		t.Fatalf("%d values", len(values))
	}
	if got := values[0]; ingest.ReasonOf(got.err) != ingest.MalformedTooBig || len(got.data) != maxKept {
		t.Errorf("kept %d bytes with %v, want %d and %s", len(got.data), got.err, maxKept, ingest.MalformedTooBig)
	}
}

type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '0'
	}
	return len(b), nil
}

// object draws a JSON object in one line.
func object() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		m := map[string]any{}
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			var v any
			switch rapid.IntRange(0, 4).Draw(t, "type") {
			case 0:
				v = rapid.StringOfN(rapid.SampledFrom([]rune(`ab{}[]",:\ é`+"\n")), 0, 8, -1).Draw(t, "string")
			case 1:
				v = rapid.IntRange(-5, 5).Draw(t, "number")
			case 2:
				v = []any{map[string]any{"x": 1}, map[string]any{}, "y"}
			case 3:
				v = map[string]any{"records": []any{map[string]any{}}}
			}
			m[rapid.SampledFrom([]string{"a", "b", "c", `q"`, "detail"}).Draw(t, "key")] = v
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	})
}

// Whatever breaks in some lines, every sound line is returned, and where the
// reads end makes no difference.
func TestSplitLosesNoSoundLine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var text strings.Builder
		var sound []string
		for range rapid.IntRange(0, 12).Draw(rt, "lines") {
			line := object().Draw(rt, "line")
			switch rapid.IntRange(0, 5).Draw(rt, "damage") {
			case 0:
				line = line[:rapid.IntRange(0, len(line)-1).Draw(rt, "cut")]
			case 1:
				line = rapid.StringOfN(rapid.SampledFrom([]rune(`{}[]",:x1 `)), 0, 10, -1).Draw(rt, "garbage")
			default:
				sound = append(sound, line)
			}
			text.WriteString(line + "\n")
		}
		whole := split(rt, strings.NewReader(text.String()), maxValue, io.EOF)
		pieces := split(rt, iotest.OneByteReader(strings.NewReader(text.String())), maxValue, io.EOF)
		if diff := cmp.Diff(whole, pieces); diff != "" {
			rt.Fatalf("byte by byte gives other values (-whole +pieces):\n%s", diff)
		}
		for _, line := range sound {
			// Broken lines around it may happen to make a value of it.
			found := slices.ContainsFunc(whole, func(v string) bool {
				number, data, sound := strings.Cut(v, ":")
				return sound && !strings.Contains(number, "!") && strings.Contains(data, line)
			})
			if !found {
				rt.Fatalf("lost %s of\n%s\ngot %q", line, text.String(), whole)
			}
		}
	})
}

// A splitter that goes on from any position gives what follows.
func TestSplitGoesOn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		objects := rapid.SliceOfN(object(), 1, 8).Draw(rt, "objects")
		var text string
		switch rapid.IntRange(0, 3).Draw(rt, "form") {
		case 0:
			text = strings.Join(objects, "\n") + "\n"
		case 1:
			text = "[" + strings.Join(objects, ",\n") + "]\n" + objects[0]
		case 2:
			text = `{"records":[` + strings.Join(objects, ",") + `],"x":{}}` + "\n"
		case 3:
			text = strings.Join(objects, "\ngarbage\n")
		}
		s := newSplitter(0, 1, inNothing, nil)
		s.write([]byte(text))
		stop := rapid.IntRange(0, len(objects)).Draw(rt, "stop")
		var first []string
		show := func(v value) string { return fmt.Sprint(v.line, string(v.data), v.err) }
		for range stop {
			if v, ok := s.next(io.EOF); ok {
				first = append(first, show(v))
			}
		}
		offset, line := s.position()
		again := newSplitter(offset, line, s.in, s.tail)
		if !strings.HasSuffix(text[:offset], string(s.tail)) {
			rt.Fatalf("tail %q is not before offset %d", s.tail, offset)
		}
		again.write([]byte(text[offset:]))
		for {
			v, ok := s.next(io.EOF)
			var want string
			if ok {
				want = show(v)
			}
			w, okAgain := again.next(io.EOF)
			if ok != okAgain || ok && show(w) != want {
				rt.Fatalf("after %q: %q, going on from %d %q gives %q", first, want, offset, s.in, show(w))
			}
			if !ok {
				return
			}
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte(`{"records":[{"a":1},{"a":"\""}]}` + "\n[{}]\n{\n}"))
	f.Add([]byte("{\"a\":\n{\"b\":[\n  {"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole := split(t, bytes.NewReader(in), 64, io.EOF)
		if diff := cmp.Diff(whole, split(t, iotest.OneByteReader(bytes.NewReader(in)), 64, io.EOF)); diff != "" {
			t.Errorf("byte by byte gives other values (-whole +pieces):\n%s", diff)
		}
	})
}

func BenchmarkSplit(b *testing.B) {
	line := `{"actor":{"id":"00u1","type":"User","alternateId":"ana@example.com","detailEntry":null},"client":{"userAgent":{"rawUserAgent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)","os":"Mac OS X","browser":"CHROME"},"zone":"null","ipAddress":"192.0.2.1"},"debugContext":{"debugData":{` +
		strings.Repeat(`"requestId":"abcdefghijklmnop","dtHash":"0123456789abcdef",`, 40) + `"x":"y"}}}` + "\n"
	data := strings.Repeat(line, 1000)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	n := 0
	var s *splitter
	for b.Loop() {
		if n%1000 == 0 {
			s = newSplitter(0, 1, inNothing, nil)
			s.buf = []byte(data)
		}
		if _, ok := s.next(nil); !ok {
			b.Fatal("no value")
		}
		n++
	}
}
