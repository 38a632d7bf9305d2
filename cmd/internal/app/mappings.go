package app

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"stepdown/cmd/internal/config"
	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/jsonmap"
)

// NormalizersOf are those of the providers and of the mappings that cfg names, by
// source. An error begins with the YAML path of its mapping.
func NormalizersOf(cfg *config.Config) (map[event.Source]ingest.Normalizer, error) {
	all := Normalizers()
	origin := map[event.Source]string{}
	var errs []error
	for i, file := range cfg.Mappings {
		path := fmt.Sprintf("mappings[%d]", i)
		m, err := readMapping(file)
		if err != nil {
			errs = append(errs, at(path, err)...)
			continue
		}
		source := m.Source()
		if _, taken := all[source]; taken {
			of := "a provider of this build"
			if other, ok := origin[source]; ok {
				of = other
			}
			errs = append(errs, fmt.Errorf("%s: %s has the source %s, which is that of %s; give it a name of its own", path, file, source, of))
			continue
		}
		all[source], origin[source] = m, file
	}
	return all, errors.Join(errs...)
}

func readMapping(file string) (*jsonmap.Mapping, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read mapping: %w", err)
	}
	return jsonmap.Parse(file, data)
}

// namesOf are the sources of normalizers, in order.
func namesOf(normalizers map[event.Source]ingest.Normalizer) []string {
	var names []string
	for _, s := range slices.Sorted(maps.Keys(normalizers)) {
		names = append(names, string(s))
	}
	return names
}
