package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"stepdown/ingest"
)

// stdin reads an input that blocks and has no position. A goroutine of its own
// does, since nothing else can end Poll with its context; it ends with the input
// or with the process.
type stdin struct {
	in     io.Reader
	start  sync.Once
	stop   chan struct{}
	chunks chan chunk
	split  *splitter
	end    error
	done   bool
}

type chunk struct {
	data []byte
	err  error
}

func newStdin(in io.Reader) *stdin {
	return &stdin{in: in, stop: make(chan struct{}), chunks: make(chan chunk), split: newSplitter(0, 1, inNothing, nil)}
}

func (s *stdin) pump() {
	in, closeIn, _, err := decompress(s.in)
	if err != nil {
		in, closeIn = broken{err}, func() {}
	}
	defer closeIn()
	for {
		data := make([]byte, 64<<10)
		n, err := in.Read(data)
		select {
		case s.chunks <- chunk{data[:n], err}:
		case <-s.stop:
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *stdin) close() { close(s.stop) }

func (s *stdin) poll(ctx context.Context, b *batch) (ingest.Batch, error) {
	const path = "stdin"
	s.start.Do(func() { go s.pump() })
	for !b.full() && !s.done {
		if v, ok := s.split.next(s.end); ok {
			if s.end != nil && errors.Is(v.err, s.end) {
				s.end = io.EOF // said
			}
			b.add(path, v)
			continue
		}
		if s.end != nil {
			if !errors.Is(s.end, io.EOF) {
				b.add(path, value{line: s.split.line, err: fmt.Errorf("read %s: %w", path, s.end)})
			}
			s.done = true
			break
		}
		var c chunk
		select {
		case c = <-s.chunks:
		default:
			if len(b.records) > 0 {
				return ingest.Batch{Records: b.records}, nil
			}
			select {
			case c = <-s.chunks:
			case <-ctx.Done():
				return ingest.Batch{}, ctx.Err()
			}
		}
		s.split.write(c.data)
		s.end = c.err
	}
	if len(b.records) == 0 {
		return ingest.Batch{}, io.EOF
	}
	return ingest.Batch{Records: b.records}, nil
}
