package webhook

import (
	"context"
	"encoding/json"
	"errors"

	"stepdown/ingest"
)

// ErrNotDurable says that records were not durable in time; the sender repeats
// them.
var ErrNotDurable = errors.New("records are not durable yet")

// Queue hands what was pushed to a collector and tells the pusher when it is
// durable. It is an ingest.Source without a position: what it held when the process
// ended was not acknowledged.
type Queue struct {
	deliveries chan delivery
}

// delivery is what came in one request.
type delivery struct {
	// gaveUp is done when the sender has given up.
	gaveUp  <-chan struct{}
	records []ingest.Record
	durable chan struct{}
}

// queued bounds the requests that wait for the collector.
const queued = 256

// maxBatch bounds the records of a batch that is made of several requests.
const maxBatch = 1000

// NewQueue returns an empty queue.
func NewQueue() *Queue { return &Queue{deliveries: make(chan delivery, queued)} }

// Put returns nil once the records are durable, ErrNotDurable when ctx ends before.
// What no batch holds then is dropped; the rest may become durable after that: the
// sender repeats them, and the repetition has the same ids.
func (q *Queue) Put(ctx context.Context, records []ingest.Record) error {
	d := delivery{gaveUp: ctx.Done(), records: records, durable: make(chan struct{})}
	select {
	case q.deliveries <- d:
	case <-ctx.Done():
		return ErrNotDurable
	}
	select {
	case <-d.durable:
		return nil
	case <-ctx.Done():
		return ErrNotDurable
	}
}

// Seek implements ingest.Source: there is no position.
func (q *Queue) Seek(json.RawMessage) error { return nil }

// Poll implements ingest.Source: it waits for a request and takes those beside it. It
// passes over those that their senders have given up.
func (q *Queue) Poll(ctx context.Context) (ingest.Batch, error) {
	var taken []delivery
	var batch ingest.Batch
	take := func(d delivery) {
		select {
		case <-d.gaveUp:
			return
		default:
		}
		taken = append(taken, d)
		batch.Records = append(batch.Records, d.records...)
	}
	for len(taken) == 0 {
		select {
		case d := <-q.deliveries:
			take(d)
		case <-ctx.Done():
			return ingest.Batch{}, ctx.Err()
		}
	}
	for len(batch.Records) < maxBatch {
		select {
		case d := <-q.deliveries:
			take(d)
			continue
		default:
		}
		break
	}
	batch.Durable = func(context.Context) {
		for _, d := range taken {
			close(d.durable)
		}
	}
	return batch, nil
}

// Close implements ingest.Source.
func (q *Queue) Close() error { return nil }
