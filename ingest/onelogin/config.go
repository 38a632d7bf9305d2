package onelogin

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

// Config is one OneLogin account that is read live.
type Config struct {
	// URL of the account, "https://example.onelogin.com".
	URL string `yaml:"url"`
	// ClientID and ClientSecret are an API credential with the scope Read All.
	ClientID     string        `yaml:"client_id"`
	ClientSecret secret.Secret `yaml:"client_secret"`
	// Tenant names the account in events; the host of URL where it is empty.
	Tenant string `yaml:"tenant,omitempty"`
	// Overlap is how far back each look reads again: the vendor does not say how
	// late an event may be listed.
	Overlap time.Duration `yaml:"overlap"`

	poll.Schedule `yaml:",inline"`
	rest.Budget   `yaml:",inline"`
	Inventory     poll.SweepConfig `yaml:"inventory"`
}

var _ ingest.Settings = (*Config)(nil)

const (
	// requestsPerMinute leaves a quarter of the 5,000 an hour that an account has to
	// others; a page has 50 events.
	requestsPerMinute = 60
	defaultInterval   = time.Minute
	defaultOverlap    = 5 * time.Minute
)

// SetDefaults implements ingest.Settings.
func (c *Config) SetDefaults() {
	*c = Config{Overlap: defaultOverlap, Schedule: poll.DefaultSchedule(defaultInterval),
		Budget: rest.DefaultBudget(requestsPerMinute), Inventory: poll.DefaultSweepConfig()}
}

// Validate implements ingest.Settings.
func (c *Config) Validate() error {
	var errs []error
	if err := rest.ValidateBase(c.URL); err != nil {
		errs = append(errs, fmt.Errorf("url: %w", err))
	}
	if c.ClientID == "" {
		errs = append(errs, errors.New("client_id: is not set; it is that of an API credential with the scope Read All"))
	}
	if c.ClientSecret.IsZero() {
		errs = append(errs, errors.New("client_secret: is not set"))
	}
	if c.Overlap < time.Minute {
		errs = append(errs, fmt.Errorf("overlap: is %s; use a minute or more", c.Overlap))
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
	credential := rest.OAuth(rest.ClientCredentials{TokenURL: strings.TrimSuffix(c.URL, "/") + "/auth/oauth2/v2/token",
		ID: c.ClientID, Secret: c.ClientSecret, InHeader: true}, rt)
	client, err := rest.New(c.Budget, rest.Options{Base: c.URL, Credential: credential, Limit: limit,
		Cure: "check the API credential, and that it has the scope Read All"}, rt)
	if err != nil {
		return nil, err
	}
	a := &api{client: client, rt: rt, tenant: c.tenant(), overlap: c.Overlap, people: map[string]*person{}}
	sources := map[string]ingest.Source{stream: a.log(c.Schedule)}
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

// limit obeys OneLogin's headers: nothing is left of the hour until it ends, given
// in seconds from now.
func limit(h http.Header, _ time.Time) time.Duration {
	if h.Get("X-RateLimit-Remaining") != "0" {
		return 0
	}
	reset, err := strconv.Atoi(h.Get("X-RateLimit-Reset"))
	if err != nil {
		return 0
	}
	return time.Duration(reset) * time.Second
}
