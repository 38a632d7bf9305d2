package simulate

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"stepdown/ingest/event"
)

// The records of Okta's System Log, with the members that its documentation and
// real exports show.
type (
	oktaEvent struct {
		Actor                 oktaActor       `json:"actor"`
		Client                oktaClient      `json:"client"`
		Device                *oktaDevice     `json:"device"`
		AuthenticationContext oktaAuthContext `json:"authenticationContext"`
		DisplayMessage        string          `json:"displayMessage"`
		EventType             string          `json:"eventType"`
		Outcome               oktaOutcome     `json:"outcome"`
		Published             string          `json:"published"`
		SecurityContext       oktaSecurity    `json:"securityContext"`
		Severity              string          `json:"severity"`
		DebugContext          oktaDebug       `json:"debugContext"`
		LegacyEventType       *string         `json:"legacyEventType"`
		Transaction           oktaTransaction `json:"transaction"`
		UUID                  string          `json:"uuid"`
		Version               string          `json:"version"`
		Request               oktaRequest     `json:"request"`
		Target                []oktaTarget    `json:"target"`
	}
	oktaActor struct {
		ID          string         `json:"id"`
		Type        string         `json:"type"`
		AlternateID string         `json:"alternateId"`
		DisplayName string         `json:"displayName"`
		DetailEntry map[string]any `json:"detailEntry"`
	}
	oktaTarget = oktaActor
	oktaClient struct {
		UserAgent           *oktaUserAgent `json:"userAgent"`
		Zone                string         `json:"zone"`
		Device              string         `json:"device"`
		ID                  *string        `json:"id"`
		IPAddress           string         `json:"ipAddress"`
		GeographicalContext oktaGeo        `json:"geographicalContext"`
	}
	oktaUserAgent struct {
		RawUserAgent string `json:"rawUserAgent"`
		OS           string `json:"os"`
		Browser      string `json:"browser"`
	}
	oktaGeo struct {
		City        string `json:"city"`
		State       string `json:"state"`
		Country     string `json:"country"`
		PostalCode  string `json:"postalCode"`
		Geolocation struct {
			Lat float64 `json:"lat"`
			Lon float64 `json:"lon"`
		} `json:"geolocation"`
	}
	oktaDevice struct {
		ID                    string `json:"id"`
		Name                  string `json:"name"`
		OSPlatform            string `json:"os_platform"`
		OSVersion             string `json:"os_version"`
		Managed               bool   `json:"managed"`
		Registered            bool   `json:"registered"`
		DeviceIntegrator      any    `json:"device_integrator"`
		DiskEncryptionType    string `json:"disk_encryption_type"`
		ScreenLockType        string `json:"screen_lock_type"`
		Jailbreak             any    `json:"jailbreak"`
		SecureHardwarePresent bool   `json:"secure_hardware_present"`
	}
	oktaAuthContext struct {
		AuthenticationProvider *string `json:"authenticationProvider"`
		CredentialProvider     *string `json:"credentialProvider"`
		CredentialType         *string `json:"credentialType"`
		Issuer                 any     `json:"issuer"`
		Interface              any     `json:"interface"`
		AuthenticationStep     int     `json:"authenticationStep"`
		RootSessionID          *string `json:"rootSessionId"`
		ExternalSessionID      *string `json:"externalSessionId"`
	}
	oktaOutcome struct {
		Result string  `json:"result"`
		Reason *string `json:"reason"`
	}
	oktaSecurity struct {
		ASNumber uint32 `json:"asNumber"`
		ASOrg    string `json:"asOrg"`
		ISP      string `json:"isp"`
		Domain   string `json:"domain"`
		IsProxy  bool   `json:"isProxy"`
	}
	oktaDebug struct {
		DebugData map[string]string `json:"debugData"`
	}
	oktaTransaction struct {
		Type   string         `json:"type"`
		ID     string         `json:"id"`
		Detail map[string]any `json:"detail"`
	}
	oktaRequest struct {
		IPChain []oktaHop `json:"ipChain"`
	}
	oktaHop struct {
		IP                  string  `json:"ip"`
		GeographicalContext oktaGeo `json:"geographicalContext"`
		Version             string  `json:"version"`
		Source              any     `json:"source"`
	}
)

// oktaTime is the form of published.
const oktaTime = "2006-01-02T15:04:05.000Z"

func oktaMessage(eventType string) string {
	switch eventType {
	case "user.authentication.auth_via_mfa":
		return "Authentication of user via MFA"
	case "policy.evaluate_sign_on":
		return "Evaluation of sign-on policy"
	case "user.session.start":
		return "User login to Okta"
	case "user.session.end":
		return "User logout from Okta"
	case "user.session.clear":
		return "Clear user session"
	case "user.authentication.sso":
		return "User single sign on to app"
	case "user.session.access_admin_app":
		return "User accessing Okta admin app"
	case "user.mfa.factor.activate":
		return "Activate factor or authenticator enrollment"
	case "user.mfa.factor.deactivate":
		return "Reset factor or authenticator enrollment"
	case "user.mfa.factor.suspend":
		return "Suspend factor or authenticator enrollment"
	case "user.mfa.factor.reset_all":
		return "Reset all factors for user"
	case "user.account.reset_password":
		return "User reset password for Okta"
	case "user.account.update_password":
		return "User update password for Okta"
	case "user.lifecycle.create":
		return "Create Okta user"
	case "user.lifecycle.activate":
		return "Activate Okta user"
	case "user.lifecycle.deactivate":
		return "Deactivate Okta user"
	case "device.enrollment.create":
		return "Create device enrollment"
	case "system.push.send_factor_verify_push":
		return "Send Okta Verify Push notification"
	case "system.sms.send_factor_verify_message":
		return "Send SMS factor verification message"
	}
	return eventType
}

// oktaFlow is one visit to Okta: it writes the records of it, one after
// another, and keeps what ties them together.
type oktaFlow struct {
	w *writer
	// p acts on victim, who is p but for an administrator's work.
	p, victim *person
	scene     scene
	// request ties the records of one sign-in (debugData.authnRequestId);
	// session is the browser's session.
	request, session string
	t                time.Time
}

func (w *writer) okta(p *person, s scene, t time.Time) *oktaFlow {
	return &oktaFlow{w: w, p: p, victim: p, scene: s, t: t, request: hexID(w.rng, 2), session: oktaSession(w)}
}

func oktaSession(w *writer) string { return "idx" + oktaID(w.rng, "")[:20] }

// wait moves the flow on by between d and twice that.
func (f *oktaFlow) wait(d time.Duration) {
	f.t = f.t.Add(d + time.Duration(f.w.rng.Int64N(int64(d)+1))).Truncate(time.Millisecond)
}

// event returns a record of the flow with everything that is the same in all.
func (f *oktaFlow) event(eventType, result, reason string) *oktaEvent {
	s, n := f.scene, f.scene.at.net
	var geo oktaGeo
	geo.City, geo.State, geo.Country, geo.PostalCode = n.place.city, n.place.state, n.place.country, n.place.postal
	geo.Geolocation.Lat, geo.Geolocation.Lon = n.place.lat, n.place.lon
	client := "Computer"
	if s.dev.mobile {
		client = "Mobile"
	}
	version := "V4"
	if strings.Contains(s.at.ip, ":") {
		version = "V6"
	}
	e := &oktaEvent{
		Actor: oktaUser(f.p),
		Client: oktaClient{
			UserAgent: &oktaUserAgent{s.dev.ua, s.dev.os, oktaBrowser(s.dev.browser)},
			Zone:      "null", Device: client, IPAddress: s.at.ip, GeographicalContext: geo,
		},
		AuthenticationContext: oktaAuthContext{RootSessionID: &f.session, ExternalSessionID: &f.session},
		DisplayMessage:        oktaMessage(eventType),
		EventType:             eventType,
		Outcome:               oktaOutcome{Result: result},
		Published:             f.t.Format(oktaTime),
		SecurityContext:       oktaSecurity{n.asn, n.org, n.org, "example.net", false},
		Severity:              "INFO",
		DebugContext: oktaDebug{map[string]string{
			"requestId":       hexID(f.w.rng, 2),
			"dtHash":          s.dev.dtHash,
			"threatSuspected": "false",
		}},
		Transaction: oktaTransaction{"WEB", f.request, map[string]any{}},
		UUID:        guid(f.w.rng),
		Version:     "0",
		Request:     oktaRequest{[]oktaHop{{s.at.ip, geo, version, nil}}},
		Target:      []oktaTarget{oktaUser(f.victim)},
	}
	if reason != "" {
		e.Outcome.Reason = &reason
	}
	if result != "SUCCESS" && result != "ALLOW" && result != "CHALLENGE" {
		e.Severity = "WARN"
	}
	return e
}

func (f *oktaFlow) write(e *oktaEvent) string {
	f.w.add(event.Source("okta"), f.victim.oktaTenant(), "system_log", e.UUID, f.victim.login(), f.t, f.w.oktaLag(), e)
	return e.UUID
}

func oktaUser(p *person) oktaActor {
	return oktaActor{ID: p.okta.id, Type: "User", AlternateID: p.okta.login, DisplayName: p.name}
}

// oktaBrowser turns "Edge 141.0.0" into Okta's enumeration.
func oktaBrowser(b string) string {
	for _, x := range []struct{ prefix, name string }{
		{"Edge", "EDGE"}, {"Chrome Mobile", "CHROME_MOBILE"}, {"Chrome", "CHROME"}, {"Mobile Safari", "MOBILE_SAFARI"},
		{"Safari", "SAFARI"}, {"Firefox", "FIREFOX"},
	} {
		if strings.HasPrefix(b, x.prefix) {
			return x.name
		}
	}
	return "UNKNOWN"
}

// registered is the device object of the flow's client: a phone has Okta Verify,
// a laptop only where FastPass is used.
func (f *oktaFlow) registered() *oktaDevice {
	d := f.scene.dev
	if d.oktaID == "" || f.p.classic || !d.mobile && f.p.okta.with(f.t).kind != fastPass {
		return nil
	}
	return deviceObject(d)
}

func deviceObject(d *device) *oktaDevice {
	platform, _ := d.platform()
	return &oktaDevice{
		ID: d.oktaID, Name: d.name, OSPlatform: platform, OSVersion: d.version, Managed: d.managed, Registered: true,
		DiskEncryptionType: "ALL_INTERNAL_VOLUMES", ScreenLockType: "BIOMETRIC", SecureHardwarePresent: true,
	}
}

// oktaWords are Okta's names of a credential.
type oktaWords struct {
	factor, authenticator, method, properties, session string
	detail                                             map[string]any
}

const yubiKey5, helloAAGUID, appleKeychain, authenticatorApp = "ee882879-721c-4913-9775-3dfcce97072a",
	"08987058-cadc-4b81-b6e1-30de50dcbe96", "fbfc3007-154e-4ecc-8c0b-6e020557d7bd", "90a3ccdf-635c-4729-a248-9b709135078f"

func wordsOf(c credential) oktaWords {
	webauthn := func(aaguid string, eligible bool, properties string, transports ...string) oktaWords {
		return oktaWords{
			"FIDO_WEBAUTHN", "Passkey (FIDO2 WebAuthn)", "webauthn", properties, "webauthn:webauthn:" + c.id,
			map[string]any{
				"passkey": true, "aaguid": aaguid, "backupEligible": eligible, "authenticatorTransports": transports,
			},
		}
	}
	switch c.kind {
	case securityKey:
		return webauthn(yubiKey5, false, "[DEVICE_BOUND, HARDWARE_PROTECTED, PHISHING_RESISTANT, USER_PRESENCE, USER_VERIFYING]", "usb", "nfc")
	case devicePasskey:
		return webauthn(helloAAGUID, false, "[DEVICE_BOUND, HARDWARE_PROTECTED, PHISHING_RESISTANT, USER_PRESENCE, USER_VERIFYING]", "internal")
	case syncedPasskey:
		return webauthn(appleKeychain, true, "[PHISHING_RESISTANT, USER_PRESENCE, USER_VERIFYING]", "internal", "hybrid")
	case fastPass:
		return oktaWords{"SIGNED_NONCE", "Okta Verify", "Use Okta FastPass",
			"[DEVICE_BOUND, PHISHING_RESISTANT, HARDWARE_PROTECTED, USER_PRESENCE, USER_VERIFYING]", "okta_verify:signed_nonce:" + c.id, nil}
	case push:
		return oktaWords{"OKTA_VERIFY_PUSH", "Okta Verify", "Get a push notification", "[DEVICE_BOUND, USER_PRESENCE]", "okta_verify:push:" + c.id, nil}
	case totp:
		return oktaWords{"OKTA_SOFT_TOKEN", "Okta Verify", "totp", "[DEVICE_BOUND]", "okta_verify:totp:" + c.id, nil}
	case sms:
		return oktaWords{"SMS_FACTOR", "Phone", "SMS", "[]", "phone_number:sms:" + c.id, nil}
	}
	return oktaWords{"PASSWORD_AS_FACTOR", "Password", "Password", "[USER_PRESENCE]", "okta_password:password:" + c.id, nil}
}

func enrolmentTarget(c credential) oktaTarget {
	words := wordsOf(c)
	detail := map[string]any{"methodTypeUsed": words.method, "methodUsedVerifiedProperties": words.properties}
	maps.Copy(detail, words.detail)
	return oktaTarget{ID: c.id, Type: "AuthenticatorEnrollment", AlternateID: "unknown", DisplayName: words.authenticator, DetailEntry: detail}
}

// factor writes one step of proof with c.
func (f *oktaFlow) factor(c credential, result, reason string) string {
	if f.p.classic && c.kind == noAuthenticator {
		return "" // the password is within user.session.start there
	}
	e := f.event("user.authentication.auth_via_mfa", result, reason)
	provider, issuer := "FACTOR_PROVIDER", "OKTA_CREDENTIAL_PROVIDER"
	e.AuthenticationContext.AuthenticationProvider, e.AuthenticationContext.CredentialProvider = &provider, &issuer
	words := wordsOf(c)
	dbg := e.DebugContext.DebugData
	dbg["authnRequestId"] = f.request
	dbg["factor"] = words.factor
	dbg["factorIntent"] = "AUTHENTICATION"
	dbg["requestUri"] = "/idp/idx/challenge/answer"
	switch {
	case c.kind == fastPass:
		// The Okta Verify app answers beside the browser.
		e.Client.UserAgent.RawUserAgent, e.Client.UserAgent.Browser = f.scene.dev.oktaVerify(), "UNKNOWN"
		dbg["requestUri"] = "/idp/authenticators/" + c.id + "/transactions/" + f.request + "/verify"
		dbg["keyTypeUsedForAuthentication"] = "PROOF_OF_POSSESSION"
	case c.kind == push && result == "SUCCESS":
		dbg["pushOnlyResponseType"] = "OV_RESPONSE_APPROVE"
		dbg["pushWithNumberChallengeResponseType"] = "OV_WITH_CHALLENGE_RESPONSE_NOT_APPLICABLE"
	case c.kind == push && result == "FAILURE":
		dbg["pushOnlyResponseType"] = "OV_RESPONSE_DENY"
	}
	if f.p.classic {
		otp := "OTP"
		e.AuthenticationContext.CredentialType = &otp
		dbg["requestUri"] = "/api/v1/authn/factors/" + c.id + "/verify"
		// Classic gives every record a session of its own.
		session := oktaSession(f.w)
		e.AuthenticationContext.RootSessionID, e.AuthenticationContext.ExternalSessionID = nil, &session
	} else {
		e.Target = append(e.Target, enrolmentTarget(c))
	}
	return f.write(e)
}

// password writes the first step; there is none in Classic.
func (f *oktaFlow) password() {
	f.factor(credential{id: f.p.okta.password}, "SUCCESS", "")
}

// prompt writes that a push or a text message was sent.
func (f *oktaFlow) prompt(c credential) {
	var e *oktaEvent
	switch c.kind {
	case push:
		e = f.event("system.push.send_factor_verify_push", "SUCCESS", "")
	case sms:
		e = f.event("system.sms.send_factor_verify_message", "SUCCESS", "")
	default:
		return
	}
	e.DebugContext.DebugData["authnRequestId"] = f.request
	f.write(e)
}

// evaluate writes the policy's answer, CHALLENGE or ALLOW.
func (f *oktaFlow) evaluate(result string) {
	if f.p.classic {
		return
	}
	reason := "Sign-on policy evaluation resulted in " + result
	e := f.event("policy.evaluate_sign_on", result, reason)
	e.Device = f.registered()
	dbg := e.DebugContext.DebugData
	dbg["authnRequestId"] = f.request
	dbg["behaviors"] = f.behaviors()
	dbg["risk"] = "{level=LOW}"
	e.Target = []oktaTarget{
		{ID: "rst0examplecorp00001", Type: "PolicyEntity", AlternateID: "unknown", DisplayName: "Any two factors", DetailEntry: map[string]any{"policyType": "ACCESS_POLICY"}},
		{ID: "rul0examplecorp00001", Type: "PolicyRule", AlternateID: "00p0examplecorp00001", DisplayName: "Catch-all rule", DetailEntry: map[string]any{"policyRuleFactorMode": "2FA"}},
		dashboard.target(),
	}
	f.write(e)
}

// behaviors is Okta's own comparison with the past; a stranger is new to it.
func (f *oktaFlow) behaviors() string {
	v := "NEGATIVE"
	if f.scene.dev.oktaID == "" {
		v = "POSITIVE"
	}
	return fmt.Sprintf("{New Geo-Location=%s, New Device=%s, New IP=%s, New State=%s, New Country=%s, Velocity=NEGATIVE, New City=%s}", v, v, v, v, v, v)
}

// start writes that the session began.
func (f *oktaFlow) start() string {
	e := f.event("user.session.start", "SUCCESS", "")
	e.Device = f.registered()
	e.DebugContext.DebugData["authnRequestId"] = f.request
	e.DebugContext.DebugData["requestUri"] = "/idp/idx/identify"
	if f.p.classic {
		delete(e.DebugContext.DebugData, "authnRequestId")
		password := "PASSWORD"
		e.AuthenticationContext.CredentialType = &password
		e.DebugContext.DebugData["requestUri"] = "/api/v1/authn"
	}
	return f.write(e)
}

// sso writes that the session reached app; with is how the session was born.
func (f *oktaFlow) sso(app oktaApp, with credential, born time.Time) string {
	e := f.event("user.authentication.sso", "SUCCESS", "")
	e.Device = f.registered()
	if !f.p.classic {
		dbg := e.DebugContext.DebugData
		dbg["authnRequestId"] = f.request
		dbg["authMethodFirstType"] = wordsOf(with).session
		dbg["authMethodFirstEnrollment"] = with.id
		dbg["authMethodFirstVerificationTime"] = born.Format(oktaTime)
		dbg["initiationType"] = "IDP_INITIATED"
		dbg["signOnMode"] = app.mode
	}
	e.Target = append([]oktaTarget{app.target()}, oktaTarget{
		ID: "0ua" + f.p.okta.id[3:], Type: "AppUser", AlternateID: f.p.okta.login, DisplayName: f.p.name,
	})
	return f.write(e)
}

// adminApp writes that the session went into Okta's administration.
func (f *oktaFlow) adminApp() {
	e := f.event("user.session.access_admin_app", "SUCCESS", "")
	e.Target = []oktaTarget{{ID: oktaAdmin.id, Type: "AppInstance", AlternateID: "Okta Admin Console", DisplayName: "Okta Admin Console"}}
	f.write(e)
}

// signIn writes a whole sign-in with c to app: the chain of Identity Engine, or
// of Classic.
func (f *oktaFlow) signIn(c credential, app oktaApp) {
	if f.p.classic {
		f.start()
		f.wait(4 * time.Second)
		f.factor(c, "SUCCESS", "")
		f.wait(time.Second)
		f.sso(app, c, f.t)
		return
	}
	if !c.strong() {
		f.password()
		f.wait(400 * time.Millisecond)
		f.evaluate("CHALLENGE")
		f.wait(time.Second)
		f.prompt(c)
	} else {
		f.evaluate("CHALLENGE")
	}
	f.wait(3 * time.Second)
	f.factor(c, "SUCCESS", "")
	f.arrive(c, app)
}

// arrive writes what follows the last factor.
func (f *oktaFlow) arrive(c credential, app oktaApp) {
	born := f.t
	f.wait(150 * time.Millisecond)
	f.evaluate("ALLOW")
	f.wait(50 * time.Millisecond)
	f.start()
	f.wait(700 * time.Millisecond)
	f.sso(app, c, born)
}

// mistyped writes a wrong password before the sign-in.
func (f *oktaFlow) mistyped() {
	if f.p.classic {
		e := f.event("user.session.start", "FAILURE", "INVALID_CREDENTIALS")
		e.AuthenticationContext.RootSessionID, e.AuthenticationContext.ExternalSessionID = nil, nil
		f.write(e)
		return
	}
	f.factor(credential{id: f.p.okta.password}, "FAILURE", "INVALID_CREDENTIALS")
	f.wait(4 * time.Second)
}

// enrol writes that the flow's actor enrolled c for the flow's victim.
func (f *oktaFlow) enrol(c credential) {
	words := wordsOf(c)
	if c.kind == fastPass {
		e := f.event("device.enrollment.create", "SUCCESS", "")
		e.Device = deviceObject(f.scene.dev)
		platform, _ := f.scene.dev.platform()
		e.Target = append(e.Target, oktaTarget{
			ID: f.scene.dev.oktaID, Type: "UDDevice", AlternateID: "unknown", DisplayName: f.scene.dev.name,
			DetailEntry: map[string]any{"platform": platform},
		})
		f.write(e)
		f.wait(500 * time.Millisecond)
	}
	e := f.event("user.mfa.factor.activate", "SUCCESS", "User set up "+words.factor+" factor")
	e.DebugContext.DebugData["factor"] = words.factor
	e.DebugContext.DebugData["factorIntent"] = "CREDENTIAL_ENROLLMENT"
	e.DebugContext.DebugData["authnRequestId"] = f.request
	if f.victim.classic {
		e.DebugContext.DebugData["requestUri"] = "/api/v1/users/" + f.victim.okta.id + "/factors/" + c.id + "/lifecycle/activate"
	} else {
		e.Target = append(e.Target, enrolmentTarget(c))
	}
	if c.kind == sms {
		e.DebugContext.DebugData["phoneNumber"] = "+XXXXXXX0142"
	}
	f.write(e)
}

// remove writes that one factor of the victim was taken away.
func (f *oktaFlow) remove(c credential) {
	words := wordsOf(c)
	e := f.event("user.mfa.factor.deactivate", "SUCCESS", "User reset "+words.factor+" factor")
	e.DebugContext.DebugData["factor"] = words.factor
	if !f.victim.classic {
		e.Target = append(e.Target, enrolmentTarget(c))
	}
	f.write(e)
}

// resetAll writes that an administrator took away every factor of the victim.
func (f *oktaFlow) resetAll() {
	uri := "/api/v1/users/" + f.victim.okta.id + "/lifecycle/reset_factors"
	for _, c := range []credential{f.victim.okta.strong, f.victim.okta.weak} {
		if c.kind == noAuthenticator {
			continue
		}
		e := f.event("user.mfa.factor.suspend", "SUCCESS", "User suspended "+wordsOf(c).factor+" factor")
		e.DebugContext.DebugData["requestUri"], e.DebugContext.DebugData["factor"] = uri, wordsOf(c).factor
		f.write(e)
		f.wait(20 * time.Millisecond)
	}
	e := f.event("user.mfa.factor.reset_all", "SUCCESS", "")
	e.DebugContext.DebugData["requestUri"] = uri
	f.write(e)
}

// account writes an event of the victim's account: a password, a life cycle.
func (f *oktaFlow) account(eventType string, debug map[string]string) {
	e := f.event(eventType, "SUCCESS", "")
	maps.Copy(e.DebugContext.DebugData, debug)
	f.write(e)
}

// oktaApp is an application behind Okta.
type oktaApp struct{ id, name, key, mode string }

var (
	dashboard = oktaApp{"0oa0example000000001", "Okta Dashboard", "okta_enduser", "OPENID_CONNECT"}
	oktaAdmin = oktaApp{"0oa0example000000002", "Okta Admin Console", "saasure", "OPENID_CONNECT"}
	oktaApps  = []oktaApp{
		{"0oa0example000000003", "Example Wiki", "example_wiki", "SAML_2_0"},
		{"0oa0example000000004", "Example Tickets", "example_tickets", "SAML_2_0"},
		{"0oa0example000000005", "Example CRM", "example_crm", "OPENID_CONNECT"},
		{"0oa0example000000006", "Example Payroll", "example_payroll", "SAML_2_0"},
		{"0oa0example000000007", "Example Code", "example_code", "OPENID_CONNECT"},
	}
)

func (a oktaApp) target() oktaTarget {
	return oktaTarget{ID: a.id, Type: "AppInstance", AlternateID: a.name, DisplayName: a.name, DetailEntry: map[string]any{"signOnModeType": a.mode}}
}
