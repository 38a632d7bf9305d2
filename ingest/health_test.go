package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest/event"
)

// healthTopic keeps what is said of inputs, as the store would: the latest
// revision of each gap.
type healthTopic struct {
	mu      sync.Mutex
	down    error
	reports []Report
	gaps    map[string]Gap
	order   []string
}

func (h *healthTopic) PublishHealth(_ context.Context, records []HealthRecord) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down != nil {
		return h.down
	}
	for i := range records {
		data, err := json.Marshal(&records[i])
		if err != nil {
			return err
		}
		var r HealthRecord
		if err := DecodeHealth(data, &r); err != nil {
			return err
		}
		if r.Report != nil {
			h.reports = append(h.reports, *r.Report)
			continue
		}
		before, known := h.gaps[r.Gap.ID]
		if !known {
			h.order = append(h.order, r.Gap.ID)
		}
		if r.Gap.Revision >= before.Revision {
			h.gaps[r.Gap.ID] = *r.Gap
		}
	}
	return nil
}

func (h *healthTopic) setDown(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = err
}

// span is a gap for comparison, in time since the start of the test.
type span struct {
	Kind     GapKind
	From, To time.Duration // To is -1 while it is open
	Detail   string
}

// spans returns the gaps, rounded to tens of seconds, in the order in which they
// were noticed.
func (h *healthTopic) spans(start time.Time) []span {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []span
	for _, id := range h.order {
		g := h.gaps[id]
		s := span{g.Kind, g.From.Sub(start).Round(10 * time.Second), -1, g.Detail}
		if !g.To.IsZero() {
			s.To = g.To.Sub(start).Round(10 * time.Second)
		}
		out = append(out, s)
	}
	return out
}

// states are those reported, each once in a row.
func (h *healthTopic) states() []State {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []State
	for _, r := range h.reports {
		if len(out) == 0 || out[len(out)-1] != r.State {
			out = append(out, r.State)
		}
	}
	return out
}

// memoryCursors are cursors that outlive a collector.
type memoryCursors struct {
	mu    sync.Mutex
	saved map[string]json.RawMessage
}

func (m *memoryCursors) Load(input string) (json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.saved[input], nil
}

func (m *memoryCursors) Save(input string, cursor json.RawMessage) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saved[input] = cursor
	return nil
}

// provider is a log that has a record every ten seconds and can fail.
type provider struct {
	mu     sync.Mutex
	err    error
	lost   *Loss
	behind time.Duration
}

func (p *provider) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *provider) Seek(json.RawMessage) error { return nil }
func (p *provider) Close() error               { return nil }

func (p *provider) Poll(ctx context.Context) (Batch, error) {
	if err := sleep(ctx, 10*time.Second); err != nil {
		return Batch{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return Batch{}, p.err
	}
	lost := p.lost
	p.lost = nil
	now := time.Now().UTC().Add(-p.behind)
	data := `{"id":"` + now.Format("150405") + `","who":"ana","at":"` + now.Format(time.RFC3339) + `"}`
	return Batch{Records: []Record{{Source: "synthetic", Data: []byte(data)}}, Cursor: json.RawMessage("1"), Through: now, Lost: lost}, nil
}

// installation is what outlives a process.
type installation struct {
	provider provider
	topic    healthTopic
	cursors  memoryCursors
	events   world
	start    time.Time
	registry *prometheus.Registry
}

func newInstallation() *installation {
	return &installation{start: time.Now(), topic: healthTopic{gaps: map[string]Gap{}}, cursors: memoryCursors{saved: map[string]json.RawMessage{}}}
}

// run collects for d; killed, the process says no last word.
func (in *installation) run(t *testing.T, d time.Duration, source Source, killed bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	in.registry = prometheus.NewRegistry()
	p := New(DefaultConfig(), Deps{
		Normalizers: testNormalizers, Identity: fakeIdentity{}, Publisher: &in.events, Cursors: &in.cursors, Health: &in.topic,
		Registerer: in.registry, Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	c := p.Collector("in", source)
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Run(ctx) })
	wg.Go(func() { p.ReportHealth(ctx) })
	time.Sleep(d)
	synctest.Wait()
	in.cursors.mu.Lock()
	saved := maps.Clone(in.cursors.saved)
	in.cursors.mu.Unlock()
	cancel()
	wg.Wait()
	if killed {
		in.cursors.saved = saved
		return
	}
	p.FlushHealth(context.WithoutCancel(ctx))
}

func (in *installation) wantSpans(t *testing.T, want ...span) {
	t.Helper()
	if diff := cmp.Diff(want, in.topic.spans(in.start)); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}

var errRefused = &CredentialError{Cure: "renew it", Err: errors.New("401")}

func TestAnOutageIsAGap(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		lasts  time.Duration
		gaps   []span
		states []State
	}{
		{"a request that fails for a moment is none", errors.New("503"), time.Minute, nil, []State{StateOK, StateStopped}},
		{"failing for minutes", errors.New("503"), 10 * time.Minute, []span{{GapOutage, 5 * time.Minute, 15*time.Minute + 20*time.Second, "503"}},
			[]State{StateOK, StateFailing, StateOK, StateStopped}},
		{"a refused credential at once", errRefused, time.Minute, []span{{GapOutage, 5 * time.Minute, 6*time.Minute + 20*time.Second, "credential refused: 401; renew it"}},
			[]State{StateOK, StateRefused, StateOK, StateStopped}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := newInstallation()
				time.AfterFunc(5*time.Minute+time.Second, func() { in.provider.fail(tt.err) })
				time.AfterFunc(5*time.Minute+time.Second+tt.lasts, func() { in.provider.fail(nil) })
				in.run(t, 20*time.Minute, &in.provider, false)
				got := in.topic.spans(in.start)
				for i := range got {
					if i < len(tt.gaps) && got[i].To >= tt.gaps[i].From+tt.lasts && got[i].To <= tt.gaps[i].From+tt.lasts+time.Minute {
						got[i].To = tt.gaps[i].To // the pause between attempts is random
					}
				}
				if diff := cmp.Diff(tt.gaps, got); diff != "" {
					t.Errorf("gaps (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.states, in.topic.states()); diff != "" {
					t.Errorf("states (-want +got):\n%s", diff)
				}
				if n := metricOf(t, in.registry, "stepdown_ingest_gaps_total"); n != float64(len(tt.gaps)) {
					t.Errorf("%v gaps counted, want %d", n, len(tt.gaps))
				}
			})
		})
	}
}

// metricOf returns the sum of a metric.
func metricOf(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func TestReportsCountAndSayHowFar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour) // the clock begins with 2000, and before it no event is valid
		in := newInstallation()
		in.provider.behind = 2 * time.Hour
		in.run(t, 10*time.Minute, &in.provider, false)
		var records uint64
		for _, r := range in.topic.reports {
			records += r.Records
		}
		if n := uint64(len(in.events.events)); records != n || n < 50 {
			t.Errorf("reports count %d records of %d", records, n)
		}
		if n := len(in.topic.reports); n < 10 || n > 14 {
			t.Errorf("%d reports in ten minutes, want one a minute and one for each change", n)
		}
		r := in.topic.reports[5]
		if lag := r.Time.Sub(r.Through); r.State != StateBehind || lag < 2*time.Hour || lag > 2*time.Hour+time.Minute {
			t.Errorf("report %+v, want two hours behind", r)
		}
		if r.LastEvent.IsZero() || !cmp.Equal(r.Sources, []event.Source{"synthetic"}) {
			t.Errorf("report %+v, want its source and last event", r)
		}
	})
}

// While Kafka is away reports are dropped, what they counted and gaps are not.
func TestAGapWaitsForKafka(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInstallation()
		away := errors.New("no broker")
		time.AfterFunc(5*time.Minute+time.Second, func() { in.provider.fail(errRefused); in.topic.setDown(away) })
		time.AfterFunc(10*time.Minute+time.Second, func() { in.provider.fail(nil) })
		time.AfterFunc(15*time.Minute, func() {
			if len(in.topic.spans(in.start)) != 0 {
				t.Error("the topic is down and has a gap")
			}
			in.topic.setDown(nil)
		})
		in.run(t, 16*time.Minute, &in.provider, false)
		got := in.topic.spans(in.start)
		if len(got) != 1 || got[0].From != 5*time.Minute || got[0].To < 10*time.Minute || got[0].To > 11*time.Minute {
			t.Errorf("gaps %+v, want the outage from its beginning to its end", got)
		}
		var records uint64
		for _, r := range in.topic.reports {
			records += r.Records
		}
		if n := uint64(len(in.events.events)); records != n {
			t.Errorf("reports count %d records of %d", records, n)
		}
	})
}

// What cannot be published is read no further, and so is late.
func TestKafkaAwayIsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInstallation()
		var mu sync.Mutex
		var down error
		set := func(err error) { mu.Lock(); defer mu.Unlock(); down = err }
		in.events.fail = func(op string) error {
			mu.Lock()
			defer mu.Unlock()
			if strings.HasPrefix(op, "publish") {
				return down
			}
			return nil
		}
		time.AfterFunc(5*time.Minute+time.Second, func() { set(errors.New("no broker")); in.topic.setDown(errors.New("no broker")) })
		time.AfterFunc(15*time.Minute+time.Second, func() { set(nil); in.topic.setDown(nil) })
		in.run(t, 20*time.Minute, &in.provider, false)
		got := in.topic.spans(in.start)
		if len(got) != 1 || got[0].From != 5*time.Minute || got[0].To < 15*time.Minute || got[0].To > 16*time.Minute || !strings.Contains(got[0].Detail, "publish events: no broker") {
			t.Errorf("gaps %+v, want the time without Kafka", got)
		}
	})
}

func TestARestart(t *testing.T) {
	for _, tt := range []struct {
		name   string
		killed bool
		away   time.Duration
		want   []span
	}{
		{"at once is no gap", false, time.Second, nil},
		{"at once after a kill is no gap", true, time.Second, nil},
		{"after an hour", false, time.Hour, []span{{GapStopped, 10 * time.Minute, 70*time.Minute + 10*time.Second, "not read for 1h0m0s"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := newInstallation()
				in.run(t, 10*time.Minute+5*time.Second, &in.provider, tt.killed)
				time.Sleep(tt.away)
				in.run(t, 10*time.Minute, &in.provider, false)
				in.wantSpans(t, tt.want...)
			})
		})
	}
}

func TestAfterAKillTheGapBeginsWhenItWasLastSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInstallation()
		in.run(t, 10*time.Minute+5*time.Second, &in.provider, true)
		time.Sleep(time.Hour)
		in.run(t, 10*time.Minute, &in.provider, false)
		got := in.topic.spans(in.start)
		if len(got) != 1 || got[0].Kind != GapStopped || got[0].From < 9*time.Minute || got[0].From > 10*time.Minute || got[0].To != 70*time.Minute+10*time.Second {
			t.Errorf("gaps %+v, want one from the last that is known to the start", got)
		}
	})
}

// An outage that a restart falls into is one gap under one id.
func TestAnOutageOverARestart(t *testing.T) {
	for _, killed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			in := newInstallation()
			time.AfterFunc(5*time.Minute+time.Second, func() { in.provider.fail(errRefused) })
			in.run(t, 10*time.Minute, &in.provider, killed)
			in.wantSpans(t, span{GapOutage, 5 * time.Minute, -1, errRefused.Error()})
			if metricOf(t, in.registry, "stepdown_ingest_gap_open") != 1 {
				t.Error("no metric tells of the open gap")
			}
			time.Sleep(time.Hour)
			in.provider.fail(nil)
			in.run(t, 10*time.Minute, &in.provider, false)
			in.wantSpans(t, span{GapOutage, 5 * time.Minute, time.Hour + 10*time.Minute + 10*time.Second, errRefused.Error()})
			if metricOf(t, in.registry, "stepdown_ingest_gap_open") != 0 {
				t.Error("the metric still tells of an open gap")
			}
		})
	}
}

func TestAnInputThatEndedHasNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInstallation()
		in.run(t, time.Minute, &world{records: []string{good("a")}}, false)
		time.Sleep(24 * time.Hour)
		in.run(t, time.Minute, &world{records: []string{good("a")}}, false)
		in.wantSpans(t)
		if diff := cmp.Diff([]State{StateStopped}, in.topic.states()); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
	})
}

func TestWhatASourceHasLostIsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInstallation()
		time.AfterFunc(5*time.Minute+time.Second, func() {
			in.provider.mu.Lock()
			defer in.provider.mu.Unlock()
			in.provider.lost = &Loss{Detail: "synthetic loss"}
		})
		in.run(t, 10*time.Minute, &in.provider, false)
		in.wantSpans(t, span{GapLost, 5 * time.Minute, 5*time.Minute + 10*time.Second, "synthetic loss"})
	})
}

func TestDecodeHealth(t *testing.T) {
	for _, tt := range []struct {
		name, data string
		newer      bool
	}{
		{"no json", `nothing`, false},
		{"a newer schema", `{"schema":2,"report":{"input":"in","time":"2026-11-24T20:00:00Z"}}`, true},
		{"neither", `{"schema":1}`, false},
		{"a report without input", `{"schema":1,"report":{"time":"2026-11-24T20:00:00Z"}}`, false},
		{"a gap without beginning", `{"schema":1,"gap":{"id":"a","input":"in"}}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r HealthRecord
			if err := DecodeHealth([]byte(tt.data), &r); err == nil || errors.Is(err, ErrHealthSchema) != tt.newer {
				t.Errorf("DecodeHealth = %v", err)
			}
		})
	}
}
