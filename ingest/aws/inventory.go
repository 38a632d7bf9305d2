package aws

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// users reads the IAM users of one account, and its root user. It needs the
// actions iam:GetAccountAuthorizationDetails, iam:ListMFADevices, iam:GetLoginProfile
// and iam:ListVirtualMFADevices.
type users struct {
	caller
	tenant string
	api    *iam.Client
	// groups are what the groups of the account allow, read once for each sweep.
	groups map[string]bool
}

// usersPerPage is small: each user takes two more calls, and a page that fails is
// read again.
const usersPerPage = 20

func (u *users) source(c poll.SweepConfig) ingest.Source {
	return poll.SweepSource(poll.Sweep[usersAt]{Runtime: u.rt, Every: c.Every, Fetch: u.fetch})
}

// usersAt is a position in a sweep: the marker of the next page, or that only the
// root user is left.
type usersAt struct {
	Marker string `json:"marker,omitempty"`
	Root   bool   `json:"root,omitempty"`
	// Account is that of the users, for the root user's sake.
	Account string `json:"account,omitempty"`
}

func (u *users) fetch(ctx context.Context, at usersAt) (poll.Page[usersAt], error) {
	if at.Root {
		return u.root(ctx, at)
	}
	if at.Marker == "" || u.groups == nil {
		if err := u.readGroups(ctx); err != nil {
			return poll.Page[usersAt]{}, err
		}
	}
	out, err := u.details(ctx, types.EntityTypeUser, at.Marker)
	if err != nil {
		return poll.Page[usersAt]{}, err
	}
	page := poll.Page[usersAt]{Next: usersAt{Account: at.Account}, More: true}
	for i := range out.UserDetailList {
		d := &out.UserDetailList[i]
		record, err := u.user(ctx, d)
		if err != nil {
			return poll.Page[usersAt]{}, err
		}
		page.Records = append(page.Records, record)
		page.Next.Account = cmp.Or(page.Next.Account, accountOf(text(d.Arn)))
	}
	page.Next.Marker, page.Next.Root = text(out.Marker), !out.IsTruncated
	return page, nil
}

// details reads a page of users or groups with what they may do.
func (u *users) details(ctx context.Context, kind types.EntityType, marker string) (*iam.GetAccountAuthorizationDetailsOutput, error) {
	in := iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{kind}, MaxItems: aws.Int32(usersPerPage)}
	if marker != "" {
		in.Marker = &marker
	}
	return call(ctx, u.caller, "iam:GetAccountAuthorizationDetails", within(u.caller, func(ctx context.Context) (*iam.GetAccountAuthorizationDetailsOutput, error) {
		return u.api.GetAccountAuthorizationDetails(ctx, &in)
	}))
}

// readGroups finds out which groups let their members change what anybody may do.
func (u *users) readGroups(ctx context.Context) error {
	groups := map[string]bool{}
	for marker := ""; ; {
		out, err := u.details(ctx, types.EntityTypeGroup, marker)
		if err != nil {
			return err
		}
		for _, g := range out.GroupDetailList {
			privileged := slices.ContainsFunc(g.AttachedManagedPolicies, attachedAdministers)
			groups[text(g.GroupName)] = privileged || slices.ContainsFunc(g.GroupPolicyList, inlineAdministers)
		}
		if !out.IsTruncated {
			u.groups = groups
			return nil
		}
		marker = text(out.Marker)
	}
}

func attachedAdministers(p types.AttachedPolicy) bool { return administers(text(p.PolicyArn)) }

// inlineAdministers reads an inline policy, which the API encodes as in a URL.
func inlineAdministers(p types.PolicyDetail) bool {
	document, err := url.PathUnescape(text(p.PolicyDocument))
	return err == nil && documentAdministers(document)
}

// user makes the snapshot of one user. It is complete: devices and the password of
// the console are all that a user can come in with there.
func (u *users) user(ctx context.Context, d *types.UserDetail) (ingest.Record, error) {
	devices, err := call(ctx, u.caller, "iam:ListMFADevices", within(u.caller, func(ctx context.Context) (*iam.ListMFADevicesOutput, error) {
		return u.api.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: d.UserName}) // eight at most: one page
	}))
	if err != nil {
		return ingest.Record{}, err
	}
	_, err = call(ctx, u.caller, "iam:GetLoginProfile", within(u.caller, func(ctx context.Context) (*iam.GetLoginProfileOutput, error) {
		return u.api.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: d.UserName})
	}))
	hasPassword := err == nil
	if err != nil && !isStatus(err, http.StatusNotFound) {
		return ingest.Record{}, err
	}
	var list []mfaDevice
	for _, m := range devices.MFADevices {
		list = append(list, mfaDevice{Serial: text(m.SerialNumber), Enabled: aws.ToTime(m.EnableDate)})
	}
	rights := []right{}
	for _, p := range d.AttachedManagedPolicies {
		rights = append(rights, right{text(p.PolicyName), attachedAdministers(p)})
	}
	for _, p := range d.UserPolicyList {
		rights = append(rights, right{text(p.PolicyName), inlineAdministers(p)})
	}
	for _, g := range d.GroupList {
		rights = append(rights, right{"group/" + g, u.groups[g]})
	}
	who := user{Account: accountOf(text(d.Arn)), Name: text(d.UserName), ID: text(d.UserId), ARN: text(d.Arn), Created: aws.ToTime(d.CreateDate), HasPassword: hasPassword}
	return u.record(who, list, rights, true)
}

// root makes the snapshot of the root user. It is never complete: nobody can list
// the FIDO devices of the root user, or find out whether it has a password.
func (u *users) root(ctx context.Context, at usersAt) (poll.Page[usersAt], error) {
	var devices []mfaDevice
	for marker := (*string)(nil); ; {
		out, err := call(ctx, u.caller, "iam:ListVirtualMFADevices", within(u.caller, func(ctx context.Context) (*iam.ListVirtualMFADevicesOutput, error) {
			return u.api.ListVirtualMFADevices(ctx, &iam.ListVirtualMFADevicesInput{AssignmentStatus: types.AssignmentStatusTypeAssigned, Marker: marker})
		}))
		if err != nil {
			return poll.Page[usersAt]{}, err
		}
		for _, d := range out.VirtualMFADevices {
			if d.User != nil && strings.HasSuffix(text(d.User.Arn), ":root") {
				devices = append(devices, mfaDevice{Serial: text(d.SerialNumber), Enabled: aws.ToTime(d.EnableDate)})
				at.Account = cmp.Or(at.Account, accountOf(text(d.User.Arn)))
			}
		}
		if marker = out.Marker; !out.IsTruncated {
			break
		}
	}
	account := cmp.Or(at.Account, u.tenant)
	if account == "" {
		return poll.Page[usersAt]{}, nil // an account without users and devices: nothing names it
	}
	record, err := u.record(user{Account: account, Name: rootName, ARN: "arn:aws:iam::" + account + ":root"}, devices, nil, false)
	if err != nil {
		return poll.Page[usersAt]{}, err
	}
	return poll.Page[usersAt]{Records: []ingest.Record{record}}, nil
}

func (u *users) record(who user, devices []mfaDevice, rights []right, complete bool) (ingest.Record, error) {
	s := poll.Snapshot{ReadAt: u.rt.Now(), Complete: complete}
	for _, part := range []struct {
		from any
		to   *json.RawMessage
		set  bool
	}{{who, &s.User, true}, {devices, &s.Authenticators, true}, {rights, &s.Roles, rights != nil}} {
		if !part.set {
			continue
		}
		data, err := json.Marshal(part.from)
		if err != nil {
			return ingest.Record{}, fmt.Errorf("encode snapshot: %w", err)
		}
		*part.to = data
	}
	return s.Record(source, who.Account, "iam inventory "+who.Account)
}

// accountOf returns the account of an ARN.
func accountOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}

// user is what a snapshot says of an IAM user or of the root user.
type user struct {
	Account     string    `json:"account"`
	Name        string    `json:"name"`
	ID          string    `json:"id,omitempty"`
	ARN         string    `json:"arn"`
	Created     time.Time `json:"created,omitzero"`
	HasPassword bool      `json:"has_password"`
}

// mfaDevice is an MFA device of the snapshot.
type mfaDevice struct {
	Serial  string    `json:"serial"`
	Enabled time.Time `json:"enabled,omitzero"`
}

// right is a policy or group of the snapshot.
type right struct {
	Name       string `json:"name"`
	Privileged bool   `json:"privileged,omitempty"`
}

// normalizeSnapshot makes the events of a record that the inventory made.
func normalizeSnapshot(r ingest.Record) ([]event.Event, error) {
	s, err := poll.ReadSnapshot(r.Data)
	if err != nil {
		return nil, err
	}
	var u user
	if _, err := lenient.Decode(s.User, &u); err != nil {
		return nil, err
	}
	if u.Name == "" {
		return nil, ingest.Skip(ingest.SkipNoIdentity, "inventory")
	}
	e := event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Tenant: lenient.First(u.Account, r.Tenant), Stream: poll.StreamInventory,
		Kind: event.AuthenticatorSnapshot, Action: "inventory", Time: s.ReadAt, Observed: r.Observed, Outcome: event.Success,
		Subject:  event.Principal{ID: u.ID, Name: u.Name, Type: typeUser},
		Snapshot: &event.Snapshot{Complete: s.Complete}, Raw: r.Data,
	}
	if u.Name == rootName {
		e.Subject.Type = typeAdmin
	}
	e.ID = lenient.Digest(string(r.Source), e.Tenant, u.Name, s.ReadAt.Format("2006-01-02T15:04:05.000Z"))
	if u.HasPassword {
		e.Authenticators = append(e.Authenticators, event.NewAuthenticator(event.MethodPassword))
	}
	var devices []mfaDevice
	if len(s.Authenticators) > 0 && json.Unmarshal(s.Authenticators, &devices) != nil {
		return nil, ingest.Malformed(ingest.MalformedShape, "devices of the inventory are no list")
	}
	for _, d := range devices {
		m, ok := deviceMethod(d.Serial)
		if !ok {
			e.Warnings = append(e.Warnings, "unknown mfa device: "+d.Serial)
		}
		a := event.NewAuthenticator(m)
		a.ID, a.Name = d.Serial, lastOf(d.Serial)
		if !d.Enabled.IsZero() {
			a.Created = &d.Enabled
		}
		e.Authenticators = append(e.Authenticators, a)
	}
	events := []event.Event{e}
	if role := rolesOf(s.Roles); role != nil {
		roles := e
		roles.ID, roles.Kind, roles.Role = e.ID+"#1", event.RoleChange, role
		roles.Snapshot, roles.Authenticators, roles.Warnings = nil, nil, nil
		events = append(events, roles)
	}
	for i := range events {
		events[i].Sanitize()
	}
	return events, nil
}

// rolesOf reads the rights; nil where the snapshot has none to tell.
func rolesOf(data json.RawMessage) *event.Role {
	var list []right
	if len(data) == 0 || json.Unmarshal(data, &list) != nil {
		return nil
	}
	role := &event.Role{Full: true, Granted: true}
	for _, r := range list {
		role.Roles = append(role.Roles, r.Name)
		role.Privileged = role.Privileged || r.Privileged
	}
	return role
}
