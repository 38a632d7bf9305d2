package terminal_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stepdown/detect/alert"
	"stepdown/ingest/event"
	"stepdown/sinks"
	"stepdown/sinks/sinktest"
	"stepdown/sinks/terminal"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func environment(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

// screen is a writer that can be broken.
type screen struct {
	bytes.Buffer
	broken bool
}

func (s *screen) Write(p []byte) (int, error) {
	if s.broken {
		return 0, errors.New("broken pipe")
	}
	return s.Buffer.Write(p)
}

var printed = regexp.MustCompile(`(?m)^\S+ \S+  .*$`)

func TestContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		out := &screen{}
		return sinktest.Destination{
			Open: func(t *testing.T) sinks.Sink {
				s, err := terminal.New(terminal.DefaultConfig(), out, environment(nil))
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Shown: func(t *testing.T) []sinktest.Shown {
				var all []sinktest.Shown
				for block := range strings.SplitSeq(strings.TrimSpace(out.String()), "\n\n") {
					if block == "" {
						continue
					}
					shown := sinktest.Shown{Revision: 1}
					head := printed.FindString(block)
					for r, mark := range map[uint64]string{2: "(revision 2)", 4: "(revision 4)"} {
						if strings.Contains(head, mark) {
							shown.Revision = r
						}
					}
					if strings.Contains(head, "WITHDRAWN") {
						shown.Revision = 2
					}
					_, id, _ := strings.Cut(block, "alert   ")
					shown.ID = alert.ID(strings.TrimSpace(id))
					all = append(all, shown)
				}
				return all
			},
			Fail: func(t *testing.T) func() {
				out.broken = true
				return func() { out.broken = false }
			},
			Forgets: true,
		}
	})
}

func render(t *testing.T, cfg terminal.Config, alerts ...alert.Alert) string {
	t.Helper()
	var out bytes.Buffer
	s, err := terminal.New(cfg, &out, environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), alerts); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestGolden(t *testing.T) {
	amended := sinktest.Revised(sinktest.Sample(), 2)
	amended.Severity = alert.Critical
	withdrawn := sinktest.Revised(sinktest.Sample(), 3)
	withdrawn.State = alert.Withdrawn
	bare := sinktest.Alert(1)
	bare.Severity, bare.Identity.Tier = alert.Low, event.TierBreakGlass
	alerts := []alert.Alert{sinktest.Sample(), amended, withdrawn, bare}
	for _, row := range []struct{ name, color string }{{"plain", "never"}, {"colour", "always"}} {
		t.Run(row.name, func(t *testing.T) {
			cfg := terminal.DefaultConfig()
			cfg.Color = row.color
			got := render(t, cfg, alerts...)
			path := filepath.Join("testdata", row.name+".golden.txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWithdrawnBeforeItWasPrinted(t *testing.T) {
	gone := sinktest.Revised(sinktest.Alert(1), 2)
	gone.State = alert.Withdrawn
	if got := render(t, terminal.DefaultConfig(), gone); got != "" {
		t.Errorf("printed %q, want nothing", got)
	}
	if got := render(t, terminal.DefaultConfig(), sinktest.Alert(1), gone); !strings.Contains(got, "WITHDRAWN") {
		t.Errorf("printed %q, want the withdrawal of what was printed", got)
	}
}

func TestColourOnlyRepeatsWords(t *testing.T) {
	cfg := terminal.DefaultConfig()
	cfg.Color = "always"
	colored := render(t, cfg, sinktest.Sample())
	cfg.Color = "never"
	plain := render(t, cfg, sinktest.Sample())
	if got := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(colored, ""); got != plain {
		t.Errorf("without its colours the output is\n%s\nwant\n%s", got, plain)
	}
	if colored == plain {
		t.Error("colour always does not colour")
	}
}

// No string of an alert may reach the terminal as an instruction.
func TestHostileTextIsInert(t *testing.T) {
	lines := strings.Count(render(t, terminal.DefaultConfig(), sinktest.Sample()), "\n")
	got := render(t, terminal.DefaultConfig(), sinktest.Hostile("\x1b]0;x\a\x1b[2J\u009b31m\u202e\r\n\b"))
	for _, r := range got {
		if r != '\n' && (r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u202e') {
			t.Fatalf("the terminal gets %U in:\n%q", r, got)
		}
	}
	if n := strings.Count(got, "\n"); n != lines {
		t.Errorf("hostile text makes %d lines, want %d as without it", n, lines)
	}
}

func TestNoColourWithoutATerminal(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	s, err := terminal.New(terminal.DefaultConfig(), file, environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), []alert.Alert{sinktest.Sample()}); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(file.Name())
	if len(got) == 0 || bytes.ContainsRune(got, '\x1b') {
		t.Errorf("a file gets %q, want plain text", got)
	}
}

func TestColourOnATerminal(t *testing.T) {
	for _, row := range []struct {
		name string
		env  map[string]string
		want bool
	}{
		{"terminal", map[string]string{"TERM": "xterm"}, true},
		{"NO_COLOR", map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false},
		{"empty NO_COLOR", map[string]string{"NO_COLOR": ""}, true},
		{"dumb", map[string]string{"TERM": "dumb"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
			if err != nil {
				t.Skipf("no pseudo-terminal here: %v", err)
			}
			defer func() { _ = tty.Close() }()
			s, err := terminal.New(terminal.DefaultConfig(), tty, environment(row.env))
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Colored(); got != row.want {
				t.Errorf("colours %v, want %v", got, row.want)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for _, row := range []struct {
		name string
		cfg  terminal.Config
		want string
	}{
		{"severity", terminal.Config{MinSeverity: "urgent", Color: "auto"}, "critical"},
		{"colour", terminal.Config{MinSeverity: alert.Low, Color: "yes"}, "auto, always or never"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := row.cfg.Validate(); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("Validate() = %v, want what would be right: %q", err, row.want)
			}
		})
	}
}
