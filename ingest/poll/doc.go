// Package poll makes an ingest.Source of a provider's API that is read page by
// page.
//
// It owns the position: what is saved, when it moves, when to wait, which records
// of an overlap were seen before, and how a sweep over an inventory goes on after a
// restart. It refuses to know HTTP (ingest/rest) and any provider: those say how to
// fetch one page at a position. They are its callers.
//
// # Design, 2026-11
//
// Providers show records late, out of order and more than once, so most logs are
// read with an overlap. What comes again unchanged is left out here by a digest of
// its bytes; a record that the provider rewrote has other bytes and goes out
// again, under its id, for detection to judge anew. The digests are part of the
// saved position: a restart doubles nothing either. They are bounded ([maxSeen]); past
// the bound an overlap repeats records, which detection absorbs by their id.
package poll
