package clickhouse

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"stepdown/sinks/clickhouse/engine"
	"stepdown/sinks/clickhouse/engine/enginetest"
)

// TestBrokenPartIsFoundAndFilledAgain empties a file of a part, as a disk that
// lost power may.
func TestBrokenPartIsFoundAndFilledAgain(t *testing.T) {
	cfg := engine.DefaultConfig()
	cfg.DataDir = t.TempDir()
	e := enginetest.StartConfig(t, cfg)
	s := open(t, configFor(e))
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.InsertEvents(t.Context(), synthetic(300)); err != nil {
		t.Fatal(err)
	}
	if parts, err := s.BrokenParts(t.Context()); err != nil || len(parts) != 0 {
		t.Fatalf("BrokenParts() of a whole table = %v, %v", parts, err)
	}
	var part string
	if err := s.conn.QueryRow(t.Context(), "SELECT path FROM system.parts WHERE table = 'events' AND active").Scan(&part); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(part) {
		part = filepath.Join(cfg.DataDir, part)
	}
	if err := os.Truncate(filepath.Join(part, "checksums.txt"), 0); err != nil {
		t.Fatal(err)
	}

	s = open(t, configFor(enginetest.StartConfig(t, cfg)))
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	parts, err := s.BrokenParts(t.Context())
	if err != nil || len(parts) != 1 || parts[0].Table != tableEvents || parts[0].Bytes == 0 {
		t.Fatalf("BrokenParts() = %+v, %v, want the part of events", parts, err)
	}
	insert := func() uint64 {
		t.Helper()
		if err := s.InsertEvents(t.Context(), synthetic(300)); err != nil {
			t.Fatal(err)
		}
		return number(t, s, "SELECT count() FROM {db}.events")
	}
	if n := insert(); n != 0 {
		t.Errorf("%d rows: the server was to take the block for a repeat, else there is nothing to forget", n)
	}
	if err := s.ForgetBlocks(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := insert(); n != 300 {
		t.Errorf("%d rows after the blocks are forgotten, want 300", n)
	}
	if n := insert(); n != 300 {
		t.Errorf("%d rows after a repeat, want 300: blocks are remembered again", n)
	}
}
