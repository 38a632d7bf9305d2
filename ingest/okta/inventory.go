package okta

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
)

// usersPerPage is small: each user takes two more requests, and a page that
// fails is read again.
const usersPerPage = "20"

func (a *api) inventory(c poll.SweepConfig) ingest.Source {
	i := &inventory{api: a}
	return poll.SweepSource(poll.Sweep[string]{Runtime: a.rt, Every: c.Every, Fetch: i.users})
}

// inventory is read by one sweep after the other.
type inventory struct {
	*api
	// rolesRefused: it was logged in this sweep that roles may not be read.
	rolesRefused bool
}

// users reads one page of users with their factors and roles; at is the address
// of the page.
func (i *inventory) users(ctx context.Context, at string) (poll.Page[string], error) {
	ref, query := at, url.Values(nil)
	if ref == "" {
		i.rolesRefused = false
		ref, query = "api/v1/users", url.Values{"limit": {usersPerPage}}
	}
	resp, err := i.client.Get(ctx, ref, query)
	if err != nil {
		return poll.Page[string]{}, err
	}
	var users []json.RawMessage
	if err := resp.JSON(&users); err != nil {
		return poll.Page[string]{}, err
	}
	page := poll.Page[string]{Next: resp.Next()}
	page.More = page.Next != ""
	for _, user := range users {
		var head struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(user, &head) != nil || head.ID == "" {
			continue
		}
		path := "api/v1/users/" + url.PathEscape(head.ID)
		factors, err := i.client.Get(ctx, path+"/factors", nil)
		if err != nil {
			return poll.Page[string]{}, err
		}
		snapshot := poll.Snapshot{ReadAt: i.rt.Now(), User: user, Authenticators: factors.Body}
		switch roles, err := i.client.Get(ctx, path+"/roles", nil); {
		case err == nil:
			snapshot.Roles = roles.Body
		case rest.HasStatus(err, http.StatusForbidden): // the token may read users and not roles
			if !i.rolesRefused {
				i.rolesRefused = true
				i.rt.Log.WarnContext(ctx, "inventory goes without roles", slog.Any("error", err))
			}
		default:
			return poll.Page[string]{}, err
		}
		record, err := snapshot.Record(source, i.tenant, "okta inventory "+i.tenant)
		if err != nil {
			return poll.Page[string]{}, err
		}
		page.Records = append(page.Records, record)
	}
	return page, nil
}

// apiUser is what is read of a user of the API.
type apiUser struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Profile struct {
		Login     string `json:"login"`
		FirstName string `json:"firstName"`
		LastName  string `json:"lastName"`
	} `json:"profile"`
}

// apiFactor is an enrolled factor of the API.
type apiFactor struct {
	ID         string `json:"id"`
	FactorType string `json:"factorType"`
	Provider   string `json:"provider"`
	Status     string `json:"status"`
	Created    string `json:"created"`
	Profile    struct {
		AuthenticatorName string       `json:"authenticatorName"`
		PhoneNumber       lenient.Text `json:"phoneNumber"`
		Email             lenient.Text `json:"email"`
	} `json:"profile"`
}

// apiRole is an assigned role of the API.
type apiRole struct {
	Type   string `json:"type"`
	Label  string `json:"label"`
	Status string `json:"status"`
}

// normalizeSnapshot makes the events of a record that the inventory made. It is
// never complete: the API leaves out factors that the person's enrolment policy
// does not ask for or allow.
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
		Subject: event.Principal{ID: user.ID, Name: user.Profile.Login, Type: "user",
			DisplayName: strings.TrimSpace(user.Profile.FirstName + " " + user.Profile.LastName)},
		Snapshot: &event.Snapshot{Complete: s.Complete}, Raw: r.Data,
	}
	if e.Subject.ID == "" && e.Subject.Name == "" {
		return nil, ingest.Skip(ingest.SkipNoIdentity, "inventory")
	}
	e.ID = lenient.Digest(string(r.Source), r.Tenant, user.ID, s.ReadAt.Format("2006-01-02T15:04:05.000Z"))
	var factors []apiFactor
	if len(s.Authenticators) > 0 && json.Unmarshal(s.Authenticators, &factors) != nil {
		return nil, ingest.Malformed(ingest.MalformedShape, "factors of the inventory are no list")
	}
	for _, f := range factors {
		if !strings.EqualFold(f.Status, "ACTIVE") {
			continue
		}
		m, ok := methodOf(f.FactorType)
		if !ok {
			e.Warnings = append(e.Warnings, "factor type not known: "+f.FactorType)
		}
		a := event.NewAuthenticator(m)
		a.ID, a.Name = f.ID, lenient.First(f.Profile.AuthenticatorName, f.Provider+" "+f.FactorType)
		a.Address = lenient.First(string(f.Profile.PhoneNumber), string(f.Profile.Email))
		if t, ok := lenient.Time(f.Created); ok {
			a.Created = &t
		}
		e.Authenticators = append(e.Authenticators, a)
	}
	events := []event.Event{e}
	if role := rolesOf(s.Roles); role != nil {
		roles := e
		roles.ID, roles.Kind, roles.Role = e.ID+"#1", event.RoleChange, role
		roles.Snapshot, roles.Authenticators, roles.Warnings = nil, nil, nil
		events = append(events, roles)
	}
	for i := range events {
		events[i].Sanitize()
	}
	return events, nil
}

// rolesOf reads the roles; nil where the inventory could not.
func rolesOf(data json.RawMessage) *event.Role {
	var list []apiRole
	if len(data) == 0 || json.Unmarshal(data, &list) != nil {
		return nil
	}
	role := &event.Role{Full: true, Granted: true}
	for _, r := range list {
		if strings.EqualFold(r.Status, "ACTIVE") {
			role.Roles = append(role.Roles, lenient.First(r.Label, r.Type))
			role.Privileged = true // the API lists administrator roles only
		}
	}
	slices.Sort(role.Roles)
	return role
}
