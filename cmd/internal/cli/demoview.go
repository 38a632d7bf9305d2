package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"golang.org/x/term"

	"stepdown/cmd/internal/app"
	"stepdown/cmd/internal/config"
	"stepdown/detect/alert"
	"stepdown/ingest/event"
	"stepdown/ingest/stream"
	"stepdown/sinks"
)

// verdict is how a demo ended.
type verdict struct {
	OK      bool            `json:"ok"`
	Attacks []attackVerdict `json:"attacks"`
	// Unplanned are the open alerts at severity high or above that belong to no
	// planted attack.
	Unplanned []alertLine `json:"unplanned"`
	// Alerts counts the open alerts by severity.
	Alerts map[alert.Severity]int `json:"alerts"`
	// Records went in; Events are in ClickHouse, -1 without one.
	Records     int     `json:"records"`
	Events      int64   `json:"events"`
	DeadLetters int     `json:"dead_letters"`
	ClickHouse  bool    `json:"clickhouse"`
	Seconds     float64 `json:"seconds"`
}

type attackVerdict struct {
	Name      string    `json:"name"`
	Identity  string    `json:"identity"`
	Technique string    `json:"technique"`
	Time      time.Time `json:"time"`
	Found     bool      `json:"found"`
	Stored    bool      `json:"stored"`
	// LatencyMS is from the deciding record entering the pipeline to the alert
	// in ClickHouse, in milliseconds; 0 when an earlier run of the demo saw it.
	LatencyMS int64      `json:"latency_ms"`
	Alert     *alertLine `json:"alert,omitempty"`
}

type alertLine struct {
	ID       alert.ID       `json:"id"`
	Rule     string         `json:"rule"`
	Severity alert.Severity `json:"severity"`
	Identity event.Key      `json:"identity"`
	Time     time.Time      `json:"time"`
	Title    string         `json:"title"`
}

func lineOf(a *alert.Alert) alertLine {
	return alertLine{ID: a.ID, Rule: a.RuleID, Severity: a.Severity, Identity: a.Key, Time: a.Time, Title: a.Title}
}

// verdict sums up what was found.
func (d *demo) verdict(ctx context.Context, a *app.App) (*verdict, error) {
	v := &verdict{ClickHouse: d.store != nil, Alerts: map[alert.Severity]int{}, Unplanned: []alertLine{}, Events: -1}
	v.Records, _, _ = d.progress()
	v.Seconds = time.Since(d.begun).Seconds()
	v.OK = d.store != nil
	for _, at := range d.attacks {
		out := attackVerdict{Name: at.Name, Identity: at.Identity, Technique: at.Technique, Time: at.Decisive, Found: at.alert != nil,
			Stored: at.alert != nil && d.store != nil, LatencyMS: at.latency().Milliseconds()}
		if at.alert != nil {
			line := lineOf(at.alert)
			out.Alert = &line
		}
		v.OK = v.OK && out.Stored
		v.Attacks = append(v.Attacks, out)
	}
	alerts, err := d.alerts(ctx)
	if err != nil {
		return nil, err
	}
	for i := range alerts {
		al := &alerts[i]
		if al.State != alert.Open {
			continue
		}
		v.Alerts[al.Severity]++
		if al.Severity.Rank() >= alert.High.Rank() && !d.planned(al) {
			v.Unplanned = append(v.Unplanned, lineOf(al))
			v.OK = false
		}
	}
	letters, err := a.Client().ListDeadLetters(ctx, stream.DeadLetterFilter{Limit: 1000})
	if err != nil {
		return nil, err
	}
	v.DeadLetters = len(letters)
	if d.store != nil {
		n, err := d.store.CountEvents(ctx)
		if err != nil {
			return nil, err
		}
		v.Events = int64(n)
	}
	return v, nil
}

// planned reports whether an alert is about an attack: the attacked person,
// from when it began.
func (d *demo) planned(al *alert.Alert) bool {
	for _, a := range d.attacks {
		if al.Key == a.key && !al.Time.Before(a.Start) {
			return true
		}
	}
	return false
}

// failure returns why `--once` does not exit with 0.
func (v *verdict) failure() error {
	if v.OK {
		return nil
	}
	var errs []error
	if !v.ClickHouse {
		errs = append(errs, withCode(exitUnavailable, errors.New("no alert is in ClickHouse, because the engine is not installed: run `make engine`")))
	}
	for _, a := range v.Attacks {
		if !a.Found {
			errs = append(errs, fmt.Errorf("planted and not found: %s against %s", a.Name, a.Identity))
		}
	}
	for _, u := range v.Unplanned {
		errs = append(errs, fmt.Errorf("raised and not planted: %s %s about %s: %s", u.Severity, u.Rule, u.Identity, u.Title))
	}
	return errors.Join(errs...)
}

// latency is from the deciding record to the alert, 0 when it is not known.
func (a *attack) latency() time.Duration {
	if a.alert == nil || a.sent.IsZero() {
		return 0
	}
	return a.found.Sub(a.sent)
}

// draw shows how far the demo is.
func (d *demo) draw(sent int) {
	_, day, _ := d.progress()
	percent := 0
	if d.records > 0 {
		percent = 100 * sent / d.records
	}
	if !d.screen.live {
		d.screen.plainProgress(percent, day, d.attacks)
		return
	}
	const width = 30
	full := width * percent / 100
	lines := []string{fmt.Sprintf("  %s%s %3d %%  %d of %d records  simulated %s",
		strings.Repeat("█", full), strings.Repeat("░", width-full), percent, sent, d.records, day.Format("Mon 2 Jan 15:04")), ""}
	d.screen.redraw(append(lines, d.table()...))
}

// table is the attacks with what was found of them.
func (d *demo) table() []string {
	lines := []string{fmt.Sprintf("  %-34s %-24s %-6s %-9s %s", "PLANTED", "AGAINST", "FOUND", "SEVERITY", "AFTER")}
	for _, a := range d.attacks {
		rule, severity, after := "…", "", ""
		if a.alert != nil {
			rule, severity = a.alert.RuleID, string(a.alert.Severity)
			if after = "earlier"; !a.sent.IsZero() {
				after = a.latency().Round(time.Millisecond).String()
			}
		}
		lines = append(lines, fmt.Sprintf("  %-34s %-24s %-6s %-9s %s", sinks.Cut(a.Name, 34), sinks.Cut(a.Identity, 24), rule, severity, after))
	}
	return lines
}

// say prints one line that stays.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.screen.out, format+"\n", args...)
}

// print shows the verdict.
func (d *demo) print(v *verdict) error {
	if d.opts.output == "json" {
		out := json.NewEncoder(d.cli.Stdout)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false)
		return out.Encode(v)
	}
	if !d.screen.live {
		for _, line := range d.table() {
			d.say("%s", line)
		}
	}
	d.say("")
	for _, a := range v.Attacks {
		if a.Alert != nil {
			for i, line := range wrap(sinks.Clean(a.Alert.Title), d.screen.width()-20) {
				if i == 0 {
					d.say("  %s  %-8s  %s", a.Alert.Rule, a.Alert.Severity, line)
				} else {
					d.say("  %-15s  %s", "", line)
				}
			}
		}
	}
	d.say("")
	where := "in ClickHouse"
	if !v.ClickHouse {
		where = "no ClickHouse"
	}
	found := 0
	for _, a := range v.Attacks {
		if a.Found {
			found++
		}
	}
	d.say("  %d of %d attacks found; %d unplanned at high or above; alerts: %d critical, %d high, %d medium, %d low",
		found, len(v.Attacks), len(v.Unplanned), v.Alerts[alert.Critical], v.Alerts[alert.High], v.Alerts[alert.Medium], v.Alerts[alert.Low])
	events := "no events stored"
	if v.Events >= 0 {
		events = fmt.Sprintf("%d events stored", v.Events)
	}
	d.say("  %d records, %s (%s), %d dead letters, %.1f s", v.Records, events, where, v.DeadLetters, v.Seconds)
	return nil
}

// explain says how to look around.
func (d *demo) explain(a *app.App, cfg *config.Config) {
	file := filepath.Join(cfg.DataDir, "demo.yaml")
	data, err := yaml.Marshal(map[string]any{"data_dir": cfg.DataDir, "identity": cfg.Identity})
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		d.say("  (no configuration for the other commands: %v)", err)
	}
	program := cmp.Or(os.Args[0], "stepdown")
	d.say("\nThe pipeline stays up; Ctrl-C ends it and removes its directory.\n")
	d.say("  alerts        jq -r '.severity + \"  \" + .title' %s", cfg.Sinks.NDJSON.Value.Path)
	d.say("  dead letters  %s deadletter list -c %s", program, file)
	d.say("  topics        %s topics check -c %s", program, file)
	d.say("  metrics       curl -s http://%s/metrics", a.AdminAddr())
	d.say("  readiness     curl -s http://%s/-/ready", a.AdminAddr())
	d.say("  Kafka         %s (topics %s, %s, …)", a.Broker(), cfg.Kafka.Topics.Events, cfg.Kafka.Topics.Alerts)
	if d.store != nil {
		d.say("  ClickHouse    %s query -c %s 'SELECT severity, count() FROM stepdown.alerts FINAL GROUP BY severity'", program, file)
	}
	d.say("  rules         %s rules list; %s rules test", program, program)
}

// screen is where progress is shown: redrawn in place on a terminal, plain lines
// elsewhere.
type screen struct {
	out   io.Writer
	live  bool
	fd    int
	lines int
	// what plain lines have said.
	percent int
	told    map[string]bool
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out, told: map[string]bool{}}
	if f, ok := out.(*os.File); ok && isTerminal(out) && os.Getenv("TERM") != "dumb" {
		s.live, s.fd = true, int(f.Fd())
	}
	return s
}

// width is that of the terminal, 100 elsewhere.
func (s *screen) width() int {
	if !s.live {
		return 100
	}
	width, _, err := term.GetSize(s.fd)
	if err != nil || width < 40 {
		return 80
	}
	return width
}

// wrap breaks text at spaces into lines of at most width characters, longer
// words aside.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// redraw replaces what was drawn before.
func (s *screen) redraw(lines []string) {
	width := s.width()
	var b strings.Builder
	if s.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.lines)
	}
	for _, line := range lines {
		fmt.Fprintf(&b, "\r\x1b[K%s\n", sinks.Cut(line, width-1))
	}
	s.lines = len(lines)
	_, _ = io.WriteString(s.out, b.String()) // a terminal that is gone is noticed by its signal
}

// plainProgress says a line for every tenth of the way and for every attack that
// was found.
func (s *screen) plainProgress(percent int, day time.Time, attacks []*attack) {
	for _, a := range attacks {
		if a.alert != nil && !s.told[a.Name] {
			s.told[a.Name] = true
			fmt.Fprintf(s.out, "found: %s against %s: %s %s\n", a.Name, a.Identity, a.alert.RuleID, a.alert.Severity)
		}
	}
	if percent/10 > s.percent/10 {
		s.percent = percent
		fmt.Fprintf(s.out, "%d %% of the simulation, at %s\n", percent, day.Format(time.DateTime))
	}
}
