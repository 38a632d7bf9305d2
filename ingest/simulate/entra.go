package simulate

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"stepdown/ingest/event"
)

// The records of Entra as Azure Monitor puts them into an Event Hub: an
// envelope round the object of Microsoft Graph.
type (
	entraRecord struct {
		Time              string `json:"time"`
		ResourceID        string `json:"resourceId"`
		OperationName     string `json:"operationName"`
		OperationVersion  string `json:"operationVersion"`
		Category          string `json:"category"`
		TenantID          string `json:"tenantId"`
		ResultType        string `json:"resultType,omitempty"`
		ResultSignature   string `json:"resultSignature"`
		ResultDescription string `json:"resultDescription,omitempty"`
		DurationMs        int    `json:"durationMs"`
		CallerIPAddress   string `json:"callerIpAddress,omitempty"`
		CorrelationID     string `json:"correlationId"`
		Identity          string `json:"identity,omitempty"`
		Level             int    `json:"Level"`
		Location          string `json:"location,omitempty"`
		Properties        any    `json:"properties"`
	}
	entraSignIn struct {
		ID                                 string              `json:"id"`
		CreatedDateTime                    string              `json:"createdDateTime"`
		UserDisplayName                    string              `json:"userDisplayName"`
		UserPrincipalName                  string              `json:"userPrincipalName"`
		UserID                             string              `json:"userId"`
		UserType                           string              `json:"userType"`
		AppID                              string              `json:"appId"`
		AppDisplayName                     string              `json:"appDisplayName"`
		ResourceID                         string              `json:"resourceId"`
		ResourceDisplayName                string              `json:"resourceDisplayName"`
		ResourceTenantID                   string              `json:"resourceTenantId"`
		HomeTenantID                       string              `json:"homeTenantId"`
		IPAddress                          string              `json:"ipAddress"`
		AutonomousSystemNumber             uint32              `json:"autonomousSystemNumber"`
		Status                             entraStatus         `json:"status"`
		ClientAppUsed                      string              `json:"clientAppUsed"`
		UserAgent                          string              `json:"userAgent"`
		DeviceDetail                       entraDevice         `json:"deviceDetail"`
		Location                           entraLocation       `json:"location"`
		CorrelationID                      string              `json:"correlationId"`
		OriginalRequestID                  string              `json:"originalRequestId"`
		IsInteractive                      bool                `json:"isInteractive"`
		TokenIssuerType                    string              `json:"tokenIssuerType"`
		AuthenticationProcessingDetails    []entraPair         `json:"authenticationProcessingDetails"`
		RiskDetail                         string              `json:"riskDetail"`
		RiskLevelAggregated                string              `json:"riskLevelAggregated"`
		RiskLevelDuringSignIn              string              `json:"riskLevelDuringSignIn"`
		RiskState                          string              `json:"riskState"`
		ConditionalAccessStatus            string              `json:"conditionalAccessStatus"`
		AuthenticationDetails              []entraStep         `json:"authenticationDetails"`
		AuthenticationRequirement          string              `json:"authenticationRequirement"`
		AuthenticationRequirementPolicies  []entraRequirement  `json:"authenticationRequirementPolicies"`
		AuthenticationProtocol             string              `json:"authenticationProtocol"`
		OriginalTransferMethod             string              `json:"originalTransferMethod"`
		IncomingTokenType                  string              `json:"incomingTokenType"`
		SessionID                          string              `json:"sessionId"`
		UniqueTokenIdentifier              string              `json:"uniqueTokenIdentifier"`
		SignInTokenProtectionStatus        string              `json:"signInTokenProtectionStatus"`
		CrossTenantAccessType              string              `json:"crossTenantAccessType"`
		SessionLifetimePolicies            []map[string]string `json:"sessionLifetimePolicies"`
		FlaggedForReview                   bool                `json:"flaggedForReview"`
		AuthenticationContextClassRefs     []map[string]string `json:"authenticationContextClassReferences"`
		ServicePrincipalID                 string              `json:"servicePrincipalId"`
		RiskEventTypesV2                   []string            `json:"riskEventTypes_v2"`
		AppliedConditionalAccessPolicyList []map[string]string `json:"appliedConditionalAccessPolicies"`
	}
	entraStatus struct {
		ErrorCode         int    `json:"errorCode"`
		FailureReason     string `json:"failureReason,omitempty"`
		AdditionalDetails string `json:"additionalDetails,omitempty"`
	}
	entraDevice struct {
		DeviceID        string `json:"deviceId"`
		DisplayName     string `json:"displayName,omitempty"`
		OperatingSystem string `json:"operatingSystem"`
		Browser         string `json:"browser,omitempty"`
		IsCompliant     *bool  `json:"isCompliant,omitempty"`
		IsManaged       *bool  `json:"isManaged,omitempty"`
		TrustType       string `json:"trustType,omitempty"`
	}
	entraLocation struct {
		City            string `json:"city"`
		State           string `json:"state"`
		CountryOrRegion string `json:"countryOrRegion"`
		GeoCoordinates  struct {
			Latitude  float64 `json:"latitude"`
			Longitude float64 `json:"longitude"`
		} `json:"geoCoordinates"`
	}
	entraStep struct {
		AuthenticationStepDateTime     string `json:"authenticationStepDateTime"`
		AuthenticationMethod           string `json:"authenticationMethod,omitempty"`
		AuthenticationMethodDetail     string `json:"authenticationMethodDetail,omitempty"`
		Succeeded                      bool   `json:"succeeded"`
		AuthenticationStepResultDetail string `json:"authenticationStepResultDetail,omitempty"`
		AuthenticationStepRequirement  string `json:"authenticationStepRequirement"`
		StatusSequence                 int64  `json:"StatusSequence"`
		RequestSequence                int64  `json:"RequestSequence"`
	}
	entraRequirement struct {
		RequirementProvider string `json:"requirementProvider"`
		Detail              string `json:"detail"`
	}
	entraPair struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	entraAudit struct {
		ID                  string        `json:"id"`
		Category            string        `json:"category"`
		CorrelationID       string        `json:"correlationId"`
		Result              string        `json:"result"`
		ResultReason        string        `json:"resultReason"`
		ActivityDisplayName string        `json:"activityDisplayName"`
		ActivityDateTime    string        `json:"activityDateTime"`
		LoggedByService     string        `json:"loggedByService"`
		OperationType       string        `json:"operationType"`
		InitiatedBy         entraActor    `json:"initiatedBy"`
		TargetResources     []entraTarget `json:"targetResources"`
		AdditionalDetails   []entraPair   `json:"additionalDetails"`
	}
	entraActor struct {
		User *entraActorUser `json:"user,omitempty"`
		App  *entraActorApp  `json:"app,omitempty"`
	}
	entraActorUser struct {
		ID                string   `json:"id"`
		DisplayName       *string  `json:"displayName"`
		UserPrincipalName string   `json:"userPrincipalName"`
		IPAddress         string   `json:"ipAddress"`
		Roles             []string `json:"roles"`
	}
	entraActorApp struct {
		AppID       *string `json:"appId"`
		DisplayName string  `json:"displayName"`
	}
	entraTarget struct {
		ID                 *string         `json:"id"`
		DisplayName        string          `json:"displayName"`
		Type               string          `json:"type"`
		UserPrincipalName  string          `json:"userPrincipalName,omitempty"`
		ModifiedProperties []entraModified `json:"modifiedProperties"`
	}
	entraModified struct {
		DisplayName string `json:"displayName"`
		OldValue    string `json:"oldValue"`
		NewValue    string `json:"newValue"`
	}
)

const (
	entraEnvelopeTime = "2006-01-02T15:04:05.0000000Z"
	entraObjectTime   = "2006-01-02T15:04:05.0000000-07:00"
)

// entraApp is a client application and the resource it asks for.
type entraApp struct{ id, name, resourceID, resource, client string }

const (
	browserClient = "Browser"
	nativeClient  = "Mobile Apps and Desktop clients"
	graph         = "00000003-0000-0000-c000-000000000000"
	exchange      = "00000002-0000-0ff1-ce00-000000000000"
)

var (
	officeHome  = entraApp{"4765445b-32c6-49b0-83e6-1d93765276ca", "OfficeHome", graph, "Microsoft Graph", browserClient}
	azurePortal = entraApp{"c44b4083-3bb0-49c1-b47d-974e53cbdf3c", "Azure Portal", "797f4846-ba00-4fd7-ba43-dac1f8f63013", "Windows Azure Service Management API", browserClient}
	windows     = entraApp{"38aa3b87-a06d-4817-b275-7a316988d93b", "Windows Sign In", "00000002-0000-0000-c000-000000000000", "Windows Azure Active Directory", nativeClient}
	azureCLI    = entraApp{"04b07795-8ddb-461a-bbee-02f9e1bf7b46", "Microsoft Azure CLI", "797f4846-ba00-4fd7-ba43-dac1f8f63013", "Windows Azure Service Management API", nativeClient}
	broker      = entraApp{"29d9ed98-a469-4536-ade2-f981bc1d605e", "Microsoft Authentication Broker", "01cb2876-7ebd-4aa4-9cc9-d28bd4d359a9", "Device Registration Service", nativeClient}
	outlook     = entraApp{"5d661950-3475-41cd-a2c3-d671a3162bc1", "Microsoft Outlook", exchange, "Office 365 Exchange Online", nativeClient}
	teamsClient = entraApp{"1fec8e78-bce4-4aaf-ab1b-5451cc387264", "Microsoft Teams", graph, "Microsoft Graph", nativeClient}
	oneDrive    = entraApp{"ab9b8c07-8f02-4f72-87fa-80105867a763", "OneDrive SyncEngine", "00000003-0000-0ff1-ce00-000000000000", "Office 365 SharePoint Online", nativeClient}
	dailyApps   = []entraApp{outlook, teamsClient, oneDrive}
)

// signIn is what differs between sign-in rows.
type signIn struct {
	app   entraApp
	code  int
	steps []step
	// note is status.additionalDetails.
	note string
	// single is true where policy asked for one factor only.
	single bool
	// refresh rows come from a token and are not interactive; filed puts an
	// interactive row into the non-interactive log, as Entra does with FIDO2.
	refresh, filed bool
	token          string
	protocol       string
	transfer       string
	// again makes Entra write the row twice, unfinished at first.
	again bool
}

// step is one row of authenticationDetails.
type step struct {
	method, detail, result string
	failed                 bool
	after                  time.Duration
}

func failureReason(code int) string {
	switch code {
	case 0:
		return "Other."
	case 50126:
		return "Error validating credentials due to invalid username or password."
	case 50074:
		return "Strong Authentication is required."
	case 50199:
		return "For security reasons, user confirmation is required for this request."
	case 500121:
		return "Authentication failed during strong authentication request."
	}
	return "Other."
}

// entraFlow is one visit to Entra.
type entraFlow struct {
	w *writer
	p *person
	// victim is whom an audited act concerns; p but for administrators' work.
	victim *person
	scene  scene
	// correlation ties the rows of one sign-in, session those of one session.
	correlation, session string
	t                    time.Time
}

func (w *writer) entra(p *person, s scene, t time.Time) *entraFlow {
	return &entraFlow{w: w, p: p, victim: p, scene: s, t: t, correlation: guid(w.rng), session: guid(w.rng)}
}

// wait moves the flow on by between d and twice that.
func (f *entraFlow) wait(d time.Duration) {
	f.t = f.t.Add(d + time.Duration(f.w.rng.Int64N(int64(d)+1))).Truncate(100 * time.Nanosecond)
}

// row writes one sign-in row and returns its id.
func (f *entraFlow) row(s signIn) string {
	p, n, dev := f.p, f.scene.at.net, f.scene.dev
	id := guid(f.w.rng)
	_, os := dev.platform()
	o := entraSignIn{
		ID: id, CreatedDateTime: f.t.Format(entraObjectTime),
		UserDisplayName: p.name, UserPrincipalName: p.entra.login, UserID: p.entra.id, UserType: "Member",
		AppID: s.app.id, AppDisplayName: s.app.name, ResourceID: s.app.resourceID, ResourceDisplayName: s.app.resource,
		ResourceTenantID: entraTenant, HomeTenantID: entraTenant,
		IPAddress: f.scene.at.ip, AutonomousSystemNumber: n.asn,
		Status:        entraStatus{s.code, failureReason(s.code), s.note},
		ClientAppUsed: s.app.client, UserAgent: dev.ua,
		DeviceDetail:  entraDevice{DeviceID: dev.entraID, DisplayName: dev.name, OperatingSystem: os, Browser: dev.browser},
		CorrelationID: f.correlation, OriginalRequestID: id, IsInteractive: !s.refresh, TokenIssuerType: "AzureAD",
		AuthenticationProcessingDetails: []entraPair{{"Is CAE Token", "False"}},
		RiskDetail:                      "none", RiskLevelAggregated: "none", RiskLevelDuringSignIn: "none", RiskState: "none",
		ConditionalAccessStatus: "success", AuthenticationDetails: []entraStep{},
		AuthenticationRequirement:         "multiFactorAuthentication",
		AuthenticationRequirementPolicies: []entraRequirement{{"multiConditionalAccess", "Conditional Access"}},
		AuthenticationProtocol:            "none", OriginalTransferMethod: "none", IncomingTokenType: "none",
		SessionID: f.session, UniqueTokenIdentifier: hexID(f.w.rng, 1) + "AA", SignInTokenProtectionStatus: "none",
		CrossTenantAccessType: "none", SessionLifetimePolicies: []map[string]string{},
		AuthenticationContextClassRefs: []map[string]string{}, RiskEventTypesV2: []string{},
		AppliedConditionalAccessPolicyList: []map[string]string{},
	}
	o.Location.City, o.Location.State, o.Location.CountryOrRegion = n.place.city, n.place.state, n.place.iso
	o.Location.GeoCoordinates.Latitude, o.Location.GeoCoordinates.Longitude = n.place.lat, n.place.lon
	if dev.entraID != "" {
		managed := dev.managed
		o.DeviceDetail.IsManaged, o.DeviceDetail.IsCompliant, o.DeviceDetail.TrustType = &managed, &managed, "Azure AD joined"
		if dev.mobile || !managed {
			o.DeviceDetail.TrustType = "Azure AD registered"
		}
	}
	if s.single {
		o.AuthenticationRequirement, o.AuthenticationRequirementPolicies = "singleFactorAuthentication", []entraRequirement{}
		o.ConditionalAccessStatus = "notApplied"
	}
	if s.code != 0 {
		o.ConditionalAccessStatus = "failure"
	}
	if s.token != "" {
		o.IncomingTokenType = s.token
	}
	if s.protocol != "" {
		o.AuthenticationProtocol = s.protocol
	}
	if s.transfer != "" {
		o.OriginalTransferMethod = s.transfer
	}
	for i, st := range s.steps {
		at := f.t.Add(st.after)
		es := entraStep{
			AuthenticationStepDateTime: at.Format(entraObjectTime), AuthenticationMethod: st.method,
			AuthenticationMethodDetail: st.detail, Succeeded: !st.failed, AuthenticationStepResultDetail: st.result,
			AuthenticationStepRequirement: "Primary authentication",
		}
		if i > 0 {
			es.StatusSequence, es.RequestSequence = at.Add(2*time.Second).UnixMilli(), at.UnixMilli()
		}
		o.AuthenticationDetails = append(o.AuthenticationDetails, es)
	}

	category, stream := "SignInLogs", "sign_in"
	if s.refresh || s.filed {
		category, stream = "NonInteractiveUserSignInLogs", "sign_in_non_interactive"
	}
	write := func(o entraSignIn, lag time.Duration) {
		f.w.add(event.Source("entra"), entraTenant, stream, id, p.login(), f.t, lag, entraRecord{
			Time:       f.t.Add(lag - lag/50).Format(entraEnvelopeTime),
			ResourceID: "/tenants/" + entraTenant + "/providers/Microsoft.aadiam", OperationName: "Sign-in activity",
			OperationVersion: "1.0", Category: category, TenantID: entraTenant,
			ResultType: strconv.Itoa(s.code), ResultSignature: "None", ResultDescription: resultDescription(s.code),
			CallerIPAddress: f.scene.at.ip, CorrelationID: f.correlation, Identity: p.name, Level: 4,
			Location: n.place.iso, Properties: o,
		})
	}
	lag := f.w.entraLag()
	if last := len(s.steps) - 1; s.again && last > 0 {
		first := o
		first.AuthenticationDetails = append([]entraStep(nil), o.AuthenticationDetails...)
		first.AuthenticationDetails[last].Succeeded = false
		first.AuthenticationDetails[last].AuthenticationStepResultDetail = "Authentication in progress"
		early := f.w.between(2*time.Minute, 4*time.Minute)
		write(first, early)
		lag = early + f.w.between(2*time.Minute, 8*time.Minute)
	}
	write(o, lag)
	return id
}

func resultDescription(code int) string {
	if code == 0 {
		return ""
	}
	return failureReason(code)
}

// passwordStep and the others are rows of authenticationDetails.
func passwordStep() step {
	return step{method: "Password", detail: "Password in the cloud", result: "Correct password"}
}

// methodStep is the step of c, and whether it proves alone.
func methodStep(c credential) (s step, alone bool) {
	s = step{result: "MFA successfully completed", after: 6 * time.Second}
	switch c.kind {
	case securityKey:
		s.method, s.detail, alone = "Passkey (device-bound)", "Security key - "+yubiKey5, true
	case devicePasskey:
		s.method, s.detail, alone = "Passkey (device-bound)", "Microsoft Authenticator - "+authenticatorApp, true
	case syncedPasskey:
		s.method, s.detail, alone = "Passkey (synced)", "Passkey - "+appleKeychain, true
	case windowsHello:
		s.method, alone = "Windows Hello for Business", true
	case push:
		s.method, s.detail = "Mobile app notification", "Phone app"
	case totp:
		s.method = "OATH verification code"
	case sms:
		s.method, s.detail = "Text message", "+XX XXXXXXX42"
	}
	return s, alone
}

// signIn writes a whole sign-in with c to app.
func (f *entraFlow) signIn(c credential, app entraApp) {
	s, alone := methodStep(c)
	if alone {
		s.after, s.result = 0, ""
		f.wait(3 * time.Second)
		f.row(signIn{
			app: app, filed: c.kind != windowsHello && f.w.rng.IntN(4) == 0,
			steps: []step{s, {method: "Other", result: "MFA requirement satisfied by multi-factor device"}},
			note:  "MFA requirement satisfied by multi-factor device",
		})
		return
	}
	f.interrupted(app)
	f.wait(8 * time.Second)
	f.row(signIn{app: app, steps: []step{passwordStep(), s}, note: "MFA completed in Azure AD", again: f.w.rng.IntN(3) == 0})
}

// interrupted writes that the password was right and more was asked for.
func (f *entraFlow) interrupted(app entraApp) {
	f.row(signIn{app: app, code: 50074, note: "MFA required in Azure AD",
		steps: []step{passwordStep(), {result: "MFA required in Azure AD", failed: true}}})
}

// mistyped writes a wrong password.
func (f *entraFlow) mistyped(app entraApp) {
	f.row(signIn{app: app, code: 50126, single: true,
		steps: []step{{method: "Password", detail: "Password in the cloud", result: "Invalid username or password or Invalid on-premise username or password.", failed: true}}})
	f.wait(5 * time.Second)
}

// reach writes that the session was enough for app.
func (f *entraFlow) reach(app entraApp) {
	f.row(signIn{app: app, single: true, note: "MFA requirement satisfied by claim in the token",
		steps: []step{{method: "Previously satisfied", result: "First factor requirement satisfied by claim in the token"}}})
}

// refresh writes that a client renewed its token.
func (f *entraFlow) refresh(app entraApp, token string) {
	f.correlation = guid(f.w.rng)
	f.row(signIn{app: app, single: true, refresh: true, token: token, note: "MFA requirement satisfied by claim in the token"})
}

// deviceCode writes that p entered a code and confirmed it: the client that
// shows the code is elsewhere. steps are how p was proved.
func (f *entraFlow) deviceCode(app entraApp, steps ...step) string {
	f.row(signIn{app: app, code: 50199, protocol: "deviceCode", transfer: "deviceCodeFlow", single: true, steps: steps})
	f.wait(6 * time.Second)
	return f.row(signIn{app: app, protocol: "deviceCode", transfer: "deviceCodeFlow", steps: steps})
}

// audit is what differs between the records of the audit log.
type audit struct {
	service, category, activity, operation string
	reason                                 string
	targets                                []entraTarget
	extra                                  []entraPair
	// service, not the person, did it.
	byApp string
}

// log writes one record of the audit log and returns its id.
func (f *entraFlow) log(a audit) string {
	prefix := map[string]string{"Authentication Methods": "IAMUX_", "Self-service Password Management": "SSPR_"}[a.service]
	if prefix == "" {
		prefix = "Directory_"
	}
	id := fmt.Sprintf("%s%s_%s_%d", prefix, f.correlation, strings.ToUpper(hexID(f.w.rng, 1)[:5]), 100000000+f.w.rng.IntN(800000000))
	o := entraAudit{
		ID: id, Category: a.category, CorrelationID: f.correlation, Result: "success", ResultReason: a.reason,
		ActivityDisplayName: a.activity, ActivityDateTime: f.t.Format(entraObjectTime), LoggedByService: a.service,
		OperationType: a.operation, TargetResources: a.targets, AdditionalDetails: a.extra,
	}
	if a.byApp != "" {
		o.InitiatedBy.App = &entraActorApp{DisplayName: a.byApp}
	} else {
		o.InitiatedBy.User = &entraActorUser{ID: f.p.entra.id, UserPrincipalName: f.p.entra.login, IPAddress: f.scene.at.ip, Roles: []string{}}
	}
	if o.TargetResources == nil {
		o.TargetResources = []entraTarget{f.target()}
	}
	if o.AdditionalDetails == nil {
		o.AdditionalDetails = []entraPair{}
	}
	lag := f.w.entraLag()
	f.w.add(event.Source("entra"), entraTenant, "audit", id, f.victim.login(), f.t, lag, entraRecord{
		Time: f.t.Format(entraEnvelopeTime), ResourceID: "/tenants/" + entraTenant + "/providers/Microsoft.aadiam",
		OperationName: a.activity, OperationVersion: "1.0", Category: "AuditLogs", TenantID: entraTenant,
		ResultSignature: "None", ResultDescription: a.reason, CallerIPAddress: f.scene.at.ip,
		CorrelationID: f.correlation, Level: 4, Properties: o,
	})
	return id
}

// target is the victim with what was changed.
func (f *entraFlow) target(changed ...entraModified) entraTarget {
	if changed == nil {
		changed = []entraModified{}
	}
	return entraTarget{ID: &f.victim.entra.id, DisplayName: f.victim.name, Type: "User", UserPrincipalName: f.victim.entra.login, ModifiedProperties: changed}
}

const (
	methods = "Authentication Methods"
	drs     = "Device Registration Service"
	core    = "Core Directory"
	sspr    = "Self-service Password Management"
)

// enrol writes the two records of a new credential.
func (f *entraFlow) enrol(c credential) {
	agent := entraPair{"User-Agent", f.scene.dev.ua}
	switch c.kind {
	case windowsHello:
		f.log(audit{service: drs, category: "UserManagement", activity: "Add Windows Hello for Business credential", operation: "Add",
			extra: []entraPair{agent, {"Device ID", f.scene.dev.entraID}}})
		return
	case push, totp, sms:
		f.log(audit{service: methods, category: "UserManagement", activity: "User registered security info", operation: "Add",
			reason: "User registered " + securityInfo(c.kind), extra: []entraPair{agent}})
		return
	}
	aaguid, activity := yubiKey5, "Add Passkey (device-bound)"
	switch c.kind {
	case devicePasskey:
		aaguid = authenticatorApp
	case syncedPasskey:
		aaguid, activity = appleKeychain, "Add Passkey (synced)"
	}
	target := f.target()
	target.ID = nil // the device service knows the name only
	f.log(audit{service: drs, category: "UserManagement", activity: activity, operation: "Add", targets: []entraTarget{target},
		extra: []entraPair{agent, {"AAGuid", aaguid}, {"UserType", "Member"}}})
	f.wait(800 * time.Millisecond)
	f.log(audit{service: methods, category: "UserManagement", activity: "User registered security info", operation: "Add",
		reason: "User registered Fido2 Authentication Method", extra: []entraPair{agent, {"AuthenticationMethod", "Passkey"}, {"AAGuid", aaguid}}})
}

// securityInfo is the audit log's name of a weak method.
func securityInfo(k kind) string {
	switch k {
	case totp:
		return "Authenticator App with Code"
	case sms:
		return "Mobile Phone SMS"
	}
	return "Authenticator App with Notification and Code"
}

// thirdParty is an app that asks for consent.
type thirdParty struct{ id, principal, name string }

var consentApps = []thirdParty{
	{"00000000-0000-4000-8000-00000000a001", "00000000-0000-4000-8000-00000000b001", "Example Whiteboard"},
	{"00000000-0000-4000-8000-00000000a002", "00000000-0000-4000-8000-00000000b002", "Example Polls"},
	{"00000000-0000-4000-8000-00000000a003", "00000000-0000-4000-8000-00000000b003", "Example Room Finder"},
}

// consent writes the two records of a person's grant and returns the id of the
// second.
func (f *entraFlow) consent(app thirdParty, scopes string) string {
	agent := entraPair{"User-Agent", f.scene.dev.ua}
	target := func(kind string, changed ...entraModified) []entraTarget {
		return []entraTarget{{ID: &app.principal, DisplayName: app.name, Type: kind, ModifiedProperties: changed}}
	}
	quoted := strconv.Quote
	f.log(audit{service: core, category: "ApplicationManagement", activity: "Add delegated permission grant", operation: "Assign",
		targets: target("ServicePrincipal",
			entraModified{"DelegatedPermissionGrant.Scope", "", quoted(" " + scopes)},
			entraModified{"DelegatedPermissionGrant.ConsentType", "", quoted("Principal")},
			entraModified{"ServicePrincipal.ObjectID", "", quoted(app.principal)}),
		extra: []entraPair{agent, {"AppId", graph}}})
	f.wait(100 * time.Millisecond)
	grant := fmt.Sprintf("[] => [[Id: %s, ClientId: 00000000-0000-0000-0000-000000000000, PrincipalId: %s, ResourceId: %s, ConsentType: Principal, Scope: %s, CreatedDateTime: , LastModifiedDateTime ]]; ",
		oktaID(f.w.rng, ""), f.p.entra.id, guid(f.w.rng), scopes)
	return f.log(audit{service: core, category: "ApplicationManagement", activity: "Consent to application", operation: "Assign",
		targets: target("ServicePrincipal",
			entraModified{"ConsentContext.IsAdminConsent", "", quoted("False")},
			entraModified{"ConsentContext.IsAppOnly", "", quoted("False")},
			entraModified{"ConsentContext.OnBehalfOfAll", "", quoted("False")},
			entraModified{"ConsentContext.Tags", "", quoted("WindowsAzureActiveDirectoryIntegratedApp")},
			entraModified{"ConsentAction.Permissions", "", quoted(grant)},
			entraModified{"TargetId.ServicePrincipalNames", "", quoted(app.id)}),
		extra: []entraPair{agent, {"AppId", app.id}}})
}
