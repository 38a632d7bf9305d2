package jsonmap

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/lenient"
)

// The bounds of a record, and of what a path yields.
const (
	maxRecord = 1 << 20
	maxDepth  = 64
	maxValues = 64
	maxSteps  = 8
)

// decode reads one record.
func decode(data []byte) (map[string]any, error) {
	trimmed := bytes.TrimSpace(data)
	switch {
	case len(trimmed) == 0:
		return nil, ingest.Skip(ingest.SkipEmpty, "empty record")
	case len(trimmed) > maxRecord:
		return nil, ingest.Malformed(ingest.MalformedTooBig, "record of %d bytes, at most %d", len(trimmed), maxRecord)
	case deep(trimmed):
		return nil, ingest.Malformed(ingest.MalformedShape, "record is nested deeper than %d", maxDepth)
	}
	d := json.NewDecoder(bytes.NewReader(trimmed))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, ingest.Malformed(ingest.MalformedSyntax, "decode record: %w", err)
	}
	record, ok := v.(map[string]any)
	if !ok || d.More() {
		return nil, ingest.Malformed(ingest.MalformedShape, "record is no JSON object")
	}
	return record, nil
}

// deep reports whether data opens more than maxDepth brackets within each other.
func deep(data []byte) bool {
	depth, text := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// find appends the values at a path: names of members and places in lists, from the
// outside in. A list in between stands for each of its entries, and a name may have
// dots in it.
func find(v any, steps []string, out []any) []any {
	if len(out) >= maxValues {
		return out
	}
	switch v := v.(type) {
	case map[string]any:
		for n := 1; n <= len(steps); n++ {
			child, ok := v[strings.Join(steps[:n], ".")]
			if !ok {
				continue
			}
			if found := find(child, steps[n:], out); len(found) > len(out) {
				return found
			}
		}
	case []any:
		if len(steps) > 0 {
			if i, err := strconv.Atoi(steps[0]); err == nil {
				if i >= 0 && i < len(v) {
					return find(v[i], steps[1:], out)
				}
				return out
			}
		}
		for _, child := range v {
			out = find(child, steps, out)
		}
	case nil:
	default:
		if len(steps) == 0 {
			return append(out, v)
		}
	}
	return out
}

// textOf is a scalar as text.
func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v)
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// env is what an expression can ask of a record. Each function takes paths, and the
// first that has a value counts.
type env struct {
	// Text is the first value, "" where there is none.
	Text func(paths ...string) string `expr:"text"`
	// Texts are all values of the first path that has some.
	Texts func(paths ...string) []string `expr:"texts"`
	// Number is the first number, 0 where there is none.
	Number func(paths ...string) float64 `expr:"number"`
	// Truth is true for true, 1, yes and on.
	Truth func(paths ...string) bool `expr:"truth"`
	// Has reports whether one of the paths has a value.
	Has func(paths ...string) bool `expr:"has"`
	// Address is the first public IP address, else the first; also out of a list such
	// as that of X-Forwarded-For.
	Address func(paths ...string) string `expr:"address"`
}

// functions are the names in env.
var functions = [...]string{"text", "texts", "number", "truth", "has", "address"}

// newEnv asks record; steps has the paths that were compiled.
func newEnv(record map[string]any, steps map[string][]string) *env {
	texts := func(paths ...string) []string {
		for _, p := range paths {
			var out []string
			for _, v := range find(record, steps[p], nil) {
				if s := textOf(v); s != "" {
					out = append(out, s)
				}
			}
			if len(out) > 0 {
				return out
			}
		}
		return nil
	}
	text := func(paths ...string) string {
		if all := texts(paths...); len(all) > 0 {
			return all[0]
		}
		return ""
	}
	return &env{
		Text: text, Texts: texts,
		Number: func(paths ...string) float64 {
			f, _ := strconv.ParseFloat(text(paths...), 64) // 0 for what is none
			return f
		},
		Truth: func(paths ...string) bool {
			return slices.Contains([]string{"true", "1", "yes", "on"}, strings.ToLower(text(paths...)))
		},
		Has:     func(paths ...string) bool { return len(texts(paths...)) > 0 },
		Address: func(paths ...string) string { return address(texts(paths...)) },
	}
}

// address returns the first public address in texts, else the first.
func address(texts []string) (first string) {
	for _, t := range texts {
		for part := range strings.SplitSeq(t, ",") {
			a := lenient.Address(part)
			if a == "" {
				continue
			}
			if first == "" {
				first = a
			}
			if ip, err := netip.ParseAddr(a); err == nil && ip.IsGlobalUnicast() && !ip.IsPrivate() {
				return a
			}
		}
	}
	return first
}
