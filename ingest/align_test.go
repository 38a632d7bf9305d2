package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

const (
	testSkew     = 30 * time.Minute
	testPatience = 15 * time.Second
)

// history is one input of the simulation: when its events happened (minutes
// after testTime, ascending) and how it delivers them.
type history struct {
	minutes []int
	batch   int
	// poll is how long each poll takes, publish how long each publish.
	poll, publish time.Duration
}

func (h history) times() []time.Time {
	times := make([]time.Time, len(h.minutes))
	for i, m := range h.minutes {
		times[i] = testTime.Add(time.Duration(m) * time.Minute)
	}
	return times
}

// simulate runs the histories against one aligner and returns, for every event
// that was let through while another input had an older one to come, how far
// ahead it was. Polls that last longer than patience count as idle.
func simulate(t *testing.T, skew time.Duration, histories []history) (published int, worst time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		a := newAligner(skew, testPatience)
		var mu sync.Mutex
		rest := make([][]time.Time, len(histories))
		var wg sync.WaitGroup
		lanes := make([]*lane, len(histories))
		for i, h := range histories {
			rest[i], lanes[i] = h.times(), a.join()
		}
		for i, h := range histories {
			wg.Go(func() {
				l := lanes[i]
				defer l.leave()
				for batch := range slices.Chunk(h.times(), h.batch) {
					l.polling()
					time.Sleep(h.poll) // the bubble's clock
					for len(batch) > 0 {
						n, err := l.allow(t.Context(), batch)
						if err != nil {
							t.Errorf("lane %d: %v", i, err)
							return
						}
						time.Sleep(h.publish)
						mu.Lock()
						rest[i] = rest[i][n:]
						published += n
						for j, others := range rest {
							if j != i && len(others) > 0 && histories[j].poll < testPatience {
								worst = max(worst, batch[n-1].Sub(others[0]))
							}
						}
						mu.Unlock()
						l.published(batch[n-1])
						batch = batch[n:]
					}
				}
			})
		}
		wg.Wait()
	})
	return published, worst
}

func TestAlignerKeepsInputsTogether(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		histories := make([]history, rapid.IntRange(1, 5).Draw(rt, "inputs"))
		total := 0
		for i := range histories {
			h := history{
				minutes: rapid.SliceOfN(rapid.IntRange(0, 3000), 0, 40).Draw(rt, "minutes"),
				batch:   rapid.IntRange(1, 20).Draw(rt, "batch"),
				poll:    rapid.SampledFrom([]time.Duration{0, time.Millisecond, 10 * time.Second, time.Hour}).Draw(rt, "poll"),
				publish: rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Minute}).Draw(rt, "publish"),
			}
			slices.Sort(h.minutes)
			histories[i] = h
			total += len(h.minutes)
		}
		published, worst := simulate(t, testSkew, histories)
		if published != total {
			rt.Fatalf("%d of %d events came through", published, total)
		}
		if worst > testSkew {
			rt.Fatalf("an event was %s ahead of an input that had older ones, at most %s", worst, testSkew)
		}
	})
}

// The property above can fail: a larger skew is seen, an idle input is not.
func TestSimulationSeesSkew(t *testing.T) {
	fast := history{minutes: []int{0, 1000, 2000}, batch: 3, poll: time.Millisecond}
	for _, tt := range []struct {
		name string
		poll time.Duration
		skew time.Duration
		want time.Duration
	}{
		{"aligned", testPatience - time.Second, testSkew, 0},
		{"not aligned", testPatience - time.Second, 100 * time.Hour, 1000 * time.Minute},
		{"idle", testPatience + time.Second, testSkew, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			slow := history{minutes: []int{0, 1000, 2000}, batch: 1, poll: tt.poll}
			if _, worst := simulate(t, tt.skew, []history{fast, slow}); worst != tt.want {
				t.Errorf("worst skew %s, want %s", worst, tt.want)
			}
		})
	}
}

// waits reports whether l has to wait with an event at minute m.
func waits(l *lane, m int) bool {
	n, _, _ := l.tryAllow([]time.Time{testTime.Add(time.Duration(m) * time.Minute)})
	return n == 0
}

func TestAlignerDoesNotWaitForThoseWithoutWork(t *testing.T) {
	for _, tt := range []struct {
		name   string
		slow   func(*lane)
		waits  bool
		passes time.Duration
	}{
		{name: "first poll", slow: func(*lane) {}, waits: true},
		{name: "first poll that lasts", slow: func(*lane) {}, passes: testPatience, waits: false},
		{name: "events in hand", slow: func(l *lane) { waits(l, 0) }, passes: time.Hour, waits: true},
		{name: "failing", slow: (*lane).idle, waits: false},
		{name: "failing and polling again", slow: func(l *lane) { l.idle(); l.polling() }, waits: false},
		{name: "ended", slow: (*lane).leave, waits: false},
		{name: "polls after an old event", slow: func(l *lane) { l.published(testTime); l.polling() }, waits: true},
		{name: "idle after an old event", slow: func(l *lane) { l.published(testTime); l.polling() }, passes: testPatience, waits: false},
		{name: "as far", slow: func(l *lane) { l.published(testTime.Add(100 * time.Minute)) }, waits: false},
		{name: "a late event that is out", slow: func(l *lane) {
			l.published(testTime.Add(100 * time.Minute))
			waits(l, 0)
			l.published(testTime)
		}, waits: false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAligner(testSkew, testPatience)
				fast, slow := a.join(), a.join()
				tt.slow(slow)
				time.Sleep(tt.passes)
				if got := waits(fast, 100); got != tt.waits {
					t.Errorf("fast input waits: %v, want %v", got, tt.waits)
				}
			})
		})
	}
}

func TestAllowEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAligner(testSkew, testPatience)
		fast, slow := a.join(), a.join()
		waits(slow, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if n, err := fast.allow(ctx, []time.Time{testTime.Add(time.Hour)}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("allow = %d, %v, want the context's error", n, err)
		}
	})
}

func ExampleConfig_Validate() {
	cfg := DefaultConfig()
	cfg.MaxSkew = -time.Minute
	fmt.Println(cfg.Validate())
	// Output: max_skew: -1m0s; want a duration such as 30m, or 0 to align nothing
}
