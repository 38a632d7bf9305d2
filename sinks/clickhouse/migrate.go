package clickhouse

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// errNewerSchema reports a database that a newer build has migrated: this build
// might write what that one does not expect. Upgrade, or restore the database
// from before.
var errNewerSchema = errors.New("clickhouse schema is newer than this build")

// migration is one step of the schema.
type migration struct {
	version  uint32
	name     string
	checksum string
	// applied is when the step was completed; zero when it was not.
	applied    time.Time
	statements []string
}

const createMigrations = `CREATE TABLE IF NOT EXISTS {db}.schema_migrations
(
    version    UInt32,
    name       String,
    checksum   String,
    applied_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY version`

// Migrate creates the database and brings its schema up to that of this build,
// then sets the retention of the configuration. It does nothing where nothing
// is to be done. Every statement of a step can be repeated, so that a step that
// was interrupted is done again from its beginning. It returns an error that
// wraps errNewerSchema for a schema from the future, and one for a step that
// was applied with another text.
func (s *Store) Migrate(ctx context.Context) error { return s.migrate(ctx, migrationFiles) }

func (s *Store) migrate(ctx context.Context, files fs.FS) error {
	for _, statement := range []string{"CREATE DATABASE IF NOT EXISTS {db}", createMigrations} {
		if err := s.execute(ctx, statement); err != nil {
			return fmt.Errorf("prepare clickhouse schema: %w", err)
		}
	}
	steps, err := s.status(ctx, files)
	if err != nil {
		return err
	}
	for _, step := range steps {
		if !step.applied.IsZero() {
			continue
		}
		for _, statement := range step.statements {
			if err := s.execute(ctx, statement); err != nil {
				return fmt.Errorf("apply migration %04d_%s: %w", step.version, step.name, err)
			}
		}
		insert := "INSERT INTO {db}.schema_migrations SELECT ?, ?, ?, now64(3)"
		if err := s.execute(ctx, insert, step.version, step.name, step.checksum); err != nil {
			return fmt.Errorf("record migration %04d_%s: %w", step.version, step.name, err)
		}
		s.log.Info("clickhouse schema migrated", slog.Uint64("version", uint64(step.version)), slog.String("name", step.name))
	}
	for table, keep := range map[string]time.Duration{tableEvents: s.cfg.Retention.Events, tableAlerts: s.cfg.Retention.Alerts} {
		if err := s.setRetention(ctx, table, keep); err != nil {
			return fmt.Errorf("set retention of %s: %w", table, err)
		}
	}
	return nil
}

// status lists the steps of files, oldest first, with the time when each was
// applied. A database that does not exist yet is no error.
func (s *Store) status(ctx context.Context, files fs.FS) ([]migration, error) {
	steps, err := readMigrations(files)
	if err != nil {
		return nil, err
	}
	exists, err := s.count(ctx, "SELECT count() FROM system.tables WHERE database = ? AND name = 'schema_migrations'", s.cfg.Database)
	if err != nil || exists == 0 {
		return steps, err
	}
	rows, err := s.conn.Query(ctx, s.sql("SELECT version, name, checksum, applied_at FROM {db}.schema_migrations FINAL ORDER BY version"))
	if err != nil {
		return nil, fmt.Errorf("read schema migrations: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var done migration
		if err := rows.Scan(&done.version, &done.name, &done.checksum, &done.applied); err != nil {
			return nil, fmt.Errorf("read schema migrations: %w", err)
		}
		if done.version == 0 || int(done.version) > len(steps) {
			return nil, fmt.Errorf("%w: it has migration %04d_%s, this build knows %d", errNewerSchema, done.version, done.name, len(steps))
		}
		step := &steps[done.version-1]
		if step.checksum != done.checksum {
			return nil, fmt.Errorf("migration %04d_%s was applied with another text: this build does not belong to the schema of database %s",
				done.version, done.name, s.cfg.Database)
		}
		step.applied = done.applied
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read schema migrations: %w", err)
	}
	return steps, nil
}

// readMigrations reads migrations/NNNN_name.sql, which must be numbered from
// 0001 without gaps. A statement ends with a semicolon at the end of its line.
func readMigrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var steps []migration
	for i, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		number, title, _ := strings.Cut(strings.TrimSuffix(path.Base(name), ".sql"), "_")
		version, err := strconv.ParseUint(number, 10, 32)
		if err != nil || version != uint64(i+1) || len(number) != 4 || title == "" {
			return nil, fmt.Errorf("migration %s is not the %d. by its name", name, i+1)
		}
		sum := sha256.Sum256(text)
		step := migration{version: uint32(version), name: title, checksum: hex.EncodeToString(sum[:])}
		for statement := range strings.SplitSeq(string(text), ";\n") {
			if strings.TrimSpace(statement) != "" {
				step.statements = append(step.statements, statement)
			}
		}
		steps = append(steps, step)
	}
	return steps, nil
}

var ttlDays = regexp.MustCompile(`TTL .*toIntervalDay\((\d+)\)`)

// setRetention changes the TTL of a table when it differs. Parts learn of it
// when they are merged.
func (s *Store) setRetention(ctx context.Context, table string, keep time.Duration) error {
	var create string
	err := s.conn.QueryRow(ctx, "SELECT create_table_query FROM system.tables WHERE database = ? AND name = ?", s.cfg.Database, table).Scan(&create)
	if err != nil {
		return err
	}
	days := strconv.Itoa(int(keep / day))
	if found := ttlDays.FindStringSubmatch(create); found != nil && found[1] == days {
		return nil
	}
	return s.execute(ctx, "ALTER TABLE {db}."+table+" MODIFY TTL toDateTime(time) + toIntervalDay("+days+") SETTINGS materialize_ttl_after_modify = 0")
}

// sql puts the name of the database into a statement.
func (s *Store) sql(statement string) string {
	return strings.ReplaceAll(statement, "{db}", s.cfg.Database)
}

func (s *Store) execute(ctx context.Context, statement string, args ...any) error {
	return s.conn.Exec(ctx, s.sql(statement), args...)
}

// count returns the only value of a query.
func (s *Store) count(ctx context.Context, query string, args ...any) (uint64, error) {
	var n uint64
	if err := s.conn.QueryRow(ctx, s.sql(query), args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("query clickhouse: %w", err)
	}
	return n, nil
}
