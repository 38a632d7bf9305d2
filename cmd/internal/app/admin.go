package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
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
			http.Error(w, "not all reloaded; of what is named here the one before stays in force:\n"+err.Error(), http.StatusUnprocessableEntity)
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

// The parts that are reloaded.
const (
	partRules     = "rules"
	partDirectory = "directory"
)

// reloadState is how the last reload of each part went.
type reloadState struct {
	mu     sync.Mutex
	failed map[string]string
}

// note counts a reload of a part and reports whether it failed in another way
// than the one before.
func (s *reloadState) note(m *metrics, part string, err error) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	result, text := "ok", ""
	if err != nil {
		result, text = "error", err.Error()
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

// Reload reads the rules and the directory again, each by itself: of what cannot
// be read, what was before stays in force, and the error names it. Ledgers are
// kept.
func (a *App) Reload() (summary string, err error) {
	set, rulesErr := LoadRules(a.cfg.Rules)
	a.reload.note(a.metrics, partRules, rulesErr)
	if rulesErr == nil {
		a.engine.SetRules(set)
		summary = fmt.Sprintf("%d rules in force", len(set.All()))
	}
	changed, directoryErr := false, error(nil)
	if a.cfg.Identity.Directory != "" {
		changed, directoryErr = a.resolver.Reload()
		a.reload.note(a.metrics, partDirectory, directoryErr)
		summary += map[bool]string{true: ", directory read anew", false: ", directory unchanged"}[changed]
	}
	if err := errors.Join(rulesErr, directoryErr); err != nil {
		return "", err
	}
	a.log.Info("reloaded", slog.Int("rules", len(set.All())), slog.Bool("directory_changed", changed))
	return summary, nil
}

// reloadOnChange looks at the directory file every while: tiers change more
// often than rules, and by other people.
func (a *App) reloadOnChange(ctx context.Context, interval time.Duration) error {
	if a.cfg.Identity.Directory == "" {
		return nil
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
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
		a.log.Error("not all reloaded, of what is named here the one before stays in force", slog.Any("error", err))
	}
}
