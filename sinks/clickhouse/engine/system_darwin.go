package engine

import (
	"io"
	"os"
	"syscall"
)

// childAttr gives the child a process group of its own, so that Ctrl-C in a
// terminal leaves it up until the parent has written what it holds.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func ownExecutable() (string, error) { return os.Executable() }

// openTerminal leaves standard input alone: on macOS a broken handshake may end
// the engine, and the caller learns it from [Engine.Done].
func openTerminal() (io.WriteCloser, error) { return os.Open(os.DevNull) }
