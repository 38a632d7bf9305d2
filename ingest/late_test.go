package ingest

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestLateEventsAreToldOnceAMinute(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil)).With(slog.String("input", "entra"))
	start := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	var l late
	for _, step := range []struct {
		name   string
		now    time.Duration
		hours  []float64 // of the events, since start
		events string    // told; empty for nothing
		behind string
	}{
		{"history in order", 0, []float64{0, 5, 9}, "", ""},
		{"within the lateness", 0, []float64{8, 8.5, 10}, "", ""},
		{"a second log", time.Second, []float64{1, 2, 9.5, 10}, "2", "9h0m0s"},
		{"more of it", 30 * time.Second, []float64{3, 10}, "", ""},
		{"a minute later", 61 * time.Second, []float64{4, 10}, "2", "7h0m0s"},
		{"in order again", time.Hour, []float64{11, 12}, "", ""},
		{"none", time.Hour, nil, "", ""},
	} {
		t.Run(step.name, func(t *testing.T) {
			out.Reset()
			var times []time.Time
			for _, h := range step.hours {
				times = append(times, start.Add(time.Duration(h*float64(time.Hour))))
			}
			l.note(t.Context(), log, start.Add(step.now), time.Hour, times)
			got := out.String()
			if step.events == "" {
				if got != "" {
					t.Errorf("told %q, want nothing", got)
				}
				return
			}
			for _, want := range []string{"level=WARN", "give each its own", "input=entra", "events=" + step.events, "behind=" + step.behind} {
				if !strings.Contains(got, want) {
					t.Errorf("told %q, want %q in it", got, want)
				}
			}
		})
	}
}
