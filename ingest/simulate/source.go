package simulate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"stepdown/ingest"
)

// Pace waits until the simulation may go on to the records that arrived by
// until. A batch is handed out when it returns nil.
type Pace func(ctx context.Context, until time.Time) error

// Source is a company's log as an ingest.Source.
type Source struct {
	company *Company
	batch   int
	pace    Pace

	next func() (Delivery, bool)
	stop func()
	done int
	// held is a batch that pace was interrupted at.
	held []ingest.Record
}

var _ ingest.Source = (*Source)(nil)

// NewSource returns the source of c. A batch has up to batch records; pace may be
// nil for as fast as they are asked for.
func NewSource(c *Company, batch int, pace Pace) *Source {
	return &Source{company: c, batch: max(1, batch), pace: pace}
}

// position is the cursor: how many deliveries have been handed out.
type position struct {
	Delivered int `json:"delivered"`
}

// Seek implements ingest.Source. Records before the cursor are made and dropped.
func (s *Source) Seek(cursor json.RawMessage) error {
	var p position
	if len(cursor) > 0 {
		if err := json.Unmarshal(cursor, &p); err != nil {
			return fmt.Errorf("decode cursor: %w", err)
		}
	}
	if s.stop != nil {
		s.stop()
	}
	s.next, s.stop = iter.Pull(s.company.Deliveries())
	s.done, s.held = 0, nil
	for s.done < p.Delivered {
		if _, ok := s.next(); !ok {
			break
		}
		s.done++
	}
	return nil
}

// Poll implements ingest.Source. It returns io.EOF behind the last record.
func (s *Source) Poll(ctx context.Context) (ingest.Batch, error) {
	if s.next == nil {
		return ingest.Batch{}, errors.New("poll before seek")
	}
	for len(s.held) < s.batch {
		d, ok := s.next()
		if !ok {
			break
		}
		s.held = append(s.held, d.Record)
	}
	if len(s.held) == 0 {
		return ingest.Batch{}, io.EOF
	}
	if s.pace != nil {
		if err := s.pace(ctx, s.held[len(s.held)-1].Observed); err != nil {
			return ingest.Batch{}, fmt.Errorf("pace simulation: %w", err)
		}
	} else if err := ctx.Err(); err != nil {
		return ingest.Batch{}, err
	}
	records := s.held
	s.held, s.done = nil, s.done+len(records)
	cursor, err := json.Marshal(position{s.done})
	if err != nil {
		return ingest.Batch{}, fmt.Errorf("encode cursor: %w", err)
	}
	return ingest.Batch{Records: records, Cursor: cursor}, nil
}

// Close implements ingest.Source.
func (s *Source) Close() error {
	if s.stop != nil {
		s.stop()
		s.next, s.stop = nil, nil
	}
	return nil
}
