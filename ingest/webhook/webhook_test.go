package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"stepdown/ingest"
	"stepdown/ingest/file"
	"stepdown/ingest/secret"
)

var now = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

const key = "synthetic-webhook-key"

func secretOf(t testing.TB, value string) secret.Secret {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return secret.FromFile(path)
}

func endpoint(t testing.TB, change func(*Config)) (*Endpoint, *bytes.Buffer) {
	t.Helper()
	var c Config
	c.SetDefaults()
	c.Path, c.Source, c.Scheme, c.Secret, c.Deadline = "/hook", "okta", SchemeHeader, secretOf(t, key), 5*time.Second
	change(&c)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	var logs bytes.Buffer
	rt := ingest.Runtime{Input: "hook", Log: slog.New(slog.NewTextHandler(&logs, nil)), Now: func() time.Time { return now }}
	return New(c, file.Split, rt, NewMetrics(prometheus.NewRegistry())), &logs
}

// collect takes the batches of a queue, as the collector does, until the test ends.
func collect(t testing.TB, q *Queue) (records func() []string) {
	t.Helper()
	var mu sync.Mutex
	var got []string
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			batch, err := q.Poll(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			for _, r := range batch.Records {
				got = append(got, string(r.Data))
			}
			mu.Unlock()
			batch.Durable(ctx)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return func() []string { mu.Lock(); defer mu.Unlock(); return got }
}

func sign(value, signed string) string {
	m := hmac.New(sha256.New, []byte(value))
	m.Write([]byte(signed))
	return hex.EncodeToString(m.Sum(nil))
}

func push(e *Endpoint, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

func TestOnlyWhoKnowsTheSecretMayPush(t *testing.T) {
	const body = `{"id":"1"}`
	milli := fmt.Sprint(now.UnixMilli())
	old := fmt.Sprint(now.Add(-4 * time.Minute).UnixMilli())
	for name, tc := range map[string]struct {
		change func(*Config)
		header []string
		body   string
		want   string
	}{
		"header":                      {func(*Config) {}, []string{"Authorization", key}, body, resultDurable},
		"header with a prefix":        {func(c *Config) { c.Prefix = "Bearer " }, []string{"Authorization", "Bearer " + key}, body, resultDurable},
		"a header of another name":    {func(c *Config) { c.Header = "x-token" }, []string{"X-Token", key}, body, resultDurable},
		"wrong header":                {func(*Config) {}, []string{"Authorization", key + "x"}, body, resultWrong},
		"no header":                   {func(*Config) {}, nil, body, resultUnsigned},
		"empty header":                {func(*Config) {}, []string{"Authorization", ""}, body, resultUnsigned},
		"the secret before":           {func(c *Config) { c.Previous = secretOf(t, "old") }, []string{"Authorization", "old"}, body, resultDurable},
		"hmac":                        {func(c *Config) { c.Scheme = SchemeHMAC }, []string{"X-Signature", sign(key, body)}, body, resultDurable},
		"hmac of another body":        {func(c *Config) { c.Scheme = SchemeHMAC }, []string{"X-Signature", sign(key, body)}, body + " ", resultWrong},
		"hmac of another key":         {func(c *Config) { c.Scheme = SchemeHMAC }, []string{"X-Signature", sign("other", body)}, body, resultWrong},
		"hmac that is no hex":         {func(c *Config) { c.Scheme = SchemeHMAC }, []string{"X-Signature", "zz"}, body, resultWrong},
		"hmac cut short":              {func(c *Config) { c.Scheme = SchemeHMAC }, []string{"X-Signature", sign(key, body)[:8]}, body, resultWrong},
		"hmac with a time":            {func(c *Config) { c.Scheme = SchemeHMAC; c.TimestampHeader = "X-Time" }, []string{"X-Time", milli, "X-Signature", sign(key, milli+"."+body)}, body, resultDurable},
		"hmac with another time":      {func(c *Config) { c.Scheme = SchemeHMAC; c.TimestampHeader = "X-Time" }, []string{"X-Time", fmt.Sprint(now.Unix()), "X-Signature", sign(key, milli+"."+body)}, body, resultWrong},
		"hmac without its time":       {func(c *Config) { c.Scheme = SchemeHMAC; c.TimestampHeader = "X-Time" }, []string{"X-Signature", sign(key, body)}, body, resultUnsigned},
		"hmac with an old time":       {func(c *Config) { c.Scheme = SchemeHMAC; c.TimestampHeader = "X-Time" }, []string{"X-Time", old, "X-Signature", sign(key, old+"."+body)}, body, resultStale},
		"workos":                      {func(c *Config) { c.Scheme = SchemeWorkOS }, []string{"WorkOS-Signature", "t=" + milli + ", v1=" + sign(key, milli+"."+body)}, body, resultDurable},
		"workos replayed":             {func(c *Config) { c.Scheme = SchemeWorkOS }, []string{"WorkOS-Signature", "t=" + old + ", v1=" + sign(key, old+"."+body)}, body, resultStale},
		"workos without a time":       {func(c *Config) { c.Scheme = SchemeWorkOS }, []string{"WorkOS-Signature", "v1=" + sign(key, "."+body)}, body, resultUnsigned},
		"github, the documented push": {func(c *Config) { c.Scheme = SchemeGitHub; c.Secret = secretOf(t, "It's a Secret to Everybody") }, []string{"X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}, "Hello, World!", resultDurable},
		"github without the prefix":   {func(c *Config) { c.Scheme = SchemeGitHub }, []string{"X-Hub-Signature-256", sign(key, body)}, body, resultWrong},
		"keycloak":                    {func(c *Config) { c.Scheme = SchemeKeycloak }, []string{"X-Keycloak-Signature", sign(key, body)}, body, resultDurable},
		"a secret that is gone":       {func(c *Config) { c.Secret = secret.FromFile("/nonexistent/secret") }, []string{"Authorization", key}, body, resultError},
	} {
		t.Run(name, func(t *testing.T) {
			e, logs := endpoint(t, tc.change)
			got := collect(t, e.Queue)
			w := push(e, tc.body, tc.header...)
			var counted dto.Metric
			if err := e.metrics.requests.WithLabelValues("hook", tc.want).Write(&counted); err != nil || counted.GetCounter().GetValue() != 1 {
				t.Errorf("answer %d %s, not counted as %s", w.Code, w.Body, tc.want)
			}
			if ok := tc.want == resultDurable; (w.Code == 200) != ok || (len(got()) == 1) != ok {
				t.Errorf("answer %d and %d records", w.Code, len(got()))
			}
			if strings.Contains(w.Body.String()+logs.String(), key) {
				t.Error("the secret is in the answer or the log")
			}
		})
	}
}

func TestBase64Signatures(t *testing.T) {
	e, _ := endpoint(t, func(c *Config) { c.Scheme, c.Encoding, c.Algorithm = SchemeHMAC, "base64", "sha512" })
	collect(t, e.Queue)
	m := hmac.New(hashOf("sha512"), []byte(key))
	m.Write([]byte(`{}`))
	if w := push(e, `{}`, "X-Signature", base64.StdEncoding.EncodeToString(m.Sum(nil))); w.Code != 200 {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
}

func TestSuccessIsAnsweredOnlyWhenDurable(t *testing.T) {
	e, _ := endpoint(t, func(c *Config) { c.Deadline = 50 * time.Millisecond })
	w := push(e, `{"id":"1"}`, "Authorization", key)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("answer %d while nobody makes the record durable, want 503 with Retry-After", w.Code)
	}
	// The same record is pushed again when Kafka is back; what its sender gave up is
	// not taken beside it.
	e.verify.deadline = 5 * time.Second
	got := collect(t, e.Queue)
	if w := push(e, `{"id":"1"}`, "Authorization", key); w.Code != 200 {
		t.Errorf("answer %d, want 200", w.Code)
	}
	if diff := cmp.Diff([]string{`{"id":"1"}`}, got()); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestBodies(t *testing.T) {
	hook := `{"eventType":"com.okta.event_hook","data":{"events":[{"uuid":"1"},{"uuid":"2"}]}}`
	for name, tc := range map[string]struct {
		body string
		want []string
	}{
		"okta event hook": {hook, []string{`{"uuid":"1"}`, `{"uuid":"2"}`}},
		"json array":      {`[{"log_id":"1"},{"log_id":"2"}]`, []string{`{"log_id":"1"}`, `{"log_id":"2"}`}},
		"json lines":      {"{\"log_id\":\"1\"}\n{\"log_id\":\"2\"}\n", []string{`{"log_id":"1"}`, `{"log_id":"2"}`}},
		"one object":      {`{"id":"1"}`, []string{`{"id":"1"}`}},
		"nothing":         {``, nil},
		"no json":         {`user=1&x=2`, []string{`user=1&x=2`}},
		"cut off":         {`{"id":"1"},{"id":`, []string{`{"id":"1"}`, `{"id":`}},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := endpoint(t, func(*Config) {})
			got := collect(t, e.Queue)
			if w := push(e, tc.body, "Authorization", key); w.Code != 200 {
				t.Fatalf("answer %d %s", w.Code, w.Body)
			}
			if diff := cmp.Diff(tc.want, got()); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOktaVerifiesTheEndpointOnce(t *testing.T) {
	e, _ := endpoint(t, func(c *Config) { c.Scheme = SchemeOkta })
	r := httptest.NewRequest(http.MethodGet, "/hook", nil)
	r.Header.Set("X-Okta-Verification-Challenge", `made"up`)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if got := strings.TrimSpace(w.Body.String()); w.Code != 200 || got != `{"verification":"made\"up"}` || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("answer %d %s", w.Code, got)
	}
	for name, change := range map[string]func(*http.Request){
		"without a challenge": func(r *http.Request) { r.Header = http.Header{} },
		"of another method":   func(r *http.Request) { r.Method = http.MethodPut },
		"too long":            func(r *http.Request) { r.Header.Set("X-Okta-Verification-Challenge", strings.Repeat("x", 600)) },
	} {
		again := r.Clone(t.Context())
		change(again)
		w := httptest.NewRecorder()
		if e.ServeHTTP(w, again); w.Code < 400 {
			t.Errorf("%s: answer %d", name, w.Code)
		}
	}
}

func TestTooMuchIsRefused(t *testing.T) {
	e, _ := endpoint(t, func(c *Config) { c.MaxBody = 1 << 10 })
	got := collect(t, e.Queue)
	if w := push(e, strings.Repeat(" ", 1<<10+1), "Authorization", key); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("answer %d, want 413", w.Code)
	}
	if len(got()) > 0 {
		t.Error("a body that is too large is passed on")
	}
}

// TestNobodysBodyIsReadBeforeTheHeaderIsRight.
func TestNobodysBodyIsReadBeforeTheHeaderIsRight(t *testing.T) {
	milli := fmt.Sprint(now.Add(-time.Hour).UnixMilli())
	for name, tc := range map[string]struct {
		scheme Scheme
		header string
		want   int
	}{
		"no header":                {SchemeHeader, "", 401},
		"wrong header":             {SchemeOkta, "wrong", 401},
		"no signature":             {SchemeHMAC, "", 401},
		"no hex":                   {SchemeKeycloak, "zz", 401},
		"without its prefix":       {SchemeGitHub, "00", 401},
		"signed long ago":          {SchemeWorkOS, "t=" + milli + ", v1=00", 401},
		"the body may vouch, read": {SchemeHMAC, "00", 400},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := endpoint(t, func(c *Config) { c.Scheme = tc.scheme })
			body := &countedBody{}
			r := httptest.NewRequest(http.MethodPost, "/hook", body)
			r.Header.Set(e.verify.header, tc.header)
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			if w.Code != tc.want || (body.reads > 0) != (tc.want == 400) {
				t.Errorf("answer %d after %d reads of the body, want %d", w.Code, body.reads, tc.want)
			}
		})
	}
}

// countedBody is a body that breaks off.
type countedBody struct{ reads int }

func (b *countedBody) Read([]byte) (int, error) { b.reads++; return 0, io.ErrUnexpectedEOF }

func TestBodiesInMemoryAreBounded(t *testing.T) {
	e, _ := endpoint(t, func(c *Config) { c.Scheme = SchemeHMAC })
	got := collect(t, e.Queue)
	const body = `{"id":"1"}`
	e.held.Store(maxHeld - int64(len(body)) + 1)
	if w := push(e, body, "X-Signature", sign(key, body)); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || len(got()) > 0 {
		t.Errorf("answer %d and %d records, want 503 with Retry-After", w.Code, len(got()))
	}
	e.held.Add(-1)
	if w := push(e, body, "X-Signature", sign(key, body)); w.Code != 200 {
		t.Errorf("answer %d while there is room, want 200", w.Code)
	}
	if left := e.held.Load(); left != maxHeld-int64(len(body)) {
		t.Errorf("%d bytes are held, want what was held before", left)
	}
}

func TestManyAtOnceAreBatchedAndAllAnswered(t *testing.T) {
	e, _ := endpoint(t, func(*Config) {})
	got := collect(t, e.Queue)
	server := httptest.NewServer(e)
	defer server.Close()
	const n = 100
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			r, _ := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(fmt.Sprintf(`{"id":"%d"}`, i)))
			r.Header.Set("Authorization", key)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if _, _ = io.Copy(io.Discard, resp.Body); resp.StatusCode != http.StatusOK {
				t.Errorf("answer %d", resp.StatusCode)
			}
		})
	}
	wg.Wait()
	if len(got()) != n {
		t.Errorf("%d records, want %d", len(got()), n)
	}
}

func TestConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no path":                    {func(c *Config) { c.Path = "" }, "path: "},
		"path with a query":          {func(c *Config) { c.Path = "/a?b" }, "path: "},
		"no source":                  {func(c *Config) { c.Source = "" }, "source: "},
		"unknown scheme":             {func(c *Config) { c.Scheme = "none" }, "scheme: "},
		"no secret":                  {func(c *Config) { c.Secret = secret.Secret{} }, "secret: "},
		"algorithm of another":       {func(c *Config) { c.Algorithm = "sha256" }, "algorithm: "},
		"algorithm md5":              {func(c *Config) { c.Scheme, c.Algorithm = SchemeHMAC, "md5" }, "algorithm: "},
		"header of a fixed scheme":   {func(c *Config) { c.Scheme, c.Header = SchemeGitHub, "X" }, "header: "},
		"timestamp without hmac":     {func(c *Config) { c.TimestampHeader = "X" }, "timestamp_header: "},
		"a body that is everything":  {func(c *Config) { c.MaxBody = 1 << 40 }, "max_body: "},
		"a deadline beyond patience": {func(c *Config) { c.Deadline = time.Hour }, "deadline: "},
	} {
		t.Run(name, func(t *testing.T) {
			var c Config
			c.SetDefaults()
			c.Path, c.Source, c.Scheme, c.Secret = "/x", "okta", SchemeHeader, secretOf(t, key)
			tc.change(&c)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Validate() = %v, want %q", err, tc.want)
			}
		})
	}
}

// FuzzEndpoint: an answer of success means that the header is the secret or the
// signature of the body, written in hex of either case, and that only.
func FuzzEndpoint(f *testing.F) {
	const hook = `{"eventType":"com.okta.event_hook","data":{"events":[{}]}}`
	milli := fmt.Sprint(now.UnixMilli())
	f.Add("okta", hook, key)
	f.Add("header", hook, key+" ")
	f.Add("hmac", hook, sign(key, hook))
	f.Add("hmac", "", sign(key, ""))
	f.Add("hmac", hook, sign(key, hook)[:62])
	f.Add("hmac", `[`, "00")
	f.Add("github", hook, "sha256="+sign(key, hook))
	f.Add("github", hook, sign(key, hook))
	f.Add("keycloak", hook, sign("other", hook))
	f.Add("keycloak", hook, sign(key, hook))
	f.Add("workos", hook, "t="+milli+", v1="+sign(key, milli+"."+hook))
	f.Add("workos", hook, "t="+milli+", v1="+sign(key, hook))
	f.Add("workos", `{}`, "t=1772442000000, v1=00")
	f.Fuzz(func(t *testing.T, scheme, body, header string) {
		var c Config
		c.SetDefaults()
		c.Path, c.Source, c.Scheme, c.Secret, c.Deadline = "/x", "okta", Scheme(scheme), secretOf(t, key), time.Second
		if c.Validate() != nil {
			return
		}
		rt := ingest.Runtime{Input: "hook", Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }}
		e := New(c, file.Split, rt, NewMetrics(prometheus.NewRegistry()))
		got := collect(t, e.Queue)
		w := push(e, body, e.verify.header, header)
		var vouched bool
		switch c.Scheme {
		case SchemeHeader, SchemeOkta:
			vouched = header == key
		case SchemeHMAC, SchemeKeycloak:
			vouched = strings.EqualFold(header, sign(key, body))
		case SchemeGitHub:
			hexed, ok := strings.CutPrefix(header, "sha256=")
			vouched = ok && strings.EqualFold(hexed, sign(key, body))
		case SchemeWorkOS:
			at, signature := timeAndSignature(header)
			n, err := strconv.ParseInt(at, 10, 64)
			signed := time.Unix(n, 0)
			if n > 1e11 {
				signed = time.UnixMilli(n)
			}
			vouched = err == nil && signed.Sub(now).Abs() <= c.Tolerance && strings.EqualFold(signature, sign(key, at+"."+body))
		}
		if (w.Code == 200) != vouched || len(got()) > 0 && !vouched {
			t.Errorf("answer %d for %q by %q with %q, %d records; vouched for: %t", w.Code, body, scheme, header, len(got()), vouched)
		}
	})
}
