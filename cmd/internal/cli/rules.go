package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"stepdown/cmd/internal/app"
	"stepdown/detect/rule"
	"stepdown/detect/ruletest"
)

func (c *cli) rulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "List the rules and run the tests inside them",
		Long: `Without DIR the rules are those of the configuration: the shipped ones, or those in
rules.dir.`,
	}
	list := &cobra.Command{
		Use: "list [DIR]", Short: "List the rules", Args: cobra.MaximumNArgs(1),
		RunE: failing(func(_ *cobra.Command, args []string) error {
			files, err := c.ruleFiles(args)
			if err != nil {
				return err
			}
			set, err := rule.Load(files)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tVERSION\tSTATUS\tON\tTITLE")
			for _, r := range set.All() {
				kinds := make([]string, len(r.On))
				for i, k := range r.On {
					kinds[i] = string(k)
				}
				fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", r.ID, r.Version, r.Status, strings.Join(kinds, ","), r.Title)
			}
			return w.Flush()
		}),
	}
	var verbose bool
	test := &cobra.Command{
		Use: "test [DIR]", Short: "Run the timelines inside the rule files; exit code 1 if one ends otherwise than it says",
		Args: cobra.MaximumNArgs(1),
		RunE: failing(func(_ *cobra.Command, args []string) error {
			files, err := c.ruleFiles(args)
			if err != nil {
				return err
			}
			results, err := ruletest.Run(files)
			if err != nil {
				return err
			}
			failed := 0
			for _, r := range results {
				switch {
				case len(r.Failures) > 0:
					failed++
					fmt.Fprintf(c.Stdout, "FAIL  %s  %s (%s:%d)\n", r.Rule, r.Test, r.File, r.Line)
					for _, f := range r.Failures {
						fmt.Fprintf(c.Stdout, "      %s\n", f)
					}
				case verbose:
					fmt.Fprintf(c.Stdout, "ok    %s  %s\n", r.Rule, r.Test)
				}
			}
			fmt.Fprintf(c.Stdout, "%d passed, %d failed\n", len(results)-failed, failed)
			if failed > 0 {
				return errors.New("rule tests failed")
			}
			return nil
		}),
	}
	test.Flags().BoolVarP(&verbose, "verbose", "v", false, "name the tests that pass too")
	c.configFlag(list)
	c.configFlag(test)
	cmd.AddCommand(list, test)
	return cmd
}

func (c *cli) ruleFiles(args []string) (fs.FS, error) {
	if len(args) == 1 {
		if info, err := os.Stat(args[0]); err != nil || !info.IsDir() {
			return nil, withCode(exitUsage, fmt.Errorf("%s is not a directory of rules", args[0]))
		}
		return os.DirFS(args[0]), nil
	}
	cfg, err := c.load()
	if err != nil {
		return nil, err
	}
	return app.RuleFiles(cfg.Rules), nil
}
