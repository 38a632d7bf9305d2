package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"stepdown/ingest/jsonmap"
)

func (c *cli) mappingCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mapping",
		Short: "Run the tests inside mappings, which read the logs of any app",
	}
	var verbose bool
	var output string
	test := &cobra.Command{
		Use: "test FILE…", Short: "Run the records inside the files; exit code 1 if one gives otherwise than it says",
		Long: `Runs the tests inside mapping files, and names the paths that no record of a test
has: they are untested, or misspelt. The exit code is 1 when a test fails, when there
is none, or when a file has a mistake.`,
		Example: "  stepdown mapping test hr-portal.yaml && stepdown normalize --mapping hr-portal.yaml --source hr-portal audit.ndjson",
		Args:    cobra.MinimumNArgs(1),
		RunE: failing(func(_ *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return withCode(exitUsage, fmt.Errorf("-o %s: use text or json", output))
			}
			var reports []jsonmap.Report
			var errs []error
			for _, path := range args {
				data, err := os.ReadFile(path)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				m, err := jsonmap.Parse(path, data)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				r := m.Test()
				if len(r.Results) == 0 {
					errs = append(errs, fmt.Errorf("%s: has no tests; add some, each a record of the log and what it is wanted to give", path))
				}
				reports = append(reports, r)
			}
			failed, passed := 0, 0
			for i := range reports {
				for _, r := range reports[i].Results {
					if len(r.Failures) > 0 {
						failed++
					} else {
						passed++
					}
				}
			}
			if err := c.printMappings(reports, output, verbose); err != nil {
				return err
			}
			if output == "text" {
				fmt.Fprintf(c.Stdout, "%d passed, %d failed\n", passed, failed)
			}
			if failed > 0 {
				errs = append(errs, errors.New("mapping tests failed"))
			}
			return errors.Join(errs...)
		}),
	}
	test.Flags().BoolVarP(&verbose, "verbose", "v", false, "name the tests that pass too")
	test.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	cmd.AddCommand(test)
	return cmd
}

func (c *cli) printMappings(reports []jsonmap.Report, output string, verbose bool) error {
	if output == "json" {
		out := json.NewEncoder(c.Stdout)
		out.SetEscapeHTML(false)
		for i := range reports {
			if err := out.Encode(&reports[i]); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range reports {
		report := &reports[i]
		for _, r := range report.Results {
			switch {
			case len(r.Failures) > 0:
				fmt.Fprintf(c.Stdout, "FAIL  %s  %s (%s:%d)\n", report.Source, r.Test, r.File, r.Line)
				for _, f := range r.Failures {
					fmt.Fprintf(c.Stdout, "      %s\n", f)
				}
			case verbose:
				fmt.Fprintf(c.Stdout, "ok    %s  %s\n", report.Source, r.Test)
			}
		}
		for _, path := range report.Unseen {
			fmt.Fprintf(c.Stdout, "note  %s  no test has a record with %q: it is untested, or misspelt\n", report.Source, path)
		}
	}
	return nil
}
