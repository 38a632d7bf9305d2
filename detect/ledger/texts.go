package ledger

import (
	"strings"
	"unsafe"
)

// textsChunk is how much room Texts takes at a time.
const textsChunk = 8 << 10

// Texts keeps the texts of one identity in a few large pieces of memory instead
// of one small one each: a ledger is folded without an allocation per event.
// What it has given out holds until Reset. A nil Texts gives each text memory of
// its own.
type Texts struct{ chunk []byte }

// Join returns parts as one text that does not alias them.
func (t *Texts) Join(parts ...string) string {
	size := 0
	for _, s := range parts {
		size += len(s)
	}
	if t == nil {
		var b strings.Builder
		b.Grow(size)
		for _, s := range parts {
			b.WriteString(s)
		}
		return b.String()
	}
	if size == 0 {
		return ""
	}
	if cap(t.chunk)-len(t.chunk) < size {
		// What was given out keeps the old chunk alive.
		t.chunk = make([]byte, 0, max(textsChunk, size))
	}
	begin := len(t.chunk)
	for _, s := range parts {
		t.chunk = append(t.chunk, s...)
	}
	return TextOf(t.chunk[begin:])
}

// Copy returns a copy of b.
func (t *Texts) Copy(b []byte) []byte {
	if cap(t.chunk)-len(t.chunk) < len(b) {
		t.chunk = make([]byte, 0, max(textsChunk, len(b)))
	}
	begin := len(t.chunk)
	t.chunk = append(t.chunk, b...)
	return t.chunk[begin:len(t.chunk):len(t.chunk)]
}

// Room returns how many bytes are left before Texts needs more memory.
func (t *Texts) Room() int { return cap(t.chunk) - len(t.chunk) }

// Reserve makes room for size bytes where there is some already.
func (t *Texts) Reserve(size int) {
	if n := cap(t.chunk); n > 0 && t.Room() < size {
		t.chunk = make([]byte, 0, 2*n)
	}
}

// Reset takes all texts back.
func (t *Texts) Reset() { t.chunk = t.chunk[:0] }

// TextOf returns b as a text without copying it; b must not change as long as the
// text is used.
func TextOf(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}
