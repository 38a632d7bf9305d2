package enginetest

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"stepdown/sinks/clickhouse/engine"
)

// requireEnv makes an absent library a failure. So does CI=true.
const requireEnv = "STEPDOWN_REQUIRE_ENGINE"

// Library returns the path of the engine library, which it also looks for in
// deploy/engine of this module. Without one the test is skipped, or fails where
// CI=true or STEPDOWN_REQUIRE_ENGINE=1 promised it.
func Library(t testing.TB) string {
	t.Helper()
	lib, err := engine.Locate(os.Getenv(engine.LibraryEnv))
	if errors.Is(err, engine.ErrNotInstalled) && os.Getenv(engine.LibraryEnv) == "" {
		lib, err = inModule()
	}
	switch {
	case err == nil:
		return lib.Path
	case os.Getenv("CI") == "true" || os.Getenv(requireEnv) == "1":
		t.Fatalf("this test must not be skipped here: %v", err)
	default:
		t.Skipf("skipped: %v", err)
	}
	return ""
}

// inModule locates the library as a program started in the module's root would.
func inModule() (engine.Library, error) {
	dir, err := os.Getwd()
	if err != nil {
		return engine.Library{}, err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
			continue
		}
		found, err := fs.Glob(os.DirFS(dir), "deploy/engine/node_modules/@chdb/*/libchdb.so")
		if err != nil || len(found) == 0 {
			break
		}
		return engine.Locate(filepath.Join(dir, found[0]))
	}
	return engine.Library{}, engine.ErrNotInstalled
}

// Start runs an engine in a temporary directory until the end of the test.
// TestMain must call [engine.Child].
func Start(t testing.TB) *engine.Engine {
	t.Helper()
	cfg := engine.DefaultConfig()
	cfg.DataDir = t.TempDir()
	return StartConfig(t, cfg)
}

// StartConfig is [Start] with a configuration; the library is found when it is
// not named.
func StartConfig(t testing.TB, cfg engine.Config) *engine.Engine {
	t.Helper()
	if cfg.Library == "" {
		cfg.Library = Library(t)
	}
	e, err := engine.Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close(context.Background()) })
	return e
}
