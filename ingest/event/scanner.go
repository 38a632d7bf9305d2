package event

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"time"
	"unicode/utf8"
	"unsafe"
)

// scanner reads JSON from left to right. What it does not know, or what is wrong,
// makes it odd: then it yields zero values and the general decoder decides.
type scanner struct {
	data []byte
	at   int
	odd  bool
	// scratch holds texts that had escapes.
	scratch []byte
}

func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// peek returns the next byte that is no space, 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.data) && s.data[s.at] > ' ' {
		return s.data[s.at]
	}
	s.space()
	if s.at < len(s.data) {
		return s.data[s.at]
	}
	return 0
}

// open takes the brace or bracket c.
func (s *scanner) open(c byte) {
	if s.peek() != c {
		s.odd = true
		return
	}
	s.at++
}

// key takes the key of the next member of an object, with its colon, and reports
// whether there is one; after the last it takes the brace.
func (s *scanner) key(first bool) (string, bool) {
	if s.odd {
		return "", false
	}
	switch c := s.peek(); {
	case c == '}':
		s.at++
		return "", false
	case first:
	case c == ',':
		s.at++
	default:
		s.odd = true
		return "", false
	}
	key := s.text()
	if s.peek() != ':' {
		s.odd = true
		return "", false
	}
	s.at++
	return key, !s.odd
}

// element reports whether a list, whose bracket is taken first, has one more
// element; after the last it takes the bracket.
func (s *scanner) element(bracket byte, first bool) bool {
	if first {
		s.open(bracket)
	}
	if s.odd {
		return false
	}
	switch c := s.peek(); {
	case c == ']':
		s.at++
		return false
	case first:
		return true
	case c == ',':
		s.at++
		return true
	}
	s.odd = true
	return false
}

// special marks the bytes of w that do not stand for themselves in a text: quote,
// backslash, controls and what is not ASCII. Only the lowest mark is exact.
func special(w uint64) uint64 {
	const low, high = 0x0101010101010101, 0x8080808080808080
	quote, slash := w^0x22*low, w^0x5c*low
	return ((quote-low)&^quote | (slash-low)&^slash | (w-0x20*low)&^w | w) & high
}

// text takes a text. It aliases the data where it has no escapes.
func (s *scanner) text() string {
	if s.peek() != '"' {
		s.odd = true
		return ""
	}
	begin := s.at + 1
	i := begin
	for i+8 <= len(s.data) {
		if m := special(binary.LittleEndian.Uint64(s.data[i:])); m != 0 {
			i += bits.TrailingZeros64(m) / 8
			break
		}
		i += 8
	}
	for ; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.at = i + 1
			return alias(s.data[begin:i])
		case c < ' ' || c == '\\' || c >= utf8.RuneSelf:
			return s.escaped(begin, i)
		}
	}
	s.odd = true
	return ""
}

// escaped goes on with a text that began at begin and has something special at i.
func (s *scanner) escaped(begin, i int) string {
	from := len(s.scratch)
	clean := true // aliases the data
	for i < len(s.data) {
		c := s.data[i]
		switch {
		case c == '"':
			s.at = i + 1
			out := s.data[begin:i]
			if !clean {
				out = s.scratch[from:]
			}
			if !utf8.Valid(out) {
				s.odd = true
			}
			return alias(out)
		case c < ' ':
			s.odd = true
			return ""
		case c == '\\':
			if clean {
				s.scratch = append(s.scratch, s.data[begin:i]...)
				clean = false
			}
			n := s.unescape(i)
			if n == 0 {
				s.odd = true
				return ""
			}
			i += n
			continue
		case !clean:
			s.scratch = append(s.scratch, c)
		}
		i++
	}
	s.odd = true
	return ""
}

// unescape appends what the escape at i stands for to scratch and returns its
// length, 0 for one that is left to the general decoder.
func (s *scanner) unescape(i int) int {
	if i+1 >= len(s.data) {
		return 0
	}
	switch c := s.data[i+1]; c {
	case '"', '\\', '/':
		s.scratch = append(s.scratch, c)
	case 'b':
		s.scratch = append(s.scratch, '\b')
	case 'f':
		s.scratch = append(s.scratch, '\f')
	case 'n':
		s.scratch = append(s.scratch, '\n')
	case 'r':
		s.scratch = append(s.scratch, '\r')
	case 't':
		s.scratch = append(s.scratch, '\t')
	case 'u':
		if i+6 > len(s.data) {
			return 0
		}
		r := rune(0)
		for _, c := range s.data[i+2 : i+6] {
			switch {
			case c >= '0' && c <= '9':
				c -= '0'
			case c|0x20 >= 'a' && c|0x20 <= 'f':
				c = c | 0x20 - 'a' + 10
			default:
				return 0
			}
			r = r<<4 | rune(c)
		}
		if !utf8.ValidRune(r) {
			return 0
		}
		s.scratch = utf8.AppendRune(s.scratch, r)
		return 6
	default:
		return 0
	}
	return 2
}

// number returns the bytes of the number that comes next, and takes them.
func (s *scanner) number() []byte {
	s.peek()
	begin := s.at
	for s.at < len(s.data) {
		switch c := s.data[s.at]; {
		case c >= '0' && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
			s.at++
			continue
		}
		break
	}
	return s.data[begin:s.at]
}

// integer takes a number without fraction.
func (s *scanner) integer() int64 {
	b := s.number()
	digits := b
	if len(b) > 0 && b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) == 0 || len(digits) > 18 || len(digits) > 1 && digits[0] == '0' {
		s.odd = true
		return 0
	}
	n := int64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			s.odd = true
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	if len(digits) < len(b) {
		n = -n
	}
	return n
}

// float takes a number.
func (s *scanner) float() float64 {
	b := s.number()
	// JSON wants a digit first and after the point.
	digits := b
	if len(b) > 0 && b[0] == '-' {
		digits = b[1:]
	}
	for i, c := range digits {
		digit := c >= '0' && c <= '9'
		if !digit && c != '.' || !digit && (i == 0 || i == len(digits)-1) || i == 1 && digit && digits[0] == '0' {
			s.odd = true
			return 0
		}
	}
	f, err := strconv.ParseFloat(alias(b), 64)
	if err != nil {
		s.odd = true
	}
	return f
}

// boolean takes true or false.
func (s *scanner) boolean() bool {
	switch s.peek() {
	case 't':
		if s.literal("true") {
			return true
		}
	case 'f':
		if s.literal("false") {
			return false
		}
	}
	s.odd = true
	return false
}

func (s *scanner) literal(word string) bool {
	if len(s.data)-s.at < len(word) || string(s.data[s.at:s.at+len(word)]) != word {
		return false
	}
	s.at += len(word)
	return true
}

// time takes a time in UTC as RFC 3339 has it.
func (s *scanner) time() time.Time {
	text := s.text()
	t, ok := parseTime(text)
	if !ok {
		s.odd = true
	}
	return t
}

// parseTime parses 2026-03-02T12:00:00.123456789Z.
func parseTime(s string) (time.Time, bool) {
	const layout = "0000-00-00T00:00:00Z"
	if len(s) < len(layout) || s[len(s)-1] != 'Z' || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, false
	}
	bad := false
	two := func(i int) int {
		a, b := s[i]-'0', s[i+1]-'0'
		bad = bad || a > 9 || b > 9
		return int(a)*10 + int(b)
	}
	year, month, day := two(0)*100+two(2), two(5), two(8)
	hour, minute, second := two(11), two(14), two(17)
	nano := 0
	if fraction := s[19 : len(s)-1]; fraction != "" {
		if fraction[0] != '.' || len(fraction) < 2 || len(fraction) > 10 {
			return time.Time{}, false
		}
		for _, c := range []byte(fraction[1:]) {
			bad = bad || c < '0' || c > '9'
			nano = nano*10 + int(c-'0')
		}
		for range 10 - len(fraction) {
			nano *= 10
		}
	}
	if bad || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	return time.Unix(days(year, month, day)*86400+int64(hour*3600+minute*60+second), int64(nano)).UTC(), true
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// days counts the days from 1970-01-01 in the Gregorian calendar, whose year
// begins in March here, so that the leap day is its last.
func days(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	inYear := (153*(month-3)+2)/5 + day - 1
	return int64(year)*365 + int64(floor(year, 4)-floor(year, 100)+floor(year, 400)+inYear) - 719468
}

func floor(a, b int) int {
	if a < 0 {
		return -((b - 1 - a) / b)
	}
	return a / b
}

// alias returns b as a text without copying it.
func alias(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}
