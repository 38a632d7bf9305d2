// Package ssf receives Shared Signals: security event tokens (SET, RFC 8417) of CAEP
// and RISC that a transmitter pushes (RFC 8935) or holds ready to be polled
// (RFC 8936).
//
// It owns who may speak (the issuer's signature, issuer, audience, type and age of
// each token), the two protocols of delivery with their error codes, and what the
// events mean as events of ours. A token is acknowledged when it is durable and not
// before. It refuses to manage streams: they are made, and paused, at the
// transmitter. cmd/internal/config has its section of an input; cmd/internal/app
// mounts what is pushed on the receiver beside the webhooks.
//
// # Design, 2026-11
//
// The record is the token's set of claims as it was signed, without header and
// signature: keys are gone long before the events are, and a normalizer that needed
// them would not be a function of its record. What does not verify never becomes a
// record, not even a dead letter: the transmitter is told, and it is counted.
//
// A token that comes again is acknowledged again and not passed on. Those that are
// remembered are bounded; one that is forgotten gives events of the same id, which
// detection takes as one.
//
// Keys are fetched when a token names one that is not known, at most once in half a
// minute whatever is pushed, and again when they are an hour old, so that a
// withdrawn key ends. While they cannot be fetched, those of the last day hold.
//
// A credential type fido2-roaming may be a telephone, so it counts as a passkey of
// which nothing more is known; app may be a push or a code, so it is unknown.
//
// Verified against the texts of RFC 8417, 8935, 8936 and 9493 and of CAEP 1.0 as
// they are known to us; subjects in the form of the drafts (subject, subject_type)
// are read too, since transmitters send them. No live transmitter was met.
package ssf
