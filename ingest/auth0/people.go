package auth0

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"stepdown/ingest"
	"stepdown/ingest/lenient"
	"stepdown/ingest/rest"
)

// people completes calls of the Management API: their path has the id of the user
// they are about, whom all other records know by name. One source owns it.
type people struct {
	api   *api
	names map[string]string
}

// maxPeople bounds it; beyond, it begins anew.
const maxPeople = 20_000

// head is what the source reads of a log event.
type head struct {
	LogID    lenient.Text `json:"log_id"`
	OldID    lenient.Text `json:"_id"`
	Date     lenient.Text `json:"date"`
	Type     lenient.Text `json:"type"`
	UserID   lenient.Text `json:"user_id"`
	UserName lenient.Text `json:"user_name"`
	Details  struct {
		Request request `json:"request"`
	} `json:"details"`
}

// complete adds the name of the user in the path. What the credential of this
// program may not read stays out.
func (p *people) complete(ctx context.Context, row json.RawMessage, h *head) (json.RawMessage, error) {
	if h.Type != "sapi" && h.Type != "fapi" {
		if h.UserID != "" && h.UserName != "" {
			p.remember(string(h.UserID), string(h.UserName))
		}
		return row, nil
	}
	c := callOf(&h.Details.Request)
	if root := c.segment(0); root != "users" && root != "user-blocks" || c.segment(1) == "" {
		return row, nil
	}
	name, err := p.name(ctx, c.segment(1))
	if err != nil || name == "" {
		return row, err
	}
	quoted, err := json.Marshal(name)
	if err != nil {
		return nil, err
	}
	members := bytes.TrimPrefix(bytes.TrimSpace(row), []byte("{"))
	return append([]byte(`{"stepdown_user_name":`+string(quoted)+","), members...), nil
}

func (p *people) remember(id, name string) {
	if len(p.names) >= maxPeople {
		clear(p.names)
	}
	p.names[id] = name
}

// name returns the name that the log has for a user, "" for one that is gone.
func (p *people) name(ctx context.Context, id string) (string, error) {
	if name, ok := p.names[id]; ok {
		return name, nil
	}
	var u apiUser
	resp, err := p.api.client.Get(ctx, "api/v2/users/"+url.PathEscape(id), url.Values{"fields": {"email,username,phone_number"}, "include_fields": {"true"}})
	switch {
	case err == nil:
		if err := resp.JSON(&u); err != nil {
			return "", err
		}
	case isStatus(err, http.StatusNotFound):
	case isStatus(err, http.StatusForbidden):
		p.api.rt.Log.DebugContext(ctx, "users not read", "error", err)
	default:
		return "", err
	}
	name := u.name()
	p.remember(id, name)
	return name, nil
}

// isStatus reports whether an answer had that status.
func isStatus(err error, status int) bool {
	if refused, ok := errors.AsType[*ingest.CredentialError](err); ok {
		err = refused.Err
	}
	answer, ok := errors.AsType[*rest.StatusError](err)
	return ok && answer.Status == status
}
