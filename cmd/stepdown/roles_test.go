package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"stepdown/ingest/simulate"
	"stepdown/ingest/stream"
	"stepdown/ingest/stream/streamtest"
)

// role is a process of one role in a directory of its own.
type role struct {
	*installation
	cmd *exec.Cmd
}

// startRole starts the program in a role with a configuration.
func startRole(t *testing.T, verb, text string) *role {
	t.Helper()
	dir := t.TempDir()
	r := &role{&installation{t: t, dir: dir, config: filepath.Join(dir, "stepdown.yaml")}, program(t, verb)}
	text = strings.ReplaceAll(text, "$DIR", dir) + "data_dir: " + dir + "/data\nhttp: {listen: \"\"}\n"
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(r.file("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said:\n%s", verb, r.log())
		}
	})
	r.cmd.Args = append(r.cmd.Args, "-c", r.config)
	r.cmd.Stderr = log
	start(t, r.cmd)
	return r
}

var joined = regexp.MustCompile(`msg="joined group" .*partitions="?\[([^\]]*)\]`)

// owned is how many partitions the process has been given last.
func (r *role) owned() int {
	all := joined.FindAllStringSubmatch(r.log(), -1)
	if len(all) == 0 {
		return 0
	}
	return len(strings.Fields(all[len(all)-1][1]))
}

// TestRoles runs every role as a process of its own on one broker, kills one of
// the two detectors while it works, and wants the alerts that replay makes of the
// same files.
func TestRoles(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a consumer group to notice a death")
	}
	logs := t.TempDir()
	if err := company(t).WriteFiles(logs); err != nil {
		t.Fatal(err)
	}
	log := func(name string) string { return filepath.Join(logs, name) }
	okta, signIns, audit := log(simulate.FileOkta), log(simulate.FileEntraSignIns), log(simulate.FileEntraAudit)

	cfg := streamtest.Config(t)
	cfg.ClientID = strings.TrimSuffix(cfg.Topics.Events, ".events")
	cfg.SessionTimeout = 6 * time.Second
	section, err := yaml.Marshal(map[string]stream.Config{"kafka": cfg})
	if err != nil {
		t.Fatal(err)
	}
	kafka := string(section)
	identity := fmt.Sprintf("identity:\n  domains: [{canonical: example.com, equivalent: [corp.example.com]}]\n  directory: %s\n", log(simulate.FileDirectory))

	beside := filepath.Join(t.TempDir(), "stepdown.yaml")
	if err := os.WriteFile(beside, []byte(kafka+identity), 0o600); err != nil {
		t.Fatal(err)
	}
	replayed, err := program(t, "replay", "-c", beside, "okta="+okta, "entra="+signIns, "entra="+audit).Output()
	if err != nil {
		t.Fatalf("replay: %v", err)
	}
	want := standing(alertsOf(t, replayed))
	if len(want) < 12 {
		t.Fatalf("replay has %d alerts", len(want))
	}
	if out, err := program(t, "topics", "apply", "-c", beside).CombinedOutput(); err != nil {
		t.Fatalf("topics apply: %v\n%s", err, out)
	}

	victim, survivor := startRole(t, "detect", kafka), startRole(t, "detect", kafka)
	survivor.until("share of the partitions for both detectors", func() bool {
		return victim.owned() > 0 && survivor.owned() > 0 && victim.owned()+survivor.owned() == cfg.Partitions
	})
	sink := startRole(t, "sink", kafka+"clickhouse: {disabled: true}\nsinks: {ndjson: {path: $DIR/alerts.ndjson}}\n")
	collect := startRole(t, "collect", kafka+identity+fmt.Sprintf(`
inputs:
  - {name: okta, file: {source: okta, paths: [%q], batch_size: 50}}
  - {name: entra, file: {source: entra, paths: [%q, %q], batch_size: 50}}
`, okta, signIns, audit))
	ended := func() bool { return strings.Count(collect.log(), "input read to its end") == 2 }

	client := streamtest.Client(t, cfg)
	group := cfg.ClientID + "-detect"
	sink.until("first alert", func() bool { return len(sink.written()) > 0 })
	if err := victim.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.cmd.Wait() // it says that it was killed
	if lag, err := client.Lag(t.Context(), group, cfg.Topics.Events); err != nil || ended() && lag == 0 {
		t.Fatalf("the detector was killed when all was done: %d events left, %v", lag, err)
	}

	collect.until("end of the inputs", ended)
	survivor.until("all partitions for the survivor", func() bool { return survivor.owned() == cfg.Partitions })
	survivor.until("end of the backlog", func() bool {
		for _, g := range []struct{ id, topic string }{{group, cfg.Topics.Events}, {cfg.ClientID + "-sink-ndjson", cfg.Topics.Alerts}} {
			if lag, err := client.Lag(t.Context(), g.id, g.topic); err != nil || lag > 0 {
				return false
			}
		}
		return true
	})
	for _, r := range []*role{collect, survivor, sink} {
		if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := r.cmd.Wait(); err != nil {
			t.Errorf("the end: %v", err)
		}
	}
	if diff := cmp.Diff(want, standing(sink.written())); diff != "" {
		t.Errorf("alerts (-replay +roles):\n%s", diff)
	}
}
