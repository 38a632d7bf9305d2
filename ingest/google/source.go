package google

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
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
const source event.Source = "google"

// Provider is Google Workspace.
func Provider() ingest.Provider {
	return ingest.Provider{Source: source, Title: "Google Workspace", Normalizer: New(), Example: example, Shows: []ingest.Capability{
		{Fact: ingest.FactFactor, Extent: ingest.Partly, Note: "all challenges that were shown; only of the last one it is known that it was passed"},
		{Fact: ingest.FactPasskeyKind, Extent: ingest.Never},
		{Fact: ingest.FactEnrolment, Extent: ingest.Partly, Note: "passkeys; 2-step verification without its method"},
		{Fact: ingest.FactInventory, Extent: ingest.Never, Note: "no API lists passkeys, security keys or phones"},
		{Fact: ingest.FactRecovery, Extent: ingest.Fully},
		{Fact: ingest.FactConsent, Extent: ingest.Fully},
		{Fact: ingest.FactPolicy, Extent: ingest.Partly, Note: "values of the allowed 2-step verification methods are unverified"},
		{Fact: ingest.FactRole, Extent: ingest.Fully},
		{Fact: ingest.FactSession, Extent: ingest.Never},
		{Fact: ingest.FactDevice, Extent: ingest.Never},
		{Fact: ingest.FactUserAgent, Extent: ingest.Never},
		{Fact: ingest.FactCountry, Extent: ingest.Partly, Note: "networkInfo, in newer records"},
		{Fact: ingest.FactASN, Extent: ingest.Partly, Note: "networkInfo, in newer records"},
		{Fact: ingest.FactHelpDesk, Extent: ingest.Fully},
		{Fact: ingest.FactSignedPush, Extent: ingest.Never},
	}}
}

// api is one Workspace.
type api struct {
	client   *rest.Client
	rt       ingest.Runtime
	tenant   string
	customer string
}

// cursor is a position in a log. A window of time is read newest first, page by
// page, and the position moves when its last page was read. It ends a step after
// what was read, at most now, and begins where records may still be missing.
type cursor struct {
	// Settled: nothing before it can come any more. Read: up to here the log was
	// read once.
	Settled time.Time `json:"settled"`
	Read    time.Time `json:"read"`
	// To and Token are of the window that is being read; zero between two. Begun
	// is when it was begun, by which Settled moves.
	To    time.Time `json:"to,omitzero"`
	Begun time.Time `json:"begun,omitzero"`
	Token string    `json:"token,omitempty"`
}

const (
	// pageSize is the most that Google gives.
	pageSize = "1000"
	// step is how much of a history one window takes: within one the order is
	// reversed.
	step = time.Hour
	// history is how long Google keeps the logs.
	history = 180 * 24 * time.Hour
)

func (a *api) log(name string, lag time.Duration, s poll.Schedule) ingest.Source {
	start := s.Start(a.rt).UTC()
	if oldest := a.rt.Now().UTC().Add(-history); start.Before(oldest) {
		start = oldest
	}
	return poll.Source(poll.Log[cursor]{
		Runtime: a.rt, Interval: s.Interval, Start: cursor{Settled: start, Read: start}, Overlap: lag + step, When: when,
		Fetch: func(ctx context.Context, at cursor) (poll.Page[cursor], error) { return a.fetch(ctx, name, lag, at) },
	})
}

// when returns the time of an activity.
func when(data []byte) time.Time {
	var head struct {
		ID struct {
			Time lenient.Text `json:"time"`
		} `json:"id"`
	}
	if json.Unmarshal(data, &head) != nil {
		return time.Time{}
	}
	t, _ := lenient.Time(string(head.ID.Time))
	return t
}

func (a *api) fetch(ctx context.Context, name string, lag time.Duration, at cursor) (poll.Page[cursor], error) {
	now := a.rt.Now().UTC()
	if at.To.IsZero() {
		at.Begun, at.To = now, at.Read.Add(step)
		if at.To.After(now) {
			at.To = now
		}
		if at.To.Sub(at.Settled) < time.Second { // the input began just now
			return poll.Page[cursor]{Next: cursor{Settled: at.Settled, Read: at.Read}, Through: at.Read}, nil
		}
	}
	query := url.Values{"startTime": {at.Settled.Format(time.RFC3339Nano)}, "endTime": {at.To.Format(time.RFC3339Nano)}, "maxResults": {pageSize}}
	if a.customer != "my_customer" {
		query.Set("customerId", a.customer)
	}
	if at.Token != "" {
		query.Set("pageToken", at.Token)
	}
	resp, err := a.client.Get(ctx, "admin/reports/v1/activity/users/all/applications/"+name, query)
	if at.Token != "" && isBadRequest(err) {
		a.rt.Log.WarnContext(ctx, "page is no longer known to google, reading its window anew", "error", err)
		return poll.Page[cursor]{Next: cursor{Settled: at.Settled, Read: at.Read}, More: true}, nil
	}
	if err != nil {
		return poll.Page[cursor]{}, err
	}
	var list struct {
		Next  string            `json:"nextPageToken"`
		Items []json.RawMessage `json:"items"`
	}
	if err := resp.JSON(&list); err != nil {
		return poll.Page[cursor]{}, err
	}
	slices.Reverse(list.Items)
	page := poll.Page[cursor]{Next: at, More: true}
	for _, item := range list.Items {
		page.Records = append(page.Records, ingest.Record{Source: source, Tenant: a.tenant, Stream: name, Data: item, Origin: "google " + name + " " + a.tenant})
	}
	if page.Next.Token = list.Next; list.Next != "" {
		return page, nil
	}
	// The window is read: what is older than the lag was at its begin is settled.
	settled := at.Begun.Add(-lag)
	if settled.After(at.To) {
		settled = at.To
	}
	if settled.Before(at.Settled) {
		settled = at.Settled
	}
	page.Next = cursor{Settled: settled, Read: at.To}
	page.More = at.To.Before(at.Begun)
	page.Through = at.To
	return page, nil
}

// isBadRequest reports whether Google does not know what was asked, such as the
// token of a page from before a restart.
func isBadRequest(err error) bool {
	status, ok := errors.AsType[*rest.StatusError](err)
	return ok && (status.Status == http.StatusBadRequest || status.Status == http.StatusNotFound || status.Status == http.StatusGone)
}
