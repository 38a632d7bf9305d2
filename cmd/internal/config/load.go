package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
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
func Parse(name string, data []byte) (*Config, error) {
	d := document{file: name}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, d.decodeError(err)
	}
	switch len(file.Docs) {
	case 0:
	case 1:
		d.root = file.Docs[0].Body
	default:
		return nil, &Error{File: name, Message: "has several YAML documents; write one"}
	}
	cfg := Default()
	if d.root != nil {
		if errs := d.unknown(d.root, reflect.TypeFor[Config](), ""); len(errs) > 0 {
			return nil, errors.Join(errs...)
		}
		if err := yaml.UnmarshalWithOptions(data, cfg, yaml.Strict()); err != nil {
			return nil, d.decodeError(err)
		}
	}
	if err := cfg.Validate(); err != nil {
		return nil, d.locate(err)
	}
	return cfg, nil
}

// document is a parsed file, to find places in.
type document struct {
	file string
	root ast.Node
}

// decodeError gives the library's error our form.
func (d *document) decodeError(err error) error {
	var at interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &at) && at.GetToken() != nil && at.GetToken().Position != nil {
		p := at.GetToken().Position
		return &Error{File: d.file, Line: p.Line, Column: p.Column, Path: d.pathAt(p.Line, p.Column), Message: plain(at.GetMessage())}
	}
	return &Error{File: d.file, Message: plain(err.Error())}
}

// plain says in our words what the decoder says in Go's.
func plain(message string) string {
	message, _, _ = strings.Cut(message, "\n")
	if from, to, ok := strings.Cut(message, " into Go struct field "); ok {
		_, kind, _ := strings.Cut(to, " of type ")
		from = strings.TrimPrefix(from, "cannot unmarshal ")
		return fmt.Sprintf("is a %s, want a %s", from, kindWord(kind))
	}
	if from, kind, ok := strings.Cut(message, " into Go value of type "); ok {
		return fmt.Sprintf("is a %s, want a %s", strings.TrimPrefix(from, "cannot unmarshal "), kindWord(kind))
	}
	if strings.HasPrefix(message, "time: ") {
		return message + "; write a duration such as 90s, 15m or 12h"
	}
	return message
}

func kindWord(kind string) string {
	switch {
	case kind == "time.Duration":
		return "duration such as 90s, 15m or 12h"
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "whole number"
	case strings.HasPrefix(kind, "[]"):
		return "list"
	case kind == "bool":
		return "true or false"
	case kind == "string":
		return "text"
	}
	return kind
}

// unknown reports the keys of node that t has no field for.
func (d *document) unknown(node ast.Node, t reflect.Type, path string) []error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if o, ok := reflect.New(t).Interface().(optional); ok {
		t = o.valueType()
	} else if _, custom := reflect.New(t).Interface().(yaml.InterfaceUnmarshaler); custom {
		return nil // it refuses what it does not know by itself
	}
	var errs []error
	switch n := node.(type) {
	case *ast.MappingNode:
		if t.Kind() != reflect.Struct {
			return nil // a map, or an error that decoding tells better
		}
		fields := fieldsOf(t)
		for _, v := range n.Values {
			key := v.Key.String()
			at := join(path, key)
			i := slices.IndexFunc(fields, func(f field) bool { return f.name == key })
			if i < 0 {
				names := make([]string, len(fields))
				for j, f := range fields {
					names[j] = f.name
				}
				p := v.Key.GetToken().Position
				errs = append(errs, &Error{File: d.file, Line: p.Line, Column: p.Column, Path: at, Message: "unknown key; " + didYouMean(key, names)})
				continue
			}
			errs = append(errs, d.unknown(v.Value, fields[i].typ, at)...)
		}
	case *ast.SequenceNode:
		if t.Kind() != reflect.Slice {
			return nil
		}
		for i, v := range n.Values {
			errs = append(errs, d.unknown(v, t.Elem(), fmt.Sprintf("%s[%d]", path, i))...)
		}
	}
	return errs
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
	best, distance := "", 3
	for _, n := range names {
		if d := editDistance(word, n); d < distance {
			best, distance = n, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	slices.Sort(names)
	return "known here: " + strings.Join(names, ", ")
}

// editDistance is the Levenshtein distance.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
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
			if v.Key.String() == step {
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

// pathAt returns the YAML path of the value at a place.
func (d *document) pathAt(line, column int) string {
	best := ""
	var walk func(node ast.Node, path string)
	walk = func(node ast.Node, path string) {
		if t := node.GetToken(); t != nil && t.Position != nil && t.Position.Line == line && t.Position.Column == column {
			best = path
		}
		switch n := node.(type) {
		case *ast.MappingNode:
			for _, v := range n.Values {
				at := join(path, v.Key.String())
				if t := v.Key.GetToken(); t.Position.Line == line && best == "" {
					best = at
				}
				walk(v.Value, at)
			}
		case *ast.SequenceNode:
			for i, v := range n.Values {
				walk(v, fmt.Sprintf("%s[%d]", path, i))
			}
		}
	}
	if d.root != nil {
		walk(d.root, "")
	}
	return best
}
