package jsonmap

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stepdown/ingest"
	"stepdown/ingest/ingesttest"
)

var observed = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

// mapping reads a file of testdata.
func mapping(tb testing.TB, name string) *Mapping {
	tb.Helper()
	path := filepath.Join("testdata", name)
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	m, err := Parse(path, data)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

var files = []string{"hr-portal.yaml", "siem-ecs.yaml", "lake-ocsf.yaml"}

func (m *Mapping) recordOf(data string) ingest.Record {
	return ingest.Record{Source: m.source, Tenant: "example", Stream: "events", Data: []byte(data), Observed: observed, Origin: "test"}
}

func TestTheTestsOfMappings(t *testing.T) {
	for _, name := range files {
		t.Run(name, func(t *testing.T) {
			report := mapping(t, name).Test()
			if len(report.Results) == 0 || len(report.Unseen) > 0 {
				t.Errorf("%d tests, paths in none of them: %v", len(report.Results), report.Unseen)
			}
			for _, r := range report.Results {
				for _, f := range r.Failures {
					t.Errorf("%s:%d: %s: %s", r.File, r.Line, r.Test, f)
				}
			}
		})
	}
}

func TestNormalizer(t *testing.T) {
	for _, name := range files {
		t.Run(name, func(t *testing.T) {
			m := mapping(t, name)
			var records []ingest.Record
			for _, test := range m.tests {
				if len(test.want[wantFailed]) == 0 {
					records = append(records, m.recordOf(test.record))
				}
			}
			ingesttest.Normalizer(t, m, records)
		})
	}
}

// minimal is a mapping that lacks nothing, with %s for a change at its end.
const minimal = `source: app
fields: {subject.name: text("user")}
kind: {from: text("event"), words: {login: sign_in}}
`

func TestMistakesAreToldWithTheirPlace(t *testing.T) {
	for name, tc := range map[string]struct{ file, want string }{
		"no YAML":                   {"source: [", "m.yaml:1:"},
		"empty":                     {"", "m.yaml:1:1: is empty"},
		"no source":                 {"fields: {subject.name: text(\"u\")}\nkind: {from: text(\"e\"), words: {a: sign_in}}\n", "source is not set"},
		"a source with blanks":      {strings.Replace(minimal, "app", "My App", 1), "m.yaml:1:1: source is \"My App\""},
		"an unknown key":            {minimal + "feilds: {}\n", "m.yaml:4:1: unknown key feilds: did you mean fields?"},
		"an unknown field":          {strings.Replace(minimal, "subject.name", "subject.nam", 1), "m.yaml:2:10: unknown key subject.nam: did you mean subject.name?"},
		"an unknown function":       {strings.Replace(minimal, `text("user")`, `txt("user")`, 1), "m.yaml:2:24: unknown name txt: did you mean text?"},
		"a name instead of a path":  {strings.Replace(minimal, `text("user")`, `text(user)`, 1), "a path must be a text in quotes"},
		"no path":                   {strings.Replace(minimal, `text("user")`, `text()`, 1), "text needs a path"},
		"a path with a hole":        {strings.Replace(minimal, `text("user")`, `text("a..b")`, 1), "is no path"},
		"a long path":               {strings.Replace(minimal, `text("user")`, `text("a.b.c.d.e.f.g.h.i")`, 1), "at most 8 steps"},
		"a list for a text":         {strings.Replace(minimal, `text("user")`, `texts("user")`, 1), "m.yaml:2:24: must be a text, it is a list of texts"},
		"a text for a truth":        {minimal + "when: text(\"a\")\n", "m.yaml:4:7: must be true or false, it is a text"},
		"a text for a list":         {minimal + "factors: {from: text(\"a\"), words: {pwd: password}}\n", "must be a list of texts, as texts(…) gives, it is a text"},
		"half an expression":        {minimal + "when: text(\"a\") ==\n", "m.yaml:4:"},
		"a kind that is none":       {strings.Replace(minimal, "sign_in", "sign_on", 1), "login means \"sign_on\", which is no kind: did you mean sign_in?"},
		"a kind that needs a part":  {strings.Replace(minimal, "sign_in", "recovery", 1), "recovery needs recovery.stage"},
		"a kind that needs factors": {strings.Replace(minimal, "sign_in", "authenticator_enrolled", 1), "authenticator_enrolled needs factors"},
		"a kind beyond mappings":    {strings.Replace(minimal, "sign_in", "policy_change", 1), "which is no kind"},
		"a method that is none":     {minimal + "factors: {from: texts(\"a\"), words: {pwd: pasword}}\n", "did you mean password?"},
		"nobody":                    {strings.Replace(minimal, "subject.name", "actor.name", 1), "names nobody"},
		"no kind":                   {"source: a\nfields: {subject.name: text(\"u\")}\n", "kind is not set"},
		"a preset that is none":     {minimal + "preset: osf\n", "m.yaml:4:9: preset \"osf\" is not known: did you mean ocsf?"},
		"an empty preset":           {minimal + "preset:\n", "m.yaml:4:1: preset is empty"},
		"empty words":               {minimal + "outcome: {from: text(\"a\"), words: }\n", "words is empty"},
		"an empty field":            {strings.Replace(minimal, `text("user")`, "", 1), "subject.name is empty"},
		"an empty want":             {minimal + "tests: [{name: a, record: '{}', want: }]\n", "want is empty"},
		"no layout":                 {minimal + "time_layouts: [YYYY-MM-DD]\n", "m.yaml:4:16: \"YYYY-MM-DD\" is no layout"},
		"let":                       {minimal + "when: let a = text(\"x\"); a == a\n", "let is not possible"},
		"a loop":                    {minimal + "when: 'any(texts(\"x\"), # == \"a\")'\n", "m.yaml:4:"},
		"a range":                   {minimal + "when: len(text(\"x\")) in 1..9\n", "a range is not possible"},
		"a pattern out of a record": {minimal + "when: text(\"x\") matches text(\"y\")\n", "the pattern of matches must be a text in quotes"},
		"the environment":           {minimal + "when: $env == $env\n", "m.yaml:4:7:"},
		"an expression of a book":   {minimal + "when: " + strings.Repeat("text(\"x\") == \"a\" || ", 200) + "true\n", "m.yaml:4:"},
		"a record that is no JSON":  {minimal + "tests: [{name: a, record: '{', want: {kind: sign_in}}]\n", "record is no JSON"},
		"a test without a record":   {minimal + "tests: [{name: a, want: {kind: sign_in}}]\n", "a test has a name, a record"},
		"a want that is none":       {minimal + "tests: [{name: a, record: '{}', want: {kin: sign_in}}]\n", "unknown key kin: did you mean kind?"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Parse("m.yaml", []byte(tc.file))
			if err == nil || m != nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Parse() = %v\nwant %q", err, tc.want)
			}
		})
	}
	if _, err := Parse("m.yaml", []byte(minimal)); err != nil {
		t.Errorf("the file without a mistake: %v", err)
	}
}

func TestAFailedTestSaysWhatIsOtherwise(t *testing.T) {
	m, err := Parse("m.yaml", []byte(minimal+`tests:
- {name: outcome, record: '{"event":"login","user":"jane"}', want: {kind: sign_in, outcome: success}}
- {name: nobody, record: '{"event":"login"}', want: {kind: sign_in}}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Result{
		{File: "m.yaml", Line: 5, Test: "outcome", Failures: []string{`outcome is "unknown", want "success"`}},
		{File: "m.yaml", Line: 6, Test: "nobody", Failures: []string{`kind is nothing, want "sign_in"`, "the record gives no event: skipped (no_identity): login"}},
	}
	if diff := cmp.Diff(want, m.Test().Results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

func TestAPathThatNoTestHasIsTold(t *testing.T) {
	m, err := Parse("m.yaml", []byte(minimal+`when: text("typ") != "x"
tests: [{name: a, record: '{"event":"login","user":"jane","type":"y"}', want: {kind: sign_in}}]
`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"typ"}, m.Test().Unseen); diff != "" {
		t.Errorf("unseen (-want +got):\n%s", diff)
	}
}

func TestTheIDOfARecordThatHasNone(t *testing.T) {
	m := mapping(t, "hr-portal.yaml")
	id := func(record string) string {
		t.Helper()
		events, err := m.Normalize(m.recordOf(record))
		if err != nil {
			t.Fatal(err)
		}
		return events[0].ID
	}
	one := id(`{"type":"auth","event":"logout","at":1772442000,"user":{"id":"7"}}`)
	if again := id(`{"user": {"id": "7"}, "at": 1772442000, "event": "logout", "type": "auth"}`); again != one {
		t.Errorf("the same record in another order has the id %s, not %s", again, one)
	}
	if other := id(`{"type":"auth","event":"logout","at":1772442001,"user":{"id":"7"}}`); other == one {
		t.Error("another record has the same id")
	}
}

func TestRecordsAreBounded(t *testing.T) {
	m := mapping(t, "hr-portal.yaml")
	for name, tc := range map[string]struct {
		record string
		want   ingest.MalformedReason
	}{
		"deep":     {strings.Repeat(`{"a":`, maxDepth+1) + "1" + strings.Repeat("}", maxDepth+1), ingest.MalformedShape},
		"large":    {`{"a":"` + strings.Repeat("x", maxRecord) + `"}`, ingest.MalformedTooBig},
		"no JSON":  {`user=jane`, ingest.MalformedSyntax},
		"a list":   {`[]`, ingest.MalformedShape},
		"two":      {`{} {}`, ingest.MalformedShape},
		"no event": {`{"type":"auth"}`, ingest.MalformedMissing},
	} {
		_, err := m.Normalize(m.recordOf(tc.record))
		if _, ok := errors.AsType[*ingest.MalformedError](err); !ok || ingest.ReasonOf(err) != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprintf("%q", fmt.Sprint("m", i))
	}
	events, err := m.Normalize(m.recordOf(`{"type":"auth","event":"login_web","user":{"id":"7"},"success":true,"auth":{"methods":[` + strings.Join(many, ",") + `]}}`))
	if err != nil || len(events[0].Factors) > maxValues {
		t.Errorf("a thousand factors: %v, %d of them", err, len(events[0].Factors))
	}
}

func FuzzNormalize(f *testing.F) {
	m := mapping(f, "hr-portal.yaml")
	var records []ingest.Record
	for _, test := range m.tests {
		records = append(records, m.recordOf(test.record))
	}
	ingesttest.Fuzz(f, m, records)
}

func FuzzParse(f *testing.F) {
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(minimal))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse("m.yaml", data)
		if (m == nil) == (err == nil) {
			t.Errorf("Parse() = %v, %v", m, err)
		}
		if m != nil {
			m.Test()
		}
	})
}

func BenchmarkNormalize(b *testing.B) {
	m := mapping(b, "hr-portal.yaml")
	r := m.recordOf(m.tests[0].record)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Normalize(r); err != nil {
			b.Fatal(err)
		}
	}
}
