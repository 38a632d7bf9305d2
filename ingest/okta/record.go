package okta

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest"
)

// logEvent is what is read of one LogEvent. Keys match without regard to case, so
// exports that lower-case them are read as they are.
type logEvent struct {
	UUID        string `json:"uuid"`
	Published   string `json:"published"`
	ExportTime  string `json:"p_event_time"`
	EventType   string `json:"eventType"`
	Outcome     outcome
	Actor       entity
	Target      []entity
	Client      client
	Device      *device
	Transaction struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	}
	Request struct {
		IPChain []struct {
			IP string `json:"ip"`
		} `json:"ipChain"`
	}
	AuthenticationContext struct {
		ExternalSessionID string `json:"externalSessionId"`
		RootSessionID     string `json:"rootSessionId"`
		CredentialType    string `json:"credentialType"`
	} `json:"authenticationContext"`
	SecurityContext struct {
		ASNumber uint32 `json:"asNumber"`
		ASOrg    string `json:"asOrg"`
		IsProxy  truth  `json:"isProxy"`
		Risk     struct {
			Level   text `json:"level"`
			Reasons text `json:"reasons"`
		} `json:"risk"`
		UserBehaviors []struct {
			Name   string `json:"name"`
			Result string `json:"result"`
		} `json:"userBehaviors"`
	} `json:"securityContext"`
	DebugContext struct {
		DebugData debugData `json:"debugData"`
	} `json:"debugContext"`
}

type outcome struct {
	Result string `json:"result"`
	Reason string `json:"reason"`
}

type entity struct {
	ID            string `json:"id"`
	Type          string `json:"type"`
	AlternateID   string `json:"alternateId"`
	DisplayName   string `json:"displayName"`
	Detail        detail `json:"detailEntry"`
	ChangeDetails *struct {
		From json.RawMessage `json:"from"`
		To   json.RawMessage `json:"to"`
	} `json:"changeDetails"`
}

// detail is the detailEntry of a target; which fields there are depends on the
// target's type.
type detail struct {
	MethodTypeUsed          string `json:"methodTypeUsed"`
	MethodUsedVerifiedProps text   `json:"methodUsedVerifiedProperties"`
	AuthenticatorKey        string `json:"authenticatorKey"`
	MethodVerificationTime  string `json:"authenticatorMethodVerificationTime"`
	Passkey                 truth  `json:"passkey"`
	AAGUID                  string `json:"aaguid"`
	BackupEligible          truth  `json:"backupEligible"`
	Transports              text   `json:"authenticatorTransports"`
	MethodType              string `json:"methodType"`
	MethodAction            string `json:"methodAction"`
	FactorType              string `json:"factorType"`
	PolicyType              string `json:"policyType"`
	SignOnModeType          string `json:"signOnModeType"`
	Scope                   text   `json:"scope"`
	Scopes                  text   `json:"scopes"`
	PlatformSSOMethod       string `json:"platformSsoAuthenticationMethod"`
}

type client struct {
	ID        string `json:"id"`
	IPAddress string `json:"ipAddress"`
	UserAgent struct {
		Raw     string `json:"rawUserAgent"`
		OS      string `json:"os"`
		Browser string `json:"browser"`
	} `json:"userAgent"`
	Geo struct {
		City        string `json:"city"`
		State       string `json:"state"`
		Country     string `json:"country"`
		Geolocation *struct {
			Lat *float64 `json:"lat"`
			Lon *float64 `json:"lon"`
		} `json:"geolocation"`
	} `json:"geographicalContext"`
}

type device struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Managed    truth  `json:"managed"`
	Registered truth  `json:"registered"`
	OSPlatform string `json:"os_platform"`
}

// debugData is "not a contract" by the vendor's own words: every field may be
// absent or change its type.
type debugData struct {
	AuthnRequestID string `json:"authnRequestId"`
	DTHash         string `json:"dtHash"`

	Factor         string `json:"factor"`
	FactorIntent   string `json:"factorIntent"`
	PushResponse   string `json:"pushOnlyResponseType"`
	NumberResponse string `json:"pushWithNumberChallengeResponseType"`
	Verification   string `json:"verification"`
	Action         string `json:"action"`
	LoginResult    string `json:"loginResult"`

	AuthMethodFirst      string `json:"authMethodFirstType"`
	AuthMethodFirstTime  text   `json:"authMethodFirstVerificationTime"`
	AuthMethodSecond     string `json:"authMethodSecondType"`
	AuthMethodSecondTime text   `json:"authMethodSecondVerificationTime"`

	AuthenticatorKey string `json:"authenticatorKey"`
	AAGUID           string `json:"aaguid"`
	BackupEligible   truth  `json:"backupEligible"`
	PhoneNumber      text   `json:"phoneNumber"`

	AMRList        text   `json:"amrList"`
	IDPDisplayName string `json:"idpDisplayName"`

	Behaviors           text `json:"behaviors"`
	Risk                text `json:"risk"`
	LogOnlySecurityData text `json:"logOnlySecurityData"`
	Tunnels             text `json:"tunnels"`

	PrivilegeGranted text `json:"privilegeGranted"`
	PrivilegeRevoked text `json:"privilegeRevoked"`

	GrantType       string `json:"grantType"`
	GrantedScopes   text   `json:"grantedScopes"`
	RequestedScopes text   `json:"requestedScopes"`
	SignOnMode      string `json:"signOnMode"`

	IsSelfInitiated truth `json:"isSelfInitiated"`

	ExternalSessionID string `json:"externalSessionId"`
	EndedSessionID    string `json:"endedSessionId"`
	TerminationReason string `json:"terminationReason"`
	PreviousIP        string `json:"previousIpAddress"`
	NewIP             string `json:"newIpAddress"`
	Causes            text   `json:"causes"`
	CaseNumber        text   `json:"caseNumber"`

	SuspiciousEventID   string `json:"suspiciousActivityEventId"`
	SuspiciousEventType string `json:"suspiciousActivityEventType"`
	SuspiciousEventIP   string `json:"suspiciousActivityEventIp"`

	OldRequirements      text  `json:"oldPolicyRuleRequirementsJson"`
	NewRequirements      text  `json:"newPolicyRuleRequirementsJson"`
	OldRuleAction        text  `json:"oldPolicyRuleAction"`
	NewRuleAction        text  `json:"newPolicyRuleAction"`
	OldZoneInclude       count `json:"oldPolicyRuleZoneIncludeSize"`
	NewZoneInclude       count `json:"newPolicyRuleZoneIncludeSize"`
	OldZoneExclude       count `json:"oldPolicyRuleZoneExcludeSize"`
	NewZoneExclude       count `json:"newPolicyRuleZoneExcludeSize"`
	OldUserExclude       count `json:"oldPolicyRuleUserExcludeSize"`
	NewUserExclude       count `json:"newPolicyRuleUserExcludeSize"`
	OldGroupExclude      count `json:"oldPolicyRuleGroupExcludeSize"`
	NewGroupExclude      count `json:"newPolicyRuleGroupExcludeSize"`
	OldUserTypeExclude   count `json:"oldPolicyRuleUserTypeExcludeSize"`
	NewUserTypeExclude   count `json:"newPolicyRuleUserTypeExcludeSize"`
	ProviderReportedRisk text  `json:"securityEventsProviderReportedRisk"`
	ThreatSuspected      truth `json:"threatSuspected"`
}

// decode reads one LogEvent. A member of an unexpected type costs that member
// alone, which warning names.
func decode(data []byte, in *logEvent) (warning string, err error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return "", ingest.Skip(ingest.SkipEmpty, "empty record")
	}
	if err := json.Unmarshal(data, in); err != nil {
		wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
		switch {
		case !ok:
			return "", ingest.Malformed(ingest.MalformedSyntax, "decode log event: %w", err)
		case bytes.TrimSpace(data)[0] != '{':
			return "", ingest.Malformed(ingest.MalformedShape, "log event is a JSON %s, want an object", wrong.Value)
		}
		warning = "left out " + wrong.Field + ": unexpected JSON " + wrong.Value
	}
	for _, s := range []*string{
		&in.UUID, &in.Transaction.ID, &in.AuthenticationContext.ExternalSessionID, &in.AuthenticationContext.RootSessionID,
		&in.DebugContext.DebugData.AuthnRequestID, &in.DebugContext.DebugData.DTHash, &in.DebugContext.DebugData.ExternalSessionID,
	} {
		*s = known(*s)
	}
	return warning, nil
}

// known returns s, or "" where it is one of the log's words for nothing.
func known(s string) string {
	switch s = strings.TrimSpace(s); {
	case strings.EqualFold(s, "unknown"), strings.EqualFold(s, "null"), strings.EqualFold(s, "redacted"), s == "-":
		return ""
	}
	return s
}

// text is a value that is mostly a string: others are kept as their JSON.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(data []byte) error {
	switch {
	case bytes.Equal(data, []byte("null")):
		*t = ""
	case len(data) > 0 && data[0] == '"':
		return json.Unmarshal(data, (*string)(t))
	default:
		*t = text(data)
	}
	return nil
}

// truth is a boolean that may come as a string; it is nil where it says neither.
type truth struct{ value *bool }

// UnmarshalJSON implements json.Unmarshaler.
func (f *truth) UnmarshalJSON(data []byte) error {
	f.value = nil
	if string(data) == "null" {
		return nil
	}
	if b, err := strconv.ParseBool(strings.ToLower(strings.Trim(string(data), `" `))); err == nil {
		f.value = &b
	}
	return nil
}

func (f truth) isTrue() bool  { return f.value != nil && *f.value }
func (f truth) isFalse() bool { return f.value != nil && !*f.value }

// count is a number that may come as a string; known tells it from zero.
type count struct {
	n     int
	known bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *count) UnmarshalJSON(data []byte) error {
	*c = count{}
	if n, err := strconv.Atoi(strings.Trim(string(data), `" `)); err == nil {
		*c = count{n, true}
	}
	return nil
}

// grew reports whether the size went up; a source that does not say is no sign.
func grew(before, after count) bool { return before.known && after.known && after.n > before.n }
