package sinks

import "stepdown/detect/alert"

// Seen remembers the highest revision written of the most recent alerts. It is
// how a sink whose destination cannot be asked is idempotent.
type Seen struct {
	revisions map[alert.ID]uint64
	// order is a ring of the ids, oldest at next once it is full.
	order []alert.ID
	next  int
}

// NewSeen returns a memory of limit alerts; the one first added is forgotten
// first.
func NewSeen(limit int) *Seen {
	return &Seen{revisions: make(map[alert.ID]uint64), order: make([]alert.ID, 0, limit)}
}

// Has reports whether id was added at revision or a higher one.
func (s *Seen) Has(id alert.ID, revision uint64) bool {
	r, ok := s.revisions[id]
	return ok && r >= revision
}

// Holds reports whether some revision of id was added.
func (s *Seen) Holds(id alert.ID) bool { _, ok := s.revisions[id]; return ok }

// Add remembers that revision of id was written.
func (s *Seen) Add(id alert.ID, revision uint64) {
	if old, ok := s.revisions[id]; ok {
		s.revisions[id] = max(old, revision)
		return
	}
	if len(s.order) < cap(s.order) {
		s.order = append(s.order, id)
	} else {
		delete(s.revisions, s.order[s.next])
		s.order[s.next] = id
		s.next = (s.next + 1) % len(s.order)
	}
	s.revisions[id] = revision
}
