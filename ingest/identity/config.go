package identity

import (
	"errors"
	"fmt"

	"stepdown/ingest/event"
)

// Config says which names mean one person.
type Config struct {
	// Domains lists e-mail domains (and NetBIOS names) that mean the same.
	Domains []Domain `yaml:"domains"`
	// BareLogins completes login names that have no domain.
	BareLogins []BareLogin `yaml:"bare_logins"`
	// Aliases lists further logins of an identity.
	Aliases []Alias `yaml:"aliases"`
	// Objects maps providers' object ids to identities.
	Objects []Object `yaml:"objects"`
	// Directory is a YAML or CSV file of identities: login, tier, populations,
	// aliases, object ids. It is read again by Reload.
	Directory string `yaml:"directory"`
}

// Domain is a domain and its equals.
type Domain struct {
	Canonical  string   `yaml:"canonical"`
	Equivalent []string `yaml:"equivalent"`
}

// BareLogin says that "ana" of a source and tenant is ana@Domain. An empty
// tenant stands for all.
type BareLogin struct {
	Source event.Source `yaml:"source"`
	Tenant string       `yaml:"tenant"`
	Domain string       `yaml:"domain"`
}

// Alias lists further logins of Identity.
type Alias struct {
	Identity string   `yaml:"identity"`
	Logins   []string `yaml:"logins"`
}

// Object is an object id of a provider. An empty tenant stands for all.
type Object struct {
	Source   event.Source `yaml:"source"`
	Tenant   string       `yaml:"tenant"`
	ID       string       `yaml:"id"`
	Identity string       `yaml:"identity"`
}

// DefaultConfig returns a configuration without any equivalence: names are
// folded, nothing more.
func DefaultConfig() Config { return Config{} }

// Validate reports everything that is wrong with c, by its YAML path. It does
// not read the directory; New does.
func (c Config) Validate() error {
	b := newBuilder()
	b.config(c)
	return errors.Join(b.errs...)
}

// config adds c to the snapshot and collects what is wrong.
func (b *builder) config(c Config) {
	for i, d := range c.Domains {
		where := fmt.Sprintf("domains[%d]", i)
		canonical := domainOf(d.Canonical)
		if canonical == "" {
			b.wrong("%s.canonical: is empty; want a domain such as example.com", where)
			continue
		}
		if len(d.Equivalent) == 0 {
			b.wrong("%s.equivalent: is empty; want the domains that mean %s", where, canonical)
		}
		for j, equivalent := range d.Equivalent {
			b.domain(fmt.Sprintf("%s.equivalent[%d]", where, j), domainOf(equivalent), canonical)
		}
	}
	for from, to := range b.domains {
		if next, ok := b.domains[to]; ok {
			b.wrong("domains: %s means %s, which means %s; name the last one as canonical for both", from, to, next)
		}
	}
	for i, l := range c.BareLogins {
		where := fmt.Sprintf("bare_logins[%d]", i)
		domain := domainOf(l.Domain)
		if l.Source == "" || domain == "" {
			b.wrong("%s: want a source and a domain", where)
			continue
		}
		k := tenantKey{l.Source, tenantOf(l.Tenant)}
		if other, ok := b.bare[k]; ok && other != domain {
			b.wrong("%s: %s is given the domains %s and %s", where, l.Source, other, domain)
			continue
		}
		b.bare[k] = domain
	}
	for i, a := range c.Aliases {
		where := fmt.Sprintf("aliases[%d]", i)
		if len(a.Logins) == 0 {
			b.wrong("%s.logins: is empty; want the other logins of %q", where, a.Identity)
		}
		identity := b.identity(literally(where+".identity"), a.Identity)
		for j, login := range a.Logins {
			b.alias(literally(fmt.Sprintf("%s.logins[%d]", where, j)), login, identity)
		}
	}
	for i, o := range c.Objects {
		where := fmt.Sprintf("objects[%d]", i)
		b.object(literally(where), o, b.identity(literally(where+".identity"), o.Identity))
	}
	b.checkChains("aliases")
}
