//go:build unix

package file

import (
	"io/fs"
	"syscall"
)

// idOf returns what the system knows the file at path by.
func idOf(_ string, info fs.FileInfo) fileID {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}
	}
	return fileID{Device: uint64(st.Dev), Inode: uint64(st.Ino)} //nolint:unconvert // signed or shorter on other systems
}
