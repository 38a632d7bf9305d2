package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"stepdown/cmd/internal/app"
	"stepdown/cmd/internal/config"
)

// verb is run or a role by itself.
type verb struct {
	use, short, long string
	roles            app.Roles
}

func verbs() []verb {
	return []verb{
		{"run", "Run the whole pipeline in one process", `Without brokers in the configuration an embedded Kafka broker is started, without
a ClickHouse server the embedded engine. Both listen on the loopback interface.`, app.All()},
		{"collect", "Run only the collectors: provider logs to the events topic", "", app.Roles{Collect: true}},
		{"detect", "Run only the detector: events to alerts and ledgers", "", app.Roles{Detect: true}},
		{"sink", "Run only the sinks: events and alerts to ClickHouse and chat", "", app.Roles{Sink: true}},
	}
}

// runCommands are run and the roles by themselves.
func (c *cli) runCommands() []*cobra.Command {
	var out []*cobra.Command
	for _, v := range verbs() {
		var since time.Duration
		cmd := &cobra.Command{
			Use: v.use, Short: v.short, Long: v.long, Args: cobra.NoArgs,
			RunE: failing(func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), v, since) }),
		}
		c.configFlag(cmd)
		if v.roles.Collect {
			cmd.Flags().DurationVar(&since, "since", 0, "how far back inputs begin that poll a provider and have no saved position (default from the configuration)")
		}
		out = append(out, cmd)
	}
	return out
}

// examineFor reads the configuration and looks at what v needs of it.
func (c *cli) examineFor(v verb) (cfg *config.Config, doubtful []error, err error) {
	cfg, doubtful, err = c.examine(v.roles.Look)
	if err != nil {
		return nil, doubtful, err
	}
	if v.roles != app.All() && len(cfg.Kafka.Brokers) == 0 {
		return nil, nil, withCode(exitConfig, errors.New("kafka.brokers: none; a role by itself needs a Kafka that the other roles share, `stepdown run` has one embedded"))
	}
	// What people see of an alert by default is the terminal.
	if s := &cfg.Sinks; v.roles.Sink && !s.Terminal.Set && !s.NDJSON.Set && !s.Slack.Set {
		s.Terminal.SetDefault()
	}
	return cfg, doubtful, nil
}

func (c *cli) run(ctx context.Context, v verb, since time.Duration) (err error) {
	if since < 0 {
		return withCode(exitUsage, fmt.Errorf("--since %s: use a duration such as 720h", since))
	}
	cfg, doubtful, err := c.examineFor(v)
	if err != nil {
		return err
	}
	log, err := c.logger(cfg.Log)
	if err != nil {
		return err
	}
	for _, d := range doubtful {
		log.Warn("configuration is doubtful", slog.Any("reason", d))
	}
	reg := newRegistry()
	opts := app.Options{Roles: v.roles, Version: c.Version, Log: log, Registerer: reg, Gatherer: reg, Stdout: c.Stdout,
		Load: func() (*config.Config, error) {
			cfg, _, err := c.examineFor(v)
			return cfg, err
		}}
	if since > 0 {
		opts.Since = time.Now().Add(-since)
	}
	if c.logLevel == "" {
		opts.LogLevel = &c.level
	}
	a, err := app.New(cfg, opts)
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
	attrs := []any{slog.String("verb", v.use)}
	if to := a.Destinations(); len(to) > 0 {
		attrs = append(attrs, slog.String("alerts_to", strings.Join(to, ", ")))
	}
	log.Info("running", attrs...)
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
