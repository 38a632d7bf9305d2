package stream

import (
	"context"
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
	partitions := make([]int, n)
	for i := range partitions {
		partitions[i] = i
	}
	response, err := c.api.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: partitions}})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		return 0, fmt.Errorf("lag of %s: %w", group, explain(err))
	}
	var lag int64
	for _, p := range response.Topics[topic] {
		if p.Error != nil {
			return 0, fmt.Errorf("lag of %s: partition %d: %w", group, p.Partition, explain(p.Error))
		}
		first, end, err := c.bounds(ctx, topic, p.Partition)
		if err != nil {
			return 0, err
		}
		lag += max(0, end-max(first, p.CommittedOffset))
	}
	return lag, nil
}
