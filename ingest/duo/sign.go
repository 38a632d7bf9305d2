package duo

import (
	"context"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// signed returns the credential of an Admin API application: each request is signed
// with its secret key, by version 5 of Duo's signature.
func signed(integrationKey string, key secret.Secret, now func() time.Time) rest.Credential {
	return rest.CredentialFunc(func(_ context.Context, r *http.Request) error {
		skey, err := key.Value()
		if err != nil {
			return &ingest.CredentialError{Err: err}
		}
		date := now().UTC().Format(time.RFC1123Z)
		r.Header.Set("Date", date)
		r.SetBasicAuth(integrationKey, signature(skey, date, r))
		return nil
	})
}

// signature signs a request without body and without X-Duo headers: all that the
// sources send.
func signature(skey, date string, r *http.Request) string {
	empty := sha512.Sum512(nil)
	none := hex.EncodeToString(empty[:])
	canonical := strings.Join([]string{date, r.Method, strings.ToLower(r.URL.Host), r.URL.Path,
		strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20"), none, none}, "\n")
	mac := hmac.New(sha512.New, []byte(skey))
	mac.Write([]byte(canonical))
	return hex.EncodeToString(mac.Sum(nil))
}

// patient gives Duo's 429 the pause that it does not name.
type patient struct{ next http.RoundTripper }

// throttleWait is the longest pause of Duo's own clients.
const throttleWait = "32"

// RoundTrip implements http.RoundTripper.
func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := p.next.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("call duo: %w", err)
	}
	if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
		resp.Header.Set("Retry-After", throttleWait)
	}
	return resp, nil
}
