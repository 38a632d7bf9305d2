package slack

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"stepdown/detect/alert"
	"stepdown/ingest/secret"
)

// Details is how much a message tells of a person.
type Details string

// The levels of detail.
const (
	Full Details = "full"
	// Minimal leaves out network addresses and e-mail addresses, for channels that
	// many people read.
	Minimal Details = "minimal"
)

// Config of the sink.
type Config struct {
	// Token is the bot token (xoxb-…). It is read for every call, so that a rotated
	// one needs no restart.
	Token secret.Secret `yaml:"token"`
	// Channel is the id of the channel, not its name.
	Channel string `yaml:"channel"`
	// APIURL replaces https://slack.com/api/, for a proxy or a test.
	APIURL string `yaml:"api_url"`
	// MinSeverity is the least severity shown.
	MinSeverity alert.Severity `yaml:"min_severity"`
	Details     Details        `yaml:"details"`
	// ConsoleURL and GrafanaURL are put under the message; {id} stands for the
	// alert's id and {key} for the identity. Both may be empty.
	ConsoleURL string `yaml:"console_url"`
	GrafanaURL string `yaml:"grafana_url"`
}

// DefaultConfig shows everything of alerts from medium upwards; Token and Channel
// have no default.
func DefaultConfig() Config {
	return Config{APIURL: "https://slack.com/api/", MinSeverity: alert.Medium, Details: Full}
}

var channelID = regexp.MustCompile(`^[CGD][A-Z0-9]{8,20}$`)

// Validate reports everything that is wrong with c, by its YAML path.
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Token.IsZero() {
		wrong("token: is not set: name the file or the variable of a bot token, {file: PATH} or ${ENV_NAME}")
	}
	switch {
	case c.Channel == "":
		wrong("channel: is not set: use the channel's id, such as C0123456789")
	case !channelID.MatchString(c.Channel):
		wrong("channel: is %q: use the channel's id (C…, G… or D…), not its name; Slack shows it at the end of the channel's details", c.Channel)
	}
	if c.MinSeverity.Rank() == 0 {
		wrong("min_severity: is %q: use one of %v", c.MinSeverity, alert.Severities())
	}
	if c.Details != Full && c.Details != Minimal {
		wrong("details: is %q: use full or minimal", c.Details)
	}
	if u, err := url.Parse(c.APIURL); err != nil || u.Host == "" || u.Scheme != "https" && !loopback(u) {
		wrong("api_url: is %q: the token is sent there, so it has to be an https address", c.APIURL)
	} else if !strings.HasSuffix(c.APIURL, "/") {
		wrong("api_url: is %q: it has to end in /, as https://slack.com/api/", c.APIURL)
	}
	for _, link := range []struct{ name, value string }{{"console_url", c.ConsoleURL}, {"grafana_url", c.GrafanaURL}} {
		if link.value == "" {
			continue
		}
		filled := strings.NewReplacer("{id}", "x", "{key}", "x").Replace(link.value)
		if u, err := url.Parse(filled); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			wrong("%s: is %q: use a http or https address, with {id} or {key} where the alert or identity belongs", link.name, link.value)
		}
		if c.Details == Minimal && strings.Contains(link.value, "{key}") {
			wrong("%s: has {key}, which may be an e-mail address, and details is minimal: use {id}", link.name)
		}
	}
	return errors.Join(errs...)
}

func loopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}
