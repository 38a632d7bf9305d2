package rule

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"stepdown/detect/rule/yamlpos"
)

// Limits of one expression. They bound what a rule can cost: facts are short
// lists, so two nested walks over them end soon.
const (
	maxNodes          = 400
	maxRange          = 10_000
	maxPredicateDepth = 2
)

// term is one named and compiled expression.
type term struct {
	name string
	// text is as written in the rule.
	text    string
	needs   groups
	program *vm.Program
	// fast is the same as a closure; nil where the machine has to do it.
	fast     func(*Evaluator) bool
	operands []operand
	// blank: an empty text was meant as such, and is not a fact that is not known.
	blank bool
}

// operand is one fact that a term looks at.
type operand struct {
	text    string
	needs   groups
	program *vm.Program
}

// problem is what is wrong with an expression, at a character of it.
type problem struct {
	offset  int
	message string
}

func (p *problem) Error() string { return p.message }

// compiler compiles the expressions of one rule.
type compiler struct {
	vocabulary *vocabulary
	lets       []binding
	// mentioned are the rules that found() asks for.
	mentioned []string
}

// binding is a name that let: gives to an expression.
type binding struct{ name, text string }

func (c *compiler) let(name string) (binding, bool) {
	i := slices.IndexFunc(c.lets, func(b binding) bool { return b.name == name })
	if i < 0 {
		return binding{}, false
	}
	return c.lets[i], true
}

// options are those that every expression of a rule is compiled with.
func (c *compiler) options(extra ...expr.Option) []expr.Option {
	opts := []expr.Option{expr.Env(&Facts{}), expr.MaxNodes(maxNodes), expr.DisableAllBuiltins()}
	for _, name := range builtins() {
		opts = append(opts, expr.EnableBuiltin(name))
	}
	return append(opts, extra...)
}

// parse returns the syntax tree of text.
func parse(text string) (ast.Node, error) {
	config := conf.CreateNew()
	config.MaxNodes = maxNodes
	tree, err := parser.ParseWithConfig(text, config)
	if err != nil {
		return nil, err
	}
	return tree.Node, nil
}

// condition compiles text, which must be true or false, with its operands.
func (c *compiler) condition(name, text string) (term, error) {
	program, err := c.compile(text, expr.AsBool(), expr.WarnOnAny())
	if err != nil {
		return term{}, err
	}
	t := term{name: name, text: strings.Join(strings.Fields(text), " "), program: program, needs: c.needs(program.Node())}
	t.fast = c.closure(program.Node())
	mentioned := c.mentioned
	t.operands, err = c.operands(text)
	c.mentioned = mentioned
	return t, err
}

// value compiles text as an expression of any type that can be shown.
func (c *compiler) value(name, text string) (term, error) {
	program, err := c.compile(text, expr.AsAny())
	if err != nil {
		return term{}, err
	}
	if t := program.Node().Type(); !showable(t) {
		return term{}, &problem{0, "cannot be shown: it is " + c.typeName(t)}
	}
	_, fact := c.vocabulary.facts[pathOf(program.Node())]
	return term{name: name, text: text, program: program, needs: c.needs(program.Node()), blank: !fact}, nil
}

// choice compiles text as an expression that yields one of allowed.
func (c *compiler) choice(name, text string, allowed []string) (term, error) {
	tree, err := parse(text)
	if err != nil {
		return term{}, c.explain(err)
	}
	if err := checkChoice(tree, allowed); err != nil {
		return term{}, err
	}
	program, err := c.compile(text, expr.AsKind(reflect.String))
	if err != nil {
		return term{}, err
	}
	return term{name: name, text: text, program: program, needs: c.needs(program.Node())}, nil
}

// checkChoice holds every outcome of a conditional to allowed.
func checkChoice(n ast.Node, allowed []string) error {
	switch n := n.(type) {
	case *ast.ConditionalNode:
		if err := checkChoice(n.Exp1, allowed); err != nil {
			return err
		}
		return checkChoice(n.Exp2, allowed)
	case *ast.StringNode:
		if slices.Contains(allowed, n.Value) {
			return nil
		}
		return &problem{n.Location().From, fmt.Sprintf("%q is not possible here%s", n.Value, yamlpos.DidYouMean(n.Value, allowed))}
	}
	return &problem{n.Location().From, fmt.Sprintf("must choose between texts, as in: me.privileged ? %q : %q", allowed[0], allowed[1])}
}

// compile checks and compiles text; errors are of type *problem.
func (c *compiler) compile(text string, as ...expr.Option) (*vm.Program, error) {
	if strings.TrimSpace(text) == "" {
		return nil, &problem{0, "is empty: write an expression"}
	}
	tree, err := parse(text)
	if err != nil {
		return nil, c.explain(err)
	}
	if err := checkTree(tree); err != nil {
		return nil, err
	}
	literals := &literals{compiler: c}
	program, err := expr.Compile(text, c.options(append(as, expr.Patch(&expander{compiler: c}), expr.Patch(literals))...)...)
	if literals.problem != nil {
		return nil, literals.problem
	}
	if err != nil {
		return nil, c.explain(err)
	}
	return program, nil
}

// checkTree refuses what is legal in expr and wrong in a rule.
func checkTree(root ast.Node) error {
	depths := map[ast.Node]int{}
	var found *problem
	refuse := func(n ast.Node, format string, args ...any) {
		if found == nil {
			found = &problem{begin(n), fmt.Sprintf(format, args...)}
		}
	}
	walk(root, func(n ast.Node) {
		switch n := n.(type) {
		case *ast.BinaryNode:
			switch n.Operator {
			case "matches":
				if _, ok := n.Right.(*ast.StringNode); !ok {
					refuse(n.Right, "the pattern of matches must be a text in quotes: it is compiled once, when the rule is loaded")
				}
			case "..":
				from, ok := n.Left.(*ast.IntegerNode)
				to, ok2 := n.Right.(*ast.IntegerNode)
				if !ok || !ok2 || to.Value-from.Value > maxRange {
					refuse(n, "a range must be between two numbers, of at most %d", maxRange)
				}
			}
		case *ast.BuiltinNode:
			for _, a := range n.Arguments {
				if p, ok := a.(*ast.PredicateNode); ok {
					inner := 0
					walk(p, func(m ast.Node) { inner = max(inner, depths[m]) })
					depths[n] = inner + 1
				}
			}
			if depths[n] > maxPredicateDepth {
				refuse(n, "%s is nested too deep: at most %d of all, any, filter and the like inside each other", n.Name, maxPredicateDepth)
			}
		case *ast.VariableDeclaratorNode:
			refuse(n, "let is not possible inside an expression: name the value under let:")
		case *ast.SequenceNode:
			refuse(n, "a semicolon is not possible here: name each condition under when:")
		case *ast.IdentifierNode:
			if n.Value == "$env" {
				refuse(n, "$env is not possible here: name a fact")
			}
		}
	})
	if found != nil {
		return found
	}
	return nil
}

// begin returns where n begins: a fact is placed at its last name, a comparison
// at its operator.
func begin(n ast.Node) int {
	first := n.Location().From
	walk(n, func(m ast.Node) { first = min(first, m.Location().From) })
	return first
}

// visitor makes a function an ast.Visitor.
type visitor func(*ast.Node)

func (v visitor) Visit(n *ast.Node) { v(n) }

// walk calls f for every node of root, children first.
func walk(root ast.Node, f func(ast.Node)) {
	ast.Walk(&root, visitor(func(n *ast.Node) { f(*n) }))
}

// expander puts the expression in the place of a name that let: gave it.
type expander struct{ compiler *compiler }

func (x *expander) Visit(n *ast.Node) {
	name, ok := (*n).(*ast.IdentifierNode)
	if !ok {
		return
	}
	b, ok := x.compiler.let(name.Value)
	if !ok {
		return
	}
	tree, err := parse(b.text)
	if err != nil {
		return // it was compiled before
	}
	ast.Walk(&tree, x)
	walk(tree, func(m ast.Node) { m.SetLocation(name.Location()) })
	*n = tree
}

// literals turns texts into spans and lists where that is what is asked for, and
// holds texts that are compared with a closed list to it.
type literals struct {
	compiler *compiler
	problem  *problem
}

func (l *literals) refuse(n ast.Node, message string) {
	if l.problem == nil {
		l.problem = &problem{n.Location().From, message}
	}
}

func (l *literals) Visit(n *ast.Node) {
	switch v := (*n).(type) {
	case *ast.BinaryNode:
		l.span(v.Left.Type(), &v.Right)
		l.span(v.Right.Type(), &v.Left)
		switch v.Operator {
		case "==", "!=":
			l.member(v.Left, v.Right)
			l.member(v.Right, v.Left)
		case "in":
			l.member(v.Left, v.Right)
			l.member(v.Right, v.Left)
		}
	case *ast.CallNode:
		t := v.Callee.Type()
		if t.Kind() != reflect.Func {
			return
		}
		for i := range min(len(v.Arguments), t.NumIn()) {
			l.span(t.In(i), &v.Arguments[i])
			l.list(t.In(i), &v.Arguments[i])
		}
		if name, ok := v.Callee.(*ast.IdentifierNode); ok && name.Value == "found" && len(v.Arguments) > 0 {
			if k, ok := v.Arguments[0].(*ast.ConstantNode); ok {
				l.compiler.mentioned = append(l.compiler.mentioned, k.Value.([]string)...)
			}
		}
	case *ast.MemberNode:
		switch t := v.Node.Type(); t {
		case reflect.TypeFor[time.Time](), reflect.TypeFor[time.Duration]():
			l.refuse(v.Property, "a time or span has no parts here: compare it, or subtract two times")
		}
	}
}

// span turns a text where a span is asked for into one.
func (l *literals) span(want reflect.Type, n *ast.Node) {
	text, ok := (*n).(*ast.StringNode)
	if want != reflect.TypeFor[time.Duration]() || !ok {
		return
	}
	d, err := ParseDuration(text.Value)
	if err != nil {
		l.refuse(*n, err.Error())
		return
	}
	constant(n, d)
}

// list turns a list of texts where one is asked for into one.
func (l *literals) list(want reflect.Type, n *ast.Node) {
	array, ok := (*n).(*ast.ArrayNode)
	if want != reflect.TypeFor[[]string]() || !ok {
		return
	}
	var out []string
	for _, m := range array.Nodes {
		text, ok := m.(*ast.StringNode)
		if !ok {
			l.refuse(m, "must be a text in quotes")
			return
		}
		out = append(out, text.Value)
	}
	constant(n, out)
}

// constant replaces n by a value, with its type for what is checked next.
func constant(n *ast.Node, value any) {
	k := &ast.ConstantNode{Value: value}
	k.SetType(reflect.TypeOf(value))
	ast.Patch(n, k)
	(*n).SetType(reflect.TypeOf(value))
}

// member refuses texts in other that the fact n can never have.
func (l *literals) member(n, other ast.Node) {
	name, ok := n.(*ast.MemberNode)
	if !ok {
		return
	}
	property, ok := name.Property.(*ast.StringNode)
	base := name.Node.Type()
	if !ok || base.Kind() != reflect.Struct {
		return
	}
	var allowed []string
	for f := range base.Fields() {
		if f.Tag.Get("expr") == property.Value {
			allowed = closedList(f.Tag.Get("list"))
		}
	}
	if allowed == nil {
		return
	}
	check := func(m ast.Node) {
		if text, ok := m.(*ast.StringNode); ok && text.Value != "" && !slices.Contains(allowed, text.Value) {
			l.refuse(m, fmt.Sprintf("%s is never %q%s", property.Value, text.Value, yamlpos.DidYouMean(text.Value, allowed)))
		}
	}
	check(other)
	if array, ok := other.(*ast.ArrayNode); ok {
		for _, m := range array.Nodes {
			check(m)
		}
	}
}

// explain turns an error of expr into a problem in the rules' own words.
func (c *compiler) explain(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	var at *file.Error
	if !errors.As(err, &at) {
		m := regexp.MustCompile(`^expected (\w+), but got (.+)$`).FindStringSubmatch(err.Error())
		if m != nil && m[1] == "bool" {
			return &problem{0, "must be true or false, it is " + c.goType(m[2])}
		}
		if m != nil {
			return &problem{0, "must be a text, it is " + c.goType(m[2])}
		}
		return &problem{0, err.Error()}
	}
	message := at.Message
	if m := regexp.MustCompile(`^unknown name (\w+)$`).FindStringSubmatch(message); m != nil {
		known := c.vocabulary.names("")
		for _, b := range c.lets {
			known = append(known, b.name)
		}
		message = fmt.Sprintf("unknown name %s%s", m[1], yamlpos.DidYouMean(m[1], known))
	}
	if m := regexp.MustCompile(`^type (\S+) has no (?:field|method) (\w+)$`).FindStringSubmatch(message); m != nil {
		message = fmt.Sprintf("%s has no %s%s", c.goType(m[1]), m[2], yamlpos.DidYouMean(m[2], c.fieldsBelow(m[1])))
	}
	if m := regexp.MustCompile(`^(\S+) is not callable$`).FindStringSubmatch(message); m != nil {
		message = c.goType(m[1]) + " is not a function: write it without parentheses"
	}
	message = regexp.MustCompile(`\bmismatched types (\S+) and (\S+?)\)`).ReplaceAllStringFunc(message, func(s string) string {
		m := regexp.MustCompile(`types (\S+) and (\S+?)\)`).FindStringSubmatch(s)
		return fmt.Sprintf("%s and %s do not go together)", c.goType(m[1]), c.goType(m[2]))
	})
	return &problem{at.From, message}
}

func (c *compiler) typeName(t reflect.Type) string { return c.goType(t.String()) }

// goType says a Go type in the words of rules.
func (c *compiler) goType(name string) string {
	if path, ok := c.vocabulary.paths[strings.TrimPrefix(name, "*")]; ok {
		return path
	}
	switch name {
	case "string":
		return "a text"
	case "int", "float64":
		return "a number"
	case "bool":
		return "true or false"
	case "time.Time":
		return "a time"
	case "time.Duration":
		return "a span"
	case "nil":
		return "nil"
	}
	if strings.HasPrefix(name, "[]") {
		return "a list"
	}
	if strings.HasPrefix(name, "func(") {
		return "a function"
	}
	return name
}

func (c *compiler) fieldsBelow(goType string) []string {
	if goType == reflect.TypeFor[AuthenticatorFacts]().String() {
		return fieldsOf(reflect.TypeFor[AuthenticatorFacts]())
	}
	return c.vocabulary.names(c.vocabulary.paths[strings.TrimPrefix(goType, "*")] + ".")
}

// pathOf returns the fact that n names, "" when it names none.
func pathOf(n ast.Node) string {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value
	case *ast.ChainNode:
		return pathOf(n.Node)
	case *ast.MemberNode:
		property, ok := n.Property.(*ast.StringNode)
		if base := pathOf(n.Node); ok && base != "" {
			return base + "." + property.Value
		}
	}
	return ""
}

// needs returns the groups of the facts that the tree names.
func (c *compiler) needs(root ast.Node) groups {
	var need groups
	below := map[ast.Node]bool{}
	var nodes []ast.Node
	walk(root, func(n ast.Node) {
		nodes = append(nodes, n)
		if m, ok := n.(*ast.MemberNode); ok {
			below[m.Node] = true
		}
	})
	for _, n := range nodes {
		// A group of facts that is only a step on the way to one of them is not
		// needed as a whole.
		if f, ok := c.vocabulary.facts[pathOf(n)]; ok && !(below[n] && f.typ.Kind() == reflect.Struct) {
			need |= f.groups
		}
	}
	return need
}

// operands returns what text looks at: facts, names of let: and calls.
func (c *compiler) operands(text string) ([]operand, error) {
	root, err := parse(text)
	if err != nil {
		return nil, c.explain(err)
	}
	var texts []string
	inside := map[ast.Node]bool{} // parts of something that is shown as a whole
	var nodes []ast.Node
	walk(root, func(n ast.Node) { nodes = append(nodes, n) })
	// Parents first.
	slices.Reverse(nodes)
	hide := func(n ast.Node) { walk(n, func(m ast.Node) { inside[m] = true }) }
	for _, n := range nodes {
		if inside[n] {
			continue
		}
		switch n := n.(type) {
		case *ast.MemberNode:
			if name := pathOf(n); name != "" {
				texts = append(texts, name)
				hide(n)
			}
		case *ast.IdentifierNode:
			texts = append(texts, n.Value)
		case *ast.CallNode:
			texts = append(texts, n.String())
			hide(n.Callee)
		case *ast.BuiltinNode:
			for _, a := range n.Arguments {
				if _, ok := a.(*ast.PredicateNode); ok {
					hide(a)
				}
			}
			texts = append(texts, n.String())
		}
	}
	slices.Reverse(texts)
	var out []operand
	for _, text := range texts {
		if slices.ContainsFunc(out, func(o operand) bool { return o.text == text }) {
			continue
		}
		program, err := c.compile(text, expr.AsAny())
		if err != nil {
			return nil, fmt.Errorf("operand %s: %w", text, err)
		}
		if showable(program.Node().Type()) {
			out = append(out, operand{text: text, needs: c.needs(program.Node()), program: program})
		}
	}
	return out, nil
}
