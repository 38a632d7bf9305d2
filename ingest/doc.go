// Package ingest turns what providers log into normalized events in Kafka.
//
// It owns the contracts of the stage ([Source], [Normalizer], [Record]) and the
// [Collector] that drives them: poll, normalize, resolve the identity, publish,
// save the cursor, in this order and never another, so that nothing is
// acknowledged upstream before it is durable downstream. A record that cannot be
// read goes to the dead-letter topic with its bytes and a reason and stops
// nobody.
//
// It refuses to know any provider (they are packages beneath it, listed in
// cmd/internal/app), Kafka (ingest/stream is behind [Publisher]) and detection.
package ingest
