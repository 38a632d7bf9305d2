package cli

import (
	_ "embed"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

//go:embed stepdown.yaml
var exampleConfig string

func (c *cli) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check, show or begin a configuration file"}
	check := &cobra.Command{
		Use: "check", Short: "Report everything that is wrong with a configuration file, with line and path",
		Args: cobra.NoArgs,
		RunE: failing(func(*cobra.Command, []string) error {
			cfg, err := c.load()
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
