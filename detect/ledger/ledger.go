package ledger

import (
	"encoding/json"
	"slices"
	"time"

	"stepdown/ingest/event"
)

// Caps of the lists of one ledger.
const (
	maxAuthenticators = 24
	maxSeen           = 24
	maxAttempts       = 16
	maxSteps          = 24
	maxRefs           = 8
	maxRecoveries     = 16
	maxConsents       = 24
	maxSessions       = 6
	maxPast           = 6
	maxPrompts        = 32
	maxRoles          = 32
	maxFindings       = 32
	maxMethods        = 64
)

// Spans that bound what belongs together.
const (
	// AttemptSpan is the longest time from the first to the last record of one
	// sign-in. Client-supplied flow ids are reused, so a later record with the
	// same id is another attempt.
	AttemptSpan = 30 * time.Minute
	// joinSpan ties records without a flow id to one sign-in.
	joinSpan = 10 * time.Minute
	// enrolMergeSpan ties the two audit records that one enrolment leaves.
	enrolMergeSpan = 10 * time.Minute
	// removedKeep is how long a removed authenticator is remembered, idleKeep how
	// long a session that nobody uses.
	removedKeep = 180 * 24 * time.Hour
	idleKeep    = 30 * 24 * time.Hour
	// tidySeconds is how often old things are looked for.
	tidySeconds = 600
	// recoveryKeep is how long a recovery is remembered.
	recoveryKeep = 30 * 24 * time.Hour
	// DetailSpan is how long the records behind an attempt or enrolment are kept.
	DetailSpan = 24 * time.Hour
)

// Ledger is one identity. The zero value is an identity of which nothing is
// known.
type Ledger struct {
	Name        string     `json:"name,omitempty"`
	DisplayName string     `json:"display_name,omitempty"`
	Tier        event.Tier `json:"tier,omitempty"`
	Populations []string   `json:"populations,omitempty"`
	// First and Last are the event times of the first and the latest event.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Successes counts sign-ins that succeeded by a fresh proof.
	Successes int `json:"successes,omitempty"`
	// Deactivated is when the account was last disabled; zero while it is active.
	Deactivated time.Time `json:"deactivated,omitzero"`

	Authenticators []Authenticator `json:"authenticators,omitempty"`
	Methods        []MethodUse     `json:"methods,omitempty"`

	// Baselines of successful sign-ins.
	Networks  []Seen `json:"networks,omitempty"`  // "AS64500"
	Countries []Seen `json:"countries,omitempty"` // "NL"
	Devices   []Seen `json:"devices,omitempty"`   // device id or browser fingerprint
	Agents    []Seen `json:"agents,omitempty"`    // "Chrome on Windows"
	Protocols []Seen `json:"protocols,omitempty"` // "device_code"

	Attempts   []Attempt  `json:"attempts,omitempty"`
	Prompts    []Prompt   `json:"prompts,omitempty"`
	Recoveries []Recovery `json:"recoveries,omitempty"`
	Consents   []Consent  `json:"consents,omitempty"`
	Sessions   []Session  `json:"sessions,omitempty"`
	// Roles are those held at any source.
	Roles []Role `json:"roles,omitempty"`
	// Findings are what the rules have said, for rules that build on others.
	Findings []Finding `json:"findings,omitempty"`

	// texts is where texts that are made here are kept.
	texts *Texts
	// tidy: the event that is folded is the first in a while.
	tidy bool
}

// Keep sets where the ledger keeps the texts that it makes; those of events are
// the caller's to keep.
func (l *Ledger) Keep(texts *Texts) { l.texts = texts }

// Ref points at an event and knows what it was in a few words.
type Ref struct {
	EventID string        `json:"id"`
	Source  event.Source  `json:"source"`
	Time    time.Time     `json:"time,omitzero"`
	Kind    event.Kind    `json:"kind"`
	Action  string        `json:"action,omitempty"`
	Outcome event.Outcome `json:"outcome,omitempty"`
	// What Summary says: the first factors or authenticators, what else is to be
	// said, and where it came from.
	Proofs  Proofs `json:"proofs,omitzero"`
	Note    string `json:"summary,omitempty"`
	IP      string `json:"ip,omitempty"`
	Network string `json:"network,omitempty"`
	Country string `json:"country,omitempty"`
}

// Provenance is how an authenticator became known.
type Provenance string

// The provenances.
const (
	Enrolment Provenance = "enrolment"
	Snapshot  Provenance = "snapshot"
	Observed  Provenance = "observed in use"
)

// Authenticator is one credential of the identity at one source.
type Authenticator struct {
	Source     event.Source `json:"source"`
	ID         string       `json:"id,omitempty"`
	Method     event.Method `json:"method"`
	Name       string       `json:"name,omitempty"`
	AAGUID     string       `json:"aaguid,omitempty"`
	Provenance Provenance   `json:"provenance"`
	// Since is the time of enrolment, or the earliest sign of it.
	Since    time.Time `json:"since,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"`
	Uses     int       `json:"uses,omitempty"`
	// Removed is zero while it is enrolled.
	Removed time.Time `json:"removed,omitzero"`
	// ByOther: enrolled by an administrator.
	ByOther bool `json:"by_other,omitempty"`
	// Ref is the record of the enrolment, for DetailSpan.
	Ref Ref `json:"ref,omitzero"`
}

// Live reports whether the authenticator is enrolled.
func (a *Authenticator) Live() bool { return a.Removed.IsZero() }

// PhishingResistant reports the class of its method.
func (a *Authenticator) PhishingResistant() bool {
	return a.Method.Class() == event.PhishingResistant
}

// MethodUse counts fresh proofs by one method at one source.
type MethodUse struct {
	Source event.Source `json:"source"`
	Method event.Method `json:"method"`
	Count  int          `json:"count"`
	First  time.Time    `json:"first,omitzero"`
	Last   time.Time    `json:"last,omitzero"`
}

// Seen is one value of a baseline.
type Seen struct {
	Value string    `json:"value"`
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	Count int       `json:"count"`
}

// Place is where an event came from, as far as baselines compare it.
type Place struct {
	IP      string `json:"ip,omitempty"`
	Network string `json:"network,omitempty"`
	ASOrg   string `json:"as_org,omitempty"`
	Country string `json:"country,omitempty"`
	Device  string `json:"device,omitempty"`
	Agent   string `json:"agent,omitempty"`
	Browser string `json:"browser,omitempty"`
	OS      string `json:"os,omitempty"`
	Managed bool   `json:"managed,omitempty"`
	Proxy   bool   `json:"proxy,omitempty"`
}

// Attempt is one sign-in, assembled from the records that share a flow.
type Attempt struct {
	// ID is stable under late records of the same flow.
	ID     string       `json:"id"`
	Source event.Source `json:"source"`
	Flow   string       `json:"flow,omitempty"`
	// Digest is of Flow, where little is kept and ID and Flow are empty. Again: the
	// flow id had been used before, and ID says when.
	Digest uint32    `json:"-"`
	Again  bool      `json:"-"`
	First  time.Time `json:"first,omitzero"`
	Last   time.Time `json:"last,omitzero"`
	// Succeeded is the time of the record that let the person in; zero before.
	Succeeded time.Time `json:"succeeded,omitzero"`
	// Steps, App, Session and Refs are kept for DetailSpan, and of Place the device
	// for longer.
	Steps    []Step         `json:"steps,omitempty"`
	Place    Place          `json:"place,omitzero"`
	App      event.App      `json:"app,omitzero"`
	Session  string         `json:"session,omitempty"`
	Protocol event.Protocol `json:"protocol,omitempty"`
	// Inherited: some proof was carried over; Opaque: some was made elsewhere.
	Inherited bool  `json:"inherited,omitempty"`
	Opaque    bool  `json:"opaque,omitempty"`
	Refs      []Ref `json:"refs,omitempty"`
}

// Step is one factor of an attempt.
type Step struct {
	Method event.Method `json:"method"`
	Result event.Result `json:"result"`
	Fresh  bool         `json:"fresh,omitempty"`
	Time   time.Time    `json:"time,omitzero"`
}

// Best returns the strongest method verified afresh in the attempt, or "" when
// nothing ranked was.
func (a *Attempt) Best() event.Method {
	var best event.Method
	rank := 0
	for i := range a.Steps {
		s := &a.Steps[i]
		if s.Result != event.Verified || !s.Fresh {
			continue
		}
		if r := s.Method.Rank(); r > rank {
			best, rank = s.Method, r
		}
	}
	return best
}

// Pending reports whether a step was asked for and its result is not known.
func (a *Attempt) Pending() bool {
	for i, s := range a.Steps {
		if s.Result != event.Pending {
			continue
		}
		answered := slices.ContainsFunc(a.Steps[i+1:], func(later Step) bool {
			return later.Method.Class() == s.Method.Class() && later.Result != event.Pending
		})
		if !answered {
			return true
		}
	}
	return false
}

// StrongFailed reports whether a phishing-resistant step failed, was refused or
// was left without a result before t.
func (a *Attempt) StrongFailed(t time.Time) bool {
	for i := range a.Steps {
		s := &a.Steps[i]
		if s.Result != event.Verified && s.Method.Class() == event.PhishingResistant && !s.Time.After(t) {
			return true
		}
	}
	return false
}

// Prompt is one push that was sent or answered.
type Prompt struct {
	Time   time.Time    `json:"time,omitzero"`
	Result event.Result `json:"result"`
}

// Recovery is one step of getting access back by other means.
type Recovery struct {
	Kind   event.Kind          `json:"kind"`
	Stage  event.RecoveryStage `json:"stage,omitempty"`
	Method event.Method        `json:"method,omitempty"`
	// By names the administrator or help-desk person; empty for self-service.
	By  string `json:"by,omitempty"`
	Ref Ref    `json:"ref,omitzero"`
}

// Consent is what the identity has granted one app.
type Consent struct {
	Source event.Source `json:"source"`
	AppID  string       `json:"app_id"`
	First  time.Time    `json:"first,omitzero"`
	Last   time.Time    `json:"last,omitzero"`
	Ref    Ref          `json:"ref,omitzero"`
}

// Session is a live session with what it was born with.
type Session struct {
	// ID is a digest of the session's id at its source.
	ID     SessionID    `json:"id"`
	Source event.Source `json:"source"`
	Born   time.Time    `json:"born,omitzero"`
	Last   time.Time    `json:"last,omitzero"`
	Method event.Method `json:"method,omitempty"`
	// Attempt is the sign-in that made it, as long as that may still be completed.
	Attempt string `json:"attempt,omitempty"`
	Place   Place  `json:"place,omitzero"`
	// Ref is the record of its birth, for DetailSpan.
	Ref Ref `json:"ref,omitzero"`
}

// SessionID is a digest of an id: what is kept of a session is compared with what
// an event says, and never shown.
type SessionID uint64

// UnmarshalJSON reads the id, as it was kept once.
func (id *SessionID) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	*id = sessionID(s)
	return nil
}

func sessionID(s string) SessionID { return SessionID(hashText(s)) }

// Role is one role held at a source.
type Role struct {
	Source     event.Source `json:"source"`
	Name       string       `json:"name"`
	Privileged bool         `json:"privileged,omitempty"`
	Since      time.Time    `json:"since,omitzero"`
}

// Finding is what one rule said about one anchor.
type Finding struct {
	Rule     string    `json:"rule"`
	Anchor   string    `json:"anchor"`
	Severity string    `json:"severity"`
	By       string    `json:"by,omitempty"`
	Time     time.Time `json:"time,omitzero"`
	// Withdrawn: a later record of the same attempt took the reason away.
	Withdrawn bool `json:"withdrawn,omitempty"`
}

// Clone returns a deep copy.
func (l *Ledger) Clone() *Ledger {
	c := &Ledger{}
	c.CopyFrom(l)
	return c
}

// CopyFrom makes l a deep copy of o, in the memory that l has where that is
// enough. Texts are shared.
func (l *Ledger) CopyFrom(o *Ledger) {
	c := *o
	c.Populations = copied(l.Populations, o.Populations)
	c.Authenticators = copied(l.Authenticators, o.Authenticators)
	c.Methods = copied(l.Methods, o.Methods)
	c.Networks = copied(l.Networks, o.Networks)
	c.Countries = copied(l.Countries, o.Countries)
	c.Devices = copied(l.Devices, o.Devices)
	c.Agents = copied(l.Agents, o.Agents)
	c.Protocols = copied(l.Protocols, o.Protocols)
	c.Attempts = resized(l.Attempts, len(o.Attempts))
	for i := range c.Attempts {
		a, from := &c.Attempts[i], &o.Attempts[i]
		steps, refs := copied(a.Steps, from.Steps), copied(a.Refs, from.Refs)
		*a = *from
		a.Steps, a.Refs = steps, refs
	}
	c.Prompts = copied(l.Prompts, o.Prompts)
	c.Recoveries = copied(l.Recoveries, o.Recoveries)
	c.Consents = copied(l.Consents, o.Consents)
	c.Sessions = copied(l.Sessions, o.Sessions)
	c.Roles = copied(l.Roles, o.Roles)
	c.Findings = copied(l.Findings, o.Findings)
	*l = c
}

// copied returns a copy of from in the memory of into.
func copied[T any](into, from []T) []T { return append(into[:0], from...) }

// Reset makes l a ledger of which nothing is known, and keeps its memory.
func (l *Ledger) Reset() { l.CopyFrom(&Ledger{}) }

// resized returns list with n members, whose memory and that of their own lists
// is used again.
func resized[T any](list []T, n int) []T {
	for cap(list) < n {
		list = append(list[:cap(list)], *new(T))
	}
	return list[:n]
}

// Privileged reports whether the identity administers something: by the
// directory's tier or by a role that it holds.
func (l *Ledger) Privileged() bool {
	return l.Tier == event.TierPrivileged || l.Tier == event.TierBreakGlass ||
		slices.ContainsFunc(l.Roles, func(r Role) bool { return r.Privileged })
}

// Strongest returns the live authenticator with the highest rank at source, the
// most used one among equals, or nil. An empty source means any.
func (l *Ledger) Strongest(source event.Source) *Authenticator {
	var best *Authenticator
	for i := range l.Authenticators {
		a := &l.Authenticators[i]
		if !a.Live() || source != "" && a.Source != source {
			continue
		}
		if best == nil || a.Method.Rank() > best.Method.Rank() ||
			a.Method.Rank() == best.Method.Rank() && a.Uses > best.Uses {
			best = a
		}
	}
	return best
}

// SeenBefore reports whether value was in the baseline before t.
func SeenBefore(baseline []Seen, value string, t time.Time) bool {
	for i := range baseline {
		if baseline[i].Value == value {
			return baseline[i].First.Before(t)
		}
	}
	return false
}
