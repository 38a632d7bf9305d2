package auth0

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
)

// source is the name of the provider.
const source event.Source = "auth0"

// Provider is Auth0's tenant log.
func Provider() ingest.Provider {
	return ingest.Provider{Source: source, Title: "Auth0 tenant logs", Normalizer: New(), Example: example, Shows: []ingest.Capability{
		{Fact: ingest.FactFactor, Extent: ingest.Partly, Note: "passkey and password on the sign-in; a second factor in gd_auth_succeed of the same session"},
		{Fact: ingest.FactPasskeyKind, Extent: ingest.Partly, Note: "by the inventory: credential_device_type"},
		{Fact: ingest.FactEnrolment, Extent: ingest.Fully, Note: "values of authenticator.type other than passkey are unverified"},
		{Fact: ingest.FactInventory, Extent: ingest.Fully, Note: "authentication-methods of every user"},
		{Fact: ingest.FactRecovery, Extent: ingest.Fully},
		{Fact: ingest.FactConsent, Extent: ingest.Fully, Note: "of users on the consent page, of clients through the Management API"},
		{Fact: ingest.FactPolicy, Extent: ingest.Fully, Note: "through the Management API; what was before is not in the record"},
		{Fact: ingest.FactRole, Extent: ingest.Partly, Note: "invitations of tenant members; roles of applications"},
		{Fact: ingest.FactSession, Extent: ingest.Fully},
		{Fact: ingest.FactDevice, Extent: ingest.Partly, Note: "where adaptive MFA assessed the login"},
		{Fact: ingest.FactUserAgent, Extent: ingest.Fully, Note: "as browser and system with versions"},
		{Fact: ingest.FactCountry, Extent: ingest.Partly, Note: "in answers of the Management API, not in streams"},
		{Fact: ingest.FactASN, Extent: ingest.Never},
		{Fact: ingest.FactHelpDesk, Extent: ingest.Fully, Note: "through the Management API; gd_unenroll does not say who"},
		{Fact: ingest.FactSignedPush, Extent: ingest.Never, Note: "log streams carry a static header"},
	}}
}

// api is one tenant.
type api struct {
	client *rest.Client
	rt     ingest.Runtime
	tenant string
}

// cursor is a position in the log: the log_id of the last record that was read.
// Auth0 orders by it, not by date.
type cursor struct {
	From string `json:"from,omitempty"`
	// Since is where to begin without From, or where From is not known any more.
	Since time.Time `json:"since"`
}

// pageSize is the most that Auth0 gives.
const pageSize = 100

// lostOverlap is how far before the last record a lost position begins again.
const lostOverlap = time.Hour

func (a *api) log(s poll.Schedule) ingest.Source {
	people := &people{api: a, names: map[string]string{}}
	return poll.Source(poll.Log[cursor]{Runtime: a.rt, Interval: s.Interval, Start: cursor{Since: s.Start(a.rt).UTC()},
		Fetch: func(ctx context.Context, at cursor) (poll.Page[cursor], error) { return a.fetch(ctx, at, people) }})
}

func (a *api) fetch(ctx context.Context, at cursor, people *people) (poll.Page[cursor], error) {
	from := at.From
	if from == "" {
		from = logIDAt(at.Since)
	}
	resp, err := a.client.Get(ctx, "api/v2/logs", url.Values{"from": {from}, "take": {strconv.Itoa(pageSize)}})
	if status, ok := errors.AsType[*rest.StatusError](err); ok && at.From != "" && (status.Status == http.StatusBadRequest || status.Status == http.StatusNotFound || status.Status == http.StatusGone) {
		a.rt.Log.WarnContext(ctx, "position is no longer known to auth0, reading again from an hour before the last record", "error", err)
		lost := &ingest.Loss{From: at.Since, Detail: "position is no longer known to auth0, read again by time from an hour before it: what came later than that may be missing"}
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
	for _, row := range rows {
		var h head
		if json.Unmarshal(row, &h) == nil {
			if row, err = people.complete(ctx, row, &h); err != nil {
				return poll.Page[cursor]{}, err
			}
		}
		page.Records = append(page.Records, ingest.Record{Source: source, Tenant: a.tenant, Stream: streamLogs, Data: row, Origin: "auth0 api " + a.tenant})
		page.Next.From = lenient.First(string(h.LogID), string(h.OldID), page.Next.From)
		if t, ok := lenient.Time(string(h.Date)); ok && t.After(page.Next.Since) && !t.After(a.rt.Now()) {
			page.Next.Since = t
		}
	}
	if page.More {
		page.Through = page.Next.Since
	}
	if page.More && page.Next.From == at.From {
		return poll.Page[cursor]{}, errors.New("read auth0 logs: a page of records names no new log_id to go on from")
	}
	return page, nil
}

// logIDAt returns an id before those of t: ids begin with "900" and the time of
// their record, and are 56 digits long.
func logIDAt(t time.Time) string {
	return "900" + t.UTC().Format("20060102150405") + strings.Repeat("0", 39)
}
