// Package identity makes one key of the many names of a person: login names in
// their spellings, e-mail domains that mean the same, aliases, guest accounts
// and providers' object ids. A passkey at the identity provider and a password
// at an app are one chain only when both events carry the same key.
//
// It owns the rules of canonical names, the directory of tiers and populations,
// and their reload. It refuses to learn: a key is a function of the event and
// of what is configured, never of earlier events, so that a replay gives the same
// keys in any order. It has no goroutine and no clock; the collector calls
// [Resolver.Resolve] for each event, and cmd/internal/app calls
// [Resolver.Reload].
//
// # Design, 2026-11
//
// A name with a domain is a person wherever it is seen. A bare login is not:
// "ana" of GitHub and "ana" of Duo may be two people, and a key that merges two
// people hides a downgrade of one behind the other's passkey. So a bare login is
// scoped by source and tenant, unless bare_logins says which domain completes it.
//
// Names are folded by Unicode compatibility and case (NFKC, casefold), which
// merges what providers themselves treat as one login; letters that only look
// alike stay apart. Domains are compared in their ASCII form.
package identity
