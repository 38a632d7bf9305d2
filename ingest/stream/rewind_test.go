package stream_test

import (
	"context"
	"testing"
	"time"

	"stepdown/ingest/stream"
	"stepdown/ingest/stream/streamtest"
)

func TestRewoundGroupReadsAgain(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	config := stream.GroupConfig{ID: topic + ".rewound", Topic: topic}
	lag := func() int64 {
		t.Helper()
		n, err := client.Lag(t.Context(), config.ID, topic)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := client.Rewind(t.Context(), config.ID, topic); err != nil {
		t.Errorf("a group that never was: %v", err)
	}
	publish(t, client, keyed(topic, 0, 50, 11)...)
	stop := start(t, client, config, newJournal().open("a"))
	eventually(t, "no lag", func() bool { return lag() == 0 })
	stop()
	if err := client.Rewind(t.Context(), config.ID, topic); err != nil {
		t.Fatal(err)
	}
	if n := lag(); n != 50 {
		t.Errorf("the lag is %d after the rewind, want 50", n)
	}
	stop = start(t, client, config, newJournal().open("b"))
	defer stop()
	eventually(t, "no lag again", func() bool { return lag() == 0 })
}

func TestGroupWithMembersIsNotRewound(t *testing.T) {
	client := streamtest.Start(t)
	topic := client.Topics().Events
	config := stream.GroupConfig{ID: topic + ".alive", Topic: topic}
	publish(t, client, keyed(topic, 0, 50, 11)...)
	stop := start(t, client, config, newJournal().open("a"))
	defer stop()
	eventually(t, "no lag", func() bool {
		n, err := client.Lag(t.Context(), config.ID, topic)
		return err == nil && n == 0
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := client.Rewind(ctx, config.ID, topic); err == nil {
		t.Error("a group that reads was rewound")
	}
}
