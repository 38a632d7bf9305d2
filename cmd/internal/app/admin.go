package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
)

// directoryInterval is how often the directory file is looked at.
const directoryInterval = 10 * time.Second

// health is what /-/ready says: one line for each part that is not ready.
type health struct {
	mu     sync.Mutex
	parts  map[string]error
	checks map[string]func() error
	gauge  prometheus.Gauge
	// listens is the address of the admin server.
	listens string
}

func newHealth(gauge prometheus.Gauge) *health {
	return &health{parts: map[string]error{}, checks: map[string]func() error{}, gauge: gauge}
}

// set says how a part is; nil is ready.
func (h *health) set(part string, err error) {
	h.mu.Lock()
	h.parts[part] = err
	h.mu.Unlock()
	_ = h.ready() // keeps the gauge
}

// watch adds a part that is asked each time.
func (h *health) watch(part string, check func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[part] = check
}

func (h *health) listen(addr string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listens = addr
}

func (h *health) addr() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.listens
}

func (h *health) ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := maps.Clone(h.parts)
	for part, check := range h.checks {
		now[part] = check()
	}
	var errs []error
	for _, part := range slices.Sorted(maps.Keys(now)) {
		if now[part] != nil {
			errs = append(errs, fmt.Errorf("%s: %w", part, now[part]))
		}
	}
	err := errors.Join(errs...)
	if err == nil {
		h.gauge.Set(1)
	} else {
		h.gauge.Set(0)
	}
	return err
}

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
			http.Error(w, "not reloaded, what was in force stays in force:\n"+err.Error(), http.StatusUnprocessableEntity)
			return
		}
		fmt.Fprintln(w, summary)
	})
	return mux
}

// runAdmin serves the admin endpoints; an empty address serves none.
func (a *App) runAdmin(ctx context.Context, g *errgroup.Group) error {
	if a.cfg.HTTP.Listen == "" {
		return nil
	}
	listener, err := net.Listen("tcp", a.cfg.HTTP.Listen)
	if err != nil {
		return fmt.Errorf("http.listen: %w; set http.listen to a free address, or to \"\" to serve nothing", err)
	}
	a.health.listen(listener.Addr().String())
	server := &http.Server{Handler: a.Handler(), ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	a.log.Info("admin server listens", slog.String("address", listener.Addr().String()))
	g.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
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
	return nil
}

// Reload reads the rules and the directory again. What cannot be read leaves in
// force what was; ledgers are kept.
func (a *App) Reload() (summary string, err error) {
	defer func() {
		if err != nil {
			a.metrics.reloads.WithLabelValues("error").Inc()
			a.metrics.reloadOK.Set(0)
		} else {
			a.metrics.reloads.WithLabelValues("ok").Inc()
			a.metrics.reloadOK.Set(1)
		}
	}()
	set, rulesErr := LoadRules(a.cfg.Rules)
	changed, directoryErr := a.resolver.Reload()
	if directoryErr != nil {
		directoryErr = fmt.Errorf("directory: %w", directoryErr)
	}
	if err := errors.Join(rulesErr, directoryErr); err != nil {
		return "", err
	}
	a.engine.SetRules(set)
	var b strings.Builder
	fmt.Fprintf(&b, "%d rules in force", len(set.All()))
	if a.cfg.Identity.Directory != "" {
		fmt.Fprintf(&b, ", directory %s", map[bool]string{true: "read anew", false: "unchanged"}[changed])
	}
	a.log.Info("reloaded", slog.Int("rules", len(set.All())), slog.Bool("directory_changed", changed))
	return b.String(), nil
}

// reloadOnChange looks at the directory file every while: tiers change more
// often than rules, and by other people.
func (a *App) reloadOnChange(ctx context.Context) error {
	if a.cfg.Identity.Directory == "" {
		return nil
	}
	tick := time.NewTicker(directoryInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			changed, err := a.resolver.Reload()
			switch {
			case err != nil:
				a.metrics.reloads.WithLabelValues("error").Inc()
				a.metrics.reloadOK.Set(0)
				a.log.Error("directory not read, the one before stays in force", slog.Any("error", err))
			case changed:
				a.metrics.reloads.WithLabelValues("ok").Inc()
				a.metrics.reloadOK.Set(1)
				a.log.Info("directory read anew")
			}
		}
	}
}

// ReloadAndLog is Reload for a signal, where nobody waits for the answer.
func (a *App) ReloadAndLog() {
	if _, err := a.Reload(); err != nil {
		a.log.Error("not reloaded, what was in force stays in force", slog.Any("error", err))
	}
}
