package detect

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"stepdown/ingest/event"
)

// Limits of what is kept of an event. What an attacker can make long is longer
// than these, what providers write is not.
const (
	// maxText is the longest text, in bytes.
	maxText = 160
	// maxID is the longest id of a record, key or tenant.
	maxID = event.MaxIDLen
	// maxList is the longest list, of scopes and roles for example.
	maxList = 64
)

// trim leaves of e what rules and alerts read, within limits, and returns a bound
// of the bytes that it takes in an encoded history. What e points at is copied
// where it changes. A trimmed event stays as it is.
func trim(e *event.Event) int {
	t := trimmer{size: 1024}
	// What no rule reads is not kept: it is what can be made long.
	e.Raw, e.Warnings, e.UserAgent.Raw = nil, nil, ""
	e.Report, e.AuthenticatorEndpoint = nil, nil
	id := func(s *string) { *s = t.cut(*s, maxID) }
	id(&e.ID)
	id(&e.Tenant)
	e.Source = event.Source(t.cut(string(e.Source), maxText))
	t.size += 3 * t.cost(string(e.Key))
	t.texts(&e.Stream, &e.Action, &e.Reason, &e.SessionID, &e.FlowID, &e.UserAgent.Browser, &e.UserAgent.OS)
	for _, p := range [...]*event.Principal{&e.Subject, &e.Actor} {
		t.texts(&p.ID, &p.Name, &p.DisplayName, &p.Type)
		if p.Key != e.Key {
			p.Key = event.Key(t.cut(string(p.Key), maxID))
		}
	}
	p := &e.Endpoint
	p.Lat, p.Lon = nil, nil
	t.texts(&p.IP, &p.ASOrg, &p.Country, &p.Region, &p.City)
	if e.Device != nil {
		c := *e.Device
		if t.texts(&c.ID, &c.Name, &c.OS, &c.TrustType, &c.Fingerprint) {
			d := c
			e.Device = &d
		}
	}
	if e.App != nil {
		c := *e.App
		if t.texts(&c.ID, &c.Name, &c.ResourceID, &c.ResourceName, &c.Client) {
			a := c
			e.App = &a
		}
	}
	e.Factors = list(&t, e.Factors, event.MaxFactors, func(f *event.Factor) bool {
		t.size += 256
		return t.texts(&f.Transport, &f.Provider, &f.CredentialID, &f.AAGUID, &f.Detail)
	})
	e.Authenticators = list(&t, e.Authenticators, maxList, func(a *event.Authenticator) bool {
		t.size += 256
		return t.texts(&a.ID, &a.Name, &a.AAGUID, &a.Address)
	})
	text := func(s *string) bool { return t.texts(s) }
	e.Populations = list(&t, e.Populations, maxList, text)
	if e.Contact != nil {
		c := *e.Contact
		t.texts(&c.Kind, &c.Value)
		e.Contact = &c
	}
	if e.Consent != nil {
		c := *e.Consent
		t.texts(&c.AppID, &c.AppName, &c.Publisher, &c.Resource, &c.GrantID)
		c.Scopes = list(&t, c.Scopes, event.MaxListLen, text)
		e.Consent = &c
	}
	if e.Policy != nil {
		c := *e.Policy
		c.Before, c.After = "", ""
		t.texts(&c.ID, &c.Name, &c.Type, &c.Change)
		c.Weakened = list(&t, c.Weakened, maxList, func(*event.Weakening) bool { t.size += 32; return false })
		e.Policy = &c
	}
	if e.Role != nil {
		c := *e.Role
		c.Roles = list(&t, c.Roles, maxList, text)
		e.Role = &c
	}
	if e.Risk != nil {
		c := *e.Risk
		t.texts(&c.Type, &c.Level, &c.State, &c.Detail, &c.EventID)
		e.Risk = &c
	}
	return t.size
}

// trimmer counts what texts take in JSON.
type trimmer struct{ size int }

// texts cuts texts in place and returns whether one of them changed.
func (t *trimmer) texts(texts ...*string) bool {
	changed := false
	for _, s := range texts {
		if c := t.cut(*s, maxText); len(c) != len(*s) || c != *s {
			*s, changed = c, true
		}
	}
	return changed
}

// cut makes s printable and at most limit bytes long. What it cuts off leaves a
// hash, so that two ids that differ go on differing.
func (t *trimmer) cut(s string, limit int) string {
	if len(s) <= limit && plain(s) {
		t.size += len(s) + 4
		return s
	}
	whole := s
	s = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s[:min(len(s), limit)]), "\uFFFD")
	if len(whole) > limit || len(s) > limit {
		hash := strconv.FormatUint(hashOf(&event.Event{ID: whole}), 36)
		n := min(len(s), limit-len(hash)-1)
		for n < len(s) && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n] + "~" + hash
	}
	t.size += t.cost(s) + 4
	return s
}

// cost is what s takes in JSON without its quotes, at most.
func (t *trimmer) cost(s string) int {
	if plain(s) {
		return len(s)
	}
	n := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ':
			n += 6
		case c == '"' || c == '\\':
			n += 2
		case c >= utf8.RuneSelf:
			n += 6
		default:
			n++
		}
	}
	return n
}

// plain reports whether s is what it is in JSON.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// list cuts a list to limit and its members by trim; it is copied where it
// changes.
func list[T any](t *trimmer, in []T, limit int, trim func(*T) bool) []T {
	out := in[:min(len(in), limit):min(len(in), limit)]
	copied := false
	for i := range out {
		t.size += 8
		c := out[i]
		if trim(&c) {
			if !copied {
				out, copied = slices.Clone(out), true
			}
			out[i] = c
		}
	}
	return out
}
