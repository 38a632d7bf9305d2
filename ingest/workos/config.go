package workos

import (
	"errors"
	"fmt"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// Config is one WorkOS environment that is read live.
type Config struct {
	// URL of the API.
	URL string `yaml:"url"`
	// APIKey is a secret key of the environment ("sk_…").
	APIKey secret.Secret `yaml:"api_key"`
	// Tenant names the environment in events; the API does not say which one a key
	// belongs to.
	Tenant string `yaml:"tenant"`
	// Events are the types that are asked for: the API delivers no others.
	Events []string `yaml:"events"`

	poll.Schedule `yaml:",inline"`
	rest.Budget   `yaml:",inline"`
	Inventory     poll.SweepConfig `yaml:"inventory"`
}

var _ ingest.Settings = (*Config)(nil)

const requestsPerMinute = 60

// eventTypes are those that an environment can be asked for and that say anything
// of authentication. The description of the API has authentication.mfa_failed and
// authentication.email_verification_failed as well, but not among those.
func eventTypes() []string {
	return []string{
		"authentication.email_verification_succeeded", "authentication.magic_auth_failed", "authentication.magic_auth_succeeded",
		"authentication.mfa_succeeded", "authentication.oauth_failed", "authentication.oauth_succeeded", "authentication.passkey_failed",
		"authentication.passkey_succeeded", "authentication.password_failed", "authentication.password_succeeded",
		"authentication.radar_risk_detected", "authentication.reauthentication_succeeded", "authentication.sso_failed",
		"authentication.sso_succeeded", "authentication.sso_timed_out",
		"session.created", "session.revoked", "password_reset.created", "password_reset.succeeded", "magic_auth.created",
		"email_verification.created", "radar.challenge_created",
		"user.created", "user.updated", "user.deleted", "invitation.created", "invitation.accepted", "invitation.revoked",
		"organization_membership.created", "organization_membership.updated", "organization_membership.deleted",
		"organization_role.created", "organization_role.updated", "organization_role.deleted", "role.created", "role.updated", "role.deleted",
		"permission.created", "permission.updated", "permission.deleted",
		"connection.activated", "connection.deactivated", "connection.deleted", "connection.saml_certificate_renewed",
		"api_key.created", "api_key.updated", "api_key.revoked",
		"dsync.activated", "dsync.deleted", "dsync.user.created", "dsync.user.updated", "dsync.user.deleted", "dsync.group.user_added", "dsync.group.user_removed",
		"pipes.connected_account.connected", "pipes.connected_account.disconnected",
	}
}

// SetDefaults implements ingest.Settings.
func (c *Config) SetDefaults() {
	*c = Config{URL: "https://api.workos.com", Events: eventTypes(), Schedule: poll.DefaultSchedule(30 * time.Second),
		Budget: rest.DefaultBudget(requestsPerMinute), Inventory: poll.DefaultSweepConfig()}
}

// Validate implements ingest.Settings.
func (c *Config) Validate() error {
	var errs []error
	if err := rest.ValidateBase(c.URL); err != nil {
		errs = append(errs, fmt.Errorf("url: %w", err))
	}
	if c.APIKey.IsZero() {
		errs = append(errs, errors.New("api_key: is not set; use a secret key of the environment"))
	}
	if c.Tenant == "" {
		errs = append(errs, errors.New("tenant: is empty; give the environment a name, such as production"))
	}
	if len(c.Events) == 0 {
		errs = append(errs, errors.New("events: is empty; leave it out to read all that are known"))
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
	client, err := rest.New(c.Budget, rest.Options{Base: c.URL, Credential: rest.Header("Authorization", "Bearer ", c.APIKey),
		Cure: "make a new secret key for the environment"}, rt)
	if err != nil {
		return nil, err
	}
	a := &api{client: client, rt: rt, tenant: c.Tenant}
	sources := map[string]ingest.Source{streamEvents: a.log(c)}
	if c.Inventory.Every > 0 {
		sources[poll.StreamInventory] = a.inventory(c.Inventory)
	}
	return sources, nil
}
