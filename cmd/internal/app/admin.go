package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"stepdown/cmd/internal/config"
	"stepdown/detect/rule"
	"stepdown/ingest/identity"
)

// directoryInterval is how often the directory file is looked at.
const directoryInterval = 10 * time.Second

// Handler serves /metrics, /-/healthy, /-/ready and /-/reload.
func (a *App) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.opts.Gatherer, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "healthy")
	})
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := a.Ready(); err != nil {
			http.Error(w, "not ready:\n"+err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("POST /-/reload", func(w http.ResponseWriter, _ *http.Request) {
		summary, err := a.Reload()
		if err != nil {
			http.Error(w, "not reloaded, all stays as it was:\n"+err.Error(), http.StatusUnprocessableEntity)
			return
		}
		fmt.Fprintln(w, summary)
	})
	return mux
}

// openAdmin takes the address of the admin endpoints; an empty one serves none.
func (a *App) openAdmin(ctx context.Context) error {
	if a.cfg.HTTP.Listen == "" {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.cfg.HTTP.Listen)
	if err != nil {
		return fmt.Errorf("http.listen: %w; name a free address, or \"\" to serve nothing", err)
	}
	a.listener = listener
	a.onClose("admin server", func(context.Context) error {
		if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return nil
}

func (a *App) runAdmin(ctx context.Context, g *errgroup.Group) {
	if a.listener == nil {
		return
	}
	server := &http.Server{Handler: a.Handler(), ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	a.log.Info("admin server listens", slog.String("address", a.AdminAddr()))
	g.Go(func() error {
		if err := server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve http: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		//nolint:contextcheck // ctx has ended: the server gets a moment of its own
		stop, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		return server.Shutdown(stop)
	})
}

// The parts that are reloaded, as a metric label.
const (
	partConfiguration = "configuration"
	partDirectory     = "directory"
)

// reloadState is what reloads have made of the configuration.
type reloadState struct {
	// turn keeps one reload behind the other.
	turn sync.Mutex
	// mu is for what is below.
	mu sync.Mutex
	// inForce is the configuration of the start with what reloads have changed.
	inForce *config.Config
	// failed is how the last reload of each part failed, "" if it did not.
	failed map[string]string
}

// config is the configuration in force. It is not changed, only replaced.
func (s *reloadState) config() *config.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inForce
}

// note counts a reload of a part and reports whether it failed in another way
// than the one before.
func (s *reloadState) note(m *metrics, part string, err error) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	result, text := "ok", ""
	if err != nil {
		result, text = "error", err.Error()
	} else if part == partConfiguration {
		m.reloadTime.SetToCurrentTime()
	}
	m.reloads.WithLabelValues(part, result).Inc()
	news = s.failed[part] != text
	if s.failed == nil {
		s.failed = map[string]string{}
	}
	s.failed[part] = text
	ok := 1.0
	for _, text := range s.failed {
		if text != "" {
			ok = 0
		}
	}
	m.reloadOK.Set(ok)
	return news
}

// Reload reads the configuration again, with the rules and the directory that it
// names, and puts in force what can change while the process runs. After an error
// all stays as it was. The summary has a line on rules and directory, one on what
// has changed, and one on what takes a restart to change. Ledgers are kept.
func (a *App) Reload() (summary string, err error) {
	a.reload.turn.Lock()
	defer a.reload.turn.Unlock()
	old := a.reload.config()
	defer func() { a.reload.note(a.metrics, partConfiguration, err) }()
	next := old
	if a.opts.Load != nil {
		if next, err = a.opts.Load(); err != nil {
			return "", err
		}
	}
	set, resolver, err := a.prepare(next)
	if err != nil {
		return "", err
	}
	var changed, restart []string
	for _, path := range old.Differences(next) {
		switch {
		case !a.opts.Roles.need(path):
		case a.reloads(path):
			changed = append(changed, path)
		default:
			restart = append(restart, path)
		}
	}
	var said []string
	if set != nil {
		a.engine.SetRules(set)
		said = append(said, fmt.Sprintf("%d rules in force", len(set.All())))
	}
	newDirectory := false
	if resolver != nil {
		newDirectory = a.resolver.Adopt(resolver)
		a.reload.note(a.metrics, partDirectory, nil)
		if next.Identity.Directory != "" {
			said = append(said, map[bool]string{true: "directory read anew", false: "directory unchanged"}[newDirectory])
		}
	}
	a.adopt(old, next)
	a.log.Info("reloaded", slog.Any("changed", changed), slog.Bool("directory_changed", newDirectory), slog.Any("needs_restart", restart))

	lines := []string{"configuration read anew"}
	if len(said) > 0 {
		lines[0] = strings.Join(said, ", ")
	}
	if len(changed) > 0 {
		lines = append(lines, "changed: "+strings.Join(changed, ", "))
	}
	if len(restart) > 0 {
		lines = append(lines, "needs a restart: "+strings.Join(restart, ", "))
	}
	return strings.Join(lines, "\n"), nil
}

// prepare reads what cfg names and may fail to, so that it does before anything is
// changed. What the roles do not need is nil.
func (a *App) prepare(cfg *config.Config) (set *rule.Set, resolver *identity.Resolver, err error) {
	var errs []error
	if a.engine != nil {
		set, err = LoadRules(cfg.Rules)
		errs = append(errs, err)
	}
	if a.resolver != nil {
		if resolver, err = identity.New(cfg.Identity); err != nil {
			errs = append(errs, fmt.Errorf("identity: %w", err))
		}
	}
	return set, resolver, errors.Join(errs...)
}

// reloads reports whether a change of the key needs no restart.
func (a *App) reloads(path string) bool {
	switch {
	case path == "log.level":
		return a.opts.LogLevel != nil
	case path == "rules.dir", strings.HasPrefix(path, "identity."):
		return true
	}
	return strings.HasPrefix(path, "sinks.") && strings.HasSuffix(path, ".min_severity")
}

// adopt puts in force what next has of what needs no restart, beside rules and
// identity, which are in force already.
func (a *App) adopt(old, next *config.Config) {
	now := *old
	now.Rules, now.Identity = next.Rules, next.Identity
	if a.opts.LogLevel != nil {
		now.Log.Level = next.Log.Level
		var level slog.Level
		if err := level.UnmarshalText([]byte(next.Log.Level)); err == nil { // it is valid
			a.opts.LogLevel.Set(level)
		}
	}
	now.Sinks.Terminal.Value.MinSeverity = next.Sinks.Terminal.Value.MinSeverity
	now.Sinks.NDJSON.Value.MinSeverity = next.Sinks.NDJSON.Value.MinSeverity
	now.Sinks.Slack.Value.MinSeverity = next.Sinks.Slack.Value.MinSeverity
	for name, runner := range a.runners {
		runner.SetMinimum(now.Sinks.Minimum(name))
	}
	a.reload.mu.Lock()
	defer a.reload.mu.Unlock()
	a.reload.inForce = &now
}

// reloadOnChange looks at the directory file every while: tiers change more
// often than rules, and by other people.
func (a *App) reloadOnChange(ctx context.Context, interval time.Duration) error {
	if a.resolver == nil {
		return nil
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if a.reload.config().Identity.Directory == "" {
				continue
			}
			changed, err := a.resolver.Reload()
			news := a.reload.note(a.metrics, partDirectory, err)
			switch {
			case news && err != nil:
				a.log.Error("directory not read, the one before stays in force", slog.Any("error", err))
			case news, changed:
				a.log.Info("directory read anew", slog.Bool("changed", changed))
			}
		}
	}
}

// ReloadAndLog is Reload for a signal, where nobody waits for the answer.
func (a *App) ReloadAndLog() {
	if _, err := a.Reload(); err != nil {
		a.log.Error("not reloaded, all stays as it was", slog.Any("error", err))
	}
}
