package stream_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"stepdown/ingest/stream"
	"stepdown/ingest/stream/streamtest"
)

func BenchmarkPartitionOf(b *testing.B) {
	key := []byte("anna.schmidt@example.com")
	b.ReportAllocs()
	for b.Loop() {
		stream.PartitionOf(key, 48)
	}
}

// batch is n records of about 1 KB of 1000 identities.
func batch(topic string, n int) []stream.Message {
	messages := make([]stream.Message, n)
	for i := range messages {
		value := make([]byte, 1000)
		for j := range value {
			value[j] = "abcdefghijklmnopqrstuvwxyz012345"[(i*7+j*j)%32]
		}
		messages[i] = stream.Message{Topic: topic, Key: fmt.Appendf(nil, "user-%d@example.com", i%1000), Value: value}
	}
	return messages
}

func BenchmarkPublish1000(b *testing.B) {
	client := streamtest.Start(b)
	messages := batch(client.Topics().Events, 1000)
	b.ReportAllocs()
	b.SetBytes(1_000_000)
	for b.Loop() {
		if err := client.Publish(b.Context(), messages); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGroup measures fetch, handle and commit; a record is 1 KB.
func BenchmarkGroup(b *testing.B) {
	client := streamtest.Start(b)
	topic := client.Topics().Events
	const records = 100_000
	for range records / 1000 {
		if err := client.Publish(b.Context(), batch(topic, 1000)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	run := 0
	for b.Loop() {
		run++
		var n atomic.Int64
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() {
			done <- client.Group(stream.GroupConfig{ID: fmt.Sprintf("%s.group-%d", topic, run), Topic: topic}).Run(ctx,
				func(context.Context, stream.Assignment) (stream.Partition, error) { return tally{&n}, nil })
		}()
		for n.Load() < records {
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkReadToEnd(b *testing.B) {
	client := streamtest.Start(b)
	topic := client.Topics().Events
	for range 50 {
		if err := client.Publish(b.Context(), batch(topic, 1000)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	read := 0
	for b.Loop() {
		for partition := range client.Partitions() {
			if err := client.ReadToEnd(b.Context(), topic, partition, func(stream.Message) error { read++; return nil }); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "records/s")
}

type tally struct{ n *atomic.Int64 }

func (t tally) Handle(_ context.Context, batch []stream.Message) error {
	t.n.Add(int64(len(batch)))
	return nil
}
func (tally) Idle(context.Context, time.Duration) error { return nil }
func (tally) Close() error                              { return nil }
