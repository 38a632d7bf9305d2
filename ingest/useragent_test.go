package ingest

import (
	"strings"
	"testing"

	"stepdown/ingest/event"
)

func TestParseUserAgent(t *testing.T) {
	const mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
	const win = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
	for _, tt := range []struct{ raw, browser, os string }{
		{mac + "Chrome/113.0.0.0 Safari/537.36", "Chrome", "macOS"},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Safari/605.1.15", "Safari", "macOS"},
		{win + "Chrome/120.0.0.0 Safari/537.36 Edg/120.0.0.0", "Edge", "Windows"},
		{win + "Chrome/120.0.0.0 Safari/537.36 OPR/106.0.0.0", "Opera", "Windows"},
		{win + "HeadlessChrome/120.0.0.0 Safari/537.36", "Headless Chrome", "Windows"},
		{win + "Visual Studio Code/1.75.0 Chrome/102.0.5005.167 Electron/19.1.9 Safari/537.36", "Visual Studio Code", "Windows"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:121.0) Gecko/20100101 Firefox/121.0", "Firefox", "Windows"},
		{"Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer", "Windows"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1", "Safari", "iOS"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/120.0 Mobile/15E148 Safari/604.1", "Chrome", "iOS"},
		{"Mozilla/5.0 (Linux; Android 11; ONEPLUS A6013) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/104.0.0.0 Mobile Safari/537.36", "Chrome", "Android"},
		{"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36", "Chrome", "ChromeOS"},
		{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/84.0.4147.135 Safari/537.36", "Chrome", "Linux"},
		{"OktaVerify/8.1.0 (com.okta.android.auth; Android 14)", "Okta Verify", "Android"},
		{"Okta Verify/9.20 iOS/17.4", "Okta Verify", "iOS"},
		{"curl/7.68.0", "curl", ""},
		{"python-requests/2.28.0", "python-requests", ""},
		{"axios/1.7.2", "axios", ""},
		{"node", "node", ""},
		{"node-fetch/1.0 (+https://example.com)", "node", ""},
		{"Go-http-client/2.0 PS_x", "Go-http-client", ""},
		{"aws-cli/2.15.59 md/awscrt#0.19.19 ua/2.0 os/macos#22.6.0 md/arch#arm64 lang/python#3.11.11", "aws-cli", "macOS"},
		{"ExampleMail/1.2 CFNetwork/1408.0.4 Darwin/22.5.0", "ExampleMail", ""},
		{"BAV2ROPC", "BAV2ROPC", ""},
		{"Microsoft Office/16.0", "Microsoft Office", ""},
		{"Chrome", "Chrome", ""},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML", "", "macOS"},
		{"Mozilla/5.0 (Windows NT 10.0)", "", "Windows"},
		{"Mozilla", "", ""},
		{"", "", ""},
		{"-", "", ""},
		{"unknown", "", ""},
	} {
		want := event.UserAgent{Raw: tt.raw, Browser: tt.browser, OS: tt.os}
		if got := ParseUserAgent(tt.raw); got != want {
			t.Errorf("ParseUserAgent(%q) = %+v, want browser %q, os %q", tt.raw, got, tt.browser, tt.os)
		}
	}
}

func TestFamilies(t *testing.T) {
	for _, tt := range []struct {
		field  string
		family func(string) string
		give   string
		want   string
	}{
		{"browser", BrowserFamily, "CHROME", "Chrome"},
		{"browser", BrowserFamily, "Chrome 120.0.0", "Chrome"},
		{"browser", BrowserFamily, "Chrome Mobile 114.0", "Chrome"},
		{"browser", BrowserFamily, "CHROME_MOBILE", "Chrome"},
		{"browser", BrowserFamily, "Edge Chromium", "Edge"},
		{"browser", BrowserFamily, "Edge 120.0.2210", "Edge"},
		{"browser", BrowserFamily, "FIREFOX", "Firefox"},
		{"browser", BrowserFamily, "Mobile Safari 17.2", "Safari"},
		{"browser", BrowserFamily, "IE 11.0", "Internet Explorer"},
		{"browser", BrowserFamily, "Rich Client 4.0.30319", "Rich Client"},
		{"browser", BrowserFamily, "Samsung Browser", "Samsung Internet"},
		{"browser", BrowserFamily, "UNKNOWN", ""},
		{"browser", BrowserFamily, "", ""},
		{"os", OSFamily, "Mac OS X", "macOS"},
		{"os", OSFamily, "MacOs", "macOS"},
		{"os", OSFamily, "MAC_OS", "macOS"},
		{"os", OSFamily, "Mac OS 14.4.1 (Sonoma)", "macOS"},
		{"os", OSFamily, "OSX", "macOS"},
		{"os", OSFamily, "Windows 10", "Windows"},
		{"os", OSFamily, "WINDOWS", "Windows"},
		{"os", OSFamily, "Windows10", "Windows"},
		{"os", OSFamily, "Win11", "Windows"},
		{"os", OSFamily, "Ios 17", "iOS"},
		{"os", OSFamily, "iOS (iPhone)", "iOS"},
		{"os", OSFamily, "iPadOS 17.1", "iOS"},
		{"os", OSFamily, "Android 1.x", "Android"},
		{"os", OSFamily, "Linux", "Linux"},
		{"os", OSFamily, "Ubuntu 22.04", "Linux"},
		{"os", OSFamily, "Chrome OS", "ChromeOS"},
		{"os", OSFamily, "ChromeOs", "ChromeOS"},
		{"os", OSFamily, "FreeBSD 14.1", "FreeBSD"},
		{"os", OSFamily, "Unknown", ""},
	} {
		if got := tt.family(tt.give); got != tt.want {
			t.Errorf("%s family of %q = %q, want %q", tt.field, tt.give, got, tt.want)
		}
	}
}

// The client chooses the text, so a family must stay a short name.
func FuzzParseUserAgent(f *testing.F) {
	f.Add("curl/7.68.0")
	f.Add("MoZillA/0")
	f.Add("Mozilla/5.0 (")
	f.Add(strings.Repeat("x", 5000))
	f.Add("é/1 \xff")
	f.Fuzz(func(t *testing.T, raw string) {
		ua := ParseUserAgent(raw)
		if ua.Raw != raw {
			t.Errorf("raw changed: %q", ua.Raw)
		}
		if len(ua.Browser) > maxFamily || len(ua.OS) > maxFamily {
			t.Errorf("family of %d and %d bytes", len(ua.Browser), len(ua.OS))
		}
		if again := BrowserFamily(ua.Browser); again != ua.Browser {
			t.Errorf("BrowserFamily(%q) = %q, families must be stable", ua.Browser, again)
		}
	})
}

func BenchmarkParseUserAgent(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		ParseUserAgent("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/113.0.0.0 Safari/537.36")
	}
}
