package webhook

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"stepdown/ingest/event"
	"stepdown/ingest/secret"
)

// Config is one endpoint.
type Config struct {
	// Path of the endpoint on the receiver, "/okta".
	Path string `yaml:"path"`
	// Source picks the normalizer; Tenant names the organisation in events.
	Source event.Source `yaml:"source"`
	Tenant string       `yaml:"tenant,omitempty"`
	// Scheme is how senders prove themselves, one of Schemes.
	Scheme Scheme `yaml:"scheme"`
	// Secret is the header's value, or the key of the HMAC. While Previous is set,
	// it is accepted too, so that a secret can be changed without a gap.
	Secret   secret.Secret `yaml:"secret"`
	Previous secret.Secret `yaml:"previous,omitempty"`
	// Header overrides the scheme's.
	Header string `yaml:"header,omitempty"`
	// Algorithm and Encoding are of the scheme hmac: sha1, sha256 or sha512; hex or
	// base64. Prefix stands before the signature: "sha256=".
	Algorithm string `yaml:"algorithm,omitempty"`
	Encoding  string `yaml:"encoding,omitempty"`
	Prefix    string `yaml:"prefix,omitempty"`
	// TimestampHeader holds the signed time, in seconds or milliseconds since 1970;
	// what is signed is then "<time>.<body>". Only for the scheme hmac.
	TimestampHeader string `yaml:"timestamp_header,omitempty"`
	// Tolerance is how far a signed time may be from now.
	Tolerance time.Duration `yaml:"tolerance"`
	// MaxBody is the largest body that is taken, in bytes.
	MaxBody int64 `yaml:"max_body"`
	// Deadline is how long the sender waits for the answer; 0 is the scheme's.
	Deadline time.Duration `yaml:"deadline,omitempty"`
}

// Scheme is how a sender proves itself.
type Scheme string

// The schemes. Those with a provider's name are presets of header and hmac.
const (
	// SchemeHeader compares a header, Authorization by default, with the secret.
	SchemeHeader Scheme = "header"
	// SchemeHMAC checks an HMAC over the body, and the time where it is signed.
	SchemeHMAC Scheme = "hmac"
	// SchemeOkta is an event hook: Authorization, and the verification challenge.
	SchemeOkta Scheme = "okta"
	// SchemeWorkOS is "WorkOS-Signature: t=<ms>, v1=<hex>".
	SchemeWorkOS Scheme = "workos"
	// SchemeGitHub is "X-Hub-Signature-256: sha256=<hex>".
	SchemeGitHub Scheme = "github"
	// SchemeKeycloak is X-Keycloak-Signature of the keycloak-events extension.
	SchemeKeycloak Scheme = "keycloak"
)

// preset is what a scheme stands for.
type preset struct {
	hmac                                         bool
	header, algorithm, encoding, prefix, pattern string
	deadline, tolerance                          time.Duration
	challenge                                    bool
}

// defaultDeadline is for senders that do not say how long they wait.
const defaultDeadline = 9 * time.Second

func presets() map[Scheme]preset {
	return map[Scheme]preset{
		SchemeHeader:   {header: "Authorization", deadline: defaultDeadline},
		SchemeHMAC:     {hmac: true, header: "X-Signature", algorithm: "sha256", encoding: "hex", deadline: defaultDeadline},
		SchemeOkta:     {header: "Authorization", challenge: true, deadline: 2500 * time.Millisecond}, // Okta waits 3 s
		SchemeWorkOS:   {hmac: true, header: "WorkOS-Signature", algorithm: "sha256", encoding: "hex", pattern: "t=,v1=", deadline: defaultDeadline},
		SchemeGitHub:   {hmac: true, header: "X-Hub-Signature-256", algorithm: "sha256", encoding: "hex", prefix: "sha256=", deadline: defaultDeadline},
		SchemeKeycloak: {hmac: true, header: "X-Keycloak-Signature", algorithm: "sha256", encoding: "hex", deadline: defaultDeadline},
	}
}

// Schemes lists them.
func Schemes() []Scheme { return slices.Sorted(maps.Keys(presets())) }

// SetDefaults gives c the values of a section that says nothing.
func (c *Config) SetDefaults() {
	*c = Config{Tolerance: 3 * time.Minute, MaxBody: 8 << 20}
}

var pathPattern = regexp.MustCompile(`^/[A-Za-z0-9._~/-]*$`)

// Validate reports everything that is wrong with c, by its YAML path.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !pathPattern.MatchString(c.Path) || strings.Contains(c.Path, "//") {
		wrong("path: is %q; use a path such as /okta", c.Path)
	}
	if c.Source == "" {
		wrong("source: is not set")
	}
	p, ok := presets()[c.Scheme]
	if !ok {
		wrong("scheme: is %q; use one of %v", c.Scheme, Schemes())
	}
	if c.Secret.IsZero() {
		wrong("secret: is not set; an endpoint that anybody may push to is not offered")
	}
	if c.Algorithm != "" && (c.Scheme != SchemeHMAC && c.Scheme != SchemeKeycloak || hashOf(c.Algorithm) == nil) {
		wrong("algorithm: is %q; use sha1, sha256 or sha512, with the scheme hmac or keycloak", c.Algorithm)
	}
	if c.Encoding != "" && (c.Scheme != SchemeHMAC || c.Encoding != "hex" && c.Encoding != "base64") {
		wrong("encoding: is %q; use hex or base64, with the scheme hmac", c.Encoding)
	}
	if c.Prefix != "" && c.Scheme != SchemeHMAC && c.Scheme != SchemeHeader {
		wrong("prefix: has no meaning with the scheme %s", c.Scheme)
	}
	if c.TimestampHeader != "" && c.Scheme != SchemeHMAC {
		wrong("timestamp_header: has no meaning with the scheme %s", c.Scheme)
	}
	if c.Header != "" && ok && p.hmac != (c.Scheme == SchemeHMAC) {
		wrong("header: has no meaning with the scheme %s", c.Scheme)
	}
	if c.Tolerance <= 0 {
		wrong("tolerance: is %s; use a duration such as 3m", c.Tolerance)
	}
	if c.MaxBody < 1<<10 || c.MaxBody > 64<<20 {
		wrong("max_body: is %d; use between 1024 and %d", c.MaxBody, 64<<20)
	}
	if c.Deadline < 0 || c.Deadline > time.Minute {
		wrong("deadline: is %s; use a duration up to 1m, or leave it out", c.Deadline)
	}
	return errors.Join(errs...)
}

// settled is c with what its scheme stands for.
func (c *Config) settled() preset {
	p := presets()[c.Scheme]
	p.tolerance = c.Tolerance
	for _, o := range []struct {
		to   *string
		from string
	}{{&p.header, c.Header}, {&p.algorithm, c.Algorithm}, {&p.encoding, c.Encoding}, {&p.prefix, c.Prefix}} {
		if o.from != "" {
			*o.to = o.from
		}
	}
	if c.Deadline > 0 {
		p.deadline = c.Deadline
	}
	p.header = http.CanonicalHeaderKey(p.header)
	return p
}
