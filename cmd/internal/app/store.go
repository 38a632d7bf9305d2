package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"stepdown/ingest/secret"
	"stepdown/sinks/clickhouse"
	"stepdown/sinks/clickhouse/engine"
)

// openStore connects to ClickHouse. Where the embedded engine is wanted and is
// nowhere, it says how to get it and goes on without: alerts in the other sinks
// are worth more than a process that does not start. That the configuration
// wants a store that is not there is said by /-/ready until
// clickhouse.disabled says otherwise. A library that the configuration names is
// a wish of its own, and an error when it is not there.
func (a *App) openStore(ctx context.Context) error {
	if a.cfg.ClickHouse.Disabled {
		return nil
	}
	cfg := a.cfg.ClickHouse.Config
	if len(cfg.Addresses) == 0 {
		library, err := engine.Locate(a.cfg.ClickHouse.Engine.Library)
		if a.cfg.ClickHouse.Engine.Library == "" && (errors.Is(err, engine.ErrNotInstalled) || errors.Is(err, engine.ErrUnsupported)) {
			a.log.Warn("no clickhouse: alerts go to the other sinks only", slog.Any("reason", err))
			missing := fmt.Errorf("%w, or set clickhouse.disabled; all else works meanwhile", err)
			a.health.watch("clickhouse", func() error { return missing })
			return nil
		}
		if err != nil {
			return fmt.Errorf("clickhouse.engine.library: %w", err)
		}
		if err := a.openEngine(ctx, library.Path); err != nil {
			return err
		}
		cfg.Addresses, cfg.Username, cfg.Password = []string{a.embedded.Addr()}, engine.User, secret.FromFile(a.embedded.PasswordFile())
	}
	store, err := clickhouse.Open(ctx, cfg, a.log, a.opts.Registerer)
	if err != nil {
		return fmt.Errorf("clickhouse: %w", err)
	}
	a.onClose("clickhouse client", func(context.Context) error { return store.Close() })
	if err := store.Migrate(ctx); err != nil {
		return fmt.Errorf("clickhouse: %w", err)
	}
	a.store = store
	if a.embedded != nil {
		return a.refill(ctx)
	}
	return nil
}

// openEngine starts the embedded engine; Run keeps it running.
func (a *App) openEngine(ctx context.Context, library string) error {
	cfg := a.cfg.ClickHouse.Engine
	cfg.Library = library
	keeper, err := engine.Keep(ctx, cfg, a.log, a.opts.Registerer)
	if err != nil {
		return fmt.Errorf("embedded clickhouse engine: %w", err)
	}
	a.embedded = keeper
	a.onClose("clickhouse engine", func(ctx context.Context) error {
		// What was inserted is kept either way, so it is no failure of the run.
		if err := keeper.Close(ctx); err != nil {
			a.log.Warn("clickhouse engine not stopped in order", slog.Any("error", err))
		}
		return nil
	})
	a.health.watch("clickhouse engine", keeper.Check)
	return nil
}

// refilledFile lists, in the engine's directory, the broken parts for which the
// store was filled again. The parts themselves are left to whoever wants to look.
const refilledFile = "refilled"

// refill makes the store's consumer groups read again all that Kafka keeps, when
// the engine has found parts broken since the last start. Rows that are there
// are replaced by themselves. What is older than kafka.retention cannot be had
// again, and is said.
func (a *App) refill(ctx context.Context) error {
	parts, err := a.store.BrokenParts(ctx)
	if err != nil {
		return fmt.Errorf("clickhouse: %w", err)
	}
	path := filepath.Join(a.cfg.ClickHouse.Engine.DataDir, refilledFile)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clickhouse: read which parts were filled again: %w", err)
	}
	known := slices.Collect(strings.Lines(string(text)))
	broken, size := 0, uint64(0)
	for _, p := range parts {
		line := p.Table + " " + p.Name + "\n"
		if slices.Contains(known, line) {
			continue
		}
		known = append(known, line)
		broken++
		size += p.Bytes
	}
	if broken == 0 {
		return nil
	}
	a.metrics.brokenParts.Add(float64(broken))
	a.log.Error("clickhouse has found parts broken, filling it again with all that kafka keeps", slog.Int("parts", broken),
		slog.Uint64("bytes", size), slog.Duration("events_kept", a.cfg.Kafka.Retention.Events), slog.Duration("alerts_kept", a.cfg.Kafka.Retention.Alerts))
	if err := a.store.ForgetBlocks(ctx); err != nil {
		return fmt.Errorf("clickhouse: %w", err)
	}
	topics := a.client.Topics()
	groups := map[string]string{a.sinkGroup(storeEvents): topics.Events, a.sinkGroup(storeAlerts): topics.Alerts, a.sinkGroup(storeHealth): topics.Health}
	for group, topic := range groups {
		if err := a.client.Rewind(ctx, group, topic); err != nil {
			return fmt.Errorf("clickhouse: fill again after %d broken parts: %w", broken, err)
		}
	}
	// Last: until here, the next start does it again.
	if err := os.WriteFile(path, []byte(strings.Join(known, "")), 0o600); err != nil {
		return fmt.Errorf("clickhouse: note which parts are filled again: %w", err)
	}
	a.health.watch("clickhouse", a.refilling(broken, groups))
	return nil
}

// refilling reports an error until the groups have read their topics.
func (a *App) refilling(broken int, groups map[string]string) func() error {
	var done atomic.Bool
	return func() error {
		if done.Load() {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		var left int64
		for group, topic := range groups {
			lag, err := a.client.Lag(ctx, group, topic)
			if err != nil {
				return fmt.Errorf("is being filled again after %d broken parts: %w", broken, err)
			}
			left += lag
		}
		if left > 0 {
			return fmt.Errorf("is being filled again after %d broken parts, %d records to go", broken, left)
		}
		done.Store(true)
		return nil
	}
}
