package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"stepdown/cmd/internal/app"
)

// runCommands are run and the roles by themselves.
func (c *cli) runCommands() []*cobra.Command {
	verbs := []struct {
		use, short, long string
		roles            app.Roles
	}{
		{"run", "Run the whole pipeline in one process", `Without brokers in the configuration an embedded Kafka broker is started, without
a ClickHouse server the embedded engine. Both listen on the loopback interface.`, app.All()},
		{"collect", "Run only the collectors: provider logs to the events topic", "", app.Roles{Collect: true}},
		{"detect", "Run only the detector: events to alerts and ledgers", "", app.Roles{Detect: true}},
		{"sink", "Run only the sinks: events and alerts to ClickHouse and chat", "", app.Roles{Sink: true}},
	}
	var out []*cobra.Command
	for _, v := range verbs {
		cmd := &cobra.Command{
			Use: v.use, Short: v.short, Long: v.long, Args: cobra.NoArgs,
			RunE: failing(func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), v.use, v.roles) }),
		}
		c.configFlag(cmd)
		out = append(out, cmd)
	}
	return out
}

func (c *cli) run(ctx context.Context, verb string, roles app.Roles) (err error) {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if roles != app.All() && len(cfg.Kafka.Brokers) == 0 {
		return withCode(exitConfig, errors.New("kafka.brokers: none; a role by itself needs a Kafka that the other roles share, `stepdown run` has one embedded"))
	}
	// What people see of an alert by default is the terminal.
	if s := &cfg.Sinks; roles.Sink && !s.Terminal.Set && !s.NDJSON.Set && !s.Slack.Set {
		s.Terminal.SetDefault()
	}
	log, err := c.logger(cfg.Log)
	if err != nil {
		return err
	}
	reg := newRegistry()
	a, err := app.New(cfg, app.Options{Roles: roles, Version: c.Version, Log: log, Registerer: reg, Gatherer: reg, Stdout: c.Stdout})
	if err != nil {
		return withCode(exitConfig, err)
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	// From here on, so that a hangup while it opens does not end it.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	if err := a.Open(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return withCode(exitUnavailable, err)
	}
	go reloadOnSignal(ctx, a, hangups)
	log.Info("running", "verb", verb)
	return a.Run(ctx)
}

// newRegistry is a registry with the process's own metrics.
func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// reloadOnSignal reloads on SIGHUP; the app logs and counts the outcome.
func reloadOnSignal(ctx context.Context, a *app.App, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			a.ReloadAndLog()
		}
	}
}
