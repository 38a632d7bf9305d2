package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"stepdown/ingest/stream"
	"stepdown/ingest/stream/embedded"
	"stepdown/ingest/stream/streamtest"
)

// eventually fails the test if condition does not come true.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// keyed returns n records for topic with keys key-0 to key-(keys-1) in turn and
// values value-<from> and on.
func keyed(topic string, from, n, keys int) []stream.Message {
	messages := make([]stream.Message, n)
	for i := range messages {
		messages[i] = stream.Message{
			Topic: topic,
			Key:   fmt.Appendf(nil, "key-%d", (from+i)%keys),
			Value: fmt.Appendf(nil, "value-%d", from+i),
		}
	}
	return messages
}

func publish(t *testing.T, client *stream.Client, messages ...stream.Message) {
	t.Helper()
	if err := client.Publish(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
}

// read returns all records of a topic.
func read(t *testing.T, client *stream.Client, topic string) []stream.Message {
	t.Helper()
	var messages []stream.Message
	err := client.Scan(t.Context(), topic, stream.Span{}, func(m stream.Message) error {
		messages = append(messages, m)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

func TestPublishPutsKeysWhereJavaDoes(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	want := keyed(topic, 0, 1000, 37)
	want[0].Headers = []stream.Header{{Key: "one", Value: []byte("1")}, {Key: "two", Value: []byte{}}}
	publish(t, client, want...)

	byKey := make(map[string][]string)
	for _, m := range want {
		byKey[string(m.Key)] = append(byKey[string(m.Key)], string(m.Value))
	}
	got := make(map[string][]string)
	for _, m := range read(t, client, topic) {
		got[string(m.Key)] = append(got[string(m.Key)], string(m.Value))
		if want := stream.PartitionOf(m.Key, client.Partitions()); m.Partition != want {
			t.Errorf("key %s is in partition %d, want %d", m.Key, m.Partition, want)
		}
		if age := time.Since(m.Time); age < -time.Minute || age > time.Minute {
			t.Errorf("record was written at %s", m.Time)
		}
		if string(m.Value) == "value-0" && (len(m.Headers) != 2 || m.Headers[0].Key != "one" || string(m.Headers[0].Value) != "1") {
			t.Errorf("headers are %v", m.Headers)
		}
	}
	for key := range byKey {
		if !slices.Equal(got[key], byKey[key]) {
			t.Errorf("key %s has %v, want %v", key, got[key], byKey[key])
		}
	}
}

func TestPublishTo(t *testing.T) {
	client := streamtest.Start(t)
	key := []byte("anna@example.com")
	right := stream.PartitionOf(key, client.Partitions())
	for _, topic := range []string{client.Topics().Alerts, client.Topics().State} {
		message := []stream.Message{{Topic: topic, Key: key, Value: []byte("x")}}
		if err := client.PublishTo(t.Context(), right, message); err != nil {
			t.Fatal(err)
		}
		wrong := (right + 1) % client.Partitions()
		if err := client.PublishTo(t.Context(), wrong, message); !errors.Is(err, stream.ErrLayout) {
			t.Errorf("publish to partition %d gave %v, want ErrLayout", wrong, err)
		}
		if err := client.PublishTo(t.Context(), 99, message); !errors.Is(err, stream.ErrLayout) {
			t.Errorf("publish to partition 99 gave %v, want ErrLayout", err)
		}
		if got := read(t, client, topic); len(got) != 1 || got[0].Partition != right {
			t.Errorf("%s has %v, want one record in partition %d", topic, got, right)
		}
	}
}

func TestPublishRefusesOnlyTheLargeRecord(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	messages := keyed(topic, 0, 3, 3)
	messages[1].Value = make([]byte, 2<<20)

	err := client.Publish(t.Context(), messages)
	var large *stream.TooLargeError
	if !errors.Is(err, stream.ErrTooLarge) || !errors.As(err, &large) {
		t.Fatalf("got %v, want a TooLargeError", err)
	}
	if !slices.Equal(large.Indexes, []int{1}) || large.Topic != topic || large.Size < 2<<20 {
		t.Fatalf("got %+v", large)
	}
	if got := read(t, client, topic); len(got) != 0 {
		t.Fatalf("%d records were written", len(got))
	}
	publish(t, client, slices.Delete(messages, 1, 2)...)
	if got := read(t, client, topic); len(got) != 2 {
		t.Fatalf("%d records were written, want 2", len(got))
	}
}

func TestPublishSplitsManyBytes(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	// Bytes that do not compress, so that no batch may exceed the broker's limit.
	noise := make([]byte, 300_000)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	var messages []stream.Message
	for i := range 20 {
		messages = append(messages, stream.Message{Topic: topic, Key: []byte("one"), Value: append(fmt.Appendf(nil, "%02d", i), noise...)})
	}
	publish(t, client, messages...)
	got := read(t, client, topic)
	if len(got) != len(messages) {
		t.Fatalf("got %d records, want %d", len(got), len(messages))
	}
	for i, m := range got {
		if !bytes.Equal(m.Value, messages[i].Value) {
			t.Fatalf("record %d differs", i)
		}
	}
}

func TestPublishNamesAMissingTopic(t *testing.T) {
	config := streamtest.Config(t)
	config.PublishTimeout = time.Second
	client := streamtest.Client(t, config)
	err := client.Publish(t.Context(), keyed(config.Topics.Events, 0, 1, 1))
	if !errors.Is(err, stream.ErrNoTopic) || !strings.Contains(err.Error(), config.Topics.Events) {
		t.Fatalf("got %v, want ErrNoTopic with the name", err)
	}
}

func TestPublishEndsWithItsContext(t *testing.T) {
	config := streamtest.Config(t)
	config.Brokers = []string{"127.0.0.1:1"}
	client := streamtest.Client(t, config)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- client.Publish(ctx, keyed(config.Topics.Events, 0, 1, 1)) }()
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want the context's error", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("did not return")
	}
}

// onlyEmbedded skips a test that has to stop the broker.
func onlyEmbedded(t *testing.T) {
	if os.Getenv(streamtest.BrokersEnv) != "" {
		t.Skip("the test stops the broker, which a shared one does not allow")
	}
}

// restartable returns a client with topics, and a function that restarts its
// broker on the same port and data.
func restartable(t *testing.T) (*stream.Client, func(between func())) {
	t.Helper()
	onlyEmbedded(t)
	home := embedded.Config{DataDir: t.TempDir()}
	broker := streamtest.Broker(t, home)
	home.Port = broker.Port()
	config := streamtest.Config(t)
	config.Brokers = []string{broker.Addr()}
	client := streamtest.Client(t, config)
	if _, err := client.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	return client, func(between func()) {
		t.Helper()
		if err := broker.Close(); err != nil {
			t.Fatal(err)
		}
		between()
		broker = streamtest.Broker(t, home)
	}
}

func TestFirstPublishAfterABrokerRestartWorks(t *testing.T) {
	client, restart := restartable(t)
	topic := client.Topics().Events
	publish(t, client, keyed(topic, 0, 10, 3)...)
	restart(func() {})
	publish(t, client, keyed(topic, 10, 10, 3)...)

	// A publish that begins while the broker is away waits for it.
	done := make(chan error, 1)
	restart(func() {
		go func() { done <- client.Publish(t.Context(), keyed(topic, 20, 10, 3)) }()
	})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	values := make(map[string]bool)
	for _, m := range read(t, client, topic) {
		values[string(m.Value)] = true
	}
	if len(values) != 30 {
		t.Fatalf("%d of 30 records are there", len(values))
	}
}

func TestTopicsPlanApplyCheck(t *testing.T) {
	config := streamtest.Config(t)
	client := streamtest.Client(t, config)

	var layout *stream.LayoutError
	if err := client.Check(t.Context()); !errors.As(err, &layout) || !errors.Is(err, stream.ErrLayout) || len(layout.Differences) != 7 {
		t.Fatalf("check gave %v, want seven missing topics", err)
	}
	applied, err := client.Apply(t.Context())
	if err != nil || len(applied) != 7 {
		t.Fatalf("apply gave %v, %v", applied, err)
	}
	if plan, err := client.Plan(t.Context()); err != nil || len(plan) != 0 {
		t.Fatalf("plan after apply gave %v, %v", plan, err)
	}
	if err := client.Check(t.Context()); err != nil {
		t.Fatal(err)
	}

	// Another retention is a difference that does not stop anyone.
	drifted := config
	drifted.Retention.Alerts = 3 * 24 * time.Hour
	other := streamtest.Client(t, drifted)
	plan, err := other.Plan(t.Context())
	if err != nil || len(plan) != 1 || plan[0].Problem != stream.WrongRetention || plan[0].Blocking ||
		plan[0].Want != "259200000 ms" || plan[0].Topic != config.Topics.Alerts {
		t.Fatalf("plan gave %v, %v", plan, err)
	}
	if err := other.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if applied, err := other.Apply(t.Context()); err != nil || len(applied) != 1 {
		t.Fatalf("apply gave %v, %v", applied, err)
	}
	if plan, err := other.Plan(t.Context()); err != nil || len(plan) != 0 {
		t.Fatalf("plan after apply gave %v, %v", plan, err)
	}

	// A topic that takes less than a record may have would stop whoever has one.
	larger := drifted
	larger.MaxMessageBytes = 3 << 20
	other = streamtest.Client(t, larger)
	if err := other.Check(t.Context()); !errors.As(err, &layout) || len(layout.Differences) != 7 || layout.Differences[0].Problem != stream.SmallLimit {
		t.Fatalf("check gave %v, want five small limits", err)
	}
	if applied, err := other.Apply(t.Context()); err != nil || len(applied) != 7 {
		t.Fatalf("apply gave %v, %v", applied, err)
	}
	noise := make([]byte, 3<<20-100)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	publish(t, other, stream.Message{Topic: config.Topics.Events, Key: []byte("key-0"), Value: noise})

	// A state topic that is not compacted loses state.
	swapped := config
	swapped.Topics.State, swapped.Topics.Events = config.Topics.Events, config.Topics.State
	other = streamtest.Client(t, swapped)
	if err := other.Check(t.Context()); !errors.As(err, &layout) || len(layout.Differences) != 2 || layout.Differences[0].Problem != stream.WrongCleanup {
		t.Fatalf("check gave %v, want wrong cleanup policies", err)
	}

	// Another partition count is refused everywhere and mended nowhere.
	resized := config
	resized.Partitions++
	other = streamtest.Client(t, resized)
	if _, err := other.Apply(t.Context()); !errors.As(err, &layout) || len(layout.Differences) != 3 || layout.Differences[0].Problem != stream.WrongPartitions {
		t.Fatalf("apply gave %v, want wrong partition counts", err)
	}
	if err := other.Check(t.Context()); !errors.Is(err, stream.ErrLayout) {
		t.Fatalf("check gave %v", err)
	}
	if err := other.Publish(t.Context(), keyed(config.Topics.Events, 0, 1, 1)); !errors.Is(err, stream.ErrLayout) {
		t.Fatalf("publish gave %v", err)
	}
}

// compacted is how few records of 2000 are left by a compaction.
const compacted = 500

// compactable returns a client with topics, and a function that compacts the
// state topic, or waits until the brokers have.
func compactable(t *testing.T) (*stream.Client, func()) {
	t.Helper()
	config := streamtest.Config(t)
	shared := os.Getenv(streamtest.BrokersEnv) != ""
	var compact func()
	if !shared {
		broker := streamtest.Broker(t, embedded.Config{DataDir: t.TempDir()})
		config.Brokers = []string{broker.Addr()}
		compact = broker.Compact
	}
	client := streamtest.Client(t, config)
	if _, err := client.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !shared {
		return client, compact
	}
	topic := config.Topics.State
	// Brokers compact the segments that are no longer written to.
	soon := kafka.IncrementalAlterConfigsRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}
	for name, value := range map[string]string{"segment.ms": "10", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0"} {
		soon.Configs = append(soon.Configs, kafka.IncrementalAlterConfigsRequestConfig{
			Name: name, Value: value, ConfigOperation: kafka.ConfigOperationSet,
		})
	}
	admin := &kafka.Client{Addr: kafka.TCP(config.Brokers...)}
	if response, err := admin.IncrementalAlterConfigs(t.Context(), &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{soon},
	}); err != nil || response.Resources[0].Error != nil {
		t.Fatal(err, response)
	}
	return client, func() {
		t.Helper()
		eventually(t, "a compaction", func() bool { return len(read(t, client, topic)) < compacted })
	}
}

func TestReadToEndAfterCompaction(t *testing.T) {
	client, compact := compactable(t)
	topic := client.Topics().State
	for from := 0; from < 2000; from += 50 {
		publish(t, client, keyed(topic, from, 50, 20)...)
	}
	// Key 19 is deleted, so that some partition ends in a tombstone.
	publish(t, client, stream.Message{Topic: topic, Key: []byte("key-19")})

	restore := func() map[string]string {
		last := make(map[string]string)
		for partition := range client.Partitions() {
			err := client.ReadToEnd(t.Context(), topic, partition, func(m stream.Message) error {
				if m.Value == nil {
					delete(last, string(m.Key))
				} else {
					last[string(m.Key)] = string(m.Value)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return last
	}
	want := make(map[string]string)
	for i := 1980; i < 1999; i++ {
		want[fmt.Sprintf("key-%d", i%20)] = fmt.Sprintf("value-%d", i)
	}
	for _, when := range []string{"before compaction", "after compaction", "after a second compaction"} {
		got := restore()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s: got %v, want %v", when, got, want)
		}
		compact()
	}
	if left := len(read(t, client, topic)); left >= compacted {
		t.Fatalf("%d records are left: nothing was compacted, and so nothing was tested", left)
	}
}

func TestReadToEndStops(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	publish(t, client, keyed(topic, 0, 10, 1)...)
	partition := stream.PartitionOf([]byte("key-0"), client.Partitions())

	seen := 0
	count := func(stream.Message) error {
		if seen++; seen == 3 {
			return stream.ErrStop
		}
		return nil
	}
	if err := client.ReadToEnd(t.Context(), topic, partition, count); err != nil || seen != 3 {
		t.Fatalf("saw %d records, %v", seen, err)
	}
	broken := errors.New("broken")
	if err := client.ReadToEnd(t.Context(), topic, partition, func(stream.Message) error { return broken }); !errors.Is(err, broken) {
		t.Fatalf("got %v, want the function's error", err)
	}
	empty := (partition + 1) % client.Partitions()
	if err := client.ReadToEnd(t.Context(), topic, empty, count); err != nil || seen != 3 {
		t.Fatalf("an empty partition gave %d records, %v", seen-3, err)
	}
	if err := client.ReadToEnd(t.Context(), topic, 99, count); !errors.Is(err, stream.ErrLayout) {
		t.Fatalf("partition 99 gave %v", err)
	}
}

func TestScanSpan(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	publish(t, client, keyed(topic, 0, 20, 7)...)
	middle := time.Now().Add(2 * time.Millisecond).Truncate(time.Millisecond)
	eventually(t, "the clock", func() bool { return time.Now().After(middle) })
	publish(t, client, keyed(topic, 20, 10, 7)...)

	for _, row := range []struct {
		name string
		span stream.Span
		want int
	}{
		{"all", stream.Span{}, 30},
		{"since", stream.Span{Since: middle}, 10},
		{"until", stream.Span{Until: middle}, 20},
		{"since the future", stream.Span{Since: time.Now().Add(time.Hour)}, 0},
		{"until before the beginning", stream.Span{Until: time.Now().Add(-time.Hour)}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := 0
			err := client.Scan(t.Context(), topic, row.span, func(stream.Message) error { got++; return nil })
			if err != nil || got != row.want {
				t.Fatalf("got %d records, %v; want %d", got, err, row.want)
			}
		})
	}
}

func TestDeadLetters(t *testing.T) {
	client := streamtest.Start(t)
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	large := bytes.Repeat(binary, 3<<20/256+1)
	letters := []stream.DeadLetter{
		{Source: "okta", Tenant: "example", Stream: "system_log", Reason: "malformed", Error: "unexpected end of JSON", Origin: "page 3", Raw: binary},
		{Source: "entra", Reason: "too_large", Raw: large},
		{Source: "okta", Reason: "no_identity", Raw: nil},
	}
	if err := client.PublishDeadLetters(t.Context(), letters); err != nil {
		t.Fatal(err)
	}

	listed, err := client.ListDeadLetters(t.Context(), stream.DeadLetterFilter{})
	if err != nil || len(listed) != 3 {
		t.Fatalf("listed %d letters, %v", len(listed), err)
	}
	bySize := make(map[int]stream.DeadLetter)
	for _, letter := range listed {
		if letter.Raw != nil {
			t.Errorf("letter %s is listed with its %d bytes", letter.ID, len(letter.Raw))
		}
		bySize[letter.Size] = letter
	}
	for _, want := range letters {
		listed := bySize[len(want.Raw)]
		got, err := client.GetDeadLetter(t.Context(), listed.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Raw, want.Raw) {
			t.Errorf("letter %s came back with other bytes: %d, want %d", got.ID, len(got.Raw), len(want.Raw))
		}
		if got.Source != want.Source || got.Tenant != want.Tenant || got.Stream != want.Stream || got.Reason != want.Reason ||
			got.Error != want.Error || got.Origin != want.Origin || got.Time.IsZero() {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}

	for _, row := range []struct {
		name   string
		filter stream.DeadLetterFilter
		want   int
	}{
		{"source", stream.DeadLetterFilter{Source: "okta"}, 2},
		{"reason", stream.DeadLetterFilter{Reason: "too_large"}, 1},
		{"both", stream.DeadLetterFilter{Source: "okta", Reason: "too_large"}, 0},
		{"limit", stream.DeadLetterFilter{Limit: 2}, 2},
		{"since", stream.DeadLetterFilter{Since: time.Now().Add(time.Hour)}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := client.ListDeadLetters(t.Context(), row.filter)
			if err != nil || len(got) != row.want {
				t.Fatalf("listed %d letters, %v; want %d", len(got), err, row.want)
			}
		})
	}

	retried := bySize[len(large)].ID
	if err := client.MarkRetried(t.Context(), []string{retried}); err != nil {
		t.Fatal(err)
	}
	listed, err = client.ListDeadLetters(t.Context(), stream.DeadLetterFilter{})
	if err != nil || len(listed) != 2 {
		t.Fatalf("listed %d letters after a retry, %v", len(listed), err)
	}
	listed, err = client.ListDeadLetters(t.Context(), stream.DeadLetterFilter{WithRetried: true, Source: "entra"})
	if err != nil || len(listed) != 1 || listed[0].Retried.IsZero() {
		t.Fatalf("listed %v with retried ones, %v", listed, err)
	}

	for _, id := range []string{"", "x", "1", "0-999999", "0-x", "-1-0", "99-0"} {
		if _, err := client.GetDeadLetter(t.Context(), id); err == nil {
			t.Errorf("letter %q was found", id)
		}
	}
}

func TestDeadLettersBesideEachOther(t *testing.T) {
	client := streamtest.Start(t)
	var wait sync.WaitGroup
	for writer := range 4 {
		wait.Go(func() {
			raw := bytes.Repeat([]byte{byte('a' + writer)}, 2_500_000+writer)
			if err := client.PublishDeadLetters(t.Context(), []stream.DeadLetter{{Source: "okta", Raw: raw}, {Source: "duo", Raw: raw}}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	listed, err := client.ListDeadLetters(t.Context(), stream.DeadLetterFilter{})
	if err != nil || len(listed) != 8 {
		t.Fatalf("listed %d letters, %v", len(listed), err)
	}
	for _, letter := range listed {
		got, err := client.GetDeadLetter(t.Context(), letter.ID)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Raw) != letter.Size || bytes.Count(got.Raw, got.Raw[:1]) != letter.Size {
			t.Errorf("letter %s has mixed bytes", letter.ID)
		}
	}
}
