package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-json"

	"stepdown/ingest/event"
)

// SchemaVersion is the version of the encoding that this build writes.
const SchemaVersion = 1

// ErrSchema is returned by Decode for an alert that a newer build wrote.
var ErrSchema = errors.New("alert of a newer schema")

// ID names one finding for ever: 26 lower-case characters of base 16.
type ID string

// NewID derives the id of the finding that rule makes about key, anchored at
// anchor (the attempt's or event's id). The same three give the same id.
func NewID(rule string, key event.Key, anchor string) ID {
	h := sha256.New()
	for _, s := range []string{rule, string(key), anchor} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return ID(hex.EncodeToString(h.Sum(nil))[:26])
}

// Severity is how soon somebody should look. The order is that of Rank.
type Severity string

// The severities, in Sigma's words.
const (
	Informational Severity = "informational"
	Low           Severity = "low"
	Medium        Severity = "medium"
	High          Severity = "high"
	Critical      Severity = "critical"
)

// Severities lists them from the least to the most severe.
func Severities() []Severity { return []Severity{Informational, Low, Medium, High, Critical} }

// Rank returns 1 (informational) to 5 (critical), 0 for no severity.
func (s Severity) Rank() int {
	for i, v := range Severities() {
		if s == v {
			return i + 1
		}
	}
	return 0
}

// ParseSeverity returns the severity of that name.
func ParseSeverity(s string) (Severity, error) {
	if v := Severity(strings.ToLower(s)); v.Rank() > 0 {
		return v, nil
	}
	return "", fmt.Errorf("%q is not a severity: use one of %v", s, Severities())
}

// State is where the finding stands.
type State string

// The states. Withdrawn is said by the detector when later records took the
// reason away.
const (
	Open      State = "open"
	Withdrawn State = "withdrawn"
)

// Reason classes the downgrade, for triage at a glance.
type Reason string

// The reasons.
const (
	ReasonRecovery       Reason = "recovery_flow"
	ReasonPolicyFallback Reason = "policy_fallback"
	ReasonNewDevice      Reason = "new_device"
	ReasonStrongFailed   Reason = "strong_step_failed"
	ReasonAdminIssued    Reason = "admin_issued_pass"
	ReasonOtherGround    Reason = "other_ground"
	ReasonConsent        Reason = "consent"
	ReasonDeviceCode     Reason = "device_code"
	ReasonPushFatigue    Reason = "push_fatigue"
	ReasonUnknown        Reason = "unknown"
)

// Reasons lists every reason.
func Reasons() []Reason {
	return []Reason{ReasonRecovery, ReasonPolicyFallback, ReasonNewDevice, ReasonStrongFailed, ReasonAdminIssued,
		ReasonOtherGround, ReasonConsent, ReasonDeviceCode, ReasonPushFatigue, ReasonUnknown}
}

// Valid reports whether r is one of Reasons.
func (r Reason) Valid() bool {
	return slices.Contains(Reasons(), r)
}

// Alert is one finding as of one revision.
type Alert struct {
	Schema int `json:"schema"`
	ID     ID  `json:"id"`
	// Revision grows by at least one with every change; the highest holds.
	Revision uint64 `json:"revision"`
	State    State  `json:"state"`

	RuleID      string   `json:"rule_id"`
	RuleVersion int      `json:"rule_version"`
	RuleTitle   string   `json:"rule_title"`
	Severity    Severity `json:"severity"`
	// Title says in one plain sentence what happened.
	Title  string `json:"title"`
	Reason Reason `json:"reason"`

	// Time is the event time of the record that completed the finding; First is
	// that of the earliest evidence.
	Time  time.Time `json:"time"`
	First time.Time `json:"first"`
	// Observed is when the record that completed the finding was read from the
	// source; Observed minus Time is how late the source was.
	Observed time.Time `json:"observed"`
	// Emitted is when the finding was handed to Kafka; zero before that.
	Emitted time.Time `json:"emitted"`

	Key      event.Key    `json:"key"`
	Identity Identity     `json:"identity"`
	Source   event.Source `json:"source"`
	Tenant   string       `json:"tenant,omitempty"`
	// Anchor is the attempt or event that the finding hangs on.
	Anchor string `json:"anchor"`

	// Method is the strongest fresh method of the sign-in concerned; Usual is
	// the strongest authenticator the identity holds.
	Method event.Method `json:"method,omitempty"`
	Usual  event.Method `json:"usual,omitempty"`
	// Endpoint, App and UserAgent of the record that completed the finding.
	Endpoint  event.Endpoint  `json:"endpoint"`
	UserAgent event.UserAgent `json:"user_agent"`
	App       *event.App      `json:"app,omitempty"`
	SessionID string          `json:"session_id,omitempty"`

	Conditions []Condition `json:"conditions"`
	Evidence   []Evidence  `json:"evidence"`

	Tags           []string `json:"tags,omitempty"`
	FalsePositives []string `json:"false_positives,omitempty"`
	Runbook        []string `json:"runbook,omitempty"`
	References     []string `json:"references,omitempty"`
}

// Identity is the card of the person at the time of the finding.
type Identity struct {
	Name           string          `json:"name"`
	DisplayName    string          `json:"display_name,omitempty"`
	Tier           event.Tier      `json:"tier,omitempty"`
	Populations    []string        `json:"populations,omitempty"`
	Authenticators []Authenticator `json:"authenticators,omitempty"`
}

// Authenticator is what the ledger knows of one enrolled credential.
type Authenticator struct {
	Method   event.Method `json:"method"`
	Name     string       `json:"name,omitempty"`
	Since    time.Time    `json:"since"`
	LastUsed *time.Time   `json:"last_used,omitempty"`
	Uses     int          `json:"uses"`
	// Provenance is "enrolment", "snapshot" or "observed in use".
	Provenance string `json:"provenance"`
}

// Condition is one named condition of the rule with what it saw.
type Condition struct {
	Name string `json:"name"`
	// Expr is the condition as written in the rule.
	Expr string `json:"expr"`
	// Value is what it evaluated to; in an alert every condition held.
	Value bool `json:"value"`
	// Operands are the facts it looked at, as text: "attempt.method" → "sms".
	Operands []Operand `json:"operands,omitempty"`
}

// Operand is one fact that a condition looked at.
type Operand struct {
	Expr  string `json:"expr"`
	Value string `json:"value"`
}

// Evidence is one event behind the finding, in event-time order.
type Evidence struct {
	EventID string        `json:"event_id"`
	Source  event.Source  `json:"source"`
	Time    time.Time     `json:"time"`
	Kind    event.Kind    `json:"kind"`
	Action  string        `json:"action"`
	Outcome event.Outcome `json:"outcome"`
	// Summary says it in a few words: "sms verified from 198.51.100.7 (AS64500, NL)".
	Summary string `json:"summary"`
}

// Validate reports the first breach of the contract.
func (a *Alert) Validate() error {
	switch {
	case a.Schema != SchemaVersion:
		return fmt.Errorf("alert schema is %d, this build writes %d", a.Schema, SchemaVersion)
	case a.ID == "" || a.RuleID == "" || a.Key == "" || a.Anchor == "":
		return errors.New("alert without id, rule, key or anchor")
	case a.Revision == 0:
		return errors.New("alert without revision")
	case a.Severity.Rank() == 0:
		return fmt.Errorf("alert severity %q is not one of %v", a.Severity, Severities())
	case a.State != Open && a.State != Withdrawn:
		return fmt.Errorf("alert state %q is neither open nor withdrawn", a.State)
	case a.Time.IsZero():
		return errors.New("alert without time")
	}
	return nil
}

// Encode returns the JSON of a.
func Encode(a *Alert) ([]byte, error) {
	b, err := json.MarshalWithOption(a, json.DisableHTMLEscape())
	if err != nil {
		return nil, fmt.Errorf("encode alert %s: %w", a.ID, err)
	}
	return b, nil
}

// Decode reads what Encode wrote and validates it; an alert of a newer schema
// gives an error that wraps ErrSchema.
func Decode(data []byte, a *Alert) error {
	*a = Alert{}
	if err := json.Unmarshal(data, a); err != nil {
		return fmt.Errorf("decode alert: %w", err)
	}
	if a.Schema > SchemaVersion {
		return fmt.Errorf("%w: %d, this build reads up to %d", ErrSchema, a.Schema, SchemaVersion)
	}
	return a.Validate()
}
