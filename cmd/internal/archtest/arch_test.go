package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stepdown/detect/rule"
	"stepdown/rules"
)

const module = "stepdown"

// file is one parsed Go file of the repository.
type file struct {
	path string // relative to the root, with slashes
	pkg  string // folder of it
	test bool
	ast  *ast.File
}

// sources parses every Go file of the module.
func sources(t *testing.T) ([]file, *token.FileSet) {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatalf("not at the root of the module: %v", err)
	}
	fset := token.NewFileSet()
	var files []file
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if name := d.Name(); rel != "." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata" || rel == "deploy/tools") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, file{path: rel, pkg: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"), ast: f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found only %d Go files: looking in the wrong place", len(files))
	}
	return files, fset
}

func imports(f file) []string {
	var out []string
	for _, s := range f.ast.Imports {
		p, err := strconv.Unquote(s.Path.Value)
		if err == nil {
			out = append(out, p)
		}
	}
	return out
}

// within reports whether pkg is dir or beneath it.
func within(pkg, dir string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }

// allowed is the import table: the first row whose folder holds the package
// says which of our packages it may import. "x/..." means x and beneath.
var allowed = []struct {
	folder string
	may    []string
}{
	{"ingest/event", nil},
	{"ingest/secret", nil},
	{"detect/alert", []string{"ingest/event"}},
	{"ingest/identity", []string{"ingest/event"}},
	{"ingest/stream", []string{"ingest/secret", "ingest/stream/..."}},
	{"ingest/ingesttest", []string{"ingest", "ingest/event"}},
	{"ingest/geo", []string{"ingest/event"}},
	{"ingest/lenient", []string{"ingest", "ingest/event"}},
	{"ingest/poll", []string{"ingest", "ingest/event"}},
	{"ingest/rest", []string{"ingest", "ingest/secret"}},
	{"ingest/webhook", []string{"ingest", "ingest/event", "ingest/secret"}},
	{"ingest/jsonmap", []string{"ingest", "ingest/event", "ingest/lenient", "detect/rule/yamlpos"}},
	// The packages of one provider or input; never each other.
	{"ingest/", []string{"ingest", "ingest/event", "ingest/identity", "ingest/secret", "ingest/lenient", "ingest/poll", "ingest/rest", "ingest/webhook"}},
	{"ingest", []string{"ingest/event"}},
	{"detect/ledger", []string{"ingest/event"}},
	{"detect/rule", []string{"ingest/event", "detect/alert", "detect/ledger"}},
	{"detect", []string{"ingest/event", "detect/..."}},
	{"sinks/clickhouse/engine/", []string{"sinks/clickhouse/engine"}},
	{"sinks/clickhouse/engine", nil},
	{"sinks/", []string{"sinks", "detect/alert", "ingest/event", "ingest/secret"}},
	{"sinks", []string{"detect/alert", "ingest/event"}},
	{"rules", nil},
	{"cmd/internal/archtest", nil},
	{"cmd/internal/config", []string{"ingest/...", "detect/...", "sinks/..."}},
	{"cmd/internal/app", []string{"ingest/...", "detect/...", "sinks/...", "rules", "cmd/internal/config"}},
	{"cmd/internal/", []string{"ingest/...", "detect/...", "sinks/...", "rules", "cmd/internal/..."}},
	{"cmd/stepdown", []string{"cmd/internal/...", "sinks/clickhouse/engine"}},
}

func TestImportTable(t *testing.T) {
	files, _ := sources(t)
	for _, f := range files {
		if f.test {
			continue // tests may bring the real neighbours
		}
		row := slices.IndexFunc(allowed, func(r struct {
			folder string
			may    []string
		}) bool {
			if dir, beneath := strings.CutSuffix(r.folder, "/"); beneath {
				return f.pkg != dir && within(f.pkg, dir)
			}
			return within(f.pkg, r.folder)
		})
		if row < 0 {
			t.Errorf("%s: folder %s is in no row of the import table", f.path, f.pkg)
			continue
		}
		for _, p := range imports(f) {
			ours, ok := strings.CutPrefix(p, module+"/")
			if !ok || within(ours, f.pkg) {
				continue
			}
			if !slices.ContainsFunc(allowed[row].may, func(m string) bool {
				if dir, all := strings.CutSuffix(m, "/..."); all {
					return within(ours, dir)
				}
				return ours == m
			}) {
				t.Errorf("%s imports %s; packages in %s may import %v", f.path, ours, allowed[row].folder, allowed[row].may)
			}
		}
	}
}

// homes says where each client library lives. expr has two: rules ask facts of a
// known shape, mappings ask records of any, and they share no code around it.
var homes = map[string]string{
	"github.com/segmentio/kafka-go":          "ingest/stream",
	"github.com/twmb/franz-go":               "ingest/stream/embedded",
	"github.com/expr-lang/expr":              "detect/rule ingest/jsonmap",
	"github.com/ClickHouse/clickhouse-go/v2": "sinks/clickhouse",
	"github.com/ClickHouse/ch-go":            "sinks/clickhouse",
	"github.com/ebitengine/purego":           "sinks/clickhouse/engine",
	"github.com/slack-go/slack":              "sinks/slack",
	"github.com/spf13/cobra":                 "cmd/internal/cli",
	"github.com/klauspost/compress":          "ingest/file",
	"github.com/oschwald/maxminddb-golang":   "ingest/geo",
	"github.com/maxmind/mmdbwriter":          "ingest/geo",
	"golang.org/x/oauth2":                    "ingest",
	"github.com/aws/aws-sdk-go-v2":           "ingest/aws",
	"github.com/go-jose/go-jose/v4":          "ingest",
}

func TestEachLibraryHasOneHome(t *testing.T) {
	files, _ := sources(t)
	for _, f := range files {
		for _, p := range imports(f) {
			for lib, home := range homes {
				if within(p, lib) && !slices.ContainsFunc(strings.Fields(home), func(dir string) bool { return within(f.pkg, dir) }) {
					t.Errorf("%s imports %s, whose home is %s", f.path, p, home)
				}
			}
		}
	}
}

// TestEveryPackageSaysWhatItIsFor: a doc.go with the package comment, and no
// second one elsewhere.
func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	files, _ := sources(t)
	docs := map[string][]string{}
	packages := map[string]bool{}
	for _, f := range files {
		if f.test {
			continue
		}
		packages[f.pkg] = true
		if f.ast.Doc != nil {
			docs[f.pkg] = append(docs[f.pkg], f.path)
		}
	}
	for pkg := range packages {
		want := []string{pkg + "/doc.go"}
		if pkg == "cmd/stepdown" {
			want = []string{pkg + "/main.go"}
		}
		if !slices.Equal(docs[pkg], want) {
			t.Errorf("package %s: package comment in %v, want it in %v", pkg, docs[pkg], want)
		}
	}
}

// TestDetectionKnowsNoClock: detection and normalizing are functions of their
// input.
func TestDetectionKnowsNoClock(t *testing.T) {
	files, fset := sources(t)
	pure := []string{"detect", "ingest/event", "ingest/okta", "ingest/entra", "ingest/identity", "ingest/ssf", "ingest/jsonmap"}
	for _, f := range files {
		if f.test || !slices.ContainsFunc(pure, func(dir string) bool { return within(f.pkg, dir) }) {
			continue
		}
		for _, p := range imports(f) {
			if strings.HasPrefix(p, "math/rand") || p == "crypto/rand" {
				t.Errorf("%s imports %s", f.path, p)
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" &&
					slices.Contains([]string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}, s.Sel.Name) {
					t.Errorf("%s: time.%s", fset.Position(n.Pos()), s.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestNoInitAndNoDefaultRegistry(t *testing.T) {
	files, fset := sources(t)
	for _, f := range files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: func init", fset.Position(fn.Pos()))
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := s.X.(*ast.Ident)
			if ok && x.Name == "prometheus" && slices.Contains([]string{"MustRegister", "Register", "DefaultRegisterer", "DefaultGatherer"}, s.Sel.Name) {
				t.Errorf("%s: prometheus.%s, use the registerer that was passed in", fset.Position(n.Pos()), s.Sel.Name)
			}
			if ok && x.Name == "promauto" && s.Sel.Name != "With" && s.Sel.Name != "Factory" {
				t.Errorf("%s: promauto.%s registers with the default registry", fset.Position(n.Pos()), s.Sel.Name)
			}
			return true
		})
	}
}

var (
	metricName = regexp.MustCompile(`^stepdown_(ingest|stream|detect|sinks|app)_[a-z0-9_]+$`)
	metricUnit = regexp.MustCompile(`_(seconds|bytes|total|info|ratio)$`)
)

// TestMetricNames: every metric is stepdown_<stage>_<thing>_<unit>, and counters
// and only they end in _total.
func TestMetricNames(t *testing.T) {
	files, fset := sources(t)
	n := 0
	for _, f := range files {
		if f.test {
			continue
		}
		ast.Inspect(f.ast, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			// promauto's constructors take Opts with a literal name; packages with
			// many metrics pass the name to a closure of their own.
			name, at := "", fset.Position(call.Pos())
			ast.Inspect(call, func(inner ast.Node) bool {
				if lit, ok := inner.(*ast.BasicLit); ok && lit.Kind == token.STRING && name == "" {
					if v, err := strconv.Unquote(lit.Value); err == nil && strings.HasPrefix(v, module+"_") {
						name = v
					}
				}
				return name == ""
			})
			maker := ""
			switch fun := call.Fun.(type) {
			case *ast.SelectorExpr:
				maker = strings.ToLower(strings.TrimPrefix(fun.Sel.Name, "New"))
			case *ast.Ident:
				maker = strings.ToLower(fun.Name)
			}
			counter, histogram := strings.HasPrefix(maker, "counter"), strings.HasPrefix(maker, "histogram")
			if name == "" || !counter && !histogram && !strings.HasPrefix(maker, "gauge") {
				return true
			}
			n++
			switch {
			case !metricName.MatchString(name):
				t.Errorf("%s: metric %q is not stepdown_<stage>_<thing>", at, name)
			case counter != strings.HasSuffix(name, "_total"):
				t.Errorf("%s: metric %q: counters and only they end in _total", at, name)
			case histogram && !metricUnit.MatchString(name):
				t.Errorf("%s: histogram %q names no unit", at, name)
			}
			return true
		})
	}
	if n < 10 {
		t.Fatalf("found %d metrics: the test looks at the wrong thing", n)
	}
}

// TestReadmeNamesEveryRule: the table of rules is what people choose by.
func TestReadmeNamesEveryRule(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	set, err := rule.Load(rules.Files())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range set.All() {
		if !strings.Contains(string(readme), "| "+r.ID+" |") {
			t.Errorf("README.md has no row for %s (%s)", r.ID, r.Title)
		}
	}
}

// TestTopLevel: the folders tell the story from left to right, and beside them
// lies only what git, make and licensing expect.
func TestTopLevel(t *testing.T) {
	expected := []string{"LICENSE", "Makefile", "README.md", "cmd", "dashboards", "deploy", "detect", "go.mod", "go.sum", "ingest", "rules", "sinks",
		"bin", "data"} // the last two are made and ignored by git
	entries, err := os.ReadDir("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); !strings.HasPrefix(name, ".") && !slices.Contains(expected, name) {
			t.Errorf("%s lies at the top level; it belongs into one of %v", name, expected)
		}
	}
}
