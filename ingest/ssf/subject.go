package ssf

import (
	"strings"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// subject is whom and what an event is about.
type subject struct {
	user    event.Principal
	session string
	device  string
	app     string
	tenant  string
	// contact is "email" or "phone" where the user is named by such an address.
	contact string
}

// identifier is a subject identifier of RFC 9493; the drafts called its format
// subject_type, and had dashes in it.
type identifier struct {
	Format      lenient.Text     `json:"format"`
	Type        lenient.Text     `json:"subject_type"`
	Email       lenient.Text     `json:"email"`
	Phone       lenient.Text     `json:"phone_number"`
	OfDrafts    lenient.Text     `json:"phone"`
	ID          lenient.Text     `json:"id"`
	Subject     lenient.Text     `json:"sub"`
	URI         lenient.Text     `json:"uri"`
	URL         lenient.Text     `json:"url"`
	JWT         lenient.Text     `json:"jti"`
	Assertion   lenient.Text     `json:"assertion_id"`
	Identifiers []lenient.Object `json:"identifiers"`

	User        lenient.Object `json:"user"`
	Device      lenient.Object `json:"device"`
	Session     lenient.Object `json:"session"`
	Application lenient.Object `json:"application"`
	Tenant      lenient.Object `json:"tenant"`
}

// subjectOf reads the first of the candidates that is there.
func subjectOf(candidates ...lenient.Object) subject {
	for _, c := range candidates {
		if len(c) == 0 {
			continue
		}
		var i identifier
		if _, err := lenient.Decode(c, &i); err != nil {
			continue
		}
		return i.subject()
	}
	return subject{}
}

func (i *identifier) subject() subject {
	var s subject
	if i.Format == "complex" || len(i.User)+len(i.Device)+len(i.Session) > 0 {
		s.user, s.contact = read(i.User).person()
		s.session, s.device = read(i.Session).any(), read(i.Device).any()
		s.app, s.tenant = read(i.Application).any(), read(i.Tenant).any()
		return s
	}
	switch i.format() {
	case "jwt_id", "saml_assertion_id":
		s.session = i.any()
		return s
	}
	s.user, s.contact = i.person()
	return s
}

func read(o lenient.Object) *identifier {
	var i identifier
	if len(o) > 0 {
		_, _ = lenient.Decode(o, &i) // what cannot be read names nobody
	}
	return &i
}

func (i *identifier) format() string {
	return strings.ReplaceAll(lenient.First(string(i.Format), string(i.Type)), "-", "_")
}

// any is the identifier as one text, for what is no person.
func (i *identifier) any() string {
	return lenient.First(string(i.ID), string(i.JWT), string(i.Assertion), string(i.Subject), string(i.URI), string(i.URL), string(i.Email))
}

// person is who is named, and by which kind of address.
func (i *identifier) person() (p event.Principal, contact string) {
	switch i.format() {
	case "email":
		p.Name, contact = string(i.Email), "email"
	case "phone_number", "phone":
		p.ID, contact = lenient.First(string(i.Phone), string(i.OfDrafts)), "phone"
	case "account":
		p.Name = strings.TrimPrefix(string(i.URI), "acct:")
	case "iss_sub", "id_token_claims":
		p.ID, p.Name = string(i.Subject), string(i.Email)
	case "opaque":
		p.ID = string(i.ID)
	case "did":
		p.ID = string(i.URL)
	case "uri":
		p.ID = string(i.URI)
	case "aliases":
		phone := ""
		for _, alias := range i.Identifiers {
			of := read(alias)
			if of.format() == "aliases" {
				continue // RFC 9493 forbids them within each other
			}
			q, kind := of.person()
			if kind == "phone" { // numbers are given to others
				phone, q.ID = lenient.First(phone, q.ID), ""
			}
			p.ID, p.Name = lenient.First(p.ID, q.ID), lenient.First(p.Name, q.Name)
			contact = lenient.First(contact, kind)
		}
		p.ID = lenient.First(p.ID, phone)
	default:
		p.ID, p.Name = lenient.First(string(i.ID), string(i.Subject)), string(i.Email)
	}
	if !p.IsZero() {
		p.Type = "user"
	}
	return p, contact
}

// stamp sets what the subject tells.
func (s subject) stamp(e *event.Event) {
	e.Subject, e.SessionID = s.user, s.session
	if s.device != "" {
		e.Device = &event.Device{ID: s.device}
	}
	if s.app != "" {
		e.App = &event.App{ID: s.app}
	}
	e.Tenant = lenient.First(e.Tenant, s.tenant)
}
