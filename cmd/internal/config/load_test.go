package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stepdown/ingest/secret"
)

// secretText stands for what a person wrote where a reference belongs.
const secretText = "synthetic-secret-7c1f"

func TestParseSaysWhatIsWrongAndWhere(t *testing.T) {
	const known = "clickhouse, data_dir, detect, embedded_broker, embedded_partitions, geo, http, identity, ingest, inputs, kafka, log, mappings, receiver, rules, sinks"
	tests := []struct {
		name, file string
		want       []string // the lines of the error, without "f.yaml:"
	}{
		{"key at the top", "data_dri: x\n",
			[]string{`1:1: data_dri: unknown key; did you mean "data_dir"?`}},
		{"key that resembles none", "colour: x\n",
			[]string{`1:1: colour: unknown key; known here: ` + known}},
		{"key of a section", "http:\n  listn: x\n",
			[]string{`2:3: http.listn: unknown key; did you mean "listen"?`}},
		{"key of a section on one line", "log: {levl: info}\n",
			[]string{`1:7: log.levl: unknown key; did you mean "level"?`}},
		{"key in an item of a list", "inputs:\n  - name: a\n    file: {source: okta, pathes: [x]}\n",
			[]string{`3:26: inputs[0].file.pathes: unknown key; did you mean "paths"?`}},
		{"key of an item of a list", "inputs:\n  - nam: a\n",
			[]string{
				`2:5: inputs[0].nam: unknown key; did you mean "name"?`,
			}},
		{"key in a list of a section", "identity: {domains: [{canonical: example.com, equivalnt: [x]}]}\n",
			[]string{`1:47: identity.domains[0].equivalnt: unknown key; did you mean "equivalent"?`}},
		{"key of a sink", "sinks:\n  slack:\n    chanel: x\n",
			[]string{
				`2:3: sinks.slack.token: is not set: name the file or the variable of a bot token, {file: PATH} or ${ENV_NAME}`,
				`3:5: sinks.slack.chanel: unknown key; did you mean "channel"?`,
			}},
		{"types and values, in the order of the file", "kafka: {partitions: many}\nembedded_partitions: 0\nlog: {level: loud}\nhttp: {listn: x, listen: 9320}\n",
			[]string{
				`1:21: kafka.partitions: is "many", want a whole number`,
				`2:1: embedded_partitions: is 0; use 1 or more`,
				`3:7: log.level: is "loud"; use debug, info, warn or error`,
				`4:8: http.listn: unknown key; did you mean "listen"?`,
			}},
		{"item that cannot be decoded", "inputs:\n  - name: A B\n    file: {source: okta, paths: [{a: b}]}\n",
			[]string{
				`2:5: inputs[0].name: is "A B"; use lower-case letters, digits, dots and dashes: the cursor is kept under it`,
				`3:34: inputs[0].file.paths[0]: is a section of keys, want text`,
			}},
		{"sink that does not exist", "sinks:\n  slak: {}\n",
			[]string{`2:3: sinks.slak: unknown key; did you mean "slack"?`}},
		{"key in quotes", "\"log\": {\"levl\": info}\n",
			[]string{`1:9: log.levl: unknown key; did you mean "level"?`}},
		{"key behind an alias", "log: &a\n  level: info\nhttp: *a\n",
			[]string{`2:3: unknown field "level"`}},

		{"text for a number", "kafka: {partitions: many}\n",
			[]string{`1:21: kafka.partitions: is "many", want a whole number`}},
		{"fraction for a whole number", "kafka: {partitions: 1.5}\n",
			[]string{`1:21: kafka.partitions: is 1.5, want a whole number`}},
		{"number that no machine has", "kafka: {partitions: 99999999999999999999}\n",
			[]string{`1:21: kafka.partitions: is "99999999999999999999", want a whole number`}},
		{"text for a list", "kafka:\n  brokers: kafka.example.com:9092\n",
			[]string{`2:12: kafka.brokers: is "kafka.example.com:9092", want a list`}},
		{"list for a section", "kafka: [a]\n",
			[]string{`1:8: kafka: is a list, want keys`}},
		{"text for a section", "sinks:\n  ndjson: x\n",
			[]string{`2:11: sinks.ndjson: is "x", want keys`}},
		{"section for a list", "inputs: {a: b}\n",
			[]string{`1:9: inputs: is a section of keys, want a list`}},
		{"list for text", "data_dir: [a]\n",
			[]string{`1:11: data_dir: is a list, want text`}},
		{"text for true or false", "clickhouse: {disabled: maybe}\n",
			[]string{`1:24: clickhouse.disabled: is "maybe", want true or false`}},
		{"nothing for a value", "http:\n  listen:\n",
			[]string{`2:3: http.listen: is empty; leave the key out for the default`}},

		{"duration in words", "ingest: {max_skew: 5 minutes}\n",
			[]string{`1:20: ingest.max_skew: is "5 minutes", want a duration such as 90s, 15m or 12h`}},
		{"duration without a unit", "ingest: {max_skew: 5}\n",
			[]string{`1:20: ingest.max_skew: is 5, want a duration such as 90s, 15m or 12h`}},
		{"duration in days", "kafka:\n  retention:\n    events: 14d\n",
			[]string{`3:13: kafka.retention.events: is "14d", want a duration such as 90s, 15m or 12h`}},
		{"duration in a map", "detect: {settle: {okta: soon}}\n",
			[]string{`1:25: detect.settle.okta: is "soon", want a duration such as 90s, 15m or 12h`}},

		{"secret in the file", "kafka:\n  sasl:\n    password: " + secretText + "\n",
			[]string{`3:15: kafka.sasl.password: a secret is not written into the configuration: ` +
				`put it in a file and write {file: PATH}, or in the environment and write ${ENV_NAME}`}},
		{"secret of a sink in the file", "sinks:\n  slack:\n    token: " + secretText + "\n    channel: C0123456789\n",
			[]string{`3:12: sinks.slack.token: a secret is not written into the configuration: ` +
				`put it in a file and write {file: PATH}, or in the environment and write ${ENV_NAME}`}},
		{"secret in a list in the file", "clickhouse: {password: [" + secretText + "]}\n",
			[]string{`1:24: clickhouse.password: a secret is not written into the configuration: ` +
				`put it in a file and write {file: PATH}, or in the environment and write ${ENV_NAME}`}},

		{"sink without a word", "sinks:\n  terminal:\n",
			[]string{`2:3: sinks.terminal: is empty; write {} for the defaults, or leave it out`}},
		{"sink that is null", "sinks: {slack: null}\n",
			[]string{`1:9: sinks.slack: is empty; write {} for the defaults, or leave it out`}},
		{"input without a word", "inputs:\n  -\n",
			[]string{`2:3: inputs[0]: is empty; write {} for the defaults, or leave it out`}},
		{"everything null", "null\n",
			[]string{`1:1: is null, want keys; an empty file is the defaults`}},
		{"no keys at all", "just text\n",
			[]string{`1:1: is "just text", want keys`}},

		{"two documents", "data_dir: a\n---\ndata_dir: b\n",
			[]string{`3:9: has a second YAML document; write one`}},
		{"key twice", "data_dir: a\ndata_dir: b\n",
			[]string{`2:1: mapping key "data_dir" already defined at [1:1]`}},
		{"variable without quotes within braces", "data_dir: x\nclickhouse: {password: ${PASSWORD}, username: a}\n",
			[]string{`2:25: ',' or '}' must be specified; within {…} and […], "${ENV_NAME}" needs its quotes`}},
		{"list that does not end", "data_dir: [\n",
			[]string{`1:11: sequence end token ']' not found`}},
		{"text that does not end", "data_dir: \"x\n",
			[]string{`1:11: could not find end character of double-quoted text`}},
		{"tab", "\tx: y\n",
			[]string{`1:2: tab character cannot use as a map key directly`}},

		{"values that packages refuse, all of them",
			"log: {level: loud, format: xml}\nhttp: {listen: 9320}\nembedded_partitions: 0\nkafka:\n  partitions: 0\nsinks:\n  ndjson: {}\n",
			[]string{
				`1:7: log.level: is "loud"; use debug, info, warn or error`,
				`1:20: log.format: is "xml"; use logfmt or json`,
				`2:8: http.listen: is "9320"; use host:port such as 127.0.0.1:9320, or "" to serve nothing`,
				`3:1: embedded_partitions: is 0; use 1 or more`,
				`5:3: kafka.partitions: 0; want at least 1`,
				`7:3: sinks.ndjson.path: is empty: name a file, or - for standard output`,
			}},
		{"inputs that cannot be", "inputs:\n  - name: A B\n    file: {source: okta, paths: [x]}\n  - name: ok\n    file: {source: okta}\n  - name: ok\n    file: {source: okta, paths: [x]}\n",
			[]string{
				`2:5: inputs[0].name: is "A B"; use lower-case letters, digits, dots and dashes: the cursor is kept under it`,
				`5:5: inputs[1].file.paths: none; want files, patterns such as /var/log/okta/*.ndjson, or -`,
				`6:5: inputs[2].name: "ok" is used twice; each input needs its own`,
			}},
		{"value of a sink", "sinks:\n  ndjson:\n    path: x\n    min_severity: huge\n",
			[]string{`4:5: sinks.ndjson.min_severity: is "huge": use one of [informational low medium high critical]`}},
		{"mistakes in several places, all at once", "data_dri: x\nkafka: {partitions: many, retention: {events: 14d}}\nsinks: {slack: {token: " + secretText + ", chanel: C1}}\n",
			[]string{
				`1:1: data_dri: unknown key; did you mean "data_dir"?`,
				`2:21: kafka.partitions: is "many", want a whole number`,
				`2:47: kafka.retention.events: is "14d", want a duration such as 90s, 15m or 12h`,
				`3:24: sinks.slack.token: a secret is not written into the configuration: ` +
					`put it in a file and write {file: PATH}, or in the environment and write ${ENV_NAME}`,
				`3:47: sinks.slack.chanel: unknown key; did you mean "channel"?`,
			}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(test.file))
			if err == nil {
				t.Fatal("got no error")
			}
			if strings.Contains(err.Error(), secretText) {
				t.Errorf("the error repeats the secret: %v", err)
			}
			var want []string
			for _, line := range test.want {
				want = append(want, "f.yaml:"+line)
			}
			if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if e, ok := errors.AsType[*Error](err); !ok || e.Line == 0 {
				t.Errorf("got %#v, want an *Error with a place", err)
			}
		})
	}
}

func TestExamineLooksBesideTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(path, []byte("log: {level: loud}\nrules: {dir: nowhere}\nkafka: {partitions: many}\ndata_dir: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	look := func(c *Config) (wrong, doubtful []error) {
		if c.DataDir != "x" {
			t.Errorf("looks at a configuration with data_dir %q", c.DataDir)
		}
		return []error{fmt.Errorf("rules.dir: %s: is not there", c.Rules.Dir), errors.New("kafka.partitions: follows from what was left out")},
			[]error{errors.New("data_dir: is odd")}
	}
	_, _, err := Examine(path, look)
	want := path + ":1:7: log.level: is \"loud\"; use debug, info, warn or error\n" +
		path + ":2:9: rules.dir: nowhere: is not there\n" +
		path + ":3:21: kafka.partitions: is \"many\", want a whole number"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}

	if err := os.WriteFile(path, []byte("data_dir: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, doubtful, err := Examine(path, func(*Config) (wrong, doubtful []error) { return nil, []error{errors.New("data_dir: is odd")} })
	if err != nil || len(doubtful) != 1 || doubtful[0].Error() != path+":1:1: data_dir: is odd" {
		t.Errorf("got %v and %v, want one doubt with its place", doubtful, err)
	}
	_, _, err = Examine("", func(*Config) (wrong, doubtful []error) { return []error{errors.New("data_dir: is odd")}, nil })
	if err == nil || err.Error() != "data_dir: is odd" {
		t.Errorf("without a file: got %v", err)
	}
}

func TestReferences(t *testing.T) {
	cfg, err := Parse("f.yaml", []byte(everything))
	if err != nil {
		t.Fatal(err)
	}
	want := []Reference{
		{Path: "kafka.tls.ca_file", File: "/etc/stepdown/ca.pem"},
		{Path: "kafka.sasl.password", Secret: secret.FromFile("/run/secrets/kafka")},
		{Path: "clickhouse.password", Secret: secret.FromEnv("CLICKHOUSE_PASSWORD")},
		{Path: "sinks.slack.token", Secret: secret.FromEnv("SLACK_TOKEN")},
	}
	if diff := cmp.Diff(want, cfg.References(), cmp.Comparer(func(a, b secret.Secret) bool { return a == b })); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
}

func TestDifferences(t *testing.T) {
	const file = "kafka: {brokers: [\"a:1\"]}\ninputs:\n  - {name: okta, file: {source: okta, paths: [a, b]}}\nsinks: {terminal: {min_severity: high}}\n"
	for _, test := range []struct {
		name, old, new string
		want           []string
	}{
		{"nothing", "", "", nil},
		{"a value", "http: {listen: \"localhost:1\"}", "", []string{"http.listen"}},
		{"values far apart", "data_dir: x", "log: {level: debug}", []string{"data_dir", "log.level", "embedded_broker.data_dir", "clickhouse.engine.data_dir"}},
		{"an item of a list", file, strings.Replace(file, "a, b", "a, c", 1), []string{"inputs[0].file.paths[1]"}},
		{"the length of a list", file, strings.Replace(file, "a, b", "a", 1), []string{"inputs[0].file.paths"}},
		{"a sink more", file, strings.Replace(file, "sinks: {", "sinks: {ndjson: {path: x}, ", 1), []string{"sinks.ndjson"}},
		{"a value of a sink", file, strings.Replace(file, "high", "low", 1), []string{"sinks.terminal.min_severity"}},
		{"a secret", "clickhouse: {password: \"${A}\"}", "clickhouse: {password: \"${B}\"}", []string{"clickhouse.password"}},
		{"an entry of a map", "detect: {settle: {okta: 1m}}", "", []string{"detect.settle"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			old, err := Parse("old.yaml", []byte(test.old))
			if err != nil {
				t.Fatal(err)
			}
			next, err := Parse("new.yaml", []byte(test.new))
			if err != nil {
				t.Fatal(err)
			}
			got := old.Differences(next)
			slices.Sort(got)
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseTakesDefaultsWhereTheFileIsSilent(t *testing.T) {
	want := Default()
	want.place()
	tests := []struct{ name, file string }{
		{"nothing", ""},
		{"only a comment", "# nothing yet\n"},
		{"only a document mark", "---\n"},
		{"sections whose items are commented out", "inputs:\n#  - name: okta\nkafka:\nsinks:\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Parse("f.yaml", []byte(test.file))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestParseKeepsTheDefaultsBesideWhatIsSet(t *testing.T) {
	cfg, err := Parse("f.yaml", []byte(`
data_dir: /var/lib/stepdown
embedded_broker: {data_dir: /srv/kafka}
ingest: {max_skew: 90s}
detect: {settle: {okta: 1m}}
clickhouse: {retention: {alerts: 240h}, engine: {max_memory_bytes: 2147483648}}
sinks: {terminal: {}, ndjson: {path: "-"}}
inputs:
  - {name: okta, file: {source: okta, paths: [a.ndjson]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	def := Default()
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"what is set", cfg.Ingest.MaxSkew, 90 * time.Second},
		{"beside it", cfg.Ingest.RetryMax, def.Ingest.RetryMax},
		{"in a map", cfg.Detect.Settle["okta"], time.Minute},
		{"beside it in a map", cfg.Detect.Settle["entra"], def.Detect.Settle["entra"]},
		{"beside it, two levels down", cfg.ClickHouse.Retention.Events, def.ClickHouse.Retention.Events},
		{"beside an inlined section", cfg.ClickHouse.Engine.StartTimeout, def.ClickHouse.Engine.StartTimeout},
		{"the broker is where the file says", cfg.Broker.DataDir, "/srv/kafka"},
		{"the engine follows data_dir", cfg.ClickHouse.Engine.DataDir, "/var/lib/stepdown/clickhouse"},
		{"{} switches a sink on", cfg.Sinks.Terminal.Set, true},
		{"with its defaults", string(cfg.Sinks.Terminal.Value.MinSeverity), "informational"},
		{"a section with keys too", string(cfg.Sinks.NDJSON.Value.MinSeverity), "informational"},
		{"a sink that is left out is off", cfg.Sinks.Slack.Set, false},
		{"an input has its defaults", cfg.Inputs[0].File.BatchSize > 0, true},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stepdown.yaml")
	if _, err := Load(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v for a file that is not there, want its path and os.ErrNotExist", err)
	}
	if err := os.WriteFile(path, []byte("x: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.HasPrefix(err.Error(), path+":1:1: x: ") {
		t.Errorf("got %v, want the path, line and column first", err)
	}
}

// everything sets one key or more of every section.
const everything = `
data_dir: /var/lib/stepdown
log: {level: debug, format: json}
http: {listen: ""}
kafka:
  brokers: ["kafka-1.example.com:9093", "kafka-2.example.com:9093"]
  partitions: 12
  retention: {events: 240h}
  tls: {enabled: true, ca_file: /etc/stepdown/ca.pem}
  sasl: {mechanism: scram-sha-512, username: stepdown, password: {file: /run/secrets/kafka}}
embedded_broker: {port: 19092}
embedded_partitions: 4
identity:
  domains: [{canonical: example.com, equivalent: [corp.example.com]}]
  aliases: [{identity: a@example.com, logins: [a2@example.org]}]
  directory: /etc/stepdown/directory.yaml
ingest: {max_skew: 1m30s}
inputs:
  - name: okta
    file: {source: okta, tenant: example.okta.com, paths: ["/var/log/okta/*.ndjson"], follow: true, poll_interval: 2s}
  - name: entra
    file: {source: entra, paths: [a.json, b.json.gz]}
rules: {dir: /etc/stepdown/rules}
detect: {lateness: 2h, settle: {okta: 1m}}
clickhouse:
  addresses: ["clickhouse.example.com:9440"]
  username: stepdown
  password: ${CLICKHOUSE_PASSWORD}
  tls: {enabled: true}
sinks:
  terminal: {min_severity: high, color: never}
  ndjson: {path: "-"}
  slack: {token: "${SLACK_TOKEN}", channel: C0123456789}
`

func TestShownConfigurationParsesToTheSame(t *testing.T) {
	tests := []struct{ name, file string }{
		{"defaults", ""},
		{"a key or more of every section", everything},
		{"only one sink", "sinks: {ndjson: {path: alerts.ndjson}}\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg, err := Parse("f.yaml", []byte(test.file))
			if err != nil {
				t.Fatal(err)
			}
			shown, err := yaml.Marshal(cfg)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Parse("shown.yaml", shown)
			if err != nil {
				t.Fatalf("what is shown cannot be read:\n%v\n%s", err, shown)
			}
			// An empty list and none are the same.
			if diff := cmp.Diff(cfg, again, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b secret.Secret) bool { return a == b })); diff != "" {
				t.Errorf("read again (-want +got):\n%s\n%s", diff, shown)
			}
		})
	}
}

// TestShownConfigurationHoldsNoSecret sets every reference to a secret that the
// configuration has, wherever it is, and looks for the values.
func TestShownConfigurationHoldsNoSecret(t *testing.T) {
	t.Setenv("STEPDOWN_TEST_SECRET", secretText)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secretText), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []secret.Secret{secret.FromEnv("STEPDOWN_TEST_SECRET"), secret.FromFile(file)} {
		cfg := Default()
		cfg.Sinks.Slack.SetDefault()
		n := setSecrets(reflect.ValueOf(cfg).Elem(), s)
		if n < 3 {
			t.Fatalf("found %d secrets, want those of Kafka, ClickHouse and Slack", n)
		}
		shown, err := yaml.Marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(shown), secretText) {
			t.Errorf("the value of a secret is shown:\n%s", shown)
		}
		origin := "${STEPDOWN_TEST_SECRET}"
		if s == secret.FromFile(file) {
			origin = "file: " + file
		}
		if got := strings.Count(string(shown), origin); got != n {
			t.Errorf("%d of %d secrets show where they are kept:\n%s", got, n, shown)
		}
	}
}

func setSecrets(v reflect.Value, s secret.Secret) int {
	if v.Type() == reflect.TypeFor[secret.Secret]() {
		v.Set(reflect.ValueOf(s))
		return 1
	}
	n := 0
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				n += setSecrets(v.Field(i), s)
			}
		}
	}
	return n
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte("log: &a {level: info}\nhttp: *a\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("<<: {log: {level: warn}}\n"))
	f.Add([]byte("kafka: !!map {partitions: !!int 3}\n"))
	f.Add([]byte("sinks:\n  terminal:\n  ndjson: |\n    x\n"))
	f.Add([]byte("? [a]\n: b\n---\n---\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("f.yaml", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f.yaml") {
				t.Errorf("the error does not begin with the file: %v", err)
			}
			return
		}
		shown, err := yaml.Marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("shown.yaml", shown)
		if err != nil {
			t.Fatalf("what is shown cannot be read: %v\n%s", err, shown)
		}
		if diff := cmp.Diff(mustMarshal(t, again), string(shown)); diff != "" {
			t.Errorf("what is shown reads as something else (-again +shown):\n%s", diff)
		}
	})
}

func mustMarshal(t *testing.T, cfg *Config) string {
	t.Helper()
	data, err := yaml.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
