package aws

import (
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// device returns a handler for an MFA device that a user of IAM, or the root user,
// gets or loses.
func device(k event.Kind) func(*build) error {
	return func(b *build) error {
		b.e.Kind = k
		b.target(known(b.req.UserName))
		serial := known(b.req.SerialNumber)
		m, ok := deviceMethod(serial)
		if !ok {
			b.warn("unknown mfa device %.200q", serial)
		}
		a := event.NewAuthenticator(m)
		a.ID, a.Name = serial, lastOf(serial)
		b.e.Authenticators = []event.Authenticator{a}
		return nil
	}
}

// loginProfile returns a handler for the password of the console, without which an
// IAM user cannot come in there.
func loginProfile(k event.Kind) func(*build) error {
	return func(b *build) error {
		b.e.Kind = k
		b.target(known(b.req.UserName))
		b.e.Authenticators = []event.Authenticator{event.NewAuthenticator(event.MethodPassword)}
		return nil
	}
}

func (b *build) passwordReset() error {
	b.target(known(b.req.UserName))
	b.reset("")
	return nil
}

// reset is a password that was set for somebody.
func (b *build) reset(m event.Method) {
	b.e.Kind = event.PasswordReset
	stage := event.RecoveryCompleted
	if b.e.Outcome != event.Success {
		stage = event.RecoveryFailed
	}
	b.e.Recovery = &event.Recovery{Stage: stage, Method: m, SelfService: b.e.Subject == b.e.Actor}
}

func (b *build) iamUser() error {
	b.e.Kind = event.UserLifecycle
	b.target(known(b.req.UserName))
	return nil
}

// accessCredential is a secret by which a program acts as the user.
func (b *build) accessCredential() error {
	b.e.Kind = event.AppCredential
	b.target(lenient.First(known(b.req.UserName), known(b.res.AccessKey.UserName)))
	b.e.App = &event.App{ID: lenient.First(known(b.req.AccessKeyID), known(b.res.AccessKey.AccessKeyID)), Name: "IAM " + credentialKind(b.in.EventName)}
	return nil
}

// credentialKind is the event's name without its verb.
func credentialKind(name string) string {
	for _, verb := range []string{"Create", "Update", "Delete", "Reset", "Upload"} {
		if kind, ok := strings.CutPrefix(name, verb); ok {
			return kind
		}
	}
	return name
}

// userPolicy returns a handler for rights that one user gets or loses.
func userPolicy(granted bool) func(*build) error {
	return func(b *build) error {
		b.e.Kind = event.RoleChange
		b.target(known(b.req.UserName))
		arn := known(b.req.PolicyARN)
		role := lenient.First(lastOf(resourceOf(arn)), known(b.req.PolicyName))
		privileged := administers(arn) || granted && documentAdministers(known(b.req.PolicyDoc))
		if group := known(b.req.GroupName); group != "" {
			role = "group/" + group
		}
		b.e.Role = &event.Role{Granted: granted, Privileged: privileged}
		if role != "" {
			b.e.Role.Roles = []string{role}
		}
		return nil
	}
}

// administers reports whether a policy of AWS's own lets its holder change what
// anybody may do.
func administers(arn string) bool {
	if !strings.HasPrefix(resourceOf(arn), "policy/") || !strings.Contains(arn, ":iam::aws:") {
		return false
	}
	switch lastOf(arn) {
	case "AdministratorAccess", "IAMFullAccess", "AWSSSOMasterAccountAdministrator", "AWSSSODirectoryAdministrator":
		return true
	}
	return false
}

// documentAdministers reads an inline policy: whether a statement allows every
// action, or every action of IAM.
func documentAdministers(document string) bool {
	type statement struct {
		Effect string        `json:"Effect"`
		Action lenient.Texts `json:"Action"`
	}
	var one struct {
		Statement lenient.Object `json:"Statement"`
	}
	var many struct {
		Statement []statement `json:"Statement"`
	}
	if json.Unmarshal([]byte(document), &many) != nil && json.Unmarshal([]byte(document), &one) == nil {
		var s statement
		if json.Unmarshal(one.Statement, &s) == nil {
			many.Statement = []statement{s}
		}
	}
	for _, s := range many.Statement {
		if !strings.EqualFold(s.Effect, "Allow") {
			continue
		}
		for _, action := range s.Action {
			if action == "*" || action == "*:*" || strings.EqualFold(action, "iam:*") {
				return true
			}
		}
	}
	return false
}

// change returns a handler for what concerns an account as a whole.
func change(k event.Kind) func(*build) error {
	return func(b *build) error {
		b.e.Kind = k
		r := &b.req
		name := b.in.EventName
		p := event.Policy{Type: policyType(name), Change: changeOf(name), After: string(b.in.Request)}
		p.ID = lenient.First(known(r.SAMLProvider), known(b.res.SAMLProvider), known(r.OIDCProvider), known(b.res.OIDCProvider),
			known(r.PolicyARN), known(r.PermissionSetARN), known(r.InstanceARN))
		p.Name = lenient.First(known(r.RoleName), known(r.GroupName), known(r.PolicyName), known(r.Name), known(r.TrailName), known(r.URL))
		switch name {
		case "DeleteAccountPasswordPolicy", "StopLogging", "DeleteTrail":
			p.Weakened = []event.Weakening{event.WeakeningDisabled}
		}
		if b.e.Outcome != event.Success {
			p.Weakened = nil
		}
		b.e.Policy = &p
		return nil
	}
}

// policyType is the kind of thing that an operation changes.
func policyType(name string) string {
	for _, t := range []struct{ contains, kind string }{
		{"PasswordPolicy", "password_policy"}, {"SAMLProvider", "saml_provider"}, {"OpenIDConnectProvider", "oidc_provider"},
		{"AssumeRolePolicy", "role_trust"}, {"RolePolicy", "role_policy"}, {"GroupPolicy", "group_policy"}, {"PolicyVersion", "managed_policy"},
		{"ExternalIdP", "external_idp"}, {"Directory", "directory"}, {"PermissionSet", "permission_set"},
		{"Trail", "trail"}, {"Logging", "trail"}, {"EventSelectors", "trail"},
	} {
		if strings.Contains(name, t.contains) {
			return t.kind
		}
	}
	return name
}

// changeOf reads the verb of an operation.
func changeOf(name string) string {
	for _, v := range []struct{ prefix, change string }{
		{"Create", "created"}, {"Import", "created"}, {"Associate", "created"},
		{"Delete", "deleted"}, {"Disassociate", "deleted"},
		{"Enable", "activated"}, {"StartLogging", "activated"},
		{"Disable", "deactivated"}, {"StopLogging", "deactivated"},
	} {
		if strings.HasPrefix(name, v.prefix) {
			return v.change
		}
	}
	return "updated"
}

// temporaryCredentials: long-lived credentials, or a proof made elsewhere, become
// those of a session. Only an MFA code in the request, or what a provider proved,
// is a step of a person; the rest is use of what there was. Such a call belongs to
// no sign-in to the console, so its flow is its own.
func (b *build) temporaryCredentials() error {
	b.e.Kind = event.SessionStart
	res := result(b.e.Outcome)
	switch id := &b.in.UserIdentity; {
	case id.Type == "AWSService":
		return ingest.Skip(ingest.SkipMachine, b.in.EventSource+" "+b.in.EventName)
	case id.Type == "SAMLUser", id.Type == "WebIdentityUser":
		f := event.NewFactor(event.MethodFederated, res)
		f.Provider = lastOf(known(id.IdentityProvider))
		b.e.Factors = []event.Factor{f}
		if id.Type == "SAMLUser" {
			b.e.Protocol = event.ProtocolSAML
		}
	case known(b.req.SerialNumber) != "":
		b.e.Factors = []event.Factor{b.mfa(known(b.req.SerialNumber), res)}
		b.e.FlowID = b.in.EventID
	default:
		b.e.Kind = event.SessionActivity
	}
	b.e.SessionID = known(b.res.Credentials.AccessKeyID)
	if arn := known(b.req.RoleARN); arn != "" {
		b.e.App = &event.App{ID: arn, Name: resourceOf(arn)}
	}
	return nil
}
