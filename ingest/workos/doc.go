// Package workos reads the events of WorkOS: AuthKit and single sign-on, and the
// authentication factors of its users.
//
// It owns what the fields of one event mean, and how events and factors are
// fetched. It refuses to know who a person is across sources (ingest/identity) and
// whether anything is wrong (detect). The composition in cmd/internal/app calls
// it.
//
// # Design, 2026-11
//
// The success of a step is no sign-in. WorkOS says authentication.password_succeeded
// also when a second factor is still due, so that every authentication.* success is
// a factor_challenge, and session.created is what lets the person in. There is no id
// that ties the two together; they are joined by person, address and time, for
// which the flow is left empty.
//
// authentication.mfa_succeeded does not say which factor it was: it stays unknown,
// and with it the strength of a sign-in by a password before it.
//
// A session names its user by id alone, the steps before it by id and e-mail
// address. Where events are polled, the source completes those without an address
// (member stepdown_user_email) from the events beside it and from the API of users,
// so that both belong to one person. A webhook is the event without that member: an
// operator who has only webhooks lists the ids in the identity directory.
//
// There are no events of enrolment or removal. The inventory lists the factors of
// the API, which may not have passkeys among them; it is therefore never complete,
// and a passkey is learned from its use.
//
// # What was verified
//
// Names of events and their members are those of the vendor's OpenAPI description
// and the fixtures of its Go SDK (August 2026). Not verified, as no live environment
// was met: whether passkeys are among the factors of the API, the meaning of
// generic_otp (taken for an authenticator app), and rate limits. That an event of a
// type outside of the list of [Config.Events] is not delivered is the API's own rule.
package workos
