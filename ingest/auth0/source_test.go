package auth0

import (
	"cmp"
	"encoding/json"
	"fmt"
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
	clientSecret = "synthetic-auth0-secret"
	accessToken  = "synthetic-auth0-token"
)

var start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// logOf returns n synthetic records in the order of their log_id, which is not that
// of their dates.
func logOf(n int) []json.RawMessage {
	var out []json.RawMessage
	for i := range n {
		at := start.Add(time.Duration(i)*time.Minute - time.Duration(i%4)*90*time.Second)
		id := "900" + start.Add(time.Duration(i)*time.Minute).Format("20060102150405") + fmt.Sprintf("%039d", i+1)
		if i%5 == 4 {
			user := strconv.Itoa(i / 3)
			if i == 19 {
				user = gone
			}
			out = append(out, json.RawMessage(fmt.Sprintf(`{"_id":%q,"log_id":%q,"date":%q,"type":"sapi","description":"Delete all authenticators","user_id":"auth0|admin","ip":"192.0.2.20","details":{"request":{"method":"delete","path":"/api/v2/users/auth0%%7C%s/authenticators"}}}`,
				id, id, at.Format("2006-01-02T15:04:05.000Z"), user)))
			continue
		}
		out = append(out, json.RawMessage(fmt.Sprintf(`{"_id":%q,"log_id":%q,"date":%q,"type":"s","user_id":"auth0|%d","user_name":"person%d@example.com","ip":"192.0.2.10"}`,
			id, id, at.Format("2006-01-02T15:04:05.000Z"), i/3, i/3)))
	}
	return out
}

// completed is a log event as the source hands it on.
func completed(row json.RawMessage) []byte {
	_, after, ok := strings.Cut(string(row), "/users/auth0%7C")
	if !ok {
		return row
	}
	n, _, _ := strings.Cut(after, "/")
	if n == gone {
		return row
	}
	return []byte(`{"stepdown_user_name":"person` + n + `@example.com",` + strings.TrimPrefix(string(row), "{"))
}

// gone is a user who is there no more.
const gone = "gone"

// authorized answers the token endpoint, and reports whether the request may go
// on.
func authorized(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.URL.Path == "/oauth/token":
		if r.FormValue("client_secret") != clientSecret || r.FormValue("grant_type") != "client_credentials" ||
			r.FormValue("client_id") != "client1" || r.FormValue("audience") != "http://"+r.Host+"/api/v2/" {
			http.Error(w, `{"error":"access_denied"}`, http.StatusUnauthorized)
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":86400}`, accessToken)
		return false
	case r.Header.Get("Authorization") != "Bearer "+accessToken:
		http.Error(w, `{"statusCode":401,"error":"Unauthorized","message":"Invalid token","errorCode":"invalid_token"}`, http.StatusUnauthorized)
		return false
	}
	return true
}

func logIDOf(row json.RawMessage) string {
	var head struct {
		LogID string `json:"log_id"`
	}
	_ = json.Unmarshal(row, &head) // written above
	return head.LogID
}

// handler speaks the checkpoint mode of the logs API: what follows the log_id
// "from"; an id of which nothing is known any more is a bad request, as long as it
// is not one made of a time.
func handler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !authorized(w, r) {
			return
		}
		if id, ok := strings.CutPrefix(r.URL.EscapedPath(), "/api/v2/users/auth0%7C"); ok {
			if id == gone {
				http.Error(w, `{"statusCode":404,"errorCode":"inexistent_user"}`, http.StatusNotFound)
				return
			}
			fmt.Fprintf(w, `{"email":"person%s@example.com"}`, id)
			return
		}
		q := r.URL.Query()
		from, take := q.Get("from"), q.Get("take")
		if r.URL.Path != "/api/v2/logs" || len(from) != 56 || take != "100" || q.Has("q") || q.Has("page") || from == lost {
			http.Error(w, `{"statusCode":400,"errorCode":"invalid_query_string"}`, http.StatusBadRequest)
			return
		}
		rows := slices.DeleteFunc(log(), func(row json.RawMessage) bool { return logIDOf(row) <= from })
		const size = 7
		rows = rows[:min(size, len(rows))]
		next := from
		if len(rows) > 0 {
			next = logIDOf(rows[len(rows)-1])
		}
		w.Header().Set("Link", fmt.Sprintf(`<http://%s/api/v2/logs?from=%s&take=100>; rel="next"`, r.Host, next))
		_ = json.NewEncoder(w).Encode(slices.Clip(rows))
	})
}

// lost is a log_id that the fake does not know.
var lost = "900" + strings.Repeat("9", 53)

// tokenEndpoint answers requests for a token in process, so that the faults of the
// suite meet the API alone.
type tokenEndpoint struct{ next http.RoundTripper }

func (e tokenEndpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != "/oauth/token" {
		return e.next.RoundTrip(r)
	}
	w := httptest.NewRecorder()
	served := r.Clone(r.Context())
	served.Host = r.URL.Host
	authorized(w, served)
	return w.Result(), nil
}

func open(t *testing.T, base string, rt ingest.Runtime, stream string) ingest.Source {
	t.Helper()
	rt.HTTP = tokenEndpoint{rt.HTTP}
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(clientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Config{}
	c.SetDefaults()
	c.URL, c.ClientID, c.ClientSecret = base, "client1", secret.FromFile(file)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	sources, err := c.Open(rt)
	if err != nil {
		t.Fatal(err)
	}
	return sources[stream]
}

func throttle(h http.Header, now time.Time, d time.Duration) {
	h.Set("X-RateLimit-Limit", "10")
	h.Set("X-RateLimit-Remaining", "0")
	h.Set("X-RateLimit-Reset", strconv.FormatInt(now.Add(d).Unix(), 10))
}

func logsAPI() ingesttest.API {
	return ingesttest.API{Records: logOf(40), Now: start.Add(3 * time.Hour), Handler: handler, Secret: clientSecret, Throttle: throttle, Data: completed,
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source { return open(t, base, rt, streamLogs) }}
}

func TestSource(t *testing.T) { ingesttest.Source(t, logsAPI()) }

func TestLostPosition(t *testing.T) {
	ingesttest.Position(t, logsAPI(), json.RawMessage(fmt.Sprintf(`{"at":{"from":%q,"since":%q}}`, lost, start.Format(time.RFC3339))))
}

// TestHelpDeskActsOnThePersonOfTheSignIn: what the source hands on names the user of
// a call as their own records do.
func TestHelpDeskActsOnThePersonOfTheSignIn(t *testing.T) {
	rows := logOf(5)
	login, err := New().Normalize(record(string(rows[3])))
	if err != nil {
		t.Fatal(err)
	}
	reset, err := New().Normalize(record(string(completed(rows[4]))))
	if err != nil {
		t.Fatal(err)
	}
	if login[0].Subject != reset[0].Subject || !reset[0].ByOther() {
		t.Errorf("sign-in of %+v, reset of %+v by %+v", login[0].Subject, reset[0].Subject, reset[0].Actor)
	}
}

func TestLogIDOfATimeComesBeforeItsRecords(t *testing.T) {
	for i, row := range logOf(3) {
		made := logIDAt(start.Add(time.Duration(i) * time.Minute))
		if id := logIDOf(row); len(made) != len(id) || made >= id {
			t.Errorf("made %s, of the record %s", made, id)
		}
	}
}

// usersOf returns n users of whom many were created at once, as an import does.
func usersOf(n int) []json.RawMessage {
	var out []json.RawMessage
	for i := range n {
		created := start.AddDate(-1, 0, min(i, 20)).Format("2006-01-02T15:04:05.000Z")
		if i >= 60 {
			created = start.AddDate(-1, 0, i).Format("2006-01-02T15:04:05.000Z")
		}
		out = append(out, json.RawMessage(fmt.Sprintf(`{"user_id":"auth0|%03d","email":"person%d@example.com","created_at":%q}`, i, i, created)))
	}
	return out
}

const methodsOfEverybody = `[{"id":"passkey|dev_1","type":"passkey","confirmed":true,"credential_device_type":"multi_device"},{"id":"password|1","type":"password"}]`

// inventoryHandler speaks the users and authentication-methods APIs; the log is
// the list of users. It gives no more than a hundred users by pages.
func inventoryHandler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !authorized(w, r) {
			return
		}
		if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/api/v2/users/auth0%7C"); ok && strings.HasSuffix(rest, "/authentication-methods") {
			fmt.Fprint(w, methodsOfEverybody)
			return
		}
		q := r.URL.Query()
		page, err := strconv.Atoi(q.Get("page"))
		size, errSize := strconv.Atoi(q.Get("per_page"))
		if r.URL.Path != "/api/v2/users" || err != nil || errSize != nil || q.Get("sort") != "created_at:1" || (page+1)*size > 100 {
			http.Error(w, `{"statusCode":400,"errorCode":"invalid_query_string"}`, http.StatusBadRequest)
			return
		}
		type user struct {
			Created string `json:"created_at"`
			raw     json.RawMessage
		}
		var users []user
		for _, raw := range log() {
			u := user{raw: raw}
			_ = json.Unmarshal(raw, &u) // written above
			if from := strings.TrimSuffix(strings.TrimPrefix(q.Get("q"), `created_at:["`), `" TO *]`); u.Created >= from {
				users = append(users, u)
			}
		}
		slices.SortStableFunc(users, func(a, b user) int { return cmp.Compare(a.Created, b.Created) })
		out := []json.RawMessage{}
		for _, u := range users[min(page*size, len(users)):min((page+1)*size, len(users))] {
			out = append(out, u.raw)
		}
		_ = json.NewEncoder(w).Encode(out)
	})
}

func TestInventory(t *testing.T) {
	ingesttest.Sweep(t, ingesttest.API{Records: usersOf(110), Now: start, Handler: inventoryHandler, Secret: clientSecret, Throttle: throttle,
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
			return open(t, base, rt, poll.StreamInventory)
		}}, 24*time.Hour)
}

// TestSnapshotOfTheSweepIsRead: what the sweep emits, the normalizer reads.
func TestSnapshotOfTheSweepIsRead(t *testing.T) {
	r, err := poll.Snapshot{ReadAt: start, User: usersOf(1)[0], Authenticators: json.RawMessage(methodsOfEverybody), Complete: true}.Record(source, "example", "test")
	if err != nil {
		t.Fatal(err)
	}
	events, err := New().Normalize(r)
	if err != nil {
		t.Fatal(err)
	}
	e := events[0]
	if e.Kind != event.AuthenticatorSnapshot || !e.Snapshot.Complete || e.Subject.Name != "person0@example.com" || !e.Time.Equal(start) ||
		len(e.Authenticators) != 1 || e.Authenticators[0].Method != event.MethodPasskeySynced {
		t.Errorf("got %+v", e)
	}
}

func TestValidate(t *testing.T) {
	c := &Config{}
	c.SetDefaults()
	c.URL = "http://example.auth0.com"
	c.Inventory.Every = time.Second
	err := c.Validate()
	for _, want := range []string{"url: ", "client_id: ", "client_secret: ", "inventory.every: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() = %v, want it to say %s", err, want)
		}
	}
}
