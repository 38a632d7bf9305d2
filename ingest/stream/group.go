package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/segmentio/kafka-go"
	"golang.org/x/time/rate"
)

// GroupConfig describes one consumer group. ID and Topic are required.
type GroupConfig struct {
	// ID is the group's name at the brokers.
	ID string
	// Topic is what the group reads.
	Topic string
	// FromEnd starts a partition that has no commit at its end instead of its
	// beginning.
	FromEnd bool
	// MaxBatch is the most records of one Handle call; 0 means 500.
	MaxBatch int
	// MaxBytes is the most bytes of records of one Handle call, and about the
	// most bytes, still compressed, that one fetch asks for; 0 means 512 KiB. A
	// larger record arrives by itself.
	MaxBytes int
	// IdleAfter is the quiet time after which Idle is called; 0 means 1 s.
	IdleAfter time.Duration
	// Reopen closes every partition when a generation ends, before the next can
	// begin anywhere, and opens it anew. Without it, a partition that stays with
	// its member stays open. With it, no two live members have a partition open at
	// a time: it is a lease on what the partition stands for.
	Reopen bool
	// Spare, where it is set, is called when a generation gives this member no
	// partition: there are more members than partitions.
	Spare func()
	// RetryMin and RetryMax bound the growing pause after a handler error; 0
	// means 100 ms and 30 s.
	RetryMin, RetryMax time.Duration
}

// cut returns the beginning of messages, at least one of them, that one Handle
// call may take.
func (c GroupConfig) cut(messages []Message) []Message {
	n, bytes := 0, 0
	for n < min(len(messages), c.MaxBatch) {
		bytes += messages[n].size()
		if n > 0 && bytes > c.MaxBytes {
			break
		}
		n++
	}
	return messages[:n:n]
}

// Assignment is a partition that a member has come to own.
type Assignment struct {
	Topic     string
	Partition int
	// Generation numbers the group's assignments. It grows with each
	// rebalance, and starts again when a group has lost all its members.
	Generation int
}

// Partition handles the records of one partition. Its methods are called by
// one goroutine at a time.
//
// The context of Handle and Idle outlives the one of Run: when Run is told to
// end or the group is rebalanced, the batch in hand may finish, and its
// context is cancelled after a third of Config.SessionTimeout. After that the
// partition may have another owner. A process that was stopped for longer than
// the session (a suspended machine) can still be in a Handle of a partition it
// lost: its commit is refused, what it wrote is not undone.
type Partition interface {
	// Handle takes the next records, in order. When it returns nil, the offset
	// after the last is committed. When it returns an error, nothing is
	// committed, the partition is closed, and after a pause it is opened again
	// and gets the same records again. The bytes of the messages belong to the
	// partition.
	Handle(ctx context.Context, batch []Message) error
	// Idle is called when the broker had no record for GroupConfig.IdleAfter,
	// with the time since the last Handle or Idle ended, or since the
	// partition was opened. It is not called while the broker does not answer.
	// An error counts as one of Handle does.
	Idle(ctx context.Context, quiet time.Duration) error
	// Close releases what the partition holds. It must not write: the
	// partition may have another owner already.
	Close() error
}

// Group is one member of a consumer group.
type Group struct {
	client   *Client
	config   GroupConfig
	balancer *stickyBalancer
	open     func(context.Context, Assignment) (Partition, error)
	kept     keptPartitions
	// owned are the partitions of the current generation.
	owned []int
	// The same trouble comes to all partitions at once; these log the first of
	// it and a sign of life now and then. The metrics count all.
	readTrouble, handleTrouble, commitTrouble rate.Sometimes
}

// Group returns a member of a group; its Run does the work.
func (c *Client) Group(config GroupConfig) *Group {
	if config.MaxBatch == 0 {
		config.MaxBatch = 500
	}
	if config.MaxBytes == 0 {
		config.MaxBytes = 512 << 10
	}
	if config.IdleAfter == 0 {
		config.IdleAfter = time.Second
	}
	if config.RetryMin == 0 {
		config.RetryMin = 100 * time.Millisecond
	}
	if config.RetryMax == 0 {
		config.RetryMax = 30 * time.Second
	}
	return &Group{
		client:        c,
		config:        config,
		balancer:      &stickyBalancer{},
		readTrouble:   rate.Sometimes{First: 1, Interval: troubleInterval},
		handleTrouble: rate.Sometimes{First: 1, Interval: troubleInterval},
		commitTrouble: rate.Sometimes{First: 1, Interval: troubleInterval},
	}
}

const (
	// fetchWait is how long a broker holds a fetch that finds nothing.
	fetchWait = 500 * time.Millisecond
	// heartbeat is how often a member reports to the coordinator, and so how
	// soon it notices a rebalance.
	heartbeat = time.Second
	// rejoinPause is the wait after a failed attempt to join or to fetch.
	rejoinPause = 500 * time.Millisecond
	// startAttempts is how often a first join may be refused for its
	// credentials before Run gives up. A broker that shuts down while it
	// authenticates looks the same as one that refuses.
	startAttempts = 3
	// troubleInterval is how often lasting trouble is logged.
	troubleInterval = 10 * time.Second
)

// Run joins the group and hands the records of each partition that this member
// owns to what open returns for it, until ctx ends. Then the batches in hand
// are finished and committed, the member leaves the group, and Run returns
// nil.
//
// Run survives broker restarts, rebalances and moving coordinators. It returns
// an error only where trying again cannot help: ErrNoTopic, and ErrAuth before
// the first assignment. An error of open is retried like one of Handle.
//
// A partition that this member also owned in the generation before, and whose
// commit is where this member left it, is not opened again.
//
// Run is called once.
func (g *Group) Run(ctx context.Context, open func(context.Context, Assignment) (Partition, error)) error {
	g.open = open
	c := g.client
	if err := g.await(ctx); ctx.Err() != nil {
		return nil
	} else if err != nil {
		return err
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                g.config.ID,
		Brokers:           c.config.Brokers,
		Dialer:            c.groupDialer(ctx),
		Topics:            []string{g.config.Topic},
		GroupBalancers:    []kafka.GroupBalancer{g.balancer},
		HeartbeatInterval: heartbeat,
		SessionTimeout:    c.config.SessionTimeout,
		RebalanceTimeout:  c.config.RebalanceTimeout,
		JoinGroupBackoff:  rejoinPause,
		StartOffset:       g.startOffset(),
		Timeout:           c.config.RequestTimeout,
	})
	if err != nil {
		return fmt.Errorf("run group %s: %w", g.config.ID, err)
	}
	defer g.leave(group)

	refused, joined, lastLogged := 0, false, ""
	for {
		generation, err := group.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			joined, lastLogged = true, ""
			g.begin(generation)
			continue
		}
		err = explain(err)
		c.metrics.groupErrors.WithLabelValues(g.config.ID, g.config.Topic).Inc()
		if errors.Is(err, ErrAuth) && !joined {
			if refused++; refused >= startAttempts {
				return fmt.Errorf("run group %s: %w", g.config.ID, err)
			}
		}
		if text := err.Error(); text != lastLogged && !errors.Is(err, kafka.RebalanceInProgress) {
			lastLogged = text
			c.log.Warn("group not joined, trying again", "group", g.config.ID, "error", err)
		}
	}
}

// await returns when the topic is found, or cannot be, or ctx has ended. A
// group of a topic that does not exist would be given no partitions and say
// nothing.
func (g *Group) await(ctx context.Context) error {
	for {
		_, err := g.client.partitions(ctx, g.config.Topic)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, ErrNoTopic) || errors.Is(err, ErrAuth) {
			return fmt.Errorf("run group %s: %w", g.config.ID, err)
		}
		g.client.log.Warn("brokers not reached, trying again", "group", g.config.ID, "error", err)
	}
}

// leave waits for the batches in hand and leaves the group. It does not wait
// for a join that other members hold up: nothing is owned then.
func (g *Group) leave(group *kafka.ConsumerGroup) {
	left := make(chan struct{})
	go func() {
		defer close(left)
		group.Close()
	}()
	timer := time.NewTimer(g.drain() + g.client.config.RequestTimeout)
	defer timer.Stop()
	select {
	case <-left:
	case <-timer.C:
		g.client.log.Warn("group not left in time", "group", g.config.ID)
	}
	g.release()
	g.own(nil)
}

// release closes the partitions that are still kept.
func (g *Group) release() {
	for partition, handler := range g.kept.drop() {
		g.closePartition(partition, handler)
	}
}

// own notes what this member owns now, and forgets the gauges of the rest.
func (g *Group) own(partitions []int) {
	m := g.client.metrics
	for _, partition := range g.owned {
		if !slices.Contains(partitions, partition) {
			m.lag.DeleteLabelValues(g.config.ID, g.config.Topic, strconv.Itoa(partition))
			m.lastFetch.DeleteLabelValues(g.config.ID, g.config.Topic, strconv.Itoa(partition))
		}
	}
	g.owned = partitions
	g.balancer.own(partitions)
	m.assigned.WithLabelValues(g.config.ID, g.config.Topic).Set(float64(len(partitions)))
}

func (g *Group) startOffset() int64 {
	if g.config.FromEnd {
		return kafka.LastOffset
	}
	return kafka.FirstOffset
}

// begin starts a goroutine for each partition of a new generation. Those of
// the generation before have ended.
func (g *Group) begin(generation *kafka.Generation) {
	assignments := generation.Assignments[g.config.Topic]
	owned := make([]int, len(assignments))
	for i, assignment := range assignments {
		owned[i] = assignment.ID
	}
	g.own(owned)
	g.client.metrics.rebalances.WithLabelValues(g.config.ID, g.config.Topic).Inc()
	g.client.log.Info("joined group", "group", g.config.ID, "topic", g.config.Topic,
		"generation", generation.ID, "partitions", owned)

	if len(owned) == 0 && g.config.Spare != nil {
		g.config.Spare()
	}
	workers := make([]*worker, len(assignments))
	for i, assignment := range assignments {
		workers[i] = &worker{
			group:      g,
			generation: generation,
			partition:  assignment.ID,
			committed:  assignment.Offset,
			handler:    g.kept.take(assignment, generation),
			pause:      g.pause(),
			used:       time.Now(),
		}
	}
	// What was not taken is lost. It is closed before Start, because the
	// goroutines put theirs back when they end.
	g.release()
	for _, w := range workers {
		generation.Start(w.run)
	}
}

func (g *Group) pause() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = g.config.RetryMin
	b.MaxInterval = g.config.RetryMax
	b.Multiplier = 2
	return b
}

// drain is how long a batch may go on when its generation has ended.
func (g *Group) drain() time.Duration { return g.client.config.SessionTimeout / 3 }
