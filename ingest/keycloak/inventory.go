package keycloak

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
)

// usersPerPage is small: each user takes two more requests, and a page that fails
// is read again.
const usersPerPage = 20

func (a *api) inventory(c poll.SweepConfig) ingest.Source {
	return poll.SweepSource(poll.Sweep[int]{Runtime: a.rt, Every: c.Every, Fetch: a.users})
}

// users reads one page of users with their credentials and roles; at is its offset.
func (a *api) users(ctx context.Context, at int) (poll.Page[int], error) {
	if at == 0 {
		a.rolesRefused = false
	}
	resp, err := a.client.Get(ctx, "users", url.Values{"first": {strconv.Itoa(at)}, "max": {strconv.Itoa(usersPerPage)}, "briefRepresentation": {"true"}})
	if err != nil {
		return poll.Page[int]{}, err
	}
	var users []json.RawMessage
	if err := resp.JSON(&users); err != nil {
		return poll.Page[int]{}, err
	}
	page := poll.Page[int]{Next: at + len(users), More: len(users) == usersPerPage}
	for _, user := range users {
		var head struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(user, &head) != nil || head.ID == "" {
			continue
		}
		path := "users/" + url.PathEscape(head.ID)
		credentials, err := a.client.Get(ctx, path+"/credentials", nil)
		if rest.HasStatus(err, http.StatusNotFound) {
			continue // deleted since the page was read
		}
		if err != nil {
			return poll.Page[int]{}, err
		}
		snapshot := poll.Snapshot{ReadAt: a.rt.Now(), User: user, Authenticators: credentials.Body, Complete: true}
		switch roles, err := a.client.Get(ctx, path+"/role-mappings", nil); {
		case err == nil:
			snapshot.Roles = roles.Body
		case rest.HasStatus(err, http.StatusNotFound): // deleted meanwhile
		case rest.HasStatus(err, http.StatusForbidden):
			if !a.rolesRefused {
				a.rolesRefused = true
				a.rt.Log.WarnContext(ctx, "inventory goes without roles", slog.Any("error", err))
			}
		default:
			return poll.Page[int]{}, err
		}
		record, err := snapshot.Record(source, a.tenant, "keycloak inventory "+a.tenant)
		if err != nil {
			return poll.Page[int]{}, err
		}
		page.Records = append(page.Records, record)
	}
	return page, nil
}

// apiUser is what is read of a user of the API.
type apiUser struct {
	ID        lenient.Text `json:"id"`
	Username  lenient.Text `json:"username"`
	Email     lenient.Text `json:"email"`
	FirstName lenient.Text `json:"firstName"`
	LastName  lenient.Text `json:"lastName"`
}

// apiCredential is a credential of the API. Its data is JSON within a string.
type apiCredential struct {
	ID      lenient.Text   `json:"id"`
	Type    lenient.Text   `json:"type"`
	Label   lenient.Text   `json:"userLabel"`
	Created lenient.Text   `json:"createdDate"`
	Data    lenient.Object `json:"credentialData"`
}

// snapshot makes the events of a record that the inventory made.
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
		Subject: principal(string(u.ID), lenient.First(string(u.Username), string(u.Email))), Snapshot: &event.Snapshot{Complete: s.Complete}, Raw: r.Data,
	}
	e.Subject.DisplayName = strings.TrimSpace(string(u.FirstName) + " " + string(u.LastName))
	switch {
	case e.Subject.ID == "" && e.Subject.Name == "":
		return nil, ingest.Skip(ingest.SkipNoIdentity, "inventory")
	case e.Subject.Type == typeService:
		return nil, ingest.Skip(ingest.SkipMachine, "inventory")
	}
	e.ID = lenient.Digest(string(r.Source), r.Tenant, string(u.ID), s.ReadAt.Format("2006-01-02T15:04:05.000Z"))
	var credentials []apiCredential
	if len(s.Authenticators) > 0 && json.Unmarshal(s.Authenticators, &credentials) != nil {
		return nil, ingest.Malformed(ingest.MalformedShape, "credentials of the inventory are no list")
	}
	for i := range credentials {
		c := &credentials[i]
		if c.Type == "password" {
			continue
		}
		m, ok := methodOf(string(c.Type))
		if !ok {
			e.Warnings = append(e.Warnings, "credential type not known: "+string(c.Type))
		}
		a := event.NewAuthenticator(m)
		a.ID, a.Name = string(c.ID), lenient.First(string(c.Label), string(c.Type))
		var data struct {
			AAGUID lenient.Text `json:"aaguid"`
		}
		if len(c.Data) > 0 && json.Unmarshal(c.Data, &data) == nil {
			a.AAGUID = model(string(data.AAGUID))
		}
		if t, ok := lenient.Time(string(c.Created)); ok {
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

// rolesOf reads the roles that administer the realm; nil where roles could not be
// read. Those of applications are left out: they do not make anybody privileged
// here.
func rolesOf(data json.RawMessage) *event.Role {
	var m struct {
		Realm  []apiRole `json:"realmMappings"`
		Client map[string]struct {
			Mappings []apiRole `json:"mappings"`
		} `json:"clientMappings"`
	}
	if len(data) == 0 || json.Unmarshal(data, &m) != nil {
		return nil
	}
	role := &event.Role{Full: true, Granted: true}
	add := func(list []apiRole) {
		for _, r := range list {
			if administers(string(r.Name)) {
				role.Roles, role.Privileged = append(role.Roles, string(r.Name)), true
			}
		}
	}
	add(m.Realm)
	for client, mapped := range m.Client {
		if client == "realm-management" || strings.HasSuffix(client, "-realm") {
			add(mapped.Mappings)
		}
	}
	slices.Sort(role.Roles)
	role.Roles = slices.Compact(role.Roles)
	return role
}
