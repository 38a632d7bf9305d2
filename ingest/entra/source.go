package entra

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
)

// source is the name of the provider.
const source event.Source = "entra"

// Provider is Microsoft Entra ID.
func Provider() ingest.Provider {
	return ingest.Provider{Source: source, Title: "Microsoft Entra ID", Normalizer: New(), Example: example, Shows: []ingest.Capability{
		{Fact: ingest.FactFactor, Extent: ingest.Fully, Note: "of fresh proofs; Graph shows methods in its beta version alone"},
		{Fact: ingest.FactPasskeyKind, Extent: ingest.Fully, Note: "device-bound or synced; older rows say FIDO2 security key for both"},
		{Fact: ingest.FactEnrolment, Extent: ingest.Fully},
		{Fact: ingest.FactInventory, Extent: ingest.Fully, Note: "complete with UserAuthenticationMethod.Read.All, else kinds of methods from a report that lags"},
		{Fact: ingest.FactRecovery, Extent: ingest.Fully},
		{Fact: ingest.FactConsent, Extent: ingest.Fully},
		{Fact: ingest.FactPolicy, Extent: ingest.Fully},
		{Fact: ingest.FactRole, Extent: ingest.Fully, Note: "the inventory has active assignments, not eligible ones"},
		{Fact: ingest.FactSession, Extent: ingest.Fully},
		{Fact: ingest.FactDevice, Extent: ingest.Fully, Note: "registered devices"},
		{Fact: ingest.FactUserAgent, Extent: ingest.Fully},
		{Fact: ingest.FactCountry, Extent: ingest.Fully},
		{Fact: ingest.FactASN, Extent: ingest.Fully},
		{Fact: ingest.FactHelpDesk, Extent: ingest.Fully},
		{Fact: ingest.FactSignedPush, Extent: ingest.Never, Note: "streams to an Event Hub, which speaks Kafka"},
	}}
}

// graphLog is one log of Microsoft Graph.
type graphLog struct {
	stream, path string
	// field is the time by which records are asked for.
	field string
	// filter is a further condition.
	filter string
	// ordered: records can be had in the order of field.
	ordered bool
	// top is the size of a page where Graph's own is small.
	top string
	// protection: the log is one of ID Protection, which has a limit of its own.
	protection bool
}

// logs are those that the normalizer reads.
func logs() []graphLog {
	const signIns, audits, protection = "beta/auditLogs/signIns", "v1.0/auditLogs/directoryAudits", "v1.0/identityProtection/"
	return []graphLog{
		{stream: streamSignIn, path: signIns, field: "createdDateTime", filter: "signInEventTypes/any(t: t eq 'interactiveUser')", ordered: true},
		{stream: streamNonInteractive, path: signIns, field: "createdDateTime", filter: "signInEventTypes/any(t: t eq 'nonInteractiveUser')", ordered: true},
		{stream: streamAudit, path: audits, field: "activityDateTime", ordered: true},
		{stream: streamRisk, path: protection + "riskDetections", field: "detectedDateTime", top: "500", protection: true},
		{stream: streamRiskyUser, path: protection + "riskyUsers", field: "riskLastUpdatedDateTime", top: "500", protection: true},
	}
}

// reader reads one log in passes, each from a while before the newest record to
// now.
type reader struct {
	log     graphLog
	client  *rest.Client
	rt      ingest.Runtime
	tenant  string
	overlap time.Duration
	recheck time.Duration
}

// position is a place in a log. It is made of times alone: the link to the next
// page does not survive a restart.
type position struct {
	// Since is where the input begins.
	Since time.Time `json:"since"`
	// Newest is the time of the newest record, and at the end of a pass no more
	// than a day ago.
	Newest time.Time `json:"newest"`
	// Reading is what the pass under way has come to; zero between passes.
	Reading time.Time `json:"reading,omitzero"`
	// Rechecked is when the last day was read again.
	Rechecked time.Time `json:"rechecked,omitzero"`
}

const (
	// recheckSpan is how far back a recheck goes: for so long are records known to
	// be rewritten.
	recheckSpan = 24 * time.Hour
	// window is how much of the log one request asks for at most: enough for the
	// look at a log that is silent.
	window = 36 * time.Hour
	// precision is that of the times in filters.
	precision = time.Millisecond
)

func (r *reader) source(s poll.Schedule) ingest.Source {
	start := s.Start(r.rt).UTC().Truncate(precision)
	seen := r.overlap
	if r.recheck > 0 {
		seen = max(seen, recheckSpan)
	}
	return poll.Source(poll.Log[position]{Runtime: r.rt, Interval: s.Interval, Start: position{Since: start, Newest: start},
		Fetch: r.fetch, Overlap: seen + time.Hour, When: r.when})
}

// begin returns where a new pass begins.
func (r *reader) begin(at position, now time.Time) position {
	at.Reading = at.Newest.Add(-r.overlap)
	switch day := now.Add(-recheckSpan); {
	case at.Rechecked.IsZero():
		at.Rechecked = now
	case r.recheck > 0 && now.Sub(at.Rechecked) >= r.recheck:
		at.Rechecked = now
		at.Reading = earlier(at.Reading, day)
	}
	at.Reading = later(at.Reading, at.Since)
	return at
}

func (r *reader) fetch(ctx context.Context, at position) (poll.Page[position], error) {
	now := r.rt.Now().UTC().Truncate(precision)
	if at.Reading.IsZero() {
		at = r.begin(at, now)
	}
	to := at.Reading.Add(window)
	isLast := !to.Before(now)
	if isLast {
		to = time.Time{}
	}
	rows, reached, err := r.read(ctx, at.Reading, to)
	if err != nil {
		return poll.Page[position]{}, err
	}
	page := poll.Page[position]{Next: at, More: true}
	for _, row := range rows {
		page.Records = append(page.Records, ingest.Record{Source: source, Tenant: r.tenant, Stream: r.log.stream, Data: row, Origin: "microsoft graph " + r.tenant})
		if t := r.when(row); !t.After(now) {
			page.Next.Newest = later(page.Next.Newest, t)
		}
	}
	switch {
	case !reached.IsZero():
		page.Next.Reading = reached
	case !isLast:
		page.Next.Reading = to
	default:
		// A log without a record for a day had none, rather than being late.
		page.Next.Reading, page.Next.Newest, page.More = time.Time{}, later(page.Next.Newest, now.Add(-recheckSpan)), false
		page.Through = now
		return page, nil
	}
	page.Through = later(page.Next.Reading, at.Newest) // a recheck does not take it back
	return page, nil
}

// read asks for the records from one time to another, or to the end where that is
// zero. It stops after a page where it can go on from the time of its last record,
// which reached then is; else it follows the links to the end.
func (r *reader) read(ctx context.Context, from, to time.Time) (rows []json.RawMessage, reached time.Time, err error) {
	for ref := r.address(from, to); ; {
		resp, err := r.client.Get(ctx, ref, nil)
		if err != nil {
			return nil, time.Time{}, err
		}
		list, err := listIn(resp)
		if err != nil {
			return nil, time.Time{}, err
		}
		rows = append(rows, list.Value...)
		if list.Next == "" {
			return rows, time.Time{}, nil
		}
		if last := r.ascends(list.Value); last.After(from) {
			return rows, last, nil
		}
		ref = list.Next
	}
}

// address is that of the first page.
func (r *reader) address(from, to time.Time) string {
	filter := r.log.field + " ge " + from.UTC().Format(time.RFC3339Nano)
	if !to.IsZero() {
		filter += " and " + r.log.field + " le " + to.UTC().Format(time.RFC3339Nano)
	}
	if r.log.filter != "" {
		filter += " and " + r.log.filter
	}
	query := url.Values{"$filter": {filter}}
	if r.log.ordered {
		query.Set("$orderby", r.log.field+" asc")
	}
	if r.log.top != "" {
		query.Set("$top", r.log.top)
	}
	return r.log.path + "?" + encode(query)
}

// encode writes spaces as OData wants them.
func encode(query url.Values) string { return strings.ReplaceAll(query.Encode(), "+", "%20") }

// ascends returns the time of the last of rows where they are in order, and not
// all of one time; else zero.
func (r *reader) ascends(rows []json.RawMessage) time.Time {
	var first, last time.Time
	for _, row := range rows {
		t := r.when(row)
		switch {
		case !r.log.ordered, t.IsZero(), t.Before(last):
			return time.Time{}
		case first.IsZero():
			first = t
		}
		last = t
	}
	if !first.Before(last) {
		return time.Time{}
	}
	return last.Truncate(precision)
}

// when returns the time by which the log has a record; zero where it has none.
func (r *reader) when(data []byte) time.Time {
	var head struct {
		Created  string `json:"createdDateTime"`
		Activity string `json:"activityDateTime"`
		Detected string `json:"detectedDateTime"`
		Updated  string `json:"riskLastUpdatedDateTime"`
	}
	if json.Unmarshal(data, &head) != nil {
		return time.Time{}
	}
	s := head.Created
	switch r.log.stream {
	case streamAudit:
		s = head.Activity
	case streamRisk:
		s = head.Detected
	case streamRiskyUser:
		s = head.Updated
	}
	t, _ := lenient.Time(s)
	return t
}

// list is one page of a collection.
type list struct {
	Value []json.RawMessage `json:"value"`
	Next  string            `json:"@odata.nextLink"`
}

func listIn(resp *rest.Response) (*list, error) {
	var l list
	if err := resp.JSON(&l); err != nil {
		return nil, err
	}
	if l.Value == nil {
		return nil, errors.New("microsoft graph: answer has no value: it is no collection")
	}
	return &l, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
