package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"stepdown/cmd/internal/app"
)

// rows is what a person sees who asks the store.
func (p *pipeline) rows(sql string) []string {
	p.t.Helper()
	found, _, err := p.Store().Query(p.t.Context(), sql, 1000)
	if err != nil {
		p.t.Fatal(err)
	}
	out := make([]string, len(found.Rows))
	for i, r := range found.Rows {
		out[i] = strings.Join(r, " ")
	}
	return out
}

func TestAnOutageIsInTheStore(t *testing.T) {
	o := newOrg(t)
	o.show(5)
	cfg := collector(t, "", o.URL, "synthetic-token")
	cfg.Kafka.Brokers = nil
	cfg.Ingest.RetryMax = time.Second
	withEngine(t, cfg)
	p := start(t, cfg, app.Options{})
	const gaps = "SELECT kind, toString(to_time IS NULL), revision, tenants FROM stepdown.source_gaps FINAL WHERE input = 'okta/system_log' AND has(sources, 'okta')"
	const now = "SELECT argMax(state, time), sum(records) FROM stepdown.source_health FINAL WHERE input = 'okta/system_log'"
	shows := func(sql, want string) func() bool {
		return func() bool { return strings.Join(p.rows(sql), "; ") == want }
	}
	p.until("events", func() bool {
		return p.metric("stepdown_ingest_events_total", map[string]string{"input": "okta/system_log"}) == 5
	})
	p.until("report that all is well", func() bool { return strings.HasPrefix(strings.Join(p.rows(now), ""), "ok ") })
	if got := p.rows(gaps); len(got) != 0 {
		t.Errorf("gaps while all is well: %v", got)
	}
	before := time.Now()
	o.mu.Lock()
	o.revoked = true
	o.mu.Unlock()
	p.until("open gap", shows(gaps, "outage 1 1 ["+strings.TrimPrefix(o.URL, "http://")+"]"))
	p.until("report of the refusal", shows(now, "refused 5"))
	if p.metric("stepdown_ingest_gap_open", map[string]string{"input": "okta/system_log"}) != 1 {
		t.Error("no metric tells of the gap")
	}
	// A restart in the middle of it is the same outage.
	p.stop()
	p = start(t, cfg, app.Options{})
	o.mu.Lock()
	o.revoked, o.shown = false, 9
	o.mu.Unlock()
	p.until("closed gap", func() bool { return strings.HasPrefix(strings.Join(p.rows(gaps), "; "), "outage 0 2 ") })
	after := time.Now()
	p.until("report that all is well", func() bool { return strings.HasPrefix(strings.Join(p.rows(now), ""), "ok ") })
	within := fmt.Sprintf("SELECT count() FROM stepdown.source_gaps FINAL WHERE from_time >= fromUnixTimestamp64Milli(%d) AND to_time <= fromUnixTimestamp64Milli(%d) AND to_time > from_time AND detail LIKE 'credential refused%%' AND position(detail, 'synthetic-token') = 0",
		before.Add(-time.Minute).UnixMilli(), after.UnixMilli())
	p.until("one gap of the time of the outage", shows(within, "1"))
	p.stop()
}
