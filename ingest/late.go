package ingest

import (
	"context"
	"log/slog"
	"time"
)

// lateInterval is how often late events of an input are told at most.
const lateInterval = time.Minute

// late follows how far the events of an input are behind those before them.
type late struct {
	newest time.Time
	told   time.Time
	events int
	most   time.Duration
}

// note tells of events that come so much later than others of their input that
// detection no longer puts them in their place, if they are of one identity. The
// usual cause is two logs in one file. times ascend.
func (l *late) note(ctx context.Context, log *slog.Logger, now time.Time, lateness time.Duration, times []time.Time) {
	if len(times) == 0 {
		return
	}
	for _, t := range times {
		behind := l.newest.Sub(t)
		if l.newest.IsZero() || behind <= lateness {
			break
		}
		l.events++
		l.most = max(l.most, behind)
	}
	if l.events > 0 && now.Sub(l.told) >= lateInterval {
		log.WarnContext(ctx, "input brings events out of order by more than detect.lateness, as where two logs share a file: give each its own, or raise detect.lateness",
			slog.Int("events", l.events), slog.Duration("behind", l.most.Round(time.Second)))
		l.told, l.events, l.most = now, 0, 0
	}
	if last := times[len(times)-1]; last.After(l.newest) {
		l.newest = last
	}
}
