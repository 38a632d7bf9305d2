package stream

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// Rewind makes a group read a topic again, from the earliest record that is
// kept. The group must have no members: brokers refuse it otherwise, and Rewind
// waits as long as a member that died may be taken for alive.
func (c *Client) Rewind(ctx context.Context, group, topic string) error {
	n, err := c.partitions(ctx, topic)
	if err != nil {
		return fmt.Errorf("rewind %s: %w", group, err)
	}
	commits := make([]kafka.OffsetCommit, n)
	for partition := range commits {
		first, _, err := c.bounds(ctx, topic, partition)
		if err != nil {
			return fmt.Errorf("rewind %s: %w", group, err)
		}
		commits[partition] = kafka.OffsetCommit{Partition: partition, Offset: first}
	}
	err = c.retry(ctx, c.config.SessionTimeout+c.config.RequestTimeout, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, c.config.RequestTimeout)
		defer cancel()
		// A commit from outside the group has no generation.
		response, err := c.api.OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: group, GenerationID: -1,
			Topics: map[string][]kafka.OffsetCommit{topic: commits}})
		if err != nil {
			return explain(err)
		}
		for _, p := range response.Topics[topic] {
			if p.Error != nil {
				return fmt.Errorf("partition %d: %w", p.Partition, explain(p.Error))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("rewind %s: %w", group, err)
	}
	return nil
}
