package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/stream"
	"stepdown/sinks"
	"stepdown/sinks/clickhouse"
)

// PublishHealth implements ingest.HealthPublisher. What is said of one input is
// read in the order in which it was said.
func (p publisher) PublishHealth(ctx context.Context, records []ingest.HealthRecord) error {
	topic := p.client.Topics().Health
	messages := make([]stream.Message, len(records))
	for i := range records {
		data, err := json.Marshal(&records[i])
		if err != nil {
			return fmt.Errorf("encode health record: %w", err)
		}
		messages[i] = stream.Message{Topic: topic, Key: []byte(records[i].Input()), Value: data}
	}
	return p.client.Publish(ctx, messages)
}

// healthSink keeps the inputs' health in ClickHouse. An error makes its partition
// wait and read the batch again.
type healthSink struct {
	client  *stream.Client
	store   *clickhouse.Store
	metrics *metrics
	log     *slog.Logger
}

// Handle implements stream.Partition.
func (s *healthSink) Handle(ctx context.Context, batch []stream.Message) error {
	records, messages, err := decodeBatch(ctx, s.client, s.metrics, s.log, batch, reasonUnreadableHealth, ingest.ErrHealthSchema, ingest.DecodeHealth)
	if err != nil {
		return err
	}
	var reports []clickhouse.InputHealth
	var gaps []clickhouse.InputGap
	var ofReports, ofGaps []stream.Message
	for i := range records {
		if g := records[i].Gap; g != nil {
			gaps, ofGaps = append(gaps, gapRow(g)), append(ofGaps, messages[i])
			continue
		}
		reports, ofReports = append(reports, reportRow(records[i].Report)), append(ofReports, messages[i])
	}
	if err := s.insert(ctx, ofGaps, func() error { return s.store.InsertGaps(ctx, gaps) }); err != nil {
		return err
	}
	return s.insert(ctx, ofReports, func() error { return s.store.InsertHealth(ctx, reports) })
}

// insert sets aside what the store refuses.
func (s *healthSink) insert(ctx context.Context, messages []stream.Message, insert func() error) error {
	if len(messages) == 0 {
		return nil
	}
	err := insert()
	refused, ok := errors.AsType[*sinks.RefusedError](err)
	if !ok || len(refused.Indexes) == 0 {
		return err
	}
	letters := make([]stream.DeadLetter, len(refused.Indexes))
	for i, at := range refused.Indexes {
		letters[i] = letterOf(&messages[at], reasonRefusedHealth, err)
	}
	s.metrics.buried.WithLabelValues("sink", reasonRefusedHealth).Add(float64(len(letters)))
	return s.client.PublishDeadLetters(ctx, letters)
}

func reportRow(r *ingest.Report) clickhouse.InputHealth {
	return clickhouse.InputHealth{
		Input: r.Input, Sources: names(r.Sources), Tenants: r.Tenants, Time: r.Time, State: string(r.State), Detail: r.Detail,
		Through: r.Through, LastEvent: r.LastEvent, Records: r.Records, Malformed: r.Malformed,
	}
}

func gapRow(g *ingest.Gap) clickhouse.InputGap {
	return clickhouse.InputGap{
		ID: g.ID, Revision: g.Revision, Input: g.Input, Sources: names(g.Sources), Tenants: g.Tenants, Kind: string(g.Kind),
		From: g.From, To: g.To, Opened: g.Opened, Detail: g.Detail,
	}
}

func names(sources []event.Source) []string {
	var list []string
	for s := range slices.Values(sources) {
		list = append(list, string(s))
	}
	return list
}

// Idle implements stream.Partition.
func (s *healthSink) Idle(context.Context, time.Duration) error { return nil }

// Close implements stream.Partition.
func (s *healthSink) Close() error { return nil }
