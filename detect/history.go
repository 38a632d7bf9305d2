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
	maxCore = 16 << 10
	// minWindow is what the window may take of it however large base is, and
	// overhead what neither of them takes.
	minWindow = 1 << 10
	overhead  = 256 + 4*maxRemembered
	// maxRemembered caps the ids of final events that are kept to know a redelivery.
	maxRemembered = 256
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

	window []*windowed
	// usual is what the events of the window have in common, if hasUsual. It changes
	// only while the window is empty.
	usual        entry
	hasUsual     bool
	encodedUsual []byte
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
	// lateness is the longest of the sources that the identity has.
	lateness time.Duration

	// open: it is of an identity; changed since it was encoded.
	open, changed bool
	// used since the last look for one to encode.
	used bool
	// texts are in space or in data, which was decoded.
	space ledger.Texts
	data  []byte
	*tools
}

// tools are what a shard encodes and decodes with.
type tools struct {
	writer, part       *ledger.Writer
	reader, partReader *ledger.Reader
	keeper             keeper
	entries            []*entry // unused ones
	slots              []*windowed
}

func newTools() *tools {
	t := &tools{writer: ledger.NewWriter(), part: ledger.NewWriter(), reader: ledger.NewReader(), partReader: ledger.NewReader()}
	t.keeper.words = t.part
	return t
}

// entry returns one to be filled.
func (t *tools) entry() *entry {
	n := len(t.entries)
	if n == 0 {
		return &entry{}
	}
	e := t.entries[n-1]
	t.entries = t.entries[:n-1]
	return e
}

func (t *tools) slot() *windowed {
	n := len(t.slots)
	if n == 0 {
		return &windowed{}
	}
	w := t.slots[n-1]
	t.slots = t.slots[:n-1]
	return w
}

// release leaves the memory of n to another one.
func (t *tools) release(n *entry) {
	if n != nil {
		t.entries = append(t.entries, n)
	}
}

// drop leaves the memory of w to another one.
func (t *tools) drop(w *windowed) {
	t.release(w.entry)
	*w = windowed{encoded: w.encoded[:0]}
	t.slots = append(t.slots, w)
}

// empty makes h that of an identity of which nothing is known, and keeps its
// memory.
func (h *history) empty() {
	for _, w := range h.window {
		h.drop(w)
	}
	h.usual.reset()
	h.hasUsual, h.encodedUsual = false, h.encodedUsual[:0]
	h.base.Reset()
	h.base.Keep(&h.space)
	h.space.Reset()
	h.folded, h.changed, h.rules = false, false, 0
	h.window, h.bytes = h.window[:0], 0
	h.baseChanged = true
	h.remembered, h.floor, h.offset, h.lateness = h.remembered[:0], 0, -1, 0
	clear(h.emissions)
	h.emissions = h.emissions[:0]
	h.head.CopyFrom(&h.base)
}

// last is the time of the newest event.
func (h *history) last() time.Time {
	if n := len(h.window); n > 0 {
		return later(h.window[n-1].at, h.base.Last)
	}
	return h.base.Last
}

// get returns the i-th entry of the window, decoded.
func (h *history) get(i int) *entry {
	w := h.window[i]
	if w.entry == nil {
		w.entry = h.entry()
		// What is folded keeps the texts, and encoded is used again.
		h.partReader.Reset(h.space.Copy(w.encoded), &h.space)
		w.entry.decode(h.partReader, &h.usual, h.key, &h.base)
	}
	return w.entry
}

// rest leaves the memory of decoded entries to others.
func (h *history) rest() {
	for _, w := range h.window {
		h.release(w.entry)
		w.entry = nil
	}
}

// find returns the index of the same record in the window, -1 when it is not
// there.
func (h *history) find(n *entry) int {
	for i, w := range h.window {
		if w.hash == uint32(n.hash) && h.get(i).same(n) {
			return i
		}
	}
	return -1
}

// room returns how many bytes the window may take.
func (h *history) room() int { return max(minWindow, maxCore-overhead-len(h.encodedBase)) }

// before reports whether n comes before the i-th entry of the window.
func (h *history) before(n *entry, i int) bool {
	if c := n.event.Time.Compare(h.window[i].at); c != 0 {
		return c < 0
	}
	return n.before(h.get(i))
}

// inOrder reports whether n comes after the window.
func (h *history) inOrder(n *entry) bool { return len(h.window) == 0 || !h.before(n, len(h.window)-1) }

// insert puts n where it belongs.
func (h *history) insert(n *entry) *windowed {
	if len(h.window) == 0 {
		h.setUsual(n)
	}
	i := len(h.window)
	for i > 0 && h.before(n, i-1) {
		i--
	}
	w := h.slot()
	w.at, w.hash, w.entry = n.event.Time, uint32(n.hash), n
	h.window = slices.Insert(h.window, i, w)
	h.encodeEntry(w)
	return w
}

// setUsual makes what n has in common with others usual.
func (h *history) setUsual(n *entry) {
	h.keeper.space = &h.space
	h.usual.usual(&n.event, &h.keeper)
	h.usual.event.Key = h.key
	h.hasUsual = true
	h.encodeUsual()
}

func (h *history) encodeUsual() {
	h.part.Reset()
	h.usual.encode(h.part, nil, &h.base)
	h.bytes += len(h.part.Bytes()) - len(h.encodedUsual)
	h.encodedUsual = append(h.encodedUsual[:0], h.part.Bytes()...)
}

// remove takes the i-th entry out of the window.
func (h *history) remove(i int) {
	w := h.window[i]
	h.bytes -= len(w.encoded)
	h.window = slices.Delete(h.window, i, i+1)
	h.drop(w)
}

// encodeEntry encodes a decoded entry.
func (h *history) encodeEntry(w *windowed) {
	h.part.Reset()
	w.entry.encode(h.part, &h.usual.event, &h.base)
	h.bytes += len(h.part.Bytes()) - len(w.encoded)
	w.encoded = append(w.encoded[:0], h.part.Bytes()...)
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

// encode writes h with writer. newest is the time of the newest event of the
// partition, cut that before which no record finds its place any more. It returns how
// much base had to forget for maxCore.
func (h *history) encode(newest, cut time.Time) (shed int) {
	if h.baseChanged {
		h.base.Shrink(cut)
		h.part.Reset()
		h.base.Encode(h.part)
		most := maxCore - overhead - h.bytes
		for limit := most; len(h.part.Bytes()) > limit && h.base.Shed(); shed++ {
			// Some more, so that it is not done again with the next event.
			limit = most * 7 / 8
			h.part.Reset()
			h.base.Encode(h.part)
		}
		h.encodedBase = append(h.encodedBase[:0], h.part.Bytes()...)
		h.baseChanged = false
		if h.hasUsual {
			h.encodeUsual() // it leaves out what base has
		}
	}
	w := h.writer
	w.Reset()
	w.Byte(stateVersion)
	w.Int(h.offset)
	w.Uint(uint64(h.lateness / time.Second))
	w.Time(newest)
	w.Blob(h.encodedBase)
	w.Blob(h.encodedUsual)
	w.Uint(uint64(len(h.window)))
	for _, n := range h.window {
		w.Time(n.at)
		w.Fixed32(n.hash)
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

// decode reads what encode wrote, in the memory that h has. It returns the time of the
// newest event of the partition. h aliases data.
func (h *history) decode(key event.Key, data []byte) (time.Time, error) {
	r, part := h.reader, h.partReader
	h.space.Reset()
	r.Reset(data, &h.space)
	h.key = key
	if v := r.Byte(); r.Err() == nil && v != stateVersion {
		return time.Time{}, fmt.Errorf("decode ledger: version %d, this build reads up to %d", v, stateVersion)
	}
	h.offset, h.lateness = r.Int(), time.Duration(r.Uint())*time.Second
	newest := r.Time()
	base, usual := r.Blob(), r.Blob()
	part.Reset(base, &h.space)
	h.base.Decode(part)
	if err := part.End(); err != nil {
		return time.Time{}, fmt.Errorf("decode ledger: %w", err)
	}
	h.encodedBase, h.baseChanged = append(h.encodedBase[:0], base...), false
	if h.hasUsual = len(usual) > 0; h.hasUsual {
		part.Reset(usual, &h.space)
		h.usual.decode(part, nil, key, &h.base)
		if err := part.End(); err != nil {
			return time.Time{}, fmt.Errorf("decode ledger: what is usual: %w", err)
		}
	}
	h.encodedUsual, h.bytes = append(h.encodedUsual[:0], usual...), len(usual)
	for range r.Count() {
		w := h.slot()
		h.window = append(h.window, w)
		w.at, w.hash, w.quiet = r.Time(), r.Fixed32(), r.Bool()
		w.encoded = append(w.encoded[:0], r.Blob()...)
		h.bytes += len(w.encoded)
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

// check decodes the window.
func (h *history) check() error {
	for i, w := range h.window {
		n := h.get(i)
		if err := h.partReader.End(); err != nil {
			return fmt.Errorf("decode event of the window: %w", err)
		}
		if !foldable(&n.event) || !n.event.Time.Equal(w.at) {
			return errors.New("decode event of the window: it is not valid")
		}
	}
	return nil
}

func decodeJudgement(r *ledger.Reader) judgement {
	j := judgement{Withdrawn: r.Bool(), Hash: r.Fixed(), ReadyAt: r.Time(), Body: r.Blob()}
	if len(j.Body) == 0 {
		j.Body = nil
	}
	return j
}

// encodeBody returns the encoding of an alert and a hash of what it says, without
// when its records were read. What it only repeats of its rule is left out of the
// encoding: see Shard.handOn.
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
	c.Tags, c.FalsePositives, c.Runbook, c.References = nil, nil, nil, nil
	body, err = alert.Encode(&c)
	return body, h.Sum64(), err
}
