package config

import (
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"stepdown/ingest"
)

func TestInputs(t *testing.T) {
	for name, tc := range map[string]struct {
		yaml string
		want string // in the error; "" for none
	}{
		"files":            {"inputs:\n- name: a\n  file: {paths: [x], source: okta}\n", ""},
		"okta":             {"inputs:\n- name: a\n  okta: {url: 'https://example.okta.com', token: {file: /x}}\n", ""},
		"webhook":          {"receiver: {listen: '127.0.0.1:0'}\ninputs:\n- name: a\n  webhook: {path: /okta, source: okta, scheme: okta, secret: {file: /x}}\n", ""},
		"nothing":          {"inputs:\n- name: a\n", "inputs[0]: reads nothing; add one of file, webhook, topic, auth0"},
		"two places":       {"inputs:\n- name: a\n  file: {paths: [x], source: okta}\n  okta: {url: 'https://example.okta.com', token: {file: /x}}\n", "inputs[0]: reads from more than one place"},
		"a typo":           {"inputs:\n- name: a\n  okat: {}\n", `inputs[0].okat: unknown key; did you mean "okta"?`},
		"its own mistakes": {"inputs:\n- name: a\n  okta: {url: 'http://example.okta.com', token: {file: /x}, interval: 1ms}\n", "inputs[0].okta.interval: is 1ms"},
		"no receiver":      {"inputs:\n- name: a\n  webhook: {path: /okta, source: okta, scheme: okta, secret: {file: /x}}\n", "inputs[0].webhook: has nowhere to listen"},
		"a path twice": {"receiver: {listen: '127.0.0.1:0'}\ninputs:\n" +
			"- name: a\n  webhook: {path: /okta, source: okta, scheme: okta, secret: {file: /x}}\n" +
			"- name: b\n  webhook: {path: /okta, source: okta, scheme: okta, secret: {file: /x}}\n", `inputs[1].webhook.path: "/okta" is used twice`},
		"topic":           {"inputs:\n- name: a\n  topic: {brokers: ['hub.example.com:9093'], topic: logs, source: entra, tls: {enabled: true}, sasl: {mechanism: plain, username: $ConnectionString, password: {file: /x}}}\n", ""},
		"its own topic":   {"inputs:\n- name: a\n  topic: {topic: stepdown.events, source: okta}\n", "inputs[0].topic.topic: \"stepdown.events\" is the pipeline's own"},
		"topic's brokers": {"inputs:\n- name: a\n  topic: {topic: x, source: okta, tls: {enabled: true}}\n", "inputs[0].topic.brokers: none, so tls"},
		"half of tls":     {"receiver: {listen: '127.0.0.1:0', key_file: x}\n", "receiver.cert_file: is not set together"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("c.yaml", []byte(tc.yaml))
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("Parse() = %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("Parse() = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestALiveInputIsPrintedAsItIsWritten(t *testing.T) {
	cfg, err := Parse("c.yaml", []byte("inputs:\n- name: a\n  okta: {url: 'https://example.okta.com', token: {file: /x}, since: 72h}\n"))
	if err != nil {
		t.Fatal(err)
	}
	key, settings := cfg.Inputs[0].Settings()
	if key != "okta" || cfg.Inputs[0].Okta.Value.Since != 72*time.Hour || cfg.Inputs[0].Okta.Value.Interval == 0 {
		t.Errorf("section %q with %+v", key, settings)
	}
	printed, err := yaml.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(printed), "file:\n    paths") {
		t.Errorf("the input is printed with files:\n%s", printed)
	}
	again, err := Parse("printed.yaml", printed)
	if err != nil {
		t.Fatalf("what is printed cannot be read: %v\n%s", err, printed)
	}
	if again.Inputs[0].Okta != cfg.Inputs[0].Okta {
		t.Errorf("read again: %+v, want %+v", again.Inputs[0].Okta, cfg.Inputs[0].Okta)
	}
}

// TestEveryProviderIsComplete: what people are shown of it is there.
func TestEveryProviderIsComplete(t *testing.T) {
	seen := map[string]bool{}
	(&Live{}).each(func(key string, _ bool, s ingest.Settings) {
		p := s.Provider()
		if string(p.Source) != key || p.Title == "" || p.Normalizer == nil || seen[key] {
			t.Errorf("provider %q: source %q, title %q", key, p.Source, p.Title)
		}
		seen[key] = true
		said := map[ingest.Fact]bool{}
		for _, c := range p.Shows {
			if said[c.Fact] {
				t.Errorf("%s: says twice how far it tells the %s", key, c.Fact)
			}
			said[c.Fact] = true
			if c.Extent != ingest.Fully && c.Extent != ingest.Partly && c.Extent != ingest.Never {
				t.Errorf("%s: %s: extent %q", key, c.Fact, c.Extent)
			}
		}
		for _, fact := range ingest.Facts() {
			if !said[fact] {
				t.Errorf("%s: does not say how far it tells the %s", key, fact)
			}
		}
		section := "    " + strings.ReplaceAll(strings.TrimSpace(p.Example), "\n", "\n    ")
		cfg, err := Parse(key+"/example.yaml", []byte("inputs:\n- name: example\n  "+key+":\n"+section+"\n"))
		if err != nil {
			t.Errorf("%s: its example is wrong: %v", key, err)
		} else if got, _ := cfg.Inputs[0].Settings(); got != key {
			t.Errorf("%s: its example is of %q", key, got)
		}
		if s.SetDefaults(); s.Validate() == nil {
			t.Errorf("%s: defaults without an address or credential are valid", key)
		}
	})
}

func TestLatenessOfASource(t *testing.T) {
	cfg, err := Parse("c.yaml", []byte("detect: {lateness: 4h, source_lateness: {entra: 6h}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Detect.SourceLateness; got["entra"] != 6*time.Hour || got["google"] == 0 {
		t.Errorf("source_lateness %v: what the file does not name lost its default", got)
	}
}
