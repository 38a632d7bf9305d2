package simulate

import (
	"math/rand/v2"
	"time"
)

// episodeKind is what happens to somebody once.
type episodeKind int

const (
	// lostPhone: the help desk takes away what was on it; the person comes in
	// with the passkey and enrols the new one, on known ground.
	lostPhone episodeKind = iota + 1
	// lostEverything: the help desk resets all factors; the person enrols anew
	// on the own laptop, on known ground.
	lostEverything
	// newPhone: enrolled by oneself, then the old one removed.
	newPhone
	// forgottenKey: a passkey holder comes in with less, on known ground.
	forgottenKey
	// misTap: a push is refused by mistake, then approved.
	misTap
	// consent: a harmless app is allowed to know who one is.
	consent
	// passwordChange by oneself.
	passwordChange
	// joins and leaves: the first and the last day.
	joins
	leaves
)

// episode is one of them, on a day.
type episode struct {
	kind episodeKind
	day  int
}

func (p *person) on(d int) func(episodeKind) bool {
	return func(k episodeKind) bool {
		for _, e := range p.episodes {
			if e.day == d && e.kind == k {
				return true
			}
		}
		return false
	}
}

// castEpisodes hands out what happens once, each to somebody to whom nothing
// else does; the attacked are drawn from the rest.
func (c *Company) castEpisodes(r *rand.Rand) {
	order := r.Perm(len(c.people))
	cast := func(share int, fits func(*person) bool, play func(*person)) {
		for left := max(1, c.cfg.People*share/200); left > 0; left-- {
			for _, n := range order {
				if p := c.people[n]; p.ordinary() && fits(p) {
					play(p)
					break
				}
			}
		}
	}
	// workdays of the second week, and of the whole time but the first day.
	later := func() int { return c.someWorkday(r, 7, c.cfg.Days-1) }
	anyday := func() int { return c.someWorkday(r, 1, c.cfg.Days-1) }
	once := func(k episodeKind, when func() int) func(*person) {
		return func(p *person) { p.episodes = append(p.episodes, episode{k, when()}) }
	}
	everybody := func(*person) bool { return true }
	settled := func(p *person) bool { return p.longEnrolled() }

	cast(1, func(p *person) bool { return settled(p) && p.entra == nil && !p.classic }, func(p *person) {
		d := later()
		p.episodes = append(p.episodes, episode{lostEverything, d})
		p.okta.renewed = credential{kind: p.okta.strong.kind, id: oktaID(r, p.okta.strong.id[:3]), since: p.morning(c, d).Add(2 * time.Hour)}
	})
	cast(2, func(p *person) bool { return settled(p) && p.usualWeak() && !p.classic }, once(lostPhone, later))
	cast(4, settled, once(newPhone, later))
	cast(6, func(p *person) bool { return settled(p) && p.usualWeak() }, once(forgottenKey, later))
	cast(2, func(p *person) bool {
		return !p.holdsPasskey() && p.okta != nil && p.okta.weak.kind == push && !p.classic
	}, once(misTap, anyday))
	cast(10, func(p *person) bool { return p.entra != nil }, once(consent, anyday))
	cast(8, everybody, once(passwordChange, anyday))
	cast(2, settled, func(p *person) {
		p.leaves = c.someWorkday(r, 6, c.cfg.Days-2)
		p.episodes = append(p.episodes, episode{leaves, p.leaves})
	})
	joiner := func(p *person) {
		p.joins, p.usesAzureCLI = c.someWorkday(r, 2, 6), false
		p.episodes = append(p.episodes, episode{joins, p.joins})
		for _, a := range p.accounts() {
			a.strong.since = p.morning(c, p.joins).Add(time.Hour)
		}
	}
	newcomer := func(p *person) bool { return p.holdsPasskey() && !p.longEnrolled() && !p.classic }
	cast(2, func(p *person) bool { return newcomer(p) && p.entra == nil }, joiner)
	cast(1, func(p *person) bool { return newcomer(p) && p.okta == nil }, joiner)
	cast(8, settled, func(p *person) {
		from := c.someWorkday(r, 5, c.cfg.Days-3)
		p.trip, p.tripDays = p.site.trips[r.IntN(len(p.site.trips))], [2]int{from, from + 1 + r.IntN(2)}
	})
}

// accounts returns the logins that p has.
func (p *person) accounts() []*account {
	var out []*account
	for _, a := range []*account{p.okta, p.entra} {
		if a != nil {
			out = append(out, a)
		}
	}
	return out
}

// ordinary people have nothing planned for them, and no special work.
func (p *person) ordinary() bool {
	return len(p.episodes) == 0 && p.trip == nil && !p.admin && !p.helpDesk && !p.attacked
}

// longEnrolled holds for passkeys from before the first day.
func (p *person) longEnrolled() bool {
	for _, a := range p.accounts() {
		if !a.strong.strong() || !a.strong.since.IsZero() {
			return false
		}
	}
	return true
}

// usualWeak holds for who falls back on what people carry.
func (p *person) usualWeak() bool {
	for _, a := range p.accounts() {
		if a.weak.kind == sms {
			return false
		}
	}
	return true
}

// someWorkday draws a working day of low..high.
func (c *Company) someWorkday(r *rand.Rand, low, high int) int {
	for {
		if d := low + r.IntN(high-low+1); c.working(d) {
			return d
		}
	}
}

// with is the credential that a's owner signs in with at t.
func (a *account) with(t time.Time) credential {
	if a.renewed.strong() && t.After(a.renewed.since) {
		return a.renewed
	}
	if a.strong.strong() && (a.strong.since.IsZero() || t.After(a.strong.since)) {
		return a.strong
	}
	return a.weak
}

// personDay returns the records of p on day d.
func (c *Company) personDay(p *person, d int) []Delivery {
	if d < p.joins || d > p.leaves {
		return nil
	}
	w := &writer{c: c, rng: c.rand(streamLife + uint64(p.n)<<10 + uint64(d))}
	on := p.on(d)
	switch {
	case on(joins):
		w.join(p, d)
		w.workDay(p, d, 1, p.morning(c, d).Add(150*time.Minute))
	case on(leaves):
		w.workDay(p, d, 1, p.morning(c, d))
		w.leave(p, d)
		return w.out
	case on(lostEverything):
		w.replaceAll(p, d)
		w.workDay(p, d, 1, p.morning(c, d).Add(150*time.Minute))
	case c.working(d) && (p.attacked || w.rng.IntN(100) < 95), c.mustWork(p, d):
		n := 1 + w.rng.IntN(3)
		if p.attacked {
			n = 3 // somebody of whom enough is known
		}
		w.workDay(p, d, n, p.morning(c, d))
	case w.rng.IntN(100) < 8:
		w.workDay(p, d, 1, p.morning(c, d))
	}
	w.phoneDay(p, d)
	return w.kept(p)
}

// mustWork says that something is to happen on the day, or that it is one of the
// days of the first week that show both of the places where p works.
func (c *Company) mustWork(p *person, d int) bool {
	if d < 7 && (c.weekday(d) == time.Tuesday || c.weekday(d) == time.Thursday) || p.usesAzureCLI && d == c.workday(0) {
		return true
	}
	for _, e := range p.episodes {
		if e.day == d {
			return true
		}
	}
	return c.enrols(p, d)
}

// enrols reports whether p enrols the passkey on day d.
func (c *Company) enrols(p *person, d int) bool {
	for _, a := range p.accounts() {
		if a.strong.strong() && c.dayOf(a.strong.since) == d {
			return true
		}
	}
	return false
}

// dayOf returns the day of t, negative before the first.
func (c *Company) dayOf(t time.Time) int {
	if t.Before(c.cfg.Start) {
		return -1
	}
	return int(t.Sub(c.cfg.Start) / day)
}

// kept drops what p could not do any more because an attacker locked p out.
func (w *writer) kept(p *person) []Delivery {
	if p.silencedFrom.IsZero() {
		return w.out
	}
	var out []Delivery
	for _, x := range w.out {
		if x.Time.Before(p.silencedFrom) {
			out = append(out, x)
		}
	}
	return out
}
