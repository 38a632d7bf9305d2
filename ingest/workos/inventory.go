package workos

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
const usersPerPage = "20"

func (a *api) inventory(c poll.SweepConfig) ingest.Source {
	return poll.SweepSource(poll.Sweep[string]{Runtime: a.rt, Every: c.Every, Fetch: a.users})
}

// users reads one page of users with their factors; at is the id of the last user
// before the page.
func (a *api) users(ctx context.Context, at string) (poll.Page[string], error) {
	query := url.Values{"limit": {usersPerPage}, "order": {"asc"}}
	if at != "" {
		query.Set("after", at)
	}
	resp, err := a.client.Get(ctx, "user_management/users", query)
	if err != nil {
		return poll.Page[string]{}, err
	}
	var list struct {
		Data     []json.RawMessage `json:"data"`
		Metadata struct {
			After string `json:"after"`
		} `json:"list_metadata"`
	}
	if err := resp.JSON(&list); err != nil {
		return poll.Page[string]{}, err
	}
	page := poll.Page[string]{Next: list.Metadata.After, More: list.Metadata.After != ""}
	for _, user := range list.Data {
		var head struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(user, &head) != nil || head.ID == "" {
			continue
		}
		// Nobody has more factors than fit on one page.
		resp, err := a.client.Get(ctx, "user_management/users/"+url.PathEscape(head.ID)+"/auth_factors", url.Values{"limit": {pageSize}})
		if err != nil {
			return poll.Page[string]{}, err
		}
		var factors struct {
			Data json.RawMessage `json:"data"`
		}
		if err := resp.JSON(&factors); err != nil {
			return poll.Page[string]{}, err
		}
		record, err := poll.Snapshot{ReadAt: a.rt.Now(), User: user, Authenticators: factors.Data}.Record(source, a.tenant, "workos inventory "+a.tenant)
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
	FirstName lenient.Text `json:"first_name"`
	LastName  lenient.Text `json:"last_name"`
}

// apiFactor is an authentication factor of the API.
type apiFactor struct {
	ID      lenient.Text `json:"id"`
	Type    lenient.Text `json:"type"`
	Created lenient.Text `json:"created_at"`
	SMS     struct {
		Phone lenient.Text `json:"phone_number"`
	} `json:"sms"`
	TOTP struct {
		Issuer lenient.Text `json:"issuer"`
	} `json:"totp"`
}

func (f *apiFactor) method() (event.Method, bool) {
	switch f.Type {
	case "totp", "generic_otp":
		return event.MethodTOTP, true
	case "sms":
		return event.MethodSMS, true
	case "webauthn":
		return event.MethodPasskey, true
	}
	return event.MethodUnknown, false
}

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
		Subject: user(string(u.ID), string(u.Email)), Snapshot: &event.Snapshot{Complete: s.Complete}, Raw: r.Data,
	}
	e.Subject.DisplayName = strings.TrimSpace(string(u.FirstName) + " " + string(u.LastName))
	if e.Subject.ID == "" && e.Subject.Name == "" {
		return nil, ingest.Skip(ingest.SkipNoIdentity, "inventory")
	}
	e.ID = lenient.Digest(string(r.Source), r.Tenant, string(u.ID), s.ReadAt.Format("2006-01-02T15:04:05.000Z"))
	var factors []apiFactor
	if len(s.Authenticators) > 0 && json.Unmarshal(s.Authenticators, &factors) != nil {
		return nil, ingest.Malformed(ingest.MalformedShape, "factors of the inventory are no list")
	}
	for i := range factors {
		f := &factors[i]
		m, ok := f.method()
		if !ok {
			e.Warnings = append(e.Warnings, "factor type not known: "+string(f.Type))
		}
		a := event.NewAuthenticator(m)
		a.ID, a.Name, a.Address = string(f.ID), lenient.First(string(f.TOTP.Issuer), string(f.Type)), string(f.SMS.Phone)
		if t, ok := lenient.Time(string(f.Created)); ok {
			a.Created = &t
		}
		e.Authenticators = append(e.Authenticators, a)
	}
	e.Sanitize()
	return []event.Event{e}, nil
}
