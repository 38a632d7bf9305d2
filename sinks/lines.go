package sinks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// tailLimit bounds what of a file is read back when it is opened; it is also the
// longest torn line that can be repaired.
const tailLimit = 8 << 20

// Lines is a file of JSON lines that is appended to durably, all or nothing. One
// process writes to a file.
type Lines struct {
	path string
	file file
	// size is the length before the last append; torn says that the append failed
	// and may have left bytes behind it.
	size int64
	torn bool
}

// file is what Lines needs of *os.File.
type file interface {
	io.ReaderAt
	io.WriteCloser
	Stat() (os.FileInfo, error)
	Sync() error
	Truncate(size int64) error
}

// OpenLines opens or creates the file at path. A last line that a crash tore is
// mended: completed if only its line end is missing, else cut off, since its
// writer was never told that it is durable. Then each is called with the complete
// lines of the last 8 MiB, oldest first; the slice is valid during the call.
//
// A file whose last line is unfinished and is no JSON object is refused and left
// alone: it is somebody else's.
func OpenLines(path string, each func(line []byte)) (*Lines, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	l, err := openLines(path, f, each)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// The name has to survive a crash too.
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync() // not every file system can
		_ = dir.Close()
	}
	return l, nil
}

func openLines(path string, f file, each func(line []byte)) (*Lines, error) {
	l := &Lines{path: path, file: f}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat %s: %w", path, err)
	}
	l.size = info.Size()
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: not a regular file", path)
	}
	start := max(0, l.size-tailLimit)
	tail := make([]byte, l.size-start)
	if _, err := f.ReadAt(tail, start); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	whole := bytes.LastIndexByte(tail, '\n') + 1
	if rest := tail[whole:]; len(rest) > 0 {
		if whole == 0 && start > 0 {
			return nil, fmt.Errorf("open %s: no line end in its last %d bytes, so it is not a file of JSON lines", path, tailLimit)
		}
		completed, err := l.mend(rest)
		if err != nil {
			return nil, err
		}
		if completed {
			whole = len(tail)
		}
	}
	tail = tail[:whole]
	if start > 0 {
		tail = tail[bytes.IndexByte(tail, '\n')+1:] // the first line may have lost its head
	}
	for line := range bytes.Lines(tail) {
		each(bytes.TrimRight(line, "\n"))
	}
	return l, nil
}

// mend completes rest, the unfinished last line, or cuts it off.
func (l *Lines) mend(rest []byte) (completed bool, err error) {
	switch {
	case rest[0] == '{' && json.Valid(rest):
		return true, l.Append([]byte("\n"))
	case rest[0] == '{' || len(bytes.Trim(rest, "\x00")) == 0:
		l.size -= int64(len(rest))
		return false, l.rollback()
	}
	return false, fmt.Errorf("open %s: its last line is unfinished and is no JSON object; name another file", l.path)
}

// Append writes data, which is whole lines, and returns when they are on disk.
// After an error none of them is in the file, or the next Append cuts them off
// first.
func (l *Lines) Append(data []byte) error {
	if l.torn {
		if err := l.rollback(); err != nil {
			return err
		}
	}
	info, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("stat %s: %w", l.path, err)
	}
	l.size = info.Size()
	_, err = l.file.Write(data)
	if err == nil {
		err = l.file.Sync()
	}
	if err == nil {
		return nil
	}
	l.torn = true
	err = fmt.Errorf("write to %s: %w", l.path, err)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = fmt.Errorf("%w: free space on that file system; what is not written waits and nothing is lost", err)
	}
	return errors.Join(err, l.rollback())
}

// rollback cuts off what a failed append left behind the last good line.
func (l *Lines) rollback() error {
	info, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("stat %s: %w", l.path, err)
	}
	// Somebody may have emptied the file meanwhile; truncating would lengthen it.
	if info.Size() > l.size {
		if err := l.file.Truncate(l.size); err != nil {
			return fmt.Errorf("cut the unfinished line off %s: %w", l.path, err)
		}
	}
	l.torn = false
	return nil
}

// Moved reports whether the file was renamed or removed, so that its path names
// another file or none.
func (l *Lines) Moved() (bool, error) {
	mine, err := l.file.Stat()
	if err != nil {
		return false, fmt.Errorf("stat %s: %w", l.path, err)
	}
	named, err := os.Stat(l.path)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("stat %s: %w", l.path, err)
	}
	return !os.SameFile(mine, named), nil
}

// Close closes the file.
func (l *Lines) Close() error { return l.file.Close() }
