// Package clickhouse keeps events, alerts and the inputs' health in ClickHouse and reads them back.
//
// It owns the schema and its migrations, the writing of batches, and the
// queries of the command line. It is the only home of clickhouse-go. It refuses
// to know whether the server is somewhere else or the embedded one of
// [stepdown/sinks/clickhouse/engine]: it is given addresses and credentials.
// cmd/internal/app opens one [Store] and gives it to the event writer and, as a
// [stepdown/sinks.Sink], to the runner of alerts. Dashboards read the tables.
//
// # Design, 2026-11
//
// Writing is at least once, reading is once. A batch that may or may not have
// arrived is written again; three things keep it from counting double. A block
// has a token made of its rows, which the server remembers for the last 10 000
// blocks of a table, so that a retry is not even written. Rows with the same
// sorting key collapse to the newest when parts are merged. And queries read
// FINAL, which collapses what is not merged yet.
//
// events is sorted by (day, identity, time, source, tenant, id). The day comes
// first because both questions carry a time range: the timeline of one identity
// over n days reads n short ranges, and a dashboard over all identities reads
// only its days. An event that its provider rewrites keeps its time and id,
// hence its place, and the later observed_at wins. Should a provider move the
// time of a record, both rows stay.
//
// alerts is sorted by id alone and not partitioned: a revision may carry
// another time, severity or identity name, and must still replace the one
// before. There are few alerts, so that a scan over time is cheap.
//
// source_health has a row per input and minute for 90 days, source_gaps a row per
// interval that was read late or not at all, for 400: an alert about such an
// interval can be looked at beside it.
//
// A column is filled as a slice for the whole batch instead of row by row: that
// is the layout of the protocol, and spares boxing every value. The driver can
// send a batch once; after an error it is built again from the rows.
package clickhouse
