package cli

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

//go:embed stepdown.yaml
var exampleConfig string

func (c *cli) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check, show or begin a configuration file"}
	var role string
	check := &cobra.Command{
		Use: "check", Short: "Report everything that is wrong with a configuration and with what it names, with line and path",
		Long: `Reports everything that is wrong with the configuration file and, as far as run or
a role would need it on this machine, with what the file names: log files, the
directory, rules, secrets, certificates, the engine's library. It opens no
connection. What may yet come right, such as a pattern that matches no file so
far, is a warning.`,
		Args: cobra.NoArgs,
		RunE: failing(func(*cobra.Command, []string) error {
			all := verbs()
			i := slices.IndexFunc(all, func(v verb) bool { return v.use == role })
			if i < 0 {
				return withCode(exitUsage, fmt.Errorf("--role %q: use run, collect, detect or sink", role))
			}
			cfg, doubtful, err := c.examine(all[i].roles.Look)
			for _, d := range doubtful {
				fmt.Fprintf(c.Stderr, "stepdown: warning: %v\n", d)
			}
			if err != nil {
				return err
			}
			name := c.configFile
			if name == "" {
				name = "the default configuration"
			}
			fmt.Fprintf(c.Stdout, "%s is valid: %d inputs\n", name, len(cfg.Inputs))
			return nil
		}),
	}
	check.Flags().StringVar(&role, "role", "run", "run, collect, detect or sink: whose needs to look at")
	show := &cobra.Command{
		Use: "show", Short: "Print the configuration in force, defaults included; secrets show only where they are kept",
		Args: cobra.NoArgs,
		RunE: failing(func(*cobra.Command, []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			data, err := yaml.Marshal(cfg)
			if err != nil {
				return fmt.Errorf("encode configuration: %w", err)
			}
			_, err = c.Stdout.Write(data)
			return err
		}),
	}
	begin := &cobra.Command{
		Use: "init", Short: "Print a commented configuration file to start from",
		Args: cobra.NoArgs,
		RunE: failing(func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(c.Stdout, exampleConfig)
			return err
		}),
	}
	c.configFlag(check)
	c.configFlag(show)
	cmd.AddCommand(check, show, begin)
	return cmd
}
