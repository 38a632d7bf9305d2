package detect

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/goccy/go-json"

	"stepdown/detect/alert"
	"stepdown/detect/ledger"
	"stepdown/ingest/event"
)

// stateVersion is the version of an encoded history.
const stateVersion = 1

// maxRemembered caps the ids of final events that are kept to know a redelivery.
const maxRemembered = 256

// entry is one event of the window, without its raw bytes.
type entry struct {
	Event  event.Event `json:"event"`
	Digest uint64      `json:"digest"`
}

func (e *entry) before(o *entry) bool {
	if c := e.Event.Time.Compare(o.Event.Time); c != 0 {
		return c < 0
	}
	return cmp.Compare(e.identity(), o.identity()) < 0
}

// identity orders events of the same time and finds an event again.
func (e *entry) identity() string {
	return string(e.Event.Source) + "\x00" + e.Event.Tenant + "\x00" + e.Event.ID
}

func (e *entry) hash() uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(e.identity()))
	return h.Sum64()
}

// emission is what was or will be said about one finding.
type emission struct {
	ID alert.ID `json:"id"`
	// Revision is 0 while the finding waits to settle.
	Revision uint64    `json:"revision"`
	Hash     uint64    `json:"hash"`
	Time     time.Time `json:"time"`
	ReadyAt  time.Time `json:"ready_at,omitzero"`
	// Withdrawn: the last revision said so.
	Withdrawn bool `json:"withdrawn,omitempty"`
	// Body is the alert as last judged; nil when the finding is final.
	Body *alert.Alert `json:"body,omitempty"`
}

// history is everything that is kept of one identity.
type history struct {
	base   *ledger.Ledger
	window []entry
	head   *ledger.Ledger
	// remembered are hashes of the ids of events that left the window.
	remembered []uint64
	emissions  []emission
	// offset of the last event of the partition that was applied, -1 for none.
	offset int64
	dirty  bool
}

func newHistory() *history {
	return &history{base: &ledger.Ledger{}, head: &ledger.Ledger{}, offset: -1}
}

// storedHistory is the encoding of a history. Head is not stored: it is the fold
// of the rest.
type storedHistory struct {
	Version    int            `json:"v"`
	Offset     int64          `json:"offset"`
	Base       *ledger.Ledger `json:"base"`
	Window     []entry        `json:"window,omitempty"`
	Remembered []uint64       `json:"remembered,omitempty"`
	Emissions  []emission     `json:"emissions,omitempty"`
}

func (h *history) encode() ([]byte, error) {
	b, err := json.MarshalWithOption(storedHistory{Version: stateVersion, Offset: h.offset, Base: h.base,
		Window: h.window, Remembered: h.remembered, Emissions: h.emissions}, json.DisableHTMLEscape())
	if err != nil {
		return nil, fmt.Errorf("encode ledger: %w", err)
	}
	return b, nil
}

func decodeHistory(data []byte) (*history, error) {
	var s storedHistory
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("decode ledger: %w", err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("decode ledger: version %d, this build reads %d", s.Version, stateVersion)
	}
	if s.Base == nil {
		s.Base = &ledger.Ledger{}
	}
	return &history{base: s.Base, window: s.Window, remembered: s.Remembered, emissions: s.Emissions, offset: s.Offset}, nil
}

// find returns the index of the event in the window, -1 when it is not there.
func (h *history) find(n *entry) int {
	return slices.IndexFunc(h.window, func(e entry) bool {
		return e.Event.ID == n.Event.ID && e.Event.Source == n.Event.Source && e.Event.Tenant == n.Event.Tenant
	})
}

// insert puts n where it belongs and returns whether it is now the last.
func (h *history) insert(n entry) bool {
	i := len(h.window)
	for i > 0 && n.before(&h.window[i-1]) {
		i--
	}
	h.window = slices.Insert(h.window, i, n)
	return i == len(h.window)-1
}

func (h *history) remember(e *entry) {
	if len(h.remembered) == maxRemembered {
		h.remembered = slices.Delete(h.remembered, 0, 1)
	}
	h.remembered = append(h.remembered, e.hash())
}

func (h *history) emission(id alert.ID) *emission {
	i := slices.IndexFunc(h.emissions, func(m emission) bool { return m.ID == id })
	if i < 0 {
		return nil
	}
	return &h.emissions[i]
}

// hashBody is a hash of what an alert says, without revision and without when
// records were read or the alert was handed on.
func hashBody(a *alert.Alert) (uint64, error) {
	c := *a
	c.Revision, c.Observed, c.Emitted = 0, time.Time{}, time.Time{}
	b, err := alert.Encode(&c)
	if err != nil {
		return 0, err
	}
	h := fnv.New64a()
	_, _ = h.Write(b)
	return h.Sum64(), nil
}
