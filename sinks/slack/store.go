package slack

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"stepdown/detect/alert"
	"stepdown/sinks"
)

// Message is where an alert is shown.
type Message struct {
	Channel string `json:"channel,omitempty"`
	// TS is Slack's id of the message; it is empty while it is not known whether
	// the message was posted.
	TS string `json:"ts,omitempty"`
	// Revision is the revision shown.
	Revision uint64 `json:"revision,omitempty"`
	// Severity is what it is shown with; empty where that is not known, and while
	// it is shown as withdrawn.
	Severity alert.Severity `json:"severity,omitempty"`
	// At is when posting was begun.
	At time.Time `json:"at"`
}

// Store remembers which message shows which alert.
type Store interface {
	// Get returns the message of the alert, and whether there is one.
	Get(id alert.ID) (Message, bool)
	// Put remembers it before it returns nil: after a crash, Get returns it.
	Put(id alert.ID, m Message) error
	Close() error
}

// kept bounds the alerts that a FileStore remembers; the oldest go first. Twice
// as many lines still fit into what sinks.OpenLines reads back.
const kept = 20_000

// FileStore is a Store in a file of JSON lines, which it rewrites when most of
// them are out of date. One process owns a file.
type FileStore struct {
	path     string
	file     *sinks.Lines
	messages map[alert.ID]Message
	lines    int
}

type record struct {
	ID alert.ID `json:"id"`
	Message
}

// OpenFileStore opens or creates the store at path.
func OpenFileStore(path string) (*FileStore, error) {
	s := &FileStore{path: path, messages: map[alert.ID]Message{}}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("message store: %w", err)
	}
	return s, nil
}

func (s *FileStore) open() error {
	s.lines = 0
	f, err := sinks.OpenLines(s.path, func(line []byte) {
		var r record
		s.lines++
		if json.Unmarshal(line, &r) == nil && r.ID != "" {
			s.messages[r.ID] = r.Message
		}
	})
	s.file = f
	return err
}

// Get returns the message of the alert, and whether there is one.
func (s *FileStore) Get(id alert.ID) (Message, bool) { m, ok := s.messages[id]; return m, ok }

// Put appends the message to the file and remembers it.
func (s *FileStore) Put(id alert.ID, m Message) error {
	if s.file == nil {
		if err := s.open(); err != nil {
			return fmt.Errorf("message store: %w", err)
		}
	}
	line, err := json.Marshal(record{ID: id, Message: m})
	if err != nil {
		return fmt.Errorf("message store: %w", err)
	}
	if err := s.file.Append(append(line, '\n')); err != nil {
		return fmt.Errorf("message store: %w", err)
	}
	s.messages[id] = m
	s.lines++
	if s.lines > 2*min(len(s.messages), kept)+1000 {
		if err := s.compact(); err != nil {
			return fmt.Errorf("message store: %w", err)
		}
	}
	return nil
}

// compact replaces the file by one with the latest line of each alert that is
// still remembered. A crash leaves the old file or the new one.
func (s *FileStore) compact() error {
	all := make([]record, 0, len(s.messages))
	for id, m := range s.messages {
		all = append(all, record{ID: id, Message: m})
	}
	slices.SortFunc(all, func(a, b record) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	if n := len(all) - kept; n > 0 {
		for _, r := range all[:n] {
			delete(s.messages, r.ID)
		}
		all = all[n:]
	}
	var data []byte
	for _, r := range all {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		data = append(append(data, line...), '\n')
	}
	next := s.path + ".new"
	if err := os.Remove(next); err != nil && !os.IsNotExist(err) {
		return err
	}
	f, err := sinks.OpenLines(next, func([]byte) {})
	if err != nil {
		return err
	}
	if err := f.Append(data); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(next, s.path); err != nil {
		return err
	}
	err = s.file.Close()
	s.file = nil
	if err != nil {
		return err
	}
	return s.open()
}

// Close closes the file.
func (s *FileStore) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
