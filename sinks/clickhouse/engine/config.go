package engine

import (
	"errors"
	"fmt"
	"time"
)

// Config says where and how to run the engine.
type Config struct {
	// DataDir keeps all that the engine writes. It is created, for this user
	// only, when absent.
	DataDir string `yaml:"data_dir"`
	// Library is the path of libchdb, see [Locate]. Start needs it.
	Library string `yaml:"library"`
	// Port to listen on, on 127.0.0.1. 0 lets the system choose.
	Port int `yaml:"port"`
	// MaxMemory bounds the engine's memory, in bytes. A query that needs more
	// is refused by the engine.
	MaxMemory int64 `yaml:"max_memory_bytes"`
	// MinFree is the space, in bytes, that is left free on the disk of DataDir:
	// below it the engine refuses to insert and to merge, and answers queries.
	// It does not start below the half.
	MinFree int64 `yaml:"min_free_bytes"`
	// StartTimeout bounds the time from Start to a listening engine, loading of
	// tables included.
	StartTimeout time.Duration `yaml:"start_timeout"`
}

// minMemory is what the engine needs to start and merge small parts, measured
// with libchdb 26.7.
const minMemory = 256 << 20

// leastFree is the least MinFree: room for the inserts and merges that begin at
// the same time just above it.
const leastFree = 32 << 20

// DefaultConfig bounds the engine to 1 GiB of memory, leaves 256 MiB of the disk
// free, and gives the engine one minute to start.
func DefaultConfig() Config {
	return Config{MaxMemory: 1 << 30, MinFree: 256 << 20, StartTimeout: time.Minute}
}

// Validate reports every value that Start would not accept, except an absent
// library or data directory.
func (c Config) Validate() error {
	var errs []error
	if c.Port < 0 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("port: %d is not between 0 and 65535", c.Port))
	}
	if c.MaxMemory < minMemory {
		errs = append(errs, fmt.Errorf("max_memory_bytes: %d is less than %d", c.MaxMemory, int64(minMemory)))
	}
	if c.MinFree < leastFree {
		errs = append(errs, fmt.Errorf("min_free_bytes: %d is less than %d", c.MinFree, int64(leastFree)))
	}
	if c.StartTimeout <= 0 {
		errs = append(errs, fmt.Errorf("start_timeout: %s is not positive", c.StartTimeout))
	}
	return errors.Join(errs...)
}
