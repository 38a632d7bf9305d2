package entra

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"stepdown/ingest"
	"stepdown/ingest/ingesttest"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
	"stepdown/ingest/secret"
)

// credential is both the secret of the application and the token that it gets, so
// that the suite looks for each of them.
const credential = "synthetic-entra-credential"

const (
	tenant   = "72f1f7a4-0000-4000-8000-00000000000a"
	clientID = "72f1f7a4-0000-4000-8000-0000000000c1"
)

var start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// graph is a fake of Microsoft Graph with its token endpoint, as far as it is
// documented: filters, order, links to the next page that are good once.
type graph struct {
	log func() []json.RawMessage
	// unordered: $orderby is not heeded.
	unordered bool

	mu    sync.Mutex
	pages map[string][]json.RawMessage
	// asked are the requests of logs, without those for further pages.
	asked []url.Values
}

const graphPage = 7

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%q,"message":"synthetic"}}`, code)
}

func (g *graph) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	base := "http://" + r.Host
	switch {
	case r.URL.Path == "/"+tenant+"/oauth2/v2.0/token":
		if r.FormValue("client_id") != clientID || r.FormValue("client_secret") != credential ||
			r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != base+"/.default" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3599,"access_token":%q}`, credential)
		return
	case r.Header.Get("Authorization") != "Bearer "+credential:
		refuse(w, http.StatusUnauthorized, "InvalidAuthenticationToken")
		return
	case r.Header.Get("Prefer") != "include-unknown-enum-members", strings.Contains(r.URL.RawQuery, "+"):
		refuse(w, http.StatusBadRequest, "BadRequest")
		return
	}
	q := r.URL.Query()
	rows, ok := []json.RawMessage(nil), false
	g.mu.Lock()
	defer g.mu.Unlock()
	if token := q.Get("$skiptoken"); token != "" {
		rows, ok = g.pages[token]
		delete(g.pages, token)
	} else {
		g.asked = append(g.asked, q)
		rows, ok = g.query(r.URL.Path, q)
	}
	if !ok {
		refuse(w, http.StatusBadRequest, "BadRequest")
		return
	}
	answer := map[string]any{"@odata.context": "synthetic"}
	n := min(graphPage, len(rows))
	answer["value"] = append([]json.RawMessage{}, rows[:n]...)
	if n < len(rows) {
		token := strconv.Itoa(len(g.asked)) + "-" + strconv.Itoa(len(rows))
		if g.pages == nil {
			g.pages = map[string][]json.RawMessage{}
		}
		g.pages[token] = rows[n:]
		next := *r.URL
		next.RawQuery = url.Values{"$skiptoken": {token}}.Encode()
		answer["@odata.nextLink"] = base + next.String()
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// query returns the rows of a log that a filter lets through, newest first where
// no order is asked for.
func (g *graph) query(path string, q url.Values) ([]json.RawMessage, bool) {
	i := slices.IndexFunc(logs(), func(l graphLog) bool {
		return "/"+l.path == path && (l.filter == "" || strings.HasSuffix(q.Get("$filter"), " and "+l.filter))
	})
	if i < 0 {
		return nil, false
	}
	l := logs()[i]
	var from, to time.Time
	for condition := range strings.SplitSeq(strings.TrimSuffix(q.Get("$filter"), " and "+l.filter), " and ") {
		words := strings.Fields(condition)
		if len(words) != 3 || words[0] != l.field {
			return nil, false
		}
		at, err := time.Parse(time.RFC3339Nano, words[2])
		switch {
		case err != nil:
			return nil, false
		case words[1] == "ge":
			from = at
		case words[1] == "le":
			to = at
		default:
			return nil, false
		}
	}
	if order := q.Get("$orderby"); l.protection && (order != "" || q.Get("$top") != "500") || !l.protection && order != l.field+" asc" {
		return nil, false
	}
	when := (&reader{log: l}).when
	var rows []json.RawMessage
	for _, row := range g.log() {
		if t := when(row); !t.Before(from) && (to.IsZero() || !t.After(to)) {
			rows = append(rows, row)
		}
	}
	slices.SortStableFunc(rows, func(a, b json.RawMessage) int {
		if l.ordered && !g.unordered {
			return when(a).Compare(when(b))
		}
		return when(b).Compare(when(a))
	})
	return rows, !from.IsZero()
}

// rowOf returns a synthetic record of a log.
func rowOf(stream, id string, at time.Time, version int) json.RawMessage {
	t := at.Format("2006-01-02T15:04:05.0000000Z")
	switch stream {
	case streamAudit:
		return json.RawMessage(fmt.Sprintf(`{"id":"Directory_%s","activityDateTime":%q,"activityDisplayName":"User registered security info","result":"success","version":%d}`, id, t, version))
	case streamRisk:
		return json.RawMessage(fmt.Sprintf(`{"id":%q,"activityDateTime":%q,"detectedDateTime":%q,"riskEventType":"unfamiliarFeatures","version":%d}`, id, t, t, version))
	case streamRiskyUser:
		return json.RawMessage(fmt.Sprintf(`{"id":%q,"riskLastUpdatedDateTime":%q,"riskState":"atRisk","version":%d}`, id, t, version))
	}
	return json.RawMessage(fmt.Sprintf(`{"id":%q,"createdDateTime":%q,"userId":"u","appId":"a","version":%d}`, id, t, version))
}

// rowsOf returns n records over a little less than an hour, as they are shown: not
// in the order of their times.
func rowsOf(stream string, n int) []json.RawMessage {
	var out []json.RawMessage
	for i := range n {
		out = append(out, rowOf(stream, fmt.Sprint("synthetic-", i), start.Add(time.Duration(i)*time.Minute-time.Duration(i%4)*90*time.Second), 1))
	}
	return out
}

func file(t *testing.T, data string) secret.Secret {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return secret.FromFile(path)
}

func settings(t *testing.T, base string) *Config {
	t.Helper()
	c := &Config{}
	c.SetDefaults()
	c.TenantID, c.ClientID, c.ClientSecret, c.URL, c.LoginURL = tenant, clientID, file(t, credential+"\n"), base, base
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func openSource(t *testing.T, base string, rt ingest.Runtime, stream string, change func(*Config)) ingest.Source {
	t.Helper()
	c := settings(t, base)
	if change != nil {
		change(c)
	}
	if rt.Since.IsZero() {
		rt.Since = start.Add(-10 * time.Minute)
	}
	sources, err := c.Open(rt)
	if err != nil {
		t.Fatal(err)
	}
	return sources[stream]
}

func throttle(h http.Header, _ time.Time, d time.Duration) {
	h.Set("Retry-After", strconv.Itoa(int(d/time.Second)))
	h.Set("X-Ms-Throttle-Scope", "Tenant_Application/Read/synthetic")
	h.Set("X-Ms-Throttle-Information", "ResourceUnitLimitExceeded")
}

func TestSource(t *testing.T) {
	for _, l := range logs() {
		for _, unordered := range []bool{false, true} {
			if unordered && !l.ordered {
				continue
			}
			t.Run(fmt.Sprintf("%s order kept %t", l.stream, !unordered), func(t *testing.T) {
				ingesttest.Source(t, ingesttest.API{
					Records: rowsOf(l.stream, 40), Now: start.Add(45 * time.Minute), Secret: credential, Throttle: throttle, Late: true,
					Handler: func(log func() []json.RawMessage, _ func() time.Time) http.Handler {
						return &graph{log: log, unordered: unordered}
					},
					Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
						return openSource(t, base, rt, l.stream, nil)
					},
				})
			})
		}
	}
}

// bench drives one source over a fake by hand.
type bench struct {
	*graph
	base string
	now  time.Time
	rows []json.RawMessage
	s    ingest.Source
}

func newBench(t *testing.T, stream string, now time.Time, change func(*Config)) *bench {
	t.Helper()
	b := &bench{now: now}
	b.graph = &graph{log: func() []json.RawMessage { return b.rows }}
	srv := httptest.NewServer(b.graph)
	t.Cleanup(srv.Close)
	b.base = srv.URL
	b.s = openSource(t, srv.URL, b.runtime(), stream, change)
	return b
}

func (b *bench) runtime() ingest.Runtime {
	return ingest.Runtime{Input: "test", HTTP: http.DefaultTransport, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return b.now },
		Wait: func(ctx context.Context, d time.Duration) error { b.now = b.now.Add(d); return ctx.Err() }}
}

// look polls until the source rests and returns the ids and versions that came.
func (b *bench) look(t *testing.T) (got []string, last ingest.Batch) {
	t.Helper()
	for range 100 {
		batch, err := b.s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range batch.Records {
			var row struct {
				ID      string `json:"id"`
				Version int    `json:"version"`
			}
			if err := json.Unmarshal(r.Data, &row); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s v%d", row.ID, row.Version))
		}
		var p struct {
			At position `json:"at"`
		}
		if batch.Cursor != nil {
			if err := json.Unmarshal(batch.Cursor, &p); err != nil {
				t.Fatal(err)
			}
		}
		if last = batch; p.At.Reading.IsZero() {
			return got, last
		}
	}
	t.Fatal("the pass does not end")
	return nil, last
}

func TestRewrittenRecordsOfTheLastDayComeAgain(t *testing.T) {
	b := newBench(t, streamSignIn, start, func(c *Config) { c.Since = 30 * time.Hour })
	b.rows = []json.RawMessage{rowOf(streamSignIn, "old", start.Add(-5*time.Minute), 1), rowOf(streamSignIn, "new", start.Add(-time.Minute), 1)}
	if got, _ := b.look(t); cmp.Diff([]string{"old v1", "new v1"}, got) != "" {
		t.Fatalf("first look gave %v", got)
	}
	// Hours later the first is written again, and a record shows up that is as old.
	b.now = start.Add(5 * time.Hour)
	b.rows = append(b.rows, rowOf(streamSignIn, "now", start.Add(4*time.Hour+50*time.Minute), 1))
	if got, _ := b.look(t); cmp.Diff([]string{"now v1"}, got) != "" {
		t.Fatalf("look after five hours gave %v", got)
	}
	b.rows[0] = rowOf(streamSignIn, "old", start.Add(-5*time.Minute), 2)
	b.rows = append(b.rows, rowOf(streamSignIn, "late", start.Add(-3*time.Minute), 1))
	if got, _ := b.look(t); len(got) != 0 {
		t.Errorf("a look between rechecks gave %v, want nothing: it reads an hour back", got)
	}
	b.now = start.Add(7 * time.Hour)
	got, last := b.look(t)
	if diff := cmp.Diff([]string{"old v2", "late v1"}, got); diff != "" {
		t.Errorf("recheck (-want +got):\n%s", diff)
	}
	if last.Through.Before(start.Add(4 * time.Hour)) {
		t.Errorf("a recheck takes the log back to %s", last.Through)
	}
	b.now = start.Add(14 * time.Hour)
	if got, _ := b.look(t); len(got) != 0 {
		t.Errorf("the second recheck gave %v again", got)
	}
}

func TestALogThatHangsForHoursLosesNothing(t *testing.T) {
	b := newBench(t, streamSignIn, start, nil)
	b.rows = []json.RawMessage{rowOf(streamSignIn, "before", start.Add(-5*time.Minute), 1)}
	b.look(t)
	for range 5 {
		b.now = b.now.Add(time.Hour)
		b.look(t)
	}
	b.rows = append(b.rows, rowOf(streamSignIn, "held back", start.Add(10*time.Minute), 1))
	if got, _ := b.look(t); cmp.Diff([]string{"held back v1"}, got) != "" {
		t.Errorf("look after five silent hours gave %v, want what was held back", got)
	}
}

func TestAQuietLogCostsOneRequestALook(t *testing.T) {
	b := newBench(t, streamAudit, start, nil)
	b.look(t)
	for range 12 {
		b.now = b.now.Add(24 * time.Hour)
		b.look(t)
	}
	b.asked = nil
	for range 10 {
		b.look(t)
	}
	if len(b.asked) > 15 {
		t.Errorf("%d requests for ten looks at a log that is silent for twelve days", len(b.asked))
	}
}

func TestManyRecordsOfOneMoment(t *testing.T) {
	b := newBench(t, streamNonInteractive, start, nil)
	for i := range 5 * graphPage {
		b.rows = append(b.rows, rowOf(streamNonInteractive, strconv.Itoa(i), start.Add(-time.Minute), 1))
	}
	b.rows = append(b.rows, rowOf(streamNonInteractive, "last", start.Add(-time.Second), 1))
	if got, _ := b.look(t); len(got) != len(b.rows) {
		t.Errorf("%d records came, want %d", len(got), len(b.rows))
	}
}

func TestHistoryIsReadInWindows(t *testing.T) {
	b := newBench(t, streamAudit, start.Add(30*24*time.Hour), nil)
	for i := range 60 {
		b.rows = append(b.rows, rowOf(streamAudit, strconv.Itoa(i), start.Add(time.Duration(i)*12*time.Hour), 1))
	}
	got, last := b.look(t)
	if len(got) != len(b.rows) || !slices.IsSortedFunc(got, func(a, b string) int { return len(a) - len(b) }) {
		t.Errorf("%d records came, want %d in order", len(got), len(b.rows))
	}
	if behind := b.now.Sub(last.Through); behind < 0 || behind > time.Minute {
		t.Errorf("read through %s, want the beginning of the last request", last.Through)
	}
	for _, q := range b.asked[:len(b.asked)-1] {
		from, to := "", ""
		for condition := range strings.SplitSeq(q.Get("$filter"), " and ") {
			if words := strings.Fields(condition); words[1] == "ge" {
				from = words[2]
			} else {
				to = words[2]
			}
		}
		a, _ := lenient.Time(from)
		z, ok := lenient.Time(to)
		if ok && z.Sub(a) > window {
			t.Errorf("a request for %s to %s", from, to)
		}
	}
}

func TestAnAnswerThatIsNoCollectionIsAnError(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3599,"access_token":%q}`, credential)
			return
		}
		fmt.Fprint(w, `{}`)
	}))
	defer srv.Close()
	b := &bench{now: start}
	if _, err := openSource(t, srv.URL, b.runtime(), streamSignIn, nil).Poll(t.Context()); err == nil {
		t.Error("an answer without value is taken for an empty log")
	}
}

func TestTheQuotaOfTheDirectoryIsHeeded(t *testing.T) {
	for header, want := range map[string]time.Duration{"": 0, "0.5": 0, "0.8": time.Second, "0.95": time.Second, "1": 10 * time.Second, "1.8": 10 * time.Second, "x": 0} {
		h := http.Header{}
		h.Set("x-ms-throttle-limit-percentage", header)
		if got := limit(h, start); got != want {
			t.Errorf("limit at %q = %s, want %s", header, got, want)
		}
	}
}

func TestACertificateSignsTheTokenRequest(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	bundle := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	sum := sha256.Sum256(certificate)
	g := &graph{log: func() []json.RawMessage { return rowsOf(streamSignIn, 3) }}
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address := "/" + tenant + "/oauth2/v2.0/token"
		if r.URL.Path != address {
			g.ServeHTTP(w, r)
			return
		}
		parsed, err := jwt.ParseSigned(r.FormValue("client_assertion"), []jose.SignatureAlgorithm{jose.PS256})
		var claims jwt.Claims
		if err != nil || parsed.Claims(&private.PublicKey, &claims) != nil || claims.Issuer != clientID || claims.Subject != clientID ||
			!claims.Audience.Contains(srv.URL+address) || r.FormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" ||
			parsed.Headers[0].ExtraHeaders["x5t#S256"] != base64.RawURLEncoding.EncodeToString(sum[:]) || r.FormValue("client_secret") != "" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client"}`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3599,"access_token":%q}`, credential)
	}))
	defer srv.Close()
	b := &bench{now: start.Add(time.Hour)}
	s := openSource(t, srv.URL, b.runtime(), streamSignIn, func(c *Config) {
		c.ClientSecret, c.Certificate = secret.Secret{}, file(t, bundle)
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
	})
	if batch, err := s.Poll(t.Context()); err != nil || len(batch.Records) != 3 {
		t.Errorf("%d records, %v, want 3", len(batch.Records), err)
	}
}

func TestSettings(t *testing.T) {
	good := settings(t, "https://graph.microsoft.us")
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"a domain":            {func(c *Config) { c.TenantID = "example.com" }, `tenant_id: is "example.com"`},
		"no client":           {func(c *Config) { c.ClientID = "" }, "client_id: is not set"},
		"no credential":       {func(c *Config) { c.ClientSecret = secret.Secret{} }, "client_secret: is not set"},
		"two credentials":     {func(c *Config) { c.Certificate = c.ClientSecret }, "client_secret: is set beside certificate"},
		"plain http":          {func(c *Config) { c.URL = "http://example.com" }, "url: "},
		"no login address":    {func(c *Config) { c.LoginURL = "" }, "login_url: is not set"},
		"no logs":             {func(c *Config) { c.Logs = nil }, "logs: is empty"},
		"unknown log":         {func(c *Config) { c.Logs = []string{streamAudit, "signin"} }, `logs[1]: is "signin"`},
		"a log twice":         {func(c *Config) { c.Logs = []string{streamAudit, streamAudit} }, "logs[1]: audit is there twice"},
		"overlap of days":     {func(c *Config) { c.Overlap = 48 * time.Hour }, "overlap: "},
		"recheck every hour":  {func(c *Config) { c.Recheck = time.Minute }, "recheck: "},
		"no budget":           {func(c *Config) { c.RequestsPerMinute = 0 }, "requests_per_minute: "},
		"no inventory budget": {func(c *Config) { c.Inventory.RequestsPerMinute = 0 }, "inventory.requests_per_minute: "},
		"sweep too often":     {func(c *Config) { c.Inventory.Every = time.Second }, "inventory.every: "},
	} {
		t.Run(name, func(t *testing.T) {
			c := *good
			tc.change(&c)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Validate() = %v, want %q", err, tc.want)
			}
		})
	}
	sources, err := good.Open((&bench{now: start}).runtime())
	if err != nil {
		t.Fatal(err)
	}
	if want := len(logs()) + 1; len(sources) != want || sources[poll.StreamInventory] == nil {
		t.Errorf("%d sources, want %d with the inventory", len(sources), want)
	}
}
