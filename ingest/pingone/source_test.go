package pingone

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stepdown/ingest"
	"stepdown/ingest/ingesttest"
	"stepdown/ingest/poll"
	"stepdown/ingest/secret"
)

const (
	clientSecret = "synthetic-pingone-secret"
	bearer       = "synthetic-access-token"
	env          = "env-1"
)

var start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// logOf returns n synthetic activities, ever apart.
func logOf(n int, apart time.Duration) []json.RawMessage {
	var out []json.RawMessage
	for i := range n {
		out = append(out, json.RawMessage(fmt.Sprintf(`{"id":"synthetic-%d","recordedAt":%q,"action":{"type":"PASSWORD.CHECK_SUCCEEDED"},"resources":[{"type":"USER","id":"u-%d","name":"person%d@example.com"}],"result":{"status":"SUCCESS"}}`,
			i, stamp(start.Add(time.Duration(i)*apart)), i, i)))
	}
	return out
}

// authorized speaks the token endpoint, and answers 401 to a request without token.
func authorized(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path == "/"+env+"/as/token" {
		if id, s, ok := r.BasicAuth(); !ok || id != "worker" || s != clientSecret || r.PostFormValue("grant_type") != "client_credentials" {
			http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, bearer)
		return false
	}
	if r.Header.Get("Authorization") != "Bearer "+bearer {
		http.Error(w, `{"code":"ACCESS_FAILED"}`, http.StatusUnauthorized)
		return false
	}
	return true
}

// page answers with a page of rows, and the address of the next one.
func page(w http.ResponseWriter, r *http.Request, name string, rows []json.RawMessage, size int) {
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	to := min(from+size, len(rows))
	answer := map[string]any{"_embedded": map[string]any{name: slices.Clip(rows[from:to])}}
	if to < len(rows) {
		q := r.URL.Query()
		q.Set("cursor", strconv.Itoa(to))
		answer["_links"] = map[string]any{"next": map[string]string{"href": "http://" + r.Host + r.URL.Path + "?" + q.Encode()}}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

var filter = regexp.MustCompile(`^recordedAt gt "([^"]+)" and recordedAt lt "([^"]+)"$`)

// handler speaks the activities of PingOne: a window of time that is exclusive at
// both ends, newest first.
func handler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !authorized(w, r) {
			return
		}
		bounds := filter.FindStringSubmatch(r.URL.Query().Get("filter"))
		if r.URL.Path != "/v1/environments/"+env+"/activities" || bounds == nil {
			http.Error(w, `{"code":"INVALID_REQUEST"}`, http.StatusBadRequest)
			return
		}
		var rows []json.RawMessage
		for _, row := range log() {
			if at := stamp(when(row)); at > bounds[1] && at < bounds[2] {
				rows = append(rows, row)
			}
		}
		slices.Reverse(rows)
		page(w, r, "activities", rows, 7)
	})
}

func settings(t *testing.T, base string) *Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(clientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Config{}
	c.SetDefaults()
	c.URL, c.Environment, c.ClientID, c.ClientSecret = base, env, "worker", secret.FromFile(file)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t *testing.T, base string, rt ingest.Runtime, stream string) ingest.Source {
	t.Helper()
	rt.Since = start
	c := settings(t, base)
	// The suite lets a log be quiet for dozens of looks between two records.
	c.Interval, c.RequestsPerMinute = time.Second, 6000
	sources, err := c.Open(rt)
	if err != nil {
		t.Fatal(err)
	}
	return sources[stream]
}

func throttle(h http.Header, _ time.Time, d time.Duration) {
	h.Set("Retry-After", strconv.Itoa(int(d.Seconds())))
}

func openLog(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
	return open(t, base, rt, streamAudit)
}

func TestSource(t *testing.T) {
	ingesttest.Source(t, ingesttest.API{
		Records: logOf(40, time.Second), Now: start.Add(time.Minute), Handler: handler, Secret: clientSecret, Throttle: throttle,
		Open: openLog, Late: true,
	})
}

func TestHistoryIsReadToItsEnd(t *testing.T) {
	ingesttest.Position(t, ingesttest.API{
		Records: logOf(40, 11*time.Minute), Now: start.Add(9 * time.Hour), Handler: handler, Secret: clientSecret, Throttle: throttle,
		Open: openLog,
	}, nil)
}

// TestALookIsInTheOrderOfTime: the API shows the newest first, and detection takes
// what comes long after newer events as late.
func TestALookIsInTheOrderOfTime(t *testing.T) {
	records := logOf(40, time.Minute)
	now := func() time.Time { return start.Add(time.Hour) }
	server := httptest.NewServer(handler(func() []json.RawMessage { return records }, now))
	defer server.Close()
	s := openLog(t, server.URL, ingest.Runtime{HTTP: http.DefaultTransport, Log: slog.New(slog.DiscardHandler), Now: now,
		Wait: func(context.Context, time.Duration) error { return nil }})
	var last time.Time
	read := 0
	for range 5 {
		batch, err := s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range batch.Records {
			if at := when(r.Data); at.Before(last) {
				t.Errorf("%s comes after %s", at, last)
			} else {
				last = at
			}
			read++
		}
	}
	if read != len(records) {
		t.Errorf("read %d records, want %d", read, len(records))
	}
}

const devicesOfEverybody = `[
 {"id":"d-1","type":"FIDO2","status":"ACTIVE","nickname":"Example Key","createdAt":"2025-02-03T10:00:00.000Z"},
 {"id":"d-2","type":"SMS","status":"ACTIVE","phone":"+1.5550100"},
 {"id":"d-3","type":"MOBILE","status":"ACTIVATION_REQUIRED"},
 {"id":"d-4","type":"TOTP","status":"ACTIVE","block":{"status":"BLOCKED"}},
 {"id":"d-5","type":"RETINA","status":"ACTIVE"}]`

// inventoryHandler speaks users, devices, role assignments and roles; the log is the
// list of users.
func inventoryHandler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !authorized(w, r) {
			return
		}
		switch path := strings.TrimPrefix(r.URL.Path, "/v1/environments/"+env); {
		case path == "/v1/roles":
			fmt.Fprint(w, `{"_embedded":{"roles":[{"id":"r-1","name":"Environment Admin"}]}}`)
		case strings.HasSuffix(path, "/devices"):
			fmt.Fprintf(w, `{"_embedded":{"devices":%s}}`, devicesOfEverybody)
		case strings.HasSuffix(path, "/roleAssignments"):
			fmt.Fprint(w, `{"_embedded":{"roleAssignments":[{"id":"ra-1","role":{"id":"r-1"}}]}}`)
		case path == "/users":
			page(w, r, "users", log(), 3)
		default:
			http.Error(w, `{"code":"NOT_FOUND"}`, http.StatusNotFound)
		}
	})
}

func TestInventoryIsReadWholeAndGoesOnAfterARestart(t *testing.T) {
	var users []json.RawMessage
	for i := range 11 {
		users = append(users, json.RawMessage(fmt.Sprintf(`{"id":"u-%d","username":"person%d@example.com","name":{"given":"Person","family":"%d"}}`, i, i, i)))
	}
	ingesttest.Sweep(t, ingesttest.API{
		Records: users, Now: start, Handler: inventoryHandler, Secret: clientSecret, Throttle: throttle,
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
			return open(t, base, rt, poll.StreamInventory)
		},
	}, 24*time.Hour)
}

func TestSnapshotsBecomeEvents(t *testing.T) {
	record, err := poll.Snapshot{
		ReadAt: start, User: json.RawMessage(`{"id":"u-1","username":"person@example.com","name":{"given":"Synthetic","family":"Person"}}`),
		Authenticators: json.RawMessage(devicesOfEverybody), Roles: json.RawMessage(`["Environment Admin"]`), Complete: true,
	}.Record(source, env, "test")
	if err != nil {
		t.Fatal(err)
	}
	ingesttest.Normalizer(t, New(), []ingest.Record{record})
	events, err := New().Normalize(record)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		for _, a := range e.Authenticators {
			got = append(got, fmt.Sprintf("%s %s %s %s", e.Kind, a.Method, a.ID, a.Address))
		}
		if e.Role != nil {
			got = append(got, fmt.Sprintf("%s %v full %t privileged %t", e.Kind, e.Role.Roles, e.Role.Full, e.Role.Privileged))
		}
		if e.Subject.Name != "person@example.com" || e.Subject.DisplayName != "Synthetic Person" {
			t.Errorf("subject = %+v", e.Subject)
		}
	}
	want := []string{
		"authenticator_snapshot passkey d-1 ",
		"authenticator_snapshot sms d-2 +1.5550100",
		"authenticator_snapshot unknown d-5 ",
		"role_change [Environment Admin] full true privileged true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestSettings(t *testing.T) {
	good := settings(t, "https://api.pingone.eu")
	if got := good.authURL(); got != "https://auth.pingone.eu" {
		t.Errorf("authURL() = %q", got)
	}
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no url":             {func(c *Config) { c.URL = "" }, "url: is not set"},
		"plain http":         {func(c *Config) { c.URL = "http://api.pingone.com" }, "url: "},
		"no environment":     {func(c *Config) { c.Environment = "" }, "environment: is not set"},
		"no client":          {func(c *Config) { c.ClientID = "" }, "client_id: is not set"},
		"no secret":          {func(c *Config) { c.ClientSecret = secret.Secret{} }, "client_secret: is not set"},
		"auth address wrong": {func(c *Config) { c.AuthURL = "auth.pingone.com" }, "auth_url: "},
		"no overlap":         {func(c *Config) { c.Overlap = 0 }, "overlap: "},
		"interval too small": {func(c *Config) { c.Interval = 1 }, "interval: "},
		"sweep too often":    {func(c *Config) { c.Inventory.Every = time.Second }, "inventory.every: "},
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
