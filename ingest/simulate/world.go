package simulate

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// place is a city as the providers' address databases name it.
type place struct {
	city, state  string
	country, iso string
	postal       string
	lat, lon     float64
	// utc is the offset of an office's local time in hours; nobody here saves
	// daylight.
	utc int
}

// network is a documentation range announced by a documentation AS.
type network struct {
	asn   uint32
	org   string
	place *place
	// prefix of its addresses, to which low and up to span hosts are added:
	// "192.0.2." or "2001:db8:d0::".
	prefix    string
	low, span int
}

// ground is where a client is: one address of a network.
type ground struct {
	net *network
	ip  string
}

// at returns the nth address of n.
func (n *network) at(i int) ground {
	host := n.low + i%n.span
	if strings.Contains(n.prefix, ":") {
		return ground{n, fmt.Sprintf("%s%x", n.prefix, host)}
	}
	return ground{n, fmt.Sprintf("%s%d", n.prefix, host)}
}

// site is an office and what surrounds it.
type site struct {
	office *network
	vpn    *network
	homes  []*network
	mobile *network
	// trips are hotels within reach of an evening's flight.
	trips []*network
	// weight of the site among the people.
	weight int
}

// world is the map: built once, read only.
type world struct {
	sites []*site
	// hosting are the attackers' networks, one each.
	hosting []*network
}

const corp, corpVPN = "Example Corp", "Example Corp Remote Access"

func newWorld() *world {
	berlin := &place{"Berlin", "Land Berlin", "Germany", "DE", "10115", 52.52, 13.405, 1}
	dublin := &place{"Dublin", "Leinster", "Ireland", "IE", "D02", 53.3498, -6.2603, 0}
	austin := &place{"Austin", "Texas", "United States", "US", "78701", 30.2672, -97.7431, -6}
	singapore := &place{"Singapore", "Singapore", "Singapore", "SG", "018956", 1.3521, 103.8198, 8}
	frankfurt := &place{"Frankfurt am Main", "Hesse", "Germany", "DE", "60306", 50.1109, 8.6821, 1}
	dallas := &place{"Dallas", "Texas", "United States", "US", "75201", 32.7767, -96.797, -6}

	paris := &place{"Paris", "Île-de-France", "France", "FR", "75001", 48.8566, 2.3522, 1}
	london := &place{"London", "England", "United Kingdom", "GB", "EC1A", 51.5072, -0.1276, 0}
	madrid := &place{"Madrid", "Community of Madrid", "Spain", "ES", "28001", 40.4168, -3.7038, 1}
	toronto := &place{"Toronto", "Ontario", "Canada", "CA", "M5H", 43.6532, -79.3832, -5}
	tokyo := &place{"Tokyo", "Tokyo", "Japan", "JP", "100-0001", 35.6762, 139.6503, 9}

	hotelFR := &network{65536, "Example Hospitality FR", paris, "203.0.113.", 1, 14}
	hotelGB := &network{65537, "Example Hospitality GB", london, "203.0.113.", 17, 14}
	hotelES := &network{65538, "Example Hospitality ES", madrid, "203.0.113.", 33, 14}
	hotelCA := &network{65539, "Example Hospitality CA", toronto, "203.0.113.", 49, 14}
	hotelJP := &network{65540, "Example Hospitality JP", tokyo, "203.0.113.", 65, 14}

	w := &world{sites: []*site{
		{
			office: &network{64496, corp, berlin, "192.0.2.", 1, 14},
			vpn:    &network{64497, corpVPN, frankfurt, "192.0.2.", 129, 14},
			homes: []*network{
				{64498, "Example Broadband DE", berlin, "2001:db8:498::", 0x100, 0x800},
				{64499, "Example Fibre DE", berlin, "2001:db8:499::", 0x100, 0x800},
			},
			mobile: &network{64500, "Example Mobile DE", berlin, "2001:db8:500::", 0x1000, 0xe000},
			trips:  []*network{hotelFR, hotelGB, hotelES},
			weight: 40,
		},
		{
			office: &network{64496, corp, dublin, "192.0.2.", 17, 14},
			vpn:    &network{64497, corpVPN, frankfurt, "192.0.2.", 145, 14},
			homes:  []*network{{64501, "Example Broadband IE", dublin, "2001:db8:501::", 0x100, 0x800}},
			mobile: &network{64502, "Example Mobile IE", dublin, "2001:db8:502::", 0x1000, 0xe000},
			trips:  []*network{hotelGB, hotelFR},
			weight: 20,
		},
		{
			office: &network{64496, corp, austin, "192.0.2.", 33, 14},
			vpn:    &network{64497, corpVPN, dallas, "192.0.2.", 161, 14},
			homes: []*network{
				{64503, "Example Cable US", austin, "2001:db8:503::", 0x100, 0x800},
				{64504, "Example Fiber US", austin, "2001:db8:504::", 0x100, 0x800},
			},
			mobile: &network{64505, "Example Wireless US", austin, "2001:db8:505::", 0x1000, 0xe000},
			trips:  []*network{hotelCA},
			weight: 30,
		},
		{
			office: &network{64496, corp, singapore, "192.0.2.", 49, 14},
			vpn:    &network{64497, corpVPN, singapore, "192.0.2.", 177, 14},
			homes:  []*network{{64506, "Example Broadband SG", singapore, "2001:db8:506::", 0x100, 0x800}},
			mobile: &network{64507, "Example Mobile SG", singapore, "2001:db8:507::", 0x1000, 0xe000},
			trips:  []*network{hotelJP},
			weight: 10,
		},
	}}
	amsterdam := &place{"Amsterdam", "North Holland", "Netherlands", "NL", "1012", 52.3676, 4.9041, 1}
	saoPaulo := &place{"São Paulo", "São Paulo", "Brazil", "BR", "01000-000", -23.5558, -46.6396, -3}
	cairo := &place{"Cairo", "Cairo Governorate", "Egypt", "EG", "11511", 30.0444, 31.2357, 2}
	oslo := &place{"Oslo", "Oslo County", "Norway", "NO", "0150", 59.9139, 10.7522, 1}
	auckland := &place{"Auckland", "Auckland", "New Zealand", "NZ", "1010", -36.8485, 174.7633, 12}
	warsaw := &place{"Warsaw", "Mazovia", "Poland", "PL", "00-001", 52.2297, 21.0122, 1}
	for i, p := range []*place{amsterdam, saoPaulo, cairo, oslo, auckland, warsaw} {
		w.hosting = append(w.hosting, &network{65545 + uint32(i), fmt.Sprintf("Example Hosting %d", i+1), p, "198.51.100.", 16*i + 1, 14})
	}
	return w
}

// device is one client of a person.
type device struct {
	// name of the machine; os and version as Entra and Okta spell them.
	name    string
	os      string
	version string
	browser string
	ua      string
	// entraID and oktaID are the providers' ids of a registered device, empty
	// where it is none; dtHash is Okta's browser id.
	entraID, oktaID, dtHash string
	managed                 bool
	// mobile devices are phones; theirs is a session that outlives a day.
	mobile  bool
	session string
}

// The systems as Okta's userAgent.os names them.
const (
	osWindows = "Windows 10"
	osMac     = "Mac OS X"
	osIOS     = "iOS"
	osAndroid = "Android"
	osLinux   = "Linux"
)

// platform is device.os_platform of Okta, and deviceDetail.operatingSystem of
// Entra.
func (d *device) platform() (okta, entra string) {
	switch d.os {
	case osWindows:
		return "WINDOWS", "Windows10"
	case osMac:
		return "OSX", "MacOs"
	case osIOS:
		return "IOS", "Ios"
	case osAndroid:
		return "ANDROID", "Android"
	}
	return "LINUX", "Linux"
}

// oktaVerify is the user agent of the FastPass client on d.
func (d *device) oktaVerify() string {
	switch d.os {
	case osWindows:
		return "OktaVerify/6.4.1 Windows/10.0.22631 LENOVO/21CBCTO1WW"
	case osMac:
		return "OktaVerify/9.42.0 com.okta.mobile Darwin/24.1.0 macOS/15.1.0 Mac15,3"
	case osIOS:
		return "OktaVerify/9.42.0 com.okta.verify Darwin/24.1.0 iOS/18.1 iPhone15,2"
	}
	return "OktaVerify/8.21.0 Android/15 Pixel 8"
}

func makeLaptop(r *rand.Rand, n int) *device {
	d := &device{entraID: guid(r), oktaID: oktaID(r, "guo"), dtHash: hexID(r, 4), managed: true}
	chrome := 140 + r.IntN(3)
	if r.IntN(100) < 65 {
		d.name, d.os, d.version = fmt.Sprintf("LT-%04d", n), osWindows, "10.0.22631"
		d.browser = fmt.Sprintf("Edge %d.0.0", chrome)
		d.ua = fmt.Sprintf("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36 Edg/%d.0.0.0", chrome, chrome)
		if r.IntN(3) == 0 {
			d.browser = fmt.Sprintf("Chrome %d.0.0", chrome)
			d.ua = fmt.Sprintf("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", chrome)
		}
		return d
	}
	d.name, d.os, d.version = fmt.Sprintf("MB-%04d", n), osMac, "15.1.0"
	d.browser = fmt.Sprintf("Chrome %d.0.0", chrome)
	d.ua = fmt.Sprintf("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", chrome)
	if r.IntN(2) == 0 {
		d.browser = "Safari 18.1"
		d.ua = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15"
	}
	return d
}

func makePhone(r *rand.Rand, n int) *device {
	d := &device{entraID: guid(r), oktaID: oktaID(r, "guo"), dtHash: hexID(r, 4), managed: true, mobile: true, session: guid(r)}
	if r.IntN(2) == 0 {
		d.name, d.os, d.version, d.browser = fmt.Sprintf("iPhone-%04d", n), osIOS, "18.1", "Mobile Safari 18.1"
		d.ua = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"
		return d
	}
	d.name, d.os, d.version, d.browser = fmt.Sprintf("Pixel-%04d", n), osAndroid, "15", "Chrome Mobile 141.0.0"
	d.ua = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36"
	return d
}

// stranger is a device that no directory knows.
func stranger(r *rand.Rand, os, browser, ua string) *device {
	return &device{os: os, browser: browser, ua: ua, dtHash: hexID(r, 4)}
}

// scene is a client somewhere.
type scene struct {
	dev *device
	at  ground
}

// guid returns a version 4 UUID.
func guid(r *rand.Rand) string {
	a, b := r.Uint64(), r.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", uint32(a>>32), uint16(a>>16), a&0xfff, 0x8000|uint16(b>>48)&0x3fff, b&0xffffffffffff)
}

// hexID returns words*16 hexadecimal digits.
func hexID(r *rand.Rand, words int) string {
	var b strings.Builder
	for range words {
		fmt.Fprintf(&b, "%016x", r.Uint64())
	}
	return b.String()
}

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// oktaID returns an id in Okta's form, prefix and 17 characters.
func oktaID(r *rand.Rand, prefix string) string {
	b := make([]byte, 0, 20)
	b = append(b, prefix...)
	for len(b) < 20 {
		b = append(b, base62[r.IntN(len(base62))])
	}
	return string(b)
}
