package entra

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// factors fills in what was shown: the logged steps, and where none of them is a
// fresh proof, what the row rests on instead.
func (s *signIn) factors(e *event.Event, code int) {
	slices.SortStableFunc(s.AuthenticationDetails, func(a, b step) int {
		// The text of the step requirement does not tell the order; the sequence does.
		return cmp.Compare(a.RequestSequence, b.RequestSequence)
	})
	ranked := false
	for i := range s.AuthenticationDetails {
		f, ok := s.AuthenticationDetails[i].factor(e, code)
		if !ok {
			continue
		}
		f.Step = event.StepSecondary
		if !ranked && f.Rank > 0 || f.Method == event.MethodPassword {
			f.Step = event.StepPrimary
		}
		if f.Rank == 0 {
			f.Step = event.StepUnknown
		}
		ranked = ranked || f.Rank > 0
		e.Factors = append(e.Factors, f)
	}
	if method, ok := issuerMethod(s.TokenIssuerType); ok && !ranked {
		f := event.NewFactor(method, settled(e.Outcome))
		f.Provider, f.Detail = lenient.First(s.TokenIssuerName, s.TokenIssuerType), s.TokenIssuerType
		e.Factors = append(e.Factors, f)
	}
	if len(e.Factors) == 0 {
		s.fallback(e, code)
	}
}

// issuerMethod returns how a person was proved when the token does not come from
// Entra's own page.
func issuerMethod(issuer string) (event.Method, bool) {
	switch strings.ToLower(issuer) {
	case "adfederationservices", "adfederationservicesmfaadapter":
		return event.MethodFederated, true
	case "npsextension":
		return event.MethodDelegated, true
	}
	return "", false
}

// maxStepAge is how much older than its record a step of the same sign-in can be:
// longer than any prompt stays valid.
const maxStepAge = time.Hour

// factor returns the factor of a step; false when the step is only a demand, or
// the companion row of a method that is two factors in one.
func (st *step) factor(e *event.Event, code int) (event.Factor, bool) {
	method, known := standIn(st.ResultDetail)
	switch {
	case known:
	case strings.TrimSpace(st.Method) == "":
		return event.Factor{}, false
	case strings.EqualFold(st.Method, "Other") && strings.Contains(strings.ToLower(st.ResultDetail), "multi-factor device"):
		return event.Factor{}, false
	default:
		if method, known = signInMethod(st.Method); !known {
			e.Warnings = append(e.Warnings, "unknown authentication method "+strconv.Quote(st.Method))
		}
	}
	f := event.NewFactor(method, st.result(code))
	f.Detail = st.Method
	if st.MethodDetail != "" {
		f.Detail += ": " + st.MethodDetail
	}
	if f.Result != event.Verified && st.ResultDetail != "" {
		f.Detail += " (" + st.ResultDetail + ")"
	}
	if f.Class == event.PhishingResistant {
		f.AAGUID = trailingUUID(st.MethodDetail)
	}
	if method == event.MethodDelegated {
		f.Provider = st.MethodDetail
	}
	if at, ok := lenient.Time(st.DateTime); ok {
		f.Time = &at
		if e.Time.Sub(at) > maxStepAge {
			f.Fresh = false
		}
	}
	return f, true
}

func (st *step) result(code int) event.Result {
	if st.Succeeded == lenient.True {
		return event.Verified
	}
	result := resultOf(st.ResultDetail)
	if st.Succeeded == lenient.Unsaid && result == event.Failed {
		result = event.Pending
	}
	demanded := strings.Contains(strings.ToLower(st.ResultDetail), "mfa required")
	if result == event.Pending && code == codeSuccess && !demanded {
		return event.Verified // written before the step was done, see the package's design
	}
	return result
}

// trailingUUID returns the model at the end of a credential's name, "My key -
// ee882879-721c-4913-9775-3dfcce97072a", or "".
func trailingUUID(s string) string {
	const length = 36
	if len(s) < length {
		return ""
	}
	return uuid(s[len(s)-length:])
}

// uuid returns s in lower case where it is a UUID with dashes, else "".
func uuid(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if len(s) != 36 {
		return ""
	}
	for i, c := range []byte(s) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return ""
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return ""
			}
		}
	}
	return s
}

// settled is the result of a proof that is only known by how the sign-in ended.
func settled(o event.Outcome) event.Result {
	switch o {
	case event.Success:
		return event.Verified
	case event.Challenged, event.OutcomeUnknown:
		return event.Pending
	}
	return event.Failed
}

// fallback says what a row without steps rests on. Nothing of it is invented: a
// password grant carries a password, a token is a token.
func (s *signIn) fallback(e *event.Event, code int) {
	add := func(m event.Method, r event.Result, detail string) *event.Factor {
		e.Factors = append(e.Factors, event.NewFactor(m, r))
		f := &e.Factors[len(e.Factors)-1]
		f.Detail = detail
		return f
	}
	token := strings.ToLower(s.IncomingTokenType)
	passwordGrant := e.Protocol == event.ProtocolROPC || e.Protocol == event.ProtocolLegacy
	switch {
	case code == codeBadPassword:
		add(event.MethodPassword, event.Failed, "").Step = event.StepPrimary
	case code == codeExternal:
		add(event.MethodFederated, event.Pending, s.Status.FailureReason)
	case strings.Contains(token, "primaryrefreshtoken"):
		add(event.MethodPrimaryRefreshToken, settled(e.Outcome), s.IncomingTokenType)
	case strings.Contains(token, "refreshtoken"):
		add(event.MethodRefreshToken, settled(e.Outcome), s.IncomingTokenType)
	case strings.Contains(token, "saml"):
		add(event.MethodFederated, settled(e.Outcome), s.IncomingTokenType)
	case strings.Contains(token, "remotedesktoptoken"):
		add(event.MethodExistingSession, settled(e.Outcome), s.IncomingTokenType)
	case passwordGrant && (e.Outcome == event.Success || e.Outcome == event.Challenged):
		add(event.MethodPassword, event.Verified, s.AuthenticationProtocol).Step = event.StepPrimary
	case e.Outcome != event.Success:
		// What failed is not told.
	case s.fromHomeTenant():
		add(event.MethodFederated, event.Verified, s.CrossTenantAccessType).Provider = s.HomeTenantID
	default:
		if m, ok := standIn(s.Status.AdditionalDetails); ok {
			add(m, event.Verified, s.Status.AdditionalDetails)
			return
		}
		if e.Stream == streamNonInteractive {
			add(event.MethodExistingSession, event.Verified, "")
			return
		}
		s.legacyFactors(e)
	}
}

// fromHomeTenant reports a guest, whom the home tenant proved.
func (s *signIn) fromHomeTenant() bool {
	cross := strings.HasPrefix(strings.ToLower(s.CrossTenantAccessType), "b2b")
	foreign := s.HomeTenantID != "" && s.ResourceTenantID != "" && s.HomeTenantID != s.ResourceTenantID
	return cross || foreign || strings.EqualFold(s.UserType, "guest")
}

// legacyFactors reads the fields from before authenticationDetails, for an
// interactive sign-in that succeeded. Graph v1.0 has not even these.
func (s *signIn) legacyFactors(e *event.Event) {
	names := append([]string(nil), s.AuthenticationMethodsUsed...)
	if s.MFADetail.AuthMethod != "" && !slices.Contains(names, s.MFADetail.AuthMethod) {
		names = append(names, s.MFADetail.AuthMethod)
	}
	if len(names) == 0 {
		switch strings.ToLower(s.SignInIdentifierType) {
		case "qrcode":
			names = append(names, "QR code")
		case "phonenumber":
			names = append(names, "SMS sign-in")
		}
	}
	for _, name := range names {
		method, known := signInMethod(name)
		if !known {
			e.Warnings = append(e.Warnings, "unknown authentication method "+strconv.Quote(name))
		}
		f := event.NewFactor(method, event.Verified)
		f.Detail = name
		if method == event.MethodPassword {
			f.Step = event.StepPrimary
		}
		e.Factors = append(e.Factors, f)
	}
	if len(e.Factors) == 0 {
		e.Warnings = append(e.Warnings, "no authentication method logged")
		e.Factors = append(e.Factors, event.NewFactor(event.MethodUnknown, event.Verified))
	}
}
