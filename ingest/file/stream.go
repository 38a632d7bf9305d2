package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// stream is the content of one file and how far it was read. Its file is open
// only while there is something to read, or may soon be.
type stream struct {
	at position
	// read is the state of the file when it was read last, seen the one at the
	// last scan; missed is how many scans in a row did not find it.
	read, seen stamp
	missed     int

	file       *os.File
	in         io.Reader
	closeIn    func()
	compressed bool
	split      *splitter
	// end is why no more bytes come: io.EOF or a broken compression; nil while
	// they may.
	end error
	// finished: everything was returned that the file held.
	finished bool
	// partial: the compression broke off where a file may still be written;
	// stalled is how many scans it has not grown.
	partial bool
	stalled int
	// frozen: the position stays before what the compression broke off, so that
	// it is read when the file was completed after all.
	frozen bool
	ahead  ahead
}

// stamp changes when a file is written.
type stamp struct{ size, modified int64 }

func stampOf(info fs.FileInfo) stamp { return stamp{info.Size(), info.ModTime().UnixNano()} }

// errOther says that a file is not the one that a position is of.
var errOther = errors.New("not the file that was read")

// decompress returns a reader of the content of r, by its first bytes.
func decompress(r io.Reader) (in io.Reader, closeIn func(), compressed bool, err error) {
	magic := make([]byte, 4)
	n, err := io.ReadFull(r, magic)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil, false, err
	}
	magic = magic[:n]
	r = io.MultiReader(bytes.NewReader(magic), r)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(r)
		if err != nil {
			return broken{err}, func() {}, true, nil
		}
		return z, func() {}, true, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// One goroutine less, and no more memory than zstd --long asks for.
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return broken{err}, func() {}, true, nil
		}
		return z, z.Close, true, nil
	}
	return r, func() {}, false, nil
}

// broken is the content of a file whose compression does not even begin.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// headOf returns the first bytes of f's content, as far as they can be read.
func headOf(f *os.File) ([]byte, bool, error) {
	in, closeIn, compressed, err := decompress(io.NewSectionReader(f, 0, 1<<62))
	if err != nil {
		return nil, false, err
	}
	defer closeIn()
	head := make([]byte, headLen)
	n, err := io.ReadFull(in, head)
	if err != nil && !compressed && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, false, err
	}
	return head[:n], compressed, nil
}

// openAt opens path and goes to at. It returns errOther when the file does not
// hold what at was made of.
func openAt(path string, at position) (*stream, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s, err := newStream(f, path, at)
	if err != nil {
		_ = f.Close() // it was only read
		return nil, err
	}
	return s, nil
}

func newStream(f *os.File, path string, at position) (*stream, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	head, _, err := headOf(f)
	if err != nil {
		return nil, err
	}
	if !at.Head.begins(head) {
		return nil, errOther
	}
	s := &stream{file: f, read: stampOf(info), seen: stampOf(info)}
	if s.in, s.closeIn, s.compressed, err = decompress(f); err != nil {
		return nil, err
	}
	tail, err := s.skip(at)
	if err != nil {
		s.closeIn()
		return nil, err
	}
	s.at = at
	s.at.Path, s.at.fileID, s.at.Head = path, idOf(path, info), printOf(head)
	s.split = newSplitter(at.Offset, at.Line, at.In, tail)
	return s, nil
}

// skip goes to at and returns the bytes before it.
func (s *stream) skip(at position) ([]byte, error) {
	before := at.Offset - int64(at.Tail.Len)
	if before < 0 {
		return nil, errOther
	}
	if s.compressed {
		if n, err := io.CopyN(io.Discard, s.in, before); n < before {
			return nil, errors.Join(errOther, err)
		}
	} else {
		if _, err := s.file.Seek(before, io.SeekStart); err != nil {
			return nil, err
		}
		s.in = s.file
	}
	tail := make([]byte, at.Tail.Len)
	if _, err := io.ReadFull(s.in, tail); err != nil {
		return nil, errors.Join(errOther, err)
	}
	if printOf(tail) != at.Tail {
		return nil, errOther
	}
	return tail, nil
}

// position returns the cursor's entry.
func (s *stream) position() position {
	if s.split == nil || s.frozen {
		return s.at
	}
	if s.ahead.held {
		s.at.Offset, s.at.Line, s.at.In, s.at.Tail = s.ahead.at.Offset, s.ahead.at.Line, s.ahead.at.In, s.ahead.at.Tail
		return s.at
	}
	s.at.Offset, s.at.Line = s.split.position()
	s.at.In, s.at.Tail = s.split.in, printOf(s.split.tail)
	if s.at.Offset > int64(s.at.Head.Len) {
		s.refreshHead()
	}
	return s.at
}

// refreshHead completes the fingerprint of a file that was shorter when it was
// opened.
func (s *stream) refreshHead() {
	if s.at.Head.Len == headLen {
		return
	}
	f := s.file
	if f == nil {
		var err error
		if f, err = os.Open(s.at.Path); err != nil {
			return // the file is being rotated; the old one is sound
		}
		defer f.Close()
	}
	if head, _, err := headOf(f); err == nil && s.at.Head.begins(head) {
		s.at.Head = printOf(head)
	}
}

// close lets go of the file; position stays.
func (s *stream) close() {
	if s.file == nil {
		return
	}
	s.position()
	s.closeIn()
	_ = s.file.Close() // it was only read
	s.file, s.in, s.split = nil, nil, nil
	s.ahead.take() // it comes again
}

// givenUp reports whether a file that breaks off is no longer expected to grow.
func (s *stream) givenUp() bool { return s.partial && s.stalled >= goneScans }

// ready makes the stream readable and reports whether there may be something to
// read. changed says that the file holds something else now.
func (s *stream) ready() (ok, changed bool, err error) {
	if s.finished && s.seen == s.read && !s.givenUp() {
		return false, false, nil
	}
	if s.finished || s.file == nil {
		// Not opened yet, parked, or a compressed file that has grown.
		s.close()
		opened, err := openAt(s.at.Path, s.at)
		if errors.Is(err, errOther) {
			return false, true, nil
		}
		if err != nil {
			return false, false, err
		}
		opened.missed, opened.ahead = s.missed, s.ahead
		*s = *opened
		return true, false, nil
	}
	if s.compressed {
		return true, false, nil
	}
	info, err := s.file.Stat()
	if err != nil {
		return false, false, err
	}
	switch now := stampOf(info); {
	case now.size < s.split.base+int64(len(s.split.buf)):
		return false, true, nil
	case now != s.read:
		// It may have been truncated and written again beyond this point.
		head, _, err := headOf(s.file)
		if err != nil {
			return false, false, err
		}
		if !s.at.Head.begins(head) {
			return false, true, nil
		}
		s.read = now
	}
	return true, false, nil
}

// fill reads until b is full or nothing more can be read now. final says that
// the end of the file is the end.
func (s *stream) fill(b *batch, final bool) error {
	for !b.full() {
		v, ok, err := s.next(final)
		if !ok {
			return err
		}
		b.add(s.at.Path, v)
	}
	return nil
}

// next returns the next value, if it can be read now.
func (s *stream) next(final bool) (v value, ok bool, err error) {
	if v, ok := s.ahead.take(); ok {
		return v, true, nil
	}
	for {
		v, ok := s.split.next(s.end)
		if ok {
			if s.end != nil && errors.Is(v.err, s.end) {
				s.end = io.EOF // said
				v.err = fmt.Errorf("read %s: %w", s.at.Path, v.err)
			}
			return v, true, nil
		}
		if s.end != nil {
			if !errors.Is(s.end, io.EOF) {
				v := value{line: s.split.line, err: fmt.Errorf("read %s: %w", s.at.Path, s.end)}
				s.end = io.EOF // said
				return v, true, nil
			}
			s.finished = true
			return value{}, false, nil
		}
		n, err := s.split.read(s.in)
		switch {
		case n > 0 || err == nil:
		case errors.Is(err, io.EOF) && !s.compressed && !final:
			return value{}, false, nil
		case errors.Is(err, io.ErrUnexpectedEOF) && !final:
			s.partial, s.finished = true, true // until it has grown
			return value{}, false, nil
		case errors.Is(err, io.EOF):
			s.end = err
		case s.compressed:
			s.position()
			s.end, s.frozen = err, true
		default:
			return value{}, false, err
		}
	}
}

// sameEnd reports whether the plain file at path ends in the bytes that the
// plain file other has at the same place: it is a copy that is not complete.
func sameEnd(path, other string) bool {
	last := func(path string, end int64) ([]byte, int64) {
		f, err := os.Open(path)
		if err != nil {
			return nil, 0
		}
		defer f.Close()
		if end < 0 {
			info, err := f.Stat()
			if err != nil {
				return nil, 0
			}
			end = info.Size()
		}
		b := make([]byte, min(end, tailLen))
		if _, err := f.ReadAt(b, end-int64(len(b))); err != nil && !errors.Is(err, io.EOF) {
			return nil, 0
		}
		return b, end
	}
	a, end := last(path, -1)
	b, _ := last(other, end)
	return a != nil && bytes.Equal(a, b)
}
