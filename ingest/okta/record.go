package okta

import (
	"github.com/goccy/go-json"

	"stepdown/ingest/lenient"
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
		ASNumber uint32        `json:"asNumber"`
		ASOrg    string        `json:"asOrg"`
		IsProxy  lenient.Truth `json:"isProxy"`
		Risk     struct {
			Level   lenient.Text `json:"level"`
			Reasons lenient.Text `json:"reasons"`
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
	MethodTypeUsed          string        `json:"methodTypeUsed"`
	MethodUsedVerifiedProps lenient.Text  `json:"methodUsedVerifiedProperties"`
	AuthenticatorKey        string        `json:"authenticatorKey"`
	MethodVerificationTime  string        `json:"authenticatorMethodVerificationTime"`
	Passkey                 lenient.Truth `json:"passkey"`
	AAGUID                  string        `json:"aaguid"`
	BackupEligible          lenient.Truth `json:"backupEligible"`
	Transports              lenient.Text  `json:"authenticatorTransports"`
	MethodType              string        `json:"methodType"`
	MethodAction            string        `json:"methodAction"`
	FactorType              string        `json:"factorType"`
	PolicyType              string        `json:"policyType"`
	SignOnModeType          string        `json:"signOnModeType"`
	Scope                   lenient.Text  `json:"scope"`
	Scopes                  lenient.Text  `json:"scopes"`
	PlatformSSOMethod       string        `json:"platformSsoAuthenticationMethod"`
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
	ID         string        `json:"id"`
	Name       string        `json:"name"`
	Managed    lenient.Truth `json:"managed"`
	Registered lenient.Truth `json:"registered"`
	OSPlatform string        `json:"os_platform"`
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

	AuthMethodFirst      string       `json:"authMethodFirstType"`
	AuthMethodFirstTime  lenient.Text `json:"authMethodFirstVerificationTime"`
	AuthMethodSecond     string       `json:"authMethodSecondType"`
	AuthMethodSecondTime lenient.Text `json:"authMethodSecondVerificationTime"`

	AuthenticatorKey string        `json:"authenticatorKey"`
	AAGUID           string        `json:"aaguid"`
	BackupEligible   lenient.Truth `json:"backupEligible"`
	PhoneNumber      lenient.Text  `json:"phoneNumber"`

	AMRList        lenient.Text `json:"amrList"`
	IDPDisplayName string       `json:"idpDisplayName"`

	Behaviors           lenient.Text `json:"behaviors"`
	Risk                lenient.Text `json:"risk"`
	LogOnlySecurityData lenient.Text `json:"logOnlySecurityData"`
	Tunnels             lenient.Text `json:"tunnels"`

	PrivilegeGranted lenient.Text `json:"privilegeGranted"`
	PrivilegeRevoked lenient.Text `json:"privilegeRevoked"`

	GrantType       string       `json:"grantType"`
	GrantedScopes   lenient.Text `json:"grantedScopes"`
	RequestedScopes lenient.Text `json:"requestedScopes"`
	SignOnMode      string       `json:"signOnMode"`

	IsSelfInitiated lenient.Truth `json:"isSelfInitiated"`

	ExternalSessionID string       `json:"externalSessionId"`
	EndedSessionID    string       `json:"endedSessionId"`
	TerminationReason string       `json:"terminationReason"`
	PreviousIP        string       `json:"previousIpAddress"`
	NewIP             string       `json:"newIpAddress"`
	Causes            lenient.Text `json:"causes"`
	CaseNumber        lenient.Text `json:"caseNumber"`

	SuspiciousEventID   string `json:"suspiciousActivityEventId"`
	SuspiciousEventType string `json:"suspiciousActivityEventType"`
	SuspiciousEventIP   string `json:"suspiciousActivityEventIp"`

	OldRequirements      lenient.Text   `json:"oldPolicyRuleRequirementsJson"`
	NewRequirements      lenient.Text   `json:"newPolicyRuleRequirementsJson"`
	OldRuleAction        lenient.Text   `json:"oldPolicyRuleAction"`
	NewRuleAction        lenient.Text   `json:"newPolicyRuleAction"`
	OldZoneInclude       lenient.Number `json:"oldPolicyRuleZoneIncludeSize"`
	NewZoneInclude       lenient.Number `json:"newPolicyRuleZoneIncludeSize"`
	OldZoneExclude       lenient.Number `json:"oldPolicyRuleZoneExcludeSize"`
	NewZoneExclude       lenient.Number `json:"newPolicyRuleZoneExcludeSize"`
	OldUserExclude       lenient.Number `json:"oldPolicyRuleUserExcludeSize"`
	NewUserExclude       lenient.Number `json:"newPolicyRuleUserExcludeSize"`
	OldGroupExclude      lenient.Number `json:"oldPolicyRuleGroupExcludeSize"`
	NewGroupExclude      lenient.Number `json:"newPolicyRuleGroupExcludeSize"`
	OldUserTypeExclude   lenient.Number `json:"oldPolicyRuleUserTypeExcludeSize"`
	NewUserTypeExclude   lenient.Number `json:"newPolicyRuleUserTypeExcludeSize"`
	ProviderReportedRisk lenient.Text   `json:"securityEventsProviderReportedRisk"`
	ThreatSuspected      lenient.Truth  `json:"threatSuspected"`
}

// decode reads one LogEvent. A member of an unexpected type costs that member
// alone, which warning names.
func decode(data []byte, in *logEvent) (warning string, err error) {
	if warning, err = lenient.Decode(data, in); err != nil {
		return "", err
	}
	for _, s := range []*string{
		&in.UUID, &in.Transaction.ID, &in.AuthenticationContext.ExternalSessionID, &in.AuthenticationContext.RootSessionID,
		&in.DebugContext.DebugData.AuthnRequestID, &in.DebugContext.DebugData.DTHash, &in.DebugContext.DebugData.ExternalSessionID,
	} {
		*s = lenient.Known(*s)
	}
	return warning, nil
}

// grew reports whether the size went up; a source that does not say is no sign.
func grew(before, after lenient.Number) bool {
	return before.Known && after.Known && after.N > before.N
}
