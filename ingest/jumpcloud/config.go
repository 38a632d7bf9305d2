package jumpcloud

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// Config is one JumpCloud organization that is read live.
type Config struct {
	// URL of the API: "https://api.jumpcloud.com", or that of another region.
	URL string `yaml:"url"`
	// APIKey is that of an administrator who may read events, such as Read Only.
	APIKey secret.Secret `yaml:"api_key"`
	// Organization is the id of one organization of several that the key may read;
	// it names the tenant in events too, else the events themselves do.
	Organization string `yaml:"organization,omitempty"`
	// Overlap is how far back each look reads again: the vendor does not say how
	// late an event may be shown.
	Overlap time.Duration `yaml:"overlap"`

	poll.Schedule `yaml:",inline"`
	rest.Budget   `yaml:",inline"`
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
		Budget: rest.DefaultBudget(requestsPerMinute)}
}

// Validate implements ingest.Settings.
func (c *Config) Validate() error {
	var errs []error
	if err := rest.ValidateBase(c.URL); err != nil {
		errs = append(errs, fmt.Errorf("url: %w", err))
	}
	if c.APIKey.IsZero() {
		errs = append(errs, errors.New("api_key: is not set; it is under My API Key in the admin portal"))
	}
	if c.Overlap < time.Minute {
		errs = append(errs, fmt.Errorf("overlap: is %s; use a minute or more", c.Overlap))
	}
	return errors.Join(append(errs, c.Schedule.Validate(), c.Budget.Validate())...)
}

// Provider implements ingest.Settings.
func (*Config) Provider() ingest.Provider { return Provider() }

// Open implements ingest.Settings.
func (c *Config) Open(rt ingest.Runtime) (map[string]ingest.Source, error) {
	header := http.Header{}
	if c.Organization != "" {
		header.Set("X-Org-Id", c.Organization)
	}
	client, err := rest.New(c.Budget, rest.Options{Base: c.URL, Credential: rest.Header("X-Api-Key", "", c.APIKey), Header: header,
		Cure: "make a new API key as an administrator who may read events; command runners may not"}, rt)
	if err != nil {
		return nil, err
	}
	a := &api{client: client, rt: rt, tenant: c.Organization, overlap: c.Overlap, origin: "jumpcloud api"}
	if u, err := url.Parse(c.URL); err == nil {
		a.origin += " " + u.Host
	}
	return map[string]ingest.Source{stream: a.log(c.Schedule)}, nil
}
