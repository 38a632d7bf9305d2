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
// a password, or a password and a code, or the cookie of a session, which look alike:
// it stays unknown, unless the operator says that the realm has nothing else than
// passwords there, and the session began with it ([Config.UnnamedFactorIsPassword]).
// selected_credential_id without a type is a second factor that is
// looked up, where the source may read credentials (member stepdown_credential_type),
// and unknown where not. auth_method is the protocol and no factor.
//
// A LOGIN that ends a required action (custom_required_action) has the details of
// that action: after the enrolment of a passkey, and after its removal, it says
// credential_type=webauthn-passwordless, though a password let the person in. They are
// no proof.
//
// Events name their user by id, and most of them by name as well. The source
// completes those without one (stepdown_username), and admin events, whose path has
// the id of whom they are about. Names are usernames, as LOGIN has no others; where
// they are no addresses, ingest/identity is told the domain.
//
// The id of a credential is Keycloak's own, which removals, the inventory and a
// sign-in by a code have. An enrolment and a sign-in by a passkey tell another, that of
// the key, and so have none: the ledger finds them by method and model.
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
// Types, details, parameters and defaults are those of Keycloak's sources. A server
// of version 26.4.2 was met in development: sign-ins by password, code, passkey
// (of a software authenticator), cookie and direct grant, enrolment and removal, the
// paths of administrative changes, the order and paging of both logs, and the
// data of credentials are as it wrote them. Not verified: other versions, WebAuthn as
// second factor, brokers, the webhook, the wording of a refused refresh token (taken
// for reuse when it says so), and what kinds of passkeys there are, as no flag of a
// credential says whether it is synced.
package keycloak
