package github

import (
	"encoding/json"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
	"stepdown/ingest/poll"
)

// member is what a snapshot says of a member of an organization.
type member struct {
	Login string `json:"login"`
	ID    int64  `json:"id"`
	Org   string `json:"org"`
	// TwoFactor is "disabled", "insecure", "enabled", or empty where the API did not
	// say.
	TwoFactor string `json:"two_factor,omitempty"`
	Owner     bool   `json:"owner"`
}

// The states of a member's second factor.
const (
	twoFactorDisabled = "disabled"
	twoFactorInsecure = "insecure"
	twoFactorEnabled  = "enabled"
)

// normalizeSnapshot makes the events of a record that the inventory made. It is
// never complete: the API tells whether there is a second factor, and whether one of
// them is SMS, and nothing else.
func normalizeSnapshot(r ingest.Record) ([]event.Event, error) {
	s, err := poll.ReadSnapshot(r.Data)
	if err != nil {
		return nil, err
	}
	var m member
	if err := json.Unmarshal(s.User, &m); err != nil {
		return nil, ingest.Malformed(ingest.MalformedShape, "member of the inventory: %w", err)
	}
	if m.Login == "" || m.Org == "" {
		return nil, ingest.Skip(ingest.SkipNoIdentity, "inventory")
	}
	base := event.Event{
		Schema: event.SchemaVersion, Source: r.Source, Tenant: r.Tenant, Stream: poll.StreamInventory,
		Action: "inventory", Time: s.ReadAt, Observed: r.Observed, Outcome: event.Success,
		Subject: event.Principal{Name: m.Login, Type: typeUser}, Raw: r.Data,
	}
	if m.ID != 0 {
		base.Subject.ID = idText(m.ID)
	}
	base.ID = lenient.Digest(string(r.Source), r.Tenant, m.Org, m.Login, s.ReadAt.Format("2006-01-02T15:04:05.000Z"))
	role := base
	role.Kind = event.RoleChange
	role.Role = &event.Role{Granted: m.Owner, Privileged: true, Roles: []string{ownerRole(m.Org)}}
	events := []event.Event{role}
	var methods []event.Method
	switch m.TwoFactor {
	case twoFactorInsecure:
		methods = []event.Method{event.MethodSMS}
	case twoFactorDisabled:
		methods = []event.Method{event.MethodPassword}
	}
	if len(methods) > 0 {
		snapshot := base
		snapshot.ID += "#1"
		snapshot.Kind, snapshot.Snapshot = event.AuthenticatorSnapshot, &event.Snapshot{Complete: s.Complete}
		for _, method := range methods {
			snapshot.Authenticators = append(snapshot.Authenticators, event.NewAuthenticator(method))
		}
		events = append(events, snapshot)
	}
	for i := range events {
		events[i].Sanitize()
	}
	return events, nil
}
