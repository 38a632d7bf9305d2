package stream_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest/stream"
	"stepdown/ingest/stream/streamtest"
)

// journal records what the members of a group did.
type journal struct {
	mutex sync.Mutex
	// handled are the offsets whose Handle returned nil, per partition, in
	// order; each names its member.
	handled map[int][]int64
	values  map[string]int
	opened  map[string]int
	closed  map[string]int
	idle    int
	// busy counts concurrent calls per partition.
	busy map[int]int
	// fault, if set, decides about a batch before it counts as handled.
	fault func(member string, batch []stream.Message) error
	wrong []string
}

func newJournal() *journal {
	return &journal{
		handled: make(map[int][]int64), values: make(map[string]int),
		opened: make(map[string]int), closed: make(map[string]int), busy: make(map[int]int),
	}
}

func (j *journal) total() int {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	return len(j.values)
}

func (j *journal) do(fn func()) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	fn()
}

func (j *journal) open(member string) func(context.Context, stream.Assignment) (stream.Partition, error) {
	return func(_ context.Context, a stream.Assignment) (stream.Partition, error) {
		j.mutex.Lock()
		defer j.mutex.Unlock()
		j.opened[member]++
		return &recorder{journal: j, member: member, partition: a.Partition, next: -1}, nil
	}
}

// recorder is a Partition that checks the promises of Group.
type recorder struct {
	*journal
	member    string
	partition int
	next      int64
	isClosed  bool
}

func (r *recorder) Handle(_ context.Context, batch []stream.Message) error {
	r.mutex.Lock()
	r.busy[r.partition]++
	if r.busy[r.partition] > 1 {
		r.wrong = append(r.wrong, fmt.Sprintf("partition %d has two handlers at once", r.partition))
	}
	if r.isClosed {
		r.wrong = append(r.wrong, fmt.Sprintf("partition %d is handled after Close", r.partition))
	}
	fault := r.fault
	r.mutex.Unlock()

	var err error
	if fault != nil {
		err = fault(r.member, batch)
	}

	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.busy[r.partition]--
	if err != nil {
		return err
	}
	for _, m := range batch {
		if m.Partition != r.partition {
			r.wrong = append(r.wrong, fmt.Sprintf("partition %d was given a record of %d", r.partition, m.Partition))
		}
		if r.next >= 0 && m.Offset < r.next {
			r.wrong = append(r.wrong, fmt.Sprintf("partition %d went from %d to %d", r.partition, r.next, m.Offset))
		}
		r.next = m.Offset + 1
		r.handled[r.partition] = append(r.handled[r.partition], m.Offset)
		r.values[string(m.Value)]++
	}
	return nil
}

func (r *recorder) Idle(context.Context, time.Duration) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.idle++
	return nil
}

func (r *recorder) Close() error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.isClosed = true
	r.closed[r.member]++
	return nil
}

func (j *journal) check(t *testing.T) {
	t.Helper()
	j.do(func() {
		for _, wrong := range j.wrong {
			t.Error(wrong)
		}
		if fmt.Sprint(j.opened) != fmt.Sprint(j.closed) {
			t.Errorf("opened %v, closed %v", j.opened, j.closed)
		}
	})
}

// start runs a member; the function it returns stops it and waits.
func start(t *testing.T, client *stream.Client, config stream.GroupConfig, open func(context.Context, stream.Assignment) (stream.Partition, error)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- client.Group(config).Run(ctx, open) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("run: %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Error("run did not end")
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func TestGroupHandlesAndResumes(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	config := stream.GroupConfig{ID: topic + ".group", Topic: topic, MaxBatch: 7}
	publish(t, client, keyed(topic, 0, 100, 11)...)

	first := newJournal()
	first.fault = func(_ string, batch []stream.Message) error {
		if len(batch) > 7 {
			t.Errorf("a batch has %d records, want at most 7", len(batch))
		}
		return nil
	}
	stop := start(t, client, config, first.open("a"))
	eventually(t, "100 records", func() bool { return first.total() == 100 })
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("leaving took %s", took)
	}
	first.check(t)

	publish(t, client, keyed(topic, 100, 50, 11)...)
	second := newJournal()
	begin = time.Now()
	stop = start(t, client, config, second.open("b"))
	eventually(t, "50 records", func() bool { return second.total() >= 50 })
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("a member that left was waited for: %s", took)
	}
	stop()
	second.check(t)
	for value, n := range second.values {
		if n != 1 || first.values[value] != 0 {
			t.Errorf("%s was handled again after its commit", value)
		}
	}
}

func TestGroupBoundsTheBytesOfABatch(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	messages := keyed(topic, 0, 30, 1)
	for i := range messages {
		messages[i].Value = append(messages[i].Value, make([]byte, 10_000)...)
	}
	// One record alone is larger than a batch may be.
	messages[10].Value = append(messages[10].Value, make([]byte, 100_000)...)
	publish(t, client, messages...)
	j := newJournal()
	j.fault = func(_ string, batch []stream.Message) error {
		bytes := 0
		for _, m := range batch {
			bytes += len(m.Value)
		}
		if len(batch) > 1 && bytes > 50_000 {
			t.Errorf("a batch of %d records has %d bytes", len(batch), bytes)
		}
		return nil
	}
	stop := start(t, client, stream.GroupConfig{ID: topic + ".group", Topic: topic, MaxBytes: 50_000}, j.open("a"))
	eventually(t, "30 records", func() bool { return j.total() == 30 })
	stop()
	j.check(t)
}

func TestGroupHandlerErrorIsRedelivered(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	config := stream.GroupConfig{ID: topic + ".group", Topic: topic, MaxBatch: 5, RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond}
	publish(t, client, keyed(topic, 0, 200, 23)...)

	j := newJournal()
	refused, healthy := 0, false
	j.fault = func(_ string, batch []stream.Message) error {
		j.mutex.Lock()
		defer j.mutex.Unlock()
		if healthy || !slices.ContainsFunc(batch, func(m stream.Message) bool { return string(m.Key) == "key-0" }) {
			return nil
		}
		refused++
		return errors.New("not now")
	}
	stop := start(t, client, config, j.open("a"))
	// The other partitions go on while one of them fails.
	broken := stream.PartitionOf([]byte("key-0"), client.Partitions())
	others := 0
	for i := range 200 {
		if stream.PartitionOf(fmt.Appendf(nil, "key-%d", i%23), client.Partitions()) != broken {
			others++
		}
	}
	eventually(t, "records of the other partitions and five refusals", func() bool {
		n := 0
		j.do(func() {
			for partition, offsets := range j.handled {
				if partition != broken {
					n += len(offsets)
				}
			}
		})
		return n == others && func() (enough bool) { j.do(func() { enough = refused >= 5 }); return }()
	})
	stop()

	// Nothing of the refused batch was committed.
	again := newJournal()
	stop = start(t, client, config, again.open("b"))
	want := 0
	j.do(func() { want = 200 - len(j.values) })
	eventually(t, "the refused records", func() bool { return again.total() >= want })
	stop()
	for value := range again.values {
		if j.values[value] != 0 {
			t.Errorf("%s was committed and came again", value)
		}
	}
	if n := len(again.values) + len(j.values); n != 200 {
		t.Errorf("%d of 200 records were handled", n)
	}
	j.check(t)
	again.check(t)
}

func TestGroupOpenErrorIsRetried(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	publish(t, client, keyed(topic, 0, 20, 5)...)
	j := newJournal()
	failures := 0
	stop := start(t, client, stream.GroupConfig{ID: topic + ".group", Topic: topic, RetryMin: time.Millisecond},
		func(ctx context.Context, a stream.Assignment) (stream.Partition, error) {
			var err error
			j.do(func() {
				if failures++; failures <= 6 {
					err = errors.New("state is away")
				}
			})
			if err != nil {
				return nil, err
			}
			return j.open("a")(ctx, a)
		})
	eventually(t, "20 records", func() bool { return j.total() == 20 })
	stop()
	j.check(t)
}

func TestGroupIdle(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	quiet := make(chan time.Duration, 1000)
	j := newJournal()
	stop := start(t, client, stream.GroupConfig{ID: topic + ".group", Topic: topic, IdleAfter: 50 * time.Millisecond},
		func(ctx context.Context, a stream.Assignment) (stream.Partition, error) {
			p, err := j.open("a")(ctx, a)
			return idler{p, quiet}, err
		})
	for range 2 * client.Partitions() {
		select {
		case d := <-quiet:
			if d < 50*time.Millisecond || d > 10*time.Second {
				t.Errorf("idle after %s", d)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("not idle")
		}
	}
	publish(t, client, keyed(topic, 0, 20, 5)...)
	eventually(t, "20 records", func() bool { return j.total() == 20 })
	stop()
	j.check(t)
}

type idler struct {
	stream.Partition
	quiet chan<- time.Duration
}

func (i idler) Idle(_ context.Context, quiet time.Duration) error {
	i.quiet <- quiet
	return nil
}

func TestGroupFromEnd(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	publish(t, client, keyed(topic, 0, 20, 5)...)
	j := newJournal()
	config := stream.GroupConfig{ID: topic + ".group", Topic: topic, FromEnd: true, RetryMin: time.Millisecond, RetryMax: time.Millisecond, IdleAfter: 10 * time.Millisecond}
	// The first batches fail: the start must not move to a later end by that.
	failures := 0
	j.fault = func(string, []stream.Message) error {
		j.mutex.Lock()
		defer j.mutex.Unlock()
		if failures++; failures < 10 {
			return errors.New("not now")
		}
		return nil
	}
	stop := start(t, client, config, j.open("a"))
	eventually(t, "idle partitions", func() (idle bool) { j.do(func() { idle = j.idle >= 10*client.Partitions() }); return })
	publish(t, client, keyed(topic, 20, 20, 5)...)
	eventually(t, "20 records", func() bool { return j.total() == 20 })
	stop()
	j.check(t)
	for i := range 20 {
		if value := fmt.Sprintf("value-%d", i); j.values[value] != 0 {
			t.Errorf("%s was there before the group and was handled", value)
		}
	}
}

func TestGroupRebalance(t *testing.T) {
	config := streamtest.Config(t)
	client := streamtest.Client(t, config)
	if _, err := client.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic := config.Topics.Events
	group := stream.GroupConfig{ID: topic + ".group", Topic: topic, MaxBatch: 10}
	j := newJournal()

	stopping := make(chan struct{})
	var producer sync.WaitGroup
	published := 0
	producer.Go(func() {
		for {
			select {
			case <-stopping:
				return
			default:
			}
			if err := client.Publish(context.Background(), keyed(topic, published, 20, 31)); err != nil {
				t.Error(err)
				return
			}
			published += 20
			time.Sleep(2 * time.Millisecond)
		}
	})

	stopA := start(t, client, group, j.open("a"))
	eventually(t, "a to own all", func() (all bool) { j.do(func() { all = j.opened["a"] == client.Partitions() }); return })
	stopB := start(t, streamtest.Client(t, config), group, j.open("b"))
	half := client.Partitions() / 2
	eventually(t, "b to own half", func() (owns bool) { j.do(func() { owns = j.opened["b"] == half }); return })
	j.do(func() {
		if j.opened["a"] != client.Partitions() {
			t.Errorf("a opened %d times: what stayed was opened again", j.opened["a"])
		}
	})
	stopA()
	eventually(t, "b to own all", func() (owns bool) { j.do(func() { owns = j.opened["b"] == client.Partitions() }); return })
	close(stopping)
	producer.Wait()
	eventually(t, "all records", func() bool { return j.total() == published })
	stopB()
	j.check(t)

	repeated := 0
	for _, n := range j.values {
		repeated += n - 1
	}
	// Both members left and joined in order, so nothing is delivered twice.
	if repeated != 0 {
		t.Errorf("%d of %d records were handled twice without a crash", repeated, published)
	}
}

// lease is a partition of a group that opens anew.
type lease struct {
	mutex *sync.Mutex
	held  map[int]string
	t     *testing.T
	by    string
	n     int
}

func (l *lease) Handle(context.Context, []stream.Message) error { return nil }
func (l *lease) Idle(context.Context, time.Duration) error      { return nil }

func (l *lease) Close() error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.held[l.n] != l.by {
		l.t.Errorf("%s closes partition %d, which %q holds", l.by, l.n, l.held[l.n])
	}
	delete(l.held, l.n)
	return nil
}

func TestGroupThatReopensIsALease(t *testing.T) {
	config := streamtest.Config(t)
	client := streamtest.Client(t, config)
	if _, err := client.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic := config.Topics.Cursors
	n, err := client.PartitionsOf(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var mutex sync.Mutex
	held, opened := map[int]string{}, map[string]int{}
	open := func(by string) func(context.Context, stream.Assignment) (stream.Partition, error) {
		return func(_ context.Context, a stream.Assignment) (stream.Partition, error) {
			mutex.Lock()
			defer mutex.Unlock()
			if other := held[a.Partition]; other != "" {
				t.Errorf("partition %d is given to %s while %s holds it", a.Partition, by, other)
			}
			held[a.Partition] = by
			opened[by]++
			return &lease{&mutex, held, t, by, a.Partition}, nil
		}
	}
	all := func(want ...string) func() bool {
		return func() bool {
			mutex.Lock()
			defer mutex.Unlock()
			by := map[string]bool{}
			for _, m := range held {
				by[m] = true
			}
			return len(held) == n && len(by) == len(want) && !slices.ContainsFunc(want, func(m string) bool { return !by[m] })
		}
	}
	group := stream.GroupConfig{ID: topic + ".group", Topic: topic, Reopen: true}
	stopA := start(t, client, group, open("a"))
	eventually(t, "a to hold all", all("a"))
	stopB := start(t, streamtest.Client(t, config), group, open("b"))
	eventually(t, "a and b to share", all("a", "b"))
	mutex.Lock()
	if opened["a"] <= n {
		t.Errorf("a opened %d partitions: what stayed was not opened anew", opened["a"])
	}
	mutex.Unlock()
	stopC := start(t, streamtest.Client(t, config), group, open("c"))
	eventually(t, "three to share", all("a", "b", "c"))
	stopA()
	eventually(t, "b and c to share", all("b", "c"))
	stopB()
	eventually(t, "c to hold all", all("c"))
	stopC()
	if len(held) > 0 {
		t.Errorf("held after the end: %v", held)
	}
}

func TestGroupTellsAMemberWithoutPartitions(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	j := newJournal()
	spare := make(chan struct{}, 100)
	config := stream.GroupConfig{ID: topic + ".group", Topic: topic, Spare: func() { spare <- struct{}{} }}
	for i := range streamtest.Partitions {
		start(t, client, config, j.open(fmt.Sprint(i)))
	}
	start(t, client, config, j.open("one too many"))
	select {
	case <-spare:
	case <-time.After(time.Minute):
		t.Error("nobody is told to be spare")
	}
}

func TestGroupSurvivesBrokerRestart(t *testing.T) {
	client, restart := restartable(t)
	topic := client.Topics().Events
	j := newJournal()
	stop := start(t, client, stream.GroupConfig{ID: topic + ".group", Topic: topic}, j.open("a"))
	publish(t, client, keyed(topic, 0, 100, 11)...)
	eventually(t, "100 records", func() bool { return j.total() == 100 })
	for round := range 3 {
		restart(func() {})
		publish(t, client, keyed(topic, 100*(round+1), 100, 11)...)
		eventually(t, "records after the restart", func() bool { return j.total() == 100*(round+2) })
	}
	stop()
	j.check(t)
}

func TestGroupFinishesTheBatchInHand(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	config := stream.GroupConfig{ID: topic + ".group", Topic: topic, MaxBatch: 10}
	publish(t, client, keyed(topic, 0, 10, 1)...)

	j := newJournal()
	entered, leave := make(chan struct{}), make(chan struct{})
	j.fault = func(string, []stream.Message) error {
		close(entered)
		<-leave
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- client.Group(config).Run(ctx, j.open("a")) }()
	<-entered
	cancel()
	select {
	case err := <-done:
		t.Fatalf("run ended with a batch in hand: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	close(leave)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	j.check(t)

	publish(t, client, keyed(topic, 10, 1, 1)...)
	again := newJournal()
	stop := start(t, client, config, again.open("b"))
	eventually(t, "one record", func() bool { return again.total() > 0 })
	stop()
	if again.values["value-10"] != 1 || len(again.values) != 1 {
		t.Errorf("got %v: the batch in hand was not committed", again.values)
	}
}

func TestGroupCancelsAHandlerThatDoesNotEnd(t *testing.T) {
	config := streamtest.Config(t)
	config.SessionTimeout = 6 * time.Second
	client := streamtest.Client(t, config)
	if _, err := client.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic := config.Topics.Events
	publish(t, client, keyed(topic, 0, 1, 1)...)
	entered := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- client.Group(stream.GroupConfig{ID: topic + ".group", Topic: topic}).Run(ctx,
			func(context.Context, stream.Assignment) (stream.Partition, error) { return hanging(entered), nil })
	}()
	<-entered
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(15 * time.Second):
		t.Fatal("run did not end")
	}
}

type hanging chan struct{}

func (h hanging) Handle(ctx context.Context, _ []stream.Message) error {
	close(h)
	<-ctx.Done()
	return ctx.Err()
}
func (hanging) Idle(context.Context, time.Duration) error { return nil }
func (hanging) Close() error                              { return nil }

func TestGroupOfAMissingTopic(t *testing.T) {
	config := streamtest.Config(t)
	config.RequestTimeout = time.Second
	client := streamtest.Client(t, config)
	err := client.Group(stream.GroupConfig{ID: "group", Topic: config.Topics.Events}).Run(t.Context(), newJournal().open("a"))
	if !errors.Is(err, stream.ErrNoTopic) {
		t.Fatalf("run gave %v, want ErrNoTopic", err)
	}
}

// Everything goes wrong at once: the broker restarts, handlers fail, members
// come and go. Every record is handled, and each member's view stays in order.
func TestGroupLosesNothingUnderTrouble(t *testing.T) {
	client, restart := restartable(t)
	topic := client.Topics().Events
	config := stream.GroupConfig{ID: topic + ".group", Topic: topic, MaxBatch: 10, RetryMin: time.Millisecond, RetryMax: 10 * time.Millisecond}
	j := newJournal()
	batches := 0
	j.fault = func(string, []stream.Message) error {
		j.mutex.Lock()
		defer j.mutex.Unlock()
		if batches++; batches%7 == 0 {
			return errors.New("not now")
		}
		return nil
	}

	stopping := make(chan struct{})
	var producer sync.WaitGroup
	published := 0
	producer.Go(func() {
		for {
			select {
			case <-stopping:
				return
			case <-time.After(time.Millisecond):
			}
			if err := client.Publish(context.Background(), keyed(topic, published, 10, 31)); err != nil {
				t.Error(err)
				return
			}
			published += 10
		}
	})
	progress := func(n int) {
		t.Helper()
		from := j.total()
		eventually(t, "progress", func() bool { return j.total() >= from+n })
	}
	stopA := start(t, client, config, j.open("a"))
	for range 3 {
		progress(100)
		restart(func() {})
		progress(100)
		stopB := start(t, client, config, j.open("b"))
		progress(100)
		stopB()
	}
	close(stopping)
	producer.Wait()
	eventually(t, "all records", func() bool { return j.total() == published })
	stopA()
	j.check(t)
}

func TestGroupMetrics(t *testing.T) {
	config := streamtest.Config(t)
	registry := prometheus.NewRegistry()
	client, err := stream.New(config, slog.New(slog.DiscardHandler), registry)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	sum := func(name string) (total float64, series int) {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() != name {
				continue
			}
			for _, metric := range family.GetMetric() {
				total += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
				series++
			}
		}
		return total, series
	}
	topic := config.Topics.Events
	publish(t, client, keyed(topic, 0, 100, 31)...)
	j := newJournal()
	stop := start(t, client, stream.GroupConfig{ID: topic + ".group", Topic: topic}, j.open("a"))
	eventually(t, "100 commits", func() bool { n, _ := sum("stepdown_stream_committed_records_total"); return n == 100 })
	for _, row := range []struct {
		name   string
		want   float64
		series int
	}{
		{"stepdown_stream_published_records_total", 100, 1},
		{"stepdown_stream_fetched_records_total", 100, 1},
		{"stepdown_stream_lag_records", 0, client.Partitions()},
		{"stepdown_stream_assigned_partitions", float64(client.Partitions()), 1},
		{"stepdown_stream_rebalances_total", 1, 1},
	} {
		if got, series := sum(row.name); got != row.want || series != row.series {
			t.Errorf("%s is %v in %d series, want %v in %d", row.name, got, series, row.want, row.series)
		}
	}
	if _, series := sum("stepdown_stream_last_fetch_timestamp_seconds"); series != client.Partitions() {
		t.Errorf("last fetch has %d series, want one for each partition", series)
	}
	stop()
	if got, series := sum("stepdown_stream_lag_records"); series != 0 {
		t.Errorf("lag is %v in %d series after leaving", got, series)
	}
}
