package github

import (
	"github.com/goccy/go-json"

	"stepdown/ingest/lenient"
)

// head is what decides whether a record is read at all. Most of a log is git.
type head struct {
	Action string `json:"action"`
}

// record is one entry of the audit log, as far as it is read.
type record struct {
	DocumentID   string        `json:"_document_id"`
	Timestamp    lenient.Text  `json:"@timestamp"`
	CreatedAt    lenient.Text  `json:"created_at"`
	Action       string        `json:"action"`
	Actor        lenient.Text  `json:"actor"`
	ActorID      lenient.Text  `json:"actor_id"`
	ActorIP      lenient.Text  `json:"actor_ip"`
	ActorSession lenient.Text  `json:"actor_session"`
	ActorIsBot   lenient.Truth `json:"actor_is_bot"`
	ActorIsAgent lenient.Truth `json:"actor_is_agent"`
	Location     location      `json:"actor_location"`
	User         lenient.Text  `json:"user"`
	UserID       lenient.Text  `json:"user_id"`
	UserAgent    lenient.Text  `json:"user_agent"`
	Business     lenient.Text  `json:"business"`
	Org          lenient.Texts `json:"org"`
	RequestID    lenient.Text  `json:"request_id"`
	Reason       lenient.Text  `json:"reason"`

	NameID          lenient.Text `json:"external_identity_nameid"`
	Issuer          lenient.Text `json:"issuer"`
	PasskeyNickname lenient.Text `json:"passkey_nickname"`
	Nickname        lenient.Text `json:"nickname"`
	Email           lenient.Text `json:"email"`

	OAuthApp     lenient.Text  `json:"oauth_application"`
	OAuthAppID   lenient.Text  `json:"oauth_application_id"`
	OAuthAppName lenient.Text  `json:"oauth_application_name"`
	Integration  lenient.Text  `json:"integration"`
	ClientID     lenient.Text  `json:"application_client_id"`
	Name         lenient.Text  `json:"name"`
	TokenID      lenient.Text  `json:"token_id"`
	TokenScopes  lenient.Texts `json:"token_scopes"`
	Scopes       lenient.Texts `json:"scopes"`
	Permissions  lenient.Text  `json:"permissions"`
	AccessType   lenient.Text  `json:"programmatic_access_type"`
	Fingerprint  lenient.Text  `json:"fingerprint"`
	Key          lenient.Text  `json:"key"`

	Permission    lenient.Text `json:"permission"`
	OldPermission lenient.Text `json:"old_permission"`
	Team          lenient.Text `json:"team"`
	Role          lenient.Text `json:"role"`
	RoleName      lenient.Text `json:"organization_role"`
}

// location is where the actor's address is.
type location struct {
	CountryCode lenient.Text `json:"country_code"`
}

// UnmarshalJSON never fails on valid JSON: some exports have other shapes.
func (l *location) UnmarshalJSON(b []byte) error {
	type plain location
	*l = location{}
	var p plain
	if json.Unmarshal(b, &p) == nil {
		*l = location(p)
	}
	return nil
}
