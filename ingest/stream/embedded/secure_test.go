package embedded_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"stepdown/ingest/secret"
	"stepdown/ingest/stream"
)

// cluster starts a broker with settings that the embedded one does not have.
func cluster(t *testing.T, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(append(options, kfake.NumBrokers(1), kfake.DataDir(t.TempDir()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster
}

// certificate makes a self-signed certificate for 127.0.0.1 and returns the
// path of its PEM form.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "kafka.example.com"},
		DNSNames:     []string{"kafka.example.com"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}

func password(t *testing.T, value string) (secret.Secret, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return secret.FromFile(path), path
}

func TestSecureConnections(t *testing.T) {
	pair, ca := certificate(t)
	_, otherCA := certificate(t)
	right, _ := password(t, "right")
	wrong, _ := password(t, "wrong")
	secured := stream.TLS{Enabled: true, CAFile: ca}

	for _, row := range []struct {
		name    string
		broker  []kfake.Opt
		tls     stream.TLS
		sasl    stream.SASL
		refused string
	}{
		{"SCRAM-SHA-256 over TLS", []kfake.Opt{kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "anna", "right")},
			secured, stream.SASL{Mechanism: "scram-sha-256", Username: "anna", Password: right}, ""},
		{"SCRAM-SHA-512 over TLS", []kfake.Opt{kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "anna", "right")},
			secured, stream.SASL{Mechanism: "scram-sha-512", Username: "anna", Password: right}, ""},
		{"PLAIN", []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "anna", "right")},
			stream.TLS{}, stream.SASL{Mechanism: "plain", Username: "anna", Password: right}, ""},
		{"server name", []kfake.Opt{kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}})},
			stream.TLS{Enabled: true, CAFile: ca, ServerName: "kafka.example.com"}, stream.SASL{}, ""},
		{"wrong SCRAM password", []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "anna", "right")},
			stream.TLS{}, stream.SASL{Mechanism: "scram-sha-512", Username: "anna", Password: wrong}, "authentication refused"},
		{"wrong PLAIN password", []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "anna", "right")},
			stream.TLS{}, stream.SASL{Mechanism: "plain", Username: "anna", Password: wrong}, "authentication refused"},
		{"mechanism the broker does not have", []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "anna", "right")},
			stream.TLS{}, stream.SASL{Mechanism: "scram-sha-512", Username: "anna", Password: right}, "authentication refused"},
		{"password that cannot be read", []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "anna", "right")},
			stream.TLS{}, stream.SASL{Mechanism: "plain", Username: "anna", Password: secret.FromEnv("STEPDOWN_TEST_UNSET")}, "STEPDOWN_TEST_UNSET is not set"},
		{"unknown authority", []kfake.Opt{kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}})},
			stream.TLS{Enabled: true, CAFile: otherCA}, stream.SASL{}, "authentication refused"},
		{"wrong server name", []kfake.Opt{kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}})},
			stream.TLS{Enabled: true, CAFile: ca, ServerName: "other.example.com"}, stream.SASL{}, "other.example.com"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			broker := cluster(t, row.broker...)
			client := clientOf(t, broker.ListenAddrs()[0], func(c *stream.Config) { c.TLS, c.SASL = row.tls, row.sasl })
			_, err := client.Apply(t.Context())
			if row.refused != "" {
				if !errors.Is(err, stream.ErrAuth) || !strings.Contains(err.Error(), row.refused) {
					t.Errorf("apply gave %v, want ErrAuth with %q", err, row.refused)
				}
				var n atomic.Int64
				err = client.Group(stream.GroupConfig{ID: "group", Topic: client.Topics().Events}).Run(t.Context(), counting(&n))
				if !errors.Is(err, stream.ErrAuth) {
					t.Errorf("run gave %v, want ErrAuth", err)
				}
				err = client.Publish(t.Context(), keys(client.Topics().Events, 1))
				if !errors.Is(err, stream.ErrAuth) {
					t.Errorf("publish gave %v, want ErrAuth", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Publish(t.Context(), keys(client.Topics().Events, 10)); err != nil {
				t.Fatal(err)
			}
			handle(t, client, 10)
		})
	}
}

// handle runs a group until it has handled n records.
func handle(t *testing.T, client *stream.Client, want int64) {
	t.Helper()
	var n atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- client.Group(stream.GroupConfig{ID: "group", Topic: client.Topics().Events}).Run(ctx, counting(&n))
	}()
	for deadline := time.Now().Add(20 * time.Second); n.Load() < want; {
		select {
		case err := <-done:
			t.Fatalf("run ended: %v", err)
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d records were handled", n.Load(), want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestRotatedPasswordIsUsed(t *testing.T) {
	broker := cluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "anna", "right"))
	value, path := password(t, "wrong")
	client := clientOf(t, broker.ListenAddrs()[0], func(c *stream.Config) {
		c.SASL = stream.SASL{Mechanism: "plain", Username: "anna", Password: value}
	})
	if err := client.Ping(t.Context()); !errors.Is(err, stream.ErrAuth) {
		t.Fatalf("ping gave %v, want ErrAuth", err)
	}
	if err := os.WriteFile(path, []byte("right\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Errors that a real cluster gives and an embedded broker does not.
func TestBrokerErrors(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault kfake.Fault
	}{
		{"the leader moved while publishing", kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition, Count: 3}},
		{"too few replicas", kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: 3}},
		{"the answer to a publish is late", kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 1}},
		{"the leader moved while fetching", kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: 3}},
		{"storage error while fetching", kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.KafkaStorageError, Count: 3}},
		{"the coordinator is loading", kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, TopLevel: true, Err: kerr.CoordinatorLoadInProgress, Count: 2}},
		{"the coordinator moved at a join", kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, TopLevel: true, Err: kerr.NotCoordinator, Count: 2}},
		{"the coordinator moved at a commit", kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.NotCoordinator, Count: 1}},
		{"the generation is over at a commit", kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.IllegalGeneration, Count: 1}},
		{"no coordinator", kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Group: "group", Err: kerr.CoordinatorNotAvailable, Count: 2}},
		{"offsets are not listed", kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.NotLeaderForPartition, Count: 2}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			broker := cluster(t)
			client := clientOf(t, broker.ListenAddrs()[0])
			if _, err := client.Apply(t.Context()); err != nil {
				t.Fatal(err)
			}
			injected := broker.Fault(row.fault)
			if err := client.Publish(t.Context(), keys(client.Topics().Events, 20)); err != nil {
				t.Fatal(err)
			}
			handle(t, client, 20)
			if injected.Hits() == 0 {
				t.Error("the error did not occur")
			}
		})
	}
}

func TestTopicWithASmallerLimit(t *testing.T) {
	broker := cluster(t)
	smaller := clientOf(t, broker.ListenAddrs()[0], func(c *stream.Config) { c.MaxMessageBytes = 190_000 })
	if _, err := smaller.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := clientOf(t, broker.ListenAddrs()[0])
	topic := client.Topics().Events
	noise := make([]byte, 150_000)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	messages := []stream.Message{}
	for range 5 {
		messages = append(messages, stream.Message{Topic: topic, Key: []byte("one"), Value: noise})
	}
	// Together they are above the topic's limit, each alone is below.
	if err := client.Publish(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
	messages[3].Value = slices.Concat(noise, noise)
	var large *stream.TooLargeError
	if err := client.Publish(t.Context(), messages); !errors.As(err, &large) || len(large.Indexes) != 1 || large.Indexes[0] != 3 {
		t.Fatalf("got %v, want record 3 to be too large", err)
	}
}
