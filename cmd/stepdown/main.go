// Command stepdown finds the moments when less than a passkey was accepted.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"stepdown/cmd/internal/cli"
	"stepdown/sinks/clickhouse/engine"
)

// version is set by the linker.
var version = "unknown"

func main() {
	engine.Child() // never returns in the engine's process
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	code := cli.Run(ctx, os.Args[1:], cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Version: version})
	stop()
	os.Exit(code)
}
