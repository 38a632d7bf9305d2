package entra

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// Config is one directory that is read live, through Microsoft Graph, by an
// application with the permissions AuditLog.Read.All and Directory.Read.All for the
// logs, IdentityRiskEvent.Read.All and IdentityRiskyUser.Read.All for risk, and
// UserAuthenticationMethod.Read.All and RoleManagement.Read.Directory for the
// inventory. A directory with tens of thousands of sign-ins an hour is better read
// from an Event Hub, as Graph gives five pages of a thousand in ten seconds.
type Config struct {
	// TenantID is the id of the directory; it names it in events, too.
	TenantID string `yaml:"tenant_id"`
	ClientID string `yaml:"client_id"`
	// ClientSecret or Certificate is set. Certificate is PEM: a private key, and the
	// certificate that the app registration has.
	ClientSecret secret.Secret `yaml:"client_secret,omitempty"`
	Certificate  secret.Secret `yaml:"certificate,omitempty"`
	// URL and LoginURL are those of the cloud, such as https://graph.microsoft.us and
	// https://login.microsoftonline.us.
	URL      string `yaml:"url"`
	LoginURL string `yaml:"login_url"`
	// Logs are those that are read. Sign-ins need Entra ID P1, risk needs P2.
	Logs []string `yaml:"logs"`
	// Overlap is how late records may be shown: so far back the logs are read at
	// each look.
	Overlap time.Duration `yaml:"overlap"`
	// Recheck is how often the last day is read again, as records are rewritten;
	// 0 never.
	Recheck time.Duration `yaml:"recheck"`

	poll.Schedule `yaml:",inline"`
	rest.Budget   `yaml:",inline"`
	Inventory     Inventory `yaml:"inventory"`
}

var _ ingest.Settings = (*Config)(nil)

// Inventory says how the enrolments are read.
type Inventory struct {
	poll.SweepConfig `yaml:",inline"`
	// RequestsPerMinute is its own budget: each person takes a request.
	RequestsPerMinute int `yaml:"requests_per_minute"`
}

// The budgets, below what Microsoft documents: the reports allow five requests in
// ten seconds to one application, ID Protection one a second to all of a tenant.
const (
	reportsPerMinute    = 30
	protectionPerMinute = 6
	directoryPerMinute  = 240
)

// SetDefaults implements ingest.Settings.
func (c *Config) SetDefaults() {
	*c = Config{
		URL: "https://graph.microsoft.com", LoginURL: "https://login.microsoftonline.com",
		Overlap: time.Hour, Recheck: 6 * time.Hour,
		Schedule: poll.DefaultSchedule(2 * time.Minute), Budget: rest.DefaultBudget(reportsPerMinute),
		Inventory: Inventory{SweepConfig: poll.DefaultSweepConfig(), RequestsPerMinute: directoryPerMinute},
	}
	for _, l := range logs() {
		c.Logs = append(c.Logs, l.stream)
	}
}

// Validate implements ingest.Settings.
func (c *Config) Validate() error {
	var errs []error
	if uuid(c.TenantID) == "" {
		errs = append(errs, fmt.Errorf("tenant_id: is %q; use the id of the directory, not a domain", c.TenantID))
	}
	if c.ClientID == "" {
		errs = append(errs, errors.New("client_id: is not set"))
	}
	switch {
	case c.ClientSecret.IsZero() && c.Certificate.IsZero():
		errs = append(errs, errors.New("client_secret: is not set; set it, or certificate"))
	case !c.ClientSecret.IsZero() && !c.Certificate.IsZero():
		errs = append(errs, errors.New("client_secret: is set beside certificate; use one"))
	}
	if err := rest.ValidateBase(c.URL); err != nil {
		errs = append(errs, fmt.Errorf("url: %w", err))
	}
	if err := rest.ValidateBase(c.LoginURL); err != nil {
		errs = append(errs, fmt.Errorf("login_url: %w", err))
	}
	errs = append(errs, c.validateLogs()...)
	if c.Overlap < 0 || c.Overlap > recheckSpan {
		errs = append(errs, fmt.Errorf("overlap: is %s; use a duration up to %s", c.Overlap, recheckSpan))
	}
	if c.Recheck != 0 && (c.Recheck < time.Hour || c.Recheck > recheckSpan) {
		errs = append(errs, fmt.Errorf("recheck: is %s; use a duration from %s to %s, or 0 for never", c.Recheck, time.Hour, recheckSpan))
	}
	if err := c.Inventory.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("inventory.%w", err))
	}
	if c.Inventory.RequestsPerMinute < 1 {
		errs = append(errs, fmt.Errorf("inventory.requests_per_minute: is %d; use 1 or more", c.Inventory.RequestsPerMinute))
	}
	return errors.Join(append(errs, c.Schedule.Validate(), c.Budget.Validate())...)
}

func (c *Config) validateLogs() []error {
	var names []string
	for _, l := range logs() {
		names = append(names, l.stream)
	}
	if len(c.Logs) == 0 {
		return []error{fmt.Errorf("logs: is empty; use some of %s", strings.Join(names, ", "))}
	}
	var errs []error
	for i, name := range c.Logs {
		if !slices.Contains(names, name) {
			errs = append(errs, fmt.Errorf("logs[%d]: is %q; use one of %s", i, name, strings.Join(names, ", ")))
		} else if slices.Index(c.Logs, name) < i {
			errs = append(errs, fmt.Errorf("logs[%d]: %s is there twice", i, name))
		}
	}
	return errs
}

// Provider implements ingest.Settings.
func (*Config) Provider() ingest.Provider { return Provider() }

// Open implements ingest.Settings.
func (c *Config) Open(rt ingest.Runtime) (map[string]ingest.Source, error) {
	credential := rest.OAuth(rest.ClientCredentials{
		TokenURL: strings.TrimSuffix(c.LoginURL, "/") + "/" + c.TenantID + "/oauth2/v2.0/token", ID: c.ClientID,
		Secret: c.ClientSecret, Key: c.Certificate, Algorithm: "PS256",
		Scopes: []string{strings.TrimSuffix(c.URL, "/") + "/.default"},
	}, rt)
	client := func(requestsPerMinute int, permissions string) (*rest.Client, error) {
		return rest.New(rest.Budget{RequestsPerMinute: requestsPerMinute, Timeout: c.Timeout}, rest.Options{
			Base: c.URL, Credential: credential, Limit: limit,
			// Without it the values that came later read "unknownFutureValue".
			Header: http.Header{"Prefer": {"include-unknown-enum-members"}},
			Cure:   "grant the application " + permissions + ", and see to its secret and the directory's licence",
		}, rt)
	}
	reports, err := client(c.RequestsPerMinute, "AuditLog.Read.All and Directory.Read.All")
	if err != nil {
		return nil, err
	}
	protection, err := client(min(c.RequestsPerMinute, protectionPerMinute), "IdentityRiskEvent.Read.All and IdentityRiskyUser.Read.All")
	if err != nil {
		return nil, err
	}
	directory, err := client(c.Inventory.RequestsPerMinute, "UserAuthenticationMethod.Read.All and RoleManagement.Read.Directory")
	if err != nil {
		return nil, err
	}
	sources := map[string]ingest.Source{}
	for _, l := range logs() {
		if !slices.Contains(c.Logs, l.stream) {
			continue
		}
		r := &reader{log: l, client: reports, rt: rt, tenant: c.TenantID, overlap: c.Overlap, recheck: c.Recheck}
		if l.protection {
			r.client = protection
		}
		sources[l.stream] = r.source(c.Schedule)
	}
	if c.Inventory.Every > 0 {
		i := &inventory{reports: reports, directory: directory, rt: rt, tenant: c.TenantID}
		sources[poll.StreamInventory] = i.source(c.Inventory.SweepConfig)
	}
	return sources, nil
}

// limit slows down before the directory's quota is used up: the header is there
// from 0.8 of it on, and the quota is one of ten seconds.
func limit(h http.Header, _ time.Time) time.Duration {
	switch used, err := strconv.ParseFloat(h.Get("X-Ms-Throttle-Limit-Percentage"), 64); {
	case err != nil || used < 0.8:
		return 0
	case used < 1:
		return time.Second
	}
	return 10 * time.Second
}
