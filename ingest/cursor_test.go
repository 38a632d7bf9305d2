package ingest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFileCursors(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "cursors")
	store, err := NewFileCursors(dir)
	if err != nil {
		t.Fatal(err)
	}
	inputs := []string{"okta", "okta/eu", "../okta", "okta eu"}
	for _, input := range inputs {
		if got, err := store.Load(input); got != nil || err != nil {
			t.Errorf("Load(%q) of nothing = %s, %v", input, got, err)
		}
		for _, cursor := range []string{`{"old":1}`, `{"new":"` + input + `"}`} {
			if err := store.Save(input, json.RawMessage(cursor)); err != nil {
				t.Errorf("Save(%q): %v", input, err)
			}
		}
	}
	again, err := NewFileCursors(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, input := range inputs {
		if got, err := again.Load(input); string(got) != `{"new":"`+input+`"}` || err != nil {
			t.Errorf("Load(%q) = %s, %v", input, got, err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(inputs) {
		t.Errorf("%d files for %d inputs: %v", len(files), len(inputs), files)
	}
}

func TestFileCursorsErrors(t *testing.T) {
	dir := t.TempDir()
	store, err := NewFileCursors(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "okta.json"), []byte(`{"half`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Load("okta"); err == nil || !strings.Contains(err.Error(), "okta.json") || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("Load of half a cursor = %v, want an error that names the file and the way out", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := store.Save("okta", json.RawMessage(`1`)); err == nil {
		t.Error("Save into a directory that is gone: no error")
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewFileCursors(filepath.Join(dir, "x")); err == nil {
		t.Error("NewFileCursors under a file: no error")
	}
}
