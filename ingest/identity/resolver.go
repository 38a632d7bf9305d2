package identity

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"stepdown/ingest/event"
)

var errNoIdentity = errors.New("no identity")

// Resolver stamps events with the canonical identity. It is safe for concurrent
// use, Reload and Adopt included.
type Resolver struct {
	// turn keeps one change of the snapshot behind the other.
	turn     sync.Mutex
	snapshot atomic.Pointer[snapshot]
}

// snapshot is what one state of configuration and directory means; it never
// changes.
type snapshot struct {
	cfg     Config
	domains map[string]string    // equivalent → canonical
	bare    map[tenantKey]string // domain of bare logins
	aliases map[string]event.Key // canonical name → identity
	objects map[objectKey]event.Key
	entries map[event.Key]entry
	// directory is the digest of the file that was read.
	directory digest
}

type tenantKey struct {
	source event.Source
	tenant string
}

type objectKey struct {
	tenantKey
	id string
}

// entry is what the directory says of one identity.
type entry struct {
	tier        event.Tier
	populations []string
}

// New returns a resolver and reads the directory, where there is one.
func New(cfg Config) (*Resolver, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s, err := read(cfg, nil)
	if err != nil {
		return nil, err
	}
	r := &Resolver{}
	r.snapshot.Store(s)
	return r, nil
}

// Adopt takes over the configuration and the directory of other, and reports
// whether they differ from what was in use.
func (r *Resolver) Adopt(other *Resolver) (changed bool) {
	r.turn.Lock()
	defer r.turn.Unlock()
	next := other.snapshot.Load()
	old := r.snapshot.Swap(next)
	return old.directory != next.directory || !reflect.DeepEqual(old.cfg, next.cfg)
}

// Resolve sets Key, Tier, Populations and the keys of subject and actor. It
// returns an error for an event that names nobody; what concerns no person
// but a whole tenant (a policy, a trust) belongs to the actor, else to the tenant.
// Resolving twice is resolving once.
func (r *Resolver) Resolve(e *event.Event) error {
	s := r.snapshot.Load()
	e.Subject.Key = s.principal(e, &e.Subject)
	e.Actor.Key = s.principal(e, &e.Actor)

	e.Key = e.Subject.Key
	if ofTenant(e.Kind) && (e.Key == "" || e.Subject.Type == "service" || e.Subject.Type == "system") {
		e.Key = e.Actor.Key
		if e.Key == "" {
			e.Key = event.Key("tenant:" + string(e.Source) + ":" + tenantOf(e.Tenant))
		}
	}
	if e.Key == "" {
		e.Tier, e.Populations = "", nil
		return fmt.Errorf("%w: %s event %q names no subject", errNoIdentity, e.Source, e.ID)
	}
	about := s.entries[e.Key]
	e.Tier, e.Populations = about.tier, about.populations
	return nil
}

// ofTenant reports whether events of the kind may concern a tenant as a whole.
func ofTenant(k event.Kind) bool {
	switch k {
	case event.PolicyChange, event.TrustChange, event.LoggingChange, event.AppChange, event.AppCredential:
		return true
	}
	return false
}

// principal returns the identity of p, "" for nobody. An object id that is
// configured wins over the name, since names are given again to others.
func (s *snapshot) principal(e *event.Event, p *event.Principal) event.Key {
	scope := tenantKey{e.Source, tenantOf(e.Tenant)}
	id := canonicalID(p.ID)
	if id != "" && len(s.objects) > 0 {
		if key, ok := s.objects[objectKey{scope, id}]; ok {
			return key
		}
		if key, ok := s.objects[objectKey{tenantKey{source: e.Source}, id}]; ok {
			return key
		}
	}
	if key := s.name(scope, p.Name); key != "" {
		return key
	}
	if id == "" {
		return ""
	}
	return s.scoped(scope, id)
}

// name returns the identity of a login name, "" for nobody.
func (s *snapshot) name(scope tenantKey, raw string) event.Key {
	name := canonicalName(raw)
	if name == "" {
		return ""
	}
	if user, domain, ok := cutDomain(name); ok {
		if canonical, ok := s.domains[domain]; ok {
			name = user + "@" + canonical
		}
		if key, ok := s.aliases[name]; ok {
			return key
		}
		return event.Key(name)
	}
	if key, ok := s.aliases[name]; ok {
		return key
	}
	domain, ok := s.bare[scope]
	if !ok {
		domain, ok = s.bare[tenantKey{source: scope.source}]
	}
	if ok {
		return s.name(scope, name+"@"+domain)
	}
	return s.scoped(scope, name)
}

// scoped returns the identity of somebody who is known only within one tenant.
func (s *snapshot) scoped(scope tenantKey, name string) event.Key {
	key := string(scope.source) + ":" + scope.tenant + ":" + name
	if identity, ok := s.aliases[key]; ok {
		return identity
	}
	return event.Key(key)
}

func domainOf(s string) string {
	return canonicalDomain(strings.TrimPrefix(fold(s), "@"))
}

func tenantOf(s string) string { return fold(s) }

// builder collects a snapshot and everything that is wrong with its sources.
type builder struct {
	snapshot
	// origins says where an alias or an object was given, for the message about
	// a second one.
	origins map[any]place
	errs    []error
}

func newBuilder() *builder {
	return &builder{
		snapshot: snapshot{
			domains: map[string]string{},
			bare:    map[tenantKey]string{},
			aliases: map[string]event.Key{},
			objects: map[objectKey]event.Key{},
			entries: map[event.Key]entry{},
		},
		origins: map[any]place{},
	}
}

// place says where something stands. It is worked out when it is told: finding the
// line of every person of a directory would take longer than reading it.
type place func() string

// String implements fmt.Stringer.
func (p place) String() string { return p() }

// literally is a place that is known.
func literally(s string) place { return func() string { return s } }

func (b *builder) wrong(format string, args ...any) {
	b.errs = append(b.errs, fmt.Errorf(format, args...))
}

func (b *builder) domain(where, equivalent, canonical string) {
	switch other, ok := b.domains[equivalent]; {
	case equivalent == "":
		b.wrong("%s: is empty; want a domain", where)
	case equivalent == canonical:
		b.wrong("%s: %s is its own canonical domain", where, canonical)
	case ok && other != canonical:
		b.wrong("%s: %s means %s already", where, equivalent, other)
	default:
		b.domains[equivalent] = canonical
	}
}

// identity returns the key that raw is written for: a name, or a key as events
// carry it (github::octocat).
func (b *builder) identity(where place, raw string) event.Key {
	name := canonicalName(raw)
	if name == "" {
		b.wrong("%s: %q names nobody; want a login such as ana@example.com", where, raw)
		return ""
	}
	if user, domain, ok := cutDomain(name); ok {
		if canonical, ok := b.domains[domain]; ok {
			name = user + "@" + canonical
		}
	} else if strings.Count(name, ":") >= 2 {
		name = strings.TrimSpace(raw) // ids within keys keep their case
	}
	return event.Key(name)
}

func (b *builder) alias(where place, login string, identity event.Key) {
	name := b.identity(where, login)
	switch other, ok := b.aliases[string(name)]; {
	case name == "" || identity == "":
	case name == identity:
		// The identity's own name in another spelling: nothing to remember.
	case ok && other != identity:
		b.wrong("%s: %s is a login of %s already (%s)", where, name, other, b.origins[string(name)])
	default:
		b.aliases[string(name)], b.origins[string(name)] = identity, where
	}
}

func (b *builder) object(where place, o Object, identity event.Key) {
	k := objectKey{tenantKey{o.Source, tenantOf(o.Tenant)}, canonicalID(o.ID)}
	switch other, ok := b.objects[k]; {
	case o.Source == "" || k.id == "":
		b.wrong("%s: want a source and an id", where)
	case identity == "":
	case ok && other != identity:
		b.wrong("%s: id %s is of %s already (%s)", where, o.ID, other, b.origins[k])
	default:
		b.objects[k], b.origins[k] = identity, where
	}
}

// checkChains refuses an identity that is itself another one's login: which of
// the two is meant would depend on how often one looks.
func (b *builder) checkChains(where string) {
	for _, login := range slices.Sorted(maps.Keys(b.aliases)) {
		identity := b.aliases[login]
		if next, ok := b.aliases[string(identity)]; ok {
			b.wrong("%s: %s is a login of %s, which is a login of %s (%s); give the last one both", where, login, identity, next, b.origins[string(identity)])
		}
	}
	for k, identity := range b.objects {
		if next, ok := b.aliases[string(identity)]; ok {
			b.wrong("%s: id %s is of %s, which is a login of %s (%s)", b.origins[k], k.id, identity, next, b.origins[string(identity)])
		}
	}
	for identity := range b.entries {
		if next, ok := b.aliases[string(identity)]; ok {
			b.wrong("%s: %s is listed, and is a login of %s (%s)", where, identity, next, b.origins[string(identity)])
		}
	}
}
