// Package ingest turns what providers log into normalized events in Kafka.
//
// It owns the contracts of the stage ([Source], [Normalizer], [Record]) and the
// [Collector] that drives one of them: poll, normalize, resolve the identity, publish,
// save the cursor, in this order and never another, so that nothing is
// acknowledged upstream before it is durable downstream. A record that cannot be
// read goes to the dead-letter topic with its bytes and a reason and stops
// nobody.
//
// It refuses to know any provider (they are packages beneath it, listed in
// cmd/internal/app), Kafka (ingest/stream is behind [Publisher]) and detection.
//
// # Design, 2026-11
//
// Collectors of one process are aligned in event time: an input with a short
// history would else be days ahead of one with a long history, and detection,
// which accepts lateness only within bounds, would take all of the latter as
// late. The price is that live inputs wait while another one catches up; it is
// counted in stepdown_ingest_held_seconds_total, and max_skew: 0 refuses it.
//
// What fails is repeated without end rather than dropped: the position upstream
// is kept by the provider or the file, so standing still loses nothing, and lag
// shows it. Only a cursor is given up on for the moment, since an old cursor
// costs no more than repeated events, which detection absorbs.
package ingest
