// Package detect decides, per identity and in event time, what the rules have to
// say: [Engine] is the compiled rules and the settings, immutable and shared;
// [Shard] is an engine and the ledgers of one partition, owned by one goroutine.
//
// It owns the order of events, late and rewritten records, settling, and the
// identity of alerts over their revisions. It refuses to know Kafka, files and
// clocks: the caller hands it events with offsets, tells it how far event time
// has come, publishes what Drain returns, and stores what Dirty yields. The same
// calls serve a live partition and a replay, so a replay gives the same alerts.
//
// # Design, 2026-11: a window that is folded again
//
// Records of one sign-in come late, twice, out of order and rewritten. Instead of
// repairing state for each of these, an identity keeps two ledgers and the
// events between them:
//
//	base ── fold(window) ──▶ head
//
// Base is the fold of everything older than the allowed lateness; the window
// holds the identity's events since, sorted by event time; head is base folded
// over the window, and is what rules see. An event that is the newest advances
// head by one step. Any other is put where it belongs (or replaces its earlier
// version) and the window is folded again from base. What the rules said during
// the fold is compared with what was emitted: new findings are raised, changed
// ones amended, vanished ones withdrawn, under the same alert id. So the final
// alerts are a function of the set of events, not of the order of arrival, as
// long as events come within the lateness; and crashing anywhere means folding
// the same window again.
//
// Time is the identity's own: lateness is measured against the newest event of
// the identity, so a source that catches up does not make another identity's
// events late. Only settling (waiting a while for the records that complete a
// sign-in) uses the shard's clock, which the caller advances; it delays an
// alert and never changes whether there is one.
//
// # Design, 2026-11: what is said after a crash
//
// The caller makes alerts durable, then states. After a crash in between, events
// are applied again, and what they say must be what was said. So a revision is a
// count of judgements, handed on or not: a function of the identity's events. And
// what an event says at once depends on the newest event of the log, which states
// carry, not on idle time. Two limits remain: a first revision may have other
// words in the repeat, and higher ones follow then; and an alert that settled by
// idle time, was published, and whose state was lost, is not withdrawn if the
// record that takes it back comes right after the restart.
//
// # Design, 2026-11: how a million histories are held
//
// A history is kept as it is stored, outside the heap, and decoded when its
// identity has an event (store.go). A thousand stay decoded; whose turn it is to be
// encoded goes round. Nothing of an event is kept but a digest of what ledgers,
// rules and alerts read, so that a caller may use its memory again.
//
//	key, slot                    ~40 bytes, index included
//	base                         500 to 900, see package ledger
//	what events have in common   100 to 200: who, from where, on what device, with what app
//	window                       60 to 100 an event: what differs from that, decoded when it is folded
//	ids of events before it      4 each, at most 16
//	findings                     a few kilobytes each while they may be amended, then 40
//
// Base, window and ids take at most 16 KiB: where the window is full, its oldest
// events become final early; where base is, it forgets. Both are counted
// (stepdown_detect_window_overflows_total, stepdown_detect_ledger_evictions_total).
// With its alerts a state fits into one Kafka message. The head of a long window is
// kept in memory beside the state, and not stored.
//
// State version 1 was JSON; it is read (legacy.go).
package detect
