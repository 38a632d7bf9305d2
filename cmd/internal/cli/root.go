package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"stepdown/cmd/internal/config"
)

// The exit codes; see sysexits(3) for the last two.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitUnavailable = 69
	exitConfig      = 78
)

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code: code, err: err}
}

// Env is what the process has from outside.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Version        string
}

// cli is what the verbs share.
type cli struct {
	Env
	configFile string
	logLevel   string
	logFormat  string
	// level is that of the last logger that was made.
	level slog.LevelVar
}

// Run runs the command line args (without the program's name) and returns the
// exit code.
func Run(ctx context.Context, args []string, env Env) int {
	c := &cli{Env: env}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var coded *exitError
	if !errors.As(err, &coded) {
		// Cobra's own errors are all about usage.
		coded = &exitError{code: exitUsage, err: err}
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(env.Stderr, "stepdown: %s\n", line)
	}
	if coded.code == exitUsage {
		fmt.Fprintln(env.Stderr, "stepdown: see 'stepdown --help'")
	}
	return coded.code
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "stepdown",
		Short: "Find the moments when less than a passkey was accepted",
		Long: `stepdown reads the sign-in, audit and enrolment logs of identity providers,
keeps per identity what is enrolled, and says when somebody who holds a passkey
came in by something weaker, and what made that possible.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       c.Version,
	}
	root.SetVersionTemplate("stepdown {{.Version}}\n")
	root.PersistentFlags().StringVar(&c.logLevel, "log.level", "", "debug, info, warn or error (default from the configuration)")
	root.PersistentFlags().StringVar(&c.logFormat, "log.format", "", "logfmt or json (default from the configuration)")
	root.AddCommand(c.runCommands()...)
	root.AddCommand(c.demoCommand(), c.normalizeCommand(), c.replayCommand(), c.rulesCommand(), c.mappingCommand(),
		c.sourceCommand(), c.topicsCommand(), c.deadLetterCommand(), c.queryCommand(), c.configCommand(), c.benchCommand())
	return root
}

// failing turns the errors of a verb into those with exit code 1, unless they
// have one already.
func failing(run func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := run(cmd, args)
		var coded *exitError
		if err == nil || errors.As(err, &coded) {
			return err
		}
		return withCode(exitFailure, err)
	}
}

// configFlag adds -c.
func (c *cli) configFlag(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&c.configFile, "config", "c", "", "configuration file; without it the defaults (everything embedded, data in ./data)")
}

// load reads the configuration.
func (c *cli) load() (*config.Config, error) {
	cfg, _, err := c.examine(nil)
	return cfg, err
}

// examine is load with a look at what the configuration names.
func (c *cli) examine(look config.Look) (cfg *config.Config, doubtful []error, err error) {
	cfg, doubtful, err = config.Examine(c.configFile, look)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w; `stepdown config init > %s` writes one to start from", err, c.configFile)
	}
	return cfg, doubtful, withCode(exitConfig, err)
}

// logger writes to standard error in the form that flags or cfg ask for.
func (c *cli) logger(cfg config.Log) (*slog.Logger, error) {
	level, format := cfg.Level, cfg.Format
	if c.logLevel != "" {
		level = c.logLevel
	}
	if c.logFormat != "" {
		format = c.logFormat
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, withCode(exitUsage, fmt.Errorf("--log.level %q: use debug, info, warn or error", level))
	}
	c.level.Set(l)
	opts := &slog.HandlerOptions{Level: &c.level}
	switch format {
	case "logfmt":
		return slog.New(slog.NewTextHandler(c.Stderr, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(c.Stderr, opts)), nil
	}
	return nil, withCode(exitUsage, fmt.Errorf("--log.format %q: use logfmt or json", format))
}

// terminal reports whether w is one.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
