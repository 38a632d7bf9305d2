package rule

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"stepdown/detect/ledger"
	"stepdown/ingest/event"
)

// groups is a set of facts that are filled together.
type groups uint32

const (
	groupEvent groups = 1 << iota
	groupOrigin
	groupMe
	groupLearned
	groupAuthenticators
	groupLists
	groupAttempt
	groupMethods
	groupGround
	groupSequence
	groupRecovery
	groupSession
	groupConsent
	groupRemoved
	groupParts
)

// groupOf returns the group that a tag names.
func groupOf(tag string) groups {
	names := []string{"event", "origin", "me", "learned", "authenticators", "lists", "attempt", "methods", "ground",
		"sequence", "recovery", "session", "consent", "removed", "parts"}
	if i := slices.Index(names, tag); i >= 0 {
		return 1 << i
	}
	return 0
}

// fact is one name that an expression can use.
type fact struct {
	// id is its place in Evaluator.values.
	id    int
	index []int
	typ   reflect.Type
	// list names the closed list that its text is from.
	list   string
	groups groups
}

// vocabulary is what can be named, derived from Facts.
type vocabulary struct {
	facts map[string]fact
	// paths names the facts of a struct type, for error messages.
	paths map[string]string
	size  int
}

func newVocabulary() *vocabulary {
	v := &vocabulary{facts: map[string]fact{}, paths: map[string]string{}}
	v.add("", nil, reflect.TypeFor[Facts](), 0)
	v.paths[reflect.TypeFor[AuthenticatorFacts]().String()] = "an authenticator"
	return v
}

func (v *vocabulary) add(prefix string, index []int, t reflect.Type, inherited groups) groups {
	var all groups
	for i := range t.NumField() {
		f := t.Field(i)
		name := prefix + f.Tag.Get("expr")
		own := groupOf(f.Tag.Get("group"))
		if own == 0 {
			own = inherited
		}
		entry := fact{id: v.size, index: append(slices.Clone(index), i), typ: f.Type, list: f.Tag.Get("list"), groups: own}
		v.size++
		if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[time.Time]() {
			v.paths[f.Type.String()] = name
			entry.groups |= v.add(name+".", entry.index, f.Type, own)
		}
		v.facts[name] = entry
		all |= entry.groups
	}
	return all
}

// names returns the names directly below prefix ("" or "attempt.").
func (v *vocabulary) names(prefix string) []string {
	var names []string
	for path := range v.facts {
		if rest, ok := strings.CutPrefix(path, prefix); ok && !strings.Contains(rest, ".") {
			names = append(names, rest)
		}
	}
	slices.Sort(names)
	return names
}

// fieldsOf returns the names of the fields of a struct of facts.
func fieldsOf(t reflect.Type) []string {
	var names []string
	for field := range t.Fields() {
		names = append(names, field.Tag.Get("expr"))
	}
	return names
}

// builtins are those of expr's functions that rules may use: those without a
// clock, without encodings and without unbounded memory.
func builtins() []string {
	return []string{"all", "any", "none", "one", "filter", "map", "find", "count", "len", "first", "last", "min", "max",
		"sum", "abs", "lower", "upper", "trim", "split", "join", "hasPrefix", "hasSuffix", "indexOf", "uniq", "concat", "sort"}
}

// closedList returns the texts that a fact with that tag can have, besides "".
func closedList(name string) []string {
	switch name {
	case "kind":
		return texts(event.Kinds())
	case "outcome":
		return texts([]event.Outcome{event.Success, event.Failure, event.Denied, event.Challenged, event.Abandoned, event.OutcomeUnknown})
	case "protocol":
		return texts([]event.Protocol{event.ProtocolOAuth2, event.ProtocolSAML, event.ProtocolWSFederation,
			event.ProtocolDeviceCode, event.ProtocolROPC, event.ProtocolTransfer, event.ProtocolNative,
			event.ProtocolLegacy, event.ProtocolRADIUS, event.ProtocolLDAP})
	case "tier":
		return append([]string{"standard"}, texts([]event.Tier{event.TierPrivileged, event.TierBreakGlass, event.TierService, event.TierShared})...)
	case "method":
		return texts(event.Methods())
	case "class":
		return texts([]event.Class{event.PhishingResistant, event.Phishable, event.Weak, event.RecoveryClass, event.Single,
			event.None, event.Inherited, event.Opaque, event.ClassUnknown})
	case "recovery_stage":
		return texts([]event.RecoveryStage{event.RecoveryStarted, event.RecoveryCompleted, event.RecoveryFailed,
			event.RecoveryIssued, event.RecoveryRedeemed})
	case "weakening":
		return texts([]event.Weakening{event.WeakeningFactorMode, event.WeakeningPhishingResistance, event.WeakeningDisabled,
			event.WeakeningScope, event.WeakeningMethodEnabled, event.WeakeningMethodDisabled, event.WeakeningUserExempt})
	case "provenance":
		return texts([]ledger.Provenance{ledger.Enrolment, ledger.Snapshot, ledger.Observed})
	case "risk_level":
		return []string{"none", "low", "medium", "high", "hidden"}
	case "yes_no":
		return []string{"yes", "no", "unknown"}
	}
	return nil
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}
