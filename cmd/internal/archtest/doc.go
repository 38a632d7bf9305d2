// Package archtest holds the structure of the repository as tests: which package
// may import which, where each client library lives, that every package says
// what it is for, that detection knows no clock, and that metrics are named as
// the rest are. It reads the sources with go/parser, so no build cache can make
// it look away. Nothing calls it.
package archtest
