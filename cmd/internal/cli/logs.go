package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stepdown/cmd/internal/app"
	"stepdown/cmd/internal/config"
	"stepdown/detect"
	"stepdown/detect/alert"
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/file"
)

// logFlags say what the files given on the command line are.
type logFlags struct {
	source, tenant, stream string
	mappings               []string
}

func (f *logFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.source, "source", "", "provider of the files: "+strings.Join(app.Sources(), ", "))
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "organisation the log belongs to, where the records do not say")
	cmd.Flags().StringArrayVar(&f.mappings, "mapping", nil, "mapping file whose source the files may be of, beside those of the configuration")
	cmd.Flags().StringVar(&f.stream, "stream", "", "log within the source, where the records do not say")
}

// input is one file of the command line with its source.
type input struct {
	source event.Source
	path   string
}

// inputs reads arguments of the form FILE or SOURCE=FILE; none is standard
// input.
func (f *logFlags) inputs(args []string, known []string) ([]input, error) {
	if len(args) == 0 {
		args = []string{"-"}
	}
	var out []input
	for _, arg := range args {
		in := input{source: event.Source(f.source), path: arg}
		if source, path, ok := strings.Cut(arg, "="); ok && slices.Contains(known, source) {
			in = input{source: event.Source(source), path: path}
		}
		if !slices.Contains(known, string(in.source)) {
			return nil, withCode(exitUsage, fmt.Errorf("%s: of which provider? use --source %s", arg, strings.Join(known, "|")))
		}
		out = append(out, in)
	}
	return out, nil
}

// readLogs reads the files to their ends as cfg says, hands every batch of
// normalized records to each, and says on standard error what could not be read
// and what became of all. It returns how many records failed.
func (c *cli) readLogs(ctx context.Context, cfg *config.Config, f *logFlags, args []string, each func([]event.Event) error) (failed int, err error) {
	log, err := c.logger(cfg.Log)
	if err != nil {
		return 0, err
	}
	resolver, err := app.Resolver(cfg, log)
	if err != nil {
		return 0, withCode(exitConfig, err)
	}
	cfg.Mappings = append(slices.Clone(cfg.Mappings), f.mappings...)
	normalizers, err := app.NormalizersOf(cfg)
	if err != nil {
		return 0, withCode(exitConfig, err)
	}
	var known []string
	for _, source := range slices.Sorted(maps.Keys(normalizers)) {
		known = append(known, string(source))
	}
	ins, err := f.inputs(args, known)
	if err != nil {
		return 0, err
	}
	observed, summary := time.Now(), ingest.Summary{}
	for _, in := range ins {
		fc := file.DefaultConfig()
		fc.Paths, fc.Source, fc.Tenant, fc.Stream = []string{in.path}, in.source, f.tenant, f.stream
		if err := fc.Validate(); err != nil {
			return 0, withCode(exitUsage, err)
		}
		source, err := file.New(fc, log)
		if err != nil {
			return 0, err
		}
		err = readLog(ctx, source, normalizers, resolver, observed, func(n ingest.Normalized) error {
			summary.Add(n.Summary)
			for _, r := range n.Rejected {
				failed++
				fmt.Fprintf(c.Stderr, "%s: %v\n", r.Record.Origin, r.Err)
			}
			return each(n.Events)
		})
		if err != nil {
			return 0, errors.Join(fmt.Errorf("%s: %w", in.path, err), source.Close())
		}
		if err := source.Close(); err != nil {
			return 0, err
		}
	}
	c.printSummary(summary)
	return failed, nil
}

func readLog(ctx context.Context, source ingest.Source, normalizers map[event.Source]ingest.Normalizer, id ingest.Identity, observed time.Time, each func(ingest.Normalized) error) error {
	if err := source.Seek(nil); err != nil {
		return err
	}
	for {
		batch, err := source.Poll(ctx)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for i := range batch.Records {
			batch.Records[i].Observed = observed
		}
		if len(batch.Records) > 0 {
			if err := each(ingest.Normalize(batch.Records, normalizers, id)); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
}

func (c *cli) normalizeCommand() *cobra.Command {
	var flags logFlags
	var raw bool
	cmd := &cobra.Command{
		Use:   "normalize --source SOURCE [FILE…]",
		Short: "Print what provider logs normalize to, as NDJSON, and what was left out on standard error",
		Long: `Reads log files of a provider (NDJSON, JSON arrays, the provider's envelopes, plain,
gzip or zstd; standard input without FILE) exactly as a collector does, and prints
the normalized events. Skipped and failed records are counted by reason on
standard error; failed ones are also listed with where they are. The exit code is 1
when a record failed.`,
		Example: "  stepdown normalize --source okta export.json.gz | jq .kind",
		RunE: failing(func(cmd *cobra.Command, args []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			failed, err := c.readLogs(cmd.Context(), cfg, &flags, args, func(events []event.Event) error {
				for i := range events {
					e := &events[i]
					if !raw {
						e.Raw = nil
					}
					line, err := event.Encode(nil, e)
					if err != nil {
						return err
					}
					if _, err := c.Stdout.Write(append(line, '\n')); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			if failed > 0 {
				return fmt.Errorf("%d records could not be read; `stepdown run` would keep them in the dead-letter topic", failed)
			}
			return nil
		}),
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&raw, "raw", false, "keep the provider's record within each event")
	c.configFlag(cmd)
	return cmd
}

// printSummary says on standard error what became of the records.
func (c *cli) printSummary(s ingest.Summary) {
	for _, source := range slices.Sorted(maps.Keys(s)) {
		n := s[source]
		events, skipped, malformed := total(n.Events), total(n.Skipped), total(n.Malformed)
		fmt.Fprintf(c.Stderr, "%s: %d records, %d events, %d skipped, %d failed\n", source, n.Records, events, skipped, malformed)
		for _, r := range slices.Sorted(maps.Keys(n.Skipped)) {
			fmt.Fprintf(c.Stderr, "  skipped %6d  %s\n", n.Skipped[r], r)
		}
		for _, r := range slices.Sorted(maps.Keys(n.Malformed)) {
			fmt.Fprintf(c.Stderr, "  failed  %6d  %s\n", n.Malformed[r], r)
		}
	}
}

func total[K comparable](m map[K]int) int {
	sum := 0
	for _, n := range m {
		sum += n
	}
	return sum
}

func (c *cli) replayCommand() *cobra.Command {
	var flags logFlags
	var revisions bool
	cmd := &cobra.Command{
		Use:   "replay --source SOURCE FILE… | replay SOURCE=FILE…",
		Short: "Run the detector over log files in process and print the alerts as NDJSON",
		Long: `Runs the same engine as the live pipeline over log files, in one process and
without Kafka, and prints the alerts that stand at the end, oldest first. The same
files give the same output. Files of several providers are merged by event time:
name them SOURCE=FILE. All events are held in memory.`,
		Example: "  stepdown replay okta=okta.ndjson entra=signins.json entra=audit.json | jq -r '.severity + \"  \" + .title'",
		RunE: failing(func(cmd *cobra.Command, args []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			set, err := app.LoadRules(cfg.Rules)
			if err != nil {
				return withCode(exitConfig, err)
			}
			var all []event.Event
			_, err = c.readLogs(cmd.Context(), cfg, &flags, args, func(events []event.Event) error {
				for i := range events {
					events[i].Raw = nil
				}
				all = append(all, events...)
				return nil
			})
			if err != nil {
				return err
			}
			alerts, err := replay(detect.NewEngine(set, cfg.Detect, nil), all, revisions)
			if err != nil {
				return err
			}
			out := json.NewEncoder(c.Stdout)
			out.SetEscapeHTML(false)
			for i := range alerts {
				if err := out.Encode(&alerts[i]); err != nil {
					return err
				}
			}
			fmt.Fprintf(c.Stderr, "%d alerts\n", len(alerts))
			return nil
		}),
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&revisions, "revisions", false, "print every revision, withdrawn ones included, in the order they were made")
	c.configFlag(cmd)
	return cmd
}

// replay runs events through one shard. When a record was read has no meaning
// here and would differ from run to run, so its event time stands in.
func replay(engine *detect.Engine, events []event.Event, revisions bool) ([]alert.Alert, error) {
	slices.SortStableFunc(events, func(a, b event.Event) int { return a.Time.Compare(b.Time) })
	shard := detect.NewShard(engine)
	defer shard.Close()
	for i := range events {
		events[i].Observed = events[i].Time
		if err := shard.Apply(&events[i], int64(i)); err != nil {
			return nil, err
		}
	}
	// The log is over: nothing will complete a sign-in any more.
	shard.Advance(shard.Clock().AddDate(0, 0, 2))
	said := shard.Drain()
	if revisions {
		return said, nil
	}
	latest := map[alert.ID]alert.Alert{}
	for _, a := range said {
		latest[a.ID] = a
	}
	var alerts []alert.Alert
	for _, a := range latest {
		if a.State == alert.Open {
			alerts = append(alerts, a)
		}
	}
	slices.SortFunc(alerts, func(a, b alert.Alert) int {
		if d := a.Time.Compare(b.Time); d != 0 {
			return d
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return alerts, nil
}
