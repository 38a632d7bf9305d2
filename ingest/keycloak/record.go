package keycloak

import (
	"bytes"
	"slices"
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest"
	"stepdown/ingest/lenient"
)

// wire is what is read of any of the shapes.
type wire struct {
	ID        lenient.Text            `json:"id"`
	UID       lenient.Text            `json:"uid"`
	Time      lenient.Text            `json:"time"`
	Type      lenient.Text            `json:"type"`
	RealmID   lenient.Text            `json:"realmId"`
	RealmName lenient.Text            `json:"realmName"`
	ClientID  lenient.Text            `json:"clientId"`
	UserID    lenient.Text            `json:"userId"`
	SessionID lenient.Text            `json:"sessionId"`
	IPAddress lenient.Text            `json:"ipAddress"`
	Error     lenient.Text            `json:"error"`
	Details   map[string]lenient.Text `json:"details"`

	Auth           authDetails  `json:"authDetails"`
	Operation      lenient.Text `json:"operationType"`
	Resource       lenient.Text `json:"resourceType"`
	Path           lenient.Text `json:"resourcePath"`
	Representation lenient.Text `json:"representation"`

	// A line of the server's log.
	Logger     lenient.Text `json:"log.logger"`
	LoggerName lenient.Text `json:"loggerName"`
	Message    lenient.Text `json:"message"`
	ECSTime    lenient.Text `json:"@timestamp"`
	Timestamp  lenient.Text `json:"timestamp"`
	Sequence   lenient.Text `json:"event.sequence"`
	OldSeq     lenient.Text `json:"sequence"`

	// Added by the source of this package.
	Username       lenient.Text `json:"stepdown_username"`
	ActorUsername  lenient.Text `json:"stepdown_actor_username"`
	CredentialType lenient.Text `json:"stepdown_credential_type"`
}

type authDetails struct {
	RealmID   lenient.Text `json:"realmId"`
	ClientID  lenient.Text `json:"clientId"`
	UserID    lenient.Text `json:"userId"`
	IPAddress lenient.Text `json:"ipAddress"`
	Username  lenient.Text `json:"username"`
	SessionID lenient.Text `json:"sessionId"`
}

// read brings a record of any shape into that of the admin REST API.
func read(data []byte) (in wire, warning string, err error) {
	if warning, err = lenient.Decode(data, &in); err != nil {
		return in, "", err
	}
	if in.Type == "" && in.Operation == "" && in.Message != "" {
		if err := in.line(); err != nil {
			return in, "", err
		}
	}
	if t, ok := strings.CutPrefix(string(in.Type), "access."); ok {
		in.Type = lenient.Text(t)
		in.ClientID, in.UserID = or(in.ClientID, in.Auth.ClientID), or(in.UserID, in.Auth.UserID)
		in.IPAddress, in.SessionID = or(in.IPAddress, in.Auth.IPAddress), or(in.SessionID, in.Auth.SessionID)
		in.Username = or(in.Username, in.Auth.Username)
		in.Operation = ""
	} else if t, ok := strings.CutPrefix(string(in.Type), "admin."); ok {
		resource, operation, _ := strings.Cut(t, "-")
		in.Resource, in.Operation = or(in.Resource, lenient.Text(resource)), or(in.Operation, lenient.Text(operation))
	}
	for key, v := range in.Details {
		if lenient.Known(string(v)) == "" {
			delete(in.Details, key)
		}
	}
	return in, warning, nil
}

func or(a, b lenient.Text) lenient.Text {
	if lenient.Known(string(a)) != "" {
		return a
	}
	return b
}

func (in *wire) detail(key string) string { return string(in.Details[key]) }

// line reads the message of a log line: members of the event and its details, side
// by side.
func (in *wire) line() error {
	if logger := or(in.Logger, in.LoggerName); logger != "" && logger != "org.keycloak.events" {
		return ingest.Skip(ingest.SkipIrrelevant, "log line of another logger")
	}
	pairs := pairsOf(string(in.Message))
	if pairs["type"] == "" && pairs["operationType"] == "" {
		return ingest.Skip(ingest.SkipIrrelevant, "log line without an event")
	}
	in.Time = or(in.ECSTime, in.Timestamp)
	in.Details = map[string]lenient.Text{}
	for key, v := range pairs {
		v := lenient.Text(v)
		switch key {
		case "type":
			in.Type = v
		case "realmId":
			in.RealmID = v
		case "realmName":
			in.RealmName = v
		case "clientId":
			in.ClientID, in.Auth.ClientID = v, v
		case "userId":
			in.UserID, in.Auth.UserID = v, v
		case "ipAddress":
			in.IPAddress, in.Auth.IPAddress = v, v
		case "sessionId":
			in.SessionID = v
		case "error":
			in.Error = v
		case "operationType":
			in.Operation = v
		case "resourceType":
			in.Resource = v
		case "resourcePath":
			in.Path = v
		default:
			in.Details[key] = v
		}
	}
	return nil
}

// pairsOf reads `type="LOGIN", userId="null"` and, as older versions write it,
// `type=LOGIN, userId=null`. A value ends at its quote, else at ", " before the next
// key.
func pairsOf(s string) map[string]string {
	pairs := map[string]string{}
	for s != "" {
		key, rest, ok := strings.Cut(s, "=")
		if !ok {
			break
		}
		key = strings.TrimSpace(key)
		var value string
		if strings.HasPrefix(rest, `"`) {
			var b strings.Builder
			i := 1
			for ; i < len(rest) && rest[i] != '"'; i++ {
				if rest[i] == '\\' && i+1 < len(rest) {
					i++
				}
				b.WriteByte(rest[i])
			}
			value, s = b.String(), rest[min(i+1, len(rest)):]
			_, s, _ = strings.Cut(s, ",")
		} else {
			value, s = untilNextKey(rest)
		}
		if lenient.Known(value) != "" {
			pairs[key] = value
		}
	}
	return pairs
}

func untilNextKey(s string) (value, rest string) {
	for from := 0; ; {
		i := strings.Index(s[from:], ", ")
		if i < 0 {
			return s, ""
		}
		i += from
		key, _, ok := strings.Cut(s[i+2:], "=")
		if ok && !strings.ContainsAny(key, " ,") {
			return s[:i], s[i+2:]
		}
		from = i + 2
	}
}

// facts are what names an event that has no id, in a fixed order.
func (in *wire) facts() []string {
	facts := []string{string(or(in.RealmID, in.RealmName)), string(in.Time), string(in.Type), string(in.ClientID), string(in.UserID),
		string(in.SessionID), string(in.IPAddress), string(in.Error), string(in.Auth.ClientID), string(in.Auth.UserID), string(in.Auth.IPAddress),
		string(in.Operation), string(in.Resource), string(in.Path), string(in.Representation), string(in.Sequence), string(in.OldSeq)}
	keys := make([]string, 0, len(in.Details))
	for key := range in.Details {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		facts = append(facts, key, string(in.Details[key]))
	}
	return facts
}

// represented decodes the representation of an admin event into v, and reports
// whether there was one of that shape.
func (in *wire) represented(v any) bool {
	s := bytes.TrimSpace([]byte(in.Representation))
	return len(s) > 0 && json.Unmarshal(s, v) == nil
}
