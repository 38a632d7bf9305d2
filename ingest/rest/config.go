package rest

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Budget bounds what one input asks of a provider. Providers' settings have it
// inline.
type Budget struct {
	// RequestsPerMinute is the budget of this input; the provider's own limit
	// holds beside it.
	RequestsPerMinute int `yaml:"requests_per_minute"`
	// Timeout is for one request with its answer.
	Timeout time.Duration `yaml:"timeout"`
}

// DefaultBudget allows that many requests, of a minute each.
func DefaultBudget(requestsPerMinute int) Budget {
	return Budget{RequestsPerMinute: requestsPerMinute, Timeout: time.Minute}
}

// Validate reports everything that is wrong with c, by its YAML path.
func (c Budget) Validate() error {
	var errs []error
	if c.RequestsPerMinute < 1 {
		errs = append(errs, fmt.Errorf("requests_per_minute: is %d; use 1 or more", c.RequestsPerMinute))
	}
	if c.Timeout < time.Second {
		errs = append(errs, fmt.Errorf("timeout: is %s; use a second or more", c.Timeout))
	}
	return errors.Join(errs...)
}

// ValidateBase reports what is wrong with the base address of an API: it must be
// https, but for addresses of the machine itself.
func ValidateBase(address string) error {
	u, err := url.Parse(address)
	switch {
	case address == "":
		return errors.New("is not set")
	case err != nil || u.Host == "":
		return fmt.Errorf("is %q; use an address such as https://example.com", address)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("has more than scheme, host and path")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (u.Hostname() == "127.0.0.1" || u.Hostname() == "::1" || u.Hostname() == "localhost"):
		return nil
	}
	return fmt.Errorf("is %q; use https: the credential travels with every request", address)
}
