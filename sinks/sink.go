package sinks

import (
	"context"
	"fmt"
	"time"

	"stepdown/detect/alert"
)

// Sink is a destination for alerts.
//
// One goroutine owns a Sink; its methods are not called concurrently.
type Sink interface {
	// Write makes alerts durable at the destination, in their order.
	//
	// It is idempotent per (ID, Revision): an alert that was written at this or a
	// higher revision is skipped, so that a batch may be written again after any
	// error. The alerts belong to the caller and are not changed or kept.
	//
	// nil means that all of them are durable. A *RefusedError means that the
	// destination will never take the alerts it names; nothing is promised of the
	// others, which are written again. Any other error is of the moment: the same
	// batch is written again until it succeeds. A *LaterError says when.
	Write(ctx context.Context, alerts []alert.Alert) error
	// Close releases what the sink holds. What Write acknowledged stays.
	Close() error
}

// Holder is a Sink that remembers what it has shown. An alert whose severity fell
// below the minimum of the sink is still written to a Holder that shows an earlier
// revision, since that one would otherwise stay as it is.
type Holder interface {
	// Holds reports whether the destination shows some revision of the alert.
	Holds(id alert.ID) bool
}

// RefusedError is returned by Sink.Write for alerts that the destination will
// never take, however often they are written.
type RefusedError struct {
	// Indexes are the positions of the alerts in the batch, ascending.
	Indexes []int
	// Err is the destination's reason.
	Err error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("refused %d alerts: %v", len(e.Indexes), e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// LaterError is returned by Sink.Write when the destination says when to come
// again, or when coming earlier would do harm.
type LaterError struct {
	// After is how long to wait from now.
	After time.Duration
	Err   error
}

func (e *LaterError) Error() string { return fmt.Sprintf("%v (again in %s)", e.Err, e.After) }

func (e *LaterError) Unwrap() error { return e.Err }
