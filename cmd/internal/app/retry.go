package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stepdown/detect/alert"
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/stream"
)

// RetryDeadLetter sends the bytes of a dead letter the way they did not get
// before: a provider's record through normalizing, what is of one of our own
// topics back into its topic, once it can be read. It marks the letter when it is
// through; after an error the letter stays as it was.
func RetryDeadLetter(ctx context.Context, client *stream.Client, id ingest.Identity, normalizers map[event.Source]ingest.Normalizer, l stream.DeadLetter, now time.Time) error {
	var err error
	switch l.Reason {
	case reasonUnreadableEvent, reasonRefusedEvent:
		var e event.Event
		if err = event.Decode(l.Raw, &e); err == nil {
			err = (publisher{client}).Publish(ctx, []event.Event{e})
		}
	case reasonUnreadableAlert, reasonRefusedAlert:
		// Every sink sees it again; those that have it have nothing to do.
		var a alert.Alert
		if err = alert.Decode(l.Raw, &a); err == nil {
			err = client.Publish(ctx, []stream.Message{{Topic: client.Topics().Alerts, Key: []byte(a.Key), Value: l.Raw}})
		}
	case reasonUnreadableHealth, reasonRefusedHealth:
		var r ingest.HealthRecord
		if err = ingest.DecodeHealth(l.Raw, &r); err == nil {
			err = publisher{client}.PublishHealth(ctx, []ingest.HealthRecord{r})
		}
	case reasonTooLarge:
		if l.Source != ownSource {
			err = retryRecord(ctx, client, id, normalizers, l, now)
			break
		}
		err = errors.New("an alert or a ledger that no topic could hold, made anew by the next event of the identity; raise kafka.max_message_bytes")
	default:
		err = retryRecord(ctx, client, id, normalizers, l, now)
	}
	if err != nil {
		return err
	}
	return client.MarkRetried(ctx, []string{l.ID})
}

func retryRecord(ctx context.Context, client *stream.Client, id ingest.Identity, normalizers map[event.Source]ingest.Normalizer, l stream.DeadLetter, now time.Time) error {
	out := ingest.Normalize([]ingest.Record{{Source: event.Source(l.Source), Tenant: l.Tenant, Stream: l.Stream,
		Data: l.Raw, Observed: now, Origin: "deadletter:" + l.ID}}, normalizers, id)
	if len(out.Rejected) > 0 {
		return out.Rejected[0].Err
	}
	if len(out.Events) == 0 {
		return nil
	}
	for i := range out.Events {
		out.Events[i].Ingested = now.UTC()
	}
	if err := (publisher{client}).Publish(ctx, out.Events); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}
