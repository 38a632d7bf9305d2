package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Config says where the broker keeps its data and where it listens.
type Config struct {
	// DataDir holds everything the broker stores. It is made if it is missing.
	DataDir string `yaml:"data_dir"`
	// Port is the TCP port on 127.0.0.1; 0 takes a free one.
	Port int `yaml:"port"`
}

// DefaultConfig returns the data directory and the port of an installation
// that says nothing.
func DefaultConfig() Config { return Config{DataDir: "data/kafka", Port: 9092} }

// Validate reports what is wrong with c, by its YAML path.
func (c Config) Validate() error {
	var errs []error
	if c.DataDir == "" {
		errs = append(errs, errors.New("data_dir: empty; want a directory"))
	}
	if c.Port < 0 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("port: %d; want 0 to 65535", c.Port))
	}
	return errors.Join(errs...)
}

// cleanerInterval is how often the broker compacts and deletes old records,
// in milliseconds. Its own default is an hour.
const cleanerInterval = "45000"

// Broker is a running broker.
type Broker struct {
	cluster *kfake.Cluster
	lock    *os.File
	addr    string
}

// Start starts a broker. It fails if another process uses the data directory
// or the port. The broker runs until Close.
func Start(ctx context.Context, config Config) (*Broker, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("configure embedded broker: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	lock, err := lockDir(config.DataDir)
	if err != nil {
		return nil, fmt.Errorf("start embedded broker: %w", err)
	}
	cluster, err := kfake.NewCluster(
		kfake.Ports(config.Port),
		kfake.DataDir(filepath.Join(config.DataDir, "log")),
		kfake.ClusterID("stepdown-embedded"),
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": cleanerInterval}),
	)
	if err != nil {
		lock.Close()
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("start embedded broker: port %d of 127.0.0.1 is taken; "+
				"set another port for it, or 0 for a free one, or set brokers to use the Kafka that is there", config.Port)
		}
		return nil, fmt.Errorf("start embedded broker in %s: %w", config.DataDir, err)
	}
	return &Broker{cluster: cluster, lock: lock, addr: cluster.ListenAddrs()[0]}, nil
}

// Addr returns the address of the broker, host:port.
func (b *Broker) Addr() string { return b.addr }

// Port returns the port of the broker, to start it again on the same one.
func (b *Broker) Port() int {
	_, port, err := net.SplitHostPort(b.addr)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}

// Compact compacts the compacted topics now, instead of at the next turn of
// the cleaner.
func (b *Broker) Compact() { b.cluster.Compact() }

// Close writes what is in memory to the data directory and stops the broker.
func (b *Broker) Close() error {
	b.cluster.Close()
	if err := b.lock.Close(); err != nil {
		return fmt.Errorf("unlock data directory: %w", err)
	}
	return nil
}

// lockDir makes dir and locks it for this process. The lock is the kernel's,
// so that it does not outlive a killed process; the file's content is the
// owner's process id, for the message.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s is used by process %s; stop it, or set another data_dir", dir, owner(path))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := file.Truncate(0); err != nil {
		file.Close()
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	if _, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		file.Close()
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return file, nil
}

func owner(path string) string {
	data, err := os.ReadFile(path)
	if pid := strings.TrimSpace(string(data)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}
