package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"stepdown/detect/alert"
	"stepdown/ingest/event"
	"stepdown/ingest/stream"
	"stepdown/sinks"
	"stepdown/sinks/clickhouse"
)

// The consumer groups of the store: each fills its tables at its own pace.
const (
	storeAlerts = "clickhouse"
	storeEvents = "clickhouse-events"
	storeHealth = "clickhouse-health"
)

// storeBatch is the most rows of one insert, storeBytes about their size.
const (
	storeBatch = 10_000
	storeBytes = 4 << 20
)

// storeInserts is how many inserts of events are under way at a time.
const storeInserts = 2

// sinkGroup is the consumer group of a sink.
func (a *App) sinkGroup(name string) string { return a.cfg.Kafka.ClientID + "-sink-" + name }

// alertSink hands the alerts of a partition to one sink.
type alertSink struct {
	client  *stream.Client
	runner  *sinks.Runner
	turn    *sync.Mutex
	metrics *metrics
	log     *slog.Logger
}

// Handle implements stream.Partition.
func (s *alertSink) Handle(ctx context.Context, batch []stream.Message) error {
	alerts, _, err := decodeBatch(ctx, s.client, s.metrics, s.log, batch, reasonUnreadableAlert, alert.ErrSchema, alert.Decode)
	if err != nil {
		return err
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.runner.Handle(ctx, alerts)
}

// Idle implements stream.Partition.
func (s *alertSink) Idle(context.Context, time.Duration) error { return nil }

// Close implements stream.Partition. The sink is closed by the app: partitions
// share it.
func (s *alertSink) Close() error { return nil }

func decodeEvents(ctx context.Context, client *stream.Client, m *metrics, log *slog.Logger, batch []stream.Message) ([]event.Event, []stream.Message, error) {
	return decodeBatch(ctx, client, m, log, batch, reasonUnreadableEvent, event.ErrSchema, event.Decode)
}

// decodeBatch reads the records of a batch and sets unreadable ones aside; it
// returns the values with the messages they came in. A record that a newer build
// wrote is an error: this one must not skip it.
func decodeBatch[T any](ctx context.Context, client *stream.Client, m *metrics, log *slog.Logger, batch []stream.Message,
	reason string, newer error, decode func([]byte, *T) error) ([]T, []stream.Message, error) {
	values := make([]T, 0, len(batch))
	read := make([]stream.Message, 0, len(batch))
	for i := range batch {
		var v T
		err := decode(batch[i].Value, &v)
		switch {
		case errors.Is(err, newer):
			return nil, nil, fmt.Errorf("%s partition %d offset %d: %w; upgrade this process", batch[i].Topic, batch[i].Partition, batch[i].Offset, err)
		case err != nil:
			m.buried.WithLabelValues("sink", reason).Inc()
			log.Warn("record set aside", slog.String("reason", reason), slog.String("topic", batch[i].Topic),
				slog.Int("partition", batch[i].Partition), slog.Int64("offset", batch[i].Offset), slog.Any("error", err))
			if err := client.PublishDeadLetters(ctx, []stream.DeadLetter{letterOf(&batch[i], reason, err)}); err != nil {
				return nil, nil, err
			}
		default:
			values = append(values, v)
			read = append(read, batch[i])
		}
	}
	return values, read, nil
}

// deadAlert keeps an alert that a sink refused.
func deadAlert(client *stream.Client, m *metrics, sink string) sinks.DeadLetter {
	return func(ctx context.Context, a *alert.Alert, cause error) error {
		data, err := alert.Encode(a)
		if err != nil {
			return err
		}
		m.buried.WithLabelValues("sink", reasonRefusedAlert).Inc()
		return client.PublishDeadLetters(ctx, []stream.DeadLetter{{Source: ownSource, Stream: "sink-" + sink,
			Reason: reasonRefusedAlert, Error: cause.Error(), Origin: string(a.ID), Raw: data}})
	}
}

// eventSink keeps the events of a partition in ClickHouse.
type eventSink struct {
	client *stream.Client
	store  *clickhouse.Store
	// turns bounds the inserts under way over all partitions: a block takes
	// several times its size in the server's memory.
	turns chan struct{}
	// trouble is told why an insert failed, before the next try, and nil when the
	// batch is out of hand.
	trouble func(error)
	metrics *metrics
	log     *slog.Logger
}

// Handle implements stream.Partition. It retries until the rows are stored:
// ClickHouse being away is no reason to go on without it.
func (s *eventSink) Handle(ctx context.Context, batch []stream.Message) error {
	events, messages, err := decodeEvents(ctx, s.client, s.metrics, s.log, batch)
	if err != nil {
		return err
	}
	defer s.trouble(nil)
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, 15*time.Second
	for attempt := 1; len(events) > 0; attempt++ {
		err := s.insert(ctx, events)
		if err == nil {
			if attempt > 1 {
				s.log.Info("clickhouse takes events again", slog.Int("attempts", attempt))
			}
			return nil
		}
		if refused, ok := errors.AsType[*sinks.RefusedError](err); ok && len(refused.Indexes) > 0 {
			for _, i := range slices.Backward(refused.Indexes) {
				s.metrics.buried.WithLabelValues("sink", reasonRefusedEvent).Inc()
				if err := s.client.PublishDeadLetters(ctx, []stream.DeadLetter{letterOf(&messages[i], reasonRefusedEvent, err)}); err != nil {
					return err
				}
				events, messages = slices.Delete(events, i, i+1), slices.Delete(messages, i, i+1)
			}
			continue
		}
		s.trouble(err)
		if attempt == 1 {
			s.log.Warn("clickhouse does not take events, retrying", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause.NextBackOff()):
		}
	}
	return nil
}

func (s *eventSink) insert(ctx context.Context, events []event.Event) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case s.turns <- struct{}{}:
	}
	defer func() { <-s.turns }()
	return s.store.InsertEvents(ctx, events)
}

// Idle implements stream.Partition.
func (s *eventSink) Idle(context.Context, time.Duration) error { return nil }

// Close implements stream.Partition.
func (s *eventSink) Close() error { return nil }
