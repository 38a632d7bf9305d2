package entra

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
)

// usersPerFetch is small: each takes a request, and what fails is read again.
const usersPerFetch = 20

// inventory reads the registration report, the methods of each person in it, and
// who has which role.
type inventory struct {
	reports, directory *rest.Client
	rt                 ingest.Runtime
	tenant             string

	// page is that of the report in hand.
	page *list
	link string
	// roles are those of each person, nil before they are read; refused says that
	// the application may not.
	roles   map[string][]role
	refused bool
	// methodsRefused: it was logged in this sweep that methods may not be read.
	methodsRefused bool
}

// sweepAt is a position in a sweep.
type sweepAt struct {
	// Link to the page of the report; empty for the first.
	Link string `json:"link,omitempty"`
	// Skip is how many of the page are done.
	Skip int `json:"skip,omitempty"`
	// Again: a link was no longer known, and the sweep began anew.
	Again bool `json:"again,omitempty"`
}

// role is a role of a person as the sweep keeps it.
type role struct {
	DisplayName string `json:"displayName"`
	TemplateID  string `json:"templateId"`
}

func (i *inventory) source(c poll.SweepConfig) ingest.Source {
	return poll.SweepSource(poll.Sweep[sweepAt]{Runtime: i.rt, Every: c.Every, Fetch: i.fetch})
}

const reportPath = "v1.0/reports/authenticationMethods/userRegistrationDetails"

func (i *inventory) fetch(ctx context.Context, at sweepAt) (poll.Page[sweepAt], error) {
	if at == (sweepAt{}) {
		i.page, i.roles, i.methodsRefused = nil, nil, false
	}
	if i.roles == nil {
		if err := i.readRoles(ctx); err != nil {
			return poll.Page[sweepAt]{}, err
		}
	}
	if i.page == nil || i.link != at.Link {
		page, err := i.list(ctx, i.reports, lenient.First(at.Link, reportPath))
		switch {
		case err == nil:
			i.page, i.link = page, at.Link
		case at.Link == "" || !isUnknown(err):
			return poll.Page[sweepAt]{}, err
		case at.Again:
			i.rt.Log.WarnContext(ctx, "inventory read in part: microsoft graph does not know its own page again", slog.Any("error", err))
			return poll.Page[sweepAt]{}, nil
		default:
			return poll.Page[sweepAt]{Next: sweepAt{Again: true}, More: true}, nil
		}
	}
	from := min(at.Skip, len(i.page.Value))
	to := min(from+usersPerFetch, len(i.page.Value))
	page := poll.Page[sweepAt]{Next: sweepAt{Link: at.Link, Skip: to, Again: at.Again}, More: true}
	if to == len(i.page.Value) {
		page.Next = sweepAt{Link: i.page.Next, Again: at.Again}
		page.More = i.page.Next != ""
	}
	var err error
	page.Records, err = i.people(ctx, i.page.Value[from:to])
	if err != nil {
		return poll.Page[sweepAt]{}, err
	}
	return page, nil
}

// people makes a snapshot of each row of the report.
func (i *inventory) people(ctx context.Context, rows []json.RawMessage) ([]ingest.Record, error) {
	var records []ingest.Record
	refused := false
	for _, row := range rows {
		var head struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(row, &head) != nil || head.ID == "" {
			continue
		}
		snapshot := poll.Snapshot{ReadAt: i.rt.Now(), User: row}
		if !refused {
			// The beta version, as each version shows only the methods that it knows.
			methods, err := i.all(ctx, "beta/users/"+url.PathEscape(head.ID)+"/authentication/methods")
			switch {
			case err == nil:
				snapshot.Complete = true
				if snapshot.Authenticators, err = json.Marshal(methods); err != nil {
					return nil, err
				}
			case rest.HasStatus(err, http.StatusNotFound):
				continue // gone since the report was made
			case rest.HasStatus(err, http.StatusForbidden):
				refused = true
				if !i.methodsRefused {
					i.methodsRefused = true
					i.rt.Log.WarnContext(ctx, "inventory goes without methods", slog.Any("error", err))
				}
			default:
				return nil, err
			}
		}
		if !i.refused {
			var err error
			if snapshot.Roles, err = json.Marshal(append([]role{}, i.roles[head.ID]...)); err != nil {
				return nil, err
			}
		}
		record, err := snapshot.Record(source, i.tenant, "microsoft graph inventory "+i.tenant)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// readRoles reads who has which role, directly or by a group.
func (i *inventory) readRoles(ctx context.Context) error {
	i.refused = false
	roles := map[string][]role{}
	definitions, err := i.all(ctx, "v1.0/roleManagement/directory/roleDefinitions?"+encode(url.Values{"$select": {"id,displayName,templateId"}}))
	if rest.HasStatus(err, http.StatusForbidden) {
		i.rt.Log.WarnContext(ctx, "inventory goes without roles", slog.Any("error", err))
		i.roles, i.refused = roles, true
		return nil
	}
	if err != nil {
		return err
	}
	byID := map[string]role{}
	for _, data := range definitions {
		var d struct {
			ID string `json:"id"`
			role
		}
		if json.Unmarshal(data, &d) == nil {
			byID[d.ID] = d.role
		}
	}
	assignments, err := i.all(ctx, "v1.0/roleManagement/directory/roleAssignments?"+encode(url.Values{"$expand": {"principal"}}))
	if err != nil {
		return err
	}
	groups := map[string][]string{}
	for _, data := range assignments {
		var a struct {
			PrincipalID      string `json:"principalId"`
			RoleDefinitionID string `json:"roleDefinitionId"`
			Principal        struct {
				Type string `json:"@odata.type"`
			} `json:"principal"`
		}
		if json.Unmarshal(data, &a) != nil {
			continue
		}
		holders := []string{a.PrincipalID}
		if a.Principal.Type == "#microsoft.graph.group" {
			members, known := groups[a.PrincipalID]
			if !known {
				if members, err = i.members(ctx, a.PrincipalID); err != nil {
					return err
				}
				groups[a.PrincipalID] = members
			}
			holders = members
		}
		for _, id := range holders {
			roles[id] = append(roles[id], byID[a.RoleDefinitionID])
		}
	}
	i.roles = roles
	return nil
}

// members returns the ids of the people in a group and in those within it.
func (i *inventory) members(ctx context.Context, group string) ([]string, error) {
	rows, err := i.all(ctx, "v1.0/groups/"+url.PathEscape(group)+"/transitiveMembers/microsoft.graph.user?"+encode(url.Values{"$select": {"id"}}))
	if rest.HasStatus(err, http.StatusNotFound) {
		return nil, nil // deleted meanwhile
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, data := range rows {
		var u struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(data, &u) == nil && u.ID != "" {
			ids = append(ids, u.ID)
		}
	}
	return ids, nil
}

func (i *inventory) list(ctx context.Context, client *rest.Client, ref string) (*list, error) {
	resp, err := client.Get(ctx, ref, nil)
	if err != nil {
		return nil, err
	}
	return listIn(resp)
}

// all reads a collection to its end. It is never nil without an error.
func (i *inventory) all(ctx context.Context, ref string) ([]json.RawMessage, error) {
	rows := []json.RawMessage{}
	for ref != "" {
		l, err := i.list(ctx, i.directory, ref)
		if err != nil {
			return nil, err
		}
		rows, ref = append(rows, l.Value...), l.Next
	}
	return rows, nil
}

// isUnknown reports that a link of an earlier answer is no longer known.
func isUnknown(err error) bool {
	return rest.HasStatus(err, http.StatusBadRequest, http.StatusNotFound, http.StatusGone)
}

// registration is what is read of a row of the registration report.
type registration struct {
	ID                string        `json:"id"`
	UserPrincipalName string        `json:"userPrincipalName"`
	UserDisplayName   string        `json:"userDisplayName"`
	UserType          string        `json:"userType"`
	Methods           lenient.Texts `json:"methodsRegistered"`
}

// registeredMethod is what is read of a method of the API. Which members there
// are depends on its type.
type registeredMethod struct {
	Type        string        `json:"@odata.type"`
	ID          string        `json:"id"`
	DisplayName string        `json:"displayName"`
	Created     string        `json:"createdDateTime"`
	AAGUID      string        `json:"aaGuid"`
	Model       string        `json:"model"`
	PasskeyType string        `json:"passkeyType"`
	PhoneType   string        `json:"phoneType"`
	PhoneNumber string        `json:"phoneNumber"`
	Email       string        `json:"emailAddress"`
	IsUsable    lenient.Truth `json:"isUsable"`
}

// normalizeSnapshot makes the events of a record that the inventory made.
func normalizeSnapshot(r ingest.Record) ([]event.Event, error) {
	s, err := poll.ReadSnapshot(r.Data)
	if err != nil {
		return nil, err
	}
	user, warnings, err := decode[registration](s.User)
	if err != nil {
		return nil, err
	}
	e := event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Tenant: r.Tenant, Stream: poll.StreamInventory,
		Kind: event.AuthenticatorSnapshot, Action: "inventory", Time: s.ReadAt, Observed: r.Observed, Outcome: event.Success,
		Subject:  principal(user.ID, user.UserPrincipalName, user.UserDisplayName, user.UserType),
		Snapshot: &event.Snapshot{Complete: s.Complete}, Raw: r.Data, Warnings: warnings,
	}
	if e.Subject.ID == "" && e.Subject.Name == "" {
		return nil, ingest.Skip(ingest.SkipNoIdentity, "inventory")
	}
	e.ID = lenient.Digest(string(r.Source), r.Tenant, user.ID, s.ReadAt.Format("2006-01-02T15:04:05.000Z"))
	if len(s.Authenticators) == 0 {
		for _, name := range user.Methods {
			addReported(&e, name)
		}
	} else {
		var methods []registeredMethod
		if json.Unmarshal(s.Authenticators, &methods) != nil {
			return nil, ingest.Malformed(ingest.MalformedShape, "methods of the inventory are no list")
		}
		for i := range methods {
			methods[i].add(&e, user)
		}
		for _, name := range user.Methods {
			switch name {
			case "securityQuestion", "hardwareOneTimePasscode", "certificateBasedAuthentication", "microsoftAuthenticatorPasswordless":
				addReported(&e, name) // the API of methods leaves these out
			}
		}
	}
	events := []event.Event{e}
	if change := rolesOf(s.Roles); change != nil {
		roles := e
		roles.ID, roles.Kind, roles.Role = e.ID+"#1", event.RoleChange, change
		roles.Snapshot, roles.Authenticators, roles.Warnings = nil, nil, nil
		events = append(events, roles)
	}
	for i := range events {
		events[i].Sanitize()
	}
	return events, nil
}

// addReported adds a method that the registration report names, unless there is
// one like it.
func addReported(e *event.Event, name string) {
	m, known := reportedMethod(name)
	switch {
	case !known:
		e.Warnings = append(e.Warnings, "unknown registered method "+strconv.Quote(name))
	case m == event.MethodPassword:
		return
	}
	if known && slices.ContainsFunc(e.Authenticators, func(a event.Authenticator) bool { return a.Method == m }) {
		return
	}
	a := event.NewAuthenticator(m)
	a.Name = name
	e.Authenticators = append(e.Authenticators, a)
}

// reportedMethod returns the method of a word of methodsRegistered. Which of its
// codes a phone gets is not told; text is what Entra prefers.
func reportedMethod(name string) (event.Method, bool) {
	switch name {
	case "fido2", "fido2SecurityKey":
		return event.MethodPasskey, true
	case "passKeyDeviceBound", "passKeyDeviceBoundAuthenticator", "passKeyDeviceBoundWindowsHello":
		return event.MethodPasskeyDeviceBound, true
	case "passKeySynced":
		return event.MethodPasskeySynced, true
	case "windowsHelloForBusiness", "macOsSecureEnclaveKey":
		return event.MethodPlatformCredential, true
	case "certificateBasedAuthentication":
		return event.MethodCertificate, true
	case "microsoftAuthenticatorPasswordless":
		return event.MethodPushNumberMatch, true
	case "microsoftAuthenticatorPush":
		return event.MethodPush, true
	case "softwareOneTimePasscode", "oneTimePasscode":
		return event.MethodTOTP, true
	case "hardwareOneTimePasscode":
		return event.MethodOTPHardware, true
	case "mobilePhone":
		return event.MethodSMS, true
	case "alternateMobilePhone", "officePhone":
		return event.MethodVoice, true
	case "email":
		return event.MethodEmailCode, true
	case "securityQuestion":
		return event.MethodSecurityQuestion, true
	case "temporaryAccessPass":
		return event.MethodTemporaryAccessPass, true
	case "qrCode":
		return event.MethodQRPIN, true
	case "externalAuthMethod":
		return event.MethodDelegated, true
	case "appPassword":
		return event.MethodPassword, true
	}
	return event.MethodUnknown, false
}

// add adds the method to what a person has enrolled. Everybody has a password,
// and a pass that is used up or expired opens nothing.
func (m *registeredMethod) add(e *event.Event, user *registration) {
	method, known := m.method(user)
	switch {
	case !known:
		e.Warnings = append(e.Warnings, "unknown authentication method "+strconv.Quote(m.Type))
	case method == event.MethodPassword, method == event.MethodTemporaryAccessPass && m.IsUsable == lenient.False:
		return
	}
	a := event.NewAuthenticator(method)
	a.ID, a.Name, a.Address = m.ID, lenient.First(m.DisplayName, m.Model), lenient.First(m.PhoneNumber, m.Email)
	a.AAGUID = uuid(m.AAGUID)
	if t, ok := lenient.Time(m.Created); ok {
		a.Created = &t
	}
	e.Authenticators = append(e.Authenticators, a)
}

func (m *registeredMethod) method(user *registration) (event.Method, bool) {
	switch strings.TrimSuffix(strings.TrimPrefix(m.Type, "#microsoft.graph."), "AuthenticationMethod") {
	case "fido2":
		return m.passkey(user), true
	case "windowsHelloForBusiness", "platformCredential":
		return event.MethodPlatformCredential, true
	case "x509Certificate":
		return event.MethodCertificate, true
	case "microsoftAuthenticator":
		return event.MethodPush, true
	case "passwordlessMicrosoftAuthenticator":
		return event.MethodPushNumberMatch, true
	case "softwareOath":
		return event.MethodTOTP, true
	case "hardwareOath":
		return event.MethodOTPHardware, true
	case "phone":
		if m.PhoneType == "mobile" {
			return event.MethodSMS, true
		}
		return event.MethodVoice, true // the others are only called
	case "email":
		return event.MethodEmailCode, true
	case "temporaryAccessPass":
		return event.MethodTemporaryAccessPass, true
	case "qrCodePin":
		return event.MethodQRPIN, true
	case "external":
		return event.MethodDelegated, true
	case "password":
		return event.MethodPassword, true
	}
	return event.MethodUnknown, false
}

// passkey tells the kinds apart: by what the method says of itself (unverified, as
// no document has passkeyType), else by the report where that knows one kind only.
func (m *registeredMethod) passkey(user *registration) event.Method {
	bound, synced := false, false
	switch m.PasskeyType {
	case "deviceBound":
		bound = true
	case "synced":
		synced = true
	default:
		for _, name := range user.Methods {
			if strings.HasPrefix(name, "fido2") {
				return event.MethodPasskey // a word for both kinds
			}
			synced = synced || name == "passKeySynced"
			bound = bound || strings.HasPrefix(name, "passKeyDeviceBound")
		}
	}
	switch {
	case bound && !synced:
		return event.MethodPasskeyDeviceBound
	case synced && !bound:
		return event.MethodPasskeySynced
	}
	return event.MethodPasskey
}

// rolesOf reads the roles; nil where the inventory could not.
func rolesOf(data json.RawMessage) *event.Role {
	var list []role
	if len(data) == 0 || json.Unmarshal(data, &list) != nil {
		return nil
	}
	out := &event.Role{Full: true, Granted: true}
	for _, r := range list {
		out.Privileged = out.Privileged || isPrivilegedRole(r.DisplayName) || isPrivilegedTemplate(r.TemplateID)
		if name := lenient.First(r.DisplayName, r.TemplateID); name != "" {
			out.Roles = append(out.Roles, name)
		}
	}
	slices.Sort(out.Roles)
	out.Roles = slices.Compact(out.Roles)
	return out
}
