package config

import (
	"errors"
	"fmt"
	"time"

	"stepdown/ingest/event"
	"stepdown/ingest/stream"
)

// Topic is a Kafka topic with a provider's own records: another pipeline's, or an
// Azure Event Hub, which speaks Kafka's protocol.
type Topic struct {
	// Brokers are of the cluster that has the topic; none is the pipeline's own.
	Brokers []string `yaml:"brokers,omitempty"`
	// Topic is its name; an Event Hub's is the hub's.
	Topic string `yaml:"topic"`
	// Source picks the normalizer; Tenant and Stream are given to every record.
	Source event.Source `yaml:"source"`
	Tenant string       `yaml:"tenant,omitempty"`
	Stream string       `yaml:"stream,omitempty"`
	// Since is how far back a partition without a saved position begins; 0 is at
	// its beginning.
	Since time.Duration `yaml:"since"`
	// TLS and SASL are of Brokers.
	TLS  stream.TLS  `yaml:"tls,omitempty"`
	SASL stream.SASL `yaml:"sasl,omitempty"`
}

// Kafka is the connection of a topic whose cluster is another than own.
func (t *Topic) Kafka(own stream.Config) stream.Config {
	if len(t.Brokers) == 0 {
		return own
	}
	c := stream.DefaultConfig()
	c.Brokers, c.ClientID, c.TLS, c.SASL = t.Brokers, own.ClientID, t.TLS, t.SASL
	return c
}

// Validate reports everything that is wrong with t, by its YAML path.
func (t *Topic) Validate() error {
	var errs []error
	if t.Topic == "" {
		errs = append(errs, errors.New("topic: is not set"))
	}
	if t.Source == "" {
		errs = append(errs, errors.New("source: is not set; want the provider's name, such as entra"))
	}
	if t.Since < 0 {
		errs = append(errs, fmt.Errorf("since: is %s; use a duration such as 24h, or 0 for the beginning", t.Since))
	}
	if len(t.Brokers) == 0 {
		if t.TLS != (stream.TLS{}) || t.SASL != (stream.SASL{}) {
			errs = append(errs, errors.New("brokers: none, so tls and sasl have no meaning; the pipeline's own Kafka has its own"))
		}
		return errors.Join(errs...)
	}
	c := t.Kafka(stream.DefaultConfig())
	return errors.Join(append(errs, c.Validate())...)
}
