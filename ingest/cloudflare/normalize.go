package cloudflare

import (
	"strconv"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// stream is the one log there is, by the name that Logpush gives it.
const stream = "access_requests"

// record is one authentication, in the spelling of the API and of Logpush. Names
// that differ by case alone are one.
type record struct {
	Action     lenient.Text  `json:"action"`
	Allowed    lenient.Truth `json:"allowed"`
	Connection lenient.Text  `json:"connection"`
	Country    lenient.Text  `json:"country"`

	UserEmail lenient.Text `json:"user_email"`
	UserID    lenient.Text `json:"user_id"`
	IPAddress lenient.Text `json:"ip_address"`
	AppUID    lenient.Text `json:"app_uid"`
	AppDomain lenient.Text `json:"app_domain"`
	AppName   lenient.Text `json:"app_name"`
	CreatedAt lenient.Text `json:"created_at"`
	RayID     lenient.Text `json:"ray_id"`

	PushEmail     lenient.Text   `json:"Email"`
	PushUserUID   lenient.Text   `json:"UserUID"`
	PushIPAddress lenient.Text   `json:"IPAddress"`
	PushAppUUID   lenient.Text   `json:"AppUUID"`
	PushAppDomain lenient.Text   `json:"AppDomain"`
	PushCreatedAt lenient.Text   `json:"CreatedAt"`
	PushRayID     lenient.Text   `json:"RayID"`
	Approvers     lenient.Texts  `json:"TemporaryAccessApprovers"`
	Duration      lenient.Number `json:"TemporaryAccessDuration"`

	// Of the dataset audit_logs, which lies in the same place at times.
	ActionType lenient.Text `json:"ActionType"`
}

type normalizer struct{}

// New returns the normalizer of Access authentications. It has no state.
func New() ingest.Normalizer { return normalizer{} }

// The principal type of the contract.
const typeUser = "user"

// Normalize implements ingest.Normalizer: one record gives one event or none. The
// event shares the bytes of r.Data as its raw record.
func (normalizer) Normalize(r ingest.Record) ([]event.Event, error) {
	var in record
	warning, err := lenient.Decode(r.Data, &in)
	if err != nil {
		return nil, err
	}
	email := lenient.Known(lenient.First(string(in.UserEmail), string(in.PushEmail)))
	created := lenient.First(string(in.CreatedAt), string(in.PushCreatedAt))
	ray := lenient.Known(lenient.First(string(in.RayID), string(in.PushRayID)))
	if in.ActionType != "" {
		return nil, ingest.Skip(ingest.SkipIrrelevant, "audit log "+string(in.ActionType))
	}
	action := strings.ToLower(lenient.First(lenient.Known(string(in.Action)), actionLogin))
	e := event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Tenant: r.Tenant, Stream: stream, Observed: r.Observed, Raw: r.Data,
		Action: action, FlowID: ray,
	}
	if warning != "" {
		e.Warnings = append(e.Warnings, warning)
	}
	if e.Time, err = lenient.EventTime(created); err != nil {
		return nil, err
	}
	e.Subject = event.Principal{ID: lenient.Known(lenient.First(string(in.PushUserUID), string(in.UserID))), Name: email, Type: typeUser}
	switch {
	case email == "" && e.Subject.ID == "":
		return nil, ingest.Skip(ingest.SkipMachine, action+" without an identity")
	case email == "":
	case !strings.Contains(email, "@"):
		return nil, ingest.Skip(ingest.SkipMachine, action+" of no person")
	}
	e.Actor = e.Subject
	switch in.Allowed {
	case lenient.True:
		e.Outcome = event.Success
	case lenient.False:
		e.Outcome = event.Denied
	default:
		e.Outcome = event.OutcomeUnknown
	}
	e.Endpoint = event.Endpoint{
		IP:      lenient.Address(string(in.IPAddress), string(in.PushIPAddress)),
		Country: ingest.CountryCode(lenient.Known(string(in.Country))),
	}
	e.App = in.app()
	switch action {
	case actionLogin:
		e.Kind = event.SignIn
		e.Factors = []event.Factor{in.factor(e.Outcome)}
		e.Reason = in.temporary()
	case "logout":
		e.Kind = event.SessionEnd
		if e.Outcome == event.OutcomeUnknown {
			e.Outcome = event.Success
		}
	default:
		return nil, ingest.Skip(ingest.SkipIrrelevant, action)
	}
	second := strconv.FormatInt(e.Time.Unix(), 10)
	e.ID = lenient.Digest(string(r.Source), r.Tenant, email, e.Endpoint.IP, action, second)
	if ray != "" {
		e.ID = lenient.ID(ray+":"+action+":"+second, string(r.Source), r.Tenant)
	}
	e.Sanitize()
	return []event.Event{e}, nil
}

// actionLogin is what a record means that does not say.
const actionLogin = "login"

// factor reads the connection: the name of an identity provider, or Cloudflare's
// own PIN.
func (in *record) factor(o event.Outcome) event.Factor {
	connection := lenient.Known(string(in.Connection))
	m := event.MethodFederated
	switch {
	case connection == "":
		m = event.MethodUnknown
	case strings.EqualFold(connection, "onetimepin"):
		m = event.MethodEmailCode
	}
	res := event.Pending
	if o == event.Success {
		res = event.Verified
	}
	f := event.NewFactor(m, res)
	f.Detail = connection
	if m == event.MethodFederated {
		f.Provider = connection
	}
	return f
}

// temporary says who let the person in for a while, "" where nobody had to.
func (in *record) temporary() string {
	if len(in.Approvers) == 0 && in.Duration.N <= 0 {
		return ""
	}
	return strings.TrimSuffix("temporary access, approved by "+strings.Join(in.Approvers, ", "), ", approved by ")
}

func (in *record) app() *event.App {
	domain := lenient.Known(lenient.First(string(in.AppDomain), string(in.PushAppDomain)))
	a := event.App{ID: lenient.Known(lenient.First(string(in.AppUID), string(in.PushAppUUID))), Name: lenient.First(lenient.Known(string(in.AppName)), domain)}
	if a.Name != domain {
		a.ResourceName = domain
	}
	if a == (event.App{}) {
		return nil
	}
	return &a
}
