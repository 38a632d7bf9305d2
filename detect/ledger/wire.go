package ledger

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"math/bits"
	"strconv"
	"time"
)

// errWire is what a Reader finds wrong.
var errWire = errors.New("cut short or not of this version")

// A text is written as a number, whose last bits tell what follows.
const (
	tagText = 1 // a text that was written before: its number among those
	tagWord = 3 // a word of the vocabulary
	tagBits = 2
	// The kinds of other texts: a UUID as sixteen bytes, an IPv4 address as four, or
	// as many bytes as the kind is above kindLength.
	kindUUID   = 1
	kindIPv4   = 2
	kindLength = 2
	uuidLength = 36
	maxIPv4    = len("255.255.255.255")
	// slotCount is the size of the table in which a Writer finds texts again, and
	// maxProbes how far it looks: who chooses texts that collide gets them
	// written in full.
	slotCount = 1 << 11
	maxProbes = 8
	// maxSeconds is the last time that is told by its distance, in 2198.
	maxSeconds = 7_200_000_000
	// permanent marks the slots of the vocabulary.
	permanent = math.MaxUint32
)

// Writer encodes ledgers, and what detect keeps beside them, compactly: numbers
// as varints, times as differences, a UUID as its sixteen bytes, a text that was
// written before as its number. It is for one goroutine and used again and
// again.
type Writer struct {
	buf   []byte
	last  int64 // the time that was written last, in nanoseconds
	words []string
	texts []string
	slots []slot
	stamp uint32
}

// slot is live when its stamp is permanent or that of the present record.
type slot struct {
	stamp uint32
	index uint32
}

// NewWriter returns an empty writer.
func NewWriter() *Writer {
	w := &Writer{words: vocabulary(), slots: make([]slot, slotCount), stamp: 1}
	for i, s := range w.words {
		at := hashText(s) % slotCount
		for w.slots[at].stamp == permanent {
			at = (at + 1) % slotCount
		}
		w.slots[at] = slot{permanent, uint32(i)}
	}
	return w
}

// Reset begins a new record.
func (w *Writer) Reset() {
	w.buf, w.texts, w.last = w.buf[:0], w.texts[:0], 0
	if w.stamp++; w.stamp == permanent {
		clear(w.slots)
		*w = Writer{buf: w.buf, texts: w.texts, words: w.words, slots: NewWriter().slots, stamp: 1}
	}
}

// Since makes t the time that the next one is told by its distance from.
func (w *Writer) Since(t time.Time) { w.last = since(t) }

// since is t in nanoseconds, 0 for one that is not told by its distance.
func since(t time.Time) int64 {
	if sec := t.Unix(); sec < 0 || sec > maxSeconds {
		return 0
	}
	return t.UnixNano()
}

// Bytes returns what was written; it is good until Reset.
func (w *Writer) Bytes() []byte { return w.buf }

// Uint writes a number.
func (w *Writer) Uint(x uint64) { w.buf = binary.AppendUvarint(w.buf, x) }

// Int writes a number that may be negative.
func (w *Writer) Int(x int64) { w.buf = binary.AppendVarint(w.buf, x) }

// Bool writes yes or no.
func (w *Writer) Bool(b bool) {
	n := byte(0)
	if b {
		n = 1
	}
	w.buf = append(w.buf, n)
}

// Byte writes one byte.
func (w *Writer) Byte(b byte) { w.buf = append(w.buf, b) }

// List writes the length of a list, and its members by write.
func (w *Writer) List(n int, write func(i int)) {
	w.Uint(uint64(n))
	for i := range n {
		write(i)
	}
}

// Fixed writes a number that is no smaller than its eight bytes, such as a hash.
func (w *Writer) Fixed(x uint64) { w.buf = binary.LittleEndian.AppendUint64(w.buf, x) }

// Fixed32 is Fixed for four bytes.
func (w *Writer) Fixed32(x uint32) { w.buf = binary.LittleEndian.AppendUint32(w.buf, x) }

// Append writes bytes without their length.
func (w *Writer) Append(b []byte) { w.buf = append(w.buf, b...) }

// Blob writes bytes.
func (w *Writer) Blob(b []byte) {
	w.Uint(uint64(len(b)))
	w.buf = append(w.buf, b...)
}

// Time writes a time as its distance from the time before it, in the largest
// unit that says it exactly: seconds, milliseconds, microseconds or nanoseconds.
func (w *Writer) Time(t time.Time) {
	if t.IsZero() {
		w.Uint(0)
		return
	}
	if sec := t.Unix(); sec < 0 || sec > maxSeconds {
		w.apart(t)
		return
	}
	ns := t.UnixNano()
	d := ns - w.last
	unit := 0
	switch {
	case d%1e9 == 0:
		d /= 1e9
	case d%1e6 == 0:
		unit, d = 1, d/1e6
	case d%1e3 == 0:
		unit, d = 2, d/1e3
	default:
		unit = 3
	}
	zigzag := uint64(d)<<1 ^ uint64(d>>63)
	if zigzag>>61 != 0 {
		w.apart(t) // too far away for the tag
		return
	}
	w.last = ns
	w.Uint(zigzag<<2 + uint64(unit) + 2)
}

// apart writes a time that is not told by its distance, after a tag of its own.
func (w *Writer) apart(t time.Time) {
	w.Uint(1)
	w.Int(t.Unix())
	w.Uint(uint64(t.Nanosecond()))
}

// Word returns s as the vocabulary has it, and whether it does.
func (w *Writer) Word(s string) (string, bool) {
	for at := hashText(s) % slotCount; w.slots[at].stamp == permanent || w.slots[at].stamp == w.stamp; at = (at + 1) % slotCount {
		if n := w.slots[at]; n.stamp == permanent && w.words[n.index] == s {
			return w.words[n.index], true
		}
	}
	return "", false
}

// Text writes a text.
func (w *Writer) Text(s string) {
	if s == "" {
		w.buf = append(w.buf, 0)
		return
	}
	at := hashText(s) % slotCount
	for range maxProbes {
		n := &w.slots[at]
		switch {
		case n.stamp == permanent:
			if w.words[n.index] == s {
				w.Uint(uint64(n.index)<<tagBits | tagWord)
				return
			}
		case n.stamp != w.stamp:
			*n = slot{w.stamp, uint32(len(w.texts))}
			w.literal(s)
			return
		case w.texts[n.index] == s:
			w.Uint(uint64(n.index)<<tagBits | tagText)
			return
		}
		at = (at + 1) % slotCount
	}
	w.literal(s)
}

func (w *Writer) literal(s string) {
	w.texts = append(w.texts, s)
	if len(s) == uuidLength {
		if uuid, ok := packUUID(s); ok {
			w.buf = append(append(w.buf, kindUUID<<1), uuid[:]...)
			return
		}
	}
	if len(s) <= maxIPv4 {
		if ip, ok := packIPv4(s); ok {
			w.buf = append(append(w.buf, kindIPv4<<1), ip[:]...)
			return
		}
	}
	w.Uint(uint64(len(s)+kindLength) << 1)
	w.buf = append(w.buf, s...)
}

// hashText mixes the length, the beginning and the end of s. Digests of ids in a
// ledger are made of it: it is part of the encoding.
func hashText(s string) uint64 {
	h := uint64(len(s)) * 0x9e3779b97f4a7c15
	if len(s) >= 8 {
		h ^= word(s)
		h *= 0xbf58476d1ce4e5b9
		h ^= word(s[len(s)-8:])
	} else {
		for i := range len(s) {
			h = h<<8 | h>>56 ^ uint64(s[i])
		}
	}
	h *= 0x94d049bb133111eb
	return h ^ h>>32
}

func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// packUUID returns the bytes of a UUID in its canonical, lower-case form.
func packUUID(s string) (out [16]byte, ok bool) {
	if len(s) != uuidLength || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return out, false
	}
	bad := byte(0)
	n := 0
	for _, at := range [...]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34} {
		high, low := nibbles[s[at]], nibbles[s[at+1]]
		bad |= high | low
		out[n] = high<<4 | low&15
		n++
	}
	return out, bad < 16
}

// nibbles is the value of each hexadecimal digit in lower case, 255 for other
// bytes.
const nibbles = "" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\x0a\x0b\x0c\x0d\x0e\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
	"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"

// packIPv4 returns the bytes of an IPv4 address in its canonical form.
func packIPv4(s string) (out [4]byte, ok bool) {
	n, digits, value := 0, 0, 0
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			if digits > 0 && value == 0 {
				return out, false
			}
			digits, value = digits+1, value*10+int(c-'0')
			if value > 255 {
				return out, false
			}
		case c == '.' && digits > 0 && n < 3:
			out[n] = byte(value)
			n, digits, value = n+1, 0, 0
		default:
			return out, false
		}
	}
	out[3] = byte(value)
	return out, n == 3 && digits > 0
}

// Reader decodes what a Writer wrote. After the first error it yields zero
// values.
type Reader struct {
	data  []byte
	last  int64
	words []string
	texts []string
	space *Texts
	bad   bool
}

// NewReader returns a reader of nothing.
func NewReader() *Reader { return &Reader{words: vocabulary()} }

// Reset begins to read data. The texts that are read alias it, or lie in space:
// neither may change as long as they are used.
func (r *Reader) Reset(data []byte, space *Texts) {
	r.data, r.texts, r.last, r.space, r.bad = data, r.texts[:0], 0, space, false
}

// Since is Writer.Since.
func (r *Reader) Since(t time.Time) { r.last = since(t) }

// Err reports whether something could not be read.
func (r *Reader) Err() error {
	if r.bad {
		return errWire
	}
	return nil
}

// End reports whether everything was read, and Err.
func (r *Reader) End() error {
	if len(r.data) > 0 {
		r.bad = true
	}
	return r.Err()
}

func (r *Reader) fail() { r.bad, r.data = true, nil }

// Uint reads what Writer.Uint wrote.
func (r *Reader) Uint() uint64 {
	if len(r.data) > 0 && r.data[0] < 0x80 {
		x := r.data[0]
		r.data = r.data[1:]
		return uint64(x)
	}
	x, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.data = r.data[n:]
	return x
}

// Int reads what Writer.Int wrote.
func (r *Reader) Int() int64 {
	x := r.Uint()
	return int64(x>>1) ^ -int64(x&1)
}

// Bool reads what Writer.Bool wrote.
func (r *Reader) Bool() bool { return r.Byte() != 0 }

// Byte reads what Writer.Byte wrote.
func (r *Reader) Byte() byte {
	if len(r.data) == 0 {
		r.fail()
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

// Fixed reads what Writer.Fixed wrote.
func (r *Reader) Fixed() uint64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

// Fixed32 reads what Writer.Fixed32 wrote.
func (r *Reader) Fixed32() uint32 {
	b := r.take(4)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

// Left returns how many bytes were not read yet.
func (r *Reader) Left() int { return len(r.data) }

// Blob reads what Writer.Blob wrote.
func (r *Reader) Blob() []byte { return r.take(r.Uint()) }

func (r *Reader) take(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.fail()
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

// Count reads the length of a list, each member of which takes a byte at least.
func (r *Reader) Count() int {
	n := r.Uint()
	if n > uint64(len(r.data)) {
		r.fail()
		return 0
	}
	return int(n)
}

// Time reads what Writer.Time wrote.
func (r *Reader) Time() time.Time {
	x := r.Uint()
	switch x {
	case 0:
		return time.Time{}
	case 1:
		return time.Unix(r.Int(), int64(r.Uint()%1e9)).UTC()
	default:
		x -= 2
		units := [4]int64{1e9, 1e6, 1e3, 1}
		d := int64(x>>3) ^ -int64(x>>2&1)
		high, low := bits.Mul64(uint64(max(d, -d)), uint64(units[x&3]))
		if high != 0 || low > math.MaxInt64 {
			r.fail()
			return time.Time{}
		}
		r.last += d * units[x&3]
	}
	return time.Unix(r.last/1e9, r.last%1e9).UTC()
}

// Text reads what Writer.Text wrote.
func (r *Reader) Text() string {
	x := r.Uint()
	n := x >> tagBits
	switch {
	case x == 0:
		return ""
	case x&3 == tagText:
		if n >= uint64(len(r.texts)) {
			r.fail()
			return ""
		}
		return r.texts[n]
	case x&3 == tagWord:
		if n >= uint64(len(r.words)) {
			r.fail()
			return ""
		}
		return r.words[n]
	}
	var s string
	switch kind := x >> 1; kind {
	case kindUUID:
		s = r.uuid()
	case kindIPv4:
		s = r.ipv4()
	default:
		s = TextOf(r.take(kind - kindLength))
	}
	r.texts = append(r.texts, s)
	return s
}

func (r *Reader) uuid() string {
	b := r.take(16)
	if b == nil {
		return ""
	}
	var text [uuidLength]byte
	hex.Encode(text[:8], b[:4])
	hex.Encode(text[9:13], b[4:6])
	hex.Encode(text[14:18], b[6:8])
	hex.Encode(text[19:23], b[8:10])
	hex.Encode(text[24:], b[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return r.space.Join(TextOf(text[:]))
}

func (r *Reader) ipv4() string {
	b := r.take(4)
	if b == nil {
		return ""
	}
	var text [maxIPv4]byte
	out := strconv.AppendUint(text[:0], uint64(b[0]), 10)
	for _, c := range b[1:] {
		out = strconv.AppendUint(append(out, '.'), uint64(c), 10)
	}
	return r.space.Join(TextOf(out))
}

// vocabulary is the words that most records have, the most frequent first: the
// first 32 take one byte, the others two. It is part of the encoding: words are
// appended, never moved or removed.
func vocabulary() []string {
	return []string{
		"okta", "entra", "sign_in", "success", "passkey", "password", "verified", "observed in use",
		"Chrome", "Windows", "Chrome on Windows", "macOS", "user", "enrolment", "session_activity", "factor_challenge",
		"push", "sms", "totp", "Safari", "Edge", "iOS", "Android", "oauth2",
		"failure", "previously_satisfied", "session_start", "browser", "security_key", "platform_credential", "fastpass_pr", "failed",
		// kinds
		"authenticator_enrolled", "authenticator_removed", "authenticators_reset", "authenticator_snapshot", "password_change",
		"password_reset", "recovery", "recovery_credential_issued", "contact_change", "consent_grant", "consent_revoke",
		"app_credential", "app_change", "policy_change", "role_change", "session_end", "session_anomaly", "impersonation",
		"token_anomaly", "trust_change", "user_report", "risk", "user_lifecycle", "logging_change",
		// outcomes and results
		"denied", "challenged", "abandoned", "unknown", "rejected", "unanswered", "pending",
		// methods
		"passkey_device_bound", "certificate", "passkey_synced", "passkey_hybrid", "push_number_match", "otp_hardware",
		"voice", "email_code", "email_link", "security_question", "qr_pin", "backup_code", "bypass_code",
		"temporary_access_pass", "mfa_bypassed", "refresh_token", "primary_refresh_token", "remembered_device",
		"existing_session", "federated", "delegated",
		// protocols, tiers, stages, provenance, severities
		"saml", "ws_federation", "device_code", "ropc", "authentication_transfer", "native", "legacy", "radius", "ldap",
		"privileged", "break_glass", "service", "shared", "started", "completed", "issued", "redeemed", "snapshot",
		"informational", "low", "medium", "high", "critical",
		// sources, streams, principals, clients
		"google", "duo", "auth0", "workos", "keycloak", "pingone", "onelogin", "jumpcloud", "aws", "github", "cloudflare",
		"system_log", "audit", "sign_in_non_interactive", "risk_detection", "guest", "admin", "system", "mobile_desktop",
		// browsers and systems
		"Firefox", "Linux", "ChromeOS", "Safari on macOS", "Safari on iOS", "Chrome on macOS", "Chrome on Android",
		"Edge on Windows", "Firefox on Windows", "Firefox on Linux", "Chrome on Linux",
		// actions
		"user.session.start", "user.authentication.auth_via_mfa", "user.authentication.sso", "user.authentication.verify",
		"policy.evaluate_sign_on", "user.session.end", "user.session.access_admin_app", "user.mfa.factor.activate",
		"Sign-in activity", "NL", "DE", "US", "GB", "FR",
		"user.account.update_password", "user.account.reset_password", "user.mfa.factor.deactivate", "user.mfa.factor.update",
		"user.mfa.factor.reset_all", "user.mfa.okta_verify", "user.mfa.attempt_bypass", "user.authentication.auth_via_IDP",
		"user.authentication.auth_via_social", "user.session.clear", "app.oauth2.as.consent.grant", "app.oauth2.token.grant",
		"group.user_membership.add", "group.user_membership.remove", "user.account.privilege.grant", "user.account.privilege.revoke",
		"device.enrollment.create", "Consent to application", "User registered security info", "User deleted security info",
		"Reset user password", "Change user password", "Update user", "Add member to role",
	}
}
