package jumpcloud

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
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
			json.Unmarshal([]byte(r.Header.Get("X-Body")), &q) != nil, len(q.Service) == 0, q.StartTime == "", q.Sort != "ASC":
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

// bodiless carries the body of a request in a header: a server notices that its
// client has gone only when the body was read, and the suite's faults read none.
type bodiless struct{ next http.RoundTripper }

func (b bodiless) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Header.Set("X-Body", string(body))
		r.Body, r.ContentLength = http.NoBody, 0
	}
	return b.next.RoundTrip(r)
}

func open(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
	t.Helper()
	rt.Since = start
	rt.HTTP = bodiless{rt.HTTP}
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

func TestSettings(t *testing.T) {
	good := settings(t, "https://api.jumpcloud.com")
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no url":             {func(c *Config) { c.URL = "" }, "url: is not set"},
		"plain http":         {func(c *Config) { c.URL = "http://api.jumpcloud.com" }, "url: "},
		"no key":             {func(c *Config) { c.APIKey = secret.Secret{} }, "api_key: is not set"},
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
