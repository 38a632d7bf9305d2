package detect

import (
	"bytes"
	"cmp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"stepdown/detect/ledger"
	"stepdown/ingest/event"
)

// Limits of what is kept of an event. What an attacker can make long is longer
// than these, what providers write is not.
const (
	// maxText is the longest text, in bytes.
	maxText = 96
	// maxID is the longest id of a record, key or tenant.
	maxID = 160
	// maxFingerprint is the longest digest of a browser: half of a SHA-256 is as good.
	maxFingerprint = 32
	// maxList is the longest list, of scopes and roles for example.
	maxList = 64
)

// windowed is one event of a window. It is decoded when it is folded.
type windowed struct {
	at   time.Time
	hash uint32
	// quiet: when it was last folded, no rule had anything to say.
	quiet bool
	// encoded leaves out what is as usual for the history.
	encoded []byte
	// entry is the event, nil while it is not decoded.
	entry *entry
}

// entry is a digest of one event with only what ledgers, rules and alerts read, in
// memory of its own that is used again.
type entry struct {
	event event.Event
	// hash is of the event's source, tenant and id.
	hash uint64

	// What event points at.
	device   event.Device
	app      event.App
	snapshot event.Snapshot
	recovery event.Recovery
	contact  event.Contact
	consent  event.Consent
	policy   event.Policy
	role     event.Role
	risk     event.Risk
	times    []time.Time
	yes, no  bool
}

// newEntry returns a digest of e.
func newEntry(e *event.Event) *entry {
	n := &entry{}
	n.take(e, &keeper{}, nil)
	return n
}

// trim leaves of e what an entry keeps of it.
func trim(e *event.Event) { *e = newEntry(e).event }

// reset empties n and keeps its memory. What event does not point at is left as
// it is.
func (n *entry) reset() {
	n.event = event.Event{Factors: n.event.Factors[:0], Authenticators: n.event.Authenticators[:0], Populations: n.event.Populations[:0]}
	n.consent.Scopes, n.policy.Weakened, n.role.Roles = n.consent.Scopes[:0], n.policy.Weakened[:0], n.role.Roles[:0]
	n.times = n.times[:0]
	n.yes, n.no = true, false
}

// bool returns a pointer to the value of b that does not alias it.
func (n *entry) bool(b *bool) *bool {
	switch {
	case b == nil:
		return nil
	case *b:
		return &n.yes
	}
	return &n.no
}

// time returns a pointer to a copy of t; the room for it is there.
func (n *entry) time(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	n.times = append(n.times, *t)
	return &n.times[len(n.times)-1]
}

// take makes n the digest of e. Texts are kept by k; those that before has too are
// shared with it. Taking a digest again changes nothing.
func (n *entry) take(e *event.Event, k *keeper, before *event.Event) {
	n.reset()
	if before == nil {
		before = &event.Event{}
	}
	d := &n.event
	d.Schema = event.SchemaVersion
	d.ID = k.text(e.ID, "", maxID)
	d.Source = event.Source(k.word(string(e.Source)))
	d.Tenant = k.text(e.Tenant, before.Tenant, maxID)
	d.Stream = k.text(e.Stream, before.Stream, maxText)
	d.Kind = event.Kind(k.word(string(e.Kind)))
	d.Action = k.text(e.Action, before.Action, maxText)
	d.Time, d.Observed = e.Time, e.Observed
	d.Key = e.Key
	d.Tier = event.Tier(k.word(string(e.Tier)))
	k.list(&d.Populations, e.Populations)
	// Where both have a key, nothing asks for their ids.
	keyed := e.Subject.Key != "" && (e.Actor.Key != "" || e.Actor.IsZero())
	k.principal(&d.Subject, &e.Subject, &before.Subject, e.Key, keyed)
	k.principal(&d.Actor, &e.Actor, &before.Actor, e.Key, keyed)
	d.Outcome = event.Outcome(k.word(string(e.Outcome)))
	d.Reason = k.text(e.Reason, before.Reason, maxText)
	d.SessionID = k.text(e.SessionID, before.SessionID, maxText)
	d.FlowID = k.text(e.FlowID, before.FlowID, maxText)
	d.Protocol = event.Protocol(k.word(string(e.Protocol)))
	p, q := &e.Endpoint, &before.Endpoint
	d.Endpoint = event.Endpoint{IP: k.text(p.IP, q.IP, maxText), ASN: p.ASN, ASOrg: k.text(p.ASOrg, q.ASOrg, maxText),
		Country: k.text(p.Country, q.Country, maxText), City: k.text(p.City, q.City, maxText), Proxy: p.Proxy}
	d.UserAgent.Browser = k.text(e.UserAgent.Browser, before.UserAgent.Browser, maxText)
	d.UserAgent.OS = k.text(e.UserAgent.OS, before.UserAgent.OS, maxText)
	if e.Device != nil {
		k.device(n, e.Device, before.Device)
		d.Device = &n.device
	}
	if e.App != nil {
		k.app(&n.app, e.App, before.App)
		d.App = &n.app
	}
	if want := len(e.Factors) + 2*len(e.Authenticators); cap(n.times) < want {
		n.times = make([]time.Time, 0, want)
	}
	for i := range e.Factors[:min(len(e.Factors), event.MaxFactors)] {
		f := &e.Factors[i]
		m := event.Method(k.word(string(f.Method)))
		d.Factors = append(d.Factors, event.Factor{Method: m, Class: m.Class(), Rank: m.Rank(), Fresh: f.Fresh,
			Result: event.Result(k.word(string(f.Result))), CredentialID: k.text(f.CredentialID, "", maxText), AAGUID: k.text(f.AAGUID, "", maxText), Time: n.time(f.Time)})
	}
	for i := range e.Authenticators[:min(len(e.Authenticators), maxList)] {
		a := &e.Authenticators[i]
		m := event.Method(k.word(string(a.Method)))
		d.Authenticators = append(d.Authenticators, event.Authenticator{ID: k.text(a.ID, "", maxText),
			Method: m, Class: m.Class(), Rank: m.Rank(), Name: k.text(a.Name, "", maxText), AAGUID: k.text(a.AAGUID, "", maxText),
			Created: n.time(a.Created), LastUsed: n.time(a.LastUsed)})
	}
	n.takeParts(k, e)
	n.hash = hashOf(d)
}

// takeParts takes the parts that only some kinds have.
func (n *entry) takeParts(k *keeper, e *event.Event) {
	d := &n.event
	if e.Snapshot != nil {
		n.snapshot = *e.Snapshot
		d.Snapshot = &n.snapshot
	}
	if r := e.Recovery; r != nil {
		n.recovery = event.Recovery{Stage: event.RecoveryStage(k.word(string(r.Stage))),
			Method: event.Method(k.word(string(r.Method))), SelfService: r.SelfService, Lifetime: r.Lifetime, Uses: r.Uses}
		d.Recovery = &n.recovery
	}
	if c := e.Contact; c != nil {
		n.contact = event.Contact{Kind: k.text(c.Kind, "", maxText), Primary: c.Primary}
		d.Contact = &n.contact
	}
	if c := e.Consent; c != nil {
		o := &n.consent
		o.AppID, o.AppName, o.Publisher = k.text(c.AppID, "", maxText), k.text(c.AppName, "", maxText), k.text(c.Publisher, "", maxText)
		o.Verified, o.ByAdmin, o.TenantWide = n.bool(c.Verified), c.ByAdmin, c.TenantWide
		k.list(&o.Scopes, c.Scopes)
		d.Consent = o
	}
	if p := e.Policy; p != nil {
		o := &n.policy
		o.ID, o.Name, o.Type, o.Change = k.text(p.ID, "", maxText), k.text(p.Name, "", maxText), k.text(p.Type, "", maxText), k.text(p.Change, "", maxText)
		for _, w := range p.Weakened[:min(len(p.Weakened), maxList)] {
			o.Weakened = append(o.Weakened, event.Weakening(k.text(string(w), "", maxText)))
		}
		d.Policy = o
	}
	if r := e.Role; r != nil {
		o := &n.role
		o.Full, o.Granted, o.Privileged, o.Eligible = r.Full, r.Granted, r.Privileged, r.Eligible
		k.list(&o.Roles, r.Roles)
		d.Role = o
	}
	if r := e.Risk; r != nil {
		n.risk = event.Risk{Type: k.text(r.Type, "", maxText), Level: k.text(r.Level, "", maxText), State: k.text(r.State, "", maxText), SessionTheft: r.SessionTheft}
		d.Risk = &n.risk
	}
}

// usual makes n what most events of an identity have in common with e.
func (n *entry) usual(e *event.Event, k *keeper) {
	common := event.Event{Source: e.Source, Tenant: e.Tenant, Stream: e.Stream, Tier: e.Tier, Time: e.Time, Key: e.Key,
		Subject: e.Subject, Actor: e.Actor, Endpoint: e.Endpoint, UserAgent: e.UserAgent, Device: e.Device, App: e.App, SessionID: e.SessionID}
	n.take(&common, k, e)
}

// keeper copies texts.
type keeper struct {
	space *ledger.Texts
	// words knows the vocabulary; nil for none.
	words *ledger.Writer
}

// word returns s, which is from a closed list if the event is valid.
func (k *keeper) word(s string) string {
	if k.words != nil && s != "" {
		if s, ok := k.words.Word(s); ok {
			return s
		}
	}
	return k.text(s, "", maxText)
}

// text returns s within limit, as before where that is the same.
func (k *keeper) text(s, before string, limit int) string {
	switch {
	case s == "":
		return ""
	case s == before:
		return before
	}
	s = cut(s, limit)
	return k.space.Join(s)
}

func (k *keeper) list(into *[]string, texts []string) {
	for _, s := range texts[:min(len(texts), maxList)] {
		*into = append(*into, k.text(s, "", maxText))
	}
}

func (k *keeper) principal(into, p, before *event.Principal, own event.Key, keyed bool) {
	if p.IsZero() {
		return
	}
	if !keyed || p.Name == "" {
		into.ID = k.text(p.ID, before.ID, maxText)
	}
	into.Name, into.DisplayName = k.text(p.Name, before.Name, maxText), k.text(p.DisplayName, before.DisplayName, maxText)
	into.Type, into.Key = k.text(p.Type, before.Type, maxText), own
	if p.Key != own {
		into.Key = event.Key(k.text(string(p.Key), string(before.Key), maxID))
	}
}

func (k *keeper) device(n *entry, d, before *event.Device) {
	if before == nil {
		before = &event.Device{}
	}
	n.device = event.Device{ID: k.text(d.ID, before.ID, maxText), Name: k.text(d.Name, before.Name, maxText),
		OS: k.text(d.OS, before.OS, maxText), Managed: n.bool(d.Managed), Compliant: n.bool(d.Compliant), Registered: n.bool(d.Registered),
		TrustType: k.text(d.TrustType, before.TrustType, maxText)}
	if d.ID == "" {
		// It stands in for the id where there is none.
		n.device.Fingerprint = k.text(d.Fingerprint[:min(len(d.Fingerprint), maxFingerprint)], before.Fingerprint, maxText)
	}
}

func (k *keeper) app(into, a, before *event.App) {
	if before == nil {
		before = &event.App{}
	}
	*into = event.App{ID: k.text(a.ID, before.ID, maxText), Name: k.text(a.Name, before.Name, maxText),
		ResourceID: k.text(a.ResourceID, before.ResourceID, maxText), ResourceName: k.text(a.ResourceName, before.ResourceName, maxText),
		Client: k.text(a.Client, before.Client, maxText), Admin: a.Admin}
}

// cut makes s printable and at most limit bytes long. What it cuts off leaves a
// hash, so that two ids that differ go on differing.
func cut(s string, limit int) string {
	if len(s) <= limit && plain(s) {
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
	return s
}

// plain reports whether s is printable ASCII.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// hashOf is FNV-1a over what makes an event unique.
func hashOf(e *event.Event) uint64 {
	h := uint64(14695981039346656037)
	for _, s := range [...]string{string(e.Source), e.Tenant, e.ID} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211
	}
	return h
}

// before orders events by time, and by what makes them unique among equals.
func (n *entry) before(o *entry) bool {
	if c := n.event.Time.Compare(o.event.Time); c != 0 {
		return c < 0
	}
	return cmp.Or(cmp.Compare(n.event.Source, o.event.Source),
		cmp.Compare(n.event.Tenant, o.event.Tenant), cmp.Compare(n.event.ID, o.event.ID)) < 0
}

// same reports whether n and o are versions of one record.
func (n *entry) same(o *entry) bool {
	return o.hash == n.hash && o.event.ID == n.event.ID && o.event.Source == n.event.Source && o.event.Tenant == n.event.Tenant
}

// says reports whether o says the same as n. w is used for it.
func (n *entry) says(o *entry, w *ledger.Writer) bool {
	encoded := func(n *entry) []byte {
		c := entry{event: n.event}
		c.event.Observed = c.event.Time
		w.Reset()
		c.encode(w, nil, &ledger.Ledger{})
		return w.Bytes()
	}
	first := bytes.Clone(encoded(n))
	return bytes.Equal(first, encoded(o))
}

// The flags of an encoded entry. They are part of the encoding.
const (
	entrySubjectOwn = 1 << iota
	entryActor
	entryActorOwn
	entryActorIsSubject
	entryProxy
	entryDevice
	entryApp
	entrySnapshot
	entryComplete
	entryRecovery
	entryContact
	entryConsent
	entryPolicy
	entryRole
	entryRisk
	entryLists
	// What is as usual is not written again.
	entrySameOrigin
	entrySameWho
	entrySameWhere
	entrySameDevice
	entrySameApp
	entrySameSession
	entrySameFlow
	// entryNamed: the subject has the name that base knows.
	entryNamed
)

// sameDevice compares what is kept of devices.
func sameDevice(a, b *event.Device) bool {
	return a != nil && b != nil && a.ID == b.ID && a.Name == b.Name && a.OS == b.OS && a.TrustType == b.TrustType && a.Fingerprint == b.Fingerprint &&
		bits(a.Managed) == bits(b.Managed) && bits(a.Compliant) == bits(b.Compliant) && bits(a.Registered) == bits(b.Registered)
}

// encode writes n without what is as in before, which may be nil. Its key is that of
// the history, and its name mostly that in base.
func (n *entry) encode(w *ledger.Writer, before *event.Event, base *ledger.Ledger) {
	e := &n.event
	var flags uint64
	set := func(flag uint64, b bool) {
		if b {
			flags |= flag
		}
	}
	set(entrySubjectOwn, e.Subject.Key == e.Key)
	set(entryActor, !e.Actor.IsZero())
	set(entryActorIsSubject, e.Actor == e.Subject)
	set(entryActorOwn, e.Actor.Key == e.Key)
	set(entryProxy, e.Endpoint.Proxy)
	set(entryDevice, e.Device != nil)
	set(entryApp, e.App != nil)
	set(entrySnapshot, e.Snapshot != nil)
	set(entryComplete, e.Snapshot != nil && e.Snapshot.Complete)
	set(entryRecovery, e.Recovery != nil)
	set(entryContact, e.Contact != nil)
	set(entryConsent, e.Consent != nil)
	set(entryPolicy, e.Policy != nil)
	set(entryRole, e.Role != nil)
	set(entryRisk, e.Risk != nil)
	set(entryLists, len(e.Populations)+len(e.Authenticators) > 0)
	if b := before; b != nil {
		set(entrySameOrigin, e.Source == b.Source && e.Tenant == b.Tenant && e.Stream == b.Stream && e.Tier == b.Tier)
		set(entrySameWho, e.Subject == b.Subject && e.Actor == b.Actor)
		set(entrySameWhere, e.Endpoint == b.Endpoint && e.UserAgent == b.UserAgent)
		set(entrySameDevice, sameDevice(e.Device, b.Device))
		set(entrySameApp, e.App != nil && b.App != nil && *e.App == *b.App)
		set(entrySameSession, e.SessionID == b.SessionID)
		set(entrySameFlow, e.FlowID == b.FlowID)
		w.Since(b.Time)
	} else {
		w.Since(base.Last)
		set(entryNamed, base.Name != "" && e.Subject.Name == base.Name && e.Subject.DisplayName == base.DisplayName)
	}
	w.Uint(flags)
	w.Text(e.ID)
	if flags&entrySameOrigin == 0 {
		w.Text(string(e.Source))
		w.Text(e.Tenant)
		w.Text(e.Stream)
		w.Text(string(e.Tier))
	}
	w.Text(string(e.Kind))
	w.Text(e.Action)
	w.Time(e.Time)
	w.Time(e.Observed)
	w.Text(string(e.Outcome))
	w.Text(e.Reason)
	if flags&entrySameSession == 0 {
		w.Text(e.SessionID)
	}
	if flags&entrySameFlow == 0 {
		w.Text(e.FlowID)
	}
	w.Text(string(e.Protocol))
	if flags&entrySameWho == 0 {
		encodePrincipal(w, &e.Subject, e.Key, flags&entryNamed == 0)
		if flags&entryActor != 0 && flags&entryActorIsSubject == 0 {
			encodePrincipal(w, &e.Actor, e.Key, true)
		}
	}
	if flags&entrySameWhere == 0 {
		w.Text(e.Endpoint.IP)
		w.Uint(uint64(e.Endpoint.ASN))
		w.Text(e.Endpoint.ASOrg)
		w.Text(e.Endpoint.Country)
		w.Text(e.Endpoint.City)
		w.Text(e.UserAgent.Browser)
		w.Text(e.UserAgent.OS)
	}
	if d := e.Device; d != nil && flags&entrySameDevice == 0 {
		w.Byte(bits(d.Managed) | bits(d.Compliant)<<2 | bits(d.Registered)<<4)
		w.Text(d.ID)
		w.Text(d.Name)
		w.Text(d.OS)
		w.Text(d.TrustType)
		w.Text(d.Fingerprint)
	}
	if a := e.App; a != nil && flags&entrySameApp == 0 {
		w.Bool(a.Admin)
		w.Text(a.ID)
		w.Text(a.Name)
		w.Text(a.ResourceID)
		w.Text(a.ResourceName)
		w.Text(a.Client)
	}
	w.Uint(uint64(len(e.Factors)))
	for i := range e.Factors {
		f := &e.Factors[i]
		w.Text(string(f.Method))
		w.Text(string(f.Result))
		w.Bool(f.Fresh)
		w.Text(f.CredentialID)
		w.Text(f.AAGUID)
		encodeTime(w, f.Time)
	}
	if flags&entryLists != 0 {
		encodeTexts(w, e.Populations)
		w.Uint(uint64(len(e.Authenticators)))
		for i := range e.Authenticators {
			a := &e.Authenticators[i]
			w.Text(a.ID)
			w.Text(string(a.Method))
			w.Text(a.Name)
			w.Text(a.AAGUID)
			encodeTime(w, a.Created)
			encodeTime(w, a.LastUsed)
		}
	}
	n.encodeParts(w)
}

func (n *entry) encodeParts(w *ledger.Writer) {
	e := &n.event
	if r := e.Recovery; r != nil {
		w.Text(string(r.Stage))
		w.Text(string(r.Method))
		w.Bool(r.SelfService)
		w.Int(int64(r.Lifetime))
		w.Int(int64(r.Uses))
	}
	if c := e.Contact; c != nil {
		w.Text(c.Kind)
		w.Bool(c.Primary)
	}
	if c := e.Consent; c != nil {
		w.Text(c.AppID)
		w.Text(c.AppName)
		w.Text(c.Publisher)
		w.Byte(bits(c.Verified) | bits(&c.ByAdmin)<<2 | bits(&c.TenantWide)<<4)
		encodeTexts(w, c.Scopes)
	}
	if p := e.Policy; p != nil {
		w.Text(p.ID)
		w.Text(p.Name)
		w.Text(p.Type)
		w.Text(p.Change)
		w.Uint(uint64(len(p.Weakened)))
		for _, x := range p.Weakened {
			w.Text(string(x))
		}
	}
	if r := e.Role; r != nil {
		w.Byte(bits(&r.Full) | bits(&r.Granted)<<2 | bits(&r.Privileged)<<4 | bits(&r.Eligible)<<6)
		encodeTexts(w, r.Roles)
	}
	if r := e.Risk; r != nil {
		w.Text(r.Type)
		w.Text(r.Level)
		w.Text(r.State)
		w.Bool(r.SessionTheft)
	}
}

// decode reads what encode wrote with the same before and base; key is that of the
// history.
func (n *entry) decode(r *ledger.Reader, before *entry, key event.Key, base *ledger.Ledger) {
	n.reset()
	e := &n.event
	flags := r.Uint()
	has := func(flag uint64) bool { return flags&flag != 0 }
	if before == nil {
		before = n
		r.Since(base.Last)
	} else {
		r.Since(before.event.Time)
	}
	e.Schema, e.Key = event.SchemaVersion, key
	e.ID = r.Text()
	if has(entrySameOrigin) {
		e.Source, e.Tenant, e.Stream, e.Tier = before.event.Source, before.event.Tenant, before.event.Stream, before.event.Tier
	} else {
		e.Source, e.Tenant, e.Stream, e.Tier = event.Source(r.Text()), r.Text(), r.Text(), event.Tier(r.Text())
	}
	e.Kind, e.Action, e.Time, e.Observed = event.Kind(r.Text()), r.Text(), r.Time(), r.Time()
	e.Outcome, e.Reason = event.Outcome(r.Text()), r.Text()
	if e.SessionID = before.event.SessionID; !has(entrySameSession) {
		e.SessionID = r.Text()
	}
	if e.FlowID = before.event.FlowID; !has(entrySameFlow) {
		e.FlowID = r.Text()
	}
	e.Protocol = event.Protocol(r.Text())
	if has(entrySameWho) {
		e.Subject, e.Actor = before.event.Subject, before.event.Actor
	} else {
		named := base
		if !has(entryNamed) {
			named = nil
		}
		e.Subject = decodePrincipal(r, key, has(entrySubjectOwn), named)
		switch {
		case has(entryActorIsSubject):
			e.Actor = e.Subject
		case has(entryActor):
			e.Actor = decodePrincipal(r, key, has(entryActorOwn), nil)
		}
	}
	if has(entrySameWhere) {
		e.Endpoint, e.UserAgent = before.event.Endpoint, before.event.UserAgent
	} else {
		e.Endpoint = event.Endpoint{IP: r.Text(), ASN: uint32(r.Uint()), ASOrg: r.Text(), Country: r.Text(), City: r.Text(), Proxy: has(entryProxy)}
		e.UserAgent = event.UserAgent{Browser: r.Text(), OS: r.Text()}
	}
	if has(entryDevice) {
		e.Device = &n.device
		if d := &before.device; has(entrySameDevice) {
			n.device = *d
			n.device.Managed, n.device.Compliant, n.device.Registered = n.bool(d.Managed), n.bool(d.Compliant), n.bool(d.Registered)
		} else {
			b := r.Byte()
			n.device = event.Device{Managed: n.unbits(b), Compliant: n.unbits(b >> 2), Registered: n.unbits(b >> 4),
				ID: r.Text(), Name: r.Text(), OS: r.Text(), TrustType: r.Text(), Fingerprint: r.Text()}
		}
	}
	if has(entryApp) {
		e.App = &n.app
		if has(entrySameApp) {
			n.app = before.app
		} else {
			n.app = event.App{Admin: r.Bool(), ID: r.Text(), Name: r.Text(), ResourceID: r.Text(), ResourceName: r.Text(), Client: r.Text()}
		}
	}
	// A pointer into times must not move: none that follows makes them grow.
	if count := r.Count(); count > 0 {
		n.reserve(count)
		for range count {
			m := event.Method(r.Text())
			e.Factors = append(e.Factors, event.Factor{Method: m, Class: m.Class(), Rank: m.Rank(),
				Result: event.Result(r.Text()), Fresh: r.Bool(), CredentialID: r.Text(), AAGUID: r.Text(), Time: n.decodeTime(r)})
		}
	}
	if has(entryLists) {
		e.Populations = decodeTexts(r, e.Populations)
		count := r.Count()
		n.reserve(len(e.Factors) + 2*count)
		for range count {
			a := event.Authenticator{ID: r.Text(), Method: event.Method(r.Text()), Name: r.Text(), AAGUID: r.Text(),
				Created: n.decodeTime(r), LastUsed: n.decodeTime(r)}
			a.Class, a.Rank = a.Method.Class(), a.Method.Rank()
			e.Authenticators = append(e.Authenticators, a)
		}
	}
	if has(entrySnapshot) {
		n.snapshot.Complete = has(entryComplete)
		e.Snapshot = &n.snapshot
	}
	n.decodeParts(r, has)
	n.hash = hashOf(e)
}

func (n *entry) decodeParts(r *ledger.Reader, has func(uint64) bool) {
	e := &n.event
	if has(entryRecovery) {
		n.recovery = event.Recovery{Stage: event.RecoveryStage(r.Text()), Method: event.Method(r.Text()), SelfService: r.Bool(),
			Lifetime: time.Duration(r.Int()), Uses: int(r.Int())}
		e.Recovery = &n.recovery
	}
	if has(entryContact) {
		n.contact = event.Contact{Kind: r.Text(), Primary: r.Bool()}
		e.Contact = &n.contact
	}
	if has(entryConsent) {
		c := &n.consent
		c.AppID, c.AppName, c.Publisher = r.Text(), r.Text(), r.Text()
		b := r.Byte()
		c.Verified, c.ByAdmin, c.TenantWide = n.unbits(b), b>>2&3 == 2, b>>4&3 == 2
		c.Scopes = decodeTexts(r, c.Scopes)
		e.Consent = c
	}
	if has(entryPolicy) {
		p := &n.policy
		p.ID, p.Name, p.Type, p.Change = r.Text(), r.Text(), r.Text(), r.Text()
		for range r.Count() {
			p.Weakened = append(p.Weakened, event.Weakening(r.Text()))
		}
		e.Policy = p
	}
	if has(entryRole) {
		b := r.Byte()
		o := &n.role
		o.Full, o.Granted, o.Privileged, o.Eligible = b&3 == 2, b>>2&3 == 2, b>>4&3 == 2, b>>6&3 == 2
		o.Roles = decodeTexts(r, o.Roles)
		e.Role = o
	}
	if has(entryRisk) {
		n.risk = event.Risk{Type: r.Text(), Level: r.Text(), State: r.Text(), SessionTheft: r.Bool()}
		e.Risk = &n.risk
	}
}

// bits is 0 for nil, 1 for no and 2 for yes.
func bits(b *bool) byte {
	switch {
	case b == nil:
		return 0
	case *b:
		return 2
	}
	return 1
}

func (n *entry) unbits(b byte) *bool {
	switch b & 3 {
	case 1:
		return &n.no
	case 2:
		return &n.yes
	}
	return nil
}

// reserve makes room for count times, and points what points at the old ones at
// the new.
func (n *entry) reserve(count int) {
	if cap(n.times) >= count {
		return
	}
	n.times = append(make([]time.Time, 0, count), n.times...)
	next := 0
	for i := range n.event.Factors {
		if f := &n.event.Factors[i]; f.Time != nil {
			f.Time = &n.times[next]
			next++
		}
	}
}

func encodeTime(w *ledger.Writer, t *time.Time) {
	if t == nil {
		w.Bool(false)
		return
	}
	w.Bool(true)
	w.Time(*t)
}

func (n *entry) decodeTime(r *ledger.Reader) *time.Time {
	if !r.Bool() {
		return nil
	}
	t := r.Time()
	return n.time(&t)
}

func encodeTexts(w *ledger.Writer, list []string) {
	w.Uint(uint64(len(list)))
	for _, s := range list {
		w.Text(s)
	}
}

func decodeTexts(r *ledger.Reader, into []string) []string {
	for range r.Count() {
		into = append(into, r.Text())
	}
	return into
}

func encodePrincipal(w *ledger.Writer, p *event.Principal, own event.Key, named bool) {
	w.Text(p.ID)
	if named {
		w.Text(p.Name)
		w.Text(p.DisplayName)
	}
	w.Text(p.Type)
	if p.Key != own {
		w.Text(string(p.Key))
	}
}

func decodePrincipal(r *ledger.Reader, key event.Key, own bool, base *ledger.Ledger) event.Principal {
	p := event.Principal{ID: r.Text(), Key: key}
	if base != nil {
		p.Name, p.DisplayName = base.Name, base.DisplayName
	} else {
		p.Name, p.DisplayName = r.Text(), r.Text()
	}
	p.Type = r.Text()
	if !own {
		p.Key = event.Key(r.Text())
	}
	return p
}
