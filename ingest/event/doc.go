// Package event is the contract between ingest and everything after it: one
// normalized [Event] per fact that an identity provider or an app recorded, and
// the vocabulary (kinds, methods, classes, outcomes) in which rules are written.
//
// It owns the shape of an event, its validation and its encoding on the wire.
// It refuses to know providers, Kafka, rules or storage, and it imports nothing
// of ours: it is a leaf that ingest fills and that detect and sinks read.
//
// # Design, 2026-11
//
// An event is one Go struct and JSON on the wire, so that other consumers of the
// topic can read it. Its parts follow OCSF 1.8 (authentication 3002, account
// change 3001) where OCSF has a word, and add what it lacks: the strength of a
// factor, its freshness, and whether a passkey may be backed up.
//
// [Method] is the only place where strength is decided: class and rank are
// functions of the method, are written to the wire for other readers, and are
// checked by Validate, so a normalizer cannot invent a strength of its own.
// Inherited, opaque and unknown methods have no rank: they are evidence neither
// of strength nor of weakness.
package event
