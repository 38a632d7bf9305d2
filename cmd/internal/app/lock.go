package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lock keeps the part of the data directory that a role writes for this process:
// two that save cursors, or messages, in one place would undo each other's.
func (a *App) lock(role string) error {
	path := filepath.Join(a.cfg.DataDir, role+".lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("data_dir: lock %s: %w", path, err)
		}
		pid, _ := io.ReadAll(io.LimitReader(f, 20))
		return fmt.Errorf("data_dir: %s is used by process %s, which runs the role %s; stop it, or give this one another data_dir",
			a.cfg.DataDir, strings.TrimSpace(string(pid)), role)
	}
	a.onClose(role+" lock", func(context.Context) error { return f.Close() })
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	if _, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	return nil
}
