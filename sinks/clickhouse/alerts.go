package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"stepdown/detect/alert"
	"stepdown/ingest/event"
	"stepdown/sinks"
)

// ErrNotFound is returned by AlertByID for an id that no alert has.
var ErrNotFound = errors.New("alert not found")

var _ sinks.Sink = (*Store)(nil)

// maxAlerts bounds the answer of Alerts.
const maxAlerts = 10_000

// alertRow is an alert with its encoding.
type alertRow struct {
	*alert.Alert
	json []byte
}

// Write makes alerts durable. It implements sinks.Sink: of several revisions of
// an alert, in whatever order they come, queries see the highest.
func (s *Store) Write(ctx context.Context, alerts []alert.Alert) error {
	rows := make([]alertRow, len(alerts))
	for i := range alerts {
		json, err := alert.Encode(&alerts[i])
		if err != nil {
			return &sinks.RefusedError{Indexes: []int{i}, Err: err}
		}
		rows[i] = alertRow{&alerts[i], json}
	}
	return insert(ctx, s, target[alertRow]{tableAlerts, alertColumns(), alertSize, alertVersion}, rows)
}

// alertVersion names one revision of one alert.
func alertVersion(h io.Writer, r *alertRow) { fmt.Fprintf(h, "%q %d\n", r.ID, r.Revision) }

func alertSize(r *alertRow) int { return 2 * len(r.json) }

// AlertFilter selects alerts; a zero field selects all.
type AlertFilter struct {
	Identity    event.Key
	Rule        string
	State       alert.State
	MinSeverity alert.Severity
	// Since and Until bound the alert's time: at or after Since, before Until.
	Since, Until time.Time
	// Limit is the number of alerts to return, at most 10 000; 0 means as many.
	Limit int
}

// Alerts returns the latest revision of the alerts that f selects, newest first.
func (s *Store) Alerts(ctx context.Context, f AlertFilter) ([]alert.Alert, error) {
	where, args := []string{"true"}, []any{}
	add := func(condition string, arg any) { where, args = append(where, condition), append(args, arg) }
	if f.Identity != "" {
		add("identity = ?", string(f.Identity))
	}
	if f.Rule != "" {
		add("rule_id = ?", f.Rule)
	}
	if f.State != "" {
		add("state = ?", string(f.State))
	}
	if f.MinSeverity != "" {
		add("severity_rank >= ?", f.MinSeverity.Rank())
	}
	if !f.Since.IsZero() {
		add("time >= fromUnixTimestamp64Milli(?)", f.Since.UnixMilli())
	}
	if !f.Until.IsZero() {
		add("time < fromUnixTimestamp64Milli(?)", f.Until.UnixMilli())
	}
	limit := maxAlerts
	if f.Limit > 0 {
		limit = min(f.Limit, maxAlerts)
	}
	return s.selectAlerts(ctx, "WHERE "+strings.Join(where, " AND ")+" ORDER BY time DESC, id LIMIT ?", append(args, limit)...)
}

// AlertByID returns the latest revision of an alert, or an error that wraps
// [ErrNotFound].
func (s *Store) AlertByID(ctx context.Context, id alert.ID) (alert.Alert, error) {
	found, err := s.selectAlerts(ctx, "WHERE id = ?", string(id))
	switch {
	case err != nil:
		return alert.Alert{}, err
	case len(found) == 0:
		return alert.Alert{}, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return found[0], nil
}

func (s *Store) selectAlerts(ctx context.Context, clauses string, args ...any) ([]alert.Alert, error) {
	rows, err := s.conn.Query(ctx, s.sql("SELECT alert FROM {db}."+tableAlerts+" FINAL "+clauses), args...)
	if err != nil {
		return nil, fmt.Errorf("query alerts: %w", err)
	}
	defer rows.Close()
	var alerts []alert.Alert
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("read alert: %w", err)
		}
		var a alert.Alert
		if err := alert.Decode([]byte(text), &a); err != nil {
			return nil, fmt.Errorf("read alert: %w", err)
		}
		alerts = append(alerts, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("query alerts: %w", err)
	}
	return alerts, nil
}

// attackIDs are the ATT&CK techniques among tags: "attack.t1556.006" gives T1556.006.
func attackIDs(tags []string) []string {
	var ids []string
	for _, tag := range tags {
		if id, ok := strings.CutPrefix(tag, "attack.t"); ok {
			ids = append(ids, "T"+id)
		}
	}
	return ids
}

// alertColumns are those of the table alerts, in its order.
func alertColumns() []column[alertRow] {
	type a = alertRow
	return []column[a]{
		value("id", func(x *a) string { return string(x.ID) }),
		value("revision", func(x *a) uint64 { return x.Revision }),
		value("state", func(x *a) string { return string(x.State) }),
		value("rule_id", func(x *a) string { return x.RuleID }),
		value("rule_version", func(x *a) uint32 { return uint32(x.RuleVersion) }),
		value("rule_title", func(x *a) string { return x.RuleTitle }),
		value("severity", func(x *a) string { return string(x.Severity) }),
		value("severity_rank", func(x *a) uint8 { return uint8(x.Severity.Rank()) }),
		value("title", func(x *a) string { return x.Title }),
		value("reason", func(x *a) string { return string(x.Reason) }),
		value("time", func(x *a) time.Time { return x.Time }),
		value("first_at", func(x *a) time.Time { return x.First }),
		value("observed_at", func(x *a) time.Time { return x.Observed }),
		value("emitted_at", func(x *a) time.Time { return x.Emitted }),
		value("identity", func(x *a) string { return string(x.Key) }),
		value("identity_name", func(x *a) string { return x.Identity.Name }),
		value("identity_display_name", func(x *a) string { return x.Identity.DisplayName }),
		value("tier", func(x *a) string { return string(x.Identity.Tier) }),
		list("populations", func(x *a) []string { return x.Identity.Populations }),
		value("source", func(x *a) string { return string(x.Source) }),
		value("tenant", func(x *a) string { return x.Tenant }),
		value("anchor", func(x *a) string { return x.Anchor }),
		value("method", func(x *a) string { return string(x.Method) }),
		value("usual_method", func(x *a) string { return string(x.Usual) }),
		value("endpoint_ip", func(x *a) string { return x.Endpoint.IP }),
		value("endpoint_asn", func(x *a) uint32 { return x.Endpoint.ASN }),
		value("endpoint_as_org", func(x *a) string { return x.Endpoint.ASOrg }),
		value("endpoint_country", func(x *a) string { return x.Endpoint.Country }),
		value("endpoint_city", func(x *a) string { return x.Endpoint.City }),
		value("user_agent", func(x *a) string { return x.UserAgent.Raw }),
		value("app_id", func(x *a) string { return part(x.App).ID }),
		value("app_name", func(x *a) string { return part(x.App).Name }),
		value("session_id", func(x *a) string { return x.SessionID }),
		list("attack_ids", func(x *a) []string { return attackIDs(x.Tags) }),
		list("tags", func(x *a) []string { return x.Tags }),
		list("evidence_event_ids", func(x *a) []string {
			ids := make([]string, len(x.Evidence))
			for i, e := range x.Evidence {
				ids[i] = e.EventID
			}
			return ids
		}),
		value("alert", func(x *a) []byte { return x.json }),
	}
}
