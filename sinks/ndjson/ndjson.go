package ndjson

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"stepdown/detect/alert"
	"stepdown/sinks"
)

// remembered bounds the alerts that the sink knows it has written.
const remembered = 100_000

// Config of the sink.
type Config struct {
	// Path of the file, or "-" for standard output.
	Path string `yaml:"path"`
	// MinSeverity is the least severity written.
	MinSeverity alert.Severity `yaml:"min_severity"`
}

// DefaultConfig writes every alert; Path has no default.
func DefaultConfig() Config { return Config{MinSeverity: alert.Informational} }

// Validate reports everything that is wrong with c, by its YAML path.
func (c Config) Validate() error {
	var errs []error
	if c.Path == "" {
		errs = append(errs, errors.New("path: is empty: name a file, or - for standard output"))
	}
	if c.MinSeverity.Rank() == 0 {
		errs = append(errs, fmt.Errorf("min_severity: is %q: use one of %v", c.MinSeverity, alert.Severities()))
	}
	return errors.Join(errs...)
}

// Sink appends alerts. It implements sinks.Sink and sinks.Holder.
type Sink struct {
	path   string
	stdout io.Writer    // nil for a file
	file   *sinks.Lines // nil for standard output, and after the file could not be opened again
	seen   *sinks.Seen
}

// New returns a sink that appends to the file of cfg, which it opens and mends
// after a crash, or to stdout.
func New(cfg Config, stdout io.Writer) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("ndjson sink: %w", err)
	}
	s := &Sink{path: cfg.Path, seen: sinks.NewSeen(remembered)}
	if cfg.Path == "-" {
		s.stdout = stdout
		return s, nil
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("ndjson sink: %w", err)
	}
	return s, nil
}

// open opens the file at the path and learns which alerts it holds.
func (s *Sink) open() error {
	f, err := sinks.OpenLines(s.path, func(line []byte) {
		var a struct {
			ID       alert.ID `json:"id"`
			Revision uint64   `json:"revision"`
		}
		if json.Unmarshal(line, &a) == nil && a.ID != "" {
			s.seen.Add(a.ID, a.Revision)
		}
	})
	if err != nil {
		return err
	}
	s.file = f
	return nil
}

// Write appends the alerts that the file does not hold at this or a higher
// revision, and returns when they are on disk.
func (s *Sink) Write(ctx context.Context, alerts []alert.Alert) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var data bytes.Buffer
	var refused sinks.RefusedError
	fresh := map[alert.ID]uint64{}
	for i := range alerts {
		a := &alerts[i]
		if s.seen.Has(a.ID, a.Revision) || fresh[a.ID] >= a.Revision {
			continue
		}
		line, err := alert.Encode(a)
		if err != nil {
			refused.Indexes, refused.Err = append(refused.Indexes, i), err
			continue
		}
		data.Write(line)
		data.WriteByte('\n')
		fresh[a.ID] = a.Revision
	}
	if len(refused.Indexes) > 0 {
		return &refused
	}
	if data.Len() == 0 {
		return nil
	}
	if err := s.append(data.Bytes()); err != nil {
		return fmt.Errorf("append alerts: %w", err)
	}
	for id, revision := range fresh {
		s.seen.Add(id, revision)
	}
	return nil
}

func (s *Sink) append(data []byte) error {
	if s.stdout != nil {
		_, err := s.stdout.Write(data)
		return err
	}
	if err := s.follow(); err != nil {
		return err
	}
	return s.file.Append(data)
}

// follow opens the file anew when its path names another one, or none.
func (s *Sink) follow() error {
	if s.file == nil {
		return s.open()
	}
	moved, err := s.file.Moved()
	if err != nil || !moved {
		return err
	}
	err = s.file.Close()
	s.file = nil
	if err != nil {
		return fmt.Errorf("close the rotated file: %w", err)
	}
	return s.open()
}

// Holds reports whether some revision of the alert was written.
func (s *Sink) Holds(id alert.ID) bool { return s.seen.Holds(id) }

// Close closes the file.
func (s *Sink) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
