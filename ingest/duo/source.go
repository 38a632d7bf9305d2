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
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
)

// source is the name of the provider.
const source event.Source = "duo"

// Provider is Cisco Duo.
func Provider() ingest.Provider {
	return ingest.Provider{Source: source, Title: "Cisco Duo", Normalizer: New(), Example: example, Shows: []ingest.Capability{
		{Fact: ingest.FactFactor, Extent: ingest.Partly, Note: "the second factor; a plain passcode does not say what made it"},
		{Fact: ingest.FactPasskeyKind, Extent: ingest.Never},
		{Fact: ingest.FactEnrolment, Extent: ingest.Partly, Note: "by the person; what an administrator adds names nobody"},
		{Fact: ingest.FactInventory, Extent: ingest.Fully},
		{Fact: ingest.FactRecovery, Extent: ingest.Fully, Note: "bypass codes and users in status bypass"},
		{Fact: ingest.FactConsent, Extent: ingest.Never},
		{Fact: ingest.FactPolicy, Extent: ingest.Partly, Note: "unverified whether a row lists all settings or those that changed"},
		{Fact: ingest.FactRole, Extent: ingest.Fully, Note: "administrators of Duo"},
		{Fact: ingest.FactSession, Extent: ingest.Never},
		{Fact: ingest.FactDevice, Extent: ingest.Partly, Note: "trusted endpoints"},
		{Fact: ingest.FactUserAgent, Extent: ingest.Partly, Note: "browser and system, not the text"},
		{Fact: ingest.FactCountry, Extent: ingest.Fully},
		{Fact: ingest.FactASN, Extent: ingest.Never},
		{Fact: ingest.FactHelpDesk, Extent: ingest.Fully, Note: "administrators by display name where a row has no address"},
		{Fact: ingest.FactSignedPush, Extent: ingest.Never},
	}}
}

// api is one account.
type api struct {
	client *rest.Client
	rt     ingest.Runtime
	tenant string
}

const (
	// delay is how long Duo holds rows back, by its documents.
	delay = 2 * time.Minute
	// overlap is how far back a log is read again.
	overlap = 15 * time.Minute
	// pageSize is the most that Duo gives.
	pageSize = 1000
)

func (a *api) log(name string, s poll.Schedule) ingest.Source {
	start := s.Start(a.rt).UTC()
	if name == streamAdmin {
		return poll.Source(poll.Log[cursorV1]{Runtime: a.rt, Interval: s.Interval, Start: cursorV1{Mark: start}, Fetch: a.fetchV1,
			Overlap: overlap, When: when})
	}
	return poll.Source(poll.Log[cursor]{Runtime: a.rt, Interval: s.Interval, Start: cursor{Read: start}, Overlap: overlap, When: when,
		Fetch: func(ctx context.Context, at cursor) (poll.Page[cursor], error) { return a.fetch(ctx, name, at) }})
}

// when returns the time of a row of any log.
func when(data []byte) time.Time {
	var head struct {
		ISO  lenient.Text `json:"isotimestamp"`
		TS   lenient.Text `json:"ts"`
		Unix lenient.Text `json:"timestamp"`
	}
	if json.Unmarshal(data, &head) != nil {
		return time.Time{}
	}
	t, _ := lenient.EventTime(string(head.ISO), string(head.TS), string(head.Unix)) // zero where there is none
	return t
}

// cursor is a position in a log of version 2. A window of time is read oldest first;
// it begins an overlap before what was read and ends where Duo shows rows by now.
type cursor struct {
	Read time.Time `json:"read"`
	// From, To and Next are of the window that is being read; zero between two.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	Next string    `json:"next,omitempty"`
}

func (a *api) fetch(ctx context.Context, name string, at cursor) (poll.Page[cursor], error) {
	if at.Next == "" {
		at.From, at.To = at.Read.Add(-overlap), a.rt.Now().UTC().Add(-delay)
		if !at.To.After(at.Read) {
			return poll.Page[cursor]{Next: cursor{Read: at.Read}, Through: at.Read}, nil
		}
	}
	query := url.Values{"mintime": {millis(at.From)}, "maxtime": {millis(at.To)}, "limit": {strconv.Itoa(pageSize)}, "sort": {"ts:asc"}}
	if at.Next != "" {
		query.Set("next_offset", at.Next)
	}
	resp, err := a.client.Get(ctx, "admin/v2/logs/"+name, query)
	if status, ok := errors.AsType[*rest.StatusError](err); ok && at.Next != "" && status.Status == http.StatusBadRequest {
		a.rt.Log.WarnContext(ctx, "page is no longer known to duo, reading its window anew", "error", err)
		return poll.Page[cursor]{Next: cursor{Read: at.Read}, More: true}, nil
	}
	if err != nil {
		return poll.Page[cursor]{}, err
	}
	var answer struct {
		Response struct {
			AuthLogs []json.RawMessage `json:"authlogs"`
			Items    []json.RawMessage `json:"items"`
			Metadata struct {
				Next lenient.Texts `json:"next_offset"`
			} `json:"metadata"`
		} `json:"response"`
	}
	if err := resp.JSON(&answer); err != nil {
		return poll.Page[cursor]{}, err
	}
	rows := slices.Concat(answer.Response.AuthLogs, answer.Response.Items)
	page := poll.Page[cursor]{Next: at, More: true, Records: a.records(name, rows)}
	// A list of two in the authentication log, a text in the others.
	if page.Next.Next = strings.Join(answer.Response.Metadata.Next, ","); page.Next.Next == "" {
		page.Next, page.More, page.Through = cursor{Read: at.To}, false, at.To
	}
	return page, nil
}

// cursorV1 is a position in the administrator log, which has neither pages nor an
// end: it gives the oldest rows from a second on, that second included.
type cursorV1 struct {
	// Mark is the time of the newest row; From is where the rest of what there is
	// begins, zero when it was all read.
	Mark time.Time `json:"mark"`
	From time.Time `json:"from,omitzero"`
}

func (a *api) fetchV1(ctx context.Context, at cursorV1) (poll.Page[cursorV1], error) {
	from, now := at.From, a.rt.Now().UTC()
	if from.IsZero() {
		from = at.Mark.Add(-overlap).Truncate(time.Second)
	}
	resp, err := a.client.Get(ctx, "admin/v1/logs/administrator", url.Values{"mintime": {strconv.FormatInt(from.Unix(), 10)}})
	if err != nil {
		return poll.Page[cursorV1]{}, err
	}
	var answer struct {
		Response []json.RawMessage `json:"response"`
	}
	if err := resp.JSON(&answer); err != nil {
		return poll.Page[cursorV1]{}, err
	}
	last := from
	for _, row := range answer.Response {
		if t := when(row).Truncate(time.Second); t.After(last) && !t.After(now) {
			last = t
		}
	}
	page := poll.Page[cursorV1]{Next: cursorV1{Mark: at.Mark}, Records: a.records(streamAdmin, answer.Response)}
	if last.After(page.Next.Mark) {
		page.Next.Mark = last
	}
	switch {
	case last.After(from):
		page.Next.From, page.More = last, true
	case len(answer.Response) >= pageSize:
		a.rt.Log.WarnContext(ctx, "duo has more rows of one second than it gives", "second", last)
		page.Next.From, page.More = last.Add(time.Second), true
	default:
		page.Through = now.Add(-delay)
	}
	return page, nil
}

func (a *api) records(name string, rows []json.RawMessage) []ingest.Record {
	out := make([]ingest.Record, len(rows))
	for i, row := range rows {
		out[i] = ingest.Record{Source: source, Tenant: a.tenant, Stream: name, Data: row, Origin: "duo " + name + " " + a.tenant}
	}
	return out
}

// millis is a time in the unit of version 2; version 1 takes seconds.
func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
