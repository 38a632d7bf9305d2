package simulate

import (
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
)

// maxLateness is the longest time between what happened and the arrival of its
// record. Okta's records mostly take seconds and Entra's two to twelve minutes;
// unfinished rows are completed within twelve; one in three hundred records takes
// half an hour to fifty minutes.
const maxLateness = 55 * time.Minute

// Delivery is a record with what the simulation knows of it.
type Delivery struct {
	Record ingest.Record
	// ID is the provider's id of the record; empty for one that is broken.
	ID string
	// Time is when it happened; Record.Observed is when it arrived.
	Time time.Time
	// Identity is the login of whom it is about; empty where it is nobody.
	Identity string
	// Attack is the name of the planted attack it belongs to, mostly empty.
	Attack string
}

// writer collects the records of one person's day, or of one attack.
type writer struct {
	c      *Company
	rng    *rand.Rand
	attack string
	out    []Delivery
}

// between draws a duration.
func (w *writer) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(high-low)))
}

// oktaLag draws how long a record of Okta takes.
func (w *writer) oktaLag() time.Duration { return w.lag(800*time.Millisecond, 12*time.Second) }

// entraLag draws how long a record of Entra takes.
func (w *writer) entraLag() time.Duration { return w.lag(2*time.Minute, 12*time.Minute) }

func (w *writer) lag(low, high time.Duration) time.Duration {
	if w.attack == "" && w.rng.IntN(300) == 0 {
		low, high = 30*time.Minute, 50*time.Minute
	}
	return w.between(low, high)
}

// add collects v as a record that arrives lag after at, and one time in three
// hundred arrives twice.
func (w *writer) add(source event.Source, tenant, stream, id, identity string, at time.Time, lag time.Duration, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("simulate: encode %T: %v", v, err)) // a struct of strings and numbers
	}
	d := Delivery{
		Record: ingest.Record{Source: source, Tenant: tenant, Stream: stream, Data: data, Observed: at.Add(lag), Origin: "simulated"},
		ID:     id, Time: at, Identity: identity, Attack: w.attack,
	}
	w.out = append(w.out, d)
	if w.rng.IntN(300) == 0 {
		d.Record.Observed = d.Record.Observed.Add(w.between(20*time.Second, 4*time.Minute))
		w.out = append(w.out, d)
	}
}

// Deliveries returns every record in the order of arrival. It makes them day by
// day and keeps one day in memory; ranging over it again gives the same.
func (c *Company) Deliveries() iter.Seq[Delivery] {
	return func(yield func(Delivery) bool) {
		var waiting []Delivery
		for _, a := range c.attacks {
			waiting = append(waiting, a.records...)
		}
		for d := range c.cfg.Days {
			for _, p := range c.people {
				waiting = append(waiting, c.personDay(p, d)...)
			}
			waiting = append(waiting, c.otherDay(d)...)
			slices.SortStableFunc(waiting, func(a, b Delivery) int { return a.Record.Observed.Compare(b.Record.Observed) })
			// Nothing of the days to come arrives before they begin.
			done := len(waiting)
			if next := c.dayStart(d + 1); d+1 < c.cfg.Days {
				done, _ = slices.BinarySearchFunc(waiting, next, func(x Delivery, next time.Time) int { return x.Record.Observed.Compare(next) })
			}
			for _, x := range waiting[:done] {
				if !yield(x) {
					return
				}
			}
			waiting = slices.Clone(waiting[done:])
		}
	}
}
