package app

import (
	"context"
	"fmt"
)

// Backlog returns how many records the detector and the sinks of this process
// have not committed yet. Zero means that all that was published before the call
// is judged and every alert of it has reached every sink.
func (a *App) Backlog(ctx context.Context) (int64, error) {
	topics := a.client.Topics()
	type group struct{ id, topic string }
	var groups []group
	// The detector first: what it has committed is in the alerts topic when the
	// sinks are asked.
	if a.opts.Roles.Detect {
		groups = append(groups, group{a.detectorGroup(), topics.Events})
	}
	if a.opts.Roles.Sink {
		for name := range a.runners {
			groups = append(groups, group{a.sinkGroup(name), topics.Alerts})
		}
		if a.store != nil {
			groups = append(groups, group{a.sinkGroup(storeEvents), topics.Events})
		}
	}
	var sum int64
	for _, g := range groups {
		lag, err := a.client.Lag(ctx, g.id, g.topic)
		if err != nil {
			return 0, fmt.Errorf("backlog: %w", err)
		}
		sum += lag
	}
	return sum, nil
}
