package google

import (
	"slices"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
)

// changesAccount reports whether the event is one that both login and
// user_accounts may tell of.
func changesAccount(name string) bool {
	switch name {
	case "2sv_enroll", "2sv_disable", "passkey_enrolled", "passkey_removed", "titanium_enroll", "titanium_unenroll",
		"password_edit", "recovery_email_edit", "recovery_phone_edit", "recovery_secret_qa_edit":
		return true
	}
	return false
}

// login reads the logs login and user_accounts.
func (p *part) login(e *event.Event) error {
	if who := p.value("affected_email_address"); who != "" && e.Actor.Name != who {
		e.Subject = event.Principal{Name: who, Type: typeUser}
		if e.Actor.Name == "" {
			e.Actor = event.Principal{} // a warning of Google's: its profile is nobody's
		}
	}
	switch e.Action {
	case "login_success":
		return p.success(e)
	case "login_failure":
		return p.failure(e)
	case "login_challenge", "login_verification":
		return p.challenge(e)
	case "logout":
		e.Kind = event.SessionEnd
		return nil
	case "user_signed_out_due_to_suspicious_session_cookie":
		e.Kind = event.SessionAnomaly
		e.Risk = &event.Risk{Type: e.Action, SessionTheft: true}
		return nil
	case "suspicious_login", "suspicious_login_less_secure_app", "suspicious_programmatic_login", "gov_attack_warning",
		"account_disabled_password_leak", "account_disabled_hijacked", "account_disabled_generic",
		"account_disabled_spamming", "account_disabled_spamming_through_relay":
		e.Kind = event.RiskDetection
		e.Risk = &event.Risk{Type: e.Action}
		return nil
	case "risky_sensitive_action_allowed", "risky_sensitive_action_blocked":
		e.Kind = event.RiskDetection
		e.Risk = &event.Risk{Type: e.Action, Detail: p.value("sensitive_action_name")}
		if strings.HasSuffix(e.Action, "_blocked") {
			e.Outcome = event.Denied
		}
		return nil
	case "email_forwarding_out_of_domain":
		e.Kind = event.RiskDetection
		e.Risk = &event.Risk{Type: e.Action, Detail: p.value("email_forwarding_destination_address")}
		return nil

	case "2sv_enroll":
		return enrolled(e, event.MethodUnknown, "2-Step Verification")
	case "2sv_disable":
		return secondFactorOff(e)
	case "passkey_enrolled":
		return enrolled(e, event.MethodPasskey, "")
	case "passkey_removed":
		return removed(e, event.MethodPasskey)
	case "titanium_enroll":
		return advancedProtection(e, true)
	case "titanium_unenroll":
		return advancedProtection(e, false)
	case "password_edit":
		e.Kind = event.PasswordChange
		return nil
	case "recovery_email_edit":
		return contact(e, "email", "")
	case "recovery_phone_edit":
		return contact(e, "phone", "")
	case "recovery_secret_qa_edit":
		return enrolled(e, event.MethodSecurityQuestion, "")
	}
	return ingest.Skip(ingest.SkipIrrelevant, e.Action)
}

func enrolled(e *event.Event, m event.Method, name string) error {
	a := event.NewAuthenticator(m)
	a.Name = name
	e.Kind, e.Authenticators = event.AuthenticatorEnrolled, []event.Authenticator{a}
	return nil
}

func removed(e *event.Event, m event.Method) error {
	e.Kind, e.Authenticators = event.AuthenticatorRemoved, []event.Authenticator{event.NewAuthenticator(m)}
	return nil
}

func contact(e *event.Event, kind, value string) error {
	e.Kind, e.Contact = event.ContactChange, &event.Contact{Kind: kind, Value: value}
	return nil
}

// secondFactorOff: 2-step verification of one person was switched off, and its
// methods with it.
func secondFactorOff(e *event.Event) error {
	e.Kind = event.AuthenticatorsReset
	e.Policy = &event.Policy{Type: "2-Step Verification", Change: "deactivated", Weakened: []event.Weakening{event.WeakeningUserExempt}}
	return nil
}

// advancedProtection is the program that lets a person in by passkey or security
// key alone.
func advancedProtection(e *event.Event, on bool) error {
	e.Kind = event.PolicyChange
	e.Policy = &event.Policy{Type: "Advanced Protection", Change: "activated"}
	if !on {
		e.Policy.Change = "deactivated"
		e.Policy.Weakened = []event.Weakening{event.WeakeningPhishingResistance, event.WeakeningUserExempt}
	}
	return nil
}

// steps returns the challenges that were shown and could prove something, each once,
// in the order in which they were shown last.
func (p *part) steps() []string {
	var out []string
	for _, c := range p.list("login_challenge_method") {
		if c = strings.ToLower(strings.TrimSpace(c)); provesNothing(c) {
			continue
		}
		if i := slices.Index(out, c); i >= 0 {
			out = slices.Delete(out, i, i+1)
		}
		out = append(out, c)
	}
	return out
}

func (p *part) factor(e *event.Event, challenge string, result event.Result) event.Factor {
	m, known := methodOf(challenge)
	if !known {
		warn(e, "unknown challenge %q", challenge)
	}
	f := event.NewFactor(m, result)
	f.Detail = challenge
	switch {
	case m == event.MethodPassword || m == event.MethodFederated:
		f.Step = event.StepPrimary
	case p.isTrue("is_second_factor"):
		f.Step = event.StepSecondary
	}
	return f
}

// success lets the person in; see the package's design for what the list of
// challenges says.
func (p *part) success(e *event.Event) error {
	e.Kind = event.SignIn
	loginType := p.value("login_type")
	if p.isTrue("is_suspicious") {
		e.Risk = &event.Risk{Type: "is_suspicious"}
	}
	steps := p.steps()
	last := len(steps) - 1
	for last >= 0 && steps[last] == "password" {
		last--
	}
	federated := loginType == "saml" || loginType == "oidc"
	if federated {
		f := event.NewFactor(event.MethodFederated, event.Verified)
		f.Step, f.Detail = event.StepPrimary, loginType
		e.Factors = append(e.Factors, f)
	}
	for i, c := range steps {
		m, _ := methodOf(c)
		switch {
		case federated && (m == event.MethodFederated || m == event.MethodPassword || c == "other"):
			continue
		case m == event.MethodPassword, m == event.MethodFederated, i == last:
			f := p.factor(e, c, event.Verified)
			f.Fresh = f.Fresh && !federated
			e.Factors = append(e.Factors, f)
		default:
			e.Factors = append(e.Factors, p.factor(e, c, event.Pending))
		}
	}
	switch loginType {
	case "reauth", "exchange":
		f := event.NewFactor(event.MethodExistingSession, event.Verified)
		f.Detail = loginType
		e.Factors = append(e.Factors, f)
	}
	if len(e.Factors) == 0 {
		f := event.NewFactor(event.MethodUnknown, event.Verified)
		f.Detail = loginType
		e.Factors = append(e.Factors, f)
	}
	return nil
}

// failure is a sign-in that did not succeed.
func (p *part) failure(e *event.Event) error {
	e.Kind, e.Outcome, e.Reason = event.SignIn, event.Failure, p.value("login_failure_type")
	result := event.Failed
	switch e.Reason {
	case "login_failure_access_code_disallowed", "login_failure_account_disabled":
		// The person may have proved who they are and is not let in all the same.
		e.Outcome, result = event.Denied, event.Pending
	}
	steps := p.steps()
	for i, c := range steps {
		f := p.factor(e, c, event.Pending)
		if i == len(steps)-1 {
			f.Result = result
		}
		e.Factors = append(e.Factors, f)
	}
	if len(steps) == 0 && e.Reason == "login_failure_invalid_password" {
		e.Factors = []event.Factor{p.factor(e, "password", event.Failed)}
	}
	return nil
}

// challenge is one challenge and, where it is known, how it ended.
func (p *part) challenge(e *event.Event) error {
	e.Kind = event.FactorChallenge
	status := p.value("login_challenge_status")
	e.Reason = status
	result := event.Pending
	switch s := strings.ToLower(status); {
	case s == "":
		e.Outcome = event.Challenged
	case strings.Contains(s, "pass"):
		result = event.Verified
	case strings.Contains(s, "fail"), strings.Contains(s, "incorrect"), strings.Contains(s, "denied"):
		result, e.Outcome = event.Failed, event.Failure
	default:
		e.Outcome = event.OutcomeUnknown
		warn(e, "unknown challenge status %q", status)
	}
	steps := p.steps()
	if len(steps) == 0 {
		return ingest.Skip(ingest.SkipIntermediate, e.Action+" that proves nothing")
	}
	for i, c := range steps {
		r := event.Pending
		if i == len(steps)-1 {
			r = result
		}
		e.Factors = append(e.Factors, p.factor(e, c, r))
	}
	return nil
}

// saml is a sign-in to an app for which Google is the identity provider.
func (p *part) saml(e *event.Event) error {
	e.Kind, e.Protocol = event.SignIn, event.ProtocolSAML
	if name := p.value("application_name"); name != "" {
		e.App = &event.App{Name: name}
	}
	switch e.Action {
	case "login_success":
		e.Factors = []event.Factor{event.NewFactor(event.MethodExistingSession, event.Verified)}
	case "login_failure":
		e.Outcome = event.Failure
		e.Reason = p.value("failure_type", "saml_second_level_status_code", "saml_status_code")
	default:
		return ingest.Skip(ingest.SkipIrrelevant, "saml "+e.Action)
	}
	return nil
}

// access reads the decisions of Context-Aware Access.
func (p *part) access(e *event.Event) error {
	if e.Action != "ACCESS_DENY_EVENT" {
		return ingest.Skip(ingest.SkipIrrelevant, e.Action)
	}
	e.Kind, e.Outcome = event.SignIn, event.Denied
	e.Reason = "context_aware_access"
	if name := p.value("CAA_APPLICATION"); name != "" {
		e.App = &event.App{Name: name}
	}
	if id := p.value("CAA_DEVICE_ID"); id != "" {
		e.Device = &event.Device{ID: id}
	}
	return nil
}
