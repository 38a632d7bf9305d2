package ingest

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// aligner keeps inputs that catch up on history together in event time: none
// publishes an event that is more than skew later than what another one still
// has to deliver, since the detector would take the slower one's events as late.
//
// Only an input that is known to have work holds others up: it has events in
// hand, or it has been asking its source for no longer than patience. One that
// is idle, failing or at its end does not.
//
// No deadlock is possible: of the lanes that wait, the one with the earliest
// position is behind every other, so only lanes that do not wait can hold it
// up, and those publish (or fail, which frees the others) or poll (for patience
// at most).
type aligner struct {
	skew, patience time.Duration

	mu    sync.Mutex
	lanes []*lane
	// changed is closed and replaced when a lane that others may wait for moves.
	changed chan struct{}
}

func newAligner(skew, patience time.Duration) *aligner {
	return &aligner{skew: skew, patience: patience, changed: make(chan struct{})}
}

type laneState int

const (
	laneIdle    laneState = iota // holds nobody up
	lanePolling                  // holds others up until its patience is over
	laneWorking                  // holds others up
)

// lane is one input's place.
type lane struct {
	a     *aligner
	state laneState
	// position is the event time before which the input has nothing in hand;
	// zero before its first event.
	position time.Time
	// newest is the latest time that was published: a late event in hand moves
	// the position back only until it is out.
	newest time.Time
	// patienceEnds is when a polling lane turns idle.
	patienceEnds time.Time
}

// join adds a lane whose first poll is expected at once.
func (a *aligner) join() *lane {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := &lane{a: a, state: lanePolling, patienceEnds: time.Now().Add(a.patience)}
	a.lanes = append(a.lanes, l)
	return l
}

// leave removes l.
func (l *lane) leave() {
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	l.a.lanes = slices.DeleteFunc(l.a.lanes, func(o *lane) bool { return o == l })
	l.a.notify()
}

// polling says that the input asks its source for more. A lane that was idle
// stays so until it has events.
func (l *lane) polling() {
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	if l.state == laneWorking {
		l.state, l.patienceEnds = lanePolling, time.Now().Add(l.a.patience)
		l.a.notify()
	}
}

// idle says that the input has nothing that others should wait for.
func (l *lane) idle() {
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	l.state = laneIdle
	l.a.notify()
}

// published says that everything up to t is out.
func (l *lane) published(t time.Time) {
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	if t.After(l.newest) {
		l.newest = t
	}
	l.state, l.position = laneWorking, l.newest
	l.a.notify()
}

// allow returns how many events, of those at the given ascending times, may be
// published now. It blocks until it is at least one, or ctx ends.
func (l *lane) allow(ctx context.Context, times []time.Time) (int, error) {
	for {
		n, wait, changed := l.tryAllow(times)
		if n > 0 {
			return n, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
}

// tryAllow is allow without blocking; when it returns 0, asking again makes
// sense when changed is closed and after wait.
func (l *lane) tryAllow(times []time.Time) (n int, wait time.Duration, changed <-chan struct{}) {
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	if l.state != laneWorking || !l.position.Equal(times[0]) {
		l.state, l.position = laneWorking, times[0]
		l.a.notify()
	}
	now := time.Now()
	n, wait = len(times), time.Duration(math.MaxInt64)
	for _, o := range l.a.lanes {
		switch {
		case o == l || o.state == laneIdle:
			continue
		case o.state == lanePolling:
			left := o.patienceEnds.Sub(now)
			if left <= 0 {
				o.state = laneIdle
				continue
			}
			wait = min(wait, left)
		}
		limit := o.position.Add(l.a.skew)
		n = min(n, firstAfter(times, limit))
	}
	return n, wait, l.a.changed
}

// notify wakes the lanes that wait. The caller holds mu.
func (a *aligner) notify() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// firstAfter returns the index of the first of the ascending times after limit.
func firstAfter(times []time.Time, limit time.Time) int {
	i, _ := slices.BinarySearchFunc(times, limit, func(t, limit time.Time) int {
		if t.After(limit) {
			return 1
		}
		return -1
	})
	return i
}
