package entra

import (
	stdjson "encoding/json"
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// envelope is what Azure Monitor puts around a record, and the members that tell
// the bare objects of Graph and Log Analytics apart.
type envelope struct {
	Time              string          `json:"time"`
	Category          string          `json:"category"`
	OperationName     string          `json:"operationName"`
	TenantID          string          `json:"tenantId"`
	ResourceID        string          `json:"resourceId"`
	ResultType        lenient.Text    `json:"resultType"`
	ResultDescription string          `json:"resultDescription"`
	CallerIPAddress   string          `json:"callerIpAddress"`
	CorrelationID     string          `json:"correlationId"`
	Properties        json.RawMessage `json:"properties"`
	probe

	// Log Analytics: Table names the log; its TenantId is the workspace's, the
	// directory is AADTenantId.
	TimeGenerated string `json:"TimeGenerated"`
	Table         string `json:"Type"`
	AADTenantID   string `json:"AADTenantId"`
}

// probe is what only one type of object has.
type probe struct {
	ActivityDisplayName     string `json:"activityDisplayName"`
	RiskEventType           string `json:"riskEventType"`
	RiskLastUpdatedDateTime string `json:"riskLastUpdatedDateTime"`
	CreatedDateTime         string `json:"createdDateTime"`
	AppID                   string `json:"appId"`
	UserPrincipalName       string `json:"userPrincipalName"`
}

// unquote returns the text of a JSON string, and s itself where it is none. The
// values of modifiedProperties are JSON within a string.
func unquote(s string) string {
	t := strings.TrimSpace(s)
	if len(t) < 2 || t[0] != '"' {
		return s
	}
	var out string
	if json.Unmarshal([]byte(t), &out) != nil {
		return s
	}
	return out
}

// decode reads data into a new T; warnings names the member that was left out.
func decode[T any](data []byte) (v *T, warnings []string, err error) {
	v = new(T)
	warning, err := lenient.Decode(data, v)
	if err != nil {
		return nil, nil, err
	}
	if warning != "" {
		warnings = []string{warning}
	}
	return v, warnings, nil
}

// record is one record with its envelope opened.
type record struct {
	ingest.Record
	env  *envelope
	body []byte
	// warnings of decoding.
	warnings []string
}

func open(r ingest.Record) (*record, error) {
	env, warnings, err := decode[envelope](r.Data)
	if err != nil {
		return nil, err
	}
	rec := &record{Record: r, env: env, body: r.Data, warnings: warnings}
	switch {
	case env.TimeGenerated != "":
		rec.body, err = expand(r.Data)
	case len(env.Properties) > 0 && string(env.Properties) != "null":
		rec.body = env.Properties
		if rec.body[0] == '"' {
			rec.body = []byte(unquote(string(rec.body)))
		}
	}
	return rec, err
}

// expand turns a row of Log Analytics into the shape of Graph: JSON in strings
// becomes JSON, and the columns that are named otherwise get their names.
func expand(data []byte) ([]byte, error) {
	var row map[string]stdjson.RawMessage
	if err := stdjson.Unmarshal(data, &row); err != nil {
		return nil, ingest.Malformed(ingest.MalformedSyntax, "decode row: %w", err)
	}
	for column, value := range row {
		if s := strings.TrimSpace(unquote(string(value))); s != "" && (s[0] == '{' || s[0] == '[') && stdjson.Valid([]byte(s)) {
			row[column] = stdjson.RawMessage(s)
		}
	}
	// ResourceId is the path of the directory here.
	delete(row, "ResourceId")
	if id, ok := row["ResourceIdentity"]; ok {
		row["resourceId"] = id
	}
	if location, ok := row["Location"]; ok && len(location) > 0 && location[0] == '"' {
		row["Location"] = stdjson.RawMessage(`{"countryOrRegion":` + string(location) + `}`)
	}
	if details, ok := row["LocationDetails"]; ok && len(details) > 0 && details[0] == '{' {
		row["Location"] = details
	}
	out, err := stdjson.Marshal(row)
	if err != nil {
		return nil, ingest.Malformed(ingest.MalformedSyntax, "encode row: %w", err)
	}
	return out, nil
}

// shape is what a record is.
type shape int

const (
	shapeUnknown shape = iota
	shapeSignIn
	shapeAudit
	shapeRisk
	shapeRiskyUser
	shapeMachine
	shapeOther
)

// shape tells by the log's name, else by the members that only one type has,
// else by the stream of the input.
func (r *record) shape() shape {
	for _, name := range []string{r.env.Table, r.env.Category} {
		if s := shapeOf(name); s != shapeUnknown {
			return s
		}
	}
	p := &r.env.probe
	if len(r.env.Properties) > 0 {
		if inner, _, err := decode[probe](r.body); err == nil {
			p = inner
		}
	}
	switch {
	case strings.EqualFold(r.env.OperationName, signInAction):
		return shapeSignIn
	case p.ActivityDisplayName != "":
		return shapeAudit
	case p.RiskEventType != "":
		return shapeRisk
	case p.RiskLastUpdatedDateTime != "":
		return shapeRiskyUser
	case p.CreatedDateTime != "" && (p.AppID != "" || p.UserPrincipalName != ""):
		return shapeSignIn
	case r.env.Category != "" || r.env.OperationName != "":
		return shapeOther
	}
	return shapeUnknown
}

func shapeOf(log string) shape {
	log = strings.ToLower(log)
	switch strings.TrimPrefix(log, "aad") {
	case "signinlogs", "noninteractiveusersigninlogs", "adfssigninlogs":
		return shapeSignIn
	case "auditlogs":
		return shapeAudit
	case "userriskevents":
		return shapeRisk
	case "riskyusers":
		return shapeRiskyUser
	case "serviceprincipalsigninlogs", "managedidentitysigninlogs", "riskyserviceprincipals", "serviceprincipalriskevents":
		return shapeMachine
	case "provisioninglogs", "microsoftgraphactivitylogs":
		return shapeOther
	}
	return shapeUnknown
}

// tenant is the directory that logged the record.
func (r *record) tenant(fallback string) string {
	fromPath := ""
	if rest, ok := strings.CutPrefix(r.env.ResourceID, "/tenants/"); ok {
		fromPath, _, _ = strings.Cut(rest, "/")
	}
	own := r.env.TenantID
	if r.env.TimeGenerated != "" {
		own = ""
	}
	return lenient.First(r.env.AADTenantID, own, fromPath, r.Tenant, fallback)
}

// event returns what every event of the record has, but for its ID. The
// candidates for the time come best first.
func (r *record) event(times ...string) (event.Event, error) {
	at, err := lenient.EventTime(times...)
	if err != nil {
		return event.Event{}, err
	}
	return event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Tenant: r.tenant(""),
		Time: at, Observed: r.Observed, Outcome: event.OutcomeUnknown,
		Raw: stdjson.RawMessage(r.Data), Warnings: r.warnings,
	}, nil
}

// objectID returns id, or "" for the id that stands for nobody.
func objectID(id string) string {
	if id == "00000000-0000-0000-0000-000000000000" {
		return ""
	}
	return id
}

// principal returns the user id and name belong to.
func principal(id, name, display, userType string) event.Principal {
	p := event.Principal{ID: objectID(id), Name: name, DisplayName: display, Type: "user"}
	if strings.EqualFold(userType, "guest") || strings.Contains(strings.ToUpper(name), "#EXT#") {
		p.Type = "guest"
	}
	return p
}

// place is the location of sign-ins and risk detections.
type place struct {
	City            string `json:"city"`
	State           string `json:"state"`
	CountryOrRegion string `json:"countryOrRegion"`
	GeoCoordinates  struct {
		Latitude  *float64 `json:"latitude"`
		Longitude *float64 `json:"longitude"`
	} `json:"geoCoordinates"`
}

func (p *place) endpoint(ip string, asn lenient.Number) event.Endpoint {
	e := event.Endpoint{IP: ip, Country: ingest.CountryCode(p.CountryOrRegion), Region: p.State, City: p.City,
		Lat: p.GeoCoordinates.Latitude, Lon: p.GeoCoordinates.Longitude}
	if asn.N > 0 && asn.N <= 1<<32-1 {
		e.ASN = uint32(asn.N)
	}
	return e
}
