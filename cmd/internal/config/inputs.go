package config

import (
	"reflect"
	"strings"

	"stepdown/ingest"
	"stepdown/ingest/auth0"
	"stepdown/ingest/aws"
	"stepdown/ingest/cloudflare"
	"stepdown/ingest/duo"
	"stepdown/ingest/entra"
	"stepdown/ingest/file"
	"stepdown/ingest/github"
	"stepdown/ingest/google"
	"stepdown/ingest/jumpcloud"
	"stepdown/ingest/keycloak"
	"stepdown/ingest/okta"
	"stepdown/ingest/onelogin"
	"stepdown/ingest/pingone"
	"stepdown/ingest/ssf"
	"stepdown/ingest/webhook"
	"stepdown/ingest/workos"
)

// Live are the providers whose APIs are read. A provider is added to the product
// by a line here: its section of an input, its normalizer and what it shows follow
// from its Config.
type Live struct {
	Auth0      Optional[auth0.Config]      `yaml:"auth0,omitzero"`
	AWS        Optional[aws.Config]        `yaml:"aws,omitzero"`
	Cloudflare Optional[cloudflare.Config] `yaml:"cloudflare,omitzero"`
	Duo        Optional[duo.Config]        `yaml:"duo,omitzero"`
	Entra      Optional[entra.Config]      `yaml:"entra,omitzero"`
	GitHub     Optional[github.Config]     `yaml:"github,omitzero"`
	Google     Optional[google.Config]     `yaml:"google,omitzero"`
	JumpCloud  Optional[jumpcloud.Config]  `yaml:"jumpcloud,omitzero"`
	Keycloak   Optional[keycloak.Config]   `yaml:"keycloak,omitzero"`
	Okta       Optional[okta.Config]       `yaml:"okta,omitzero"`
	OneLogin   Optional[onelogin.Config]   `yaml:"onelogin,omitzero"`
	PingOne    Optional[pingone.Config]    `yaml:"pingone,omitzero"`
	SSF        Optional[ssf.Config]        `yaml:"ssf,omitzero"`
	WorkOS     Optional[workos.Config]     `yaml:"workos,omitzero"`
}

// Input is one log to read: files, or one of the sections beside it.
type Input struct {
	// Name is unique; the cursor is kept under it.
	Name string `yaml:"name"`
	// File is the zero value where another section is set.
	File    file.Config              `yaml:"file,omitzero"`
	Webhook Optional[webhook.Config] `yaml:"webhook,omitzero"`
	Topic   Optional[Topic]          `yaml:"topic,omitzero"`
	Live    `yaml:",inline"`
}

// inputKeys is Input without its methods.
type inputKeys Input

// UnmarshalYAML decodes an input over its defaults.
func (i *Input) UnmarshalYAML(unmarshal func(any) error) error {
	var keys map[string]any
	if err := unmarshal(&keys); err != nil {
		return err
	}
	if _, ok := keys["file"]; ok {
		i.File = file.DefaultConfig()
	}
	return unmarshal((*inputKeys)(i))
}

func (*Input) shape() reflect.Type { return reflect.TypeFor[inputKeys]() }

// FromFiles reports whether the input is of files.
func (i *Input) FromFiles() bool { return !reflect.ValueOf(i.File).IsZero() }

// section is a part of an input that says where it reads.
type section struct {
	key      string
	validate func() error
}

// sections are those that are set, but for files.
func (i *Input) sections() []section {
	var out []section
	if i.Webhook.Set {
		out = append(out, section{"webhook", i.Webhook.Value.Validate})
	}
	if i.Topic.Set {
		out = append(out, section{"topic", i.Topic.Value.Validate})
	}
	if key, settings := i.Settings(); settings != nil {
		out = append(out, section{key, settings.Validate})
	}
	return out
}

// Settings are those of the provider whose API is read, and the key of their
// section; nil where the input is none. Of several, which are a mistake that
// Validate tells, it is the first.
func (l *Live) Settings() (key string, s ingest.Settings) {
	l.each(func(name string, on bool, settings ingest.Settings) {
		if on && s == nil {
			key, s = name, settings
		}
	})
	return key, s
}

// count is how many are set.
func (l *Live) count() (n int) {
	l.each(func(_ string, on bool, _ ingest.Settings) {
		if on {
			n++
		}
	})
	return n
}

// each visits the providers in the order of Live.
func (l *Live) each(visit func(key string, on bool, s ingest.Settings)) {
	v := reflect.ValueOf(l).Elem()
	for i := range v.NumField() {
		field := v.Field(i).Addr().Interface().(interface {
			optional
			settings() ingest.Settings
		})
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		visit(key, field.isSet(), field.settings())
	}
}

// Providers are those of this build, in the order of Live.
func Providers() []ingest.Provider {
	var out []ingest.Provider
	(&Live{}).each(func(_ string, _ bool, s ingest.Settings) { out = append(out, s.Provider()) })
	return out
}

// pushPath is where on the receiver records are pushed, and the key that says so;
// empty for an input that is read.
func (i *Input) pushPath() (key, path string) {
	if i.Webhook.Set {
		return "webhook.path", i.Webhook.Value.Path
	}
	key, settings := i.Settings()
	if pushed, ok := settings.(ingest.Pushed); ok {
		return key + ".push.path", pushed.PushPath()
	}
	return "", ""
}

// validate reports everything that is wrong with the section of an input; path is
// the input's.
func (i *Input) validate(path string, wrong func(path, format string, args ...any)) []error {
	sections := i.sections()
	if len(sections) == 0 && !i.FromFiles() {
		keys := []string{"file", "webhook", "topic"}
		i.each(func(key string, _ bool, _ ingest.Settings) { keys = append(keys, key) })
		wrong(path, "reads nothing; add one of %s", strings.Join(keys, ", "))
		return nil
	}
	n := i.count() + len(sections) - min(1, i.count())
	if i.FromFiles() {
		n++
		sections = append(sections, section{"file", i.File.Validate})
	}
	if n > 1 {
		wrong(path, "reads from more than one place; write an input for each, so that each has its own position")
	}
	var errs []error
	for _, s := range sections {
		errs = append(errs, under(path+"."+s.key, s.validate())...)
	}
	return errs
}
