package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stepdown/ingest/event"
)

// Stdin is the path of standard input.
const Stdin = "-"

// Config says which files to read as what.
type Config struct {
	// Paths are files, patterns of path/filepath.Match, or "-" for standard
	// input alone. Files whose records have times are read side by side, the
	// earliest record first; others in this order, those of one pattern by name,
	// with Follow the oldest first.
	Paths []string `yaml:"paths"`
	// Source names the provider whose records they are.
	Source event.Source `yaml:"source"`
	// Tenant and Stream are given to every record; they may be empty where the
	// records tell.
	Tenant string `yaml:"tenant"`
	Stream string `yaml:"stream"`
	// Follow waits for more at the end of a file and for new files.
	Follow bool `yaml:"follow"`
	// PollInterval is how often Follow looks.
	PollInterval time.Duration `yaml:"poll_interval"`
	// BatchSize is the number of records after which a batch is handed on.
	BatchSize int `yaml:"batch_size"`
}

// DefaultConfig returns a configuration that is complete except for Paths and
// Source.
func DefaultConfig() Config {
	return Config{PollInterval: time.Second, BatchSize: 1000}
}

// Validate reports everything that is wrong with c, by its YAML path. It does
// not look at the disk; New does.
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Paths) == 0 {
		wrong("paths: none; want files, patterns such as /var/log/okta/*.ndjson, or -")
	}
	for i, p := range c.Paths {
		if p == "" {
			wrong("paths[%d]: is empty", i)
		} else if _, err := filepath.Match(p, ""); err != nil {
			wrong("paths[%d]: %q: %w", i, p, err)
		}
	}
	if len(c.Paths) > 1 && slices.Contains(c.Paths, Stdin) {
		wrong("paths: standard input (-) goes alone")
	}
	if c.Source == "" {
		wrong("source: is empty; want the provider's name, such as okta")
	}
	if c.BatchSize < 1 {
		wrong("batch_size: %d; want 1 or more", c.BatchSize)
	}
	if c.Follow && c.PollInterval < time.Millisecond {
		wrong("poll_interval: %s; want a duration such as 1s", c.PollInterval)
	}
	return errors.Join(errs...)
}

// Look looks at the disk for what the paths of a valid c name, and returns what
// is wrong and what is doubtful, by its YAML path. A plain path has to name a file
// that can be read, a pattern without Follow one file or more; a pattern that is
// followed may find its first file later.
func (c Config) Look() (wrong, doubtful []error) {
	for i, p := range c.Paths {
		at := func(err error) error { return fmt.Errorf("paths[%d]: %w", i, err) }
		if p == Stdin {
			continue
		}
		if !isPattern(p) {
			if err := readable(p); err != nil {
				wrong = append(wrong, at(err))
			}
			continue
		}
		found, err := filepath.Glob(p)
		switch {
		case err != nil:
			wrong = append(wrong, at(err))
		case len(found) > 0:
		case c.Follow:
			doubtful = append(doubtful, at(fmt.Errorf("no file matches %s so far", p)))
		default:
			wrong = append(wrong, at(fmt.Errorf("no file matches %s; with follow: true it is waited for", p)))
		}
	}
	return wrong, doubtful
}

func readable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory; want a pattern such as %s", path, filepath.Join(path, "*.ndjson"))
	case !info.Mode().IsRegular():
		return nil // a pipe would wait for its writer
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// isPattern reports whether p stands for any number of files.
func isPattern(p string) bool { return strings.ContainsAny(p, `*?[`) }
