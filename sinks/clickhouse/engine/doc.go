// Package engine runs the ClickHouse engine (libchdb) as a child process of the
// program that calls it.
//
// It owns the library's location, the child's life, its data directory and its
// credentials. It knows no table and no ClickHouse client: the store in
// sinks/clickhouse is given an address, a user and a password, exactly as for a
// server somewhere else. It is started by cmd/internal/app when no server is
// configured, and by tests.
//
// # Design, 2026-11
//
// The engine is a process of its own, made by executing our own binary again
// (see [Child]): a crash or a query that runs out of memory ends the child and
// not the pipeline, its memory is bounded by a configuration file, and the
// pipeline keeps its signals. The child loads the library with purego, so no C
// compiler is needed; the price is that a program importing this package is
// linked dynamically, against glibc on Linux.
//
// libchdb contains clickhouse-local, whose SYSTEM START LISTEN (from 26.6)
// opens ClickHouse's own native protocol listener. Three things must hold
// around it:
//
//   - Something must keep the client session busy. Its last query reads a pipe
//     that never has data; closing the write end is a clean stop. The child
//     closes it when the parent does (or dies) and on SIGTERM.
//   - Standard input must be a terminal. Without one clickhouse-local installs
//     an error handler that aborts the process when any connection breaks its
//     handshake: a wrong password, a port scan
//     (https://github.com/ClickHouse/ClickHouse/issues/115666). The child
//     therefore opens a pseudo terminal on Linux.
//   - The session needs a user named default without a password on loopback. It
//     may hold one session, which is the session of the engine itself, so nobody
//     else can come in by it. Clients use the user stepdown, with a random
//     password and without the grants that read files or open network
//     connections.
//
// The data directory holds lock, password, engine.xml, users.xml, engine.log
// (rotated), stderr.log and data/. The lock is an flock shared by parent and
// child: it lasts as long as the child does, whatever happens to the parent.
// The engine serves the native protocol only, on 127.0.0.1 only, without TLS.
package engine
