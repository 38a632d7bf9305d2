package ssf

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"stepdown/ingest"
	"stepdown/ingest/secret"
)

const (
	issuer     = "https://idp.example.com"
	audience   = "https://stepdown.example.org"
	tokenValue = "synthetic-stream-token"
)

// transmitter is a fake one: it publishes keys, signs tokens, and keeps those that
// are not acknowledged.
type transmitter struct {
	t      testing.TB
	server *httptest.Server

	mu sync.Mutex
	// clock is the time of the receiver too.
	clock     time.Time
	keys      []jose.JSONWebKey // private
	published []jose.JSONWebKey
	fetches   int
	away      bool
	// queue has what is to be polled, by jti; size bounds an answer.
	queue map[string]string
	size  int
	polls []ask
	errs  map[string]*refusal
	acked []string
}

func newTransmitter(t testing.TB) *transmitter {
	tr := &transmitter{t: t, clock: now, queue: map[string]string{}, errs: map[string]*refusal{}, size: 2}
	tr.rotate("k1")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /keys", tr.serveKeys)
	mux.HandleFunc("POST /poll", tr.servePoll)
	tr.server = httptest.NewServer(mux)
	t.Cleanup(tr.server.Close)
	return tr
}

// rotate makes the transmitter sign by a new key, and publish that alone.
func (tr *transmitter) rotate(id string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.keys = append(tr.keys, jose.JSONWebKey{Key: key, KeyID: id, Algorithm: string(jose.ES256), Use: "sig"})
	tr.published = []jose.JSONWebKey{tr.keys[len(tr.keys)-1].Public()}
}

func (tr *transmitter) now() time.Time {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.clock
}

func (tr *transmitter) pass(d time.Duration) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.clock = tr.clock.Add(d)
}

func (tr *transmitter) serveKeys(w http.ResponseWriter, _ *http.Request) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.fetches++
	if tr.away {
		http.Error(w, "away", http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: tr.published})
}

func (tr *transmitter) servePoll(w http.ResponseWriter, r *http.Request) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+tokenValue {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var q ask
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Header.Get("Content-Type") != "application/json" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	tr.polls = append(tr.polls, q)
	for _, id := range q.Acks {
		tr.acked = append(tr.acked, id)
		delete(tr.queue, id)
	}
	for id, e := range q.Errs {
		tr.errs[id] = e
		delete(tr.queue, id)
	}
	size := tr.size
	if q.MaxEvents > 0 {
		size = min(size, q.MaxEvents)
	}
	answer := struct {
		Sets map[string]string `json:"sets"`
		More bool              `json:"moreAvailable,omitempty"`
	}{Sets: map[string]string{}}
	for id, set := range tr.queue {
		if len(answer.Sets) == size {
			answer.More = true
			break
		}
		answer.Sets[id] = set
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// claimsOf are those of a sound token; change may spoil them.
func (tr *transmitter) claimsOf(id string, change func(map[string]any)) map[string]any {
	c := map[string]any{
		"iss": issuer, "jti": id, "aud": []string{audience}, "iat": tr.now().Unix(),
		"sub_id": map[string]any{"format": "email", "email": "jane@example.com"},
		"events": map[string]any{caepEvents + "session-revoked": map[string]any{"event_timestamp": tr.now().Unix()}},
	}
	if change != nil {
		change(c)
	}
	return c
}

// signed returns a token by the latest key.
func (tr *transmitter) signed(id string, change func(map[string]any)) string {
	tr.mu.Lock()
	key := tr.keys[len(tr.keys)-1]
	tr.mu.Unlock()
	return tr.sign(jose.SigningKey{Algorithm: jose.ES256, Key: key}, "secevent+jwt", tr.claimsOf(id, change))
}

func (tr *transmitter) sign(key jose.SigningKey, typ jose.ContentType, claims map[string]any) string {
	tr.t.Helper()
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType(typ))
	if err != nil {
		tr.t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		tr.t.Fatal(err)
	}
	object, err := signer.Sign(payload)
	if err != nil {
		tr.t.Fatal(err)
	}
	compact, err := object.CompactSerialize()
	if err != nil {
		tr.t.Fatal(err)
	}
	return compact
}

func secretOf(t testing.TB, value string) secret.Secret {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return secret.FromFile(path)
}

// open returns the source of an input over tr.
func (tr *transmitter) open(change func(*Config)) (ingest.Source, *prometheus.Registry, *bytes.Buffer) {
	tr.t.Helper()
	var c Config
	c.SetDefaults()
	c.Issuer, c.Audience, c.JWKSURI = issuer, []string{audience}, tr.server.URL+"/keys"
	change(&c)
	if err := c.Validate(); err != nil {
		tr.t.Fatal(err)
	}
	var logs bytes.Buffer
	reg := prometheus.NewRegistry()
	rt := ingest.Runtime{Input: "signals", HTTP: http.DefaultTransport, Registerer: reg, Now: tr.now,
		Log:  slog.New(slog.NewTextHandler(&logs, nil)),
		Wait: func(ctx context.Context, d time.Duration) error { tr.pass(d); return ctx.Err() }}
	sources, err := c.Open(rt)
	if err != nil {
		tr.t.Fatal(err)
	}
	return sources[stream], reg, &logs
}

func (tr *transmitter) endpoint() (*endpoint, *prometheus.Registry) {
	s, reg, _ := tr.open(func(c *Config) { c.Push.Path = "/ssf" })
	return s.(*endpoint), reg
}

// collect takes the batches of a source, as the collector does, until the test ends.
func collect(t testing.TB, s ingest.Source) (records func() []ingest.Record) {
	t.Helper()
	var mu sync.Mutex
	var got []ingest.Record
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			batch, err := s.Poll(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			got = append(got, batch.Records...)
			mu.Unlock()
			batch.Durable(ctx)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return func() []ingest.Record { mu.Lock(); defer mu.Unlock(); return slices.Clone(got) }
}

func push(e *endpoint, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/ssf", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/secevent+jwt")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

// errOf is the error code of an answer.
func errOf(w *httptest.ResponseRecorder) string {
	var r refusal
	if json.Unmarshal(w.Body.Bytes(), &r) != nil {
		return ""
	}
	return r.Code
}

// counted is how many tokens had a result.
func counted(t testing.TB, reg *prometheus.Registry, result string) (n float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == "result" && l.GetValue() == result }) {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// unsigned is a token of alg none.
func unsigned(claims map[string]any) string {
	payload, _ := json.Marshal(claims)
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"none","typ":"secevent+jwt"}`)) + "." + enc(payload) + "."
}

func TestWhichTokensAreTaken(t *testing.T) {
	tr := newTransmitter(t)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := func(id string) jose.SigningKey {
		return jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: stranger, KeyID: id}}
	}
	public, err := json.Marshal(tr.keys[0].Public())
	if err != nil {
		t.Fatal(err)
	}
	sound := tr.signed("sound", nil)
	header, payload, _ := strings.Cut(sound, ".")
	_, signature, _ := strings.Cut(payload, ".")
	other, _ := json.Marshal(tr.claimsOf("sound", func(c map[string]any) {
		c["sub_id"] = map[string]any{"format": "email", "email": "mallory@example.com"}
	}))
	for name, tc := range map[string]struct {
		token string
		want  string // the error code, "" for a token that is taken
	}{
		"sound":                    {sound, ""},
		"typ in full":              {tr.sign(jose.SigningKey{Algorithm: jose.ES256, Key: tr.keys[0]}, "application/secevent+jwt", tr.claimsOf("full", nil)), ""},
		"without a key id":         {tr.sign(jose.SigningKey{Algorithm: jose.ES256, Key: tr.keys[0].Key}, "secevent+jwt", tr.claimsOf("nokid", nil)), ""},
		"one audience as a text":   {tr.signed("text", func(c map[string]any) { c["aud"] = audience }), ""},
		"several audiences":        {tr.signed("several", func(c map[string]any) { c["aud"] = []string{"x", audience} }), ""},
		"of yesterday":             {tr.signed("old", func(c map[string]any) { c["iat"] = now.Add(-24 * time.Hour).Unix() }), ""},
		"a clock a little ahead":   {tr.signed("ahead", func(c map[string]any) { c["iat"] = now.Add(time.Minute).Unix() }), ""},
		"alg none":                 {unsigned(tr.claimsOf("none", nil)), codeRequest},
		"the public key as secret": {tr.sign(jose.SigningKey{Algorithm: jose.HS256, Key: public}, "secevent+jwt", tr.claimsOf("hmac", nil)), codeRequest},
		"type of another token":    {tr.sign(jose.SigningKey{Algorithm: jose.ES256, Key: tr.keys[0]}, "JWT", tr.claimsOf("typ", nil)), codeRequest},
		"unknown key":              {tr.sign(of("k9"), "secevent+jwt", tr.claimsOf("k9", nil)), codeKey},
		"another key by that id":   {tr.sign(of("k1"), "secevent+jwt", tr.claimsOf("k1", nil)), codeKey},
		"tampered":                 {header + "." + base64.RawURLEncoding.EncodeToString(other) + "." + signature, codeKey},
		"wrong issuer":             {tr.signed("iss", func(c map[string]any) { c["iss"] = "https://idp.example.org" }), codeIssuer},
		"no issuer":                {tr.signed("iss0", func(c map[string]any) { delete(c, "iss") }), codeIssuer},
		"wrong audience":           {tr.signed("aud", func(c map[string]any) { c["aud"] = "https://other.example.org" }), codeAudience},
		"no audience":              {tr.signed("aud0", func(c map[string]any) { delete(c, "aud") }), codeAudience},
		"expired":                  {tr.signed("exp", func(c map[string]any) { c["exp"] = now.Add(-time.Hour).Unix() }), codeRequest},
		"of last month":            {tr.signed("month", func(c map[string]any) { c["iat"] = now.AddDate(0, -1, 0).Unix() }), codeRequest},
		"of tomorrow":              {tr.signed("tomorrow", func(c map[string]any) { c["iat"] = now.Add(24 * time.Hour).Unix() }), codeRequest},
		"without iat":              {tr.signed("iat0", func(c map[string]any) { delete(c, "iat") }), codeRequest},
		"without jti":              {tr.signed("jti0", func(c map[string]any) { delete(c, "jti") }), codeRequest},
		"without events":           {tr.signed("events0", func(c map[string]any) { delete(c, "events") }), codeRequest},
		"no token":                 {"hello", codeRequest},
		"nothing":                  {"", codeRequest},
	} {
		t.Run(name, func(t *testing.T) {
			e, reg := tr.endpoint()
			got := collect(t, e)
			w := push(e, tc.token)
			if tc.want == "" {
				if w.Code != http.StatusAccepted || w.Body.Len() > 0 || len(got()) != 1 || counted(t, reg, resultDurable) != 1 {
					t.Fatalf("answer %d %s, %d records; want 202 without a body, and one", w.Code, w.Body, len(got()))
				}
				return
			}
			if w.Code != http.StatusBadRequest || errOf(w) != tc.want || w.Header().Get("Content-Type") != "application/json" || len(got()) > 0 || counted(t, reg, tc.want) != 1 {
				t.Errorf("answer %d %s, %d records; want 400 %s and none", w.Code, w.Body, len(got()), tc.want)
			}
		})
	}
}

func TestTheRecordIsWhatWasSigned(t *testing.T) {
	tr := newTransmitter(t)
	e, _ := tr.endpoint()
	got := collect(t, e)
	push(e, tr.signed("one", nil))
	want, _ := json.Marshal(tr.claimsOf("one", nil))
	if diff := cmp.Diff([]ingest.Record{{Source: source, Tenant: "idp.example.com", Stream: stream, Data: want, Observed: now, Origin: "ssf one"}}, got()); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestATokenThatComesAgainIsTakenOnce(t *testing.T) {
	tr := newTransmitter(t)
	e, reg := tr.endpoint()
	got := collect(t, e)
	for range 3 {
		if w := push(e, tr.signed("one", nil)); w.Code != http.StatusAccepted {
			t.Fatalf("answer %d %s", w.Code, w.Body)
		}
	}
	if len(got()) != 1 || counted(t, reg, resultRepeated) != 2 {
		t.Errorf("%d records, want 1", len(got()))
	}
}

func TestAcceptedMeansDurable(t *testing.T) {
	tr := newTransmitter(t)
	e, _ := tr.endpoint()
	e.deadline = 50 * time.Millisecond
	if w := push(e, tr.signed("one", nil)); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("answer %d while nobody makes the record durable, want 503 with Retry-After", w.Code)
	}
	e.deadline = 5 * time.Second
	got := collect(t, e) // the repetition alone: what was not durable in time was given up
	if w := push(e, tr.signed("one", nil)); w.Code != http.StatusAccepted || len(got()) != 1 {
		t.Errorf("answer %d, %d records", w.Code, len(got()))
	}
}

func TestRequestsThatAreNoPush(t *testing.T) {
	tr := newTransmitter(t)
	s, _, logs := tr.open(func(c *Config) {
		c.Push.Path, c.Push.Authorization, c.MaxBody = "/ssf", secretOf(t, "Bearer "+tokenValue), 1<<10
	})
	e := s.(*endpoint)
	collect(t, e)
	authorized := []string{"Authorization", "Bearer " + tokenValue}
	if w := push(e, tr.signed("one", nil), authorized...); w.Code != http.StatusAccepted {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
	if w := push(e, tr.signed("two", nil)); w.Code != http.StatusUnauthorized || errOf(w) != codeAuthenticated {
		t.Errorf("without Authorization: answer %d %s", w.Code, w.Body)
	}
	if w := push(e, tr.signed("two", nil), append(authorized, "Content-Type", "application/json")...); w.Code != http.StatusBadRequest || errOf(w) != codeRequest {
		t.Errorf("of another media type: answer %d %s", w.Code, w.Body)
	}
	if w := push(e, strings.Repeat("x", 1<<10+1), authorized...); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: answer %d", w.Code)
	}
	w := httptest.NewRecorder()
	if e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ssf", nil)); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
		t.Errorf("GET: answer %d", w.Code)
	}
	if strings.Contains(logs.String(), tokenValue) {
		t.Error("the log holds the secret")
	}
}

func TestKeysAreRotated(t *testing.T) {
	tr := newTransmitter(t)
	e, _ := tr.endpoint()
	collect(t, e)
	take := func(id string, want int) {
		t.Helper()
		if w := push(e, tr.signed(id, nil)); w.Code != want {
			t.Errorf("%s: answer %d %s, want %d", id, w.Code, w.Body, want)
		}
	}
	take("one", http.StatusAccepted)
	take("two", http.StatusAccepted)
	if tr.fetches != 1 {
		t.Errorf("keys fetched %d times for two tokens of one key", tr.fetches)
	}
	before := tr.signed("before", nil)
	tr.rotate("k2")
	// Asked a moment ago: not again, and the transmitter must not give it up.
	take("three", http.StatusServiceUnavailable)
	tr.pass(keysPause)
	take("three", http.StatusAccepted)
	// The old key is withdrawn.
	if w := push(e, before); w.Code == http.StatusAccepted {
		t.Error("a withdrawn key is accepted")
	}
}

func TestAWithdrawnKeyEndsWithinAnHour(t *testing.T) {
	tr := newTransmitter(t)
	e, _ := tr.endpoint()
	collect(t, e)
	push(e, tr.signed("one", nil))
	stolen := tr.signed("stolen", nil)
	tr.rotate("k2")
	tr.pass(keysFresh)
	if w := push(e, stolen); w.Code != http.StatusBadRequest || errOf(w) != codeKey {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
}

func TestUnknownKeysCauseNoFlood(t *testing.T) {
	tr := newTransmitter(t)
	e, _ := tr.endpoint()
	collect(t, e)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		id := fmt.Sprint("k", 100+i)
		push(e, tr.sign(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}}, "secevent+jwt", tr.claimsOf(id, nil)))
		tr.pass(time.Second)
	}
	if tr.fetches > 2 {
		t.Errorf("%d requests for keys within 50 seconds", tr.fetches)
	}
}

func TestWhileKeysAreAway(t *testing.T) {
	tr := newTransmitter(t)
	e, reg := tr.endpoint()
	collect(t, e)
	tr.away = true
	if w := push(e, tr.signed("one", nil)); w.Code != http.StatusServiceUnavailable || counted(t, reg, resultKeysAway) != 1 {
		t.Errorf("without keys: answer %d, want 503 so that it comes again", w.Code)
	}
	tr.away = false
	tr.pass(keysPause)
	if w := push(e, tr.signed("one", nil)); w.Code != http.StatusAccepted {
		t.Fatalf("answer %d", w.Code)
	}
	tr.away = true
	tr.pass(2 * keysFresh)
	if w := push(e, tr.signed("two", nil)); w.Code != http.StatusAccepted {
		t.Errorf("with keys of two hours ago: answer %d", w.Code)
	}
	tr.pass(keysStale)
	if w := push(e, tr.signed("three", nil)); w.Code != http.StatusServiceUnavailable {
		t.Errorf("with keys of yesterday: answer %d", w.Code)
	}
}

func TestAPublishedSecretIsNoKey(t *testing.T) {
	tr := newTransmitter(t)
	tr.published = []jose.JSONWebKey{{Key: []byte("0123456789abcdef0123456789abcdef"), KeyID: "k1"}, tr.keys[0]}
	e, _ := tr.endpoint()
	collect(t, e)
	if w := push(e, tr.signed("one", nil)); w.Code != http.StatusServiceUnavailable {
		t.Errorf("answer %d, though the issuer publishes secrets alone", w.Code)
	}
}

func (tr *transmitter) poller(change func(*Config)) (ingest.Source, *prometheus.Registry, *bytes.Buffer) {
	return tr.open(func(c *Config) {
		c.Poll.URL, c.Poll.Token = tr.server.URL+"/poll", secretOf(tr.t, tokenValue)
		if change != nil {
			change(c)
		}
	})
}

// polled polls until a look finds nothing, as the collector does, and returns the
// ids of the records.
func polled(t *testing.T, s ingest.Source) (ids []string) {
	t.Helper()
	for range 20 {
		batch, err := s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range batch.Records {
			ids = append(ids, strings.TrimPrefix(r.Origin, "ssf "))
		}
		batch.Durable(t.Context())
		if !batch.Through.IsZero() {
			slices.Sort(ids)
			return ids
		}
	}
	t.Fatal("it never comes to an end")
	return nil
}

func TestPolledTokensAreAcknowledgedWhenDurable(t *testing.T) {
	tr := newTransmitter(t)
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		tr.queue[id] = tr.signed(id, nil)
	}
	s, _, _ := tr.poller(nil)
	batch, err := s.Poll(t.Context())
	if err != nil || len(batch.Records) != 2 {
		t.Fatalf("%d records, %v", len(batch.Records), err)
	}
	// Nothing is durable; the process dies. Another one gets them all.
	if len(tr.acked) > 0 {
		t.Fatal("acknowledged before it was durable")
	}
	again, reg, logs := tr.poller(nil)
	if diff := cmp.Diff([]string{"a", "b", "c", "d", "e"}, polled(t, again)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if len(tr.queue) > 0 || len(tr.acked) != 5 || counted(t, reg, resultDurable) != 5 {
		t.Errorf("%d left, acknowledged %v", len(tr.queue), tr.acked)
	}
	if strings.Contains(logs.String(), tokenValue) {
		t.Error("the log holds the secret")
	}
}

func TestPolledTokensThatAreRefused(t *testing.T) {
	tr := newTransmitter(t)
	tr.queue["good"] = tr.signed("good", nil)
	tr.queue["aud"] = tr.signed("aud", func(c map[string]any) { c["aud"] = "x" })
	tr.queue["other"] = tr.signed("something", nil)
	tr.queue["garbage"] = "garbage"
	s, _, _ := tr.poller(nil)
	if diff := cmp.Diff([]string{"good"}, polled(t, s)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	got := map[string]string{}
	for id, e := range tr.errs {
		got[id] = e.Code
	}
	if diff := cmp.Diff(map[string]string{"aud": codeAudience, "other": codeRequest, "garbage": codeRequest}, got); diff != "" {
		t.Errorf("setErrs (-want +got):\n%s", diff)
	}
}

func TestARepeatedPolledTokenIsAcknowledgedAgain(t *testing.T) {
	tr := newTransmitter(t)
	tr.queue["a"] = tr.signed("a", nil)
	s, _, _ := tr.poller(nil)
	polled(t, s)
	tr.queue["a"] = tr.signed("a", nil) // its acknowledgement was lost
	if ids := polled(t, s); len(ids) > 0 || len(tr.queue) > 0 {
		t.Errorf("records %v, %d left", ids, len(tr.queue))
	}
}

func TestAPollIsToldWhatIsAsked(t *testing.T) {
	tr := newTransmitter(t)
	tr.queue["a"] = tr.signed("a", nil)
	s, _, _ := tr.poller(func(c *Config) { c.Poll.MaxEvents, c.Poll.Wait = 7, true })
	polled(t, s)
	want := []ask{{MaxEvents: 7}, {MaxEvents: 7, ReturnImmediately: true, Acks: []string{"a"}}}
	if diff := cmp.Diff(want, tr.polls); diff != "" {
		t.Errorf("polls (-want +got):\n%s", diff)
	}
}

func TestPollsThatFail(t *testing.T) {
	tr := newTransmitter(t)
	tr.queue["a"] = tr.signed("a", nil)
	tr.away = true
	s, _, _ := tr.poller(nil)
	if _, err := s.Poll(t.Context()); !errors.Is(err, errKeysAway) {
		t.Errorf("without keys: %v", err)
	}
	tr.away = false
	tr.pass(keysPause)
	if diff := cmp.Diff([]string{"a"}, polled(t, s)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	s, _, _ = tr.poller(func(c *Config) { c.Poll.Token = secretOf(t, "old") })
	if _, err := s.Poll(t.Context()); err == nil || strings.Contains(err.Error(), "old") {
		t.Errorf("with an old token: %v", err)
	} else if _, refused := errors.AsType[*ingest.CredentialError](err); !refused {
		t.Errorf("with an old token: %v, want a *CredentialError", err)
	}
}

func TestAStreamThatIsPausedIsSaid(t *testing.T) {
	tr := newTransmitter(t)
	s, _, logs := tr.open(func(c *Config) { c.Push.Path = "/ssf" })
	collect(t, s)
	push(s.(*endpoint), tr.signed("one", func(c map[string]any) {
		c["events"] = map[string]any{ssfEvents + "stream-updated": map[string]any{"status": "paused"}}
	}))
	if !strings.Contains(logs.String(), "transmitter sends nothing any more") {
		t.Errorf("log: %s", logs)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	var r remembered
	for i := range maxRemembered + 10 {
		r.add(fmt.Sprint(i))
	}
	if len(r.ids) != maxRemembered || r.has("9") || !r.has("10") || !r.has(fmt.Sprint(maxRemembered+9)) {
		t.Errorf("%d ids", len(r.ids))
	}
}

func TestConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no issuer":             {func(c *Config) { c.Issuer = "" }, "issuer: "},
		"no audience":           {func(c *Config) { c.Audience = nil }, "audience: "},
		"an empty audience":     {func(c *Config) { c.Audience = []string{""} }, "audience[0]: "},
		"keys by http":          {func(c *Config) { c.JWKSURI = "http://idp.example.com/keys" }, "jwks_uri: "},
		"neither push nor poll": {func(c *Config) { c.Push = Push{} }, "push: "},
		"both":                  {func(c *Config) { c.Poll.URL = "https://idp.example.com/poll" }, "push: "},
		"path with a query":     {func(c *Config) { c.Push.Path = "/a?b" }, "push.path: "},
		"poll without a token":  {func(c *Config) { c.Push, c.Poll.URL = Push{}, "https://idp.example.com/poll" }, "poll.token: "},
		"poll of nowhere":       {func(c *Config) { c.Push, c.Poll.Token = Push{}, secret.FromEnv("X") }, "poll.url: "},
		"max age of a second":   {func(c *Config) { c.MaxAge = time.Second }, "max_age: "},
		"tokens of a gigabyte":  {func(c *Config) { c.MaxBody = 1 << 30 }, "max_body: "},
	} {
		t.Run(name, func(t *testing.T) {
			var c Config
			c.SetDefaults()
			c.Issuer, c.Audience, c.JWKSURI, c.Push.Path = issuer, []string{audience}, "https://idp.example.com/keys", "/ssf"
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			tc.change(&c)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Validate() = %v, want %q", err, tc.want)
			}
		})
	}
}

func FuzzReceiver(f *testing.F) {
	tr := newTransmitter(f)
	sound := tr.signed("sound", nil)
	f.Add(sound, "application/secevent+jwt")
	f.Add(unsigned(tr.claimsOf("x", nil)), "application/secevent+jwt")
	f.Add("a.b.c", "text/plain")
	f.Add(`{"payload":"","signatures":[]}`, "application/secevent+jwt")
	e, _ := tr.endpoint()
	collect(f, e)
	f.Fuzz(func(t *testing.T, body, media string) {
		w := push(e, body, "Content-Type", media)
		if w.Code == http.StatusAccepted && strings.TrimSpace(body) != sound {
			t.Errorf("%q is accepted", body)
		}
		if _, err := io.ReadAll(w.Body); err != nil {
			t.Error(err)
		}
	})
}
