package jumpcloud

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
)

const (
	// source is the name of the provider.
	source event.Source = "jumpcloud"
	// stream is the one log that JumpCloud has; its services are parts of it.
	stream = "directory_insights"
)

// Provider is JumpCloud Directory Insights.
func Provider() ingest.Provider {
	return ingest.Provider{Source: source, Title: "JumpCloud Directory Insights", Normalizer: New(), Example: example, Shows: []ingest.Capability{
		{Fact: ingest.FactFactor, Extent: ingest.Partly, Note: "auth_methods where the event has them; an administrator's sign-in says only that there was a second factor"},
		{Fact: ingest.FactPasskeyKind, Extent: ingest.Partly, Note: "JumpCloud Go is bound to a device; WebAuthn is not told apart"},
		{Fact: ingest.FactEnrolment, Extent: ingest.Partly, Note: "TOTP only: WebAuthn, JumpCloud Protect and JumpCloud Go have no documented event"},
		{Fact: ingest.FactInventory, Extent: ingest.Partly, Note: "whether TOTP, JumpCloud Protect and WebAuthn are enrolled; removals are not told"},
		{Fact: ingest.FactRecovery, Extent: ingest.Fully},
		{Fact: ingest.FactConsent, Extent: ingest.Never},
		{Fact: ingest.FactPolicy, Extent: ingest.Partly, Note: "changes of conditional access, from and to where the event lists them"},
		{Fact: ingest.FactRole, Extent: ingest.Partly, Note: "that an administrator was made or removed"},
		{Fact: ingest.FactSession, Extent: ingest.Never},
		{Fact: ingest.FactDevice, Extent: ingest.Partly, Note: "managed systems"},
		{Fact: ingest.FactUserAgent, Extent: ingest.Fully, Note: "families, not the text"},
		{Fact: ingest.FactCountry, Extent: ingest.Fully},
		{Fact: ingest.FactASN, Extent: ingest.Never},
		{Fact: ingest.FactHelpDesk, Extent: ingest.Fully},
		{Fact: ingest.FactSignedPush, Extent: ingest.Never, Note: "there are no webhooks"},
	}}
}

// api is one organization.
type api struct {
	client         *rest.Client
	rt             ingest.Runtime
	tenant, origin string
	overlap        time.Duration
}

// cursor is a position in the log, which is read by windows of time.
type cursor struct {
	// From is the time up to which nothing more is expected; it never comes nearer to
	// the present than the overlap.
	From time.Time `json:"from"`
}

const (
	// pageSize is less than the 10,000 that JumpCloud allows, to keep an answer small.
	pageSize = 1000
	// step is how far one look at history goes beyond the overlap. A whole look is
	// read before it is handed on.
	step = 30 * time.Minute
)

// request is the body of a query. Services that tell nothing of sign-ins (mdm,
// software and the like) are left out.
type request struct {
	Service     []string        `json:"service"`
	StartTime   string          `json:"start_time"`
	EndTime     string          `json:"end_time"`
	Limit       int             `json:"limit"`
	Sort        string          `json:"sort"`
	SearchAfter json.RawMessage `json:"search_after,omitempty"`
}

func (a *api) log(s poll.Schedule) ingest.Source {
	return poll.Source(poll.Log[cursor]{Runtime: a.rt, Interval: s.Interval, Start: cursor{From: s.Start(a.rt).UTC()},
		Fetch: a.fetch, Overlap: a.overlap + step, When: when})
}

// when reads the time of an event.
func when(data []byte) time.Time {
	var head struct {
		Timestamp string `json:"timestamp"`
	}
	_ = json.Unmarshal(data, &head) // no time is no time
	t, _ := lenient.Time(head.Timestamp)
	return t
}

func (a *api) fetch(ctx context.Context, at cursor) (poll.Page[cursor], error) {
	now := a.rt.Now().UTC()
	to := at.From.Add(a.overlap + step)
	if to.After(now) {
		to = now
	}
	// Whether the bounds are exclusive is not documented.
	query := request{Service: []string{"directory", "sso", "radius", "ldap", "systems", "password_manager"},
		StartTime: stamp(at.From.Add(-time.Millisecond)), EndTime: stamp(to.Add(time.Millisecond)), Limit: pageSize, Sort: "ASC"}
	page := poll.Page[cursor]{Next: at, More: to.Before(now), Through: to}
	for {
		resp, err := a.client.Post(ctx, "insights/directory/v1/events", nil, query)
		if err != nil {
			return poll.Page[cursor]{}, err
		}
		var rows []json.RawMessage
		if err := resp.JSON(&rows); err != nil {
			return poll.Page[cursor]{}, err
		}
		for _, row := range rows {
			page.Records = append(page.Records, ingest.Record{Source: source, Tenant: a.tenant, Stream: stream, Data: row, Origin: a.origin})
		}
		// The header is there on the last page too, which is one that is not full.
		if len(rows) < pageSize {
			break
		}
		after := json.RawMessage(resp.Header.Get("X-Search_after"))
		if !json.Valid(after) {
			return poll.Page[cursor]{}, errors.New("jumpcloud names no position after a full page")
		}
		query.SearchAfter = after
	}
	if settled := now.Add(-a.overlap); settled.Before(to) {
		to = settled
	}
	if to.After(at.From) {
		page.Next.From = to
	}
	return page, nil
}

// stamp writes a time as the API has it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
