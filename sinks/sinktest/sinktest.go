package sinktest

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stepdown/detect/alert"
	"stepdown/sinks"
)

// Shown is one alert revision that a destination holds.
type Shown struct {
	ID       alert.ID
	Revision uint64
}

// Destination is what a sink writes to in a test.
type Destination struct {
	// Open returns a sink over the destination. A second call is a restart of the
	// process; the sink before it was closed.
	Open func(t *testing.T) sinks.Sink
	// Shown returns every revision that the destination holds. One that keeps only
	// the latest returns that; a double is returned twice.
	Shown func(t *testing.T) []Shown
	// Fail makes the destination fail until the function it returns is called. It
	// is nil for a destination that cannot be made to fail.
	Fail func(t *testing.T) (mend func())
	// Forgets is true for a sink that after a restart cannot know what it wrote.
	Forgets bool
}

// Run checks the contract of sinks.Sink against destinations that open makes, one
// for each check.
func Run(t *testing.T, open func(t *testing.T) Destination) {
	for _, check := range []struct {
		name string
		run  func(t *testing.T, s *subject)
	}{
		{"nothing", func(t *testing.T, s *subject) {
			s.write(t)
			s.want(t)
		}},
		{"every alert once", func(t *testing.T, s *subject) {
			s.write(t, Alert(1), Alert(2))
			s.write(t, Alert(3))
			s.want(t, Alert(1), Alert(2), Alert(3))
		}},
		{"the same batch twice", func(t *testing.T, s *subject) {
			s.write(t, Alert(1), Alert(2))
			s.write(t, Alert(1), Alert(2))
			s.want(t, Alert(1), Alert(2))
		}},
		{"an alert twice in a batch", func(t *testing.T, s *subject) {
			s.write(t, Alert(1), Alert(1))
			s.want(t, Alert(1))
		}},
		{"a higher revision", func(t *testing.T, s *subject) {
			s.write(t, Alert(1), Alert(2))
			s.write(t, Revised(Alert(1), 2))
			s.want(t, Revised(Alert(1), 2), Alert(2))
		}},
		{"two revisions in a batch", func(t *testing.T, s *subject) {
			s.write(t, Alert(1), Alert(2), Revised(Alert(1), 4))
			s.want(t, Revised(Alert(1), 4), Alert(2))
		}},
		{"a lower revision afterwards", func(t *testing.T, s *subject) {
			s.write(t, Revised(Alert(1), 2))
			s.write(t, Alert(1), Revised(Alert(1), 2))
			s.want(t, Revised(Alert(1), 2))
		}},
		{"withdrawn", func(t *testing.T, s *subject) {
			s.write(t, Alert(1))
			gone := Revised(Alert(1), 2)
			gone.State = alert.Withdrawn
			s.write(t, gone)
			s.want(t, gone)
		}},
		{"hostile and full", func(t *testing.T, s *subject) {
			a := Hostile("\x1b]0;x\a\u202e<!channel>\r\n{\"}")
			s.write(t, a)
			s.want(t, a)
		}},
		{"cancelled", func(t *testing.T, s *subject) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err := s.sink.Write(ctx, []alert.Alert{Alert(1)})
			if _, ok := errors.AsType[*sinks.RefusedError](err); ok {
				t.Fatalf("Write with a cancelled context refused: %v", err)
			}
			s.write(t, Alert(1))
			s.want(t, Alert(1))
		}},
		{"restart", func(t *testing.T, s *subject) {
			s.write(t, Alert(1), Alert(2))
			s.restart(t)
			if !s.Forgets {
				s.write(t, Alert(1), Alert(2))
			}
			s.write(t, Revised(Alert(2), 2), Alert(3))
			s.want(t, Alert(1), Revised(Alert(2), 2), Alert(3))
		}},
		{"failure", func(t *testing.T, s *subject) {
			if s.Fail == nil {
				t.Skip("the destination cannot be made to fail")
			}
			s.write(t, Alert(1))
			mend := s.Fail(t)
			batch := []alert.Alert{Alert(1), Alert(2), Alert(3)}
			for range 2 {
				err := s.sink.Write(t.Context(), batch)
				var refused *sinks.RefusedError
				if err == nil || errors.As(err, &refused) {
					t.Fatalf("Write to a failing destination = %v, want an error of the moment", err)
				}
			}
			mend()
			s.write(t, batch...)
			s.want(t, batch...)
		}},
		{"held", func(t *testing.T, s *subject) {
			holder, ok := s.sink.(sinks.Holder)
			if !ok {
				t.Skip("the sink is no Holder")
			}
			s.write(t, Alert(1))
			if !holder.Holds(Alert(1).ID) || holder.Holds(Alert(2).ID) {
				t.Fatalf("Holds = %v for a written alert and %v for another, want true and false", holder.Holds(Alert(1).ID), holder.Holds(Alert(2).ID))
			}
		}},
	} {
		t.Run(check.name, func(t *testing.T) {
			s := &subject{Destination: open(t)}
			s.sink = s.Open(t)
			defer func() {
				if err := s.sink.Close(); err != nil {
					t.Errorf("Close() = %v", err)
				}
			}()
			check.run(t, s)
		})
	}
}

type subject struct {
	Destination
	sink sinks.Sink
}

func (s *subject) restart(t *testing.T) {
	t.Helper()
	if err := s.sink.Close(); err != nil {
		t.Fatalf("Close() = %v", err)
	}
	s.sink = s.Open(t)
}

// write writes a batch, which must succeed and be left alone.
func (s *subject) write(t *testing.T, batch ...alert.Alert) {
	t.Helper()
	before := encode(t, batch)
	if err := s.sink.Write(t.Context(), batch); err != nil {
		t.Fatalf("Write of %d alerts = %v", len(batch), err)
	}
	if diff := cmp.Diff(before, encode(t, batch)); diff != "" {
		t.Fatalf("Write changed the caller's alerts (-before +after):\n%s", diff)
	}
}

func encode(t *testing.T, batch []alert.Alert) []string {
	t.Helper()
	var all []string
	for i := range batch {
		data, err := alert.Encode(&batch[i])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(data))
	}
	return all
}

// want checks that the destination's latest word is alerts and that it holds no
// revision twice.
func (s *subject) want(t *testing.T, alerts ...alert.Alert) {
	t.Helper()
	want := map[alert.ID]uint64{}
	for _, a := range alerts {
		want[a.ID] = a.Revision
	}
	got, count := map[alert.ID]uint64{}, map[Shown]int{}
	for _, shown := range s.Shown(t) {
		got[shown.ID] = max(got[shown.ID], shown.Revision)
		if count[shown]++; count[shown] == 2 {
			t.Errorf("alert %s revision %d is shown twice", shown.ID, shown.Revision)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("latest revisions at the destination (-want +got):\n%s", diff)
	}
}
