package jumpcloud

import (
	"slices"
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// raw is what is read of one event.
type raw struct {
	ID           lenient.Text `json:"id"`
	Timestamp    lenient.Text `json:"timestamp"`
	EventType    lenient.Text `json:"event_type"`
	Organization lenient.Text `json:"organization"`

	Success         lenient.Truth `json:"success"`
	SSOTokenSuccess lenient.Truth `json:"sso_token_success"`
	ErrorMessage    lenient.Text  `json:"error_message"`
	ErrorCode       lenient.Text  `json:"error_code"`

	InitiatedBy initiator    `json:"initiated_by"`
	Resource    resource     `json:"resource"`
	Username    lenient.Text `json:"username"`

	ClientIP  lenient.Text `json:"client_ip"`
	SrcIP     lenient.Text `json:"src_ip"`
	GeoIP     place        `json:"geoip"`
	UserAgent agent        `json:"useragent"`
	OtherUA   agent        `json:"user_agent"`

	MFA     lenient.Truth `json:"mfa"`
	MFAMeta struct {
		Type lenient.Text `json:"type"`
	} `json:"mfa_meta"`
	AuthContext authContext  `json:"auth_context"`
	AuthMeta    authContext  `json:"auth_meta"`
	AuthType    lenient.Text `json:"auth_type"`
	EAPType     lenient.Text `json:"eap_type"`
	Application application  `json:"application"`
	System      system       `json:"system"`
	Changes     []change     `json:"changes"`
	Outer       struct {
		Username lenient.Text `json:"username"`
	} `json:"outer"`
}

type initiator struct {
	ID            lenient.Text  `json:"id"`
	Type          lenient.Text  `json:"type"`
	Username      lenient.Text  `json:"username"`
	Email         lenient.Text  `json:"email"`
	Administrator lenient.Truth `json:"administrator"`
}

type resource struct {
	ID       lenient.Text `json:"id"`
	Type     lenient.Text `json:"type"`
	Username lenient.Text `json:"username"`
	Email    lenient.Text `json:"email"`
	Name     lenient.Text `json:"name"`
}

type place struct {
	Country   lenient.Text `json:"country_code"`
	Region    lenient.Text `json:"region_name"`
	Latitude  *float64     `json:"latitude"`
	Longitude *float64     `json:"longitude"`
}

// agent is an object in most services, and the text itself in some.
type agent struct{ Raw, Name, OS lenient.Text }

// UnmarshalJSON never fails.
func (a *agent) UnmarshalJSON(b []byte) error {
	*a = agent{}
	if len(b) > 0 && b[0] == '"' {
		return a.Raw.UnmarshalJSON(b)
	}
	var object struct {
		Name   lenient.Text `json:"name"`
		OS     lenient.Text `json:"os"`
		OSName lenient.Text `json:"os_name"`
	}
	if json.Unmarshal(b, &object) == nil {
		a.Name = object.Name
		a.OS = lenient.Text(lenient.First(string(object.OSName), string(object.OS)))
	}
	return nil
}

func (a agent) family() event.UserAgent {
	if a.Raw != "" {
		return ingest.ParseUserAgent(lenient.Known(string(a.Raw)))
	}
	return event.UserAgent{Browser: ingest.BrowserFamily(string(a.Name)), OS: ingest.OSFamily(string(a.OS))}
}

type authContext struct {
	Methods authMethods `json:"auth_methods"`
	System  system      `json:"system"`
	Protect *struct {
		ID    lenient.Text `json:"id"`
		IP    lenient.Text `json:"ip"`
		GeoIP place        `json:"geoip"`
	} `json:"jumpcloud_protect_device"`
	Policies []struct {
		Name     lenient.Text `json:"name"`
		Metadata struct {
			Action lenient.Text `json:"action"`
		} `json:"metadata"`
	} `json:"policies_applied"`
}

// authMethods are the methods of a sign-in and whether each succeeded: the password
// first, the others by name. known tells no methods from none that are said.
type authMethods struct {
	list  []authMethod
	known bool
}

type authMethod struct {
	name    string
	success lenient.Truth
}

// UnmarshalJSON never fails: what is no object says nothing.
func (m *authMethods) UnmarshalJSON(b []byte) error {
	*m = authMethods{}
	var object map[string]struct {
		Success lenient.Truth `json:"success"`
	}
	if json.Unmarshal(b, &object) != nil || object == nil {
		return nil
	}
	m.known = true
	for name, said := range object {
		m.list = append(m.list, authMethod{name, said.Success})
	}
	slices.SortFunc(m.list, func(a, b authMethod) int {
		switch {
		case a.name == b.name:
			return 0
		case a.name == "password":
			return -1
		case b.name == "password":
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	return nil
}

type system struct {
	ID          lenient.Text `json:"id"`
	Hostname    lenient.Text `json:"hostname"`
	DisplayName lenient.Text `json:"displayName"`
	OS          lenient.Text `json:"os"`
}

type application struct {
	ID           lenient.Text `json:"id"`
	Name         lenient.Text `json:"name"`
	DisplayLabel lenient.Text `json:"display_label"`
	SSOType      lenient.Text `json:"sso_type"`
}

type change struct {
	Field lenient.Text `json:"field"`
	From  lenient.Text `json:"from"`
	To    lenient.Text `json:"to"`
}

// The principal types of the contract.
const (
	typeUser    = "user"
	typeAdmin   = "admin"
	typeService = "service"
	typeSystem  = "system"
)

func (i *initiator) principal() event.Principal {
	p := event.Principal{ID: lenient.Known(string(i.ID)), Name: login(i.Email, i.Username), Type: typeUser}
	switch lenient.Squeeze(string(i.Type)) {
	case "admin":
		p.Type = typeAdmin
	case "system", "systemuser_system", "device":
		p.Type = typeSystem
	case "user", "systemuser", "":
		if i.Administrator == lenient.True {
			p.Type = typeAdmin
		}
	default:
		p.Type = typeService
	}
	if p.ID == "" && p.Name == "" {
		return event.Principal{}
	}
	return p
}

func (r *resource) principal() event.Principal {
	p := event.Principal{ID: lenient.Known(string(r.ID)), Name: login(r.Email, r.Username), Type: typeUser}
	switch lenient.Squeeze(string(r.Type)) {
	case "user", "systemuser":
	case "admin":
		p.Type = typeAdmin
	default:
		return event.Principal{}
	}
	if p.ID == "" && p.Name == "" {
		return event.Principal{}
	}
	return p
}

// login prefers the address, which other sources know a person by as well.
func login(email, username lenient.Text) string {
	return lenient.First(lenient.Known(string(email)), lenient.Known(string(username)))
}

// methodOf reads the key of a method. It is false for a name not known.
func methodOf(name string) (event.Method, bool) {
	switch lenient.Squeeze(name) {
	case "password":
		return event.MethodPassword, true
	case "webauthn":
		return event.MethodPasskey, true
	case "jumpcloudgouv":
		return event.MethodPlatformCredential, true
	case "jumpcloudgo":
		return event.MethodUnknown, true
	case "jumpcloudprotect", "push":
		return event.MethodPush, true
	case "totp":
		return event.MethodTOTP, true
	case "duo":
		return event.MethodDelegated, true
	case "certificate", "usercert", "devicecert":
		return event.MethodCertificate, true
	}
	return event.MethodUnknown, false
}
