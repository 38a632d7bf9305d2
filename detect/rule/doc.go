// Package rule is the language in which detections are written: [Parse] reads one
// rule file, checks its types and compiles it, [Set] holds the rules of a pack by
// the kind of event they look at, and [Evaluator] asks one rule about one event.
//
// It owns the file format, the facts that an expression can name ([Facts]) and
// what a verdict shows of them. It is the only home of expr-lang. It refuses to
// keep state: what is known of an identity is in the ledger that the caller hands
// in, "now" is the time of the event, and the same input gives the same verdict.
// Package detect calls it for every event, ruletest for the tests beside the
// rules, and the command line for listing and explaining them.
//
// # Design, 2026-11: conditions have names
//
// A rule is a list of named conditions and not one expression. Each is compiled
// by itself and they are asked in order until one fails, so that an alert and an
// explanation can show every condition with the facts that it looked at, and no
// tracing of bytecode is needed.
//
// # Design, 2026-11: nothing is silently false
//
// A misspelt field in a rule must not make it a rule that never fires. The facts
// are a Go struct, so that an unknown name is an error at load; a text that is
// compared with a closed list ("smss") is checked against that list; spans are
// written "24h" and checked; regular expressions must be literals. Facts are never
// nil: what is not known is empty, zero or "unknown", and each fact says so. An
// error at evaluation is returned, and means not matched.
//
// # Design, 2026-11: two ways to the same value
//
// A condition over three facts takes expr's machine 770 ns and three allocations,
// since each fact is read by reflection and boxed. Conditions that only compare
// facts, and that is nearly all, are compiled from the checked syntax tree to Go
// closures instead: 12 ns and none. What the closures do not know, and all that is
// shown of a match, runs in the machine. A test
// compares the two over generated conditions. Facts are filled in groups, when a
// condition that names one is first asked.
package rule
