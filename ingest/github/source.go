package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
const source event.Source = "github"

// Provider is GitHub's audit log.
func Provider() ingest.Provider {
	return ingest.Provider{Source: source, Title: "GitHub audit log", Normalizer: New(), Example: example, Shows: []ingest.Capability{
		{Fact: ingest.FactFactor, Extent: ingest.Partly, Note: "a passkey by its nickname (documented, unverified), codes by SMS and recovery codes; nothing else"},
		{Fact: ingest.FactPasskeyKind, Extent: ingest.Never},
		{Fact: ingest.FactEnrolment, Extent: ingest.Partly, Note: "with Enterprise Managed Users, or in a person's own security log"},
		{Fact: ingest.FactInventory, Extent: ingest.Partly, Note: "of an organization: no second factor, or SMS (unverified), and who owns it"},
		{Fact: ingest.FactRecovery, Extent: ingest.Partly, Note: "as enrolments; recovery codes of single sign-on always"},
		{Fact: ingest.FactConsent, Extent: ingest.Fully},
		{Fact: ingest.FactPolicy, Extent: ingest.Fully},
		{Fact: ingest.FactRole, Extent: ingest.Fully},
		{Fact: ingest.FactSession, Extent: ingest.Partly, Note: "actor_session, where there is one"},
		{Fact: ingest.FactDevice, Extent: ingest.Never},
		{Fact: ingest.FactUserAgent, Extent: ingest.Partly},
		{Fact: ingest.FactCountry, Extent: ingest.Fully},
		{Fact: ingest.FactASN, Extent: ingest.Never, Note: "the address only where its disclosure is switched on"},
		{Fact: ingest.FactHelpDesk, Extent: ingest.Fully},
		{Fact: ingest.FactSignedPush, Extent: ingest.Never, Note: "webhooks do not carry sign-ins"},
	}}
}

// api is one enterprise or organization.
type api struct {
	client            *rest.Client
	rt                ingest.Runtime
	tenant, org, path string
	// states are what the last sweep found out of its members' second factors.
	states *states
}

// cursor is a position in the log: a search from a time on, and a page of it.
type cursor struct {
	// Since is where the search begins, Newest the latest time that was seen.
	Since  time.Time `json:"since"`
	Newest time.Time `json:"newest,omitzero"`
	// After is GitHub's own cursor within the search; empty for its first page.
	After string `json:"after,omitempty"`
}

// overlap is how far back each search begins: entries may be shown late.
const overlap = 15 * time.Minute

// pageSize is the most that GitHub gives.
const pageSize = 100

func (a *api) log(s poll.Schedule) ingest.Source {
	return poll.Source(poll.Log[cursor]{Runtime: a.rt, Interval: s.Interval, Start: cursor{Since: s.Start(a.rt).UTC()},
		Fetch: a.fetch, Overlap: overlap, When: timeOf})
}

// fetch reads one page, the oldest entries first. After the last page the next
// search begins an overlap before the newest entry.
func (a *api) fetch(ctx context.Context, at cursor) (poll.Page[cursor], error) {
	query := url.Values{"phrase": {"created:>=" + at.Since.UTC().Format("2006-01-02T15:04:05Z")}, "include": {"web"}, "order": {"asc"}, "per_page": {strconv.Itoa(pageSize)}}
	if at.After != "" {
		query.Set("after", at.After)
	}
	resp, err := a.client.Get(ctx, a.path+"/audit-log", query)
	if status, ok := errors.AsType[*rest.StatusError](err); ok && at.After != "" && (status.Status == http.StatusBadRequest || status.Status == http.StatusNotFound || status.Status == http.StatusUnprocessableEntity) {
		a.rt.Log.WarnContext(ctx, "position is no longer known to github, searching again", "error", err)
		return poll.Page[cursor]{Next: cursor{Since: laterOf(at.Since, at.Newest.Add(-overlap)), Newest: at.Newest}, More: true}, nil
	}
	if err != nil {
		return poll.Page[cursor]{}, err
	}
	var rows []json.RawMessage
	if err := resp.JSON(&rows); err != nil {
		return poll.Page[cursor]{}, err
	}
	now := a.rt.Now()
	page := poll.Page[cursor]{Next: cursor{Since: at.Since, Newest: at.Newest}}
	for _, row := range rows {
		page.Records = append(page.Records, ingest.Record{Source: source, Tenant: a.tenant, Stream: stream, Data: row, Origin: "github api " + a.tenant})
		if t := timeOf(row); t.After(page.Next.Newest) && !t.After(now) {
			page.Next.Newest = t
		}
	}
	page.Through = page.Next.Newest
	if after := afterOf(resp.Next()); after != "" && after != at.After {
		page.Next.After, page.More = after, true
		return page, nil
	}
	page.Next.Since, page.Through = laterOf(page.Next.Since, page.Next.Newest.Add(-overlap)), now
	return page, nil
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// afterOf takes the cursor off the address of the next page.
func afterOf(next string) string {
	u, err := url.Parse(next)
	if err != nil {
		return ""
	}
	return u.Query().Get("after")
}

// timeOf reads the time of an entry.
func timeOf(data []byte) time.Time {
	var head struct {
		Timestamp lenient.Text `json:"@timestamp"`
		CreatedAt lenient.Text `json:"created_at"`
	}
	if json.Unmarshal(data, &head) != nil {
		return time.Time{}
	}
	t, err := lenient.EventTime(string(head.Timestamp), string(head.CreatedAt))
	if err != nil {
		return time.Time{}
	}
	return t
}

// states are the members of an organization by what is particular to them.
type states struct {
	// disabled and insecure are nil where the API does not tell them.
	disabled, insecure map[string]bool
	owners             map[string]bool
}

func (a *api) inventory(c poll.SweepConfig) ingest.Source {
	return poll.SweepSource(poll.Sweep[string]{Runtime: a.rt, Every: c.Every, Fetch: a.members})
}

// members reads one page of members; at is the address of the page.
func (a *api) members(ctx context.Context, at string) (poll.Page[string], error) {
	if at == "" || a.states == nil {
		found, err := a.readStates(ctx)
		if err != nil {
			return poll.Page[string]{}, err
		}
		a.states = found
	}
	list, next, err := a.membersPage(ctx, at, nil)
	if err != nil {
		return poll.Page[string]{}, err
	}
	page := poll.Page[string]{Next: next, More: next != ""}
	for _, m := range list {
		m.Org, m.Owner = a.org, a.states.owners[m.Login]
		switch {
		case a.states.disabled[m.Login]:
			m.TwoFactor = twoFactorDisabled
		case a.states.insecure[m.Login]:
			m.TwoFactor = twoFactorInsecure
		case a.states.disabled != nil:
			m.TwoFactor = twoFactorEnabled
		}
		user, err := json.Marshal(m)
		if err != nil {
			return poll.Page[string]{}, fmt.Errorf("encode snapshot: %w", err)
		}
		record, err := poll.Snapshot{ReadAt: a.rt.Now(), User: user}.Record(source, a.tenant, "github inventory "+a.tenant)
		if err != nil {
			return poll.Page[string]{}, err
		}
		page.Records = append(page.Records, record)
	}
	return page, nil
}

// readStates reads the members that are particular. Who has no second factor is
// told to owners of the organization alone, and not of managed users.
func (a *api) readStates(ctx context.Context) (*states, error) {
	owners, err := a.loginsOf(ctx, url.Values{"role": {"admin"}})
	if err != nil {
		return nil, err
	}
	out := &states{owners: owners}
	for _, filter := range []struct {
		name string
		into *map[string]bool
	}{{"2fa_disabled", &out.disabled}, {"2fa_insecure", &out.insecure}} {
		logins, err := a.loginsOf(ctx, url.Values{"filter": {filter.name}})
		if status, ok := errors.AsType[*rest.StatusError](err); ok && (status.Status == http.StatusForbidden || status.Status == http.StatusUnprocessableEntity) {
			a.rt.Log.InfoContext(ctx, "second factors are not told", "filter", filter.name, "error", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		*filter.into = logins
	}
	return out, nil
}

func (a *api) loginsOf(ctx context.Context, query url.Values) (map[string]bool, error) {
	out := map[string]bool{}
	for at := ""; ; {
		list, next, err := a.membersPage(ctx, at, query)
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			out[m.Login] = true
		}
		if at = next; at == "" {
			return out, nil
		}
	}
}

// membersPage reads a page of members: the first one of a query, or the one at an
// address.
func (a *api) membersPage(ctx context.Context, at string, query url.Values) (list []member, next string, err error) {
	ref := at
	if ref == "" {
		ref = a.path + "/members"
		q := url.Values{"per_page": {strconv.Itoa(pageSize)}}
		maps.Copy(q, query)
		query = q
	} else {
		query = nil
	}
	resp, err := a.client.Get(ctx, ref, query)
	if err != nil {
		return nil, "", err
	}
	if err := resp.JSON(&list); err != nil {
		return nil, "", err
	}
	for i := range list {
		list[i].Login = strings.ToLower(list[i].Login)
	}
	return list, resp.Next(), nil
}

func idText(id int64) string { return strconv.FormatInt(id, 10) }
