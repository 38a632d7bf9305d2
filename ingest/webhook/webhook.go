package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest"
)

// Metrics are those of all endpoints of a process.
type Metrics struct{ requests *prometheus.CounterVec }

// NewMetrics registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stepdown_ingest_webhook_requests_total",
		Help: "Requests to an endpoint, by result: durable, challenge, unsigned, wrong_signature, stale, too_large, full, method, not_durable, error.",
	}, []string{"input", "result"})}
	reg.MustRegister(m.requests)
	return m
}

// Endpoint is one path of the receiver. It is an http.Handler, and the source of
// what is pushed to it.
type Endpoint struct {
	*Queue
	cfg     Config
	verify  *verifier
	split   Split
	input   string
	log     *slog.Logger
	now     func() time.Time
	metrics *Metrics
	// held are the bytes of bodies in memory.
	held atomic.Int64
}

// Split cuts a body into records, each made like the given one.
type Split func(body []byte, like ingest.Record) []ingest.Record

// New returns the endpoint of an input. cfg must be valid.
func New(cfg Config, split Split, rt ingest.Runtime, m *Metrics) *Endpoint {
	return &Endpoint{Queue: NewQueue(), cfg: cfg, verify: newVerifier(&cfg), split: split, input: rt.Input,
		log: rt.Log.With(slog.String("input", rt.Input)), now: rt.Now, metrics: m}
}

// Path is where the endpoint is.
func (e *Endpoint) Path() string { return e.cfg.Path }

// ServeHTTP takes a push: it answers 200 when the records are durable, 401 when the
// sender does not prove itself, 413 when there is too much, and 503 when Kafka does
// not take the records before the sender's patience ends.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	result, status, said := e.serve(r)
	e.metrics.requests.WithLabelValues(e.input, result).Inc()
	switch {
	case result == resultChallenge:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"verification": said}) // the sender is gone if it fails
	case status == http.StatusOK:
		w.WriteHeader(status)
	default:
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "10")
		}
		http.Error(w, said, status)
	}
}

// The results of a request, as a metric label.
const (
	resultDurable    = "durable"
	resultChallenge  = "challenge"
	resultUnsigned   = "unsigned"
	resultWrong      = "wrong_signature"
	resultStale      = "stale"
	resultTooLarge   = "too_large"
	resultFull       = "full"
	resultMethod     = "method"
	resultNotDurable = "not_durable"
	resultError      = "error"
)

// challengeHeader is of Okta's one-time verification.
const challengeHeader = "X-Okta-Verification-Challenge"

// maxChallenge bounds what is echoed.
const maxChallenge = 512

func (e *Endpoint) serve(r *http.Request) (result string, status int, said string) {
	ctx, cancel := context.WithTimeout(r.Context(), e.verify.deadline)
	defer cancel()
	if challenge := r.Header.Get(challengeHeader); r.Method == http.MethodGet && e.verify.challenge && challenge != "" {
		// It proves nothing of the sender, and the answer tells nothing of us.
		if len(challenge) > maxChallenge {
			return resultTooLarge, http.StatusBadRequest, "the challenge is too long"
		}
		return resultChallenge, http.StatusOK, challenge
	}
	if r.Method != http.MethodPost {
		return resultMethod, http.StatusMethodNotAllowed, "records are pushed by POST"
	}
	vouched, err := e.verify.verify(r.Header, e.now())
	if err != nil {
		return e.refused(ctx, err)
	}
	bodies := &holding{r: io.LimitReader(r.Body, e.cfg.MaxBody+1), held: &e.held}
	defer bodies.release()
	body, err := io.ReadAll(bodies)
	switch {
	case errors.Is(err, errFull):
		e.log.WarnContext(ctx, "push refused: as many bodies as may be are in memory; the sender repeats it")
		return resultFull, http.StatusServiceUnavailable, err.Error()
	case err != nil:
		return resultError, http.StatusBadRequest, "the body broke off"
	case int64(len(body)) > e.cfg.MaxBody:
		e.log.WarnContext(ctx, "push refused: larger than max_body", slog.Int64("max_body", e.cfg.MaxBody))
		return resultTooLarge, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", e.cfg.MaxBody)
	}
	if err := vouched(body); err != nil {
		return e.refused(ctx, err)
	}
	records := e.split(body, ingest.Record{Source: e.cfg.Source, Tenant: e.cfg.Tenant, Observed: e.now().UTC(), Origin: "webhook " + e.cfg.Path})
	if len(records) == 0 {
		return resultDurable, http.StatusOK, ""
	}
	if err := e.Put(ctx, records); err != nil {
		e.log.WarnContext(ctx, "push not durable in time; the sender repeats it", slog.Int("records", len(records)))
		return resultNotDurable, http.StatusServiceUnavailable, err.Error()
	}
	return resultDurable, http.StatusOK, ""
}

// refused is the answer to who does not prove itself.
func (e *Endpoint) refused(ctx context.Context, err error) (result string, status int, said string) {
	switch {
	case errors.Is(err, errUnsigned):
		return resultUnsigned, http.StatusUnauthorized, err.Error()
	case errors.Is(err, errWrong):
		return resultWrong, http.StatusUnauthorized, err.Error()
	case errors.Is(err, errStale):
		return resultStale, http.StatusUnauthorized, err.Error()
	}
	e.log.ErrorContext(ctx, "push cannot be verified", slog.Any("error", err))
	return resultError, http.StatusServiceUnavailable, "the receiver cannot verify anybody at the moment"
}

// maxHeld bounds the bodies of an endpoint that are in memory at once, of whoever
// sends them: an HMAC proves nothing before the body is there.
const maxHeld = 128 << 20

var errFull = errors.New("too much at once; send it again")

// holding counts what is read into held until it is released.
type holding struct {
	r     io.Reader
	held  *atomic.Int64
	taken int64
}

func (h *holding) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.taken += int64(n)
	if h.held.Add(int64(n)) > maxHeld {
		return n, errFull
	}
	return n, err
}

func (h *holding) release() { h.held.Add(-h.taken) }
