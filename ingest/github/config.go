package github

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"stepdown/ingest"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// Config is the audit log of one enterprise or organization that is read live.
type Config struct {
	// URL of the API: "https://api.github.com", "https://api.example.ghe.com", or
	// "https://github.example.com/api/v3" of GitHub Enterprise Server.
	URL string `yaml:"url"`
	// Enterprise and Organization are slugs; one of them is set. The inventory is of
	// an organization.
	Enterprise   string `yaml:"enterprise,omitempty"`
	Organization string `yaml:"organization,omitempty"`
	// Token has read:audit_log, and read:org for the inventory. One of Token and App
	// is set.
	Token secret.Secret `yaml:"token,omitempty"`
	App   App           `yaml:"app,omitempty"`
	// Tenant names the enterprise or organization in events; its slug where it is
	// empty.
	Tenant string `yaml:"tenant,omitempty"`

	poll.Schedule `yaml:",inline"`
	rest.Budget   `yaml:",inline"`
	Inventory     poll.SweepConfig `yaml:"inventory"`
}

// App is a GitHub App that is installed in the enterprise or organization and may
// read its administration, and members for the inventory.
type App struct {
	ID             string        `yaml:"id"`
	InstallationID string        `yaml:"installation_id"`
	PrivateKey     secret.Secret `yaml:"private_key"`
}

var _ ingest.Settings = (*Config)(nil)

// requestsPerMinute is what GitHub announced for one user, address and log; the
// documented limit is 1,750 an hour.
const requestsPerMinute = 15

// SetDefaults implements ingest.Settings.
func (c *Config) SetDefaults() {
	*c = Config{URL: "https://api.github.com", Schedule: poll.DefaultSchedule(time.Minute), Budget: rest.DefaultBudget(requestsPerMinute), Inventory: poll.DefaultSweepConfig()}
}

// Validate implements ingest.Settings.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := rest.ValidateBase(c.URL); err != nil {
		wrong("url: %w", err)
	}
	switch {
	case c.Enterprise == "" && c.Organization == "":
		wrong("organization: is not set; set it, or enterprise, to the slug in the address of its page")
	case c.Enterprise != "" && c.Organization != "":
		wrong("organization: is set beside enterprise; make two inputs")
	case strings.ContainsAny(c.Enterprise+c.Organization, "/ "):
		wrong("organization: %q is no slug", c.Enterprise+c.Organization)
	}
	switch app := c.App != (App{}); {
	case c.Token.IsZero() && !app:
		wrong("token: is not set; set it, or app")
	case !c.Token.IsZero() && app:
		wrong("token: is set beside app; use one")
	case app && c.App.ID == "":
		wrong("app.id: is not set; use the client id or the app id of its page")
	case app && !isNumber(c.App.InstallationID):
		wrong("app.installation_id: %q is no number; it is the end of the address of the installation's page", c.App.InstallationID)
	case app && c.App.PrivateKey.IsZero():
		wrong("app.private_key: is not set; generate one on the app's page")
	}
	if err := c.Inventory.Validate(); err != nil {
		wrong("inventory.%w", err)
	}
	return errors.Join(append(errs, c.Schedule.Validate(), c.Budget.Validate())...)
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 63)
	return err == nil
}

// Provider implements ingest.Settings.
func (*Config) Provider() ingest.Provider { return Provider() }

// headers are those that GitHub asks for.
func headers() http.Header { return http.Header{"X-Github-Api-Version": {"2022-11-28"}} }

const mediaType = "application/vnd.github+json"

// Open implements ingest.Settings.
func (c *Config) Open(rt ingest.Runtime) (map[string]ingest.Source, error) {
	credential := rest.Header("Authorization", "Bearer ", c.Token)
	if c.Token.IsZero() {
		var err error
		if credential, err = c.installation(rt); err != nil {
			return nil, err
		}
	}
	client, err := rest.New(c.Budget, rest.Options{Base: c.URL, Credential: credential, Limit: limit, Accept: mediaType, Header: headers(),
		Cure: "grant the token read:audit_log, or the app to read the administration; authorize it for single sign-on"}, rt)
	if err != nil {
		return nil, err
	}
	a := &api{client: client, rt: rt, tenant: cmp.Or(c.Tenant, c.Enterprise, c.Organization), org: c.Organization, path: "orgs/" + url.PathEscape(c.Organization)}
	if c.Enterprise != "" {
		a.path = "enterprises/" + url.PathEscape(c.Enterprise)
	}
	sources := map[string]ingest.Source{stream: a.log(c.Schedule)}
	if c.Inventory.Every > 0 && c.Organization != "" {
		sources[poll.StreamInventory] = a.inventory(c.Inventory)
	}
	return sources, nil
}

// limit obeys GitHub's headers: nothing is left of the hour until it ends, given in
// seconds since 1970. Secondary limits come with Retry-After, which is obeyed
// beside it.
func limit(h http.Header, now time.Time) time.Duration {
	if h.Get("X-Ratelimit-Remaining") != "0" {
		return 0
	}
	reset, err := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64)
	if err != nil {
		return 0
	}
	return time.Unix(reset, 0).Sub(now)
}

// installation returns the credential of an app in an installation: a token of an
// hour, asked for with an assertion that the app's key signs.
func (c *Config) installation(rt ingest.Runtime) (rest.Credential, error) {
	assertion := rest.CredentialFunc(func(_ context.Context, r *http.Request) error {
		text, err := c.App.PrivateKey.Value()
		if err != nil {
			return &ingest.CredentialError{Err: err}
		}
		key, err := rest.ParseKey(text)
		if err != nil {
			return &ingest.CredentialError{Err: err}
		}
		now := rt.Now()
		signed, err := rest.Sign(key, "RS256", jwt.Claims{Issuer: c.App.ID, IssuedAt: jwt.NewNumericDate(now.Add(-time.Minute)), Expiry: jwt.NewNumericDate(now.Add(5 * time.Minute))})
		if err != nil {
			return &ingest.CredentialError{Err: err}
		}
		r.Header.Set("Authorization", "Bearer "+signed)
		return nil
	})
	client, err := rest.New(c.Budget, rest.Options{Base: c.URL, Credential: assertion, Limit: limit, Accept: mediaType, Header: headers(),
		Cure: "see whether the app is installed there and the key is one of its keys"}, rt)
	if err != nil {
		return nil, err
	}
	return &installation{client: client, rt: rt, path: "app/installations/" + c.App.InstallationID + "/access_tokens"}, nil
}

// installation keeps the token that is in force.
type installation struct {
	client *rest.Client
	rt     ingest.Runtime
	path   string

	mu      sync.Mutex
	token   string
	expires time.Time
}

// renewBefore is how long before its end a token is renewed.
const renewBefore = time.Minute

// Authorize implements rest.Credential.
func (i *installation) Authorize(ctx context.Context, r *http.Request) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.token == "" || !i.rt.Now().Before(i.expires.Add(-renewBefore)) {
		resp, err := i.client.Post(ctx, i.path, nil, struct{}{})
		if err != nil {
			return err
		}
		var answer struct {
			Token     string    `json:"token"`
			ExpiresAt time.Time `json:"expires_at"`
		}
		if err := resp.JSON(&answer); err != nil {
			return err
		}
		if answer.Token == "" {
			return errors.New("github gave no token for the installation")
		}
		i.token, i.expires = answer.Token, answer.ExpiresAt
	}
	r.Header.Set("Authorization", "Bearer "+i.token)
	return nil
}

// Renew implements rest.Credential.
func (i *installation) Renew() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.token = ""
	return true
}
