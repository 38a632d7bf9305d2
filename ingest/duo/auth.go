package duo

import (
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// authentication reads a row of the authentication log.
func (b *build) authentication() error {
	in, e := b.in, &b.base
	if err := b.time(in.ISOTime, in.Timestamp, in.TS); err != nil {
		return err
	}
	e.Stream, e.Action = streamAuth, lenient.First(string(in.EventType), "authentication")
	e.Subject = person(string(in.User.Key), string(in.User.Name), string(in.Email))
	e.Actor = e.Subject
	result, reason := strings.ToLower(string(in.Result)), strings.ToLower(strings.TrimSpace(string(in.Reason)))
	e.Reason = reason
	e.FlowID = string(in.TxID)
	b.id = lenient.Digest(string(in.TxID), e.Time.Format(time.RFC3339Nano), string(in.Factor), result, reason, e.Subject.ID, e.Subject.Name)
	place(e, &in.Access)
	b.trust()
	if ip := string(in.Auth.IP); ip != "" {
		l := &in.Auth.Location
		e.AuthenticatorEndpoint = &event.Endpoint{IP: ip, Country: ingest.CountryCode(lenient.Known(string(l.Country))), Region: lenient.Known(string(l.State)), City: lenient.Known(string(l.City))}
	}
	if key, name := lenient.Known(string(in.Application.Key)), lenient.Known(string(in.Application.Name)); key != "" || name != "" {
		e.App = &event.App{ID: key, Name: name}
	}
	if in.EventType == "enrollment" {
		return b.enrolment(result)
	}

	s := b.event(event.SignIn)
	var how event.Result
	s.Outcome, how = outcomeOf(result, reason)
	if f, ok := b.factor(s, reason, how); ok {
		s.Factors = []event.Factor{f}
	}
	if reason == "anomalous_push" {
		s.Risk = &event.Risk{Type: reason}
	}
	if result == "fraud" || reason == "user_marked_fraud" {
		r := b.event(event.UserReport)
		r.Outcome = event.Success
		r.Report = &event.Report{EventID: b.id, EventType: e.Action, IP: e.Endpoint.IP}
	}
	return nil
}

// outcomeOf reads how the row ended, and its factor.
func outcomeOf(result, reason string) (event.Outcome, event.Result) {
	switch result {
	case "success":
		return event.Success, event.Verified
	case "fraud":
		return event.Denied, event.Rejected
	case "":
		return event.OutcomeUnknown, event.Pending
	}
	switch reason {
	case "user_mistake", "invalid_passcode", "verification_code_incorrect", "verification_code_missing", "error":
		return event.Failure, event.Failed
	case "anomalous_push":
		return event.Denied, event.Failed
	case "user_cancelled", "user_marked_fraud", "user_disapproved":
		return event.Denied, event.Rejected
	case "no_response", "call_timed_out", "no_keys_pressed", "user_provided_no_response":
		return event.Abandoned, event.Unanswered
	}
	// Policy said no: of the factor itself the row says nothing.
	return event.Denied, event.Pending
}

// factor returns what was proved. The reason is read before the factor.
func (b *build) factor(e *event.Event, reason string, how event.Result) (event.Factor, bool) {
	word := lenient.Known(string(b.in.Factor))
	m, known := methodOf(word)
	detail := word
	switch reason {
	case "bypass_user", "allow_unenrolled_user", "allow_unenrolled_user_on_trusted_network", "trusted_network", "trusted_location", "allowed_by_policy":
		m, known, detail = event.MethodMFABypassed, true, reason
	case "remembered_device":
		m, known = event.MethodRememberedDevice, true
	case "verification_code_correct", "verification_code_incorrect", "verification_code_missing":
		if m == event.MethodPush {
			m = event.MethodPushNumberMatch
		}
	}
	if m == event.MethodRememberedDevice {
		detail = lenient.First(lenient.Known(string(b.in.Remembered)), detail)
	}
	if m == "" {
		if how != event.Verified {
			return event.Factor{}, false
		}
		m = event.MethodUnknown
		warn(e, "success without a factor, for the reason %q", reason)
	}
	if !known {
		warn(e, "unknown factor %q", word)
	}
	if lenient.Squeeze(word) == "smsrefresh" {
		how, e.Outcome = event.Pending, event.Challenged // codes were sent
	}
	f := event.NewFactor(m, how)
	f.Detail = detail
	if m.Class() != event.None && m.Class() != event.Inherited {
		f.CredentialID = credentialID(lenient.Known(string(b.in.Auth.Key)), m)
	}
	if m.Class() != event.PhishingResistant {
		f.Step = event.StepSecondary // a WebAuthn factor may be a passwordless sign-in
	}
	return f, true
}

// enrolment is a device that was registered during a sign-in.
func (b *build) enrolment(result string) error {
	e := b.event(event.AuthenticatorEnrolled)
	e.Outcome, _ = outcomeOf(result, e.Reason)
	m, known := methodOf(lenient.Known(string(b.in.Factor)))
	if m == "" {
		m = event.MethodUnknown
	}
	if !known {
		warn(e, "unknown factor %q", b.in.Factor)
	}
	a := event.NewAuthenticator(m)
	a.ID, a.Name = credentialID(lenient.Known(string(b.in.Auth.Key)), m), lenient.Known(string(b.in.Auth.Name))
	e.Authenticators = []event.Authenticator{a}
	return nil
}

// trust reads what Duo thinks of device and sign-in.
func (b *build) trust() {
	in, e := b.in, &b.base
	if status := strings.ToLower(lenient.Known(string(in.Trusted))); status != "" {
		managed := status == "trusted"
		if managed || status == "not trusted" {
			if e.Device == nil {
				e.Device = &event.Device{OS: e.UserAgent.OS}
			}
			e.Device.Managed, e.Device.TrustType = &managed, status
		}
	}
	var found []string
	for _, a := range [...]assessment{in.Assessments.MoreSecure, in.Assessments.Remember} {
		if strings.EqualFold(string(a.Level), "LOW") && a.Reason != "" {
			found = append(found, string(a.Reason))
		}
		found = append(found, a.Detectors...)
	}
	if found = append(found, in.Attacks...); len(found) > 0 {
		e.Risk = &event.Risk{Type: "adaptive_trust", Detail: strings.Join(found, "; ")}
	}
}
