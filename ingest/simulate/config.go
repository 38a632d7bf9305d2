package simulate

import (
	"fmt"
	"time"
)

// Config says which company to make. Equal configurations make equal records.
type Config struct {
	// Seed of all chance in it.
	Seed uint64 `yaml:"seed"`
	// People who work there, 40 to 2000. Service accounts and the like are extra.
	People int `yaml:"people"`
	// Days of life, 12 to 60; the attacks fall into the second half of them, or
	// behind the first week if that is later.
	Days int `yaml:"days"`
	// Start is the first day; the time of day is cut off, in UTC.
	Start time.Time `yaml:"start"`
}

// DefaultConfig returns a company of 200 over two weeks from a Monday.
func DefaultConfig() Config {
	return Config{Seed: 1, People: 200, Days: 14, Start: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)}
}

// Validate reports the first setting out of its range.
func (c Config) Validate() error {
	switch {
	case c.People < 40 || c.People > 2000:
		return fmt.Errorf("people: %d is not between 40 and 2000", c.People)
	case c.Days < 12 || c.Days > 60:
		return fmt.Errorf("days: %d is not between 12 and 60", c.Days)
	case c.Start.Year() < 2000:
		return fmt.Errorf("start: %s is no first day: give one after 2000", c.Start.Format(time.DateOnly))
	}
	return nil
}
