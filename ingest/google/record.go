package google

import (
	"sort"
	"strings"

	"stepdown/ingest/lenient"
)

// record is either shape: an activity of the Reports API or an entry of Cloud
// Logging.
type record struct {
	ID struct {
		Time        lenient.Text `json:"time"`
		Qualifier   lenient.Text `json:"uniqueQualifier"`
		Application lenient.Text `json:"applicationName"`
		Customer    lenient.Text `json:"customerId"`
	} `json:"id"`
	Actor     actor        `json:"actor"`
	IPAddress lenient.Text `json:"ipAddress"`
	Network   struct {
		ASN         lenient.Texts `json:"ipAsn"`
		Region      lenient.Text  `json:"regionCode"`
		Subdivision lenient.Text  `json:"subdivisionCode"`
	} `json:"networkInfo"`
	Events []activity `json:"events"`

	// Cloud Logging.
	Payload   *payload     `json:"protoPayload"`
	InsertID  lenient.Text `json:"insertId"`
	Timestamp lenient.Text `json:"timestamp"`
}

type actor struct {
	Email      lenient.Text `json:"email"`
	Profile    lenient.Text `json:"profileId"`
	CallerType lenient.Text `json:"callerType"`
	Key        lenient.Text `json:"key"`
}

// activity is one event; Cloud Logging names its members otherwise.
type activity struct {
	Type       lenient.Text `json:"type"`
	Name       lenient.Text `json:"name"`
	Parameters []parameter  `json:"parameters"`

	EventType lenient.Text `json:"eventType"`
	EventName lenient.Text `json:"eventName"`
	Parameter []parameter  `json:"parameter"`
}

type payload struct {
	Authentication struct {
		Email lenient.Text `json:"principalEmail"`
	} `json:"authenticationInfo"`
	Request struct {
		IP lenient.Text `json:"callerIp"`
	} `json:"requestMetadata"`
	Service  lenient.Text `json:"serviceName"`
	Method   lenient.Text `json:"methodName"`
	Resource lenient.Text `json:"resourceName"`
	Metadata struct {
		Events     []activity `json:"event"`
		ActivityID struct {
			Qualifier lenient.Text `json:"uniqQualifier"`
			TimeUsec  lenient.Text `json:"timeUsec"`
		} `json:"activityId"`
	} `json:"metadata"`
}

// parameter is one named value. A boolean that is false may be a name alone.
type parameter struct {
	Name          lenient.Text  `json:"name"`
	Value         lenient.Text  `json:"value"`
	Bool          lenient.Truth `json:"boolValue"`
	Int           lenient.Text  `json:"intValue"`
	Multi         lenient.Texts `json:"multiValue"`
	MultiString   lenient.Texts `json:"multiStrValue"`
	MultiInt      lenient.Texts `json:"multiIntValue"`
	Message       message       `json:"messageValue"`
	MultiMessages []message     `json:"multiMessageValue"`
}

type message struct {
	Parameters []parameter `json:"parameter"`
}

// text returns the value as one string.
func (p *parameter) text() string {
	switch {
	case p.Value != "":
		return string(p.Value)
	case p.Int != "":
		return string(p.Int)
	case p.Bool == lenient.True:
		return "true"
	case p.Bool == lenient.False:
		return "false"
	}
	return strings.Join(p.list(), ",")
}

// list returns the value as a list.
func (p *parameter) list() []string {
	switch {
	case len(p.Multi) > 0:
		return p.Multi
	case len(p.MultiString) > 0:
		return p.MultiString
	case len(p.MultiInt) > 0:
		return p.MultiInt
	case p.Value != "":
		return []string{string(p.Value)}
	}
	return nil
}

// canonical returns the parameters in a form that does not depend on their order.
func canonical(params []parameter) string {
	lines := make([]string, 0, len(params))
	var b strings.Builder
	for i := range params {
		p := &params[i]
		b.Reset()
		b.WriteString(string(p.Name) + "\x01" + p.text())
		for _, m := range append(p.MultiMessages, p.Message) {
			if len(m.Parameters) > 0 {
				b.WriteString("\x02" + canonical(m.Parameters))
			}
		}
		lines = append(lines, b.String())
	}
	sort.Strings(lines)
	return strings.Join(lines, "\x03")
}
