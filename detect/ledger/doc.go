// Package ledger is what is known of one identity: what it has enrolled, how it
// usually comes in, the sign-ins that are being assembled, its recoveries,
// consents, sessions and roles.
//
// It owns the fold: [Ledger.Apply] takes one event in event-time order and
// changes the ledger; nothing else does. It is a pure function of the events: no
// clock, no randomness, no I/O. It refuses to judge (detect/rule does), to order
// events or to absorb late ones (detect does, by folding again).
//
// Every list has a cap and every text came through ingest/event's limits, so
// that an attacker who chooses devices, agents or flow ids cannot make a ledger
// grow; what is evicted is the least recently used.
//
// # Design, 2026-11
//
// Strength and novelty are never stored as verdicts. A baseline entry carries
// when it was first seen, and "new" means "not seen before the attempt began":
// the attempt's own success may enter the baseline at once without making
// itself look known, and a recovery can ask the same question as of its own
// time.
package ledger
