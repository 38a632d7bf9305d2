package engine

import (
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttr gives the child a process group of its own, so that Ctrl-C in a
// terminal leaves it up until the parent has written what it holds, and a
// SIGTERM when the parent dies.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// ownExecutable names the program that runs, and not what an upgrade has put in
// its place meanwhile.
func ownExecutable() (string, error) { return "/proc/self/exe", nil }

// openTerminal makes standard input a pseudo terminal and returns the side that types.
func openTerminal() (io.WriteCloser, error) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /dev/ptmx", err)
	}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return nil, os.NewSyscallError("unlock terminal", err)
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return nil, os.NewSyscallError("name terminal", err)
	}
	slave, err := unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open terminal", err)
	}
	if err := unix.Dup2(slave, 0); err != nil {
		return nil, os.NewSyscallError("redirect standard input", err)
	}
	return os.NewFile(uintptr(master), "terminal"), nil
}
