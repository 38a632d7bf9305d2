// Package auth0 reads the tenant logs of Auth0, and the authentication methods of
// its users.
//
// It owns what the fields of one log event mean, and how they are fetched: by a
// checkpoint through the Management API, and by a sweep of every user's
// enrolments. It refuses to know who a person is across sources (ingest/identity)
// and whether anything is wrong (detect). The composition in cmd/internal/app
// calls it.
//
// # Design, 2026-11
//
// A log event comes bare (Management API) or as data within {"log_id", "data"} (log
// streams). Both carry the same log_id, which is the event's id, so a stream and
// a reconciling poll together give each event once. There is no signature on a
// stream: whoever receives one must check the Authorization header it was given.
//
// The success of a login ("s") names the first factor and says of a second one only
// that there was one. That step stays unknown; the gd_auth_succeed of the same
// details.session_id says which it was, so that session is the flow of the
// sign-in. Where a record has no session, the transaction is.
//
// A browser that is remembered (remember_browser) proves nothing: it is
// remembered_device, whatever authenticator the record names.
//
// Changes through the Management API are all of type "sapi". They are told apart by
// method and path, not by the description, which is no contract; it is put into
// the action ("sapi: Update a user") for people. Their subject is the user in the
// path, their actor the user or client that called. The path has an id, all other
// records a name: the source that polls adds it (member stepdown_user_name), so that
// what the help desk did belongs to the person. A log stream is the record without that
// member; an operator who has only a stream lists the ids in the identity directory.
//
// A password-reset URL, a ticket or a secret in a record still works when it is read
// in a log store. Such members are replaced before the record is kept as raw.
//
// # What was verified
//
// Types, their details and the members of authentication-methods are those of the
// vendor's published JSON schemas (auth0-log-schemas, July 2026) and SDK. Not
// verified, as no live tenant was met: the values of details.authenticator.type
// other than passkey, the names of prompts other than lock-password-authenticate,
// login and mfa, the operations of the My Account API, the meaning of the prompt
// "authenticate" (taken for a session that existed), and whether
// webauthn-roaming excludes phones (taken for a security key).
package auth0
