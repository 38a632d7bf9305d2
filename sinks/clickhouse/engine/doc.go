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
// # Design, 2026-11: a full disk
//
// libchdb 26.7 does not look whether write(2) has failed: the line that would
// throw is commented out in its WriteBufferFromFileDescriptor. On a full disk it
// therefore acknowledges rows, and replaces good parts by merged ones, whose
// files are empty. Two things keep that from happening:
//
//   - The engine is told to leave Config.MinFree bytes free. Below it inserts
//     are refused and no merge begins; queries are answered.
//   - Somebody else may take the rest while an insert or a merge is under way. So
//     on Linux the library's calls of write go through watchedWrite, which ends
//     the process at the first one that the disk does not take: before the part
//     is renamed to its final name, hence before anything is acknowledged or
//     replaced. The next start removes the unfinished part. It is done by one
//     pointer in the library's procedure linkage table; a library without it is
//     refused. Looking at the engine's own count of failed writes was the
//     alternative: it comes too late, when broken parts are in the table and
//     their tokens in its memory of blocks.
//
// On macOS there is only the first. The assembly for arm64 is vetted and was not
// run.
//
// [Keeper] starts an engine that has ended again, on the same port, as soon as
// there is half of MinFree.
//
// The data directory holds lock, password, engine.xml, users.xml, engine.log
// (rotated), stderr.log and data/. The lock is an flock shared by parent and
// child: it lasts as long as the child does, whatever happens to the parent.
// The engine serves the native protocol only, on 127.0.0.1 only, without TLS.
package engine
