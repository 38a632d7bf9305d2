package cloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
)

// source is the name of the provider.
const source event.Source = "cloudflare"

// Provider is Cloudflare Access.
func Provider() ingest.Provider {
	return ingest.Provider{Source: source, Title: "Cloudflare Access", Normalizer: New(), Example: example, Shows: []ingest.Capability{
		{Fact: ingest.FactFactor, Extent: ingest.Partly, Note: "the one-time PIN; else the identity provider, which knows"},
		{Fact: ingest.FactPasskeyKind, Extent: ingest.Never},
		{Fact: ingest.FactEnrolment, Extent: ingest.Never},
		{Fact: ingest.FactInventory, Extent: ingest.Never},
		{Fact: ingest.FactRecovery, Extent: ingest.Never},
		{Fact: ingest.FactConsent, Extent: ingest.Never},
		{Fact: ingest.FactPolicy, Extent: ingest.Never, Note: "in the account's audit log, which is another"},
		{Fact: ingest.FactRole, Extent: ingest.Never},
		{Fact: ingest.FactSession, Extent: ingest.Never},
		{Fact: ingest.FactDevice, Extent: ingest.Never},
		{Fact: ingest.FactUserAgent, Extent: ingest.Never},
		{Fact: ingest.FactCountry, Extent: ingest.Fully},
		{Fact: ingest.FactASN, Extent: ingest.Never},
		{Fact: ingest.FactHelpDesk, Extent: ingest.Partly, Note: "who approved a temporary access, by Logpush"},
		{Fact: ingest.FactSignedPush, Extent: ingest.Never, Note: "Logpush to HTTP carries a static header (unverified)"},
	}}
}

// api is one account.
type api struct {
	client       *rest.Client
	rt           ingest.Runtime
	tenant, path string
}

// cursor is a position in the log, in whole seconds.
type cursor struct {
	// From is where this look began, Since how far it is.
	From  time.Time `json:"from"`
	Since time.Time `json:"since"`
	// Newest is the time of the newest record that was seen.
	Newest time.Time `json:"newest,omitzero"`
}

// overlap is how far back each look begins: records may be shown late.
const overlap = 10 * time.Minute

// pageSize is how many records are asked for.
const pageSize = 1000

func (a *api) log(s poll.Schedule) ingest.Source {
	start := s.Start(a.rt).UTC().Truncate(time.Second)
	return poll.Source(poll.Log[cursor]{Runtime: a.rt, Interval: s.Interval, Start: cursor{From: start, Since: start},
		Fetch: a.fetch, Overlap: overlap, When: timeOf})
}

// fetch reads the records since a time, the oldest first, and goes on from the last
// of them until nothing newer comes.
func (a *api) fetch(ctx context.Context, at cursor) (poll.Page[cursor], error) {
	now := a.rt.Now()
	resp, err := a.client.Get(ctx, a.path, url.Values{"since": {at.Since.UTC().Format(time.RFC3339)}, "direction": {"asc"}, "limit": {strconv.Itoa(pageSize)}})
	if err != nil {
		return poll.Page[cursor]{}, err
	}
	var answer struct {
		Success bool              `json:"success"`
		Result  []json.RawMessage `json:"result"`
	}
	if err := resp.JSON(&answer); err != nil {
		return poll.Page[cursor]{}, err
	}
	if !answer.Success {
		return poll.Page[cursor]{}, errors.New("cloudflare answers without success")
	}
	page := poll.Page[cursor]{Next: at}
	last := at.Since
	for _, row := range answer.Result {
		page.Records = append(page.Records, ingest.Record{Source: source, Tenant: a.tenant, Stream: stream, Data: row, Origin: "cloudflare api " + a.tenant})
		t := timeOf(row)
		if t.After(now) {
			continue // a clock that is ahead must not carry the position with it
		}
		last, page.Next.Newest = laterOf(last, t), laterOf(page.Next.Newest, t)
	}
	last = last.Truncate(time.Second)
	switch {
	case last.After(at.Since):
		page.Next.Since, page.More, page.Through = last, true, last
	case len(answer.Result) >= pageSize:
		a.rt.Log.WarnContext(ctx, "more records within a second than one answer holds, some are passed over", "since", at.Since)
		page.Next.Since, page.More, page.Through = at.Since.Add(time.Second), true, last
	default:
		page.Next.From = laterOf(at.From, page.Next.Newest.Add(-overlap).Truncate(time.Second))
		page.Next.Since, page.Through = page.Next.From, now
	}
	return page, nil
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// timeOf reads the time of a record.
func timeOf(data []byte) time.Time {
	var head struct {
		CreatedAt string `json:"created_at"`
	}
	if json.Unmarshal(data, &head) != nil {
		return time.Time{}
	}
	t, _ := lenient.Time(head.CreatedAt)
	return t
}
