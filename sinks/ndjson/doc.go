// Package ndjson is the sink that appends alerts to a file or to standard output,
// one JSON object a line as detect/alert encodes it, for log shippers and scripts.
//
// It owns rotation and the memory of what the file holds. It refuses to compress,
// rotate or delete: logrotate and shippers do. cmd/internal/app makes it.
//
// # Design, 2026-11
//
// A batch is one write and one fsync, all or nothing (sinks.Lines). A file that
// was renamed or removed is noticed before each batch, so that rotation needs no
// signal; copytruncate works as well.
//
// Every revision is a line. After a restart the last 8 MiB are read back, and
// what they hold is not written again; beyond that, or across a rotation that
// falls together with a crash, a line may appear twice. Readers take the highest
// revision of an id, so a double says nothing new.
package ndjson
