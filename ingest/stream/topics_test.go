package stream

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/incrementalalterconfigs"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// slowCluster answers as a broker that learns of changes late: the first two
// questions after each change are answered as if it had not been made.
type slowCluster struct {
	topics map[string]*slowTopic
}

type slowTopic struct {
	partitions      int
	settings, stale map[string]string
	// hidden and late count the answers that do not show the topic and its
	// settings yet.
	hidden, late int
}

const shownAfter = 2

func (s *slowCluster) RoundTrip(_ context.Context, _ net.Addr, request kafka.Request) (kafka.Response, error) {
	switch request := request.(type) {
	case *metadata.Request:
		answer := &metadata.Response{Brokers: []metadata.ResponseBroker{{NodeID: 1, Host: "broker.example.com", Port: 9092}}}
		for _, name := range request.TopicNames {
			t := metadata.ResponseTopic{Name: name, ErrorCode: int16(kafka.UnknownTopicOrPartition)}
			if have := s.topics[name]; have != nil {
				if have.hidden--; have.hidden < 0 {
					t.ErrorCode = 0
					for i := range have.partitions {
						t.Partitions = append(t.Partitions, metadata.ResponsePartition{PartitionIndex: int32(i), LeaderID: 1})
					}
				}
			}
			answer.Topics = append(answer.Topics, t)
		}
		return answer, nil
	case *createtopics.Request:
		answer := &createtopics.Response{}
		for _, t := range request.Topics {
			made := &slowTopic{partitions: int(t.NumPartitions), settings: map[string]string{}, hidden: shownAfter}
			for _, config := range t.Configs {
				made.settings[config.Name] = config.Value
			}
			s.topics[t.Name] = made
			answer.Topics = append(answer.Topics, createtopics.ResponseTopic{Name: t.Name})
		}
		return answer, nil
	case *incrementalalterconfigs.Request:
		answer := &incrementalalterconfigs.Response{}
		for _, resource := range request.Resources {
			t := s.topics[resource.ResourceName]
			t.stale, t.late = maps.Clone(t.settings), shownAfter
			for _, config := range resource.Configs {
				t.settings[config.Name] = config.Value
			}
			answer.Responses = append(answer.Responses, incrementalalterconfigs.ResponseAlterResponse{
				ResourceType: resource.ResourceType, ResourceName: resource.ResourceName,
			})
		}
		return answer, nil
	case *describeconfigs.Request:
		answer := &describeconfigs.Response{}
		for _, resource := range request.Resources {
			t := s.topics[resource.ResourceName]
			settings := t.settings
			if t.late--; t.late >= 0 {
				settings = t.stale
			}
			described := describeconfigs.ResponseResource{ResourceType: resource.ResourceType, ResourceName: resource.ResourceName}
			for name, value := range settings {
				described.ConfigEntries = append(described.ConfigEntries, describeconfigs.ResponseConfigEntry{ConfigName: name, ConfigValue: value})
			}
			answer.Resources = append(answer.Resources, described)
		}
		return answer, nil
	}
	return nil, kafka.UnsupportedVersion
}

func TestApplyReturnsWhenTheBrokersShowIt(t *testing.T) {
	cluster := &slowCluster{topics: map[string]*slowTopic{}}
	client := func(config Config) *Client {
		config.Brokers = []string{"broker.example.com:9092"}
		c, err := New(config, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		c.api.Transport = cluster
		return c
	}
	mended := func(c *Client, problem Problem, n int) {
		t.Helper()
		applied, err := c.Apply(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(applied) != n || applied[0].Problem != problem {
			t.Fatalf("apply gave %v, want %d times %s", applied, n, problem)
		}
		if left, err := c.Plan(t.Context()); err != nil || len(left) != 0 {
			t.Fatalf("apply returned while the brokers showed %v, %v", left, err)
		}
	}
	config := DefaultConfig()
	mended(client(config), Missing, 7)
	config.Retention.Alerts /= 2
	mended(client(config), WrongRetention, 1)
}
