package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
)

// maxRequestBytes bounds one produce request; brokers refuse requests above
// 100 MiB.
const maxRequestBytes = 32 << 20

// Publish writes messages and returns nil when all in-sync replicas of each
// have it. Messages of one partition keep their order.
//
// A message above Config.MaxMessageBytes fails the call with a *TooLargeError
// before anything is written. Any other error may leave some messages
// written; publishing the same slice again is right, and may write them twice.
// Errors of the network and of moving leaders are retried for
// Config.PublishTimeout. ErrAuth, ErrNoTopic and ErrLayout are matched by
// errors.Is.
func (c *Client) Publish(ctx context.Context, messages []Message) error {
	turn := c.turn.Add(1)
	return c.publish(ctx, messages, func(m Message, n int) (int, error) {
		if m.Key == nil {
			return int(turn % uint32(n)), nil
		}
		return PartitionOf(m.Key, n), nil
	})
}

// PublishTo is Publish to the given partition of each message's topic. A key
// that belongs to another partition of a topic that is partitioned by key
// (events, alerts, state) is an ErrLayout.
func (c *Client) PublishTo(ctx context.Context, partition int, messages []Message) error {
	return c.publish(ctx, messages, func(m Message, n int) (int, error) {
		if partition < 0 || partition >= n {
			return 0, fmt.Errorf("%w: %s has no partition %d", ErrLayout, m.Topic, partition)
		}
		if right := PartitionOf(m.Key, n); c.keyed(m.Topic) && right != partition {
			return 0, fmt.Errorf("%w: the key of a record for partition %d of %s belongs to partition %d",
				ErrLayout, partition, m.Topic, right)
		}
		return partition, nil
	})
}

// keyed reports whether the partition count of topic is fixed.
func (c *Client) keyed(topic string) bool {
	t := c.config.Topics
	return topic == t.Events || topic == t.Alerts || topic == t.State
}

type topicPartition struct {
	topic     string
	partition int
}

// chunk is what goes into one record batch: messages by their index.
type chunk struct {
	indexes []int
	bytes   int
}

// chooser picks the partition of a message among n.
type chooser func(m Message, n int) (int, error)

func (c *Client) publish(ctx context.Context, messages []Message, choose chooser) error {
	if len(messages) == 0 {
		return nil
	}
	start := time.Now()
	err := c.publishAll(ctx, messages, choose)
	c.metrics.publishSeconds.Observe(time.Since(start).Seconds())
	if err != nil {
		c.metrics.publishErrors.WithLabelValues(publishReason(ctx, err)).Inc()
		return err
	}
	for topic, n := range countByTopic(messages) {
		c.metrics.published.WithLabelValues(topic).Add(float64(n))
	}
	return nil
}

func (c *Client) publishAll(ctx context.Context, messages []Message, choose chooser) error {
	if err := c.refuseLarge(messages); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.PublishTimeout)
	defer cancel()

	var queues map[topicPartition][]chunk
	attempts := 0
	err := c.retry(ctx, c.config.PublishTimeout, func(ctx context.Context) error {
		if attempts++; attempts > 1 {
			c.metrics.publishRetries.Inc()
		}
		layout, err := c.layoutFor(ctx, messages)
		if err == nil && queues == nil {
			queues, err = c.divide(messages, layout, choose)
		}
		for err == nil && len(queues) > 0 {
			err = c.sendHeads(ctx, messages, queues, layout)
		}
		return err
	})
	if err == nil || errors.Is(err, ErrTooLarge) {
		return err
	}
	return fmt.Errorf("publish %d records: %w", len(messages), err)
}

func (c *Client) refuseLarge(messages []Message) error {
	var large *TooLargeError
	for i := range messages {
		size := messages[i].size()
		if size <= c.config.MaxMessageBytes {
			continue
		}
		if large == nil {
			large = &TooLargeError{Topic: messages[i].Topic, Size: size, Limit: c.config.MaxMessageBytes}
		}
		large.Indexes = append(large.Indexes, i)
	}
	if large != nil {
		return large
	}
	return nil
}

// layoutFor is layout, checked for the topics of messages.
func (c *Client) layoutFor(ctx context.Context, messages []Message) (map[string][]int, error) {
	layout, err := c.layout(ctx)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		topic := messages[i].Topic
		if i > 0 && topic == messages[i-1].Topic {
			continue
		}
		n := len(layout[topic])
		switch {
		case n == 0:
			return nil, fmt.Errorf("%w: %s", ErrNoTopic, topic)
		case c.keyed(topic) && n != c.config.Partitions:
			return nil, fmt.Errorf("%w: %s has %d partitions, the configuration says %d", ErrLayout, topic, n, c.config.Partitions)
		}
	}
	return layout, nil
}

func (c *Client) divide(messages []Message, layout map[string][]int, choose chooser) (map[topicPartition][]chunk, error) {
	queues := make(map[topicPartition][]chunk)
	for i := range messages {
		partition, err := choose(messages[i], len(layout[messages[i].Topic]))
		if err != nil {
			return nil, err
		}
		key := topicPartition{messages[i].Topic, partition}
		queue, size := queues[key], messages[i].size()
		if n := len(queue); n == 0 || queue[n-1].bytes+size > c.config.MaxMessageBytes {
			queue = append(queue, chunk{})
		}
		tail := &queue[len(queue)-1]
		tail.indexes = append(tail.indexes, i)
		tail.bytes += size
		queues[key] = queue
	}
	return queues, nil
}

// sendHeads sends the first chunk of every queue, one request per leader, and
// takes what was acknowledged off the queues. It returns the worst error.
func (c *Client) sendHeads(ctx context.Context, messages []Message, queues map[topicPartition][]chunk, layout map[string][]int) error {
	type request struct {
		keys  []topicPartition
		bytes int
	}
	requests := make(map[int]*request)
	for key, queue := range queues {
		leader := layout[key.topic][key.partition]
		if leader < 0 {
			return fmt.Errorf("send to partition %d of %s: %w", key.partition, key.topic, kafka.LeaderNotAvailable)
		}
		r := requests[leader]
		if r == nil {
			r = &request{}
			requests[leader] = r
		}
		if r.bytes > 0 && r.bytes+queue[0].bytes > maxRequestBytes {
			continue
		}
		r.keys = append(r.keys, key)
		r.bytes += queue[0].bytes
	}

	var (
		wait   sync.WaitGroup
		mutex  sync.Mutex
		failed error
	)
	for _, r := range requests {
		wait.Go(func() {
			heads := make(map[topicPartition][]int, len(r.keys))
			mutex.Lock()
			for _, key := range r.keys {
				heads[key] = queues[key][0].indexes
			}
			mutex.Unlock()
			results, err := c.produce(ctx, messages, heads)

			mutex.Lock()
			defer mutex.Unlock()
			for key, code := range results {
				err = worse(err, settle(messages, queues, key, code))
			}
			failed = worse(failed, err)
		})
	}
	wait.Wait()
	return failed
}

// settle applies a broker's answer for the head of one queue.
func settle(messages []Message, queues map[topicPartition][]chunk, key topicPartition, code error) error {
	queue := queues[key]
	head := queue[0]
	switch {
	case code == nil:
		if len(queue) == 1 {
			delete(queues, key)
		} else {
			queues[key] = queue[1:]
		}
		return nil
	case errors.Is(code, kafka.MessageSizeTooLarge), errors.Is(code, kafka.RecordListTooLarge):
		if n := len(head.indexes); n > 1 {
			halves := []chunk{{indexes: head.indexes[:n/2]}, {indexes: head.indexes[n/2:]}}
			queues[key] = append(halves, queue[1:]...)
			return nil
		}
		i := head.indexes[0]
		return &TooLargeError{Topic: key.topic, Indexes: []int{i}, Size: messages[i].size()}
	}
	return fmt.Errorf("send to partition %d of %s: %w", key.partition, key.topic, explain(code))
}

// worse prefers the error that retrying cannot mend.
func worse(a, b error) error {
	if a == nil || (b != nil && !hopeless(a) && hopeless(b)) {
		return b
	}
	return a
}

// produce sends one request with one batch per partition and returns each
// partition's answer.
func (c *Client) produce(ctx context.Context, messages []Message, heads map[topicPartition][]int) (map[topicPartition]error, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.RequestTimeout)
	defer cancel()

	keys := make([]topicPartition, 0, len(heads))
	for key := range heads {
		keys = append(keys, key)
	}
	sort.Slice(keys, func(i, j int) bool {
		if keys[i].topic != keys[j].topic {
			return keys[i].topic < keys[j].topic
		}
		return keys[i].partition < keys[j].partition
	})
	request := &produce.Request{
		Acks:    int16(kafka.RequireAll),
		Timeout: int32(c.config.RequestTimeout / time.Millisecond),
	}
	now := time.Now()
	for _, key := range keys {
		if n := len(request.Topics); n == 0 || request.Topics[n-1].Topic != key.topic {
			request.Topics = append(request.Topics, produce.RequestTopic{Topic: key.topic})
		}
		topic := &request.Topics[len(request.Topics)-1]
		topic.Partitions = append(topic.Partitions, produce.RequestPartition{
			Partition: int32(key.partition),
			RecordSet: protocol.RecordSet{
				Attributes: protocol.Attributes(kafka.Snappy),
				Records:    &recordReader{messages: messages, indexes: heads[key], now: now},
			},
		})
	}

	answer, err := c.transport.RoundTrip(ctx, c.addr, request)
	if err != nil {
		return nil, explain(err)
	}
	response, ok := answer.(*produce.Response)
	if !ok {
		return nil, fmt.Errorf("send records: unexpected answer %T", answer)
	}
	results := make(map[topicPartition]error, len(heads))
	for _, topic := range response.Topics {
		for _, partition := range topic.Partitions {
			var code error
			if partition.ErrorCode != 0 {
				code = kafka.Error(partition.ErrorCode)
			}
			results[topicPartition{topic.Topic, int(partition.Partition)}] = code
		}
	}
	for _, key := range keys {
		if _, ok := results[key]; !ok {
			return nil, fmt.Errorf("send records: no answer for partition %d of %s", key.partition, key.topic)
		}
	}
	return results, nil
}

// recordReader presents messages to the library's encoder.
type recordReader struct {
	messages   []Message
	indexes    []int
	now        time.Time
	record     protocol.Record
	key, value bytesReader
	headers    []protocol.Header
}

func (r *recordReader) ReadRecord() (*protocol.Record, error) {
	if len(r.indexes) == 0 {
		return nil, io.EOF
	}
	m := &r.messages[r.indexes[0]]
	r.indexes = r.indexes[1:]
	r.headers = r.headers[:0]
	for _, h := range m.Headers {
		r.headers = append(r.headers, protocol.Header(h))
	}
	r.record = protocol.Record{Time: r.now, Headers: r.headers}
	if m.Key != nil {
		r.key.Reset(m.Key)
		r.record.Key = &r.key
	}
	if m.Value != nil {
		r.value.Reset(m.Value)
		r.record.Value = &r.value
	}
	return &r.record, nil
}

type bytesReader struct{ bytes.Reader }

func (*bytesReader) Close() error { return nil }

func countByTopic(messages []Message) map[string]int {
	counts := make(map[string]int)
	for i := range messages {
		counts[messages[i].Topic]++
	}
	return counts
}

// publishReason is the closed set of reasons of the metric.
func publishReason(ctx context.Context, err error) string {
	switch {
	case errors.Is(err, ErrTooLarge):
		return "too_large"
	case errors.Is(err, ErrAuth):
		return "auth"
	case errors.Is(err, ErrNoTopic):
		return "no_topic"
	case errors.Is(err, ErrLayout):
		return "layout"
	case ctx.Err() != nil:
		return "cancelled"
	}
	return "unavailable"
}
