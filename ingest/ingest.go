package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"stepdown/ingest/event"
)

// Record is one record of a provider's log as it came.
type Record struct {
	// Source picks the normalizer; Tenant and Stream are what the input was
	// configured with, and may be empty where the record tells.
	Source event.Source
	Tenant string
	Stream string
	// Data is the record's bytes: one JSON value where the input could be
	// split, else what could not be.
	Data []byte
	// Observed is when the input read it.
	Observed time.Time
	// Origin says where it came from, for people: "okta.ndjson:812".
	Origin string
	// Err is set by a source that could not split its input into records; Data
	// is then what could not be read. The collector dead-letters it as malformed.
	Err error
}

// Batch is what one Poll returned.
type Batch struct {
	Records []Record
	// Cursor is the position after the batch. The collector saves it when the
	// batch is durable, and hands it to Seek at the next start.
	Cursor json.RawMessage
	// Through is the time up to which the source has shown what it has; zero
	// where that is not known. It moves on also when there are no records.
	Through time.Time
	// Lost, where it is set, says that records before the batch may be missing
	// for good.
	Lost *Loss
	// Durable, where it is set, is called once the records are durable, before
	// the cursor is saved: to answer who sent them, to delete them upstream. It
	// is not called for a batch that is given up because ctx ended.
	Durable func(ctx context.Context)
}

// Source reads records from one place. One goroutine uses it.
type Source interface {
	// Seek sets the position; it is called once before the first Poll, with nil
	// when nothing was saved.
	Seek(cursor json.RawMessage) error
	// Poll blocks until there are records or news of Through, the input ends
	// (io.EOF) or ctx does. Every other error is of the moment: the collector
	// logs it, waits and polls again. *CredentialError is of the moment too, but
	// only an operator can end it.
	Poll(ctx context.Context) (Batch, error)
	Close() error
}

// Normalizer makes events of one provider's records. It is a pure function of
// the record: no clock, no randomness, no state, so that a replay gives the same
// events. It is safe for concurrent use.
type Normalizer interface {
	// Normalize returns the events of r, usually one. A record that is read and
	// rightly yields none gives *SkipError; one that cannot be read gives
	// *MalformedError. It sets everything but Key, Tier, Populations (ingest/identity
	// does) and Ingested.
	Normalize(r Record) ([]event.Event, error)
}

// SkipReason is why a record yields no event. The list is closed: it is a
// metric's label.
type SkipReason string

// The reasons to skip.
const (
	// SkipIrrelevant: a type of record that says nothing of authentication.
	SkipIrrelevant SkipReason = "irrelevant_type"
	// SkipNoIdentity: nobody is named whom it could belong to.
	SkipNoIdentity SkipReason = "no_identity"
	// SkipMachine: a workload signed in, not a person.
	SkipMachine SkipReason = "machine_identity"
	// SkipIntermediate: a page of the flow that carries no proof (keep me signed in).
	SkipIntermediate SkipReason = "intermediate_step"
	// SkipEmpty: an empty line or envelope.
	SkipEmpty SkipReason = "empty"
)

// SkipReasons lists them.
func SkipReasons() []SkipReason {
	return []SkipReason{SkipIrrelevant, SkipNoIdentity, SkipMachine, SkipIntermediate, SkipEmpty}
}

// SkipError says that a record was read and yields no event.
type SkipError struct {
	Reason SkipReason
	// Detail for people: the record's type.
	Detail string
}

func (e *SkipError) Error() string { return fmt.Sprintf("skipped (%s): %s", e.Reason, e.Detail) }

// Skip returns a *SkipError.
func Skip(reason SkipReason, detail string) error { return &SkipError{Reason: reason, Detail: detail} }

// MalformedReason is why a record cannot be read. The list is closed.
type MalformedReason string

// The reasons of malformed records.
const (
	MalformedSyntax  MalformedReason = "invalid_json"
	MalformedTime    MalformedReason = "invalid_time"
	MalformedMissing MalformedReason = "missing_field"
	MalformedShape   MalformedReason = "unexpected_shape"
	MalformedSource  MalformedReason = "unknown_source"
	// MalformedEvent: the event that was made breaks the contract.
	MalformedEvent   MalformedReason = "invalid_event"
	MalformedTooBig  MalformedReason = "too_large"
	MalformedPanic   MalformedReason = "normalizer_panic"
	MalformedUnknown MalformedReason = "unknown"
)

// MalformedReasons lists them.
func MalformedReasons() []MalformedReason {
	return []MalformedReason{MalformedSyntax, MalformedTime, MalformedMissing, MalformedShape,
		MalformedSource, MalformedEvent, MalformedTooBig, MalformedPanic, MalformedUnknown}
}

// MalformedError says that a record could not be read; its bytes belong into the
// dead-letter topic.
type MalformedError struct {
	Reason MalformedReason
	Err    error
}

func (e *MalformedError) Error() string { return fmt.Sprintf("%s: %v", e.Reason, e.Err) }

// Unwrap returns the cause.
func (e *MalformedError) Unwrap() error { return e.Err }

// Malformed returns a *MalformedError with a formatted cause.
func Malformed(reason MalformedReason, format string, args ...any) error {
	return &MalformedError{Reason: reason, Err: fmt.Errorf(format, args...)}
}

// ReasonOf returns the malformed reason within err, MalformedUnknown when there
// is none.
func ReasonOf(err error) MalformedReason {
	if m, ok := errors.AsType[*MalformedError](err); ok {
		return m.Reason
	}
	return MalformedUnknown
}
