package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"stepdown/cmd/internal/config"
	"stepdown/detect"
	"stepdown/detect/alert"
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/identity"
	"stepdown/ingest/simulate"
	"stepdown/ingest/stream"
	"stepdown/ingest/stream/streamtest"
)

// rig is a detector's surroundings: its engine, and a client for it.
type rig struct {
	t       *testing.T
	engine  *detect.Engine
	client  *stream.Client
	metrics *metrics
}

func newRig(t *testing.T) *rig {
	t.Helper()
	cfg := streamtest.Config(t)
	client := streamtest.Client(t, cfg)
	if _, err := client.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	set, err := LoadRules(config.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{
		t: t, client: client,
		engine:  detect.NewEngine(set, detect.DefaultConfig(), prometheus.NewRegistry()),
		metrics: newMetrics(prometheus.NewRegistry(), "test"),
	}
}

func (r *rig) open(partition int) *detector {
	r.t.Helper()
	d, err := openDetector(r.t.Context(), r.client, r.engine, partition, r.metrics, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// handle handles a batch as the next owner of the partition.
func (r *rig) handle(partition int, batch []stream.Message) {
	r.t.Helper()
	if err := r.open(partition).Handle(r.t.Context(), batch); err != nil {
		r.t.Fatal(err)
	}
}

// tear handles a batch as a process that dies behind the alerts, when one of
// every so many ledgers is stored; 0 is none.
func (r *rig) tear(partition int, batch []stream.Message, every int) {
	r.t.Helper()
	ctx := r.t.Context()
	d := r.open(partition)
	if err := d.apply(ctx, batch); err != nil {
		r.t.Fatal(err)
	}
	if err := d.publishAlerts(ctx); err != nil {
		r.t.Fatal(err)
	}
	var some []stream.Message
	n := 0
	for state, err := range d.shard.Dirty() {
		if err != nil {
			r.t.Fatal(err)
		}
		if n++; every > 0 && n%every == 0 {
			some = append(some, stream.Message{Topic: r.client.Topics().State, Key: []byte(state.Key), Value: state.Data})
		}
	}
	if err := d.publish(ctx, some); err != nil {
		r.t.Fatal(err)
	}
}

// said reads what was published for a partition, in order and without the time
// it was sent.
func (r *rig) said(partition int) []alert.Alert {
	r.t.Helper()
	var out []alert.Alert
	err := r.client.ReadToEnd(r.t.Context(), r.client.Topics().Alerts, partition, func(m stream.Message) error {
		var a alert.Alert
		if err := alert.Decode(m.Value, &a); err != nil {
			return err
		}
		a.Emitted = time.Time{}
		out = append(out, a)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// revisions returns every revision of every alert. What was published twice must
// be the same twice.
func (r *rig) revisions(partition int) map[string]alert.Alert {
	r.t.Helper()
	out := map[string]alert.Alert{}
	for _, a := range r.said(partition) {
		name := fmt.Sprintf("%s/%d", a.ID, a.Revision)
		if before, ok := out[name]; ok {
			if diff := cmp.Diff(before, a); diff != "" {
				r.t.Errorf("%s was published as two things (-first +second):\n%s", name, diff)
			}
		}
		out[name] = a
	}
	return out
}

// standing returns the alerts that stand at the end, by any number of revisions.
func (r *rig) standing(partition int) map[alert.ID]alert.Alert {
	r.t.Helper()
	revisions := map[alert.ID]uint64{}
	out := map[alert.ID]alert.Alert{}
	for _, a := range r.said(partition) {
		if a.Revision < revisions[a.ID] {
			continue
		}
		revisions[a.ID], a.Revision = a.Revision, 0
		if out[a.ID] = a; a.State != alert.Open {
			delete(out, a.ID)
		}
	}
	return out
}

// batches are the records of a partition of the events topic for the simulated
// company, as the broker would hand them out.
func batches(t *testing.T, partition, partitions, size int) [][]stream.Message {
	t.Helper()
	cfg := simulate.DefaultConfig()
	cfg.People, cfg.Days = 40, 12
	c, err := simulate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := identity.New(c.Identity(""))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]stream.Message
	offset := int64(0)
	for d := range c.Deliveries() {
		for _, e := range ingest.Normalize([]ingest.Record{d.Record}, Normalizers(), resolver).Events {
			if stream.PartitionOf([]byte(e.Key), partitions) != partition {
				continue
			}
			e.Ingested = d.Record.Observed
			data, err := event.Encode(nil, &e)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(out); n == 0 || len(out[n-1]) == size {
				out = append(out, nil)
			}
			out[len(out)-1] = append(out[len(out)-1], stream.Message{Topic: "events", Partition: partition, Offset: offset,
				Key: []byte(e.Key), Value: data})
			offset++
		}
	}
	if len(out) < 3 {
		t.Fatalf("partition %d has only %d batches", partition, len(out))
	}
	return out
}

// TestCrashAnywhereInABatchGivesTheSameAlerts ends the detector in every batch,
// at each of the points that matter, and lets another one take over from the last
// commit.
func TestCrashAnywhereInABatchGivesTheSameAlerts(t *testing.T) {
	if testing.Short() {
		t.Skip("goes through the simulated company several times")
	}
	for partition := range streamtest.Partitions {
		t.Run(fmt.Sprintf("partition %d", partition), func(t *testing.T) { crashes(t, partition) })
	}
}

func crashes(t *testing.T, partition int) {
	log := batches(t, partition, streamtest.Partitions, 150)
	undisturbed := newRig(t)
	d := undisturbed.open(partition)
	for _, batch := range log {
		if err := d.Handle(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	want := undisturbed.revisions(partition)
	if len(want) == 0 {
		t.Fatal("the undisturbed detector said nothing")
	}

	t.Run("between alerts and ledgers", func(t *testing.T) {
		r := newRig(t)
		for _, batch := range log {
			r.tear(partition, batch, 0)
			r.handle(partition, batch)
		}
		if diff := cmp.Diff(want, r.revisions(partition)); diff != "" {
			t.Errorf("(-undisturbed +crashed):\n%s", diff)
		}
	})
	t.Run("between ledgers and commit", func(t *testing.T) {
		r := newRig(t)
		for _, batch := range log {
			r.handle(partition, batch)
			r.handle(partition, batch)
		}
		if diff := cmp.Diff(want, r.revisions(partition)); diff != "" {
			t.Errorf("(-undisturbed +crashed):\n%s", diff)
		}
	})
	t.Run("with other batches afterwards", func(t *testing.T) {
		r := newRig(t)
		all := slices.Concat(log...)
		for at, size := 0, 1; at < len(all); size = size*2%97 + 1 {
			end := min(at+size, len(all))
			r.tear(partition, all[at:min(end+13, len(all))], 0)
			r.handle(partition, all[at:end])
			at = end
		}
		if diff := cmp.Diff(want, r.revisions(partition)); diff != "" {
			t.Errorf("(-undisturbed +crashed):\n%s", diff)
		}
	})
	// Ledgers that are ahead of others set the clock of all, so what was to settle
	// may be said at once and taken back. What stands is the same.
	t.Run("in the middle of the ledgers", func(t *testing.T) {
		r := newRig(t)
		for n, batch := range log {
			r.tear(partition, batch, 2+n%3)
			r.handle(partition, batch)
		}
		if diff := cmp.Diff(undisturbed.standing(partition), r.standing(partition)); diff != "" {
			t.Errorf("(-undisturbed +crashed):\n%s", diff)
		}
	})
}

func TestUnreadableEventIsSetAsideAndStopsNobody(t *testing.T) {
	r := newRig(t)
	const partition = 1
	batch := batches(t, partition, streamtest.Partitions, 150)[0]
	last := batch[len(batch)-1]
	bad := stream.Message{Topic: "events", Partition: partition, Offset: last.Offset + 1, Key: last.Key, Value: []byte(`{"schema":1,`)}
	d := r.open(partition)
	if err := d.Handle(t.Context(), append(slices.Clip(batch), bad)); err != nil {
		t.Fatal(err)
	}
	letters, err := r.client.ListDeadLetters(t.Context(), stream.DeadLetterFilter{})
	if err != nil {
		t.Fatal(err)
	}
	if len(letters) != 1 || letters[0].Reason != reasonUnreadableEvent || letters[0].Origin != fmt.Sprintf("events/%d/%d", partition, bad.Offset) {
		t.Errorf("got %+v, want one unreadable event with its place", letters)
	}
	letter, err := r.client.GetDeadLetter(t.Context(), letters[0].ID)
	if err != nil || string(letter.Raw) != string(bad.Value) {
		t.Errorf("got %q, %v; want the bytes as they came", letter.Raw, err)
	}
	if got := r.open(partition).shard.Clock(); got.IsZero() {
		t.Error("the ledgers of the batch were not stored")
	}

	// It goes the same way back: unreadable still, so it stays.
	if err := RetryDeadLetter(t.Context(), r.client, nil, nil, letter, time.Now()); err == nil {
		t.Error("an event that cannot be read was sent again")
	}
}

// TestEventOfANewerBuildStopsThePartition keeps what this build cannot judge for
// the one that can.
func TestEventOfANewerBuildStopsThePartition(t *testing.T) {
	r := newRig(t)
	const partition = 1
	d := r.open(partition)
	err := d.Handle(t.Context(), []stream.Message{{Topic: "events", Partition: partition, Offset: 7, Key: []byte("k"), Value: []byte(`{"schema":99}`)}})
	if err == nil {
		t.Fatal("got no error")
	}
	letters, errList := r.client.ListDeadLetters(t.Context(), stream.DeadLetterFilter{})
	if errList != nil || len(letters) != 0 {
		t.Errorf("got %d dead letters, %v; want none", len(letters), errList)
	}
	t.Log(err)
}

func TestReadinessNamesThePartitionThatFails(t *testing.T) {
	h := newHealth(prometheus.NewGauge(prometheus.GaugeOpts{Name: "ready"}))
	g := h.group("detector")
	h.completed()
	want := func(text string) {
		t.Helper()
		got := ""
		if err := h.ready(); err != nil {
			got = err.Error()
		}
		if got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	want("detector: joining its consumer group")
	handle := func(partition int, err error) {
		t.Helper()
		g.joined()
		w := &watched{Partition: failing{err}, number: partition, health: g}
		if got := w.Handle(t.Context(), nil); !errors.Is(got, err) {
			t.Errorf("got %v, want the error of the partition", got)
		}
	}
	away := fmt.Errorf("away")
	handle(3, away)
	handle(2, away)
	handle(4, nil)
	want("detector: 2 partitions not processed, the first is 2: away")
	handle(2, nil)
	want("detector: 1 partitions not processed, the first is 3: away")
	handle(3, nil)
	want("")
	// A generation that ends is no trouble.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	w := &watched{Partition: failing{away}, number: 3, health: g}
	if err := w.Idle(ended, time.Second); !errors.Is(err, away) {
		t.Errorf("got %v, want %v", err, away)
	}
	want("")
}

// failing is a partition whose every call ends with err.
type failing struct{ err error }

func (f failing) Handle(context.Context, []stream.Message) error { return f.err }
func (f failing) Idle(context.Context, time.Duration) error      { return f.err }
func (f failing) Close() error                                   { return nil }
