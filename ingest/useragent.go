package ingest

import (
	"strings"
	"unicode"

	"github.com/mileusna/useragent"

	"stepdown/ingest/event"
)

// maxUserAgent bounds what is parsed: the client chooses the text.
const maxUserAgent = 2 << 10

// ParseUserAgent returns raw with the families of its browser or program and of
// its operating system; they are empty where raw does not say. A program that
// is no browser is named by its product token: "curl", "aws-cli".
func ParseUserAgent(raw string) event.UserAgent {
	ua := event.UserAgent{Raw: raw}
	text := strings.TrimSpace(raw)
	if len(text) > maxUserAgent {
		text = strings.ToValidUTF8(text[:maxUserAgent], "")
	}
	if isUnknown(text) {
		return ua
	}
	p := useragent.Parse(text)
	ua.OS = OSFamily(p.OS)
	if ua.OS == "" {
		ua.OS = osOfProgram(text)
	}
	browserLike := strings.HasPrefix(text, "Mozilla/")
	switch family := knownBrowser(text, !browserLike); {
	case family != "":
		ua.Browser = family
	case browserLike && p.Version == "":
		// What the parser picked is a piece of the comment, not a product.
	default:
		ua.Browser = BrowserFamily(p.Name)
	}
	return ua
}

// osOfProgram finds the system in the user agents of programs, which follow no
// common form, by whole words: "ios" is one, the end of "axios" is not.
func osOfProgram(text string) string {
	for _, word := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) }) {
		switch word {
		case "cfnetwork":
			return "" // followed by Darwin on macOS and on iOS
		case "ios", "ipados", "iphone", "ipad":
			return "iOS"
		case "android":
			return "Android"
		case "windows":
			return "Windows"
		case "macos", "mac", "macintosh", "darwin":
			return "macOS"
		case "cros":
			return "ChromeOS"
		case "linux":
			return "Linux"
		}
	}
	return ""
}

// knownBrowser returns the family of products that the parser does not know or
// names after their engine. Library names count only where the text is no
// browser's.
func knownBrowser(text string, program bool) string {
	lower := strings.ToLower(text)
	for _, s := range []struct{ contains, family string }{
		{"oktaverify", "Okta Verify"}, {"okta verify", "Okta Verify"},
		{"headlesschrome", "Headless Chrome"},
		{"trident/", "Internet Explorer"},
		{"ucbrowser", "UC Browser"},
	} {
		if strings.Contains(lower, s.contains) {
			return s.family
		}
	}
	if !program {
		return ""
	}
	for _, s := range []struct{ prefix, family string }{
		{"curl/", "curl"}, {"wget/", "Wget"}, {"python-requests/", "python-requests"},
		{"axios/", "axios"}, {"node-fetch", "node"}, {"node/", "node"}, {"undici", "node"}, {"got ", "node"}, {"got/", "node"},
		{"go-http-client", "Go-http-client"}, {"python-urllib", "python-urllib"}, {"okhttp/", "okhttp"},
	} {
		if strings.HasPrefix(lower, s.prefix) || lower == strings.TrimRight(s.prefix, "/ ") {
			return s.family
		}
	}
	return ""
}

// BrowserFamily returns the family of a provider's browser field: "CHROME",
// "Chrome 120.0.0" and "Chrome Mobile" are "Chrome". A name that it does not
// know is returned without its version, one that says nothing ("UNKNOWN") as "".
func BrowserFamily(s string) string {
	s = strings.TrimSpace(strings.ReplaceAll(s, "_", " "))
	if isUnknown(s) {
		return ""
	}
	lower := strings.ToLower(s)
	// The order matters: "Edge Chromium", "Chrome WebView", "Opera (Chromium)".
	for _, f := range []struct{ contains, family string }{
		{"okta verify", "Okta Verify"}, {"oktaverify", "Okta Verify"},
		{"headless", "Headless Chrome"},
		{"edge", "Edge"}, {"opera", "Opera"}, {"samsung", "Samsung Internet"}, {"vivaldi", "Vivaldi"}, {"brave", "Brave"},
		{"firefox", "Firefox"},
		{"internet explorer", "Internet Explorer"}, {"msie", "Internet Explorer"}, {"ie mobile", "Internet Explorer"},
		{"chromium", "Chrome"}, {"chrome", "Chrome"},
		{"safari", "Safari"},
		{"python-requests", "python-requests"}, {"python requests", "python-requests"},
	} {
		if strings.Contains(lower, f.contains) {
			return f.family
		}
	}
	if lower == "ie" || strings.HasPrefix(lower, "ie ") {
		return "Internet Explorer"
	}
	if lower == "curl" || strings.HasPrefix(lower, "curl ") {
		return "curl"
	}
	return withoutVersion(s)
}

// OSFamily returns the family of a provider's operating system field: "Mac OS
// X", "MacOs" and "Mac OS 14.4.1 (Sonoma)" are "macOS". A name that it does not
// know is returned without its version, one that says nothing as "".
func OSFamily(s string) string {
	s = strings.TrimSpace(strings.ReplaceAll(s, "_", " "))
	if isUnknown(s) {
		return ""
	}
	lower := strings.ToLower(s)
	squeezed := strings.ReplaceAll(lower, " ", "")
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(squeezed, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("chromeos", "chromiumos", "cros"):
		return "ChromeOS"
	case has("macos", "osx", "macintosh", "darwin"), strings.HasPrefix(lower, "mac"):
		return "macOS"
	case has("ios", "ipados", "iphone", "ipad"):
		return "iOS"
	case has("android"):
		return "Android"
	case has("windows"), strings.HasPrefix(squeezed, "win"):
		return "Windows"
	case has("linux", "ubuntu", "debian", "fedora", "redhat", "centos"):
		return "Linux"
	}
	return withoutVersion(s)
}

// isUnknown reports whether a source's text says that it does not know.
func isUnknown(s string) bool {
	switch strings.ToLower(s) {
	case "", "-", "unknown", "null", "none", "other", "n/a", "mozilla", "<null>":
		return true
	}
	return false
}

// maxFamily bounds the name of an unknown product, which the client chose.
const maxFamily = 64

// withoutVersion cuts s at its first word that begins with a digit and at "/".
func withoutVersion(s string) string {
	s, _, _ = strings.Cut(s, "/")
	words := strings.Fields(s)
	for i, w := range words {
		if i > 0 && unicode.IsDigit(rune(w[0])) {
			words = words[:i]
			break
		}
	}
	s = strings.Join(words, " ")
	if len(s) > maxFamily {
		s = strings.TrimSpace(strings.ToValidUTF8(s[:maxFamily], ""))
	}
	if isUnknown(s) {
		return ""
	}
	return s
}
