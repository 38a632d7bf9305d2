package app_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
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
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stepdown/cmd/internal/app"
	"stepdown/cmd/internal/config"
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/secret"
	"stepdown/ingest/stream"
	"stepdown/ingest/stream/embedded"
	"stepdown/ingest/webhook"
)

// org is a fake of Okta's System Log API that knows its callers by their tokens.
type org struct {
	*httptest.Server
	mu    sync.Mutex
	shown int
	// asked is who asked, each once in a row.
	asked []string
	// revoked answers 401.
	revoked bool
}

func newOrg(t *testing.T) *org {
	t.Helper()
	o := &org{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		who := strings.TrimPrefix(r.Header.Get("Authorization"), "SSWS ")
		if o.revoked {
			http.Error(w, `{"errorCode":"E0000011"}`, http.StatusUnauthorized)
			return
		}
		if n := len(o.asked); n == 0 || o.asked[n-1] != who {
			o.asked = append(o.asked, who)
		}
		from, _ := strconv.Atoi(r.URL.Query().Get("after"))
		to := min(from+10, o.shown)
		rows := []json.RawMessage{}
		for i := from; i < to; i++ {
			rows = append(rows, signIn(i))
		}
		w.Header().Set("Link", fmt.Sprintf(`<http://%s/api/v1/logs?after=%d>; rel="next"`, r.Host, to))
		_ = json.NewEncoder(w).Encode(rows)
	}))
	t.Cleanup(o.Close)
	return o
}

// signIn is a synthetic record of the System Log.
func signIn(i int) json.RawMessage {
	at := time.Now().Add(-time.Hour).Add(time.Duration(i) * time.Second).UTC().Format("2006-01-02T15:04:05.000Z")
	return json.RawMessage(fmt.Sprintf(`{"uuid":"synthetic-%d","published":%q,"eventType":"user.session.start","outcome":{"result":"SUCCESS"},"actor":{"id":"00u%d","type":"User","alternateId":"person%d@example.com"}}`, i, at, i, i))
}

func (o *org) show(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shown = n
}

func (o *org) callers() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.asked)
}

// collector is the configuration of a collector by itself, with its own token.
func collector(t *testing.T, broker, url, token string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := newConfig(filepath.Join(dir, "data"))
	cfg.Kafka.Brokers = []string{broker}
	cfg.Kafka.Partitions = 4
	in := config.Input{Name: "okta"}
	in.Okta.SetDefault()
	in.Okta.Value.URL, in.Okta.Value.Token, in.Okta.Value.Interval = url, secret.FromFile(path), time.Second
	in.Okta.Value.RequestsPerMinute = 6000
	in.Okta.Value.Inventory.Every = 0
	cfg.Inputs = []config.Input{in}
	return cfg
}

// events counts the events in the topic by their id.
func events(t *testing.T, client *stream.Client) map[string]int {
	t.Helper()
	got := map[string]int{}
	err := client.Scan(t.Context(), client.Topics().Events, stream.Span{}, func(m stream.Message) error {
		var e event.Event
		if err := event.Decode(m.Value, &e); err != nil {
			return err
		}
		got[e.ID]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTwoCollectorsNeverPollTheSameTenantAndLoseNothing(t *testing.T) {
	broker, err := embedded.Start(t.Context(), embedded.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	o := newOrg(t)
	collect := app.Roles{Collect: true}
	cfg := collector(t, broker.Addr(), o.URL, "a")
	client, err := stream.New(cfg.Kafka, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	running := map[string]*pipeline{}
	begin := func(name string) {
		running[name] = start(t, collector(t, broker.Addr(), o.URL, name), app.Options{Roles: collect})
	}
	arrived := func(n int) func() bool {
		return func() bool { return len(events(t, client)) == n }
	}

	o.show(25)
	begin("a")
	running["a"].until("25 events", arrived(25))
	begin("b")
	o.show(60)
	running["b"].until("60 events", arrived(60))
	for round := range 3 {
		callers := o.callers()
		last := callers[len(callers)-1]
		running[last].stop()
		delete(running, last)
		o.show(80 + 20*round)
		began := time.Now()
		for _, p := range running {
			p.until("the other one to take over", arrived(80+20*round))
		}
		t.Logf("taken over in %s", time.Since(began).Round(10*time.Millisecond))
		begin(fmt.Sprintf("%s%d", last[:1], round))
	}
	got := events(t, client)
	for i := range 120 {
		if n := got[fmt.Sprintf("synthetic-%d", i)]; n != 1 {
			t.Errorf("event %d came %d times", i, n)
		}
	}
	// It changes hands at most when a collector comes or goes: three times two, and
	// the first two. Two that polled at once would alternate.
	callers := o.callers()
	if len(callers) > 8 {
		t.Errorf("the tenant was polled in turns: %v", callers)
	}
	t.Logf("polled by %v", callers)
}

func TestARevokedCredentialIsSaid(t *testing.T) {
	o := newOrg(t)
	cfg := collector(t, "", o.URL, "synthetic-token")
	cfg.Kafka.Brokers = nil
	o.show(5)
	p := start(t, cfg, app.Options{})
	p.until("the events", func() bool {
		return p.metric("stepdown_ingest_events_total", map[string]string{"input": "okta/system_log"}) == 5
	})
	o.mu.Lock()
	o.revoked = true
	o.mu.Unlock()
	p.until("the refusal to be told", func() bool {
		err := p.Ready()
		return err != nil && strings.Contains(err.Error(), "input okta/system_log: credential refused") && !strings.Contains(err.Error(), "synthetic-token")
	})
	if p.metric("stepdown_ingest_credential_refused", map[string]string{"input": "okta/system_log"}) != 1 {
		t.Error("no metric tells of the refusal")
	}
	o.mu.Lock()
	o.revoked, o.shown = false, 9
	o.mu.Unlock()
	p.until("the rest", func() bool {
		return p.metric("stepdown_ingest_events_total", map[string]string{"input": "okta/system_log"}) == 9
	})
	p.until("readiness", func() bool { return p.Ready() == nil })
}

func TestAPushIsAnsweredWhenKafkaHasIt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	if err := os.WriteFile(path, []byte("synthetic-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := newConfig(filepath.Join(dir, "data"))
	cfg.Receiver.Listen = "127.0.0.1:0"
	in := config.Input{Name: "hook"}
	in.Webhook.SetDefault()
	hook := &in.Webhook.Value
	hook.Path, hook.Source, hook.Scheme, hook.Secret = "/okta", "okta", webhook.SchemeOkta, secret.FromFile(path)
	cfg.Inputs = []config.Input{in}
	p := start(t, cfg, app.Options{})
	push := func(body, secret string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.ReceiverAddr()+"/okta", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", secret)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	body := fmt.Sprintf(`{"eventType":"com.okta.event_hook","data":{"events":[%s,%s]}}`, signIn(1), signIn(2))
	p.until("the push to be taken", func() bool { return push(body, "synthetic-secret") == 200 })
	if got := events(t, p.Client()); got["synthetic-1"] == 0 || got["synthetic-2"] == 0 {
		t.Errorf("answered 200, and the topic has %v", got)
	}
	if status := push(body, "guessed"); status != http.StatusUnauthorized {
		t.Errorf("a wrong secret is answered %d", status)
	}
	if status := push("no json at all", "synthetic-secret"); status != 200 {
		t.Errorf("what cannot be read is answered %d, want 200: it is kept as a dead letter", status)
	}
	letters := 0
	if err := p.Client().Scan(t.Context(), p.Client().Topics().DeadLetter, stream.Span{}, func(stream.Message) error { letters++; return nil }); err != nil || letters != 1 {
		t.Errorf("%d dead letters, %v, want 1", letters, err)
	}
}

func TestCheckingAnInputPublishesNothing(t *testing.T) {
	o := newOrg(t)
	o.show(7)
	cfg := collector(t, "127.0.0.1:1", o.URL, "synthetic-token")
	found, err := app.CheckInput(t.Context(), cfg, &cfg.Inputs[0], time.Now().Add(-2*time.Hour), slog.New(slog.DiscardHandler))
	if err != nil || len(found) != 1 {
		t.Fatalf("CheckInput() = %+v, %v", found, err)
	}
	if f := found[0]; f.Err != nil || f.Records != 7 || f.Events != 7 || f.Requests != 1 || f.Skew != 0 || time.Since(f.Newest) > 2*time.Hour {
		t.Errorf("found %+v, want 7 events by one request", f)
	}
	o.mu.Lock()
	o.revoked = true
	o.mu.Unlock()
	found, err = app.CheckInput(t.Context(), cfg, &cfg.Inputs[0], time.Now(), slog.New(slog.DiscardHandler))
	if err != nil || len(found) != 1 || !found[0].Refused || strings.Contains(found[0].Err.Error(), "synthetic-token") {
		t.Errorf("CheckInput() = %+v, %v, want a refused credential without its value", found, err)
	}
}

func TestTailShowsUntilItIsStopped(t *testing.T) {
	o := newOrg(t)
	o.show(3)
	cfg := collector(t, "127.0.0.1:1", o.URL, "synthetic-token")
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	err := app.Tail(ctx, cfg, &cfg.Inputs[0], time.Now().Add(-2*time.Hour), slog.New(slog.DiscardHandler), func(n ingest.Normalized) error {
		seen += len(n.Events)
		o.show(5)
		if seen == 5 {
			cancel()
		}
		return nil
	})
	if err != nil || seen != 5 {
		t.Errorf("Tail() = %v after %d events, want nil after 5", err, seen)
	}
	broken := errors.New("the pipe is closed")
	if err := app.Tail(t.Context(), cfg, &cfg.Inputs[0], time.Now(), slog.New(slog.DiscardHandler), func(ingest.Normalized) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("Tail() = %v, want %v", err, broken)
	}
}

func TestBackfillAndResetBesideACollector(t *testing.T) {
	o := newOrg(t)
	o.show(12)
	cfg := collector(t, "", o.URL, "synthetic-token")
	cfg.Kafka.Brokers = nil
	p := start(t, cfg, app.Options{})
	count := func(id string) int { return events(t, p.Client())[id] }
	p.until("the events", func() bool { return count("synthetic-11") == 1 })

	last := app.Backfilled{}
	err := app.Backfill(t.Context(), cfg, &cfg.Inputs[0], p.Client(), time.Now().Add(-2*time.Hour), slog.New(slog.DiscardHandler), func(b app.Backfilled) { last = b })
	if err != nil || !last.Done || last.Records != 12 {
		t.Fatalf("Backfill() = %v, last told %+v, want 12 records", err, last)
	}
	if n := count("synthetic-11"); n != 2 {
		t.Errorf("the last event is there %d times, want 2 under one id", n)
	}
	o.show(14)
	p.until("what is new, once", func() bool { return count("synthetic-13") == 1 })

	if err := app.ResetCursor(t.Context(), p.Client(), "okta", "system_log"); err != nil {
		t.Fatal(err)
	}
	p.until("the input to start over", func() bool { return count("synthetic-0") == 3 && count("synthetic-13") == 2 })

	o.mu.Lock()
	o.revoked = true
	o.mu.Unlock()
	err = app.Backfill(t.Context(), cfg, &cfg.Inputs[0], p.Client(), time.Now().Add(-2*time.Hour), slog.New(slog.DiscardHandler), func(app.Backfilled) {})
	if _, ok := errors.AsType[*ingest.CredentialError](err); !ok {
		t.Errorf("Backfill() = %v, want *ingest.CredentialError", err)
	}
}

func TestATopicWithAProvidersRecordsIsAnInput(t *testing.T) {
	broker, err := embedded.Start(t.Context(), embedded.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	kafka := stream.DefaultConfig()
	kafka.Brokers = []string{broker.Addr()}
	kafka.Topics.Triage = "raw.okta" // some topic of four partitions that is not the pipeline's
	other, err := stream.New(kafka, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	write := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if err := other.Publish(t.Context(), []stream.Message{{Topic: "raw.okta", Value: signIn(i)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(0, 9)
	if err := other.Publish(t.Context(), []stream.Message{{Topic: "raw.okta", Value: []byte("no json")}, {Topic: "raw.okta", Value: fmt.Appendf(nil, "[%s,%s]", signIn(9), signIn(10))}}); err != nil {
		t.Fatal(err)
	}
	cfg := newConfig(t.TempDir())
	in := config.Input{Name: "raw"}
	in.Topic.SetDefault()
	in.Topic.Value = config.Topic{Brokers: []string{broker.Addr()}, Topic: "raw.okta", Source: "okta"}
	cfg.Inputs = []config.Input{in}
	p := start(t, cfg, app.Options{})
	p.until("the first records", func() bool { return len(events(t, p.Client())) == 11 })
	p.stop()
	write(11, 15)
	p = start(t, cfg, app.Options{})
	p.until("what came meanwhile", func() bool { return len(events(t, p.Client())) == 15 })
	for id, n := range events(t, p.Client()) {
		if n != 1 {
			t.Errorf("%s came %d times over a restart", id, n)
		}
	}
	letters := 0
	if err := p.Client().Scan(t.Context(), p.Client().Topics().DeadLetter, stream.Span{}, func(stream.Message) error { letters++; return nil }); err != nil || letters != 1 {
		t.Errorf("%d dead letters, %v, want the one that is no JSON", letters, err)
	}
}

func TestASignedPushIsAcceptedWhenKafkaHasIt(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes() // 4, x and y
	if err != nil {
		t.Fatal(err)
	}
	enc := base64.RawURLEncoding.EncodeToString
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":%q,"y":%q}]}`, enc(point[1:33]), enc(point[33:]))
	}))
	defer issuer.Close()
	cfg := newConfig(filepath.Join(t.TempDir(), "data"))
	cfg.Receiver.Listen = "127.0.0.1:0"
	in := config.Input{Name: "signals"}
	in.SSF.SetDefault()
	ssf := &in.SSF.Value
	ssf.Issuer, ssf.Audience, ssf.JWKSURI, ssf.Push.Path = "https://idp.example.com", []string{"stepdown"}, issuer.URL+"/keys", "/ssf"
	cfg.Inputs = []config.Input{in}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	p := start(t, cfg, app.Options{})
	claims := fmt.Sprintf(`{"iss":"https://idp.example.com","aud":"stepdown","jti":"synthetic-set","iat":%d,"sub_id":{"format":"email","email":"jane@example.com"},
		"events":{"https://schemas.openid.net/secevent/caep/event-type/session-revoked":{}}}`, time.Now().Unix())
	signed := enc([]byte(`{"alg":"ES256","kid":"k1","typ":"secevent+jwt"}`)) + "." + enc([]byte(claims))
	digest := sha256.Sum256([]byte(signed))
	r, sig, err := ecdsa.Sign(rand.Reader, private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	token := signed + "." + enc(append(r.FillBytes(make([]byte, 32)), sig.FillBytes(make([]byte, 32))...))
	push := func(body string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.ReceiverAddr()+"/ssf", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/secevent+jwt")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	p.until("the token to be taken", func() bool { return push(token) == http.StatusAccepted })
	if got := events(t, p.Client()); got["synthetic-set"] == 0 {
		t.Errorf("answered 202, and the topic has %v", got)
	}
	if status := push(signed + "." + enc(make([]byte, 64))); status != http.StatusBadRequest {
		t.Errorf("a token with a broken signature is answered %d", status)
	}
}

func TestAPushIsReadByAMapping(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cfg := newConfig(filepath.Join(dir, "data"))
	cfg.Mappings = []string{write("hr-portal.yaml", `source: hr-portal
fields: {id: text("id"), time: text("at"), subject.name: text("user")}
kind: {from: text("event"), words: {login: sign_in}}
`)}
	cfg.Receiver.Listen = "127.0.0.1:0"
	in := config.Input{Name: "hook"}
	in.Webhook.SetDefault()
	hook := &in.Webhook.Value
	hook.Path, hook.Source, hook.Scheme, hook.Secret = "/portal", "hr-portal", webhook.SchemeHeader, secret.FromFile(write("secret", "synthetic-secret"))
	cfg.Inputs = []config.Input{in}
	p := start(t, cfg, app.Options{})
	body := fmt.Sprintf(`{"id":"portal-1","event":"login","at":%d,"user":"jane@example.com"}`, time.Now().Unix())
	p.until("the push to be taken", func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.ReceiverAddr()+"/portal", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "synthetic-secret")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	if got := events(t, p.Client()); got["portal-1"] == 0 {
		t.Errorf("answered 200, and the topic has %v", got)
	}
}
