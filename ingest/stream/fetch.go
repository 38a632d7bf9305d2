package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// wideFetchBytes is asked for once where a fetch brought only records that
// were read before; see fetch.
const wideFetchBytes = 16 << 20

// fetched is one answer to a fetch.
type fetched struct {
	messages []Message
	// next is the offset to fetch from after messages.
	next int64
	// end is the offset after the last record of the partition.
	end int64
}

// fetch reads records of a partition from offset on, waiting up to wait for
// the first. An offset that the partition does not have is
// kafka.OffsetOutOfRange.
//
// Compaction leaves holes. A broker answers with the batch that spans the
// offset asked for, and where all that is left of that batch lies before the
// offset, or nothing is, the library does not tell where the batch ended. Then
// more bytes are asked for, so that the next batch comes along; where the
// answer still has batches and no record to use, the offset itself is a hole,
// and the next fetch is one further. An answer without any batch (a throttled
// fetch, a partition at its end) never moves the offset.
func (c *Client) fetch(ctx context.Context, topic string, partition int, offset int64, maxBytes int, wait time.Duration) (fetched, error) {
	f, hole, err := c.fetchOnce(ctx, topic, partition, offset, maxBytes, wait)
	if err == nil && hole && maxBytes < wideFetchBytes {
		f, hole, err = c.fetchOnce(ctx, topic, partition, offset, wideFetchBytes, wait)
	}
	if err != nil {
		return fetched{}, err
	}
	if hole {
		f.next = offset + 1
	}
	return f, nil
}

func (c *Client) fetchOnce(ctx context.Context, topic string, partition int, offset int64, maxBytes int, wait time.Duration) (f fetched, hole bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.RequestTimeout+wait)
	defer cancel()
	response, err := c.api.Fetch(ctx, &kafka.FetchRequest{
		Topic:     topic,
		Partition: partition,
		Offset:    offset,
		MinBytes:  1,
		MaxBytes:  int64(maxBytes),
		MaxWait:   wait,
	})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		return fetched{}, false, fmt.Errorf("fetch partition %d of %s at %d: %w", partition, topic, offset, explain(err))
	}
	f = fetched{next: offset, end: response.HighWatermark}
	stream, ok := response.Records.(*protocol.RecordStream)
	if !ok || len(stream.Records) == 0 {
		return f, false, nil
	}
	for _, batch := range stream.Records {
		if err := f.add(batch, topic, partition, offset); err != nil {
			return fetched{}, false, fmt.Errorf("read partition %d of %s at %d: %w", partition, topic, offset, err)
		}
	}
	return f, f.next == offset, nil
}

// add appends the records of batch from offset on.
func (f *fetched) add(batch protocol.RecordReader, topic string, partition int, offset int64) error {
	if control, ok := batch.(*protocol.ControlBatch); ok {
		f.next = max(f.next, control.BaseOffset+1)
		return nil
	}
	empty := true
	for {
		record, err := batch.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		empty = false
		f.next = max(f.next, record.Offset+1)
		message := Message{Topic: topic, Partition: partition, Offset: record.Offset, Time: record.Time}
		if message.Key, err = readBytes(record.Key); err != nil {
			return err
		}
		if message.Value, err = readBytes(record.Value); err != nil {
			return err
		}
		if record.Offset < offset {
			continue
		}
		for _, h := range record.Headers {
			message.Headers = append(message.Headers, Header(h))
		}
		f.messages = append(f.messages, message)
	}
	if records, ok := batch.(*protocol.RecordBatch); ok && empty {
		f.next = max(f.next, records.BaseOffset+1)
	}
	return nil
}

// readBytes copies b, which refers to a buffer of the library, and releases it.
func readBytes(b protocol.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	data, err := protocol.ReadAll(b)
	if closeErr := b.Close(); err == nil {
		err = closeErr
	}
	if data == nil {
		data = []byte{}
	}
	return data, err
}

// bounds returns the first offset of a partition and the one after its last.
func (c *Client) bounds(ctx context.Context, topic string, partition int) (first, end int64, err error) {
	offsets, err := c.offsets(ctx, topic, partition, kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition))
	return offsets.FirstOffset, offsets.LastOffset, err
}

// offsetAt returns the offset of the first record written at or after t, or
// end where there is none.
func (c *Client) offsetAt(ctx context.Context, topic string, partition int, t time.Time, end int64) (int64, error) {
	offsets, err := c.offsets(ctx, topic, partition, kafka.TimeOffsetOf(partition, t))
	if err != nil {
		return 0, err
	}
	for offset := range offsets.Offsets {
		if offset >= 0 {
			return offset, nil
		}
	}
	return end, nil
}

func (c *Client) offsets(ctx context.Context, topic string, partition int, requests ...kafka.OffsetRequest) (kafka.PartitionOffsets, error) {
	var offsets kafka.PartitionOffsets
	err := c.retry(ctx, 3*c.config.RequestTimeout, func(ctx context.Context) error {
		layout, err := c.layout(ctx)
		if err != nil {
			return err
		}
		switch n := len(layout[topic]); {
		case n == 0:
			return fmt.Errorf("%w: %s", ErrNoTopic, topic)
		case partition < 0 || partition >= n:
			return fmt.Errorf("%w: %s has no partition %d", ErrLayout, topic, partition)
		}
		ctx, cancel := context.WithTimeout(ctx, c.config.RequestTimeout)
		defer cancel()
		response, err := c.api.ListOffsets(ctx, &kafka.ListOffsetsRequest{
			Topics: map[string][]kafka.OffsetRequest{topic: requests},
		})
		if err != nil {
			return explain(err)
		}
		answers := response.Topics[topic]
		if len(answers) != 1 {
			return fmt.Errorf("%d answers for one partition", len(answers))
		}
		offsets = answers[0]
		return explain(offsets.Error)
	})
	if err != nil {
		return kafka.PartitionOffsets{}, fmt.Errorf("list offsets of partition %d of %s: %w", partition, topic, err)
	}
	return offsets, nil
}
