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

// Validate reports the first value that is not right, and what would be.
func (c Config) Validate() error {
	switch {
	case c.Token.IsZero():
		return errors.New("token is not set: name the file or the variable of a bot token, {file: PATH} or ${ENV_NAME}")
	case c.Channel == "":
		return errors.New("channel is not set: use the channel's id, such as C0123456789")
	case strings.HasPrefix(c.Channel, "#") || !channelID.MatchString(c.Channel):
		return fmt.Errorf("channel is %q: use the channel's id (C…, G… or D…), not its name; Slack shows it at the end of the channel's details", c.Channel)
	case c.MinSeverity.Rank() == 0:
		return fmt.Errorf("min_severity is %q: use one of %v", c.MinSeverity, alert.Severities())
	case c.Details != Full && c.Details != Minimal:
		return fmt.Errorf("details is %q: use full or minimal", c.Details)
	case !strings.HasSuffix(c.APIURL, "/"):
		return fmt.Errorf("api_url is %q: it has to end in /, as https://slack.com/api/", c.APIURL)
	}
	if u, err := url.Parse(c.APIURL); err != nil || u.Host == "" || u.Scheme != "https" && !loopback(u) {
		return fmt.Errorf("api_url is %q: the token is sent there, so it has to be an https address", c.APIURL)
	}
	for _, link := range []struct{ name, value string }{{"console_url", c.ConsoleURL}, {"grafana_url", c.GrafanaURL}} {
		if link.value == "" {
			continue
		}
		if u, err := url.Parse(strings.NewReplacer("{id}", "x", "{key}", "x").Replace(link.value)); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("%s is %q: use a http or https address, with {id} or {key} where the alert or identity belongs", link.name, link.value)
		}
		if c.Details == Minimal && strings.Contains(link.value, "{key}") {
			return fmt.Errorf("%s has {key}, which may be an e-mail address, and details is minimal: use {id}", link.name)
		}
	}
	return nil
}

func loopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}
