package ndjson_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stepdown/detect/alert"
	"stepdown/sinks"
	"stepdown/sinks/ndjson"
	"stepdown/sinks/sinktest"
)

func open(t *testing.T, path string) *ndjson.Sink {
	t.Helper()
	cfg := ndjson.DefaultConfig()
	cfg.Path = path
	s, err := ndjson.New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shown decodes the lines of a file; a line that is no alert fails the test.
func shown(t *testing.T, data []byte) []sinktest.Shown {
	t.Helper()
	var all []sinktest.Shown
	for line := range bytes.Lines(data) {
		var a alert.Alert
		if err := alert.Decode(line, &a); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all = append(all, sinktest.Shown{ID: a.ID, Revision: a.Revision})
	}
	return all
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		dir := filepath.Join(t.TempDir(), "log")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "alerts.ndjson")
		return sinktest.Destination{
			Open:  func(t *testing.T) sinks.Sink { return open(t, path) },
			Shown: func(t *testing.T) []sinktest.Shown { return shown(t, read(t, path)) },
			// The folder is moved away, as when a volume is not mounted.
			Fail: func(t *testing.T) func() {
				if err := os.Rename(dir, dir+".away"); err != nil {
					t.Fatal(err)
				}
				return func() {
					if err := os.Rename(dir+".away", dir); err != nil {
						t.Fatal(err)
					}
				}
			},
		}
	})
}

func TestContractOnStandardOutput(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		var out bytes.Buffer
		return sinktest.Destination{
			Open: func(t *testing.T) sinks.Sink {
				cfg := ndjson.DefaultConfig()
				cfg.Path = "-"
				s, err := ndjson.New(cfg, &out)
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Shown:   func(t *testing.T) []sinktest.Shown { return shown(t, out.Bytes()) },
			Forgets: true,
		}
	})
}

func write(t *testing.T, s sinks.Sink, alerts ...alert.Alert) {
	t.Helper()
	if err := s.Write(t.Context(), alerts); err != nil {
		t.Fatal(err)
	}
}

func TestRotation(t *testing.T) {
	for _, row := range []struct {
		name   string
		rotate func(path string) error
		kept   int // lines in the old file
	}{
		{"renamed", func(p string) error { return os.Rename(p, p+".1") }, 1},
		{"renamed and created", func(p string) error {
			if err := os.Rename(p, p+".1"); err != nil {
				return err
			}
			return os.WriteFile(p, nil, 0o600)
		}, 1},
		{"removed", os.Remove, 0},
		{"copied and emptied", func(p string) error {
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			if err := os.WriteFile(p+".1", data, 0o600); err != nil {
				return err
			}
			return os.Truncate(p, 0)
		}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "alerts.ndjson")
			s := open(t, path)
			defer func() { _ = s.Close() }()
			write(t, s, sinktest.Alert(1))
			if err := row.rotate(path); err != nil {
				t.Fatal(err)
			}
			write(t, s, sinktest.Alert(1), sinktest.Alert(2))
			if got := shown(t, read(t, path)); len(got) != 1 || got[0].ID != sinktest.Alert(2).ID {
				t.Errorf("the new file holds %v, want the second alert", got)
			}
			if row.kept > 0 {
				if got := shown(t, read(t, path+".1")); len(got) != row.kept {
					t.Errorf("the old file holds %v, want the first alert", got)
				}
			}
		})
	}
}

// A process that is killed in the middle of a write leaves half a line. The next
// one must keep every other line and write the torn alert again.
func TestCrashInTheMiddleOfALine(t *testing.T) {
	first, err := alert.Encode(new(sinktest.Alert(1)))
	if err != nil {
		t.Fatal(err)
	}
	second, err := alert.Encode(new(sinktest.Alert(2)))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "alerts.ndjson")
	whole := append(append(append(first, '\n'), second...), '\n')
	for n := range len(whole) + 1 {
		nearEnd := n < 3 || n > len(whole)-3 || n > len(first)-3 && n < len(first)+3
		if n%19 != 0 && !nearEnd {
			continue
		}
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, path)
		write(t, s, sinktest.Alert(1), sinktest.Alert(2))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); !bytes.Equal(got, whole) {
			t.Fatalf("after a crash at byte %d the file is\n%s\nwant\n%s", n, got, whole)
		}
	}
}

func TestNewFailsBeforeTheFirstAlert(t *testing.T) {
	for _, row := range []struct {
		name string
		cfg  ndjson.Config
		want string
	}{
		{"no path", ndjson.Config{MinSeverity: alert.Low}, "- for standard output"},
		{"severity", ndjson.Config{Path: "-", MinSeverity: "urgent"}, "critical"},
		{"no folder", ndjson.Config{Path: filepath.Join(t.TempDir(), "missing", "x"), MinSeverity: alert.Low}, "no such file"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := ndjson.New(row.cfg, nil); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("New() = %v, want %q", err, row.want)
			}
		})
	}
}
