package google

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

// userFields are the members of a user that are asked for: no phone, no address.
const userFields = "nextPageToken,users(id,primaryEmail,name/fullName,isAdmin,isDelegatedAdmin,isEnrolledIn2Sv,isEnforcedIn2Sv,suspended)"

func (a *api) inventory(c poll.SweepConfig) ingest.Source {
	return poll.SweepSource(poll.Sweep[string]{Runtime: a.rt, Every: c.Every, Fetch: a.users})
}

// users reads one page of the directory; at is the token of the page.
func (a *api) users(ctx context.Context, at string) (poll.Page[string], error) {
	query := url.Values{"customer": {a.customer}, "maxResults": {"500"}, "fields": {userFields}}
	if at != "" {
		query.Set("pageToken", at)
	}
	resp, err := a.client.Get(ctx, "admin/directory/v1/users", query)
	if at != "" && isBadRequest(err) {
		a.rt.Log.WarnContext(ctx, "page of the directory is no longer known to google, sweeping anew", "error", err)
		return poll.Page[string]{More: true}, nil
	}
	if err != nil {
		return poll.Page[string]{}, err
	}
	var list struct {
		Next  string            `json:"nextPageToken"`
		Users []json.RawMessage `json:"users"`
	}
	if err := resp.JSON(&list); err != nil {
		return poll.Page[string]{}, err
	}
	page := poll.Page[string]{Next: list.Next, More: list.Next != ""}
	for _, user := range list.Users {
		record, err := poll.Snapshot{ReadAt: a.rt.Now(), User: user}.Record(source, a.tenant, "google directory "+a.tenant)
		if err != nil {
			return poll.Page[string]{}, err
		}
		page.Records = append(page.Records, record)
	}
	return page, nil
}

// apiUser is what is read of a user of the Directory API.
type apiUser struct {
	ID    lenient.Text `json:"id"`
	Email lenient.Text `json:"primaryEmail"`
	Name  struct {
		Full lenient.Text `json:"fullName"`
	} `json:"name"`
	IsAdmin          lenient.Truth `json:"isAdmin"`
	IsDelegatedAdmin lenient.Truth `json:"isDelegatedAdmin"`
}

// normalizeSnapshot makes a user of the directory the full list of their roles; see
// the package's design for why there is nothing of authenticators.
func normalizeSnapshot(r ingest.Record) ([]event.Event, error) {
	s, err := poll.ReadSnapshot(r.Data)
	if err != nil {
		return nil, err
	}
	var user apiUser
	warning, err := lenient.Decode(s.User, &user)
	if err != nil {
		return nil, err
	}
	who := event.Principal{ID: lenient.Known(string(user.ID)), Name: lenient.Known(string(user.Email)), DisplayName: string(user.Name.Full), Type: typeUser}
	if who.ID == "" && who.Name == "" {
		return nil, ingest.Skip(ingest.SkipNoIdentity, "inventory")
	}
	e := event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Tenant: r.Tenant, Stream: poll.StreamInventory,
		Kind: event.RoleChange, Action: "inventory", Time: s.ReadAt, Observed: r.Observed, Outcome: event.Success,
		Subject: who, Role: &event.Role{Full: true, Granted: true}, Raw: r.Data,
	}
	if warning != "" {
		e.Warnings = []string{warning}
	}
	if user.IsAdmin == lenient.True {
		e.Role.Roles = append(e.Role.Roles, roleSuper)
	}
	if user.IsDelegatedAdmin == lenient.True {
		e.Role.Roles = append(e.Role.Roles, roleDelegated)
	}
	e.Role.Privileged = len(e.Role.Roles) > 0
	e.ID = lenient.Digest(string(r.Source), r.Tenant, who.ID, strings.ToLower(who.Name), s.ReadAt.Format("2006-01-02T15:04:05.000Z"))
	e.Sanitize()
	return []event.Event{e}, nil
}
