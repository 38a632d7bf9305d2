// Package alert is the contract between detect and everything after it: what was
// found, about whom, why, and on what evidence.
//
// It owns the shape of an alert, its deterministic id and its encoding. It
// refuses to know rules, ledgers, Kafka or any destination, and of ours it
// imports only ingest/event: it is a leaf that detect fills and sinks read.
//
// # Design, 2026-11
//
// An alert is a statement about event time that may be amended: later records
// can add evidence, change the severity or take the reason away. Each statement
// has the same ID and a higher Revision, and the highest revision is what holds.
// ID is derived from rule, identity and the attempt or event that anchors it, so
// a detector that starts over says the same thing under the same name, and a
// sink that has seen (ID, Revision) has nothing to do.
package alert
