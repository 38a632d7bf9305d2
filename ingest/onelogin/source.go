package onelogin

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
)

// source is the name of the provider.
const source event.Source = "onelogin"

// Provider is OneLogin.
func Provider() ingest.Provider {
	return ingest.Provider{Source: source, Title: "OneLogin events", Normalizer: New(), Example: example, Shows: []ingest.Capability{
		{Fact: ingest.FactFactor, Extent: ingest.Partly, Note: "by webhook, in an event beside the sign-in; the API leaves the factor out"},
		{Fact: ingest.FactPasskeyKind, Extent: ingest.Never},
		{Fact: ingest.FactEnrolment, Extent: ingest.Partly, Note: "that a device was registered or removed; its kind by webhook only"},
		{Fact: ingest.FactInventory, Extent: ingest.Fully, Note: "MFA devices of each user; privileges are not read"},
		{Fact: ingest.FactRecovery, Extent: ingest.Fully},
		{Fact: ingest.FactConsent, Extent: ingest.Never},
		{Fact: ingest.FactPolicy, Extent: ingest.Partly, Note: "that a policy changed, not from what to what"},
		{Fact: ingest.FactRole, Extent: ingest.Fully},
		{Fact: ingest.FactSession, Extent: ingest.Never},
		{Fact: ingest.FactDevice, Extent: ingest.Partly, Note: "the browser's fingerprint, by webhook"},
		{Fact: ingest.FactUserAgent, Extent: ingest.Partly, Note: "by webhook"},
		{Fact: ingest.FactCountry, Extent: ingest.Never},
		{Fact: ingest.FactASN, Extent: ingest.Never},
		{Fact: ingest.FactHelpDesk, Extent: ingest.Fully},
		{Fact: ingest.FactSignedPush, Extent: ingest.Never, Note: "webhooks carry custom headers"},
	}}
}

// api is one account.
type api struct {
	client  *rest.Client
	rt      ingest.Runtime
	tenant  string
	overlap time.Duration
	// types are the types of events by id, nil before they were read; people are
	// the users that events named, nil for those who are gone. The log alone uses
	// them. before are the people remembered until that was too many: an event that is
	// read again must not name them otherwise, or it were another record.
	types          map[int64]eventType
	people, before map[string]*person
}

// cursor is a position in the log, which is read by windows of time.
type cursor struct {
	// From is the time up to which nothing more is expected; it never comes nearer to
	// the present than the overlap.
	From time.Time `json:"from"`
}

const (
	// pageSize is the most that OneLogin gives.
	pageSize = "50"
	// step is how far one look at history goes beyond the overlap. A whole look is
	// read before it is handed on, in the order of time.
	step = 10 * time.Minute
	// maxPeople bounds the users that are remembered, twice.
	maxPeople = 50_000
)

func (a *api) log(s poll.Schedule) ingest.Source {
	return poll.Source(poll.Log[cursor]{Runtime: a.rt, Interval: s.Interval, Start: cursor{From: s.Start(a.rt).UTC()},
		Fetch: a.fetch, Overlap: a.overlap + step, When: when})
}

// when reads the time of an event.
func when(data []byte) time.Time {
	var head struct {
		CreatedAt string `json:"created_at"`
	}
	_ = json.Unmarshal(data, &head) // no time is no time
	t, _ := lenient.Time(head.CreatedAt)
	return t
}

func (a *api) fetch(ctx context.Context, at cursor) (poll.Page[cursor], error) {
	if err := a.readTypes(ctx); err != nil {
		return poll.Page[cursor]{}, err
	}
	now := a.rt.Now().UTC()
	to := at.From.Add(a.overlap + step)
	if to.After(now) {
		to = now
	}
	// Whether the bounds are exclusive is not documented.
	query := url.Values{"limit": {pageSize}, "since": {stamp(at.From.Add(-time.Millisecond))}, "until": {stamp(to.Add(time.Millisecond))}}
	page := poll.Page[cursor]{Next: at, More: to.Before(now), Through: to}
	for {
		resp, err := a.client.Get(ctx, "api/1/events", query)
		if err != nil {
			return poll.Page[cursor]{}, err
		}
		var answer struct {
			Data       []json.RawMessage `json:"data"`
			Pagination struct {
				AfterCursor string `json:"after_cursor"`
			} `json:"pagination"`
		}
		if err := resp.JSON(&answer); err != nil {
			return poll.Page[cursor]{}, err
		}
		for _, row := range answer.Data {
			data, err := a.add(ctx, row)
			if err != nil {
				return poll.Page[cursor]{}, err
			}
			page.Records = append(page.Records, ingest.Record{Source: source, Tenant: a.tenant, Stream: stream, Data: data, Origin: "onelogin api " + a.tenant})
		}
		if answer.Pagination.AfterCursor == "" || len(answer.Data) == 0 {
			break
		}
		query.Set("after_cursor", answer.Pagination.AfterCursor)
	}
	slices.SortStableFunc(page.Records, func(x, y ingest.Record) int { return when(x.Data).Compare(when(y.Data)) })
	if settled := now.Add(-a.overlap); settled.Before(to) {
		to = settled
	}
	if to.After(at.From) {
		page.Next.From = to
	}
	return page, nil
}

// stamp writes a time as the API's parameters have it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// readTypes reads the list of types once: the vendor asks to keep it.
func (a *api) readTypes(ctx context.Context) error {
	if a.types != nil {
		return nil
	}
	resp, err := a.client.Get(ctx, "api/1/events/types", nil)
	if err != nil {
		return err
	}
	var answer struct {
		Data []struct {
			ID int64 `json:"id"`
			eventType
		} `json:"data"`
	}
	if err := resp.JSON(&answer); err != nil {
		return err
	}
	a.types = make(map[int64]eventType, len(answer.Data))
	for _, t := range answer.Data {
		a.types[t.ID] = t.eventType
	}
	return nil
}

// add puts what the API knows beside an event to its end.
func (a *api) add(ctx context.Context, row json.RawMessage) ([]byte, error) {
	var head struct {
		EventTypeID lenient.Number `json:"event_type_id"`
		UserID      lenient.Text   `json:"user_id"`
		ActorUserID lenient.Text   `json:"actor_user_id"`
	}
	trimmed := bytes.TrimRight(row, " \t\r\n")
	if json.Unmarshal(row, &head) != nil || !bytes.HasSuffix(trimmed, []byte("}")) {
		return row, nil
	}
	var more added
	if t, ok := a.types[head.EventTypeID.N]; ok {
		more.Type = &t
	}
	var err error
	if more.User, err = a.person(ctx, string(head.UserID)); err != nil {
		return nil, err
	}
	if more.Actor, err = a.person(ctx, string(head.ActorUserID)); err != nil {
		return nil, err
	}
	if more == (added{}) {
		return row, nil
	}
	extra, err := json.Marshal(more)
	if err != nil {
		return nil, err
	}
	out := append([]byte(nil), trimmed[:len(trimmed)-1]...)
	out = append(out, `,"stepdown":`...)
	out = append(out, extra...)
	return append(out, '}'), nil
}

// person returns how the API calls a user, nil for nobody and for one who is gone.
func (a *api) person(ctx context.Context, id string) (*person, error) {
	if n, err := strconv.ParseInt(id, 10, 64); err != nil || n <= 0 {
		return nil, nil //nolint:nilerr // no id names nobody
	}
	if p, ok := a.people[id]; ok {
		return p, nil
	}
	if p, ok := a.before[id]; ok {
		a.remember(id, p)
		return p, nil
	}
	resp, err := a.client.Get(ctx, "api/2/users/"+id, nil)
	var p *person
	if rest.HasStatus(err, http.StatusNotFound) {
		err = nil
	} else if err == nil {
		p = &person{}
		err = resp.JSON(p)
	}
	if err != nil {
		return nil, err
	}
	a.remember(id, p)
	return p, nil
}

func (a *api) remember(id string, p *person) {
	if len(a.people) >= maxPeople {
		a.before, a.people = a.people, map[string]*person{}
	}
	a.people[id] = p
}
