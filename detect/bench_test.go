package detect_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"stepdown/detect"
	"stepdown/ingest/event"
)

// BenchmarkApply folds events in order over ten thousand identities: each comes
// back every twenty minutes, alternately with a sign-in by passkey, with
// activity in its session, and with a sign-in that is carried over.
func BenchmarkApply(b *testing.B) {
	const identities = 10_000
	one := pack(b, 1)
	only := one.Rule("DG-01")
	for _, tt := range []struct {
		name   string
		copies int
	}{{"1 rule", 0}, {"10 rules", 1}, {"100 rules", 10}} {
		b.Run(tt.name, func(b *testing.B) {
			set := one
			switch tt.copies {
			case 0:
				set = setOf(b, only)
			case 10:
				set = pack(b, tt.copies)
			}
			shard := detect.NewShard(detect.NewEngine(set, detect.DefaultConfig(), nil))
			defer shard.Close()
			people := make([]*person, identities)
			for i := range people {
				people[i] = newPerson(i)
			}
			session := make([]string, identities)
			for i := range session {
				session[i] = fmt.Sprint("session-", i)
			}
			n := 0
			next := func() event.Event {
				i, round := n%identities, n/identities
				p := people[i]
				at := origin().Add(time.Duration(round)*20*time.Minute + time.Duration(i)*time.Millisecond)
				var e event.Event
				switch round % 4 {
				case 0:
					e = p.signIn(at, event.MethodPassword, event.MethodPasskey)
				case 2:
					e = p.signIn(at, event.MethodPreviouslySatisfied)
				default:
					e = p.event(event.SessionActivity, at)
				}
				e.ID, e.SessionID = strconv.Itoa(n), session[i]
				n++
				return e
			}
			offset := int64(0)
			for ; offset < 8*identities; offset++ {
				e := next()
				if err := shard.Apply(&e, offset); err != nil {
					b.Fatal(err)
				}
			}
			batch := make([]event.Event, 500)
			i := len(batch)
			b.ReportAllocs()
			for b.Loop() {
				if i == len(batch) {
					b.StopTimer()
					for i = range batch {
						batch[i] = next()
					}
					i = 0
					b.StartTimer()
				}
				if err := shard.Apply(&batch[i], offset); err != nil {
					b.Fatal(err)
				}
				i++
				offset++
			}
			if alerts := shard.Drain(); len(alerts) > 0 {
				b.Fatal(alerts[0].Title)
			}
		})
	}
}

// BenchmarkState encodes and restores the state of an ordinary identity.
func BenchmarkState(b *testing.B) {
	engine := detect.NewEngine(pack(b, 1), detect.DefaultConfig(), nil)
	events := newPerson(1).past(30)
	encode := func(b *testing.B) detect.State {
		shard := detect.NewShard(engine)
		for i := range events {
			if err := shard.Apply(&events[i], int64(i)); err != nil {
				b.Fatal(err)
			}
		}
		for state, err := range shard.Dirty() {
			if err != nil {
				b.Fatal(err)
			}
			return state
		}
		return detect.State{}
	}
	state := encode(b)
	b.Run("restore", func(b *testing.B) {
		shard := detect.NewShard(engine)
		b.SetBytes(int64(len(state.Data)))
		b.ReportAllocs()
		for b.Loop() {
			if err := shard.Restore(state.Key, state.Data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encode", func(b *testing.B) {
		shard := detect.NewShard(engine)
		if err := shard.Restore(state.Key, state.Data); err != nil {
			b.Fatal(err)
		}
		repeat := events[len(events)-1]
		offset := int64(len(events))
		b.SetBytes(int64(len(state.Data)))
		b.ReportAllocs()
		for b.Loop() {
			// A record that comes twice changes the offset alone.
			if err := shard.Apply(&repeat, offset); err != nil {
				b.Fatal(err)
			}
			offset++
			for _, err := range shard.Dirty() {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// BenchmarkRefold puts a record in the middle of a window of 64.
func BenchmarkRefold(b *testing.B) {
	shard := detect.NewShard(detect.NewEngine(pack(b, 1), detect.DefaultConfig(), nil))
	p := newPerson(1)
	events := p.past(12)
	for i := range 64 {
		at := origin().Add(time.Duration(i) * 30 * time.Second)
		if i%4 == 0 {
			events = append(events, p.signIn(at, event.MethodPasskey))
		} else {
			e := p.event(event.SessionActivity, at)
			e.SessionID = "s-1"
			events = append(events, e)
		}
	}
	for i := range events {
		if err := shard.Apply(&events[i], int64(i)); err != nil {
			b.Fatal(err)
		}
	}
	late := events[len(events)-32]
	offset := int64(len(events))
	b.ReportAllocs()
	for b.Loop() {
		late.Observed = late.Observed.Add(time.Second)
		late.Action = strconv.FormatInt(offset, 10)
		if err := shard.Apply(&late, offset); err != nil {
			b.Fatal(err)
		}
		offset++
	}
}
