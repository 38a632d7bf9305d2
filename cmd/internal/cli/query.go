package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"stepdown/cmd/internal/app"
	"stepdown/sinks"
	"stepdown/sinks/clickhouse"
)

func (c *cli) queryCommand() *cobra.Command {
	var output string
	var limit int
	cmd := &cobra.Command{
		Use:     "query SQL",
		Short:   "Run one reading SQL statement in the configured ClickHouse",
		Example: "  stepdown query -c stepdown.yaml 'SELECT time, severity, title FROM stepdown.alerts FINAL ORDER BY time DESC LIMIT 10'",
		Args:    cobra.ExactArgs(1),
		RunE: failing(func(cmd *cobra.Command, args []string) (err error) {
			if output != "table" && output != "json" {
				return withCode(exitUsage, fmt.Errorf("--output %q: use table or json", output))
			}
			cfg, err := c.load()
			if err != nil {
				return err
			}
			if err := app.Locate(cmd.Context(), cfg); err != nil {
				return withCode(exitUnavailable, err)
			}
			if len(cfg.ClickHouse.Addresses) == 0 {
				return withCode(exitUnavailable, fmt.Errorf("no ClickHouse to ask: clickhouse.addresses names none, and no `stepdown run` with the embedded engine keeps its data in %s", cfg.DataDir))
			}
			log, err := c.logger(cfg.Log)
			if err != nil {
				return err
			}
			store, err := clickhouse.Open(cmd.Context(), cfg.ClickHouse.Config, log, prometheus.NewRegistry())
			if err != nil {
				return withCode(exitUnavailable, err)
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			rows, more, err := store.Query(cmd.Context(), args[0], limit)
			if err != nil {
				return err
			}
			if err := c.printRows(rows, output); err != nil {
				return err
			}
			if more {
				fmt.Fprintf(c.Stderr, "only the first %d rows are shown; --limit shows more\n", limit)
			}
			return nil
		}),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table, or json: one object a line, with numbers of any size as JSON numbers")
	cmd.Flags().IntVar(&limit, "limit", 1000, "at most so many rows")
	c.configFlag(cmd)
	return cmd
}

// number matches ClickHouse's types of numbers, and of true and false.
var number = regexp.MustCompile(`^(U?Int|Float|BFloat|Decimal|Bool)`)

// jsonOf is a value of a column as JSON: numbers of any size, and true and false,
// as such, NULL as null, and everything else as text.
func jsonOf(text, typ string) any {
	inner := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(typ, "LowCardinality("), "Nullable("), ")")
	switch {
	case text == "NULL" && inner != typ && strings.Contains(typ, "Nullable("):
		return nil
	case number.MatchString(inner) && json.Valid([]byte(text)): // which NaN is not
		return json.RawMessage(text)
	}
	return text
}

func (c *cli) printRows(rows clickhouse.Rows, output string) error {
	if output == "json" {
		out := json.NewEncoder(c.Stdout)
		out.SetEscapeHTML(false)
		for _, row := range rows.Rows {
			object := make(map[string]any, len(row))
			for i, v := range row {
				object[rows.Columns[i]] = jsonOf(v, rows.Types[i])
			}
			if err := out.Encode(object); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(c.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(rows.Columns, "\t"))
	for _, row := range rows.Rows {
		for i := range row {
			row[i] = sinks.Clean(row[i])
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}
