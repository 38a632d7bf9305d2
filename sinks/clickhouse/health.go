package clickhouse

import (
	"context"
	"fmt"
	"io"
	"time"
)

// InputHealth is one report of how an input stood.
type InputHealth struct {
	Input string
	// Sources and Tenants are those of its records so far.
	Sources, Tenants []string
	Time             time.Time
	State, Detail    string
	// Through is the event time up to which it was read, LastEvent that of its
	// latest event; zero where that is not known.
	Through, LastEvent time.Time
	// Records and Malformed count what was read since the report before.
	Records, Malformed uint64
}

// InputGap is an interval of event time whose records were read late, or not at
// all. Of several revisions of a gap the highest is seen.
type InputGap struct {
	ID               string
	Revision         uint64
	Input            string
	Sources, Tenants []string
	Kind             string
	// To is zero while the gap is open.
	From, To time.Time
	Opened   time.Time
	Detail   string
}

// InsertHealth writes reports. The same ones inserted again count once. Its errors
// are those of InsertEvents.
func (s *Store) InsertHealth(ctx context.Context, reports []InputHealth) error {
	return insert(ctx, s, target[InputHealth]{tableHealth, healthColumns(), func(r *InputHealth) int { return len(r.Detail) + 512 },
		func(h io.Writer, r *InputHealth) { fmt.Fprintf(h, "%q %d\n", r.Input, r.Time.UnixNano()) }}, reports)
}

// InsertGaps writes gaps, as InsertHealth does reports.
func (s *Store) InsertGaps(ctx context.Context, gaps []InputGap) error {
	return insert(ctx, s, target[InputGap]{tableGaps, gapColumns(), func(g *InputGap) int { return len(g.Detail) + 512 },
		func(h io.Writer, g *InputGap) { fmt.Fprintf(h, "%q %d %d\n", g.ID, g.Revision, g.To.UnixNano()) }}, gaps)
}

// known returns nil for a time that is not known.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// healthColumns are those of the table source_health, in its order.
func healthColumns() []column[InputHealth] {
	type h = InputHealth
	return []column[h]{
		value("input", func(x *h) string { return x.Input }),
		list("sources", func(x *h) []string { return x.Sources }),
		list("tenants", func(x *h) []string { return x.Tenants }),
		value("time", func(x *h) time.Time { return x.Time }),
		value("state", func(x *h) string { return x.State }),
		value("detail", func(x *h) string { return x.Detail }),
		value("read_through", func(x *h) *time.Time { return known(x.Through) }),
		value("last_event", func(x *h) *time.Time { return known(x.LastEvent) }),
		value("lag_seconds", func(x *h) *float64 {
			if x.Through.IsZero() {
				return nil
			}
			lag := x.Time.Sub(x.Through).Seconds()
			return &lag
		}),
		value("records", func(x *h) uint64 { return x.Records }),
		value("malformed", func(x *h) uint64 { return x.Malformed }),
	}
}

// gapColumns are those of the table source_gaps, in its order.
func gapColumns() []column[InputGap] {
	type g = InputGap
	return []column[g]{
		value("id", func(x *g) string { return x.ID }),
		value("revision", func(x *g) uint64 { return x.Revision }),
		value("input", func(x *g) string { return x.Input }),
		list("sources", func(x *g) []string { return x.Sources }),
		list("tenants", func(x *g) []string { return x.Tenants }),
		value("kind", func(x *g) string { return x.Kind }),
		value("from_time", func(x *g) time.Time { return x.From }),
		value("to_time", func(x *g) *time.Time { return known(x.To) }),
		value("opened_at", func(x *g) time.Time { return x.Opened }),
		value("detail", func(x *g) string { return x.Detail }),
	}
}
