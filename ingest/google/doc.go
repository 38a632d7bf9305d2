// Package google reads the activity logs of Google Workspace: login,
// user_accounts, token, admin, saml and context_aware_access, and the directory's
// list of users.
//
// It owns what one activity means, as the Admin SDK Reports API gives it and as
// Cloud Logging does, which has the same facts in another shape. It refuses to know
// who a person is across sources (ingest/identity) and whether anything is wrong
// (detect). The composition in cmd/internal/app calls [New].
//
// # Design, 2026-11
//
// login_challenge_method lists every challenge that was shown, in order, with its
// repetitions and its failures. So in a login_success only the last one that is no
// password counts as verified; what was shown before it is pending, as the list
// does not say how it ended. security_key_otp is a one-time password, not a FIDO
// ceremony. Of cross_device nobody says whether it is a passkey by QR code or a
// prompt on a phone, so it stays unknown. Text message and call are one value in
// the log and are told as sms.
//
// A login_type of saml means that another provider proved the person: the sign-in
// is federated, and what Google asks for on top is listed and not fresh, as it
// would be taken for the strength of the whole. reauth and exchange rest on a
// session that exists. A sign-in to a SAML app rests on Google's session too.
//
// An activity has no id. uniqueQualifier is a constant of the user in the login
// log, so the id of an event is a digest of customer, log, time, qualifier, event,
// parameters and address. A change of an account (2-step verification, passkey,
// password, recovery) may be in login and in user_accounts: log and qualifier are
// left out of its id, so that the two are one where they agree. Cloud Logging has
// ids of its own: one of the two deliveries is to be configured, not both.
//
// Sign-ins were measured to appear up to 95 minutes after they happened, and changes
// within seconds, so a change may be known before the sign-in that made it. Each
// window of time is read newest first, as Google gives it, and the position moves
// when its last page was read; a log is read again for as far back as its lag, and
// what is shown later than that is missed. A longer lag costs requests.
//
// No API lists passkeys, security keys or phones. Directory users tell isAdmin and
// isDelegatedAdmin, which become the person's roles; isEnrolledIn2Sv names no
// method and becomes nothing. What an administrator with a delegated role may do
// is not told, so that role counts as privileged. A person's passkey is therefore
// known from passkey_enrolled, from SECURITY_KEY_REGISTERED_FOR_USER or from its
// use, and one that was enrolled before the log began and is not used is missed.
//
// There is no session id, device or user agent in these logs; dusi, which only
// Cloud Logging has, is not taken for one, as its meaning is not documented.
//
// Verified against Google's documents: the events and parameters of the logs, the
// order of pages, the false boolean that comes as a name without a value.
// Unverified: the type of the passkey events, the values of the allowed 2-step
// verification methods, the lag of login, token and saml as of today. No live
// tenant was met.
package google
