package ingest

import (
	"context"
	"log/slog"
	"time"
)

// Progress is told when a source is further behind than behindEnough, every
// progressInterval.
const (
	behindEnough     = time.Hour
	progressInterval = 30 * time.Second
)

// progress follows a source through history.
type progress struct {
	started, told time.Time
	from          time.Time
	records       int
}

// note tells how far the source has come, and when it will have caught up at this
// pace.
func (p *progress) note(ctx context.Context, log *slog.Logger, now, through time.Time, records int) {
	behind := now.Sub(through)
	if behind < behindEnough {
		if !p.told.IsZero() {
			log.InfoContext(ctx, "input has caught up", slog.Int("records", p.records+records), slog.Duration("took", now.Sub(p.started).Round(time.Second)))
		}
		*p = progress{}
		return
	}
	if p.started.IsZero() {
		p.started, p.from = now, through
	}
	p.records += records
	if now.Sub(p.told) < progressInterval {
		return
	}
	p.told = now
	attrs := []any{slog.Time("read_through", through), slog.Duration("behind", behind.Round(time.Second)), slog.Int("records", p.records)}
	if took, moved := now.Sub(p.started), through.Sub(p.from); took > 0 && moved > took {
		pace := float64(moved)/float64(took) - 1 // the present moves on meanwhile
		attrs = append(attrs, slog.Duration("caught_up_in", time.Duration(float64(behind)/pace).Round(time.Second)))
	}
	log.InfoContext(ctx, "input is catching up", attrs...)
}
