// Package secret owns one idea: a secret is a place, not a value.
//
// A [Secret] remembers the file or the environment variable that holds a
// password, token or key, and reads it each time the value is needed. Nothing
// is cached, so rotating a credential needs no restart, and nothing is held
// that a log line, an error or a configuration dump could print.
//
// The package refuses secrets that are written out in a configuration file, and
// it refuses to return an empty value. Every stage that talks to something
// with credentials uses it; it imports nothing of ours.
//
// # Design
//
// 2026-11: one YAML value with two spellings, instead of a pair of keys such as
// password and password_file. A pair needs a rule for "both are set" in every
// place that has a secret, and leaves a key in which a literal is legal.
package secret
