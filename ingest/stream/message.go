package stream

import "time"

// Message is one record of a topic.
type Message struct {
	Topic string
	// Partition and Offset say where the record is. Publish ignores them.
	Partition int
	Offset    int64
	// Key decides the partition; records of one key keep their order. A
	// record without a key may go to any.
	Key []byte
	// Value is nil in a tombstone, which deletes Key from a compacted topic.
	Value   []byte
	Headers []Header
	// Time is when the record was written. Publish sets it: retention counts
	// from it, so it must not be the time of the event.
	Time time.Time
}

// Header is one named value beside a record.
type Header struct {
	Key   string
	Value []byte
}

// size is a close upper bound of the bytes that m takes in a batch before
// compression.
func (m Message) size() int {
	n := 32 + len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += 8 + len(h.Key) + len(h.Value)
	}
	return n
}
