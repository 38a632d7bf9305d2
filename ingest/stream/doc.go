// Package stream owns everything that is Kafka: topics, keys and partitions,
// publishing, consumer groups, reading a partition to its end, and the dead
// letter topic. It is the only home of the client library, whose types never
// leave it.
//
// Collectors, detectors and sinks call it through one [Client]. It refuses to
// know what a record means: values are bytes, and what to do with a bad one is
// decided by who reads it. The broker that runs inside the process is beside
// it, in stream/embedded.
//
// # Promises
//
// Publish returns nil only when every record is acknowledged by all in-sync
// replicas. A failed Publish may have written some of its records, and a retry
// may write a record twice: delivery is at least once, in order per partition.
// A [Group] hands each partition's records in order to one goroutine, and
// commits an offset only after the handler returned nil, through the live
// generation of the group.
//
// # Design
//
// 2026-11: records are produced with the protocol's own request, one per
// leader, and not with the library's Writer. The callers already hold batches;
// a writer that collects them once more adds a timer, a goroutine per
// partition and an order of retries that nobody can predict.
//
// 2026-11: groups are built on the library's ConsumerGroup and Generation, and
// never on a Reader with a GroupID, which hands out records of partitions it
// lost and commits for generations that are over.
//
// 2026-11: a handler error does not leave the group. The partition alone is
// closed, opened again and read from its last commit, with a growing pause;
// leaving would stop every partition of every member each time one record
// cannot be handled.
//
// 2026-11: every request has a deadline and is made by the goroutine that needs
// the answer, so that nothing can wait in silence behind a broker that went
// away. A partition that cannot be read is tried again where it is; leaving the
// group for it would stop the others. Its last-fetch gauge stands still.
//
// 2026-11: assignment is sticky, and a partition that stays with a member in
// the very next generation is not opened again. Restoring a partition's state
// costs seconds; a rebalance must not pay it for partitions that did not move.
//
// 2026-11: partitions are chosen with the murmur2 hash of the Java client, so
// that any producer of the ecosystem with its defaults agrees with us.
package stream
