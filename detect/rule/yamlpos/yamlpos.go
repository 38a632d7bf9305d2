package yamlpos

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxSize is the longest file that is read, in bytes.
const MaxSize = 256 << 10

// Error is a mistake at a place.
type Error struct {
	File         string
	Line, Column int // from 1
	Message      string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// Node is one value of a file. The zero Node is an absent value.
type Node struct {
	src  *source
	node ast.Node
}

type source struct {
	file  string
	lines [][]rune
}

// Pair is one entry of a mapping, in the order of the file.
type Pair struct {
	Key   string
	Name  Node // the key itself, for errors
	Value Node
}

// Parse reads one document. Errors are of type *Error.
func Parse(file string, data []byte) (n Node, err error) {
	at := func(line, column int, format string, args ...any) error {
		return &Error{File: file, Line: line, Column: column, Message: fmt.Sprintf(format, args...)}
	}
	if len(data) > MaxSize {
		return Node{}, at(1, 1, "has %d bytes, at most %d", len(data), MaxSize)
	}
	// The parser indexes tokens without looking; a file may not stop the process.
	defer func() {
		if r := recover(); r != nil {
			n, err = Node{}, at(1, 1, "is not YAML: %v", r)
		}
	}()
	f, err := parser.ParseBytes(data, 0)
	if err != nil {
		var syntax interface {
			GetToken() *token.Token
			GetMessage() string
		}
		if errors.As(err, &syntax) && syntax.GetToken() != nil && syntax.GetToken().Position != nil {
			p := syntax.GetToken().Position
			return Node{}, at(max(p.Line, 1), max(p.Column, 1), "is not YAML: %s", syntax.GetMessage())
		}
		return Node{}, at(1, 1, "is not YAML: %v", err)
	}
	docs := slices.DeleteFunc(f.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	switch {
	case len(docs) == 0:
		return Node{}, at(1, 1, "is empty")
	case len(docs) > 1:
		p := docs[1].Body.GetToken().Position
		return Node{}, at(p.Line, p.Column, "has a second document: write one file per rule")
	}
	src := &source{file: file}
	for line := range strings.SplitSeq(string(data), "\n") {
		src.lines = append(src.lines, []rune(line))
	}
	return Node{src: src, node: docs[0].Body}, nil
}

// IsZero reports whether the value is absent.
func (n Node) IsZero() bool { return n.node == nil }

// IsMap reports whether the value is a mapping.
func (n Node) IsMap() bool { _, ok := n.node.(*ast.MappingNode); return ok }

// IsList reports whether the value is a list.
func (n Node) IsList() bool { _, ok := n.node.(*ast.SequenceNode); return ok }

// IsText reports whether the value is a text.
func (n Node) IsText() bool { _, err := n.Text(); return err == nil && !n.IsZero() }

func (n Node) position() (line, column int) {
	if m, ok := n.node.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		if t := m.Values[0].Key.GetToken(); t != nil {
			return t.Position.Line, t.Position.Column
		}
	}
	if t := n.node.GetToken(); t != nil && t.Position != nil {
		return max(t.Position.Line, 1), max(t.Position.Column, 1)
	}
	return 1, 1
}

// Line returns the line of the value, from 1.
func (n Node) Line() int {
	line, _ := n.position()
	return line
}

// Errorf returns an error at the beginning of the value.
func (n Node) Errorf(format string, args ...any) error {
	line, column := n.position()
	return &Error{File: n.src.file, Line: line, Column: column, Message: fmt.Sprintf(format, args...)}
}

// ErrorAt returns an error at the given character of the value's text.
func (n Node) ErrorAt(offset int, format string, args ...any) error {
	line, column := n.locate(offset)
	return &Error{File: n.src.file, Line: line, Column: column, Message: fmt.Sprintf(format, args...)}
}

// locate finds the place in the file of the rune at offset in the value's text.
// Quotes, escapes, indentation and folding make the two differ, so they are
// walked side by side: white space matches any white space, and what stands in
// the file only is stepped over.
func (n Node) locate(offset int) (line, column int) {
	line, column = n.position()
	text, err := n.Text()
	if err != nil {
		return line, column
	}
	l, c := line-1, column-1
	if _, block := n.node.(*ast.LiteralNode); block {
		l, c = l+1, 0
	}
	peek := func() (rune, bool) {
		for l < len(n.src.lines) && c >= len(n.src.lines[l]) {
			l, c = l+1, 0
		}
		if l >= len(n.src.lines) {
			return 0, false
		}
		return n.src.lines[l][c], true
	}
	for i, want := range []rune(text) {
		if unicode.IsSpace(want) {
			if i == offset {
				break
			}
			continue
		}
		for {
			r, ok := peek()
			if !ok {
				return line, column
			}
			if r == want {
				break
			}
			c++
		}
		if i >= offset {
			return l + 1, c + 1
		}
		c++
	}
	return l + 1, c + 1
}

// Map returns the entries of a mapping. what names the value in the error.
func (n Node) Map(what string) ([]Pair, error) {
	m, ok := n.node.(*ast.MappingNode)
	if !ok {
		return nil, n.Errorf("%s must be a mapping (name: value), it is %s", what, n.form())
	}
	pairs := make([]Pair, 0, len(m.Values))
	seen := map[string]bool{}
	for _, v := range m.Values {
		name := Node{src: n.src, node: v.Key}
		key, err := name.Text()
		if err != nil {
			return nil, err
		}
		if seen[key] {
			return nil, name.Errorf("%s is there twice", key)
		}
		seen[key] = true
		p := Pair{Key: key, Name: name}
		if _, null := v.Value.(*ast.NullNode); !null {
			p.Value = Node{src: n.src, node: v.Value}
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

// List returns the entries of a sequence.
func (n Node) List(what string) ([]Node, error) {
	s, ok := n.node.(*ast.SequenceNode)
	if !ok {
		return nil, n.Errorf("%s must be a list, it is %s", what, n.form())
	}
	list := make([]Node, 0, len(s.Values))
	for _, v := range s.Values {
		list = append(list, Node{src: n.src, node: v})
	}
	return list, nil
}

// Text returns a scalar as it is written, without its quotes.
func (n Node) Text() (string, error) {
	switch v := n.node.(type) {
	case nil, *ast.NullNode:
		return "", nil
	case *ast.StringNode:
		return v.Value, nil
	case *ast.LiteralNode:
		return v.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return v.GetToken().Value, nil
	}
	return "", n.Errorf("must be a text, it is %s", n.form())
}

func (n Node) form() string {
	switch n.node.(type) {
	case nil, *ast.NullNode:
		return "empty"
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.TagNode:
		return "a YAML tag: put the text in quotes"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "a YAML anchor or alias: put the text in quotes"
	}
	return "a text"
}

// Unknown returns the error for a key that is none of known.
func (p Pair) Unknown(known []string) error {
	return p.Name.Errorf("unknown key %s%s", p.Key, DidYouMean(p.Key, known))
}

// DidYouMean returns ": did you mean x?" for the nearest of known, else a list of
// them when it is short, else nothing.
func DidYouMean(got string, known []string) string {
	switch best := Nearest(got, known); {
	case best != "":
		return ": did you mean " + best + "?"
	case len(known) > 0 && len(known) <= 32:
		return ": use one of " + strings.Join(known, ", ")
	}
	return ""
}

// Nearest returns the word of known that got is a slip of the pen away from, ""
// when none is.
func Nearest(got string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := levenshtein(strings.ToLower(got), strings.ToLower(k)); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	return best
}

// levenshtein returns how many single-character edits lie between a and b.
func levenshtein(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := i + 1
		diagonal := row[0]
		row[0] = left
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(diagonal+cost, row[j+1]+1, left+1)
			diagonal, row[j+1], left = row[j+1], next, next
		}
	}
	return row[len(b)]
}
