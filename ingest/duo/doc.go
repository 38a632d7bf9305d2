// Package duo reads the logs of Cisco Duo: authentication (v2), activity (v2),
// administrator (v1) and telephony (v2), and the Admin API's lists of users and
// administrators.
//
// It owns what one row means. It refuses to know who a person is across sources
// (ingest/identity), which provider asked Duo for the second factor, and whether
// anything is wrong (detect). The composition in cmd/internal/app calls [New].
//
// # Design, 2026-11
//
// The reason is read before the factor: duo_push with the reason bypass_user is no
// second factor at all. bypass_user, trusted_network and their kin are
// mfa_bypassed, remembered_device is inherited, a bypass_code is a recovery code.
//
// A row of the authentication log is a sign_in: for a VPN or a server Duo is the
// only log that tells of one, and beside another provider it is the half that names
// the factor. The first factor is not in it. txid ties the rows of one sign-in
// together and is not unique, so an id is a digest of txid, time, factor, result and
// reason.
//
// A phone is several authenticators (push, passcode, text message, call) under one
// id, so the method is part of their ids here. WebAuthn credentials keep Duo's id,
// and Duo does not say which of them are synced. A plain passcode may come from a
// token, the app or a text message; it is told as totp, as the log has other words
// for the weaker ones.
//
// An action of an administrator is in the administrator log and, with an address,
// in the activity log. Its id is a digest of second, action, administrator and
// target in both, so that the two are one where they agree; a sign-in to the admin
// panel keeps both, as each has a half of it. Administrators are named by their
// display name there; their e-mail address is used where a row has it.
// Actions on a phone, token or credential that name no person belong to nobody.
//
// Telephony rows name no person, only a number: they are skipped, and that log is
// not read unless it is asked for. Offline enrolment and Trust Monitor are not read.
//
// Rows are held back for two minutes by Duo and read again for a quarter of an hour.
// A snapshot is complete where the bypass codes could be read too.
//
// Verified against Duo's documents: endpoints, cursors, units of time, signature, the
// two minutes of delay, factors and reasons of the authentication log but those
// below. Unverified: the spelling of Verified Duo Push, of Roaming and Platform
// authenticator and of the reasons that begin with endpoint_; whether a policy_update
// lists all settings or those that changed; activity's names of actions other than
// webauthncredential_create. No live tenant was met.
package duo
