package onelogin

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// usersPerPage is small: each user takes another request, and a page that fails is
// read again.
const usersPerPage = "50"

func (a *api) inventory(c poll.SweepConfig) ingest.Source {
	return poll.SweepSource(poll.Sweep[string]{Runtime: a.rt, Every: c.Every, Fetch: a.users})
}

// users reads one page of users with their devices; at is the cursor of the page.
func (a *api) users(ctx context.Context, at string) (poll.Page[string], error) {
	query := url.Values{"limit": {usersPerPage}}
	if at != "" {
		query.Set("cursor", at)
	}
	resp, err := a.client.Get(ctx, "api/2/users", query)
	if err != nil {
		return poll.Page[string]{}, err
	}
	var users []json.RawMessage
	if err := resp.JSON(&users); err != nil {
		return poll.Page[string]{}, err
	}
	page := poll.Page[string]{Next: resp.Header.Get("After-Cursor")}
	page.More = page.Next != ""
	for _, user := range users {
		var head apiUser
		if json.Unmarshal(user, &head) != nil || head.ID == "" {
			continue
		}
		devices, err := a.client.Get(ctx, "api/2/mfa/users/"+url.PathEscape(string(head.ID))+"/devices", nil)
		if err != nil {
			return poll.Page[string]{}, err
		}
		record, err := poll.Snapshot{ReadAt: a.rt.Now(), User: user, Authenticators: devices.Body, Complete: true}.
			Record(source, a.tenant, "onelogin inventory "+a.tenant)
		if err != nil {
			return poll.Page[string]{}, err
		}
		page.Records = append(page.Records, record)
	}
	return page, nil
}

// apiUser is what is read of a user of the API.
type apiUser struct {
	ID        lenient.Text `json:"id"`
	Email     lenient.Text `json:"email"`
	Username  lenient.Text `json:"username"`
	Firstname lenient.Text `json:"firstname"`
	Lastname  lenient.Text `json:"lastname"`
}

// apiDevice is a registered MFA device of the API.
type apiDevice struct {
	ID          lenient.Text `json:"device_id"`
	UserName    lenient.Text `json:"user_display_name"`
	TypeName    lenient.Text `json:"type_display_name"`
	FactorName  lenient.Text `json:"auth_factor_name"`
	PhoneNumber lenient.Text `json:"phone_number"`
}

// normalizeSnapshot makes the event of a record that the inventory made.
func normalizeSnapshot(r ingest.Record) ([]event.Event, error) {
	s, err := poll.ReadSnapshot(r.Data)
	if err != nil {
		return nil, err
	}
	var user apiUser
	if _, err := lenient.Decode(s.User, &user); err != nil {
		return nil, err
	}
	e := event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Tenant: r.Tenant, Stream: poll.StreamInventory,
		Kind: event.AuthenticatorSnapshot, Action: "inventory", Time: s.ReadAt, Observed: r.Observed, Outcome: event.Success,
		Subject: event.Principal{ID: lenient.Known(string(user.ID)), Name: lenient.First(lenient.Known(string(user.Email)), lenient.Known(string(user.Username))),
			Type: typeUser, DisplayName: strings.TrimSpace(string(user.Firstname) + " " + string(user.Lastname))},
		Snapshot: &event.Snapshot{Complete: s.Complete}, Raw: r.Data,
	}
	if e.Subject.ID == "" && e.Subject.Name == "" {
		return nil, ingest.Skip(ingest.SkipNoIdentity, "inventory")
	}
	e.ID = lenient.Digest(string(r.Source), r.Tenant, e.Subject.ID, s.ReadAt.Format("2006-01-02T15:04:05.000Z"))
	var devices []apiDevice
	if len(s.Authenticators) > 0 && json.Unmarshal(s.Authenticators, &devices) != nil {
		return nil, ingest.Malformed(ingest.MalformedShape, "devices of the inventory are no list")
	}
	for _, d := range devices {
		m, ok := methodOf(string(d.FactorName))
		if !ok {
			if m, ok = methodOf(string(d.TypeName)); !ok {
				e.Warnings = append(e.Warnings, "factor not known: "+string(d.FactorName))
			}
		}
		a := event.NewAuthenticator(m)
		a.ID, a.Address = string(d.ID), string(d.PhoneNumber)
		a.Name = lenient.First(string(d.UserName), string(d.TypeName), string(d.FactorName))
		e.Authenticators = append(e.Authenticators, a)
	}
	e.Sanitize()
	return []event.Event{e}, nil
}
