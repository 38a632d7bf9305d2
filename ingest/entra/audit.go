package entra

import (
	"strconv"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// audit is the part of a directoryAudit object that is read.
type audit struct {
	ID                  string `json:"id"`
	ActivityDateTime    string `json:"activityDateTime"`
	ActivityDisplayName string `json:"activityDisplayName"`
	OperationName       string `json:"operationName"`
	Result              string `json:"result"`
	ResultReason        string `json:"resultReason"`
	ResultDescription   string `json:"resultDescription"`
	CorrelationID       string `json:"correlationId"`
	UserAgent           string `json:"userAgent"`
	InitiatedBy         struct {
		User *struct {
			ID                string   `json:"id"`
			DisplayName       string   `json:"displayName"`
			UserPrincipalName string   `json:"userPrincipalName"`
			IPAddress         string   `json:"ipAddress"`
			Roles             []string `json:"roles"`
		} `json:"user"`
		App *struct {
			AppID              string `json:"appId"`
			DisplayName        string `json:"displayName"`
			ServicePrincipalID string `json:"servicePrincipalId"`
		} `json:"app"`
	} `json:"initiatedBy"`
	TargetResources   []target `json:"targetResources"`
	AdditionalDetails []struct {
		Key   string       `json:"key"`
		Value lenient.Text `json:"value"`
	} `json:"additionalDetails"`
}

type target struct {
	ID                 string   `json:"id"`
	DisplayName        string   `json:"displayName"`
	Type               string   `json:"type"`
	UserPrincipalName  string   `json:"userPrincipalName"`
	ModifiedProperties []change `json:"modifiedProperties"`
}

// change is one modified property. The values are JSON in strings.
type change struct {
	Name string       `json:"displayName"`
	Old  lenient.Text `json:"oldValue"`
	New  lenient.Text `json:"newValue"`
}

func (c *change) old() string { return unquote(string(c.Old)) }
func (c *change) new() string { return unquote(string(c.New)) }

// auditRecord is one audit on its way to events.
type auditRecord struct {
	*record
	audit
	// name is the activity, folded; the names differ between tenants in case
	// and punctuation.
	name string
	// base is what all its events have.
	base event.Event
	// user is the person it happened to, nil where none is a target.
	user *target
	// agent is the user agent as logged.
	agent string
}

type handler func(*auditRecord) ([]event.Event, error)

func (r *record) audit() ([]event.Event, error) {
	raw, warnings, err := decode[audit](r.body)
	if err != nil {
		return nil, err
	}
	r.warnings = append(r.warnings, warnings...)
	a := &auditRecord{record: r, audit: *raw}
	var handle handler
	for _, name := range []string{a.ActivityDisplayName, a.OperationName, r.env.OperationName} {
		a.name = foldActivity(name)
		if handle = handlerOf(a.name); handle != nil {
			break
		}
	}
	action := lenient.First(a.ActivityDisplayName, a.OperationName, r.env.OperationName)
	if handle == nil {
		return nil, ingest.Skip(ingest.SkipIrrelevant, lenient.First(action, "audit without activity"))
	}
	if a.base, err = r.event(a.ActivityDateTime, r.env.Time, r.env.TimeGenerated); err != nil {
		return nil, err
	}
	e := &a.base
	e.Stream, e.Action = streamAudit, action
	e.Reason = lenient.First(a.ResultReason, a.ResultDescription, r.env.ResultDescription)
	e.FlowID = lenient.First(a.CorrelationID, r.env.CorrelationID)
	e.Outcome = a.outcome()
	a.people()
	a.network()
	e.ID = lenient.ID(a.ID, streamAudit, e.Time.Format(time.RFC3339Nano), a.name, e.FlowID, e.Subject.ID, e.Subject.Name)

	events, err := handle(a)
	if err != nil {
		return nil, err
	}
	if len(events) > 1 {
		for i := range events {
			events[i].ID += "#" + strconv.Itoa(i+1)
		}
	}
	for i := range events {
		if e := &events[i]; e.Subject.ID == "" && e.Subject.Name == "" && !ofTenant(e.Kind) {
			return nil, ingest.Skip(ingest.SkipNoIdentity, action)
		}
	}
	return events, nil
}

// ofTenant reports a kind that concerns the whole tenant; ingest/identity gives it
// to the tenant when the record names nobody.
func ofTenant(k event.Kind) bool {
	return k == event.PolicyChange || k == event.TrustChange || k == event.LoggingChange || k == event.AppCredential
}

func foldActivity(name string) string {
	name = strings.ToLower(strings.ReplaceAll(name, "–", "-"))
	return strings.TrimRight(strings.Join(strings.Fields(name), " "), ".")
}

func (a *auditRecord) outcome() event.Outcome {
	switch strings.ToLower(lenient.First(a.Result, string(a.env.ResultType))) {
	case "success", "0":
		return event.Success
	case "failure", "timeout":
		return event.Failure
	}
	return event.OutcomeUnknown
}

// people fills in who did it to whom. Where no person is a target, it is the
// record of who acted.
func (a *auditRecord) people() {
	e := &a.base
	for i := range a.TargetResources {
		t := &a.TargetResources[i]
		person := strings.EqualFold(t.Type, "User") || t.Type == "" && t.UserPrincipalName != ""
		if person && (objectID(t.ID) != "" || t.UserPrincipalName != "" || t.DisplayName != "") {
			a.user = t
			e.Subject = principal(t.ID, t.UserPrincipalName, t.DisplayName, a.detail("UserType"))
			break
		}
	}
	switch user, app := a.InitiatedBy.User, a.InitiatedBy.App; {
	case user != nil && strings.HasPrefix(user.UserPrincipalName, selfServiceResetUser):
	case user != nil && (objectID(user.ID) != "" || user.UserPrincipalName != ""):
		e.Actor = principal(user.ID, user.UserPrincipalName, user.DisplayName, "")
		if isMicrosoftService(user.DisplayName) {
			e.Actor.DisplayName = ""
		}
		if len(user.Roles) > 0 {
			e.Actor.Type = "admin"
		}
	case app != nil && (a.user == nil || !isMicrosoftService(app.DisplayName)):
		if id := lenient.First(app.ServicePrincipalID, app.AppID); id != "" || app.DisplayName != "" {
			e.Actor = event.Principal{ID: id, Name: app.DisplayName, DisplayName: app.DisplayName, Type: "service"}
		}
	}
	switch s, by := &e.Subject, e.Actor; {
	case a.user == nil:
		e.Subject = by
	// The first record of a passkey's registration has a name and no id.
	case s.ID == "" && s.Name != "" && strings.EqualFold(s.Name, by.Name):
		s.ID = by.ID
	case s.Name == "" && s.ID != "" && s.ID == by.ID:
		s.Name = by.Name
	}
}

// selfServiceResetUser begins the name of the account with which Microsoft's
// self-service password reset writes to the directory; who asked is not told.
const selfServiceResetUser = "fim_password_service@"

// isMicrosoftService names the services that write for the person who is a target.
func isMicrosoftService(name string) bool {
	switch strings.ToLower(name) {
	case "azure mfa strongauthenticationservice", "device registration service", "azure ests service",
		"microsoft password reset service", "microsoft online services", "azure credential configuration endpoint service":
		return true
	}
	return false
}

func (a *auditRecord) network() {
	e := &a.base
	a.agent = lenient.First(a.detail("User-Agent"), a.UserAgent)
	ip := ""
	if user := a.InitiatedBy.User; user != nil {
		ip = user.IPAddress
	}
	if a.agent == "EvoSTS" {
		// The sign-in service wrote it: neither program nor address are the person's.
		e.Warnings = append(e.Warnings, "address of the sign-in service left out")
		return
	}
	e.UserAgent = ingest.ParseUserAgent(a.agent)
	e.Endpoint.IP = lenient.Address(ip, a.env.CallerIPAddress, a.detail("ipaddr"))
}

func (a *auditRecord) detail(key string) string {
	for i := range a.AdditionalDetails {
		if strings.EqualFold(a.AdditionalDetails[i].Key, key) {
			return string(a.AdditionalDetails[i].Value)
		}
	}
	return ""
}

// modified returns the change of a property in any target, or nil.
func (a *auditRecord) modified(name string) *change {
	for i := range a.TargetResources {
		for j := range a.TargetResources[i].ModifiedProperties {
			if c := &a.TargetResources[i].ModifiedProperties[j]; strings.EqualFold(c.Name, name) {
				return c
			}
		}
	}
	return nil
}

// newValue returns the new value of a property, or "".
func (a *auditRecord) newValue(name string) string {
	if c := a.modified(name); c != nil {
		return strings.TrimSpace(c.new())
	}
	return ""
}

// targetOf returns the first target of a type, or nil.
func (a *auditRecord) targetOf(types ...string) *target {
	for _, want := range types {
		for i := range a.TargetResources {
			if strings.EqualFold(a.TargetResources[i].Type, want) {
				return &a.TargetResources[i]
			}
		}
	}
	return nil
}

// event returns a copy of the base of kind k.
func (a *auditRecord) event(k event.Kind) event.Event {
	e := a.base
	e.Kind = k
	e.Warnings = append([]string(nil), a.base.Warnings...)
	return e
}

func one(e event.Event) ([]event.Event, error) { return []event.Event{e}, nil }

// skipStep is for the records that accompany another one of the same act.
func (a *auditRecord) skipStep() ([]event.Event, error) {
	return nil, ingest.Skip(ingest.SkipIntermediate, a.base.Action)
}

func (a *auditRecord) skipIrrelevant() ([]event.Event, error) {
	return nil, ingest.Skip(ingest.SkipIrrelevant, a.base.Action)
}

// handlerOf returns what reads an activity, nil for one that says nothing of
// authentication. It goes by words, since Microsoft renames activities.
func handlerOf(name string) handler {
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(name, w) {
				return true
			}
		}
		return false
	}
	starts := func(words ...string) bool {
		for _, w := range words {
			if strings.HasPrefix(name, w) {
				return true
			}
		}
		return false
	}
	switch {
	case name == "" || has("(bulk)"):
		return nil

	// Authenticators.
	case has("security info"):
		return (*auditRecord).securityInfo
	case has("temporary access pass"):
		return (*auditRecord).temporaryAccessPass
	case has("passkey creation options"):
		return (*auditRecord).skipStep
	case starts("add ", "assign ", "create ", "delete ", "remove ") &&
		has("passkey", "fido2", "windows hello", "passwordless phone", "platform credential", "phone app detail",
			"application password", "hardware oath token"):
		return (*auditRecord).credential
	case name == "register device", name == "unregister device":
		return (*auditRecord).deviceRegistration
	case has("strong authentication", "per-user multifactor authentication"):
		return (*auditRecord).perUserMFA
	case has("multifactor authentication on all remembered devices"):
		return (*auditRecord).sessionsRevoked
	case name == "update user":
		return (*auditRecord).updateUser

	// Passwords, recovery.
	case starts("reset password", "reset user password"), name == "user password reset":
		return (*auditRecord).passwordReset
	case starts("change password", "change user password"):
		return (*auditRecord).passwordChange
	case has("started password change"):
		return (*auditRecord).skipStep
	case has("started password reset", "self-service password reset flow", "from self-service password reset", "unlock user account"):
		return (*auditRecord).recovery
	case has("qrpin"):
		return (*auditRecord).qrPIN

	// Sessions, reports.
	case has("refreshtokenvalidfrom"),
		has("revoke", "invalidate") && has("session", "refresh token"):
		return (*auditRecord).sessionsRevoked
	case has("fraud reported", "suspicious activity reported"):
		return (*auditRecord).userReport
	case starts("confirmcompromised", "confirmaccountcompromised", "confirmsafe", "dismissuser"):
		return (*auditRecord).riskDecision

	// Watching.
	case has("diagnostic setting", "diagnosticsettings", "audit logs settings", "notificationsettings", "disable pim alert"):
		return (*auditRecord).loggingChange

	// Roles.
	case has("member to role", "member from role", "member in pim", "role assignment to role", "role assignment from role",
		"eligibleroleassignment", "scoped member", "direct role assignment", "eligible role assignment"):
		return (*auditRecord).roleChange
	case name == "add member to group", name == "remove member from group":
		return (*auditRecord).groupChange

	// Consent, applications.
	case has("consent to application", "delegated permission grant", "oauth2permissiongrant", "app role assignment"), name == "revoke consent":
		return (*auditRecord).consent
	case has("service principal credentials", "certificates and secrets management", "federated identity credential"):
		return (*auditRecord).appCredential
	case isAppActivity(name):
		return (*auditRecord).appChange

	// Trust, policy.
	case has("federation settings", "federation configuration", "domain authentication", "unverified domain", "verified domain",
		"verify domain", "update domain", "dirsync", "cross-tenant", "partner to company", "partnership",
		"basedauthconfiguration", "identity provider", "passthrough authentication", "desktop sso"):
		return (*auditRecord).trustChange
	case has("authentication methods policy"):
		return (*auditRecord).methodsPolicy
	case has("conditional access policy", "named location", "security defaults", "authentication strength", "mfa service policy",
		"authorization policy", "permission grant policy", "risk policy", "mfa registration policy", "identityprotectionpolicy",
		"continuous access evaluation", "sspr settings", "password policy", "device registration policies",
		"role setting in pim", "bypass user", "bypassed user", "bypasseduser"),
		name == "add policy", name == "update policy", name == "delete policy":
		return (*auditRecord).policyChange

	case isLifecycleActivity(name):
		return (*auditRecord).lifecycle
	}
	return nil
}

func isAppActivity(name string) bool {
	switch name {
	case "add application", "update application", "delete application", "hard delete application", "restore application",
		"add service principal", "update service principal", "remove service principal", "hard delete service principal", "restore service principal",
		"add owner to application", "add owner to service principal", "remove owner from application", "remove owner from service principal",
		"set verified publisher", "unset verified publisher":
		return true
	}
	return false
}

func isLifecycleActivity(name string) bool {
	switch name {
	case "add user", "delete user", "hard delete user", "restore user", "disable account", "enable account",
		"invite external user", "invite external user with reset invitation status", "invite internal user",
		"invite internal user to b2b collaboration", "redeem external user invite", "redeem extern user invite",
		"delete external user", "viral user creation", "convert federated user to managed":
		return true
	}
	return false
}

func (a *auditRecord) lifecycle() ([]event.Event, error) {
	e := a.event(event.UserLifecycle)
	if e.Subject.Name == "" {
		e.Subject.Name = a.detail("invitedUserEmailAddress")
	}
	return one(e)
}

// sessionsRevoked reads the end of all sessions; a change of the password causes
// one, too.
func (a *auditRecord) sessionsRevoked() ([]event.Event, error) {
	return one(a.event(event.SessionEnd))
}

func (a *auditRecord) userReport() ([]event.Event, error) {
	e := a.event(event.UserReport)
	e.Report = &event.Report{EventID: a.CorrelationID, EventType: a.base.Action, IP: e.Endpoint.IP}
	return one(e)
}

// riskDecision is an administrator's word on a user's risk.
func (a *auditRecord) riskDecision() ([]event.Event, error) {
	e := a.event(event.RiskDetection)
	switch {
	case strings.Contains(a.name, "compromised"):
		e.Risk = &event.Risk{Type: "adminConfirmedUserCompromised", Level: "high", State: "confirmedCompromised"}
	case strings.HasPrefix(a.name, "confirmsafe"):
		e.Risk = &event.Risk{Type: a.name, Level: "none", State: "confirmedSafe"}
	default:
		e.Risk = &event.Risk{Type: a.name, Level: "none", State: "dismissed"}
	}
	return one(e)
}
