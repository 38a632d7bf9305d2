package google

import (
	"slices"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

// token reads the log of OAuth tokens. Google repeats authorize for each new token
// of the same app, so a consent is new only by its app and scopes.
func (p *part) token(e *event.Event) error {
	app := event.App{ID: p.value("client_id"), Name: p.value("app_name"), Client: clientOf(p.value("client_type"))}
	if app.ID == "" && app.Name == "" {
		warn(e, "no app named")
	}
	e.Protocol = event.ProtocolOAuth2
	switch e.Action {
	case "authorize":
		e.Kind = event.ConsentGrant
	case "revoke":
		e.Kind = event.ConsentRevoke
	case "activity":
		e.Kind = event.SessionActivity
		app.ResourceName = lenient.First(p.value("api_name"), p.value("product_bucket"))
		e.App = &app
		return nil
	default:
		return ingest.Skip(ingest.SkipIrrelevant, "token "+e.Action)
	}
	e.Consent = &event.Consent{AppID: app.ID, AppName: app.Name, Scopes: p.scopes()}
	e.App = &app
	return nil
}

// clientOf returns the kind of client in the words of the contract.
func clientOf(clientType string) string {
	switch clientType {
	case "WEB":
		return "browser"
	case "":
		return ""
	}
	if strings.HasPrefix(clientType, "NATIVE") {
		return "mobile_desktop"
	}
	return strings.ToLower(clientType)
}

// scopes returns what was granted, each once, from the list or from scope_data.
func (p *part) scopes() []string {
	var out []string
	add := func(s string) {
		for one := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ' ' || r == ',' }) {
			if !slices.Contains(out, one) {
				out = append(out, one)
			}
		}
	}
	for _, s := range p.list("scope") {
		add(s)
	}
	if data := p.param("scope_data"); data != nil {
		for i := range data.MultiMessages {
			inner := activity{Parameters: data.MultiMessages[i].Parameters}
			add(inner.value("scope_name"))
		}
	}
	return out
}
