package config

import (
	"reflect"

	"stepdown/ingest"
)

// Optional is a section that is in force when the file has it; {} takes its
// defaults.
type Optional[T any] struct {
	// Set is true when the file has the section.
	Set   bool
	Value T
}

func (*Optional[T]) shape() reflect.Type { return reflect.TypeFor[T]() }

// optional is any Optional.
type optional interface{ isSet() bool }

func (o Optional[T]) isSet() bool { return o.Set }

// IsZero reports whether the section is absent, so that it is left out where a
// configuration is printed.
func (o Optional[T]) IsZero() bool { return !o.Set }

// UnmarshalYAML decodes the section over its defaults.
func (o *Optional[T]) UnmarshalYAML(unmarshal func(any) error) error {
	o.SetDefault()
	return unmarshal(&o.Value)
}

// MarshalYAML encodes the section as it is written.
func (o Optional[T]) MarshalYAML() (any, error) { return o.Value, nil }

// SetDefault puts the section in force with its defaults.
func (o *Optional[T]) SetDefault() {
	o.Set = true
	switch d := any(&o.Value).(type) {
	case interface{ setDefaults() }:
		d.setDefaults()
	case interface{ SetDefaults() }:
		d.SetDefaults()
	}
}

// settings is the value of a section of Live.
func (o *Optional[T]) settings() ingest.Settings {
	s, _ := any(&o.Value).(ingest.Settings)
	return s
}
