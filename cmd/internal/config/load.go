package config

import (
	"cmp"
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
	var parts []string
	switch {
	case e.File == "": // there is none
	case e.Line == 0:
		parts = append(parts, e.File)
	default:
		parts = append(parts, fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column))
	}
	if e.Path != "" {
		parts = append(parts, e.Path)
	}
	return strings.Join(append(parts, e.Message), ": ")
}

// Load reads, decodes and validates the file at path; an empty path is the
// configuration without a file. The error joins every *Error that was found, in
// the order of the file, so that one run shows them all.
func Load(path string) (*Config, error) {
	cfg, _, err := Examine(path, nil)
	return cfg, err
}

// Look tells what is wrong, and what is doubtful, with what a configuration names
// outside of its file. Every error begins with a YAML path and ": ".
type Look func(*Config) (wrong, doubtful []error)

// Examine is Load, and look in addition. What look finds doubtful comes back
// beside the configuration, told as an error is.
func Examine(path string, look Look) (cfg *Config, doubtful []error, err error) {
	if path == "" {
		return examine(&document{}, look)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	return parse(path, data, look)
}

// Parse is Load for bytes; name is the file in errors.
func Parse(name string, data []byte) (*Config, error) {
	cfg, _, err := parse(name, data, nil)
	return cfg, err
}

func parse(name string, data []byte, look Look) (cfg *Config, doubtful []error, err error) {
	d := document{file: name}
	// The library indexes tokens without looking; a file may not stop the process.
	defer func() {
		if p := recover(); p != nil {
			cfg, doubtful, err = nil, nil, &Error{File: name, Message: fmt.Sprintf("is not YAML: %v", p)}
		}
	}()
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		e := d.libraryError(err)
		if lines := strings.Split(string(data), "\n"); e.Line > 0 && e.Line <= len(lines) && strings.Contains(lines[e.Line-1], "${") {
			e.Message += "; within {…} and […], \"${ENV_NAME}\" needs its quotes"
		}
		return nil, nil, e
	}
	docs := slices.DeleteFunc(file.Docs, func(doc *ast.DocumentNode) bool { return doc.Body == nil })
	switch len(docs) {
	case 0:
	case 1:
		d.root = docs[0].Body
	default:
		p := docs[1].Body.GetToken().Position
		return nil, nil, &Error{File: name, Line: p.Line, Column: p.Column, Message: "has a second YAML document; write one"}
	}
	return examine(&d, look)
}

// examine decodes and validates d, which without a root is the defaults. What
// cannot be decoded is told and left out, so that the rest is judged too.
func examine(d *document, look Look) (cfg *Config, doubtful []error, err error) {
	cfg = Default()
	if d.root != nil {
		if !d.check(d.root, d.root, reflect.TypeFor[Config](), "") {
			return nil, nil, d.all()
		}
		if err := yaml.NodeToValue(d.root, cfg, yaml.Strict()); err != nil {
			d.errs = append(d.errs, d.libraryError(err))
			return nil, nil, d.all()
		}
		// The decoder makes a map anew; what the file does not name keeps its default.
		detect := Default().Detect
		maps.Copy(detect.Settle, cfg.Detect.Settle)
		maps.Copy(detect.SourceLateness, cfg.Detect.SourceLateness)
		cfg.Detect.Settle, cfg.Detect.SourceLateness = detect.Settle, detect.SourceLateness
	}
	var wrong []error
	if err := cfg.Validate(); err != nil {
		wrong = append(wrong, err)
	}
	if look != nil {
		more, doubts := look(cfg)
		wrong = append(wrong, more...)
		for _, e := range d.locate(errors.Join(doubts...)) {
			doubtful = append(doubtful, e)
		}
	}
	for _, e := range d.locate(errors.Join(wrong...)) {
		if !d.follows(e.Path) {
			d.errs = append(d.errs, e)
		}
	}
	if len(d.errs) > 0 {
		return nil, nil, d.all()
	}
	return cfg, doubtful, nil
}

// document is a parsed file, to find places and mistakes in.
type document struct {
	file string
	root ast.Node
	errs []*Error
	// left are the paths of what was left out because it cannot be decoded, and of
	// what an unknown key was probably meant to be.
	left []string
}

// all joins what was found, in the order of the file.
func (d *document) all() error {
	slices.SortStableFunc(d.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	errs := make([]error, len(d.errs))
	for i, e := range d.errs {
		errs[i] = e
	}
	return errors.Join(errs...)
}

// follows reports whether an error at path may only be there because something
// was left out: it is about that, about a part of it or about what it is part of.
func (d *document) follows(path string) bool {
	within := func(path, whole string) bool {
		rest, ok := strings.CutPrefix(path, whole)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	}
	return slices.ContainsFunc(d.left, func(left string) bool { return within(path, left) || within(left, path) })
}

// libraryError gives the library's error our form. Its text beyond the first
// line is a piece of the file, which may hold what must not be repeated.
func (d *document) libraryError(err error) *Error {
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
// is not there is told to be missing. Of a section it takes out what cannot be
// decoded; it returns false when node as a whole cannot.
func (d *document) check(node, place ast.Node, t reflect.Type, path string) bool {
	switch n := node.(type) {
	case *ast.AnchorNode:
		return d.check(n.Value, place, t, path)
	case *ast.AliasNode, *ast.TagNode:
		return true // the decoder resolves it and finds what is wrong
	}
	empty := node.Type() == ast.NullType
	self := reflect.New(t).Interface()
	if s, ok := self.(shaped); ok {
		if empty {
			// To decode nothing over a value leaves it as it is, off.
			return d.wrong(place, path, "is empty; write {} for the defaults, or leave it out")
		}
		t = s.shape()
	} else if _, custom := self.(yaml.InterfaceUnmarshaler); custom {
		if err := yaml.NodeToValue(node, self); err != nil {
			message, _, _ := strings.Cut(err.Error(), "\n")
			return d.wrong(node, path, "%s", message)
		}
		return true
	}
	switch kind := t.Kind(); {
	case kind == reflect.Struct && path == "" && empty:
		return d.wrong(node, path, "is null, want keys; an empty file is the defaults")
	case kind == reflect.Struct && !empty:
		return d.checkStruct(node, t, path)
	case kind == reflect.Map && !empty:
		n, ok := node.(*ast.MappingNode)
		if !ok {
			return d.wrong(node, path, "is %s, want keys", describe(node))
		}
		n.Values = slices.DeleteFunc(n.Values, func(v *ast.MappingValueNode) bool {
			return !d.checkValue(v, t.Elem(), join(path, keyOf(v)))
		})
	case kind == reflect.Slice && !empty:
		n, ok := node.(*ast.SequenceNode)
		if !ok {
			return d.wrong(node, path, "is %s, want a list", describe(node))
		}
		whole := true // without one of its items, the others would change places
		for i, v := range n.Values {
			whole = d.check(v, node, t.Elem(), fmt.Sprintf("%s[%d]", path, i)) && whole
		}
		return whole
	case kind == reflect.Struct, kind == reflect.Map, kind == reflect.Slice:
	case empty:
		return d.wrong(place, path, "is empty; leave the key out for the default")
	default:
		if want, ok := wants(node, t); !ok {
			return d.wrong(node, path, "is %s, want %s", describe(node), want)
		}
	}
	return true
}

func (d *document) checkStruct(node ast.Node, t reflect.Type, path string) bool {
	n, ok := node.(*ast.MappingNode)
	if !ok {
		return d.wrong(node, path, "is %s, want keys", describe(node))
	}
	fields := fieldsOf(t)
	n.Values = slices.DeleteFunc(n.Values, func(v *ast.MappingValueNode) bool {
		if v.Key.IsMergeKey() {
			return false
		}
		key := keyOf(v)
		at := join(path, key)
		if i := slices.IndexFunc(fields, func(f field) bool { return f.name == key }); i >= 0 {
			return !d.checkValue(v, fields[i].typ, at)
		}
		names := make([]string, len(fields))
		for j, f := range fields {
			names[j] = f.name
		}
		d.wrong(v.Key, at, "unknown key; %s", didYouMean(key, names))
		if meant := yamlpos.Nearest(key, names); meant != "" {
			d.left = append(d.left, join(path, meant))
		}
		return true
	})
	return true
}

// checkValue is check for the value of a key.
func (d *document) checkValue(v *ast.MappingValueNode, t reflect.Type, path string) bool {
	ok := d.check(v.Value, v.Key, t, path)
	if !ok {
		d.left = append(d.left, path)
	}
	return ok
}

// keyOf is a key without its quotes.
func keyOf(v *ast.MappingValueNode) string { return v.Key.GetToken().Value }

// wrong notes an error at node; it returns false, as check does then.
func (d *document) wrong(node ast.Node, path, format string, args ...any) bool {
	p := node.GetToken().Position
	d.errs = append(d.errs, &Error{File: d.file, Line: p.Line, Column: p.Column, Path: path, Message: fmt.Sprintf(format, args...)})
	return false
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
	name  string
	typ   reflect.Type
	index []int
}

// fieldsOf lists the YAML keys of a struct, inline ones included.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case options == "inline" || f.Anonymous && name == "":
			for _, in := range fieldsOf(f.Type) {
				in.index = append(slices.Clone(f.Index), in.index...)
				out = append(out, in)
			}
		default:
			out = append(out, field{name: name, typ: f.Type, index: f.Index})
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
func (d *document) locate(err error) []*Error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var out []*Error
		for _, e := range joined.Unwrap() {
			out = append(out, d.locate(e)...)
		}
		return out
	}
	path, message, ok := strings.Cut(err.Error(), ": ")
	if !ok || strings.ContainsAny(path, " \t") {
		return []*Error{{File: d.file, Message: err.Error()}}
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
	return []*Error{e}
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
