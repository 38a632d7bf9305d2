package poll

import (
	"errors"
	"fmt"
	"time"

	"stepdown/ingest"
)

// Schedule says when a log is read. Providers' settings have it inline.
type Schedule struct {
	// Interval is the pause between two looks at a log that has nothing more.
	Interval time.Duration `yaml:"interval"`
	// Since is how far back an input without a saved position begins.
	Since time.Duration `yaml:"since"`
}

// DefaultSchedule looks every interval and begins a day back.
func DefaultSchedule(interval time.Duration) Schedule {
	return Schedule{Interval: interval, Since: 24 * time.Hour}
}

// Validate reports everything that is wrong with c, by its YAML path.
func (c Schedule) Validate() error {
	var errs []error
	if c.Interval < time.Second {
		errs = append(errs, fmt.Errorf("interval: is %s; use a second or more", c.Interval))
	}
	if c.Since < 0 {
		errs = append(errs, fmt.Errorf("since: is %s; use a duration such as 24h, or 0 to begin now", c.Since))
	}
	return errors.Join(errs...)
}

// Start is where an input without a saved position begins: where the runtime
// says, else Since before now.
func (c Schedule) Start(rt ingest.Runtime) time.Time {
	if !rt.Since.IsZero() {
		return rt.Since
	}
	return rt.Now().Add(-c.Since)
}

// SweepConfig says how often an inventory is read.
type SweepConfig struct {
	// Every is the time from the start of one sweep to the next; 0 reads none.
	Every time.Duration `yaml:"every"`
}

// DefaultSweepConfig reads the inventory once a day.
func DefaultSweepConfig() SweepConfig { return SweepConfig{Every: 24 * time.Hour} }

// Validate reports everything that is wrong with c, by its YAML path.
func (c SweepConfig) Validate() error {
	if c.Every != 0 && c.Every < time.Minute {
		return fmt.Errorf("every: is %s; use a minute or more, or 0 to read no inventory", c.Every)
	}
	return nil
}
