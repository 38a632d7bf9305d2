package aws

import (
	"fmt"
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// stream is the one log there is; the services write into the same trail.
const stream = "cloudtrail"

type normalizer struct{}

// New returns the normalizer of CloudTrail records. It has no state.
func New() ingest.Normalizer { return normalizer{} }

// Normalize implements ingest.Normalizer: one record gives one event or none, one
// of the inventory up to two. The event shares the bytes of r.Data as its raw
// record.
func (normalizer) Normalize(r ingest.Record) ([]event.Event, error) {
	if poll.IsSnapshot(r.Data) {
		return normalizeSnapshot(r)
	}
	var h head
	if _, err := lenient.Decode(r.Data, &h); err != nil {
		return nil, err
	}
	if h.EventName == "" {
		return nil, ingest.Malformed(ingest.MalformedMissing, "record has no eventName")
	}
	handle := handlerOf(h.EventSource, h.EventName)
	if handle == nil {
		return nil, ingest.Skip(ingest.SkipIrrelevant, h.EventSource+" "+h.EventName)
	}
	events := []event.Event{{
		Schema: event.SchemaVersion, Source: r.Source, Stream: stream, Observed: r.Observed, Raw: r.Data,
	}}
	b := build{e: &events[0]}
	warning, err := lenient.Decode(r.Data, &b.in)
	if err != nil {
		return nil, err
	}
	if warning != "" {
		b.e.Warnings = append(b.e.Warnings, warning)
	}
	if b.e.Time, err = lenient.EventTime(string(b.in.EventTime)); err != nil {
		return nil, err
	}
	b.parts()
	b.e.Tenant = lenient.First(known(b.in.UserIdentity.AccountID), known(b.in.RecipientAccountID), r.Tenant)
	b.e.Action = b.in.EventName
	b.outcome()
	b.place()
	b.e.Actor = b.caller()
	b.e.Subject = b.e.Actor
	if err := handle(&b); err != nil {
		return nil, err
	}
	if err := b.belongs(); err != nil {
		return nil, err
	}
	b.e.ID = lenient.ID(b.in.EventID, string(r.Source), b.e.Tenant, b.in.EventName, string(b.in.EventTime), b.e.Subject.ID, b.e.Subject.Name, b.in.SourceIPAddress, string(b.in.Request), string(b.in.Response))
	b.e.Sanitize()
	return events, nil
}

// build is one record on its way to an event.
type build struct {
	in  record
	req request
	res response
	e   *event.Event
}

func (b *build) warn(format string, args ...any) {
	b.e.Warnings = append(b.e.Warnings, fmt.Sprintf(format, args...))
}

// parts reads request and response.
func (b *build) parts() {
	for _, p := range []struct {
		name string
		data lenient.Object
		to   any
	}{{"requestParameters", b.in.Request, &b.req}, {"responseElements", b.in.Response, &b.res}} {
		if p.data == nil {
			continue
		}
		if err := json.Unmarshal(p.data, p.to); err != nil {
			b.warn("left out part of %s: %v", p.name, err)
		}
	}
}

// known returns t without the words for nothing. HIDDEN_DUE_TO_SECURITY_REASONS
// stands for what may be a password typed into the field of the name.
func known(t lenient.Text) string {
	s := lenient.Known(string(t))
	if s == "HIDDEN_DUE_TO_SECURITY_REASONS" || s == "***" {
		return ""
	}
	return s
}

// outcome reads how the call ended. The sign-in service tells it under the name of
// the event, the others by an error or none.
func (b *build) outcome() {
	said := memberOf(b.in.ServiceEvent, b.in.EventName)
	if said == "" {
		said = memberOf(b.in.Response, b.in.EventName)
	}
	code := known(b.in.ErrorCode)
	switch {
	case strings.EqualFold(said, "Success") && code == "":
		b.e.Outcome = event.Success
	case strings.EqualFold(said, "Failure"):
		b.e.Outcome = event.Failure
	case code == "AccessDenied", code == "AccessDeniedException", code == "UnauthorizedOperation", code == "Client.UnauthorizedOperation":
		b.e.Outcome = event.Denied
	case code != "":
		b.e.Outcome = event.Failure
	case known(b.in.ErrorMessage) != "":
		b.e.Outcome = event.Failure
	default:
		b.e.Outcome = event.Success
	}
	b.e.Reason = lenient.First(code, known(b.in.ErrorMessage))
}

// result returns how a step ended by the outcome of the record that tells of it.
func result(o event.Outcome) event.Result {
	switch o {
	case event.Success:
		return event.Verified
	case event.Challenged, event.OutcomeUnknown:
		return event.Pending
	}
	return event.Failed
}

// place sets where the client is. A service that calls another has its host name
// where an address would be.
func (b *build) place() {
	b.e.Endpoint.IP = lenient.Address(b.in.SourceIPAddress)
	agent := strings.TrimSuffix(strings.TrimPrefix(b.in.UserAgent, "["), "]")
	if strings.HasSuffix(agent, ".amazonaws.com") || agent == "AWS Internal" {
		// The console and other services call on a person's behalf.
		b.e.UserAgent.Raw = agent
		return
	}
	b.e.UserAgent = ingest.ParseUserAgent(agent)
}

// The principal types of the contract.
const (
	typeUser    = "user"
	typeAdmin   = "admin"
	typeService = "service"
	typeSystem  = "system"
)

// rootName is how AWS's own reports call the root user. No IAM user can be called
// so, while one could be called root.
const rootName = "<root_account>"

// caller returns who made the call.
func (b *build) caller() event.Principal {
	id := &b.in.UserIdentity
	p := event.Principal{ID: known(id.PrincipalID), Name: known(id.UserName), Type: typeUser}
	switch id.Type {
	case "Root":
		return event.Principal{ID: p.ID, Name: rootName, Type: typeAdmin}
	case "IAMUser":
		if p.Name == "" {
			p.Name = lastOf(resourceOf(known(id.ARN)))
		}
	case "AssumedRole":
		return b.session()
	case "FederatedUser":
		// The credentials of an IAM user, handed on by that user.
		issuer := &id.SessionContext.SessionIssuer
		if issuer.Type == "IAMUser" {
			return event.Principal{ID: known(issuer.PrincipalID), Name: known(issuer.UserName), DisplayName: lastOf(resourceOf(known(id.ARN))), Type: typeUser}
		}
		return event.Principal{Name: "federated-user/" + lastOf(resourceOf(known(id.ARN))), Type: typeService}
	case "SAMLUser":
		p.ID = "" // of the provider's subject, in its own words
	case "WebIdentityUser":
		p.ID = ""
		if !strings.Contains(p.Name, "@") {
			p.Type = typeService // a build pipeline, a cluster
		}
	case "IdentityCenterUser", "Unknown", "":
		p.ID = known(id.OnBehalfOf.UserID)
		if p.ID == "" {
			if p.ID = known(id.PrincipalID); p.ID == known(id.AccountID) {
				p.ID = "" // that of the account tells nobody apart
			}
		}
		p.Name = lenient.First(known(b.in.Additional.UserName), p.Name)
	case "AWSService":
		return event.Principal{Name: known(id.InvokedBy), Type: typeSystem}
	case "AWSAccount", "Role", "Directory":
		p.Type = typeService
	}
	if p.ID == "" && p.Name == "" {
		return event.Principal{}
	}
	return p
}

// reservedRole begins the names of the roles that only IAM Identity Center can let
// anybody assume; the session is then named after the person.
const reservedRole = "AWSReservedSSO_"

// session returns whoever acts through a role. Anybody who may assume a role
// chooses the name of the session, so it names a person only where Identity
// Center or a SAML provider chose it, or where a source identity was set, which
// the session cannot change. Else the role itself is all that is known.
func (b *build) session() event.Principal {
	id := &b.in.UserIdentity
	role, name := b.roleOf()
	switch source := known(id.SessionContext.SourceIdentity); {
	case source != "":
		return event.Principal{Name: source, DisplayName: "role/" + role, Type: typeUser}
	case strings.HasPrefix(role, reservedRole) && name != "", b.in.Additional.SAMLProviderARN != "" && name != "":
		return event.Principal{Name: name, DisplayName: "role/" + role, Type: typeUser}
	case role == "":
		return event.Principal{}
	}
	roleID, _, _ := strings.Cut(known(id.PrincipalID), ":")
	return event.Principal{ID: roleID, Name: "role/" + role, DisplayName: name, Type: typeService}
}

// roleOf returns the names of the role and of the session.
func (b *build) roleOf() (role, session string) {
	id := &b.in.UserIdentity
	if rest, ok := strings.CutPrefix(resourceOf(known(id.ARN)), "assumed-role/"); ok {
		role, session, _ = strings.Cut(rest, "/")
		return role, session
	}
	_, session, _ = strings.Cut(known(id.PrincipalID), ":")
	return known(id.SessionContext.SessionIssuer.UserName), session
}

// target makes the named IAM user the subject; without a name the caller is.
func (b *build) target(name string) {
	if name == "" || b.in.UserIdentity.Type == "IAMUser" && strings.EqualFold(name, b.e.Actor.Name) {
		return
	}
	b.e.Subject = event.Principal{Name: name, Type: typeUser}
}

// directoryTarget makes the Identity Center user that the request is about the
// subject. It reports whether there is one.
func (b *build) directoryTarget() bool {
	p := event.Principal{Type: typeUser}
	switch {
	case b.req.User != nil:
		p.ID = lenient.First(memberOf(b.req.User, "userId"), memberOf(b.req.User, "id"))
		p.Name = memberOf(b.req.User, "userName")
	case b.req.MemberID != nil:
		p.ID = memberOf(b.req.MemberID, "userId")
	default:
		p.ID, p.Name = known(b.req.UserID), known(b.req.UserName)
	}
	if p.ID == "" && p.Name == "" {
		return false
	}
	if p.ID != "" && p.ID == b.e.Actor.ID {
		return true
	}
	b.e.Subject = p
	return true
}

// belongs checks that the event has a ledger it belongs to.
func (b *build) belongs() error {
	what := b.in.EventSource + " " + b.in.EventName
	switch b.e.Kind {
	case event.PolicyChange, event.TrustChange, event.LoggingChange, event.AppCredential, event.AppChange:
		// Whoever made the change, be it a role or a service.
		if b.e.Subject.IsZero() {
			b.e.Subject = b.e.Actor
		}
		return nil
	case event.SignIn, event.FactorChallenge:
		// A role behind the console is somebody, if nobody who is named.
	default:
		if b.e.Subject.Type == typeService {
			return ingest.Skip(ingest.SkipMachine, what)
		}
	}
	if b.e.Subject.IsZero() || b.e.Subject.Type == typeSystem {
		return ingest.Skip(ingest.SkipNoIdentity, what)
	}
	return nil
}
