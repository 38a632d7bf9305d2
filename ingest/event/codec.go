package event

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/goccy/go-json"
)

// ErrSchema is returned by Decode for an event that a newer build wrote. The
// bytes are sound; they need an upgrade of the reader, not a repair.
var ErrSchema = errors.New("event of a newer schema")

// Encode appends the JSON of e to dst. It does not validate. The raw record comes
// last, after raw_bytes, its length: who does not want it need not read it.
func Encode(dst []byte, e *Event) ([]byte, error) {
	head := *e
	head.Raw = nil
	b, err := json.MarshalWithOption(&head, json.DisableHTMLEscape())
	if err != nil {
		return dst, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	dst = append(dst, b...)
	if len(e.Raw) == 0 {
		return dst, nil
	}
	var raw bytes.Buffer
	raw.Grow(len(e.Raw))
	if err := json.Compact(&raw, e.Raw); err != nil {
		return dst[:len(dst)-len(b)], fmt.Errorf("encode event %s: raw record: %w", e.ID, err)
	}
	dst = append(dst[:len(dst)-1], `,"raw_bytes":`...)
	dst = strconv.AppendInt(dst, int64(raw.Len()), 10)
	dst = append(dst, `,"raw":`...)
	dst = append(dst, raw.Bytes()...)
	return append(dst, '}'), nil
}

// Decode reads what Encode wrote into e and validates it. It returns an error
// that wraps ErrSchema for a newer schema, and one that names the field where
// the contract does not hold. e does not alias data.
func Decode(data []byte, e *Event) error {
	// One copy for all texts.
	d := &Decoder{}
	decoded, err := d.Decode(bytes.Clone(data))
	if decoded == nil {
		decoded = &Event{}
	}
	*e = *decoded
	return err
}

func decodeError(err error) error { return fmt.Errorf("decode event: %w", err) }

// check holds e to the contract.
func check(e *Event) error {
	if e.Schema > SchemaVersion {
		return fmt.Errorf("%w: %d, this build reads up to %d", ErrSchema, e.Schema, SchemaVersion)
	}
	return e.Validate()
}
