package poll

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"time"
)

// maxSeen bounds the records that are remembered; each takes 12 bytes, so that a
// position stays well below the size of a Kafka message.
const maxSeen = 30_000

// seen remembers records by a digest of their bytes, for as long as they may be
// shown again.
type seen struct {
	// minutes is the event time of each digest, in minutes since 1970.
	minutes map[uint64]uint32
	newest  uint32
}

// add reports whether data is new, and remembers it.
func (s *seen) add(data []byte, at, now time.Time) bool {
	h := fnv.New64a()
	_, _ = h.Write(data) // never fails, by its documentation
	digest := h.Sum64()
	if _, ok := s.minutes[digest]; ok {
		return false
	}
	if s.minutes == nil {
		s.minutes = map[uint64]uint32{}
	}
	minute := s.newest
	if at.After(now) {
		at = now // a clock that is ahead must not make the rest look old
	}
	if !at.IsZero() {
		minute = uint32(max(0, at.Unix()/60)) //nolint:gosec // good until the year 10000
	}
	s.minutes[digest] = minute
	s.newest = max(s.newest, minute)
	return true
}

// forget drops what is older than overlap before the newest, and the oldest beyond
// the bound.
func (s *seen) forget(overlap time.Duration) {
	oldest := s.newest - min(s.newest, uint32(overlap/time.Minute)+1) //nolint:gosec // overlaps are hours
	for digest, minute := range s.minutes {
		if minute < oldest {
			delete(s.minutes, digest)
		}
	}
	if len(s.minutes) <= maxSeen {
		return
	}
	for _, e := range s.entries()[:len(s.minutes)-maxSeen] {
		delete(s.minutes, e.digest)
	}
}

type entry struct {
	digest uint64
	minute uint32
}

// entries returns all, the oldest first, in an order that is always the same.
func (s *seen) entries() []entry {
	out := make([]entry, 0, len(s.minutes))
	for digest, minute := range s.minutes {
		out = append(out, entry{digest, minute})
	}
	slices.SortFunc(out, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.minute, b.minute), cmp.Compare(a.digest, b.digest))
	})
	return out
}

// entrySize is that of an encoded entry.
const entrySize = 12

// IsZero reports whether nothing is remembered.
func (s seen) IsZero() bool { return len(s.minutes) == 0 }

// MarshalJSON writes one string.
func (s seen) MarshalJSON() ([]byte, error) {
	data := make([]byte, 0, entrySize*len(s.minutes))
	for _, e := range s.entries() {
		data = binary.BigEndian.AppendUint64(data, e.digest)
		data = binary.BigEndian.AppendUint32(data, e.minute)
	}
	return json.Marshal(base64.RawStdEncoding.EncodeToString(data))
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *seen) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	data, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(data)%entrySize != 0 {
		return fmt.Errorf("records seen: not in the form that is written")
	}
	*s = seen{minutes: make(map[uint64]uint32, len(data)/entrySize)}
	for ; len(data) > 0; data = data[entrySize:] {
		minute := binary.BigEndian.Uint32(data[8:])
		s.minutes[binary.BigEndian.Uint64(data)] = minute
		s.newest = max(s.newest, minute)
	}
	return nil
}
