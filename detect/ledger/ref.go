package ledger

import (
	"cmp"
	"slices"
	"strings"

	"stepdown/ingest/event"
)

const (
	// maxProofs is how many factors a Ref tells of.
	maxProofs = 6
	// maxNote is how long the note of a Ref may be, maxSummary what it says with
	// everything else.
	maxNote    = 120
	maxSummary = 200
)

// Proofs is the first factors of a record, each as the number of its method and
// the number of its result.
type Proofs [maxProofs]Proof

// Proof is one factor: methodNumbers and resultNumbers count from 1.
type Proof struct{ Method, Result uint8 }

// methodNumbers and resultNumbers are part of the encoding of a ledger: new ones
// are appended.
func methodNumbers() []event.Method {
	return []event.Method{
		event.MethodPassword, event.MethodPasskey, event.MethodPasskeySynced, event.MethodPasskeyDeviceBound,
		event.MethodPasskeyHybrid, event.MethodSecurityKey, event.MethodPlatformCredential, event.MethodCertificate,
		event.MethodFastPassPR, event.MethodPush, event.MethodPushNumberMatch, event.MethodTOTP, event.MethodOTPHardware,
		event.MethodSMS, event.MethodVoice, event.MethodEmailCode, event.MethodEmailLink, event.MethodSecurityQuestion,
		event.MethodQRPIN, event.MethodBackupCode, event.MethodBypassCode, event.MethodTemporaryAccessPass,
		event.MethodMFABypassed, event.MethodPreviouslySatisfied, event.MethodRefreshToken, event.MethodPrimaryRefreshToken,
		event.MethodRememberedDevice, event.MethodExistingSession, event.MethodFederated, event.MethodDelegated, event.MethodUnknown,
	}
}

func resultNumbers() []event.Result {
	return []event.Result{event.Verified, event.Failed, event.Rejected, event.Unanswered, event.Pending}
}

// RefOf returns a reference to e.
func RefOf(e *event.Event) Ref { return new(Ledger).ref(e) }

func (l *Ledger) ref(e *event.Event) Ref {
	place := l.place(e)
	return l.refFrom(e, &place)
}

func (l *Ledger) refFrom(e *event.Event, p *Place) Ref {
	r := Ref{EventID: e.ID, Source: e.Source, Time: e.Time, Kind: e.Kind, Action: e.Action, Outcome: e.Outcome,
		IP: p.IP, Network: p.Network, Country: p.Country}
	n := 0
	prove := func(m event.Method, result event.Result) {
		if n < maxProofs {
			r.Proofs[n] = Proof{uint8(slices.Index(methodNumbers(), m) + 1), uint8(slices.Index(resultNumbers(), result) + 1)}
			n++
		}
	}
	for i := range e.Factors {
		prove(e.Factors[i].Method, e.Factors[i].Result)
	}
	for i := range e.Authenticators {
		prove(e.Authenticators[i].Method, "")
	}
	var b []byte
	switch {
	case e.Consent != nil:
		b = append(append(b, cut(cmp.Or(e.Consent.AppName, e.Consent.AppID), maxNote)...), ':')
		for _, s := range e.Consent.Scopes {
			b = append(append(b, ' '), cut(s, maxNote)...)
		}
	case e.Recovery != nil:
		b = append(append(append(b, e.Recovery.Method...), ' '), e.Recovery.Stage...)
	}
	if e.ByOther() {
		b = append(append(b, " by "...), cut(cmp.Or(e.Actor.Name, e.Actor.ID), maxNote)...)
	}
	if len(b) > 0 {
		r.Note = cut(strings.TrimSpace(l.texts.Join(string(b))), maxNote)
	}
	return r
}

// cut cuts s to about limit bytes.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// Summary says in a few words what the record was: "sms verified from
// 198.51.100.7 (AS64500 NL)".
func (r *Ref) Summary() string {
	var parts []string
	for _, p := range r.Proofs {
		if p.Method == 0 {
			break
		}
		text := "unknown"
		if known := methodNumbers(); int(p.Method) <= len(known) {
			text = string(known[p.Method-1])
		}
		if known := resultNumbers(); p.Result > 0 && int(p.Result) <= len(known) {
			text += " " + string(known[p.Result-1])
		}
		parts = append(parts, text)
	}
	text := strings.TrimSpace(strings.Join(parts, ", ") + " " + r.Note)
	if r.IP != "" {
		text += " from " + r.IP
		if detail := strings.TrimSpace(r.Network + " " + r.Country); detail != "" {
			text += " (" + detail + ")"
		}
	}
	return cut(strings.TrimSpace(text), maxSummary)
}
