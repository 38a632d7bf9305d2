package cli

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"stepdown/cmd/internal/app"
	"stepdown/ingest/stream"
)

// withClient connects to the configured Kafka for one command.
func (c *cli) withClient(ctx context.Context, do func(ctx context.Context, client *stream.Client) error) (err error) {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if err := app.Locate(ctx, cfg); err != nil {
		return withCode(exitUnavailable, err)
	}
	if len(cfg.Kafka.Brokers) == 0 {
		return withCode(exitUnavailable, fmt.Errorf("no Kafka to talk to: kafka.brokers names none, and no `stepdown run` keeps its data in %s", cfg.DataDir))
	}
	log, err := c.logger(cfg.Log)
	if err != nil {
		return err
	}
	client, err := stream.New(cfg.Kafka, log, prometheus.NewRegistry())
	if err != nil {
		return withCode(exitConfig, fmt.Errorf("kafka: %w", err))
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if err := client.Ping(ctx); err != nil {
		return withCode(exitUnavailable, fmt.Errorf("kafka: %w", err))
	}
	return do(ctx, client)
}

func (c *cli) topicsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "topics", Short: "Create the Kafka topics, or compare them with the configuration"}
	apply := &cobra.Command{
		Use: "apply", Short: "Create what is missing and mend what can be mended; partition counts are never changed",
		Args: cobra.NoArgs,
		RunE: failing(func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(ctx context.Context, client *stream.Client) error {
				applied, err := client.Apply(ctx)
				for _, d := range applied {
					fmt.Fprintf(c.Stdout, "mended %s: %s\n", d.Topic, d.Problem)
				}
				if err != nil {
					return err
				}
				left, err := client.Plan(ctx)
				if err != nil {
					return err
				}
				if len(left) == 0 {
					fmt.Fprintln(c.Stdout, "the topics are as configured")
				}
				return c.differences(left)
			})
		}),
	}
	check := &cobra.Command{
		Use: "check", Short: "Show how the topics differ from the configuration; exit code 1 if they do",
		Args: cobra.NoArgs,
		RunE: failing(func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(ctx context.Context, client *stream.Client) error {
				found, err := client.Plan(ctx)
				if err != nil {
					return err
				}
				if len(found) == 0 {
					fmt.Fprintln(c.Stdout, "the topics are as configured")
				}
				return c.differences(found)
			})
		}),
	}
	c.configFlag(apply)
	c.configFlag(check)
	cmd.AddCommand(apply, check)
	return cmd
}

// differences prints a table; some are an error.
func (c *cli) differences(found []stream.Difference) error {
	if len(found) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(c.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TOPIC\tPROBLEM\tHAVE\tWANT\tWHAT TO DO")
	for _, d := range found {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", d.Topic, d.Problem, d.Have, d.Want, d.Fix)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return fmt.Errorf("%d differences", len(found))
}
