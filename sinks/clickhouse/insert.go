package clickhouse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"stepdown/sinks"
)

// Server error codes that are about the values of a row. Errors about types are
// not among them: they mean that schema and build do not fit, which would bury
// every row.
const (
	codeTooLargeString     = 131
	codeOutOfRange         = 321
	codeViolatedConstraint = 469
)

// refused reports whether the server will never take one of the rows of a block.
func refused(err error) bool {
	var ex *clickhouse.Exception
	if !errors.As(err, &ex) {
		return false
	}
	switch ex.Code {
	case codeTooLargeString, codeOutOfRange, codeViolatedConstraint:
		return true
	}
	return false
}

// column is one column of a table and how it is filled from rows of type R.
type column[R any] struct {
	name   string
	append func(to driver.BatchColumn, rows []R) error
}

// value is a column with one value per row.
func value[R, V any](name string, get func(*R) V) column[R] {
	return column[R]{name, func(to driver.BatchColumn, rows []R) error {
		values := make([]V, len(rows))
		for i := range rows {
			values[i] = get(&rows[i])
		}
		return to.Append(values)
	}}
}

// list is a column with an array per row.
func list[R, V any](name string, get func(*R) []V) column[R] {
	return column[R]{name, func(to driver.BatchColumn, rows []R) error {
		for i := range rows {
			if err := to.AppendRow(get(&rows[i])); err != nil {
				return err
			}
		}
		return nil
	}}
}

// target is a table and how rows of type R get into it.
type target[R any] struct {
	table   string
	columns []column[R]
	// size is the text of a row in bytes.
	size func(*R) int
	// version writes what tells a row from every other and from other versions
	// of itself.
	version func(io.Writer, *R)
}

// token names a block by its rows. It does not come from offsets: a topic that
// was made anew has the offsets of the old one, and the server would take new
// rows for a repeat.
func (t target[R]) token(rows []R) string {
	h := sha256.New()
	for i := range rows {
		t.version(h, &rows[i])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// insert writes rows in blocks that keep to the limits of the configuration. A
// row that the server refuses is searched for by halving, and all of them are
// reported in one *sinks.RefusedError; the rows around it are written. After
// any other error nothing is promised, and the same rows are to be inserted
// again.
func insert[R any](ctx context.Context, s *Store, t target[R], rows []R) error {
	var bad sinks.RefusedError
	for at := 0; at < len(rows); {
		end, bytes := at, 0
		for end < len(rows) && end-at < s.cfg.MaxRows && (end == at || bytes+t.size(&rows[end]) <= s.cfg.MaxBytes) {
			bytes += t.size(&rows[end])
			end++
		}
		if err := insertHalving(ctx, s, t, rows, at, end, &bad); err != nil {
			return fmt.Errorf("insert into %s: %w", t.table, err)
		}
		at = end
	}
	if len(bad.Indexes) > 0 {
		bad.Err = fmt.Errorf("insert into %s: %w", t.table, bad.Err)
		return &bad
	}
	return nil
}

// insertHalving writes rows[at:end] and adds those that are refused to bad.
func insertHalving[R any](ctx context.Context, s *Store, t target[R], rows []R, at, end int, bad *sinks.RefusedError) error {
	err := insertBlock(ctx, s, t, rows[at:end])
	switch {
	case !refused(err):
		return err
	case end-at == 1:
		bad.Indexes, bad.Err = append(bad.Indexes, at), err
		return nil
	}
	middle := (at + end) / 2
	if err := insertHalving(ctx, s, t, rows, at, middle, bad); err != nil {
		return err
	}
	return insertHalving(ctx, s, t, rows, middle, end, bad)
}

// insertBlock writes rows as one block, all or none of them.
func insertBlock[R any](ctx context.Context, s *Store, t target[R], rows []R) (err error) {
	began := time.Now()
	defer func() {
		s.metrics.seconds.WithLabelValues(t.table).Observe(time.Since(began).Seconds())
		if err != nil {
			s.metrics.failed.WithLabelValues(t.table, reasonOf(err)).Inc()
			return
		}
		s.metrics.rows.WithLabelValues(t.table).Add(float64(len(rows)))
	}()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	// Not at once: the driver's Send leaves a goroutine behind that closes the
	// connection when it sees the end of ctx before that of Send, and by then the
	// connection is another insert's ("use of closed network connection").
	defer func() { time.AfterFunc(time.Second, cancel) }()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"insert_deduplication_token": t.token(rows),
		"async_insert":               0, // acknowledged means written
		// A back-fill may reach over more months than the server lets a
		// careless client write to at once.
		"max_partitions_per_insert_block": 1000,
	}))
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	batch, err := s.conn.PrepareBatch(ctx, "INSERT INTO "+s.table(t.table)+" ("+strings.Join(names, ", ")+")")
	if err != nil {
		return err
	}
	defer batch.Close() // gives the connection back when Send is not reached
	for i, c := range t.columns {
		if err := c.append(batch.Column(i), rows); err != nil {
			return fmt.Errorf("fill column %s: %w", c.name, err)
		}
	}
	return batch.Send()
}
