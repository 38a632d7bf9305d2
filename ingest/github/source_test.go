package github

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	gocmp "github.com/google/go-cmp/cmp"

	"stepdown/ingest"
	"stepdown/ingest/ingesttest"
	"stepdown/ingest/poll"
	"stepdown/ingest/secret"
)

const token = "synthetic-github-token"

var start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// logOf returns n synthetic entries in the order of their times; some share one.
func logOf(n int) []json.RawMessage {
	var out []json.RawMessage
	for i := range n {
		at := start.Add(time.Duration(i/2) * 40 * time.Second)
		out = append(out, json.RawMessage(fmt.Sprintf(`{"_document_id":"synthetic-%03d","@timestamp":%d,"created_at":%d,"action":"user.login","actor":"person%d","user":"person%d"}`, i, at.UnixMilli(), at.UnixMilli(), i, i)))
	}
	return out
}

// key is the order of the fake: by time and id.
func key(row json.RawMessage) string {
	var h struct {
		ID string `json:"_document_id"`
	}
	_ = json.Unmarshal(row, &h)
	return fmt.Sprintf("%015d|%s", timeOf(row).UnixMilli(), h.ID)
}

// handler speaks the audit log API: a search by time, opaque cursors in the Link
// header, and none on the last page.
func handler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const size = 7
		q := r.URL.Query()
		since, err := time.Parse("created:>=2006-01-02T15:04:05Z", q.Get("phrase"))
		switch {
		case r.Header.Get("Authorization") != "Bearer "+token:
			http.Error(w, `{"message":"Bad credentials"}`, http.StatusUnauthorized)
			return
		case r.URL.Path != "/orgs/example-org/audit-log", r.Header.Get("X-Github-Api-Version") == "":
			http.Error(w, `{"message":"Not Found"}`, http.StatusNotFound)
			return
		case err != nil, q.Get("order") != "asc", q.Get("include") != "web", q.Get("per_page") != "100":
			http.Error(w, `{"message":"Validation Failed"}`, http.StatusUnprocessableEntity)
			return
		}
		after, err := base64.URLEncoding.DecodeString(q.Get("after"))
		if err != nil || len(after) > 0 && !strings.Contains(string(after), "|") {
			http.Error(w, `{"message":"Invalid cursor"}`, http.StatusBadRequest)
			return
		}
		rows := slices.DeleteFunc(log(), func(row json.RawMessage) bool {
			return timeOf(row).Before(since) || len(after) > 0 && key(row) <= string(after)
		})
		slices.SortFunc(rows, func(a, b json.RawMessage) int { return cmp.Compare(key(a), key(b)) })
		if len(rows) > size {
			rows = rows[:size]
			q.Set("after", base64.URLEncoding.EncodeToString([]byte(key(rows[size-1]))))
			w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?%s>; rel="next", <http://%s%s?before=>; rel="prev"`, r.Host, r.URL.Path, q.Encode(), r.Host, r.URL.Path))
		}
		if rows == nil {
			rows = []json.RawMessage{}
		}
		_ = json.NewEncoder(w).Encode(rows)
	})
}

// clockwork is a runtime whose waiting takes no time and moves the clock.
func clockwork(now time.Time) ingest.Runtime {
	return ingest.Runtime{
		Input: "test", Since: start, HTTP: http.DefaultTransport, Log: slog.New(slog.DiscardHandler),
		Now:  func() time.Time { return now },
		Wait: func(ctx context.Context, d time.Duration) error { now = now.Add(d); return ctx.Err() },
	}
}

func settings(t *testing.T, base string) *Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Config{}
	c.SetDefaults()
	c.URL, c.Organization, c.Token = base, "example-org", secret.FromFile(file)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t *testing.T, base string, rt ingest.Runtime, stream string) ingest.Source {
	t.Helper()
	sources, err := settings(t, base).Open(rt)
	if err != nil {
		t.Fatal(err)
	}
	return sources[stream]
}

func openLog(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
	t.Helper()
	return open(t, base, rt, stream)
}

func throttle(h http.Header, now time.Time, d time.Duration) {
	h.Set("X-RateLimit-Limit", "1750")
	h.Set("X-RateLimit-Remaining", "0")
	h.Set("X-RateLimit-Reset", strconv.FormatInt(now.Add(d).Unix(), 10))
}

// secondary is how the limits beside the hourly one are told.
func secondary(h http.Header, _ time.Time, d time.Duration) {
	h.Set("X-RateLimit-Remaining", "1200")
	h.Set("Retry-After", strconv.Itoa(int(d.Seconds())))
}

func logAPI() ingesttest.API {
	return ingesttest.API{Records: logOf(40), Now: start.Add(3 * time.Hour), Handler: handler, Secret: token, Throttle: throttle, Late: true, Open: openLog}
}

func TestSource(t *testing.T) { ingesttest.Source(t, logAPI()) }

func TestSourceUnderSecondaryLimits(t *testing.T) {
	api := logAPI()
	api.Throttle = secondary
	ingesttest.Source(t, api)
}

func TestALostPositionSearchesAgain(t *testing.T) {
	ingesttest.Position(t, logAPI(), json.RawMessage(`{"at":{"since":"2026-03-02T08:00:00Z","after":"bm9uZQ=="}}`))
}

// TestAThrottledRefusalIsWaitedFor: GitHub throttles by 403, which is else a
// refusal.
func TestAThrottledRefusalIsWaitedFor(t *testing.T) {
	api := logAPI()
	inner := api.Handler
	api.Handler = func(log func() []json.RawMessage, now func() time.Time) http.Handler {
		h, n := inner(log, now), 0
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n++; n == 2 || n == 4 {
				throttle(w.Header(), now(), 30*time.Second)
				http.Error(w, `{"message":"API rate limit exceeded"}`, http.StatusForbidden)
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	ingesttest.Position(t, api, nil)
}

// members speaks the members API; the log is the list of members. Every fourth
// has no second factor, every fifth an insecure one, the first is the owner.
func members(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const size = 3
		q := r.URL.Query()
		switch {
		case r.Header.Get("Authorization") != "Bearer "+token:
			http.Error(w, `{"message":"Bad credentials"}`, http.StatusUnauthorized)
			return
		case r.URL.Path != "/orgs/example-org/members":
			http.Error(w, `{"message":"Not Found"}`, http.StatusNotFound)
			return
		}
		var rows []json.RawMessage
		for i, row := range log() {
			keep := true
			switch {
			case q.Get("filter") == "2fa_disabled":
				keep = i%4 == 1
			case q.Get("filter") == "2fa_insecure":
				keep = i%5 == 3
			case q.Get("role") == "admin":
				keep = i == 0
			}
			if keep {
				rows = append(rows, row)
			}
		}
		from, _ := strconv.Atoi(q.Get("page"))
		to := min(from+size, len(rows))
		if to < len(rows) {
			q.Set("page", strconv.Itoa(to))
			w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?%s>; rel="next"`, r.Host, r.URL.Path, q.Encode()))
		}
		_ = json.NewEncoder(w).Encode(append([]json.RawMessage{}, rows[from:to]...))
	})
}

func memberList(n int) []json.RawMessage {
	var out []json.RawMessage
	for i := range n {
		out = append(out, json.RawMessage(fmt.Sprintf(`{"login":"Person%d","id":%d,"type":"User","site_admin":false}`, i, 1000+i)))
	}
	return out
}

func TestInventoryIsReadWholeAndGoesOnAfterARestart(t *testing.T) {
	ingesttest.Sweep(t, ingesttest.API{
		Records: memberList(11), Now: start, Handler: members, Secret: token, Throttle: throttle,
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
			t.Helper()
			return open(t, base, rt, poll.StreamInventory)
		},
	}, 24*time.Hour)
}

// inventory reads all members from a fake.
func inventory(t *testing.T, h http.Handler) []ingest.Record {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	s := open(t, server.URL, clockwork(start), poll.StreamInventory)
	if err := s.Seek(nil); err != nil {
		t.Fatal(err)
	}
	var records []ingest.Record
	for range 3 {
		batch, err := s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, batch.Records...)
	}
	return records
}

func described(t *testing.T, records []ingest.Record) []string {
	t.Helper()
	var got []string
	for _, r := range records {
		events, err := New().Normalize(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			what := ""
			for _, a := range e.Authenticators {
				what += " " + string(a.Method)
			}
			if e.Role != nil {
				what = fmt.Sprintf(" %v granted %t", e.Role.Roles, e.Role.Granted)
			}
			got = append(got, fmt.Sprintf("%s %s/%s%s", e.Kind, e.Subject.Name, e.Subject.ID, what))
		}
	}
	return got
}

func TestSnapshotsBecomeEvents(t *testing.T) {
	list := func() []json.RawMessage { return memberList(4) }
	records := inventory(t, members(list, nil))
	ingesttest.Normalizer(t, New(), records)
	want := []string{
		"role_change person0/1000 [org/example-org owner] granted true",
		"role_change person1/1001 [org/example-org owner] granted false",
		"authenticator_snapshot person1/1001 password",
		"role_change person2/1002 [org/example-org owner] granted false",
		"role_change person3/1003 [org/example-org owner] granted false",
		"authenticator_snapshot person3/1003 sms",
	}
	if diff := gocmp.Diff(want, described(t, records)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	t.Run("without the right to know second factors", func(t *testing.T) {
		inner := members(list, nil)
		records := inventory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("filter") {
				http.Error(w, `{"message":"Only owners can use this filter."}`, http.StatusUnprocessableEntity)
				return
			}
			inner.ServeHTTP(w, r)
		}))
		want := []string{want[0], want[1], want[3], want[4]}
		if diff := gocmp.Diff(want, described(t, records)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// TestAnAppSignsInByItsKey: the token of the installation is asked for once, and
// again when it is refused.
func TestAnAppSignsInByItsKey(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	rt := clockwork(start.Add(time.Hour))
	asked, current := 0, ""
	inner := handler(func() []json.RawMessage { return logOf(20) }, nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/app/installations/42/access_tokens" {
			if r.Header.Get("Authorization") != "Bearer "+current {
				http.Error(w, `{"message":"Bad credentials"}`, http.StatusUnauthorized)
				return
			}
			if asked == 1 {
				current = "revoked" // of which the client learns by a refusal
			}
			r.Header.Set("Authorization", "Bearer "+token)
			inner.ServeHTTP(w, r)
			return
		}
		parsed, err := jwt.ParseSigned(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), []jose.SignatureAlgorithm{jose.RS256})
		var claims jwt.Claims
		if err == nil {
			err = parsed.Claims(private.Public(), &claims)
		}
		if err != nil || claims.Issuer != "Iv1.synthetic" || claims.ValidateWithLeeway(jwt.Expected{Time: rt.Now()}, 0) != nil || claims.Expiry.Time().Sub(claims.IssuedAt.Time()) > 10*time.Minute {
			t.Errorf("assertion: %v, %+v", err, claims)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		asked++
		current = fmt.Sprintf("installation-token-%d", asked)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"token":%q,"expires_at":%q}`, current, rt.Now().Add(time.Hour).Format(time.RFC3339))
	}))
	defer server.Close()
	c := settings(t, server.URL)
	c.Token, c.App = secret.Secret{}, App{ID: "Iv1.synthetic", InstallationID: "42", PrivateKey: secret.FromFile(file)}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	sources, err := c.Open(rt)
	if err != nil {
		t.Fatal(err)
	}
	s, records := sources[stream], 0
	if err := s.Seek(nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		batch, err := s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		records += len(batch.Records)
	}
	if records != 20 || asked != 2 {
		t.Errorf("%d records with %d tokens, want 20 with 2", records, asked)
	}
}

func TestSettings(t *testing.T) {
	good := settings(t, "https://api.github.com")
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no url":                   {func(c *Config) { c.URL = "" }, "url: "},
		"plain http":               {func(c *Config) { c.URL = "http://github.example.com" }, "url: "},
		"nothing to read":          {func(c *Config) { c.Organization = "" }, "organization: is not set"},
		"two logs":                 {func(c *Config) { c.Enterprise = "example" }, "organization: is set beside enterprise"},
		"an address for a slug":    {func(c *Config) { c.Organization = "https://github.com/x" }, "is no slug"},
		"no credential":            {func(c *Config) { c.Token = secret.Secret{} }, "token: is not set"},
		"two credentials":          {func(c *Config) { c.App.ID = "1" }, "token: is set beside app"},
		"app without id":           {func(c *Config) { c.Token = secret.Secret{}; c.App.InstallationID = "1" }, "app.id: "},
		"app without installation": {func(c *Config) { c.Token = secret.Secret{}; c.App.ID = "1" }, "app.installation_id: "},
		"app without key":          {func(c *Config) { c.Token = secret.Secret{}; c.App = App{ID: "1", InstallationID: "1"} }, "app.private_key: "},
		"no budget":                {func(c *Config) { c.RequestsPerMinute = 0 }, "requests_per_minute: "},
		"interval too small":       {func(c *Config) { c.Interval = 1 }, "interval: "},
		"sweep too often":          {func(c *Config) { c.Inventory.Every = time.Second }, "inventory.every: "},
	} {
		t.Run(name, func(t *testing.T) {
			c := *good
			tc.change(&c)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Validate() = %v, want %q", err, tc.want)
			}
		})
	}
	t.Run("an enterprise has no members to list", func(t *testing.T) {
		c := *good
		c.Enterprise, c.Organization = "example", ""
		sources, err := c.Open(clockwork(start))
		if err != nil || len(sources) != 1 || sources[stream] == nil {
			t.Errorf("sources %v, %v: want the log alone", sources, err)
		}
	})
}
