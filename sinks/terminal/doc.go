// Package terminal is the sink that prints alerts for a person who is watching:
// one block per revision, the severity as a word.
//
// It owns the layout and the colours. It refuses escape sequences that are not
// its own: every other text goes through sinks.Clean, so that a user agent cannot
// repaint the screen of the analyst. cmd/internal/app makes it for `stepdown run`.
//
// # Design, 2026-11
//
// A terminal cannot be asked what it shows. The sink remembers the alerts of its
// own lifetime; after a restart a redelivered alert is printed again, which is
// better than not at all.
package terminal
