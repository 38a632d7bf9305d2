package sinks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"stepdown/detect/alert"
	"stepdown/sinks"
	"stepdown/sinks/sinktest"
)

// fake is a sink that answers what a test scripted, then nil.
type fake struct {
	answers []error
	batches [][]alert.ID
	at      []time.Duration
	start   time.Time
	held    map[alert.ID]bool
	takes   time.Duration // of each Write
	each    func(alert.Alert)
}

func (f *fake) Write(ctx context.Context, alerts []alert.Alert) error {
	time.Sleep(f.takes)
	var ids []alert.ID
	for _, a := range alerts {
		ids = append(ids, a.ID)
		if f.each != nil {
			f.each(a)
		}
	}
	f.batches = append(f.batches, ids)
	f.at = append(f.at, time.Since(f.start))
	if len(f.answers) == 0 {
		return nil
	}
	err := f.answers[0]
	f.answers = f.answers[1:]
	return err
}

func (f *fake) Close() error { return nil }

func (f *fake) Holds(id alert.ID) bool { return f.held[id] }

type bench struct {
	sink   *fake
	runner *sinks.Runner
	reg    *prometheus.Registry
	dead   []string
	deny   int
	log    bytes.Buffer
}

func newBench(t *testing.T, minimum alert.Severity, answers ...error) *bench {
	t.Helper()
	b := &bench{sink: &fake{answers: answers, start: time.Now()}, reg: prometheus.NewRegistry()}
	dead := func(_ context.Context, a *alert.Alert, reason error) error {
		if b.deny > 0 {
			b.deny--
			return errors.New("topic away")
		}
		b.dead = append(b.dead, fmt.Sprintf("%s: %v", a.Key, reason))
		return nil
	}
	var err error
	b.runner, err = sinks.NewRunner("test", b.sink, minimum, dead, slog.New(slog.NewTextHandler(&b.log, nil)), b.reg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// metrics checks the values in want, "name=value name=value".
func (b *bench) metrics(t *testing.T, want string) {
	t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	for pair := range strings.FieldsSeq(want) {
		name, value, _ := strings.Cut(pair, "=")
		v, ok := got[name]
		if text := strconv.FormatFloat(v, 'f', -1, 64); !ok || text != value {
			t.Errorf("metric %s is %s, want %s", name, text, value)
		}
	}
}

func ids(alerts ...alert.Alert) []alert.ID {
	var all []alert.ID
	for _, a := range alerts {
		all = append(all, a.ID)
	}
	return all
}

func TestRunnerRetriesForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failures := make([]error, 400)
		for i := range failures {
			failures[i] = errors.New("away")
		}
		b := newBench(t, "", failures...)
		if err := b.runner.Handle(t.Context(), []alert.Alert{sinktest.Alert(1), sinktest.Alert(2)}); err != nil {
			t.Fatal(err)
		}
		if got := len(b.sink.batches); got != 401 {
			t.Fatalf("wrote %d times, want 401", got)
		}
		if d := b.sink.at[400]; d < 3*time.Hour {
			t.Errorf("400 attempts took %s; the wait does not grow", d)
		}
		for i := 1; i < len(b.sink.at); i++ {
			if gap := b.sink.at[i] - b.sink.at[i-1]; gap > 91*time.Second {
				t.Fatalf("waited %s before attempt %d, more than the greatest wait", gap, i)
			}
		}
		b.metrics(t, "stepdown_sinks_retries_total=400 stepdown_sinks_alerts_written_total=2 stepdown_sinks_up=1")
		if !strings.Contains(b.log.String(), "sink takes alerts again") {
			t.Error("the log does not say that the sink recovered")
		}
	})
}

func TestRunnerWaitsAsLongAsToldTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "", fmt.Errorf("post: %w", &sinks.LaterError{After: 7 * time.Minute, Err: errors.New("too many")}))
		if err := b.runner.Handle(t.Context(), []alert.Alert{sinktest.Alert(1)}); err != nil {
			t.Fatal(err)
		}
		if b.sink.at[1] != 7*time.Minute {
			t.Errorf("second attempt after %s, want 7m", b.sink.at[1])
		}
	})
}

func TestRunnerBuriesWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := func(reason string, indexes ...int) error {
			return &sinks.RefusedError{Indexes: indexes, Err: errors.New(reason)}
		}
		a1, a2, a3, a4 := sinktest.Alert(1), sinktest.Alert(2), sinktest.Alert(3), sinktest.Alert(4)
		b := newBench(t, "", refuse("too long", 1), refuse("bad", 0, 2))
		if err := b.runner.Handle(t.Context(), []alert.Alert{a1, a2, a3, a4}); err != nil {
			t.Fatal(err)
		}
		want := [][]alert.ID{ids(a1, a2, a3, a4), ids(a1, a3, a4), ids(a3)}
		if diff := cmp.Diff(want, b.sink.batches); diff != "" {
			t.Errorf("batches (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"person2@example.com: too long", "person1@example.com: bad", "person4@example.com: bad"}, b.dead); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
		b.metrics(t, "stepdown_sinks_alerts_refused_total=3 stepdown_sinks_alerts_written_total=1 stepdown_sinks_retries_total=0")
	})
}

func TestRunnerKeepsTryingToBury(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := &sinks.RefusedError{Indexes: []int{0}, Err: errors.New("bad")}
		b := newBench(t, "", refused, refused)
		b.deny = 1
		if err := b.runner.Handle(t.Context(), []alert.Alert{sinktest.Alert(1)}); err != nil {
			t.Fatal(err)
		}
		if len(b.dead) != 1 || len(b.sink.batches) != 2 {
			t.Errorf("buried %q in %d writes, want one in 2", b.dead, len(b.sink.batches))
		}
	})
}

// A sink that refuses without saying what must not make alerts disappear, nor
// make the runner spin.
func TestRunnerDistrustsARefusalOfNothing(t *testing.T) {
	for _, row := range []struct {
		name    string
		indexes []int
	}{{"no index", nil}, {"beyond the batch", []int{5}}, {"negative", []int{-1}}} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "", &sinks.RefusedError{Indexes: row.indexes, Err: errors.New("bad")})
				if err := b.runner.Handle(t.Context(), []alert.Alert{sinktest.Alert(1)}); err != nil {
					t.Fatal(err)
				}
				b.metrics(t, "stepdown_sinks_retries_total=1 stepdown_sinks_alerts_written_total=1 stepdown_sinks_alerts_refused_total=0")
			})
		})
	}
}

func TestRunnerStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "", errors.New("away"), errors.New("away"), errors.New("away"), errors.New("away"))
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		err := b.runner.Handle(ctx, []alert.Alert{sinktest.Alert(1)})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Handle = %v, want the context's error", err)
		}
		b.metrics(t, "stepdown_sinks_up=0 stepdown_sinks_alerts_written_total=0")
	})
}

func TestRunnerTellsTrouble(t *testing.T) {
	away := errors.New("away")
	for _, tc := range []struct {
		name    string
		answers []error
		takes   time.Duration
		after   time.Duration
		trouble string // in the error; empty for none
		up      string
	}{
		{"at work", nil, 10 * time.Second, 5 * time.Second, "", "1"},
		{"just failed", slices.Repeat([]error{away}, 50), 0, 2 * time.Second, "", "0"},
		{"failing", slices.Repeat([]error{away}, 50), 0, time.Minute, "takes no alerts for 1m0s: away", "0"},
		{"slow for two alerts", nil, time.Minute, 18 * time.Second, "", "1"},
		{"hanging", nil, time.Hour, 20 * time.Second, "a write does not return", "0"},
		{"mended", []error{away, away, away}, 0, time.Hour, "", "1"},
		{"failed, then refused", []error{away, &sinks.RefusedError{Indexes: []int{0, 1}, Err: away}}, 0, time.Hour, "", "1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "", tc.answers...)
				b.sink.takes = tc.takes
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					_ = b.runner.Handle(ctx, []alert.Alert{sinktest.Alert(1), sinktest.Alert(2)})
					close(ended)
				}()
				time.Sleep(tc.after)
				synctest.Wait()
				err := b.runner.Trouble()
				if tc.trouble == "" && err != nil || tc.trouble != "" && (err == nil || err.Error() != tc.trouble) {
					t.Errorf("Trouble() = %v, want %q", err, tc.trouble)
				}
				b.metrics(t, "stepdown_sinks_up="+tc.up)
				cancel()
				<-ended
				if err := b.runner.Trouble(); err != nil {
					t.Errorf("Trouble() with no batch in hand = %v", err)
				}
			})
		})
	}
}

func TestRunnerFiltersBySeverity(t *testing.T) {
	severity := func(a alert.Alert, s alert.Severity, revision uint64) alert.Alert {
		a.Severity, a.Revision = s, revision
		return a
	}
	low, high, held := sinktest.Alert(1), sinktest.Alert(2), sinktest.Alert(3)
	b := newBench(t, alert.High)
	b.sink.held = map[alert.ID]bool{held.ID: true}
	batch := []alert.Alert{
		severity(low, alert.Medium, 1),
		severity(high, alert.High, 1),
		severity(high, alert.Low, 2),
		severity(held, alert.Informational, 7),
	}
	if err := b.runner.Handle(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]alert.ID{ids(held)}, b.sink.batches); diff != "" {
		t.Errorf("an amendment of what is shown must pass whatever its severity (-want +got):\n%s", diff)
	}
	b.metrics(t, "stepdown_sinks_alerts_filtered_total=2 stepdown_sinks_alerts_superseded_total=1")
}

func TestRunnerHandsOnTheNewestRevision(t *testing.T) {
	revision := func(a alert.Alert, n uint64) alert.Alert { a.Revision = n; return a }
	a, c, d := sinktest.Alert(1), sinktest.Alert(2), sinktest.Alert(3)
	b := newBench(t, "")
	var given []alert.Alert
	b.sink.each = func(a alert.Alert) { given = append(given, a) }
	batch := []alert.Alert{revision(a, 1), revision(c, 1), revision(a, 3), revision(d, 5), revision(a, 2), revision(c, 2), revision(d, 4)}
	if err := b.runner.Handle(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	want := []alert.Alert{revision(a, 3), revision(d, 5), revision(c, 2)}
	if diff := cmp.Diff(want, given); diff != "" {
		t.Errorf("the sink is given (-want +got):\n%s", diff)
	}
	b.metrics(t, "stepdown_sinks_alerts_superseded_total=4 stepdown_sinks_alerts_written_total=3")
}

func TestNewRunnerRefusesAnUnknownSeverity(t *testing.T) {
	_, err := sinks.NewRunner("test", &fake{}, "urgent", nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err == nil || !strings.Contains(err.Error(), "critical") {
		t.Errorf("NewRunner = %v, want an error that lists the severities", err)
	}
}
