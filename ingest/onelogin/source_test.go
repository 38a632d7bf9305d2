package onelogin

import (
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
	"stepdown/ingest/ingesttest"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

const (
	clientSecret = "synthetic-onelogin-secret"
	bearer       = "synthetic-access-token"
)

var start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// logOf returns n synthetic events, ever apart.
func logOf(n int, apart time.Duration) []json.RawMessage {
	var out []json.RawMessage
	for i := range n {
		out = append(out, json.RawMessage(fmt.Sprintf(`{"id":%d,"created_at":%q,"event_type_id":5,"user_id":%d,"user_name":"Person %d","actor_user_id":%d}`,
			5000+i, stamp(start.Add(time.Duration(i)*apart)), 100+i%3, i%3, 100+i%3)))
	}
	return out
}

// asAdded returns what the source makes of an event of logOf; 102 is a user who is
// gone.
func asAdded(row json.RawMessage) []byte {
	var head struct {
		UserID int `json:"user_id"`
	}
	_ = json.Unmarshal(row, &head) // it is one of ours
	people := ""
	if head.UserID != 102 {
		who := fmt.Sprintf(`{"email":"person%d@example.com","username":"person%d"}`, head.UserID, head.UserID)
		people = `,"user":` + who + `,"actor":` + who
	}
	return append(slices.Clone(row[:len(row)-1]), `,"stepdown":{"event_type":{"name":"USER_LOGGED_INTO_ONELOGIN","description":"%user% logged into OneLogin"}`+people+`}}`...)
}

// authorized speaks the token endpoint, and answers 401 to a request without token.
func authorized(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path == "/auth/oauth2/v2/token" {
		if id, s, ok := r.BasicAuth(); !ok || id != "client" || s != clientSecret || r.PostFormValue("grant_type") != "client_credentials" {
			http.Error(w, `{"status":{"error":true,"code":401,"type":"Unauthorized"}}`, http.StatusUnauthorized)
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":36000,"account_id":9001}`, bearer)
		return false
	}
	if !strings.EqualFold(r.Header.Get("Authorization"), "bearer "+bearer) {
		http.Error(w, `{"status":{"error":true,"code":401,"type":"Unauthorized"}}`, http.StatusUnauthorized)
		return false
	}
	return true
}

// handler speaks the events, their types, and single users: newest first, with a
// cursor.
func handler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !authorized(w, r) {
			return
		}
		q := r.URL.Query()
		switch {
		case r.URL.Path == "/api/1/events/types":
			fmt.Fprint(w, `{"status":{"error":false,"code":200},"data":[{"id":5,"name":"USER_LOGGED_INTO_ONELOGIN","description":"%user% logged into OneLogin"}]}`)
		case r.URL.Path == "/api/2/users/102":
			http.Error(w, `{"statusCode":404,"name":"NotFoundError"}`, http.StatusNotFound)
		case strings.HasPrefix(r.URL.Path, "/api/2/users/"):
			id := strings.TrimPrefix(r.URL.Path, "/api/2/users/")
			fmt.Fprintf(w, `{"id":%s,"email":"person%s@example.com","username":"person%s"}`, id, id, id)
		case r.URL.Path == "/api/1/events" && q.Get("since") != "" && q.Get("until") != "":
			var rows []json.RawMessage
			for _, row := range log() {
				if at := stamp(when(row)); at > q.Get("since") && at < q.Get("until") {
					rows = append(rows, row)
				}
			}
			slices.Reverse(rows)
			from, _ := strconv.Atoi(q.Get("after_cursor"))
			from = min(from, len(rows))
			to := min(from+7, len(rows))
			after := any(nil)
			if to < len(rows) {
				after = strconv.Itoa(to)
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"status": map[string]any{"error": false, "code": 200},
				"pagination": map[string]any{"after_cursor": after}, "data": slices.Clip(rows[from:to])})
		default:
			http.Error(w, `{"status":{"error":true,"code":400}}`, http.StatusBadRequest)
		}
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
	c.URL, c.ClientID, c.ClientSecret = base, "client", secret.FromFile(file)
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

func openLog(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
	return open(t, base, rt, stream)
}

func throttle(h http.Header, _ time.Time, d time.Duration) {
	h.Set("X-RateLimit-Limit", "5000")
	h.Set("X-RateLimit-Remaining", "0")
	h.Set("X-RateLimit-Reset", strconv.Itoa(int(d.Seconds())))
}

func TestSource(t *testing.T) {
	ingesttest.Source(t, ingesttest.API{
		Records: logOf(40, time.Second), Now: start.Add(time.Minute), Handler: handler, Secret: clientSecret, Throttle: throttle,
		Open: openLog, Late: true, Data: asAdded,
	})
}

func TestHistoryIsReadToItsEnd(t *testing.T) {
	ingesttest.Position(t, ingesttest.API{
		Records: logOf(40, 11*time.Minute), Now: start.Add(9 * time.Hour), Handler: handler, Secret: clientSecret, Throttle: throttle,
		Open: openLog, Data: asAdded,
	}, nil)
}

const devicesOfEverybody = `[
 {"device_id":"1","auth_factor_name":"OneLogin","type_display_name":"OneLogin Protect","user_display_name":"My phone","default":true},
 {"device_id":"2","auth_factor_name":"WebAuthn","type_display_name":"Example keys","user_display_name":"My key"},
 {"device_id":"3","auth_factor_name":"OneLogin SMS","type_display_name":"SMS","user_display_name":"SMS","phone_number":"+1xxxxxx0100"},
 {"device_id":"4","auth_factor_name":"Retina","type_display_name":"Retina","user_display_name":"Eye"}]`

// inventoryHandler speaks users and their devices; the log is the list of users.
// TestPeopleAreNamedTheSameAgain: also when more were named meanwhile than are
// remembered at once.
func TestPeopleAreNamedTheSameAgain(t *testing.T) {
	name := "before@example.com"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"email":%q}`, name) }))
	defer srv.Close()
	client, err := rest.New(rest.DefaultBudget(600), rest.Options{Base: srv.URL}, ingest.NewRuntime("test", start, slog.New(slog.DiscardHandler), nil))
	if err != nil {
		t.Fatal(err)
	}
	a := &api{client: client, people: map[string]*person{}}
	ask := func(id string) person {
		t.Helper()
		p, err := a.person(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return *p
	}
	first := ask("1")
	for i := range maxPeople {
		a.people[fmt.Sprintf("filler %d", i)] = nil
	}
	name = "after@example.com"
	if other := ask("2"); other == first {
		t.Fatalf("another person is %+v", other)
	}
	if again := ask("1"); again != first {
		t.Errorf("person is %+v, was %+v", again, first)
	}
}

func inventoryHandler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !authorized(w, r) {
			return
		}
		switch users := log(); {
		case strings.HasPrefix(r.URL.Path, "/api/2/mfa/users/"):
			fmt.Fprint(w, devicesOfEverybody)
		case r.URL.Path == "/api/2/users":
			from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
			to := min(from+3, len(users))
			if to < len(users) {
				w.Header().Set("After-Cursor", strconv.Itoa(to))
			}
			_ = json.NewEncoder(w).Encode(slices.Clip(users[from:to]))
		default:
			http.Error(w, `{"statusCode":404}`, http.StatusNotFound)
		}
	})
}

func TestInventoryIsReadWholeAndGoesOnAfterARestart(t *testing.T) {
	var users []json.RawMessage
	for i := range 11 {
		users = append(users, json.RawMessage(fmt.Sprintf(`{"id":%d,"email":"person%d@example.com","username":"person%d"}`, 100+i, i, i)))
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
		ReadAt: start, User: json.RawMessage(`{"id":101,"email":"person@example.com","username":"person","firstname":"Synthetic","lastname":"Person"}`),
		Authenticators: json.RawMessage(devicesOfEverybody), Complete: true,
	}.Record(source, "example.onelogin.com", "test")
	if err != nil {
		t.Fatal(err)
	}
	ingesttest.Normalizer(t, New(), []ingest.Record{record})
	e := one(t, record)
	if e.Subject.ID != "101" || e.Subject.Name != "person@example.com" || !e.Snapshot.Complete {
		t.Errorf("subject %+v, snapshot %+v", e.Subject, e.Snapshot)
	}
	var got []string
	for _, a := range e.Authenticators {
		got = append(got, fmt.Sprintf("%s %s %s %s", a.Method, a.ID, a.Name, a.Address))
	}
	want := []string{"push 1 My phone ", "passkey 2 My key ", "sms 3 SMS +1xxxxxx0100", "unknown 4 Eye "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("authenticators (-want +got):\n%s", diff)
	}
}

func TestSettings(t *testing.T) {
	good := settings(t, "https://example.onelogin.com")
	if got := good.tenant(); got != "example.onelogin.com" {
		t.Errorf("tenant() = %q", got)
	}
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no url":             {func(c *Config) { c.URL = "" }, "url: is not set"},
		"plain http":         {func(c *Config) { c.URL = "http://example.onelogin.com" }, "url: "},
		"no client":          {func(c *Config) { c.ClientID = "" }, "client_id: is not set"},
		"no secret":          {func(c *Config) { c.ClientSecret = secret.Secret{} }, "client_secret: is not set"},
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
