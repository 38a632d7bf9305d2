package detect

import (
	"time"

	"stepdown/ingest/event"
)

// KeepDecoded makes s keep n histories decoded at a time.
func KeepDecoded(s *Shard, n int) { s.maxHot = n }

// CoreSize returns how much of a state is not about findings.
func CoreSize(key event.Key, data []byte) (int, error) {
	h := history{tools: newTools()}
	h.empty()
	if _, err := h.decode(key, data); err != nil {
		return 0, err
	}
	h.emissions = nil
	h.encode(time.Time{}, time.Time{})
	return len(h.writer.Bytes()), nil
}
