package keycloak

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

// Config is one realm of a Keycloak server that is read live. The realm must save
// its events and admin events, with their representation.
type Config struct {
	// URL of the server, with the path before /realms and /admin where there is one
	// ("/auth" up to version 16).
	URL string `yaml:"url"`
	// Realm that is read.
	Realm string `yaml:"realm"`
	// ClientID and ClientSecret are those of a confidential client with a service
	// account that has the roles view-events and view-users of the client
	// realm-management.
	ClientID     string        `yaml:"client_id"`
	ClientSecret secret.Secret `yaml:"client_secret"`
	// AuthRealm is where that client is; Realm where it is empty.
	AuthRealm string `yaml:"auth_realm,omitempty"`
	// UnnamedFactorIsPassword says that the realm's flows have no authenticator that
	// Keycloak leaves out of LOGIN but the password: no Kerberos, none of an extension.
	// A LOGIN that begins a session and names no factor is one by password then; the
	// source asks for the sessions of its user. Without it, it stays unknown.
	UnnamedFactorIsPassword bool `yaml:"unnamed_factor_is_password,omitempty"`
	// Tenant names the realm in events; Realm where it is empty.
	Tenant string `yaml:"tenant,omitempty"`

	poll.Schedule `yaml:",inline"`
	rest.Budget   `yaml:",inline"`
	Inventory     poll.SweepConfig `yaml:"inventory"`
}

var _ ingest.Settings = (*Config)(nil)

// requestsPerMinute is modest: the server answers sign-ins at the same time.
const requestsPerMinute = 300

// SetDefaults implements ingest.Settings.
func (c *Config) SetDefaults() {
	*c = Config{Schedule: poll.DefaultSchedule(15 * time.Second), Budget: rest.DefaultBudget(requestsPerMinute), Inventory: poll.DefaultSweepConfig()}
}

// Validate implements ingest.Settings.
func (c *Config) Validate() error {
	var errs []error
	if err := rest.ValidateBase(c.URL); err != nil {
		errs = append(errs, fmt.Errorf("url: %w", err))
	}
	if c.Realm == "" {
		errs = append(errs, errors.New("realm: is not set"))
	}
	if c.ClientID == "" {
		errs = append(errs, errors.New("client_id: is not set; use that of a client with a service account"))
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
	return c.open(rt, pageSize, maxPages)
}

func (c *Config) open(rt ingest.Runtime, size, pages int) (map[string]ingest.Source, error) {
	a, err := c.api(rt, size, pages)
	if err != nil {
		return nil, err
	}
	sources := map[string]ingest.Source{
		streamEvents:      a.log(c, streamEvents, "events"),
		streamAdminEvents: a.log(c, streamAdminEvents, "admin-events"),
	}
	if c.Inventory.Every > 0 {
		sources[poll.StreamInventory] = a.inventory(c.Inventory)
	}
	return sources, nil
}

func (c *Config) api(rt ingest.Runtime, size, pages int) (*api, error) {
	realm, tenant := c.AuthRealm, c.Tenant
	if realm == "" {
		realm = c.Realm
	}
	if tenant == "" {
		tenant = c.Realm
	}
	base := strings.TrimSuffix(c.URL, "/")
	credential := rest.OAuth(rest.ClientCredentials{TokenURL: base + "/realms/" + url.PathEscape(realm) + "/protocol/openid-connect/token",
		ID: c.ClientID, Secret: c.ClientSecret}, rt)
	client, err := rest.New(c.Budget, rest.Options{Base: base + "/admin/realms/" + url.PathEscape(c.Realm), Credential: credential,
		Cure: "give the client's service account the roles view-events and view-users of realm-management"}, rt)
	if err != nil {
		return nil, err
	}
	return &api{client: client, rt: rt, tenant: tenant, size: size, pages: pages, unnamed: c.UnnamedFactorIsPassword}, nil
}
