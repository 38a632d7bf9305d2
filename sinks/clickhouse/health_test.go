package clickhouse

import (
	"testing"
	"time"
)

func TestGapsAndReportsCountOnce(t *testing.T) {
	s := newStore(t)
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	open := InputGap{ID: "a", Revision: 1, Input: "okta/system_log", Sources: []string{"okta"}, Tenants: []string{"example.okta.com"},
		Kind: "outage", From: at, Opened: at.Add(2 * time.Minute), Detail: "synthetic"}
	closed := open
	closed.Revision, closed.To = 2, at.Add(time.Hour)
	// Closed before it is opened, and each twice: the end holds.
	for _, g := range []InputGap{closed, open, closed, open} {
		if err := s.InsertGaps(t.Context(), []InputGap{g}); err != nil {
			t.Fatal(err)
		}
	}
	if n := number(t, s, "SELECT count() FROM {db}.source_gaps FINAL WHERE revision = 2 AND to_time = from_time + INTERVAL 1 HOUR AND has(tenants, 'example.okta.com')"); n != 1 {
		t.Errorf("%d closed gaps, want 1", n)
	}
	if n := number(t, s, "SELECT count() FROM {db}.source_gaps FINAL"); n != 1 {
		t.Errorf("%d gaps, want 1", n)
	}
	reports := []InputHealth{
		{Input: "okta/system_log", Sources: []string{"okta"}, Time: at, State: "behind", Through: at.Add(-2 * time.Hour), LastEvent: at.Add(-3 * time.Hour), Records: 7, Malformed: 1},
		{Input: "file", Time: at, State: "ok"},
	}
	for _, batch := range [][]InputHealth{reports, reports[:1], reports} {
		if err := s.InsertHealth(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if n := number(t, s, "SELECT sum(records) FROM {db}.source_health FINAL"); n != 7 {
		t.Errorf("reports count %d records, want 7", n)
	}
	if n := number(t, s, "SELECT count() FROM {db}.source_health FINAL WHERE state = 'behind' AND lag_seconds = 7200 AND last_event = time - INTERVAL 3 HOUR"); n != 1 {
		t.Errorf("%d reports of how far behind, want 1", n)
	}
	if n := number(t, s, "SELECT count() FROM {db}.source_health FINAL WHERE input = 'file' AND lag_seconds IS NULL AND read_through IS NULL"); n != 1 {
		t.Errorf("%d reports of an input that does not know, want 1", n)
	}
}
