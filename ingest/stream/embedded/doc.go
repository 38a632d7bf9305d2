// Package embedded owns the Kafka broker that runs inside the process: what
// stepdown uses when no brokers are configured, and what its tests use.
//
// The broker speaks the real protocol, on the loopback interface alone, and
// keeps its topics, offsets and settings in a data directory. It refuses a
// directory that another process uses. It has one node, no replication, no
// credentials and no encryption: it is for trying stepdown, for small
// installations on one machine, and for tests.
//
// # Design
//
// 2026-11: github.com/twmb/franz-go/pkg/kfake with a data directory. Every
// feature that package stream uses works on it: groups and generations,
// compaction, retention, topic settings. What it acknowledged survives the
// death of the process; a power loss may take the last moments, because it
// leaves flushing to the operating system, as Kafka does. One goroutine serves
// all requests, and compaction stops it for as long as it takes: about two
// seconds for a gigabyte.
package embedded
