package okta

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
)

// source is the name of the provider.
const source event.Source = "okta"

// Provider is the Okta System Log.
func Provider() ingest.Provider {
	return ingest.Provider{Source: source, Title: "Okta System Log", Normalizer: New(), Example: example, Shows: []ingest.Capability{
		{Fact: ingest.FactFactor, Extent: ingest.Fully, Note: "Classic and Identity Engine; debugData is no contract by Okta's own words"},
		{Fact: ingest.FactPasskeyKind, Extent: ingest.Partly, Note: "where the enrolment has backupEligible"},
		{Fact: ingest.FactEnrolment, Extent: ingest.Fully},
		{Fact: ingest.FactInventory, Extent: ingest.Partly, Note: "factors that the person's enrolment policy asks for or allows"},
		{Fact: ingest.FactRecovery, Extent: ingest.Fully},
		{Fact: ingest.FactConsent, Extent: ingest.Fully},
		{Fact: ingest.FactPolicy, Extent: ingest.Fully},
		{Fact: ingest.FactRole, Extent: ingest.Fully},
		{Fact: ingest.FactSession, Extent: ingest.Fully},
		{Fact: ingest.FactDevice, Extent: ingest.Partly, Note: "registered devices; dtHash for the rest"},
		{Fact: ingest.FactUserAgent, Extent: ingest.Fully},
		{Fact: ingest.FactCountry, Extent: ingest.Fully},
		{Fact: ingest.FactASN, Extent: ingest.Fully},
		{Fact: ingest.FactHelpDesk, Extent: ingest.Fully},
		{Fact: ingest.FactSignedPush, Extent: ingest.Never, Note: "event hooks carry a static header, and not all types of events"},
	}}
}

// api is one org.
type api struct {
	client *rest.Client
	rt     ingest.Runtime
	tenant string
}

// cursor is a position in the log. Okta's polling request orders by the time it
// stored the records, so that what is late comes later, and hands out the address of
// what follows also when there is nothing yet; no position may be made by hand.
type cursor struct {
	// Next is that address; empty before the first page.
	Next string `json:"next,omitempty"`
	// Since is where to begin without Next.
	Since time.Time `json:"since"`
}

// pageSize is the most that Okta gives.
const pageSize = "1000"

// lostOverlap is how far before the last record a lost position begins again.
const lostOverlap = time.Hour

func (a *api) log(s poll.Schedule) ingest.Source {
	return poll.Source(poll.Log[cursor]{Runtime: a.rt, Interval: s.Interval, Start: cursor{Since: s.Start(a.rt).UTC()}, Fetch: a.fetch})
}

func (a *api) fetch(ctx context.Context, at cursor) (poll.Page[cursor], error) {
	ref, query := at.Next, url.Values(nil)
	if ref == "" {
		ref = "api/v1/logs"
		query = url.Values{"since": {at.Since.Format(time.RFC3339Nano)}, "sortOrder": {"ASCENDING"}, "limit": {pageSize}}
	}
	resp, err := a.client.Get(ctx, ref, query)
	if status, ok := errors.AsType[*rest.StatusError](err); ok && at.Next != "" && (status.Status == http.StatusBadRequest || status.Status == http.StatusNotFound || status.Status == http.StatusGone) {
		a.rt.Log.WarnContext(ctx, "position is no longer known to okta, reading again from an hour before the last record", "error", err)
		lost := &ingest.Loss{From: at.Since, Detail: "position is no longer known to okta, read again by time from an hour before it: what came later than that may be missing"}
		return poll.Page[cursor]{Next: cursor{Since: at.Since.Add(-lostOverlap)}, More: true, Lost: lost}, nil
	}
	if err != nil {
		return poll.Page[cursor]{}, err
	}
	var rows []json.RawMessage
	if err := resp.JSON(&rows); err != nil {
		return poll.Page[cursor]{}, err
	}
	page := poll.Page[cursor]{Next: at, More: len(rows) > 0, Through: a.rt.Now()}
	if next := resp.Next(); next != "" {
		page.Next.Next = next
	}
	for _, row := range rows {
		page.Records = append(page.Records, ingest.Record{Source: source, Tenant: a.tenant, Stream: stream, Data: row, Origin: "okta api " + a.tenant})
		var head struct {
			Published string `json:"published"`
		}
		if json.Unmarshal(row, &head) == nil {
			if t, ok := lenient.Time(head.Published); ok && t.After(page.Next.Since) && !t.After(a.rt.Now()) {
				page.Next.Since = t
			}
		}
	}
	if page.More {
		page.Through = page.Next.Since
	}
	return page, nil
}
