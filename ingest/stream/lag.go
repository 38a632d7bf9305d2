package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// Lag returns how many records of topic the consumer group has not committed,
// over all partitions, as of the call. A partition without a commit counts in
// full.
func (c *Client) Lag(ctx context.Context, group, topic string) (int64, error) {
	n, err := c.partitions(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("lag of %s: %w", group, err)
	}
	// A coordinator that has just started, or moved, has to load the commits.
	var committed []int64
	err = c.retry(ctx, 3*c.config.RequestTimeout, func(ctx context.Context) error {
		committed, err = c.commits(ctx, group, topic, n)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("lag of %s: %w", group, err)
	}
	var lag int64
	for partition, offset := range committed {
		first, end, err := c.bounds(ctx, topic, partition)
		if err != nil {
			return 0, fmt.Errorf("lag of %s: %w", group, err)
		}
		lag += max(0, end-max(first, offset))
	}
	return lag, nil
}

// commits returns what a group has committed for the n partitions of a topic:
// the offset to read next, -1 where there is no commit.
func (c *Client) commits(ctx context.Context, group, topic string, n int) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.RequestTimeout)
	defer cancel()
	partitions := make([]int, n)
	for i := range partitions {
		partitions[i] = i
	}
	response, err := c.api.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: partitions}})
	if err == nil {
		err = response.Error
	}
	offsets := make([]int64, n)
	for i := range offsets {
		offsets[i] = -1
	}
	if errors.Is(err, kafka.GroupIdNotFound) {
		// Kafka answers for a group that never was with no commits, other
		// brokers with this.
		return offsets, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read commits: %w", explain(err))
	}
	for _, p := range response.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("read commit of partition %d: %w", p.Partition, explain(p.Error))
		}
		offsets[p.Partition] = p.CommittedOffset
	}
	return offsets, nil
}
