package rules_test

import (
	"io/fs"
	"maps"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"stepdown/detect/ruletest"
	"stepdown/rules"
)

// TestEveryConditionMatters leaves out one condition of one rule at a time: a
// timeline of that rule must then fail, or the condition is not tested.
func TestEveryConditionMatters(t *testing.T) {
	pack := fstest.MapFS{}
	full := map[string]string{}
	err := fs.WalkDir(rules.Files(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(rules.Files(), name)
		full[name] = string(data)
		logic, _, _ := strings.Cut(full[name], "\ntests:\n")
		pack[name] = &fstest.MapFile{Data: []byte(logic)}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	condition := regexp.MustCompile(`^  [a-z_]+: `)
	for name, text := range full {
		lines := strings.Split(text, "\n")
		section := ""
		for i, line := range lines {
			if m := regexp.MustCompile(`^([a-z_]+):`).FindStringSubmatch(line); m != nil {
				section = m[1]
			}
			always := map[string]string{"when": "'true'", "unless": "'false'"}[section]
			key := condition.FindString(line)
			if always == "" || key == "" {
				continue
			}
			t.Run(name+"/"+strings.TrimSuffix(strings.TrimSpace(key), ":"), func(t *testing.T) {
				mutant := append([]string{}, lines...)
				mutant[i] = key + always
				changed := fstest.MapFS{}
				maps.Copy(changed, pack)
				changed[name] = &fstest.MapFile{Data: []byte(strings.Join(mutant, "\n"))}
				results, err := ruletest.Run(changed)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range results {
					if r.File == name && len(r.Failures) > 0 {
						return
					}
				}
				t.Errorf("%s:%d: no timeline fails without %s", name, i+1, strings.TrimSpace(line))
			})
		}
	}
}
