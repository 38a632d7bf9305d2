package auth0

import (
	"slices"
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// login is "s": the record that lets a person in. Its prompts tell of the pages the
// person went through, and of what was proved on each.
func (b *build) login() error {
	b.e.Kind, b.e.Outcome = event.SignIn, event.Success
	d := &b.in.Details
	b.e.Risk = riskOf(string(d.RiskAssessment.Confidence), &d.RiskAssessment.Assessments)
	for i := range d.Prompts {
		b.prompt(&d.Prompts[i])
	}
	if d.SessionTransfer == lenient.True {
		b.e.Factors = append(b.e.Factors, event.NewFactor(event.MethodExistingSession, event.Verified))
	}
	if len(b.e.Factors) == 0 {
		b.byStrategy()
	}
	return nil
}

// byStrategy adds the factor that the connection leaves no choice about, where no
// prompt tells of one.
func (b *build) byStrategy() {
	switch strategy := strings.ToLower(string(b.in.StrategyType)); strategy {
	case "enterprise", "social":
		b.factor(event.MethodFederated, event.Verified, string(b.in.Strategy), event.StepPrimary)
	case "passwordless":
		b.factor(passwordless(string(b.in.Strategy), string(b.in.Connection), ""), event.Verified, string(b.in.Strategy), event.StepPrimary)
	}
}

func (b *build) factor(m event.Method, r event.Result, detail string, step event.Step) *event.Factor {
	f := event.NewFactor(m, r)
	f.Detail, f.Step = detail, step
	f.Fresh = f.Fresh && r == event.Verified
	if m == event.MethodFederated {
		f.Provider = lenient.First(string(b.in.Connection), string(b.in.Strategy))
	}
	b.e.Factors = append(b.e.Factors, f)
	return &b.e.Factors[len(b.e.Factors)-1]
}

// prompt reads what one page proved, which is nothing for most.
func (b *build) prompt(p *prompt) {
	name := string(p.Name)
	before := len(b.e.Factors)
	switch {
	case p.Grant != nil && name == "consent":
		b.consent(p)
	case hasResistant(p.PerformedAMR) || hasResistant(p.PerformedACR):
		b.factor(event.MethodPasskey, event.Verified, name+" phr", event.StepPrimary)
	case isSecondFactor(p):
		f := b.factor(secondOf(string(p.Provider), p.PerformedAMR), event.Verified, strings.TrimSpace(name+" "+string(p.Provider)), event.StepSecondary)
		if f.Method == event.MethodDelegated {
			f.Provider = string(p.Provider)
		}
	case p.PasswordlessAMR != "":
		b.factor(passwordless(lenient.First(string(p.Strategy), string(b.in.Strategy)), string(p.Connection), string(p.PasswordlessAMR)), event.Verified, string(p.PasswordlessAMR), event.StepPrimary)
	case name == "federated-authenticate", name == "saml-authenticate", name == "oidc-authenticate", name == "oauth2-authenticate", name == "wsfed-authenticate":
		f := b.factor(event.MethodFederated, event.Verified, name, event.StepPrimary)
		f.Provider = lenient.First(string(p.Connection), f.Provider)
	case name == "lock-password-authenticate", name == "prompt-authenticate-password":
		b.factor(event.MethodPassword, event.Verified, name, event.StepPrimary)
	case name == "authenticate":
		b.factor(event.MethodExistingSession, event.Verified, name, event.StepUnknown)
	}
	if t, ok := lenient.Time(string(p.CompletedAt)); ok && len(b.e.Factors) > before {
		b.e.Factors[before].Time = &t
	}
}

// hasResistant: phr and phrh are OpenID's values of acr, which Auth0 puts into
// amr.
func hasResistant(values []string) bool {
	return slices.ContainsFunc(values, func(v string) bool {
		return strings.EqualFold(v, "phr") || strings.EqualFold(v, "phrh")
	})
}

const multiFactor = "http://schemas.openid.net/pape/policies/2007/06/multi-factor"

func isSecondFactor(p *prompt) bool {
	return slices.Contains(p.PerformedAMR, "mfa") || slices.Contains(p.PerformedACR, multiFactor) ||
		p.Name == "mfa" || p.Name == "universal-mfa"
}

// secondOf names the second factor where its provider or an amr value of RFC 8176
// leaves no doubt.
func secondOf(provider string, amr []string) event.Method {
	switch strings.ToLower(provider) {
	case "duo":
		return event.MethodDelegated
	case "google-authenticator":
		return event.MethodTOTP
	}
	for _, v := range amr {
		switch v {
		case "sms":
			return event.MethodSMS
		case "tel":
			return event.MethodVoice
		case "sc":
			return event.MethodCertificate
		case "kba":
			return event.MethodSecurityQuestion
		}
	}
	return event.MethodUnknown
}

// passwordless names where a code went; sent is "code" or "link" where the record
// tells.
func passwordless(strategy, connection, sent string) event.Method {
	switch lenient.First(strings.ToLower(strategy), strings.ToLower(connection)) {
	case "sms":
		return event.MethodSMS
	case "email":
		if strings.Contains(strings.ToLower(sent), "link") {
			return event.MethodEmailLink
		}
		return event.MethodEmailCode
	}
	return event.MethodUnknown
}

// consent adds the grant that a person made on the consent page.
func (b *build) consent(p *prompt) {
	var g grant
	if json.Unmarshal(p.Grant, &g) != nil {
		return
	}
	c := event.Consent{AppID: string(b.in.ClientID), AppName: lenient.Known(string(b.in.ClientName)),
		Resource: string(g.Audience), Scopes: scopes(string(g.Scope)), GrantID: string(g.ID)}
	if b.in.ClientID == "" && b.in.ClientName == "" {
		return
	}
	b.also(func(e *event.Event) { e.Kind, e.Consent = event.ConsentGrant, &c })
}

func scopes(list ...string) []string {
	var out []string
	for _, s := range list {
		for scope := range strings.FieldsSeq(s) {
			if !slices.Contains(out, scope) {
				out = append(out, scope)
			}
		}
	}
	return out
}

// signUp makes an account; it may come with a passkey from the start.
func (b *build) signUp() error {
	b.e.Kind, b.e.Outcome = event.UserLifecycle, event.Success
	if slices.Contains(b.in.Details.AuthMethods, "passkey") {
		b.also(func(e *event.Event) {
			e.Kind = event.AuthenticatorEnrolled
			e.Authenticators = []event.Authenticator{event.NewAuthenticator(event.MethodPasskey)}
		})
	}
	return nil
}

// credentials checks a password or code before the sign-in that it is for.
func (b *build) credentials(o event.Outcome) error {
	b.e.Kind, b.e.Outcome = event.FactorChallenge, o
	var m event.Method
	switch strings.ToLower(string(b.in.StrategyType)) {
	case "database":
		m = event.MethodPassword
	case "passwordless":
		m = passwordless(string(b.in.Strategy), string(b.in.Connection), "")
	case "enterprise", "social":
		m = event.MethodFederated
	default:
		return nil
	}
	b.factor(m, resultOf(o), string(b.in.Strategy), event.StepPrimary)
	return nil
}

// failedLogin: "fp" is a wrong password, "fu" a user that does not exist.
func (b *build) failedLogin() error {
	b.e.Kind, b.e.Outcome = event.SignIn, event.Failure
	d := &b.in.Details
	b.e.Risk = riskOf(string(d.RiskAssessment.Confidence), &d.RiskAssessment.Assessments)
	if b.in.Type == "fp" {
		b.factor(event.MethodPassword, event.Failed, "", event.StepPrimary)
	}
	return nil
}

func resultOf(o event.Outcome) event.Result {
	switch o {
	case event.Success:
		return event.Verified
	case event.Denied:
		return event.Rejected
	case event.Challenged:
		return event.Pending
	}
	return event.Failed
}

// exchange is a sign-in by a grant of the token endpoint: the type names its
// factors, the first and the second.
func (b *build) exchange(o event.Outcome, p event.Protocol, methods ...event.Method) error {
	b.e.Kind, b.e.Outcome, b.e.Protocol = event.SignIn, o, p
	for i, m := range methods {
		if m == "" {
			continue
		}
		step := event.StepPrimary
		if i > 0 {
			step = event.StepSecondary
		}
		b.factor(m, resultOf(o), string(b.in.Details.SubjectTokenType), step)
	}
	return nil
}

// recoveryExchange: a recovery code stood in for the second factor.
func (b *build) recoveryExchange(o event.Outcome, p event.Protocol, primary event.Method) error {
	b.redeemed(o)
	return b.exchange(o, p, primary, event.MethodBackupCode)
}

// redeemed adds that a recovery code was used or tried.
func (b *build) redeemed(o event.Outcome) {
	r := event.Recovery{Stage: event.RecoveryRedeemed, Method: event.MethodBackupCode, SelfService: true}
	if o != event.Success {
		r.Stage = event.RecoveryFailed
	}
	b.also(func(e *event.Event) { e.Kind, e.Recovery = event.RecoveryActivity, &r })
}

// deviceCode: the person approved in a browser, whose own record tells how.
func (b *build) deviceCode(o event.Outcome) error {
	b.e.Kind, b.e.Outcome, b.e.Protocol = event.SignIn, o, event.ProtocolDeviceCode
	if o == event.Success {
		b.factor(event.MethodExistingSession, event.Verified, "", event.StepUnknown)
	}
	return nil
}

// ciba: the person answers on another device.
func (b *build) ciba(k event.Kind, o event.Outcome) error {
	b.e.Kind, b.e.Outcome, b.e.Protocol = k, o, event.ProtocolOAuth2
	m := event.MethodUnknown
	switch channel := strings.ToLower(string(b.in.Details.NotificationChan)); {
	case strings.Contains(channel, "push"):
		m = event.MethodPush
	case strings.Contains(channel, "email"):
		m = event.MethodEmailLink
	}
	b.factor(m, resultOf(o), string(b.in.Details.NotificationChan), event.StepPrimary)
	return nil
}

// silent is a new token over the session there is.
func (b *build) silent() error {
	b.e.Kind, b.e.Outcome = event.SessionActivity, event.Success
	return nil
}

// tokenUse is an application that goes on over a grant it has.
func (b *build) tokenUse(o event.Outcome) error {
	b.e.Kind, b.e.Outcome, b.e.Protocol = event.SessionActivity, o, event.ProtocolOAuth2
	b.e.SessionID = string(b.in.Details.RefreshToken.SessionID)
	if sub := b.in.Details.Actor.Sub; sub != "" {
		b.e.Actor = event.Principal{ID: string(sub), Type: typeService}
	}
	return nil
}

// tokenReuse: a refresh token that was rotated out came back, so two parties hold
// it.
func (b *build) tokenReuse() error {
	b.e.Kind, b.e.Outcome, b.e.Protocol = event.TokenAnomaly, event.Failure, event.ProtocolOAuth2
	d := &b.in.Details
	b.e.SessionID = string(d.RefreshToken.SessionID)
	b.e.Risk = &event.Risk{Type: "refresh_token_reuse", SessionTheft: true}
	if d.FamilyID != "" {
		b.e.Risk.Detail = "family " + string(d.FamilyID) + ", counter " + string(d.TokenCounter) + " of " + string(d.LatestCounter)
	}
	return nil
}

// impersonation: details.actor signed in as the user.
func (b *build) impersonation() error {
	b.e.Kind, b.e.Outcome = event.Impersonation, event.Success
	if sub := b.in.Details.Actor.Sub; sub != "" {
		b.e.Actor = user(string(sub), "")
	} else {
		b.e.Actor = event.Principal{}
	}
	return nil
}

// protection: Auth0 stopped what looked like an attack on the user.
func (b *build) protection(o event.Outcome) error {
	b.e.Kind, b.e.Outcome, b.e.Actor = event.RiskDetection, o, event.Principal{}
	b.e.Risk = &event.Risk{Type: string(b.in.Type), Detail: string(b.in.Description)}
	return nil
}
