package google

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"stepdown/ingest"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// delegation is a service account that acts as an administrator of the domain
// (domain-wide delegation). It keeps the token that is in force.
type delegation struct {
	key     secret.Secret
	subject string
	scopes  []string
	rt      ingest.Runtime

	mu    sync.Mutex
	token *oauth2.Token
}

// Authorize implements rest.Credential.
func (d *delegation) Authorize(ctx context.Context, r *http.Request) error {
	token, err := d.get(ctx)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token.AccessToken)
	return nil
}

// Renew implements rest.Credential.
func (d *delegation) Renew() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.token = nil
	return true
}

// renewBefore is how long before its end a token is renewed; tokenLife is for
// answers that do not say how long one lives.
const (
	renewBefore = time.Minute
	tokenLife   = 5 * time.Minute
)

func (d *delegation) get(ctx context.Context) (*oauth2.Token, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.token != nil && d.rt.Now().Before(d.token.Expiry.Add(-renewBefore)) {
		return d.token, nil
	}
	exchange, err := d.exchange()
	if err != nil {
		return nil, &ingest.CredentialError{Err: err, Cure: "use the JSON key of the service account as Google made it"}
	}
	client := &http.Client{Transport: d.rt.HTTP, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	token, err := exchange.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
	if err != nil {
		return nil, tokenError(err)
	}
	life := tokenLife
	if !token.Expiry.IsZero() {
		life = time.Until(token.Expiry)
	}
	token.Expiry = d.rt.Now().Add(life) // by the runtime's clock
	d.token = token
	return token, nil
}

// assertionLife is short: the assertion is used at once.
const assertionLife = 10 * time.Minute

// exchange makes a token request of a signed assertion (RFC 7523 §2.1). The key is
// read anew, so that a renewed file is taken up; errors repeat nothing of it.
func (d *delegation) exchange() (*clientcredentials.Config, error) {
	text, err := d.key.Value()
	if err != nil {
		return nil, err
	}
	var account struct {
		Type     string `json:"type"`
		Email    string `json:"client_email"`
		Key      string `json:"private_key"`
		KeyID    string `json:"private_key_id"`
		TokenURL string `json:"token_uri"`
	}
	if json.Unmarshal([]byte(text), &account) != nil || account.Type != "service_account" || account.Email == "" {
		return nil, errors.New("read service_account: it is no JSON key of a service account")
	}
	if err := rest.ValidateBase(account.TokenURL); err != nil {
		return nil, fmt.Errorf("read service_account: token_uri %w", err)
	}
	key, err := rest.ParseKey(account.Key)
	if err != nil {
		return nil, fmt.Errorf("read service_account: %w", err)
	}
	key.KeyID = account.KeyID
	now := d.rt.Now()
	assertion, err := rest.Sign(key, "RS256", struct {
		jwt.Claims
		Scope string `json:"scope"`
	}{jwt.Claims{Issuer: account.Email, Subject: d.subject, Audience: jwt.Audience{account.TokenURL},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionLife))}, strings.Join(d.scopes, " ")})
	if err != nil {
		return nil, fmt.Errorf("read service_account: %w", err)
	}
	return &clientcredentials.Config{TokenURL: account.TokenURL, AuthStyle: oauth2.AuthStyleInParams, EndpointParams: url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}}, nil
}

// tokenError keeps what the token endpoint says of the error, and nothing that was
// sent to it.
func tokenError(err error) error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok || refused.Response == nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return fmt.Errorf("get token: %w", err)
	}
	said := refused.ErrorCode
	if said == "" {
		said = refused.Response.Status
	}
	err = fmt.Errorf("get token: %s", said)
	if refused.Response.StatusCode >= 500 || refused.Response.StatusCode == http.StatusTooManyRequests {
		return err
	}
	return &ingest.CredentialError{Err: err, Cure: "see that the key is not deleted and that the scopes are delegated to the account's client id"}
}

// quota makes Google's answers to too many requests what they are elsewhere: a
// quota that is used up may come as 403, with a reason in the body, and no answer
// says for how long.
type quota struct{ next http.RoundTripper }

// quotaWait is the pause after a quota of one minute was used up.
const quotaWait = "30"

// maxRefusal bounds what is read of a 403.
const maxRefusal = 64 << 10

// RoundTrip implements http.RoundTripper.
func (q quota) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := q.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusForbidden {
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
		_ = resp.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		for _, reason := range [...]string{"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"} {
			if bytes.Contains(body, []byte(`"`+reason+`"`)) {
				resp.StatusCode = http.StatusTooManyRequests
			}
		}
	}
	if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
		resp.Header.Set("Retry-After", quotaWait)
	}
	return resp, nil
}
