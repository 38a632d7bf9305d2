package google

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// Config is one Workspace that is read live.
type Config struct {
	// URL of the Admin SDK; another one than Google's for tests and proxies.
	URL string `yaml:"url"`
	// ServiceAccount is the JSON key of a service account that is granted the
	// scopes by domain-wide delegation.
	ServiceAccount secret.Secret `yaml:"service_account"`
	// Subject is the administrator as whom the service account reads:
	// "reports@example.com", with the privilege of reports, and of reading users
	// for the inventory.
	Subject string `yaml:"subject"`
	// Customer is the id of the Workspace; "my_customer" is that of Subject.
	Customer string `yaml:"customer"`
	// Tenant names the Workspace in events; the domain of Subject where it is empty.
	Tenant string `yaml:"tenant,omitempty"`
	// Logs are those that are read. The largest is token, which has every call of an
	// API beside the consents.
	Logs []string `yaml:"logs"`
	// Lag is how late records of login, token and saml may be shown: so far back
	// those logs are read each time. The others come within minutes.
	Lag time.Duration `yaml:"lag"`

	poll.Schedule `yaml:",inline"`
	rest.Budget   `yaml:",inline"`
	Inventory     poll.SweepConfig `yaml:"inventory"`
}

var _ ingest.Settings = (*Config)(nil)

// The scopes: of the logs, and of the directory where there is an inventory.
const (
	scopeReports   = "https://www.googleapis.com/auth/admin.reports.audit.readonly"
	scopeDirectory = "https://www.googleapis.com/auth/admin.directory.user.readonly"
)

// requestsPerMinute is a tenth of what Google lets one user of a project ask.
const requestsPerMinute = 240

// defaultLag is above the longest that was measured for sign-ins, 95 minutes.
const defaultLag = 4 * time.Hour

// SetDefaults implements ingest.Settings.
func (c *Config) SetDefaults() {
	*c = Config{
		URL: "https://admin.googleapis.com", Customer: "my_customer", Logs: logs(), Lag: defaultLag,
		Schedule: poll.DefaultSchedule(2 * time.Minute), Budget: rest.DefaultBudget(requestsPerMinute), Inventory: poll.DefaultSweepConfig(),
	}
}

// logs lists the logs that the normalizer reads.
func logs() []string {
	return []string{streamLogin, streamAccounts, streamToken, streamAdmin, streamSAML, streamAccess}
}

// maxLag bounds Lag: what is older belongs to no sign-in that is still judged.
const maxLag = 72 * time.Hour

// Validate implements ingest.Settings.
func (c *Config) Validate() error {
	var errs []error
	if err := rest.ValidateBase(c.URL); err != nil {
		errs = append(errs, fmt.Errorf("url: %w", err))
	}
	if c.ServiceAccount.IsZero() {
		errs = append(errs, errors.New("service_account: is not set; it is the JSON key of a service account with domain-wide delegation"))
	}
	if !strings.Contains(c.Subject, "@") {
		errs = append(errs, fmt.Errorf("subject: is %q; use the address of an administrator to read as", c.Subject))
	}
	if c.Customer == "" {
		errs = append(errs, errors.New("customer: is empty; use my_customer, or the id of the Workspace"))
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
	if c.Lag < fastLag || c.Lag > maxLag {
		errs = append(errs, fmt.Errorf("lag: is %s; use a duration from %s to %s", c.Lag, fastLag, maxLag))
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
	scopes := []string{scopeReports}
	if c.Inventory.Every > 0 {
		scopes = append(scopes, scopeDirectory)
	}
	credential := &delegation{key: c.ServiceAccount, subject: c.Subject, scopes: scopes, rt: rt}
	metered := rt
	metered.HTTP = quota{rt.HTTP}
	client, err := rest.New(c.Budget, rest.Options{Base: c.URL, Credential: credential,
		Cure: "delegate " + strings.Join(scopes, " and ") + " to the service account, and see that subject is an administrator"}, metered)
	if err != nil {
		return nil, err
	}
	a := &api{client: client, rt: rt, tenant: c.tenant(), customer: c.Customer}
	sources := map[string]ingest.Source{}
	for _, name := range c.Logs {
		sources[name] = a.log(name, c.lagOf(name), c.Schedule)
	}
	if c.Inventory.Every > 0 {
		sources[poll.StreamInventory] = a.inventory(c.Inventory)
	}
	return sources, nil
}

// fastLag is how late the records of the other logs may be shown.
const fastLag = 30 * time.Minute

func (c *Config) lagOf(log string) time.Duration {
	switch log {
	case streamLogin, streamToken, streamSAML:
		return c.Lag
	}
	return fastLag
}

func (c *Config) tenant() string {
	if c.Tenant != "" {
		return c.Tenant
	}
	_, domain, _ := strings.Cut(c.Subject, "@")
	return domain
}
