package ssf

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// Config is one stream of a transmitter. One of Push and Poll is set.
type Config struct {
	// Issuer is the iss of its tokens, compared as it is.
	Issuer string `yaml:"issuer"`
	// Audience are the aud that are ours; a token needs one of them.
	Audience []string `yaml:"audience"`
	// JWKSURI is where the issuer publishes its keys; in the transmitter's
	// configuration it is jwks_uri.
	JWKSURI string `yaml:"jwks_uri"`
	// Tenant names the organisation in events; the host of Issuer where it is empty.
	Tenant string `yaml:"tenant,omitempty"`
	// MaxAge is how long ago a token may be issued. A transmitter keeps what could
	// not be delivered for days.
	MaxAge time.Duration `yaml:"max_age"`
	// MaxBody is the largest token that is taken by push, in bytes.
	MaxBody int64 `yaml:"max_body"`

	Push Push `yaml:"push,omitempty"`
	Poll Poll `yaml:"poll,omitempty"`

	// Interval is the pause between two polls that found nothing.
	Interval    time.Duration `yaml:"interval"`
	rest.Budget `yaml:",inline"`
}

// Push is an endpoint of the receiver.
type Push struct {
	// Path of the endpoint, "/ssf".
	Path string `yaml:"path"`
	// Authorization is what the transmitter sends in that header, "Bearer …"; the
	// signature is what counts, so it may be left out.
	Authorization secret.Secret `yaml:"authorization,omitempty"`
}

// Poll is the transmitter's endpoint.
type Poll struct {
	// URL is the endpoint_url of the stream's delivery.
	URL string `yaml:"url"`
	// Token is sent as a bearer token.
	Token secret.Secret `yaml:"token"`
	// MaxEvents bounds an answer; 0 leaves it to the transmitter.
	MaxEvents int `yaml:"max_events,omitempty"`
	// Wait lets the transmitter hold the request open until there is something, for
	// as long as the timeout.
	Wait bool `yaml:"wait,omitempty"`
}

const (
	defaultMaxAge     = 7 * 24 * time.Hour
	requestsPerMinute = 60
)

// SetDefaults implements ingest.Settings.
func (c *Config) SetDefaults() {
	*c = Config{MaxAge: defaultMaxAge, MaxBody: 256 << 10, Interval: 10 * time.Second, Budget: rest.DefaultBudget(requestsPerMinute)}
}

var pathPattern = regexp.MustCompile(`^/[A-Za-z0-9._~/-]*$`)

// Validate implements ingest.Settings.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Issuer == "" {
		wrong("issuer: is not set; it is the iss of the transmitter's tokens")
	}
	if len(c.Audience) == 0 {
		wrong("audience: is not set; a token for somebody else must not be taken")
	}
	for i, a := range c.Audience {
		if a == "" {
			wrong("audience[%d]: is empty", i)
		}
	}
	if err := rest.ValidateBase(c.JWKSURI); err != nil {
		wrong("jwks_uri: %w", err)
	}
	if c.MaxAge < time.Minute {
		wrong("max_age: is %s; use a duration such as 168h, a minute or more", c.MaxAge)
	}
	if c.MaxBody < 1<<10 || c.MaxBody > 8<<20 {
		wrong("max_body: is %d; use between 1024 and %d", c.MaxBody, 8<<20)
	}
	if c.Interval < time.Second {
		wrong("interval: is %s; use a second or more", c.Interval)
	}
	switch push, polls := c.Push != (Push{}), c.Poll != (Poll{}); {
	case push && polls:
		wrong("push: is set beside poll; a stream is delivered in one way")
	case push && (!pathPattern.MatchString(c.Push.Path) || strings.Contains(c.Push.Path, "//")):
		wrong("push.path: is %q; use a path such as /ssf", c.Push.Path)
	case push:
	case !polls:
		wrong("push: is not set; set it, or poll")
	default:
		if err := rest.ValidateBase(c.Poll.URL); err != nil {
			wrong("poll.url: %w", err)
		}
		if c.Poll.Token.IsZero() {
			wrong("poll.token: is not set")
		}
		if c.Poll.MaxEvents < 0 {
			wrong("poll.max_events: is %d; use 1 or more, or leave it out", c.Poll.MaxEvents)
		}
	}
	return errors.Join(append(errs, c.Budget.Validate())...)
}

// Provider implements ingest.Settings.
func (*Config) Provider() ingest.Provider { return Provider() }

// PushPath implements ingest.Pushed.
func (c *Config) PushPath() string { return c.Push.Path }

// Open implements ingest.Settings.
func (c *Config) Open(rt ingest.Runtime) (map[string]ingest.Source, error) {
	keys, err := newKeys(c.JWKSURI, c.Budget, rt)
	if err != nil {
		return nil, err
	}
	in := &inlet{verifier: newVerifier(c, keys, rt), rt: rt, tenant: c.tenant(), metrics: newMetrics(rt.Registerer)}
	if c.Push.Path != "" {
		return map[string]ingest.Source{stream: newEndpoint(c, in)}, nil
	}
	source, err := newPoller(c, in)
	if err != nil {
		return nil, err
	}
	return map[string]ingest.Source{stream: source}, nil
}

func (c *Config) tenant() string {
	if c.Tenant != "" {
		return c.Tenant
	}
	if u, err := url.Parse(c.Issuer); err == nil && u.Host != "" {
		return u.Host
	}
	return c.Issuer
}

var (
	_ ingest.Settings = (*Config)(nil)
	_ ingest.Pushed   = (*Config)(nil)
	_ ingest.Receiver = (*endpoint)(nil)
)

// The name of the provider, and that of its one stream.
const (
	source event.Source = "ssf"
	stream string       = "events"
)

// Provider is a transmitter of Shared Signals.
func Provider() ingest.Provider {
	return ingest.Provider{Source: source, Title: "Shared Signals (CAEP, RISC)", Normalizer: New(), Example: example, Shows: []ingest.Capability{
		{Fact: ingest.FactFactor, Extent: ingest.Partly, Note: "amr of session-established, where the transmitter sends it"},
		{Fact: ingest.FactPasskeyKind, Extent: ingest.Partly, Note: "platform or roaming, with the AAGUID; not whether it is synced"},
		{Fact: ingest.FactEnrolment, Extent: ingest.Fully, Note: "credential-change"},
		{Fact: ingest.FactInventory, Extent: ingest.Never},
		{Fact: ingest.FactRecovery, Extent: ingest.Partly, Note: "recovery-activated and recovery-information-changed of RISC"},
		{Fact: ingest.FactConsent, Extent: ingest.Never},
		{Fact: ingest.FactPolicy, Extent: ingest.Never},
		{Fact: ingest.FactRole, Extent: ingest.Never, Note: "token-claims-change says that claims changed"},
		{Fact: ingest.FactSession, Extent: ingest.Partly, Note: "ext_id, or the session of the subject"},
		{Fact: ingest.FactDevice, Extent: ingest.Partly, Note: "device-compliance-change"},
		{Fact: ingest.FactUserAgent, Extent: ingest.Never, Note: "a fingerprint of it alone"},
		{Fact: ingest.FactCountry, Extent: ingest.Never},
		{Fact: ingest.FactASN, Extent: ingest.Never},
		{Fact: ingest.FactHelpDesk, Extent: ingest.Partly, Note: "that an administrator acted, not who"},
		{Fact: ingest.FactSignedPush, Extent: ingest.Fully},
	}}
}
