package detect

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stepdown/detect/rule"
	"stepdown/ingest/event"
)

// Config is how much disorder is borne.
type Config struct {
	// Lateness is how long after an identity's newest event an older one is
	// still put where it belongs.
	Lateness time.Duration `yaml:"lateness"`
	// SourceLateness is the same for sources whose records come later than Lateness.
	// An identity that has such a source waits as long for the records of all.
	SourceLateness map[event.Source]time.Duration `yaml:"source_lateness"`
	// Settle is how long a sign-in whose factor is not stated waits for the
	// records that complete it, by source.
	Settle map[event.Source]time.Duration `yaml:"settle"`
	// SettleDefault is for sources that Settle does not name.
	SettleDefault time.Duration `yaml:"settle_default"`
	// WindowEvents caps the events of one identity that are kept for folding
	// again; beyond it the oldest become final early.
	WindowEvents int `yaml:"window_events"`
}

// DefaultConfig bears an hour of disorder. Okta completes a sign-in within
// minutes; Entra re-emits rows 2 to 12 minutes later (measured on real samples);
// Duo's log is complete after two minutes. Google's sign-ins were seen to come 95
// minutes late, while the changes of the same person come at once.
func DefaultConfig() Config {
	return Config{
		Lateness:       time.Hour,
		SourceLateness: map[event.Source]time.Duration{"google": 2 * time.Hour},
		Settle:         map[event.Source]time.Duration{"okta": 5 * time.Minute, "entra": 10 * time.Minute, "duo": 3 * time.Minute},
		SettleDefault:  5 * time.Minute,
		WindowEvents:   256,
	}
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	switch {
	case c.Lateness < time.Minute || c.Lateness > 48*time.Hour:
		return fmt.Errorf("lateness: is %s, use 1m to 48h", c.Lateness)
	case c.SettleDefault < 0 || c.SettleDefault > c.Lateness:
		return fmt.Errorf("settle_default: is %s, use 0s to the lateness of %s", c.SettleDefault, c.Lateness)
	case c.WindowEvents < 16 || c.WindowEvents > 4096:
		return fmt.Errorf("window_events: is %d, use 16 to 4096", c.WindowEvents)
	}
	for source, d := range c.SourceLateness {
		if d < time.Minute || d > 48*time.Hour {
			return fmt.Errorf("source_lateness.%s: is %s, use 1m to 48h; what is below lateness changes nothing", source, d)
		}
	}
	for source, d := range c.Settle {
		if d < 0 || d > c.Lateness {
			return fmt.Errorf("settle.%s: is %s, use 0s to the lateness of %s", source, d, c.Lateness)
		}
	}
	return nil
}

// lateness returns how late a record of source may be.
func (c Config) lateness(source event.Source) time.Duration {
	return max(c.Lateness, c.SourceLateness[source])
}

// settle returns how long a sign-in at source waits to be completed.
func (c Config) settle(source event.Source) time.Duration {
	if d, ok := c.Settle[source]; ok {
		return d
	}
	return c.SettleDefault
}

// Engine is compiled rules and settings. It is shared by all shards and safe for
// concurrent use.
type Engine struct {
	config  Config
	rules   atomic.Pointer[rule.Set]
	metrics *metrics
}

// NewEngine returns an engine; reg may be nil.
func NewEngine(set *rule.Set, config Config, reg prometheus.Registerer) *Engine {
	e := &Engine{config: config, metrics: newMetrics(reg)}
	e.SetRules(set)
	return e
}

// SetRules replaces the rules. Shards take them over at their next event; their
// ledgers stay as they are, and what is still in a window is judged anew.
func (e *Engine) SetRules(set *rule.Set) { e.rules.Store(set) }
