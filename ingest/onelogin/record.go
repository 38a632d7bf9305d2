package onelogin

import (
	"strings"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// raw is what is read of one event.
type raw struct {
	UUID   lenient.Text `json:"uuid"`
	Create struct {
		ID lenient.Text `json:"_id"`
	} `json:"create"`
	ID             lenient.Text   `json:"id"`
	AccountID      lenient.Text   `json:"account_id"`
	EventTimestamp lenient.Text   `json:"event_timestamp"`
	CreatedAt      lenient.Text   `json:"created_at"`
	ExportTime     lenient.Text   `json:"p_event_time"`
	EventTypeID    lenient.Number `json:"event_type_id"`

	ActorUserID   lenient.Text `json:"actor_user_id"`
	ActorUserName lenient.Text `json:"actor_user_name"`
	ActorSystem   lenient.Text `json:"actor_system"`
	APICredential lenient.Text `json:"api_credential_name"`
	ClientID      lenient.Text `json:"client_id"`
	UserID        lenient.Text `json:"user_id"`
	UserName      lenient.Text `json:"user_name"`
	LoginName     lenient.Text `json:"login_name"`

	IPAddr      lenient.Text `json:"ipaddr"`
	UserAgent   lenient.Text `json:"user_agent"`
	Fingerprint lenient.Text `json:"browser_fingerprint"`
	AppID       lenient.Text `json:"app_id"`
	AppName     lenient.Text `json:"app_name"`

	FactorDescription lenient.Text `json:"authentication_factor_description"`
	OTPDeviceID       lenient.Text `json:"otp_device_id"`
	OTPDeviceName     lenient.Text `json:"otp_device_name"`
	TrustedIDPID      lenient.Text `json:"trusted_idp_id"`
	TrustedIDPName    lenient.Text `json:"trusted_idp_name"`

	RiskScore   lenient.Number `json:"risk_score"`
	RiskReasons lenient.Text   `json:"risk_reasons"`

	PolicyID      lenient.Text `json:"policy_id"`
	PolicyName    lenient.Text `json:"policy_name"`
	PrivilegeName lenient.Text `json:"privilege_name"`
	RoleName      lenient.Text `json:"role_name"`

	CustomMessage    lenient.Text `json:"custom_message"`
	ErrorDescription lenient.Text `json:"error_description"`
	Notes            lenient.Text `json:"notes"`

	// Added is what the live input knows beside the event.
	Added added `json:"stepdown"`
}

// added is the member that the live input adds.
type added struct {
	Type  *eventType `json:"event_type,omitempty"`
	User  *person    `json:"user,omitempty"`
	Actor *person    `json:"actor,omitempty"`
}

// eventType is a type of event of the API.
type eventType struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

// person is how the API calls a user.
type person struct {
	Email    string `json:"email,omitempty"`
	Username string `json:"username,omitempty"`
}

// The principal types of the contract.
const (
	typeUser    = "user"
	typeService = "service"
	typeSystem  = "system"
)

// principal makes a person of an id and the names that there are. name is first and
// last name, or the address of somebody who has none.
func principal(id, name, login lenient.Text, known *person) event.Principal {
	p := event.Principal{ID: lenient.Known(string(id)), Name: lenient.Known(string(login)), DisplayName: lenient.Known(string(name)), Type: typeUser}
	if p.Name == "" && known != nil {
		p.Name = lenient.First(known.Email, known.Username)
	}
	if p.Name == "" && strings.Contains(p.DisplayName, "@") {
		p.Name = p.DisplayName
	}
	if p.ID == "" && p.Name == "" {
		if p.DisplayName == "" {
			return event.Principal{}
		}
		p.Name = p.DisplayName // there is nothing better
	}
	return p
}

// principals returns who it happened to and who did it.
func (in *raw) principals() (subject, actor event.Principal) {
	subject = principal(in.UserID, in.UserName, in.LoginName, in.Added.User)
	actor = principal(in.ActorUserID, in.ActorUserName, "", in.Added.Actor)
	switch {
	case actor.ID != "" && actor.ID == subject.ID:
		actor = subject
	case !actor.IsZero():
	case lenient.Known(string(in.APICredential)) != "" || lenient.Known(string(in.ClientID)) != "":
		actor = event.Principal{ID: lenient.Known(string(in.ClientID)), Name: lenient.Known(string(in.APICredential)), Type: typeService}
	case lenient.Known(string(in.ActorSystem)) != "":
		actor = event.Principal{Name: lenient.Known(string(in.ActorSystem)), Type: typeSystem}
	}
	return subject, actor
}

func (in *raw) app() *event.App {
	a := event.App{ID: lenient.Known(string(in.AppID)), Name: lenient.Known(string(in.AppName))}
	if a == (event.App{}) {
		return nil
	}
	return &a
}

// transitions returns the steps of "Transitions: username -> password" in the notes.
func (in *raw) transitions() []string {
	_, rest, ok := strings.Cut(string(in.Notes), "Transitions:")
	if !ok {
		return nil
	}
	line, _, _ := strings.Cut(rest, "\n")
	var out []string
	for step := range strings.SplitSeq(line, "->") {
		if step = strings.TrimSpace(step); step != "" {
			out = append(out, step)
		}
	}
	return out
}

// factorName is the factor that the event is about.
func (in *raw) factorName() string {
	if name := lenient.Known(string(in.FactorDescription)); name != "" {
		return name
	}
	if _, rest, ok := strings.Cut(string(in.Notes), "Factor name:"); ok {
		line, _, _ := strings.Cut(rest, "\n")
		return strings.TrimSpace(line)
	}
	return lenient.Known(string(in.OTPDeviceName))
}

// methodOf reads the name of a factor. It is false for a name not known.
func methodOf(name string) (event.Method, bool) {
	switch s := lenient.Squeeze(name); s {
	case "oneloginprotect", "onelogin", "protect":
		return event.MethodPush, true
	case "googleauthenticator", "authenticator", "authenticatorapp", "totp", "symantecvipaccess", "symantecvip", "vipaccess":
		return event.MethodTOTP, true
	case "oneloginsms", "sms":
		return event.MethodSMS, true
	case "oneloginvoice", "voice":
		return event.MethodVoice, true
	case "oneloginemail", "email":
		return event.MethodEmailCode, true
	case "webauthn", "securitykey", "biometric", "biometrics", "webauthnfido2", "fido2", "passkey", "securitykeyorbiometric":
		return event.MethodPasskey, true
	case "yubicoyubikey", "yubikey", "yubico", "rsasecurid", "securid", "vascodigipass":
		return event.MethodOTPHardware, true
	case "duosecurity", "duo", "duoduosecurity":
		return event.MethodDelegated, true
	case "securityquestions", "securityquestion":
		return event.MethodSecurityQuestion, true
	case "backupcode", "backupcodes":
		return event.MethodBackupCode, true
	case "temporaryotp", "temporaryotptoken", "temporarytoken":
		return event.MethodBypassCode, true
	case "certificate", "browsercertificate":
		return event.MethodCertificate, true
	}
	return event.MethodUnknown, false
}
