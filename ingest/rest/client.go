package rest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/time/rate"

	"stepdown/ingest"
)

// Options say how one API is called.
type Options struct {
	// Base is the address that paths are relative to.
	Base string
	// Credential goes with each request; nil for an API that asks for none.
	Credential Credential
	// Limit reads how long to wait before the next request from the headers of an
	// answer, by the provider's own rules; 0 is no wait. Retry-After is obeyed
	// beside it. nil where the provider has none.
	Limit func(h http.Header, now time.Time) time.Duration
	// Cure says what to do about a refused credential: "grant the scope
	// okta.logs.read".
	Cure string
	// Accept is the media type to ask for; "application/json" where empty.
	Accept string
	// Header is sent with each request.
	Header http.Header
	// MaxBody bounds an answer; 64 MiB where 0.
	MaxBody int64
}

// Client calls one API for one input. It is safe for concurrent use.
type Client struct {
	cfg    Budget
	opts   Options
	base   *url.URL
	rt     ingest.Runtime
	http   *http.Client
	budget *rate.Limiter
	// metrics are shared by all clients of a process.
	metrics *metrics

	mu sync.Mutex
	// until is when the provider lets the next request through.
	until time.Time
}

// tries is how often a request is made before its error is handed up.
const tries = 3

// maxThrottled is how long one request is throttled before that is an error: the
// input then says on /-/ready that it stands still.
const maxThrottled = 10 * time.Minute

// maxWait bounds what a provider's header can make an input wait before it asks
// again.
const maxWait = 15 * time.Minute

const defaultMaxBody = 64 << 20

// New returns a client.
func New(cfg Budget, opts Options, rt ingest.Runtime) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := ValidateBase(opts.Base); err != nil {
		return nil, fmt.Errorf("address of the api: %w", err)
	}
	base, err := url.Parse(strings.TrimSuffix(opts.Base, "/") + "/")
	if err != nil {
		return nil, fmt.Errorf("address of the api: %w", err)
	}
	if opts.MaxBody == 0 {
		opts.MaxBody = defaultMaxBody
	}
	c := &Client{
		cfg: cfg, opts: opts, base: base, rt: rt,
		http:    &http.Client{Transport: rt.HTTP, Timeout: cfg.Timeout, CheckRedirect: noRedirect},
		budget:  rate.NewLimiter(rate.Limit(float64(cfg.RequestsPerMinute)/60), max(1, cfg.RequestsPerMinute/6)),
		metrics: newMetrics(rt.Registerer),
	}
	return c, nil
}

// noRedirect: a redirect would carry the credential elsewhere.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Response is an answer of 2xx.
type Response struct {
	Header http.Header
	Body   []byte
	where  string
}

// JSON decodes the body into v.
func (r *Response) JSON(v any) error {
	if err := json.Unmarshal(r.Body, v); err != nil {
		return fmt.Errorf("%s: answer is not the JSON that is documented: %w", r.where, err)
	}
	return nil
}

// Next returns the address that a Link header with rel="next" names, "" where
// there is none. Several headers and one with several links are the same.
func (r *Response) Next() string {
	for _, header := range r.Header.Values("Link") {
		for {
			_, rest, ok := strings.Cut(header, "<")
			if !ok {
				break
			}
			target, rest, ok := strings.Cut(rest, ">")
			if !ok {
				break
			}
			// An address may hold commas; its parameters end where the next one begins.
			params := rest
			if i := strings.Index(rest, "<"); i >= 0 {
				params = rest[:i]
			}
			for param := range strings.FieldsFuncSeq(params, func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
				if k, v, _ := strings.Cut(param, "="); strings.EqualFold(k, "rel") && strings.EqualFold(strings.Trim(v, `"`), "next") {
					return target
				}
			}
			header = rest
		}
	}
	return ""
}

// StatusError is an answer that is neither success nor one of those that are
// waited for or tried again.
type StatusError struct {
	Status int
	// Code is the provider's own name of the error where its body has one in a
	// usual place; never the body itself.
	Code string
	// Where is the request, without its query.
	Where string
}

func (e *StatusError) Error() string {
	if e.Code != "" {
		return fmt.Sprintf("%s: %d %s (%s)", e.Where, e.Status, http.StatusText(e.Status), e.Code)
	}
	return fmt.Sprintf("%s: %d %s", e.Where, e.Status, http.StatusText(e.Status))
}

// HasStatus reports whether err is of an answer with one of codes, whether or not
// that refuses the credential.
func HasStatus(err error, codes ...int) bool {
	answer, ok := errors.AsType[*StatusError](err)
	return ok && slices.Contains(codes, answer.Status)
}

// Get asks for ref, a path beneath the base or a whole address of the same host,
// such as the provider hands out for the next page.
func (c *Client) Get(ctx context.Context, ref string, query url.Values) (*Response, error) {
	return c.Do(ctx, http.MethodGet, ref, query, nil)
}

// Post sends body, encoded as JSON.
func (c *Client) Post(ctx context.Context, ref string, query url.Values, body any) (*Response, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return c.Do(ctx, http.MethodPost, ref, query, data)
}

// Do sends one request and returns its answer. It waits for the budget and for
// the provider's limits, and tries again what failed for the moment. The error is
// *ingest.CredentialError for 401 and 403, else *StatusError for an answer, else of
// the connection, of an answer that is too large, or of a provider that throttles for
// longer than ten minutes.
func (c *Client) Do(ctx context.Context, method, ref string, query url.Values, body []byte) (*Response, error) {
	address, err := c.resolve(ref, query)
	if err != nil {
		return nil, err
	}
	where := method + " " + bare(address.String())
	pause, unsaid := backoff.NewExponentialBackOff(), backoff.NewExponentialBackOff()
	renewed := false
	var throttledSince time.Time
	for attempt := 1; ; {
		if err := c.pass(ctx); err != nil {
			return nil, err
		}
		resp, err := c.once(ctx, method, address, where, body)
		if ctx.Err() == nil {
			c.metrics.requests.WithLabelValues(c.rt.Input, resultOf(err)).Inc()
		}
		throttled, isThrottled := errors.AsType[*throttledError](err)
		switch {
		case err == nil:
			return resp, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case isThrottled:
			if throttled.wait == 0 {
				throttled.wait = max(unsaid.NextBackOff(), minWait)
			}
			c.hold(throttled.wait)
			now := c.rt.Now()
			if throttledSince.IsZero() {
				throttledSince = now
			}
			if whole := now.Add(throttled.wait).Sub(throttledSince); whole > maxThrottled {
				return nil, &throttledError{wait: whole, where: where}
			}
			c.rt.Log.WarnContext(ctx, "provider throttles", slog.String("request", where), slog.Duration("wait", throttled.wait))
			continue // as often as the provider says so
		case !renewed && HasStatus(err, http.StatusUnauthorized) && c.opts.Credential != nil && c.opts.Credential.Renew():
			renewed = true
			continue
		case !passing(err) || attempt >= tries:
			return nil, err
		}
		attempt++
		if err := c.rt.Wait(ctx, pause.NextBackOff()); err != nil {
			return nil, err
		}
	}
}

// passing reports whether an error may be over in a moment.
func passing(err error) bool {
	if _, refused := errors.AsType[*ingest.CredentialError](err); refused {
		return false
	}
	if _, tooLarge := errors.AsType[*tooLargeError](err); tooLarge {
		return false
	}
	if status, ok := errors.AsType[*StatusError](err); ok {
		return status.Status >= 500 || status.Status == http.StatusRequestTimeout
	}
	return true
}

// throttledError says that the provider wants fewer requests.
type throttledError struct {
	// wait is 0 where the provider does not say for how long.
	wait  time.Duration
	where string
}

func (e *throttledError) Error() string { return fmt.Sprintf("%s: throttled for %s", e.where, e.wait) }

// tooLargeError says that an answer is larger than may be; the same request would
// give the same.
type tooLargeError struct {
	max   int64
	where string
}

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("%s: answer is larger than %d bytes", e.where, e.max)
}

// resolve makes an address of ref. Another host than the base's is refused: the
// credential is for that one.
func (c *Client) resolve(ref string, query url.Values) (*url.URL, error) {
	u, err := url.Parse(ref)
	if err != nil {
		return nil, errors.New("address of a request cannot be read")
	}
	if u.Host == "" {
		u.Path, u.RawPath = strings.TrimPrefix(u.Path, "/"), strings.TrimPrefix(u.RawPath, "/")
	}
	u = c.base.ResolveReference(u)
	if u.Scheme != c.base.Scheme || u.Host != c.base.Host {
		return nil, fmt.Errorf("provider names an address at %s, not at %s: not followed", u.Host, c.base.Host)
	}
	if len(query) > 0 {
		q := u.Query()
		maps.Copy(q, query)
		u.RawQuery = q.Encode()
	}
	return u, nil
}

// pass waits until budget and provider let a request through. The provider may have
// said something to another request of the client while this one waited.
func (c *Client) pass(ctx context.Context) error {
	for reserved := false; ; {
		now := c.rt.Now()
		c.mu.Lock()
		wait := c.until.Sub(now)
		c.mu.Unlock()
		held := wait > 0
		if !held && !reserved {
			wait, reserved = c.budget.ReserveN(now, 1).DelayFrom(now), true
		}
		if wait <= 0 {
			return ctx.Err()
		}
		err := c.rt.Wait(ctx, wait)
		if held {
			c.metrics.throttled.WithLabelValues(c.rt.Input).Add(c.rt.Now().Sub(now).Seconds())
		}
		if err != nil {
			return err
		}
	}
}

// hold keeps requests back for d.
func (c *Client) hold(d time.Duration) {
	if d <= 0 {
		return
	}
	until := c.rt.Now().Add(min(d, maxWait))
	c.mu.Lock()
	defer c.mu.Unlock()
	if until.After(c.until) {
		c.until = until
	}
}

func (c *Client) once(ctx context.Context, method string, address *url.URL, where string, body []byte) (*Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, withoutURL(err))
	}
	maps.Copy(req.Header, c.opts.Header)
	req.Header.Set("User-Agent", "stepdown")
	req.Header.Set("Accept", cmp.Or(c.opts.Accept, "application/json"))
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.opts.Credential != nil {
		if err := c.opts.Credential.Authorize(ctx, req); err != nil {
			if refused, ok := errors.AsType[*ingest.CredentialError](err); ok {
				refused.Cure = cmp.Or(refused.Cure, c.opts.Cure)
			}
			return nil, withoutURL(err)
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, withoutURL(err))
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, c.opts.MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("%s: read answer: %w", where, err)
	}
	if int64(len(data)) > c.opts.MaxBody {
		return nil, &tooLargeError{max: c.opts.MaxBody, where: where}
	}
	now := c.rt.Now()
	var limit time.Duration
	if c.opts.Limit != nil {
		limit = c.opts.Limit(resp.Header, now)
	}
	switch status := resp.StatusCode; {
	case status >= 200 && status < 300:
		c.hold(limit)
		return &Response{Header: resp.Header, Body: data, where: where}, nil
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
		return nil, &throttledError{wait: throttle(limit, retryAfter(resp.Header, now)), where: where}
	case status == http.StatusForbidden && limit > 0, status == http.StatusForbidden && resp.Header.Get("Retry-After") != "":
		// Some providers throttle by 403 with their rate headers.
		return nil, &throttledError{wait: throttle(limit, retryAfter(resp.Header, now)), where: where}
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return nil, &ingest.CredentialError{Cure: c.opts.Cure, Err: &StatusError{Status: status, Code: codeOf(data), Where: where}}
	default:
		return nil, &StatusError{Status: status, Code: codeOf(data), Where: where}
	}
}

// minWait is the least for which a throttled request waits.
const minWait = time.Second

// throttle is for how long a provider wants no request; 0 where it does not say.
func throttle(limit, retry time.Duration) time.Duration {
	wait := max(limit, retry)
	if wait <= 0 {
		return 0
	}
	return min(max(wait, minWait), maxWait)
}

// retryAfter reads Retry-After, seconds or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if d, err := time.ParseDuration(v + "s"); err == nil {
		return d
	}
	if t, err := http.ParseTime(v); err == nil {
		return t.Sub(now)
	}
	return 0
}

// codeOf finds the provider's name of an error in the usual places of a body. It
// takes words only: a message may repeat what was sent.
func codeOf(body []byte) string {
	var b struct {
		ErrorCode any `json:"errorCode"`
		Code      any `json:"code"`
		Error     any `json:"error"`
	}
	if json.Unmarshal(body, &b) != nil {
		return ""
	}
	if nested, ok := b.Error.(map[string]any); ok {
		b.Error = nested["code"]
	}
	for _, v := range []any{b.ErrorCode, b.Error, b.Code} {
		if s := fmt.Sprint(v); v != nil && len(s) <= 64 && !strings.ContainsFunc(s, notOfCode) {
			return s
		}
	}
	return ""
}

func notOfCode(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.'
}
