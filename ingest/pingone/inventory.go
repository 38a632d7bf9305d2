package pingone

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// usersPerPage is small: each user takes two more requests, and a page that
// fails is read again.
const usersPerPage = "20"

func (a *api) inventory(c poll.SweepConfig) ingest.Source {
	return poll.SweepSource(poll.Sweep[string]{Runtime: a.rt, Every: c.Every, Fetch: a.users})
}

// users reads one page of users with their devices and roles; at is the address of
// the page.
func (a *api) users(ctx context.Context, at string) (poll.Page[string], error) {
	ref, query := at, url.Values(nil)
	if ref == "" {
		ref, query = a.path("users"), url.Values{"limit": {usersPerPage}}
	}
	l, err := a.list(ctx, ref, query)
	if err != nil {
		return poll.Page[string]{}, err
	}
	names, err := a.roleNames(ctx)
	if err != nil {
		return poll.Page[string]{}, err
	}
	page := poll.Page[string]{Next: l.Links.Next.Href, More: l.Links.Next.Href != ""}
	for _, user := range l.Embedded["users"] {
		var head struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(user, &head) != nil || head.ID == "" {
			continue
		}
		snapshot, err := a.snapshot(ctx, head.ID, names)
		if err != nil {
			return poll.Page[string]{}, err
		}
		snapshot.User = user
		record, err := snapshot.Record(source, a.environment, "pingone inventory "+a.environment)
		if err != nil {
			return poll.Page[string]{}, err
		}
		page.Records = append(page.Records, record)
	}
	return page, nil
}

func (a *api) snapshot(ctx context.Context, id string, names map[string]string) (poll.Snapshot, error) {
	path := a.path("users/" + url.PathEscape(id))
	devices, err := a.list(ctx, path+"/devices", nil)
	if err != nil {
		return poll.Snapshot{}, err
	}
	s := poll.Snapshot{ReadAt: a.rt.Now(), Complete: devices.Links.Next.Href == ""}
	list := devices.Embedded["devices"]
	if list == nil {
		list = []json.RawMessage{} // nobody's devices are known, not unknown
	}
	if s.Authenticators, err = json.Marshal(list); err != nil {
		return poll.Snapshot{}, err
	}
	assigned, err := a.list(ctx, path+"/roleAssignments", nil)
	switch {
	case isRefused(err):
		a.rt.Log.DebugContext(ctx, "roles not read", "error", err)
		return s, nil
	case err != nil:
		return poll.Snapshot{}, err
	}
	roles := []string{}
	for _, row := range assigned.Embedded["roleAssignments"] {
		var assignment struct {
			Role struct {
				ID string `json:"id"`
			} `json:"role"`
		}
		if json.Unmarshal(row, &assignment) == nil && assignment.Role.ID != "" {
			roles = append(roles, lenient.First(names[assignment.Role.ID], assignment.Role.ID))
		}
	}
	s.Roles, err = json.Marshal(roles)
	return s, err
}

// roleNames returns the names of the roles by id, empty where they may not be read.
func (a *api) roleNames(ctx context.Context) (map[string]string, error) {
	l, err := a.list(ctx, "v1/roles", nil)
	if isRefused(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, row := range l.Embedded["roles"] {
		var role struct{ ID, Name string }
		if json.Unmarshal(row, &role) == nil {
			names[role.ID] = role.Name
		}
	}
	return names, nil
}

func isRefused(err error) bool {
	_, ok := errors.AsType[*ingest.CredentialError](err)
	return ok
}

// apiUser is what is read of a user of the API.
type apiUser struct {
	ID       lenient.Text `json:"id"`
	Username lenient.Text `json:"username"`
	Name     struct {
		Given  lenient.Text `json:"given"`
		Family lenient.Text `json:"family"`
	} `json:"name"`
}

// apiDevice is an MFA device of the API.
type apiDevice struct {
	ID        lenient.Text `json:"id"`
	Type      lenient.Text `json:"type"`
	Status    lenient.Text `json:"status"`
	Nickname  lenient.Text `json:"nickname"`
	Phone     lenient.Text `json:"phone"`
	Email     lenient.Text `json:"email"`
	CreatedAt lenient.Text `json:"createdAt"`
	Block     struct {
		Status lenient.Text `json:"status"`
	} `json:"block"`
}

// normalizeSnapshot makes the events of a record that the inventory made: a
// snapshot, and the roles where they could be read.
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
		Subject: event.Principal{ID: string(user.ID), Name: string(user.Username), Type: typeUser,
			DisplayName: strings.TrimSpace(string(user.Name.Given) + " " + string(user.Name.Family))},
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
		if !strings.EqualFold(string(d.Status), "ACTIVE") || strings.EqualFold(string(d.Block.Status), "BLOCKED") {
			continue
		}
		m, ok := methodOf(string(d.Type))
		if !ok {
			e.Warnings = append(e.Warnings, "device type not known: "+string(d.Type))
		}
		a := event.NewAuthenticator(m)
		a.ID, a.Name = string(d.ID), lenient.First(string(d.Nickname), string(d.Type))
		a.Address = lenient.First(string(d.Phone), string(d.Email))
		if t, ok := lenient.Time(string(d.CreatedAt)); ok {
			a.Created = &t
		}
		e.Authenticators = append(e.Authenticators, a)
	}
	events := []event.Event{e}
	var names []string
	if len(s.Roles) > 0 && json.Unmarshal(s.Roles, &names) == nil {
		slices.Sort(names)
		roles := e
		roles.ID, roles.Kind = e.ID+"#1", event.RoleChange
		roles.Role = &event.Role{Roles: names, Full: true, Granted: true, Privileged: len(names) > 0}
		roles.Snapshot, roles.Authenticators, roles.Warnings = nil, nil, nil
		events = append(events, roles)
	}
	for i := range events {
		events[i].Sanitize()
	}
	return events, nil
}
