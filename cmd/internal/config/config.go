package config

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"stepdown/detect"
	"stepdown/detect/alert"
	"stepdown/ingest"
	"stepdown/ingest/geo"
	"stepdown/ingest/identity"
	"stepdown/ingest/stream"
	"stepdown/ingest/stream/embedded"
	"stepdown/sinks/clickhouse"
	"stepdown/sinks/clickhouse/engine"
	"stepdown/sinks/ndjson"
	"stepdown/sinks/slack"
	"stepdown/sinks/terminal"
)

// Config is the whole configuration.
type Config struct {
	// DataDir keeps cursors, the embedded broker and the embedded engine.
	DataDir string `yaml:"data_dir"`
	Log     Log    `yaml:"log"`
	HTTP    HTTP   `yaml:"http"`
	// Kafka without brokers means the embedded broker.
	Kafka  stream.Config   `yaml:"kafka"`
	Broker embedded.Config `yaml:"embedded_broker"`
	// EmbeddedPartitions bounds kafka.partitions on the embedded broker, where
	// one process owns them all.
	EmbeddedPartitions int             `yaml:"embedded_partitions"`
	Identity           identity.Config `yaml:"identity"`
	// Geo places addresses for sources that do not.
	Geo    geo.Config    `yaml:"geo"`
	Ingest ingest.Config `yaml:"ingest"`
	Inputs []Input       `yaml:"inputs"`
	// Mappings are files that say how to read the logs of apps (ingest/jsonmap), each a
	// source as the providers are. They are read when the process starts.
	Mappings []string `yaml:"mappings,omitempty"`
	// Receiver is where inputs listen to which is pushed.
	Receiver   Receiver      `yaml:"receiver"`
	Rules      Rules         `yaml:"rules"`
	Detect     detect.Config `yaml:"detect"`
	ClickHouse ClickHouse    `yaml:"clickhouse"`
	Sinks      Sinks         `yaml:"sinks"`
}

// Log says how the process logs, to standard error.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level"`
	// Format is logfmt or json.
	Format string `yaml:"format"`
}

// HTTP is the admin server.
type HTTP struct {
	// Listen is the address of /metrics and /-/…; empty serves none.
	Listen string `yaml:"listen"`
}

// Receiver takes what providers push.
type Receiver struct {
	// Listen is its address; empty serves none.
	Listen string `yaml:"listen"`
	// CertFile and KeyFile make it serve TLS; without them, a proxy in front of it
	// must, since the senders' secrets travel in headers.
	CertFile string `yaml:"cert_file,omitempty"`
	KeyFile  string `yaml:"key_file,omitempty"`
}

// Rules says where rules come from.
type Rules struct {
	// Dir holds rule files; empty means the rules in the binary.
	Dir string `yaml:"dir"`
}

// ClickHouse is the store: a server by address, else the embedded engine.
type ClickHouse struct {
	clickhouse.Config `yaml:",inline"`
	// Disabled runs without a store.
	Disabled bool `yaml:"disabled"`
	// Engine is the embedded engine, used when no server is configured.
	Engine engine.Config `yaml:"engine"`
}

// Sinks are the destinations of alerts beside ClickHouse.
type Sinks struct {
	Terminal Optional[Terminal] `yaml:"terminal,omitzero"`
	NDJSON   Optional[NDJSON]   `yaml:"ndjson,omitzero"`
	Slack    Optional[Slack]    `yaml:"slack,omitzero"`
}

// Terminal is the terminal sink with its defaults.
type Terminal struct {
	terminal.Config `yaml:",inline"`
}

// NDJSON is the NDJSON sink with its defaults.
type NDJSON struct {
	ndjson.Config `yaml:",inline"`
}

// Slack is the Slack sink with its defaults.
type Slack struct {
	slack.Config `yaml:",inline"`
}

func (t *Terminal) setDefaults() { t.Config = terminal.DefaultConfig() }
func (n *NDJSON) setDefaults()   { n.Config = ndjson.DefaultConfig() }
func (s *Slack) setDefaults()    { s.Config = slack.DefaultConfig() }

// Minimum returns the least severity that a sink takes; "" takes all.
func (s *Sinks) Minimum(name string) alert.Severity {
	switch name {
	case "terminal":
		return s.Terminal.Value.MinSeverity
	case "ndjson":
		return s.NDJSON.Value.MinSeverity
	case "slack":
		return s.Slack.Value.MinSeverity
	}
	return ""
}

// Default is the configuration of an empty file: everything embedded, data in
// ./data, alerts on the terminal.
func Default() *Config {
	c := &Config{
		DataDir:            "data",
		Log:                Log{Level: "info", Format: "logfmt"},
		HTTP:               HTTP{Listen: "127.0.0.1:9320"},
		Kafka:              stream.DefaultConfig(),
		Broker:             embedded.DefaultConfig(),
		EmbeddedPartitions: 8,
		Identity:           identity.DefaultConfig(),
		Ingest:             ingest.DefaultConfig(),
		Detect:             detect.DefaultConfig(),
		ClickHouse:         ClickHouse{Config: clickhouse.DefaultConfig(), Engine: engine.DefaultConfig()},
	}
	c.Broker.DataDir, c.ClickHouse.Engine.DataDir = "", ""
	return c
}

// SetDataDir puts everything that is stored under dir, except what the file
// places elsewhere.
func (c *Config) SetDataDir(dir string) {
	c.DataDir = dir
	c.place()
}

// place fills in the directories that follow from DataDir.
func (c *Config) place() {
	if c.Broker.DataDir == "" {
		c.Broker.DataDir = filepath.Join(c.DataDir, "kafka")
	}
	if c.ClickHouse.Engine.DataDir == "" {
		c.ClickHouse.Engine.DataDir = filepath.Join(c.DataDir, "clickhouse")
	}
}

var inputName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// Validate reports everything that is wrong, each error with its YAML path, and
// fills in the directories that follow from data_dir.
func (c *Config) Validate() error {
	c.place()
	var errs []error
	wrong := func(path, format string, args ...any) {
		errs = append(errs, fmt.Errorf(path+": "+format, args...))
	}
	if c.DataDir == "" {
		wrong("data_dir", "is empty; name a directory that this user may write")
	}
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		wrong("log.level", "is %q; use debug, info, warn or error", c.Log.Level)
	}
	if c.Log.Format != "logfmt" && c.Log.Format != "json" {
		wrong("log.format", "is %q; use logfmt or json", c.Log.Format)
	}
	if _, _, err := net.SplitHostPort(c.HTTP.Listen); c.HTTP.Listen != "" && err != nil {
		wrong("http.listen", "is %q; use host:port such as 127.0.0.1:9320, or \"\" to serve nothing", c.HTTP.Listen)
	}
	if c.EmbeddedPartitions < 1 {
		wrong("embedded_partitions", "is %d; use 1 or more", c.EmbeddedPartitions)
	}
	if len(c.Kafka.Brokers) == 0 {
		errs = append(errs, under("embedded_broker", c.Broker.Validate())...)
		k := c.Kafka
		k.Brokers = []string{"embedded:1"} // the rest must hold for the embedded broker too
		errs = append(errs, under("kafka", k.Validate())...)
	} else {
		errs = append(errs, under("kafka", c.Kafka.Validate())...)
	}
	errs = append(errs, under("identity", c.Identity.Validate())...)
	errs = append(errs, under("ingest", c.Ingest.Validate())...)
	errs = append(errs, under("detect", c.Detect.Validate())...)
	if !c.ClickHouse.Disabled {
		if len(c.ClickHouse.Addresses) > 0 {
			errs = append(errs, under("clickhouse", c.ClickHouse.Config.Validate())...)
		} else {
			errs = append(errs, under("clickhouse.engine", c.ClickHouse.Engine.Validate())...)
		}
	}
	if _, _, err := net.SplitHostPort(c.Receiver.Listen); c.Receiver.Listen != "" && err != nil {
		wrong("receiver.listen", "is %q; use host:port such as 127.0.0.1:9321", c.Receiver.Listen)
	}
	if (c.Receiver.CertFile == "") != (c.Receiver.KeyFile == "") {
		wrong("receiver.cert_file", "is not set together with key_file; TLS needs both")
	}
	for i, file := range c.Mappings {
		if file == "" {
			wrong(fmt.Sprintf("mappings[%d]", i), "is empty; name a mapping file")
		}
	}
	names, paths := map[string]bool{}, map[string]bool{}
	for i := range c.Inputs {
		in, path := &c.Inputs[i], fmt.Sprintf("inputs[%d]", i)
		switch {
		case !inputName.MatchString(in.Name):
			wrong(path+".name", "is %q; use lower-case letters, digits, dots and dashes: the cursor is kept under it", in.Name)
		case names[in.Name]:
			wrong(path+".name", "%q is used twice; each input needs its own", in.Name)
		}
		names[in.Name] = true
		if t := in.Topic; t.Set && len(t.Value.Brokers) == 0 && slices.Contains(c.Kafka.Topics.All(), t.Value.Topic) {
			wrong(path+".topic.topic", "%q is the pipeline's own, with events in it; name one with a provider's records", t.Value.Topic)
		}
		if key, pushed := in.pushPath(); pushed != "" {
			switch {
			case c.Receiver.Listen == "":
				section, _, _ := strings.Cut(key, ".")
				wrong(path+"."+section, "has nowhere to listen; set receiver.listen, such as 127.0.0.1:9321")
			case paths[pushed]:
				wrong(path+"."+key, "%q is used twice; each input needs its own", pushed)
			}
			paths[pushed] = true
		}
		errs = append(errs, in.validate(path, wrong)...)
	}
	if s := c.Sinks.Terminal; s.Set {
		errs = append(errs, under("sinks.terminal", s.Value.Validate())...)
	}
	if s := c.Sinks.NDJSON; s.Set {
		errs = append(errs, under("sinks.ndjson", s.Value.Validate())...)
	}
	if s := c.Sinks.Slack; s.Set {
		errs = append(errs, under("sinks.slack", s.Value.Validate())...)
	}
	return errors.Join(errs...)
}

// beginsWithKey finds the key that a package's message begins with: "channel is
// not set", "brokers[0]: …".
var beginsWithKey = regexp.MustCompile(`^([a-z_]+(?:\[\d+\])?(?:\.[a-z_]+(?:\[\d+\])?)*)(:| is | has )`)

// under puts the path of a section before what its package reports.
func under(section string, err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, under(section, e)...)
		}
		return out
	}
	message := err.Error()
	if m := beginsWithKey.FindStringSubmatch(message); m != nil {
		rest := strings.TrimPrefix(message[len(m[1]):], ":")
		return []error{fmt.Errorf("%s.%s: %s", section, m[1], strings.TrimSpace(rest))}
	}
	return []error{fmt.Errorf("%s: %s", section, message)}
}
