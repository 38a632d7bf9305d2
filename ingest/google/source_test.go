package google

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/ingesttest"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// accessToken is what the fake token endpoint gives; no test has another secret
// that travels with each request.
const accessToken = "synthetic-google-access-token"

const (
	account = "reader@project.example.com"
	admin   = "reports@example.com"
)

var start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// privateKey is made once: it takes a moment.
var privateKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// keyFile writes a service account's key whose token endpoint is at base.
func keyFile(t *testing.T, base string) secret.Secret {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(privateKey())
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]string{"type": "service_account", "client_email": account, "private_key_id": "key-1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": base + "/token"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return secret.FromFile(file)
}

// tokenEndpoint speaks the token endpoint for signed assertions (RFC 7523) beside
// the API.
type tokenEndpoint struct{ next http.RoundTripper }

func (e tokenEndpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != "/token" {
		return e.next.RoundTrip(r)
	}
	w := httptest.NewRecorder()
	parsed, err := jwt.ParseSigned(r.FormValue("assertion"), []jose.SignatureAlgorithm{jose.RS256})
	var claims struct {
		jwt.Claims
		Scope string `json:"scope"`
	}
	switch {
	case err != nil, r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer",
		parsed.Claims(privateKey().Public(), &claims) != nil, parsed.Headers[0].KeyID != "key-1",
		claims.Issuer != account, claims.Subject != admin, !claims.Audience.Contains(r.URL.String()),
		claims.Scope != scopeReports+" "+scopeDirectory, claims.Expiry.Time().Sub(claims.IssuedAt.Time()) > time.Hour:
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.WriteString(`{"error":"invalid_grant","error_description":"synthetic"}`)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, accessToken)
	}
	return w.Result(), nil
}

func TestTokenErrors(t *testing.T) {
	for _, tc := range []struct {
		name       string
		status     int
		body       string
		credential bool
		want       string
	}{
		{"key deleted", 400, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`, true, "get token: invalid_grant"},
		{"not delegated", 401, `{"error":"unauthorized_client","error_description":"x"}`, true, "get token: unauthorized_client"},
		{"away", 503, `<html>`, false, "get token: 503"},
		{"no token", 200, `{}`, false, "get token: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rt := ingest.Runtime{Now: time.Now, HTTP: roundTrip(func(*http.Request) (*http.Response, error) {
				w := httptest.NewRecorder()
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(tc.status)
				_, _ = w.WriteString(tc.body)
				return w.Result(), nil
			})}
			d := &delegation{key: keyFile(t, "https://oauth.example.com"), subject: admin, rt: rt}
			err := d.Authorize(t.Context(), httptest.NewRequest(http.MethodGet, "https://example.com/", nil))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			if _, ok := errors.AsType[*ingest.CredentialError](err); ok != tc.credential {
				t.Errorf("error %v is a credential error: %t, want %t", err, ok, tc.credential)
			}
		})
	}
}

func TestATokenRequestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	rt := ingest.Runtime{Now: time.Now, HTTP: roundTrip(func(r *http.Request) (*http.Response, error) {
		cancel()
		<-r.Context().Done()
		return nil, r.Context().Err()
	})}
	d := &delegation{key: keyFile(t, "https://oauth.example.com"), subject: admin, rt: rt}
	if err := d.Authorize(ctx, httptest.NewRequest(http.MethodGet, "https://example.com/", nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// logOf returns synthetic activities, that far apart, two of them in one
// millisecond.
func logOf(apart time.Duration) []json.RawMessage {
	var out []json.RawMessage
	for i := range 40 {
		at := start.Add(time.Duration(i) * apart)
		if i == 5 {
			at = start.Add(4 * apart)
		}
		out = append(out, json.RawMessage(fmt.Sprintf(`{"kind":"admin#reports#activity","id":{"time":%q,"uniqueQualifier":"358068855354","applicationName":"login","customerId":"C0example"},"actor":{"email":"person%d@example.com","profileId":"%d"},"events":[{"type":"login","name":"login_success","parameters":[{"name":"login_type","value":"google_password"},{"name":"login_challenge_method","multiValue":["password"]}]}]}`,
			at.Format("2006-01-02T15:04:05.000Z"), i, i)))
	}
	return out
}

// handler speaks the Reports and the Directory API: newest first, both ends of the
// window within it, tokens that name a place in a window.
func handler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const size = 7
		q := r.URL.Query()
		from := 0
		if page := q.Get("pageToken"); page != "" {
			n, err := strconv.Atoi(strings.TrimPrefix(page, "opaque,"))
			if err != nil {
				http.Error(w, `{"error":{"code":400,"message":"Invalid page token"}}`, http.StatusBadRequest)
				return
			}
			from = n
		}
		var rows []json.RawMessage
		member := "items"
		switch {
		case r.Header.Get("Authorization") != "Bearer "+accessToken:
			http.Error(w, `{"error":{"code":401,"status":"UNAUTHENTICATED"}}`, http.StatusUnauthorized)
			return
		case strings.HasPrefix(r.URL.Path, "/admin/reports/v1/activity/users/all/applications/"):
			since, err1 := time.Parse(time.RFC3339Nano, q.Get("startTime"))
			until, err2 := time.Parse(time.RFC3339Nano, q.Get("endTime"))
			if err1 != nil || err2 != nil || !since.Before(until) || q.Get("maxResults") != "1000" {
				http.Error(w, `{"error":{"code":400,"message":"Invalid value"}}`, http.StatusBadRequest)
				return
			}
			for _, row := range log() {
				if at := when(row); !at.Before(since) && !at.After(until) {
					rows = append(rows, row)
				}
			}
			slices.SortStableFunc(rows, func(a, b json.RawMessage) int { return when(b).Compare(when(a)) })
		case r.URL.Path == "/admin/directory/v1/users" && q.Get("customer") == "my_customer":
			rows, member = log(), "users"
		default:
			http.NotFound(w, r)
			return
		}
		answer := map[string]any{"kind": "synthetic"}
		to := min(from+size, len(rows))
		if from < to {
			answer[member] = rows[from:to] // an empty list is left out
		}
		if to < len(rows) {
			answer["nextPageToken"] = fmt.Sprintf("opaque,%d", to)
		}
		_ = json.NewEncoder(w).Encode(answer)
	})
}

func settings(t *testing.T, base string) *Config {
	t.Helper()
	c := &Config{}
	c.SetDefaults()
	c.URL, c.ServiceAccount, c.Subject = base, keyFile(t, base), admin
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func openSource(t *testing.T, base string, rt ingest.Runtime, stream string) ingest.Source {
	t.Helper()
	rt.Since = start.Add(-time.Minute)
	rt.HTTP = tokenEndpoint{rt.HTTP}
	c := settings(t, base)
	c.Interval = time.Second // the suite waits that long for each record that comes later
	sources, err := c.Open(rt)
	if err != nil {
		t.Fatal(err)
	}
	return sources[stream]
}

// throttle sets what is obeyed where it is there; Google documents no header.
func throttle(h http.Header, _ time.Time, d time.Duration) {
	h.Set("Retry-After", strconv.Itoa(int(d/time.Second)))
}

func logAPI(stream string, apart time.Duration, now time.Time) ingesttest.API {
	return ingesttest.API{
		Records: logOf(apart), Now: now, Handler: handler, Secret: accessToken, Throttle: throttle, Late: true,
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
			return openSource(t, base, rt, stream)
		},
	}
}

func TestSource(t *testing.T) {
	// Sign-ins are shown hours late, changes within minutes.
	t.Run("login", func(t *testing.T) {
		ingesttest.Source(t, logAPI(streamLogin, time.Minute, start.Add(2*time.Hour)))
	})
	t.Run("admin", func(t *testing.T) {
		ingesttest.Source(t, logAPI(streamAdmin, 20*time.Second, start.Add(15*time.Minute)))
	})
}

func TestAHistoryIsReadInSteps(t *testing.T) {
	ingesttest.Position(t, logAPI(streamLogin, 17*time.Minute, start.Add(30*time.Hour)), nil)
	ingesttest.Position(t, logAPI(streamAdmin, 17*time.Minute, start.Add(30*time.Hour)), nil)
}

func TestAPageOfBeforeARestartMayBeUnknown(t *testing.T) {
	ingesttest.Position(t, logAPI(streamLogin, time.Minute, start.Add(2*time.Hour)),
		json.RawMessage(`{"at":{"settled":"2026-03-02T08:59:00Z","read":"2026-03-02T08:59:00Z","to":"2026-03-02T09:59:00Z","begun":"2026-03-02T11:00:00Z","token":"of yesterday"}}`))
}

func TestInventoryIsReadWholeAndGoesOnAfterARestart(t *testing.T) {
	var users []json.RawMessage
	for i := range 17 {
		users = append(users, json.RawMessage(fmt.Sprintf(`{"id":"%d","primaryEmail":"person%d@example.com","name":{"fullName":"Person %d"},"isAdmin":false,"isDelegatedAdmin":%t,"isEnrolledIn2Sv":true}`, i, i, i, i%4 == 0)))
	}
	ingesttest.Sweep(t, ingesttest.API{
		Records: users, Now: start, Handler: handler, Secret: accessToken, Throttle: throttle,
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
			return openSource(t, base, rt, poll.StreamInventory)
		},
	}, 24*time.Hour)
}

func TestSnapshotsTellRolesAndNoMethod(t *testing.T) {
	for _, tc := range []struct {
		name, user string
		want       event.Role
	}{
		{"super administrator", `{"id":"1","primaryEmail":"person@example.com","isAdmin":true,"isDelegatedAdmin":false,"isEnrolledIn2Sv":true}`,
			event.Role{Full: true, Granted: true, Privileged: true, Roles: []string{roleSuper}}},
		{"delegated administrator", `{"id":"1","primaryEmail":"person@example.com","isAdmin":false,"isDelegatedAdmin":true}`,
			event.Role{Full: true, Granted: true, Privileged: true, Roles: []string{roleDelegated}}},
		{"nobody in particular", `{"id":"1","primaryEmail":"person@example.com","isAdmin":false,"isEnrolledIn2Sv":true,"isEnforcedIn2Sv":true}`,
			event.Role{Full: true, Granted: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			record, err := poll.Snapshot{ReadAt: start, User: json.RawMessage(tc.user)}.Record(source, "example.com", "test")
			if err != nil {
				t.Fatal(err)
			}
			ingesttest.Normalizer(t, New(), []ingest.Record{record})
			events, err := New().Normalize(record)
			if err != nil {
				t.Fatal(err)
			}
			if len(events) != 1 || events[0].Kind != event.RoleChange || len(events[0].Authenticators) > 0 {
				t.Fatalf("events %+v, want one role_change", events)
			}
			if diff := cmp.Diff(tc.want, *events[0].Role); diff != "" {
				t.Errorf("role (-want +got):\n%s", diff)
			}
		})
	}
}

// TestQuotas: a quota that is used up is no refused credential, whatever its
// status.
func TestQuotas(t *testing.T) {
	for _, tc := range []struct {
		name       string
		status     int
		body       string
		want       int
		retryAfter string
	}{
		{"rate limit as 403", 403, `{"error":{"code":403,"errors":[{"reason":"rateLimitExceeded"}]}}`, 429, quotaWait},
		{"quota of the user as 403", 403, `{"error":{"code":403,"errors":[{"reason":"userRateLimitExceeded"}]}}`, 429, quotaWait},
		{"429 without a time", 429, `{}`, 429, quotaWait},
		{"no delegation", 403, `{"error":{"code":403,"errors":[{"reason":"forbidden"}]}}`, 403, ""},
		{"away", 503, `{}`, 503, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			next := roundTrip(func(*http.Request) (*http.Response, error) {
				w := httptest.NewRecorder()
				w.WriteHeader(tc.status)
				_, _ = w.WriteString(tc.body)
				return w.Result(), nil
			})
			resp, err := quota{next}.RoundTrip(httptest.NewRequest(http.MethodGet, "https://example.com/", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got := resp.Header.Get("Retry-After"); resp.StatusCode != tc.want || got != tc.retryAfter {
				t.Errorf("status %d after %q, want %d after %q", resp.StatusCode, got, tc.want, tc.retryAfter)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestSettings(t *testing.T) {
	good := settings(t, "https://admin.googleapis.com")
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"plain http":      {func(c *Config) { c.URL = "http://admin.googleapis.com" }, "url: "},
		"no key":          {func(c *Config) { c.ServiceAccount = secret.Secret{} }, "service_account: is not set"},
		"no subject":      {func(c *Config) { c.Subject = "" }, "subject: "},
		"no customer":     {func(c *Config) { c.Customer = "" }, "customer: "},
		"no log":          {func(c *Config) { c.Logs = nil }, "logs: is empty"},
		"unknown log":     {func(c *Config) { c.Logs = []string{"login", "logins"} }, `logs[1]: is "logins"`},
		"log twice":       {func(c *Config) { c.Logs = []string{"login", "login"} }, "logs[1]: login is there twice"},
		"lag too small":   {func(c *Config) { c.Lag = time.Minute }, "lag: "},
		"sweep too often": {func(c *Config) { c.Inventory.Every = time.Second }, "inventory.every: "},
		"no budget":       {func(c *Config) { c.RequestsPerMinute = 0 }, "requests_per_minute: "},
	} {
		t.Run(name, func(t *testing.T) {
			c := *good
			tc.change(&c)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Validate() = %v, want %q", err, tc.want)
			}
		})
	}
}

// TestABadKeyIsACredentialErrorThatRepeatsNothing of the key.
func TestABadKeyIsACredentialErrorThatRepeatsNothing(t *testing.T) {
	for name, text := range map[string]string{
		"no json":         "synthetic-secret-text",
		"another type":    `{"type":"authorized_user","client_email":"a","private_key":"synthetic-secret-text","token_uri":"https://example.com/token"}`,
		"no key":          `{"type":"service_account","client_email":"a","private_key":"synthetic-secret-text","token_uri":"https://example.com/token"}`,
		"plain token uri": `{"type":"service_account","client_email":"a","private_key":"synthetic-secret-text","token_uri":"http://example.com/token"}`,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "key.json")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			d := &delegation{key: secret.FromFile(file), subject: admin, rt: ingest.Runtime{Now: time.Now}}
			err := d.Authorize(t.Context(), httptest.NewRequest(http.MethodGet, "https://example.com/", nil))
			if _, ok := errors.AsType[*ingest.CredentialError](err); !ok || strings.Contains(err.Error(), "synthetic-secret-text") {
				t.Errorf("error %v, want a credential error that repeats nothing of the key", err)
			}
		})
	}
}

func TestAHistoryBeginsWhereGoogleKeepsIt(t *testing.T) {
	a := &api{rt: ingest.Runtime{Now: func() time.Time { return start }, Since: start.AddDate(-2, 0, 0)}}
	requested := make(chan string, 1)
	a.rt.HTTP = roundTrip(func(r *http.Request) (*http.Response, error) {
		requested <- r.URL.Query().Get("startTime")
		w := httptest.NewRecorder()
		_, _ = w.WriteString(`{}`)
		return w.Result(), nil
	})
	var err error
	if a.client, err = rest.New(rest.DefaultBudget(60), rest.Options{Base: "https://admin.example.com"}, a.rt); err != nil {
		t.Fatal(err)
	}
	if _, err := a.log(streamLogin, defaultLag, poll.DefaultSchedule(time.Minute)).Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := <-requested, start.Add(-history).Format(time.RFC3339Nano); got != want {
		t.Errorf("the first window begins at %s, want %s", got, want)
	}
}
