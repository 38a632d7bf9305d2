package keycloak

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"stepdown/ingest/rest"
)

// people completes events by what the realm says of users: names for ids, and the
// types of credentials. One source owns it.
type people struct {
	api         *api
	names       map[string]string
	credentials map[string]string
	// said is what was added to a row, by its digest: a row that is read again must
	// not be told otherwise because a session has ended since, or it were another
	// record. before is what said was until it was full.
	said, before map[[sha256.Size]byte]string
}

func newPeople(a *api) *people {
	return &people{api: a, names: map[string]string{}, credentials: map[string]string{}, said: map[[sha256.Size]byte]string{}}
}

// maxPeople bounds what is remembered; beyond, it begins anew. It is also more rows
// than one look reads.
const maxPeople = 20_000

func remember(m map[string]string, key, value string) {
	if len(m) >= maxPeople {
		clear(m)
	}
	m[key] = value
}

// head is what the source reads of an event or admin event.
type head struct {
	Time    int64  `json:"time"`
	Type    string `json:"type"`
	RealmID string `json:"realmId"`
	UserID  string `json:"userId"`
	Session string `json:"sessionId"`
	Path    string `json:"resourcePath"`
	Auth    struct {
		RealmID string `json:"realmId"`
		UserID  string `json:"userId"`
	} `json:"authDetails"`
	Details map[string]string `json:"details"`
}

// complete adds to an event what it leaves out, the same each time. What the
// credential of this program may not read stays out. fresh says that the row was not
// completed before.
func (p *people) complete(ctx context.Context, row json.RawMessage) (completed json.RawMessage, fresh bool, err error) {
	digest := sha256.Sum256(row)
	add, again := p.said[digest]
	if !again {
		add, again = p.before[digest]
		if !again {
			if add, err = p.missing(ctx, row); err != nil {
				return nil, false, err
			}
		}
		if len(p.said) >= maxPeople {
			p.before, p.said = p.said, map[[sha256.Size]byte]string{}
		}
		p.said[digest] = add
	}
	if add == "" {
		return row, !again, nil
	}
	members := bytes.TrimPrefix(bytes.TrimSpace(row), []byte("{"))
	return append([]byte("{"+add+","), members...), !again, nil
}

// missing returns the members that an event leaves out.
func (p *people) missing(ctx context.Context, row json.RawMessage) (string, error) {
	var h head
	if json.Unmarshal(row, &h) != nil {
		return "", nil // the normalizer says what is wrong with it
	}
	var add []string
	member := func(name, value string) error {
		quoted, err := json.Marshal(value)
		if err == nil && value != "" {
			add = append(add, `"`+name+`":`+string(quoted))
		}
		return err
	}
	user := h.UserID
	if h.Type == "" {
		user = userOf(h.Path)
		if h.Auth.RealmID == h.RealmID && h.Auth.UserID != "" {
			name, err := p.name(ctx, h.Auth.UserID)
			if err != nil {
				return "", err
			}
			if err := member("stepdown_actor_username", name); err != nil {
				return "", err
			}
		}
	}
	switch name := h.Details["username"]; {
	case user == "" || user == "null":
	case name != "":
		remember(p.names, user, name)
	default:
		name, err := p.name(ctx, user)
		if err != nil {
			return "", err
		}
		if err := member("stepdown_username", name); err != nil {
			return "", err
		}
	}
	if p.api.unnamed && h.unnamed() {
		began, err := p.began(ctx, &h)
		if err != nil {
			return "", err
		}
		if began {
			add = append(add, `"stepdown_credential_type":"password"`)
		}
	}
	if id := h.Details["selected_credential_id"]; (h.Type == "LOGIN" || h.Type == "LOGIN_ERROR") && id != "" && user != "" && h.Details["credential_type"] == "" {
		typ, err := p.credential(ctx, user, id)
		if err != nil {
			return "", err
		}
		if err := member("stepdown_credential_type", typ); err != nil {
			return "", err
		}
	}
	return strings.Join(add, ","), nil
}

// unnamed reports whether the event is a sign-in that names no factor.
func (h *head) unnamed() bool {
	if h.Type != "LOGIN" || h.UserID == "" || h.Session == "" || h.Details["grant_type"] != "" {
		return false
	}
	for _, named := range [...]string{"credential_type", "selected_credential_id", "custom_required_action", "identity_provider",
		"x509_cert_serial_number", "web_authn_authenticator_user_verification_checked"} {
		if h.Details[named] != "" {
			return false
		}
	}
	return true
}

// sessionBegins is how far the beginning of a session, which is written in seconds,
// may be from the sign-in that began it.
const sessionBegins = 2 * time.Second

// began reports whether a sign-in began its session; one over the cookie of a
// session did not. It is false for a session that is over.
func (p *people) began(ctx context.Context, h *head) (bool, error) {
	var sessions []struct {
		ID    string `json:"id"`
		Start int64  `json:"start"`
	}
	if err := p.get(ctx, "users/"+url.PathEscape(h.UserID)+"/sessions", &sessions); err != nil {
		return false, err
	}
	for _, s := range sessions {
		if s.ID == h.Session {
			return time.UnixMilli(h.Time).Sub(time.UnixMilli(s.Start)).Abs() <= sessionBegins, nil
		}
	}
	return false, nil
}

// userOf returns the id of the user that the path of a resource is beneath.
func userOf(path string) string {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(path, "/"), "users/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// name returns the username of a user, "" for one that is gone.
func (p *people) name(ctx context.Context, id string) (string, error) {
	if name, ok := p.names[id]; ok {
		return name, nil
	}
	var u struct {
		Username string `json:"username"`
	}
	if err := p.get(ctx, "users/"+url.PathEscape(id), &u); err != nil {
		return "", err
	}
	remember(p.names, id, u.Username)
	return u.Username, nil
}

// credential returns the type of a user's credential, "" for one that is gone.
func (p *people) credential(ctx context.Context, user, id string) (string, error) {
	if typ, ok := p.credentials[id]; ok {
		return typ, nil
	}
	var list []struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	}
	if err := p.get(ctx, "users/"+url.PathEscape(user)+"/credentials", &list); err != nil {
		return "", err
	}
	typ := ""
	for _, c := range list {
		if c.ID == id {
			typ = c.Type
		}
	}
	remember(p.credentials, id, typ)
	return typ, nil
}

// get leaves v as it is where there is nothing, or nothing that may be read.
func (p *people) get(ctx context.Context, path string, v any) error {
	resp, err := p.api.client.Get(ctx, path, nil)
	switch {
	case err == nil:
		return resp.JSON(v)
	case rest.HasStatus(err, http.StatusNotFound):
		return nil
	case rest.HasStatus(err, http.StatusForbidden):
		p.api.rt.Log.DebugContext(ctx, "users not read", slog.Any("error", err))
		return nil
	}
	return err
}
