package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"stepdown/ingest/event"
)

// world is everything outside a collector: a source that delivers numbered
// records from the cursor on, a topic, a dead-letter topic and a cursor store.
// What it was asked for is in log.
type world struct {
	records []string
	batch   int
	// fail, when set, decides whether an operation fails.
	fail func(op string) error
	// blockAtEnd makes Poll wait for ctx instead of returning io.EOF.
	blockAtEnd bool
	tooLarge   string

	position int
	cursor   json.RawMessage
	events   []event.Event
	dead     []Rejected
	log      []string
}

func (w *world) op(format string, args ...any) error {
	op := fmt.Sprintf(format, args...)
	var err error
	if w.fail != nil {
		err = w.fail(op)
	}
	if err != nil {
		op += " fails"
	}
	w.log = append(w.log, op)
	return err
}

func (w *world) Seek(cursor json.RawMessage) error {
	w.position = 0
	if cursor != nil {
		if err := json.Unmarshal(cursor, &w.position); err != nil {
			return fmt.Errorf("seek: %w", err)
		}
	}
	return w.op("seek %d", w.position)
}

func (w *world) Poll(ctx context.Context) (Batch, error) {
	if err := w.op("poll"); err != nil {
		return Batch{}, err
	}
	if w.position == len(w.records) {
		if w.blockAtEnd {
			<-ctx.Done()
			return Batch{}, ctx.Err()
		}
		return Batch{}, io.EOF
	}
	var b Batch
	for len(b.Records) < max(w.batch, 1) && w.position < len(w.records) {
		b.Records = append(b.Records, Record{Source: "synthetic", Data: []byte(w.records[w.position])})
		w.position++
	}
	b.Cursor = json.RawMessage(fmt.Sprint(w.position))
	return b, nil
}

func (w *world) Close() error { return w.op("close") }

func (w *world) Publish(_ context.Context, events []event.Event) error {
	var ids []string
	var large []int
	for i, e := range events {
		ids = append(ids, e.ID)
		if w.tooLarge != "" && e.ID == w.tooLarge {
			large = append(large, i)
		}
	}
	if large != nil {
		return &TooLargeError{Indexes: large, Err: errors.New("synthetic limit")}
	}
	if err := w.op("publish %s", strings.Join(ids, " ")); err != nil {
		return err
	}
	w.events = append(w.events, events...)
	return nil
}

func (w *world) DeadLetter(_ context.Context, rejected []Rejected) error {
	if err := w.op("dead letters %d", len(rejected)); err != nil {
		return err
	}
	w.dead = append(w.dead, rejected...)
	return nil
}

func (w *world) Load(string) (json.RawMessage, error) { return w.cursor, nil }

func (w *world) Save(_ string, cursor json.RawMessage) error {
	if err := w.op("save %s", cursor); err != nil {
		return err
	}
	w.cursor = cursor
	return nil
}

func (w *world) collector(reg prometheus.Registerer) *Collector {
	return New(DefaultConfig(), Deps{
		Normalizers: testNormalizers, Identity: fakeIdentity{}, Publisher: w, Cursors: w,
		Registerer: reg, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return testTime },
	}).Collector("in", w)
}

func good(id string) string {
	return `{"id":"` + id + `","who":"ana","at":"2026-03-02T09:00:00Z"}`
}

// failTimes fails the first n operations that begin with prefix.
func failTimes(n int, prefix string) func(string) error {
	return func(op string) error {
		if strings.HasPrefix(op, prefix) && n > 0 {
			n--
			return errors.New("synthetic failure")
		}
		return nil
	}
}

func TestCollectorOrder(t *testing.T) {
	for _, tt := range []struct {
		name  string
		world world
		want  []string
	}{
		{
			name:  "nothing is acknowledged before it is durable",
			world: world{records: []string{good("a"), `broken`, good("b"), good("c")}, batch: 3},
			want:  []string{"seek 0", "poll", "publish a b", "dead letters 1", "save 3", "poll", "publish c", "save 4", "poll", "close"},
		},
		{
			name:  "it goes on where it was",
			world: world{records: []string{good("a"), good("b")}, cursor: json.RawMessage("1")},
			want:  []string{"seek 1", "poll", "publish b", "save 2", "poll", "close"},
		},
		{
			name:  "a poll that fails is repeated",
			world: world{records: []string{good("a")}, fail: failTimes(2, "poll")},
			want:  []string{"seek 0", "poll fails", "poll fails", "poll", "publish a", "save 1", "poll", "close"},
		},
		{
			name:  "events that cannot be published stay in hand",
			world: world{records: []string{good("a"), good("b")}, fail: failTimes(3, "publish")},
			want: []string{"seek 0", "poll", "publish a fails", "publish a fails", "publish a fails", "publish a", "save 1",
				"poll", "publish b", "save 2", "poll", "close"},
		},
		{
			name:  "so do dead letters",
			world: world{records: []string{`broken`}, fail: failTimes(1, "dead")},
			want:  []string{"seek 0", "poll", "dead letters 1 fails", "dead letters 1", "save 1", "poll", "close"},
		},
		{
			name:  "a record that yields nothing moves the cursor",
			world: world{records: []string{`{"skip":"irrelevant_type"}`}},
			want:  []string{"seek 0", "poll", "save 1", "poll", "close"},
		},
		{
			name:  "an event that is too large goes to the dead letters",
			world: world{records: []string{good("a"), good("b"), good("c")}, batch: 3, tooLarge: "b"},
			want:  []string{"seek 0", "poll", "publish a c", "dead letters 1", "save 3", "poll", "close"},
		},
		{
			name:  "only events that are too large",
			world: world{records: []string{good("b")}, tooLarge: "b"},
			want:  []string{"seek 0", "poll", "dead letters 1", "save 1", "poll", "close"},
		},
		{
			name:  "a cursor that cannot be saved is tried again with the next batch",
			world: world{records: []string{good("a"), good("b")}, fail: failTimes(4, "save")},
			want: []string{"seek 0", "poll", "publish a", "save 1 fails", "save 1 fails", "save 1 fails",
				"poll", "publish b", "save 2 fails", "save 2", "poll", "close"},
		},
		{
			name:  "and at the end",
			world: world{records: []string{good("a")}, fail: failTimes(3, "save")},
			want:  []string{"seek 0", "poll", "publish a", "save 1 fails", "save 1 fails", "save 1 fails", "poll", "save 1", "close"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := tt.world
				if err := w.collector(prometheus.NewRegistry()).Run(t.Context()); err != nil {
					t.Errorf("Run = %v, want nil at the end of the input", err)
				}
				if diff := cmp.Diff(tt.want, w.log); diff != "" {
					t.Errorf("operations (-want +got):\n%s", diff)
				}
				for _, e := range w.events {
					if !e.Ingested.Equal(testTime) || !e.Observed.Equal(testTime) {
						t.Errorf("event %s: observed %s, ingested %s, want %s", e.ID, e.Observed, e.Ingested, testTime)
					}
				}
			})
		})
	}
}

func TestCollectorStartErrors(t *testing.T) {
	w := world{cursor: json.RawMessage(`"no number"`)}
	err := w.collector(prometheus.NewRegistry()).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "start input in") {
		t.Errorf("Run = %v, want an error that names the input", err)
	}
}

func TestCollectorStopsWithContext(t *testing.T) {
	for _, tt := range []struct {
		name  string
		world world
		want  string
	}{
		{"while polling", world{blockAtEnd: true}, ""},
		{"while publishing fails", world{records: []string{good("a")}, fail: failTimes(1000, "publish")}, ""},
		{"while dead letters fail", world{records: []string{"broken"}, fail: failTimes(1000, "dead")}, ""},
		{"while polling fails", world{fail: failTimes(1000, "poll")}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				w := tt.world
				if err := w.collector(prometheus.NewRegistry()).Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Run = %v, want the context's error", err)
				}
				if w.cursor != nil {
					t.Errorf("cursor %s was saved for what is not durable", w.cursor)
				}
				if last := w.log[len(w.log)-1]; last != "close" {
					t.Errorf("last operation %q, want close", last)
				}
			})
		})
	}
}

// Whatever fails and wherever the process dies, a restart from the saved cursor
// delivers every record at least once, and the cursor is never ahead of what is
// durable.
func TestCollectorLosesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(rt, "records")
		w := world{batch: rapid.IntRange(1, 4).Draw(rt, "batch")}
		for i := range n {
			w.records = append(w.records, rapid.SampledFrom([]string{good(fmt.Sprint(i)), "broken " + fmt.Sprint(i)}).Draw(rt, "record"))
		}
		plan := rapid.SliceOfN(rapid.SampledFrom([]string{"", "", "", "fail", "die"}), 0, 60).Draw(rt, "plan")
		var problem string
		synctest.Test(t, func(t *testing.T) {
			for finished := false; !finished; {
				ctx, die := context.WithCancel(t.Context())
				w.fail = func(op string) error {
					if strings.HasPrefix(op, "save") {
						var upTo int
						_, _ = fmt.Sscanf(op, "save %d", &upTo)
						if missing := w.missing(upTo); missing != "" {
							problem = op + " while these are not durable: " + missing
						}
					}
					if len(plan) == 0 || strings.HasPrefix(op, "seek") || op == "close" {
						return nil
					}
					step := plan[0]
					plan = plan[1:]
					if step == "die" {
						die()
					}
					if step != "" {
						return errors.New("synthetic failure")
					}
					return nil
				}
				finished = w.collector(prometheus.NewRegistry()).Run(ctx) == nil
				die()
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
		if missing := w.missing(n); missing != "" {
			rt.Fatalf("lost: %s", missing)
		}
	})
}

// missing names the records before upTo that are in no topic.
func (w *world) missing(upTo int) string {
	have := map[string]bool{}
	for _, e := range w.events {
		have[string(e.Raw)] = true
	}
	for _, r := range w.dead {
		have[string(r.Record.Data)] = true
	}
	var missing []string
	for _, r := range w.records[:upTo] {
		if !have[r] {
			missing = append(missing, r)
		}
	}
	return strings.Join(missing, ", ")
}

func TestCollectorMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		w := world{
			records: []string{good("a"), `broken`, `{"skip":"machine_identity"}`, good("b")}, batch: 4, tooLarge: "b",
			fail: failTimes(1, "publish"),
		}
		if err := w.collector(reg).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := strings.TrimPrefix(f.GetName(), "stepdown_ingest_")
				for _, l := range m.GetLabel() {
					if l.GetName() != "input" && l.GetName() != "source" {
						name += " " + l.GetValue()
					}
				}
				got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		want := map[string]float64{
			"polls_total ok": 1, "polls_total end": 1, "records_total": 4, "events_total sign_in": 1,
			"skipped_total machine_identity": 1, "malformed_total invalid_json": 1, "malformed_total too_large": 1,
			"publish_errors_total": 1, "lag_seconds": 3600, "last_event_timestamp_seconds": 1772442000, "held_seconds_total": 0,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	})
}

func TestSortByTimeKeepsRecords(t *testing.T) {
	n := Normalize([]Record{
		testRecord(`{"id":"late","who":"ana","at":"2026-03-02T09:30:00Z"}`),
		testRecord(`{"id":"early","who":"ana","at":"2026-03-02T09:00:00Z","also":["ben"]}`),
	}, testNormalizers, fakeIdentity{})
	n.sortByTime()
	var got []string
	for i, e := range n.Events {
		got = append(got, fmt.Sprint(e.ID, e.Key, n.records[i]))
	}
	if diff := cmp.Diff([]string{"earlyana1", "earlyben1", "lateana0"}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// sharedWorld is a topic and a cursor store for several collectors.
type sharedWorld struct {
	mu sync.Mutex
	world
}

func (w *sharedWorld) Publish(ctx context.Context, events []event.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.world.Publish(ctx, events)
}

func (w *sharedWorld) Save(input string, cursor json.RawMessage) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.world.Save(input, cursor)
}

// Two inputs with one history: the fast one waits for the slow one.
func TestCollectorsAreAligned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fast, slow world
		for i := range 48 {
			at := testTime.Add(time.Duration(i-100) * time.Hour).Format(time.RFC3339)
			fast.records = append(fast.records, fmt.Sprintf(`{"id":"f%d","who":"ana","at":%q}`, i, at))
			slow.records = append(slow.records, fmt.Sprintf(`{"id":"s%d","who":"ana","at":%q}`, i, at))
		}
		fast.batch, slow.batch = 48, 1
		topic := &sharedWorld{}
		p := New(DefaultConfig(), Deps{
			Normalizers: testNormalizers, Identity: fakeIdentity{}, Cursors: topic,
			Publisher: topic, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return testTime },
		})
		slow.fail = func(op string) error {
			if op == "poll" {
				time.Sleep(time.Second)
			}
			return nil
		}
		f, s := p.Collector("fast", &fast), p.Collector("slow", &slow)
		done := make(chan error, 2)
		go func() { done <- f.Run(t.Context()) }()
		go func() { done <- s.Run(t.Context()) }()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if len(topic.events) != 96 {
			t.Fatalf("%d events were published, want 96", len(topic.events))
		}
		newest := time.Time{}
		for _, e := range topic.events {
			if late := newest.Sub(e.Time); late > DefaultConfig().MaxSkew {
				t.Fatalf("event %s came %s after a newer one", e.ID, late)
			}
			if e.Time.After(newest) {
				newest = e.Time
			}
		}
	})
}

// A connection that broke off wraps io.EOF, and is not the end of the input.
func TestAnErrorThatWrapsTheEndIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := 2
		w := &world{records: []string{good("1"), good("2")}}
		w.fail = func(op string) error {
			if op == "poll" && broken > 0 {
				broken--
				return fmt.Errorf("get page: %w", io.EOF)
			}
			return nil
		}
		if err := w.collector(prometheus.NewRegistry()).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(w.events) != 2 {
			t.Errorf("%d events published, want 2: the input ended with a broken connection", len(w.events))
		}
	})
}

// What is pushed does not wait for an input that reads history.
func TestPushesWaitForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := world{blockAtEnd: true, records: []string{`{"id":"old","who":"ana","at":"2020-01-01T00:00:00Z"}`}}
		pushed := world{records: []string{good("now")}}
		topic := &sharedWorld{}
		p := New(DefaultConfig(), Deps{
			Normalizers: testNormalizers, Identity: fakeIdentity{}, Cursors: topic,
			Publisher: topic, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return testTime },
		})
		history, hook := p.Collector("history", &old), p.Pushed("hook", &pushed)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- history.Run(ctx) }()
		synctest.Wait()
		start := time.Now()
		if err := hook.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited > 0 {
			t.Errorf("the push waited %s for an input that reads history", waited)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("history ended with %v", err)
		}
	})
}
