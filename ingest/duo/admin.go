package duo

import (
	"strconv"
	"strings"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// adminPanel is where administrators sign in.
const adminPanel = "Duo Admin Panel"

// administrator reads a row of the administrator log.
func (b *build) administrator() error {
	in, e := b.in, &b.base
	if err := b.time(in.ISOTime, in.Timestamp); err != nil {
		return err
	}
	c := change{build: b, action: string(in.Action), to: detailsOf(in.Description), target: party{Name: in.Object}}
	e.Stream, e.Action = streamAdmin, c.action
	e.Actor = administrator("", string(in.Username), "")
	if strings.HasPrefix(c.action, "admin_") && (in.Object == "" || in.Object == in.Username) {
		e.Actor = administrator("", string(in.Username), c.to.get("email"))
	}
	if ip := lenient.Address(c.to.get("ip_address")); ip != "" {
		e.Endpoint.IP = ip
	}
	b.id = c.digest(string(in.Username))
	return c.dispatch()
}

// activity reads a row of the activity log.
func (b *build) activity() error {
	in, e := b.in, &b.base
	if err := b.time(in.TS, in.ISOTime, in.Timestamp); err != nil {
		return err
	}
	c := change{build: b, action: string(in.Action), to: detailsOf(in.Target.Details), from: detailsOf(in.OldTarget.Details), target: in.Target}
	e.Stream, e.Action = streamActivity, c.action
	email := detailsOf(in.Actor.Details).get("email")
	key, name := string(in.Actor.Key), string(in.Actor.Name)
	switch in.Actor.Type {
	case "user":
		e.Actor = person(key, name, email)
	case "admin", "":
		e.Actor = administrator(key, name, email)
	case "system":
		e.Actor = event.Principal{ID: key, Name: lenient.First(name, "System"), Type: typeSystem}
	default: // adminapi and the directory syncs
		e.Actor = event.Principal{ID: key, Name: lenient.First(name, string(in.Actor.Type)), Type: typeService}
	}
	if strings.EqualFold(string(in.Outcome.Result), "FAILURE") {
		e.Outcome = event.Failure
	}
	place(e, &in.Access)
	if raw := c.to.get("user_agent"); raw != "" {
		e.UserAgent = ingest.ParseUserAgent(raw)
	}
	if key, name := lenient.Known(string(in.Application.Key)), lenient.Known(string(in.Application.Name)); key != "" || name != "" {
		e.App = &event.App{ID: key, Name: name}
	}
	if b.id = lenient.ID(string(in.ActivityID), c.action); in.Actor.Type != "user" && !isAdminSignIn(c.action) {
		b.id = c.digest(name)
	}
	return c.dispatch()
}

// change is one action on the account, of either log.
type change struct {
	*build
	action string
	// to is what the log says of the target, from what it was before; nil where
	// that is not told.
	to, from details
	target   party
}

// digest is the id of an action, the same in both logs.
func (c *change) digest(by string) string {
	return lenient.Digest(second(c.base.Time), c.action, by, string(c.target.Name), c.to.get("bypass_code_ids", "bkeys"))
}

// user is the person that the action is done to. An address that the action sets is
// not yet theirs.
func (c *change) user() event.Principal {
	email := c.from.get("email")
	if c.from == nil && (c.action == "user_create" || c.base.Stream == streamActivity) {
		email = c.to.get("email")
	}
	switch c.target.Type {
	case "", "user", "user_bypass":
		return person(string(c.target.Key), string(c.target.Name), email)
	}
	return event.Principal{}
}

// holder is the person whose credential the action is about: who acts, or who is
// named. Nobody is named in most rows of an administrator.
func (c *change) holder() event.Principal {
	if c.base.Actor.Type == typeUser {
		return c.base.Actor
	}
	return person(c.to.get("user_id"), c.to.get("username", "uname", "user"), c.to.get("email"))
}

// admin is the administrator that the action is done to.
func (c *change) admin() event.Principal {
	if c.target.Name == "" && c.target.Key == "" {
		return c.base.Actor
	}
	return administrator(string(c.target.Key), string(c.target.Name), c.to.get("email"))
}

func (c *change) irrelevant() error { return ingest.Skip(ingest.SkipIrrelevant, c.action) }

// isAdminSignIn reports whether the action is a sign-in to the admin panel. The two
// logs tell different halves of it.
func isAdminSignIn(action string) bool {
	switch action {
	case "admin_login", "admin_login_error", "admin_2fa_error", "admin_lockout":
		return true
	}
	return false
}

// dispatch reads the action; the names are the same in both logs.
func (c *change) dispatch() error {
	if isAdminSignIn(c.action) {
		return c.adminSignIn()
	}
	switch c.action {
	case "bypass_create", "bypass_view":
		return c.bypassCode()
	case "bypass_delete":
		c.base.Subject = c.user()
		return c.removed(event.NewAuthenticator(event.MethodBypassCode))

	case "user_update":
		return c.userUpdate()
	case "user_create", "user_delete", "user_restore", "user_pending_delete", "user_lockout_cleared":
		c.base.Subject = c.user()
		c.event(event.UserLifecycle)
		return nil
	case "user_not_enrolled_lockout", "user_adminapi_lockout":
		c.base.Subject, c.base.Outcome = c.user(), event.Denied
		c.event(event.SignIn)
		return nil

	case "phone_create", "phone_associate", "admin_activate_duo_push", "admin_rectivates_duo_push", "admin_reactivates_duo_push",
		"hardtoken_create", "u2ftoken_create", "webauthncredential_create":
		return c.enrolled(c.credential())
	case "phone_delete", "phone_disassociate", "hardtoken_delete", "u2ftoken_delete", "webauthncredential_delete":
		a := c.credential()
		return c.removed(a)

	case "policy_create", "policy_update", "policy_delete":
		return c.policy(c.weakened()...)
	case "customer_update", "update_admin_factor_restrictions", "admin_factor_restrictions",
		"integration_policy_assign", "integration_policy_unassign", "integration_group_policy_add", "integration_group_policy_remove":
		return c.policy()
	case "admin_single_sign_on_update":
		if s := c.to.get("enforcement_status"); s != "" && !strings.EqualFold(s, "required") {
			return c.policy(event.WeakeningDisabled)
		}
		return c.policy()
	case "group_create", "group_update":
		if c.to.is("status", "bypass") && !c.from.is("status", "bypass") {
			return c.policy(event.WeakeningScope)
		}
		return c.irrelevant()

	case "integration_create", "integration_update", "integration_delete", "integration_skey_view", "integration_skey_bulk_view":
		return c.integration()

	case "admin_create", "admin_update", "admin_delete":
		return c.adminChange()
	case "admin_reset_password":
		c.base.Subject = c.admin()
		e := c.event(event.PasswordReset)
		e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted, SelfService: !e.ByOther()}
		return nil
	case "admin_send_reset_password_email":
		c.base.Subject = c.admin()
		e := c.event(event.RecoveryActivity)
		e.Recovery = &event.Recovery{Stage: event.RecoveryStarted, Method: event.MethodEmailLink, SelfService: !e.ByOther()}
		return nil
	}
	return c.irrelevant()
}

// bypassCode: a code was made, or one that was made was looked at.
func (c *change) bypassCode() error {
	c.base.Subject = c.user()
	k := event.RecoveryCredentialIssued
	if c.action == "bypass_view" {
		k = event.RecoveryActivity
	}
	r := &event.Recovery{Stage: event.RecoveryIssued, Method: event.MethodBypassCode}
	if secs, err := strconv.ParseInt(c.to.get("valid_secs"), 10, 32); err == nil && secs > 0 {
		r.Lifetime = time.Duration(secs) * time.Second
	}
	switch uses, err := strconv.ParseInt(c.to.get("remaining_uses"), 10, 32); {
	case err == nil && uses > 0:
		r.Uses = int(uses)
	case c.to.has("remaining_uses") && c.to.get("remaining_uses") == "":
		r.Uses = -1 // by Duo's documents null is no limit
	}
	c.event(k).Recovery = r
	return nil
}

// userUpdate: a user in status Bypass needs no second factor; a list of phones that
// is empty took them away.
func (c *change) userUpdate() error {
	c.base.Subject = c.user()
	switch status := c.to.get("status"); {
	case status == "" || strings.EqualFold(status, c.from.get("status")):
	case c.base.Stream == streamActivity && c.from == nil && !strings.EqualFold(status, "bypass"): // the row lists all, not what changed
	case strings.EqualFold(status, "disabled"):
		c.event(event.UserLifecycle)
	default:
		e := c.event(event.PolicyChange)
		e.Policy = &event.Policy{ID: string(c.target.Key), Name: string(c.target.Name), Type: "user status", Change: "updated", Before: c.from.get("status"), After: status}
		if strings.EqualFold(status, "bypass") {
			e.Policy.Weakened = []event.Weakening{event.WeakeningUserExempt}
		}
	}
	if c.to.has("phones") && c.to.get("phones") == "" && (c.from == nil || c.from.get("phones") != "") {
		a := event.NewAuthenticator(event.MethodUnknown)
		a.Name = "phones"
		c.event(event.AuthenticatorRemoved).Authenticators = []event.Authenticator{a}
	}
	if email := c.to.get("email"); c.base.Stream == streamAdmin && email != "" || c.from != nil && email != c.from.get("email") {
		c.event(event.ContactChange).Contact = &event.Contact{Kind: "email", Value: email}
	}
	if len(c.out) == 0 {
		return c.irrelevant()
	}
	return nil
}

// credential is the authenticator that the action is about.
func (c *change) credential() event.Authenticator {
	c.base.Subject = c.holder()
	m := event.MethodUnknown // a phone: which of its methods is not told
	name := string(c.target.Name)
	switch {
	case strings.HasPrefix(c.action, "webauthncredential_"):
		m = webauthnMethod(c.to.get("authenticator_type", "label"))
		name = lenient.First(c.to.get("credential_name"), name)
	case strings.HasPrefix(c.action, "u2ftoken_"):
		m = event.MethodSecurityKey
	case strings.HasPrefix(c.action, "hardtoken_"):
		m = event.MethodOTPHardware
	case strings.HasPrefix(c.action, "admin_"):
		m = event.MethodPush
		c.base.Subject, name = c.admin(), "Duo Mobile"
	}
	a := event.NewAuthenticator(m)
	a.Name = name
	if c.base.Subject.Type != typeAdmin {
		a.ID = string(c.target.Key)
	}
	return a
}

func (c *change) enrolled(a event.Authenticator) error {
	c.event(event.AuthenticatorEnrolled).Authenticators = []event.Authenticator{a}
	return nil
}

func (c *change) removed(a event.Authenticator) error {
	c.event(event.AuthenticatorRemoved).Authenticators = []event.Authenticator{a}
	return nil
}

// policy is a change of the account, which belongs to whoever made it.
func (c *change) policy(weakened ...event.Weakening) error {
	c.base.Subject = c.base.Actor
	verb := "updated"
	switch {
	case strings.HasSuffix(c.action, "_create"):
		verb = "created"
	case strings.HasSuffix(c.action, "_delete"):
		verb = "deleted"
	}
	e := c.event(event.PolicyChange)
	e.Policy = &event.Policy{ID: string(c.target.Key), Name: string(c.target.Name), Type: c.action, Change: verb,
		Weakened: weakened, After: string(c.in.Description)}
	if c.base.Stream == streamActivity {
		e.Policy.Before, e.Policy.After = string(c.in.OldTarget.Details), string(c.in.Target.Details)
	}
	return nil
}

// without2FA is the value of settings that let people in by the first factor.
const without2FA = "allow access without 2fa"

// weakened names what a policy opens. Where the row has what was before, only what
// is new counts.
func (c *change) weakened() []event.Weakening {
	if c.action == "policy_delete" {
		return []event.Weakening{event.WeakeningDisabled}
	}
	var out []event.Weakening
	if c.to.is("auth_status", without2FA) && !c.from.is("auth_status", without2FA) {
		out = append(out, event.WeakeningDisabled)
	}
	locations := c.to.is("user_locations_default_action", without2FA) && !c.from.is("user_locations_default_action", without2FA)
	networks := c.to.get("networks_allow")
	if networks == "[]" {
		networks = ""
	}
	if locations || networks != "" && networks != c.from.get("networks_allow") {
		out = append(out, event.WeakeningScope)
	}
	if c.from == nil {
		return out // which methods were allowed before is not known
	}
	turned := func(value string, names ...string) bool {
		for _, name := range names {
			if c.to.is(name, value) && c.from.has(name) && !c.from.is(name, value) {
				return true
			}
		}
		return false
	}
	if turned("true", "allow_factor_sms", "allow_factor_phone") {
		out = append(out, event.WeakeningMethodEnabled)
	}
	if turned("false", "allow_factor_webauthn", "allow_factor_u2f") {
		out = append(out, event.WeakeningMethodDisabled)
	}
	return out
}

// integration is an application: its secret key signs requests, and the key of an
// Admin API reads and writes everything.
func (c *change) integration() error {
	c.base.Subject = c.base.Actor
	c.base.App = &event.App{ID: lenient.Known(string(c.target.Key)), Name: lenient.First(string(c.target.Name), c.to.get("name"))}
	k := event.AppChange
	if strings.Contains(c.action, "_skey_") || c.action == "integration_create" && (c.to.is("type", "Admin API") || c.to.is("raw_type", "adminapi") || c.to.is("type", "adminapi")) {
		k = event.AppCredential
	}
	c.event(k)
	return nil
}

// adminChange: an administrator came, went or got another role.
func (c *change) adminChange() error {
	c.base.Subject = c.admin()
	role := c.to.get("role")
	switch {
	case c.action == "admin_delete":
		c.event(event.RoleChange).Role = &event.Role{Full: true}
	case role != "" && !strings.EqualFold(role, c.from.get("role")):
		c.event(event.RoleChange).Role = roleOf(role)
	case c.to.has("phone") && c.to.get("phone") == "" && (c.from == nil || c.from.get("phone") != ""):
		a := event.NewAuthenticator(event.MethodUnknown)
		a.Name = "phone"
		return c.removed(a)
	case c.to.get("phone") != c.from.get("phone"):
		c.event(event.ContactChange).Contact = &event.Contact{Kind: "phone", Value: c.to.get("phone")}
	default:
		return c.irrelevant()
	}
	return nil
}

// roleOf is the one role that an administrator has.
func roleOf(role string) *event.Role {
	r := &event.Role{Full: true, Granted: true, Roles: []string{role}, Privileged: true}
	switch lenient.Squeeze(role) {
	case "readonly", "billing", "securityanalyst":
		r.Privileged = false
	}
	return r
}

// adminSignIn is a sign-in to the admin panel.
func (c *change) adminSignIn() error {
	c.base.Subject = c.base.Actor
	if c.base.Stream == streamAdmin {
		c.base.App = &event.App{Name: adminPanel}
	} else if c.base.App == nil {
		c.base.App = &event.App{Name: adminPanel}
	}
	c.base.App.Admin = true
	e := c.event(event.SignIn)
	how := event.Verified
	failed := c.to.get("error", "message")
	switch {
	case c.action == "admin_lockout":
		e.Outcome, e.Reason = event.Denied, lenient.First(failed, "locked out")
		return nil
	case c.action != "admin_login" || e.Outcome == event.Failure:
		e.Outcome, e.Reason, how = event.Failure, failed, event.Failed
	}
	fraud := strings.Contains(strings.ToLower(failed), "fraud")
	if fraud {
		e.Outcome, how = event.Denied, event.Rejected
	}
	first := how
	if first != event.Verified {
		first = event.Pending // which of the two failed is not always told
	}
	switch lenient.Squeeze(c.to.get("primary_auth_method")) {
	case "password":
		f := event.NewFactor(event.MethodPassword, first)
		f.Step = event.StepPrimary
		e.Factors = append(e.Factors, f)
	case "singlesignon":
		f := event.NewFactor(event.MethodFederated, first)
		f.Step, f.Provider = event.StepPrimary, c.to.get("saml_idp")
		e.Factors = append(e.Factors, f)
	}
	if word := c.to.get("factor"); word != "" {
		m, known := methodOf(word)
		if !known {
			warn(e, "unknown factor %q", word)
		}
		if m != "" {
			f := event.NewFactor(m, how)
			f.Step, f.Detail = event.StepSecondary, word
			e.Factors = append(e.Factors, f)
		}
	}
	if len(e.Factors) == 0 && how == event.Verified {
		e.Factors = []event.Factor{event.NewFactor(event.MethodUnknown, how)}
	}
	if fraud {
		r := c.event(event.UserReport)
		r.Report = &event.Report{EventID: c.id, EventType: c.action, IP: c.base.Endpoint.IP}
	}
	return nil
}
