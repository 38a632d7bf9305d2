package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
)

// Client is the connection of one process to the brokers. It is safe for
// concurrent use.
type Client struct {
	config    Config
	topics    []string // that it knows
	log       *slog.Logger
	metrics   *metrics
	addr      net.Addr
	transport *kafka.Transport
	api       *kafka.Client
	security  security
	// turn spreads keyless records over the partitions.
	turn atomic.Uint32
	// forgotten is when forget last did something, in Unix milliseconds.
	forgotten atomic.Int64
}

// New returns a client for config. It validates and reads certificates, and
// does not dial; the first call does.
func New(config Config, log *slog.Logger, registerer prometheus.Registerer) (*Client, error) {
	return newClient(config, config.Topics.All(), log, registerer)
}

// NewForTopic returns a client that knows one topic, not the pipeline's: for
// [Client.Tail]. It asks the brokers for no other, which some would create. Its
// metrics are not shown: they would be taken for those of the pipeline's Kafka.
func NewForTopic(config Config, topic string, log *slog.Logger) (*Client, error) {
	return newClient(config, []string{topic}, log, prometheus.NewRegistry())
}

func newClient(config Config, topics []string, log *slog.Logger, registerer prometheus.Registerer) (*Client, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("configure stream: %w", err)
	}
	tlsConfig, err := config.TLS.client()
	if err != nil {
		return nil, fmt.Errorf("configure stream: %w", err)
	}
	secured := security{tls: tlsConfig, sasl: config.SASL.client()}
	transport := &kafka.Transport{
		ClientID:       config.ClientID,
		DialTimeout:    config.DialTimeout,
		IdleTimeout:    time.Minute,
		MetadataTTL:    10 * time.Second,
		MetadataTopics: topics,
		TLS:            secured.tls,
		SASL:           secured.sasl,
	}
	c := &Client{
		config:    config,
		topics:    topics,
		log:       log,
		metrics:   newMetrics(registerer),
		addr:      kafka.TCP(config.Brokers...),
		transport: transport,
		security:  secured,
	}
	c.api = &kafka.Client{Addr: c.addr, Timeout: config.RequestTimeout, Transport: transport}
	c.turn.Store(rand.Uint32())
	return c, nil
}

// groupDialer opens the connections of a group to its coordinator, until ctx
// ends.
//
// A member whose connection fails gives up its member id, and then the group
// waits for the session of that id to expire. Where there is one broker to
// reach, a restart would cost that each time; so its dial is repeated until it
// answers or has been away for some time.
func (c *Client) groupDialer(ctx context.Context) *kafka.Dialer {
	dialer := &kafka.Dialer{
		ClientID:      c.config.ClientID,
		Timeout:       c.config.DialTimeout,
		TLS:           c.security.tls,
		SASLMechanism: c.security.sasl,
	}
	if len(c.config.Brokers) > 1 {
		return dialer
	}
	budget := 2 * c.config.DialTimeout
	dialer.Timeout += budget
	dialer.DialFunc = func(dialing context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		return backoff.Retry(dialing, func() (net.Conn, error) {
			conn, err := d.DialContext(dialing, network, address)
			if err != nil && ctx.Err() != nil {
				return nil, backoff.Permanent(err)
			}
			return conn, err
		}, backoff.WithBackOff(backoff.NewConstantBackOff(forgetPause)), backoff.WithMaxElapsedTime(budget))
	}
	return dialer
}

// Topics returns the names of the topics.
func (c *Client) Topics() Topics { return c.config.Topics }

// Partitions returns the partition count of events, alerts and state.
func (c *Client) Partitions() int { return c.config.Partitions }

// Close closes the connections. Groups have ended before.
func (c *Client) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// Ping reports whether a broker answers and accepts the credentials.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.layout(ctx)
	return err
}

// layout maps each topic that exists to the leaders of its partitions, by
// partition. A partition without a leader has the id -1.
func (c *Client) layout(ctx context.Context) (map[string][]int, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.RequestTimeout)
	defer cancel()
	metadata, err := c.api.Metadata(ctx, &kafka.MetadataRequest{Topics: c.topics})
	if err != nil {
		return nil, fmt.Errorf("read cluster layout: %w", c.refusal(ctx, explain(err)))
	}
	layout := make(map[string][]int, len(metadata.Topics))
	for _, topic := range metadata.Topics {
		switch {
		case topic.Error == nil:
		case errors.Is(topic.Error, kafka.UnknownTopicOrPartition):
			continue
		default:
			return nil, fmt.Errorf("read layout of %s: %w", topic.Name, explain(topic.Error))
		}
		leaders := make([]int, len(topic.Partitions))
		for _, partition := range topic.Partitions {
			if partition.ID >= len(leaders) {
				return nil, fmt.Errorf("read layout of %s: %w", topic.Name, kafka.LeaderNotAvailable)
			}
			leaders[partition.ID] = partition.Leader.ID
			if partition.Leader.Host == "" {
				leaders[partition.ID] = -1
			}
		}
		if len(leaders) > 0 {
			layout[topic.Name] = leaders
		}
	}
	return layout, nil
}

// refusal finds out whether a connection that a broker closed was closed for
// its credentials. Some brokers, and some proxies before them, close without an
// answer.
func (c *Client) refusal(ctx context.Context, err error) error {
	if c.security.sasl == nil || !closedByPeer(err) {
		return err
	}
	dialer := kafka.Dialer{
		ClientID:      c.config.ClientID,
		Timeout:       c.config.DialTimeout,
		TLS:           c.security.tls,
		SASLMechanism: c.security.sasl,
	}
	conn, dialErr := dialer.DialContext(ctx, "tcp", c.config.Brokers[0])
	if dialErr == nil {
		conn.Close()
		return err
	}
	dialErr = explain(dialErr)
	if closedByPeer(dialErr) {
		return fmt.Errorf("%w: the broker closed the connection while authenticating: %w", ErrAuth, dialErr)
	}
	if errors.Is(dialErr, ErrAuth) {
		return dialErr
	}
	return err
}

func closedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// forgetPause keeps many goroutines that meet the same error from dropping
// each other's new connections.
const forgetPause = 200 * time.Millisecond

// forget drops connections and what is known of the cluster, after an error
// that may mean that either is out of date.
func (c *Client) forget() {
	now, last := time.Now().UnixMilli(), c.forgotten.Load()
	if now-last >= forgetPause.Milliseconds() && c.forgotten.CompareAndSwap(last, now) {
		c.transport.CloseIdleConnections()
	}
}

// partitions returns the partition count of topic.
func (c *Client) partitions(ctx context.Context, topic string) (int, error) {
	n := 0
	err := c.retry(ctx, c.config.RequestTimeout, func(ctx context.Context) error {
		layout, err := c.layout(ctx)
		if err != nil {
			return err
		}
		if n = len(layout[topic]); n == 0 {
			return fmt.Errorf("%w: %s", ErrNoTopic, topic)
		}
		return nil
	})
	return n, err
}

// retry calls op until it succeeds, fails in a way that trying again cannot
// mend, or budget or ctx end. The error wraps the last one of op.
func (c *Client) retry(ctx context.Context, budget time.Duration, op func(context.Context) error) error {
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		last = op(ctx)
		if last == nil {
			return struct{}{}, nil
		}
		if errors.Is(last, ErrAuth) || !hopeless(last) {
			c.forget()
		}
		if hopeless(last) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}, backoff.WithBackOff(pause()), backoff.WithMaxElapsedTime(budget))
	if err != nil && !errors.Is(err, last) {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}

// pause is the sequence of waits between attempts, with jitter.
func pause() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 50 * time.Millisecond
	b.Multiplier = 2
	b.MaxInterval = 5 * time.Second
	return b
}
