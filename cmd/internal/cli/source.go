package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"stepdown/cmd/internal/app"
	"stepdown/cmd/internal/config"
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/stream"
)

func (c *cli) sourceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "source",
		Short: "Show, check, follow, backfill and reset the inputs of the configuration",
	}
	cmd.AddCommand(c.sourceListCommand(), c.sourceProvidersCommand(), c.sourceCheckCommand(), c.sourceTailCommand(), c.sourceBackfillCommand(), c.sourceResetCommand())
	return cmd
}

// liveInputs returns the inputs whose provider is polled, those named where some
// are.
func liveInputs(cfg *config.Config, names []string) ([]*config.Input, error) {
	var all, out []*config.Input
	var known []string
	for i := range cfg.Inputs {
		if _, settings := cfg.Inputs[i].Settings(); settings != nil {
			all = append(all, &cfg.Inputs[i])
			known = append(known, cfg.Inputs[i].Name)
		}
	}
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		i := slices.Index(known, name)
		if i < 0 {
			return nil, withCode(exitUsage, fmt.Errorf("%q is no input of the configuration that polls a provider; there are: %s", name, strings.Join(known, ", ")))
		}
		out = append(out, all[i])
	}
	return out, nil
}

// listed is an input as list shows it.
type listed struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`
	Title   string   `json:"title"`
	Streams []string `json:"streams"`
}

func (c *cli) sourceListCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the inputs of the configuration",
		Args:  cobra.NoArgs,
		RunE: failing(func(*cobra.Command, []string) error {
			if output != "table" && output != "json" {
				return withCode(exitUsage, fmt.Errorf("--output %q: use table or json", output))
			}
			cfg, err := c.load()
			if err != nil {
				return err
			}
			var all []listed
			for i := range cfg.Inputs {
				in := &cfg.Inputs[i]
				l := listed{Name: in.Name}
				key, settings := in.Settings()
				switch {
				case settings != nil:
					sources, err := settings.Open(ingest.NewRuntime(in.Name, time.Time{}, slog.New(slog.DiscardHandler), newRegistry()))
					if err != nil {
						return withCode(exitConfig, fmt.Errorf("inputs %s: %w", in.Name, err))
					}
					l.Kind, l.Title, l.Streams = key, settings.Provider().Title, slices.Sorted(maps.Keys(sources))
				case in.Webhook.Set:
					l.Kind, l.Title, l.Streams = "webhook", "pushed "+string(in.Webhook.Value.Source), []string{in.Webhook.Value.Path}
				case in.Topic.Set:
					l.Kind, l.Title, l.Streams = "topic", "a topic with records of "+string(in.Topic.Value.Source), []string{in.Topic.Value.Topic}
				default:
					l.Kind, l.Title, l.Streams = "file", "files of "+string(in.File.Source), in.File.Paths
				}
				all = append(all, l)
			}
			if output == "json" {
				enc := json.NewEncoder(c.Stdout)
				for _, l := range all {
					if err := enc.Encode(l); err != nil {
						return err
					}
				}
				return nil
			}
			w := tabwriter.NewWriter(c.Stdout, 0, 4, 2, ' ', 0)
			if len(all) > 0 {
				fmt.Fprintln(w, "INPUT\tSECTION\tREADS\tSTREAMS")
			}
			for _, l := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.Name, l.Kind, l.Title, strings.Join(l.Streams, ", "))
			}
			if err := w.Flush(); err != nil {
				return err
			}
			if len(all) == 0 {
				fmt.Fprintln(c.Stdout, "The configuration has no inputs; `stepdown source providers` shows what can be one.")
			}
			return nil
		}),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table, or json: one input a line")
	c.configFlag(cmd)
	return cmd
}

// printFacts prints how far a provider tells each fact, each line after prefix.
func (c *cli) printFacts(p ingest.Provider, prefix string) error {
	w := tabwriter.NewWriter(c.Stdout, 0, 4, 2, ' ', 0)
	shows := map[ingest.Fact]ingest.Capability{}
	for _, s := range p.Shows {
		shows[s.Fact] = s
	}
	for _, fact := range ingest.Facts() {
		s := shows[fact]
		line := fmt.Sprintf("%s%s\t%s", prefix, s.Fact, s.Extent)
		if s.Note != "" {
			line += "\t" + s.Note
		}
		fmt.Fprintln(w, line)
	}
	return w.Flush()
}

func (c *cli) sourceProvidersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "providers [PROVIDER…]",
		Short: "List the providers whose APIs can be read; of those named, a section to start from and what their logs can show",
		RunE: failing(func(_ *cobra.Command, args []string) error {
			all := config.Providers()
			if len(args) == 0 {
				w := tabwriter.NewWriter(c.Stdout, 0, 4, 2, ' ', 0)
				for _, p := range all {
					fmt.Fprintf(w, "%s\t%s\n", p.Source, p.Title)
				}
				fmt.Fprintln(w, "\nA provider's name shows more. Beside them an input is of files (file), of what is pushed\n(webhook), or of a Kafka topic (topic).")
				return w.Flush()
			}
			for _, name := range args {
				i := slices.IndexFunc(all, func(p ingest.Provider) bool { return string(p.Source) == name })
				if i < 0 {
					return withCode(exitUsage, fmt.Errorf("%q is no provider; `stepdown source providers` lists them", name))
				}
				fmt.Fprintf(c.Stdout, "# %s\ninputs:\n  - name: %s\n    %s:\n", all[i].Title, name, name)
				for line := range strings.Lines(all[i].Example) {
					fmt.Fprint(c.Stdout, "      "+line)
				}
				fmt.Fprintln(c.Stdout, "\n# What its logs can show:")
				if err := c.printFacts(all[i], "#   "); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

func (c *cli) sourceCheckCommand() *cobra.Command {
	since := time.Hour
	quiet := false
	cmd := &cobra.Command{
		Use:   "check [INPUT…]",
		Short: "Ask each provider once: credential, scopes, clock, what comes, and what its logs can show",
		Long: `Reads the first page of every stream of the named inputs (all that poll a provider
without a name), beginning --since ago. Publishes nothing and leaves the saved
positions alone. The exit code is 1 if a stream cannot be read.`,
		RunE: failing(func(cmd *cobra.Command, args []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			ins, err := liveInputs(cfg, args)
			if err != nil {
				return err
			}
			if len(ins) == 0 {
				fmt.Fprintln(c.Stdout, "The configuration has no input that polls a provider; `stepdown config check` looks at files and webhooks.")
				return nil
			}
			log, err := c.logger(cfg.Log)
			if err != nil {
				return err
			}
			bad := 0
			for _, in := range ins {
				found, err := app.CheckInput(cmd.Context(), cfg, in, time.Now().Add(-since), log)
				if errors.Is(err, app.ErrOnlyPushed) {
					fmt.Fprintf(c.Stdout, "%s: is only pushed to; there is nothing to ask\n", in.Name)
					continue
				}
				if err != nil {
					return withCode(exitConfig, err)
				}
				_, settings := in.Settings()
				provider := settings.Provider()
				fmt.Fprintf(c.Stdout, "%s: %s\n", in.Name, provider.Title)
				w := tabwriter.NewWriter(c.Stdout, 0, 4, 2, ' ', 0)
				for _, f := range found {
					if f.Err != nil {
						bad++
					}
					fmt.Fprintf(w, "  %s\t%s\t%s\n", f.Stream, checkResult(f), told(f, time.Now()))
				}
				if err := w.Flush(); err != nil {
					return err
				}
				if !quiet {
					fmt.Fprintln(c.Stdout, "\n  What its logs can show:")
					if err := c.printFacts(provider, "  "); err != nil {
						return err
					}
				}
			}
			if bad > 0 {
				return fmt.Errorf("%d streams cannot be read", bad)
			}
			return nil
		}),
	}
	cmd.Flags().DurationVar(&since, "since", since, "how far back the first page begins")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "without what the logs can show")
	c.configFlag(cmd)
	return cmd
}

func checkResult(f app.Checked) string {
	switch {
	case f.NotLookedAt != "":
		return "not looked at"
	case f.Refused:
		return "REFUSED"
	case f.Err != nil:
		return "FAILED"
	case f.Failed > 0:
		return "partly read"
	}
	return "ok"
}

// clockTolerance is the skew that is worth a word.
const clockTolerance = 5 * time.Second

func told(f app.Checked, now time.Time) string {
	if f.NotLookedAt != "" {
		return f.NotLookedAt
	}
	if f.Err != nil {
		return f.Err.Error()
	}
	s := fmt.Sprintf("%d records: %d events, %d skipped, %d unreadable; %d requests in %s", f.Records, f.Events, f.Skipped, f.Failed, f.Requests, f.Took.Round(time.Millisecond))
	if !f.Newest.IsZero() {
		s += fmt.Sprintf("; newest %s, %s ago", f.Newest.UTC().Format("2006-01-02 15:04:05Z"), now.Sub(f.Newest).Round(time.Second))
	}
	if f.Skew.Abs() > clockTolerance {
		s += fmt.Sprintf("; its clock differs by %s from this machine's", f.Skew.Round(time.Second))
	}
	return s
}

func (c *cli) sourceTailCommand() *cobra.Command {
	since := time.Hour
	raw := false
	cmd := &cobra.Command{
		Use:   "tail INPUT",
		Short: "Follow an input: print what it normalizes to, as NDJSON, until interrupted",
		Long:  `Publishes nothing and leaves the saved position alone, so it may run beside a collector; both use the provider's budget of requests.`,
		Args:  cobra.ExactArgs(1),
		RunE: failing(func(cmd *cobra.Command, args []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			ins, err := liveInputs(cfg, args)
			if err != nil {
				return err
			}
			log, err := c.logger(cfg.Log)
			if err != nil {
				return err
			}
			var line []byte
			return app.Tail(cmd.Context(), cfg, ins[0], time.Now().Add(-since), log, func(n ingest.Normalized) error {
				for _, r := range n.Rejected {
					fmt.Fprintf(c.Stderr, "%s: %v\n", r.Record.Origin, r.Err)
				}
				for i := range n.Events {
					if !raw {
						n.Events[i].Raw = nil
					}
					var err error
					if line, err = event.Encode(line[:0], &n.Events[i]); err != nil {
						return err
					}
					if _, err := c.Stdout.Write(append(line, '\n')); err != nil {
						return err
					}
				}
				return nil
			})
		}),
	}
	cmd.Flags().DurationVar(&since, "since", since, "how far back to begin")
	cmd.Flags().BoolVar(&raw, "raw", false, "with the provider's own record")
	c.configFlag(cmd)
	return cmd
}

func (c *cli) sourceBackfillCommand() *cobra.Command {
	var since time.Duration
	cmd := &cobra.Command{
		Use:   "backfill INPUT --since DURATION",
		Short: "Read an input again from the past to now into Kafka, with progress",
		Long: `Publishes what the provider still has since then, and ends when it has caught up.
The saved position stays: a collector may run beside it. Events that were published
before have the same ids: the store keeps one of each, and detection takes them as
one. For a person about whom newer events are known, those older than the allowed
lateness reach the store, and no longer the detector (counted as late): begin with
--since on 'collect' or 'run' where an installation is new.`,
		Args: cobra.ExactArgs(1),
		RunE: failing(func(cmd *cobra.Command, args []string) error {
			if since <= 0 {
				return withCode(exitUsage, errors.New("--since: say how far back to begin, such as 720h"))
			}
			cfg, err := c.load()
			if err != nil {
				return err
			}
			ins, err := liveInputs(cfg, args)
			if err != nil {
				return err
			}
			log, err := c.logger(cfg.Log)
			if err != nil {
				return err
			}
			began := time.Now()
			start := began.Add(-since)
			view := &backfillView{c: c, began: began, start: start, state: map[string]app.Backfilled{}}
			err = c.withClient(cmd.Context(), func(ctx context.Context, client *stream.Client) error {
				return app.Backfill(ctx, cfg, ins[0], client, start, log, view.tell)
			})
			view.finish()
			if refused, ok := errors.AsType[*ingest.CredentialError](err); ok {
				return withCode(exitUnavailable, refused)
			}
			return err
		}),
	}
	cmd.Flags().DurationVar(&since, "since", 0, "how far back to begin, such as 720h")
	c.configFlag(cmd)
	return cmd
}

// backfillView tells of the progress of a backfill: a line that is written over on
// a terminal, else a line now and then.
type backfillView struct {
	c            *cli
	began, start time.Time
	said         time.Time
	state        map[string]app.Backfilled
}

// sayEvery is how often a line is printed where it cannot be written over.
const sayEvery = 5 * time.Second

func (v *backfillView) tell(b app.Backfilled) {
	v.state[b.Stream] = b
	terminal := isTerminal(v.c.Stderr)
	if now := time.Now(); !terminal && now.Sub(v.said) < sayEvery {
		return
	}
	v.said = time.Now()
	if terminal {
		fmt.Fprintf(v.c.Stderr, "\r\033[K%s", v.line())
		return
	}
	fmt.Fprintln(v.c.Stderr, v.line())
}

func (v *backfillView) line() string {
	var parts []string
	records, slowest := 0, 1.0
	for _, name := range slices.Sorted(maps.Keys(v.state)) {
		b := v.state[name]
		records += b.Records
		done := 1.0
		if whole := v.began.Sub(v.start); !b.Done && !b.Through.IsZero() && whole > 0 {
			done = min(1, max(0, float64(b.Through.Sub(v.start))/float64(whole)))
		}
		slowest = min(slowest, done)
		parts = append(parts, fmt.Sprintf("%s %.0f %%", name, 100*done))
	}
	took := time.Since(v.began)
	line := fmt.Sprintf("%s: %d records, %.0f a second", strings.Join(parts, ", "), records, float64(records)/max(took.Seconds(), 0.001))
	if slowest > 0.01 && slowest < 1 {
		line += fmt.Sprintf(", about %s left", time.Duration(float64(took)*(1-slowest)/slowest).Round(time.Second))
	}
	return line
}

func (v *backfillView) finish() {
	if len(v.state) == 0 {
		return
	}
	if isTerminal(v.c.Stderr) {
		fmt.Fprint(v.c.Stderr, "\r\033[K")
	}
	fmt.Fprintln(v.c.Stderr, v.line())
}

// resettable returns the streams of an input whose positions are kept in Kafka.
func resettable(cfg *config.Config, name string) ([]string, error) {
	for i := range cfg.Inputs {
		if cfg.Inputs[i].Name == name && cfg.Inputs[i].Topic.Set {
			return []string{app.TopicStream}, nil
		}
	}
	ins, err := liveInputs(cfg, []string{name})
	if err != nil {
		return nil, err
	}
	_, settings := ins[0].Settings()
	sources, err := settings.Open(ingest.NewRuntime(name, time.Time{}, slog.New(slog.DiscardHandler), newRegistry()))
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	maps.DeleteFunc(sources, func(_ string, s ingest.Source) bool {
		_, consumes := s.(ingest.Consumer)
		_, pushed := s.(ingest.Receiver)
		return consumes || pushed
	})
	return slices.Sorted(maps.Keys(sources)), nil
}

func (c *cli) sourceResetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset INPUT/STREAM",
		Short: "Forget the position of a stream, so that it begins again where its settings say",
		Long: `The collector that holds the stream begins anew within seconds; where none runs, the
next one does. What was published before comes again under the same ids.`,
		Args: cobra.ExactArgs(1),
		RunE: failing(func(cmd *cobra.Command, args []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			name, streamName, ok := strings.Cut(args[0], "/")
			if !ok {
				return withCode(exitUsage, fmt.Errorf("%q: name the input and its stream, such as okta/system_log; `stepdown source list` shows them", args[0]))
			}
			streams, err := resettable(cfg, name)
			if err != nil {
				return err
			}
			if !slices.Contains(streams, streamName) {
				return withCode(exitUsage, fmt.Errorf("input %s has no stream %q with a position; there are: %s", name, streamName, strings.Join(streams, ", ")))
			}
			return c.withClient(cmd.Context(), func(ctx context.Context, client *stream.Client) error {
				if err := app.ResetCursor(ctx, client, name, streamName); err != nil {
					return err
				}
				fmt.Fprintf(c.Stdout, "position of %s forgotten\n", args[0])
				return nil
			})
		}),
	}
	c.configFlag(cmd)
	return cmd
}
