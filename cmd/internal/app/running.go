package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"stepdown/cmd/internal/config"
	"stepdown/ingest/secret"
	"stepdown/sinks/clickhouse/engine"
)

// runningFile lies in the data directory while a process with embedded parts
// runs: their ports are the system's choice.
const runningFile = "running.json"

// running says where the embedded parts are; an empty address is none.
type running struct {
	Broker       string `json:"broker,omitempty"`
	Partitions   int    `json:"partitions,omitempty"`
	ClickHouse   string `json:"clickhouse,omitempty"`
	PasswordFile string `json:"password_file,omitempty"`
}

// announce leaves word for Locate, which commands beside this process call.
func (a *App) announce() error {
	var r running
	if len(a.cfg.Kafka.Brokers) == 0 {
		r.Broker, r.Partitions = a.broker, a.client.Partitions()
	}
	if a.embedded != nil {
		r.ClickHouse, r.PasswordFile = a.embedded.Addr(), a.embedded.PasswordFile()
	}
	if r == (running{}) {
		return nil
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("say where the embedded parts are: %w", err)
	}
	path := filepath.Join(a.cfg.DataDir, runningFile)
	if err := os.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("say where the embedded parts are: %w", err)
	}
	a.onClose("announcement", func(context.Context) error { return os.Remove(path) })
	return nil
}

// ErrKilled says that the process that has left word of its embedded parts is gone
// without taking it back.
var ErrKilled = errors.New("nobody listens there any more")

// Locate fills in where the embedded broker and engine of a running process
// with the same data directory are, unless cfg names others. Where none runs it
// leaves cfg as it is; where one was killed the error is ErrKilled.
func Locate(ctx context.Context, cfg *config.Config) error {
	if len(cfg.Kafka.Brokers) > 0 && (len(cfg.ClickHouse.Addresses) > 0 || cfg.ClickHouse.Disabled) {
		return nil
	}
	var r running
	data, err := os.ReadFile(filepath.Join(cfg.DataDir, runningFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("find the embedded parts: %w", err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("find the embedded parts: %s: %w", runningFile, err)
	}
	if err := r.listens(ctx); err != nil {
		return fmt.Errorf("find the embedded parts: %w: the `stepdown run` that wrote %s was killed; start it again",
			err, filepath.Join(cfg.DataDir, runningFile))
	}
	if len(cfg.Kafka.Brokers) == 0 && r.Broker != "" {
		cfg.Kafka.Brokers, cfg.Kafka.Partitions = []string{r.Broker}, r.Partitions
	}
	if ch := &cfg.ClickHouse; len(ch.Addresses) == 0 && r.ClickHouse != "" {
		ch.Addresses, ch.Username, ch.Password = []string{r.ClickHouse}, engine.User, secret.FromFile(r.PasswordFile)
	}
	return nil
}

// listens reports an error when one of the parts does not.
func (r running) listens(ctx context.Context) error {
	for _, address := range []string{r.Broker, r.ClickHouse} {
		if address == "" {
			continue
		}
		conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("%s: %w", address, ErrKilled)
		}
		if err := conn.Close(); err != nil {
			return err
		}
	}
	return nil
}
