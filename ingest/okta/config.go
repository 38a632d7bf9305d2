package okta

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// Config is one Okta org that is read live.
type Config struct {
	// URL of the org, "https://example.okta.com"; not the one of the admin console.
	URL string `yaml:"url"`
	// Token is an API token of a read-only administrator, sent as SSWS. One of
	// Token and OAuth is set.
	Token secret.Secret `yaml:"token,omitempty"`
	OAuth OAuth         `yaml:"oauth,omitempty"`
	// Tenant names the org in events; the host of URL where it is empty.
	Tenant string `yaml:"tenant,omitempty"`

	poll.Schedule `yaml:",inline"`
	rest.Budget   `yaml:",inline"`
	Inventory     poll.SweepConfig `yaml:"inventory"`
}

// OAuth is a service app with a key of its own (private_key_jwt), granted
// okta.logs.read, and okta.users.read and okta.roles.read for the inventory.
type OAuth struct {
	ClientID   string        `yaml:"client_id"`
	PrivateKey secret.Secret `yaml:"private_key"`
	KeyID      string        `yaml:"key_id,omitempty"`
}

// scopes are those that the input asks for.
var scopes = []string{"okta.logs.read", "okta.users.read", "okta.roles.read"}

// requestsPerMinute is half of what one token may use of the smallest bucket.
const requestsPerMinute = 30

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
	switch oauth := c.OAuth != (OAuth{}); {
	case c.Token.IsZero() && !oauth:
		errs = append(errs, errors.New("token: is not set; set it, or oauth"))
	case !c.Token.IsZero() && oauth:
		errs = append(errs, errors.New("token: is set beside oauth; use one"))
	case oauth && c.OAuth.ClientID == "":
		errs = append(errs, errors.New("oauth.client_id: is not set"))
	case oauth && c.OAuth.PrivateKey.IsZero():
		errs = append(errs, errors.New("oauth.private_key: is not set; the public key belongs to the app in Okta"))
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
	credential := rest.Header("Authorization", "SSWS ", c.Token)
	if c.Token.IsZero() {
		credential = rest.OAuth(rest.ClientCredentials{TokenURL: c.URL + "/oauth2/v1/token", ID: c.OAuth.ClientID,
			Key: c.OAuth.PrivateKey, KeyID: c.OAuth.KeyID, Scopes: scopes}, rt)
	}
	client, err := rest.New(c.Budget, rest.Options{Base: c.URL, Credential: credential, Limit: limit,
		Cure: "make a new token as a read-only administrator, or grant the app " + scopes[0]}, rt)
	if err != nil {
		return nil, err
	}
	a := &api{client: client, rt: rt, tenant: c.tenant()}
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

// limit obeys Okta's headers: nothing is left of the window until it ends, given
// in seconds since 1970.
func limit(h http.Header, now time.Time) time.Duration {
	if h.Get("X-Rate-Limit-Remaining") != "0" {
		return 0
	}
	reset, err := strconv.ParseInt(h.Get("X-Rate-Limit-Reset"), 10, 64)
	if err != nil {
		return 0
	}
	return time.Unix(reset, 0).Sub(now)
}
