package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
)

// CursorStore keeps the cursor of each input.
type CursorStore interface {
	// Load returns what Save stored last, nil when that is nothing.
	Load(input string) (json.RawMessage, error)
	// Save returns when the cursor would survive a crash of the machine.
	Save(input string, cursor json.RawMessage) error
}

// FileCursors keeps each cursor in a file of its own, <input>.json, in one
// directory. One process uses a directory.
type FileCursors struct{ dir string }

// NewFileCursors returns a store in dir, which it makes where it is missing.
func NewFileCursors(dir string) (*FileCursors, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make cursor directory: %w", err)
	}
	return &FileCursors{dir: dir}, nil
}

func (c *FileCursors) path(input string) string {
	return filepath.Join(c.dir, url.PathEscape(input)+".json")
}

// Load implements CursorStore. A file that holds no JSON is an error: starting
// over in silence would repeat or skip what it stood for.
func (c *FileCursors) Load(input string) (json.RawMessage, error) {
	data, err := os.ReadFile(c.path(input))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load cursor: %w", err)
	}
	if !json.Valid(data) {
		return nil, fmt.Errorf("load cursor: %s holds no JSON; delete it to start this input over", c.path(input))
	}
	return data, nil
}

// Save implements CursorStore: the file holds the old cursor or the new one,
// never a part.
func (c *FileCursors) Save(input string, cursor json.RawMessage) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("save cursor: %w", err)
		}
	}()
	tmp, err := os.CreateTemp(c.dir, ".cursor-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name()) // the first error is the one to tell
		}
	}()
	if _, err = tmp.Write(cursor); err == nil {
		err = tmp.Sync()
	}
	if errClose := tmp.Close(); err == nil {
		err = errClose
	}
	if err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), c.path(input)); err != nil {
		return err
	}
	return syncDir(c.dir)
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errClose := d.Close(); err == nil {
		err = errClose
	}
	return err
}
