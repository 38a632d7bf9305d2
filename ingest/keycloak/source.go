package keycloak

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
)

// source is the name of the provider.
const source event.Source = "keycloak"

// Provider is Keycloak.
func Provider() ingest.Provider {
	return ingest.Provider{Source: source, Title: "Keycloak events and admin events", Normalizer: New(), Example: example, Shows: []ingest.Capability{
		{Fact: ingest.FactFactor, Extent: ingest.Partly, Note: "WebAuthn, and a code by its credential; a password by unnamed_factor_is_password alone"},
		{Fact: ingest.FactPasskeyKind, Extent: ingest.Never, Note: "unverified: no flag of a credential was seen to say so"},
		{Fact: ingest.FactEnrolment, Extent: ingest.Fully},
		{Fact: ingest.FactInventory, Extent: ingest.Fully, Note: "credentials of every user; roles by direct mapping alone"},
		{Fact: ingest.FactRecovery, Extent: ingest.Fully},
		{Fact: ingest.FactConsent, Extent: ingest.Fully},
		{Fact: ingest.FactPolicy, Extent: ingest.Partly, Note: "flows and required actions; what was before is not in the event"},
		{Fact: ingest.FactRole, Extent: ingest.Fully, Note: "with the representation of admin events"},
		{Fact: ingest.FactSession, Extent: ingest.Fully},
		{Fact: ingest.FactDevice, Extent: ingest.Never},
		{Fact: ingest.FactUserAgent, Extent: ingest.Never},
		{Fact: ingest.FactCountry, Extent: ingest.Never},
		{Fact: ingest.FactASN, Extent: ingest.Never},
		{Fact: ingest.FactHelpDesk, Extent: ingest.Fully},
		{Fact: ingest.FactSignedPush, Extent: ingest.Partly, Note: "by the extension keycloak-events, without a time in the signature"},
	}}
}

// api is one realm.
type api struct {
	client *rest.Client
	rt     ingest.Runtime
	tenant string
	// size of a page, and pages at once.
	size, pages int
	// unnamed: a factor that a LOGIN does not name is a password.
	unnamed bool
	// rolesRefused: it was logged in this sweep that roles may not be read.
	rolesRefused bool
}

// cursor is a position in a log that has none of its own.
type cursor struct {
	// Through is the time of the newest event that was read.
	Through time.Time `json:"through"`
	// Behind says that there was more after Through than is read at once: everything
	// before Page, in the API's order, is newer.
	Behind bool `json:"behind,omitempty"`
	Page   int  `json:"page,omitempty"`
}

// Pages of the two logs, and how many of them are kept in memory at once.
const (
	pageSize = 200
	maxPages = 20
)

// overlap is how far before the newest event the log is read again: an event is
// stored when its transaction ends, under the time at which it began.
const overlap = 2 * time.Minute

// maxSkew is how far the server's clock may be ahead of this one's.
const maxSkew = 10 * time.Minute

// zone is more than any server's zone is from UTC: a date in a query is a day
// there.
const zone = 15 * time.Hour

// log reads one of the two logs.
func (a *api) log(c *Config, stream, path string) ingest.Source {
	l := &log{api: a, stream: stream, path: path, people: newPeople(a)}
	return poll.Source(poll.Log[cursor]{Runtime: a.rt, Interval: c.Interval, Start: cursor{Through: c.Start(a.rt).UTC()}, Fetch: l.fetch, Overlap: overlap, When: when})
}

type log struct {
	api          *api
	stream, path string
	people       *people
}

// when returns the time of an event.
func when(data []byte) time.Time {
	var h struct {
		Time int64 `json:"time"`
	}
	if json.Unmarshal(data, &h) != nil || h.Time <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(h.Time).UTC()
}

// page reads size events from an offset, the newest first.
func (l *log) page(ctx context.Context, from time.Time, first, size int) ([]json.RawMessage, error) {
	resp, err := l.api.client.Get(ctx, l.path, url.Values{"first": {strconv.Itoa(first)}, "max": {strconv.Itoa(size)}, "dateFrom": {from.Add(-zone).Format(time.DateOnly)}})
	if err != nil {
		return nil, err
	}
	var rows []json.RawMessage
	if err := resp.JSON(&rows); err != nil {
		return nil, err
	}
	return rows, nil
}

// fetch reads what follows a position. Where that is not too much it is the whole
// of it, with the overlap; else it is the oldest page of it, which is looked for.
func (l *log) fetch(ctx context.Context, at cursor) (poll.Page[cursor], error) {
	if !at.Behind {
		from := at.Through.Add(-overlap)
		var all []json.RawMessage
		for n := range l.api.pages {
			rows, err := l.page(ctx, from, n*l.api.size, l.api.size)
			if err != nil {
				return poll.Page[cursor]{}, err
			}
			all = append(all, rows...)
			if l.reaches(rows, from) {
				return l.take(ctx, all, from, cursor{Through: at.Through}, at)
			}
		}
		var err error
		if at.Page, err = l.oldest(ctx, at.Through); err != nil {
			return poll.Page[cursor]{}, err
		}
	}
	// Events that came in meanwhile have moved all others to higher offsets. Both
	// sides of the border between known and new may be a page's end.
	var newer []json.RawMessage
	for n := at.Page; ; {
		rows, err := l.page(ctx, at.Through, n*l.api.size, l.api.size)
		if err != nil {
			return poll.Page[cursor]{}, err
		}
		known := !newest(rows).After(at.Through)
		switch {
		case known && newer == nil && n > 0:
			n--
			continue
		case !l.reaches(rows, at.Through):
			newer, n = rows, n+1
			continue
		case known && newer != nil:
			rows, n = slices.Concat(newer, rows), n-1
		}
		return l.take(ctx, rows, at.Through, cursor{Through: at.Through, Behind: n > 0, Page: max(0, n-1)}, cursor{Behind: true, Page: n})
	}
}

// reaches reports whether a page goes back beyond a time, or is the last.
func (l *log) reaches(rows []json.RawMessage, from time.Time) bool {
	oldest := time.Time{}
	for _, row := range slices.Backward(rows) {
		if oldest = when(row); !oldest.IsZero() {
			break
		}
	}
	return len(rows) < l.api.size || !oldest.IsZero() && oldest.Before(from)
}

// newest is the time of the first row that has one.
func newest(rows []json.RawMessage) time.Time {
	for _, row := range rows {
		if t := when(row); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// oldest returns the first page whose end is before through, or that is the last.
func (l *log) oldest(ctx context.Context, through time.Time) (int, error) {
	// newer: there is an event at the end of page n, and it is not before through.
	newer := func(n int) (bool, error) {
		rows, err := l.page(ctx, through, (n+1)*l.api.size-1, 1)
		return err == nil && len(rows) > 0 && !when(rows[0]).Before(through), err
	}
	low, high := 0, 1
	for {
		switch more, err := newer(high); {
		case err != nil:
			return 0, err
		case more:
			low, high = high, 2*high
			continue
		}
		break
	}
	for high-low > 1 {
		middle := low + (high-low)/2
		switch more, err := newer(middle); {
		case err != nil:
			return 0, err
		case more:
			low = middle
		default:
			high = middle
		}
	}
	return high, nil
}

// take makes records of the rows that are not before from, the oldest first. Where
// one cannot be completed, those before it are handed on if there is news among them,
// and the next look is by again, from there on.
func (l *log) take(ctx context.Context, rows []json.RawMessage, from time.Time, next, again cursor) (poll.Page[cursor], error) {
	slices.Reverse(rows)
	page, more, news := poll.Page[cursor]{}, next.Behind, false
	for _, row := range rows {
		t := when(row)
		if t.Before(from) && !t.IsZero() {
			continue
		}
		completed, fresh, err := l.people.complete(ctx, row)
		if err != nil && (!news || ctx.Err() != nil) {
			return poll.Page[cursor]{}, err
		}
		if err != nil { // what it is comes up again with the next look
			again.Through = next.Through
			next, more = again, true
			break
		}
		news = news || fresh
		if t.After(next.Through) && !t.After(l.api.rt.Now().Add(maxSkew)) {
			next.Through = t
		}
		page.Records = append(page.Records, ingest.Record{Source: source, Tenant: l.api.tenant, Stream: l.stream, Data: completed, Origin: "keycloak api " + l.api.tenant})
	}
	page.Next, page.Through, page.More = next, next.Through, more
	if !more {
		page.Through = l.api.rt.Now().Add(-overlap)
	}
	return page, nil
}
