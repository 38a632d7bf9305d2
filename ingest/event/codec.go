package event

import (
	"errors"
	"fmt"

	"github.com/goccy/go-json"
)

// ErrSchema is returned by Decode for an event that a newer build wrote. The
// bytes are sound; they need an upgrade of the reader, not a repair.
var ErrSchema = errors.New("event of a newer schema")

// Encode appends the JSON of e to dst. It does not validate.
func Encode(dst []byte, e *Event) ([]byte, error) {
	b, err := json.MarshalWithOption(e, json.DisableHTMLEscape())
	if err != nil {
		return dst, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	return append(dst, b...), nil
}

// Decode reads what Encode wrote into e and validates it. It returns an error
// that wraps ErrSchema for a newer schema, and one that names the field where
// the contract does not hold. e does not alias data.
func Decode(data []byte, e *Event) error {
	*e = Event{}
	if err := json.Unmarshal(data, e); err != nil {
		return fmt.Errorf("decode event: %w", err)
	}
	if e.Schema > SchemaVersion {
		return fmt.Errorf("%w: %d, this build reads up to %d", ErrSchema, e.Schema, SchemaVersion)
	}
	return e.Validate()
}
