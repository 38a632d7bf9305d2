package config

import "reflect"

// Optional is a section that is in force when the file has it: an empty section
// takes its defaults.
type Optional[T any] struct {
	// Set is true when the file has the section.
	Set   bool
	Value T
}

// optional lets the loader see through Optional.
type optional interface{ valueType() reflect.Type }

func (*Optional[T]) valueType() reflect.Type { return reflect.TypeFor[T]() }

// UnmarshalYAML decodes the section over its defaults.
func (o *Optional[T]) UnmarshalYAML(unmarshal func(any) error) error {
	o.SetDefault()
	return unmarshal(&o.Value)
}

// MarshalYAML leaves an absent section out.
func (o Optional[T]) MarshalYAML() (any, error) {
	if !o.Set {
		return nil, nil
	}
	return o.Value, nil
}

// SetDefault puts the section in force with its defaults.
func (o *Optional[T]) SetDefault() {
	o.Set = true
	if d, ok := any(&o.Value).(interface{ setDefaults() }); ok {
		d.setDefaults()
	}
}
