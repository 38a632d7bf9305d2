package workos

import (
	"stepdown/ingest/lenient"
)

// wireEvent is what is read of one event, and of a webhook, which is the same.
type wireEvent struct {
	ID        lenient.Text `json:"id"`
	Event     lenient.Text `json:"event"`
	CreatedAt lenient.Text `json:"created_at"`
	Data      data         `json:"data"`
	Context   struct {
		ClientID lenient.Text `json:"client_id"`
		Actor    struct {
			ID     lenient.Text `json:"id"`
			Source lenient.Text `json:"source"`
			Name   lenient.Text `json:"name"`
		} `json:"actor"`
		Previous lenient.Object `json:"previous_attributes"`
	} `json:"context"`
	// UserEmail is added by the source of this package.
	UserEmail lenient.Text `json:"stepdown_user_email"`
}

// data holds the members of all types; which there are depends on the type.
type data struct {
	Object lenient.Text `json:"object"`
	ID     lenient.Text `json:"id"`
	Type   lenient.Text `json:"type"`
	Name   lenient.Text `json:"name"`
	Email  lenient.Text `json:"email"`
	UserID lenient.Text `json:"user_id"`
	Status lenient.Text `json:"status"`

	IPAddress  lenient.Text `json:"ip_address"`
	UserAgent  lenient.Text `json:"user_agent"`
	AuthMethod lenient.Text `json:"auth_method"`
	Error      struct {
		Code    lenient.Text `json:"code"`
		Message lenient.Text `json:"message"`
	} `json:"error"`
	SSO struct {
		ConnectionID   lenient.Text `json:"connection_id"`
		OrganizationID lenient.Text `json:"organization_id"`
	} `json:"sso"`
	Impersonator *struct {
		Email  lenient.Text `json:"email"`
		Reason lenient.Text `json:"reason"`
	} `json:"impersonator"`
	OrganizationID lenient.Text `json:"organization_id"`

	// Radar.
	Action        lenient.Text `json:"action"`
	Control       lenient.Text `json:"control"`
	BlocklistType lenient.Text `json:"blocklist_type"`
	Verdict       lenient.Text `json:"verdict"`

	// Roles, permissions and memberships.
	Slug  lenient.Text `json:"slug"`
	Role  role         `json:"role"`
	Roles []role       `json:"roles"`

	// API keys and connected accounts.
	Owner struct {
		Type lenient.Text `json:"type"`
		ID   lenient.Text `json:"id"`
	} `json:"owner"`
	ProviderSlug lenient.Text  `json:"provider_slug"`
	Scopes       lenient.Texts `json:"scopes"`

	// Directory sync and invitations.
	User           directoryUser `json:"user"`
	Group          directoryName `json:"group"`
	Emails         []address     `json:"emails"`
	InviterUserID  lenient.Text  `json:"inviter_user_id"`
	AcceptedUserID lenient.Text  `json:"accepted_user_id"`
}

type role struct {
	Slug lenient.Text `json:"slug"`
}

type directoryUser struct {
	ID     lenient.Text `json:"id"`
	Email  lenient.Text `json:"email"`
	Emails []address    `json:"emails"`
}

type directoryName struct {
	ID   lenient.Text `json:"id"`
	Name lenient.Text `json:"name"`
}

type address struct {
	Value   lenient.Text  `json:"value"`
	Primary lenient.Truth `json:"primary"`
}

// previous is what changed, as it was.
type previous struct {
	Email lenient.Text `json:"email"`
}
