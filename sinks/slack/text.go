package slack

import (
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"stepdown/sinks"
)

// breaker is an invisible character that breaks up what Slack would parse.
const breaker = "\u2060"

var (
	shortcode = regexp.MustCompile(`:([A-Za-z0-9_+'-]*[A-Za-z_][A-Za-z0-9_+'-]*):`)
	email     = regexp.MustCompile(`[\pL\pN._%+'*-]+(?:@|%40)[\pL\pN-]+(?:\.[\pL\pN-]+)*`)
	ipv4      = regexp.MustCompile(`[0-9]{1,3}(?:\.[0-9]{1,3}){3}`)
	colons    = regexp.MustCompile(`[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f]*`)
)

// text makes s, which anybody may have written, into mrkdwn of at most limit
// characters that says the same and does nothing: Slack's control characters are
// escaped, and mentions, emoji names, emphasis and links are broken up.
func (r *renderer) text(s string, limit int) string {
	s = r.plain(s)
	s = strings.ReplaceAll(s, "://", "[:]//")
	s = shortcode.ReplaceAllString(s, ":"+breaker+"$1:")
	runes := []rune(s)
	return cut(len(runes), limit, func(i int) string {
		switch c := runes[i]; c {
		case '*':
			return "∗"
		case '~':
			return "∼"
		case '`':
			return "'"
		case '_':
			if !wordAt(runes, i-1) || !wordAt(runes, i+1) {
				return "＿"
			}
		case '@':
			if !wordAt(runes, i-1) {
				return "@" + breaker
			}
		}
		return escape(runes[i])
	})
}

// code is text in a code span: what Slack does not format there stays as it is,
// so that it can be copied.
func (r *renderer) code(s string, limit int) string {
	runes := []rune(r.plain(s))
	if len(runes) == 0 {
		return "` `"
	}
	return "`" + cut(len(runes), limit-2, func(i int) string {
		if runes[i] == '`' {
			return "'"
		}
		return escape(runes[i])
	}) + "`"
}

// authored is text for what the author of a rule wrote: web addresses in it are
// links that show where they lead.
func (r *renderer) authored(s string, limit int) string {
	words := strings.Fields(sinks.Clean(s))
	for i, w := range words {
		bare := strings.TrimRight(w, ".,;:)")
		if target, ok := webAddress(bare); ok {
			words[i] = "<" + target + ">" + r.text(w[len(bare):], 10)
		} else {
			words[i] = r.text(w, limit)
		}
	}
	var out string
	for i, w := range words {
		if size(out)+size(w)+2 > limit {
			return out + "…"
		}
		if i > 0 {
			out += " "
		}
		out += w
	}
	return out
}

// plain cleans s and, with minimal details, takes addresses out of it.
func (r *renderer) plain(s string) string {
	s = strings.TrimSpace(sinks.Clean(s))
	if !r.minimal {
		return s
	}
	s = email.ReplaceAllString(s, "(e-mail)")
	s = ipv4.ReplaceAllString(s, "(address)")
	return colons.ReplaceAllStringFunc(s, func(m string) string {
		// A label or a sentence may have left its colon at either end.
		if _, err := netip.ParseAddr(m); err == nil {
			return "(address)"
		}
		if _, err := netip.ParseAddr(strings.TrimPrefix(m, ":")); err == nil {
			return ":(address)"
		}
		if _, err := netip.ParseAddr(strings.TrimSuffix(m, ":")); err == nil {
			return "(address):"
		}
		return m
	})
}

// webAddress returns s for use in a link, if it is an absolute https address
// without characters that end a link.
func webAddress(s string) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.ContainsAny(s, "<>|` ") {
		return "", false
	}
	return strings.ReplaceAll(s, "&", "&amp;"), true
}

func wordAt(runes []rune, i int) bool {
	return i >= 0 && i < len(runes) && (unicode.IsLetter(runes[i]) || unicode.IsDigit(runes[i]) || runes[i] == '_')
}

func escape(c rune) string {
	switch c {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	}
	return string(c)
}

// cut joins the n pieces that piece returns to at most limit characters, and
// ends in "…" when there were more.
func cut(n, limit int, piece func(i int) string) string {
	var b strings.Builder
	used, keep := 0, 0 // keep is the length at which "…" still fits
	for i := range n {
		p := piece(i)
		if used+size(p) > limit {
			return b.String()[:keep] + "…"
		}
		b.WriteString(p)
		if used += size(p); used < limit {
			keep = b.Len()
		}
	}
	return b.String()
}

// size counts characters as UTF-16 does, which is never less than Slack counts.
func size(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xFFFF {
			n++
		}
	}
	return n
}

// Formats of a time in the reader's zone.
const (
	formatDay     = "{date_short}"
	formatClock   = "{time}"
	formatSeconds = "{time_secs}"
	formatMoment  = "{date_short_pretty} at {time_secs}"
	formatLine    = "{date_num} {time_secs}"
)

// moment writes t in the reader's zone; where Slack cannot, in UTC.
func moment(t time.Time, format string) string {
	layout := "2006-01-02 15:04:05 UTC"
	switch format {
	case formatDay:
		layout = "2 Jan 2006"
	case formatClock:
		layout = "15:04 UTC"
	case formatSeconds:
		layout = "15:04:05 UTC"
	}
	return "<!date^" + itoa(t.Unix()) + "^" + format + "|" + t.UTC().Format(layout) + ">"
}
