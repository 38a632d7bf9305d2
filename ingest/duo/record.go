package duo

import (
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest/lenient"
)

// record is a row of any of the logs.
type record struct {
	// Authentication.
	TxID        lenient.Text `json:"txid"`
	EventType   lenient.Text `json:"event_type"`
	Factor      lenient.Text `json:"factor"`
	Remembered  lenient.Text `json:"remembered_factor"`
	Result      lenient.Text `json:"result"`
	Reason      lenient.Text `json:"reason"`
	ISOTime     lenient.Text `json:"isotimestamp"`
	Timestamp   lenient.Text `json:"timestamp"`
	User        named        `json:"user"`
	Email       lenient.Text `json:"email"`
	Application named        `json:"application"`
	Access      accessDevice `json:"access_device"`
	Auth        authDevice   `json:"auth_device"`
	Trusted     lenient.Text `json:"trusted_endpoint_status"`
	Assessments struct {
		MoreSecure assessment `json:"more_secure_auth"`
		Remember   assessment `json:"remember_me"`
	} `json:"adaptive_trust_assessments"`
	Attacks lenient.Texts `json:"rbfs_triggered_attacks"`

	// Administrator; Action is of activity too.
	Action      actionName     `json:"action"`
	Username    lenient.Text   `json:"username"`
	Object      lenient.Text   `json:"object"`
	Description lenient.Object `json:"description"`

	// Activity; TS is of telephony too.
	ActivityID lenient.Text `json:"activity_id"`
	TS         lenient.Text `json:"ts"`
	Actor      party        `json:"actor"`
	Target     party        `json:"target"`
	OldTarget  party        `json:"old_target"`
	Outcome    struct {
		Result lenient.Text `json:"result"`
	} `json:"outcome"`

	// Telephony.
	TelephonyID lenient.Text `json:"telephony_id"`
	Context     lenient.Text `json:"context"`
}

type named struct {
	Key  lenient.Text `json:"key"`
	Name lenient.Text `json:"name"`
}

type party struct {
	Key     lenient.Text   `json:"key"`
	Name    lenient.Text   `json:"name"`
	Type    lenient.Text   `json:"type"`
	Details lenient.Object `json:"details"`
}

type location struct {
	City    lenient.Text `json:"city"`
	State   lenient.Text `json:"state"`
	Country lenient.Text `json:"country"`
}

type accessDevice struct {
	IP       address      `json:"ip"`
	Browser  lenient.Text `json:"browser"`
	OS       lenient.Text `json:"os"`
	Hostname lenient.Text `json:"hostname"`
	Key      lenient.Text `json:"epkey"`
	Location location     `json:"location"`
}

type authDevice struct {
	IP       address      `json:"ip"`
	Key      lenient.Text `json:"key"`
	Name     lenient.Text `json:"name"`
	Location location     `json:"location"`
}

type assessment struct {
	Level     lenient.Text  `json:"trust_level"`
	Reason    lenient.Text  `json:"reason"`
	Detectors lenient.Texts `json:"detected_attack_detectors"`
}

// address is a string in the authentication log, an object in activity. The
// words for none and 0.0.0.0 are "".
type address string

// UnmarshalJSON never fails on valid JSON.
func (a *address) UnmarshalJSON(b []byte) error {
	var text lenient.Text
	if err := text.UnmarshalJSON(b); err != nil {
		return err
	}
	if len(b) > 0 && b[0] == '{' {
		var object struct {
			Address lenient.Text `json:"address"`
		}
		_ = json.Unmarshal(b, &object) // an object that is no address is none
		text = object.Address
	}
	*a = address(lenient.Address(string(text)))
	if *a == "0.0.0.0" || *a == "::" {
		*a = ""
	}
	return nil
}

// actionName is a string in the administrator log and in older activity, else an
// object.
type actionName string

// UnmarshalJSON never fails on valid JSON.
func (a *actionName) UnmarshalJSON(b []byte) error {
	var text lenient.Text
	if err := text.UnmarshalJSON(b); err != nil {
		return err
	}
	if len(b) > 0 && b[0] == '{' {
		var object named
		_ = json.Unmarshal(b, &object) // an object without a name is no action
		text = object.Name
	}
	*a = actionName(text)
	return nil
}

// details are the JSON texts of description and of details: which members there are
// depends on the action.
type details map[string]lenient.Text

func detailsOf(o lenient.Object) details {
	var d details
	if len(o) > 0 {
		_ = json.Unmarshal(o, &d) // Object holds valid JSON objects only
	}
	return d
}

// get returns the first of the members that has a value.
func (d details) get(names ...string) string {
	for _, name := range names {
		if s := lenient.Known(string(d[name])); s != "" {
			return s
		}
	}
	return ""
}

// is reports whether a member has that value, in any case.
func (d details) is(name, value string) bool { return strings.EqualFold(d.get(name), value) }

// has reports whether there is such a member, be it empty.
func (d details) has(name string) bool {
	_, ok := d[name]
	return ok
}
