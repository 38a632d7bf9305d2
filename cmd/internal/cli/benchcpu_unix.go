//go:build unix

package cli

import (
	"syscall"
	"time"
)

// processorTime is what the process has used of processors, 0 where it is not known.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
