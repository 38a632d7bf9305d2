package keycloak

import (
	"bytes"
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
	"stepdown/ingest/event"
	"stepdown/ingest/ingesttest"
	"stepdown/ingest/poll"
	"stepdown/ingest/secret"
)

const (
	clientSecret = "synthetic-keycloak-secret"
	accessToken  = "synthetic-keycloak-token"
)

var start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// logOf returns n synthetic events, apart by step, in the order of their time; some
// are of one millisecond, some leave out the name of the user, some the type of the
// credential.
func logOf(n int, step time.Duration) []json.RawMessage {
	var out []json.RawMessage
	for i := range n {
		at := start.Add(time.Duration(i/3) * 3 * step).UnixMilli()
		details := fmt.Sprintf(`{"username":"person%d","code_id":"c%d"}`, i%5, i)
		switch i % 4 {
		case 1:
			details = fmt.Sprintf(`{"code_id":"c%d"}`, i)
		case 2:
			details = fmt.Sprintf(`{"username":"person%d","selected_credential_id":"cred%d"}`, i%5, i%5)
		}
		out = append(out, json.RawMessage(fmt.Sprintf(`{"id":"event-%04d","time":%d,"type":"LOGIN","realmId":"r1","clientId":"webapp","userId":"user%d","ipAddress":"192.0.2.1","details":%s}`, i, at, i%5, details)))
	}
	return out
}

// completed is an event as the source hands it on.
func completed(row json.RawMessage) []byte {
	var h head
	_ = json.Unmarshal(row, &h) // written above
	switch {
	case h.Details["username"] == "":
		return []byte(`{"stepdown_username":"person` + strings.TrimPrefix(h.UserID, "user") + `",` + strings.TrimPrefix(string(row), "{"))
	case h.Details["selected_credential_id"] != "":
		return []byte(`{"stepdown_credential_type":"otp",` + strings.TrimPrefix(string(row), "{"))
	}
	return row
}

// authorized answers the token endpoint, and reports whether the request may go
// on.
func authorized(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.URL.Path == "/auth/realms/master/protocol/openid-connect/token":
		if r.FormValue("client_secret") != clientSecret || r.FormValue("client_id") != "collector" || r.FormValue("grant_type") != "client_credentials" {
			http.Error(w, `{"error":"unauthorized_client"}`, http.StatusUnauthorized)
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":60}`, accessToken)
		return false
	case r.Header.Get("Authorization") != "Bearer "+accessToken:
		http.Error(w, `{"error":"HTTP 401 Unauthorized"}`, http.StatusUnauthorized)
		return false
	}
	return true
}

// tokenEndpoint answers requests for a token in process, so that the faults of the
// suite meet the API alone.
type tokenEndpoint struct{ next http.RoundTripper }

func (e tokenEndpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/token") {
		return e.next.RoundTrip(r)
	}
	w := httptest.NewRecorder()
	authorized(w, r)
	return w.Result(), nil
}

const realm = "/auth/admin/realms/production"

// handler speaks the admin API of a realm: the newest events first, by offset, from
// a date on, which is a day of the server's zone; users and their credentials.
func handler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !authorized(w, r) {
			return
		}
		path, q := strings.TrimPrefix(r.URL.Path, realm), r.URL.Query()
		if id, ok := strings.CutPrefix(path, "/users/user"); ok {
			if n, isSessions := strings.CutSuffix(id, "/sessions"); isSessions {
				fmt.Fprintf(w, `[{"id":"old","start":%d},{"id":"session%s","start":%d}]`, start.Add(-time.Hour).UnixMilli(), n, start.Truncate(time.Second).UnixMilli())
				return
			}
			if n, isCredentials := strings.CutSuffix(id, "/credentials"); isCredentials {
				fmt.Fprintf(w, `[{"id":"cred%s","type":"otp"},{"id":"other","type":"password"}]`, n)
				return
			}
			fmt.Fprintf(w, `{"id":"user%s","username":"person%s"}`, id, id)
			return
		}
		if strings.HasPrefix(path, "/users/") {
			http.Error(w, `{"error":"User not found"}`, http.StatusNotFound)
			return
		}
		first, err1 := strconv.Atoi(q.Get("first"))
		size, err2 := strconv.Atoi(q.Get("max"))
		from, err3 := time.ParseInLocation(time.DateOnly, q.Get("dateFrom"), time.FixedZone("server", 14*60*60))
		if path != "/events" && path != "/admin-events" || err1 != nil || err2 != nil || err3 != nil {
			http.Error(w, `{"error":"bad request"}`, http.StatusBadRequest)
			return
		}
		rows := slices.DeleteFunc(log(), func(row json.RawMessage) bool { return when(row).Before(from) })
		slices.SortStableFunc(rows, func(a, b json.RawMessage) int { return when(b).Compare(when(a)) })
		_ = json.NewEncoder(w).Encode(append([]json.RawMessage{}, rows[min(first, len(rows)):min(first+size, len(rows))]...))
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
	c.URL, c.Realm, c.AuthRealm, c.ClientID, c.ClientSecret = base+"/auth/", "production", "master", "collector", secret.FromFile(file)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func throttle(h http.Header, _ time.Time, d time.Duration) {
	h.Set("Retry-After", fmt.Sprint(int(d/time.Second)))
}

func apiOf(records []json.RawMessage, stream string, size, pages int) ingesttest.API {
	return ingesttest.API{Records: records, Now: start.Add(3 * time.Hour), Handler: handler, Secret: clientSecret, Throttle: throttle, Data: completed,
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
			rt.HTTP = tokenEndpoint{rt.HTTP}
			sources, err := settings(t, base).open(rt, size, pages)
			if err != nil {
				t.Fatal(err)
			}
			return sources[stream]
		}}
}

func TestSource(t *testing.T) {
	for _, stream := range []string{streamEvents, streamAdminEvents} {
		t.Run(stream, func(t *testing.T) {
			api := apiOf(logOf(45, 2*time.Second), stream, pageSize, maxPages)
			api.Late = true
			ingesttest.Source(t, api)
		})
	}
}

// TestSourceThatIsBehind: there is more than is kept in memory at once.
func TestSourceThatIsBehind(t *testing.T) {
	ingesttest.Source(t, apiOf(logOf(31, time.Minute), streamEvents, 7, 2))
}

// TestBorderOfABacklog: whatever of it falls on the end of a page.
func TestBorderOfABacklog(t *testing.T) {
	for _, step := range []time.Duration{time.Second, time.Minute} {
		for size := 3; size < 9; size++ {
			t.Run(fmt.Sprintf("%s apart, pages of %d", step, size), func(t *testing.T) {
				ingesttest.Position(t, apiOf(logOf(31, step), streamEvents, size, 1), json.RawMessage(fmt.Sprintf(`{"at":{"through":%q}}`, start.Add(-time.Hour).Format(time.RFC3339))))
			})
		}
	}
}

// TestOrderOfABacklog: events come in the order of their time also when the API
// lists them the other way round.
func TestOrderOfABacklog(t *testing.T) {
	records := logOf(31, time.Minute)
	server := httptest.NewServer(handler(func() []json.RawMessage { return slices.Clone(records) }, nil))
	defer server.Close()
	now := start.Add(3 * time.Hour)
	rt := ingest.NewRuntime("test", start.Add(-time.Hour), slog.New(slog.DiscardHandler), nil)
	rt.Now = func() time.Time { return now }
	sources, err := settings(t, server.URL).open(rt, 7, 2)
	if err != nil {
		t.Fatal(err)
	}
	s := sources[streamEvents]
	if err := s.Seek(nil); err != nil {
		t.Fatal(err)
	}
	var times []time.Time
	for len(times) < len(records) {
		batch, err := s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range batch.Records {
			times = append(times, when(r.Data))
		}
	}
	if !slices.IsSortedFunc(times, func(a, b time.Time) int { return a.Compare(b) }) {
		t.Errorf("not in the order of time: %v", times)
	}
}

// TestAdminEventsNameWhomTheyAreAbout: by the id in the path, and the actor where
// both are of one realm.
func TestAdminEventsNameWhomTheyAreAbout(t *testing.T) {
	server := httptest.NewServer(handler(func() []json.RawMessage { return nil }, nil))
	defer server.Close()
	rt := ingest.NewRuntime("test", start, slog.New(slog.DiscardHandler), nil)
	c := settings(t, server.URL)
	for _, tc := range []struct{ name, row, subject, actor string }{
		{"of one realm", `{"time":1772445600123,"realmId":"r1","authDetails":{"realmId":"r1","userId":"user9"},"operationType":"ACTION","resourceType":"USER","resourcePath":"users/user3/reset-password"}`, "person3", "person9"},
		{"administrator of the master realm", `{"time":1772445600123,"realmId":"r1","authDetails":{"realmId":"master","userId":"user9"},"operationType":"ACTION","resourceType":"USER","resourcePath":"users/user3/reset-password"}`, "person3", ""},
		{"user who is gone", `{"time":1772445600123,"realmId":"r1","authDetails":{"realmId":"master","userId":"user9"},"operationType":"DELETE","resourceType":"USER","resourcePath":"users/gone"}`, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, err := c.api(rt, pageSize, maxPages)
			if err != nil {
				t.Fatal(err)
			}
			row, _, err := newPeople(a).complete(t.Context(), json.RawMessage(tc.row))
			if err != nil {
				t.Fatal(err)
			}
			events, err := New().Normalize(record(string(row)))
			if err != nil {
				t.Fatal(err)
			}
			if e := events[0]; e.Subject.Name != tc.subject || e.Actor.Name != tc.actor {
				t.Errorf("subject %+v, actor %+v", e.Subject, e.Actor)
			}
			if tc.subject == "" && !bytes.Equal(row, []byte(tc.row)) {
				t.Errorf("changed: %s", row)
			}
		})
	}
}

// TestUnnamedFactor: where the operator says so, a sign-in that begins a session and
// names nothing is one by password.
func TestUnnamedFactor(t *testing.T) {
	server := httptest.NewServer(handler(func() []json.RawMessage { return nil }, nil))
	defer server.Close()
	rt := ingest.NewRuntime("test", start, slog.New(slog.DiscardHandler), nil)
	for _, tc := range []struct {
		name, session, details string
		says                   bool
		want                   event.Method
	}{
		{"begins a session", "session3", `{"username":"person3"}`, true, event.MethodPassword},
		{"over the cookie of a session", "old", `{"username":"person3"}`, true, event.MethodUnknown},
		{"of a session that is over", "gone", `{"username":"person3"}`, true, event.MethodUnknown},
		{"the operator does not say so", "session3", `{"username":"person3"}`, false, event.MethodUnknown},
		{"after an action", "session3", `{"username":"person3","custom_required_action":"UPDATE_PASSWORD","credential_type":"password"}`, true, event.MethodUnknown},
		{"at a broker", "session3", `{"username":"person3","identity_provider":"corp"}`, true, event.MethodFederated},
		{"with a passkey", "session3", `{"username":"person3","credential_type":"webauthn-passwordless"}`, true, event.MethodPasskey},
		{"with a code", "session3", `{"username":"person3","selected_credential_id":"cred3"}`, true, event.MethodTOTP},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := settings(t, server.URL)
			c.UnnamedFactorIsPassword = tc.says
			a, err := c.api(rt, pageSize, maxPages)
			if err != nil {
				t.Fatal(err)
			}
			row, _, err := newPeople(a).complete(t.Context(), json.RawMessage(fmt.Sprintf(`{"id":"1","time":%d,"type":"LOGIN","realmId":"r1","userId":"user3","sessionId":%q,"details":%s}`,
				start.Add(1500*time.Millisecond).UnixMilli(), tc.session, tc.details)))
			if err != nil {
				t.Fatal(err)
			}
			events, err := New().Normalize(record(string(row)))
			if err != nil {
				t.Fatal(err)
			}
			if f := events[0].Factors; len(f) != 1 || f[0].Method != tc.want {
				t.Errorf("got %+v, want %s", f, tc.want)
			}
		})
	}
}

// TestAnEventIsToldTheSameAgain: also when its session has ended since.
func TestAnEventIsToldTheSameAgain(t *testing.T) {
	over := false
	api := handler(func() []json.RawMessage {
		return []json.RawMessage{json.RawMessage(fmt.Sprintf(`{"id":"1","time":%d,"type":"LOGIN","realmId":"r1","userId":"user3","sessionId":"session3","details":{"username":"person3"}}`, start.UnixMilli()))}
	}, nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if over && strings.HasSuffix(r.URL.Path, "/sessions") {
			fmt.Fprint(w, "[]")
			return
		}
		api.ServeHTTP(w, r)
	}))
	defer server.Close()
	s := sourceOf(t, server.URL, pageSize, maxPages)
	var got []string
	for range 3 {
		batch, err := s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range batch.Records {
			got = append(got, string(r.Data))
		}
		over = true
	}
	if len(got) != 1 || !strings.Contains(got[0], `"stepdown_credential_type":"password"`) {
		t.Errorf("got %q, want one record, with its factor", got)
	}
}

// TestWhatIsCompleteIsHandedOn when something is in the way of the rest, once; then
// it is an error.
func TestWhatIsCompleteIsHandedOn(t *testing.T) {
	for name, tc := range map[string]struct{ size, pages int }{
		"all at once":       {pageSize, maxPages},
		"behind":            {7, 1},
		"within one moment": {3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			broken, asked := true, map[string]int{}
			api := handler(func() []json.RawMessage {
				var rows []json.RawMessage
				for i := range 20 {
					at := start.Add(time.Duration(i/3) * time.Minute).UnixMilli()
					rows = append(rows, json.RawMessage(fmt.Sprintf(`{"id":"%d","time":%d,"type":"LOGIN","realmId":"r1","userId":"user%d","details":{}}`, i, at, i)))
				}
				return rows
			}, nil)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if id, ok := strings.CutPrefix(r.URL.Path, realm+"/users/"); ok {
					asked[id]++
					if broken && id == "user14" {
						w.WriteHeader(http.StatusBadRequest)
						return
					}
				}
				api.ServeHTTP(w, r)
			}))
			defer server.Close()
			s := sourceOf(t, server.URL, tc.size, tc.pages)
			seen := map[string]int{}
			take := func() error {
				batch, err := s.Poll(t.Context())
				for _, r := range batch.Records {
					var h struct{ ID string }
					_ = json.Unmarshal(r.Data, &h) // written above
					seen[h.ID]++
				}
				return err
			}
			for n := 0; ; n++ {
				if err := take(); err != nil {
					break
				}
				if n > 20 {
					t.Fatal("the error is never handed up")
				}
			}
			if len(seen) < 12 || len(seen) >= 20 || seen["14"] != 0 {
				t.Errorf("%v were handed on, want those before the broken one", seen)
			}
			broken = false
			for n := 0; len(seen) < 20 && n < 20; n++ {
				if err := take(); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 20 {
				if id := strconv.Itoa(i); seen[id] != 1 || i != 14 && asked["user"+id] != 1 {
					t.Errorf("event %s was handed on %d times, its user asked for %d times", id, seen[id], asked["user"+id])
				}
			}
		})
	}
}

// TestAnEventWithoutATimeEndsNothing.
func TestAnEventWithoutATimeEndsNothing(t *testing.T) {
	l := log{api: &api{size: 2}}
	at := func(d time.Duration) json.RawMessage {
		return json.RawMessage(fmt.Sprintf(`{"time":%d}`, start.Add(d).UnixMilli()))
	}
	timeless := json.RawMessage(`{}`)
	for name, tc := range map[string]struct {
		rows []json.RawMessage
		want bool
	}{
		"newer before it": {[]json.RawMessage{at(time.Minute), timeless}, false},
		"older before it": {[]json.RawMessage{at(-time.Minute), timeless}, true},
		"alone":           {[]json.RawMessage{timeless, timeless}, false},
		"the last page":   {[]json.RawMessage{timeless}, true},
	} {
		if got := l.reaches(tc.rows, start); got != tc.want {
			t.Errorf("%s: reaches = %t, want %t", name, got, tc.want)
		}
	}
	if got := newest([]json.RawMessage{timeless, at(time.Minute)}); !got.Equal(start.Add(time.Minute)) {
		t.Errorf("newest = %s", got)
	}
}

// sourceOf opens the events of a realm, three hours later; it does not wait.
func sourceOf(t *testing.T, base string, size, pages int) ingest.Source {
	t.Helper()
	rt := ingest.NewRuntime("test", start.Add(-time.Hour), slog.New(slog.DiscardHandler), nil)
	rt.Now = func() time.Time { return start.Add(3 * time.Hour) }
	rt.Wait = func(context.Context, time.Duration) error { return nil }
	c := settings(t, base)
	c.UnnamedFactorIsPassword = true
	sources, err := c.open(rt, size, pages)
	if err != nil {
		t.Fatal(err)
	}
	return sources[streamEvents]
}

// TestInventoryWithoutRolesSaysSoOnce in a sweep.
func TestInventoryWithoutRolesSaysSoOnce(t *testing.T) {
	server := httptest.NewServer(inventoryHandler(func() []json.RawMessage {
		return []json.RawMessage{json.RawMessage(`{"id":"user1"}`), json.RawMessage(`{"id":"user2"}`)}
	}, nil))
	defer server.Close()
	var logs bytes.Buffer
	a, err := settings(t, server.URL).api(ingest.NewRuntime("test", start, slog.New(slog.NewTextHandler(&logs, nil)), nil), pageSize, maxPages)
	if err != nil {
		t.Fatal(err)
	}
	for sweep := range 2 {
		if _, err := a.users(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(logs.String(), "inventory goes without roles"); got != sweep+1 {
			t.Errorf("%d warnings after %d sweeps", got, sweep+1)
		}
	}
}

func inventoryHandler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !authorized(w, r) {
			return
		}
		path, q := strings.TrimPrefix(r.URL.Path, realm), r.URL.Query()
		switch {
		case strings.HasSuffix(path, "/credentials"):
			fmt.Fprint(w, `[{"id":"9b1e-1","type":"webauthn-passwordless","credentialData":"{\"aaguid\":\"ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4\"}"}]`)
		case strings.HasSuffix(path, "/role-mappings"):
			http.Error(w, `{"error":"unknown_error"}`, http.StatusForbidden)
		default:
			first, _ := strconv.Atoi(q.Get("first"))
			size, _ := strconv.Atoi(q.Get("max"))
			users := log()
			_ = json.NewEncoder(w).Encode(append([]json.RawMessage{}, users[min(first, len(users)):min(first+size, len(users))]...))
		}
	})
}

func TestInventory(t *testing.T) {
	var people []json.RawMessage
	for i := range 47 {
		people = append(people, json.RawMessage(fmt.Sprintf(`{"id":"user%d","username":"person%d"}`, i, i)))
	}
	api := apiOf(people, poll.StreamInventory, pageSize, maxPages)
	api.Handler, api.Data = inventoryHandler, nil
	ingesttest.Sweep(t, api, 24*time.Hour)
}

func TestValidate(t *testing.T) {
	c := &Config{}
	c.SetDefaults()
	c.URL, c.Interval = "http://sso.example.com", 0
	err := c.Validate()
	for _, want := range []string{"url: ", "realm: ", "client_id: ", "client_secret: ", "interval: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() = %v, want it to say %s", err, want)
		}
	}
}
