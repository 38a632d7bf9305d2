package okta

import (
	"iter"
	"strings"

	"stepdown/ingest/lenient"
)

// javaMap yields the entries of a Java map as toString writes it,
// "{level=HIGH, reasons=Anomalous Device, New IP}" or "Risk{level=LOW}". A piece
// without "=" belongs to the value before it.
func javaMap(s string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		_, s, ok := strings.Cut(s, "{")
		if !ok {
			return
		}
		s = strings.TrimSuffix(strings.TrimSpace(s), "}")
		key, value := "", ""
		for piece := range topLevel(s) {
			k, v, ok := strings.Cut(piece, "=")
			switch {
			case ok:
				if key != "" && !yield(key, value) {
					return
				}
				key, value = strings.TrimSpace(k), strings.TrimSpace(v)
			case key != "":
				value += ", " + strings.TrimSpace(piece)
			}
		}
		if key != "" {
			yield(key, value)
		}
	}
}

// topLevel yields what stands between the commas of s that are in no bracket.
func topLevel(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		depth, start := 0, 0
		for i := range len(s) {
			switch s[i] {
			case '{', '[', '(':
				depth++
			case '}', ']', ')':
				depth--
			case ',':
				if depth == 0 {
					if !yield(s[start:i]) {
						return
					}
					start = i + 1
				}
			}
		}
		if strings.TrimSpace(s[start:]) != "" {
			yield(s[start:])
		}
	}
}

// javaList yields the elements of a list as toString or JSON writes it,
// "[DEVICE_BOUND, USER_PRESENCE]" or `["usb","nfc"]`, and of a bare "a, b".
func javaList(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		s = strings.TrimSpace(s)
		if inner, ok := strings.CutPrefix(s, "["); ok {
			s = strings.TrimSuffix(inner, "]")
		}
		for piece := range topLevel(s) {
			if piece = strings.Trim(strings.TrimSpace(piece), `"`); piece != "" && !yield(piece) {
				return
			}
		}
	}
}

// listed reports whether the list s has the element want, in any case.
func listed(s lenient.Text, want string) bool {
	for v := range javaList(string(s)) {
		if strings.EqualFold(v, want) {
			return true
		}
	}
	return false
}

// positive yields the names in debugData.behaviors that are POSITIVE. The value
// is a Java map, or, from exports, a JSON list or object of the same entries.
func positive(behaviors lenient.Text) iter.Seq[string] {
	return func(yield func(string) bool) {
		s := strings.Trim(strings.TrimSpace(string(behaviors)), "{}[]")
		for piece := range strings.SplitSeq(s, ",") {
			piece = strings.ReplaceAll(piece, `"`, "")
			i := strings.IndexAny(piece, "=:")
			if i < 0 || !strings.HasPrefix(strings.TrimSpace(piece[i+1:]), "POSITIVE") {
				continue
			}
			if !yield(strings.TrimSpace(piece[:i])) {
				return
			}
		}
	}
}

// factorOfReason finds the factor in "User reset FIDO_WEBAUTHN factor".
func factorOfReason(reason string) string {
	words := strings.Fields(reason)
	if n := len(words); n >= 4 && words[0] == "User" && words[n-1] == "factor" {
		return words[n-2]
	}
	return ""
}
