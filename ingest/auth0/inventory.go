package auth0

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// usersPerPage is small: each user takes another request, and a page that fails is
// read again.
const usersPerPage = 25

// methodsPerPage is more than anybody has.
const methodsPerPage = 100

// sweepAt is a position in the list of users, which is read in the order of their
// creation: page by page Auth0 gives a thousand users and no more.
type sweepAt struct {
	// From is the time of creation to begin at, empty for the first page.
	From string `json:"from,omitempty"`
	// Page counts the pages that began at From.
	Page int `json:"page,omitempty"`
	// Done are the users of that time who were read.
	Done []string `json:"done,omitempty"`
}

func (a *api) inventory(c poll.SweepConfig) ingest.Source {
	return poll.SweepSource(poll.Sweep[sweepAt]{Runtime: a.rt, Every: c.Every, Fetch: a.users})
}

// users reads one page of users with their authentication methods.
func (a *api) users(ctx context.Context, at sweepAt) (poll.Page[sweepAt], error) {
	query := url.Values{"sort": {"created_at:1"}, "per_page": {strconv.Itoa(usersPerPage)}, "page": {strconv.Itoa(at.Page)}, "search_engine": {"v3"},
		"fields": {"user_id,email,username,name,phone_number,blocked,created_at"}, "include_fields": {"true"}}
	if at.From != "" {
		query.Set("q", `created_at:["`+at.From+`" TO *]`)
	}
	resp, err := a.client.Get(ctx, "api/v2/users", query)
	if err != nil {
		return poll.Page[sweepAt]{}, err
	}
	var users []json.RawMessage
	if err := resp.JSON(&users); err != nil {
		return poll.Page[sweepAt]{}, err
	}
	page := poll.Page[sweepAt]{More: len(users) == usersPerPage, Next: sweepAt{From: at.From, Page: at.Page + 1, Done: at.Done}}
	last := at.From
	var atLast []string
	for _, user := range users {
		var head struct {
			ID      string `json:"user_id"`
			Created string `json:"created_at"`
		}
		if json.Unmarshal(user, &head) != nil || head.ID == "" {
			continue
		}
		if head.Created != last {
			last, atLast = head.Created, nil
		}
		atLast = append(atLast, head.ID)
		if slices.Contains(at.Done, head.ID) {
			continue
		}
		methods, err := a.client.Get(ctx, "api/v2/users/"+url.PathEscape(head.ID)+"/authentication-methods", url.Values{"per_page": {strconv.Itoa(methodsPerPage)}})
		if err != nil {
			return poll.Page[sweepAt]{}, err
		}
		snapshot := poll.Snapshot{ReadAt: a.rt.Now(), User: user, Authenticators: methods.Body, Complete: true}
		record, err := snapshot.Record(source, a.tenant, "auth0 inventory "+a.tenant)
		if err != nil {
			return poll.Page[sweepAt]{}, err
		}
		page.Records = append(page.Records, record)
	}
	if last != at.From && last != "" {
		page.Next = sweepAt{From: last, Done: atLast}
	}
	return page, nil
}

// apiUser is what is read of a user of the API.
type apiUser struct {
	ID       lenient.Text `json:"user_id"`
	Email    lenient.Text `json:"email"`
	Username lenient.Text `json:"username"`
	Phone    lenient.Text `json:"phone_number"`
	Name     lenient.Text `json:"name"`
}

// name is what the log calls the user.
func (u *apiUser) name() string {
	return lenient.First(string(u.Email), string(u.Username), string(u.Phone))
}

// apiMethod is an authentication method of the API.
type apiMethod struct {
	ID         lenient.Text  `json:"id"`
	Type       lenient.Text  `json:"type"`
	Name       lenient.Text  `json:"name"`
	Nickname   lenient.Text  `json:"authenticator_name"`
	Confirmed  lenient.Truth `json:"confirmed"`
	Created    lenient.Text  `json:"created_at"`
	Enrolled   lenient.Text  `json:"enrolled_at"`
	LastAuth   lenient.Text  `json:"last_auth_at"`
	AAGUID     lenient.Text  `json:"aaguid"`
	DeviceType lenient.Text  `json:"credential_device_type"`
	Transports lenient.Texts `json:"transports"`
	Preferred  lenient.Text  `json:"preferred_authentication_method"`
	Phone      lenient.Text  `json:"phone_number"`
	Email      lenient.Text  `json:"email"`
}

// noModel is what an authenticator says that does not tell its model.
const noModel = "00000000-0000-0000-0000-000000000000"

// snapshot makes the event of a record that the inventory made.
func snapshot(r ingest.Record) ([]event.Event, error) {
	s, err := poll.ReadSnapshot(r.Data)
	if err != nil {
		return nil, err
	}
	var u apiUser
	if _, err := lenient.Decode(s.User, &u); err != nil {
		return nil, err
	}
	e := event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Tenant: r.Tenant, Stream: poll.StreamInventory,
		Kind: event.AuthenticatorSnapshot, Action: "inventory", Time: s.ReadAt, Observed: r.Observed, Outcome: event.Success,
		Subject:  user(string(u.ID), u.name()),
		Snapshot: &event.Snapshot{Complete: s.Complete}, Raw: r.Data,
	}
	e.Subject.DisplayName = string(u.Name)
	if e.Subject.ID == "" && e.Subject.Name == "" {
		return nil, ingest.Skip(ingest.SkipNoIdentity, "inventory")
	}
	e.ID = lenient.Digest(string(r.Source), r.Tenant, string(u.ID), s.ReadAt.Format("2006-01-02T15:04:05.000Z"))
	var methods []apiMethod
	if len(s.Authenticators) > 0 && json.Unmarshal(s.Authenticators, &methods) != nil {
		return nil, ingest.Malformed(ingest.MalformedShape, "authentication methods of the inventory are no list")
	}
	for i := range methods {
		m := &methods[i]
		if m.Type == "password" || m.Confirmed == lenient.False {
			continue // an unconfirmed enrolment lets nobody in
		}
		method, ok := m.method()
		if !ok {
			e.Warnings = append(e.Warnings, "authentication method not known: "+string(m.Type))
		}
		a := event.NewAuthenticator(method)
		a.ID, a.Name = string(m.ID), lenient.First(string(m.Nickname), string(m.Name), string(m.Type))
		if m.AAGUID != noModel {
			a.AAGUID = strings.ToLower(string(m.AAGUID))
		}
		a.Address = lenient.First(string(m.Phone), string(m.Email))
		switch m.DeviceType {
		case "single_device":
			a.BackupEligible = new(false)
		case "multi_device":
			a.BackupEligible = new(true)
		}
		if t, ok := lenient.Time(lenient.First(string(m.Enrolled), string(m.Created))); ok {
			a.Created = &t
		}
		if t, ok := lenient.Time(string(m.LastAuth)); ok {
			a.LastUsed = &t
		}
		e.Authenticators = append(e.Authenticators, a)
	}
	e.Sanitize()
	return []event.Event{e}, nil
}

// method reads the type and, for a passkey, whether its key may leave the device.
func (m *apiMethod) method() (event.Method, bool) {
	switch m.Type {
	case "passkey":
		switch m.DeviceType {
		case "multi_device":
			return event.MethodPasskeySynced, true
		case "single_device":
			roams := len(m.Transports) > 0 && !slices.ContainsFunc(m.Transports, func(t string) bool { return t != "usb" && t != "nfc" && t != "ble" })
			if roams {
				return event.MethodSecurityKey, true
			}
			return event.MethodPasskeyDeviceBound, true
		}
	case "phone":
		if m.Preferred == "voice" {
			return event.MethodVoice, true
		}
	}
	return methodOf(string(m.Type))
}
