package aws

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest"
	"stepdown/ingest/event"
)

// broker is a publisher whose first attempt fails, and whatever else the collector
// needs.
type broker struct {
	t      *testing.T
	failed bool
	// published are the ids of the events that are durable.
	published map[string]bool
}

func (b *broker) Publish(_ context.Context, events []event.Event) error {
	if !b.failed {
		b.failed = true
		return errors.New("synthetic: no broker")
	}
	for _, e := range events {
		b.published[e.ID] = true
	}
	return nil
}

func (b *broker) DeadLetter(context.Context, []ingest.Rejected) error { return nil }

func (b *broker) Load(string) (json.RawMessage, error) { return nil, nil }

func (b *broker) Save(_ string, cursor json.RawMessage) error {
	b.t.Errorf("saved cursor %s: the queue has the position", cursor)
	return nil
}

func (*broker) Resolve(e *event.Event) error {
	e.Key = event.Key(e.Subject.Name)
	return nil
}

// TestTheCollectorDeletesWhatIsPublished drives the source as the product does: no
// message is deleted before every event of its objects is durable, also when the
// broker is away.
func TestTheCollectorDeletesWhatIsPublished(t *testing.T) {
	c := newCloud(t)
	c.send(created(c.put(folder+"a.json.gz", logins(0, 1200)...), c.put(folder+"b.json.gz", logins(1200, 1210)...)))
	c.send(created(c.put(folder+"c.json.gz", logins(1210, 1220)...)))
	b := &broker{t: t, published: map[string]bool{}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	deleted := 0
	c.set(func(op string, _ http.ResponseWriter, _ *http.Request) bool {
		if op != "DeleteMessage" {
			return false
		}
		want := 1210
		if deleted++; deleted == 2 {
			want = 1220
			cancel()
		}
		if len(b.published) < want {
			t.Errorf("message %d deleted when %d events were durable, want %d", deleted, len(b.published), want)
		}
		return false
	})
	now := func() time.Time { return start.Add(time.Hour) }
	p := ingest.New(ingest.Config{IdleAfter: time.Second, RetryMax: time.Second}, ingest.Deps{
		Normalizers: map[event.Source]ingest.Normalizer{source: New()}, Identity: b, Publisher: b, Cursors: b,
		Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: now,
	})
	if err := p.Collector("trail", c.open()).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if deleted != 2 || len(b.published) != 1220 {
		t.Errorf("%d messages deleted, %d events durable, want 2 and 1220", deleted, len(b.published))
	}
}
