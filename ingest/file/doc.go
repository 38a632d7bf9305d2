// Package file reads provider logs from files and standard input.
//
// It owns the way from bytes on a disk to one JSON value per record: NDJSON,
// JSON arrays, concatenated and pretty-printed JSON, the envelopes in which
// providers deliver (Okta event hooks, EventBridge, {"records":[…]} of Azure
// and AWS, pages of Microsoft Graph), gzip and zstd, rotation, and a cursor that
// neither loses nor repeats. It refuses to know what a record means.
// cmd/internal/app makes a [Source] of each file input; the command line reads
// with it too.
//
// # Design, 2026-11
//
// A value is framed by its brackets, not parsed: the normalizer parses it, once.
// A value that breaks off is given up at the next line that begins like it did,
// so that one broken line costs itself and nothing behind it. What is broken or
// too long becomes a record with Err and the bytes, for the dead-letter topic.
//
// Several logs in one input are read side by side, the earliest record first, since
// detection takes what comes hours late as too late. The time of a record is told
// by its normalizer, which then reads it twice: that costs only while two files
// have something unread.
//
// A file is recognized by what it holds. Its identity is device, inode and a
// hash of its first KiB; its position is an offset into the uncompressed bytes
// with a hash of the bytes before it. So a file that was renamed goes on where it
// was, one that was truncated begins anew, and the copy or the compressed copy
// that a rotation leaves is known for what was read already. A copy of fewer than
// 256 bytes cannot be told apart and is read again; detection absorbs repeats.
package file
