// Package okta reads the Okta System Log, of Classic Engine and of Identity
// Engine (OIE).
//
// It owns what the fields of one LogEvent mean. It refuses to know how the record
// came (the sources of ingest unwrap event hooks, EventBridge and pages of the
// API), who a person is across sources (ingest/identity) and whether anything is
// wrong (detect). The composition in cmd/internal/app calls [New].
//
// # Design, 2026-11
//
// Identity Engine logs a password as user.authentication.auth_via_mfa, so that
// type is a factor_challenge and never by itself a sign-in. What lets a person in
// is user.session.start, an app's single sign-on or user.authentication.verify;
// policy.evaluate_sign_on only says what was offered, also when it says ALLOW.
//
// The factor is debugData.factor where it is known, else the enrolment's
// methodTypeUsed: the latter has named the prompted method instead of the used
// one. methodUsedVerifiedProperties decides phishing resistance, whatever the
// name, unless another provider did the proving. FastPass (SIGNED_NONCE) without
// PHISHING_RESISTANT counts as a push. An enrolled FastPass is fastpass_pr all the
// same: an enrolment says what its owner could show.
//
// Single sign-on over a session that exists is inherited proof. The methods that
// authMethod* names belong to the session; they are fresh only when they were
// verified within freshFor before the record, and a signed nonce among them is
// unknown, as nothing there says whether it resisted phishing. The verification
// times in user.authentication.verify decide freshness in the same way.
//
// The flow is authnRequestId, else transaction.id of a WEB transaction, else the
// session. In Classic Engine the authnRequestId of a factor is the transaction.id
// of user.session.start, while externalSessionId differs between the two.
//
// The tenant is what the input was configured with. No field of a LogEvent names
// the org reliably: debugData.origin is a header that the client sends.
//
// The subject is the User among the targets, else the actor. A change of policy,
// trust, logging or an app belongs to the ledger of whoever made it, and so does a
// privilege of a group or a custom role, which is told as a policy_change: as a
// role_change it would make the administrator its holder.
package okta
