// Package github reads the audit log of a GitHub enterprise or organization, and
// what is known of the second factors of an organization's members.
//
// It owns what the fields of one entry mean, of the REST API, of a stream and of an
// export alike, and how the API is searched. It refuses to know who a person is
// across sources (ingest/identity) and whether anything is wrong (detect). The
// composition in cmd/internal/app calls [Provider] and opens a [Config]; streams
// that land in files are read by ingest/file.
//
// # What is verified
//
// The actions, their additional fields, the parameters of the search and the
// limits are those of GitHub's documentation, which lists passkey_nickname as a
// field of user.login; no entry with it was seen, nor one of passkey.register.
// Unverified are: user.device_verification_*, security_key.* outside the list of
// actions, staff.fake_login, the fields of organization_role.assign and of team.*,
// the filter 2fa_insecure, and how late an entry may be shown. No live tenant was
// met; the sources were tested against fakes of the documented API.
//
// Without Enterprise Managed Users the log has nothing of a person's own sign-ins,
// passkeys, codes and passwords: those are in each person's security log, which has
// no API. What is told of them here is for managed users, and for exports.
//
// # Design, 2026-11
//
// user.login names a passkey by its nickname where one was used. Without one the
// method is not known: neither a password nor a weak factor may be concluded. The
// same holds for a second factor that was right. sign_in_fallback_sms says that a
// code was sent, which is a pending step by SMS, and user.two_factor_recover that a
// recovery code was used: a factor of the sign-in and a step of a recovery.
//
// sso_response says that the identity provider has answered and not with what, so
// its outcome is not known and its factor is pending, proved elsewhere.
//
// The steps of one sign-in have no id in common: the flow stays empty, and detection
// joins them by address and time. The address is there only where its disclosure is
// switched on; without it they are joined by time alone.
//
// two_factor_authentication.disabled is the end of every second factor of a person,
// an authenticators_reset that exempts the user. What an owner of an organization
// does to a member belongs to the member; a setting belongs to whoever changed it.
//
// Each look at the log is a search from a time on, oldest entries first, that goes
// back by an overlap; the cursor of the Link header leads through its pages. The
// search is remembered, and not the cursor alone: there is none after the last page.
//
// The inventory says of a member that there is no second factor (then a password is
// what there is) or that one of them is SMS, and who owns the organization. Whoever
// has better factors has them unlisted, so a snapshot is never complete.
package github
