// Package cli is the command line: one file per group of verbs. It owns flags,
// help, exit codes and what people see on the terminal; cmd/internal/app does
// the work. cmd/stepdown calls Run.
//
// Exit codes: 0 done, 1 something failed, 2 wrong usage, 69 something that is
// needed is not reachable or not installed, 78 the configuration is wrong.
package cli
