package detect

import (
	"errors"
	"fmt"
	"time"

	"github.com/goccy/go-json"

	"stepdown/detect/alert"
	"stepdown/detect/ledger"
	"stepdown/ingest/event"
)

// The encoding of version 1 was JSON. It is read, and never written.
type historyV1 struct {
	Version int            `json:"v"`
	Offset  int64          `json:"offset"`
	Newest  time.Time      `json:"newest,omitzero"`
	Base    *ledger.Ledger `json:"base"`
	Window  []struct {
		Event *event.Event `json:"event"`
	} `json:"window,omitempty"`
	Remembered []uint64     `json:"remembered,omitempty"`
	Emissions  []emissionV1 `json:"emissions,omitempty"`
	Floor      uint64       `json:"floor,omitempty"`
}

type emissionV1 struct {
	ID       alert.ID     `json:"id"`
	Revision uint64       `json:"revision"`
	Floor    uint64       `json:"floor,omitempty"`
	Said     bool         `json:"said,omitempty"`
	Time     time.Time    `json:"time,omitzero"`
	Now      judgementV1  `json:"now"`
	Settled  bool         `json:"settled,omitempty"`
	Base     *judgementV1 `json:"base,omitempty"`
}

type judgementV1 struct {
	Hash      uint64       `json:"hash,omitempty"`
	ReadyAt   time.Time    `json:"ready_at,omitzero"`
	Withdrawn bool         `json:"withdrawn,omitempty"`
	Body      *alert.Alert `json:"body,omitempty"`
}

// isV1 reports whether data is JSON.
func isV1(data []byte) bool { return data[0] == '{' || data[0] == '[' }

func (j *judgementV1) upgrade() (judgement, error) {
	out := judgement{Hash: j.Hash, ReadyAt: j.ReadyAt, Withdrawn: j.Withdrawn}
	if j.Body == nil {
		return out, nil
	}
	body, _, err := encodeBody(j.Body)
	out.Body = body
	return out, err
}

// decodeV1 is decode for the first version.
func (h *history) decodeV1(key event.Key, data []byte) (time.Time, error) {
	var s historyV1
	if err := json.Unmarshal(data, &s); err != nil {
		return time.Time{}, fmt.Errorf("decode ledger: %w", err)
	}
	if s.Version != 1 {
		return time.Time{}, fmt.Errorf("decode ledger: version %d, this build reads up to %d", s.Version, stateVersion)
	}
	h.key, h.offset, h.floor = key, s.Offset, s.Floor
	if s.Base != nil {
		h.base = *s.Base
	}
	for _, w := range s.Window {
		if w.Event == nil {
			return time.Time{}, errors.New("decode ledger: a window entry without event")
		}
		w.Event.Key = key
		h.insert(newEntry(w.Event))
	}
	for _, hash := range s.Remembered[max(0, len(s.Remembered)-maxRemembered):] {
		h.remembered = append(h.remembered, uint32(hash))
	}
	for _, m := range s.Emissions {
		now, err := m.Now.upgrade()
		if err != nil {
			return time.Time{}, fmt.Errorf("decode ledger: %w", err)
		}
		n := emission{ID: m.ID, Revision: m.Revision, Floor: m.Floor, Said: m.Said, Time: m.Time, Now: now, Settled: m.Settled}
		if m.Base != nil {
			base, err := m.Base.upgrade()
			if err != nil {
				return time.Time{}, fmt.Errorf("decode ledger: %w", err)
			}
			n.Base = &base
		}
		h.emissions = append(h.emissions, n)
	}
	return s.Newest, nil
}
