package app

import "strings"

// Destinations says where this process brings alerts, for people; none before
// Open and without the role.
func (a *App) Destinations() []string {
	if !a.opts.Roles.Sink {
		return nil
	}
	var out []string
	if a.store != nil {
		if a.embedded != nil {
			out = append(out, "clickhouse (embedded, "+a.cfg.ClickHouse.Engine.DataDir+")")
		} else {
			out = append(out, "clickhouse ("+strings.Join(a.cfg.ClickHouse.Addresses, ", ")+")")
		}
	}
	if a.cfg.Sinks.Slack.Set {
		out = append(out, "slack (channel "+a.cfg.Sinks.Slack.Value.Channel+")")
	}
	if a.cfg.Sinks.NDJSON.Set {
		out = append(out, "file "+a.cfg.Sinks.NDJSON.Value.Path)
	}
	if a.cfg.Sinks.Terminal.Set {
		out = append(out, "terminal")
	}
	return out
}
