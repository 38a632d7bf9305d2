// Package entra reads the logs of Microsoft Entra ID: sign-ins (interactive and
// not), directory audits, risk detections and risky users, and what everybody has
// enrolled.
//
// It owns what the fields of these logs mean, and how they are asked for through
// Microsoft Graph. One record is a Microsoft Graph object, a record that Azure
// Monitor streams to an Event Hub (an envelope with properties), or a row of a Log
// Analytics table, where nested values are JSON in strings. The shape is read off
// the record; the stream of the input is only a hint. A record is the same event
// whichever way it comes. The package refuses to know how files and Event Hubs are
// read (ingest's other sources do), who a person is across sources
// (ingest/identity) and whether anything is wrong (detect). The composition in
// cmd/internal calls [New], and [Config] for an input that is read live.
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
// A position in a log is made of times alone. Each look reads from overlap before
// the newest record to now, since sign-ins are shown ten minutes late and more; a
// log that hangs for hours keeps its place, as only records move it, and after a
// silent day the clock. Every few hours the last day is read again, as rows are
// completed and rewritten for so long; what was seen before is left out. Pages are
// asked for in the order of time, each from the time of the last record, because a
// link to the next page does not survive a restart. Where the order is not kept,
// and for the logs of ID Protection, which document none, a window is read by its
// links at once.
//
// The inventory takes the registration report for its people and asks for the
// methods of each. The report lags by up to a day and knows kinds only, so a
// snapshot is complete only with the latter; security questions, hardware tokens
// and certificates come from the report alone. Roles are the active assignments,
// direct and by groups; who is eligible is told by the audit log.
//
// By Microsoft's documents: the filters and the order of sign-ins and audits, the
// limits of requests and their headers, assertions with PS256 and x5t#S256, the
// registration report and the types of methods. Unverified: the filters of
// riskDetections and riskyUsers, and passkeyType. No live tenant was met.
//
// A Microsoft service that writes on behalf of a person ("Azure MFA
// StrongAuthenticationService", "Device Registration Service") is no actor; the
// log does not say who acted, and Actor stays empty.
package entra
