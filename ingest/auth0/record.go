package auth0

import (
	"bytes"
	stdjson "encoding/json"
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest/lenient"
)

// envelope is what a log stream sends; the Management API returns data alone.
type envelope struct {
	LogID lenient.Text   `json:"log_id"`
	Data  lenient.Object `json:"data"`
}

// logEvent is what is read of one log event.
type logEvent struct {
	LogID       lenient.Text `json:"log_id"`
	OldID       lenient.Text `json:"_id"`
	Date        lenient.Text `json:"date"`
	Type        lenient.Text `json:"type"`
	Description lenient.Text `json:"description"`

	UserID   lenient.Text `json:"user_id"`
	UserName lenient.Text `json:"user_name"`

	IP        lenient.Text `json:"ip"`
	ClientIP  lenient.Text `json:"client_ip"`
	UserAgent lenient.Text `json:"user_agent"`
	Location  location     `json:"location_info"`

	ClientID   lenient.Text  `json:"client_id"`
	ClientName lenient.Text  `json:"client_name"`
	Audience   lenient.Text  `json:"audience"`
	Scope      lenient.Texts `json:"scope"`

	Connection   lenient.Text `json:"connection"`
	Strategy     lenient.Text `json:"strategy"`
	StrategyType lenient.Text `json:"strategy_type"`
	TenantName   lenient.Text `json:"tenant_name"`

	Details details `json:"details"`
	// SubjectName is added by the source of this package: the name of the user in
	// the path of a call.
	SubjectName lenient.Text `json:"stepdown_user_name"`
}

type location struct {
	CountryCode lenient.Text `json:"country_code"`
	Country     lenient.Text `json:"country_name"`
	City        lenient.Text `json:"city_name"`
	Lat         *float64     `json:"latitude"`
	Lon         *float64     `json:"longitude"`
}

// details holds the members of all types; which there are depends on the type.
type details struct {
	SessionID        lenient.Text  `json:"session_id"`
	TransactionID    lenient.Text  `json:"transaction_id"`
	Prompts          []prompt      `json:"prompts"`
	SessionTransfer  lenient.Truth `json:"triggered_by_session_transfer_token"`
	RiskAssessment   risk          `json:"riskAssessment"`
	Confidence       lenient.Text  `json:"confidence"`
	Assessments      assessments   `json:"assessments"`
	AuthMethods      lenient.Texts `json:"authentication_methods"`
	Actor            actor         `json:"actor"`
	NotificationChan lenient.Text  `json:"notification_channel"`
	SubjectTokenType lenient.Text  `json:"subject_token_type"`
	Purpose          lenient.Text  `json:"purpose"`
	Body             body          `json:"body"`
	Email            lenient.Text  `json:"email"`
	Reason           lenient.Text  `json:"reason"`
	Invitation       invitation    `json:"invitation"`
	FamilyID         lenient.Text  `json:"familyId"`
	TokenCounter     lenient.Text  `json:"tokenCounter"`
	LatestCounter    lenient.Text  `json:"latestCounter"`
	RefreshToken     refreshToken  `json:"refresh_token"`
	FailureReason    lenient.Text  `json:"failure_reason"`
	AccessedSecrets  lenient.Texts `json:"accessedSecrets"`
	ConnectedAccount account       `json:"connected_account"`
	Operation        lenient.Text  `json:"operation"`
	Method           lenient.Text  `json:"authentication_method"`
	MethodID         lenient.Text  `json:"authentication_method_id"`
	Error            failure       `json:"error"`
	FailureDetails   failure       `json:"failure_details"`
	ProviderError    failure       `json:"provider_error"`
	Authenticator    authenticator `json:"authenticator"`
	Enrollment       enrollment    `json:"enrollment"`
	DeviceID         lenient.Text  `json:"device_id"`
	FirstFactor      lenient.Truth `json:"first_factor"`
	RememberBrowser  lenient.Truth `json:"remember_browser"`
	Request          request       `json:"request"`
	Response         response      `json:"response"`
	PhoneNumber      lenient.Text  `json:"phone_number"`
	DeliveryMethod   lenient.Text  `json:"delivery_method"`
}

// prompt is one page or step of a login.
type prompt struct {
	Name            lenient.Text   `json:"name"`
	Provider        lenient.Text   `json:"provider"`
	Strategy        lenient.Text   `json:"strategy"`
	Connection      lenient.Text   `json:"connection"`
	SessionID       lenient.Text   `json:"session_id"`
	CompletedAt     lenient.Text   `json:"completedAt"`
	PerformedACR    lenient.Texts  `json:"performed_acr"`
	PerformedAMR    lenient.Texts  `json:"performed_amr"`
	PasswordlessAMR lenient.Text   `json:"passwordless_amr"`
	Grant           lenient.Object `json:"grantInfo"`
}

type grant struct {
	ID       lenient.Text `json:"id"`
	Audience lenient.Text `json:"audience"`
	Scope    lenient.Text `json:"scope"`
}

// risk is Auth0's confidence that a login is its user's: a low confidence is a
// high risk.
type risk struct {
	Confidence  lenient.Text `json:"confidence"`
	Assessments assessments  `json:"assessments"`
}

type assessments struct {
	ImpossibleTravel assessment `json:"ImpossibleTravel"`
	NewDevice        assessment `json:"NewDevice"`
	UntrustedIP      assessment `json:"UntrustedIP"`
	PhoneNumber      assessment `json:"PhoneNumber"`
}

type assessment struct {
	Code       lenient.Text `json:"code"`
	Confidence lenient.Text `json:"confidence"`
	Details    struct {
		Device  lenient.Text `json:"device"`
		Matches lenient.Text `json:"matches"`
	} `json:"details"`
}

type actor struct {
	Sub lenient.Text `json:"sub"`
}

// body is the request of a user to one of the authentication endpoints.
type body struct {
	Email       lenient.Text `json:"email"`
	NewEmail    lenient.Text `json:"newEmail"`
	PhoneNumber lenient.Text `json:"phone_number"`
	Username    lenient.Text `json:"username"`
	UserID      lenient.Text `json:"user_id"`
	Send        lenient.Text `json:"send"`
}

type invitation struct {
	Invitee struct {
		Email lenient.Text `json:"email"`
	} `json:"invitee"`
}

type refreshToken struct {
	SessionID lenient.Text `json:"session_id"`
}

type account struct {
	ID         lenient.Text  `json:"id"`
	Connection lenient.Text  `json:"connection"`
	Scopes     lenient.Texts `json:"scopes"`
}

type authenticator struct {
	ID          lenient.Text `json:"id"`
	Type        lenient.Text `json:"type"`
	PhoneNumber lenient.Text `json:"phone_number"`
}

type enrollment struct {
	ID          lenient.Text `json:"_id"`
	Name        lenient.Text `json:"name"`
	PhoneNumber lenient.Text `json:"phone_number"`
}

// request is a call of the Management API.
type request struct {
	Method    lenient.Text       `json:"method"`
	Path      lenient.Text       `json:"path"`
	IP        lenient.Text       `json:"ip"`
	UserAgent lenient.Text       `json:"userAgent"`
	Query     lenient.Object     `json:"query"`
	Body      stdjson.RawMessage `json:"body"`
	Auth      struct {
		User struct {
			ID    lenient.Text `json:"user_id"`
			Email lenient.Text `json:"email"`
			Name  lenient.Text `json:"name"`
		} `json:"user"`
	} `json:"auth"`
}

type response struct {
	StatusCode lenient.Number     `json:"statusCode"`
	Body       stdjson.RawMessage `json:"body"`
}

// failure is an error, which is an object in most types and a string in some.
type failure string

// UnmarshalJSON never fails on valid JSON.
func (f *failure) UnmarshalJSON(b []byte) error {
	*f = ""
	var o struct {
		Message     lenient.Text `json:"message"`
		Description lenient.Text `json:"description"`
		Code        lenient.Text `json:"errorCode"`
		OAuth       lenient.Text `json:"oauthError"`
		Reason      lenient.Text `json:"reason"`
		Error       lenient.Text `json:"error"`
	}
	if len(b) > 0 && b[0] == '{' {
		if json.Unmarshal(b, &o) == nil {
			*f = failure(lenient.First(string(o.Message), string(o.Description), string(o.Reason), string(o.OAuth), string(o.Code), string(o.Error)))
		}
		return nil
	}
	var s lenient.Text
	if err := s.UnmarshalJSON(b); err != nil {
		return err
	}
	*f = failure(s)
	return nil
}

// read returns the log event within a record and its log_id.
func read(data []byte) (in logEvent, warning string, err error) {
	var env envelope
	if _, err = lenient.Decode(data, &env); err != nil {
		return in, "", err
	}
	inner := data
	if len(env.Data) > 0 {
		inner = env.Data
	}
	if warning, err = lenient.Decode(inner, &in); err != nil {
		return in, "", err
	}
	if env.LogID != "" {
		in.LogID = env.LogID
	}
	return in, warning, nil
}

// secrets are the members whose values still work when they are read in a log
// store: one-time URLs, client secrets and passwords.
var secrets = [...]string{"resetUrl", "link", "ticket", "ticket_url", "invitation_url", "client_secret", "password",
	"newPassword", "recovery_code", "totp_secret", "access_token", "id_token", "signing_keys", "http_custom_headers",
	"httpAuthorization"}

// redacted is what they are replaced by.
const redacted = "[redacted]"

// scrub returns data without the values of secrets, data itself where there are
// none. Values that Auth0 has masked itself stay as they are.
func scrub(data []byte) []byte {
	found := false
	for _, s := range secrets {
		if bytes.Contains(data, []byte(`"`+s+`"`)) {
			found = true
			break
		}
	}
	if !found {
		return data
	}
	var v any
	dec := stdjson.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if dec.Decode(&v) != nil || !redact(v) {
		return data
	}
	out, err := stdjson.Marshal(v)
	if err != nil {
		return data
	}
	return out
}

// redact replaces secrets within v and reports whether it did.
func redact(v any) bool {
	changed := false
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if isSecret(key) && holdsSecret(value) {
				v[key], changed = redacted, true
				continue
			}
			changed = redact(value) || changed
		}
	case []any:
		for _, value := range v {
			changed = redact(value) || changed
		}
	}
	return changed
}

func isSecret(key string) bool {
	for _, s := range secrets {
		if key == s {
			return true
		}
	}
	return false
}

// holdsSecret reports whether a value tells anything: a setting such as
// {"password": {"enabled": true}} is none.
func holdsSecret(v any) bool {
	switch v := v.(type) {
	case string:
		return v != "" && strings.Trim(v, "*") != ""
	case []any:
		return len(v) > 0
	}
	return false
}
