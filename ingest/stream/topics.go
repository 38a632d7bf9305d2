package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// sharedPartitions is the partition count of the topics that are not divided
// by identity: health, triage and dead letter.
const sharedPartitions = 4

// cursorPartitions divides the inputs among collectors: as many collectors can
// share them.
const cursorPartitions = 16

// Problem is a way in which a topic can differ from the configuration.
type Problem string

// The problems. Those that Apply cannot mend are said so.
const (
	// Missing: the topic does not exist.
	Missing Problem = "missing"
	// WrongPartitions: a keyed topic has another partition count than the
	// configuration. Never mended: keys would move to other partitions.
	WrongPartitions Problem = "wrong_partitions"
	// WrongCleanup: the topic's cleanup.policy would lose state, or keep what
	// should be deleted.
	WrongCleanup Problem = "wrong_cleanup_policy"
	// WrongRetention: the topic's retention.ms is not the configured one.
	WrongRetention Problem = "wrong_retention"
	// SmallLimit: the topic takes no batch as large as Config.MaxMessageBytes
	// allows, so that a record of that size could be written nowhere, not even
	// to the dead letters.
	SmallLimit Problem = "small_message_limit"
)

// Difference is one way in which a topic is not as configured.
type Difference struct {
	Topic   string
	Problem Problem
	// Want and Have are the configured and the found value.
	Want, Have string
	// Fix says in one sentence what to do.
	Fix string
	// Applicable is whether Apply mends it.
	Applicable bool
	// Blocking is whether running with it would lose or misplace records.
	Blocking bool
}

func (d Difference) String() string {
	return fmt.Sprintf("topic %s: %s: want %s, have %s: %s", d.Topic, strings.ReplaceAll(string(d.Problem), "_", " "), d.Want, d.Have, d.Fix)
}

// LayoutError reports differences that stand in the way. It matches ErrLayout.
type LayoutError struct{ Differences []Difference }

func (e *LayoutError) Error() string {
	lines := make([]string, len(e.Differences))
	for i, d := range e.Differences {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// Is makes errors.Is(err, ErrLayout) true.
func (e *LayoutError) Is(target error) bool { return target == ErrLayout }

// topic is what one topic should be.
type topic struct {
	name       string
	partitions int
	keyed      bool
	// cleanup and retention are values of cleanup.policy and retention.ms;
	// retention is empty where records are compacted instead.
	cleanup, retention string
	// extra is set when the topic is created, and left alone afterwards.
	extra map[string]string
}

const (
	cleanupPolicy = "cleanup.policy"
	retentionMS   = "retention.ms"
	batchLimit    = "max.message.bytes"
)

// batchBytes is how large a batch may be that holds MaxMessageBytes: with its
// header, and with what compression adds to bytes that do not compress.
func (c Config) batchBytes() int { return c.MaxMessageBytes + c.MaxMessageBytes/64 + 1024 }

func (c *Client) desired() []topic {
	t, keep, n := c.config.Topics, c.config.Retention, c.config.Partitions
	return []topic{
		{name: t.Events, partitions: n, keyed: true, cleanup: "delete", retention: milliseconds(keep.Events)},
		{name: t.Alerts, partitions: n, keyed: true, cleanup: "delete", retention: milliseconds(keep.Alerts)},
		{name: t.State, partitions: n, keyed: true, cleanup: "compact", extra: map[string]string{
			// Restoring reads the whole partition. Smaller segments are
			// compacted sooner.
			"segment.ms":                strconv.FormatInt((6 * time.Hour).Milliseconds(), 10),
			"min.cleanable.dirty.ratio": "0.2",
		}},
		{name: t.Cursors, partitions: cursorPartitions, keyed: true, cleanup: "compact", extra: map[string]string{
			"segment.ms":                strconv.FormatInt((6 * time.Hour).Milliseconds(), 10),
			"min.cleanable.dirty.ratio": "0.2",
		}},
		{name: t.Health, partitions: sharedPartitions, cleanup: "delete", retention: milliseconds(keep.Events)},
		{name: t.Triage, partitions: sharedPartitions, cleanup: "delete", retention: milliseconds(keep.Triage)},
		{name: t.DeadLetter, partitions: sharedPartitions, cleanup: "delete", retention: milliseconds(keep.DeadLetter)},
	}
}

// milliseconds is d as retention.ms; none is for ever.
func milliseconds(d time.Duration) string {
	if d == 0 {
		return "-1"
	}
	return strconv.FormatInt(d.Milliseconds(), 10)
}

// Plan compares the topics with the configuration and returns the
// differences, in the order events, alerts, state, cursors, health, triage, dead letter.
// It changes nothing.
func (c *Client) Plan(ctx context.Context) ([]Difference, error) {
	var differences []Difference
	err := c.retry(ctx, 3*c.config.RequestTimeout, func(ctx context.Context) error {
		var err error
		differences, err = c.plan(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("compare topics: %w", err)
	}
	return differences, nil
}

func (c *Client) plan(ctx context.Context) ([]Difference, error) {
	layout, err := c.layout(ctx)
	if err != nil {
		return nil, err
	}
	desired := c.desired()
	settings, err := c.settings(ctx, desired, layout)
	if err != nil {
		return nil, err
	}
	var differences []Difference
	for _, t := range desired {
		have := len(layout[t.name])
		if have == 0 {
			differences = append(differences, Difference{
				Topic: t.name, Problem: Missing, Want: fmt.Sprintf("%d partitions", t.partitions), Have: "nothing",
				Fix: "run stepdown topics apply", Applicable: true, Blocking: true,
			})
			continue
		}
		if t.keyed && have != t.partitions {
			differences = append(differences, Difference{
				Topic: t.name, Problem: WrongPartitions, Want: strconv.Itoa(t.partitions), Have: strconv.Itoa(have),
				Fix:      fmt.Sprintf("set partitions: %d if every keyed topic has that many, or use new topic names; a keyed topic is never resized", have),
				Blocking: true,
			})
		}
		if found := settings[t.name][cleanupPolicy]; found != t.cleanup {
			differences = append(differences, Difference{
				Topic: t.name, Problem: WrongCleanup, Want: t.cleanup, Have: found,
				Fix: "run stepdown topics apply", Applicable: true, Blocking: true,
			})
		}
		if found := settings[t.name][retentionMS]; t.retention != "" && found != t.retention {
			differences = append(differences, Difference{
				Topic: t.name, Problem: WrongRetention, Want: t.retention + " ms", Have: found + " ms",
				Fix: "run stepdown topics apply, or change retention in the configuration", Applicable: true,
			})
		}
		if found, err := strconv.Atoi(settings[t.name][batchLimit]); err == nil && found < c.config.batchBytes() {
			differences = append(differences, Difference{
				Topic: t.name, Problem: SmallLimit, Want: fmt.Sprintf("%d bytes", c.config.batchBytes()), Have: fmt.Sprintf("%d bytes", found),
				Fix: "run stepdown topics apply, or lower max_message_bytes in the configuration", Applicable: true, Blocking: true,
			})
		}
	}
	return differences, nil
}

// settings reads the settings that plan compares, of the topics that exist.
func (c *Client) settings(ctx context.Context, topics []topic, layout map[string][]int) (map[string]map[string]string, error) {
	request := &kafka.DescribeConfigsRequest{}
	for _, t := range topics {
		if len(layout[t.name]) > 0 {
			request.Resources = append(request.Resources, kafka.DescribeConfigRequestResource{
				ResourceType: kafka.ResourceTypeTopic, ResourceName: t.name,
				ConfigNames: []string{cleanupPolicy, retentionMS, batchLimit},
			})
		}
	}
	if len(request.Resources) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.RequestTimeout)
	defer cancel()
	response, err := c.api.DescribeConfigs(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("read topic settings: %w", explain(err))
	}
	settings := make(map[string]map[string]string, len(response.Resources))
	for _, resource := range response.Resources {
		if resource.Error != nil {
			return nil, fmt.Errorf("read settings of %s: %w", resource.ResourceName, explain(resource.Error))
		}
		values := make(map[string]string, len(resource.ConfigEntries))
		for _, entry := range resource.ConfigEntries {
			values[entry.ConfigName] = entry.ConfigValue
		}
		settings[resource.ResourceName] = values
	}
	return settings, nil
}

// Apply creates the topics that are missing and mends settings, and returns
// when the brokers show it, with what it changed. Differences that it cannot
// mend are a *LayoutError, and the others are mended all the same.
func (c *Client) Apply(ctx context.Context) ([]Difference, error) {
	differences, err := c.Plan(ctx)
	if err != nil {
		return nil, err
	}
	var applied, remaining []Difference
	for _, d := range differences {
		if !d.Applicable {
			remaining = append(remaining, d)
			continue
		}
		if err := c.apply(ctx, d); err != nil {
			return applied, fmt.Errorf("apply to topic %s: %w", d.Topic, err)
		}
		applied = append(applied, d)
	}
	if err := c.shown(ctx, applied); err != nil {
		return applied, err
	}
	if len(remaining) > 0 {
		return applied, &LayoutError{Differences: remaining}
	}
	return applied, nil
}

// shown returns when none of the differences that were mended is found any
// more. A change is agreed on first, and each broker learns of it later: for a
// moment it still answers that a new topic does not exist.
func (c *Client) shown(ctx context.Context, mended []Difference) error {
	if len(mended) == 0 {
		return nil
	}
	err := c.retry(ctx, 3*c.config.RequestTimeout, func(ctx context.Context) error {
		// Or the answer is the one remembered from before.
		c.transport.CloseIdleConnections()
		found, err := c.plan(ctx)
		if err != nil {
			return err
		}
		for _, d := range found {
			if slices.ContainsFunc(mended, func(m Difference) bool { return m.Topic == d.Topic && m.Problem == d.Problem }) {
				return fmt.Errorf("not shown by the brokers yet: %s", d)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("await topics: %w", err)
	}
	return nil
}

func (c *Client) apply(ctx context.Context, d Difference) error {
	for _, t := range c.desired() {
		if t.name != d.Topic {
			continue
		}
		switch d.Problem {
		case Missing:
			return c.create(ctx, t)
		case WrongCleanup:
			return c.set(ctx, t.name, cleanupPolicy, t.cleanup)
		case WrongRetention:
			return c.set(ctx, t.name, retentionMS, t.retention)
		case SmallLimit:
			return c.set(ctx, t.name, batchLimit, strconv.Itoa(c.config.batchBytes()))
		}
	}
	return nil
}

func (c *Client) create(ctx context.Context, t topic) error {
	config := kafka.TopicConfig{
		Topic:             t.name,
		NumPartitions:     t.partitions,
		ReplicationFactor: c.config.ReplicationFactor,
		ConfigEntries: []kafka.ConfigEntry{
			{ConfigName: cleanupPolicy, ConfigValue: t.cleanup},
			{ConfigName: batchLimit, ConfigValue: strconv.Itoa(c.config.batchBytes())},
		},
	}
	if config.ReplicationFactor == 0 {
		config.ReplicationFactor = -1
	}
	if t.retention != "" {
		config.ConfigEntries = append(config.ConfigEntries, kafka.ConfigEntry{ConfigName: retentionMS, ConfigValue: t.retention})
	}
	for name, value := range t.extra {
		config.ConfigEntries = append(config.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	return c.retry(ctx, 3*c.config.RequestTimeout, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, c.config.RequestTimeout)
		defer cancel()
		response, err := c.api.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{config}})
		if err == nil {
			err = response.Errors[t.name]
		}
		if errors.Is(err, kafka.TopicAlreadyExists) {
			return nil
		}
		return explain(err)
	})
}

func (c *Client) set(ctx context.Context, name, setting, value string) error {
	return c.retry(ctx, 3*c.config.RequestTimeout, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, c.config.RequestTimeout)
		defer cancel()
		response, err := c.api.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
			Resources: []kafka.IncrementalAlterConfigsRequestResource{{
				ResourceType: kafka.ResourceTypeTopic, ResourceName: name,
				Configs: []kafka.IncrementalAlterConfigsRequestConfig{{
					Name: setting, Value: value, ConfigOperation: kafka.ConfigOperationSet,
				}},
			}},
		})
		if err != nil {
			return explain(err)
		}
		for _, resource := range response.Resources {
			if resource.Error != nil {
				return explain(resource.Error)
			}
		}
		return nil
	})
}

// Check returns a *LayoutError if a topic differs from the configuration in a
// way that would lose or misplace records. It is what a process calls before
// it starts; differences of retention alone pass.
func (c *Client) Check(ctx context.Context) error {
	differences, err := c.Plan(ctx)
	if err != nil {
		return err
	}
	var blocking []Difference
	for _, d := range differences {
		if d.Blocking {
			blocking = append(blocking, d)
		}
	}
	if len(blocking) > 0 {
		return &LayoutError{Differences: blocking}
	}
	return nil
}

// PartitionsOf returns the partition count of a topic.
func (c *Client) PartitionsOf(ctx context.Context, topic string) (int, error) {
	return c.partitions(ctx, topic)
}
