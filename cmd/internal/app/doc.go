// Package app puts the pieces together: it is the only package that knows all
// sources and all sinks. It starts what a configuration asks for (broker, engine,
// collectors, detector, sinks, the admin server), runs it, and stops it in the
// reverse order.
//
// It owns the wiring between the stages, which know nothing of each other:
// events from a collector become records of the events topic, records of a
// partition go through a detect.Shard, and what it says goes to the alerts and
// state topics before the offset is committed. It refuses to decide anything
// about events or alerts. cmd/internal/cli calls it, tests start it in process.
//
// # Design, 2026-11: effectively once
//
// Per batch of a partition the detector publishes alerts, then the ledgers that
// changed, each with the offset it has applied, and commits the offset last. A
// crash between any two of these repeats the batch: a ledger that was stored
// skips what it has applied, one that was not derives the same alerts under the
// same ids and revisions. On assignment the state partition is read to its end
// before the first event.
//
// Every sink is a consumer group of its own. Kafka is the queue between the
// detector and a sink, so a sink that is down holds nobody else up.
package app
