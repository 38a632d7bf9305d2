package app

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"stepdown/cmd/internal/config"
	"stepdown/ingest"
	"stepdown/ingest/file"
	"stepdown/ingest/stream"
)

// TopicStream names the one stream of an input that is a Kafka topic.
const TopicStream = "topic"

// topicSource reads a provider's records from a Kafka topic. Its position is kept
// with the other inputs', not in a consumer group: the topic may be another's.
type topicSource struct {
	cfg    config.Topic
	rt     ingest.Runtime
	client *stream.Client
	tail   *stream.Tail
}

// openTopic returns the source of a topic. It opens no connection.
func openTopic(cfg config.Topic, own stream.Config, rt ingest.Runtime) (*topicSource, error) {
	client, err := stream.NewForTopic(cfg.Kafka(own), cfg.Topic, rt.Log)
	if err != nil {
		return nil, err
	}
	return &topicSource{cfg: cfg, rt: rt, client: client}, nil
}

// Seek implements ingest.Source; the cursor is the offsets by partition.
func (s *topicSource) Seek(cursor json.RawMessage) error {
	var positions map[int]int64
	if cursor != nil {
		if err := json.Unmarshal(cursor, &positions); err != nil {
			return fmt.Errorf("read saved position: %w", err)
		}
	}
	var since time.Time
	switch {
	case !s.rt.Since.IsZero():
		since = s.rt.Since
	case s.cfg.Since > 0:
		since = s.rt.Now().Add(-s.cfg.Since)
	}
	s.tail = s.client.Tail(s.cfg.Topic, positions, since)
	return nil
}

// Poll implements ingest.Source.
func (s *topicSource) Poll(ctx context.Context) (ingest.Batch, error) {
	for {
		messages, err := s.tail.Next(ctx)
		if err != nil {
			return ingest.Batch{}, err
		}
		var batch ingest.Batch
		if n := s.tail.Deleted(); n > 0 {
			batch.Lost = &ingest.Loss{Detail: fmt.Sprintf("%d records of %s were deleted before they were read", n, s.cfg.Topic)}
		}
		if len(messages) == 0 && batch.Lost == nil {
			continue
		}
		for i := range messages {
			m := &messages[i]
			like := ingest.Record{Source: s.cfg.Source, Tenant: s.cfg.Tenant, Stream: s.cfg.Stream,
				Origin: m.Topic + "/" + strconv.Itoa(m.Partition) + "@" + strconv.FormatInt(m.Offset, 10)}
			batch.Records = append(batch.Records, file.Split(m.Value, like)...)
		}
		if batch.Cursor, err = json.Marshal(s.tail.Positions()); err != nil {
			return ingest.Batch{}, fmt.Errorf("encode position: %w", err)
		}
		return batch, nil
	}
}

// Close implements ingest.Source.
func (s *topicSource) Close() error { return s.client.Close() }
