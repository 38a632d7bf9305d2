package file

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"stepdown/ingest"
)

func write(t *testing.T, path string, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func appendTo(t *testing.T, path string, data string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(data); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func gzipped(t *testing.T, data string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstandard(t *testing.T, data string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(w.EncodeAll([]byte(data), nil))
}

func config(paths ...string) Config {
	cfg := DefaultConfig()
	cfg.Paths, cfg.Source = paths, "okta"
	return cfg
}

func source(t *testing.T, cfg Config, cursor json.RawMessage) *Source {
	t.Helper()
	s, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Seek(cursor); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// drain polls until the input ends, or is idle for half a minute of the bubble's
// clock. It returns the records' data, "!" before broken ones, and the last
// cursor.
func drain(t *testing.T, s *Source, cursor json.RawMessage) ([]string, json.RawMessage) {
	t.Helper()
	var got []string
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		b, err := s.Poll(ctx)
		cancel()
		got = append(got, texts(b)...)
		if b.Cursor != nil {
			cursor = b.Cursor
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, context.DeadlineExceeded):
			return got, cursor
		case err != nil:
			t.Fatal(err)
		}
	}
}

func texts(b ingest.Batch) []string {
	var got []string
	for _, r := range b.Records {
		text := string(r.Data)
		if r.Err != nil {
			text = "!" + text
		}
		got = append(got, text)
	}
	return got
}

const twoLines = `{"a":1}` + "\n" + `{"a":2}` + "\n"

func TestReadForms(t *testing.T) {
	two := []string{`{"a":1}`, `{"a":2}`}
	for _, tt := range []struct {
		name string
		data string
		want []string
	}{
		{"ndjson", twoLines, two},
		{"gzip", gzipped(t, twoLines), two},
		{"gzip of two members", gzipped(t, `{"a":1}`+"\n") + gzipped(t, `{"a":2}`), two},
		{"zstd", zstandard(t, twoLines), two},
		{"array", `[{"a":1},{"a":2}]`, two},
		{"okta event hook", `{"eventType":"com.okta.event_hook","eventId":"x","data":{"events":[{"a":1},{"a":2}]}}`, two},
		{"empty okta event hook", `{"eventType":"com.okta.event_hook","data":{"events":[]}}` + twoLines, two},
		{"eventbridge", `{"version":"0","detail-type":"SystemLog","source":"aws.partner/okta.com","detail":{"a":1}}` + "\n" + `{"detail-type":"x","source":"y","detail":{"a":2}}`, two},
		{"a record that mentions an envelope", `{"a":"com.okta.event_hook","b":"detail-type"}`, []string{`{"a":"com.okta.event_hook","b":"detail-type"}`}},
		{"azure", `{"records":[{"a":1},{"a":2}]}`, two},
		{"graph", `{"@odata.context":"x","value":[{"a":1},{"a":2}]}`, two},
		{"empty file", "", nil},
		{"three bytes", "{} ", []string{"{}"}},
		{"truncated gzip", gzipped(t, twoLines)[:len(gzipped(t, twoLines))-6], []string{`{"a":1}`, `{"a":2}`, "!"}},
		{"gzip with a broken header", "\x1f\x8bxxxxxxxxxxxx", []string{"!"}},
		{"zstd with a broken frame", zstandard(t, twoLines)[:6] + "xxxxxxx", []string{"!"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "in")
			write(t, path, tt.data)
			got, _ := drain(t, source(t, config(path), nil), nil)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTruncatedGzipInAValue(t *testing.T) {
	var lines strings.Builder
	for i := range 2000 { // compresses badly enough to be cut within
		fmt.Fprintf(&lines, `{"n":%d,"x":"%x"}`+"\n", i, i*7919)
	}
	whole := gzipped(t, lines.String())
	path := filepath.Join(t.TempDir(), "in.gz")
	write(t, path, whole[:len(whole)/2])
	got, _ := drain(t, source(t, config(path), nil), nil)
	broken := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "!") })
	if broken < 500 || broken != len(got)-1 {
		t.Errorf("%d records, the first broken one at %d; want many and then one", len(got), broken)
	}
}

func TestRecordFields(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in.ndjson")
	write(t, path, twoLines+"garbage\n")
	cfg := config(path)
	cfg.Tenant, cfg.Stream = "acme.example.com", "system_log"
	b, err := source(t, cfg, nil).Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range b.Records {
		if r.Source != "okta" || r.Tenant != "acme.example.com" || r.Stream != "system_log" {
			t.Errorf("record %d: %+v", i, r)
		}
		if want := fmt.Sprint(path, ":", i+1); r.Origin != want {
			t.Errorf("record %d: origin %s, want %s", i, r.Origin, want)
		}
		if (r.Err != nil) != (i == 2) {
			t.Errorf("record %d: error %v", i, r.Err)
		}
	}
}

func TestOrderAndDuplicates(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"c", "a", "b"} {
		write(t, filepath.Join(dir, name+".ndjson"), `{"f":"`+name+`"}`)
	}
	write(t, filepath.Join(dir, "other"), `{"f":"other"}`)
	if err := os.Symlink(filepath.Join(dir, "a.ndjson"), filepath.Join(dir, "z.ndjson")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "d.ndjson"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, _ := drain(t, source(t, config(filepath.Join(dir, "other"), filepath.Join(dir, "*.ndjson"), filepath.Join(dir, "b*")), nil), nil)
	if diff := cmp.Diff([]string{`{"f":"other"}`, `{"f":"a"}`, `{"f":"b"}`, `{"f":"c"}`}, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestConfigErrors(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no paths", func(c *Config) { c.Paths = nil }, "paths: none"},
		{"empty path", func(c *Config) { c.Paths = []string{""} }, "paths[0]: is empty"},
		{"bad pattern", func(c *Config) { c.Paths = []string{"[a"} }, `paths[0]: "[a": syntax error in pattern`},
		{"stdin and more", func(c *Config) { c.Paths = []string{"-", "a"} }, "goes alone"},
		{"no source", func(c *Config) { c.Source = "" }, "source: is empty"},
		{"no batch", func(c *Config) { c.BatchSize = 0 }, "batch_size: 0"},
		{"no interval", func(c *Config) { c.Follow, c.PollInterval = true, 0 }, "poll_interval: 0s"},
		{"missing file", func(c *Config) { c.Paths = []string{filepath.Join(dir, "none")} }, "paths[0]: stat "},
		{"missing file that is followed", func(c *Config) { c.Paths, c.Follow = []string{filepath.Join(dir, "none")}, true }, "paths[0]: stat "},
		{"directory", func(c *Config) { c.Paths = []string{dir} }, "is a directory; want a pattern"},
		{"pattern of nothing", func(c *Config) { c.Paths = []string{filepath.Join(dir, "*.x")} }, "paths[0]: no file matches"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config("-")
			tt.change(&cfg)
			if _, err := New(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestSeekErrors(t *testing.T) {
	s := source(t, config("-"), nil)
	if err := s.Seek(json.RawMessage(`{"version":1}`)); err != nil {
		t.Errorf("stdin: %v", err)
	}
	path := filepath.Join(t.TempDir(), "in")
	write(t, path, twoLines)
	for _, cursor := range []string{`"x"`, `{"version":2}`} {
		if err := source(t, config(path), nil).Seek(json.RawMessage(cursor)); err == nil {
			t.Errorf("Seek(%s): no error", cursor)
		}
	}
}

func TestStdin(t *testing.T) {
	for _, data := range []string{twoLines + `{"a":`, gzipped(t, twoLines+`{"a":`)} {
		r, w := io.Pipe()
		s := source(t, config("-"), nil)
		s.stdin = newStdin(r)
		go func() {
			for i := range len(data) {
				_, _ = w.Write([]byte{data[i]}) // ends with the reader
			}
			_ = w.Close()
		}()
		got, cursor := drain(t, s, nil)
		if diff := cmp.Diff([]string{`{"a":1}`, `{"a":2}`, `!{"a":`}, got); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
		if cursor != nil {
			t.Errorf("cursor %s of standard input", cursor)
		}
	}
}

func TestStdinEndsWithContext(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	s := source(t, config("-"), nil)
	s.stdin = newStdin(r)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Poll(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Poll = %v, want the context's error", err)
	}
}

// Batches end at BatchSize, and a restart at any of them neither loses nor
// repeats.
func TestRestart(t *testing.T) {
	var lines, want []string
	for i := range 50 {
		want = append(want, fmt.Sprintf(`{"n":%d,"x":"%s"}`, i, strings.Repeat("é", i)))
	}
	lines = want
	for name, data := range map[string]string{
		"ndjson":   strings.Join(lines, "\n"),
		"gzip":     gzipped(t, strings.Join(lines, "\n")),
		"zstd":     zstandard(t, strings.Join(lines, "\n")),
		"array":    "[" + strings.Join(lines, ",") + "]",
		"envelope": `{"records":[` + strings.Join(lines, ",") + `]}`,
		"bom":      "\ufeff" + strings.Join(lines, "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "in.1"), data)
			write(t, filepath.Join(dir, "in.2"), twoLines)
			cfg := config(filepath.Join(dir, "in.*"))
			cfg.BatchSize = 7
			var got []string
			var cursor json.RawMessage
			for i := 0; ; i++ {
				s := source(t, cfg, cursor)
				b, err := s.Poll(t.Context())
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil || len(b.Records) > cfg.BatchSize || i > 100 {
					t.Fatalf("poll %d: %d records, %v", i, len(b.Records), err)
				}
				got, cursor = append(got, texts(b)...), b.Cursor
			}
			if diff := cmp.Diff(append(slices.Clone(want), `{"a":1}`, `{"a":2}`), got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRestartOfAFileThatChanged(t *testing.T) {
	long := strings.Repeat(`{"same":"head"}`+"\n", 100)
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, path string)
		want   []string
	}{
		{"nothing", func(*testing.T, string) {}, nil},
		{"grown", func(t *testing.T, path string) { appendTo(t, path, `{"new":1}`) }, []string{`{"new":1}`}},
		{"another file", func(t *testing.T, path string) { write(t, path, `{"new":1}`) }, []string{`{"new":1}`}},
		{"the same head", func(t *testing.T, path string) {
			write(t, path, strings.ReplaceAll(long, "head", "tale")[:len(long)/2]+`{"new":1}`)
		}, append(slices.Repeat([]string{`{"same":"tale"}`}, 50), `{"new":1}`)},
		{"the same head of another length", func(t *testing.T, path string) { write(t, path, long[:16*70]+`{"new":1}`) },
			append(slices.Repeat([]string{`{"same":"head"}`}, 70), `{"new":1}`)},
		{"moved to another disk", func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path+".new", string(data)+`{"new":1}`)
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}, []string{`{"new":1}`}},
		{"compressed", func(t *testing.T, path string) { write(t, path, gzipped(t, long+`{"new":1}`)) }, []string{`{"new":1}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "in")
			write(t, path, long)
			_, cursor := drain(t, source(t, config(path), nil), nil)
			tt.change(t, path)
			got, _ := drain(t, source(t, config(path), cursor), nil)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// line is long enough for a file to be recognized by it.
func line(n int) string {
	return fmt.Sprintf(`{"n":%d,"x":"%s","m":%d}`, n, strings.Repeat("x", 300), n)
}

func lines(from, to int) string {
	var b strings.Builder
	for n := from; n < to; n++ {
		b.WriteString(line(n) + "\n")
	}
	return b.String()
}

func TestFollow(t *testing.T) {
	l := line
	type step struct {
		name string
		do   func(t *testing.T, dir string)
		want []string
	}
	rename := func(from, to string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	add := func(name, data string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { t.Helper(); appendTo(t, filepath.Join(dir, name), data) }
	}
	put := func(name, data string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { t.Helper(); write(t, filepath.Join(dir, name), data) }
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := func(steps ...func(*testing.T, string)) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			for _, s := range steps {
				s(t, dir)
			}
		}
	}
	for _, tt := range []struct {
		name    string
		pattern string
		steps   []step
	}{
		{"growing", "log", []step{
			{"one line", put("log", l(1)+"\n"), []string{l(1)}},
			{"half a line", add("log", `{"a"`), nil},
			{"the other half", add("log", `:1}`+"\n"), []string{`{"a":1}`}},
			{"two lines", add("log", l(2)+"\n"+l(3)+"\n"), []string{l(2), l(3)}},
			{"blank lines", add("log", "\n\n"), nil},
			{"garbage without an end", add("log", "xx"), nil},
			{"the end", add("log", "yy\n"+l(4)), []string{"!xxyy", l(4)}},
		}},
		{"new files", "*.log", []step{
			{"none yet", func(*testing.T, string) {}, nil},
			{"one", put("a.log", l(1)), []string{l(1)}},
			{"another", put("b.log", l(2)), []string{l(2)}},
			{"one that does not match", put("c.txt", l(3)), nil},
			{"an empty one", put("d.log", ""), nil},
			{"that is written", put("d.log", l(4)), []string{l(4)}},
		}},
		{"rotation by rename out of sight", "log", []step{
			{"one line", put("log", l(1)+"\n"), []string{l(1)}},
			{"a line just before", all(add("log", l(2)+"\n"), rename("log", "old"), put("log", l(3)+"\n")), []string{l(2), l(3)}},
			{"goes on", add("log", l(4)+"\n"), []string{l(4)}},
			{"again, with half a line", all(add("log", `{"half`), rename("log", "old2"), put("log", l(5))), []string{l(5), `!{"half`}},
		}},
		{"rotation by rename in sight", "log*", []step{
			{"one line", put("log", l(1)+"\n"), []string{l(1)}},
			{"rotation", all(add("log", l(2)+"\n"), rename("log", "log.1"), put("log", l(3)+"\n")), []string{l(2), l(3)}},
			{"a late line", add("log.1", l(4)+"\n"), []string{l(4)}},
			{"compression", all(put("log.1.gz", gzipped(t, l(1)+"\n"+l(2)+"\n"+l(4)+"\n")), remove("log.1")), nil},
			{"goes on", add("log", l(5)+"\n"), []string{l(5)}},
		}},
		{"rotation by copy out of sight", "log", []step{
			{"two lines", put("log", l(1)+"\n"+l(2)+"\n"), []string{l(1), l(2)}},
			{"truncation", put("log", ""), nil},
			{"goes on", add("log", l(3)+"\n"), []string{l(3)}},
			{"truncated and longer", put("log", l(4)+"\n"+l(5)+"\n"), []string{l(4), l(5)}},
			{"truncated and as long", put("log", l(6)+"\n"+l(7)+"\n"), []string{l(6), l(7)}},
		}},
		{"rotation by copy in sight", "log*", []step{
			{"two lines", put("log", l(1)+"\n"+l(2)+"\n"), []string{l(1), l(2)}},
			{"the copy", put("log.1", l(1)+"\n"+l(2)+"\n"+l(3)+"\n"), nil},
			{"the truncation", put("log", l(4)+"\n"), []string{l(3), l(4)}},
			{"more lines", add("log", lines(10, 20)), strings.Fields(lines(10, 20))},
			{"half a copy", put("log.2", (l(4) + "\n" + lines(10, 20))[:2000]), nil},
			{"the whole", put("log.2", l(4)+"\n"+lines(10, 20)), nil},
			{"the truncation", put("log", l(5)+"\n"), []string{l(5)}},
			{"a compressed copy", put("log.3.gz", gzipped(t, l(5)+"\n")), nil},
			{"the truncation", put("log", l(6)+"\n"), []string{l(6)}},
		}},
		{"two files that begin alike", "log*", []step{
			{"one", put("log.a", l(1)+"\n"+l(1)+"\n"+l(1)+"\n"+l(1)+"\n"+l(2)+"\n"), []string{l(1), l(1), l(1), l(1), l(2)}},
			{"the other", put("log.b", l(1)+"\n"+l(1)+"\n"+l(1)+"\n"+l(1)+"\n"+l(3)+"\n"), []string{l(1), l(1), l(1), l(1), l(3)}},
		}},
		{"compressed file that is still written", "*.gz", []step{
			{"a part", put("a.gz", gzipped(t, l(1)+"\n"+l(2)+"\n")[:20]), []string{`!{"n":1,"x`}},
			{"the whole", put("a.gz", gzipped(t, l(1)+"\n"+l(2)+"\n")), []string{l(1), l(2)}},
			{"another member", add("a.gz", gzipped(t, l(3)+"\n")), []string{l(3)}},
		}},
	} {
		for i := range 4 {
			restart, merge := i%2 > 0, i > 1
			t.Run(fmt.Sprintf("%s, restart %v, merge %v", tt.name, restart, merge), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					dir := t.TempDir()
					cfg := config(filepath.Join(dir, tt.pattern))
					cfg.Follow = true
					var s *Source
					var cursor json.RawMessage
					for _, step := range tt.steps {
						step.do(t, dir)
						if s == nil || restart && !strings.Contains(step.name, "half") && !strings.Contains(step.name, "just before") && cursor != nil {
							s = source(t, cfg, cursor)
							if merge {
								s.MergeBy(func(ingest.Record) time.Time { return time.Unix(1, 0) })
							}
						}
						var got []string
						got, cursor = drain(t, s, cursor)
						slices.Sort(got)
						want := slices.Clone(step.want)
						slices.Sort(want)
						if diff := cmp.Diff(want, got); diff != "" {
							t.Fatalf("%s: records (-want +got):\n%s", step.name, diff)
						}
					}
				})
			})
		}
	}
}

// Whatever a writer and its rotation do to files that are in sight, each line is
// read once, restarts included.
func TestFollowReadsEachLineOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "follow")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		live := filepath.Join(dir, "app.log")
		write(t, live, "")
		steps := rapid.SliceOfN(rapid.SampledFrom([]string{
			"append", "append", "append", "half", "rename", "copy", "compress", "poll", "poll", "drain", "restart",
		}), 1, 40).Draw(rt, "steps")
		batch := rapid.IntRange(1, 5).Draw(rt, "batch")
		var want, got []string
		synctest.Test(t, func(t *testing.T) {
			cfg := config(filepath.Join(dir, "app*"))
			cfg.Follow, cfg.BatchSize = true, batch
			s := source(t, cfg, nil)
			var cursor json.RawMessage
			half, rotated, compressed := "", 0, 0
			poll := func() {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				b, err := s.Poll(ctx)
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				got = append(got, texts(b)...)
				if b.Cursor != nil {
					cursor = b.Cursor
				}
			}
			for _, step := range steps {
				time.Sleep(100 * time.Millisecond)
				next := line(len(want))
				old := fmt.Sprintf("%s.%d", live, rotated)
				switch step {
				case "append":
					appendTo(t, live, strings.TrimPrefix(next, half)+"\n")
					want, half = append(want, next), ""
				case "half":
					if half == "" {
						half = next[:len(next)/2]
						appendTo(t, live, half)
					}
				case "rename":
					if half == "" {
						if err := os.Rename(live, old); err != nil {
							t.Error(err)
						}
						write(t, live, "")
						rotated++
					}
				case "copy":
					if half == "" {
						data, err := os.ReadFile(live)
						if err != nil {
							t.Error(err)
						}
						write(t, old, string(data))
						if len(want)%2 == 0 {
							poll() // sees the copy before the truncation
						}
						if err := os.Truncate(live, 0); err != nil {
							t.Error(err)
						}
						rotated++
					}
				case "compress":
					if compressed < rotated {
						old := fmt.Sprintf("%s.%d", live, compressed)
						data, err := os.ReadFile(old)
						if err != nil {
							t.Error(err)
						}
						write(t, old+".gz", gzipped(t, string(data)))
						if err := os.Remove(old); err != nil {
							t.Error(err)
						}
						compressed++
					}
				case "poll":
					poll()
				case "drain":
					var more []string
					more, cursor = drain(t, s, cursor)
					got = append(got, more...)
				case "restart":
					s = source(t, cfg, cursor)
				}
			}
			more, _ := drain(t, s, cursor)
			got = append(got, more...)
		})
		// Half a line that is read before its file is truncated is broken; the
		// copy has the whole.
		got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, `!{"n"`) })
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("lines (-want +got):\n%s", diff)
		}
	})
}

func TestManyFilesStayFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var want []string
		for i := range 3 * maxOpen {
			want = append(want, line(i))
			write(t, filepath.Join(dir, fmt.Sprintf("%03d.log", i)), line(i))
		}
		cfg := config(filepath.Join(dir, "*.log"))
		cfg.Follow = true
		s := source(t, cfg, nil)
		got, cursor := drain(t, s, nil)
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("records (-want +got):\n%s", diff)
		}
		open := 0
		for _, st := range s.streams {
			if st.file != nil {
				open++
			}
		}
		if open > maxOpen {
			t.Errorf("%d files are open, want at most %d", open, maxOpen)
		}
		appendTo(t, filepath.Join(dir, "000.log"), "\n"+line(1000))
		appendTo(t, filepath.Join(dir, "150.log"), "\n"+line(1001))
		got, _ = drain(t, s, cursor)
		slices.Sort(got)
		if diff := cmp.Diff([]string{line(1000), line(1001)}, got); diff != "" {
			t.Errorf("records of files that grew (-want +got):\n%s", diff)
		}
	})
}

func TestUnreadableFileHoldsNobodyUp(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a.log"), line(1))
		if err := os.Chmod(filepath.Join(dir, "a.log"), 0); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "b.log"), line(2))
		cfg := config(filepath.Join(dir, "*.log"))
		cfg.Follow = true
		got, _ := drain(t, source(t, cfg, nil), nil)
		if diff := cmp.Diff([]string{line(2)}, got); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
	})
}

func BenchmarkPoll(b *testing.B) {
	path := filepath.Join(b.TempDir(), "in")
	text := strings.Repeat(`{"actor":{"id":"00u1"},"pad":"`+strings.Repeat(`{\"x\":1} `, 300)+`"}`+"\n", 10_000)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		s, err := New(config(path), slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for {
			batch, err := s.Poll(b.Context())
			n += len(batch.Records)
			if errors.Is(err, io.EOF) {
				break
			}
		}
		if n != 10_000 {
			b.Fatal(n)
		}
		_ = s.Close()
	}
}
