package simulate

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"stepdown/ingest/event"
)

// The providers' tenants of the company.
const (
	oktaHost    = "login.example.com"
	classicHost = "sso.example.org"
	entraTenant = "00000000-0000-4000-8000-0000000000e1"
)

// kind of an authenticator.
type kind int

const (
	noAuthenticator kind = iota
	securityKey
	devicePasskey
	syncedPasskey
	fastPass
	windowsHello
	push
	totp
	sms
)

// credential is an authenticator that a person holds at one provider.
type credential struct {
	kind kind
	// id of the enrolment, as Okta names it.
	id string
	// since is when it was enrolled; zero for before the window.
	since time.Time
}

func (c credential) strong() bool { return c.kind >= securityKey && c.kind <= windowsHello }

// account is a login at one provider.
type account struct {
	id    string
	login string
	// strong is noAuthenticator for who holds no passkey; weak is always there.
	// renewed takes the place of strong after a loss.
	strong, weak, renewed credential
	// password is Okta's id of the enrolled password.
	password string
}

// person works here.
type person struct {
	n    int
	name string
	team string
	// admin people administer both providers; helpDesk people reset factors.
	admin, helpDesk bool

	// okta and entra are the logins; one of them may be missing. Classic people
	// are in the org of the company that was bought.
	okta, entra *account
	classic     bool
	// alias is the login at Entra where the domain alone does not explain it.
	alias string

	// phone is replaced by newPhone in some episodes.
	laptop, phone, newPhone *device
	site                    *site
	home                    ground
	officeDays              [7]bool
	// early is how long after eight the day begins.
	early                 time.Duration
	usesVPN, usesAzureCLI bool
	// trip is where p is on tripDays, first and last; nil for nowhere.
	trip     *network
	tripDays [2]int

	// joins and leaves are the first and last day; leaves is past the end for
	// who stays.
	joins, leaves int
	episodes      []episode
	// attacked people have an attack planned for them; silencedFrom is when it
	// took the account out of their hands, zero for never.
	attacked     bool
	silencedFrom time.Time
}

// login is the name by which the company knows p.
func (p *person) login() string {
	if p.okta != nil {
		return p.okta.login
	}
	return p.entra.login
}

func (p *person) oktaTenant() string {
	if p.classic {
		return classicHost
	}
	return oktaHost
}

// holdsPasskey holds for who has one at every login or will enrol one.
func (p *person) holdsPasskey() bool { return p.accounts()[0].strong.strong() }

// special is an account that is nobody's own, played by a person of its kind.
type special struct {
	person *person
	tier   event.Tier
}

// Company is a company over its days. It does not change; its methods may be
// used concurrently.
type Company struct {
	cfg     Config
	world   *world
	people  []*person
	special []special
	// desk are the help-desk people among them.
	desk    []*person
	attacks []attack
}

var (
	firstNames = strings.Fields(`ada alba amir anouk arlo bea bela bodil carl cleo dara dina edda elin emil enzo
		esra faye finn flora gil greta hana hugo ida ilan imke ines ivo jana joel juna kaya kian lale lars lena
		levi lina luca maja malik mara milo mina nadia nils noor odin olga oren pia quinn rafi rhea rosa runa
		sami selma sven tala theo tilda timo una vera viggo wim yara yuki zoe`)
	lastNames = strings.Fields(`alder ash beck birch brook cedar cliff cove dale elm fen field fjord ford glen
		grove heath hill holt isle lake lark lind marsh mead moor oak park pine pond reed ridge rowan sage shore
		stone vale wade wells wood wren`)
	teams = []string{"Engineering", "Engineering", "Engineering", "Engineering", "Sales", "Sales", "Support",
		"Finance", "Marketing", "Operations", "Legal", "People"}
)

const day = 24 * time.Hour

// stream numbers the generators that are not a person's day.
const (
	streamCast = 1 << 32
	streamLife = 2 << 32
	streamMore = 3 << 32
	streamHack = 4 << 32
)

func (c *Company) rand(stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(c.cfg.Seed, stream))
}

// New makes the company of cfg.
func New(cfg Config) (*Company, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("simulate company: %w", err)
	}
	cfg.Start = cfg.Start.UTC().Truncate(day)
	c := &Company{cfg: cfg, world: newWorld()}
	r := c.rand(streamCast)
	taken := map[string]bool{}
	for n := range cfg.People {
		c.people = append(c.people, c.hire(r, n, taken))
	}
	victims, err := c.castVictims(r)
	if err != nil {
		return nil, fmt.Errorf("simulate company: %w", err)
	}
	c.castEpisodes(r)
	c.castSpecial()
	c.planAttacks(victims)
	return c, nil
}

// name draws the local part of a login that is not taken, and takes it.
func (c *Company) name(r *rand.Rand, taken map[string]bool) string {
	for {
		local := firstNames[r.IntN(len(firstNames))] + "." + lastNames[r.IntN(len(lastNames))]
		if !taken[local] {
			taken[local] = true
			return local
		}
	}
}

// hire makes one person; taken holds the logins that are.
func (c *Company) hire(r *rand.Rand, n int, taken map[string]bool) *person {
	p := &person{n: n, leaves: c.cfg.Days}
	local := c.name(r, taken)
	first, last, _ := strings.Cut(local, ".")
	p.name = strings.ToUpper(first[:1]) + first[1:] + " " + strings.ToUpper(last[:1]) + last[1:]
	p.team = teams[r.IntN(len(teams))]
	p.site = c.site(r)
	p.laptop, p.phone, p.newPhone = makeLaptop(r, n), makePhone(r, n), makePhone(r, n+5000)
	p.home = p.site.homes[r.IntN(len(p.site.homes))].at(r.IntN(0x800))
	p.early = time.Duration(r.IntN(105)) * time.Minute
	for d := range p.officeDays {
		p.officeDays[d] = r.IntN(5) < 3
	}
	// Everybody is in the office and at home at least once a week.
	p.officeDays[time.Tuesday], p.officeDays[time.Thursday] = true, false
	p.usesVPN = r.IntN(100) < 30

	every := c.cfg.People
	switch {
	case n < every*3/50: // twelve of two hundred
		p.admin, p.team = true, "IT"
	case n < every*4/50:
		p.helpDesk, p.team = true, "Help Desk"
		c.desk = append(c.desk, p)
	}
	atOkta, atEntra := false, false
	switch x := n * 20 / 3 % 20; { // spread evenly over the staff
	case x < 8:
		atOkta = true
	case x < 16:
		atEntra = true
	default:
		atOkta, atEntra = true, true
	}
	if p.helpDesk {
		atOkta, atEntra = true, true
	}
	p.classic = atOkta && !atEntra && !p.admin && r.IntN(5) == 0

	holds := p.admin || p.helpDesk || r.IntN(100) < 72
	strong, weak := c.choose(r, p, holds)
	if atOkta {
		login := local + "@example.com"
		if p.classic {
			login = local + "@example.org"
		}
		p.okta = &account{id: oktaID(r, "00u"), login: login, password: oktaID(r, "lae")}
		p.okta.strong, p.okta.weak = c.oktaCredential(r, p, strong), c.oktaCredential(r, p, weak)
	}
	if atEntra {
		login := local + "@example.com"
		if atOkta {
			// After the merger the second login has the other domain, and for
			// every other person an older form of the name as well.
			login = local + "@corp.example.com"
			if short := first + "." + last[:1]; n%2 == 0 && !taken[short] {
				taken[short] = true
				login = short + "@corp.example.com"
				p.alias = login
			}
		}
		p.entra = &account{id: guid(r), login: login}
		p.entra.strong, p.entra.weak = c.entraCredential(r, p, strong), credential{kind: weak}
	}
	p.usesAzureCLI = atEntra && p.team == "Engineering" && r.IntN(2) == 0
	return p
}

func (c *Company) site(r *rand.Rand) *site {
	x := r.IntN(100)
	for _, s := range c.world.sites {
		if x -= s.weight; x < 0 {
			return s
		}
	}
	return c.world.sites[0]
}

// choose returns what p signs in with, and what else p could use.
func (c *Company) choose(r *rand.Rand, p *person, holds bool) (strong, weak kind) {
	weak = []kind{push, push, push, totp, sms}[r.IntN(5)]
	if !holds {
		return noAuthenticator, weak
	}
	if p.admin || p.helpDesk {
		return securityKey, push
	}
	switch x := r.IntN(100); {
	case x < 45:
		strong = fastPass // at Entra: Windows Hello, or a passkey in the app
	case x < 70:
		strong = devicePasskey
	case x < 85:
		strong = syncedPasskey
	default:
		strong = securityKey
	}
	if p.classic && strong == fastPass {
		strong = devicePasskey
	}
	return strong, weak
}

// enrolment draws when a credential was enrolled: for half of the people long
// ago, for the others within the roll-out in the first days.
func (c *Company) enrolment(p *person) time.Time {
	if p.admin || p.helpDesk || p.n%2 == 0 {
		return time.Time{}
	}
	return p.morning(c, c.workday(p.n/2%4)).Add(time.Duration(45+p.n%90) * time.Minute)
}

func (c *Company) oktaCredential(r *rand.Rand, p *person, k kind) credential {
	prefix := map[kind]string{securityKey: "fwf", devicePasskey: "fwf", syncedPasskey: "fwf", fastPass: "pfd",
		push: "opf", totp: "ost", sms: "sms"}[k]
	cred := credential{kind: k, id: oktaID(r, prefix)}
	if cred.strong() {
		cred.since = c.enrolment(p)
	}
	return cred
}

func (c *Company) entraCredential(r *rand.Rand, p *person, k kind) credential {
	if k == fastPass {
		if k = devicePasskey; p.laptop.os == osWindows {
			k = windowsHello
		}
	}
	cred := credential{kind: k, id: guid(r)}
	if cred.strong() {
		cred.since = c.enrolment(p)
	}
	return cred
}

// dayStart is midnight UTC of day d.
func (c *Company) dayStart(d int) time.Time { return c.cfg.Start.Add(time.Duration(d) * day) }

func (c *Company) weekday(d int) time.Weekday { return c.dayStart(d).Weekday() }

func (c *Company) working(d int) bool {
	w := c.weekday(d)
	return w != time.Saturday && w != time.Sunday
}

// workday returns the ith working day, from 0.
func (c *Company) workday(i int) int {
	for d := 0; ; d++ {
		if c.working(d) {
			if i == 0 {
				return d
			}
			i--
		}
	}
}

// local returns h o'clock of day d at p's office. Trips are short enough to keep
// its hours.
func (p *person) local(c *Company, d int, h float64) time.Time {
	return c.dayStart(d).Add(time.Duration((h - float64(p.site.office.place.utc)) * float64(time.Hour)))
}

// morning is when p starts work on day d.
func (p *person) morning(c *Company, d int) time.Time { return p.local(c, d, 8).Add(p.early) }

func (p *person) away(d int) bool {
	return p.trip != nil && d >= p.tripDays[0] && d <= p.tripDays[1]
}

// at returns where p works on day d: the office, at home, or a hotel.
func (p *person) at(c *Company, d int) ground {
	switch {
	case p.away(d):
		return p.trip.at(p.n)
	case p.officeDays[c.weekday(d)] && c.working(d):
		return p.site.office.at(p.n)
	}
	return p.home
}

// mobileAt returns the address of p's phone outside; it changes by the day.
func (p *person) mobileAt(d int) ground {
	if p.away(d) {
		return p.trip.at(p.n)
	}
	return p.site.mobile.at(p.n*61 + d*7)
}

// handset returns p's phone on day d.
func (p *person) handset(d int) *device {
	for _, e := range p.episodes {
		if (e.kind == newPhone || e.kind == lostPhone || e.kind == lostEverything) && d > e.day {
			return p.newPhone
		}
	}
	return p.phone
}
