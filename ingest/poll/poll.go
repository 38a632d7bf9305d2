package poll

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"stepdown/ingest"
)

// Log is one log of a provider. C is a position in it, which encodes as JSON.
type Log[C any] struct {
	Runtime  ingest.Runtime
	Interval time.Duration
	// Start is the position of an input that has none saved.
	Start C
	// Fetch returns the page at a position. It is called again with the same
	// position after an error.
	Fetch func(ctx context.Context, at C) (Page[C], error)
	// Overlap is how far back, in event time, Fetch may return records again; 0
	// where the provider's own cursor makes that impossible. When reads it.
	Overlap time.Duration
	// When returns the event time of a record's bytes; zero where there is none.
	// It is needed where there is an Overlap.
	When func(data []byte) time.Time
}

// Page is what one look at a log gave.
type Page[C any] struct {
	Records []ingest.Record
	// Next is the position after the page.
	Next C
	// More says that Next has something now; else the source waits.
	More bool
	// Through is the time up to which the log has been read with this page; zero
	// where that is not known.
	Through time.Time
	// Lost says what the log may no longer have; nil is nothing.
	Lost *ingest.Loss
}

// Source returns l as a source.
func Source[C any](l Log[C]) ingest.Source {
	return &source[C]{log: l, at: l.Start}
}

type source[C any] struct {
	log  Log[C]
	at   C
	seen seen
	// rest is true when the log had nothing more at the last look.
	rest bool
	// saved is the position that was handed out last.
	saved json.RawMessage
}

// position is what is saved.
type position[C any] struct {
	At   C    `json:"at"`
	Seen seen `json:"seen,omitzero"`
}

// Seek implements ingest.Source.
func (s *source[C]) Seek(cursor json.RawMessage) error {
	if cursor == nil {
		return nil
	}
	var p position[C]
	if err := json.Unmarshal(cursor, &p); err != nil {
		return fmt.Errorf("read saved position: %w", err)
	}
	s.at, s.seen, s.saved = p.At, p.Seen, cursor
	return nil
}

// Poll implements ingest.Source: it looks once, after the pause that is due.
func (s *source[C]) Poll(ctx context.Context) (ingest.Batch, error) {
	if s.rest {
		// Inputs that start together do not ask together.
		jitter := time.Duration(rand.Int64N(int64(s.log.Interval)/5 + 1)) //nolint:gosec // spreads load
		if err := s.log.Runtime.Wait(ctx, s.log.Interval-s.log.Interval/10+jitter); err != nil {
			return ingest.Batch{}, err
		}
		s.rest = false
	}
	page, err := s.log.Fetch(ctx, s.at)
	if err != nil {
		return ingest.Batch{}, err
	}
	batch := ingest.Batch{Records: page.Records, Through: page.Through, Lost: page.Lost}
	if s.log.Overlap > 0 {
		batch.Records = s.fresh(page.Records)
	}
	s.at, s.rest = page.Next, !page.More
	cursor, err := json.Marshal(position[C]{At: s.at, Seen: s.seen})
	if err != nil {
		return ingest.Batch{}, fmt.Errorf("encode position: %w", err)
	}
	if !bytes.Equal(cursor, s.saved) {
		s.saved, batch.Cursor = cursor, cursor
	}
	return batch, nil
}

// fresh returns the records that were not seen before, and remembers them.
func (s *source[C]) fresh(records []ingest.Record) []ingest.Record {
	out, now := records[:0:0], s.log.Runtime.Now()
	for _, r := range records {
		if s.seen.add(r.Data, s.log.When(r.Data), now) {
			out = append(out, r)
		}
	}
	s.seen.forget(s.log.Overlap)
	return out
}

// Close implements ingest.Source.
func (s *source[C]) Close() error { return nil }
