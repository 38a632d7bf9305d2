// Package jsonmap reads the sign-in log of any app by a mapping: one YAML file in
// which expressions say where in a record the parts of an event are, and lists say
// what the app's own words mean. It needs no Go.
//
// It owns the format of the file, with the tests in it, and the two presets that a
// mapping may begin from (OCSF and ECS). It refuses to guess: a word of the app that
// no list has makes no event, or a factor of which nothing is known; a strength is
// that of a method of ingest/event and is never said by a mapping. It refuses kinds
// of events that need more than fields, such as changes of a policy. What a mapping
// reads comes by files, webhooks and topics as that of any provider does.
// cmd/internal/app makes the normalizers of a process of the providers and of the
// mappings that its configuration names; cmd/internal/cli runs the tests.
//
// # Design, 2026-11: a second home of expr
//
// expr-lang lives in detect/rule, where it asks facts of a known shape. Here it asks
// records of any shape, so the two share no environment, no functions and no
// compiled code; what a package around both would hold is the call of a library. A
// record is asked by functions alone (text("user.email")): they are typed, a part
// that is not there is an empty text and no error, and there is no name that could
// be misspelt but theirs. Whether a path is misspelt, no compiler can know; the
// tests of a file tell those that none of their records has.
//
// # Design, 2026-11: bounded
//
// Whoever can write into an app's log must not be able to stop a collector. An
// expression has no loops, no let and no function that multiplies text; patterns are
// literals and run in linear time; a path has a few steps and yields a few values; a
// record is bounded in size and depth before it is decoded.
//
// # Design, 2026-11: time and id
//
// A record without a readable time happened when it was received, with the warning
// time_from_receipt; one without an id has a digest over source and content, so that
// a second delivery has it too.
package jsonmap
