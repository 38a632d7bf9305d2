package duo

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// Config is one Duo account that is read live.
type Config struct {
	// URL is the API host of the account, "https://api-12345678.duosecurity.com".
	URL string `yaml:"url"`
	// IntegrationKey and SecretKey are those of an Admin API application that is
	// granted to read the log, and to read resources and administrators for the
	// inventory.
	IntegrationKey string        `yaml:"integration_key"`
	SecretKey      secret.Secret `yaml:"secret_key"`
	// Tenant names the account in events; the host of URL where it is empty.
	Tenant string `yaml:"tenant,omitempty"`
	// Logs are those that are read.
	Logs []string `yaml:"logs"`

	poll.Schedule `yaml:",inline"`
	rest.Budget   `yaml:",inline"`
	Inventory     poll.SweepConfig `yaml:"inventory"`
}

var _ ingest.Settings = (*Config)(nil)

// requestsPerMinute is modest: Duo documents no number.
const requestsPerMinute = 60

// SetDefaults implements ingest.Settings.
func (c *Config) SetDefaults() {
	*c = Config{
		Logs:     []string{streamAuth, streamActivity, streamAdmin},
		Schedule: poll.DefaultSchedule(time.Minute), Budget: rest.DefaultBudget(requestsPerMinute), Inventory: poll.DefaultSweepConfig(),
	}
}

// logs lists the logs that can be read.
func logs() []string { return []string{streamAuth, streamActivity, streamAdmin, streamTelephony} }

// Validate implements ingest.Settings.
func (c *Config) Validate() error {
	var errs []error
	if err := rest.ValidateBase(c.URL); err != nil {
		errs = append(errs, fmt.Errorf("url: %w", err))
	}
	if c.IntegrationKey == "" {
		errs = append(errs, errors.New("integration_key: is not set; it is that of an Admin API application"))
	}
	if c.SecretKey.IsZero() {
		errs = append(errs, errors.New("secret_key: is not set; it is that of an Admin API application"))
	}
	if len(c.Logs) == 0 {
		errs = append(errs, fmt.Errorf("logs: is empty; use some of %s", strings.Join(logs(), ", ")))
	}
	for i, name := range c.Logs {
		if !slices.Contains(logs(), name) {
			errs = append(errs, fmt.Errorf("logs[%d]: is %q; use one of %s", i, name, strings.Join(logs(), ", ")))
		} else if slices.Index(c.Logs, name) < i {
			errs = append(errs, fmt.Errorf("logs[%d]: %s is there twice", i, name))
		}
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
	waiting := rt
	waiting.HTTP = patient{rt.HTTP}
	client, err := rest.New(c.Budget, rest.Options{Base: c.URL, Credential: signed(c.IntegrationKey, c.SecretKey, rt.Now),
		Cure: "see integration_key, secret_key and the clock, and grant the application to read the log, resources and administrators"}, waiting)
	if err != nil {
		return nil, err
	}
	a := &api{client: client, rt: rt, tenant: c.tenant()}
	sources := map[string]ingest.Source{}
	for _, name := range c.Logs {
		sources[name] = a.log(name, c.Schedule)
	}
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
