package geo

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"stepdown/ingest/event"
)

// write makes a database of documentation networks.
func write(t testing.TB, path, kind string, records map[string]mmdbtype.Map) {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, IncludeReservedNetworks: true, RecordSize: 24})
	if err != nil {
		t.Fatal(err)
	}
	for cidr, record := range records {
		_, network, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Insert(network, record); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := w.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func asn(number uint32, org string) mmdbtype.Map {
	return mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(number), "autonomous_system_organization": mmdbtype.String(org)}
}

func city(country, region, name string) mmdbtype.Map {
	return mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(country)},
		"subdivisions": mmdbtype.Slice{mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(region)}}},
		"city":         mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(name)}}}
}

func databases(t testing.TB) (*Databases, Config) {
	t.Helper()
	dir := t.TempDir()
	c := Config{ASNFile: filepath.Join(dir, "asn.mmdb"), CountryFile: filepath.Join(dir, "city.mmdb")}
	write(t, c.ASNFile, "GeoLite2-ASN", map[string]mmdbtype.Map{"198.51.100.0/24": asn(64500, "Example Net"), "2001:db8::/32": asn(64501, "Example Six")})
	write(t, c.CountryFile, "GeoLite2-City", map[string]mmdbtype.Map{"198.51.100.0/24": city("de", "Berlin", "Berlin"), "203.0.113.0/24": city("", "", "")})
	d, err := Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, c
}

func TestFillAddsWhatIsOpenAndChangesNothing(t *testing.T) {
	d, _ := databases(t)
	for name, tc := range map[string]struct{ in, want event.Endpoint }{
		"all is open":         {event.Endpoint{IP: "198.51.100.7"}, event.Endpoint{IP: "198.51.100.7", ASN: 64500, ASOrg: "Example Net", Country: "DE", Region: "Berlin", City: "Berlin"}},
		"the country is said": {event.Endpoint{IP: "198.51.100.7", Country: "FR"}, event.Endpoint{IP: "198.51.100.7", ASN: 64500, ASOrg: "Example Net", Country: "FR"}},
		"the network is said": {event.Endpoint{IP: "198.51.100.7", ASN: 1}, event.Endpoint{IP: "198.51.100.7", ASN: 1, Country: "DE", Region: "Berlin", City: "Berlin"}},
		"the city is said":    {event.Endpoint{IP: "198.51.100.7", City: "Potsdam"}, event.Endpoint{IP: "198.51.100.7", ASN: 64500, ASOrg: "Example Net", Country: "DE", Region: "Berlin", City: "Potsdam"}},
		"IPv6":                {event.Endpoint{IP: "2001:db8::9"}, event.Endpoint{IP: "2001:db8::9", ASN: 64501, ASOrg: "Example Six"}},
		"not known":           {event.Endpoint{IP: "192.0.2.1"}, event.Endpoint{IP: "192.0.2.1"}},
		"an empty record":     {event.Endpoint{IP: "203.0.113.1"}, event.Endpoint{IP: "203.0.113.1"}},
		"no address":          {event.Endpoint{IP: "somewhere"}, event.Endpoint{IP: "somewhere"}},
		"nothing":             {event.Endpoint{}, event.Endpoint{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := tc.in
			d.Fill(&got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Fill() (-want +got):\n%s", diff)
			}
		})
	}
}

type resolver func(e *event.Event) error

func (r resolver) Resolve(e *event.Event) error { return r(e) }

func TestBeforeFillsBothEndsAndThenResolves(t *testing.T) {
	d, _ := databases(t)
	e := event.Event{Endpoint: event.Endpoint{IP: "198.51.100.7"}, AuthenticatorEndpoint: &event.Endpoint{IP: "2001:db8::9"}}
	want := errors.New("nobody")
	err := d.Before(resolver(func(e *event.Event) error {
		if e.Endpoint.Country != "DE" || e.AuthenticatorEndpoint.ASN != 64501 {
			t.Errorf("resolved before it was filled: %+v", e)
		}
		return want
	})).Resolve(&e)
	if !errors.Is(err, want) {
		t.Errorf("Resolve() = %v, want %v", err, want)
	}
}

func TestANewFileIsTakenUpAndABrokenOneIsNot(t *testing.T) {
	d, c := databases(t)
	network := func() uint32 {
		e := event.Endpoint{IP: "198.51.100.7"}
		d.Fill(&e)
		return e.ASN
	}
	look := func() { d.asn.refresh(time.Now().Add(2 * lookEvery)) }
	write(t, c.ASNFile, "GeoLite2-ASN", map[string]mmdbtype.Map{"198.51.100.0/24": asn(64510, "Example Net, moved"), "192.0.2.0/24": asn(64511, "More")})
	if got := network(); got != 64500 {
		t.Errorf("network %d before the file was looked at", got)
	}
	if look(); network() != 64510 {
		t.Errorf("network %d, want that of the new file", network())
	}
	if err := os.WriteFile(c.ASNFile, []byte("cut off"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.asn.looked = time.Now().Add(-2 * lookEvery)
	if got := network(); got != 64510 {
		t.Errorf("network %d after a broken file, want what was before", got)
	}
}

func TestOpenSaysWhichFileIsWrong(t *testing.T) {
	_, c := databases(t)
	for name, tc := range map[string]struct {
		config Config
		want   string
	}{
		"absent":      {Config{ASNFile: "/nonexistent.mmdb"}, "asn_file: "},
		"no database": {Config{ASNFile: c.ASNFile, CountryFile: "geo_test.go"}, "country_file: geo_test.go is no database"},
	} {
		if _, err := Open(tc.config, slog.New(slog.DiscardHandler)); err == nil || !bytes.HasPrefix([]byte(err.Error()), []byte(tc.want)) {
			t.Errorf("%s: Open() = %v, want %q", name, err, tc.want)
		}
	}
}

func BenchmarkFill(b *testing.B) {
	d, _ := databases(b)
	b.ReportAllocs()
	for b.Loop() {
		e := event.Endpoint{IP: "198.51.100.7"}
		d.Fill(&e)
	}
}
