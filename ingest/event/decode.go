package event

import (
	"encoding/json"
	"time"

	gojson "github.com/goccy/go-json"
)

// Decoder decodes events without allocating: the event, its lists and its parts
// lie in memory of the Decoder, and texts alias the bytes that were decoded. It is
// for one goroutine.
//
// It knows the form in which Encode writes. What is written otherwise, as JSON
// allows, is left to a general decoder; both give the same event.
type Decoder struct {
	event Event
	scanner
	rawBytes int

	// What event points at.
	factors        []Factor
	authenticators []Authenticator
	populations    []string
	warnings       []string
	endpoint       Endpoint
	device         Device
	app            App
	snapshot       Snapshot
	recovery       Recovery
	contact        Contact
	consent        Consent
	policy         Policy
	role           Role
	risk           Risk
	report         Report
	scopes         []string
	roles          []string
	weakened       []Weakening
	bools          []bool
	floats         []float64
	times          []time.Time
}

// Decode is the function Decode without its allocations. The event holds until the
// next call, and as long as data does not change.
func (d *Decoder) Decode(data []byte) (*Event, error) {
	d.event, d.rawBytes = Event{}, 0
	d.scanner = scanner{data: data, scratch: d.scratch[:0]}
	d.bools, d.floats, d.times = d.bools[:0], d.floats[:0], d.times[:0]
	d.readEvent(&d.event)
	if d.space(); d.odd || d.at != len(data) {
		d.event = Event{}
		if err := gojson.Unmarshal(data, &d.event); err != nil {
			return nil, decodeError(err)
		}
	}
	return &d.event, check(&d.event)
}

func (d *Decoder) readEvent(e *Event) {
	d.open('{')
	for key, ok := d.key(true); ok; key, ok = d.key(false) {
		switch key {
		case "schema":
			e.Schema = int(d.integer())
		case "id":
			e.ID = d.text()
		case "source":
			e.Source = Source(d.text())
		case "tenant":
			e.Tenant = d.text()
		case "stream":
			e.Stream = d.text()
		case "kind":
			e.Kind = Kind(d.text())
		case "action":
			e.Action = d.text()
		case "time":
			e.Time = d.time()
		case "observed":
			e.Observed = d.time()
		case "ingested":
			e.Ingested = d.time()
		case "key":
			e.Key = Key(d.text())
		case "tier":
			e.Tier = Tier(d.text())
		case "populations":
			e.Populations = readTexts(d, &d.populations, e.Populations)
		case "subject":
			d.readPrincipal(&e.Subject)
		case "actor":
			d.readPrincipal(&e.Actor)
		case "outcome":
			e.Outcome = Outcome(d.text())
		case "reason":
			e.Reason = d.text()
		case "factors":
			d.once(e.Factors == nil)
			d.readFactors()
			e.Factors = d.factors
		case "endpoint":
			d.readEndpoint(&e.Endpoint)
		case "authenticator_endpoint":
			d.once(e.AuthenticatorEndpoint == nil)
			d.endpoint = Endpoint{}
			d.readEndpoint(&d.endpoint)
			e.AuthenticatorEndpoint = &d.endpoint
		case "user_agent":
			d.readUserAgent(&e.UserAgent)
		case "device":
			d.once(e.Device == nil)
			d.readDevice()
			e.Device = &d.device
		case "app":
			d.once(e.App == nil)
			d.readApp()
			e.App = &d.app
		case "session_id":
			e.SessionID = d.text()
		case "flow_id":
			e.FlowID = d.text()
		case "protocol":
			e.Protocol = Protocol(d.text())
		case "warnings":
			e.Warnings = readTexts(d, &d.warnings, e.Warnings)
		case "raw_bytes":
			d.rawBytes = int(d.integer())
		case "raw":
			e.Raw = d.readRaw()
		default:
			d.readPart(key, e)
		}
	}
}

// readRaw takes the provider's record, which Encode writes last and with its
// length, without looking into it.
func (d *Decoder) readRaw() json.RawMessage {
	end := len(d.data) - 1
	if d.rawBytes <= 0 || d.at+d.rawBytes != end || d.data[end] != '}' {
		d.odd = true
		return nil
	}
	raw := d.data[d.at:end:end]
	d.at = end
	return raw
}

// readPart reads what only some kinds have.
func (d *Decoder) readPart(key string, e *Event) {
	switch key {
	case "authenticators":
		d.once(e.Authenticators == nil)
		d.readAuthenticators()
		e.Authenticators = d.authenticators
	case "snapshot":
		d.once(e.Snapshot == nil)
		d.snapshot = Snapshot{}
		d.open('{')
		for key, ok := d.key(true); ok; key, ok = d.key(false) {
			switch key {
			case "complete":
				d.snapshot.Complete = d.boolean()
			default:
				d.odd = true
			}
		}
		e.Snapshot = &d.snapshot
	case "recovery":
		d.once(e.Recovery == nil)
		d.readRecovery()
		e.Recovery = &d.recovery
	case "contact":
		d.once(e.Contact == nil)
		d.readContact()
		e.Contact = &d.contact
	case "consent":
		d.once(e.Consent == nil)
		d.readConsent()
		e.Consent = &d.consent
	case "policy":
		d.once(e.Policy == nil)
		d.readPolicy()
		e.Policy = &d.policy
	case "role":
		d.once(e.Role == nil)
		d.readRole()
		e.Role = &d.role
	case "risk":
		d.once(e.Risk == nil)
		d.readRisk()
		e.Risk = &d.risk
	case "report":
		d.once(e.Report == nil)
		d.readReport()
		e.Report = &d.report
	default:
		d.odd = true
	}
}

func (d *Decoder) readPrincipal(p *Principal) {
	d.open('{')
	for key, ok := d.key(true); ok; key, ok = d.key(false) {
		switch key {
		case "id":
			p.ID = d.text()
		case "name":
			p.Name = d.text()
		case "display_name":
			p.DisplayName = d.text()
		case "type":
			p.Type = d.text()
		case "key":
			p.Key = Key(d.text())
		default:
			d.odd = true
		}
	}
}

func (d *Decoder) readEndpoint(p *Endpoint) {
	d.open('{')
	for key, ok := d.key(true); ok; key, ok = d.key(false) {
		switch key {
		case "ip":
			p.IP = d.text()
		case "asn":
			asn := d.integer()
			d.once(asn >= 0 && asn <= 1<<32-1)
			p.ASN = uint32(asn)
		case "as_org":
			p.ASOrg = d.text()
		case "country":
			p.Country = d.text()
		case "region":
			p.Region = d.text()
		case "city":
			p.City = d.text()
		case "lat":
			p.Lat = d.keepFloat(d.float())
		case "lon":
			p.Lon = d.keepFloat(d.float())
		case "proxy":
			p.Proxy = d.boolean()
		default:
			d.odd = true
		}
	}
}

func (d *Decoder) readUserAgent(u *UserAgent) {
	d.open('{')
	for key, ok := d.key(true); ok; key, ok = d.key(false) {
		switch key {
		case "raw":
			u.Raw = d.text()
		case "browser":
			u.Browser = d.text()
		case "os":
			u.OS = d.text()
		default:
			d.odd = true
		}
	}
}

func (d *Decoder) readDevice() {
	p := &d.device
	*p = Device{}
	d.open('{')
	for key, ok := d.key(true); ok; key, ok = d.key(false) {
		switch key {
		case "id":
			p.ID = d.text()
		case "name":
			p.Name = d.text()
		case "os":
			p.OS = d.text()
		case "managed":
			p.Managed = d.keepBool(d.boolean())
		case "compliant":
			p.Compliant = d.keepBool(d.boolean())
		case "registered":
			p.Registered = d.keepBool(d.boolean())
		case "trust_type":
			p.TrustType = d.text()
		case "fingerprint":
			p.Fingerprint = d.text()
		default:
			d.odd = true
		}
	}
}

func (d *Decoder) readApp() {
	p := &d.app
	*p = App{}
	d.open('{')
	for key, ok := d.key(true); ok; key, ok = d.key(false) {
		switch key {
		case "id":
			p.ID = d.text()
		case "name":
			p.Name = d.text()
		case "resource_id":
			p.ResourceID = d.text()
		case "resource_name":
			p.ResourceName = d.text()
		case "client":
			p.Client = d.text()
		case "admin":
			p.Admin = d.boolean()
		default:
			d.odd = true
		}
	}
}

func (d *Decoder) readFactors() {
	d.factors = some(d.factors)
	for ok := d.element('[', true); ok; ok = d.element(0, false) {
		d.factors = append(d.factors, Factor{})
		f := &d.factors[len(d.factors)-1]
		d.open('{')
		for key, ok := d.key(true); ok; key, ok = d.key(false) {
			switch key {
			case "method":
				f.Method = Method(d.text())
			case "class":
				f.Class = Class(d.text())
			case "rank":
				f.Rank = int(d.integer())
			case "result":
				f.Result = Result(d.text())
			case "step":
				f.Step = Step(d.text())
			case "fresh":
				f.Fresh = d.boolean()
			case "transport":
				f.Transport = d.text()
			case "provider":
				f.Provider = d.text()
			case "credential_id":
				f.CredentialID = d.text()
			case "aaguid":
				f.AAGUID = d.text()
			case "backup_eligible":
				f.BackupEligible = d.keepBool(d.boolean())
			case "detail":
				f.Detail = d.text()
			case "time":
				f.Time = d.keepTime(d.time())
			default:
				d.odd = true
			}
		}
	}
}

func (d *Decoder) readAuthenticators() {
	d.authenticators = some(d.authenticators)
	for ok := d.element('[', true); ok; ok = d.element(0, false) {
		d.authenticators = append(d.authenticators, Authenticator{})
		a := &d.authenticators[len(d.authenticators)-1]
		d.open('{')
		for key, ok := d.key(true); ok; key, ok = d.key(false) {
			switch key {
			case "id":
				a.ID = d.text()
			case "method":
				a.Method = Method(d.text())
			case "class":
				a.Class = Class(d.text())
			case "rank":
				a.Rank = int(d.integer())
			case "name":
				a.Name = d.text()
			case "aaguid":
				a.AAGUID = d.text()
			case "backup_eligible":
				a.BackupEligible = d.keepBool(d.boolean())
			case "address":
				a.Address = d.text()
			case "created":
				a.Created = d.keepTime(d.time())
			case "last_used":
				a.LastUsed = d.keepTime(d.time())
			default:
				d.odd = true
			}
		}
	}
}

func (d *Decoder) readRecovery() {
	p := &d.recovery
	*p = Recovery{}
	d.open('{')
	for key, ok := d.key(true); ok; key, ok = d.key(false) {
		switch key {
		case "stage":
			p.Stage = RecoveryStage(d.text())
		case "method":
			p.Method = Method(d.text())
		case "self_service":
			p.SelfService = d.boolean()
		case "lifetime_ns":
			p.Lifetime = time.Duration(d.integer())
		case "uses":
			p.Uses = int(d.integer())
		default:
			d.odd = true
		}
	}
}

func (d *Decoder) readContact() {
	p := &d.contact
	*p = Contact{}
	d.open('{')
	for key, ok := d.key(true); ok; key, ok = d.key(false) {
		switch key {
		case "kind":
			p.Kind = d.text()
		case "primary":
			p.Primary = d.boolean()
		case "value":
			p.Value = d.text()
		default:
			d.odd = true
		}
	}
}

func (d *Decoder) readConsent() {
	p := &d.consent
	*p = Consent{}
	d.open('{')
	for key, ok := d.key(true); ok; key, ok = d.key(false) {
		switch key {
		case "app_id":
			p.AppID = d.text()
		case "app_name":
			p.AppName = d.text()
		case "publisher":
			p.Publisher = d.text()
		case "verified":
			p.Verified = d.keepBool(d.boolean())
		case "scopes":
			p.Scopes = readTexts(d, &d.scopes, p.Scopes)
		case "by_admin":
			p.ByAdmin = d.boolean()
		case "tenant_wide":
			p.TenantWide = d.boolean()
		case "resource":
			p.Resource = d.text()
		case "grant_id":
			p.GrantID = d.text()
		default:
			d.odd = true
		}
	}
}

func (d *Decoder) readPolicy() {
	p := &d.policy
	*p = Policy{}
	d.open('{')
	for key, ok := d.key(true); ok; key, ok = d.key(false) {
		switch key {
		case "id":
			p.ID = d.text()
		case "name":
			p.Name = d.text()
		case "type":
			p.Type = d.text()
		case "change":
			p.Change = d.text()
		case "weakened":
			p.Weakened = readTexts(d, &d.weakened, p.Weakened)
		case "before":
			p.Before = d.text()
		case "after":
			p.After = d.text()
		default:
			d.odd = true
		}
	}
}

func (d *Decoder) readRole() {
	p := &d.role
	*p = Role{}
	d.open('{')
	for key, ok := d.key(true); ok; key, ok = d.key(false) {
		switch key {
		case "roles":
			p.Roles = readTexts(d, &d.roles, p.Roles)
		case "full":
			p.Full = d.boolean()
		case "granted":
			p.Granted = d.boolean()
		case "privileged":
			p.Privileged = d.boolean()
		case "eligible":
			p.Eligible = d.boolean()
		default:
			d.odd = true
		}
	}
}

func (d *Decoder) readRisk() {
	p := &d.risk
	*p = Risk{}
	d.open('{')
	for key, ok := d.key(true); ok; key, ok = d.key(false) {
		switch key {
		case "type":
			p.Type = d.text()
		case "level":
			p.Level = d.text()
		case "state":
			p.State = d.text()
		case "session_theft":
			p.SessionTheft = d.boolean()
		case "detail":
			p.Detail = d.text()
		case "event_id":
			p.EventID = d.text()
		default:
			d.odd = true
		}
	}
}

func (d *Decoder) readReport() {
	p := &d.report
	*p = Report{}
	d.open('{')
	for key, ok := d.key(true); ok; key, ok = d.key(false) {
		switch key {
		case "event_id":
			p.EventID = d.text()
		case "event_type":
			p.EventType = d.text()
		case "ip":
			p.IP = d.text()
		default:
			d.odd = true
		}
	}
}

// once leaves the event to the general decoder unless ok: a key that comes twice
// completes what the first one said.
func (d *Decoder) once(ok bool) { d.odd = d.odd || !ok }

// readTexts reads a list into the memory of list, where there was none before.
func readTexts[T ~string](d *Decoder, list *[]T, was []T) []T {
	d.once(was == nil)
	*list = some(*list)
	for ok := d.element('[', true); ok; ok = d.element(0, false) {
		*list = append(*list, T(d.text()))
	}
	return *list
}

// some returns an empty list that is not nil.
func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list[:0]
}

// What a pointer pointed at before a list moved stays where it was.
func (d *Decoder) keepBool(b bool) *bool {
	d.bools = append(d.bools, b)
	return &d.bools[len(d.bools)-1]
}

func (d *Decoder) keepFloat(f float64) *float64 {
	d.floats = append(d.floats, f)
	return &d.floats[len(d.floats)-1]
}

func (d *Decoder) keepTime(t time.Time) *time.Time {
	d.times = append(d.times, t)
	return &d.times[len(d.times)-1]
}
