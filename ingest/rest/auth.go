package rest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"stepdown/ingest"
	"stepdown/ingest/secret"
)

// Credential is what a provider knows its caller by.
type Credential interface {
	// Authorize adds it to a request; the body is set.
	Authorize(ctx context.Context, r *http.Request) error
	// Renew drops what was refused and reports whether asking again with another
	// one makes sense.
	Renew() bool
}

// CredentialFunc is a credential that is made anew for each request.
type CredentialFunc func(ctx context.Context, r *http.Request) error

// Authorize implements Credential.
func (f CredentialFunc) Authorize(ctx context.Context, r *http.Request) error { return f(ctx, r) }

// Renew implements Credential.
func (f CredentialFunc) Renew() bool { return false }

// Header sends value in the header name, after prefix ("Bearer ", "SSWS "). The
// secret is read for each request, so that a renewed file is taken up.
func Header(name, prefix string, value secret.Secret) Credential {
	return CredentialFunc(func(_ context.Context, r *http.Request) error {
		v, err := value.Value()
		if err != nil {
			return &ingest.CredentialError{Err: err}
		}
		r.Header.Set(name, prefix+v)
		return nil
	})
}

// ClientCredentials are those of an OAuth 2.0 client (RFC 6749 §4.4), with a
// secret, or with a key that signs an assertion (RFC 7523) where Key is set.
type ClientCredentials struct {
	TokenURL string
	ID       string
	Secret   secret.Secret
	// InHeader sends id and secret by basic authentication, else in the form.
	InHeader bool
	// Key is a JWK of a private key, or PEM; Algorithm as in JOSE ("RS256").
	Key       secret.Secret
	KeyID     string
	Algorithm string
	Scopes    []string
	// Params are further parameters of the token request ("audience").
	Params url.Values
}

// OAuth returns a credential that gets tokens as c says, and new ones before they
// expire or when one is refused.
func OAuth(c ClientCredentials, rt ingest.Runtime) Credential { return &tokens{config: c, rt: rt} }

// tokens keeps the token that is in force.
type tokens struct {
	config ClientCredentials
	rt     ingest.Runtime

	mu    sync.Mutex
	token *oauth2.Token
	// until is when the token is renewed.
	until time.Time
}

// renewBefore is how long before its end a token is renewed, at the most: one that
// lives for a minute is renewed after four fifths of it.
const renewBefore = time.Minute

// tokenLife is for providers that do not say how long a token lives.
const tokenLife = 5 * time.Minute

// Authorize implements Credential.
func (s *tokens) Authorize(ctx context.Context, r *http.Request) error {
	token, err := s.get(ctx)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", token.Type()+" "+token.AccessToken)
	return nil
}

// Renew implements Credential.
func (s *tokens) Renew() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = nil
	return true
}

func (s *tokens) get(ctx context.Context) (*oauth2.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != nil && s.rt.Now().Before(s.until) {
		return s.token, nil
	}
	params := url.Values{}
	maps.Copy(params, s.config.Params)
	cc := clientcredentials.Config{ClientID: s.config.ID, TokenURL: s.config.TokenURL, Scopes: s.config.Scopes, EndpointParams: params, AuthStyle: oauth2.AuthStyleInParams}
	if s.config.Key.IsZero() {
		value, err := s.config.Secret.Value()
		if err != nil {
			return nil, &ingest.CredentialError{Err: err}
		}
		cc.ClientSecret = value
		if s.config.InHeader {
			cc.AuthStyle = oauth2.AuthStyleInHeader
		}
	} else {
		assertion, err := s.assertion()
		if err != nil {
			return nil, &ingest.CredentialError{Err: err}
		}
		params.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		params.Set("client_assertion", assertion)
	}
	client := &http.Client{Transport: s.rt.HTTP, Timeout: time.Minute, CheckRedirect: noRedirect}
	token, err := cc.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
	if err != nil {
		return nil, tokenError(s.config.TokenURL, err)
	}
	life := tokenLife
	if !token.Expiry.IsZero() {
		life = time.Until(token.Expiry)
	}
	s.token, s.until = token, s.rt.Now().Add(life-min(renewBefore, life/5)) // by the runtime's clock
	return token, nil
}

// numberOf returns the provider's number of an error that begins its description,
// "AADSTS7000222: The provided client secret keys are expired".
func numberOf(description string) string {
	word, _, _ := strings.Cut(description, ":")
	letters := strings.TrimRight(word, "0123456789")
	if letters == "" || letters == word || len(word) > 24 || strings.ContainsFunc(letters, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		return ""
	}
	return word
}

// tokenError keeps what the token endpoint says of the error, and nothing that
// was sent to it.
func tokenError(address string, err error) error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return fmt.Errorf("get token from %s: %w", bare(address), withoutURL(err))
	}
	said := refused.ErrorCode
	if said == "" && refused.Response != nil {
		said = refused.Response.Status
	}
	if code := numberOf(refused.ErrorDescription); code != "" {
		said += " " + code
	}
	err = fmt.Errorf("get token from %s: %s", bare(address), said)
	if refused.Response != nil && (refused.Response.StatusCode >= 500 || refused.Response.StatusCode == http.StatusTooManyRequests) {
		return err
	}
	return &ingest.CredentialError{Err: err}
}

// assertionLife is short: the assertion is used at once.
const assertionLife = 2 * time.Minute

func (s *tokens) assertion() (string, error) {
	text, err := s.config.Key.Value()
	if err != nil {
		return "", err
	}
	key, err := ParseKey(text)
	if err != nil {
		return "", err
	}
	if s.config.KeyID != "" {
		key.KeyID = s.config.KeyID
	}
	algorithm := s.config.Algorithm
	if algorithm == "" {
		algorithm = string(jose.RS256)
	}
	now := s.rt.Now()
	return Sign(key, algorithm, jwt.Claims{
		Issuer: s.config.ID, Subject: s.config.ID, Audience: jwt.Audience{s.config.TokenURL}, ID: nonce(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionLife)),
	})
}

func nonce() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails, by its documentation
	return hex.EncodeToString(b)
}

// bare is an address without its query, for errors.
func bare(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the configured address"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// withoutURL takes the URL, whose query may hold a credential, off an error of
// net/http. A connection that is closed without an answer is io.EOF there, which is
// the end of the input to a collector: it becomes io.ErrUnexpectedEOF.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("connection closed without an answer: %w", io.ErrUnexpectedEOF)
	}
	return err
}
