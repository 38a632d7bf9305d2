package detect

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/goccy/go-json"

	"stepdown/detect/alert"
	"stepdown/detect/ledger"
	"stepdown/detect/rule"
	"stepdown/ingest/event"
)

// stateVersion is the version of an encoded history.
const stateVersion = 1

// Bounds of one history. With those of ledger they keep an encoded history below
// the million bytes that a Kafka message may have.
const (
	// maxRemembered caps the ids of final events that are kept to know a redelivery.
	maxRemembered = 256
	// maxWindowBytes caps the events of a window, by the estimate of trim.
	maxWindowBytes = 256 << 10
	// maxBodyBytes caps the encoded alerts that are kept to amend or withdraw them.
	maxBodyBytes = 192 << 10
	// maxEmissions caps what is known of alerts that were handed on.
	maxEmissions = 256
)

// entry is one event of the window, trimmed.
type entry struct {
	event event.Event
	// hash is of the event's source, tenant and id, size what trim estimates.
	hash uint64
	size int
	// quiet: when it was last folded, no rule had anything to say.
	quiet bool
}

func newEntry(e *event.Event) *entry {
	n := &entry{event: *e}
	n.size = trim(&n.event)
	n.hash = hashOf(&n.event)
	return n
}

// hashOf is FNV-1a over what makes an event unique.
func hashOf(e *event.Event) uint64 {
	h := uint64(14695981039346656037)
	for _, s := range [...]string{string(e.Source), e.Tenant, e.ID} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211
	}
	return h
}

// before orders events by time, and by what makes them unique among equals.
func (n *entry) before(o *entry) bool {
	return cmp.Or(n.event.Time.Compare(o.event.Time), cmp.Compare(n.event.Source, o.event.Source),
		cmp.Compare(n.event.Tenant, o.event.Tenant), cmp.Compare(n.event.ID, o.event.ID)) < 0
}

// says reports whether o says the same as n.
func (n *entry) says(o *entry) bool {
	a, b := n.event, o.event
	a.Observed, a.Ingested, b.Observed, b.Ingested = a.Time, a.Time, b.Time, b.Time
	x, err := event.Encode(nil, &a)
	if err != nil {
		return false // cannot be: it was decoded, or trimmed
	}
	y, err := event.Encode(nil, &b)
	return err == nil && bytes.Equal(x, y)
}

// judgement is what a ledger says of one finding: that it stands, in these words,
// or nothing.
type judgement struct {
	Hash uint64 `json:"hash,omitempty"`
	// ReadyAt is when it may be handed on; zero for at once.
	ReadyAt time.Time `json:"ready_at,omitzero"`
	// Withdrawn: it does not stand, or not yet.
	Withdrawn bool `json:"withdrawn,omitempty"`
	// Body is the alert; of a withdrawn one as it was before. It is nil when the
	// finding is final, and when there never was one.
	Body *alert.Alert `json:"body,omitempty"`
	// Size is what Body takes in an encoded history.
	Size int `json:"size,omitempty"`
}

// finding is a judgement of the present fold.
type finding struct {
	id alert.ID
	judgement
}

func (j *judgement) same(o *judgement) bool {
	return j.Withdrawn == o.Withdrawn && (j.Withdrawn || j.Hash == o.Hash)
}

// emission is what was and may still be said about one finding.
type emission struct {
	ID alert.ID `json:"id"`
	// Revision counts the judgements, handed on or not: it is a function of the
	// identity's events alone. So a repeat after a crash gives the same content the
	// same number, however far the shard's clock is.
	Revision uint64 `json:"revision"`
	// Floor is where Revision began.
	Floor uint64 `json:"floor,omitempty"`
	// Said: a revision was handed on.
	Said bool `json:"said,omitempty"`
	// Time is the event time of the finding.
	Time time.Time `json:"time,omitzero"`
	// Now is what head says.
	Now judgement `json:"now"`
	// Settled: base says what Now says. Otherwise Base is what base says.
	Settled bool       `json:"settled,omitempty"`
	Base    *judgement `json:"base,omitempty"`
}

// history is everything that is kept of one identity.
type history struct {
	base   *ledger.Ledger
	window []*entry
	// bytes is the sum of the sizes in window.
	bytes int
	// head is nil until the first event after a restore, and set are the rules
	// that it was folded with.
	head *ledger.Ledger
	set  *rule.Set
	// remembered are hashes of the ids of events that left the window.
	remembered []uint64
	emissions  []emission
	// floor is the highest revision of an alert that emissions no longer knows.
	floor uint64
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
	Newest     time.Time      `json:"newest,omitzero"` // event of the partition
	Base       *ledger.Ledger `json:"base"`
	Window     []storedEntry  `json:"window,omitempty"`
	Remembered []uint64       `json:"remembered,omitempty"`
	Emissions  []emission     `json:"emissions,omitempty"`
	Floor      uint64         `json:"floor,omitempty"`
}

type storedEntry struct {
	Event *event.Event `json:"event"`
}

// encode also keeps the time of the newest event of the partition.
func (h *history) encode(newest time.Time) ([]byte, error) {
	s := storedHistory{Version: stateVersion, Offset: h.offset, Newest: newest, Base: h.base,
		Remembered: h.remembered, Emissions: h.emissions, Floor: h.floor}
	for _, n := range h.window {
		s.Window = append(s.Window, storedEntry{Event: &n.event})
	}
	b, err := json.MarshalWithOption(s, json.DisableHTMLEscape())
	if err != nil {
		return nil, fmt.Errorf("encode ledger: %w", err)
	}
	return b, nil
}

func decodeHistory(data []byte) (*history, time.Time, error) {
	var s storedHistory
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, time.Time{}, fmt.Errorf("decode ledger: %w", err)
	}
	if s.Version != stateVersion {
		return nil, time.Time{}, fmt.Errorf("decode ledger: version %d, this build reads %d", s.Version, stateVersion)
	}
	if s.Base == nil {
		s.Base = &ledger.Ledger{}
	}
	h := &history{base: s.Base, remembered: s.Remembered, emissions: s.Emissions, floor: s.Floor, offset: s.Offset}
	for _, w := range s.Window {
		if w.Event == nil {
			return nil, time.Time{}, errors.New("decode ledger: a window entry without event")
		}
		n := newEntry(w.Event)
		h.window = append(h.window, n)
		h.bytes += n.size
	}
	return h, s.Newest, nil
}

// last is the time of the newest event.
func (h *history) last() time.Time {
	if n := len(h.window); n > 0 && h.window[n-1].event.Time.After(h.base.Last) {
		return h.window[n-1].event.Time
	}
	return h.base.Last
}

// find returns the index of the same record in the window, -1 when it is not
// there.
func (h *history) find(n *entry) int {
	return slices.IndexFunc(h.window, func(o *entry) bool {
		return o.hash == n.hash && o.event.ID == n.event.ID && o.event.Source == n.event.Source && o.event.Tenant == n.event.Tenant
	})
}

// insert puts n where it belongs and returns whether it is now the last.
func (h *history) insert(n *entry) bool {
	i := len(h.window)
	for i > 0 && n.before(h.window[i-1]) {
		i--
	}
	h.window = slices.Insert(h.window, i, n)
	h.bytes += n.size
	return i == len(h.window)-1
}

// remove takes the i-th entry out of the window.
func (h *history) remove(i int) {
	h.bytes -= h.window[i].size
	h.window = slices.Delete(h.window, i, i+1)
}

func (h *history) remember(n *entry) {
	if len(h.remembered) == maxRemembered {
		h.remembered = slices.Delete(h.remembered, 0, 1)
	}
	h.remembered = append(h.remembered, n.hash)
}

// emission returns what is known of the alert, nil for nothing; with begin it
// begins.
func (h *history) emission(id alert.ID, begin bool) *emission {
	i := slices.IndexFunc(h.emissions, func(m emission) bool { return m.ID == id })
	if i < 0 && !begin {
		return nil
	}
	if i < 0 {
		h.emissions = append(h.emissions, emission{ID: id, Revision: h.floor, Floor: h.floor,
			Now: judgement{Withdrawn: true}, Settled: true})
		i = len(h.emissions) - 1
	}
	return &h.emissions[i]
}

// waits reports whether m is to be handed on when it has settled.
func (m *emission) waits() bool { return !m.Said && !m.Now.Withdrawn && m.Now.Body != nil }

// bodySize is what the bodies of m take in an encoded history.
func (m *emission) bodySize() int {
	n := m.Now.Size
	if m.Base != nil {
		n += m.Base.Size
	}
	return n
}

// hashBody is a hash of what an alert says, without revision and without when
// records were read or the alert was handed on, and the size of its encoding.
func hashBody(a *alert.Alert) (uint64, int, error) {
	c := *a
	c.Revision, c.Observed, c.Emitted = 0, time.Time{}, time.Time{}
	b, err := alert.Encode(&c)
	if err != nil {
		return 0, 0, err
	}
	h := fnv.New64a()
	_, _ = h.Write(b)
	return h.Sum64(), len(b), nil
}
