package app

import (
	"context"
	"errors"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/stream"
)

// publisher is the collectors' way into Kafka.
type publisher struct{ client *stream.Client }

// Publish implements ingest.Publisher.
func (p publisher) Publish(ctx context.Context, events []event.Event) error {
	topic := p.client.Topics().Events
	messages := make([]stream.Message, len(events))
	for i := range events {
		data, err := event.Encode(nil, &events[i])
		if err != nil {
			return &ingest.TooLargeError{Indexes: []int{i}, Err: err} // it never can be
		}
		messages[i] = stream.Message{Topic: topic, Key: []byte(events[i].Key), Value: data}
	}
	err := p.client.Publish(ctx, messages)
	if tooLarge, ok := errors.AsType[*stream.TooLargeError](err); ok {
		return &ingest.TooLargeError{Indexes: tooLarge.Indexes, Err: err}
	}
	return err
}

// DeadLetter implements ingest.Publisher.
func (p publisher) DeadLetter(ctx context.Context, rejected []ingest.Rejected) error {
	letters := make([]stream.DeadLetter, len(rejected))
	for i, r := range rejected {
		letters[i] = stream.DeadLetter{Source: string(r.Record.Source), Tenant: r.Record.Tenant, Stream: r.Record.Stream,
			Reason: string(ingest.ReasonOf(r.Err)), Error: r.Err.Error(), Origin: r.Record.Origin, Raw: r.Record.Data}
	}
	return p.client.PublishDeadLetters(ctx, letters)
}
