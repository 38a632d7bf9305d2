// Package webhook receives what providers and apps push over HTTP.
//
// It owns the listener's endpoints: who may push (a static header, an HMAC over the
// body), how old a signed push may be, how large, how fast it is answered, and that
// the answer of success comes only when the records are durable in Kafka, so that
// the sender repeats what was not. It refuses to know what the records mean (the
// normalizers do) and to keep anything: a push that is not durable when the
// provider's patience ends is answered with 503. cmd/internal/app mounts the
// endpoints; ingest/ssf uses [Queue] for its own protocol.
//
// # Design, 2026-11
//
// A push and a poll of the same record give events of the same id, which the
// detector and the store take as one, so nothing is compared here. Replay of an old
// push is harmless for the same reason; the window of a signed time only keeps it
// from being load.
//
// Headers are judged before a body is read; an HMAC says nothing before it is, so
// what the bodies of an endpoint take of memory is bounded together (128 MiB), beside
// the size of each.
//
// Verified against vendors' documents: the Okta verification challenge and its 3
// seconds, the WorkOS signature and its 180 seconds, the header of GitHub and of the
// keycloak-events extension. Auth0, OneLogin and PingOne document a static header
// only. No live sender was met.
package webhook
