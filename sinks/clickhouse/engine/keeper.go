package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// steady is how long an engine must have run for its end to be a new trouble,
// after which the waits between two starts begin anew.
const steady = time.Minute

// Keeper keeps an engine running: one that ends is started again on the same
// port, so that its clients find it. Its methods may be called from any
// goroutine.
type Keeper struct {
	cfg      Config
	addr     string
	log      *slog.Logger
	restarts prometheus.Counter

	mu     sync.Mutex
	engine *Engine
	// trouble is why no engine runs, nil while one does.
	trouble error
}

// Keep starts an engine as [Start] does. [Keeper.Run] keeps it running.
func Keep(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Keeper, error) {
	k := &Keeper{cfg: cfg, log: log, restarts: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "stepdown_sinks_clickhouse_engine_restarts_total",
		Help: "Times that the embedded engine had ended by itself and was started again.",
	})}
	if err := reg.Register(k.restarts); err != nil {
		return nil, fmt.Errorf("register engine metrics: %w", err)
	}
	e, err := Start(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(e.Addr())
	if err == nil {
		k.cfg.Port, err = strconv.Atoi(port)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read engine address: %w", err), e.Close(ctx))
	}
	k.engine, k.addr = e, e.Addr()
	return k, nil
}

// Run starts the engine again each time it has ended, until ctx ends. The engine
// that runs then stays until [Keeper.Close].
func (k *Keeper) Run(ctx context.Context) error {
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = 200*time.Millisecond, 15*time.Second
	for {
		began := time.Now()
		select {
		case <-ctx.Done():
			return nil
		case <-k.current().Done():
		}
		if time.Since(began) > steady {
			waits.Reset()
		}
		err := k.current().Err()
		k.log.Error("clickhouse engine ended, starting it again", slog.Any("error", err))
		for err != nil {
			k.set(nil, fmt.Errorf("ended, is being started again: %w", err))
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(waits.NextBackOff()):
			}
			err = k.restart(ctx)
			if err != nil && ctx.Err() == nil {
				k.log.Warn("clickhouse engine not started, trying again", slog.Any("error", err))
			}
		}
	}
}

func (k *Keeper) restart(ctx context.Context) error {
	e, err := Start(ctx, k.cfg, k.log)
	if err != nil {
		return err
	}
	k.restarts.Inc()
	k.set(e, nil)
	return nil
}

func (k *Keeper) current() *Engine {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.engine
}

// set notes the engine that runs now, or why none does.
func (k *Keeper) set(e *Engine, trouble error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e != nil {
		k.engine = e
	}
	k.trouble = trouble
}

// Check reports nil while the engine runs and has room to write, else what is
// wrong. Nothing is lost meanwhile: clients get errors and try again.
func (k *Keeper) Check() error {
	k.mu.Lock()
	e, trouble := k.engine, k.trouble
	k.mu.Unlock()
	if trouble != nil {
		return trouble
	}
	if err := e.Err(); err != nil {
		return err
	}
	return checkFree(e.dir, k.cfg.MinFree, "min_free_bytes, nothing is written until there is more")
}

// Addr is the host and port of the native protocol, the same for every engine
// that this one starts.
func (k *Keeper) Addr() string { return k.addr }

// PasswordFile is the file with the password of [User].
func (k *Keeper) PasswordFile() string { return k.current().PasswordFile() }

// Close stops the engine, see [Engine.Close]. Run must have ended.
func (k *Keeper) Close(ctx context.Context) error { return k.current().Close(ctx) }
