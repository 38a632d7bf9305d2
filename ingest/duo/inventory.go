package duo

import (
	"context"
	"encoding/json"
	"errors"
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

// usersPerPage is small: each user takes one more request, and a page that fails
// is read again.
const usersPerPage = 50

// sweepAt is a position of the sweep: users first, then administrators.
type sweepAt struct {
	Admins bool `json:"admins,omitempty"`
	Offset int  `json:"offset,omitempty"`
}

func (a *api) inventory(c poll.SweepConfig) ingest.Source {
	return poll.SweepSource(poll.Sweep[sweepAt]{Runtime: a.rt, Every: c.Every, Fetch: a.people})
}

// people reads one page of users with their bypass codes, or of administrators.
func (a *api) people(ctx context.Context, at sweepAt) (poll.Page[sweepAt], error) {
	path := "admin/v1/users"
	if at.Admins {
		path = "admin/v1/admins"
	}
	resp, err := a.client.Get(ctx, path, url.Values{"limit": {strconv.Itoa(usersPerPage)}, "offset": {strconv.Itoa(at.Offset)}})
	if at.Admins && isRefused(err) {
		a.rt.Log.DebugContext(ctx, "administrators not read", "error", err)
		return poll.Page[sweepAt]{}, nil
	}
	if err != nil {
		return poll.Page[sweepAt]{}, err
	}
	var list struct {
		Response []json.RawMessage `json:"response"`
		Metadata struct {
			Next lenient.Number `json:"next_offset"`
		} `json:"metadata"`
	}
	if err := resp.JSON(&list); err != nil {
		return poll.Page[sweepAt]{}, err
	}
	page := poll.Page[sweepAt]{More: true}
	switch {
	case list.Metadata.Next.Known && int(list.Metadata.Next.N) > at.Offset:
		page.Next = sweepAt{Admins: at.Admins, Offset: int(list.Metadata.Next.N)}
	case at.Admins:
		page.More = false
	default:
		page.Next = sweepAt{Admins: true}
	}
	for _, one := range list.Response {
		snapshot := poll.Snapshot{ReadAt: a.rt.Now(), User: one}
		if !at.Admins {
			if snapshot.Authenticators, err = a.bypassCodes(ctx, one); err != nil {
				return poll.Page[sweepAt]{}, err
			}
			snapshot.Complete = snapshot.Authenticators != nil
		}
		record, err := snapshot.Record(source, a.tenant, "duo inventory "+a.tenant)
		if err != nil {
			return poll.Page[sweepAt]{}, err
		}
		page.Records = append(page.Records, record)
	}
	return page, nil
}

// bypassCodes returns the codes that a user could use now; nil where they may not be
// read.
func (a *api) bypassCodes(ctx context.Context, user json.RawMessage) (json.RawMessage, error) {
	var head struct {
		ID string `json:"user_id"`
	}
	if json.Unmarshal(user, &head) != nil || head.ID == "" {
		return nil, nil
	}
	resp, err := a.client.Get(ctx, "admin/v1/users/"+url.PathEscape(head.ID)+"/bypass_codes", nil)
	if isRefused(err) {
		a.rt.Log.DebugContext(ctx, "bypass codes not read", "error", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list struct {
		Response json.RawMessage `json:"response"`
	}
	if err := resp.JSON(&list); err != nil {
		return nil, err
	}
	return list.Response, nil
}

// isRefused tells a permission that the application lacks from a secret key that is
// wrong, which is refused by 401.
func isRefused(err error) bool {
	status, ok := errors.AsType[*rest.StatusError](err)
	return ok && status.Status == http.StatusForbidden
}

// apiUser is what is read of a user or an administrator of the Admin API.
type apiUser struct {
	ID          lenient.Text `json:"user_id"`
	Username    lenient.Text `json:"username"`
	RealName    lenient.Text `json:"realname"`
	Email       lenient.Text `json:"email"`
	Credentials []struct {
		Key   lenient.Text `json:"webauthnkey"`
		Name  lenient.Text `json:"credential_name"`
		Label lenient.Text `json:"label"`
		Added lenient.Text `json:"date_added"`
	} `json:"webauthncredentials"`
	U2F []struct {
		ID    lenient.Text `json:"registration_id"`
		Added lenient.Text `json:"date_added"`
	} `json:"u2ftokens"`
	Phones []struct {
		ID           lenient.Text  `json:"phone_id"`
		Name         lenient.Text  `json:"name"`
		Number       lenient.Text  `json:"number"`
		Platform     lenient.Text  `json:"platform"`
		Capabilities lenient.Texts `json:"capabilities"`
	} `json:"phones"`
	Tokens []struct {
		ID     lenient.Text `json:"token_id"`
		Serial lenient.Text `json:"serial"`
	} `json:"tokens"`

	AdminID lenient.Text `json:"admin_id"`
	Name    lenient.Text `json:"name"`
	Role    lenient.Text `json:"role"`
	Status  lenient.Text `json:"status"`
}

// normalizeSnapshot makes the event of a record that the inventory made: what a user
// has enrolled, or the role that an administrator has.
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
	e := event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Tenant: r.Tenant, Stream: poll.StreamInventory, Raw: r.Data,
		Action: "inventory", Time: s.ReadAt, Observed: r.Observed, Outcome: event.Success,
	}
	if warning != "" {
		e.Warnings = []string{warning}
	}
	if user.AdminID != "" {
		e.Kind, e.Subject = event.RoleChange, administrator(string(user.AdminID), string(user.Name), string(user.Email))
		e.Role = &event.Role{Full: true, Granted: true}
		if role := lenient.Known(string(user.Role)); role != "" && !strings.EqualFold(string(user.Status), "disabled") {
			e.Role = roleOf(role)
		}
	} else {
		e.Kind, e.Subject = event.AuthenticatorSnapshot, person(string(user.ID), string(user.Username), string(user.Email))
		e.Subject.DisplayName = lenient.First(lenient.Known(string(user.RealName)), e.Subject.DisplayName)
		e.Snapshot = &event.Snapshot{Complete: s.Complete}
		e.Authenticators = user.authenticators()
		if err := addBypassCodes(&e, s.Authenticators); err != nil {
			return nil, err
		}
	}
	if e.Subject.ID == "" && e.Subject.Name == "" {
		return nil, ingest.Skip(ingest.SkipNoIdentity, "inventory")
	}
	e.ID = lenient.Digest(string(r.Source), r.Tenant, string(e.Kind), e.Subject.ID, e.Subject.Name, s.ReadAt.Format("2006-01-02T15:04:05.000Z"))
	e.Sanitize()
	return []event.Event{e}, nil
}

// authenticators are those of the user's own. A phone is one for each of its
// methods.
func (u *apiUser) authenticators() []event.Authenticator {
	var out []event.Authenticator
	add := func(m event.Method, id, name, added string) *event.Authenticator {
		a := event.NewAuthenticator(m)
		a.ID, a.Name = credentialID(id, m), name
		if t, ok := lenient.Time(added); ok {
			a.Created = &t
		}
		out = append(out, a)
		return &out[len(out)-1]
	}
	for _, c := range u.Credentials {
		add(webauthnMethod(string(c.Label)), string(c.Key), lenient.First(string(c.Name), string(c.Label)), string(c.Added))
	}
	for _, t := range u.U2F {
		add(event.MethodSecurityKey, string(t.ID), "U2F", string(t.Added))
	}
	for _, t := range u.Tokens {
		add(event.MethodOTPHardware, string(t.ID), string(t.Serial), "")
	}
	for _, p := range u.Phones {
		name := lenient.First(lenient.Known(string(p.Name)), lenient.Known(string(p.Platform)))
		for _, capability := range [...]struct {
			word   string
			method event.Method
		}{{"push", event.MethodPush}, {"mobile_otp", event.MethodTOTP}, {"sms", event.MethodSMS}, {"phone", event.MethodVoice}} {
			if slices.Contains(p.Capabilities, capability.word) {
				add(capability.method, string(p.ID), name, "").Address = lenient.Known(string(p.Number))
			}
		}
	}
	return out
}

// addBypassCodes adds the codes that are waiting to be used.
func addBypassCodes(e *event.Event, data json.RawMessage) error {
	var codes []struct {
		ID      lenient.Text `json:"bypass_code_id"`
		Created lenient.Text `json:"created"`
	}
	if len(data) > 0 && json.Unmarshal(data, &codes) != nil {
		return ingest.Malformed(ingest.MalformedShape, "bypass codes of the inventory are no list")
	}
	for _, c := range codes {
		a := event.NewAuthenticator(event.MethodBypassCode)
		a.ID, a.Name = string(c.ID), "bypass code"
		if t, ok := lenient.Time(string(c.Created)); ok {
			a.Created = &t
		}
		e.Authenticators = append(e.Authenticators, a)
	}
	return nil
}
