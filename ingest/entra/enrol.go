package entra

import (
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-json"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// bySelf reports that nobody but the subject acted, as far as the log says.
func (a *auditRecord) bySelf() bool { return !a.base.ByOther() }

// authenticator returns the credential that the record speaks of.
func (a *auditRecord) authenticator(e *event.Event) event.Authenticator {
	// The name of the activity says more than "Passkey" in the details where it
	// is "Add Passkey (device-bound)".
	texts := []string{a.detail("AuthenticationMethod"), a.base.Reason, a.name}
	if !strings.Contains(a.name, "security info") {
		texts = []string{a.name, a.detail("AuthenticationMethod"), a.base.Reason}
	}
	method, known := enrolledMethod(texts...)
	if !known {
		e.Warnings = append(e.Warnings, "unknown method of a security info: "+a.base.Reason)
	}
	auth := event.NewAuthenticator(method)
	auth.AAGUID = uuid(lenient.First(a.detail("AAGuid"), a.newValue("AAGuid")))
	auth.Name = lenient.First(a.detail("DisplayName"), a.detail("DeviceName"))
	if method == event.MethodPassword {
		auth.Name = "App Password"
	}
	return auth
}

// securityInfo reads "User registered security info" and its kin.
func (a *auditRecord) securityInfo() ([]event.Event, error) {
	has := func(s string) bool { return strings.Contains(a.name, s) }
	if m, _ := enrolledMethod(a.detail("AuthenticationMethod"), a.base.Reason); m == event.MethodTemporaryAccessPass {
		return a.temporaryAccessPass()
	}
	switch {
	case has("deleted"):
		e := a.event(event.AuthenticatorRemoved)
		e.Authenticators = []event.Authenticator{a.authenticator(&e)}
		return one(e)
	case has("registered all required"), has("started"), has("canceled"), has("cancelled"):
		// Each credential has a record of its own.
		return a.skipStep()
	case has("reviewed"), has("default security info"):
		// No credential came or went.
		return a.skipIrrelevant()
	case has("registered"), has("updated"), has("saved for self-service"):
		e := a.event(event.AuthenticatorEnrolled)
		e.Authenticators = []event.Authenticator{a.authenticator(&e)}
		return one(e)
	}
	return a.skipIrrelevant()
}

// credential reads "Add Passkey (device-bound)" and its kin, of the Device
// Registration Service and of the directory.
func (a *auditRecord) credential() ([]event.Event, error) {
	if strings.Contains(a.name, "hardware oath token") && a.user == nil {
		return a.skipIrrelevant() // a token in stock, nobody's
	}
	kind := event.AuthenticatorEnrolled
	if strings.HasPrefix(a.name, "delete ") || strings.HasPrefix(a.name, "remove ") {
		kind = event.AuthenticatorRemoved
	}
	e := a.event(kind)
	e.Authenticators = []event.Authenticator{a.authenticator(&e)}
	return one(e)
}

// deviceRegistration reads the key of a device, which obtains sessions without a
// factor; see the package's design.
func (a *auditRecord) deviceRegistration() ([]event.Event, error) {
	kind := event.AuthenticatorEnrolled
	if strings.HasPrefix(a.name, "unregister") {
		kind = event.AuthenticatorRemoved
	}
	e := a.event(kind)
	auth := event.NewAuthenticator(event.MethodPrimaryRefreshToken)
	d := &event.Device{ID: a.detail("Device Id"), OS: ingest.OSFamily(a.detail("Device OS")), TrustType: a.detail("Device Trust Type")}
	if t := a.targetOf("Device"); t != nil {
		d.ID, d.Name = lenient.First(d.ID, t.ID), t.DisplayName
	} else if a.user == nil && len(a.TargetResources) > 0 {
		d.ID, d.Name = lenient.First(d.ID, a.TargetResources[0].ID), a.TargetResources[0].DisplayName
	}
	auth.ID, auth.Name = d.ID, d.Name
	e.Authenticators, e.Device = []event.Authenticator{auth}, d
	return one(e)
}

// temporaryAccessPass reads that a pass was issued, with how long and how often
// it works, or taken away.
func (a *auditRecord) temporaryAccessPass() ([]event.Event, error) {
	if strings.Contains(a.name, "delete") {
		e := a.event(event.AuthenticatorRemoved)
		e.Authenticators = []event.Authenticator{event.NewAuthenticator(event.MethodTemporaryAccessPass)}
		return one(e)
	}
	e := a.event(event.RecoveryCredentialIssued)
	e.Recovery = &event.Recovery{Stage: event.RecoveryIssued, Method: event.MethodTemporaryAccessPass, SelfService: a.bySelf()}
	start, ok1 := lenient.Time(a.newValue("TemporaryAccessPass.StartDateTime"))
	end, ok2 := lenient.Time(a.newValue("TemporaryAccessPass.EndDateTime"))
	if ok1 && ok2 && end.After(start) {
		e.Recovery.Lifetime = end.Sub(start)
	} else if m := parseMinutes(a.newValue("TemporaryAccessPass.LifetimeInMinutes")); m > 0 {
		e.Recovery.Lifetime = time.Duration(m) * time.Minute
	}
	switch strings.ToLower(a.newValue("TemporaryAccessPass.AccessPassUsage")) {
	case "once", "onetime", "one-time":
		e.Recovery.Uses = 1
	case "multiple":
		e.Recovery.Uses = -1
	}
	return one(e)
}

func parseMinutes(s string) int64 {
	var n lenient.Number
	_ = n.UnmarshalJSON([]byte(s)) // never fails
	const aYear = 366 * 24 * 60
	return min(n.N, aYear)
}

// perUserMFA reads the switch of one person's second factor.
func (a *auditRecord) perUserMFA() ([]event.Event, error) {
	before, after := "", ""
	for _, name := range []string{"StrongAuthenticationRequirement", "PerUserMfaState", "State"} {
		if c := a.modified(name); c != nil {
			before, after = c.old(), c.new()
			break
		}
	}
	off := strings.HasPrefix(a.name, "disable") || isDisabledState(after)
	policy := &event.Policy{Type: "StrongAuthenticationRequirement", Change: "activated", Before: before, After: after}
	if !off {
		e := a.event(event.PolicyChange)
		e.Policy = policy
		return one(e)
	}
	e := a.event(event.AuthenticatorsReset)
	policy.Change = "deactivated"
	if e.Outcome == event.Success {
		policy.Weakened = []event.Weakening{event.WeakeningUserExempt}
	}
	e.Policy = policy
	return one(e)
}

// isDisabledState reads a StrongAuthenticationRequirement: [] or State 0.
func isDisabledState(value string) bool {
	if v := strings.ToLower(strings.TrimSpace(value)); v == "[]" || v == "disabled" {
		return true
	}
	required := listOf[struct {
		State lenient.Number `json:"State"`
	}](value)
	return len(required) > 0 && required[0].State.N == 0 && strings.Contains(value, "State")
}

// listOf reads a JSON list; nil where s is none.
func listOf[T any](s string) []T {
	var out []T
	if json.Unmarshal([]byte(s), &out) != nil {
		return nil
	}
	return out
}

// updateUser reads what a generic change of a user object means for
// authentication; most mean nothing.
func (a *auditRecord) updateUser() ([]event.Event, error) {
	var events []event.Event
	var enrolled, removed []event.Method
	authenticator := func(kind event.Kind, auth event.Authenticator) {
		seen := &enrolled
		if kind == event.AuthenticatorRemoved {
			seen = &removed
		}
		if slices.Contains(*seen, auth.Method) {
			return // two properties tell of one credential
		}
		*seen = append(*seen, auth.Method)
		e := a.event(kind)
		e.Authenticators = []event.Authenticator{auth}
		events = append(events, e)
	}
	contact := func(kind, value string, primary bool) {
		e := a.event(event.ContactChange)
		e.Contact = &event.Contact{Kind: kind, Value: value, Primary: primary}
		events = append(events, e)
	}
	reset := func(c *change, weakened []event.Weakening) {
		e := a.event(event.AuthenticatorsReset)
		e.Policy = &event.Policy{Type: c.Name, Change: "deactivated", Before: c.old(), After: c.new(), Weakened: weakened}
		events = append(events, e)
	}
	lifecycle := false
	for i := range a.TargetResources {
		for j := range a.TargetResources[i].ModifiedProperties {
			c := &a.TargetResources[i].ModifiedProperties[j]
			if c.Old == c.New {
				continue
			}
			switch strings.ToLower(c.Name) {
			case "strongauthenticationmethod":
				a.methodTypes(c, authenticator, reset)
			case "strongauthenticationphoneappdetail":
				a.phoneApps(c, authenticator)
			case "strongauthenticationrequirement":
				if isDisabledState(c.new()) && !isDisabledState(c.old()) && c.old() != "" {
					reset(c, []event.Weakening{event.WeakeningUserExempt})
				}
			case "strongauthenticationuserdetails":
				userDetails(c, contact)
			case "othermail":
				contact("email", strings.Join(listOf[string](c.new()), ","), false)
			case "mobile":
				contact("phone", strings.Join(listOf[string](c.new()), ","), true)
			case "accountenabled", "userprincipalname", "usertype", "sourceanchor":
				lifecycle = true
			default:
				if strings.HasPrefix(strings.ToLower(c.Name), "temporaryaccesspass") && len(events) == 0 {
					return a.temporaryAccessPass()
				}
			}
		}
	}
	if lifecycle {
		events = append(events, a.event(event.UserLifecycle))
	}
	if len(events) == 0 {
		return a.skipIrrelevant()
	}
	return events, nil
}

// methodTypes reads the list of a user's second factors. An emptied list is a
// reset: that is how an administrator requires a new registration.
func (a *auditRecord) methodTypes(c *change, authenticator func(event.Kind, event.Authenticator), reset func(*change, []event.Weakening)) {
	before, after := methodsOf(c.old()), methodsOf(c.new())
	if len(after) == 0 && len(before) > 0 {
		reset(c, nil)
		return
	}
	for _, m := range after {
		if !slices.Contains(before, m) {
			authenticator(event.AuthenticatorEnrolled, event.NewAuthenticator(m))
		}
	}
	for _, m := range before {
		if !slices.Contains(after, m) {
			authenticator(event.AuthenticatorRemoved, event.NewAuthenticator(m))
		}
	}
}

func methodsOf(value string) []event.Method {
	var methods []event.Method
	for _, entry := range listOf[struct {
		MethodType lenient.Text `json:"MethodType"`
	}](value) {
		m, _ := strongAuthenticationMethod(string(entry.MethodType))
		methods = append(methods, m)
	}
	return methods
}

// phoneApp is an Authenticator installation. Entra rewrites its token and its
// last use at every sign-in; the id says whether it is another one.
type phoneApp struct {
	ID         lenient.Text `json:"Id"`
	DeviceID   lenient.Text `json:"DeviceId"`
	DeviceName lenient.Text `json:"DeviceName"`
}

func (p phoneApp) key() string {
	return lenient.First(string(p.ID), string(p.DeviceID), string(p.DeviceName))
}

func (a *auditRecord) phoneApps(c *change, authenticator func(event.Kind, event.Authenticator)) {
	before, after := listOf[phoneApp](c.old()), listOf[phoneApp](c.new())
	missing := func(p phoneApp, in []phoneApp) bool {
		return p.key() != "" && !slices.ContainsFunc(in, func(o phoneApp) bool { return o.key() == p.key() })
	}
	each := func(kind event.Kind, list, other []phoneApp) {
		for _, p := range list {
			if missing(p, other) {
				auth := event.NewAuthenticator(event.MethodPush)
				auth.ID, auth.Name = lenient.First(string(p.ID), string(p.DeviceID)), string(p.DeviceName)
				authenticator(kind, auth)
			}
		}
	}
	each(event.AuthenticatorEnrolled, after, before)
	each(event.AuthenticatorRemoved, before, after)
}

// userDetails reads the phone numbers and addresses for second factor and
// recovery.
func userDetails(c *change, contact func(kind, value string, primary bool)) {
	type details struct {
		PhoneNumber            lenient.Text `json:"PhoneNumber"`
		AlternativePhoneNumber lenient.Text `json:"AlternativePhoneNumber"`
		VoiceOnlyPhoneNumber   lenient.Text `json:"VoiceOnlyPhoneNumber"`
		Email                  lenient.Text `json:"Email"`
	}
	// The value is a list of objects with one member each, or one object.
	read := func(value string) details {
		var d details
		if strings.HasPrefix(strings.TrimSpace(value), "{") {
			value = "[" + value + "]"
		}
		for _, one := range listOf[details](value) {
			d.PhoneNumber = lenient.Text(lenient.First(string(one.PhoneNumber), string(d.PhoneNumber)))
			d.AlternativePhoneNumber = lenient.Text(lenient.First(string(one.AlternativePhoneNumber), string(d.AlternativePhoneNumber)))
			d.VoiceOnlyPhoneNumber = lenient.Text(lenient.First(string(one.VoiceOnlyPhoneNumber), string(d.VoiceOnlyPhoneNumber)))
			d.Email = lenient.Text(lenient.First(string(one.Email), string(d.Email)))
		}
		return d
	}
	before, after := read(c.old()), read(c.new())
	for _, p := range [...]struct {
		kind        string
		primary     bool
		before, now lenient.Text
	}{
		{"phone", true, before.PhoneNumber, after.PhoneNumber},
		{"phone", false, before.AlternativePhoneNumber, after.AlternativePhoneNumber},
		{"phone", false, before.VoiceOnlyPhoneNumber, after.VoiceOnlyPhoneNumber},
		{"email", true, before.Email, after.Email},
	} {
		if p.before != p.now {
			contact(p.kind, string(p.now), p.primary)
		}
	}
}

func (a *auditRecord) passwordReset() ([]event.Event, error) {
	e := a.event(event.PasswordReset)
	self := a.bySelf()
	if strings.Contains(a.name, "by admin") {
		self = false
	}
	e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted, SelfService: self || strings.Contains(a.name, "self-service")}
	if e.Outcome == event.Failure {
		e.Recovery.Stage = event.RecoveryFailed
	}
	return one(e)
}

func (a *auditRecord) passwordChange() ([]event.Event, error) {
	return one(a.event(event.PasswordChange))
}

// recovery reads the self-service flow, step by step, and its ends.
func (a *auditRecord) recovery() ([]event.Event, error) {
	e := a.event(event.RecoveryActivity)
	reason := strings.ToLower(e.Reason)
	said := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(reason, w) })
	}
	e.Recovery = &event.Recovery{Stage: event.RecoveryStarted, SelfService: !strings.HasPrefix(a.name, "admin")}
	switch {
	case strings.HasPrefix(a.name, "blocked"):
		e.Recovery.Stage, e.Outcome = event.RecoveryFailed, event.Denied
	case said("cancelled", "canceled", "abandoned"):
		e.Recovery.Stage, e.Outcome = event.RecoveryFailed, event.Abandoned
	case e.Outcome == event.Failure:
		e.Recovery.Stage = event.RecoveryFailed
	case strings.HasPrefix(a.name, "unlock"), said("successfully reset", "successfully completed"):
		e.Recovery.Stage = event.RecoveryCompleted
	}
	if m, known := enrolledMethod(reason); known && said("option", "verification", "code") {
		e.Recovery.Method = m
	}
	return one(e)
}

// qrPIN reads a new PIN for the sign-in with a QR code, which an administrator
// sets.
func (a *auditRecord) qrPIN() ([]event.Event, error) {
	e := a.event(event.RecoveryActivity)
	e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted, Method: event.MethodQRPIN, SelfService: a.bySelf()}
	if e.Outcome == event.Failure {
		e.Recovery.Stage = event.RecoveryFailed
	}
	return one(e)
}
