package file

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"stepdown/ingest"
)

const (
	// maxBatchBytes ends a batch of large records early.
	maxBatchBytes = 4 << 20
	// maxOpen is how many files stay open at their end.
	maxOpen = 64
	// goneScans is how many scans a file that is not found any more is still
	// read for what its writer adds after a rotation.
	goneScans = 10
	// maxLeft is how many positions of files that are gone are remembered.
	maxLeft = 1000
)

// Source reads files. It implements ingest.Source.
type Source struct {
	cfg   Config
	log   *slog.Logger
	stdin *stdin
	// timeOf is set where files are merged.
	timeOf func(ingest.Record) time.Time

	streams []*stream
	// left are positions without a file: of a cursor, or of files that were
	// rotated away. Another file may turn out to be what they are of.
	left []position
	// held are files that are copies of ones that are being read.
	held map[fileID]copyOf
	// complaints are the last errors by path.
	complaints map[string]string
	// first is the stream to begin the next batch with.
	first    int
	scanned  bool
	lastScan time.Time
	encoded  encodedCursor
}

// copyOf says of what a file of a size is a copy, up to an offset.
type copyOf struct {
	of     *stream
	offset int64
	size   int64
}

// New returns a source. It is an error when cfg is not valid, or when a path
// names no file: a plain path always, a pattern without Follow.
func New(cfg Config, log *slog.Logger) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Source{cfg: cfg, log: log, held: map[fileID]copyOf{}, complaints: map[string]string{}}
	if cfg.Paths[0] == Stdin {
		s.stdin = newStdin(os.Stdin)
		return s, nil
	}
	wrong, _ := cfg.Look()
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return s, nil
}

// Seek implements ingest.Source. Standard input has no position.
func (s *Source) Seek(saved json.RawMessage) error {
	if s.stdin != nil {
		return nil
	}
	left, err := decodeCursor(saved)
	s.left = left
	return err
}

// Poll implements ingest.Source. Records are what the files hold, in order; the
// envelopes around them are taken off.
func (s *Source) Poll(ctx context.Context) (ingest.Batch, error) {
	if s.stdin != nil {
		return s.stdin.poll(ctx, s.newBatch())
	}
	for {
		if err := ctx.Err(); err != nil {
			return ingest.Batch{}, err
		}
		b := s.newBatch()
		if !s.scanned || s.cfg.Follow && time.Since(s.lastScan) >= s.cfg.PollInterval {
			if err := s.scan(b); err != nil {
				return ingest.Batch{}, err
			}
		}
		if err := s.read(b); err != nil && len(b.records) == 0 {
			return ingest.Batch{}, err
		}
		if len(b.records) > 0 {
			cursor, err := s.cursor()
			return ingest.Batch{Records: b.records, Cursor: cursor}, err
		}
		if !s.cfg.Follow {
			return ingest.Batch{}, io.EOF
		}
		timer := time.NewTimer(s.cfg.PollInterval)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Close implements ingest.Source.
func (s *Source) Close() error {
	if s.stdin != nil {
		s.stdin.close()
	}
	for _, st := range s.streams {
		st.close()
	}
	return nil
}

// read fills b from the streams in their order.
func (s *Source) read(b *batch) error {
	var errs []error
	ended := s.merge(b)
	for i := 0; i < len(s.streams) && !b.full(); i++ {
		at := (s.first + i) % len(s.streams)
		st := s.streams[at]
		if slices.Contains(ended, st) {
			continue
		}
		final := s.final(st) // before ready forgets why
		ok, changed, err := st.ready()
		switch {
		case changed:
			s.begin(st, b)
			i-- // and read it
			continue
		case errors.Is(err, fs.ErrNotExist) && s.cfg.Follow:
			continue // the next scans will miss it
		case err != nil:
			errs = append(errs, s.complain(st.at.Path, err))
			continue
		case !ok:
			continue
		}
		if err := st.fill(b, final); err != nil {
			errs = append(errs, s.complain(st.at.Path, err))
		}
		if st.finished {
			st.close()
		}
		if b.full() && st.seen == st.read && !st.finished && s.cfg.Follow {
			s.first = at + 1 // it grows as fast as it is read: others first
		} else {
			s.first = 0
		}
	}
	s.dropGone()
	s.park()
	return errors.Join(errs...)
}

// final reports whether the end of the file is the end of what it will hold.
func (s *Source) final(st *stream) bool {
	return !s.cfg.Follow || st.missed >= goneScans || st.givenUp()
}

// complain returns the error about a file, or, where other files are followed
// beside it, logs it when it is new.
func (s *Source) complain(path string, err error) error {
	err = fmt.Errorf("read %s: %w", path, err)
	if !s.cfg.Follow {
		return err
	}
	if text := err.Error(); s.complaints[path] != text {
		s.complaints[path] = text
		s.log.Warn("file is left out", slog.Any("error", err))
	}
	return nil
}

// begin starts a stream over whose file holds something else now. What was read
// of the old content is returned, if need be beyond the batch's size; the part of
// a value at its end as broken, for the rest is gone, or in a copy that goes on
// before it.
func (s *Source) begin(st *stream, b *batch) {
	if v, ok := st.ahead.take(); ok {
		b.add(st.at.Path, v)
	}
	flush := func(end error) {
		for st.split != nil {
			v, ok := st.split.next(end)
			if !ok {
				return
			}
			b.add(st.at.Path, v)
		}
	}
	flush(nil)
	s.leave(st.position())
	flush(io.EOF)
	st.close()
	s.log.Info("file begins anew", slog.String("path", st.at.Path))
	*st = stream{at: position{Path: st.at.Path, fileID: st.at.fileID}, seen: st.seen}
}

func (s *Source) leave(p position) {
	if p.Offset == 0 {
		return
	}
	s.left = append(s.left, p)
}

// dropGone forgets the streams whose files were rotated away and read to the
// end; what is copied from them later is known by their position.
func (s *Source) dropGone() {
	s.streams = slices.DeleteFunc(s.streams, func(st *stream) bool {
		if st.missed < goneScans || !st.finished && st.file != nil {
			return false
		}
		s.leave(st.position())
		st.close()
		return true
	})
}

// park closes files at their end where too many are open.
func (s *Source) park() {
	open := 0
	for _, st := range slices.Backward(s.streams) {
		if st.file != nil {
			if open++; open > maxOpen && st.missed == 0 && st.split.base+int64(len(st.split.buf)) >= st.read.size {
				st.close()
				st.finished = true // until it grows
				open--
			}
		}
	}
}

type found struct {
	path string
	id   fileID
	info fs.FileInfo
}

// scan looks for files that are new, renamed, truncated or gone.
func (s *Source) scan(b *batch) error {
	files, err := s.glob()
	if err != nil {
		return err
	}
	s.scanned, s.lastScan = true, time.Now()
	byID := map[fileID]*stream{}
	for _, st := range s.streams {
		byID[st.at.fileID] = st
		st.missed++
	}
	var fresh []found
	for _, f := range files {
		st, now := byID[f.id], stampOf(f.info)
		switch {
		case st == nil:
			fresh = append(fresh, f)
			continue
		case st.file == nil && (st.at.Path != f.path || st.seen != now):
			// Nothing kept the system from giving the id to another file.
			s.streams = slices.DeleteFunc(s.streams, func(o *stream) bool { return o == st })
			s.leave(st.at)
			fresh = append(fresh, f)
			continue
		case st.seen == now:
			st.stalled++
		default:
			st.stalled = 0
		}
		st.at.Path, st.seen, st.missed = f.path, now, 0
	}
	// What is known of a file must be of what it holds now before others are
	// compared with it.
	for _, st := range s.streams {
		if st.file == nil || len(fresh) == 0 {
			continue
		}
		if _, changed, err := st.ready(); err == nil && changed {
			s.begin(st, b)
		}
	}
	// Files that are what they were come before those that look like another.
	var others []found
	for _, f := range fresh {
		if !s.resume(f, func(p position) bool { return p.fileID == f.id }) {
			others = append(others, f)
		}
	}
	var errs []error
	for _, f := range others {
		if err := s.open(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, s.complain(f.path, err))
		}
	}
	if over := len(s.left) - maxLeft; over > 0 {
		s.left = slices.Delete(s.left, 0, over)
	}
	if err := errors.Join(errs...); err != nil {
		s.scanned = false
		return err
	}
	// Files that went on and new ones are read in the order of the scan.
	order := map[fileID]int{}
	for i, f := range files {
		order[f.id] = i
	}
	slices.SortStableFunc(s.streams, func(a, b *stream) int { return order[a.at.fileID] - order[b.at.fileID] })
	return nil
}

// resume goes on with f at the latest of the positions left that may be, and
// turns out to be, of it.
func (s *Source) resume(f found, maybe func(position) bool) bool {
	for i, p := range slices.Backward(s.left) {
		if !maybe(p) {
			continue
		}
		st, err := openAt(f.path, p)
		if err != nil {
			continue
		}
		st.close() // opened again when it is its turn
		s.add(st, f)
		s.left = slices.Delete(s.left, i, i+1)
		return true
	}
	return false
}

// open adds a file that was not read under its id.
func (s *Source) open(f found) error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	head, compressed, err := headOf(file)
	_ = file.Close() // it was only read
	if err != nil {
		return err
	}
	recognizes := func(p position) bool { return p.Head.Len >= minHead && p.Head.begins(head) }
	if s.resume(f, recognizes) {
		return nil
	}
	if s.cfg.Follow {
		for _, st := range s.streams {
			st.refreshHead()
			if recognizes(st.position()) && s.isCopy(f, compressed, st) {
				return nil
			}
		}
	}
	s.add(&stream{}, f)
	return nil
}

// isCopy reports whether f holds what st holds, as far as that was read. It is
// held back while st is there: a rotation by copy leaves it as what st was.
func (s *Source) isCopy(f found, compressed bool, st *stream) bool {
	p := st.position()
	as := copyOf{of: st, offset: p.Offset, size: f.info.Size()}
	if s.held[f.id] == as {
		return true
	}
	same := false
	if opened, err := openAt(f.path, p); err == nil {
		opened.close()
		same = true
	} else if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		same = compressed || sameEnd(f.path, st.at.Path) // being written
	}
	if same {
		s.held[f.id] = as
	}
	return same
}

func (s *Source) add(st *stream, f found) {
	st.at.Path, st.at.fileID, st.seen = f.path, f.id, stampOf(f.info)
	s.streams = append(s.streams, st)
	delete(s.held, f.id)
}

// glob returns the files that the paths name, each once.
func (s *Source) glob() ([]found, error) {
	var files []found
	seen := map[fileID]bool{}
	for _, pattern := range s.cfg.Paths {
		paths := []string{pattern}
		if isPattern(pattern) {
			var err error
			if paths, err = filepath.Glob(pattern); err != nil {
				return nil, fmt.Errorf("find %s: %w", pattern, err)
			}
		}
		from := len(files)
		for _, p := range paths {
			info, err := os.Stat(p)
			if errors.Is(err, fs.ErrNotExist) && s.cfg.Follow {
				continue // between two steps of a rotation
			}
			if err != nil {
				return nil, fmt.Errorf("find file: %w", err)
			}
			id := idOf(p, info)
			if info.IsDir() || seen[id] {
				continue
			}
			seen[id] = true
			files = append(files, found{path: p, id: id, info: info})
		}
		if s.cfg.Follow {
			slices.SortStableFunc(files[from:], func(a, b found) int { return a.info.ModTime().Compare(b.info.ModTime()) })
		} else {
			slices.SortStableFunc(files[from:], func(a, b found) int { return cmp.Compare(a.path, b.path) })
		}
	}
	return files, nil
}

// encodedCursor keeps the encoding of positions that did not move: of many
// files, one moves at a time.
type encodedCursor struct {
	of   []position
	json []json.RawMessage
}

func (s *Source) cursor() (json.RawMessage, error) {
	all := slices.Clone(s.left)
	for _, st := range s.streams {
		if p := st.position(); p.Offset > 0 {
			all = append(all, p)
		}
	}
	old := s.encoded
	s.encoded = encodedCursor{of: all, json: make([]json.RawMessage, len(all))}
	for i, p := range all {
		if i < len(old.of) && old.of[i] == p {
			s.encoded.json[i] = old.json[i]
			continue
		}
		b, err := json.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encode cursor of files: %w", err)
		}
		s.encoded.json[i] = b
	}
	data, err := json.Marshal(struct {
		Version int               `json:"version"`
		Files   []json.RawMessage `json:"files"`
	}{cursorVersion, s.encoded.json})
	if err != nil {
		return nil, fmt.Errorf("encode cursor of files: %w", err)
	}
	return data, nil
}

// batch collects records.
type batch struct {
	cfg     *Config
	records []ingest.Record
	bytes   int
	// slab holds the data of the records, so that one allocation serves many.
	slab []byte
}

func (s *Source) newBatch() *batch { return &batch{cfg: &s.cfg} }

func (b *batch) full() bool { return len(b.records) >= b.cfg.BatchSize || b.bytes >= maxBatchBytes }

// add appends the records within v.
func (b *batch) add(path string, v value) {
	data := [][]byte{v.data}
	if v.err == nil {
		data = unwrap(v.data)
	}
	origin := path + ":" + strconv.FormatInt(v.line, 10)
	for _, d := range data {
		b.records = append(b.records, ingest.Record{
			Source: b.cfg.Source, Tenant: b.cfg.Tenant, Stream: b.cfg.Stream,
			Data: b.copy(d), Origin: origin, Err: v.err,
		})
		b.bytes += len(d)
	}
}

// copy returns b's own copy of d.
func (b *batch) copy(d []byte) []byte {
	const slab = 128 << 10
	if len(d) > slab/4 {
		return append([]byte(nil), d...)
	}
	if cap(b.slab)-len(b.slab) < len(d) {
		b.slab = make([]byte, 0, slab)
	}
	from := len(b.slab)
	b.slab = append(b.slab, d...)
	return b.slab[from:len(b.slab):len(b.slab)]
}
