package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// lockWait is how long Start waits for an engine that is just stopping, as
// after a crash of its parent: as long as that one may take.
const lockWait = childGrace + time.Second

// prepareDir makes the data directory, checks that there is room in it and
// takes its lock. The lock is held by every process that has the returned file
// open.
func prepareDir(ctx context.Context, dir string, minFree int64) (*os.File, error) {
	if dir == "" {
		return nil, errors.New("engine data directory is not set")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create engine data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write to engine data directory: %w", err)
	}
	if err := checkFree(dir, minFree/2, "half of min_free_bytes, the engine does not start"); err != nil {
		lock.Close()
		return nil, err
	}
	if err := takeLock(ctx, lock); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

func takeLock(ctx context.Context, lock *os.File) error {
	deadline := time.Now().Add(lockWait)
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("lock engine data directory: %w", err)
		case time.Now().After(deadline):
			pid, _ := io.ReadAll(io.LimitReader(lock, 20))
			return fmt.Errorf("engine data directory %s is in use by process %s: stop it, or choose another directory",
				filepath.Dir(lock.Name()), strings.TrimSpace(string(pid)))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// writePID leaves the pid of the engine in its lock file, for whoever finds it locked.
func writePID(lock *os.File, pid int) error {
	if err := lock.Truncate(0); err != nil {
		return fmt.Errorf("write engine lock: %w", err)
	}
	if _, err := lock.WriteAt(fmt.Appendf(nil, "%d\n", pid), 0); err != nil {
		return fmt.Errorf("write engine lock: %w", err)
	}
	return nil
}

// checkFree reports an error when less than need bytes are free in dir; what
// says what need is and what follows.
func checkFree(dir string, need int64, what string) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("measure free space: %w", err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < uint64(need) {
		return fmt.Errorf("engine data directory %s has %d MiB free, less than %d MiB (%s): make room, or choose another directory",
			dir, free>>20, need>>20, what)
	}
	return nil
}
