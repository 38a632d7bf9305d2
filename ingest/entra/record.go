package entra

import (
	"crypto/sha256"
	"encoding/hex"
	stdjson "encoding/json"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-json"

	"stepdown/ingest"
	"stepdown/ingest/event"
)

// envelope is what Azure Monitor puts around a record, and the members that tell
// the bare objects of Graph and Log Analytics apart.
type envelope struct {
	Time              string          `json:"time"`
	Category          string          `json:"category"`
	OperationName     string          `json:"operationName"`
	TenantID          string          `json:"tenantId"`
	ResourceID        string          `json:"resourceId"`
	ResultType        text            `json:"resultType"`
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

// text is a string that some exports write as number or boolean. An object or
// list is kept as its JSON.
type text string

// UnmarshalJSON never fails: what is not text is kept as it is written.
func (t *text) UnmarshalJSON(b []byte) error {
	switch {
	case len(b) == 0 || string(b) == "null":
		*t = ""
	case b[0] == '"':
		*t = text(unquote(string(b)))
	default:
		*t = text(b)
	}
	return nil
}

// number is an integer that some exports write as string; 0 where it is none.
type number int64

// UnmarshalJSON never fails.
func (n *number) UnmarshalJSON(b []byte) error {
	i, err := strconv.ParseInt(strings.Trim(string(b), `" `), 10, 64)
	if err != nil {
		i = 0
	}
	*n = number(i)
	return nil
}

// truth is a boolean that some exports write as string.
type truth int8

const (
	truthUnset truth = iota
	truthTrue
	truthFalse
)

// UnmarshalJSON never fails.
func (f *truth) UnmarshalJSON(b []byte) error {
	switch strings.ToLower(strings.Trim(string(b), `" `)) {
	case "true", "1":
		*f = truthTrue
	case "false", "0":
		*f = truthFalse
	default:
		*f = truthUnset
	}
	return nil
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

// decode reads data into a new T. A member of an unexpected type costs that member
// alone, which the warning names.
func decode[T any](data []byte) (*T, []string, error) {
	v := new(T)
	err := json.Unmarshal(data, v)
	wrong, isType := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case err == nil:
		return v, nil, nil
	case isType && wrong.Field != "":
		return v, []string{"left out " + wrong.Field + ": unexpected JSON " + wrong.Value}, nil
	case isType:
		return nil, nil, ingest.Malformed(ingest.MalformedShape, "record is a %s, not an object", wrong.Value)
	}
	return nil, nil, ingest.Malformed(ingest.MalformedSyntax, "decode record: %w", err)
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
	return firstOf(r.env.AADTenantID, own, fromPath, r.Tenant, fallback)
}

// event returns what every event of the record has, but for its ID. The
// candidates for the time come best first.
func (r *record) event(times ...string) (event.Event, error) {
	at, err := r.when(times...)
	if err != nil {
		return event.Event{}, err
	}
	return event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Tenant: r.tenant(""),
		Time: at, Observed: r.Observed, Outcome: event.OutcomeUnknown,
		Raw: stdjson.RawMessage(r.Data), Warnings: r.warnings,
	}, nil
}

// when returns the first time that can be read.
func (r *record) when(times ...string) (time.Time, error) {
	wrong := ""
	for _, s := range times {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		if at, ok := parseTime(s); ok {
			return at, nil
		}
		wrong = s
	}
	if wrong == "" {
		return time.Time{}, ingest.Malformed(ingest.MalformedMissing, "no time in the record")
	}
	return time.Time{}, ingest.Malformed(ingest.MalformedTime, "%q is no time of an event", wrong)
}

// parseTime reads the forms that the exports use; a time without a zone is UTC.
// Fractions may have any number of digits.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range [...]string{
		time.RFC3339Nano,
		"2006-01-02T15:04:05",
		"2006-01-02 15:04:05",
		"2006-01-02 15:04:05Z07:00",
		"1/2/2006 3:04:05 PM",
		"1/2/2006 3:04:05 PM -07:00",
		"1/2/2006 15:04:05",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// digest is the id of a record that has none, or one that is too long: a hash
// over what names the fact, not over the bytes, so that a second delivery has it too.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return "digest-" + hex.EncodeToString(sum[:16])
}

// addressOf returns the first address in canonical form. Some records have a port,
// or "<null>".
func addressOf(candidates ...string) string {
	for _, s := range candidates {
		s = strings.TrimSpace(s)
		a, err := netip.ParseAddr(s)
		if err != nil {
			ap, err := netip.ParseAddrPort(s)
			if err != nil {
				continue
			}
			a = ap.Addr()
		}
		return a.Unmap().WithZone("").String()
	}
	return ""
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// objectID returns id, or "" for the id that stands for nobody.
func objectID(id string) string {
	if id == "00000000-0000-0000-0000-000000000000" {
		return ""
	}
	return id
}

// idOr returns id where it fits an event, else a digest.
func idOr(id string, parts ...string) string {
	if id != "" && len(id) <= event.MaxIDLen-len("#99") {
		return id
	}
	return digest(append(parts, id)...)
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

func (p *place) endpoint(ip string, asn number) event.Endpoint {
	e := event.Endpoint{IP: ip, Country: ingest.CountryCode(p.CountryOrRegion), Region: p.State, City: p.City,
		Lat: p.GeoCoordinates.Latitude, Lon: p.GeoCoordinates.Longitude}
	if asn > 0 && asn <= 1<<32-1 {
		e.ASN = uint32(asn)
	}
	return e
}
