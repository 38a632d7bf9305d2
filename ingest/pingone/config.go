package pingone

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// Config is one PingOne environment that is read live.
type Config struct {
	// URL of the platform's API: "https://api.pingone.com", or .eu, .ca, .asia,
	// .com.au, .sg.
	URL string `yaml:"url"`
	// AuthURL is where tokens are asked for; URL with auth for api where it is empty.
	AuthURL string `yaml:"auth_url,omitempty"`
	// Environment is the id of the environment, which names it in events too.
	Environment string `yaml:"environment"`
	// ClientID and ClientSecret are those of a worker app with the roles Identity
	// Data Read Only and Environment Admin Read Only, or wider ones; its token
	// endpoint takes them by basic authentication.
	ClientID     string        `yaml:"client_id"`
	ClientSecret secret.Secret `yaml:"client_secret"`
	// Overlap is how far back each look reads again: the vendor does not say how
	// late an activity may be shown.
	Overlap time.Duration `yaml:"overlap"`

	poll.Schedule `yaml:",inline"`
	rest.Budget   `yaml:",inline"`
	Inventory     poll.SweepConfig `yaml:"inventory"`
}

var _ ingest.Settings = (*Config)(nil)

const (
	// requestsPerMinute is modest: the activities have a lower limit than the rest
	// of the API, which the vendor does not put into a number.
	requestsPerMinute = 60
	defaultInterval   = time.Minute
	defaultOverlap    = 5 * time.Minute
)

// SetDefaults implements ingest.Settings.
func (c *Config) SetDefaults() {
	*c = Config{URL: "https://api.pingone.com", Overlap: defaultOverlap, Schedule: poll.DefaultSchedule(defaultInterval),
		Budget: rest.DefaultBudget(requestsPerMinute), Inventory: poll.DefaultSweepConfig()}
}

// Validate implements ingest.Settings.
func (c *Config) Validate() error {
	var errs []error
	if err := rest.ValidateBase(c.URL); err != nil {
		errs = append(errs, fmt.Errorf("url: %w", err))
	}
	if err := rest.ValidateBase(c.authURL()); err != nil {
		errs = append(errs, fmt.Errorf("auth_url: %w", err))
	}
	if c.Environment == "" {
		errs = append(errs, errors.New("environment: is not set; it is the id under Environment Properties"))
	}
	if c.ClientID == "" {
		errs = append(errs, errors.New("client_id: is not set; it is the id of a worker app"))
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

func (c *Config) authURL() string {
	if c.AuthURL != "" {
		return strings.TrimSuffix(c.AuthURL, "/")
	}
	return strings.TrimSuffix(strings.Replace(c.URL, "://api.", "://auth.", 1), "/")
}

// Provider implements ingest.Settings.
func (*Config) Provider() ingest.Provider { return Provider() }

// Open implements ingest.Settings.
func (c *Config) Open(rt ingest.Runtime) (map[string]ingest.Source, error) {
	credential := rest.OAuth(rest.ClientCredentials{TokenURL: c.authURL() + "/" + url.PathEscape(c.Environment) + "/as/token",
		ID: c.ClientID, Secret: c.ClientSecret, InHeader: true}, rt)
	client, err := rest.New(c.Budget, rest.Options{Base: c.URL, Credential: credential,
		Cure: "check the worker app's secret, and that it has a role which may read audit activities and users of the environment"}, rt)
	if err != nil {
		return nil, err
	}
	a := &api{client: client, rt: rt, environment: c.Environment, overlap: c.Overlap}
	sources := map[string]ingest.Source{streamAudit: a.log(c.Schedule)}
	if c.Inventory.Every > 0 {
		sources[poll.StreamInventory] = a.inventory(c.Inventory)
	}
	return sources, nil
}
