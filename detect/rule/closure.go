package rule

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
)

// closure compiles a checked and optimized tree to a Go function, nil where it
// holds something that only the machine knows.
func (c *compiler) closure(n ast.Node) func(*Evaluator) bool {
	switch n := n.(type) {
	case *ast.BoolNode:
		value := n.Value
		return func(*Evaluator) bool { return value }
	case *ast.ConstantNode:
		if value, ok := n.Value.(bool); ok {
			return func(*Evaluator) bool { return value }
		}
	case *ast.UnaryNode:
		if operand := c.closure(n.Node); operand != nil && (n.Operator == "not" || n.Operator == "!") {
			return func(ev *Evaluator) bool { return !operand(ev) }
		}
	case *ast.ConditionalNode:
		cond, yes, no := c.closure(n.Cond), c.closure(n.Exp1), c.closure(n.Exp2)
		if cond != nil && yes != nil && no != nil {
			return func(ev *Evaluator) bool {
				if cond(ev) {
					return yes(ev)
				}
				return no(ev)
			}
		}
	case *ast.IdentifierNode, *ast.MemberNode:
		if id, ok := c.factID(n, reflect.TypeFor[bool]()); ok {
			return func(ev *Evaluator) bool { return ev.values[id].Bool() }
		}
	case *ast.BinaryNode:
		return c.binaryClosure(n)
	case *ast.CallNode:
		return c.callClosure(n)
	}
	return nil
}

// factID returns the place of the fact that n names, if it is of type want.
func (c *compiler) factID(n ast.Node, want reflect.Type) (int, bool) {
	f, ok := c.vocabulary.facts[pathOf(n)]
	return f.id, ok && f.typ == want
}

func (c *compiler) binaryClosure(n *ast.BinaryNode) func(*Evaluator) bool {
	switch n.Operator {
	case "and", "&&", "or", "||":
		left, right := c.closure(n.Left), c.closure(n.Right)
		if left == nil || right == nil {
			return nil
		}
		if n.Operator == "and" || n.Operator == "&&" {
			return func(ev *Evaluator) bool { return left(ev) && right(ev) }
		}
		return func(ev *Evaluator) bool { return left(ev) || right(ev) }
	case "in":
		return c.inClosure(n)
	case "startsWith", "endsWith", "contains":
		left, right := c.text(n.Left), c.text(n.Right)
		if left == nil || right == nil {
			return nil
		}
		test := map[string]func(string, string) bool{
			"startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix, "contains": strings.Contains}[n.Operator]
		return func(ev *Evaluator) bool { return test(left(ev), right(ev)) }
	case "==", "!=", "<", "<=", ">", ">=":
	default:
		return nil
	}
	if f := compare(n.Operator, c.text(n.Left), c.text(n.Right)); f != nil {
		return f
	}
	if f := compare(n.Operator, c.number(n.Left), c.number(n.Right)); f != nil {
		return f
	}
	if f := compare(n.Operator, c.spanOf(n.Left), c.spanOf(n.Right)); f != nil {
		return f
	}
	if left, right := c.closure(n.Left), c.closure(n.Right); left != nil && right != nil {
		switch n.Operator {
		case "==":
			return func(ev *Evaluator) bool { return left(ev) == right(ev) }
		case "!=":
			return func(ev *Evaluator) bool { return left(ev) != right(ev) }
		}
	}
	return nil
}

// compare returns the comparison of two values of one ordered type, nil when one
// of them is nil.
func compare[T string | int | time.Duration](operator string, left, right func(*Evaluator) T) func(*Evaluator) bool {
	if left == nil || right == nil {
		return nil
	}
	switch operator {
	case "==":
		return func(ev *Evaluator) bool { return left(ev) == right(ev) }
	case "!=":
		return func(ev *Evaluator) bool { return left(ev) != right(ev) }
	case "<":
		return func(ev *Evaluator) bool { return left(ev) < right(ev) }
	case "<=":
		return func(ev *Evaluator) bool { return left(ev) <= right(ev) }
	case ">":
		return func(ev *Evaluator) bool { return left(ev) > right(ev) }
	case ">=":
		return func(ev *Evaluator) bool { return left(ev) >= right(ev) }
	}
	return nil
}

// inClosure knows a text in a list of constants, and a text in a fact that is a
// list.
func (c *compiler) inClosure(n *ast.BinaryNode) func(*Evaluator) bool {
	left := c.text(n.Left)
	if left == nil {
		return nil
	}
	if k, ok := n.Right.(*ast.ConstantNode); ok {
		var list []string
		switch v := k.Value.(type) {
		case map[string]struct{}:
			for s := range v {
				list = append(list, s)
			}
			slices.Sort(list)
		case []string:
			list = v
		case []any:
			for _, x := range v {
				s, ok := x.(string)
				if !ok {
					return nil
				}
				list = append(list, s)
			}
		default:
			return nil
		}
		return func(ev *Evaluator) bool { return slices.Contains(list, left(ev)) }
	}
	if id, ok := c.factID(n.Right, reflect.TypeFor[[]string]()); ok {
		return func(ev *Evaluator) bool {
			v, s := ev.values[id], left(ev)
			for i := range v.Len() {
				if v.Index(i).String() == s {
					return true
				}
			}
			return false
		}
	}
	return nil
}

func (c *compiler) text(n ast.Node) func(*Evaluator) string {
	switch n := n.(type) {
	case *ast.StringNode:
		value := n.Value
		return func(*Evaluator) string { return value }
	case *ast.IdentifierNode, *ast.MemberNode:
		if id, ok := c.factID(n, reflect.TypeFor[string]()); ok {
			return func(ev *Evaluator) string { return ev.values[id].String() }
		}
	}
	return nil
}

func (c *compiler) number(n ast.Node) func(*Evaluator) int {
	switch n := n.(type) {
	case *ast.IntegerNode:
		value := n.Value
		return func(*Evaluator) int { return value }
	case *ast.IdentifierNode, *ast.MemberNode:
		if id, ok := c.factID(n, reflect.TypeFor[int]()); ok {
			return func(ev *Evaluator) int { return int(ev.values[id].Int()) }
		}
	case *ast.BuiltinNode:
		if len(n.Arguments) != 1 || n.Name != "len" {
			return nil
		}
		if f, ok := c.vocabulary.facts[pathOf(n.Arguments[0])]; ok && f.typ.Kind() == reflect.Slice {
			return func(ev *Evaluator) int { return ev.values[f.id].Len() }
		}
	}
	return nil
}

func (c *compiler) spanOf(n ast.Node) func(*Evaluator) time.Duration {
	switch n := n.(type) {
	case *ast.ConstantNode:
		if value, ok := n.Value.(time.Duration); ok {
			return func(*Evaluator) time.Duration { return value }
		}
	case *ast.IdentifierNode, *ast.MemberNode:
		if id, ok := c.factID(n, reflect.TypeFor[time.Duration]()); ok {
			return func(ev *Evaluator) time.Duration { return time.Duration(ev.values[id].Int()) }
		}
	}
	return nil
}

// callClosure knows the functions of Facts that say true or false.
func (c *compiler) callClosure(n *ast.CallNode) func(*Evaluator) bool {
	span := func(i int) (time.Duration, bool) {
		k, ok := n.Arguments[i].(*ast.ConstantNode)
		if !ok {
			return 0, false
		}
		d, ok := k.Value.(time.Duration)
		return d, ok
	}
	switch pathOf(n.Callee) {
	case "found":
		k, ok := n.Arguments[0].(*ast.ConstantNode)
		if !ok {
			return nil
		}
		rules, ok := k.Value.([]string)
		d, ok2 := span(1)
		if !ok || !ok2 {
			return nil
		}
		return func(ev *Evaluator) bool { return ev.found(rules, d) }
	case "within":
		id, ok := c.factID(n.Arguments[0], reflect.TypeFor[time.Time]())
		d, ok2 := span(1)
		if !ok || !ok2 {
			return nil
		}
		return func(ev *Evaluator) bool { return ev.within(*ev.values[id].Addr().Interface().(*time.Time), d) }
	case "me.strong_used_within":
		if d, ok := span(0); ok {
			return func(ev *Evaluator) bool { return ev.strongUsedWithin(d) }
		}
	case "me.deactivated_within":
		if d, ok := span(0); ok {
			return func(ev *Evaluator) bool { return ev.deactivatedWithin(d) }
		}
	}
	return nil
}
