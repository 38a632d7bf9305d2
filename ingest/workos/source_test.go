package workos

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/ingesttest"
	"stepdown/ingest/poll"
	"stepdown/ingest/secret"
)

const apiKey = "synthetic-workos-key"

var start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// logOf returns n synthetic events in the order of their creation: every fourth is
// a session, which names its user by id alone.
func logOf(n int) []json.RawMessage {
	var out []json.RawMessage
	for i := range n {
		at := start.Add(time.Duration(i) * time.Minute).Format("2006-01-02T15:04:05.000Z")
		if i%4 == 3 {
			out = append(out, json.RawMessage(fmt.Sprintf(`{"object":"event","id":"event_%04d","event":"session.created","data":{"object":"session","id":"session_%d","user_id":"user_%d","auth_method":"passkey"},"created_at":%q}`, i, i, i/8, at)))
			continue
		}
		out = append(out, json.RawMessage(fmt.Sprintf(`{"object":"event","id":"event_%04d","event":"authentication.passkey_succeeded","data":{"type":"passkey","user_id":"user_%d","email":"person%d@example.com"},"created_at":%q}`, i, i/8, i/8, at)))
	}
	return out
}

// completed is an event as the source hands it on.
func completed(row json.RawMessage) []byte {
	var h head
	_ = json.Unmarshal(row, &h) // written above
	if h.Data.Email != "" {
		return row
	}
	n := strings.TrimPrefix(h.Data.UserID, "user_")
	return []byte(`{"stepdown_user_email":"person` + n + `@example.com",` + strings.TrimPrefix(string(row), "{"))
}

func authorized(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Authorization") != "Bearer "+apiKey {
		http.Error(w, `{"message":"Unauthorized"}`, http.StatusUnauthorized)
		return false
	}
	return true
}

// handler speaks the events API and that of one user; an id that it does not know
// is a bad request.
func handler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !authorized(w, r) {
			return
		}
		if id, ok := strings.CutPrefix(r.URL.Path, "/user_management/users/user_"); ok {
			fmt.Fprintf(w, `{"object":"user","id":"user_%s","email":"person%s@example.com"}`, id, id)
			return
		}
		q := r.URL.Query()
		after := q.Get("after")
		if r.URL.Path != "/events" || q.Get("order") != "asc" || q.Get("limit") != "100" || !strings.Contains(q.Get("events"), "session.created,") ||
			(after == "") == (q.Get("range_start") == "") || after == "event_lost" {
			http.Error(w, `{"message":"bad request","code":"invalid_request"}`, http.StatusBadRequest)
			return
		}
		var rows []json.RawMessage
		for _, row := range log() {
			var h head
			_ = json.Unmarshal(row, &h) // written above
			if h.ID > after && h.CreatedAt >= q.Get("range_start") {
				rows = append(rows, row)
			}
		}
		const size = 7
		rows = rows[:min(size, len(rows))]
		list := map[string]any{"object": "list", "data": append([]json.RawMessage{}, rows...), "list_metadata": map[string]any{"before": nil, "after": nil}}
		_ = json.NewEncoder(w).Encode(list)
	})
}

func open(t *testing.T, base string, rt ingest.Runtime, stream string) ingest.Source {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(apiKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Config{}
	c.SetDefaults()
	c.URL, c.APIKey, c.Tenant = base, secret.FromFile(file), "production"
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	sources, err := c.Open(rt)
	if err != nil {
		t.Fatal(err)
	}
	return sources[stream]
}

// throttle: WorkOS documents 429 and no headers of its own.
func throttle(h http.Header, _ time.Time, d time.Duration) {
	h.Set("Retry-After", fmt.Sprint(int(d/time.Second)))
}

func eventsAPI() ingesttest.API {
	return ingesttest.API{Records: logOf(40), Now: start.Add(3 * time.Hour), Handler: handler, Secret: apiKey, Throttle: throttle, Data: completed,
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
			return open(t, base, rt, streamEvents)
		}}
}

func TestSource(t *testing.T) { ingesttest.Source(t, eventsAPI()) }

func TestLostPosition(t *testing.T) {
	ingesttest.Position(t, eventsAPI(), json.RawMessage(fmt.Sprintf(`{"at":{"after":"event_lost","since":%q}}`, start.Format(time.RFC3339))))
}

// TestOnePersonForStepAndSession: what the source hands on lets both be the same
// person's, of whom the session says an id alone.
func TestOnePersonForStepAndSession(t *testing.T) {
	rows := logOf(4)
	step, err := New().Normalize(record(string(completed(rows[2]))))
	if err != nil {
		t.Fatal(err)
	}
	session, err := New().Normalize(record(string(completed(rows[3]))))
	if err != nil {
		t.Fatal(err)
	}
	if step[0].Subject != session[0].Subject || session[0].Kind != event.SignIn {
		t.Errorf("step of %+v, session of %+v", step[0].Subject, session[0].Subject)
	}
}

func inventoryHandler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !authorized(w, r) {
			return
		}
		if strings.HasSuffix(r.URL.Path, "/auth_factors") {
			fmt.Fprint(w, `{"object":"list","data":[{"object":"authentication_factor","id":"auth_factor_1","type":"totp"}],"list_metadata":{"before":null,"after":null}}`)
			return
		}
		users := log()
		from := 0
		if after := r.URL.Query().Get("after"); after != "" {
			from = 1 + slices.IndexFunc(users, func(u json.RawMessage) bool { return strings.Contains(string(u), `"`+after+`"`) })
		}
		const size = 3
		to := min(from+size, len(users))
		var next any
		if to < len(users) {
			var h struct {
				ID string `json:"id"`
			}
			_ = json.Unmarshal(users[to-1], &h) // written below
			next = h.ID
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"object": "list", "data": users[from:to], "list_metadata": map[string]any{"before": nil, "after": next}})
	})
}

func TestInventory(t *testing.T) {
	var people []json.RawMessage
	for i := range 11 {
		people = append(people, json.RawMessage(fmt.Sprintf(`{"object":"user","id":"user_%02d","email":"person%d@example.com"}`, i, i)))
	}
	ingesttest.Sweep(t, ingesttest.API{Records: people, Now: start, Handler: inventoryHandler, Secret: apiKey, Throttle: throttle,
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
			return open(t, base, rt, poll.StreamInventory)
		}}, 24*time.Hour)
}

func TestValidate(t *testing.T) {
	c := &Config{}
	c.SetDefaults()
	c.URL, c.Events = "ftp://example.com", nil
	err := c.Validate()
	for _, want := range []string{"url: ", "api_key: ", "tenant: ", "events: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() = %v, want it to say %s", err, want)
		}
	}
}
