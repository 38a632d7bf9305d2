package terminal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"stepdown/detect/alert"
	"stepdown/sinks"
)

// remembered bounds the alerts that one process knows it has printed.
const remembered = 10_000

// Config of the sink.
type Config struct {
	// MinSeverity is the least severity printed.
	MinSeverity alert.Severity `yaml:"min_severity"`
	// Color is "auto", "always" or "never".
	Color string `yaml:"color"`
}

// DefaultConfig prints everything, in colour where there is a terminal.
func DefaultConfig() Config { return Config{MinSeverity: alert.Informational, Color: "auto"} }

// Validate reports everything that is wrong with c, by its YAML path.
func (c Config) Validate() error {
	var errs []error
	if c.MinSeverity.Rank() == 0 {
		errs = append(errs, fmt.Errorf("min_severity: is %q: use one of %v", c.MinSeverity, alert.Severities()))
	}
	switch c.Color {
	case "auto", "always", "never":
	default:
		errs = append(errs, fmt.Errorf("color: is %q: use auto, always or never", c.Color))
	}
	return errors.Join(errs...)
}

// Sink prints alerts. It implements sinks.Sink and sinks.Holder.
type Sink struct {
	w     io.Writer
	color bool
	seen  *sinks.Seen
}

// New returns a sink that prints to w. With colour "auto", it colours when w is a
// terminal, NO_COLOR is empty and TERM is not "dumb", as getenv tells.
func New(cfg Config, w io.Writer, getenv func(string) string) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("terminal sink: %w", err)
	}
	color := cfg.Color == "always" || cfg.Color == "auto" && isTerminal(w) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	return &Sink{w: w, color: color, seen: sinks.NewSeen(remembered)}, nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && (isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()))
}

// Write prints the alerts that were not printed at this or a higher revision,
// except the withdrawal of what this process has not printed.
func (s *Sink) Write(ctx context.Context, alerts []alert.Alert) error {
	for i := range alerts {
		a := &alerts[i]
		if s.seen.Has(a.ID, a.Revision) || a.State == alert.Withdrawn && !s.seen.Holds(a.ID) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := s.w.Write(s.block(a)); err != nil {
			return fmt.Errorf("print alert %s: %w", a.ID, err)
		}
		s.seen.Add(a.ID, a.Revision)
	}
	return nil
}

// Holds reports whether some revision of the alert was printed by this process.
func (s *Sink) Holds(id alert.ID) bool { return s.seen.Holds(id) }

// Close does nothing: the writer is the caller's.
func (s *Sink) Close() error { return nil }

// block returns what is printed for a.
func (s *Sink) block(a *alert.Alert) []byte {
	p := &printer{color: s.color}
	p.text(a.Time.UTC().Format("2006-01-02 15:04:05Z"))
	p.raw("  ")
	word := strings.ToUpper(string(a.Severity))
	if a.State == alert.Withdrawn {
		p.painted(dim, "WITHDRAWN, was "+word)
	} else {
		p.painted(paint(a.Severity), word)
	}
	p.raw("  ")
	if a.State == alert.Open && a.Revision > 1 {
		p.painted(bold, fmt.Sprintf("AMENDED (revision %d)", a.Revision))
		p.raw("  ")
	}
	p.text(a.RuleID)
	p.raw("\n    ")
	p.painted(bold, a.Title)
	p.raw("\n")

	p.row("who", join(" · ", who(a), sinks.TierWords(a.Identity.Tier), strings.Join(a.Identity.Populations, ", ")))
	p.row("holds", held(a))
	p.row("used", methodWords(a))
	p.row("from", join(" · ", strings.TrimSpace(a.Endpoint.IP+" "+parenthesis(sinks.Network(a.Endpoint))), sinks.Client(a.UserAgent), app(a)))
	if a.State == alert.Withdrawn {
		p.row("why", "later records took the reason away")
	} else {
		p.row("why", sinks.ReasonWords(a.Reason))
	}
	source := string(a.Source)
	if late := sinks.Delay(a); late > 0 {
		source += ", read " + sinks.DurationWords(late) + " after it happened"
	}
	p.row("source", source)
	p.row("alert", string(a.ID))
	p.raw("\n")
	return p.out.Bytes()
}

func who(a *alert.Alert) string {
	if d := a.Identity.DisplayName; d != "" && d != a.Identity.Name {
		return strings.TrimSpace(d + " " + angle(a.Identity.Name))
	}
	if a.Identity.Name != "" {
		return a.Identity.Name
	}
	return string(a.Key)
}

func held(a *alert.Alert) string {
	var all []string
	for _, h := range a.Identity.Authenticators {
		s := sinks.MethodWords(h.Method) + " " + sinks.SinceWords(h) + " " + day(h.Since)
		if h.Uses > 0 {
			s += fmt.Sprintf(", used %d times", h.Uses)
		}
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

func methodWords(a *alert.Alert) string {
	if a.Method == "" {
		return ""
	}
	return sinks.MethodWords(a.Method)
}

func app(a *alert.Alert) string {
	if a.App == nil {
		return ""
	}
	return a.App.Name
}

func day(t time.Time) string { return t.UTC().Format("2 Jan 2006") }

func angle(s string) string {
	if s == "" {
		return ""
	}
	return "<" + s + ">"
}

func parenthesis(s string) string {
	if s == "" {
		return ""
	}
	return "(" + s + ")"
}

// join joins the parts that say something.
func join(sep string, parts ...string) string {
	var kept []string
	for _, s := range parts {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return strings.Join(kept, sep)
}

// Colours, as SGR parameters. They repeat what a word says.
const (
	bold = "1"
	dim  = "2"
)

func paint(s alert.Severity) string {
	switch s {
	case alert.Critical:
		return "1;97;41"
	case alert.High:
		return "1;31"
	case alert.Medium:
		return "1;33"
	case alert.Low:
		return "36"
	}
	return dim
}

// printer builds a block. Whatever comes from an alert passes through text or
// painted, which clean it; raw takes our own layout only.
type printer struct {
	out   bytes.Buffer
	color bool
}

func (p *printer) raw(layout string) { p.out.WriteString(layout) }

func (p *printer) text(s string) { p.out.WriteString(sinks.Cut(sinks.Clean(s), 500)) }

func (p *printer) painted(sgr, s string) {
	if p.color {
		p.raw("\x1b[" + sgr + "m")
	}
	p.text(s)
	if p.color {
		p.raw("\x1b[0m")
	}
}

func (p *printer) row(label, s string) {
	if s == "" {
		return
	}
	p.raw(fmt.Sprintf("    %-8s", label))
	p.text(s)
	p.raw("\n")
}
