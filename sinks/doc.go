// Package sinks is the last hop: what a destination for alerts is, and how one is
// run so that nothing is lost and nobody waits for a neighbour.
//
// It owns the [Sink] contract, the [Runner] that keeps it, and what destinations
// share: cleaning text that an attacker can choose, the words for methods, tiers
// and reasons, memory of what was written, and durable files of lines. It refuses
// to know Kafka, rules, ledgers or any destination: those live in sinks/<name>.
// cmd/internal/app makes one Runner per sink and calls Handle with what that
// sink's own consumer group fetched.
//
// # Design, 2026-11
//
// Each sink is a consumer group of its own. Kafka is its queue, so there is no
// fan-out and no buffer here: a sink that is down stops its own group, holds
// nobody else up, and goes on where it stopped. Handle returns nil only when every
// alert is durable at the destination, lies in the dead-letter topic, or is below
// the severity that the sink asked for. The caller commits after that.
//
// A sink knows two sorts of failure. An error of the moment is retried for ever
// with backoff, since the only other choice is to lose the alert. A refusal is
// final for the alerts it names: they go to the dead-letter topic and the rest
// of the batch goes on.
package sinks
