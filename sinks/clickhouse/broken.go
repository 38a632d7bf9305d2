package clickhouse

import (
	"context"
	"fmt"
)

// BrokenPart is a part of a table of ours that the server found broken when it
// loaded the table, and set aside. Its rows are not in the table.
type BrokenPart struct {
	Table, Name string
	Bytes       uint64
}

// BrokenParts lists them. What a person detached is not among them.
func (s *Store) BrokenParts(ctx context.Context) ([]BrokenPart, error) {
	rows, err := s.conn.Query(ctx, "SELECT table, name, bytes_on_disk FROM system.detached_parts"+
		" WHERE database = ? AND table IN ? AND reason LIKE 'broken%' ORDER BY table, name", s.cfg.Database, tables())
	if err != nil {
		return nil, fmt.Errorf("query broken parts: %w", err)
	}
	defer rows.Close()
	var parts []BrokenPart
	for rows.Next() {
		var p BrokenPart
		if err := rows.Scan(&p.Table, &p.Name, &p.Bytes); err != nil {
			return nil, fmt.Errorf("read broken part: %w", err)
		}
		parts = append(parts, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("query broken parts: %w", err)
	}
	return parts, nil
}

// blocksRemembered is the window of the migrations.
const blocksRemembered = 10_000

// ForgetBlocks makes the server forget which blocks it was given, so that a
// block whose rows were lost is written again.
func (s *Store) ForgetBlocks(ctx context.Context) error {
	for _, table := range tables() {
		for _, window := range []int{0, blocksRemembered} {
			statement := fmt.Sprintf("ALTER TABLE {db}.%s MODIFY SETTING non_replicated_deduplication_window = %d", table, window)
			if err := s.execute(ctx, statement); err != nil {
				return fmt.Errorf("forget the blocks of %s: %w", table, err)
			}
		}
	}
	return nil
}
