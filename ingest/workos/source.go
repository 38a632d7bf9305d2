package workos

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
)

// source is the name of the provider.
const source event.Source = "workos"

// Provider is WorkOS.
func Provider() ingest.Provider {
	return ingest.Provider{Source: source, Title: "WorkOS events", Normalizer: New(), Example: example, Shows: []ingest.Capability{
		{Fact: ingest.FactFactor, Extent: ingest.Partly, Note: "the first factor; of a second one only that there was one"},
		{Fact: ingest.FactPasskeyKind, Extent: ingest.Never},
		{Fact: ingest.FactEnrolment, Extent: ingest.Never, Note: "a passkey is learned from its use"},
		{Fact: ingest.FactInventory, Extent: ingest.Partly, Note: "one-time codes and text messages; passkeys unverified"},
		{Fact: ingest.FactRecovery, Extent: ingest.Partly, Note: "password resets, without address or browser"},
		{Fact: ingest.FactConsent, Extent: ingest.Partly, Note: "accounts connected by Pipes; authorized applications have no event"},
		{Fact: ingest.FactPolicy, Extent: ingest.Partly, Note: "connections and roles; not the methods that AuthKit offers"},
		{Fact: ingest.FactRole, Extent: ingest.Partly, Note: "roles in organizations; not those of the dashboard"},
		{Fact: ingest.FactSession, Extent: ingest.Fully},
		{Fact: ingest.FactDevice, Extent: ingest.Never},
		{Fact: ingest.FactUserAgent, Extent: ingest.Fully},
		{Fact: ingest.FactCountry, Extent: ingest.Never},
		{Fact: ingest.FactASN, Extent: ingest.Never},
		{Fact: ingest.FactHelpDesk, Extent: ingest.Partly, Note: "context.actor, and the impersonator of a session"},
		{Fact: ingest.FactSignedPush, Extent: ingest.Fully, Note: "HMAC-SHA256 with a time in milliseconds"},
	}}
}

// api is one environment.
type api struct {
	client *rest.Client
	rt     ingest.Runtime
	tenant string
}

// cursor is a position in the events, which the API keeps for 30 days in the order
// of their creation.
type cursor struct {
	// After is the id of the last event that was read.
	After string `json:"after,omitempty"`
	// Since is where to begin without After, or where After is not known any more.
	Since time.Time `json:"since"`
}

// pageSize is the most that WorkOS gives.
const pageSize = "100"

// lostOverlap is how far before the last event a lost position begins again.
const lostOverlap = time.Hour

func (a *api) log(c *Config) ingest.Source {
	people := &people{api: a, emails: map[string]string{}}
	types := strings.Join(c.Events, ",")
	return poll.Source(poll.Log[cursor]{Runtime: a.rt, Interval: c.Interval, Start: cursor{Since: c.Start(a.rt).UTC()},
		Fetch: func(ctx context.Context, at cursor) (poll.Page[cursor], error) {
			return a.fetch(ctx, at, types, people)
		}})
}

func (a *api) fetch(ctx context.Context, at cursor, types string, people *people) (poll.Page[cursor], error) {
	query := url.Values{"events": {types}, "limit": {pageSize}, "order": {"asc"}}
	if at.After == "" {
		query.Set("range_start", at.Since.Format("2006-01-02T15:04:05.000Z"))
	} else {
		query.Set("after", at.After)
	}
	resp, err := a.client.Get(ctx, "events", query)
	if status, ok := errors.AsType[*rest.StatusError](err); ok && at.After != "" &&
		slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusGone, http.StatusUnprocessableEntity}, status.Status) {
		a.rt.Log.WarnContext(ctx, "position is no longer known to workos, reading again from an hour before the last event", "error", err)
		lost := &ingest.Loss{From: at.Since, Detail: "position is no longer known to workos, read again by time from an hour before it: what came later than that may be missing"}
		return poll.Page[cursor]{Next: cursor{Since: at.Since.Add(-lostOverlap)}, More: true, Lost: lost}, nil
	}
	if err != nil {
		return poll.Page[cursor]{}, err
	}
	var list struct {
		Data []json.RawMessage `json:"data"`
	}
	if err := resp.JSON(&list); err != nil {
		return poll.Page[cursor]{}, err
	}
	page := poll.Page[cursor]{Next: at, More: len(list.Data) > 0, Through: a.rt.Now()}
	heads := make([]head, len(list.Data))
	for i, row := range list.Data {
		if json.Unmarshal(row, &heads[i]) == nil {
			people.learn(&heads[i])
		}
	}
	for i, row := range list.Data {
		h := &heads[i]
		if row, err = people.complete(ctx, row, h); err != nil {
			return poll.Page[cursor]{}, err
		}
		page.Records = append(page.Records, ingest.Record{Source: source, Tenant: a.tenant, Stream: streamEvents, Data: row, Origin: "workos api " + a.tenant})
		page.Next.After = lenient.First(h.ID, page.Next.After)
		if t, ok := lenient.Time(h.CreatedAt); ok && t.After(page.Next.Since) && !t.After(a.rt.Now()) {
			page.Next.Since = t
		}
	}
	if page.More {
		page.Through = page.Next.Since
		if page.Next.After == at.After {
			return poll.Page[cursor]{}, errors.New("read workos events: a page of events names no new id to go on from")
		}
	}
	return page, nil
}

// head is what the source reads of an event.
type head struct {
	ID        string `json:"id"`
	CreatedAt string `json:"created_at"`
	Data      struct {
		Object string `json:"object"`
		ID     string `json:"id"`
		UserID string `json:"user_id"`
		Email  string `json:"email"`
		Owner  struct {
			Type string `json:"type"`
			ID   string `json:"id"`
		} `json:"owner"`
	} `json:"data"`
}

// user returns whom an event names by id without an address, "" for nobody.
func (h *head) user() string {
	switch {
	case h.Data.Email != "":
		return ""
	case h.Data.UserID != "":
		return h.Data.UserID
	case h.Data.Owner.Type == "user":
		return h.Data.Owner.ID
	}
	return ""
}

// people knows the addresses of users by their ids. One source owns it.
type people struct {
	api    *api
	emails map[string]string
}

// maxPeople bounds it; beyond, it begins anew.
const maxPeople = 20_000

func (p *people) remember(id, email string) {
	if len(p.emails) >= maxPeople {
		clear(p.emails)
	}
	p.emails[id] = email
}

// learn takes what an event says of a user.
func (p *people) learn(h *head) {
	switch {
	case h.Data.Email == "":
	case h.Data.UserID != "":
		p.remember(h.Data.UserID, h.Data.Email)
	case h.Data.Object == "user" && h.Data.ID != "":
		p.remember(h.Data.ID, h.Data.Email)
	}
}

// complete adds the address of the user to an event that names an id alone.
func (p *people) complete(ctx context.Context, row json.RawMessage, h *head) (json.RawMessage, error) {
	id := h.user()
	if id == "" {
		return row, nil
	}
	email, ok := p.emails[id]
	if !ok {
		resp, err := p.api.client.Get(ctx, "user_management/users/"+url.PathEscape(id), nil)
		status, isStatus := errors.AsType[*rest.StatusError](err)
		switch {
		case isStatus && status.Status == http.StatusNotFound: // deleted since
		case err != nil:
			return nil, err
		default:
			var u struct {
				Email string `json:"email"`
			}
			if err := resp.JSON(&u); err != nil {
				return nil, err
			}
			email = u.Email
		}
		p.remember(id, email)
	}
	if email == "" {
		return row, nil
	}
	quoted, err := json.Marshal(email)
	if err != nil {
		return nil, err
	}
	members := strings.TrimPrefix(strings.TrimSpace(string(row)), "{")
	return json.RawMessage(`{"stepdown_user_email":` + string(quoted) + "," + members), nil
}
