// Package jumpcloud reads JumpCloud Directory Insights: sign-ins to portal, console,
// applications, RADIUS, LDAP and devices, and changes of users, administrators and
// policies.
//
// It owns what the fields of one event mean. It refuses to know how a record came,
// who a person is across sources (ingest/identity) and whether anything is wrong
// (detect). The composition in cmd/internal/app calls [New].
//
// No live organization was met. Verified against the vendor's API description and
// published events: the list of event types, initiated_by, geoip, useragent,
// auth_context.auth_methods with password, totp, duo, webauthn and jumpcloud_protect,
// that sso_auth over a session has mfa false and no method, and that RADIUS events
// are called radius_auth_attempt. Unverified: webauthn in a live event, mfa_meta,
// jumpcloud_go and jumpcloud_go_uv, which a public integration lists, and what
// user_update says of factors. The hosts of other regions are not known here.
//
// # Design, 2026-11
//
// A method counts where it says success true; success false is one that was
// offered or tried, and is a failed factor only when the sign-in failed too. JumpCloud
// Go is phishing-resistant, bound to a managed device and kept in its hardware by the
// vendor's support articles; with user verification it is a platform_credential,
// without it stays unknown, as nobody need have been there.
//
// sso_auth without methods is the session that exists: inherited, whatever mfa says.
// Where a sign-in says mfa true and names no method, there was a second factor and
// nobody says which: unknown, which is neither strong nor weak.
//
// What is missed: enrolment and removal of WebAuthn, JumpCloud Protect and JumpCloud
// Go have no documented event, only TOTP has. The inventory reads mfaEnrollment of
// the users, which by the vendor's API description says whether TOTP, push and
// WebAuthn are enrolled, and not how many, which or since when. It says nothing of
// JumpCloud Go and Duo, so a snapshot is not complete, and a passkey that was removed
// stays on record until it is said otherwise. There is no session id and no ASN.
//
// RADIUS, LDAP and devices name a person by user name alone, the others mostly with
// the address too, which is preferred. The bare logins of ingest/identity bring the
// two together.
//
// There is no flow: one event is one sign-in.
package jumpcloud
