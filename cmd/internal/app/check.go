package app

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stepdown/cmd/internal/config"
	"stepdown/detect/rule/yamlpos"
	"stepdown/ingest/event"
	"stepdown/ingest/geo"
	"stepdown/ingest/identity"
	"stepdown/sinks/clickhouse/engine"
)

// Look looks at what a configuration names outside of its file, as far as the
// roles need it: log files, the directory, rules, secrets, certificates, the
// engine's library. It opens no connection and changes nothing. It is a
// config.Look.
func (r Roles) Look(cfg *config.Config) (wrong, doubtful []error) {
	for _, ref := range cfg.References() {
		switch {
		case !r.need(ref.Path),
			strings.HasPrefix(ref.Path, "kafka.") && len(cfg.Kafka.Brokers) == 0,
			strings.HasPrefix(ref.Path, "clickhouse.") && len(cfg.ClickHouse.Addresses) == 0,
			strings.HasPrefix(ref.Path, "clickhouse.") && cfg.ClickHouse.Disabled:
			continue
		}
		var err error
		if ref.File != "" {
			_, err = os.ReadFile(ref.File)
		} else {
			_, err = ref.Secret.Value()
		}
		wrong = append(wrong, at(ref.Path, err)...)
	}
	if r.Collect {
		normalizers, err := NormalizersOf(cfg)
		wrong = append(wrong, split(err)...)
		for i := range cfg.Inputs {
			w, d := lookAtInput(&cfg.Inputs[i], namesOf(normalizers))
			path := fmt.Sprintf("inputs[%d].", i)
			wrong, doubtful = append(wrong, prefix(path, w)...), append(doubtful, prefix(path, d)...)
		}
		if cfg.Identity.Validate() == nil { // else it is told already
			_, err := identity.New(cfg.Identity)
			wrong = append(wrong, at("identity.directory", err)...)
		}
		wrong = append(wrong, lookAtPlaces(cfg.Geo)...)
	}
	if r.Detect {
		_, err := loadRules(cfg.Rules)
		wrong = append(wrong, at("rules.dir", err)...)
	}
	if r.Sink {
		if library := cfg.ClickHouse.Engine.Library; library != "" && len(cfg.ClickHouse.Addresses) == 0 && !cfg.ClickHouse.Disabled {
			if _, err := engine.Locate(library); err != nil {
				wrong = append(wrong, errors.New("clickhouse.engine.library: "+err.Error())) // one, though it wraps two
			}
		}
		if path := cfg.Sinks.NDJSON.Value.Path; cfg.Sinks.NDJSON.Set && path != "" && path != "-" {
			if info, err := os.Stat(filepath.Dir(path)); err != nil {
				wrong = append(wrong, at("sinks.ndjson.path", err)...)
			} else if !info.IsDir() {
				wrong = append(wrong, fmt.Errorf("sinks.ndjson.path: %s is not a directory", filepath.Dir(path)))
			}
		}
	}
	return wrong, doubtful
}

// need reports whether a process with the roles has a use for the key.
func (r Roles) need(path string) bool {
	section, _, _ := strings.Cut(path, ".")
	section, _, _ = strings.Cut(section, "[")
	switch section {
	case "inputs", "ingest", "identity", "geo", "receiver", "mappings":
		return r.Collect
	case "rules", "detect":
		return r.Detect
	case "sinks", "clickhouse":
		return r.Sink
	}
	return true
}

// lookAtInput returns what is wrong and doubtful with an input, by the path
// within it.
func lookAtInput(in *config.Input, known []string) (wrong, doubtful []error) {
	if in.FromFiles() {
		wrong, doubtful = in.File.Look()
		wrong, doubtful = prefix("file.", wrong), prefix("file.", doubtful)
	}
	for key, source := range map[string]event.Source{"file.source": in.File.Source, "webhook.source": in.Webhook.Value.Source, "topic.source": in.Topic.Value.Source} {
		if source != "" && !slices.Contains(known, string(source)) {
			wrong = append(wrong, fmt.Errorf("%s: %q is no source of this build%s", key, source, yamlpos.DidYouMean(string(source), known)))
		}
	}
	return wrong, doubtful
}

// lookAtPlaces opens the address databases; one that is not there is told already.
func lookAtPlaces(cfg geo.Config) (wrong []error) {
	for _, c := range []geo.Config{{ASNFile: cfg.ASNFile}, {CountryFile: cfg.CountryFile}} {
		places, err := geo.Open(c, slog.New(slog.DiscardHandler))
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				wrong = append(wrong, fmt.Errorf("geo.%w", err))
			}
			continue
		}
		_ = places.Close() // it was only read
	}
	return wrong
}

// split returns the errors that err joins.
func split(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return nil
}

// at puts a YAML path before err, or before each of the errors that it joins.
func at(path string, err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{fmt.Errorf("%s: %w", path, err)}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, at(path, e)...)
	}
	return out
}

func prefix(path string, errs []error) []error {
	out := make([]error, len(errs))
	for i, err := range errs {
		out[i] = fmt.Errorf("%s%w", path, err)
	}
	return out
}
