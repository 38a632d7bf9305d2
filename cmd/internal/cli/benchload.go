package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing/fstest"
	"time"

	"stepdown/cmd/internal/app"
	"stepdown/detect"
	"stepdown/detect/rule"
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/identity"
	"stepdown/ingest/simulate"
	"stepdown/rules"
)

// The load of `stepdown bench`. A few people of the simulated company are
// templates: every identity has the state of one of them after two weeks, under a
// name of its own, and goes on living as that one did. How much happened in the two
// weeks is as the distribution has it: the many who seldom come have the state of a
// life of which only every fourth or sixteenth episode took place. Records are
// copies with other names, ids and times written into their places.
const (
	benchIdentities = 9_999_999
	benchTemplates  = 100
	// benchRecords is how many records of a template are used.
	benchRecords = 60
	// benchLanes is how many sign-ins and the like are under way at a time.
	benchLanes = 64
	// benchLife is about how many records a template has in two weeks.
	benchLife = 300
	// benchDay is how many records an identity has a day.
	benchDay = 20

	benchZipf    = 1.07
	benchFlat    = 10 // of the head of the distribution
	benchTraffic = "Zipf 1.07 over identities, kinds as simulated, 1 % sign-ins by text message"
)

// The places that are written over.
const (
	benchDigits  = "7654321"
	benchKey     = "p" + benchDigits + "@example.com"
	benchID      = "11111111-2222-4333-8444-555555555555"
	benchFlow    = "22222222-2222-4333-8444-555555555555"
	benchSession = "33333333-2222-4333-8444-555555555555"
	benchTime    = "2001-02-03T04:05:06.001Z"
	benchSeen    = "2001-02-03T04:05:06.002Z"
	benchTaken   = "2001-02-03T04:05:06.003Z"
	benchLayout  = "2006-01-02T15:04:05.000Z"
)

// benchRecord is an encoded event with its places.
type benchRecord struct {
	data                                     []byte
	digits, id, flow, session, at, seen, got []int
}

// benchTemplate is one person: the states after two weeks of more and of less
// life, and what happens from then on.
type benchTemplate struct {
	states   [benchThinnings]benchState
	episodes [][]benchRecord
	weak     [][]benchRecord
}

// benchThinnings is how many states a template has: of the whole life, of a
// fourth and of a sixteenth.
const benchThinnings = 3

// benchState is an encoded state with the places of the name.
type benchState struct {
	data   []byte
	digits []int
}

type benchLane struct {
	identity int
	number   uint64
	left     []benchRecord
}

type benchLoad struct {
	identities int
	templates  []benchTemplate
	lanes      []benchLane
	number     uint64
	rng        *rand.Rand
	weight     float64 // of all identities
	zipf       *rand.Zipf
	now        time.Time
	space      []byte
	records    [][]byte
}

// benchRules returns n rules: the shipped ones, then copies of them that hold for
// tenants which do not occur. They are evaluated to the end and do not match.
func benchRules(n int) (*rule.Set, string, error) {
	files := fstest.MapFS{}
	var shipped []string
	err := fs.WalkDir(rules.Files(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(rules.Files(), name)
		shipped = append(shipped, string(data))
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("read rules: %w", err)
	}
	for i := range n {
		text, _, _ := strings.Cut(shipped[i%len(shipped)], "\ntests:\n")
		if copied := i / len(shipped); copied > 0 {
			text = strings.Replace(text, "id: ", fmt.Sprintf("id: C%d", copied), 1)
			text = addCondition(text, fmt.Sprintf("  of_tenant: event.tenant == \"tenant-%d.example.com\"\n", i))
		}
		files[fmt.Sprintf("%d.yaml", i)] = &fstest.MapFile{Data: []byte(text + "\n")}
	}
	set, err := rule.Load(files)
	what := fmt.Sprintf("%d shipped, %d copies of them for tenants that do not occur", min(n, len(shipped)), max(0, n-len(shipped)))
	return set, what, err
}

// addCondition writes a line at the end of the block under when.
func addCondition(text, line string) string {
	lines := strings.SplitAfter(text, "\n")
	i := slices.Index(lines, "when:\n") + 1
	for i < len(lines) && strings.HasPrefix(lines[i], " ") {
		i++
	}
	return strings.Join(slices.Insert(lines, i, line), "")
}

// newBenchLoad simulates the templates.
func newBenchLoad(engine *detect.Engine, identities int) (*benchLoad, error) {
	cfg := simulate.DefaultConfig()
	company, err := simulate.New(cfg)
	if err != nil {
		return nil, err
	}
	events, err := benchEvents(company)
	if err != nil {
		return nil, err
	}
	attacked := map[string]bool{}
	for _, p := range company.Plan() {
		attacked[p.Identity] = true
	}
	lives := map[event.Key][]event.Event{}
	var keys []event.Key
	for _, e := range events {
		if attacked[string(e.Key)] || attacked[e.Subject.Name] {
			continue
		}
		if lives[e.Key] == nil {
			keys = append(keys, e.Key)
		}
		lives[e.Key] = append(lives[e.Key], e)
	}
	slices.Sort(keys)
	l := &benchLoad{identities: identities, rng: rand.New(rand.NewPCG(1, 2)), now: cfg.Start.AddDate(0, 0, cfg.Days)}
	for _, key := range keys {
		if len(lives[key]) < benchRecords || len(l.templates) == benchTemplates {
			continue
		}
		t, err := newBenchTemplate(engine, key, lives[key], l.rng)
		if err != nil {
			return nil, err
		}
		l.templates = append(l.templates, t)
	}
	if len(l.templates) == 0 {
		return nil, errors.New("the simulated company has nobody to take as a template")
	}
	l.lanes = make([]benchLane, min(benchLanes, identities))
	for i := range identities {
		l.weight += math.Pow(benchFlat+float64(i), -benchZipf)
	}
	l.zipf = rand.NewZipf(l.rng, benchZipf, benchFlat, uint64(identities-1))
	return l, nil
}

// benchEvents returns what the company's records normalize to, by event time.
func benchEvents(company *simulate.Company) ([]event.Event, error) {
	dir, err := os.MkdirTemp("", "stepdown-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, simulate.FileDirectory)
	if err := os.WriteFile(path, company.Directory(), 0o600); err != nil {
		return nil, err
	}
	resolver, err := identity.New(company.Identity(path))
	if err != nil {
		return nil, err
	}
	var records []ingest.Record
	for d := range company.Deliveries() {
		records = append(records, d.Record)
	}
	events := ingest.Normalize(records, app.Normalizers(), resolver).Events
	slices.SortStableFunc(events, func(a, b event.Event) int { return a.Time.Compare(b.Time) })
	return events, nil
}

// newBenchTemplate takes key's life as a template.
func newBenchTemplate(engine *detect.Engine, key event.Key, life []event.Event, rng *rand.Rand) (benchTemplate, error) {
	var t benchTemplate
	// An episode is the records of one flow, or one record that is of none.
	flows := map[string]int{}
	var episodes [][]event.Event
	for _, e := range life {
		if i, ok := flows[e.FlowID]; ok && e.FlowID != "" {
			episodes[i] = append(episodes[i], e)
			continue
		}
		flows[e.FlowID] = len(episodes)
		episodes = append(episodes, []event.Event{e})
	}
	for i, every := 0, 1; i < benchThinnings; i, every = i+1, every*4 {
		state, err := lived(engine, key, episodes, every)
		if err != nil {
			return t, err
		}
		t.states[i] = state
	}
	rng.Shuffle(len(episodes), func(i, j int) { episodes[i], episodes[j] = episodes[j], episodes[i] })
	taken := 0
	for _, episode := range episodes {
		if taken >= benchRecords {
			break
		}
		records, err := benchRecordsOf(episode, key)
		if err != nil {
			return t, err
		}
		t.episodes = append(t.episodes, records)
		taken += len(records)
		if e := episode[0]; len(t.weak) == 0 && e.Kind == event.SignIn && e.Outcome == event.Success {
			e.Factors = []event.Factor{event.NewFactor(event.MethodPassword, event.Verified), event.NewFactor(event.MethodSMS, event.Verified)}
			records, err := benchRecordsOf([]event.Event{e}, key)
			if err != nil {
				return t, err
			}
			t.weak = append(t.weak, records)
		}
	}
	if len(t.weak) == 0 {
		t.weak = t.episodes[:1]
	}
	return t, nil
}

// lived returns the state after those episodes in which somebody was enrolled and
// one in every of the others.
func lived(engine *detect.Engine, key event.Key, episodes [][]event.Event, every int) (benchState, error) {
	var life []event.Event
	for i, episode := range episodes {
		if i%every == 0 || episode[0].Kind == event.AuthenticatorEnrolled {
			life = append(life, episode...)
		}
	}
	slices.SortStableFunc(life, func(a, b event.Event) int { return a.Time.Compare(b.Time) })
	shard := detect.NewShard(engine)
	defer shard.Close()
	for i := range life {
		e := renamed(&life[i], key)
		if err := shard.Apply(&e, int64(i)); err != nil {
			return benchState{}, err
		}
	}
	shard.Drain()
	for state, err := range shard.Dirty() {
		return benchState{bytes.Clone(state.Data), places(state.Data, benchDigits)}, err
	}
	return benchState{}, errors.New("a template has no life")
}

// thinning chooses the state of an identity by how many records the distribution
// gives it in two weeks.
func (l *benchLoad) thinning(identity, whole int) int {
	share := math.Pow(benchFlat+float64(identity), -benchZipf) / l.weight
	records := share * benchDay * 14 * float64(l.identities)
	for i, every := 0, 1; i < benchThinnings-1; i, every = i+1, every*4 {
		if records >= float64(whole)/float64(2*every) {
			return i
		}
	}
	return benchThinnings - 1
}

// renamed returns e as of the identity whose name is written over.
func renamed(e *event.Event, key event.Key) event.Event {
	c := *e
	c.Key = benchKey
	for _, p := range [...]*event.Principal{&c.Subject, &c.Actor} {
		if p.Key == key {
			p.Key, p.Name, p.ID = benchKey, benchKey, "u"+benchDigits
		}
	}
	return c
}

func benchRecordsOf(episode []event.Event, key event.Key) ([]benchRecord, error) {
	at := func(layout string) time.Time {
		t, err := time.Parse(time.RFC3339, layout)
		if err != nil {
			panic(err) // a constant
		}
		return t
	}
	var out []benchRecord
	for i := range episode {
		e := renamed(&episode[i], key)
		e.ID, e.Time, e.Observed, e.Ingested = benchID, at(benchTime), at(benchSeen), at(benchTaken)
		if e.FlowID != "" {
			e.FlowID = benchFlow
		}
		if e.SessionID != "" {
			e.SessionID = benchSession
		}
		e.Factors = slices.Clone(e.Factors)
		for j := range e.Factors {
			e.Factors[j].Time = nil
		}
		data, err := event.Encode(nil, &e)
		if err != nil {
			return nil, err
		}
		r := benchRecord{data: data, digits: places(data, benchDigits), id: places(data, benchID), flow: places(data, benchFlow),
			session: places(data, benchSession), at: places(data, benchTime), seen: places(data, benchSeen), got: places(data, benchTaken)}
		out = append(out, r)
	}
	return out, nil
}

// places returns where word is in data.
func places(data []byte, word string) []int {
	var out []int
	for at := 0; ; {
		i := bytes.Index(data[at:], []byte(word))
		if i < 0 {
			return out
		}
		out = append(out, at+i)
		at += i + len(word)
	}
}

// restore restores the state of every identity and returns how long the shard took.
func (l *benchLoad) restore(shard *detect.Shard) (time.Duration, error) {
	const batch = 1000
	keys, states := make([]event.Key, 0, batch), make([][]byte, 0, batch)
	var spent time.Duration
	for i := range l.identities {
		from := &l.templates[i%len(l.templates)].states[l.thinning(i, benchLife)]
		name := fmt.Sprintf("%07d", i)
		state := bytes.Clone(from.data)
		for _, at := range from.digits {
			copy(state[at:], name)
		}
		keys, states = append(keys, event.Key("p"+name+"@example.com")), append(states, state)
		if len(keys) < batch && i < l.identities-1 {
			continue
		}
		began := time.Now()
		for j := range keys {
			if err := shard.Restore(keys[j], states[j]); err != nil {
				return 0, err
			}
		}
		spent += time.Since(began)
		keys, states = keys[:0], states[:0]
	}
	return spent, nil
}

// next makes n records. They hold until the next call.
func (l *benchLoad) next(n int) [][]byte {
	l.space, l.records = l.space[:0], l.records[:0]
	tick := 24 * time.Hour / time.Duration(benchDay*l.identities)
	for range n {
		lane := &l.lanes[l.rng.IntN(len(l.lanes))]
		if len(lane.left) == 0 {
			lane.identity = int(l.zipf.Uint64())
			l.number++
			lane.number = l.number
			t := &l.templates[lane.identity%len(l.templates)]
			if l.rng.IntN(100) == 0 {
				lane.left = t.weak[0]
			} else {
				lane.left = t.episodes[l.rng.IntN(len(t.episodes))]
			}
		}
		r := &lane.left[0]
		lane.left = lane.left[1:]
		l.now = l.now.Add(tick)
		l.write(r, lane)
	}
	// The space may have moved while it grew.
	begin := 0
	for i, record := range l.records {
		l.records[i] = l.space[begin : begin+len(record) : begin+len(record)]
		begin += len(record)
	}
	return l.records
}

// write appends a copy of r.
func (l *benchLoad) write(r *benchRecord, lane *benchLane) {
	begin := len(l.space)
	l.space = append(l.space, r.data...)
	record := l.space[begin:]
	var b [32]byte
	put := func(places []int, text []byte) {
		for _, at := range places {
			copy(record[at:], text)
		}
	}
	put(r.digits, padded(b[:0], uint64(lane.identity), 10, len(benchDigits)))
	l.number++
	put(r.id, padded(b[:0], l.number, 16, 8))
	put(r.flow, padded(b[:0], lane.number, 16, 8))
	// A session lasts for some sign-ins.
	put(r.session, padded(b[:0], lane.number/16, 16, 8))
	put(r.at, l.now.AppendFormat(b[:0], benchLayout))
	put(r.seen, l.now.Add(2*time.Second).AppendFormat(b[:0], benchLayout))
	put(r.got, l.now.Add(3*time.Second).AppendFormat(b[:0], benchLayout))
	l.records = append(l.records, record)
}

// padded appends n with zeros in front.
func padded(b []byte, n uint64, base, width int) []byte {
	var digits [20]byte
	text := strconv.AppendUint(digits[:0], n, base)
	for range width - len(text) {
		b = append(b, '0')
	}
	return append(b, text[max(0, len(text)-width):]...)
}
