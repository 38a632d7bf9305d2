package aws

import (
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
)

// handlerOf returns what reads an event, nil for one that says nothing of how
// people prove themselves. The source is told by its first label alone, since the
// rest differs between the partitions of AWS.
func handlerOf(source, name string) func(*build) error {
	service, _, _ := strings.Cut(source, ".")
	switch service {
	case "signin":
		return signinHandler(name)
	case "iam":
		return iamHandler(name)
	case "sts":
		return stsHandler(name)
	case "sso", "sso-directory", "identitystore", "sso-oauth", "sso-oidc":
		// The same operation has been seen under several of these.
		return identityCenterHandler(name)
	case "cloudtrail":
		return trailHandler(name)
	}
	return nil
}

func signinHandler(name string) func(*build) error {
	switch name {
	case "ConsoleLogin":
		return (*build).consoleLogin
	case "CheckMfa":
		return (*build).checkMFA
	case "CredentialChallenge", "CredentialVerification":
		return (*build).credential
	case "UserAuthentication":
		return (*build).userAuthentication
	case "PasswordRecoveryRequested":
		return recovery(event.RecoveryStarted)
	case "PasswordRecoveryCompleted":
		return recovery(event.RecoveryCompleted)
	case "PasswordUpdated":
		return (*build).passwordChanged
	case "EmailUpdated":
		return (*build).emailUpdated
	case "GetSigninToken":
		return (*build).signinToken
	case "SwitchRole", "ExitRole", "RenewRole":
		return (*build).consoleRole
	}
	return nil
}

func iamHandler(name string) func(*build) error {
	switch name {
	case "EnableMFADevice":
		return device(event.AuthenticatorEnrolled)
	case "DeactivateMFADevice":
		return device(event.AuthenticatorRemoved)
	case "CreateVirtualMFADevice", "DeleteVirtualMFADevice", "ResyncMFADevice":
		// A seed that nobody has yet, or no longer, or whose clock was set.
		return skip(ingest.SkipIntermediate)
	case "CreateLoginProfile":
		return loginProfile(event.AuthenticatorEnrolled)
	case "DeleteLoginProfile":
		return loginProfile(event.AuthenticatorRemoved)
	case "UpdateLoginProfile":
		return (*build).passwordReset
	case "ChangePassword":
		return (*build).passwordChanged
	case "CreateUser", "DeleteUser", "UpdateUser":
		return (*build).iamUser
	case "UpdateAccountPasswordPolicy", "DeleteAccountPasswordPolicy",
		"CreatePolicyVersion", "SetDefaultPolicyVersion", "AttachGroupPolicy", "DetachGroupPolicy", "PutGroupPolicy", "DeleteGroupPolicy",
		"AttachRolePolicy", "DetachRolePolicy", "PutRolePolicy", "DeleteRolePolicy":
		return change(event.PolicyChange)
	case "CreateSAMLProvider", "UpdateSAMLProvider", "DeleteSAMLProvider",
		"CreateOpenIDConnectProvider", "UpdateOpenIDConnectProviderThumbprint", "DeleteOpenIDConnectProvider",
		"AddClientIDToOpenIDConnectProvider", "RemoveClientIDFromOpenIDConnectProvider", "UpdateAssumeRolePolicy":
		return change(event.TrustChange)
	case "CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey",
		"CreateServiceSpecificCredential", "ResetServiceSpecificCredential", "UpdateServiceSpecificCredential", "DeleteServiceSpecificCredential",
		"UploadSSHPublicKey", "UpdateSSHPublicKey", "DeleteSSHPublicKey",
		"UploadSigningCertificate", "UpdateSigningCertificate", "DeleteSigningCertificate":
		return (*build).accessCredential
	case "AttachUserPolicy", "PutUserPolicy", "AddUserToGroup":
		return userPolicy(true)
	case "DetachUserPolicy", "DeleteUserPolicy", "RemoveUserFromGroup":
		return userPolicy(false)
	}
	return nil
}

func stsHandler(name string) func(*build) error {
	switch name {
	case "AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "GetSessionToken", "GetFederationToken":
		return (*build).temporaryCredentials
	}
	return nil
}

func identityCenterHandler(name string) func(*build) error {
	switch name {
	case "CompleteWebAuthnDeviceRegistration":
		return directoryDevice(event.AuthenticatorEnrolled, event.MethodPasskey)
	case "CompleteVirtualMfaDeviceRegistration":
		return directoryDevice(event.AuthenticatorEnrolled, event.MethodTOTP)
	case "DeleteMfaDeviceForUser":
		return directoryDevice(event.AuthenticatorRemoved, event.MethodUnknown)
	case "StartWebAuthnDeviceRegistration", "StartVirtualMfaDeviceRegistration", "UpdateMfaDeviceForUser", "VerifyEmail":
		return skip(ingest.SkipIntermediate)
	case "UpdatePassword", "ResetPassword":
		return (*build).directoryPassword
	case "CreateUser", "UpdateUser", "DeleteUser", "DisableUser", "EnableUser":
		return (*build).directoryUser
	case "PutMfaDeviceManagementForDirectory", "UpdateSsoConfiguration":
		return (*build).mfaSettings
	case "CreateExternalIdPConfigurationForDirectory", "UpdateExternalIdPConfigurationForDirectory", "DeleteExternalIdPConfigurationForDirectory",
		"EnableExternalIdPConfigurationForDirectory", "DisableExternalIdPConfigurationForDirectory",
		"ImportExternalIdPCertificate", "DeleteExternalIdPCertificate",
		"AssociateDirectory", "DisassociateDirectory", "UpdateDirectoryAssociation":
		return change(event.TrustChange)
	case "AttachManagedPolicyToPermissionSet", "DetachManagedPolicyFromPermissionSet",
		"AttachCustomerManagedPolicyReferenceToPermissionSet", "DetachCustomerManagedPolicyReferenceFromPermissionSet",
		"PutInlinePolicyToPermissionSet", "DeleteInlinePolicyFromPermissionSet",
		"CreatePermissionSet", "UpdatePermissionSet", "DeletePermissionSet":
		return change(event.PolicyChange)
	case "CreateAccountAssignment":
		return assignment(true)
	case "DeleteAccountAssignment":
		return assignment(false)
	case "AddMemberToGroup", "CreateGroupMembership":
		return membership(true)
	case "RemoveMemberFromGroup", "DeleteGroupMembership":
		return membership(false)
	case "BatchDeleteSession", "DeleteSession":
		return (*build).sessionsDeleted
	case "CreateToken", "CreateTokenWithIAM":
		return (*build).token
	case "RegisterClient", "StartDeviceAuthorization":
		return skip(ingest.SkipNoIdentity) // before anybody has signed in
	case "Authenticate", "Federate":
		return (*build).portal
	}
	return nil
}

func trailHandler(name string) func(*build) error {
	switch name {
	case "StopLogging", "StartLogging", "CreateTrail", "UpdateTrail", "DeleteTrail", "PutEventSelectors":
		return change(event.LoggingChange)
	}
	return nil
}

// skip returns a handler for what rightly yields no event.
func skip(reason ingest.SkipReason) func(*build) error {
	return func(b *build) error { return ingest.Skip(reason, b.in.EventSource+" "+b.in.EventName) }
}
