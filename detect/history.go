package detect

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"stepdown/detect/alert"
	"stepdown/detect/ledger"
	"stepdown/ingest/event"
)

// stateVersion is the version of an encoded history, its first byte.
const stateVersion = 2

// Bounds of one history.
const (
	// maxCore is what base, window and what is remembered may take encoded.
	maxCore = 4 << 10
	// minWindow is what the window may take of it however large base is, and
	// overhead what neither of them takes.
	minWindow = 1 << 10
	overhead  = 256
	// maxRemembered caps the ids of final events that are kept to know a redelivery.
	maxRemembered = 16
	// maxBodyBytes caps the encoded alerts that are kept to amend or withdraw them,
	// which comes on top: there are some only while findings are young.
	maxBodyBytes = 192 << 10
	// maxEmissions caps what is known of alerts that were handed on.
	maxEmissions = 128
)

// judgement is what a ledger says of one finding: that it stands, in these words,
// or nothing.
type judgement struct {
	Hash uint64
	// ReadyAt is when it may be handed on; zero for at once.
	ReadyAt time.Time
	// Withdrawn: it does not stand, or not yet.
	Withdrawn bool
	// Body is the encoded alert; of a withdrawn one as it was before. It is nil when
	// the finding is final, and when there never was one.
	Body []byte
}

// finding is a judgement of the present fold.
type finding struct {
	id alert.ID
	// at is the event time of the finding.
	at time.Time
	judgement
}

func (j *judgement) same(o *judgement) bool {
	return j.Withdrawn == o.Withdrawn && (j.Withdrawn || j.Hash == o.Hash)
}

// emission is what was and may still be said about one finding.
type emission struct {
	ID alert.ID
	// Revision counts the judgements, handed on or not: it is a function of the
	// identity's events alone. So a repeat after a crash gives the same content the
	// same number, however far the shard's clock is.
	Revision uint64
	// Floor is where Revision began.
	Floor uint64
	// Said: a revision was handed on.
	Said bool
	// Time is the event time of the finding.
	Time time.Time
	// Now is what head says.
	Now judgement
	// Settled: base says what Now says. Otherwise Base is what base says.
	Settled bool
	Base    *judgement
}

// waits reports whether m is to be handed on when it has settled.
func (m *emission) waits() bool { return !m.Said && !m.Now.Withdrawn && m.Now.Body != nil }

// bodySize is what the bodies of m take in an encoded history.
func (m *emission) bodySize() int {
	n := len(m.Now.Body)
	if m.Base != nil {
		n += len(m.Base.Body)
	}
	return n
}

// history is everything that is kept of one identity, decoded. Its memory is used
// again for another one.
type history struct {
	// number is that of the identity in the store.
	number uint32
	key    event.Key
	// head is the fold of base and window, if folded; rules numbers the rules that
	// it was folded with.
	base, head ledger.Ledger
	folded     bool
	rules      uint16

	window []*entry
	// encodedBase is the encoding of base, unless baseChanged; bytes is what window
	// takes encoded.
	encodedBase []byte
	baseChanged bool
	bytes       int
	// remembered are hashes of the ids of events that left the window.
	remembered []uint32
	emissions  []emission
	// floor is the highest revision of an alert that emissions no longer knows.
	floor uint64
	// offset of the last event of the partition that was applied, -1 for none.
	offset int64

	// open: it is of an identity; changed since it was encoded.
	open, changed bool
	// used since the last look for one to encode.
	used bool
	// texts are in space or in data, which was decoded.
	space ledger.Texts
	data  []byte
}

// empty makes h that of an identity of which nothing is known, and keeps its
// memory. Its entries are the caller's.
func (h *history) empty() {
	h.base.Reset()
	h.base.Keep(&h.space)
	h.space.Reset()
	h.folded, h.changed, h.rules = false, false, 0
	h.window, h.bytes = h.window[:0], 0
	h.baseChanged = true
	h.remembered, h.floor, h.offset = h.remembered[:0], 0, -1
	clear(h.emissions)
	h.emissions = h.emissions[:0]
	h.head.CopyFrom(&h.base)
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
	for i, o := range h.window {
		if o.hash == n.hash && o.same(n) {
			return i
		}
	}
	return -1
}

// room returns how many bytes the window may take.
func (h *history) room() int { return max(minWindow, maxCore-overhead-len(h.encodedBase)) }

// inOrder reports whether n comes after the window.
func (h *history) inOrder(n *entry) bool {
	return len(h.window) == 0 || !n.before(h.window[len(h.window)-1])
}

// insert puts n where it belongs.
func (h *history) insert(n *entry, w *ledger.Writer) {
	i := len(h.window)
	for i > 0 && n.before(h.window[i-1]) {
		i--
	}
	n.encoded = n.encoded[:0]
	h.window = slices.Insert(h.window, i, n)
	h.encodeEntry(i, w)
	h.encodeEntry(i+1, w)
}

// remove takes the i-th entry out of the window.
func (h *history) remove(i int, w *ledger.Writer) {
	h.bytes -= len(h.window[i].encoded)
	h.window = slices.Delete(h.window, i, i+1)
	h.encodeEntry(i, w)
}

// encodeEntry encodes the i-th entry, if there is one, after the one before it.
func (h *history) encodeEntry(i int, w *ledger.Writer) {
	if i >= len(h.window) {
		return
	}
	n := h.window[i]
	var before *event.Event
	if i > 0 {
		before = &h.window[i-1].event
	}
	w.Reset()
	n.encode(w, before, &h.base)
	h.bytes += len(w.Bytes()) - len(n.encoded)
	n.encoded = append(n.encoded[:0], w.Bytes()...)
}

// fold folds n into base.
func (h *history) fold(n *entry) {
	h.base.Apply(&n.event)
	h.baseChanged = true
}

func (h *history) remember(n *entry) {
	if len(h.remembered) >= maxRemembered {
		h.remembered = append(h.remembered[:0], h.remembered[1:]...)
	}
	h.remembered = append(h.remembered, uint32(n.hash))
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

// encode writes h. newest is the time of the newest event of the partition, cut that
// before which no record finds its place any more; part is used for base. It returns
// how much base had to forget for maxCore.
func (h *history) encode(w, part *ledger.Writer, newest, cut time.Time) (shed int) {
	rest := h.bytes + overhead
	if h.baseChanged {
		h.base.Shrink(cut)
		part.Reset()
		h.base.Encode(part)
		for limit := maxCore - rest; len(part.Bytes()) > limit && h.base.Shed(); shed++ {
			// Some more, so that it is not done again with the next event.
			limit = (maxCore - rest) * 7 / 8
			part.Reset()
			h.base.Encode(part)
		}
		h.encodedBase = append(h.encodedBase[:0], part.Bytes()...)
		h.baseChanged = false
		h.encodeEntry(0, part) // it leaves out what base has
	}
	w.Reset()
	w.Byte(stateVersion)
	w.Int(h.offset)
	w.Time(newest)
	w.Blob(h.encodedBase)
	w.Uint(uint64(len(h.window)))
	for _, n := range h.window {
		w.Bool(n.quiet)
		w.Blob(n.encoded)
	}
	w.Uint(uint64(len(h.remembered)))
	for _, hash := range h.remembered {
		w.Fixed32(hash)
	}
	w.Uint(h.floor)
	w.Uint(uint64(len(h.emissions)))
	for i := range h.emissions {
		h.emissions[i].encode(w)
	}
	return shed
}

// The flags of an encoded emission. They are part of the encoding.
const (
	emissionSaid = 1 << iota
	emissionSettled
	emissionBase
)

func (m *emission) encode(w *ledger.Writer) {
	var flags uint64
	if m.Said {
		flags |= emissionSaid
	}
	if m.Settled {
		flags |= emissionSettled
	}
	if m.Base != nil {
		flags |= emissionBase
	}
	w.Uint(flags)
	w.Text(string(m.ID))
	w.Uint(m.Revision)
	w.Uint(m.Floor)
	w.Time(m.Time)
	m.Now.encode(w)
	if m.Base != nil {
		m.Base.encode(w)
	}
}

func (j *judgement) encode(w *ledger.Writer) {
	w.Bool(j.Withdrawn)
	w.Fixed(j.Hash)
	w.Time(j.ReadyAt)
	w.Blob(j.Body)
}

// decode reads what encode wrote, in the memory that h has; part is used for base and
// entries, which are taken from free. It returns the time of the newest event of the
// partition. h aliases data.
func (h *history) decode(r, part *ledger.Reader, key event.Key, data []byte, free func() *entry) (time.Time, error) {
	h.space.Reset()
	r.Reset(data, &h.space)
	h.key = key
	if v := r.Byte(); r.Err() == nil && v != stateVersion {
		return time.Time{}, fmt.Errorf("decode ledger: version %d, this build reads up to %d", v, stateVersion)
	}
	h.offset = r.Int()
	newest := r.Time()
	base := r.Blob()
	part.Reset(base, &h.space)
	h.base.Decode(part)
	if err := part.End(); err != nil {
		return time.Time{}, fmt.Errorf("decode ledger: %w", err)
	}
	h.encodedBase, h.baseChanged = append(h.encodedBase[:0], base...), false
	var last *entry
	for range r.Count() {
		n := free()
		h.window = append(h.window, n)
		quiet, encoded := r.Bool(), r.Blob()
		part.Reset(encoded, &h.space)
		n.decode(part, last, key, &h.base)
		if err := part.End(); err != nil {
			return time.Time{}, fmt.Errorf("decode event of the window: %w", err)
		}
		n.quiet, n.encoded = quiet, append(n.encoded[:0], encoded...)
		h.bytes += len(encoded)
		last = n
	}
	for range r.Count() {
		h.remembered = append(h.remembered, r.Fixed32())
	}
	h.floor = r.Uint()
	for range r.Count() {
		flags := r.Uint()
		m := emission{ID: alert.ID(r.Text()), Revision: r.Uint(), Floor: r.Uint(), Time: r.Time(), Now: decodeJudgement(r),
			Said: flags&emissionSaid != 0, Settled: flags&emissionSettled != 0}
		if flags&emissionBase != 0 {
			base := decodeJudgement(r)
			m.Base = &base
		}
		if !m.Settled && m.Base == nil {
			return time.Time{}, errors.New("decode ledger: a finding without what it rests on")
		}
		h.emissions = append(h.emissions, m)
	}
	if err := r.End(); err != nil {
		return time.Time{}, fmt.Errorf("decode ledger: %w", err)
	}
	return newest, nil
}

func decodeJudgement(r *ledger.Reader) judgement {
	j := judgement{Withdrawn: r.Bool(), Hash: r.Fixed(), ReadyAt: r.Time(), Body: r.Blob()}
	if len(j.Body) == 0 {
		j.Body = nil
	}
	return j
}

// encodeBody returns the encoding of an alert and a hash of what it says, without
// when its records were read.
func encodeBody(a *alert.Alert) (body []byte, hash uint64, err error) {
	c := *a
	c.Revision, c.Observed, c.Emitted = 0, time.Time{}, time.Time{}
	b, err := alert.Encode(&c)
	if err != nil {
		return nil, 0, err
	}
	h := fnv.New64a()
	_, _ = h.Write(b)
	// The revision is that of when it is handed on; no alert is valid without one.
	c.Revision, c.Observed = 1, a.Observed
	body, err = alert.Encode(&c)
	return body, h.Sum64(), err
}
