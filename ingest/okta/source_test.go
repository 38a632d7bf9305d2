package okta

import (
	"bytes"
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

	"github.com/google/go-cmp/cmp"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/ingesttest"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

const token = "synthetic-okta-token"

var start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// logOf returns n synthetic records, in the order in which Okta stored them, which
// is not that of their times.
func logOf(n int) []json.RawMessage {
	var out []json.RawMessage
	for i := range n {
		at := start.Add(time.Duration(i)*time.Minute - time.Duration(i%4)*90*time.Second)
		out = append(out, json.RawMessage(fmt.Sprintf(`{"uuid":"synthetic-%d","published":%q,"eventType":"user.session.start","outcome":{"result":"SUCCESS"},"actor":{"id":"00u%d","type":"User","alternateId":"person%d@example.com"}}`,
			i, at.Format("2006-01-02T15:04:05.000Z"), i, i)))
	}
	return out
}

// handler speaks the System Log API in polling mode: the next link is there also
// when nothing follows.
func handler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const size = 7
		q := r.URL.Query()
		switch {
		case r.Header.Get("Authorization") != "SSWS "+token:
			http.Error(w, `{"errorCode":"E0000011","errorSummary":"Invalid token provided"}`, http.StatusUnauthorized)
			return
		case r.URL.Path != "/api/v1/logs", q.Get("after") == "" && (q.Get("since") == "" || q.Get("sortOrder") != "ASCENDING" || q.Has("until")):
			http.Error(w, `{"errorCode":"E0000001"}`, http.StatusBadRequest)
			return
		}
		rows := log()
		from := 0
		if after := q.Get("after"); after != "" {
			n, err := strconv.Atoi(strings.TrimPrefix(after, "opaque,"))
			if err != nil || n > len(rows) {
				http.Error(w, `{"errorCode":"E0000001"}`, http.StatusBadRequest)
				return
			}
			from = n
		}
		to := min(from+size, len(rows))
		w.Header().Add("Link", fmt.Sprintf(`<http://%s/api/v1/logs>; rel="self"`, r.Host))
		w.Header().Add("Link", fmt.Sprintf(`<http://%s/api/v1/logs?after=opaque,%d&limit=1000>; rel="next"`, r.Host, to))
		_ = json.NewEncoder(w).Encode(slices.Clip(rows[from:to]))
	})
}

func settings(t *testing.T, base string) *Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Config{}
	c.SetDefaults()
	c.URL, c.Token = base, secret.FromFile(file)
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

func throttle(h http.Header, now time.Time, d time.Duration) {
	h.Set("X-Rate-Limit-Limit", "60")
	h.Set("X-Rate-Limit-Remaining", "0")
	h.Set("X-Rate-Limit-Reset", strconv.FormatInt(now.Add(d).Unix(), 10))
}

func TestSource(t *testing.T) {
	ingesttest.Source(t, ingesttest.API{
		Records: logOf(40), Now: start.Add(3 * time.Hour), Handler: handler, Secret: token, Throttle: throttle,
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
			return open(t, base, rt, stream)
		},
	})
}

// inventoryHandler speaks the users, factors and roles APIs over users with one
// WebAuthn factor each; the log is the list of users.
func inventoryHandler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const size = 3
		if r.Header.Get("Authorization") != "SSWS "+token {
			http.Error(w, `{"errorCode":"E0000011"}`, http.StatusUnauthorized)
			return
		}
		users := log()
		switch path := strings.TrimPrefix(r.URL.Path, "/api/v1/users"); {
		case strings.HasSuffix(path, "/factors"):
			fmt.Fprint(w, factorsOfEverybody)
		case strings.HasSuffix(path, "/roles"):
			http.Error(w, `{"errorCode":"E0000006"}`, http.StatusForbidden)
		default:
			from, _ := strconv.Atoi(r.URL.Query().Get("after"))
			to := min(from+size, len(users))
			if to < len(users) {
				w.Header().Add("Link", fmt.Sprintf(`<http://%s/api/v1/users?after=%d&limit=20>; rel="next"`, r.Host, to))
			}
			_ = json.NewEncoder(w).Encode(slices.Clip(users[from:to]))
		}
	})
}

const factorsOfEverybody = `[{"id":"fwf1","factorType":"webauthn","provider":"FIDO","status":"ACTIVE","created":"2025-02-03T10:00:00.000Z","profile":{"authenticatorName":"Example Key"}},{"id":"sms1","factorType":"sms","provider":"OKTA","status":"ACTIVE","profile":{"phoneNumber":"+1 XXX-XXX-0100"}},{"id":"opf1","factorType":"push","provider":"OKTA","status":"PENDING_ACTIVATION"}]`

func TestInventoryIsReadWholeAndGoesOnAfterARestart(t *testing.T) {
	var users []json.RawMessage
	for i := range 11 {
		users = append(users, json.RawMessage(fmt.Sprintf(`{"id":"00u%d","status":"ACTIVE","profile":{"login":"person%d@example.com","firstName":"Person","lastName":"%d"}}`, i, i, i)))
	}
	ingesttest.Sweep(t, ingesttest.API{
		Records: users, Now: start, Handler: inventoryHandler, Secret: token, Throttle: throttle,
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
			return open(t, base, rt, poll.StreamInventory)
		},
	}, 24*time.Hour)
}

// TestInventoryWithoutRolesSaysSoOnce in a sweep.
func TestInventoryWithoutRolesSaysSoOnce(t *testing.T) {
	srv := httptest.NewServer(inventoryHandler(func() []json.RawMessage {
		return []json.RawMessage{json.RawMessage(`{"id":"00u1"}`), json.RawMessage(`{"id":"00u2"}`)}
	}, nil))
	defer srv.Close()
	var logs bytes.Buffer
	rt := ingest.NewRuntime("test", start, slog.New(slog.NewTextHandler(&logs, nil)), nil)
	client, err := rest.New(rest.DefaultBudget(600), rest.Options{Base: srv.URL, Credential: rest.Header("Authorization", "SSWS ", settings(t, srv.URL).Token)}, rt)
	if err != nil {
		t.Fatal(err)
	}
	i := &inventory{api: &api{client: client, rt: rt}}
	for sweep := range 2 {
		if _, err := i.users(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(logs.String(), "inventory goes without roles"); got != sweep+1 {
			t.Errorf("%d warnings after %d sweeps", got, sweep+1)
		}
	}
}

func TestSnapshotsBecomeEvents(t *testing.T) {
	record, err := poll.Snapshot{
		ReadAt: start, User: json.RawMessage(`{"id":"00u1","status":"ACTIVE","profile":{"login":"person@example.com","firstName":"Synthetic","lastName":"Person"}}`),
		Authenticators: json.RawMessage(factorsOfEverybody),
		Roles:          json.RawMessage(`[{"type":"SUPER_ADMIN","label":"Super Administrator","status":"ACTIVE"}]`),
	}.Record(source, "example.okta.com", "test")
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
			got = append(got, fmt.Sprintf("%s %v full %t", e.Kind, e.Role.Roles, e.Role.Full))
		}
		if e.Snapshot != nil && e.Snapshot.Complete {
			t.Error("the snapshot claims to be complete, which the API is not")
		}
	}
	want := []string{
		string(event.AuthenticatorSnapshot) + " passkey fwf1 ",
		string(event.AuthenticatorSnapshot) + " sms sms1 +1 XXX-XXX-0100",
		string(event.RoleChange) + " [Super Administrator] full true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestSettings(t *testing.T) {
	good := settings(t, "https://example.okta.com")
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no url":             {func(c *Config) { c.URL = "" }, "url: is not set"},
		"plain http":         {func(c *Config) { c.URL = "http://example.okta.com" }, "url: "},
		"no credential":      {func(c *Config) { c.Token = secret.Secret{} }, "token: is not set"},
		"two credentials":    {func(c *Config) { c.OAuth.ClientID = "a" }, "token: is set beside oauth"},
		"oauth without key":  {func(c *Config) { c.Token = secret.Secret{}; c.OAuth.ClientID = "a" }, "oauth.private_key: "},
		"no budget":          {func(c *Config) { c.RequestsPerMinute = 0 }, "requests_per_minute: "},
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

func TestALostPositionBeginsAnHourBefore(t *testing.T) {
	ingesttest.Position(t, ingesttest.API{
		Records: logOf(20), Now: start.Add(3 * time.Hour), Handler: handler, Secret: token, Throttle: throttle,
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source { return open(t, base, rt, stream) },
	}, json.RawMessage(`{"at":{"next":"/api/v1/logs?after=opaque,999","since":"2026-03-02T09:10:00Z"}}`))
}
