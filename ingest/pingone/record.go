package pingone

import (
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// activity is what is read of one record, be it an activity of PingOne or an event
// of a push subscription.
type activity struct {
	ID         lenient.Text `json:"id"`
	RecordedAt lenient.Text `json:"recordedAt"`
	CreatedAt  lenient.Text `json:"createdAt"`
	Action     struct {
		Type        lenient.Text `json:"type"`
		Description lenient.Text `json:"description"`
	} `json:"action"`
	Actors    actors        `json:"actors"`
	Resources []entity      `json:"resources"`
	Source    origin        `json:"source"`
	Tags      lenient.Texts `json:"tags"`
	Result    struct {
		Status      lenient.Text `json:"status"`
		Description lenient.Text `json:"description"`
		Message     lenient.Text `json:"message"`
	} `json:"result"`

	// Recorded and Client are those of a push subscription.
	Recorded lenient.Text `json:"recorded"`
	Client   struct {
		ID        lenient.Text `json:"id"`
		IPAddress lenient.Text `json:"ipAddress"`
	} `json:"client"`

	// Event is the record itself in the form for Splunk.
	Event lenient.Object `json:"event"`
}

type entity struct {
	Type        lenient.Text `json:"type"`
	ID          lenient.Text `json:"id"`
	Name        lenient.Text `json:"name"`
	Href        lenient.Text `json:"href"`
	Environment struct {
		ID lenient.Text `json:"id"`
	} `json:"environment"`
}

// actors is an object of user and client in PingOne, a list in push subscriptions.
type actors struct{ User, Client entity }

// UnmarshalJSON never fails: what is neither is nobody.
func (a *actors) UnmarshalJSON(b []byte) error {
	*a = actors{}
	if len(b) > 0 && b[0] == '[' {
		var list []entity
		if json.Unmarshal(b, &list) != nil {
			return nil
		}
		for _, e := range list {
			if strings.EqualFold(string(e.Type), "user") && a.User == (entity{}) {
				a.User = e
			}
		}
		return nil
	}
	var object struct {
		User   entity `json:"user"`
		Client entity `json:"client"`
	}
	if json.Unmarshal(b, &object) == nil {
		*a = actors(object)
	}
	return nil
}

// origin is where the request came from in PingOne, and the name of the log in
// push subscriptions.
type origin struct{ Name, IP, UserAgent lenient.Text }

// UnmarshalJSON never fails.
func (o *origin) UnmarshalJSON(b []byte) error {
	*o = origin{}
	if len(b) > 0 && b[0] == '"' {
		return o.Name.UnmarshalJSON(b)
	}
	var object struct {
		IP        lenient.Text `json:"ipAddress"`
		UserAgent lenient.Text `json:"userAgent"`
	}
	if json.Unmarshal(b, &object) == nil {
		o.IP, o.UserAgent = object.IP, object.UserAgent
	}
	return nil
}

// resource returns the first resource of a type, nil when there is none.
func (in *activity) resource(kind string) *entity {
	for i := range in.Resources {
		if lenient.Squeeze(string(in.Resources[i].Type)) == kind {
			return &in.Resources[i]
		}
	}
	return nil
}

// other returns the first resource that is no user, nil when there is none.
func (in *activity) other() *entity {
	for i := range in.Resources {
		if lenient.Squeeze(string(in.Resources[i].Type)) != "user" {
			return &in.Resources[i]
		}
	}
	return nil
}

// user returns who the resources are about: the user among them, or the one whose
// page their address is.
func (in *activity) user() event.Principal {
	if u := in.resource("user"); u != nil {
		if p := person(u); !p.IsZero() {
			return p
		}
	}
	for i := range in.Resources {
		if id := userOf(string(in.Resources[i].Href)); id != "" {
			return event.Principal{ID: id, Type: typeUser}
		}
	}
	return event.Principal{}
}

// userOf returns the id of "…/users/{id}/…", "" where the address is another.
func userOf(href string) string {
	_, rest, ok := strings.Cut(href, "/users/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	return lenient.Known(id)
}

// The principal types of the contract.
const (
	typeUser    = "user"
	typeAdmin   = "admin"
	typeService = "service"
)

func person(u *entity) event.Principal {
	p := event.Principal{ID: lenient.Known(string(u.ID)), Name: lenient.Known(string(u.Name)), Type: typeUser}
	if p.ID == "" && p.Name == "" {
		return event.Principal{}
	}
	return p
}

// environment is the tenant as the record names it.
func (in *activity) environment() string {
	for i := range in.Resources {
		if id := lenient.Known(string(in.Resources[i].Environment.ID)); id != "" {
			return id
		}
	}
	return lenient.First(lenient.Known(string(in.Actors.User.Environment.ID)), lenient.Known(string(in.Actors.Client.Environment.ID)))
}
