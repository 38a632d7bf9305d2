package jsonmap

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"stepdown/detect/rule/yamlpos"
)

// maxNodes bounds one expression.
const maxNodes = 200

// builtins are the functions of expr that take time in proportion to their text and
// give no more than they took.
var builtins = [...]string{"lower", "upper", "trim", "trimPrefix", "trimSuffix", "split", "hasPrefix", "hasSuffix", "indexOf", "len"}

// problem is what is wrong with an expression, at a character of it.
type problem struct {
	offset  int
	message string
}

// compile compiles the expression that n holds; it must give a T, which is string,
// []string or bool.
func compile[T any](m *Mapping, n yamlpos.Node, own bool) (*vm.Program, error) {
	text, err := n.Text()
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(text) == "" {
		return nil, n.Errorf("is empty: write an expression such as text(\"user.email\")")
	}
	check := &checker{mapping: m, own: own}
	want := reflect.TypeFor[T]()
	options := []expr.Option{expr.Env(&env{}), expr.MaxNodes(maxNodes), expr.DisableAllBuiltins(), expr.Patch(check)}
	for _, b := range builtins {
		options = append(options, expr.EnableBuiltin(b))
	}
	program, err := expr.Compile(text, options...)
	if check.problem != nil {
		return nil, n.ErrorAt(check.problem.offset, "%s", check.problem.message)
	}
	if err != nil {
		p := explain(err)
		return nil, n.ErrorAt(p.offset, "%s", p.message)
	}
	if got := program.Node().Type(); got != want {
		return nil, n.Errorf("must be %s, it is %s", said(want), said(got))
	}
	return program, nil
}

// said is a Go type in the words of mappings.
func said(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[string]():
		return "a text"
	case reflect.TypeFor[[]string]():
		return "a list of texts, as texts(…) gives"
	case reflect.TypeFor[bool]():
		return "true or false"
	case reflect.TypeFor[float64](), reflect.TypeFor[int]():
		return "a number"
	}
	return "of another type"
}

var unknownName = regexp.MustCompile(`^unknown name (\w+)$`)

// explain puts an error of the library into the words of mappings.
func explain(err error) *problem {
	message, offset := err.Error(), 0
	if at, ok := errors.AsType[*file.Error](err); ok {
		message, offset = at.Message, at.From
	}
	if m := unknownName.FindStringSubmatch(message); m != nil {
		message = fmt.Sprintf("unknown name %s%s", m[1], yamlpos.DidYouMean(m[1], slices.Concat(functions[:], builtins[:])))
	}
	return &problem{offset, message}
}

// checker refuses what is legal in expr and wrong in a mapping, and notes the paths.
type checker struct {
	mapping *Mapping
	// own: of the file, not of its preset.
	own     bool
	problem *problem
}

func (c *checker) refuse(n ast.Node, format string, args ...any) {
	if c.problem == nil {
		c.problem = &problem{n.Location().From, fmt.Sprintf(format, args...)}
	}
}

// Visit implements ast.Visitor.
func (c *checker) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.CallNode:
		name, ok := n.Callee.(*ast.IdentifierNode)
		if !ok || !slices.Contains(functions[:], name.Value) {
			return // unknown: the library says so
		}
		if len(n.Arguments) == 0 {
			c.refuse(n, "%s needs a path, such as %s(\"user.email\")", name.Value, name.Value)
		}
		for _, a := range n.Arguments {
			if path, ok := a.(*ast.StringNode); ok {
				c.path(path)
			} else {
				c.refuse(a, "a path must be a text in quotes")
			}
		}
	case *ast.IdentifierNode:
		if n.Value == "$env" {
			c.refuse(n, "$env is not possible here: ask by text(\"…\")")
		}
	case *ast.BinaryNode:
		if _, literal := n.Right.(*ast.StringNode); n.Operator == "matches" && !literal {
			c.refuse(n.Right, "the pattern of matches must be a text in quotes: it is compiled once")
		}
		if n.Operator == ".." {
			c.refuse(n, "a range is not possible here")
		}
	case *ast.BuiltinNode:
		if !slices.Contains(builtins[:], n.Name) {
			c.refuse(n, "%s is not possible here: use one of %s", n.Name, strings.Join(slices.Concat(functions[:], builtins[:]), ", "))
		}
	case *ast.VariableDeclaratorNode:
		c.refuse(n, "let is not possible here")
	case *ast.SequenceNode:
		c.refuse(n, "a semicolon is not possible here")
	}
}

func (c *checker) path(n *ast.StringNode) {
	steps := strings.Split(n.Value, ".")
	switch {
	case n.Value == "" || slices.Contains(steps, ""):
		c.refuse(n, "%q is no path: name members from the outside in, as in \"user.email\"", n.Value)
	case len(steps) > maxSteps:
		c.refuse(n, "a path has at most %d steps", maxSteps)
	}
	c.mapping.steps[n.Value] = steps
	if c.own {
		c.mapping.own[n.Value] = true
	}
}
