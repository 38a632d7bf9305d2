package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"stepdown/ingest/secret"
)

// Reference is something that a configuration names and a package reads later.
type Reference struct {
	// Path is the YAML path of the key.
	Path string
	// Secret is set for a secret, File for the path of a file.
	Secret secret.Secret
	File   string
}

// References returns the secrets of c, and the files of keys that end in _file,
// in the order of the fields.
func (c *Config) References() []Reference {
	var all []Reference
	walk(reflect.ValueOf(c).Elem(), "", func(path string, v reflect.Value) {
		switch value := v.Interface().(type) {
		case secret.Secret:
			if !value.IsZero() {
				all = append(all, Reference{Path: path, Secret: value})
			}
		case string:
			if value != "" && strings.HasSuffix(path, "_file") {
				all = append(all, Reference{Path: path, File: value})
			}
		}
	})
	return all
}

// walk visits every value of v that has no keys or items of its own.
func walk(v reflect.Value, path string, visit func(path string, v reflect.Value)) {
	if o, ok := reflect.TypeAssert[optional](v); ok {
		if !o.isSet() {
			return
		}
		v = v.FieldByName("Value")
	}
	switch fields := fieldsOfValue(v); {
	case len(fields) > 0:
		for _, f := range fields {
			walk(v.FieldByIndex(f.index), join(path, f.name), visit)
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), fmt.Sprintf("%s[%d]", path, i), visit)
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		walk(v.Elem(), path, visit)
	default:
		visit(path, v)
	}
}

// Differences returns the YAML paths at which c and other are not the same, in
// the order of the fields. A list that is longer or shorter is one difference.
func (c *Config) Differences(other *Config) []string {
	return differences(reflect.ValueOf(c).Elem(), reflect.ValueOf(other).Elem(), "")
}

func differences(a, b reflect.Value, path string) []string {
	if o, ok := reflect.TypeAssert[optional](a); ok {
		switch on := o.isSet(); {
		case on != b.Interface().(optional).isSet():
			return []string{path}
		case !on:
			return nil
		}
		a, b = a.FieldByName("Value"), b.FieldByName("Value")
	}
	var out []string
	switch fields := fieldsOfValue(a); {
	case len(fields) > 0:
		for _, f := range fields {
			out = append(out, differences(a.FieldByIndex(f.index), b.FieldByIndex(f.index), join(path, f.name))...)
		}
	case a.Kind() == reflect.Slice && a.Len() == b.Len():
		for i := range a.Len() {
			out = append(out, differences(a.Index(i), b.Index(i), fmt.Sprintf("%s[%d]", path, i))...)
		}
	case !reflect.DeepEqual(a.Interface(), b.Interface()):
		out = append(out, path)
	}
	return out
}

// fieldsOfValue returns the keys of a section, none for what is no section.
func fieldsOfValue(v reflect.Value) []field {
	if v.Kind() != reflect.Struct {
		return nil
	}
	return slices.DeleteFunc(fieldsOf(v.Type()), func(f field) bool { return f.name == "" })
}
