package jumpcloud

import (
	"encoding/json"
	"fmt"
	"net/http"
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

const apiKey = "synthetic-jumpcloud-key"

var start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// logOf returns n synthetic events, ever apart.
func logOf(n int, apart time.Duration) []json.RawMessage {
	var out []json.RawMessage
	for i := range n {
		out = append(out, json.RawMessage(fmt.Sprintf(`{"id":"synthetic-%04d","timestamp":%q,"event_type":"user_login_attempt","service":"directory","success":true,"initiated_by":{"id":"u-%d","type":"user","username":"person%d"}}`,
			i, stamp(start.Add(time.Duration(i)*apart)), i, i)))
	}
	return out
}

// handler speaks the one endpoint of Directory Insights: oldest first, a position in
// a header that is there on the last page too.
func handler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q request
		switch {
		case r.Header.Get("X-Api-Key") != apiKey:
			http.Error(w, `{"message":"Unauthorized"}`, http.StatusUnauthorized)
			return
		case r.Method != http.MethodPost, r.URL.Path != "/insights/directory/v1/events",
			json.NewDecoder(r.Body).Decode(&q) != nil, len(q.Service) == 0, q.StartTime == "", q.Sort != "ASC":
			http.Error(w, `{"message":"Bad Request"}`, http.StatusBadRequest)
			return
		}
		var after []any
		if len(q.SearchAfter) > 0 && (json.Unmarshal(q.SearchAfter, &after) != nil || len(after) != 2) {
			http.Error(w, `{"message":"Bad Request"}`, http.StatusBadRequest)
			return
		}
		rows := []json.RawMessage{}
		var last string
		for _, row := range log() {
			at := when(row)
			if stamp(at) <= q.StartTime || stamp(at) >= q.EndTime {
				continue
			}
			var head struct{ ID string }
			_ = json.Unmarshal(row, &head) // it is one of ours
			if after != nil && head.ID <= fmt.Sprint(after[1]) {
				continue
			}
			if len(rows) == q.Limit {
				break
			}
			rows = append(rows, row)
			last = fmt.Sprintf(`[%d,%q]`, at.UnixMilli(), head.ID)
		}
		w.Header().Set("X-Result-Count", strconv.Itoa(len(rows)))
		w.Header().Set("X-Limit", strconv.Itoa(q.Limit))
		w.Header().Set("X-Search_after", last)
		_ = json.NewEncoder(w).Encode(slices.Clip(rows))
	})
}

func settings(t *testing.T, base string) *Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(apiKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Config{}
	c.SetDefaults()
	c.URL, c.APIKey = base, secret.FromFile(file)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
	return openStream(t, base, rt, stream)
}

func openStream(t *testing.T, base string, rt ingest.Runtime, stream string) ingest.Source {
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

func TestSource(t *testing.T) {
	ingesttest.Source(t, ingesttest.API{
		Records: logOf(40, time.Second), Now: start.Add(time.Minute), Handler: handler, Secret: apiKey, Throttle: throttle,
		Open: open, Late: true,
	})
}

func TestHistoryIsReadToItsEnd(t *testing.T) {
	ingesttest.Position(t, ingesttest.API{
		Records: logOf(40, 17*time.Minute), Now: start.Add(14 * time.Hour), Handler: handler, Secret: apiKey, Throttle: throttle,
		Open: open,
	}, nil)
}

func TestALookOfManyPagesIsReadWhole(t *testing.T) {
	ingesttest.Position(t, ingesttest.API{
		Records: logOf(2*pageSize+1, 100*time.Millisecond), Now: start.Add(5 * time.Minute), Handler: handler, Secret: apiKey, Throttle: throttle,
		Open: open,
	}, nil)
}

// consoleHandler speaks the list of users; the log is that list.
func consoleHandler(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch {
		case r.Header.Get("X-Api-Key") != apiKey:
			http.Error(w, `{"message":"Unauthorized"}`, http.StatusUnauthorized)
			return
		case r.URL.Path != "/api/systemusers", q.Get("sort") != "_id":
			http.Error(w, `{"message":"Bad Request"}`, http.StatusBadRequest)
			return
		}
		users := log()
		skip, _ := strconv.Atoi(q.Get("skip"))
		limit, _ := strconv.Atoi(q.Get("limit"))
		skip = min(skip, len(users))
		_ = json.NewEncoder(w).Encode(map[string]any{"totalCount": len(users), "results": slices.Clip(users[skip:min(skip+limit, len(users))])})
	})
}

func TestInventoryIsReadWholeAndGoesOnAfterARestart(t *testing.T) {
	var users []json.RawMessage
	for i := range 5*usersPerPage/2 + 1 {
		users = append(users, json.RawMessage(fmt.Sprintf(`{"_id":"u-%03d","username":"person%d","email":"person%d@example.com","ssh_keys":[{"public_key":"not needed"}],"mfaEnrollment":{"overallStatus":"ENROLLED","totpStatus":"ENROLLED","pushStatus":"NOT_ENROLLED","webAuthnStatus":"ENROLLED"}}`, i, i, i)))
	}
	ingesttest.Sweep(t, ingesttest.API{
		Records: users, Now: start, Handler: consoleHandler, Secret: apiKey, Throttle: throttle,
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
			return openStream(t, base, rt, poll.StreamInventory)
		},
	}, 24*time.Hour)
}

func TestSnapshotsBecomeEvents(t *testing.T) {
	snapshot := func(status string) ingest.Record {
		s := poll.Snapshot{ReadAt: start, User: json.RawMessage(`{"_id":"u-1","username":"person","email":"person@example.com","displayname":"Synthetic Person"}`)}
		if status != "" {
			s.Authenticators = json.RawMessage(status)
		}
		r, err := s.Record(source, "org-1", "test")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	enrolled := snapshot(`{"overallStatus":"ENROLLED","totpStatus":"ENROLLED","pushStatus":"PENDING_ACTIVATION","webAuthnStatus":"ENROLLED"}`)
	ingesttest.Normalizer(t, New(), []ingest.Record{enrolled, snapshot(`{"overallStatus":"NOT_ENROLLED"}`), snapshot("")})
	e := one(t, enrolled)
	if e.Subject.Name != "person@example.com" || e.Snapshot.Complete || len(e.Authenticators) != 2 ||
		e.Authenticators[0].Method != event.MethodPasskey || e.Authenticators[1].Method != event.MethodTOTP {
		t.Errorf("event = %+v", e)
	}
	if e := one(t, snapshot(`{"overallStatus":"NOT_ENROLLED","totpStatus":"NOT_ENROLLED"}`)); len(e.Authenticators) != 0 {
		t.Errorf("authenticators = %+v, want none", e.Authenticators)
	}
}

func TestSettings(t *testing.T) {
	good := settings(t, "https://api.jumpcloud.com")
	if got := good.consoleURL(); got != "https://console.jumpcloud.com" {
		t.Errorf("consoleURL() = %q", got)
	}
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no url":             {func(c *Config) { c.URL = "" }, "url: is not set"},
		"plain http":         {func(c *Config) { c.URL = "http://api.jumpcloud.com" }, "url: "},
		"no key":             {func(c *Config) { c.APIKey = secret.Secret{} }, "api_key: is not set"},
		"console wrong":      {func(c *Config) { c.ConsoleURL = "console.jumpcloud.com" }, "console_url: "},
		"sweep too often":    {func(c *Config) { c.Inventory.Every = time.Second }, "inventory.every: "},
		"no overlap":         {func(c *Config) { c.Overlap = 0 }, "overlap: "},
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
