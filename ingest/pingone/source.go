package pingone

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
)

// source is the name of the provider.
const source event.Source = "pingone"

// Provider is PingOne with PingID.
func Provider() ingest.Provider {
	return ingest.Provider{Source: source, Title: "PingOne audit activities", Normalizer: New(), Example: example, Shows: []ingest.Capability{
		{Fact: ingest.FactFactor, Extent: ingest.Partly, Note: "on the checks of password, passcode and assertion beside the sign-in; that a passcode's device is named is unverified"},
		{Fact: ingest.FactPasskeyKind, Extent: ingest.Never},
		{Fact: ingest.FactEnrolment, Extent: ingest.Partly, Note: "DEVICE activities; that they name the type is unverified"},
		{Fact: ingest.FactInventory, Extent: ingest.Fully, Note: "devices of each user"},
		{Fact: ingest.FactRecovery, Extent: ingest.Partly, Note: "that it happened, not by which channel"},
		{Fact: ingest.FactConsent, Extent: ingest.Partly, Note: "unverified; scopes are not named"},
		{Fact: ingest.FactPolicy, Extent: ingest.Partly, Note: "that a policy changed, not from what to what"},
		{Fact: ingest.FactRole, Extent: ingest.Fully, Note: "assignments in the log are unverified; the inventory has them"},
		{Fact: ingest.FactSession, Extent: ingest.Never},
		{Fact: ingest.FactDevice, Extent: ingest.Never},
		{Fact: ingest.FactUserAgent, Extent: ingest.Partly, Note: "source.userAgent on some activities, unverified"},
		{Fact: ingest.FactCountry, Extent: ingest.Never},
		{Fact: ingest.FactASN, Extent: ingest.Never},
		{Fact: ingest.FactHelpDesk, Extent: ingest.Fully},
		{Fact: ingest.FactSignedPush, Extent: ingest.Never, Note: "webhooks have custom headers or mutual TLS"},
	}}
}

// api is one environment.
type api struct {
	client      *rest.Client
	rt          ingest.Runtime
	environment string
	overlap     time.Duration
}

// cursor is a position in the log, which the API gives by windows of time, the
// newest activity first.
type cursor struct {
	// From is the time up to which nothing more is expected; it never comes nearer to
	// the present than the overlap.
	From time.Time `json:"from"`
}

const (
	pageSize = "500"
	// step is how far one look at history goes beyond the overlap. A whole look is
	// read before it is handed on, in the order of time.
	step = 10 * time.Minute
)

func (a *api) log(s poll.Schedule) ingest.Source {
	return poll.Source(poll.Log[cursor]{Runtime: a.rt, Interval: s.Interval, Start: cursor{From: s.Start(a.rt).UTC()},
		Fetch: a.fetch, Overlap: a.overlap + step, When: when})
}

// when reads the time of an activity.
func when(data []byte) time.Time {
	var head struct {
		RecordedAt string `json:"recordedAt"`
	}
	_ = json.Unmarshal(data, &head) // no time is no time
	t, _ := lenient.Time(head.RecordedAt)
	return t
}

// list is what is read of a page of the API.
type list struct {
	Embedded map[string][]json.RawMessage `json:"_embedded"`
	Links    struct {
		Next struct {
			Href string `json:"href"`
		} `json:"next"`
	} `json:"_links"`
}

func (a *api) list(ctx context.Context, ref string, query url.Values) (list, error) {
	var l list
	resp, err := a.client.Get(ctx, ref, query)
	if err != nil {
		return l, err
	}
	return l, resp.JSON(&l)
}

func (a *api) path(rest string) string {
	return "v1/environments/" + url.PathEscape(a.environment) + "/" + rest
}

func (a *api) fetch(ctx context.Context, at cursor) (poll.Page[cursor], error) {
	now := a.rt.Now().UTC()
	to := at.From.Add(a.overlap + step)
	if to.After(now) {
		to = now
	}
	// The bounds are exclusive.
	ref, query := a.path("activities"), url.Values{"limit": {pageSize}, "filter": {fmt.Sprintf("recordedAt gt %q and recordedAt lt %q",
		stamp(at.From.Add(-time.Millisecond)), stamp(to.Add(time.Millisecond)))}}
	page := poll.Page[cursor]{Next: at, More: to.Before(now), Through: to}
	for ref != "" {
		l, err := a.list(ctx, ref, query)
		if err != nil {
			return poll.Page[cursor]{}, err
		}
		for _, row := range l.Embedded["activities"] {
			page.Records = append(page.Records, ingest.Record{Source: source, Tenant: a.environment, Stream: streamAudit, Data: row, Origin: "pingone api " + a.environment})
		}
		ref, query = l.Links.Next.Href, nil
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

// stamp writes a time as the API's filters have it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
