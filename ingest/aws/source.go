package aws

import (
	"stepdown/ingest"
	"stepdown/ingest/event"
)

// source is the name of the provider.
const source event.Source = "aws"

// Provider is AWS: the console, IAM, STS and IAM Identity Center in CloudTrail.
func Provider() ingest.Provider {
	return ingest.Provider{Source: source, Title: "AWS CloudTrail", Normalizer: New(), Example: example, Shows: []ingest.Capability{
		{Fact: ingest.FactFactor, Extent: ingest.Fully, Note: "IAM by the device's ARN, Identity Center by CredentialType; federated sign-ins are proved elsewhere"},
		{Fact: ingest.FactPasskeyKind, Extent: ingest.Never, Note: "security keys and passkeys are one kind"},
		{Fact: ingest.FactEnrolment, Extent: ingest.Fully, Note: "what Identity Center's records ask for is unverified"},
		{Fact: ingest.FactInventory, Extent: ingest.Partly, Note: "IAM users; Identity Center has no such API"},
		{Fact: ingest.FactRecovery, Extent: ingest.Partly, Note: "the root user's, and passwords set by others"},
		{Fact: ingest.FactConsent, Extent: ingest.Never, Note: "device codes are sign-ins"},
		{Fact: ingest.FactPolicy, Extent: ingest.Fully},
		{Fact: ingest.FactRole, Extent: ingest.Partly, Note: "what a group or a permission set allows is not in the record"},
		{Fact: ingest.FactSession, Extent: ingest.Partly, Note: "Identity Center and temporary credentials, not the console"},
		{Fact: ingest.FactDevice, Extent: ingest.Never},
		{Fact: ingest.FactUserAgent, Extent: ingest.Fully},
		{Fact: ingest.FactCountry, Extent: ingest.Never},
		{Fact: ingest.FactASN, Extent: ingest.Never},
		{Fact: ingest.FactHelpDesk, Extent: ingest.Fully, Note: "a role that is not Identity Center's names no person"},
		{Fact: ingest.FactSignedPush, Extent: ingest.Never, Note: "objects in S3, by a queue"},
	}}
}
