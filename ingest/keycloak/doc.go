// Package keycloak reads the events and admin events of Keycloak, and the
// credentials of a realm's users.
//
// It owns what the fields of these events mean, in the four shapes in which they
// come: the admin REST API's, the flat one of an HTTP listener (which is the same),
// that of the keycloak-events webhook ("access.LOGIN"), and the lines of the
// server's log within JSON. It owns how they are fetched. It refuses to know who a
// person is across sources (ingest/identity) and whether anything is wrong
// (detect). The composition in cmd/internal/app calls it.
//
// # Design, 2026-11
//
// A LOGIN names its factor for WebAuthn alone (credential_type). Without it, it was
// a password, or a password and a code, or the cookie of a session: it stays
// unknown. selected_credential_id without a type is a second factor that is looked up,
// where the source may read credentials (member stepdown_credential_type), and
// unknown where not. auth_method is the protocol and no factor.
//
// Events name their user by id, and most of them by name as well. The source
// completes those without one (stepdown_username), and admin events, whose path has
// the id of whom they are about. Names are usernames, as LOGIN has no others; where
// they are no addresses, ingest/identity is told the domain.
//
// The id of a credential is Keycloak's own, which sign-ins, removals and the
// inventory have. An enrolment does not tell it and has none.
//
// From version 26 an enrolment is written twice, as UPDATE_CREDENTIAL and under the
// name of before. The second has a credential_type too, which tells the two apart from
// the only event of an older version; it is left out.
//
// Older versions and the log have no id of an event: it is a digest of the facts.
//
// The API lists the newest first, by offset, and knows no cursor. A source reads
// until it meets what it knows; when it is behind, it finds the oldest page that is
// new and goes on from there, so that events come in the order of their time and no
// backlog has to fit into memory.
//
// # What was verified
//
// Types, details, parameters and defaults are those of Keycloak's sources (to
// version 26.4) and of the webhook's. Not verified, as no live server was met: the
// spelling of resource paths in every version, the details of WebAuthn errors, the
// wording of a refused refresh token (taken for reuse when it says so), and what
// kinds of passkeys there are, as no flag of a credential says whether it is synced.
package keycloak
