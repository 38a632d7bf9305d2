package entra

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// signInAction is what the source calls a sign-in; Graph objects do not repeat it.
const signInAction = "Sign-in activity"

// signIn is the part of a signIn object (Graph, beta) that is read.
type signIn struct {
	ID              string `json:"id"`
	CreatedDateTime string `json:"createdDateTime"`
	CorrelationID   string `json:"correlationId"`
	SessionID       string `json:"sessionId"`

	UserID                string `json:"userId"`
	UserPrincipalName     string `json:"userPrincipalName"`
	UserDisplayName       string `json:"userDisplayName"`
	UserType              string `json:"userType"`
	SignInIdentifier      string `json:"signInIdentifier"`
	SignInIdentifierType  string `json:"signInIdentifierType"`
	ServicePrincipalID    string `json:"servicePrincipalId"`
	HomeTenantID          string `json:"homeTenantId"`
	ResourceTenantID      string `json:"resourceTenantId"`
	CrossTenantAccessType string `json:"crossTenantAccessType"`

	AppID               string `json:"appId"`
	AppDisplayName      string `json:"appDisplayName"`
	ResourceID          string `json:"resourceId"`
	ResourceDisplayName string `json:"resourceDisplayName"`
	ClientAppUsed       string `json:"clientAppUsed"`

	IPAddress              string         `json:"ipAddress"`
	AutonomousSystemNumber lenient.Number `json:"autonomousSystemNumber"`
	Location               place          `json:"location"`
	UserAgent              string         `json:"userAgent"`
	DeviceDetail           *device        `json:"deviceDetail"`

	Status struct {
		ErrorCode         lenient.Number `json:"errorCode"`
		FailureReason     string         `json:"failureReason"`
		AdditionalDetails string         `json:"additionalDetails"`
	} `json:"status"`
	Result lenient.Text `json:"result"`

	AuthenticationDetails     []step   `json:"authenticationDetails"`
	AuthenticationMethodsUsed []string `json:"authenticationMethodsUsed"`
	MFADetail                 struct {
		AuthMethod string `json:"authMethod"`
	} `json:"mfaDetail"`

	AuthenticationProtocol string   `json:"authenticationProtocol"`
	OriginalTransferMethod string   `json:"originalTransferMethod"`
	IncomingTokenType      string   `json:"incomingTokenType"`
	TokenIssuerType        string   `json:"tokenIssuerType"`
	TokenIssuerName        string   `json:"tokenIssuerName"`
	IsInteractive          *bool    `json:"isInteractive"`
	SignInEventTypes       []string `json:"signInEventTypes"`

	RiskLevelDuringSignIn string   `json:"riskLevelDuringSignIn"`
	RiskState             string   `json:"riskState"`
	RiskDetail            string   `json:"riskDetail"`
	RiskEventTypes        []string `json:"riskEventTypes"`
	RiskEventTypesV2      []string `json:"riskEventTypes_v2"`
}

// step is one row of authenticationDetails.
type step struct {
	DateTime        string        `json:"authenticationStepDateTime"`
	Method          string        `json:"authenticationMethod"`
	MethodDetail    string        `json:"authenticationMethodDetail"`
	Succeeded       lenient.Truth `json:"succeeded"`
	ResultDetail    string        `json:"authenticationStepResultDetail"`
	RequestSequence int64         `json:"RequestSequence"`
}

type device struct {
	// DeviceID is empty for a device that is not registered.
	DeviceID        *string `json:"deviceId"`
	DisplayName     string  `json:"displayName"`
	OperatingSystem string  `json:"operatingSystem"`
	Browser         string  `json:"browser"`
	IsCompliant     *bool   `json:"isCompliant"`
	IsManaged       *bool   `json:"isManaged"`
	TrustType       string  `json:"trustType"`
}

// The codes of a sign-in that are read by more than their outcome.
const (
	codeSuccess         = 0
	codeBadPassword     = 50126
	codeKeepSignedIn    = 50140
	codeNotSignedIn     = 50058 // a client asked silently, before a page was shown
	codeExternal        = 50158
	codeStrongAuthError = 500121
	// codeUnknown: the row says only that it failed, or nothing.
	codeUnknown = -1
)

func (r *record) signIn() ([]event.Event, error) {
	s, warnings, err := decode[signIn](r.body)
	if err != nil {
		return nil, err
	}
	r.warnings = append(r.warnings, warnings...)
	if s.isMachine() {
		return nil, ingest.Skip(ingest.SkipMachine, signInAction)
	}
	user := principal(s.UserID, lenient.First(s.UserPrincipalName, s.SignInIdentifier), s.UserDisplayName, s.UserType)
	if user.ID == "" && user.Name == "" {
		return nil, ingest.Skip(ingest.SkipNoIdentity, signInAction)
	}
	code, outcome := s.outcome(r.env)
	if code == codeKeepSignedIn || code == codeNotSignedIn {
		return nil, ingest.Skip(ingest.SkipIntermediate, signInAction+" "+strconv.Itoa(code))
	}
	e, err := r.event(s.CreatedDateTime, r.env.Time, r.env.TimeGenerated)
	if err != nil {
		return nil, err
	}
	correlation := lenient.First(s.CorrelationID, r.env.CorrelationID)
	e.ID = lenient.ID(s.ID, streamSignIn, e.Time.Format(time.RFC3339Nano), user.ID, user.Name, s.AppID, correlation, strconv.Itoa(code))
	e.Tenant = r.tenant(s.ResourceTenantID)
	e.Kind, e.Action = event.SignIn, lenient.First(r.env.OperationName, signInAction)
	e.Stream = streamSignIn
	if s.nonInteractive(r) {
		e.Stream = streamNonInteractive
	}
	e.Subject, e.Actor = user, user
	e.Outcome, e.Reason = outcome, s.reason(code, r.env)
	e.Endpoint = s.Location.endpoint(lenient.Address(s.IPAddress, r.env.CallerIPAddress), s.AutonomousSystemNumber)
	s.client(&e)
	e.SessionID = s.SessionID
	if correlation != "" {
		e.FlowID = correlation + "|" + s.AppID
	}
	e.Protocol = s.protocol()
	s.risk(&e)
	if isTokenExpiry(code) {
		e.Kind, e.Outcome = event.SessionEnd, event.Success
		return []event.Event{e}, nil
	}
	s.factors(&e, code)
	return []event.Event{e}, nil
}

func (s *signIn) isMachine() bool {
	for _, t := range s.SignInEventTypes {
		if strings.EqualFold(t, "servicePrincipal") || strings.EqualFold(t, "managedIdentity") {
			return true
		}
	}
	return s.UserID == "" && s.UserPrincipalName == "" && s.ServicePrincipalID != ""
}

func (s *signIn) nonInteractive(r *record) bool {
	log := strings.ToLower(r.env.Table + r.env.Category)
	switch {
	case strings.Contains(log, "noninteractive"):
		return true
	case strings.EqualFold(r.env.Category, "SignInLogs"):
		return false
	case slices.ContainsFunc(s.SignInEventTypes, func(t string) bool { return strings.EqualFold(t, "nonInteractiveUser") }):
		return true
	case len(s.SignInEventTypes) == 0 && s.IsInteractive == nil:
		return r.Stream == streamNonInteractive
	}
	return s.IsInteractive != nil && !*s.IsInteractive
}

// outcome returns the error code and what it means. The codes are those of
// Microsoft's reference of authentication error codes; one that is not listed is
// a failure with its reason.
func (s *signIn) outcome(env *envelope) (int, event.Outcome) {
	code := codeUnknown
	if s.Status.ErrorCode.Known {
		code = int(s.Status.ErrorCode.N)
	} else if n, err := strconv.Atoi(string(env.ResultType)); err == nil {
		code = n
	}
	switch code {
	case codeSuccess:
		return code, event.Success
	case codeUnknown:
		switch strings.ToLower(lenient.First(string(env.ResultType), string(s.Result))) {
		case "success":
			return codeSuccess, event.Success
		case "failure":
			return code, event.Failure
		}
		return code, event.OutcomeUnknown
	case 50074, 50076, 50072, 50079, codeExternal, // a second factor, or its enrolment, is asked for
		50199,        // the person has to confirm a device code
		50203,        // the authenticator app has to be registered
		50055, 50125, // the password has to be changed
		65001: // consent is asked for
		return code, event.Challenged
	case 50053, 50057, // locked, disabled
		53000, 53001, 53002, 53003, 53004, 53011, 530002, 530003, 530032, // conditional access
		50097,  // the device has to authenticate
		50105,  // not assigned to the application
		130502, // the authentication methods policy
		65004:  // the person declined consent
		return code, event.Denied
	case codeStrongAuthError:
		return code, s.strongAuthOutcome()
	}
	return code, event.Failure
}

// strongAuthOutcome tells a person who said no from one who did not answer and
// from a wrong code.
func (s *signIn) strongAuthOutcome() event.Outcome {
	results := make([]event.Result, 0, 4)
	for i := range s.AuthenticationDetails {
		results = append(results, resultOf(s.AuthenticationDetails[i].ResultDetail))
	}
	results = append(results, resultOf(s.Status.AdditionalDetails), resultOf(s.Status.FailureReason))
	switch {
	case slices.Contains(results, event.Rejected):
		return event.Denied
	case slices.Contains(results, event.Unanswered):
		return event.Abandoned
	}
	return event.Failure
}

// resultOf reads why a step did not succeed.
func resultOf(detail string) event.Result {
	detail = strings.ToLower(detail)
	has := func(s string) bool { return strings.Contains(detail, s) }
	switch {
	case has("declined"), has("fraud"):
		return event.Rejected
	case has("did not respond"), has("timed out"), has("timed-out"), has("no response"):
		return event.Unanswered
	case has("in progress"), has("mfa required"):
		return event.Pending
	}
	return event.Failed
}

// isTokenExpiry reports that a token could not be renewed: by sign-in frequency,
// by revocation, by age, by inactivity.
func isTokenExpiry(code int) bool {
	switch code {
	case 70043, 50173, 70008, 700082:
		return true
	}
	return false
}

func (s *signIn) reason(code int, env *envelope) string {
	words := lenient.First(s.Status.FailureReason, s.Status.AdditionalDetails, env.ResultDescription)
	switch {
	case code == codeSuccess:
		return s.Status.AdditionalDetails
	case code == codeUnknown:
		return words
	case words == "":
		return strconv.Itoa(code)
	}
	return strconv.Itoa(code) + ": " + words
}

// client fills in the application, the device and the program.
func (s *signIn) client(e *event.Event) {
	e.UserAgent = ingest.ParseUserAgent(s.UserAgent)
	if d := s.DeviceDetail; d != nil {
		if e.UserAgent.Browser == "" {
			e.UserAgent.Browser = ingest.BrowserFamily(d.Browser)
		}
		if e.UserAgent.OS == "" {
			e.UserAgent.OS = ingest.OSFamily(d.OperatingSystem)
		}
		e.Device = &event.Device{Name: d.DisplayName, OS: ingest.OSFamily(d.OperatingSystem), Managed: d.IsManaged,
			Compliant: d.IsCompliant, TrustType: d.TrustType}
		if d.DeviceID != nil {
			registered := *d.DeviceID != ""
			e.Device.ID, e.Device.Registered = *d.DeviceID, &registered
		}
	}
	if s.AppID == "" && s.AppDisplayName == "" && s.ResourceID == "" && s.ClientAppUsed == "" {
		return
	}
	e.App = &event.App{ID: s.AppID, Name: s.AppDisplayName, ResourceID: s.ResourceID, ResourceName: s.ResourceDisplayName,
		Admin: isAdminApp(s.AppID) || isAdminApp(s.ResourceID)}
	switch {
	case strings.EqualFold(s.ClientAppUsed, "Browser"):
		e.App.Client = "browser"
	case strings.EqualFold(s.ClientAppUsed, "Mobile Apps and Desktop clients"):
		e.App.Client = "mobile_desktop"
	case isLegacyClient(s.ClientAppUsed):
		e.App.Client = "legacy"
	}
}

// isAdminApp lists the consoles and command lines that administer a tenant, by
// the ids of Microsoft's list of first-party applications in sign-in reports
// (learn.microsoft.com, "Verify first-party Microsoft applications").
func isAdminApp(id string) bool {
	switch strings.ToLower(id) {
	case "c44b4083-3bb0-49c1-b47d-974e53cbdf3c", // Azure portal, Entra admin center
		"618dd325-23f6-4b6f-8380-4df78026e39b", // Microsoft 365 admin center
		"1b730954-1685-4b74-9bfd-dac224a7b894", // Azure Active Directory PowerShell
		"14d82eec-204b-4c2f-b7e8-296a70dab67e", // Microsoft Graph command line tools
		"de8bc8b5-d9f9-48b1-a8ad-b748da725064", // Graph Explorer
		"fb78d390-0c51-40cd-8e17-fdbfab77341b", // Exchange Online PowerShell
		"04b07795-8ddb-461a-bbee-02f9e1bf7b46", // Azure CLI
		"1950a258-227b-4e31-a9cf-717495945fc2", // Azure PowerShell
		"797f4846-ba00-4fd7-ba43-dac1f8f63013": // Azure management API
		return true
	}
	return false
}

// isLegacyClient reports a protocol of Microsoft's list of legacy authentication
// clients, none of which can ask for a second factor.
func isLegacyClient(name string) bool {
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "exchange activesync", "authenticated smtp", "smtp", "imap", "imap4", "pop", "pop3", "other clients",
		"autodiscover", "exchange online powershell", "exchange web services", "mapi over http",
		"offline address book", "outlook anywhere (rpc over http)", "outlook service", "reporting web services":
		return true
	}
	return false
}

func (s *signIn) protocol() event.Protocol {
	switch strings.ToLower(s.AuthenticationProtocol) {
	case "devicecode":
		return event.ProtocolDeviceCode
	case "ropc":
		return event.ProtocolROPC
	case "authenticationtransfer":
		return event.ProtocolTransfer
	case "saml20":
		return event.ProtocolSAML
	case "wsfederation":
		return event.ProtocolWSFederation
	case "nativeauth":
		return event.ProtocolNative
	}
	switch strings.ToLower(s.OriginalTransferMethod) {
	case "devicecodeflow":
		return event.ProtocolDeviceCode
	case "authenticationtransfer":
		return event.ProtocolTransfer
	}
	switch {
	// BAV2ROPC is how the service names basic authentication that it translates.
	case isLegacyClient(s.ClientAppUsed), strings.HasPrefix(s.UserAgent, "BAV2ROPC"):
		return event.ProtocolLegacy
	case strings.EqualFold(s.TokenIssuerType, "NPSExtension"):
		return event.ProtocolRADIUS
	case strings.EqualFold(s.AuthenticationProtocol, "oAuth2"):
		return event.ProtocolOAuth2
	}
	return ""
}

// risk keeps the verdict of the moment; "hidden" is what a tenant without the
// licence gets.
func (s *signIn) risk(e *event.Event) {
	types := s.RiskEventTypesV2
	if len(types) == 0 {
		types = s.RiskEventTypes
	}
	level := strings.ToLower(s.RiskLevelDuringSignIn)
	if len(types) == 0 && (level == "" || level == "none" || level == "hidden") {
		return
	}
	e.Risk = &event.Risk{Type: strings.Join(types, ","), Level: level, State: s.RiskState, Detail: s.RiskDetail,
		SessionTheft: slices.ContainsFunc(types, isSessionTheft)}
}
