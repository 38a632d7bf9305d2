package detect

import (
	"encoding/binary"
	"hash/maphash"
	"runtime"

	"stepdown/ingest/event"
)

// The memory of a store. A block is what is taken from the system at a time, a
// page what a class takes from a block. Blocks are not touched before they are
// used, so that a small store is small.
const (
	blockSize = 4 << 20
	pageSize  = 16 << 10
	// slotUnit is what slots are aligned to: 32 bits address 64 GiB.
	slotUnit = 16
	// maxSlot is the largest record that is kept in a slot; the few that are
	// larger, because alerts are open, are kept each by itself.
	maxSlot = 8 << 10
	// slotHeader is the length of the key and of the record.
	slotHeader = 6
)

// store keeps the encoded histories of a shard where the garbage collector does
// not look: a record with its key lies in a slot of the smallest class that holds
// it, pages of slots lie in blocks of memory outside the heap, and an index of
// numbers leads there.
type store struct {
	seed maphash.Seed
	// index leads from the hash of a key to the number of an identity; on a
	// collision the next hash is tried.
	index map[uint64]uint32
	refs  []ref
	// live is how many identities are known.
	live int
	// bytes is the sum of the lengths of all records.
	bytes int64

	classes []class
	blocks  *blocks
	// large holds the records over maxSlot by the number of the identity.
	large map[uint32][]byte
}

// ref is one identity.
type ref struct {
	// at is where its slot begins in the blocks, in units.
	at uint32
	// rules numbers the rules that its window was last folded with, 0 for others
	// than today's.
	rules uint16
	// hot is the place among the decoded histories, counted from 1.
	hot   uint16
	class uint8
	kept  kept
	// unpublished: changed since it was last yielded by Dirty.
	unpublished bool
}

// kept is where a record is.
type kept uint8

const (
	keptNowhere kept = iota
	keptDecoded      // only, so far
	keptInSlot
	keptApart
)

// class is the slots of one size.
type class struct {
	size int
	free []uint32
	// next and end bound what is unused of the present page, in units.
	next, end uint32
}

// blocks is memory outside the heap. It is a type of its own so that it is given
// back when the store is no longer used.
type blocks struct {
	list [][]byte
	used int // of the last block
}

func newStore() *store {
	s := &store{seed: maphash.MakeSeed(), index: map[uint64]uint32{}, large: map[uint32][]byte{}, blocks: &blocks{used: blockSize}}
	for size := 64; size <= maxSlot; size += max(slotUnit, size/8&^(slotUnit-1)) {
		s.classes = append(s.classes, class{size: size})
	}
	s.classes = append(s.classes, class{size: (maxSlot + slotHeader + event.MaxIDLen + slotUnit - 1) &^ (slotUnit - 1)})
	runtime.AddCleanup(s, func(b *blocks) { b.free() }, s.blocks)
	return s
}

// find returns the number of an identity, and whether it is known.
func (s *store) find(key event.Key) (uint32, bool) {
	for h := maphash.String(s.seed, string(key)); ; h++ {
		n, ok := s.index[h]
		if !ok || s.keyIs(n, key) {
			return n, ok
		}
	}
}

// number returns the number of an identity, a new one for one that is not known, whose
// record will take about size bytes.
func (s *store) number(key event.Key, size int) uint32 {
	for h := maphash.String(s.seed, string(key)); ; h++ {
		n, ok := s.index[h]
		if !ok {
			n = uint32(len(s.refs))
			s.index[h] = n
			c := s.classOf(slotHeader + len(key) + min(size, maxSlot))
			s.refs = append(s.refs, ref{at: s.alloc(c), class: c})
			s.write(n, key, nil)
			return n
		}
		if s.keyIs(n, key) {
			return n
		}
	}
}

// slot returns key and record of an identity; they are good until the next put.
func (s *store) slot(n uint32) (key, record []byte) {
	r := &s.refs[n]
	b := s.blocks.at(r.at, s.classes[r.class].size)
	keyLen, length := int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint32(b[2:]))
	key = b[slotHeader : slotHeader+keyLen]
	if r.kept == keptApart {
		return key, s.large[n]
	}
	return key, b[slotHeader+keyLen:][:length]
}

func (s *store) keyIs(n uint32, key event.Key) bool {
	k, _ := s.slot(n)
	return string(k) == string(key)
}

// put keeps a record; key is the identity's. An empty record forgets it, and
// leaves its number.
func (s *store) put(n uint32, key event.Key, record []byte) {
	r := &s.refs[n]
	was := r.kept
	if was == keptInSlot || was == keptApart {
		_, old := s.slot(n)
		s.bytes -= int64(len(old))
	}
	s.bytes += int64(len(record))
	inSlot := record
	switch {
	case len(record) == 0:
		r.kept = keptNowhere
	case len(record) > maxSlot:
		r.kept, inSlot = keptApart, nil
		s.large[n] = append(s.large[n][:0], record...)
	default:
		r.kept = keptInSlot
	}
	if r.kept != keptApart {
		delete(s.large, n)
	}
	s.count(was, r.kept)
	c := s.classOf(slotHeader + len(key) + len(inSlot))
	if c != r.class {
		old := &s.classes[r.class]
		old.free = append(old.free, r.at)
		r.at, r.class = s.alloc(c), c
	}
	s.write(n, key, inSlot)
}

// write writes key and record into the slot of an identity.
func (s *store) write(n uint32, key event.Key, record []byte) {
	r := &s.refs[n]
	b := s.blocks.at(r.at, s.classes[r.class].size)
	binary.LittleEndian.PutUint16(b, uint16(len(key)))
	binary.LittleEndian.PutUint32(b[2:], uint32(len(record)))
	copy(b[slotHeader:], key)
	copy(b[slotHeader+len(key):], record)
}

// begin makes an identity known of which there is no record yet.
func (s *store) begin(n uint32) {
	r := &s.refs[n]
	s.count(r.kept, keptDecoded)
	r.kept = keptDecoded
}

func (s *store) count(was, is kept) {
	switch {
	case was == keptNowhere && is != keptNowhere:
		s.live++
	case was != keptNowhere && is == keptNowhere:
		s.live--
	}
}

// classOf returns the smallest class that holds size bytes.
func (s *store) classOf(size int) uint8 {
	low, high := 0, len(s.classes)-1
	for low < high {
		if middle := (low + high) / 2; s.classes[middle].size >= size {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return uint8(low)
}

// alloc returns an unused slot. No slot is at 0.
func (s *store) alloc(c uint8) uint32 {
	k := &s.classes[c]
	if n := len(k.free); n > 0 {
		at := k.free[n-1]
		k.free = k.free[:n-1]
		return at
	}
	units := uint32(k.size / slotUnit)
	if k.next+units > k.end {
		k.next = s.blocks.page()
		k.end = k.next + pageSize/slotUnit
		k.next = max(k.next, 1)
	}
	at := k.next
	k.next += units
	return at
}

// page returns where an unused page begins.
func (b *blocks) page() uint32 {
	if b.used+pageSize > blockSize {
		b.list = append(b.list, allocBlock())
		b.used = 0
	}
	at := (len(b.list)-1)*blockSize + b.used
	b.used += pageSize
	return uint32(at / slotUnit)
}

func (b *blocks) at(at uint32, size int) []byte {
	offset := uint64(at) * slotUnit
	return b.list[offset/blockSize][offset%blockSize:][:size]
}

func (b *blocks) free() {
	for _, block := range b.list {
		freeBlock(block)
	}
	b.list = nil
}
