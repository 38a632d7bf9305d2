package ssf

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"sync"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/secret"
	"stepdown/ingest/webhook"
)

// inlet is what both ways of delivery share.
type inlet struct {
	*verifier
	rt      ingest.Runtime
	tenant  string
	metrics *metrics
	durable remembered

	mu sync.Mutex
	// said is when a refusal of that code was logged.
	said map[string]time.Time
}

func (in *inlet) count(result string) {
	in.metrics.tokens.WithLabelValues(in.rt.Input, result).Inc()
}

// quiet is how long a refusal of the same code is not logged again: anybody may push.
const quiet = time.Minute

// refuse counts a token that is not taken, and says so.
func (in *inlet) refuse(ctx context.Context, r *refusal) {
	in.count(r.Code)
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.rt.Now()
	if last, ok := in.said[r.Code]; ok && now.Sub(last) < quiet {
		return
	}
	if in.said == nil {
		in.said = map[string]time.Time{}
	}
	in.said[r.Code] = now
	in.rt.Log.WarnContext(ctx, "token refused", slog.String("code", r.Code), slog.String("why", r.Description))
}

// record is a token as it goes on.
func (in *inlet) record(t *token) ingest.Record {
	return ingest.Record{Source: source, Tenant: in.tenant, Stream: stream, Data: t.claims, Observed: in.rt.Now().UTC(), Origin: "ssf " + t.ID}
}

// notice says what the operator should know of a token: its transmitter ends, or
// begins, to send.
func (in *inlet) notice(ctx context.Context, t *token) {
	for _, uri := range []string{ssfEvents + "stream-updated", sseEvents + "stream-updated"} {
		raw, ok := t.Events[uri]
		if !ok {
			continue
		}
		var e struct {
			Status string `json:"status"`
		}
		_ = json.Unmarshal(raw, &e) // without a status there is nothing to say
		switch e.Status {
		case "paused", "disabled":
			in.rt.Log.ErrorContext(ctx, "transmitter sends nothing any more", slog.String("status", e.Status))
		case "enabled":
			in.rt.Log.InfoContext(ctx, "transmitter sends again")
		}
	}
}

// deadline is for how long a push waits to be durable; transmitters wait about ten
// seconds.
const deadline = 9 * time.Second

// endpoint takes pushed tokens, RFC 8935.
type endpoint struct {
	*webhook.Queue
	*inlet
	path          string
	authorization secret.Secret
	maxBody       int64
	deadline      time.Duration
}

func newEndpoint(c *Config, in *inlet) *endpoint {
	return &endpoint{Queue: webhook.NewQueue(), inlet: in, path: c.Push.Path, authorization: c.Push.Authorization, maxBody: c.MaxBody, deadline: deadline}
}

// Path implements ingest.Receiver.
func (e *endpoint) Path() string { return e.path }

// ServeHTTP takes one token. It answers 202 when it is durable, 400 with an error
// code when it is not taken, 401 when the transmitter does not authenticate, and 503
// when it shall send the token again.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), e.deadline)
	defer cancel()
	err := e.take(ctx, w, r)
	refused, isRefusal := errors.AsType[*refusal](err)
	switch {
	case err == nil:
		w.WriteHeader(http.StatusAccepted)
	case isRefusal:
		e.refuse(ctx, refused)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Language", "en")
		status := http.StatusBadRequest
		if refused.Code == codeAuthenticated {
			status = http.StatusUnauthorized
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(refused) // the transmitter is gone if it fails
	case errors.Is(err, errMethod):
		e.count(resultMethod)
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, err.Error(), http.StatusMethodNotAllowed)
	case errors.Is(err, errTooLarge):
		e.count(resultTooLarge)
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
	default:
		result := resultNotDurable
		if errors.Is(err, errKeysAway) {
			result = resultKeysAway
		}
		e.count(result)
		e.rt.Log.WarnContext(ctx, "token not taken in time; the transmitter repeats it", slog.Any("error", err))
		w.Header().Set("Retry-After", "10")
		http.Error(w, "not at the moment", http.StatusServiceUnavailable)
	}
}

var (
	errMethod   = errors.New("send security event tokens by POST")
	errTooLarge = errors.New("larger than max_body")
)

func (e *endpoint) take(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return errMethod
	}
	if err := e.authenticate(r.Header.Get("Authorization")); err != nil {
		return err
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/secevent+jwt" {
		return refuse(codeRequest, "Content-Type is not application/secevent+jwt")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, e.maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return errTooLarge
	}
	if err != nil {
		return refuse(codeRequest, "the body broke off")
	}
	t, err := e.verify(ctx, string(body))
	if err != nil {
		return err
	}
	if e.durable.has(t.ID) {
		e.count(resultRepeated)
		return nil
	}
	e.notice(ctx, t)
	if err := e.Put(ctx, []ingest.Record{e.record(t)}); err != nil {
		return err
	}
	e.durable.add(t.ID)
	e.count(resultDurable)
	return nil
}

// authenticate compares in a time that tells nothing of the secret.
func (e *endpoint) authenticate(given string) error {
	if e.authorization.IsZero() {
		return nil
	}
	value, err := e.authorization.Value()
	if err != nil {
		return err
	}
	got, want := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(value))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return refuse(codeAuthenticated, "Authorization is not what was agreed")
	}
	return nil
}
