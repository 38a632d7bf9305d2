// Package onelogin reads the events of OneLogin, as its event webhooks push them and
// as its events API lists them.
//
// It owns what the fields of one event mean. It refuses to know how a record came,
// who a person is across sources (ingest/identity) and whether anything is wrong
// (detect). The composition in cmd/internal/app calls [New].
//
// No live account was met. Verified against the vendor's documents, its client
// libraries and published events: the fields of webhook and API, that user_name is
// first and last name, the meaning of types 1 to 535 by a client library's copy of the
// vendor's list, 1400 and 5 with their notes. Unverified: 1002, 211, 240, 551 and
// 553, which published detection rules name; the names of factors other than Duo
// Security, OneLogin Protect, SMS, Voice and Google Authenticator; which words beside
// password and mfa_login stand in Transitions; pagination of users by After-Cursor.
//
// # Design, 2026-11
//
// Type 172 is a deleted authentication factor, which the vendor's list has among the
// settings of an account, and published rules take for one that a user removed. A
// record that names a device of the user is the latter, any other the former.
//
// A sign-in (5) does not say its second factor; another event (1400) does. Only the
// former has a Correlation_id in its notes, so it is no flow: the two would be two
// attempts. FlowID stays empty, and the detector puts them together by person,
// address and time. Transitions without mfa_login is a sign-in by password alone.
//
// A launch of an app (8) rests on the session that exists.
//
// user_name is no login. It becomes the login only where it is an address; else the
// person is known by id, unless the record has login_name. The live input therefore
// asks the API for the people's addresses, and for the names of types, and adds
// both as one member, "stepdown", at the end of the event. A type that is not in the
// table here is read by that name.
//
// The ids of webhook (uuid) and API (id) are unrelated, so that an account should be
// read by one of the two. The API's events name no factor and no user agent: it sees
// resets and roles, and not which factor was used.
package onelogin
