package stream

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DeadLetter is a record that could not be used, kept as it came.
//
// It is stored losslessly: the value of the Kafka record is Raw, byte for byte,
// and everything else is in headers. A Raw that is larger than one record may
// be is cut into several records of one partition, and put together again by
// GetDeadLetter.
type DeadLetter struct {
	// ID is where the letter is, partition-offset. It is set on reading.
	ID string
	// Source, Tenant and Stream say whose log the record is from.
	Source, Tenant, Stream string
	// Reason is a short word from a closed set of the caller's.
	Reason string
	// Error is what went wrong, cut at 4 KiB.
	Error string
	// Origin says where in the source the record was, in the source's terms.
	Origin string
	// Time is when the letter was written. It is set on reading.
	Time time.Time
	// Size is the length of the raw record. It is set on reading.
	Size int
	// Raw is the record. ListDeadLetters leaves it out.
	Raw []byte
	// Retried is when the letter was last marked as retried; zero is never.
	// It is set on reading.
	Retried time.Time
}

// DeadLetterFilter selects dead letters; a zero field selects all.
type DeadLetterFilter struct {
	Source, Reason string
	// Since is the earliest time of writing.
	Since time.Time
	// Limit is the most letters to return, the newest; 0 means 100.
	Limit int
	// WithRetried includes letters that were retried.
	WithRetried bool
}

const (
	maxErrorBytes    = 4 << 10
	defaultListLimit = 100
	// letterOverhead is room for headers beside a piece of a raw record.
	letterOverhead = 16 << 10
)

// The headers of a dead letter. A record with headerRetried is no letter, but
// marks the one it names.
const (
	headerSource  = "stepdown-source"
	headerTenant  = "stepdown-tenant"
	headerStream  = "stepdown-stream"
	headerReason  = "stepdown-reason"
	headerError   = "stepdown-error"
	headerOrigin  = "stepdown-origin"
	headerSize    = "stepdown-size"
	headerLetter  = "stepdown-letter"
	headerPiece   = "stepdown-piece"
	headerRetried = "stepdown-retried"
)

// ErrNoDeadLetter means that there is no letter of an ID, or no longer.
var ErrNoDeadLetter = errors.New("no such dead letter")

// PublishDeadLetters keeps letters in the dead letter topic. It returns nil
// when all in-sync replicas have all of them; there is no size above which a
// letter is refused. Errors are those of Publish.
func (c *Client) PublishDeadLetters(ctx context.Context, letters []DeadLetter) error {
	if len(letters) == 0 {
		return nil
	}
	n, err := c.partitions(ctx, c.config.Topics.DeadLetter)
	if err != nil {
		return fmt.Errorf("publish dead letters: %w", err)
	}
	byPartition := make(map[int][]Message)
	for _, letter := range letters {
		partition := int(c.turn.Add(1) % uint32(n))
		byPartition[partition] = append(byPartition[partition], c.pieces(letter)...)
	}
	for partition, messages := range byPartition {
		if err := c.PublishTo(ctx, partition, messages); err != nil {
			return fmt.Errorf("publish dead letters: %w", err)
		}
	}
	return nil
}

// pieces encodes a letter as one record, or as several where Raw is large.
func (c *Client) pieces(letter DeadLetter) []Message {
	limit := c.config.MaxMessageBytes - letterOverhead
	headers := []Header{
		{headerSource, []byte(clip(letter.Source, maxErrorBytes/4))},
		{headerTenant, []byte(clip(letter.Tenant, maxErrorBytes/4))},
		{headerStream, []byte(clip(letter.Stream, maxErrorBytes/4))},
		{headerReason, []byte(clip(letter.Reason, maxErrorBytes/4))},
		{headerError, []byte(clip(letter.Error, maxErrorBytes))},
		{headerOrigin, []byte(clip(letter.Origin, maxErrorBytes))},
		{headerSize, strconv.AppendInt(nil, int64(len(letter.Raw)), 10)},
	}
	if len(letter.Raw) <= limit {
		value := letter.Raw
		if value == nil {
			value = []byte{}
		}
		return []Message{{Topic: c.config.Topics.DeadLetter, Value: value, Headers: headers}}
	}
	name := []byte(rand.Text())
	var messages []Message
	for piece := range slices.Chunk(letter.Raw, limit) {
		m := Message{Topic: c.config.Topics.DeadLetter, Value: piece, Headers: []Header{
			{headerLetter, name},
			{headerPiece, strconv.AppendInt(nil, int64(len(messages)), 10)},
		}}
		if len(messages) == 0 {
			m.Headers = append(m.Headers, headers...)
		}
		messages = append(messages, m)
	}
	return messages
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// ListDeadLetters returns letters without their raw records, the newest first.
// It reads the whole dead letter topic from filter.Since on.
func (c *Client) ListDeadLetters(ctx context.Context, filter DeadLetterFilter) ([]DeadLetter, error) {
	if filter.Limit == 0 {
		filter.Limit = defaultListLimit
	}
	found := make(map[string]DeadLetter)
	retried := make(map[string]time.Time)
	err := c.Scan(ctx, c.config.Topics.DeadLetter, Span{Since: filter.Since}, func(m Message) error {
		if id, ok := header(m, headerRetried); ok {
			retried[id] = m.Time
			return nil
		}
		letter, ok := letterOf(m)
		if ok && (filter.Source == "" || letter.Source == filter.Source) && (filter.Reason == "" || letter.Reason == filter.Reason) {
			letter.Raw = nil
			found[letter.ID] = letter
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	letters := make([]DeadLetter, 0, len(found))
	for id, letter := range found {
		letter.Retried = retried[id]
		if letter.Retried.IsZero() || filter.WithRetried {
			letters = append(letters, letter)
		}
	}
	slices.SortFunc(letters, func(a, b DeadLetter) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.ID, a.ID))
	})
	return letters[:min(len(letters), filter.Limit)], nil
}

// letterOf decodes the first or only record of a letter. It reports false for
// a later piece and for a record that is no letter.
func letterOf(m Message) (DeadLetter, bool) {
	size, ok := header(m, headerSize)
	if !ok {
		return DeadLetter{}, false
	}
	letter := DeadLetter{ID: fmt.Sprintf("%d-%d", m.Partition, m.Offset), Time: m.Time, Raw: m.Value}
	letter.Source, _ = header(m, headerSource)
	letter.Tenant, _ = header(m, headerTenant)
	letter.Stream, _ = header(m, headerStream)
	letter.Reason, _ = header(m, headerReason)
	letter.Error, _ = header(m, headerError)
	letter.Origin, _ = header(m, headerOrigin)
	letter.Size, _ = strconv.Atoi(size)
	return letter, true
}

func header(m Message, key string) (string, bool) {
	for _, h := range m.Headers {
		if h.Key == key {
			return string(h.Value), true
		}
	}
	return "", false
}

// GetDeadLetter returns one letter with its raw record. ErrNoDeadLetter means
// that the ID names none.
func (c *Client) GetDeadLetter(ctx context.Context, id string) (DeadLetter, error) {
	partition, offset, err := parseLetterID(id)
	if err != nil {
		return DeadLetter{}, err
	}
	first, end, err := c.bounds(ctx, c.config.Topics.DeadLetter, partition)
	if err != nil {
		return DeadLetter{}, fmt.Errorf("get dead letter %s: %w", id, err)
	}
	if offset < first || offset >= end {
		return DeadLetter{}, fmt.Errorf("%w: %s", ErrNoDeadLetter, id)
	}
	var (
		letter DeadLetter
		name   string
		next   int
	)
	err = c.readRange(ctx, c.config.Topics.DeadLetter, partition, offset, end, func(m Message) error {
		if m.Offset == offset {
			var ok bool
			if letter, ok = letterOf(m); !ok {
				return ErrNoDeadLetter
			}
			name, _ = header(m, headerLetter)
			next = 1
		} else if next == 0 {
			return ErrNoDeadLetter
		} else if of, ok := header(m, headerLetter); ok && of == name {
			// A retried publish may have written a piece twice.
			if piece, _ := header(m, headerPiece); piece == strconv.Itoa(next) {
				letter.Raw = append(letter.Raw, m.Value...)
				next++
			}
		}
		if len(letter.Raw) >= letter.Size {
			return ErrStop
		}
		return nil
	})
	switch err = ignoreStop(err); {
	case errors.Is(err, ErrNoDeadLetter), err == nil && next == 0:
		return DeadLetter{}, fmt.Errorf("%w: %s", ErrNoDeadLetter, id)
	case err != nil:
		return DeadLetter{}, fmt.Errorf("get dead letter %s: %w", id, err)
	case len(letter.Raw) != letter.Size:
		return DeadLetter{}, fmt.Errorf("get dead letter %s: %d of %d bytes are there", id, len(letter.Raw), letter.Size)
	}
	return letter, nil
}

func parseLetterID(id string) (partition int, offset int64, err error) {
	left, right, ok := strings.Cut(id, "-")
	if ok {
		if partition, err = strconv.Atoi(left); err == nil {
			offset, err = strconv.ParseInt(right, 10, 64)
		}
	}
	if !ok || err != nil || partition < 0 || offset < 0 {
		return 0, 0, fmt.Errorf("%w: %q is not partition-offset, such as 2-117", ErrNoDeadLetter, id)
	}
	return partition, offset, nil
}

// MarkRetried remembers that the letters of ids were retried, by a record in
// the same topic, so that lists leave them out.
func (c *Client) MarkRetried(ctx context.Context, ids []string) error {
	for _, id := range ids {
		partition, _, err := parseLetterID(id)
		if err != nil {
			return err
		}
		err = c.PublishTo(ctx, partition, []Message{{
			Topic:   c.config.Topics.DeadLetter,
			Value:   []byte{},
			Headers: []Header{{headerRetried, []byte(id)}},
		}})
		if err != nil {
			return fmt.Errorf("mark dead letter %s as retried: %w", id, err)
		}
	}
	return nil
}
