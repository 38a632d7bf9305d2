package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/segmentio/kafka-go"
)

// Tail reads all partitions of a topic for a caller that keeps the positions
// itself: another's topic, with whose consumer groups it has nothing to do. One
// goroutine uses it.
type Tail struct {
	client *Client
	topic  string
	// since is where a partition without a position begins; zero is its beginning.
	since time.Time
	next  map[int]int64
	// deleted counts the records that were gone before they were read.
	deleted int64
	// turn is the partition to ask first, so that a full one starves no other.
	turn int
	// listed is when the partitions were counted last.
	listed time.Time
	n      int
}

const (
	// tailFetchBytes is how much is asked for of one partition at a time.
	tailFetchBytes = 1 << 20
	// tailWait is how long a broker holds a fetch that finds nothing; the library
	// takes 0 for ten seconds.
	tailWait = time.Millisecond
	// tailPause is the wait where no partition has anything.
	tailPause = 250 * time.Millisecond
	// tailList is how often the partitions are counted again.
	tailList = time.Minute
)

// Tail returns a reader of topic at the given offsets by partition; partitions
// that are not among them begin with what was written at since.
func (c *Client) Tail(topic string, positions map[int]int64, since time.Time) *Tail {
	next := maps.Clone(positions)
	if next == nil {
		next = map[int]int64{}
	}
	return &Tail{client: c, topic: topic, since: since, next: next}
}

// Positions are the offsets after what Next returned, by partition.
func (t *Tail) Positions() map[int]int64 { return maps.Clone(t.next) }

// Deleted returns how many records were deleted before they were read, since it
// was called last.
func (t *Tail) Deleted() int64 {
	n := t.deleted
	t.deleted = 0
	return n
}

// Next returns the next records of one partition, and none after a while without
// any. Records that were deleted before they were read are skipped and logged, and
// counted by Deleted.
func (t *Tail) Next(ctx context.Context) ([]Message, error) {
	if t.n == 0 || time.Since(t.listed) > tailList {
		n, err := t.client.partitions(ctx, t.topic)
		if err != nil {
			return nil, err
		}
		t.n, t.listed = n, time.Now()
	}
	for range t.n {
		partition := t.turn % t.n
		t.turn++
		messages, err := t.read(ctx, partition)
		if err != nil || len(messages) > 0 {
			return messages, err
		}
	}
	timer := time.NewTimer(tailPause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, nil
	}
}

func (t *Tail) read(ctx context.Context, partition int) ([]Message, error) {
	at, ok := t.next[partition]
	if !ok {
		first, end, err := t.client.bounds(ctx, t.topic, partition)
		if err != nil {
			return nil, err
		}
		if !t.since.IsZero() {
			if first, err = t.client.offsetAt(ctx, t.topic, partition, t.since, end); err != nil {
				return nil, err
			}
		}
		t.next[partition], at = first, first
	}
	f, err := t.client.fetch(ctx, t.topic, partition, at, tailFetchBytes, tailWait)
	if errors.Is(err, kafka.OffsetOutOfRange) {
		first, end, errBounds := t.client.bounds(ctx, t.topic, partition)
		switch {
		case errBounds != nil:
			return nil, errBounds
		case at < first:
			t.client.log.Error("records were deleted before they were read", "topic", t.topic, "partition", partition, "offset", at, "first", first)
			t.deleted += first - at
			t.next[partition] = first
		case at > end:
			t.client.log.Error("partition is shorter than the position in it, reading it again", "topic", t.topic, "partition", partition, "offset", at, "end", end)
			t.next[partition] = first
		}
		return nil, nil
	}
	if err != nil {
		t.client.forget()
		return nil, fmt.Errorf("read %s: %w", t.topic, err)
	}
	t.next[partition] = f.next
	return f.messages, nil
}
