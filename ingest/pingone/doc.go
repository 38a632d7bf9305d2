// Package pingone reads the audit activities of PingOne, which its API and its
// webhooks (subscriptions) give in one form, and the push subscriptions of PingOne
// for Enterprise, through which PingID tells of its authentications.
//
// It owns what the fields of these records mean. It refuses to know how a record
// came, who a person is across sources (ingest/identity) and whether anything is
// wrong (detect). The composition in cmd/internal/app calls [New].
//
// No live tenant was met. Verified against the vendor's documents and published
// activities: the envelope, the action types, who is actor and resource, that
// PASSWORD.CHECK_FAILED says status SUCCESS, the device types of the inventory, the
// envelope of a push subscription. Unverified: what the resources of DEVICE, OTP,
// ASSERTION, ROLE_ASSIGNMENT and GRANT activities look like, what a PingID message
// says, and which activities carry source.ipAddress. PingFederate's own audit.log is
// not read.
//
// # Design, 2026-11
//
// The outcome is the suffix of the action's type, then result.status: a failed
// check of a password is a check that succeeded.
//
// correlationId names one HTTP request and not one sign-in, so it is no flow: the
// password and the passcode of one person would be two attempts. FlowID stays empty
// and the detector puts steps together by person, address and time. A flow's own
// activities (FLOW.*) name a policy, which customers rename; they are skipped, and
// USER.ACCESS_ALLOWED, which also comes over a session that exists, is the sign-in
// and says nothing of a factor.
//
// OTP.CHECK_* is a passcode over any channel. Where the device's name does not say
// which, the method is unknown: a passcode is not known to be a text message, nor
// known not to be one.
//
// A device is made before it is activated. What proves possession when it is
// activated counts from DEVICE.ACTIVATED on; a weaker one counts from DEVICE.CREATED
// on too, since an administrator may make it active at once.
//
// Some activities name a user only in the address of a resource (groups, devices).
// Their subject has an id and no name, and so a ledger of its own unless the
// directory of ingest/identity knows the id.
//
// Consent to an agreement (AGREEMENT_CONSENT.*) is one to terms of use and gives no
// app anything; it is skipped. GRANT.* gives an app scopes for everybody.
package pingone
