package identity

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// maxName is the longest login name that is taken for one: a local part of 64
// and a domain of 255 bytes, with room for a guest's host tenant.
const maxName = 400

// guestMark is what Entra puts into the name of a guest:
// user_example.org#EXT#@host.onmicrosoft.com.
const guestMark = "#ext#"

// canonicalName returns the canonical spelling of a login name: folded, a guest
// or DOMAIN\user form turned into user@domain, the domain in ASCII. It returns
// "" for what names nobody. It is idempotent.
func canonicalName(raw string) string {
	name := strings.TrimFunc(fold(raw), func(r rune) bool { return r == '@' || unicode.IsSpace(r) })
	if nobody(name) || len(name) > maxName {
		return ""
	}
	// A name that was rewritten is looked at again; each rewriting takes away
	// what made it necessary.
	if user, _, found := strings.Cut(name, guestMark); found {
		// The home domain has no underscore, so the last one stood for "@".
		if i := strings.LastIndexByte(user, '_'); i > 0 && i < len(user)-1 {
			return canonicalName(user[:i] + "@" + user[i+1:])
		}
	}
	if domain, user, found := strings.Cut(name, `\`); found && domain != "" && user != "" && !strings.Contains(name, "@") {
		return canonicalName(user + "@" + domain)
	}
	user, domain, ok := cutDomain(name)
	if !ok {
		return name
	}
	switch canonical := canonicalDomain(domain); {
	case canonical == "":
		return canonicalName(user)
	case canonical != domain:
		return canonicalName(user + "@" + canonical)
	}
	return name
}

// cutDomain splits a name that has a domain.
func cutDomain(name string) (user, domain string, ok bool) {
	i := strings.LastIndexByte(name, '@')
	if i < 0 {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

// canonicalDomain returns the ASCII form of a folded domain.
func canonicalDomain(domain string) string {
	domain = strings.Trim(domain, ". ")
	if !ascii(domain) {
		if a, err := idna.Lookup.ToASCII(domain); err == nil {
			domain = a
		}
	}
	return strings.Trim(domain, ". ")
}

// fold unifies spellings: Unicode compatibility forms, case, invisible
// characters and outer space.
func fold(s string) string {
	s = strings.TrimSpace(s)
	if foldedASCII(s) {
		return s
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	s = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf) {
			return -1
		}
		return r
	}, s)
	if ascii(s) {
		return strings.TrimSpace(strings.ToLower(s))
	}
	// Folding may denormalize and normalizing may give capitals: twice is
	// enough by the definition of toNFKC_Casefold.
	caser := cases.Fold()
	for range 2 {
		// The caser leaves out letters that Unicode folds upwards (Cherokee).
		s = norm.NFKC.String(strings.ToLower(caser.String(norm.NFKC.String(s))))
	}
	return strings.TrimSpace(s)
}

// foldedASCII reports whether fold has nothing to do.
func foldedASCII(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// nobody reports whether a folded name or id is a source's way to say that it
// does not know.
func nobody(s string) bool {
	switch s {
	case "", "-", "unknown", "null", "<null>", "none", "n/a", "undefined", "anonymous",
		"00000000-0000-0000-0000-000000000000":
		return true
	}
	return false
}

// canonicalID returns an object id; ids that are GUIDs are written in either
// case, others may differ in case alone.
func canonicalID(raw string) string {
	id := strings.TrimSpace(raw)
	if len(id) > maxName || nobody(strings.ToLower(id)) {
		return ""
	}
	if guid(id) {
		return strings.ToLower(id)
	}
	return id
}

func guid(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return false
			}
		}
	}
	return true
}
