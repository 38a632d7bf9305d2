// Package aws reads CloudTrail: sign-ins to the console, IAM, STS, IAM Identity
// Center, and the inventory of IAM users.
//
// It owns what the fields of these records mean, how a trail is read from its
// bucket as a queue tells of new objects, and what an IAM user has enrolled. It
// refuses to know who a person is across sources (ingest/identity) and whether
// anything is wrong (detect). The composition in cmd/internal/app calls [Provider]
// and opens a [Config]; trails that lie in files are read by ingest/file.
//
// # What is verified
//
// The sign-in records of IAM and Identity Center, their fields and values, are
// those of AWS's user guides and of published samples; PASSWORD, TOTP, WEBAUTHN,
// RESYNC_TOTP, EXTERNAL_IDP and SMARTCARD are documented. Unverified are: EMAIL_OTP
// as a credential type, the form of a hardware token's serial number, EmailUpdated,
// the members of the requests that Identity Center's directory logs (userId,
// user.userId, memberId.userId, deviceId) and of its MFA settings, and under which
// of its event sources an operation appears, which is why all of them are read
// alike. No live account was met; the sources were tested against fakes of the
// documented protocols of SQS, S3, IAM and STS.
//
// # Design, 2026-11
//
// The tenant is the account of the record, whatever the input was configured with:
// a trail may be that of an organization, and names of IAM users are unique within
// one account only. An Identity Center user belongs to the account of the
// directory.
//
// MFAUsed is "No" for whoever comes from Identity Center, SAML or another broker.
// Such a sign-in is federated, never a password. For IAM users and the root user a
// device under u2f is a passkey, of a kind that is not told, one under mfa is an
// authenticator app, the root user's too. MFAUsed without a device is a second
// factor that is not known, so nothing is said of the sign-in's strength.
//
// Sign-ins of IAM have no id that ties CheckMfa to ConsoleLogin; the flow stays
// empty, and detection joins them by address and time. Those of Identity Center
// have AuthWorkflowID. Sign-ins of IAM Identity Center name the person in UserName,
// other records of July 2025 and later only by the directory's id: the two are one
// identity once that id is configured for the person.
//
// Anybody who may assume a role chooses the name of the session. A session names a
// person only where Identity Center or SAML chose the name, or by a source
// identity; else the role itself is the principal, "role/Name", which no user can
// be called. The root user is "<root_account>" for the same reason.
//
// A call of STS that proves an MFA code is the start of a session with a flow of
// its own, so that it is never joined to a sign-in to the console; without a code
// it is activity. CreateVirtualMFADevice makes a seed that nobody has yet:
// EnableMFADevice is the enrolment.
//
// The queue has the position, so there is no cursor. A message is deleted when the
// records of all its objects are durable, and comes again after its visibility
// timeout else, which may repeat records that detection absorbs by their id. An
// object is read record by record; one that breaks off is opened again and read
// from where it was. An object that cannot be opened five times in a row goes back
// to the queue, whose redrive policy says when it is set aside; it holds nobody up.
// One input reads one object at a time; several processes may read one queue.
//
// The SDK of AWS is used for what would be wrong to write again: the chain of
// credentials (container, instance and cluster roles, web identity, assumed roles)
// and request signing. Its retries are switched off; they sleep on a clock that
// tests cannot move. It is the heaviest dependency of any provider, some 13 MB of a
// binary, and this package is its only home.
package aws
