package ingest

import "testing"

func TestCountryCode(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"United States", "US"},
		{"united states of america", "US"},
		{"US", "US"},
		{"us", "US"},
		{"USA", "US"},
		{"deu", "DE"},
		{"Germany", "DE"},
		{" Brazil ", "BR"},
		{"Russia", "RU"},
		{"Russian Federation", "RU"},
		{"South Korea", "KR"},
		{"Republic of Korea", "KR"},
		{"Korea, Republic of", "KR"},
		{"North Korea", "KP"},
		{"The Netherlands", "NL"},
		{"Netherlands", "NL"},
		{"Vietnam", "VN"},
		{"Türkiye", "TR"},
		{"Turkey", "TR"},
		{"Côte d'Ivoire", "CI"},
		{"Cote d’Ivoire", "CI"},
		{"Curacao", "CW"},
		{"Saint Lucia", "LC"},
		{"St. Lucia", "LC"},
		{"Trinidad and Tobago", "TT"},
		{"Bosnia & Herzegovina", "BA"},
		{"Hong Kong", "HK"},
		{"Hong Kong SAR China", "HK"},
		{"Macao", "MO"},
		{"Czech Republic", "CZ"},
		{"Czechia", "CZ"},
		{"UK", "GB"},
		{"Kosovo", "XK"},
		{"Myanmar", "MM"},
		{"Réunion", "RE"},
		{"Åland Islands", "AX"},
		{"", ""},
		{"unknown", ""},
		{"Anonymous Proxy", ""},
		{"Satellite Provider", ""},
		{"EU", ""},
		{"Europe", ""},
		{"ZZ", ""},
		{"null", ""},
	} {
		if got := CountryCode(tt.name); got != tt.want {
			t.Errorf("CountryCode(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func BenchmarkCountryCode(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		CountryCode("United States")
	}
}
