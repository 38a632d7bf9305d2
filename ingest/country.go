package ingest

import (
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
	"golang.org/x/text/unicode/norm"
)

// CountryCode returns the ISO 3166-1 alpha-2 code, upper case, of an English
// country name or of a two or three letter code in any case. It returns "" for
// what it does not know, so that a baseline never learns "Anonymous Proxy" as a
// country.
func CountryCode(name string) string {
	name = strings.TrimSpace(name)
	if n := len(name); n == 2 || n == 3 {
		if r, err := language.ParseRegion(name); err == nil {
			if r = r.Canonicalize(); r.IsCountry() {
				return r.String()
			}
		}
	}
	return countryNames()[foldCountry(name)]
}

// countryNames maps folded English names to codes. The names of CLDR come first,
// the spellings that log sources use beside them are added.
var countryNames = sync.OnceValue(func() map[string]string {
	english := display.English.Regions()
	names := make(map[string]string, 400)
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			r, err := language.ParseRegion(string([]rune{a, b}))
			if err != nil || !r.IsCountry() || r.Canonicalize() != r {
				continue
			}
			names[foldCountry(english.Name(r))] = r.String()
		}
	}
	for name, code := range map[string]string{
		"Russian Federation":                     "RU",
		"Republic of Korea":                      "KR",
		"Korea, Republic of":                     "KR",
		"Korea":                                  "KR",
		"Democratic People's Republic of Korea":  "KP",
		"Korea, Democratic People's Republic of": "KP",
		"Viet Nam":                               "VN",
		"Iran, Islamic Republic of":              "IR",
		"Islamic Republic of Iran":               "IR",
		"Syrian Arab Republic":                   "SY",
		"Czech Republic":                         "CZ",
		"Türkiye":                                "TR",
		"Turkey":                                 "TR",
		"Ivory Coast":                            "CI",
		"Macao":                                  "MO",
		"Macau":                                  "MO",
		"Hong Kong":                              "HK",
		"Myanmar":                                "MM",
		"Burma":                                  "MM",
		"Swaziland":                              "SZ",
		"Macedonia":                              "MK",
		"Republic of North Macedonia":            "MK",
		"Cabo Verde":                             "CV",
		"Palestine":                              "PS",
		"Palestine, State of":                    "PS",
		"Palestinian Territory":                  "PS",
		"Palestinian Territory, Occupied":        "PS",
		"Taiwan, Province of China":              "TW",
		"Congo":                                  "CG",
		"Republic of the Congo":                  "CG",
		"DR Congo":                               "CD",
		"Democratic Republic of the Congo":       "CD",
		"Congo, the Democratic Republic of the":  "CD",
		"Bolivia, Plurinational State of":        "BO",
		"Venezuela, Bolivarian Republic of":      "VE",
		"Tanzania, United Republic of":           "TZ",
		"United Republic of Tanzania":            "TZ",
		"Moldova, Republic of":                   "MD",
		"Republic of Moldova":                    "MD",
		"Republic of Lithuania":                  "LT",
		"Lao People's Democratic Republic":       "LA",
		"Brunei Darussalam":                      "BN",
		"Holy See":                               "VA",
		"Holy See (Vatican City State)":          "VA",
		"East Timor":                             "TL",
		"Micronesia, Federated States of":        "FM",
		"Federated States of Micronesia":         "FM",
		"U.S. Virgin Islands":                    "VI",
		"Virgin Islands, U.S.":                   "VI",
		"Virgin Islands, British":                "VG",
		"Falkland Islands (Malvinas)":            "FK",
		"Pitcairn":                               "PN",
		"United States of America":               "US",
		"USA":                                    "US",
		"Great Britain":                          "GB",
		"United Kingdom of Great Britain and Northern Ireland": "GB",
		"Bonaire, Sint Eustatius and Saba":                     "BQ",
		"Bonaire, Sint Eustatius, and Saba":                    "BQ",
		"Saint Martin (French part)":                           "MF",
		"Sint Maarten (Dutch part)":                            "SX",
		"Wallis and Futuna Islands":                            "WF",
	} {
		names[foldCountry(name)] = code
	}
	delete(names, "")
	return names
})

// foldCountry brings the spellings of one name together: case, accents,
// punctuation, "the", "&" and "Saint" do not tell countries apart.
func foldCountry(name string) string {
	name = strings.ReplaceAll(strings.ToLower(name), "&", " and ")
	words := strings.FieldsFunc(norm.NFD.String(name), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.Is(unicode.Mn, r) && r != '\'' && r != '’'
	})
	var b strings.Builder
	for _, w := range words {
		switch w {
		case "the":
			continue
		case "saint":
			w = "st"
		}
		for _, r := range w {
			if unicode.IsLetter(r) {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}
