package geo

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"stepdown/ingest/event"
)

// Config names the databases; each may be left out.
type Config struct {
	// ASNFile tells the network of an address, CountryFile its country, and its city
	// where the database has it.
	ASNFile     string `yaml:"asn_file,omitempty"`
	CountryFile string `yaml:"country_file,omitempty"`
}

// Resolver is what comes after: ingest/identity's.
type Resolver interface {
	Resolve(e *event.Event) error
}

// Databases are the open files. They are safe for concurrent use.
type Databases struct {
	asn, country *database
}

// Open opens the databases. They are opened again when their files change; a new
// file that cannot be read is logged, and the one before stays in use.
func Open(c Config, log *slog.Logger) (*Databases, error) {
	d := &Databases{}
	var errs []error
	for _, f := range []struct {
		key, path string
		to        **database
	}{{"asn_file", c.ASNFile, &d.asn}, {"country_file", c.CountryFile, &d.country}} {
		if f.path == "" {
			continue
		}
		db, err := openDatabase(f.path, log)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.key, err))
			continue
		}
		*f.to = db
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Before returns a resolver that fills in addresses and then does what next does.
func (d *Databases) Before(next Resolver) Resolver { return enricher{d, next} }

// Close closes the files.
func (d *Databases) Close() error {
	return errors.Join(d.asn.close(), d.country.close())
}

type enricher struct {
	databases *Databases
	next      Resolver
}

// Resolve implements Resolver.
func (e enricher) Resolve(ev *event.Event) error {
	e.databases.Fill(&ev.Endpoint)
	if ev.AuthenticatorEndpoint != nil {
		e.databases.Fill(ev.AuthenticatorEndpoint)
	}
	return e.next.Resolve(ev)
}

// network and place are what is read of a record.
type network struct {
	Number       uint32 `maxminddb:"autonomous_system_number"`
	Organization string `maxminddb:"autonomous_system_organization"`
}

type place struct {
	Country struct {
		ISOCode string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	Subdivisions []struct {
		Names names `maxminddb:"names"`
	} `maxminddb:"subdivisions"`
	City struct {
		Names names `maxminddb:"names"`
	} `maxminddb:"city"`
}

// names are those of a place, of which English is read.
type names struct {
	English string `maxminddb:"en"`
}

// Fill adds what the databases know of e's address and e does not say. City and
// region are filled only together with the country: they would else be of another.
func (d *Databases) Fill(e *event.Endpoint) {
	if e.IP == "" || e.ASN != 0 && e.Country != "" {
		return
	}
	ip, err := netip.ParseAddr(e.IP)
	if err != nil {
		return
	}
	if e.ASN == 0 && d.asn != nil {
		var n network
		if d.asn.lookup(ip, &n) {
			e.ASN = n.Number
			if e.ASOrg == "" {
				e.ASOrg = n.Organization
			}
		}
	}
	if e.Country == "" && d.country != nil {
		var p place
		if d.country.lookup(ip, &p) && len(p.Country.ISOCode) == 2 {
			e.Country = strings.ToUpper(p.Country.ISOCode)
			if e.City == "" {
				e.City = p.City.Names.English
			}
			if e.Region == "" && len(p.Subdivisions) > 0 {
				e.Region = p.Subdivisions[0].Names.English
			}
		}
	}
}

// lookEvery is how often a file is looked at for a change.
const lookEvery = time.Minute

// database is one file.
type database struct {
	path string
	log  *slog.Logger

	mu     sync.RWMutex
	reader *maxminddb.Reader
	stamp  stamp
	looked time.Time
}

type stamp struct{ size, modified int64 }

func openDatabase(path string, log *slog.Logger) (*database, error) {
	d := &database{path: path, log: log}
	if err := d.open(); err != nil {
		return nil, err
	}
	return d, nil
}

// open reads the file; the bytes are copied, since a file that is written over in
// place would change under a mapping.
func (d *database) open() error {
	info, err := os.Stat(d.path)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(d.path)
	if err != nil {
		return err
	}
	reader, err := maxminddb.OpenBytes(data)
	if err != nil {
		return fmt.Errorf("%s is no database of MaxMind's format: %w", d.path, err)
	}
	d.reader, d.stamp, d.looked = reader, stamp{info.Size(), info.ModTime().UnixNano()}, time.Now()
	return nil
}

// lookup reports whether the database has a record of ip, which it decodes.
func (d *database) lookup(ip netip.Addr, record any) bool {
	d.refresh(time.Now())
	d.mu.RLock()
	defer d.mu.RUnlock()
	result := d.reader.Lookup(ip)
	return result.Found() && result.Decode(record) == nil
}

// refresh opens the file again where it has changed.
func (d *database) refresh(now time.Time) {
	d.mu.RLock()
	due := now.Sub(d.looked) >= lookEvery
	d.mu.RUnlock()
	if !due {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.looked) < lookEvery {
		return
	}
	d.looked = now
	info, err := os.Stat(d.path)
	if err == nil {
		if (stamp{info.Size(), info.ModTime().UnixNano()}) == d.stamp {
			return
		}
		old := d.reader
		if err = d.open(); err == nil {
			d.log.Info("address database read anew", slog.String("file", d.path))
			_ = old.Close() // it was only read
			return
		}
	}
	d.log.Warn("address database not read anew, the one before stays in use", slog.Any("error", err))
}

func (d *database) close() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reader.Close()
}
