package sinks

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, path string) (*Lines, []string) {
	t.Helper()
	var lines []string
	l, err := OpenLines(path, func(line []byte) { lines = append(lines, string(line)) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, lines
}

func TestLinesMendATornEnd(t *testing.T) {
	for _, row := range []struct {
		name, before, after string
		lines               []string
	}{
		{"new", "", "", nil},
		{"whole", "{\"a\":1}\n{\"b\":2}\n", "{\"a\":1}\n{\"b\":2}\n", []string{`{"a":1}`, `{"b":2}`}},
		{"torn", "{\"a\":1}\n{\"b\":", "{\"a\":1}\n", []string{`{"a":1}`}},
		{"only its line end is missing", "{\"a\":1}\n{\"b\":2}", "{\"a\":1}\n{\"b\":2}\n", []string{`{"a":1}`, `{"b":2}`}},
		{"torn first line", "{\"a\"", "", nil},
		{"zeros after a power cut", "{\"a\":1}\n\x00\x00\x00", "{\"a\":1}\n", []string{`{"a":1}`}},
		{"brace inside a string", "{\"a\":1}\n{\"b\":\"}", "{\"a\":1}\n", []string{`{"a":1}`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.jsonl")
			if err := os.WriteFile(path, []byte(row.before), 0o600); err != nil {
				t.Fatal(err)
			}
			l, lines := open(t, path)
			if diff := cmp.Diff(row.lines, lines); diff != "" {
				t.Errorf("lines read back (-want +got):\n%s", diff)
			}
			if err := l.Append([]byte("{\"z\":0}\n")); err != nil {
				t.Fatal(err)
			}
			got, _ := os.ReadFile(path)
			if want := row.after + "{\"z\":0}\n"; string(got) != want {
				t.Errorf("file is %q, want %q", got, want)
			}
		})
	}
}

func TestLinesLeaveAForeignFileAlone(t *testing.T) {
	for _, row := range []struct{ name, content string }{
		{"text without a line end", "root:x:0:0"},
		{"one huge line", strings.Repeat("x", tailLimit+1)},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "passwd")
			if err := os.WriteFile(path, []byte(row.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenLines(path, func([]byte) {}); err == nil {
				t.Fatal("opened a file that is not of JSON lines")
			}
			if got, _ := os.ReadFile(path); string(got) != row.content {
				t.Error("changed the file")
			}
		})
	}
	if _, err := OpenLines(t.TempDir(), func([]byte) {}); err == nil {
		t.Error("opened a directory")
	}
}

func TestLinesReadBackTheTailOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.jsonl")
	line := `{"p":"` + strings.Repeat("x", 1000) + `"}`
	if err := os.WriteFile(path, []byte(strings.Repeat(line+"\n", 10_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, lines := open(t, path)
	if len(lines) < 8000 || len(lines) >= 10_000 {
		t.Fatalf("read %d lines back, want those of the last 8 MiB", len(lines))
	}
	if lines[0] != line {
		t.Errorf("the first line lost its head: %.20q", lines[0])
	}
}

// tight is a file on a disk that is nearly full.
type tight struct {
	*os.File
	room                   int
	failSync, failToShrink bool
}

func (f *tight) Write(p []byte) (int, error) {
	if len(p) <= f.room {
		f.room -= len(p)
		return f.File.Write(p)
	}
	n, _ := f.File.Write(p[:f.room])
	f.room = 0
	return n, &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
}

func (f *tight) Sync() error {
	if f.failSync {
		return &os.PathError{Op: "sync", Path: f.Name(), Err: syscall.EIO}
	}
	return f.File.Sync()
}

func (f *tight) Truncate(size int64) error {
	if f.failToShrink {
		return syscall.EIO
	}
	return f.File.Truncate(size)
}

func TestLinesLeaveNoHalfLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.jsonl")
	l, _ := open(t, path)
	disk := &tight{File: l.file.(*os.File), room: 12}
	l.file = disk
	content := func(want string) {
		t.Helper()
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Fatalf("file is %q, want %q", got, want)
		}
	}
	if err := l.Append([]byte("{\"a\":1}\n")); err != nil {
		t.Fatal(err)
	}

	err := l.Append([]byte("{\"b\":22222222}\n"))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free space") {
		t.Fatalf("Append on a full disk = %v, want ENOSPC and what to do", err)
	}
	content("{\"a\":1}\n")

	disk.room, disk.failToShrink = 4, true
	if err := l.Append([]byte("{\"b\":2}\n")); err == nil {
		t.Fatal("Append succeeded on a full disk")
	}
	content("{\"a\":1}\n{\"b\"") // it could not be cut off yet
	disk.room = 100
	if err := l.Append([]byte("{\"b\":2}\n")); err == nil {
		t.Fatal("Append wrote behind half a line")
	}
	disk.failToShrink = false
	if err := l.Append([]byte("{\"b\":2}\n")); err != nil {
		t.Fatal(err)
	}
	content("{\"a\":1}\n{\"b\":2}\n")

	disk.failSync = true
	if err := l.Append([]byte("{\"c\":3}\n")); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Append that does not reach the disk = %v, want EIO", err)
	}
	content("{\"a\":1}\n{\"b\":2}\n")
}

func TestLinesSurviveBeingEmptied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.jsonl")
	l, _ := open(t, path)
	disk := &tight{File: l.file.(*os.File), room: 12, failToShrink: true}
	l.file = disk
	_ = l.Append([]byte("{\"a\":1}\n"))
	_ = l.Append([]byte("{\"b\":2}\n")) // torn
	disk.room, disk.failToShrink = 100, false
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]byte("{\"c\":3}\n")); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "{\"c\":3}\n" {
		t.Errorf("file is %q, want the one line", got)
	}
}

func TestLinesMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.jsonl")
	l, _ := open(t, path)
	check := func(want bool) {
		t.Helper()
		if got, err := l.Moved(); err != nil || got != want {
			t.Fatalf("Moved() = %v, %v; want %v", got, err, want)
		}
	}
	check(false)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	check(true)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check(true)
}
