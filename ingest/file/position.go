package file

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// position is how far one file was read. It is the cursor's entry.
type position struct {
	// Path is where the file was seen last, for people.
	Path string `json:"path"`
	fileID
	// Head is of the first bytes, Tail of those before Offset; all are of the
	// uncompressed stream.
	Head   fingerprint `json:"head"`
	Tail   fingerprint `json:"tail"`
	Offset int64       `json:"offset"`
	Line   int64       `json:"line"`
	In     container   `json:"in,omitempty"`
}

// fileID is what the system knows a file by.
type fileID struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

// fingerprint is a fingerprint of Len bytes.
type fingerprint struct {
	Len int    `json:"len"`
	Sum string `json:"sum,omitempty"`
}

const (
	headLen = 1024
	// minHead is the least number of bytes by which content is recognized in
	// another file.
	minHead = 256
)

func printOf(b []byte) fingerprint {
	if len(b) == 0 {
		return fingerprint{}
	}
	sum := sha256.Sum256(b)
	return fingerprint{Len: len(b), Sum: hex.EncodeToString(sum[:8])}
}

// begins reports whether head begins with what p was made of.
func (p fingerprint) begins(head []byte) bool {
	return len(head) >= p.Len && printOf(head[:p.Len]) == p
}

// cursor is what Batch.Cursor holds.
type cursor struct {
	Version int        `json:"version"`
	Files   []position `json:"files"`
}

const cursorVersion = 1

func decodeCursor(data json.RawMessage) ([]position, error) {
	if data == nil {
		return nil, nil
	}
	var c cursor
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("read cursor of files: %w", err)
	}
	if c.Version != cursorVersion {
		return nil, fmt.Errorf("read cursor of files: version %d, this build reads %d", c.Version, cursorVersion)
	}
	return c.Files, nil
}
