package auth0

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// Config is one Auth0 tenant that is read live.
type Config struct {
	// URL of the tenant, "https://example.eu.auth0.com"; not a custom domain, which
	// the Management API does not answer at.
	URL string `yaml:"url"`
	// ClientID and ClientSecret are those of a machine-to-machine application that
	// may call the Management API with read:logs, and with read:users and
	// read:authentication_methods for the inventory.
	ClientID     string        `yaml:"client_id"`
	ClientSecret secret.Secret `yaml:"client_secret"`
	// Audience of the Management API; URL with /api/v2/ where it is empty.
	Audience string `yaml:"audience,omitempty"`
	// Tenant names the tenant in events; the host of URL where it is empty.
	Tenant string `yaml:"tenant,omitempty"`

	poll.Schedule `yaml:",inline"`
	rest.Budget   `yaml:",inline"`
	Inventory     poll.SweepConfig `yaml:"inventory"`
}

var _ ingest.Settings = (*Config)(nil)

// requestsPerMinute leaves others half of what the smallest plan allows.
const requestsPerMinute = 60

// SetDefaults implements ingest.Settings.
func (c *Config) SetDefaults() {
	*c = Config{Schedule: poll.DefaultSchedule(30 * time.Second), Budget: rest.DefaultBudget(requestsPerMinute), Inventory: poll.DefaultSweepConfig()}
}

// Validate implements ingest.Settings.
func (c *Config) Validate() error {
	var errs []error
	if err := rest.ValidateBase(c.URL); err != nil {
		errs = append(errs, fmt.Errorf("url: %w", err))
	}
	if c.ClientID == "" {
		errs = append(errs, errors.New("client_id: is not set; use that of a machine-to-machine application"))
	}
	if c.ClientSecret.IsZero() {
		errs = append(errs, errors.New("client_secret: is not set"))
	}
	if err := c.Inventory.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("inventory.%w", err))
	}
	return errors.Join(append(errs, c.Schedule.Validate(), c.Budget.Validate())...)
}

// Provider implements ingest.Settings.
func (*Config) Provider() ingest.Provider { return Provider() }

// Open implements ingest.Settings.
func (c *Config) Open(rt ingest.Runtime) (map[string]ingest.Source, error) {
	base := strings.TrimSuffix(c.URL, "/")
	audience := c.Audience
	if audience == "" {
		audience = base + "/api/v2/"
	}
	credential := rest.OAuth(rest.ClientCredentials{TokenURL: base + "/oauth/token", ID: c.ClientID, Secret: c.ClientSecret,
		Params: url.Values{"audience": {audience}}}, rt)
	client, err := rest.New(c.Budget, rest.Options{Base: base, Credential: credential, Limit: limit,
		Cure: "authorize the application for the Management API with read:logs, read:users and read:authentication_methods"}, rt)
	if err != nil {
		return nil, err
	}
	a := &api{client: client, rt: rt, tenant: c.tenant()}
	sources := map[string]ingest.Source{streamLogs: a.log(c.Schedule)}
	if c.Inventory.Every > 0 {
		sources[poll.StreamInventory] = a.inventory(c.Inventory)
	}
	return sources, nil
}

func (c *Config) tenant() string {
	if c.Tenant != "" {
		return c.Tenant
	}
	if u, err := url.Parse(c.URL); err == nil {
		return u.Host
	}
	return ""
}

// limit obeys Auth0's headers: nothing is left of the bucket until it is filled
// again, given in seconds since 1970.
func limit(h http.Header, now time.Time) time.Duration {
	if h.Get("X-RateLimit-Remaining") != "0" {
		return 0
	}
	reset, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64)
	if err != nil {
		return 0
	}
	return time.Unix(reset, 0).Sub(now)
}
