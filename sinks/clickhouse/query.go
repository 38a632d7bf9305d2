package clickhouse

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Rows is the result of a query of a person: the columns' names and ClickHouse's
// names of their types, and each value as text.
type Rows struct {
	Columns []string
	Types   []string
	Rows    [][]string
}

// Query runs one statement of a person who looks around and returns at most
// limit rows; more tells that there were others. It only reads. Tables need their
// database before them: stepdown.alerts.
func (s *Store) Query(ctx context.Context, sql string, limit int) (out Rows, more bool, err error) {
	rows, err := s.conn.Query(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"readonly": 2})), sql)
	if err != nil {
		return Rows{}, false, fmt.Errorf("query: %w", err)
	}
	defer rows.Close()
	out.Columns = rows.Columns()
	types := rows.ColumnTypes()
	for _, t := range types {
		out.Types = append(out.Types, t.DatabaseTypeName())
	}
	for rows.Next() {
		if len(out.Rows) == limit {
			return out, true, nil
		}
		values := make([]any, len(types))
		for i, t := range types {
			values[i] = reflect.New(t.ScanType()).Interface()
		}
		if err := rows.Scan(values...); err != nil {
			return Rows{}, false, fmt.Errorf("query: %w", err)
		}
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = text(reflect.ValueOf(v).Elem().Interface())
		}
		out.Rows = append(out.Rows, row)
	}
	if err := rows.Err(); err != nil {
		return Rows{}, false, fmt.Errorf("query: %w", err)
	}
	return out, false, nil
}

// text is a value for people.
func text(v any) string {
	switch v := v.(type) {
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04:05.000")
	case string:
		return v
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer {
		if r.IsNil() {
			return "NULL"
		}
		return text(r.Elem().Interface())
	}
	return fmt.Sprint(v)
}
