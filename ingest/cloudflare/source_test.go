package cloudflare

import (
	"context"
	"encoding/json"
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

	"stepdown/ingest"
	"stepdown/ingest/ingesttest"
	"stepdown/ingest/secret"
)

const (
	token   = "synthetic-cloudflare-token"
	account = "0123456789abcdef0123456789abcdef"
)

var start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// logOf returns n synthetic records in the order of their times; some share a
// second and some an instant.
func logOf(n int) []json.RawMessage {
	var out []json.RawMessage
	for i := range n {
		at := start.Add(time.Duration(i/3)*30*time.Second + time.Duration(i%3/2)*250*time.Millisecond)
		out = append(out, json.RawMessage(fmt.Sprintf(`{"user_email":"person%d@example.com","ip_address":"192.0.2.10","app_uid":"a","app_domain":"wiki.example.com","action":"login","connection":"okta","allowed":true,"created_at":%q,"ray_id":"ray%d"}`, i, at.Format(time.RFC3339Nano), i)))
	}
	return out
}

// handler speaks the access requests API. It gives no more than size records,
// whatever limit asks for.
func handler(size int) func(func() []json.RawMessage, func() time.Time) http.Handler {
	return func(log func() []json.RawMessage, _ func() time.Time) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			since, err := time.Parse(time.RFC3339, q.Get("since"))
			refuse := func(status, code int) {
				w.WriteHeader(status)
				fmt.Fprintf(w, `{"success":false,"errors":[{"code":%d,"message":"synthetic"}],"messages":[],"result":null}`, code)
			}
			switch {
			case r.Header.Get("Authorization") != "Bearer "+token:
				refuse(http.StatusForbidden, 10000)
				return
			case r.URL.Path != "/accounts/"+account+"/access/logs/access_requests":
				refuse(http.StatusNotFound, 7003)
				return
			case err != nil, q.Get("direction") != "asc":
				refuse(http.StatusBadRequest, 12000)
				return
			}
			rows := slices.DeleteFunc(log(), func(row json.RawMessage) bool { return timeOf(row).Before(since) })
			slices.SortStableFunc(rows, func(a, b json.RawMessage) int { return timeOf(a).Compare(timeOf(b)) })
			if len(rows) > size {
				rows = rows[:size]
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "errors": []any{}, "messages": []any{}, "result": rows})
		})
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
	c.URL, c.AccountID, c.Token = base, account, secret.FromFile(file)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
	t.Helper()
	sources, err := settings(t, base).Open(rt)
	if err != nil {
		t.Fatal(err)
	}
	return sources[stream]
}

// throttle is how Cloudflare says for how long nothing is left.
func throttle(h http.Header, _ time.Time, d time.Duration) {
	h.Set("Ratelimit", fmt.Sprintf(`"burst";r=3;t=1, "default";r=0;t=%d`, int(d.Seconds())))
	h.Set("Ratelimit-Policy", `"default";q=1200;w=300`)
}

func TestSource(t *testing.T) {
	ingesttest.Source(t, ingesttest.API{
		Records: logOf(40), Now: start.Add(3 * time.Hour), Handler: handler(7), Secret: token, Throttle: throttle, Late: true, Open: open,
	})
}

func TestSourceWithRetryAfterAlone(t *testing.T) {
	ingesttest.Source(t, ingesttest.API{
		Records: logOf(12), Now: start.Add(3 * time.Hour), Handler: handler(5), Secret: token, Late: true, Open: open,
		Throttle: func(h http.Header, _ time.Time, d time.Duration) {
			h.Set("Retry-After", strconv.Itoa(int(d.Seconds())))
		},
	})
}

// clockwork is a runtime whose waiting takes no time and moves the clock.
func clockwork(now time.Time, log *slog.Logger) ingest.Runtime {
	return ingest.Runtime{
		Input: "test", Since: start, HTTP: http.DefaultTransport, Log: log,
		Now:  func() time.Time { return now },
		Wait: func(ctx context.Context, d time.Duration) error { now = now.Add(d); return ctx.Err() },
	}
}

// TestASecondWithMoreThanAnAnswerHolds: it cannot be read whole, which is said, and
// what follows is.
func TestASecondWithMoreThanAnAnswerHolds(t *testing.T) {
	var rows []json.RawMessage
	row := func(i int, at time.Time) {
		rows = append(rows, json.RawMessage(fmt.Sprintf(`{"user_email":"person%d@example.com","created_at":%q,"action":"login","allowed":true,"ray_id":"ray%d"}`, i, at.Format(time.RFC3339Nano), i)))
	}
	for i := range pageSize + 200 {
		row(i, start.Add(time.Minute))
	}
	row(9999, start.Add(2*time.Minute))
	server := httptest.NewServer(handler(pageSize)(func() []json.RawMessage { return slices.Clone(rows) }, nil))
	defer server.Close()
	var logs strings.Builder
	s := open(t, server.URL, clockwork(start.Add(time.Hour), slog.New(slog.NewTextHandler(&logs, nil))))
	if err := s.Seek(nil); err != nil {
		t.Fatal(err)
	}
	last, records := "", 0
	for range 5 {
		batch, err := s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range batch.Records {
			last, records = string(r.Data), records+1
		}
	}
	if !strings.Contains(last, "person9999") || records != pageSize+1 || !strings.Contains(logs.String(), "passed over") {
		t.Errorf("%d records, the last %s; log %s", records, last, logs.String())
	}
}

func TestAnAnswerWithoutSuccessIsAnError(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"success":false,"errors":[{"code":1}],"result":null}`)
	}))
	defer server.Close()
	s := open(t, server.URL, clockwork(start, slog.New(slog.DiscardHandler)))
	if err := s.Seek(nil); err != nil {
		t.Fatal(err)
	}
	if batch, err := s.Poll(t.Context()); err == nil {
		t.Errorf("batch %+v, want an error", batch)
	}
}

func TestLimit(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"":                                       0,
		`"default";r=50;t=30`:                    0,
		`"default";r=0;t=30`:                     30 * time.Second,
		`"a";r=0;t=5, "b";r=0;t=40,"c";r=1;t=90`: 40 * time.Second,
		`nonsense;r=;t=x`:                        0,
	} {
		if got := limit(http.Header{"Ratelimit": {header}}, start); got != want {
			t.Errorf("limit(%s) = %s, want %s", header, got, want)
		}
	}
}

func TestSettings(t *testing.T) {
	good := settings(t, "https://api.cloudflare.com/client/v4")
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no url":             {func(c *Config) { c.URL = "" }, "url: "},
		"plain http":         {func(c *Config) { c.URL = "http://api.example.com" }, "url: "},
		"no account":         {func(c *Config) { c.AccountID = "" }, "account_id: is not set"},
		"name of an account": {func(c *Config) { c.AccountID = "example" }, "account_id: "},
		"no token":           {func(c *Config) { c.Token = secret.Secret{} }, "token: is not set"},
		"no budget":          {func(c *Config) { c.RequestsPerMinute = 0 }, "requests_per_minute: "},
		"interval too small": {func(c *Config) { c.Interval = 1 }, "interval: "},
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
