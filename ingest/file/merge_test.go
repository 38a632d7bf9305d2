package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"stepdown/ingest"
)

// dated is a record of our tests: {"n":…,"t":seconds}; t may be missing.
func dated(r ingest.Record) time.Time {
	var v struct {
		T int64 `json:"t"`
	}
	if json.Unmarshal(r.Data, &v) != nil || v.T == 0 {
		return time.Time{}
	}
	return time.Unix(v.T, 0)
}

func TestMerge(t *testing.T) {
	line := func(name string, times ...int) string {
		var b strings.Builder
		for _, at := range times {
			switch at {
			case 0:
				fmt.Fprintf(&b, "{\"f\":%q}\n", name)
			case -1:
				b.WriteString("broken\n")
			default:
				fmt.Fprintf(&b, "{\"f\":%q,\"t\":%d}\n", name, at)
			}
		}
		return b.String()
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string // file and time of each record, in order
	}{
		{"two logs", map[string]string{"a": line("a", 1, 2, 6, 7), "b": line("b", 3, 4, 5, 8)}, "a1 a2 b3 b4 b5 a6 a7 b8"},
		{"one after the other, later first by name", map[string]string{"a": line("a", 5, 6), "b": line("b", 1, 2)}, "b1 b2 a5 a6"},
		{"the same times", map[string]string{"a": line("a", 1, 1), "b": line("b", 1, 1)}, "a1 a1 b1 b1"},
		{"records without a time go with the one before", map[string]string{"a": line("a", 0, 4, 0, 5), "b": line("b", 1, 0, -1, 6)}, "a0 b1 b0 !0 a4 a0 a5 b6"},
		{"a compressed one", map[string]string{"a": gzipped(t, line("a", 1, 3)), "b": line("b", 2, 4)}, "a1 b2 a3 b4"},
		{"an empty one", map[string]string{"a": "", "b": line("b", 2, 4)}, "b2 b4"},
		{"an array and an envelope", map[string]string{"a": `[{"f":"a","t":1},{"f":"a","t":4}]`, "b": `{"records":[{"f":"b","t":2},{"f":"b","t":3}]}`}, "a1 b2 b3 a4"},
		{"more than may be open", func() map[string]string {
			m := map[string]string{}
			for i := range maxOpen + 10 {
				m[fmt.Sprintf("f%02d", i)] = line("x", i+1, i+101)
			}
			return m
		}(), func() string {
			var w []string
			for _, base := range []int{1, 101} {
				for i := range maxOpen + 10 {
					w = append(w, fmt.Sprintf("x%d", base+i))
				}
			}
			return strings.Join(w, " ")
		}()},
	} {
		for _, size := range []int{1, 3, 1000} {
			t.Run(fmt.Sprintf("%s, %d at a time", tt.name, size), func(t *testing.T) {
				dir := t.TempDir()
				for name, data := range tt.files {
					write(t, filepath.Join(dir, name), data)
				}
				cfg := config(filepath.Join(dir, "*"))
				cfg.BatchSize = size
				s := source(t, cfg, nil)
				s.MergeBy(dated)
				all, _ := drain(t, s, nil)
				var got []string
				for _, text := range all {
					var v struct {
						F string `json:"f"`
						T int    `json:"t"`
					}
					if json.Unmarshal([]byte(text), &v) != nil {
						v.F = "!"
					}
					got = append(got, fmt.Sprintf("%s%d", v.F, v.T))
				}
				if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
					t.Errorf("records (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestMergeNeitherLosesNorRepeats reads random files in batches of random size,
// with a restart at the cursor now and then.
func TestMergeNeitherLosesNorRepeats(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		n := 0
		var want []string
		for f := range rapid.IntRange(2, 5).Draw(rt, "files") {
			var data strings.Builder
			at := 1
			for range rapid.IntRange(0, 30).Draw(rt, "records") {
				at += rapid.IntRange(0, 20).Draw(rt, "gap")
				n++
				text := fmt.Sprintf(`{"n":%d,"t":%d}`, n, at*rapid.IntRange(0, 1).Draw(rt, "dated"))
				want = append(want, text)
				data.WriteString(text + rapid.SampledFrom([]string{"\n", "\n\n  ", "\r\n"}).Draw(rt, "between"))
			}
			text := data.String()
			if rapid.Bool().Draw(rt, "compressed") {
				text = gzipped(t, text)
			}
			write(t, filepath.Join(dir, fmt.Sprint(f)), text)
		}
		cfg := config(filepath.Join(dir, "*"))
		var got []string
		var cursor json.RawMessage
		for restart := true; restart; {
			cfg.BatchSize = rapid.IntRange(1, 10).Draw(rt, "batch")
			s := source(t, cfg, cursor)
			s.MergeBy(dated)
			for restart = false; !restart; restart = rapid.IntRange(0, 3).Draw(rt, "restart") == 0 {
				b, err := s.Poll(t.Context())
				got = append(got, texts(b)...)
				if b.Cursor != nil {
					cursor = b.Cursor
				}
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					rt.Fatal(err)
				}
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("records (-want +got):\n%s", diff)
		}
	})
}
