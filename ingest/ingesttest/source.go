package ingesttest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest"
)

// API is what the suite of live sources needs to know of a provider.
type API struct {
	// Records are the records that the provider has, in the order in which it
	// shows them: enough for three pages of the fake.
	Records []json.RawMessage
	// Now is the time at which the suite begins, after the newest record.
	Now time.Time
	// Handler is a fake of the documented API: pages, cursors, order. log returns
	// what there is to show at the moment, in the order of Records; now is the time.
	// It answers 401 to a request without Secret.
	Handler func(log func() []json.RawMessage, now func() time.Time) http.Handler
	// Open opens the source over the API at base, with an overlap or interval as
	// its defaults are, beginning before the first record.
	Open func(t *testing.T, base string, rt ingest.Runtime) ingest.Source
	// Secret is in each request, and nowhere else.
	Secret string
	// Throttle sets the headers by which this provider says that requests are
	// welcome again after d, a whole number of seconds.
	Throttle func(h http.Header, now time.Time, d time.Duration)
	// Late says that records may appear before others that were shown, so that
	// the source must look back.
	Late bool
	// Data returns the bytes of a record as the source hands them on, nil for
	// what it rightly leaves out; identity where it is nil.
	Data func(record json.RawMessage) []byte
}

// Source checks that a provider's source loses and doubles nothing, whatever
// happens to it, and keeps its secret.
func Source(t *testing.T, api API) {
	t.Helper()
	t.Run("everything once", api.everythingOnce)
	t.Run("what comes later", api.comesLater)
	t.Run("killed anywhere", api.killedAnywhere)
	t.Run("errors of the moment", api.errorsOfTheMoment)
	t.Run("throttled", api.throttled)
	t.Run("credential refused", api.refused)
	t.Run("cancelled", api.cancelled)
	if api.Late {
		t.Run("shown late", api.shownLate)
	}
}

// rig is a fake API that runs, and what was seen of a source.
type rig struct {
	api    *API
	server *httptest.Server
	logs   bytes.Buffer

	mu    sync.Mutex
	shown []json.RawMessage
	now   time.Time
	// fault answers a request instead of the fake; it returns false to let it
	// through.
	fault    func(n int, w http.ResponseWriter, r *http.Request) bool
	requests int
	got      map[string]int
	order    []string
}

func (api *API) start(t *testing.T, shown int) *rig {
	t.Helper()
	r := &rig{api: api, now: api.Now, got: map[string]int{}, shown: slices.Clone(api.Records[:shown])}
	fake := api.Handler(r.log, r.clock)
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		n, fault := r.requests, r.fault
		r.requests++
		r.mu.Unlock()
		if fault == nil || !fault(n, w, req) {
			fake.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(r.server.Close)
	t.Cleanup(func() {
		if strings.Contains(r.logs.String(), api.Secret) {
			t.Error("the log holds the secret")
		}
	})
	return r
}

func (r *rig) log() []json.RawMessage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.shown)
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) show(records []json.RawMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown = slices.Clone(records)
}

// faulty makes the API answer by fault, counting requests anew; nil ends it.
func (r *rig) faulty(fault func(n int, w http.ResponseWriter, r *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault, r.requests = fault, 0
}

// runtime is one whose waiting takes no time and moves the clock.
func (r *rig) runtime() ingest.Runtime {
	return ingest.Runtime{
		Input: "test", HTTP: http.DefaultTransport, Registerer: prometheus.NewRegistry(),
		Log: slog.New(slog.NewTextHandler(&r.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now: r.clock,
		Wait: func(ctx context.Context, d time.Duration) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.now = r.now.Add(d)
			return ctx.Err()
		},
	}
}

func (r *rig) open(t *testing.T, cursor json.RawMessage) ingest.Source {
	t.Helper()
	s := r.api.Open(t, r.server.URL, r.runtime())
	if err := s.Seek(cursor); err != nil {
		t.Fatalf("seek: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// take counts the records of a batch.
func (r *rig) take(batch ingest.Batch) {
	for _, record := range batch.Records {
		r.got[string(record.Data)]++
		r.order = append(r.order, string(record.Data))
	}
}

// maxPolls bounds how often a source is polled until it has nothing more.
const maxPolls = 2000

// quietPolls is how many polls without records mean that there is nothing more:
// windows of time may be empty in the middle.
const quietPolls = 12

// drain polls until there is nothing more, and returns the last cursor. It gives
// up at an error, which it returns.
func (r *rig) drain(t *testing.T, s ingest.Source) (json.RawMessage, error) {
	t.Helper()
	var cursor json.RawMessage
	quiet := 0
	for range maxPolls {
		batch, err := s.Poll(t.Context())
		if err != nil {
			if strings.Contains(err.Error(), r.api.Secret) {
				t.Errorf("error holds the secret: %v", err)
			}
			if errors.Is(err, io.EOF) {
				t.Errorf("error is or wraps io.EOF, which is the end of an input: %v", err)
			}
			return cursor, err
		}
		r.take(batch)
		if batch.Durable != nil {
			batch.Durable(t.Context())
		}
		if batch.Cursor != nil {
			cursor = batch.Cursor
		}
		if quiet++; len(batch.Records) > 0 {
			quiet = 0
		}
		if quiet == quietPolls {
			return cursor, nil
		}
	}
	t.Fatalf("still records after %d polls: the source repeats itself", maxPolls)
	return nil, nil
}

// patient drains through errors.
func (r *rig) patient(t *testing.T, s ingest.Source) {
	t.Helper()
	for range 50 {
		if _, err := r.drain(t, s); err == nil {
			return
		}
	}
	t.Fatal("the source does not recover")
}

func (r *rig) want(t *testing.T, records []json.RawMessage) {
	t.Helper()
	want := map[string]bool{}
	for _, record := range records {
		data := []byte(record)
		if r.api.Data != nil {
			data = r.api.Data(record)
		}
		if data == nil {
			continue
		}
		want[string(data)] = true
		switch n := r.got[string(data)]; {
		case n == 0:
			t.Errorf("lost: %.300s", data)
		case n > 1:
			t.Errorf("came %d times: %.300s", n, data)
		}
	}
	for data := range r.got {
		if !want[data] {
			t.Errorf("invented: %.300s", data)
		}
	}
}

func (api *API) everythingOnce(t *testing.T) {
	r := api.start(t, len(api.Records))
	if _, err := r.drain(t, r.open(t, nil)); err != nil {
		t.Fatal(err)
	}
	r.want(t, api.Records)
}

func (api *API) comesLater(t *testing.T) {
	r := api.start(t, 0)
	s := r.open(t, nil)
	for n := range len(api.Records) + 1 {
		r.show(api.Records[:n])
		if n%3 != 0 && n != len(api.Records) {
			continue
		}
		if _, err := r.drain(t, s); err != nil {
			t.Fatal(err)
		}
	}
	r.want(t, api.Records)
}

// killedAnywhere: the process dies after each batch, before or after its cursor
// was saved. What was not saved comes again and nothing else does.
func (api *API) killedAnywhere(t *testing.T) {
	for _, saved := range []bool{true, false} {
		t.Run(fmt.Sprintf("cursor saved %t", saved), func(t *testing.T) {
			r := api.start(t, len(api.Records))
			var cursor json.RawMessage
			quiet := 0
			for range maxPolls {
				s := r.open(t, cursor)
				batch, err := s.Poll(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if !saved {
					// The first try of each batch dies with its process.
					s = r.open(t, cursor)
					if batch, err = s.Poll(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				r.take(batch)
				if batch.Durable != nil {
					batch.Durable(t.Context())
				}
				if batch.Cursor != nil {
					cursor = batch.Cursor
				}
				if quiet++; len(batch.Records) > 0 {
					quiet = 0
				}
				if quiet == quietPolls {
					break
				}
				// A restart takes a moment.
				_ = r.runtime().Wait(t.Context(), time.Minute)
			}
			r.want(t, api.Records)
		})
	}
}

func (api *API) errorsOfTheMoment(t *testing.T) {
	cut := func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`[{"cut":`))
		panic(http.ErrAbortHandler)
	}
	hangUp := func(w http.ResponseWriter) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close() // that is the fault
		}
	}
	for name, answer := range map[string]func(w http.ResponseWriter){
		"500":      func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
		"502 html": func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway); _, _ = w.Write([]byte("<html>")) },
		"cut off":  cut,
		"hung up":  hangUp,
		"no json":  func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>maintenance</html>")) },
	} {
		t.Run(name, func(t *testing.T) {
			r := api.start(t, len(api.Records))
			r.faulty(func(n int, w http.ResponseWriter, _ *http.Request) bool {
				if n%2 == 1 || n > 60 {
					return false
				}
				answer(w)
				return true
			})
			r.patient(t, r.open(t, nil))
			r.want(t, api.Records)
		})
	}
	for name, answer := range map[string]func(w http.ResponseWriter){
		"away for long":     func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"hangs up for long": hangUp,
	} {
		t.Run(name, func(t *testing.T) {
			r := api.start(t, len(api.Records))
			r.faulty(func(_ int, w http.ResponseWriter, _ *http.Request) bool { answer(w); return true })
			s := r.open(t, nil)
			if _, err := r.drain(t, s); err == nil {
				t.Error("an API that is away for long is no error: nobody would notice")
			}
			r.faulty(nil)
			r.patient(t, s)
			r.want(t, api.Records)
		})
	}
}

func (api *API) throttled(t *testing.T) {
	const wait = 37 * time.Second
	r := api.start(t, len(api.Records))
	var until time.Time
	early := 0
	r.faulty(func(n int, w http.ResponseWriter, _ *http.Request) bool {
		now := r.clock()
		if now.Before(until) {
			early++
		}
		if n != 1 && n != 2 {
			return false
		}
		until = now.Add(wait)
		api.Throttle(w.Header(), now, wait)
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	if _, err := r.drain(t, r.open(t, nil)); err != nil {
		t.Fatal(err)
	}
	if early > 0 {
		t.Errorf("%d requests came before the provider wanted them", early)
	}
	r.want(t, api.Records)
}

func (api *API) refused(t *testing.T) {
	r := api.start(t, len(api.Records))
	s := r.open(t, nil)
	r.faulty(func(_ int, w http.ResponseWriter, req *http.Request) bool {
		w.WriteHeader(http.StatusUnauthorized)
		// Some answers repeat what was sent.
		fmt.Fprintf(w, `{"error":"unauthorized","message":%q}`, fmt.Sprint(req.Header, req.URL))
		return true
	})
	_, err := r.drain(t, s)
	if _, ok := errors.AsType[*ingest.CredentialError](err); !ok {
		t.Errorf("error = %v, want *ingest.CredentialError: only an operator can help", err)
	}
	r.faulty(nil)
	r.patient(t, s)
	r.want(t, api.Records)
}

func (api *API) cancelled(t *testing.T) {
	r := api.start(t, len(api.Records))
	reached := make(chan struct{}, 1)
	r.faulty(func(_ int, _ http.ResponseWriter, req *http.Request) bool {
		select {
		case reached <- struct{}{}:
		default:
		}
		_, _ = io.Copy(io.Discard, req.Body) // before its end a server does not see the client go
		<-req.Context().Done()
		return true
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	s := r.open(t, nil)
	go func() {
		_, err := s.Poll(ctx)
		done <- err
	}()
	<-reached
	cancel()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a cancelled poll reports no error")
		}
	case <-time.After(10 * time.Second):
		t.Error("a cancelled poll does not return")
	}
}

// shownLate: each third record appears only after all others were read.
func (api *API) shownLate(t *testing.T) {
	r := api.start(t, 0)
	var early []json.RawMessage
	for i, record := range api.Records {
		if i%3 != 1 {
			early = append(early, record)
		}
	}
	r.show(early)
	s := r.open(t, nil)
	cursor, err := r.drain(t, s)
	if err != nil {
		t.Fatal(err)
	}
	r.show(api.Records)
	if _, err := r.drain(t, r.open(t, cursor)); err != nil {
		t.Fatal(err)
	}
	r.want(t, api.Records)
}

// Position checks that a source with the given cursor, which the provider may no
// longer know, still comes to have everything.
func Position(t *testing.T, api API, cursor json.RawMessage) {
	t.Helper()
	r := api.start(t, len(api.Records))
	if _, err := r.drain(t, r.open(t, cursor)); err != nil {
		t.Fatal(err)
	}
	r.want(t, api.Records)
}

// Sweep checks the source of an inventory: api.Records are the people. It reads
// each once in every period, goes on after a restart, and through errors.
func Sweep(t *testing.T, api API, every time.Duration) {
	t.Helper()
	people := func(t *testing.T, r *rig) int {
		t.Helper()
		n := len(r.order)
		r.order = nil
		return n
	}
	t.Run("once in every period", func(t *testing.T) {
		r := api.start(t, len(api.Records))
		s := r.open(t, nil)
		for sweep := range 3 {
			if _, err := r.drain(t, s); err != nil {
				t.Fatal(err)
			}
			if n := people(t, r); n != len(api.Records) {
				t.Errorf("sweep %d read %d people, want %d", sweep, n, len(api.Records))
			}
			_ = r.runtime().Wait(t.Context(), every)
		}
	})
	t.Run("killed anywhere", func(t *testing.T) {
		r := api.start(t, len(api.Records))
		var cursor json.RawMessage
		for range 3 * len(api.Records) {
			batch, err := r.open(t, cursor).Poll(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r.take(batch)
			if batch.Cursor != nil {
				cursor = batch.Cursor
			}
		}
		if n := people(t, r); n != len(api.Records) {
			t.Errorf("%d people read over restarts, want each once: %d", n, len(api.Records))
		}
	})
	t.Run("errors of the moment", func(t *testing.T) {
		r := api.start(t, len(api.Records))
		r.faulty(func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n%5 != 2 {
				return false
			}
			w.WriteHeader(http.StatusBadGateway)
			return true
		})
		r.patient(t, r.open(t, nil))
		if n := people(t, r); n != len(api.Records) {
			t.Errorf("%d people read, want %d", n, len(api.Records))
		}
	})
	t.Run("throttled", api.sweepThrottled)
	t.Run("credential refused", func(t *testing.T) {
		r := api.start(t, len(api.Records))
		s := r.open(t, nil)
		r.faulty(func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		})
		_, err := r.drain(t, s)
		if _, ok := errors.AsType[*ingest.CredentialError](err); !ok {
			t.Errorf("error = %v, want *ingest.CredentialError", err)
		}
	})
}

func (api *API) sweepThrottled(t *testing.T) {
	r := api.start(t, len(api.Records))
	r.faulty(func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n%7 != 3 {
			return false
		}
		api.Throttle(w.Header(), r.clock(), 20*time.Second)
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	if _, err := r.drain(t, r.open(t, nil)); err != nil {
		t.Fatal(err)
	}
	if len(r.order) != len(api.Records) {
		t.Errorf("%d people read, want %d", len(r.order), len(api.Records))
	}
}
