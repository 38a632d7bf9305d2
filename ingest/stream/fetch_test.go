package stream

import (
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"pgregory.net/rapid"
)

// fakeLog answers fetches as a broker does after compaction: with whole
// batches, beginning with the one that spans the offset asked for, of which any
// records, the last and all included, may be gone.
type fakeLog struct {
	batches []fakeBatch
	// throttled makes every third answer empty.
	throttled bool
	answers   int
}

type fakeBatch struct {
	base, last int64
	control    bool
	offsets    []int64
	bytes      int
}

func (l *fakeLog) end() int64 { return l.batches[len(l.batches)-1].last + 1 }

func (l *fakeLog) RoundTrip(_ context.Context, _ net.Addr, request kafka.Request) (kafka.Response, error) {
	partition := request.(*fetch.Request).Topics[0].Partitions[0]
	stream := &protocol.RecordStream{}
	room := int(partition.PartitionMaxBytes)
	l.answers++
	for _, batch := range l.batches {
		if batch.last < partition.FetchOffset {
			continue
		}
		if l.throttled && l.answers%3 == 1 || len(stream.Records) > 0 && batch.bytes > room {
			break
		}
		room -= batch.bytes
		var records []protocol.Record
		for _, offset := range batch.offsets {
			records = append(records, protocol.Record{Offset: offset, Value: protocol.NewBytes(fmt.Appendf(nil, "%d", offset))})
		}
		reader := protocol.NewRecordReader(records...)
		if batch.control {
			stream.Records = append(stream.Records, &protocol.ControlBatch{BaseOffset: batch.base, Records: reader})
		} else {
			stream.Records = append(stream.Records, &protocol.RecordBatch{BaseOffset: batch.base, Records: reader})
		}
	}
	answer := fetch.ResponsePartition{HighWatermark: l.end()}
	if len(stream.Records) > 0 {
		answer.RecordSet.Records = stream
	}
	return &fetch.Response{Topics: []fetch.ResponseTopic{{Partitions: []fetch.ResponsePartition{answer}}}}, nil
}

func TestFetchReadsEveryRecordOnceAcrossHoles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := &fakeLog{throttled: rapid.Bool().Draw(t, "throttled")}
		var want []int64
		next := int64(0)
		for range rapid.IntRange(1, 8).Draw(t, "batches") {
			b := fakeBatch{base: next, last: next, control: rapid.IntRange(0, 9).Draw(t, "control") == 0}
			if !b.control {
				b.last += rapid.Int64Range(0, 20).Draw(t, "length")
				b.bytes = rapid.IntRange(1, 20<<20).Draw(t, "bytes")
				for offset := b.base; offset <= b.last; offset++ {
					if rapid.Bool().Draw(t, "kept") {
						b.offsets = append(b.offsets, offset)
						want = append(want, offset)
					}
				}
			}
			log.batches = append(log.batches, b)
			// A compaction can remove whole batches between two.
			next = b.last + 1 + rapid.Int64Range(0, 3).Draw(t, "gap")
		}

		config := DefaultConfig()
		c := &Client{config: config, api: &kafka.Client{Addr: kafka.TCP("broker.example.com:9092"), Transport: log}}
		var got []int64
		steps := 0
		for next := int64(0); next < log.end(); steps++ {
			f, err := c.fetch(context.Background(), "topic", 0, next, 1<<20, time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			if f.next < next {
				t.Fatalf("went back from %d to %d", next, f.next)
			}
			for _, m := range f.messages {
				if m.Offset < next || string(m.Value) != fmt.Sprint(m.Offset) {
					t.Fatalf("fetch at %d gave %d with %q", next, m.Offset, m.Value)
				}
				got = append(got, m.Offset)
			}
			next = f.next
			if steps > 2000 {
				t.Fatalf("stuck at %d of %d", next, log.end())
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}
