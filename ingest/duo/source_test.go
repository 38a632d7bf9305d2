package duo

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
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

	"github.com/google/go-cmp/cmp"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/ingesttest"
	"stepdown/ingest/poll"
	"stepdown/ingest/secret"
)

const (
	ikey = "DIEXAMPLE0000000001"
	skey = "synthetic-duo-secret-key"
)

var start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// TestSignature: the value was computed apart from this code, by Duo's description
// of version 5.
func TestSignature(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "https://API-12345678.duosecurity.com/admin/v2/logs/authentication?sort=ts%3Aasc&limit=1000"+
		"&maxtime=1772449200000&mintime=1772445600000&next_offset=1532951895000%2Caf0ba235-0b33-23c8-bc23-a31aa0231de8&z=a+b~c*", nil)
	const want = "f6847fa7722d84979c287b9c32293167e0d6e36c9deccddee82473ae8cf78b0e93f7ff16478d8be270c51d90806d57a0812c6917a281a04022896915947cb0bd"
	if got := signature(skey, "Mon, 02 Mar 2026 10:00:00 +0000", r); got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

// accepted checks the signature of a request as Duo does.
func accepted(r *http.Request, now time.Time) bool {
	user, got, _ := r.BasicAuth()
	at, err := time.Parse(time.RFC1123Z, r.Header.Get("Date"))
	if err != nil || user != ikey || now.Sub(at).Abs() > 5*time.Minute {
		return false
	}
	keys := make([]string, 0, 8)
	for k, v := range r.URL.Query() {
		escape := strings.NewReplacer(":", "%3A", ",", "%2C", " ", "%20")
		keys = append(keys, k+"="+escape.Replace(v[0]))
	}
	slices.Sort(keys)
	none := "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
	mac := hmac.New(sha512.New, []byte(skey))
	fmt.Fprintf(mac, "%s\n%s\n%s\n%s\n%s\n%s\n%s", r.Header.Get("Date"), r.Method, r.Host, r.URL.Path, strings.Join(keys, "&"), none, none)
	return hex.EncodeToString(mac.Sum(nil)) == got
}

// logOf returns synthetic rows of a log, ten seconds apart, two in one moment.
func logOf(name string) []json.RawMessage {
	var out []json.RawMessage
	for i := range 40 {
		at := start.Add(time.Duration(i) * 10 * time.Second)
		if i == 5 {
			at = start.Add(40 * time.Second)
		}
		switch name {
		case streamAdmin:
			out = append(out, json.RawMessage(fmt.Sprintf(`{"action":"user_create","description":null,"isotimestamp":%q,"object":"person%d@example.com","timestamp":%d,"username":"API"}`,
				at.Format("2006-01-02T15:04:05+00:00"), i, at.Unix())))
		case streamActivity:
			out = append(out, json.RawMessage(fmt.Sprintf(`{"action":{"name":"phone_create"},"activity_id":"synthetic-%d","actor":{"name":"person%d@example.com","type":"user"},"ts":%q}`,
				i, i, at.Format("2006-01-02T15:04:05.000000+00:00"))))
		default:
			out = append(out, json.RawMessage(fmt.Sprintf(`{"event_type":"authentication","factor":"duo_push","isotimestamp":%q,"reason":"user_approved","result":"success","timestamp":%d,"txid":"synthetic-%d","user":{"name":"person%d@example.com"}}`,
				at.Format("2006-01-02T15:04:05.000000+00:00"), at.Unix(), i/2, i)))
		}
	}
	return out
}

func fail(w http.ResponseWriter, status, code int) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"code":%d,"message":"synthetic","stat":"FAIL"}`, code)
}

// handler speaks the Admin API: logs of version 2 by milliseconds and next_offset,
// held back for two minutes; the administrator log by seconds and nothing else.
func handler(log func() []json.RawMessage, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const size = 7
		q := r.URL.Query()
		if !accepted(r, now()) {
			fail(w, http.StatusUnauthorized, 40103)
			return
		}
		all := log()
		slices.SortStableFunc(all, func(a, b json.RawMessage) int { return when(a).Compare(when(b)) })
		all = slices.DeleteFunc(all, func(row json.RawMessage) bool { return when(row).After(now().Add(-delay)) })
		from, answer := 0, map[string]any{}
		switch r.URL.Path {
		case "/admin/v1/logs/administrator":
			since, err := strconv.ParseInt(q.Get("mintime"), 10, 64)
			if err != nil || since > 1e11 {
				fail(w, http.StatusBadRequest, 40002)
				return
			}
			all = slices.DeleteFunc(all, func(row json.RawMessage) bool { return when(row).Unix() < since })
			_ = json.NewEncoder(w).Encode(map[string]any{"stat": "OK", "response": all[:min(size, len(all))]})
			return
		case "/admin/v2/logs/authentication", "/admin/v2/logs/activity":
			since, err1 := strconv.ParseInt(q.Get("mintime"), 10, 64)
			until, err2 := strconv.ParseInt(q.Get("maxtime"), 10, 64)
			if err1 != nil || err2 != nil || since < 1e12 || until < since || until > now().Add(-delay).UnixMilli() || q.Get("sort") != "ts:asc" || q.Get("limit") != "1000" {
				fail(w, http.StatusBadRequest, 40002)
				return
			}
			all = slices.DeleteFunc(all, func(row json.RawMessage) bool {
				at := when(row).UnixMilli()
				return at < since || at > until
			})
			if next := q.Get("next_offset"); next != "" {
				_, place, _ := strings.Cut(next, ",row-")
				n, err := strconv.Atoi(place)
				if err != nil {
					fail(w, http.StatusBadRequest, 40002)
					return
				}
				from = min(n, len(all))
			}
		default:
			fail(w, http.StatusNotFound, 40401)
			return
		}
		to := min(from+size, len(all))
		metadata := map[string]any{"total_objects": len(all)}
		list := "items"
		if r.URL.Path == "/admin/v2/logs/authentication" {
			list = "authlogs"
		}
		answer[list], answer["metadata"] = all[from:to], metadata
		if to < len(all) {
			place := fmt.Sprintf("row-%d", to)
			if metadata["next_offset"] = "1772445600000," + place; list == "authlogs" {
				metadata["next_offset"] = []string{"1772445600000", place}
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"stat": "OK", "response": answer})
	})
}

func settings(t *testing.T, base string) *Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "skey")
	if err := os.WriteFile(file, []byte(skey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Config{}
	c.SetDefaults()
	c.URL, c.IntegrationKey, c.SecretKey = base, ikey, secret.FromFile(file)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func openSource(t *testing.T, base string, rt ingest.Runtime, stream string) ingest.Source {
	t.Helper()
	rt.Since = start.Add(-time.Minute)
	c := settings(t, base)
	c.Interval = time.Second // the suite waits that long for each record that comes later
	sources, err := c.Open(rt)
	if err != nil {
		t.Fatal(err)
	}
	return sources[stream]
}

// throttle sets what is obeyed where it is there; Duo documents no header.
func throttle(h http.Header, _ time.Time, d time.Duration) {
	h.Set("Retry-After", strconv.Itoa(int(d/time.Second)))
}

func logAPI(name string) ingesttest.API {
	return ingesttest.API{
		Records: logOf(name), Now: start.Add(10 * time.Minute), Handler: handler, Secret: skey, Throttle: throttle, Late: true,
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source { return openSource(t, base, rt, name) },
	}
}

func TestSource(t *testing.T) {
	for _, name := range []string{streamAuth, streamActivity, streamAdmin} {
		t.Run(name, func(t *testing.T) { ingesttest.Source(t, logAPI(name)) })
	}
}

func TestAPageOfBeforeARestartMayBeUnknown(t *testing.T) {
	ingesttest.Position(t, logAPI(streamAuth),
		json.RawMessage(`{"at":{"read":"2026-03-02T08:59:00Z","from":"2026-03-02T08:44:00Z","to":"2026-03-02T09:08:00Z","next":"of yesterday"}}`))
}

func TestThrottlingWithoutATimeIsWaitedFor(t *testing.T) {
	next := roundTrip(func(*http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		fail(w, http.StatusTooManyRequests, 42901)
		return w.Result(), nil
	})
	resp, err := patient{next}.RoundTrip(httptest.NewRequest(http.MethodGet, "https://example.com/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Retry-After"); got != throttleWait {
		t.Errorf("Retry-After is %q, want %q", got, throttleWait)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// inventory speaks the lists of users and administrators over the rows of log.
func inventory(admins string) func(log func() []json.RawMessage, now func() time.Time) http.Handler {
	return func(log func() []json.RawMessage, now func() time.Time) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			const size = 4
			path := r.URL.Path
			switch {
			case !accepted(r, now()):
				fail(w, http.StatusUnauthorized, 40103)
			case path == "/admin/v1/users":
				users := log()
				from, err := strconv.Atoi(r.URL.Query().Get("offset"))
				if err != nil {
					fail(w, http.StatusBadRequest, 40002)
					return
				}
				to := min(from+size, len(users))
				metadata := map[string]any{"prev_offset": nil, "total_objects": len(users)}
				if to < len(users) {
					metadata["next_offset"] = to
				}
				_ = json.NewEncoder(w).Encode(map[string]any{"stat": "OK", "response": users[from:to], "metadata": metadata})
			case strings.HasSuffix(path, "/bypass_codes"):
				fmt.Fprint(w, `{"stat":"OK","response":[{"bypass_code_id":"DBEXAMPLE1","created":1772000000,"expiration":null,"reuse_count":1}],"metadata":{"total_objects":1}}`)
			case path == "/admin/v1/admins" && admins != "":
				fmt.Fprintf(w, `{"stat":"OK","response":%s,"metadata":{}}`, admins)
			default:
				fail(w, http.StatusForbidden, 40301)
			}
		})
	}
}

const userOf = `{"user_id":"DUEXAMPLE%d","username":"person%d","realname":"Person %d","email":"person%d@example.com","status":"active","is_enrolled":true,
 "phones":[{"phone_id":"DPEXAMPLE%d","name":"","number":"+15550100","type":"Mobile","platform":"Apple iOS","activated":true,"capabilities":["auto","push","phone","sms","mobile_otp"]}],
 "tokens":[{"token_id":"DHEXAMPLE1","serial":"424242","type":"d1"}],
 "u2ftokens":[{"registration_id":"D21RU6X1B1DF5P54B6PV","date_added":1444678994}],
 "webauthncredentials":[{"webauthnkey":"WAEXAMPLE1","credential_name":"My key","label":"Security Key","date_added":1550685154},{"webauthnkey":"WAEXAMPLE2","credential_name":"","label":"Touch ID","date_added":1550685155}]}`

func people(n int) []json.RawMessage {
	out := make([]json.RawMessage, n)
	for i := range out {
		out[i] = json.RawMessage(fmt.Sprintf(userOf, i, i, i, i, i))
	}
	return out
}

func TestInventoryIsReadWholeAndGoesOnAfterARestart(t *testing.T) {
	ingesttest.Sweep(t, ingesttest.API{
		Records: people(11), Now: start, Handler: inventory(""), Secret: skey, Throttle: throttle,
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
			return openSource(t, base, rt, poll.StreamInventory)
		},
	}, 24*time.Hour)
}

func TestSnapshotsBecomeEvents(t *testing.T) {
	ingesttest.Sweep(t, ingesttest.API{
		Records: people(2), Now: start, Secret: skey, Throttle: throttle,
		Handler: inventory(`[]`),
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
			return openSource(t, base, rt, poll.StreamInventory)
		},
	}, 24*time.Hour)

	codes := json.RawMessage(`[{"bypass_code_id":"DBEXAMPLE1","created":1772000000}]`)
	for _, tc := range []struct {
		name     string
		snapshot poll.Snapshot
		want     []string
	}{
		{"user", poll.Snapshot{ReadAt: start, User: people(1)[0], Authenticators: codes, Complete: true}, []string{
			"authenticator_snapshot of person0@example.com DUEXAMPLE0, complete true",
			"security_key WAEXAMPLE1 My key", "passkey WAEXAMPLE2 Touch ID", "security_key D21RU6X1B1DF5P54B6PV U2F", "otp_hardware DHEXAMPLE1 424242",
			"push DPEXAMPLE0:push Apple iOS +15550100", "totp DPEXAMPLE0:passcode Apple iOS +15550100", "sms DPEXAMPLE0:sms Apple iOS +15550100",
			"voice DPEXAMPLE0:phone Apple iOS +15550100", "bypass_code DBEXAMPLE1 bypass code"}},
		{"user with nothing", poll.Snapshot{ReadAt: start, User: json.RawMessage(`{"user_id":"DU1","username":"jane","email":null}`)}, []string{
			"authenticator_snapshot of jane DU1, complete false"}},
		{"owner", poll.Snapshot{ReadAt: start, User: json.RawMessage(`{"admin_id":"DE1","name":"Synthetic Admin","email":"admin@example.com","role":"Owner","status":"Active"}`)}, []string{
			"role_change of admin@example.com DE1", "[Owner] full true privileged true"}},
		{"auditor", poll.Snapshot{ReadAt: start, User: json.RawMessage(`{"admin_id":"DE1","name":"Synthetic Admin","email":"admin@example.com","role":"Read-only","status":"Active"}`)}, []string{
			"role_change of admin@example.com DE1", "[Read-only] full true privileged false"}},
		{"administrator who is disabled", poll.Snapshot{ReadAt: start, User: json.RawMessage(`{"admin_id":"DE1","name":"Synthetic Admin","email":"admin@example.com","role":"Owner","status":"Disabled"}`)}, []string{
			"role_change of admin@example.com DE1", "[] full true privileged false"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			record, err := tc.snapshot.Record(source, "api-12345678.duosecurity.com", "test")
			if err != nil {
				t.Fatal(err)
			}
			ingesttest.Normalizer(t, New(), []ingest.Record{record})
			e := one(t, record)
			got := []string{fmt.Sprintf("%s of %s %s", e.Kind, e.Subject.Name, e.Subject.ID)}
			if e.Snapshot != nil {
				got[0] += fmt.Sprintf(", complete %t", e.Snapshot.Complete)
			}
			for _, a := range e.Authenticators {
				got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", a.Method, a.ID, a.Name, a.Address)))
				if a.Method == event.MethodBypassCode && (a.Created == nil || a.Created.Unix() != 1772000000) {
					t.Errorf("bypass code was made at %v", a.Created)
				}
			}
			if e.Role != nil {
				got = append(got, fmt.Sprintf("%v full %t privileged %t", e.Role.Roles, e.Role.Full, e.Role.Privileged))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAFactorFindsItsEnrolment: the id of a factor that was used is that of the
// inventory.
func TestAFactorFindsItsEnrolment(t *testing.T) {
	for method, id := range map[event.Method]string{
		event.MethodPush: "DP1:push", event.MethodPushNumberMatch: "DP1:push", event.MethodTOTP: "DP1:passcode",
		event.MethodSMS: "DP1:sms", event.MethodVoice: "DP1:phone",
	} {
		if got := credentialID("DP1", method); got != id {
			t.Errorf("id of %s on a phone is %s, want %s", method, got, id)
		}
	}
	if got := credentialID("WA1", event.MethodSecurityKey); got != "WA1" {
		t.Errorf("id of a credential is %s", got)
	}
}

func TestSettings(t *testing.T) {
	good := settings(t, "https://api-12345678.duosecurity.com")
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no url":             {func(c *Config) { c.URL = "" }, "url: is not set"},
		"plain http":         {func(c *Config) { c.URL = "http://api-12345678.duosecurity.com" }, "url: "},
		"no integration key": {func(c *Config) { c.IntegrationKey = "" }, "integration_key: is not set"},
		"no secret key":      {func(c *Config) { c.SecretKey = secret.Secret{} }, "secret_key: is not set"},
		"no log":             {func(c *Config) { c.Logs = nil }, "logs: is empty"},
		"unknown log":        {func(c *Config) { c.Logs = []string{"authentication", "auth"} }, `logs[1]: is "auth"`},
		"log twice":          {func(c *Config) { c.Logs = []string{"activity", "activity"} }, "logs[1]: activity is there twice"},
		"interval too small": {func(c *Config) { c.Interval = 1 }, "interval: "},
		"sweep too often":    {func(c *Config) { c.Inventory.Every = time.Second }, "inventory.every: "},
		"no budget":          {func(c *Config) { c.RequestsPerMinute = 0 }, "requests_per_minute: "},
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
