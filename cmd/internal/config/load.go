package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"stepdown/detect/rule/yamlpos"
)

// Error is one mistake in a configuration file.
type Error struct {
	File         string
	Line, Column int
	// Path is the YAML path, "kafka.sasl.mechanism"; empty for a syntax error.
	Path    string
	Message string
}

func (e *Error) Error() string {
	where := e.File
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
	}
	if e.Path == "" {
		return where + ": " + e.Message
	}
	return where + ": " + e.Path + ": " + e.Message
}

// Load reads, decodes and validates the file at path. The error joins every
// *Error that was found, so that one run shows them all.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse is Load for bytes; name is the file in errors.
func Parse(name string, data []byte) (cfg *Config, err error) {
	d := document{file: name}
	// The library indexes tokens without looking; a file may not stop the process.
	defer func() {
		if p := recover(); p != nil {
			cfg, err = nil, &Error{File: name, Message: fmt.Sprintf("is not YAML: %v", p)}
		}
	}()
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, d.libraryError(err)
	}
	docs := slices.DeleteFunc(file.Docs, func(doc *ast.DocumentNode) bool { return doc.Body == nil })
	switch len(docs) {
	case 0:
	case 1:
		d.root = docs[0].Body
	default:
		p := docs[1].Body.GetToken().Position
		return nil, &Error{File: name, Line: p.Line, Column: p.Column, Message: "has a second YAML document; write one"}
	}
	cfg = Default()
	if d.root != nil {
		d.check(d.root, d.root, reflect.TypeFor[Config](), "")
		if len(d.errs) > 0 {
			return nil, errors.Join(d.errs...)
		}
		if err := yaml.UnmarshalWithOptions(data, cfg, yaml.Strict()); err != nil {
			return nil, d.libraryError(err)
		}
		// The decoder makes a map anew; what the file does not name keeps its default.
		settle := Default().Detect.Settle
		maps.Copy(settle, cfg.Detect.Settle)
		cfg.Detect.Settle = settle
	}
	if err := cfg.Validate(); err != nil {
		return nil, d.locate(err)
	}
	return cfg, nil
}

// document is a parsed file, to find places and mistakes in.
type document struct {
	file string
	root ast.Node
	errs []error
}

// libraryError gives the library's error our form. Its text beyond the first
// line is a piece of the file, which may hold what must not be repeated.
func (d *document) libraryError(err error) error {
	var at interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &at) {
		message, _, _ := strings.Cut(err.Error(), "\n")
		return &Error{File: d.file, Message: message}
	}
	message, _, _ := strings.Cut(at.GetMessage(), "\n")
	e := &Error{File: d.file, Message: message}
	if t := at.GetToken(); t != nil && t.Position != nil {
		e.Line, e.Column = max(t.Position.Line, 1), max(t.Position.Column, 1)
	}
	return e
}

// shaped is a type that decodes itself over its defaults; shape is the type
// whose keys it takes.
type shaped interface{ shape() reflect.Type }

// check reports what is wrong with node as a value of type t: keys that do not
// exist and values of another kind. The decoder would stop at the first, and
// does not say where a duration or a secret stands. place is where a value that
// is not there is told to be missing.
func (d *document) check(node, place ast.Node, t reflect.Type, path string) {
	switch n := node.(type) {
	case *ast.AnchorNode:
		d.check(n.Value, place, t, path)
		return
	case *ast.AliasNode, *ast.TagNode:
		return // the decoder resolves it and finds what is wrong
	}
	empty := node.Type() == ast.NullType
	self := reflect.New(t).Interface()
	if s, ok := self.(shaped); ok {
		if empty {
			// To decode nothing over a value leaves it as it is, off.
			d.wrong(place, path, "is empty; write {} for the defaults, or leave it out")
			return
		}
		t = s.shape()
	} else if _, custom := self.(yaml.InterfaceUnmarshaler); custom {
		if err := yaml.NodeToValue(node, self); err != nil {
			message, _, _ := strings.Cut(err.Error(), "\n")
			d.wrong(node, path, "%s", message)
		}
		return
	}
	switch kind := t.Kind(); {
	case kind == reflect.Struct && path == "" && empty:
		d.wrong(node, path, "is null, want keys; an empty file is the defaults")
	case kind == reflect.Struct && !empty:
		d.checkStruct(node, t, path)
	case kind == reflect.Map && !empty:
		n, ok := node.(*ast.MappingNode)
		if !ok {
			d.wrong(node, path, "is %s, want keys", describe(node))
			return
		}
		for _, v := range n.Values {
			d.check(v.Value, v.Key, t.Elem(), join(path, keyOf(v)))
		}
	case kind == reflect.Slice && !empty:
		n, ok := node.(*ast.SequenceNode)
		if !ok {
			d.wrong(node, path, "is %s, want a list", describe(node))
			return
		}
		for i, v := range n.Values {
			d.check(v, node, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
		}
	case kind == reflect.Struct, kind == reflect.Map, kind == reflect.Slice:
	case empty:
		d.wrong(place, path, "is empty; leave the key out for the default")
	default:
		if want, ok := wants(node, t); !ok {
			d.wrong(node, path, "is %s, want %s", describe(node), want)
		}
	}
}

func (d *document) checkStruct(node ast.Node, t reflect.Type, path string) {
	n, ok := node.(*ast.MappingNode)
	if !ok {
		d.wrong(node, path, "is %s, want keys", describe(node))
		return
	}
	fields := fieldsOf(t)
	for _, v := range n.Values {
		if v.Key.IsMergeKey() {
			continue
		}
		key := keyOf(v)
		at := join(path, key)
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == key })
		if i < 0 {
			names := make([]string, len(fields))
			for j, f := range fields {
				names[j] = f.name
			}
			d.wrong(v.Key, at, "unknown key; %s", didYouMean(key, names))
			continue
		}
		d.check(v.Value, v.Key, fields[i].typ, at)
	}
}

// keyOf is a key without its quotes.
func keyOf(v *ast.MappingValueNode) string { return v.Key.GetToken().Value }

func (d *document) wrong(node ast.Node, path, format string, args ...any) {
	p := node.GetToken().Position
	d.errs = append(d.errs, &Error{File: d.file, Line: p.Line, Column: p.Column, Path: path, Message: fmt.Sprintf(format, args...)})
}

// wants reports whether a scalar can be decoded into t, and what t takes.
func wants(node ast.Node, t reflect.Type) (want string, ok bool) {
	is := node.Type()
	decodes := yaml.NodeToValue(node, reflect.New(t).Interface()) == nil
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 90s, 15m or 12h", decodes && is == ast.StringType
	case t.Kind() == reflect.Bool:
		return "true or false", decodes
	case t.Kind() == reflect.String:
		return "text", decodes
	}
	return "a whole number", decodes && is == ast.IntegerType
}

// describe is what a node is, for "is …, want …".
func describe(node ast.Node) string {
	switch node.Type() {
	case ast.MappingType:
		return "a section of keys"
	case ast.SequenceType:
		return "a list"
	case ast.StringType:
		return strconv.Quote(node.GetToken().Value)
	case ast.LiteralType:
		return "a text of several lines"
	}
	return node.GetToken().Value
}

type field struct {
	name string
	typ  reflect.Type
}

// fieldsOf lists the YAML keys of a struct, inline ones included.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case options == "inline" || f.Anonymous && name == "":
			out = append(out, fieldsOf(f.Type)...)
		default:
			out = append(out, field{name: name, typ: f.Type})
		}
	}
	return out
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// didYouMean names the nearest of names, or all of them when none is near.
func didYouMean(word string, names []string) string {
	if best := yamlpos.Nearest(word, names); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	slices.Sort(names)
	return "known here: " + strings.Join(names, ", ")
}

// locate turns errors of the form "path: message" into *Error with the place of
// the longest part of the path that the file has.
func (d *document) locate(err error) error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, d.locate(e))
		}
		return errors.Join(out...)
	}
	path, message, ok := strings.Cut(err.Error(), ": ")
	if !ok || strings.ContainsAny(path, " \t") {
		return &Error{File: d.file, Message: err.Error()}
	}
	e := &Error{File: d.file, Path: path, Message: message}
	node := d.root
	for _, step := range steps(path) {
		next, at := child(node, step)
		if at == nil {
			break
		}
		node, e.Line, e.Column = next, at.Position.Line, at.Position.Column
	}
	return e
}

// steps splits "inputs[0].file.paths" into inputs, 0, file, paths.
func steps(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

func child(node ast.Node, step string) (ast.Node, *token.Token) {
	switch n := node.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			if keyOf(v) == step {
				return v.Value, v.Key.GetToken()
			}
		}
	case *ast.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Values) {
			return n.Values[i], n.Values[i].GetToken()
		}
	}
	return nil, nil
}
