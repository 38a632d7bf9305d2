package stream_test

import (
	"errors"
	"testing"
	"time"

	"stepdown/ingest/stream"
	"stepdown/ingest/stream/streamtest"
)

func TestLagCountsWhatIsNotCommitted(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	config := stream.GroupConfig{ID: topic + ".group", Topic: topic, MaxBatch: 5, RetryMin: time.Millisecond, RetryMax: 10 * time.Millisecond}
	lag := func() int64 {
		t.Helper()
		n, err := client.Lag(t.Context(), config.ID, topic)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}

	if n := lag(); n != 0 {
		t.Errorf("an empty topic has a lag of %d", n)
	}
	publish(t, client, keyed(topic, 0, 100, 11)...)
	if n := lag(); n != 100 {
		t.Errorf("a group that never was has a lag of %d, want 100", n)
	}

	// One partition fails: its records stay uncommitted, those of the others
	// do not count.
	broken := stream.PartitionOf([]byte("key-0"), client.Partitions())
	inBroken := int64(0)
	for _, m := range keyed(topic, 0, 100, 11) {
		if stream.PartitionOf(m.Key, client.Partitions()) == broken {
			inBroken++
		}
	}
	j := newJournal()
	j.fault = func(_ string, batch []stream.Message) error {
		if batch[0].Partition == broken {
			return errors.New("not now")
		}
		return nil
	}
	stop := start(t, client, config, j.open("a"))
	eventually(t, "only the broken partition to lag", func() bool { return lag() == inBroken })
	stop()
	if n := lag(); n != inBroken {
		t.Errorf("the lag is %d after the group left, want %d", n, inBroken)
	}

	stop = start(t, client, config, newJournal().open("b"))
	eventually(t, "no lag", func() bool { return lag() == 0 })
	stop()
	publish(t, client, keyed(topic, 100, 20, 11)...)
	if n := lag(); n != 20 {
		t.Errorf("the lag is %d after 20 more records", n)
	}
}

func TestLagOfAMissingTopic(t *testing.T) {
	config := streamtest.Config(t)
	config.RequestTimeout = time.Second
	client := streamtest.Client(t, config)
	if n, err := client.Lag(t.Context(), "group", config.Topics.Events); !errors.Is(err, stream.ErrNoTopic) {
		t.Fatalf("got %d, %v, want ErrNoTopic", n, err)
	}
}
