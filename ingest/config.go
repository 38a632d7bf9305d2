package ingest

import (
	"errors"
	"fmt"
	"time"
)

// Config tunes the collectors of one process.
type Config struct {
	// MaxSkew is how far inputs that catch up on history may be apart in event
	// time; 0 lets each run as fast as it can. It should be well below the
	// lateness that detection allows. An input that has work holds the others
	// up, those that are live included, until it has caught up.
	MaxSkew time.Duration `yaml:"max_skew"`
	// IdleAfter is how long an input may wait for its source before the others
	// no longer wait for it.
	IdleAfter time.Duration `yaml:"idle_after"`
	// RetryMax is the longest pause between attempts to poll, to publish and to
	// save a cursor; the first is 500 ms and they grow.
	RetryMax time.Duration `yaml:"retry_max"`
}

// DefaultConfig returns a configuration that is complete.
func DefaultConfig() Config {
	return Config{MaxSkew: 30 * time.Minute, IdleAfter: 15 * time.Second, RetryMax: 30 * time.Second}
}

// Validate reports everything that is wrong with c, by its YAML path.
func (c Config) Validate() error {
	var errs []error
	if c.MaxSkew < 0 {
		errs = append(errs, fmt.Errorf("max_skew: %s; want a duration such as 30m, or 0 to align nothing", c.MaxSkew))
	}
	if c.IdleAfter <= 0 {
		errs = append(errs, fmt.Errorf("idle_after: %s; want a duration such as 15s", c.IdleAfter))
	}
	if c.RetryMax < retryMin {
		errs = append(errs, fmt.Errorf("retry_max: %s; want %s or more", c.RetryMax, retryMin))
	}
	return errors.Join(errs...)
}

// retryMin is the first pause before another attempt.
const retryMin = 500 * time.Millisecond
