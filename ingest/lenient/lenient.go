package lenient

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-json"

	"stepdown/ingest"
	"stepdown/ingest/event"
)

// Decode reads data, one JSON object, into v. A member of an unexpected type costs
// that member alone, which warning names. The error is a *ingest.SkipError for an
// empty record and a *ingest.MalformedError for anything that is no object.
func Decode(data []byte, v any) (warning string, err error) {
	trimmed := bytes.TrimSpace(data)
	if len(trimmed) == 0 {
		return "", ingest.Skip(ingest.SkipEmpty, "empty record")
	}
	err = json.Unmarshal(data, v)
	wrong, isType := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case err == nil && trimmed[0] != '{': // null leaves v as it is
		return "", ingest.Malformed(ingest.MalformedShape, "record is no JSON object")
	case err == nil:
		return "", nil
	case !isType:
		return "", ingest.Malformed(ingest.MalformedSyntax, "decode record: %w", err)
	case trimmed[0] != '{':
		return "", ingest.Malformed(ingest.MalformedShape, "record is a JSON %s, want an object", wrong.Value)
	}
	return "left out " + wrong.Field + ": unexpected JSON " + wrong.Value, nil
}

// Text is a value that is mostly a string: numbers, booleans, objects and lists
// are kept as their JSON, null is "".
type Text string

// UnmarshalJSON never fails on valid JSON.
func (t *Text) UnmarshalJSON(b []byte) error {
	switch {
	case len(b) == 0 || string(b) == "null":
		*t = ""
	case b[0] == '"':
		return json.Unmarshal(b, (*string)(t))
	default:
		*t = Text(b)
	}
	return nil
}

// Texts is a list of strings that may come as one string, or as JSON within one.
type Texts []string

// UnmarshalJSON never fails on valid JSON; elements that are no strings are kept
// as their JSON.
func (t *Texts) UnmarshalJSON(b []byte) error {
	*t = nil
	var one Text
	if err := one.UnmarshalJSON(b); err != nil {
		return err
	}
	s := strings.TrimSpace(string(one))
	if s == "" {
		return nil
	}
	var list []Text
	if s[0] == '[' && json.Unmarshal([]byte(s), &list) == nil {
		for _, v := range list {
			*t = append(*t, string(v))
		}
		return nil
	}
	*t = Texts{s}
	return nil
}

// Truth is a boolean that may come as a string or as 0 and 1.
type Truth int8

// The values; the zero value is that nothing was said.
const (
	Unsaid Truth = iota
	True
	False
)

// UnmarshalJSON never fails.
func (f *Truth) UnmarshalJSON(b []byte) error {
	switch strings.ToLower(strings.Trim(string(b), `" `)) {
	case "true", "1", "yes":
		*f = True
	case "false", "0", "no":
		*f = False
	default:
		*f = Unsaid
	}
	return nil
}

// Pointer returns nil where nothing was said.
func (f Truth) Pointer() *bool {
	if f == Unsaid {
		return nil
	}
	b := f == True
	return &b
}

// Number is an integer that may come as a string. Known tells it from zero.
type Number struct {
	N     int64
	Known bool
}

// UnmarshalJSON never fails. A fraction is cut off.
func (n *Number) UnmarshalJSON(b []byte) error {
	*n = Number{}
	s := strings.Trim(string(b), `" `)
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		*n = Number{i, true}
		return nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > -1e18 && f < 1e18 {
		*n = Number{int64(f), true}
	}
	return nil
}

// Object is a JSON object that may come as a string, or be missing.
type Object json.RawMessage

// UnmarshalJSON keeps an object's bytes, also those within a string; anything
// else leaves it empty.
func (o *Object) UnmarshalJSON(b []byte) error {
	*o = nil
	if len(b) > 0 && b[0] == '"' {
		var s string
		if json.Unmarshal(b, &s) != nil {
			return nil
		}
		b = []byte(s)
	}
	b = bytes.TrimSpace(b)
	if len(b) > 0 && b[0] == '{' && json.Valid(b) {
		*o = append(Object(nil), b...)
	}
	return nil
}

// layouts are the times of logs and of their exports; without a zone it is UTC.
var layouts = [...]string{
	time.RFC3339Nano,
	"2006-01-02T15:04:05",
	"2006-01-02T15:04:05Z0700",
	"2006-01-02 15:04:05",
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05 UTC",
	"2006-01-02 15:04:05 -0700 MST",
	"1/2/2006 3:04:05 PM",
	"1/2/2006 3:04:05 PM -07:00",
	"1/2/2006 15:04:05",
}

// Time reads s in one of the forms that logs use, or as seconds, milliseconds,
// microseconds or nanoseconds since 1970, told apart by their size. ok is false for
// what is no time, or is before 2000.
func Time(s string) (t time.Time, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}, false
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), t.Year() >= 2000
		}
	}
	if whole, _, isFraction := strings.Cut(s, "."); isFraction {
		f, err := strconv.ParseFloat(s, 64)
		if _, errWhole := strconv.ParseInt(whole, 10, 64); err != nil || errWhole != nil || f < 0 || f > 1e11 {
			return time.Time{}, false
		}
		t = time.UnixMicro(int64(f * 1e6)).UTC()
		return t, t.Year() >= 2000
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}, false
	}
	switch {
	case n < 1e11:
		t = time.Unix(n, 0)
	case n < 1e14:
		t = time.UnixMilli(n)
	case n < 1e17:
		t = time.UnixMicro(n)
	default:
		t = time.Unix(0, n)
	}
	return t.UTC(), t.UTC().Year() >= 2000 && t.UTC().Year() < 2200
}

// EventTime returns the first of the candidates that is a time; the error is
// malformed: missing where all are empty, else a wrong time.
func EventTime(candidates ...string) (time.Time, error) {
	wrong := ""
	for _, s := range candidates {
		if t, ok := Time(s); ok {
			return t, nil
		}
		if s = strings.TrimSpace(s); s != "" {
			wrong = s
		}
	}
	if wrong == "" {
		return time.Time{}, ingest.Malformed(ingest.MalformedMissing, "no time in the record")
	}
	return time.Time{}, ingest.Malformed(ingest.MalformedTime, "%q is no time of an event", wrong)
}

// Address returns the first IP address among the candidates in canonical form, ""
// where there is none. Ports, brackets and zones are dropped.
func Address(candidates ...string) string {
	for _, s := range candidates {
		s = strings.TrimSpace(s)
		a, err := netip.ParseAddr(strings.Trim(s, "[]"))
		if err != nil {
			ap, err := netip.ParseAddrPort(s)
			if err != nil {
				continue
			}
			a = ap.Addr()
		}
		return a.Unmap().WithZone("").String()
	}
	return ""
}

// ASN reads "AS64500", "64500" or "64500 Example Org"; 0 is none.
func ASN(s string) uint32 {
	s = strings.TrimSpace(s)
	if len(s) > 2 && strings.EqualFold(s[:2], "as") {
		s = s[2:]
	}
	s, _, _ = strings.Cut(s, " ")
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// Known returns s trimmed, or "" where it is one of the words for nothing.
func Known(s string) string {
	switch s = strings.TrimSpace(s); strings.ToLower(s) {
	case "unknown", "null", "<null>", "none", "n/a", "nil", "undefined", "redacted", "-":
		return ""
	}
	return s
}

// First returns the first value that is not empty.
func First(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// Digest is the id of a record that has none: a hash over what names the fact, not
// over the bytes, so that a second delivery has it too.
func Digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return "digest-" + hex.EncodeToString(sum[:16])
}

// ID returns id where it fits an event, with room for "#99"; else a digest over
// parts and id.
func ID(id string, parts ...string) string {
	if id != "" && len(id) <= event.MaxIDLen-len("#99") {
		return id
	}
	return Digest(append(parts, id)...)
}

// Squeeze returns the lower-case letters and digits of s, so that "Use FastPass"
// and "use_fast_pass" are the same word.
func Squeeze(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z':
			b.WriteByte(c + 'a' - 'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b.WriteByte(c)
		}
	}
	return b.String()
}
