package aws

import (
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// noTarget skips what names nobody whom it was done to.
func (b *build) noTarget() error {
	return ingest.Skip(ingest.SkipNoIdentity, b.in.EventSource+" "+b.in.EventName)
}

// directoryDevice returns a handler for an MFA device of an Identity Center user.
// The removal does not say of what kind it was.
func directoryDevice(k event.Kind, m event.Method) func(*build) error {
	return func(b *build) error {
		b.e.Kind = k
		if !b.directoryTarget() && b.e.Actor.Type != typeUser {
			return b.noTarget()
		}
		a := event.NewAuthenticator(m)
		a.ID = lenient.First(known(b.req.DeviceID), known(b.res.DeviceID), known(b.res.MFADevice.DeviceID))
		a.Name = known(b.req.DeviceName)
		b.e.Authenticators = []event.Authenticator{a}
		return nil
	}
}

// directoryPassword is a change where the user made it, else a reset.
func (b *build) directoryPassword() error {
	named := b.directoryTarget()
	if b.e.Subject == b.e.Actor && b.isDirectoryUser() {
		b.e.Kind = event.PasswordChange
		return nil
	}
	if !named {
		return b.noTarget()
	}
	b.reset("")
	return nil
}

// isDirectoryUser reports whether an Identity Center user called.
func (b *build) isDirectoryUser() bool {
	return b.in.UserIdentity.Type == "IdentityCenterUser" || b.in.UserIdentity.Type == "Unknown"
}

func (b *build) directoryUser() error {
	b.e.Kind = event.UserLifecycle
	if !b.directoryTarget() {
		return b.noTarget()
	}
	return nil
}

// mfaSettings: when a second factor is asked for, of which kinds, and what becomes
// of those who have none.
func (b *build) mfaSettings() error {
	b.e.Kind = event.PolicyChange
	p := event.Policy{ID: known(b.req.InstanceARN), Name: "MFA settings", Type: "mfa_device_management", Change: "updated", After: string(b.in.Request)}
	settings := find(b.in.Request, "mfaMode", "noMfaSignInBehavior", "allowedMfaTypes")
	if b.e.Outcome == event.Success {
		if settings["mfaMode"] == "DISABLED" {
			p.Weakened = append(p.Weakened, event.WeakeningDisabled)
		}
		switch settings["noMfaSignInBehavior"] {
		case "ALLOWED":
			p.Weakened = append(p.Weakened, event.WeakeningFactorMode)
		case "EMAIL_OTP":
			p.Weakened = append(p.Weakened, event.WeakeningMethodEnabled)
		}
		if kinds := settings["allowedMfaTypes"]; kinds != "" && !strings.Contains(kinds, "WEBAUTHN") {
			p.Weakened = append(p.Weakened, event.WeakeningMethodDisabled)
		}
	}
	b.e.Policy = &p
	return nil
}

// find returns members by name wherever they are within o, as text: the settings
// are nested one or two deep, by a path that is not documented.
func find(o lenient.Object, names ...string) map[string]string {
	out := map[string]string{}
	var walk func(data []byte, depth int)
	walk = func(data []byte, depth int) {
		var members map[string]json.RawMessage
		if depth > 3 || json.Unmarshal(data, &members) != nil {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			for _, want := range names {
				var text lenient.Text
				if strings.EqualFold(name, want) && out[want] == "" && text.UnmarshalJSON(members[name]) == nil {
					out[want] = string(text)
				}
			}
			walk(members[name], depth+1)
		}
	}
	walk(o, 0)
	return out
}

// assignment returns a handler for a permission set that a user or a group gets or
// loses in an account. What the set allows is not in the record.
func assignment(granted bool) func(*build) error {
	return func(b *build) error {
		if !strings.EqualFold(known(b.req.PrincipalType), "USER") {
			return change(event.PolicyChange)(b)
		}
		b.e.Kind = event.RoleChange
		if id := known(b.req.PrincipalID); id != "" && id != b.e.Actor.ID {
			b.e.Subject = event.Principal{ID: id, Type: typeUser}
		}
		b.e.Role = &event.Role{Granted: granted, Roles: []string{lastOf(known(b.req.PermissionSetARN)) + " in " + known(b.req.TargetID)}}
		return nil
	}
}

// membership returns a handler for a group that a user joins or leaves.
func membership(granted bool) func(*build) error {
	return func(b *build) error {
		b.e.Kind = event.RoleChange
		if !b.directoryTarget() {
			return b.noTarget()
		}
		b.e.Role = &event.Role{Granted: granted}
		if group := known(b.req.GroupID); group != "" {
			b.e.Role.Roles = []string{"group/" + group}
		}
		return nil
	}
}

func (b *build) sessionsDeleted() error {
	b.e.Kind = event.SessionEnd
	if !b.directoryTarget() {
		return b.noTarget()
	}
	return nil
}

// token is an access token of the command line or of an app. A device code says
// nothing of where the person is who approved it: that is what makes it the relay
// of choice.
func (b *build) token() error {
	b.e.SessionID = known(b.in.UserIdentity.CredentialID)
	b.e.App = &event.App{ID: known(b.req.ClientID), Name: "IAM Identity Center client"}
	b.e.Kind, b.e.Protocol = event.SessionActivity, event.ProtocolOAuth2
	if known(b.req.GrantType) == "urn:ietf:params:oauth:grant-type:device_code" {
		b.e.Kind, b.e.Protocol = event.SignIn, event.ProtocolDeviceCode
		if b.e.Outcome == event.Success {
			b.e.Factors = []event.Factor{event.NewFactor(event.MethodExistingSession, event.Verified)}
		}
	}
	return nil
}

// portal is use of the access portal: opening it, going into an account by it.
func (b *build) portal() error {
	b.e.Kind = event.SessionActivity
	b.e.SessionID = known(b.in.UserIdentity.CredentialID)
	b.e.App = &event.App{Name: "AWS access portal", Client: "browser"}
	if role := known(b.req.RoleName); role != "" {
		b.e.App.ResourceID, b.e.App.ResourceName = known(b.req.AccountID), "role/"+role
	}
	return nil
}
