package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"stepdown/ingest"
)

// trail reads the objects that a queue tells of. The queue keeps the position: a
// message is deleted once all records of its objects are durable, and comes again
// else.
type trail struct {
	caller
	url, tenant string
	visibility  time.Duration
	queue       *sqs.Client
	bucket      *s3.Client
	// hand is the message that is being worked on; nil for none.
	hand *delivery
}

// delivery is a message with what is left of it.
type delivery struct {
	receipt string
	// left are its objects that are not wholly read; reading is the first of them,
	// once it is open, and done how many of its records were handed on.
	left    []object
	reading *objectReader
	done    int
	// failures counts the polls in a row that got nothing of it.
	failures int
}

// maxFailures is how often a message is tried before it goes back to the queue,
// whose own rules say when it is set aside.
const maxFailures = 5

// maxBatchRecords and maxBatchBytes bound what is in memory at once of an object.
const (
	maxBatchRecords = 1000
	maxBatchBytes   = 4 << 20
)

// longPoll is how long the queue may hold a request that finds no message.
const longPoll = 20 * time.Second

// Seek implements ingest.Source. There is no cursor: the queue has the position.
func (*trail) Seek(json.RawMessage) error { return nil }

// Close implements ingest.Source.
func (s *trail) Close() error {
	s.closeObject()
	return nil
}

func (s *trail) closeObject() {
	if s.hand != nil && s.hand.reading != nil {
		s.hand.reading.Close()
		s.hand.reading = nil
	}
}

// Consumes implements ingest.Consumer.
func (s *trail) Consumes() string {
	return "an SQS queue, whose messages are deleted once they are read"
}

// Poll implements ingest.Source: a part of an object, or news that the queue is
// empty.
func (s *trail) Poll(ctx context.Context) (ingest.Batch, error) {
	if s.hand == nil {
		empty, batch, err := s.receive(ctx)
		if err != nil || s.hand == nil {
			if empty {
				batch.Through = s.rt.Now()
			}
			return batch, err
		}
	} else if err := s.keep(ctx); err != nil {
		return ingest.Batch{}, err
	}
	batch, err := s.read(ctx)
	if err == nil {
		return batch, nil
	}
	s.closeObject()
	if ctx.Err() != nil {
		return ingest.Batch{}, ctx.Err()
	}
	if s.hand.failures++; s.hand.failures >= maxFailures {
		s.rt.Log.WarnContext(ctx, "object left to the queue", slog.String("object", s.hand.left[0].String()), slog.Any("error", err))
		s.hand = nil
	}
	return ingest.Batch{}, err
}

// receive takes the next message into hand. A message that tells of no object is
// done with; one that cannot be read makes a batch of its own.
func (s *trail) receive(ctx context.Context) (empty bool, batch ingest.Batch, err error) {
	out, err := call(ctx, s.caller, "sqs:ReceiveMessage", within(s.caller, func(ctx context.Context) (*sqs.ReceiveMessageOutput, error) {
		return s.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &s.url, MaxNumberOfMessages: 1, VisibilityTimeout: int32(s.visibility / time.Second), //nolint:gosec // Validate bounds it
			WaitTimeSeconds: int32(min(longPoll, s.timeout/2) / time.Second), //nolint:gosec // at most 20
		})
	}))
	if err != nil {
		return false, batch, err
	}
	if len(out.Messages) == 0 {
		return true, batch, nil
	}
	message := out.Messages[0]
	objects, err := objectsOf(text(message.Body))
	switch {
	case err != nil:
		batch.Records = []ingest.Record{{
			Source: source, Tenant: s.tenant, Stream: stream, Data: []byte(text(message.Body)), Origin: "sqs message " + text(message.MessageId),
			Err: ingest.Malformed(ingest.MalformedShape, "%w", err),
		}}
		batch.Durable = s.deleteMessage(message)
		return false, batch, nil
	case len(objects) == 0:
		s.deleteMessage(message)(ctx)
		return false, batch, ctx.Err()
	}
	s.hand = &delivery{receipt: text(message.ReceiptHandle), left: objects}
	return false, batch, nil
}

// keep keeps the message in hand from others for longer.
func (s *trail) keep(ctx context.Context) error {
	_, err := call(ctx, s.caller, "sqs:ChangeMessageVisibility", within(s.caller, func(ctx context.Context) (*sqs.ChangeMessageVisibilityOutput, error) {
		return s.queue.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
			QueueUrl: &s.url, ReceiptHandle: &s.hand.receipt, VisibilityTimeout: int32(s.visibility / time.Second), //nolint:gosec // Validate bounds it
		})
	}))
	if e, ok := errors.AsType[*callError](err); ok && e.status >= 400 && e.status < 500 {
		// The message is no longer ours; whoever has it reads the object again.
		s.rt.Log.DebugContext(ctx, "message not kept", slog.Any("error", err))
		return nil
	}
	return err
}

// deleteMessage returns what deletes a message. One that cannot be deleted comes
// again, and its records with it.
func (s *trail) deleteMessage(m types.Message) func(context.Context) {
	return s.deleteReceipt(text(m.ReceiptHandle))
}

func (s *trail) deleteReceipt(receipt string) func(context.Context) {
	return func(ctx context.Context) {
		_, err := call(ctx, s.caller, "sqs:DeleteMessage", within(s.caller, func(ctx context.Context) (*sqs.DeleteMessageOutput, error) {
			return s.queue.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &s.url, ReceiptHandle: aws.String(receipt)})
		}))
		if err != nil && ctx.Err() == nil {
			s.rt.Log.WarnContext(ctx, "message not deleted, its records come again", slog.Any("error", err))
		}
	}
}

// read returns the next records of the message in hand.
func (s *trail) read(ctx context.Context) (ingest.Batch, error) {
	h := s.hand
	if h.reading == nil {
		reader, err := s.open(ctx, h.left[0])
		if isStatus(err, http.StatusNotFound) {
			return s.finish(ingest.Batch{Records: []ingest.Record{s.broken(h.left[0], nil, errors.New("object is not there"))}}), nil
		}
		if err != nil {
			return ingest.Batch{}, err
		}
		h.reading = reader
	}
	stop := h.reading.limit(s.timeout)
	defer stop()
	var batch ingest.Batch
	size, skip := 0, h.done-h.reading.read
	for len(batch.Records) < maxBatchRecords && size < maxBatchBytes {
		data, err := h.reading.next()
		switch {
		case err == nil && skip > 0: // handed on before the object was opened again
			skip--
			continue
		case err == nil:
			batch.Records = append(batch.Records, ingest.Record{Source: source, Tenant: s.tenant, Stream: stream, Data: data, Origin: h.left[0].String()})
			size += len(data)
			continue
		case errors.Is(err, errEnd):
		case h.reading.broke():
			return ingest.Batch{}, fmt.Errorf("read %s: %w", h.left[0], err)
		default: // what came is whole, and no trail
			batch.Records = append(batch.Records, s.broken(h.left[0], data, err))
		}
		h.failures = 0
		return s.finish(batch), nil
	}
	h.failures = 0
	h.done += len(batch.Records)
	return batch, nil
}

// finish is done with the first object in hand; with the last one the message is
// deleted, when batch is durable.
func (s *trail) finish(batch ingest.Batch) ingest.Batch {
	h := s.hand
	s.closeObject()
	h.left, h.done = h.left[1:], 0
	if len(h.left) == 0 {
		batch.Durable = s.deleteReceipt(h.receipt)
		s.hand = nil
	}
	return batch
}

// broken is a record for the dead letters.
func (s *trail) broken(o object, data []byte, err error) ingest.Record {
	return ingest.Record{Source: source, Tenant: s.tenant, Stream: stream, Data: data, Origin: o.String(),
		Err: ingest.Malformed(ingest.MalformedShape, "object of the trail: %w", err)}
}

// open opens an object. An answer without the tag of the object is not from the
// bucket.
func (s *trail) open(ctx context.Context, o object) (*objectReader, error) {
	ctx, cancel := context.WithCancel(ctx)
	opened := time.AfterFunc(s.timeout, cancel)
	out, err := call(ctx, s.caller, "s3:GetObject", func(ctx context.Context) (*s3.GetObjectOutput, error) {
		in := &s3.GetObjectInput{Bucket: &o.bucket, Key: &o.key}
		if o.version != "" {
			in.VersionId = &o.version
		}
		out, err := s.bucket.GetObject(ctx, in)
		if err == nil && text(out.ETag) == "" {
			_ = out.Body.Close()
			return nil, errors.New("answer is not from a bucket: it has no tag")
		}
		return out, err
	})
	if !opened.Stop() && err == nil {
		err = context.DeadlineExceeded
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open %s: %w", o, err)
	}
	return newObjectReader(out.Body, cancel), nil
}
