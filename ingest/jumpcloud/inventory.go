package jumpcloud

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
)

// usersPerPage is what the vendor's own tools ask for.
const usersPerPage = 100

// directory is the API of users, which is at another host than the events.
type directory struct {
	client         *rest.Client
	rt             ingest.Runtime
	tenant, origin string
}

func (d *directory) inventory(c poll.SweepConfig) ingest.Source {
	return poll.SweepSource(poll.Sweep[int]{Runtime: d.rt, Every: c.Every, Fetch: d.users})
}

// apiUser is what is kept of a user of the API, who has addresses, telephones and
// keys beside it that nobody needs here.
type apiUser struct {
	ID          lenient.Text `json:"_id"`
	Username    lenient.Text `json:"username"`
	Email       lenient.Text `json:"email"`
	DisplayName lenient.Text `json:"displayname"`
}

// users reads one page of users; at is how many were read before.
func (d *directory) users(ctx context.Context, at int) (poll.Page[int], error) {
	resp, err := d.client.Get(ctx, "api/systemusers", url.Values{"limit": {strconv.Itoa(usersPerPage)}, "skip": {strconv.Itoa(at)}, "sort": {"_id"}})
	if err != nil {
		return poll.Page[int]{}, err
	}
	var answer struct {
		TotalCount int `json:"totalCount"`
		Results    []struct {
			apiUser
			MFAEnrollment json.RawMessage `json:"mfaEnrollment"`
		} `json:"results"`
	}
	if err := resp.JSON(&answer); err != nil {
		return poll.Page[int]{}, err
	}
	page := poll.Page[int]{Next: at + len(answer.Results)}
	page.More = len(answer.Results) > 0 && page.Next < answer.TotalCount
	for _, u := range answer.Results {
		user, err := json.Marshal(u.apiUser)
		if err != nil {
			return poll.Page[int]{}, err
		}
		record, err := poll.Snapshot{ReadAt: d.rt.Now(), User: user, Authenticators: u.MFAEnrollment}.Record(source, d.tenant, d.origin)
		if err != nil {
			return poll.Page[int]{}, err
		}
		page.Records = append(page.Records, record)
	}
	return page, nil
}

// normalizeSnapshot makes the event of a record that the inventory made. It is never
// complete: it says nothing of JumpCloud Go and of Duo.
func normalizeSnapshot(r ingest.Record) ([]event.Event, error) {
	s, err := poll.ReadSnapshot(r.Data)
	if err != nil {
		return nil, err
	}
	var user apiUser
	if _, err := lenient.Decode(s.User, &user); err != nil {
		return nil, err
	}
	var status struct {
		Push     lenient.Text `json:"pushStatus"`
		TOTP     lenient.Text `json:"totpStatus"`
		WebAuthn lenient.Text `json:"webAuthnStatus"`
	}
	if len(s.Authenticators) == 0 {
		return nil, ingest.Skip(ingest.SkipIntermediate, "inventory without a status of enrolment")
	}
	if _, err := lenient.Decode(s.Authenticators, &status); err != nil {
		return nil, err
	}
	e := event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Tenant: r.Tenant, Stream: poll.StreamInventory,
		Kind: event.AuthenticatorSnapshot, Action: "inventory", Time: s.ReadAt, Observed: r.Observed, Outcome: event.Success,
		Subject: event.Principal{ID: lenient.Known(string(user.ID)), Name: login(user.Email, user.Username), Type: typeUser,
			DisplayName: lenient.Known(string(user.DisplayName))},
		Snapshot: &event.Snapshot{Complete: s.Complete}, Raw: r.Data,
	}
	if e.Subject.ID == "" && e.Subject.Name == "" {
		return nil, ingest.Skip(ingest.SkipNoIdentity, "inventory")
	}
	e.ID = lenient.Digest(string(r.Source), r.Tenant, e.Subject.ID, s.ReadAt.Format("2006-01-02T15:04:05.000Z"))
	for _, m := range [...]struct {
		status lenient.Text
		method event.Method
		name   string
	}{
		{status.WebAuthn, event.MethodPasskey, "security key or device authenticator"},
		{status.Push, event.MethodPush, "JumpCloud Protect"},
		{status.TOTP, event.MethodTOTP, "verification code"},
	} {
		if strings.EqualFold(string(m.status), "ENROLLED") {
			a := event.NewAuthenticator(m.method)
			a.Name = m.name
			e.Authenticators = append(e.Authenticators, a)
		}
	}
	e.Sanitize()
	return []event.Event{e}, nil
}
