package aws

import (
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// head is what decides whether a record is read at all. Most of a trail is not.
type head struct {
	EventSource string `json:"eventSource"`
	EventName   string `json:"eventName"`
}

// record is one CloudTrail record, as far as it is read.
type record struct {
	EventID            string         `json:"eventID"`
	EventTime          lenient.Text   `json:"eventTime"`
	EventSource        string         `json:"eventSource"`
	EventName          string         `json:"eventName"`
	SourceIPAddress    string         `json:"sourceIPAddress"`
	UserAgent          string         `json:"userAgent"`
	ErrorCode          lenient.Text   `json:"errorCode"`
	ErrorMessage       lenient.Text   `json:"errorMessage"`
	RecipientAccountID lenient.Text   `json:"recipientAccountId"`
	UserIdentity       identity       `json:"userIdentity"`
	Request            lenient.Object `json:"requestParameters"`
	Response           lenient.Object `json:"responseElements"`
	Additional         additional     `json:"additionalEventData"`
	ServiceEvent       lenient.Object `json:"serviceEventDetails"`
}

// identity is who called, in one of a dozen shapes that Type tells apart.
type identity struct {
	Type             string       `json:"type"`
	PrincipalID      lenient.Text `json:"principalId"`
	ARN              lenient.Text `json:"arn"`
	AccountID        lenient.Text `json:"accountId"`
	AccessKeyID      lenient.Text `json:"accessKeyId"`
	UserName         lenient.Text `json:"userName"`
	InvokedBy        lenient.Text `json:"invokedBy"`
	IdentityProvider lenient.Text `json:"identityProvider"`
	CredentialID     lenient.Text `json:"credentialId"`
	OnBehalfOf       struct {
		UserID lenient.Text `json:"userId"`
	} `json:"onBehalfOf"`
	SessionContext struct {
		SourceIdentity lenient.Text `json:"sourceIdentity"`
		SessionIssuer  struct {
			Type        string       `json:"type"`
			PrincipalID lenient.Text `json:"principalId"`
			UserName    lenient.Text `json:"userName"`
		} `json:"sessionIssuer"`
	} `json:"sessionContext"`
}

// additional is what the sign-in service says beside the call.
type additional struct {
	MFAUsed                  lenient.Truth `json:"MFAUsed"`
	MFAIdentifier            lenient.Text  `json:"MFAIdentifier"`
	MFAType                  lenient.Text  `json:"MfaType"`
	LoginTo                  lenient.Text  `json:"LoginTo"`
	SAMLProviderARN          lenient.Text  `json:"SamlProviderArn"`
	AuthWorkflowID           lenient.Text  `json:"AuthWorkflowID"`
	CredentialType           lenient.Text  `json:"CredentialType"`
	DeviceEnrollmentRequired lenient.Truth `json:"DeviceEnrollmentRequired"`
	UserName                 lenient.Text  `json:"UserName"`
	SwitchTo                 lenient.Text  `json:"SwitchTo"`
	RedirectTo               lenient.Text  `json:"RedirectTo"`
}

// request is what was asked for; the services spell their members alike.
type request struct {
	UserName     lenient.Text   `json:"userName"`
	SerialNumber lenient.Text   `json:"serialNumber"`
	RoleARN      lenient.Text   `json:"roleArn"`
	RoleName     lenient.Text   `json:"roleName"`
	GroupName    lenient.Text   `json:"groupName"`
	PolicyARN    lenient.Text   `json:"policyArn"`
	PolicyName   lenient.Text   `json:"policyName"`
	PolicyDoc    lenient.Text   `json:"policyDocument"`
	Name         lenient.Text   `json:"name"`
	TrailName    lenient.Text   `json:"trailName"`
	AccessKeyID  lenient.Text   `json:"accessKeyId"`
	SAMLProvider lenient.Text   `json:"sAMLProviderArn"`
	OIDCProvider lenient.Text   `json:"openIDConnectProviderArn"`
	URL          lenient.Text   `json:"url"`
	GrantType    lenient.Text   `json:"grantType"`
	ClientID     lenient.Text   `json:"clientId"`
	UserID       lenient.Text   `json:"userId"`
	MemberID     lenient.Object `json:"memberId"`
	User         lenient.Object `json:"user"`
	DeviceID     lenient.Text   `json:"deviceId"`
	DeviceName   lenient.Text   `json:"deviceName"`
	GroupID      lenient.Text   `json:"groupId"`
	// An assignment of a permission set in an account.
	PrincipalID      lenient.Text `json:"principalId"`
	PrincipalType    lenient.Text `json:"principalType"`
	PermissionSetARN lenient.Text `json:"permissionSetArn"`
	TargetID         lenient.Text `json:"targetId"`
	AccountID        lenient.Text `json:"accountId"`
	InstanceARN      lenient.Text `json:"instanceArn"`
}

// response is what came of it.
type response struct {
	Credentials struct {
		AccessKeyID lenient.Text `json:"accessKeyId"`
	} `json:"credentials"`
	AccessKey struct {
		AccessKeyID lenient.Text `json:"accessKeyId"`
		UserName    lenient.Text `json:"userName"`
	} `json:"accessKey"`
	SAMLProvider lenient.Text `json:"sAMLProviderArn"`
	OIDCProvider lenient.Text `json:"openIDConnectProviderArn"`
	DeviceID     lenient.Text `json:"deviceId"`
	MFADevice    struct {
		DeviceID lenient.Text `json:"deviceId"`
	} `json:"mfaDevice"`
}

// memberOf returns a member of an object as text, "" where there is none.
func memberOf(o lenient.Object, name string) string {
	var members map[string]lenient.Text
	if o == nil || json.Unmarshal(o, &members) != nil {
		return ""
	}
	return lenient.Known(string(members[name]))
}

// deviceMethod reads the kind of an MFA device off its serial number. FIDO
// credentials, security keys and passkeys alike, are beneath u2f; an
// authenticator app's seed is beneath mfa, the root user's too. The number on the
// back of a hardware token is no ARN. ok is false for what is none of these.
func deviceMethod(serial string) (m event.Method, ok bool) {
	if serial == "" {
		return event.MethodUnknown, false
	}
	if !strings.HasPrefix(serial, "arn:") {
		return event.MethodOTPHardware, true
	}
	switch kind, _, _ := strings.Cut(resourceOf(serial), "/"); kind {
	case "u2f":
		return event.MethodPasskey, true
	case "mfa":
		return event.MethodTOTP, true
	}
	return event.MethodUnknown, false
}

// resourceOf returns what follows the account in an ARN, "" where s is none.
func resourceOf(s string) string {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return ""
	}
	return parts[5]
}

// lastOf returns what follows the last slash.
func lastOf(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }
