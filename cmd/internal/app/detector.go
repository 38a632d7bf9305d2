package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"stepdown/detect"
	"stepdown/detect/alert"
	"stepdown/ingest/event"
	"stepdown/ingest/stream"
)

// detectorGroup is the consumer group of the detectors. Groups are named after
// kafka.client_id, so that two installations on one cluster stay apart.
func (a *App) detectorGroup() string { return a.cfg.Kafka.ClientID + "-detect" }

// The reasons of dead letters that the pipeline itself writes.
const (
	reasonUnreadableEvent = "unreadable_event"
	reasonUnreadableAlert = "unreadable_alert"
	reasonRefusedAlert    = "refused_alert"
	reasonRefusedEvent    = "refused_event"
	// Records of the inputs' health.
	reasonUnreadableHealth = "unreadable_health"
	reasonRefusedHealth    = "refused_health"
	reasonTooLarge         = "too_large"
)

// ownSource is the source of dead letters that are no provider's records.
const ownSource = "stepdown"

// detector owns one partition of the events topic: a shard and where its output
// goes.
type detector struct {
	client    *stream.Client
	partition int
	decoder   event.Decoder
	shard     *detect.Shard
	metrics   *metrics
	log       *slog.Logger
	now       func() time.Time
}

// openDetector restores the partition's ledgers. A state that this build cannot
// read is an error: running without memory would be worse than not running.
func openDetector(ctx context.Context, client *stream.Client, engine *detect.Engine, partition int, m *metrics, log *slog.Logger, now func() time.Time) (*detector, error) {
	d := &detector{client: client, partition: partition, shard: detect.NewShard(engine), metrics: m, log: log, now: now}
	began := now()
	latest := map[event.Key][]byte{}
	err := client.ReadToEnd(ctx, client.Topics().State, partition, func(msg stream.Message) error {
		latest[event.Key(msg.Key)] = msg.Value
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("restore partition %d: %w", partition, err)
	}
	for key, data := range latest {
		if err := d.shard.Restore(key, data); err != nil {
			d.shard.Close()
			return nil, fmt.Errorf("restore partition %d: %w", partition, err)
		}
	}
	m.restoreSeconds.Observe(now().Sub(began).Seconds())
	log.Debug("restored partition", slog.Int("partition", partition), slog.Int("identities", len(latest)))
	return d, nil
}

// Handle implements stream.Partition.
func (d *detector) Handle(ctx context.Context, batch []stream.Message) error {
	if err := d.apply(ctx, batch); err != nil {
		return err
	}
	return d.flush(ctx)
}

func (d *detector) apply(ctx context.Context, batch []stream.Message) error {
	for i := range batch {
		m := &batch[i]
		e, err := d.decoder.Decode(m.Value)
		if err != nil {
			if errors.Is(err, event.ErrSchema) {
				// A newer collector wrote it: this detector must not skip it.
				return fmt.Errorf("partition %d offset %d: %w; upgrade the detectors before the collectors", d.partition, m.Offset, err)
			}
			if err := d.bury(ctx, m, reasonUnreadableEvent, err); err != nil {
				return err
			}
			continue
		}
		if err := d.shard.Apply(e, m.Offset); err != nil {
			if err := d.bury(ctx, m, reasonUnreadableEvent, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// Idle implements stream.Partition: where no event moves the shard's clock, the
// time that passes does, so that the last sign-in of the evening settles.
func (d *detector) Idle(ctx context.Context, quiet time.Duration) error {
	if d.shard.Clock().IsZero() {
		return nil
	}
	d.shard.Advance(d.shard.Clock().Add(quiet))
	return d.flush(ctx)
}

// Close implements stream.Partition.
func (d *detector) Close() error {
	d.shard.Close()
	return nil
}

// flush makes alerts durable, then ledgers.
func (d *detector) flush(ctx context.Context) error {
	if err := d.publishAlerts(ctx); err != nil {
		return err
	}
	return d.publishLedgers(ctx)
}

func (d *detector) publishAlerts(ctx context.Context) error {
	var alerts []stream.Message
	for _, a := range d.shard.Drain() {
		a.Emitted = d.now().UTC()
		data, err := alert.Encode(&a)
		if err != nil {
			return err
		}
		alerts = append(alerts, stream.Message{Topic: d.client.Topics().Alerts, Key: []byte(a.Key), Value: data})
	}
	if err := d.publish(ctx, alerts); err != nil {
		return fmt.Errorf("publish alerts: %w", err)
	}
	return nil
}

func (d *detector) publishLedgers(ctx context.Context) error {
	var states []stream.Message
	for state, err := range d.shard.Dirty() {
		if err != nil {
			return err
		}
		states = append(states, stream.Message{Topic: d.client.Topics().State, Key: []byte(state.Key), Value: state.Data})
	}
	if err := d.publish(ctx, states); err != nil {
		return fmt.Errorf("publish ledgers: %w", err)
	}
	return nil
}

// publish writes to the detector's own partition. A record that no topic can
// hold is counted and kept as a dead letter, since repeating it would stop the
// partition for ever.
func (d *detector) publish(ctx context.Context, messages []stream.Message) error {
	if len(messages) == 0 {
		return nil
	}
	err := d.client.PublishTo(ctx, d.partition, messages)
	tooLarge, ok := errors.AsType[*stream.TooLargeError](err)
	if !ok {
		return err
	}
	rest := messages[:0:0]
	next := 0
	for i := range messages {
		if next < len(tooLarge.Indexes) && tooLarge.Indexes[next] == i {
			next++
			// It never got an offset.
			messages[i].Partition, messages[i].Offset = d.partition, -1
			if err := d.bury(ctx, &messages[i], reasonTooLarge, err); err != nil {
				return err
			}
			continue
		}
		rest = append(rest, messages[i])
	}
	return d.publish(ctx, rest)
}

func (d *detector) bury(ctx context.Context, m *stream.Message, reason string, cause error) error {
	d.metrics.buried.WithLabelValues("detect", reason).Inc()
	d.log.Warn("record set aside", slog.String("reason", reason), slog.Int("partition", d.partition),
		slog.Int64("offset", m.Offset), slog.Any("error", cause))
	return d.client.PublishDeadLetters(ctx, []stream.DeadLetter{letterOf(m, reason, cause)})
}

// letterOf keeps a record of one of our own topics.
func letterOf(m *stream.Message, reason string, cause error) stream.DeadLetter {
	return stream.DeadLetter{Source: ownSource, Stream: m.Topic, Reason: reason, Error: cause.Error(),
		Origin: fmt.Sprintf("%s/%d/%d", m.Topic, m.Partition, m.Offset), Raw: m.Value}
}
