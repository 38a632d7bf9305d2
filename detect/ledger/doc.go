// Package ledger is what is known of one identity: what it has enrolled, how it
// usually comes in, the sign-ins that are being assembled, its recoveries,
// consents, sessions and roles.
//
// It owns the fold: [Ledger.Apply] takes one event in event-time order and
// changes the ledger; nothing else does. It is a pure function of the events: no
// clock, no randomness, no I/O. It refuses to judge (detect/rule does), to order
// events or to absorb late ones (detect does, by folding again).
//
// Every list has a cap and every text came through detect's limits, so that an
// attacker who chooses devices, agents or flow ids cannot make a ledger grow; what
// is evicted is the least recently used. A cap in bytes is kept by [Ledger.Shed].
//
// # Design, 2026-11
//
// Strength and novelty are never stored as verdicts. A baseline entry carries
// when it was first seen, and "new" means "not seen before the attempt began":
// the attempt's own success may enter the baseline at once without making
// itself look known, and a recovery can ask the same question as of its own
// time.
//
// # Design, 2026-11: in few bytes
//
// A million ledgers are held in memory as they are stored: in the encoding of
// [Writer]. Numbers are varints; a time is its distance from the time before it, in
// the largest unit that says it exactly; a UUID is 16 bytes and an IPv4 address 4; a
// text that came before is its number, and one of the fixed vocabulary two bytes at
// most. What outlives its records is reduced to what is still asked for. Measured
// after two weeks of the simulated company:
//
//	name, tier, counters          70 bytes
//	authenticator                 40
//	method, network, country,
//	device, agent, protocol       12 each
//	sign-in, the last six         20 each: when, how, on what device, a digest of its flow
//	sign-in, while a record may
//	still join it                150 each: steps, place, app, and the records behind it
//	session, at most six          35 each: strength at birth, place, a digest of its id
//	finding                       50 each
//
// Decoding takes the memory of the ledger that was there before, and texts alias
// the bytes that were read or lie in a [Texts]: folding an event does not allocate.
package ledger
