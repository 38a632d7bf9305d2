package rule

import "strings"

// scopeRisk reports whether a granted scope reaches mail, files, messages or the
// directory, and whether it keeps that access while the person is away. At
// Microsoft the latter takes offline_access or a scope of full control; the other
// providers grant by other means than scopes, so that their scopes are taken to
// last. The match is exact, by the provider's spelling without case and
// without the resource's address: "Mail.Read" and not "Mail.ReadBasic".
//
// Microsoft Graph and Exchange: the permissions reference
// (https://learn.microsoft.com/en-us/graph/permissions-reference); which of them
// consent phishing asks for is taken from Microsoft Sentinel's rules
// OAuthConsentToHighRiskPermission, EndUserConsentMailboxOfflineAccess and
// SuspiciousOAuthApp_OfflineAccess.
// Google: the scopes that Google itself classes as restricted
// (https://support.google.com/cloud/answer/13464325) and the directory's.
// Okta: the management scopes (https://developer.okta.com/docs/api/oauth2/).
// GitHub: https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps.
func scopeRisk(scope string) (risky, durable bool) {
	switch s := bareScope(scope); s {
	case "offline_access":
		return false, true
	case "full_access_as_app", "full_access_as_user", "exchange.manageasapp", "application.readwrite.all",
		"approleassignment.readwrite.all", "rolemanagement.readwrite.directory", "directory.readwrite.all",
		"sites.fullcontrol.all", "allsites.fullcontrol", "userauthenticationmethod.readwrite.all",
		"policy.readwrite.conditionalaccess", "policy.readwrite.authenticationmethod":
		return true, true
	case "mail.read", "mail.readwrite", "mail.send", "mail.read.shared", "mail.readwrite.shared", "mail.send.shared",
		"mailboxsettings.readwrite", "ews.accessasuser.all", "imap.accessasuser.all", "pop.accessasuser.all", "smtp.send",
		"exchange.manage", "files.read", "files.read.all", "files.readwrite", "files.readwrite.all", "files.read.selected",
		"sites.read.all", "sites.readwrite.all", "sites.manage.all",
		"allsites.manage", "myfiles.read", "myfiles.write",
		"notes.read", "notes.read.all", "notes.readwrite", "notes.readwrite.all",
		"chat.read", "chat.readwrite", "chat.read.all", "chatmessage.read", "channelmessage.read.all",
		"contacts.readwrite", "group.read.all", "group.readwrite.all",
		"user.read.all", "user.readwrite.all", "directory.read.all",
		"directory.accessasuser.all", "userauthenticationmethod.readwrite", "user_impersonation":
		return true, false
	case "gmail.readonly", "gmail.modify", "gmail.compose", "gmail.send", "gmail.insert", "gmail.metadata",
		"gmail.settings.basic", "gmail.settings.sharing", "https://mail.google.com", "drive", "drive.readonly",
		"drive.metadata", "drive.metadata.readonly", "drive.activity", "drive.scripts", "admin.directory.user",
		"admin.directory.user.security", "admin.directory.group", "admin.directory.rolemanagement", "cloud-platform":
		return true, true
	case "repo", "admin:org", "write:org", "admin:public_key", "admin:org_hook", "delete_repo", "workflow", "user":
		return true, true
	default:
		okta := strings.HasPrefix(s, "okta.") && strings.HasSuffix(s, ".manage")
		return okta, okta
	}
}

// bareScope lowers s and strips the address of its resource, so that
// "https://graph.microsoft.com/Mail.Read" and "Mail.Read" are the same.
func bareScope(s string) string {
	s = strings.TrimSuffix(strings.ToLower(s), "/")
	for _, resource := range []string{"https://graph.microsoft.com/", "https://outlook.office.com/",
		"https://outlook.office365.com/", "https://www.googleapis.com/auth/"} {
		if rest, ok := strings.CutPrefix(s, resource); ok {
			return rest
		}
	}
	return s
}
