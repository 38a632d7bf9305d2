package entra

import (
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// riskDetection is the part of a riskDetection object that is read.
type riskDetection struct {
	ID                string `json:"id"`
	RequestID         string `json:"requestId"`
	CorrelationID     string `json:"correlationId"`
	RiskEventType     string `json:"riskEventType"`
	RiskLevel         string `json:"riskLevel"`
	RiskState         string `json:"riskState"`
	RiskDetail        string `json:"riskDetail"`
	IPAddress         string `json:"ipAddress"`
	Location          place  `json:"location"`
	ActivityDateTime  string `json:"activityDateTime"`
	DetectedDateTime  string `json:"detectedDateTime"`
	UserID            string `json:"userId"`
	UserPrincipalName string `json:"userPrincipalName"`
	UserDisplayName   string `json:"userDisplayName"`
	// AdditionalInfo is JSON in a string: [{"Key":"userAgent","Value":"…"}].
	AdditionalInfo lenient.Text `json:"additionalInfo"`
}

// isSessionTheft reports a detection that speaks of a stolen token or session.
func isSessionTheft(riskEventType string) bool {
	switch strings.ToLower(riskEventType) {
	case "anomaloustoken", "tokenissueranomaly", "attemptedprtaccess", "attackerinthemiddle", "suspiciousbrowser":
		return true
	}
	return false
}

// risk reads a verdict. Its time is that of the verdict, which for offline
// detections is hours after the sign-in that EventID names.
func (r *record) risk() ([]event.Event, error) {
	d, warnings, err := decode[riskDetection](r.body)
	if err != nil {
		return nil, err
	}
	r.warnings = append(r.warnings, warnings...)
	user := principal(d.UserID, d.UserPrincipalName, d.UserDisplayName, "")
	if user.ID == "" && user.Name == "" {
		return nil, ingest.Skip(ingest.SkipNoIdentity, lenient.First(d.RiskEventType, streamRisk))
	}
	e, err := r.event(d.DetectedDateTime, d.ActivityDateTime, r.env.Time, r.env.TimeGenerated)
	if err != nil {
		return nil, err
	}
	e.ID = lenient.ID(d.ID, streamRisk, user.ID, user.Name, d.RequestID, d.RiskEventType, d.ActivityDateTime)
	e.Stream, e.Kind = streamRisk, event.RiskDetection
	e.Action = lenient.First(d.RiskEventType, r.env.OperationName, streamRisk)
	e.Subject = user
	e.Endpoint = d.Location.endpoint(lenient.Address(d.IPAddress, r.env.CallerIPAddress), lenient.Number{})
	e.Risk = &event.Risk{Type: d.RiskEventType, Level: strings.ToLower(d.RiskLevel), State: d.RiskState,
		SessionTheft: isSessionTheft(d.RiskEventType), Detail: d.RiskDetail, EventID: d.RequestID}
	e.UserAgent = ingest.ParseUserAgent(infoValue(string(d.AdditionalInfo), "userAgent"))
	if strings.EqualFold(d.RiskEventType, "userReportedSuspiciousActivity") {
		e.Kind, e.Actor = event.UserReport, user
		e.Report = &event.Report{EventID: d.RequestID, EventType: d.RiskEventType, IP: e.Endpoint.IP}
	}
	return []event.Event{e}, nil
}

// infoValue returns the value of key in additionalInfo, or "".
func infoValue(info, key string) string {
	var pairs []struct {
		Key   string       `json:"Key"`
		Value lenient.Text `json:"Value"`
	}
	if info == "" || json.Unmarshal([]byte(info), &pairs) != nil {
		return ""
	}
	for _, p := range pairs {
		if strings.EqualFold(p.Key, key) {
			return string(p.Value)
		}
	}
	return ""
}

// riskyUser is the state of a user, not a detection: its id is the user's.
type riskyUser struct {
	ID                      string `json:"id"`
	RiskLevel               string `json:"riskLevel"`
	RiskState               string `json:"riskState"`
	RiskDetail              string `json:"riskDetail"`
	RiskLastUpdatedDateTime string `json:"riskLastUpdatedDateTime"`
	UserPrincipalName       string `json:"userPrincipalName"`
	UserDisplayName         string `json:"userDisplayName"`
}

func (r *record) riskyUser() ([]event.Event, error) {
	u, warnings, err := decode[riskyUser](r.body)
	if err != nil {
		return nil, err
	}
	r.warnings = append(r.warnings, warnings...)
	user := principal(u.ID, u.UserPrincipalName, u.UserDisplayName, "")
	if user.ID == "" && user.Name == "" {
		return nil, ingest.Skip(ingest.SkipNoIdentity, streamRiskyUser)
	}
	e, err := r.event(u.RiskLastUpdatedDateTime, r.env.Time, r.env.TimeGenerated)
	if err != nil {
		return nil, err
	}
	e.ID = lenient.Digest(streamRiskyUser, user.ID, user.Name, u.RiskLastUpdatedDateTime, u.RiskLevel, u.RiskState)
	e.Stream, e.Kind = streamRiskyUser, event.RiskDetection
	e.Action = streamRiskyUser // Graph has no name of the operation
	e.Subject = user
	e.Risk = &event.Risk{Type: streamRiskyUser, Level: strings.ToLower(u.RiskLevel), State: u.RiskState, Detail: u.RiskDetail}
	return []event.Event{e}, nil
}
