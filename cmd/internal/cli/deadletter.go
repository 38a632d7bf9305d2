package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"stepdown/cmd/internal/app"
	"stepdown/ingest/stream"
	"stepdown/sinks"
)

func (c *cli) deadLetterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletter",
		Short: "List, show and retry records that could not be read",
		Long: `What could not be read lies in the dead-letter topic with its bytes, where it came
from, and why. After the cause is mended (an upgrade, a setting), retry sends the
bytes through the collectors' path again.`,
	}
	cmd.AddCommand(c.deadLetterList(), c.deadLetterShow(), c.deadLetterRetry())
	return cmd
}

// filterFlags adds the flags that pick letters.
func filterFlags(cmd *cobra.Command, f *stream.DeadLetterFilter, since *time.Duration, limit int) {
	cmd.Flags().StringVar(&f.Source, "source", "", "only of this source")
	cmd.Flags().StringVar(&f.Reason, "reason", "", "only with this reason, such as invalid_json")
	cmd.Flags().DurationVar(since, "since", 0, "only those written within this time, such as 24h")
	cmd.Flags().IntVar(&f.Limit, "limit", limit, "at most so many, the newest")
	cmd.Flags().BoolVar(&f.WithRetried, "retried", false, "those that were retried too")
}

func (c *cli) deadLetterList() *cobra.Command {
	var filter stream.DeadLetterFilter
	var since time.Duration
	var output string
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters, the newest first", Args: cobra.NoArgs,
		RunE: failing(func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return withCode(exitUsage, fmt.Errorf("--output %q: use table or json", output))
			}
			return c.withClient(cmd.Context(), func(ctx context.Context, client *stream.Client) error {
				if since > 0 {
					filter.Since = time.Now().Add(-since)
				}
				letters, err := client.ListDeadLetters(ctx, filter)
				if err != nil {
					return err
				}
				if output == "json" {
					out := json.NewEncoder(c.Stdout)
					for _, l := range letters {
						if err := out.Encode(letterOf(l)); err != nil {
							return err
						}
					}
					return nil
				}
				w := tabwriter.NewWriter(c.Stdout, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "ID\tTIME\tSOURCE\tREASON\tBYTES\tORIGIN\tERROR")
				for _, l := range letters {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", l.ID, l.Time.UTC().Format(time.DateTime), l.Source, l.Reason, l.Size,
						sinks.Clean(l.Origin), sinks.Cut(sinks.Clean(l.Error), 80))
				}
				return w.Flush()
			})
		}),
	}
	filterFlags(cmd, &filter, &since, 100)
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table, or json: one object a line with id, time, source, tenant, stream, reason, error, origin, bytes, retried")
	c.configFlag(cmd)
	return cmd
}

// letter is a dead letter as JSON, one object a line.
type letter struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	Source string    `json:"source"`
	Tenant string    `json:"tenant,omitempty"`
	Stream string    `json:"stream,omitempty"`
	Reason string    `json:"reason"`
	Error  string    `json:"error"`
	Origin string    `json:"origin"`
	// Bytes is the length of the record.
	Bytes int `json:"bytes"`
	// Retried is when it was retried last, left out when never.
	Retried time.Time `json:"retried,omitzero"`
}

func letterOf(l stream.DeadLetter) letter {
	return letter{ID: l.ID, Time: l.Time.UTC(), Source: l.Source, Tenant: l.Tenant, Stream: l.Stream, Reason: l.Reason,
		Error: l.Error, Origin: l.Origin, Bytes: l.Size, Retried: l.Retried}
}

func (c *cli) deadLetterShow() *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "Print one dead letter with its bytes", Args: cobra.ExactArgs(1),
		RunE: failing(func(cmd *cobra.Command, args []string) error {
			return c.withClient(cmd.Context(), func(ctx context.Context, client *stream.Client) error {
				l, err := client.GetDeadLetter(ctx, args[0])
				if err != nil {
					return err
				}
				if raw {
					_, err := c.Stdout.Write(l.Raw)
					return err
				}
				fmt.Fprintf(c.Stdout, "id       %s\ntime     %s\nsource   %s\ntenant   %s\nstream   %s\norigin   %s\nreason   %s\nerror    %s\n",
					l.ID, l.Time.UTC().Format(time.RFC3339), l.Source, l.Tenant, l.Stream, sinks.Clean(l.Origin), l.Reason, sinks.Clean(l.Error))
				if !l.Retried.IsZero() {
					fmt.Fprintf(c.Stdout, "retried  %s\n", l.Retried.UTC().Format(time.RFC3339))
				}
				fmt.Fprintf(c.Stdout, "bytes    %d\n\n%s\n", len(l.Raw), sinks.Clean(string(l.Raw)))
				return nil
			})
		}),
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "print only the bytes, unchanged")
	c.configFlag(cmd)
	return cmd
}

func (c *cli) deadLetterRetry() *cobra.Command {
	var filter stream.DeadLetterFilter
	var since time.Duration
	var all bool
	cmd := &cobra.Command{
		Use: "retry [ID…]", Short: "Send dead letters through normalizing and publishing again",
		Long: `Letters by id, or with --all those that the flags pick. What is read this time
becomes events and is marked as retried; what is not stays as it was, with the
reason of today printed.`,
		RunE: failing(func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return withCode(exitUsage, errors.New("name the letters by id, or use --all"))
			}
			cfg, err := c.load()
			if err != nil {
				return err
			}
			log, err := c.logger(cfg.Log)
			if err != nil {
				return err
			}
			resolver, err := app.Resolver(cfg, log)
			if err != nil {
				return withCode(exitConfig, err)
			}
			normalizers, err := app.NormalizersOf(cfg)
			if err != nil {
				return withCode(exitConfig, err)
			}
			return c.withClient(cmd.Context(), func(ctx context.Context, client *stream.Client) error {
				if all {
					if since > 0 {
						filter.Since = time.Now().Add(-since)
					}
					letters, err := client.ListDeadLetters(ctx, filter)
					if err != nil {
						return err
					}
					for _, l := range letters {
						args = append(args, l.ID)
					}
				}
				done, failed := 0, 0
				for _, id := range args {
					letter, err := client.GetDeadLetter(ctx, id)
					if err != nil {
						return fmt.Errorf("dead letter %s: %w", id, err)
					}
					if err := app.RetryDeadLetter(ctx, client, resolver, normalizers, letter, time.Now()); err != nil {
						failed++
						fmt.Fprintf(c.Stderr, "%s: %v\n", id, err)
						continue
					}
					done++
				}
				fmt.Fprintf(c.Stdout, "%d retried, %d still cannot be read\n", done, failed)
				if failed > 0 {
					return fmt.Errorf("%d dead letters still cannot be read", failed)
				}
				return nil
			})
		}),
	}
	filterFlags(cmd, &filter, &since, math.MaxInt32)
	cmd.Flags().BoolVar(&all, "all", false, "every letter that the other flags pick")
	c.configFlag(cmd)
	return cmd
}
