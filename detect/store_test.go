package detect

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"stepdown/ingest/event"
)

// TestStore holds a store to a map: records of all sizes, that grow, shrink and are
// forgotten.
func TestStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, want := newStore(), map[event.Key][]byte{}
		for i := range rapid.IntRange(1, 200).Draw(t, "steps") {
			key := event.Key(fmt.Sprintf("person%d@example.com", rapid.IntRange(0, 20).Draw(t, "person")))
			size := rapid.OneOf(rapid.Just(0), rapid.IntRange(1, 600), rapid.IntRange(1, 20_000)).Draw(t, "size")
			record := bytes.Repeat([]byte{byte(i)}, size)
			s.put(s.number(key, rapid.IntRange(0, 10_000).Draw(t, "expected")), key, record)
			if delete(want, key); size > 0 {
				want[key] = record
			}
		}
		total := 0
		for key, record := range want {
			n, ok := s.find(key)
			if !ok {
				t.Fatalf("%s is not known", key)
			}
			gotKey, got := s.slot(n)
			if string(gotKey) != string(key) || !bytes.Equal(got, record) {
				t.Fatalf("%s: %d bytes of %q, want %d", key, len(got), gotKey, len(record))
			}
			total += len(record)
		}
		if s.live != len(want) || s.bytes != int64(total) {
			t.Fatalf("%d identities of %d bytes, want %d of %d", s.live, s.bytes, len(want), total)
		}
	})
}
