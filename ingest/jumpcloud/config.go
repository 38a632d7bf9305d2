package jumpcloud

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// Config is one JumpCloud organization that is read live.
type Config struct {
	// URL of the events: "https://api.jumpcloud.com", or that of another region.
	URL string `yaml:"url"`
	// ConsoleURL is where the users are; URL with console for api where it is empty.
	ConsoleURL string `yaml:"console_url,omitempty"`
	// APIKey is that of an administrator who may read events and users, such as Read
	// Only.
	APIKey secret.Secret `yaml:"api_key"`
	// Organization is the id of one organization of several that the key may read;
	// it names the tenant in events too, else the events themselves do.
	Organization string `yaml:"organization,omitempty"`
	// Overlap is how far back each look reads again: the vendor does not say how
	// late an event may be shown.
	Overlap time.Duration `yaml:"overlap"`

	poll.Schedule `yaml:",inline"`
	rest.Budget   `yaml:",inline"`
	Inventory     poll.SweepConfig `yaml:"inventory"`
}

var _ ingest.Settings = (*Config)(nil)

const (
	// requestsPerMinute is modest, as the vendor publishes no limit.
	requestsPerMinute = 60
	defaultInterval   = time.Minute
	defaultOverlap    = 5 * time.Minute
)

// SetDefaults implements ingest.Settings.
func (c *Config) SetDefaults() {
	*c = Config{URL: "https://api.jumpcloud.com", Overlap: defaultOverlap, Schedule: poll.DefaultSchedule(defaultInterval),
		Budget: rest.DefaultBudget(requestsPerMinute), Inventory: poll.DefaultSweepConfig()}
}

// Validate implements ingest.Settings.
func (c *Config) Validate() error {
	var errs []error
	if err := rest.ValidateBase(c.URL); err != nil {
		errs = append(errs, fmt.Errorf("url: %w", err))
	}
	if err := rest.ValidateBase(c.consoleURL()); err != nil {
		errs = append(errs, fmt.Errorf("console_url: %w", err))
	}
	if c.APIKey.IsZero() {
		errs = append(errs, errors.New("api_key: is not set; it is under My API Key in the admin portal"))
	}
	if c.Overlap < time.Minute {
		errs = append(errs, fmt.Errorf("overlap: is %s; use a minute or more", c.Overlap))
	}
	if err := c.Inventory.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("inventory.%w", err))
	}
	return errors.Join(append(errs, c.Schedule.Validate(), c.Budget.Validate())...)
}

func (c *Config) consoleURL() string {
	if c.ConsoleURL != "" {
		return c.ConsoleURL
	}
	return strings.Replace(c.URL, "://api.", "://console.", 1)
}

// Provider implements ingest.Settings.
func (*Config) Provider() ingest.Provider { return Provider() }

// Open implements ingest.Settings.
func (c *Config) Open(rt ingest.Runtime) (map[string]ingest.Source, error) {
	header := http.Header{}
	if c.Organization != "" {
		header.Set("X-Org-Id", c.Organization)
	}
	options := rest.Options{Base: c.URL, Credential: rest.Header("X-Api-Key", "", c.APIKey), Header: header,
		Cure: "make a new API key as an administrator who may read events and users; command runners may not"}
	client, err := rest.New(c.Budget, options, rt)
	if err != nil {
		return nil, err
	}
	a := &api{client: client, rt: rt, tenant: c.Organization, overlap: c.Overlap, origin: "jumpcloud api"}
	if u, err := url.Parse(c.URL); err == nil {
		a.origin += " " + u.Host
	}
	sources := map[string]ingest.Source{stream: a.log(c.Schedule)}
	if c.Inventory.Every > 0 {
		options.Base = c.consoleURL()
		console, err := rest.New(c.Budget, options, rt)
		if err != nil {
			return nil, err
		}
		d := &directory{client: console, rt: rt, tenant: c.Organization, origin: "jumpcloud inventory"}
		sources[poll.StreamInventory] = d.inventory(c.Inventory)
	}
	return sources, nil
}
