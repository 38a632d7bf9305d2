package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"stepdown/ingest/event"
)

// State is how an input stands. The list is closed.
type State string

// The states.
const (
	StateOK State = "ok"
	// StateBehind: it is read, and more than an hour of its log is still to come.
	StateBehind State = "behind"
	// StateFailing: nothing could be read, or published, for two minutes.
	StateFailing State = "failing"
	// StateRefused: the provider does not accept the credential.
	StateRefused State = "refused"
	// StateStopped: it is not read here any more: read to its end, handed over to
	// another collector, or the process ends.
	StateStopped State = "stopped"
)

// Report says how an input stands. It is made once a minute and when the state
// changes.
type Report struct {
	Input string `json:"input"`
	// Sources and Tenants are those of its records so far, in order.
	Sources []event.Source `json:"sources,omitempty"`
	Tenants []string       `json:"tenants,omitempty"`
	Time    time.Time      `json:"time"`
	State   State          `json:"state"`
	// Detail is why, for people; it holds no secret.
	Detail string `json:"detail,omitempty"`
	// Through is the event time up to which the input was read; zero where its
	// source does not know. LastEvent is the time of its latest event.
	Through   time.Time `json:"through,omitzero"`
	LastEvent time.Time `json:"last_event,omitzero"`
	// Records and Malformed count what was read since the report before.
	Records   uint64 `json:"records"`
	Malformed uint64 `json:"malformed"`
}

// GapKind is why a gap came about. The list is closed: it is a metric's label.
type GapKind string

// The kinds of gaps.
const (
	// GapOutage: the input could not be read. What its provider keeps was read
	// late, after the gap's end.
	GapOutage GapKind = "outage"
	// GapStopped: no process read the input. Its records were read late too.
	GapStopped GapKind = "stopped"
	// GapLost: the source has said that records may be missing for good.
	GapLost GapKind = "lost"
)

// Gap is an interval of event time whose records were read late, or not at all.
type Gap struct {
	ID string `json:"id"`
	// Revision orders what is said of one gap: a higher one replaces a lower one.
	Revision uint64         `json:"revision"`
	Input    string         `json:"input"`
	Sources  []event.Source `json:"sources,omitempty"`
	Tenants  []string       `json:"tenants,omitempty"`
	Kind     GapKind        `json:"kind"`
	From     time.Time      `json:"from"`
	// To is zero while the gap is open.
	To     time.Time `json:"to,omitzero"`
	Detail string    `json:"detail,omitempty"`
	// Opened is when it was noticed.
	Opened time.Time `json:"opened"`
}

// Loss is what a source says of records that it can no longer read.
type Loss struct {
	// From and To bound their event time. A zero From means as far as the input
	// was read before, a zero To now.
	From, To time.Time
	// Detail for people: what is gone, and why.
	Detail string
}

// HealthRecord is a report or a gap, as the topic of health holds it.
type HealthRecord struct {
	Schema int     `json:"schema"`
	Report *Report `json:"report,omitempty"`
	Gap    *Gap    `json:"gap,omitempty"`
}

// healthSchema is the version of HealthRecord that this build writes.
const healthSchema = 1

// ErrHealthSchema is matched by the error of a record that a newer build wrote.
var ErrHealthSchema = errors.New("health record of a newer schema")

// Input is the input that the record is about.
func (r *HealthRecord) Input() string {
	if r.Gap != nil {
		return r.Gap.Input
	}
	return r.Report.Input
}

// DecodeHealth reads a record of the topic of health.
func DecodeHealth(data []byte, r *HealthRecord) error {
	if err := json.Unmarshal(data, r); err != nil {
		return fmt.Errorf("decode health record: %w", err)
	}
	switch {
	case r.Schema > healthSchema:
		return fmt.Errorf("%w: %d", ErrHealthSchema, r.Schema)
	case (r.Report == nil) == (r.Gap == nil):
		return errors.New("decode health record: want a report or a gap")
	case r.Report != nil && (r.Report.Input == "" || r.Report.Time.IsZero()):
		return errors.New("decode health record: report without input or time")
	case r.Gap != nil && (r.Gap.ID == "" || r.Gap.Input == "" || r.Gap.From.IsZero()):
		return errors.New("decode health record: gap without id, input or beginning")
	}
	return nil
}

// HealthPublisher takes the records of the inputs' health.
type HealthPublisher interface {
	// PublishHealth returns nil when every record is durable; after any error they
	// come again.
	PublishHealth(ctx context.Context, records []HealthRecord) error
}

const (
	// healthTick is how often the inputs are looked at.
	healthTick = time.Second
	// reportEvery is how often an input reports while nothing changes, and how
	// often what is known of it is saved.
	reportEvery = time.Minute
	// stoppedAfter is how long nobody may have read an input before that is a
	// gap: a restart, or a change of hands, is none.
	stoppedAfter = 2*time.Minute + reportEvery
	// maxTenants and maxDetail bound a record.
	maxTenants = 32
	maxDetail  = 1000
)

// health watches the collectors of one process. It has a goroutine of its own,
// ReportHealth, so that nothing of it holds an input up.
type health struct {
	publisher HealthPublisher
	metrics   *metrics
	log       *slog.Logger
	now       func() time.Time
	// failing is whether the last records could not be published.
	failing bool

	mu     sync.Mutex
	inputs map[string]*tracker
}

// ReportHealth publishes how the inputs stand until ctx ends. Reports that cannot
// be published are dropped for newer ones, gaps are kept.
func (p *Pipeline) ReportHealth(ctx context.Context) {
	if p.health == nil {
		return
	}
	ticker := time.NewTicker(healthTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.health.round(ctx)
		}
	}
}

// FlushHealth publishes what is due once more, after the collectors and
// ReportHealth have ended.
func (p *Pipeline) FlushHealth(ctx context.Context) {
	if p.health != nil {
		p.health.round(ctx)
	}
}

// round looks at each input once.
func (h *health) round(ctx context.Context) {
	h.mu.Lock()
	inputs := slices.Collect(maps.Values(h.inputs))
	h.mu.Unlock()
	var records []HealthRecord
	for _, t := range inputs {
		records = append(records, t.due(h.now())...)
	}
	if len(records) > 0 {
		if err := h.publisher.PublishHealth(ctx, records); err != nil {
			if !h.failing && ctx.Err() == nil {
				h.log.WarnContext(ctx, "health of inputs not published, trying again", slog.Any("error", err))
			}
			h.failing = true
			return
		}
		h.failing = false
	}
	for _, t := range inputs {
		t.published(records)
		t.saveWhenDue(h.now())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.inputs, func(_ string, t *tracker) bool { return t.done() })
}

// begin returns the tracker of an input that is about to be read, with what was
// known of it before; nil where nobody wants to know.
func (h *health) begin(input string, store CursorStore, log *slog.Logger) *tracker {
	if h == nil {
		return nil
	}
	t := &tracker{health: h, input: input, store: store, log: log}
	data, err := store.Load(t.key())
	if err == nil && data != nil {
		err = json.Unmarshal(data, &t.memory)
	}
	if err != nil {
		log.Warn("what was known of the input's health cannot be read", slog.Any("error", err))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if before := h.inputs[input]; before != nil {
		// Read here before, and not all of that could be published and saved.
		old := before.snapshot()
		if old.Time.After(t.memory.Time) {
			t.memory = old
		} else {
			for _, g := range old.Pending {
				t.pend(g)
			}
		}
	}
	h.inputs[input] = t
	t.showOpen()
	return t
}

// memory is what outlives a process: it is kept where the input's cursor is.
type memory struct {
	// Time is when it was saved, and the input still read.
	Time      time.Time      `json:"time"`
	Through   time.Time      `json:"through,omitzero"`
	LastEvent time.Time      `json:"last_event,omitzero"`
	Sources   []event.Source `json:"sources,omitempty"`
	Tenants   []string       `json:"tenants,omitempty"`
	// Ended is true of an input that was read to its end.
	Ended bool `json:"ended,omitempty"`
	// Open is the gap that is not over. Pending are gaps to be published.
	Open    *Gap  `json:"open,omitempty"`
	Pending []Gap `json:"pending,omitempty"`
}

// tracker follows one input. Its collector tells it what happens, and never waits
// for more than a lock; health asks it what is due. All methods of a nil tracker
// do nothing.
type tracker struct {
	health *health
	input  string
	store  CursorStore
	log    *slog.Logger

	// saving is held while the memory is written, so that the last one stays.
	saving sync.Mutex

	mu sync.Mutex
	memory
	// polledOK is when a poll went well the last time, in this process.
	polledOK time.Time
	// failing is what went wrong since failingSince; nil while all is well.
	failing      error
	failingSince time.Time
	stopped      bool
	why          string // it was stopped
	// records and malformed are counted since the last report that was published.
	records, malformed uint64
	reported           time.Time
	reportedState      State
	saveAt             time.Time
}

func (t *tracker) key() string { return t.input + "#health" }

// started tells that the input is read from now on; continued, that its position
// was known.
func (t *tracker) started(continued bool) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.health.now()
	away := now.Sub(t.Time)
	if !t.Time.IsZero() && !t.Ended && t.Open == nil && away > stoppedAfter {
		g := t.gap(GapStopped, t.readUpTo(), "not read for "+away.Round(time.Second).String())
		if !continued {
			g.Detail += "; no position was kept: what is not sent or read again is missing"
		}
		g.To = now
		t.pend(g)
	}
	t.Ended = false
}

// polled tells how a poll, or an attempt to publish, went.
func (t *tracker) polled(err error) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.health.now()
	if err != nil {
		if t.failing == nil {
			t.failingSince = now
		}
		t.failing = err
		return
	}
	t.polledOK = now
	t.well(now)
}

// well ends what was wrong.
func (t *tracker) well(now time.Time) {
	t.failing = nil
	if g := t.Open; g != nil {
		g.To = now
		g.Revision++
		t.pend(*g)
		t.Open = nil
		t.showOpen()
	}
}

// collected tells of a batch that is durable.
func (t *tracker) collected(b Batch, out Normalized) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.well(t.health.now())
	for source, c := range out.Summary {
		t.records += uint64(c.Records)
		t.Sources = include(t.Sources, source)
		if c.Newest.After(t.LastEvent) {
			t.LastEvent = c.Newest
		}
	}
	t.malformed += uint64(len(out.Rejected))
	for i := range out.Events {
		if len(t.Tenants) < maxTenants {
			t.Tenants = include(t.Tenants, out.Events[i].Tenant)
		}
	}
	if b.Lost != nil {
		from := b.Lost.From
		if from.IsZero() {
			from = t.readUpTo()
		}
		g := t.gap(GapLost, from, b.Lost.Detail)
		if g.To = b.Lost.To; g.To.IsZero() {
			g.To = g.Opened
		}
		t.pend(g)
	}
	if !b.Through.IsZero() {
		t.Through = b.Through
	}
}

// include adds a value to a sorted list.
func include[T ~string](list []T, v T) []T {
	at, found := slices.BinarySearch(list, v)
	if found || v == "" {
		return list
	}
	// A copy: reports hold the list.
	return slices.Insert(slices.Clone(list), at, v)
}

// ended tells that the collector is done, and why. It saves what is known before
// another collector may take over; of an input that could not begin that is no
// news.
func (t *tracker) ended(ctx context.Context, err error) {
	if t == nil {
		return
	}
	t.mu.Lock()
	began := err == nil || ctx.Err() != nil
	switch {
	case !began:
		t.failing, t.failingSince = err, time.Time{}
	case err == nil:
		t.Ended, t.why = true, "read to its end"
		fallthrough
	default:
		t.failing = nil
	}
	t.mu.Unlock()
	if began {
		t.save()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
}

// readUpTo is the event time up to which the input is known to have been read.
func (t *tracker) readUpTo() time.Time {
	for _, at := range []time.Time{t.Through, t.polledOK, t.Time} {
		if !at.IsZero() {
			return at
		}
	}
	return t.health.now()
}

// gap returns a new gap and counts it.
func (t *tracker) gap(kind GapKind, from time.Time, detail string) Gap {
	g := Gap{Revision: 1, Input: t.input, Sources: t.Sources, Tenants: t.Tenants, Kind: kind, From: from.UTC(), Detail: cut(detail), Opened: t.health.now().UTC()}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %s %d %d", g.Input, g.Kind, g.From.UnixNano(), g.Opened.UnixNano()))
	g.ID = hex.EncodeToString(sum[:12])
	t.health.metrics.gaps.WithLabelValues(t.input, string(kind)).Inc()
	t.saveAt = time.Time{}
	return g
}

// pend keeps a gap until it is published, in place of what it replaces.
func (t *tracker) pend(g Gap) {
	g.To = g.To.UTC()
	if !g.To.IsZero() && g.To.Before(g.From) {
		g.From = g.To // a provider's clock that is ahead of ours
	}
	t.saveAt = time.Time{}
	for i := range t.Pending {
		if t.Pending[i].ID == g.ID {
			t.Pending[i] = g
			return
		}
	}
	t.Pending = append(t.Pending, g)
}

func (t *tracker) showOpen() {
	open := 0.0
	if t.Open != nil {
		open = 1
	}
	t.health.metrics.gapOpen.WithLabelValues(t.input).Set(open)
}

// state is how the input stands, and why.
func (t *tracker) state(now time.Time) (State, string) {
	detail := ""
	if t.failing != nil {
		detail = cut(t.failing.Error())
	}
	_, refused := errors.AsType[*CredentialError](t.failing)
	switch {
	case refused:
		return StateRefused, detail
	case t.failing != nil && now.Sub(t.failingSince) >= failingAfter:
		return StateFailing, detail
	case t.stopped:
		return StateStopped, t.why
	case !t.Through.IsZero() && now.Sub(t.Through) > behindEnough:
		return StateBehind, detail
	}
	return StateOK, detail
}

// cut bounds a text for people.
func cut(s string) string {
	if len(s) <= maxDetail {
		return s
	}
	return strings.ToValidUTF8(s[:maxDetail], "") + "…"
}

// due returns what is to be published now.
func (t *tracker) due(now time.Time) []HealthRecord {
	t.mu.Lock()
	defer t.mu.Unlock()
	state, detail := t.state(now)
	if (state == StateRefused || state == StateFailing) && t.Open == nil && !t.stopped {
		from := t.readUpTo()
		if from.After(t.failingSince) {
			from = t.failingSince
		}
		g := t.gap(GapOutage, from, detail)
		t.Open = &g
		t.pend(g)
		t.showOpen()
	}
	var records []HealthRecord
	for _, g := range t.Pending {
		records = append(records, HealthRecord{Schema: healthSchema, Gap: &g})
	}
	if state != t.reportedState || !t.stopped && now.Sub(t.reported) >= reportEvery {
		records = append(records, HealthRecord{Schema: healthSchema, Report: &Report{
			Input: t.input, Sources: t.Sources, Tenants: t.Tenants, Time: now.UTC(), State: state, Detail: detail,
			Through: t.Through.UTC(), LastEvent: t.LastEvent.UTC(), Records: t.records, Malformed: t.malformed,
		}})
	}
	return records
}

// published tells which records are durable.
func (t *tracker) published(records []HealthRecord) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range records {
		switch {
		case r.Input() != t.input:
		case r.Report != nil:
			t.records -= r.Report.Records
			t.malformed -= r.Report.Malformed
			t.reported, t.reportedState = r.Report.Time, r.Report.State
		default:
			t.Pending = slices.DeleteFunc(t.Pending, func(g Gap) bool { return g.ID == r.Gap.ID && g.Revision == r.Gap.Revision })
		}
	}
}

// done reports whether there is nothing more to say of an input.
func (t *tracker) done() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	state, _ := t.state(t.reported)
	return t.stopped && len(t.Pending) == 0 && state == t.reportedState
}

// snapshot is what is known now.
func (t *tracker) snapshot() memory {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.memory
	m.Pending = slices.Clone(m.Pending)
	if m.Open != nil {
		open := *m.Open
		m.Open = &open
	}
	return m
}

// saveWhenDue saves what is known once a minute, and after a gap has changed.
func (t *tracker) saveWhenDue(now time.Time) {
	t.mu.Lock()
	due := !t.stopped && !now.Before(t.saveAt)
	if due {
		t.saveAt = now.Add(reportEvery)
	}
	t.mu.Unlock()
	if due {
		t.save()
	}
}

// save keeps what is known beside the cursor. What cannot be saved is saved
// later; until then a restart knows of an earlier time, and its gap is longer.
func (t *tracker) save() {
	t.saving.Lock()
	defer t.saving.Unlock()
	t.mu.Lock()
	if t.stopped {
		t.mu.Unlock()
		return
	}
	t.Time = t.health.now().UTC()
	t.mu.Unlock()
	data, err := json.Marshal(t.snapshot())
	if err == nil {
		err = t.store.Save(t.key(), data)
	}
	if err != nil {
		t.log.Warn("what is known of the input's health cannot be saved", slog.Any("error", err))
	}
}
