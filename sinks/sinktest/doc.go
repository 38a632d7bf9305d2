// Package sinktest is the conformance suite that every sink passes, and the
// synthetic alerts that sinks are tested with.
//
// It owns the checks behind the contract of [stepdown/sinks.Sink]. Tests of the
// packages below sinks call it; nothing else does.
package sinktest
