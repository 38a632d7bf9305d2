package rest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest"
	"stepdown/ingest/secret"
)

// clock is a runtime whose waiting moves its time.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	waits []time.Duration
}

func newClock() *clock { return &clock{now: time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)} }

func (c *clock) runtime() ingest.Runtime {
	return ingest.Runtime{
		Input: "test", Log: slog.New(slog.DiscardHandler), HTTP: http.DefaultTransport,
		Now: func() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now },
		Wait: func(ctx context.Context, d time.Duration) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.now = c.now.Add(d)
			c.waits = append(c.waits, d)
			return ctx.Err()
		},
	}
}

func token(t *testing.T, value string) secret.Secret {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
	return secret.FromFile(path)
}

func client(t *testing.T, c *clock, base string, opts Options) *Client {
	t.Helper()
	opts.Base = base
	out, err := New(DefaultBudget(600), opts, c.runtime())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestThrottledRequestsWaitAsLongAsTheProviderSays(t *testing.T) {
	c := newClock()
	for name, tc := range map[string]struct {
		status  int
		headers map[string]string
		total   time.Duration // of two refusals
	}{
		"seconds": {429, map[string]string{"Retry-After": "7"}, 14 * time.Second},
		// At the second refusal it is past.
		"a date":         {429, map[string]string{"Retry-After": c.now.Add(9 * time.Second).Format(http.TimeFormat)}, 9*time.Second + minWait},
		"its own header": {429, map[string]string{"X-Reset-In": "11s"}, 22 * time.Second},
		"unavailable":    {503, map[string]string{"Retry-After": "3"}, 6 * time.Second},
		"forbidden":      {403, map[string]string{"Retry-After": "60"}, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			refuse := 2
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if refuse--; refuse >= 0 {
					for k, v := range tc.headers {
						w.Header().Set(k, v)
					}
					w.WriteHeader(tc.status)
					return
				}
				fmt.Fprint(w, `{}`)
			}))
			defer srv.Close()
			cl := client(t, c, srv.URL, Options{Limit: func(h http.Header, _ time.Time) time.Duration {
				d, _ := time.ParseDuration(h.Get("X-Reset-In"))
				return d
			}})
			if _, err := cl.Get(t.Context(), "logs", nil); err != nil {
				t.Fatal(err)
			}
			var waited time.Duration
			for _, d := range c.waits {
				waited += d
			}
			if waited != tc.total {
				t.Errorf("waited %s (%v), want %s", waited, c.waits, tc.total)
			}
		})
	}
}

// TestThrottledForLongIsAnError: an input that stands still must say so.
func TestThrottledForLongIsAnError(t *testing.T) {
	for name, tc := range map[string]struct {
		retryAfter string
		waited     time.Duration // before the error
		said       string
	}{
		"at once":     {"86400", 0, "throttled for 15m0s"},
		"bit by bit":  {"240", 8 * time.Minute, "throttled for 12m0s"},
		"at the most": {"600", 10 * time.Minute, "throttled for 20m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", tc.retryAfter)
				w.WriteHeader(http.StatusTooManyRequests)
			}))
			defer srv.Close()
			cl, begin := client(t, c, srv.URL, Options{}), c.now
			_, err := cl.Get(t.Context(), "logs", nil)
			if _, ok := errors.AsType[*throttledError](err); !ok || !strings.HasSuffix(err.Error(), tc.said) || c.now.Sub(begin) != tc.waited {
				t.Fatalf("error %v after %s, want %q after %s", err, c.now.Sub(begin), tc.said, tc.waited)
			}
			// The next request still keeps to what the provider said.
			before := c.now
			_, _ = cl.Get(t.Context(), "logs", nil)
			if len(c.waits) == 0 || c.now.Equal(before) {
				t.Error("the next request went out at once")
			}
		})
	}
}

func TestThrottledWithoutAWordWaitsLongerEachTime(t *testing.T) {
	c := newClock()
	refuse := 12
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if refuse--; refuse >= 0 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, `{}`)
	}))
	defer srv.Close()
	if _, err := client(t, c, srv.URL, Options{}).Get(t.Context(), "logs", nil); err != nil {
		t.Fatal(err)
	}
	first, last := c.waits[0], c.waits[len(c.waits)-1]
	if first != minWait || last < 10*minWait || last > 2*time.Minute {
		t.Errorf("waited %v, want from %s to about a minute", c.waits, minWait)
	}
}

func TestErrorsOfTheMomentAreTriedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		statuses []int
		requests int
		wantErr  int
	}{
		"once":      {[]int{500, 200}, 2, 0},
		"twice":     {[]int{502, 504, 200}, 3, 0},
		"for long":  {[]int{500, 500, 500, 200}, 3, 500},
		"our fault": {[]int{400, 200}, 1, 400},
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.statuses[requests])
				requests++
			}))
			defer srv.Close()
			_, err := client(t, newClock(), srv.URL, Options{}).Get(t.Context(), "/logs", nil)
			got := 0
			if status, ok := errors.AsType[*StatusError](err); ok {
				got = status.Status
			}
			if got != tc.wantErr || requests != tc.requests {
				t.Errorf("error %v after %d requests, want %d after %d", err, requests, tc.wantErr, tc.requests)
			}
		})
	}
}

func TestAnAnswerThatIsTooLargeIsNotAskedForAgain(t *testing.T) {
	requests := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		fmt.Fprint(w, strings.Repeat(" ", 101))
	}))
	defer srv.Close()
	_, err := client(t, newClock(), srv.URL, Options{MaxBody: 100}).Get(t.Context(), "logs", nil)
	if err == nil || !strings.HasSuffix(err.Error(), "answer is larger than 100 bytes") || requests != 1 {
		t.Errorf("error %v after %d requests, want one that says so after 1", err, requests)
	}
}

func TestHasStatus(t *testing.T) {
	refused := fmt.Errorf("get: %w", &ingest.CredentialError{Err: &StatusError{Status: 403}})
	for name, tc := range map[string]struct {
		err   error
		codes []int
		want  bool
	}{
		"none":                    {nil, []int{404}, false},
		"of the connection":       {io.ErrUnexpectedEOF, []int{404}, false},
		"the second":              {&StatusError{Status: 410}, []int{404, 410}, true},
		"another":                 {&StatusError{Status: 500}, []int{404, 410}, false},
		"a refusal":               {refused, []int{403}, true},
		"a refusal by no request": {&ingest.CredentialError{Err: errors.New("no such file")}, []int{403}, false},
	} {
		if got := HasStatus(tc.err, tc.codes...); got != tc.want {
			t.Errorf("%s: HasStatus(%v, %v) = %t, want %t", name, tc.err, tc.codes, got, tc.want)
		}
	}
}

// TestRequestsAreCounted by all clients of a process together.
func TestRequestsAreCounted(t *testing.T) {
	statuses := []int{200, 429, 200, 500, 403, 404, 200}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if statuses[0] == 429 {
			w.Header().Set("Retry-After", "7")
		}
		w.WriteHeader(statuses[0])
		statuses = statuses[1:]
	}))
	defer srv.Close()
	c, reg := newClock(), prometheus.NewPedanticRegistry()
	for range 5 { // 500 is tried again
		rt := c.runtime()
		rt.Registerer = reg
		cl, err := New(DefaultBudget(600), Options{Base: srv.URL}, rt)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = cl.Get(t.Context(), "logs", nil)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			key := family.GetName()
			for _, label := range m.GetLabel() {
				key += " " + label.GetValue()
			}
			got[key] = m.GetCounter().GetValue()
		}
	}
	want := map[string]float64{
		"stepdown_ingest_requests_total test ok": 3, "stepdown_ingest_requests_total test throttled": 1, "stepdown_ingest_requests_total test refused": 1,
		"stepdown_ingest_requests_total test client_error": 1, "stepdown_ingest_requests_total test server_error": 1,
		"stepdown_ingest_throttled_seconds_total test": 7,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func TestErrorsNeverHoldSecrets(t *testing.T) {
	const hidden = "very-secret-value"
	for name, handler := range map[string]http.HandlerFunc{
		"refused": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, r.Header)
		},
		"echo": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"error":%q}`, r.URL.String())
		},
		"broken off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://example.org/?k="+hidden, http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(handler)
			defer srv.Close()
			cl := client(t, newClock(), srv.URL, Options{Credential: Header("Authorization", "Bearer ", token(t, hidden))})
			_, err := cl.Get(t.Context(), "logs", map[string][]string{"key": {hidden}})
			if err == nil || strings.Contains(err.Error(), hidden) {
				t.Errorf("error %v: want one, without the secret", err)
			}
			if _, ok := errors.AsType[*ingest.CredentialError](err); ok != (name == "refused") {
				t.Errorf("error %v: is a credential error: %t", err, ok)
			}
		})
	}
}

// TestAClosedConnectionIsNoEndOfTheInput: to a collector, io.EOF would be that.
func TestAClosedConnectionIsNoEndOfTheInput(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			w.Header().Set("Content-Length", "10")
			fmt.Fprint(w, "{")
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	}))
	defer srv.Close()
	c := newClock()
	for name, tc := range map[string]struct {
		path string
		cred Credential
	}{
		"without an answer":         {"logs", nil},
		"within the answer":         {"half", nil},
		"at the token endpoint":     {"logs", OAuth(ClientCredentials{TokenURL: srv.URL + "/token", ID: "client", Secret: token(t, "synthetic")}, c.runtime())},
		"at a provider's own token": {"logs", CredentialFunc(func(context.Context, *http.Request) error { return fmt.Errorf("get token: %w", io.EOF) })},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client(t, c, srv.URL, Options{Credential: tc.cred}).Get(t.Context(), tc.path, nil)
			if err == nil || errors.Is(err, io.EOF) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error %v, want io.ErrUnexpectedEOF and not io.EOF", err)
			}
		})
	}
}

func TestTheCredentialGoesToTheConfiguredHostOnly(t *testing.T) {
	cl := client(t, newClock(), "https://api.example.com/base", Options{})
	for ref, want := range map[string]string{
		"logs?a=1":                           "https://api.example.com/base/logs?a=1",
		"/logs":                              "https://api.example.com/base/logs",
		"https://api.example.com/logs?after": "https://api.example.com/logs?after",
		"https://example.org/logs":           "",
		"http://api.example.com/logs":        "",
		"//example.org/logs":                 "",
	} {
		got, err := cl.resolve(ref, nil)
		if (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("resolve(%q) = %v, %v, want %q", ref, got, err, want)
		}
	}
	for _, base := range []string{"", "example.com", "http://example.com", "https://user@example.com", "https://example.com?x=1", "ftp://example.com"} {
		if ValidateBase(base) == nil {
			t.Errorf("ValidateBase(%q) = nil", base)
		}
	}
}

func TestNextLink(t *testing.T) {
	for name, tc := range map[string]struct {
		links []string
		want  string
	}{
		"two headers, commas": {[]string{`<https://x/logs>; rel="self"`, `<https://x/logs?after=1,2>; rel="next"`}, "https://x/logs?after=1,2"},
		"joined":              {[]string{`<https://x/logs>; rel="self", <https://x/logs?after=1>; rel="next"`}, "https://x/logs?after=1"},
		"next comes first":    {[]string{`<https://x/logs?after=1>; rel="next", <https://x/logs>; rel="self"`}, "https://x/logs?after=1"},
		"without quotes":      {[]string{`<https://x/logs?after=1>; rel=next`}, "https://x/logs?after=1"},
		"a title before":      {[]string{`<https://x/logs?after=1>; title="a"; rel="next"`}, "https://x/logs?after=1"},
		"last page":           {[]string{`<https://x/logs>; rel="prev"`}, ""},
		"broken":              {[]string{`<https://x/logs; rel="next"`}, ""},
		"none":                {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := Response{Header: http.Header{"Link": tc.links}}
			if got := r.Next(); got != tc.want {
				t.Errorf("Next() = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestOAuthTokensAreRenewed(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := token(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	issued, valid := 0, ""
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/token" {
			if r.Header.Get("Authorization") != "Bearer "+valid {
				w.WriteHeader(http.StatusUnauthorized)
			}
			fmt.Fprint(w, `{}`)
			return
		}
		parsed, err := jwt.ParseSigned(r.FormValue("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
		var claims jwt.Claims
		if err != nil || parsed.Claims(&key.PublicKey, &claims) != nil || claims.Issuer != "client" ||
			!claims.Audience.Contains(srv.URL+"/token") || r.FormValue("scope") != "logs.read" || r.FormValue("client_id") != "client" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_client"}`)
			return
		}
		issued++
		valid = fmt.Sprintf("token-%d", issued)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": valid, "token_type": "bearer", "expires_in": 600})
	}))
	defer srv.Close()
	c := newClock()
	cl := client(t, c, srv.URL, Options{Credential: OAuth(ClientCredentials{
		TokenURL: srv.URL + "/token", ID: "client", Key: keyFile, Algorithm: "ES256", Scopes: []string{"logs.read"}}, c.runtime())})
	get := func(wantIssued int, why string) {
		t.Helper()
		if _, err := cl.Get(t.Context(), "logs", nil); err != nil {
			t.Fatalf("%s: %v", why, err)
		}
		if issued != wantIssued {
			t.Errorf("%s: %d tokens issued, want %d", why, issued, wantIssued)
		}
	}
	get(1, "first request")
	get(1, "second request")
	valid = "revoked meanwhile"
	get(2, "a refused token")
	c.now = c.now.Add(9*time.Minute + time.Second)
	get(3, "a token about to expire")
}

// TestATokenOfAMinuteIsUsed, and renewed before its end.
func TestATokenOfAMinuteIsUsed(t *testing.T) {
	issued := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/token" {
			issued++
			fmt.Fprint(w, `{"access_token":"synthetic","token_type":"bearer","expires_in":60}`)
			return
		}
		fmt.Fprint(w, `{}`)
	}))
	defer srv.Close()
	c := newClock()
	cl := client(t, c, srv.URL, Options{Credential: OAuth(ClientCredentials{TokenURL: srv.URL + "/token", ID: "client", Secret: token(t, "synthetic")}, c.runtime())})
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {40 * time.Second, 1}, {10 * time.Second, 2}} {
		c.now = c.now.Add(step.after)
		if _, err := cl.Get(t.Context(), "logs", nil); err != nil {
			t.Fatal(err)
		}
		if issued != step.want {
			t.Errorf("%s on: %d tokens issued, want %d", step.after, issued, step.want)
		}
	}
}

func TestARefusedTokenRequestSaysWhatToDo(t *testing.T) {
	const hidden = "very-secret"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_client", "error_description": "EXAMPLE7000222: The secret " + r.FormValue("client_secret") + " has expired."})
	}))
	defer srv.Close()
	c := newClock()
	cl := client(t, c, srv.URL, Options{Cure: "make a new secret", Credential: OAuth(ClientCredentials{TokenURL: srv.URL + "/token", ID: "client", Secret: token(t, hidden)}, c.runtime())})
	_, err := cl.Get(t.Context(), "logs", nil)
	refused, ok := errors.AsType[*ingest.CredentialError](err)
	if !ok || !strings.HasSuffix(refused.Error(), "invalid_client EXAMPLE7000222; make a new secret") || strings.Contains(refused.Error(), hidden) {
		t.Errorf("error = %v, want its number and the cure, and no secret", err)
	}
}

func TestParseKeyRefusesWhatIsNone(t *testing.T) {
	for _, text := range []string{"", "very-secret", `{"kty":"RSA","n":"AQAB","e":"AQAB"}`, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"} {
		if _, err := ParseKey(text); err == nil || strings.Contains(err.Error(), "very-secret") {
			t.Errorf("ParseKey(%q) = %v, want an error that does not repeat it", text, err)
		}
	}
}

func TestAnAssertionNamesItsCertificate(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyBlock := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
	certBlock := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	sum := sha256.Sum256(certificate)
	for name, tc := range map[string]struct {
		pem  []byte
		want any
	}{
		"certificate first": {slices.Concat(certBlock, keyBlock), base64.RawURLEncoding.EncodeToString(sum[:])},
		"key first":         {slices.Concat(keyBlock, certBlock), base64.RawURLEncoding.EncodeToString(sum[:])},
		"key alone":         {keyBlock, nil},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := ParseKey(string(tc.pem))
			if err != nil {
				t.Fatal(err)
			}
			signed, err := Sign(key, "PS256", jwt.Claims{Issuer: "client"})
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := jwt.ParseSigned(signed, []jose.SignatureAlgorithm{jose.PS256})
			if err != nil {
				t.Fatal(err)
			}
			if got := parsed.Headers[0].ExtraHeaders["x5t#S256"]; got != tc.want {
				t.Errorf("x5t#S256 = %v, want %v", got, tc.want)
			}
		})
	}
	if _, err := ParseKey(string(certBlock)); err == nil || !strings.Contains(err.Error(), "certificate alone") {
		t.Errorf("ParseKey of a certificate = %v, want an error that says so", err)
	}
}

func TestTheBudgetHolds(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) }))
	defer srv.Close()
	c := newClock()
	start := c.now
	cl, err := New(Budget{RequestsPerMinute: 60, Timeout: time.Minute}, Options{Base: srv.URL}, c.runtime())
	if err != nil {
		t.Fatal(err)
	}
	for range 130 {
		if _, err := cl.Get(t.Context(), "x", nil); err != nil {
			t.Fatal(err)
		}
	}
	if took := c.now.Sub(start); took < 2*time.Minute-time.Second || took > 2*time.Minute+time.Second {
		t.Errorf("130 requests at 60 a minute took %s, want two minutes: the first 10 at once", took)
	}
}

// TestWaitingForTheBudgetIsNoWayAroundTheProvider: another stream of the client may
// be throttled meanwhile.
func TestWaitingForTheBudgetIsNoWayAroundTheProvider(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) }))
	defer srv.Close()
	c := newClock()
	rt := c.runtime()
	wait := rt.Wait
	var cl *Client
	held := false
	rt.Wait = func(ctx context.Context, d time.Duration) error {
		if !held {
			held = true
			cl.hold(5 * time.Minute)
		}
		return wait(ctx, d)
	}
	begin := c.now
	cl, err := New(Budget{RequestsPerMinute: 1, Timeout: time.Minute}, Options{Base: srv.URL}, rt)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := cl.Get(t.Context(), "x", nil); err != nil {
			t.Fatal(err)
		}
	}
	if took := c.now.Sub(begin); took != 5*time.Minute {
		t.Errorf("the second request went out after %s, want 5m0s as the provider said", took)
	}
}
