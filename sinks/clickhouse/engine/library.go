package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// LibraryEnv names the environment variable with the path of the engine library.
const LibraryEnv = "STEPDOWN_CLICKHOUSE_LIBRARY"

// ErrNotInstalled reports that the engine library was not found. The program
// works without it, so a caller says how to get it and goes on.
var ErrNotInstalled = errors.New("clickhouse engine is not installed: run 'make engine', or name libchdb in " + LibraryEnv)

// ErrUnsupported reports a system for which there is no engine library.
var ErrUnsupported = errors.New("clickhouse engine needs Linux with glibc or macOS, on amd64 or arm64: configure a ClickHouse server instead")

// Library is an engine library that exists on this machine.
type Library struct {
	// Path is the absolute path of libchdb.
	Path string
	// Origin says what led to it, for a log line: "configuration",
	// "environment", "executable", "working directory" or "user cache".
	Origin string
}

// Locate finds the engine library. explicit is the path from the configuration;
// when it is set, or else when [LibraryEnv] is, that file must exist. Otherwise
// Locate looks for deploy/engine/node_modules beside the folder of the
// executable, then in the working directory, then in stepdown/engine in the
// user's cache directory. It returns [ErrNotInstalled] or [ErrUnsupported],
// possibly wrapped, when there is none.
func Locate(explicit string) (Library, error) {
	for _, given := range []Library{
		{Path: explicit, Origin: "configuration"},
		{Path: os.Getenv(LibraryEnv), Origin: "environment"},
	} {
		if given.Path == "" {
			continue
		}
		return given.check()
	}
	pkg, err := packageName(runtime.GOOS, runtime.GOARCH, hasMusl())
	if err != nil {
		return Library{}, err
	}
	for _, l := range candidates(pkg) {
		if found, err := l.check(); err == nil {
			return found, nil
		}
	}
	return Library{}, ErrNotInstalled
}

// check returns l with an absolute path, or an error when there is no such file.
func (l Library) check() (Library, error) {
	info, err := os.Stat(l.Path)
	if err != nil {
		return Library{}, fmt.Errorf("%w: %s names %w", ErrNotInstalled, l.Origin, err)
	}
	if info.IsDir() {
		return Library{}, fmt.Errorf("%w: %s names a directory: %s", ErrNotInstalled, l.Origin, l.Path)
	}
	l.Path, err = filepath.Abs(l.Path)
	return l, err
}

// candidates lists where the npm package pkg may have been installed, best first.
func candidates(pkg string) []Library {
	file := filepath.Join("node_modules", "@chdb", pkg, "libchdb.so")
	var list []Library
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		list = append(list, Library{filepath.Join(filepath.Dir(exe), "..", "deploy", "engine", file), "executable"})
	}
	list = append(list, Library{filepath.Join("deploy", "engine", file), "working directory"})
	if dir, err := os.UserCacheDir(); err == nil {
		list = append(list, Library{filepath.Join(dir, "stepdown", "engine", file), "user cache"})
	}
	return list
}

// packageName is the name, within the scope @chdb, of the npm package for a platform.
func packageName(goos, goarch string, musl bool) (string, error) {
	arch, ok := map[string]string{"amd64": "x64", "arm64": "arm64"}[goarch]
	switch {
	case ok && goos == "linux" && !musl:
		return "lib-linux-" + arch + "-gnu", nil
	case ok && goos == "darwin":
		return "lib-darwin-" + arch, nil
	}
	return "", ErrUnsupported
}

// hasMusl reports whether the system's C library is musl, for which there is no
// engine library.
func hasMusl() bool {
	loaders, _ := filepath.Glob("/lib/ld-musl-*.so.1")
	glibc, _ := filepath.Glob("/lib*/ld-linux-*.so.*")
	return len(loaders) > 0 && len(glibc) == 0
}
