package aws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"github.com/cenkalti/backoff/v5"

	"stepdown/ingest"
)

// caller makes the calls of one input.
type caller struct {
	rt      ingest.Runtime
	timeout time.Duration
}

// tries is how often a call is made before its error is handed up.
const tries = 3

// maxWait bounds the pause between two calls that are throttled.
const maxWait = time.Minute

// call makes one call, and again what failed for the moment or was throttled; the
// latter for as long as it is. Its errors name the operation and what the service
// said in one word, never what was sent.
func call[O any](ctx context.Context, c caller, op string, do func(context.Context) (O, error)) (O, error) {
	var none O
	pause := backoff.NewExponentialBackOff()
	pause.MaxInterval = maxWait
	for attempt := 1; ; {
		out, err := do(ctx)
		if err == nil {
			return out, nil
		}
		switch err = describe(op, err); {
		case ctx.Err() != nil:
			return none, ctx.Err()
		case isThrottled(err):
			wait := max(pause.NextBackOff(), retryAfter(err))
			c.rt.Log.WarnContext(ctx, "provider throttles", slog.String("request", op), slog.Duration("wait", wait))
			if err := c.rt.Wait(ctx, wait); err != nil {
				return none, err
			}
			continue
		case attempt >= tries || !isPassing(err):
			return none, err
		}
		attempt++
		if err := c.rt.Wait(ctx, pause.NextBackOff()); err != nil {
			return none, err
		}
	}
}

// within makes a call that has to end within the timeout.
func within[O any](c caller, do func(context.Context) (O, error)) func(context.Context) (O, error) {
	return func(ctx context.Context) (O, error) {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		return do(ctx)
	}
}

// callError is a call that a service refused or did not answer.
type callError struct {
	op string
	// code is the service's name of the error, status the one of HTTP; empty and 0
	// where there was no answer.
	code   string
	status int
	header http.Header
	cause  error
}

func (e *callError) Error() string {
	switch {
	case e.code != "":
		return fmt.Sprintf("%s: %d %s (%s)", e.op, e.status, http.StatusText(e.status), e.code)
	case e.status != 0:
		return fmt.Sprintf("%s: %d %s", e.op, e.status, http.StatusText(e.status))
	}
	return fmt.Sprintf("%s: %v", e.op, e.cause)
}

// describe makes an error that holds nothing of the request.
func describe(op string, err error) error {
	if refused, ok := errors.AsType[*ingest.CredentialError](err); ok {
		return refused
	}
	e := &callError{op: op, cause: errors.New("no answer")}
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok && answer.Response != nil {
		e.status, e.header = answer.HTTPStatusCode(), answer.Response.Header
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && e.status >= 300 {
		e.code = api.ErrorCode()
	}
	switch {
	case e.status >= 300:
	case e.status != 0:
		e.status, e.cause = 0, errors.New("answer cannot be read")
	default:
		if cause := rootCause(err); cause != nil {
			e.cause = cause
		}
	}
	if e.status == http.StatusUnauthorized || e.status == http.StatusForbidden && !isThrottled(e) || isRefusal(e.code) {
		return &ingest.CredentialError{Cure: "let the role or key " + op, Err: e}
	}
	return e
}

// rootCause returns the innermost error: the outer ones of the SDK repeat the
// address and the operation.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// isRefusal reports whether a code speaks of the credential.
func isRefusal(code string) bool {
	switch code {
	case "AccessDenied", "AccessDeniedException", "AccessDeniedFault", "AuthFailure", "ExpiredToken", "ExpiredTokenException",
		"InvalidAccessKeyId", "InvalidClientTokenId", "MissingAuthenticationToken", "SignatureDoesNotMatch", "UnrecognizedClientException",
		"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NoSuchBucket":
		return true
	}
	return false
}

func isThrottled(err error) bool {
	e, ok := errors.AsType[*callError](err)
	if !ok {
		return false
	}
	_, named := retry.DefaultThrottleErrorCodes[e.code]
	return named || e.status == http.StatusTooManyRequests || e.status == http.StatusServiceUnavailable && e.header.Get("Retry-After") != ""
}

// retryAfter reads the header, in seconds.
func retryAfter(err error) time.Duration {
	e, ok := errors.AsType[*callError](err)
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(e.header.Get("Retry-After") + "s")
	if err != nil {
		return 0
	}
	return d
}

// isPassing reports whether an error may be over in a moment.
func isPassing(err error) bool {
	e, ok := errors.AsType[*callError](err)
	return ok && (e.status == 0 || e.status >= 500 || e.status == http.StatusRequestTimeout)
}

// isStatus reports whether a call was answered with status.
func isStatus(err error, status int) bool {
	e, ok := errors.AsType[*callError](err)
	return ok && e.status == status
}

// text returns what p points at.
func text(p *string) string { return aws.ToString(p) }
