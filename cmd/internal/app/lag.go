package app

import (
	"context"
	"fmt"
)

// Backlog returns how many records the detector and the sinks of this process
// have not committed yet. Zero means that all that was collected is judged and
// every alert has reached every sink.
func (a *App) Backlog(ctx context.Context) (int64, error) {
	topics := a.client.Topics()
	groups := map[string]string{}
	if a.opts.Roles.Detect {
		groups[detectorGroup] = topics.Events
	}
	if a.opts.Roles.Sink {
		for name := range a.runners {
			groups[sinkGroup(name)] = topics.Alerts
		}
		if a.store != nil {
			groups[sinkGroup(storeEvents)] = topics.Events
		}
	}
	var sum int64
	for group, topic := range groups {
		lag, err := a.client.Lag(ctx, group, topic)
		if err != nil {
			return 0, fmt.Errorf("backlog: %w", err)
		}
		sum += lag
	}
	return sum, nil
}
