package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// ErrStop ends the reading when the function given to ReadToEnd or Scan returns
// it; the call returns nil.
var ErrStop = errors.New("stop reading")

const (
	// readFetchBytes is how much ReadToEnd and Scan ask for at a time.
	readFetchBytes = 4 << 20
	// readStall is how long a partition may bring nothing while it has more.
	readStall = time.Minute
)

// ReadToEnd calls fn with each record of a partition, from the first to the
// last that existed when ReadToEnd was called. Records that compaction removes
// meanwhile may be left out. It returns the first error of fn; ErrStop ends it
// without one. The bytes of a message belong to fn.
func (c *Client) ReadToEnd(ctx context.Context, topic string, partition int, fn func(Message) error) error {
	first, end, err := c.bounds(ctx, topic, partition)
	if err != nil {
		return err
	}
	return ignoreStop(c.readRange(ctx, topic, partition, first, end, fn))
}

// Span bounds a Scan by the time at which records were written.
type Span struct {
	// Since is the earliest time; zero is the beginning.
	Since time.Time
	// Until is the time to end before; zero is the end as of the call.
	Until time.Time
}

// Scan calls fn with the records of all partitions of a topic that were
// written within span, one partition after the other. It returns the first
// error of fn; ErrStop ends it without one.
func (c *Client) Scan(ctx context.Context, topic string, span Span, fn func(Message) error) error {
	n, err := c.partitions(ctx, topic)
	if err != nil {
		return fmt.Errorf("scan %s: %w", topic, err)
	}
	for partition := range n {
		if err := c.scanPartition(ctx, topic, partition, span, fn); err != nil {
			return ignoreStop(err)
		}
	}
	return nil
}

func (c *Client) scanPartition(ctx context.Context, topic string, partition int, span Span, fn func(Message) error) error {
	first, end, err := c.bounds(ctx, topic, partition)
	if err != nil {
		return err
	}
	if !span.Since.IsZero() {
		if first, err = c.offsetAt(ctx, topic, partition, span.Since, end); err != nil {
			return err
		}
	}
	if !span.Until.IsZero() {
		if end, err = c.offsetAt(ctx, topic, partition, span.Until, end); err != nil {
			return err
		}
	}
	return c.readRange(ctx, topic, partition, first, end, fn)
}

// readRange calls fn with the records at offsets from first up to, and not
// including, end. It ends when the next offset to fetch reaches end, and never
// waits for a particular record: compaction may have removed the last.
func (c *Client) readRange(ctx context.Context, topic string, partition int, first, end int64, fn func(Message) error) error {
	moved := time.Now()
	for next := first; next < end; {
		var f fetched
		err := c.retry(ctx, 3*c.config.RequestTimeout, func(ctx context.Context) error {
			var err error
			f, err = c.fetch(ctx, topic, partition, next, readFetchBytes, 500*time.Millisecond)
			return err
		})
		if errors.Is(err, kafka.OffsetOutOfRange) {
			// Retention or compaction moved the beginning past us.
			beginning, _, boundsErr := c.bounds(ctx, topic, partition)
			if boundsErr != nil {
				return boundsErr
			}
			if beginning > next {
				next = beginning
				continue
			}
		}
		if err != nil {
			return err
		}
		for _, message := range f.messages {
			if message.Offset >= end {
				return nil
			}
			if err := fn(message); err != nil {
				return err
			}
		}
		if f.next > next {
			next, moved = f.next, time.Now()
		} else if time.Since(moved) > readStall {
			return fmt.Errorf("read partition %d of %s: nothing came at %d of %d for %s", partition, topic, next, end, readStall)
		}
	}
	return nil
}

func ignoreStop(err error) error {
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}
