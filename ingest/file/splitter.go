package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"stepdown/ingest"
)

const (
	// maxValue is the longest value that is read as a record.
	maxValue = 8 << 20
	// maxKept is how much is kept of what is longer.
	maxKept = 64 << 10
	// tailLen is how many bytes before a position are remembered to recognize
	// it.
	tailLen = 256
)

// bom is the mark with which some tools begin a UTF-8 file.
const bom = "\ufeff"

// container is what the values are members of.
type container string

const (
	inNothing  container = ""
	inArray    container = "array"
	inEnvelope container = "envelope" // the array within an object
	inTail     container = "tail"     // the rest of that object
)

// value is one framed value, or what could not be framed.
type value struct {
	// data is valid until the next call of the splitter.
	data []byte
	line int64
	err  error
}

// splitter cuts a stream of bytes into JSON values. It holds one value at most.
type splitter struct {
	limit int // maxValue, smaller in tests

	buf  []byte // buf[r:] is unread
	r    int
	base int64 // offset of buf[0] in the stream
	// line is the number of the line of buf[r]; indent the white space before
	// it in its line, -1 where there is more than white space.
	line   int64
	indent int
	in     container
	// opened is the line on which the container began.
	opened int64
	tail   []byte

	scan scan
	bad  *bad
}

// scan is how far the value at buf[r] has been looked at.
type scan struct {
	pos      int // next byte to look at
	stack    []byte
	inString bool
	last     byte // last byte outside of strings and white space
	lines    int  // line ends passed
	start    int  // of the line of pos
	fresh    bool // only white space since start
	// resume is the first line after the value's first that begins as the
	// value did; 0 while there is none.
	resume int
}

// bad is a stretch that is given up and whose end is not in the buffer yet.
type bad struct {
	value
	offset int64 // of its beginning
	// block: it ends before a line that begins like a value; else it ends with
	// the line.
	block  bool
	framed bool // it ends with the value, which scan follows
	indent int
}

func newSplitter(offset int64, line int64, in container, tail []byte) *splitter {
	return &splitter{limit: maxValue, base: offset, line: max(line, 1), in: in, tail: bytes.Clone(tail)}
}

// position returns the offset of the first byte that no returned value covers,
// and its line.
func (s *splitter) position() (offset, line int64) {
	if s.bad != nil {
		return s.bad.offset, s.bad.line
	}
	return s.base + int64(s.r), s.line
}

// read adds bytes of r to the buffer.
func (s *splitter) read(r io.Reader) (int, error) {
	const chunk = 256 << 10
	if len(s.buf)+chunk/4 > cap(s.buf) {
		s.compact(chunk)
	}
	n, err := r.Read(s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	return n, err
}

// write adds b to the buffer.
func (s *splitter) write(b []byte) {
	if len(s.buf)+len(b) > cap(s.buf) {
		s.compact(len(b))
	}
	s.buf = append(s.buf, b...)
}

// compact makes room for more.
func (s *splitter) compact(room int) {
	unread := s.buf[s.r:]
	to := s.buf
	if len(unread)+room > cap(s.buf) {
		to = make([]byte, 2*len(unread)+room)
	}
	s.base += int64(s.r)
	s.scan.pos -= s.r
	s.scan.start -= s.r
	if s.scan.resume > 0 {
		s.scan.resume -= s.r
	}
	s.buf = to[:copy(to[:len(unread)], unread)]
	s.r = 0
}

// next returns the next value. end is nil while more bytes may come, io.EOF when
// none will, or why none can; then ok is false only when everything was returned.
func (s *splitter) next(end error) (v value, ok bool) {
	for {
		if s.bad != nil {
			if v, ok := s.giveUp(end); ok || s.bad != nil {
				return v, ok
			}
			continue
		}
		if s.base == 0 && s.r == 0 && len(s.buf) < len(bom) && strings.HasPrefix(bom, string(s.buf)) && end == nil {
			return value{}, false
		}
		if s.scan.pos <= s.r {
			s.skipSpace()
		}
		if s.r == len(s.buf) {
			return s.atEnd(end)
		}
		switch c := s.buf[s.r]; {
		case s.in == inTail:
			if done := s.skipTail(); !done {
				return s.atEnd(end)
			}
		case c == '[' && s.in == inNothing:
			s.in, s.opened = inArray, s.line
			s.advance(s.r + 1)
		case c == ']' && s.in == inArray:
			s.in = inNothing
			s.advance(s.r + 1)
		case c == ']' && s.in == inEnvelope:
			s.in = inTail
			s.advance(s.r + 1)
		case c == '{' || c == '[':
			if c == '{' && s.in == inNothing && s.scan.pos <= s.r {
				n, more := envelopeStart(s.buf[s.r:])
				if more && end == nil {
					return value{}, false
				}
				if n > 0 {
					s.in, s.opened = inEnvelope, s.line
					s.advance(s.r + n)
					continue
				}
			}
			if v, ok := s.frame(end); ok || s.bad == nil {
				return v, ok
			}
		default:
			s.giveUpFrom(s.r, bad{value: value{err: fmt.Errorf("no JSON object begins with %q", c)}})
		}
	}
}

// atEnd says what is wrong with the end, if it is one.
func (s *splitter) atEnd(end error) (value, bool) {
	if end == nil {
		return value{}, false
	}
	v := value{line: s.line, data: s.buf[s.r:], err: end}
	if errors.Is(end, io.EOF) {
		if s.in == inNothing {
			return value{}, false
		}
		v.err = errors.New("the input ends within an array")
	}
	if s.in == inNothing && len(v.data) == 0 {
		return value{}, false
	}
	s.in = inNothing
	s.advance(len(s.buf))
	return v, true
}

// skipSpace passes what stands between values; commas are never missed.
func (s *splitter) skipSpace() {
	i := s.r
	if s.base == 0 && i == 0 && bytes.HasPrefix(s.buf, []byte(bom)) {
		i = len(bom)
	}
	for i < len(s.buf) {
		switch s.buf[i] {
		case ' ', '\t', '\r', '\n', ',':
			i++
			continue
		}
		break
	}
	if i > s.r {
		s.advance(i)
	}
}

// skipTail passes the members after the array of an envelope.
func (s *splitter) skipTail() bool {
	inString := false
	for i := s.r; i < len(s.buf); i++ {
		switch c := s.buf[i]; {
		case c == '\\' && inString:
			i++
		case c == '"':
			inString = !inString
		case c == '}' && !inString:
			s.in = inNothing
			s.advance(i + 1)
			return true
		case c == '\n' && i+1 < len(s.buf) && s.buf[i+1] == '{':
			// It was cut off; another value begins.
			s.in = inNothing
			s.advance(i + 1)
			return true
		}
		if i-s.r > maxKept {
			s.in = inNothing // no envelope of ours
			return true
		}
	}
	return false
}

// advance moves to buf[to:].
func (s *splitter) advance(to int) {
	passed := s.buf[s.r:to]
	if last := bytes.LastIndexByte(passed, '\n'); last >= 0 {
		s.line += int64(bytes.Count(passed, []byte{'\n'}))
		s.indent = indentOf(passed[last+1:], 0)
	} else {
		s.indent = indentOf(passed, s.indent)
	}
	if len(passed) >= tailLen {
		s.tail = append(s.tail[:0], passed[len(passed)-tailLen:]...)
	} else {
		s.tail = append(s.tail, passed...)
		if over := len(s.tail) - tailLen; over > 0 {
			s.tail = append(s.tail[:0], s.tail[over:]...)
		}
	}
	s.r = to
	s.scan = scan{pos: to, start: to, stack: s.scan.stack[:0]}
}

// indentOf adds the white space of b to an indentation.
func indentOf(b []byte, indent int) int {
	for _, c := range b {
		if c != ' ' && c != '\t' {
			return -1
		}
	}
	if indent < 0 {
		return indent
	}
	return indent + len(b)
}

// frame finds the end of the value at buf[r].
func (s *splitter) frame(end error) (value, bool) {
	outcome, broken := s.follow(s.indent)
	switch {
	case outcome == framed && s.scan.lines > 0 && !json.Valid(s.buf[s.r:s.scan.pos]):
		// Lines that do not belong together closed each other's brackets.
		return s.breakOff(s.scan.pos, errors.New("the lines make no JSON value"))
	case outcome == framed:
		return s.take(s.scan.pos, nil), true
	case outcome == mismatched:
		return s.breakOff(s.scan.pos, broken)
	case s.scan.pos-s.r > s.limit && s.scan.resume > 0, end != nil && s.scan.resume > 0:
		return s.breakOff(s.scan.pos, errors.New("the value breaks off"))
	case s.scan.pos-s.r > s.limit:
		state := s.scan
		state.stack = bytes.Clone(state.stack)
		s.giveUpFrom(s.r, bad{value: value{err: tooLong(s.limit)}, framed: true, indent: s.indent})
		s.scan = state
		return value{}, false
	case end != nil:
		if errors.Is(end, io.EOF) {
			end = errors.New("the input ends within a value")
		}
		s.in = inNothing // said once
		return s.take(len(s.buf), end), true
	}
	return value{}, false
}

func tooLong(limit int) error {
	return ingest.Malformed(ingest.MalformedTooBig, "value is longer than %d bytes; its first %d are kept", limit, maxKept)
}

// take returns buf[r:to] and moves behind it.
func (s *splitter) take(to int, err error) value {
	v := value{data: s.buf[s.r:to], line: s.line, err: err}
	s.advance(to)
	return v
}

// breakOff gives up the value at buf[r], which is wrong at buf[at], and resumes
// at the first line that begins like it.
func (s *splitter) breakOff(at int, err error) (value, bool) {
	if s.scan.resume > 0 {
		v := s.take(s.scan.resume, err)
		v.data = bytes.TrimRight(v.data, "\r\n")
		return v, true
	}
	s.giveUpFrom(at, bad{value: value{err: err}, block: s.scan.lines > 0, indent: s.indent})
	return value{}, false
}

// giveUpFrom begins to give up the stretch at buf[r:], which is known not to end
// before buf[at].
func (s *splitter) giveUpFrom(at int, b bad) {
	b.offset, b.line = s.position()
	b.data = bytes.Clone(s.buf[s.r:min(at, s.r+maxKept)])
	s.bad = &b
	tail := bytes.Clone(s.tail)
	s.advance(at)
	s.tail = tail // the position stays where the stretch begins
}

// giveUp passes a stretch that was given up, as far as the buffer goes. It
// returns it when its end is found.
func (s *splitter) giveUp(end error) (value, bool) {
	b := s.bad
	to, found, wrong := len(s.buf), false, false
	switch {
	case b.framed:
		switch outcome, _ := s.follow(b.indent); {
		case outcome == framed:
			to, found = s.scan.pos, true
		case outcome == mismatched && s.scan.resume > 0:
			to, found = s.scan.resume, true
		case outcome == mismatched:
			to, b.framed, b.block = s.scan.pos, false, s.scan.lines > 0
			wrong = true
		case s.scan.resume > 0:
			to, found = s.scan.resume, true
		default:
			// A quote may follow these backslashes.
			for to > s.r && s.buf[to-1] == '\\' {
				to--
			}
			if end != nil {
				to = len(s.buf)
			}
		}
	case b.block:
		to, found = s.nextStart(b.indent)
	default:
		if i := bytes.IndexByte(s.buf[s.r:], '\n'); i >= 0 {
			to, found = s.r+i+1, true
			if s.opened == b.line {
				s.in = inNothing // the line held all of it
			}
		}
	}
	if room := maxKept - len(b.data); room > 0 {
		b.data = append(b.data, s.buf[s.r:min(to, s.r+room)]...)
	}
	state, tail := s.scan, s.tail
	s.tail = nil
	s.advance(to)
	if wrong {
		s.tail = tail
		return s.giveUp(end)
	}
	if !found && end == nil {
		s.tail = tail
		if b.framed {
			state.stack = bytes.Clone(state.stack)
			s.scan = state
		}
		return value{}, false
	}
	if !found && errors.Is(end, io.EOF) && s.in != inNothing {
		s.in = inNothing // said once
	}
	v := b.value
	v.data = bytes.TrimRight(v.data, "\r\n")
	s.bad = nil
	return v, true
}

// nextStart returns the first line from here on that begins like a value with
// the given indentation or less, or how far it is certain that none does.
func (s *splitter) nextStart(indent int) (int, bool) {
	for i := s.r; ; {
		nl := bytes.IndexByte(s.buf[i:], '\n')
		if nl < 0 {
			return len(s.buf), false
		}
		line := s.buf[i+nl+1:]
		blank := 0
		for blank < len(line) && blank < max(indent, 0) && (line[blank] == ' ' || line[blank] == '\t') {
			blank++
		}
		if blank == len(line) {
			return i + nl, false // the line's beginning is yet to come
		}
		if c := line[blank]; c == '{' || c == '[' || c == ']' {
			return i + nl + 1, true
		}
		i += nl + 1
	}
}

type outcome int

const (
	incomplete outcome = iota
	framed             // scan.pos is the end of the value
	mismatched         // scan.pos is where it is wrong
)

// follow looks at the bytes of the value at buf[r] that it has not seen. A line
// that begins as the value did (with "{" at the same indentation or less) where
// no "{" may stand means that the value broke off before it.
func (s *splitter) follow(indent int) (outcome, error) {
	c := &s.scan
	buf := s.buf
	if most := s.r + s.limit + 1; s.bad == nil && len(buf) > most {
		buf = buf[:most] // what happens does not depend on how much was read
	}
	lineEnd := len(buf)
	if nl := bytes.IndexByte(buf[c.pos:], '\n'); nl >= 0 {
		lineEnd = c.pos + nl
	}
	i := c.pos
	for i < len(buf) {
		if c.inString {
			q := bytes.IndexByte(buf[i:lineEnd], '"')
			if q < 0 {
				if lineEnd < len(buf) {
					c.pos = lineEnd
					return mismatched, errors.New("a string does not end in its line")
				}
				i = len(buf)
				break
			}
			i += q + 1
			if !escaped(buf[s.r : i-1]) {
				c.inString, c.last = false, '"'
			}
			continue
		}
		switch b := buf[i]; b {
		case ' ', '\t', '\r':
		case '\n':
			c.lines++
			c.start, c.fresh = i+1, true
			lineEnd = len(buf)
			if nl := bytes.IndexByte(buf[i+1:], '\n'); nl >= 0 {
				lineEnd = i + 1 + nl
			}
		case '"':
			c.inString, c.fresh = true, false
		case '{', '[':
			if b == '{' && c.fresh && i-c.start <= max(indent, 0) {
				if c.resume == 0 {
					c.resume = c.start
				}
				if allowed := c.last == ':' || c.last == '[' || c.last == ',' && c.stack[len(c.stack)-1] == '['; !allowed {
					c.pos = i
					return mismatched, errors.New("the value breaks off")
				}
			}
			c.stack = append(c.stack, b)
			c.last, c.fresh = b, false
		case '}', ']':
			if len(c.stack) == 0 || c.stack[len(c.stack)-1] != b-2 {
				c.pos = i
				return mismatched, fmt.Errorf("%q closes nothing", b)
			}
			c.stack = c.stack[:len(c.stack)-1]
			c.last, c.fresh = b, false
			if len(c.stack) == 0 {
				c.pos = i + 1
				return framed, nil
			}
		default:
			c.last, c.fresh = b, false
		}
		i++
	}
	c.pos = i
	return incomplete, nil
}

// escaped reports whether a quote behind b is escaped.
func escaped(b []byte) bool {
	n := 0
	for n < len(b) && b[len(b)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}
