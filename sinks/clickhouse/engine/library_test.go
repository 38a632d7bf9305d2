package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPackageName(t *testing.T) {
	for _, tc := range []struct {
		name, goos, goarch string
		musl               bool
		want               string
	}{
		{"linux amd64", "linux", "amd64", false, "lib-linux-x64-gnu"},
		{"linux arm64", "linux", "arm64", false, "lib-linux-arm64-gnu"},
		{"mac", "darwin", "arm64", false, "lib-darwin-arm64"},
		{"musl", "linux", "amd64", true, ""},
		{"386", "linux", "386", false, ""},
		{"freebsd", "freebsd", "amd64", false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := packageName(tc.goos, tc.goarch, tc.musl)
			if got != tc.want || (err != nil) != (tc.want == "") {
				t.Errorf("packageName() = %q, %v, want %q", got, err, tc.want)
			}
			if err != nil && !errors.Is(err, ErrUnsupported) {
				t.Errorf("error %v is not ErrUnsupported", err)
			}
		})
	}
}

func TestLocate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	absent := file + ".absent"
	pkg, err := packageName("linux", "amd64", false)
	if err != nil {
		t.Fatal(err)
	}
	installed := func(t *testing.T, root ...string) string {
		t.Helper()
		path := filepath.Join(append(root, "node_modules", "@chdb", pkg, "libchdb.so")...)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tc := range []struct {
		name     string
		explicit string
		env      string
		install  func(t *testing.T, work, cache string) string
		origin   string // empty when nothing is found
	}{
		{"configured", file, absent, nil, "configuration"},
		{"configured but absent", absent, file, nil, ""},
		{"environment", "", file, nil, "environment"},
		{"environment but absent", "", absent, nil, ""},
		{"directory", t.TempDir(), "", nil, ""},
		{"working directory", "", "", func(t *testing.T, work, cache string) string {
			installed(t, cache, "stepdown", "engine")
			return installed(t, work, "deploy", "engine")
		}, "working directory"},
		{"user cache", "", "", func(t *testing.T, _, cache string) string {
			return installed(t, cache, "stepdown", "engine")
		}, "user cache"},
		{"nowhere", "", "", nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			work, cache := t.TempDir(), t.TempDir()
			t.Chdir(work)
			t.Setenv("XDG_CACHE_HOME", cache)
			t.Setenv(LibraryEnv, tc.env)
			want := file
			if tc.install != nil {
				want = tc.install(t, work, cache)
			}
			got, err := Locate(tc.explicit)
			if tc.origin == "" {
				if !errors.Is(err, ErrNotInstalled) || strings.Contains(err.Error(), "\n") {
					t.Fatalf("Locate() = %v, %v, want one line of ErrNotInstalled", got, err)
				}
				return
			}
			if err != nil || got.Path != want || got.Origin != tc.origin {
				t.Errorf("Locate() = %+v, %v, want %s from %s", got, err, want, tc.origin)
			}
		})
	}
}

func TestCheckFree(t *testing.T) {
	dir := t.TempDir()
	if err := checkFree(dir, 1, "needed"); err != nil {
		t.Errorf("one byte: %v", err)
	}
	if err := checkFree(dir, 1<<62, "needed"); err == nil || !strings.Contains(err.Error(), "MiB free") {
		t.Errorf("more than any disk: %v", err)
	}
}
