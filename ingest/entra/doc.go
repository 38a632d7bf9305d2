// Package entra reads the logs of Microsoft Entra ID: sign-ins (interactive and
// not), directory audits, risk detections and risky users.
//
// It owns what the fields of these logs mean. One record is a Microsoft Graph
// object, a record that Azure Monitor streams to an Event Hub (an envelope with
// properties), or a row of a Log Analytics table, where nested values are JSON in
// strings. The shape is read off the record; the stream of the input is only a
// hint. It refuses to know where records come from (ingest's sources do), who a
// person is across sources (ingest/identity) and whether anything is wrong
// (detect). The composition in cmd/internal/app calls [New].
//
// # Design, 2026-11
//
// Requirement is not proof. authenticationRequirement is what policy demanded;
// only authenticationDetails says what was shown, so the factors come from there
// alone. A step that was "satisfied by claim" is inherited, a step without method
// is a demand, and an unknown method stays unknown. Where there are no details,
// the token, the issuer and the home tenant say what the row rests on, and
// nothing of it counts as fresh.
//
// A completed sign-in may be logged before its second step is: the row says
// errorCode 0 and "Authentication in progress". The step counts as verified. The
// provider writes the row again later under the same id, and so does this package.
//
// The flow of a sign-in is correlationId with appId. The client chooses the
// correlationId and reuses it over several applications, so alone it would melt
// sign-ins together; a ledger belongs to one person, so the user need not be part
// of it. sessionId is the session; uniqueTokenIdentifier names one token and is
// not taken for one.
//
// A device registration is an enrolled authenticator of method
// primary_refresh_token: the device's key obtains sessions without a factor. The
// method has no rank, so it counts neither as strength nor as a weak factor.
//
// A change of a tenant-wide policy, trust or application belongs to the ledger of
// whoever made it, as nobody else is named. Per-user MFA that is switched off is
// an authenticators_reset with the weakening user_exempted: it is the end of that
// person's second factor, not a change of policy.
//
// A Microsoft service that writes on behalf of a person ("Azure MFA
// StrongAuthenticationService", "Device Registration Service") is no actor; the
// log does not say who acted, and Actor stays empty.
package entra
