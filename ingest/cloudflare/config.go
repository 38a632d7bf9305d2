package cloudflare

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// Config is the Access log of one account that is read live.
type Config struct {
	// URL of the API.
	URL string `yaml:"url"`
	// AccountID is that of the account, 32 hexadecimal digits.
	AccountID string `yaml:"account_id"`
	// Token is an API token with the permission Access: Audit Logs Read.
	Token secret.Secret `yaml:"token"`
	// Tenant names the account in events; its id where it is empty.
	Tenant string `yaml:"tenant,omitempty"`

	poll.Schedule `yaml:",inline"`
	rest.Budget   `yaml:",inline"`
}

var _ ingest.Settings = (*Config)(nil)

// requestsPerMinute is a quarter of what one user has in all, 1,200 in five
// minutes.
const requestsPerMinute = 60

// SetDefaults implements ingest.Settings.
func (c *Config) SetDefaults() {
	*c = Config{URL: "https://api.cloudflare.com/client/v4", Schedule: poll.DefaultSchedule(time.Minute), Budget: rest.DefaultBudget(requestsPerMinute)}
}

// Validate implements ingest.Settings.
func (c *Config) Validate() error {
	var errs []error
	if err := rest.ValidateBase(c.URL); err != nil {
		errs = append(errs, fmt.Errorf("url: %w", err))
	}
	switch {
	case c.AccountID == "":
		errs = append(errs, errors.New("account_id: is not set; it is in the address of the account's dashboard"))
	case len(c.AccountID) != 32 || strings.Trim(c.AccountID, "0123456789abcdef") != "":
		errs = append(errs, fmt.Errorf("account_id: %q is not 32 hexadecimal digits", c.AccountID))
	}
	if c.Token.IsZero() {
		errs = append(errs, errors.New("token: is not set; make an API token with Access: Audit Logs Read"))
	}
	return errors.Join(append(errs, c.Schedule.Validate(), c.Budget.Validate())...)
}

// Provider implements ingest.Settings.
func (*Config) Provider() ingest.Provider { return Provider() }

// Open implements ingest.Settings.
func (c *Config) Open(rt ingest.Runtime) (map[string]ingest.Source, error) {
	client, err := rest.New(c.Budget, rest.Options{Base: c.URL, Credential: rest.Header("Authorization", "Bearer ", c.Token), Limit: limit,
		Cure: "make an API token with Access: Audit Logs Read for this account"}, rt)
	if err != nil {
		return nil, err
	}
	a := &api{client: client, rt: rt, tenant: cmp.Or(c.Tenant, c.AccountID), path: "accounts/" + url.PathEscape(c.AccountID) + "/access/logs/access_requests"}
	return map[string]ingest.Source{stream: a.log(c.Schedule)}, nil
}

// limit obeys the header Ratelimit: what remains (r) until the window ends in so
// many seconds (t), as in "default";r=0;t=30.
func limit(h http.Header, _ time.Time) time.Duration {
	var longest time.Duration
	for item := range strings.SplitSeq(h.Get("Ratelimit"), ",") {
		left, seconds := -1, 0
		for param := range strings.SplitSeq(item, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
			n, err := strconv.Atoi(value)
			switch {
			case err != nil:
			case name == "r":
				left = n
			case name == "t":
				seconds = n
			}
		}
		if left == 0 {
			longest = max(longest, time.Duration(seconds)*time.Second)
		}
	}
	return longest
}
