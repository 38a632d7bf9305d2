package aws

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"log/slog"

	"context"

	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest"
	"stepdown/ingest/secret"
)

const (
	keyID     = "AKIDSYNTHETIC"
	secretKey = "synthetic-aws-secret"
)

var start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// cloud is a fake of SQS, by its JSON protocol, and of S3, by its REST protocol,
// in path style.
type cloud struct {
	t      *testing.T
	server *httptest.Server
	logs   bytes.Buffer

	mu       sync.Mutex
	now      time.Time
	messages []*message
	objects  map[string][]byte
	// fault answers a request instead of the fake; it returns false to let it
	// through.
	fault    func(op string, w http.ResponseWriter, r *http.Request) bool
	requests map[string]int
	kept     int
	waited   time.Duration
}

type message struct {
	id, body, receipt string
	visible           time.Time
	received          int
	deleted           bool
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{t: t, now: start, objects: map[string][]byte{}, requests: map[string]int{}}
	c.server = httptest.NewServer(c)
	t.Cleanup(c.server.Close)
	t.Cleanup(func() {
		if strings.Contains(c.logs.String(), secretKey) {
			t.Error("the log holds the secret")
		}
	})
	return c
}

func (c *cloud) clock() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *cloud) wait(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.waited = c.now.Add(d), c.waited+d
	return ctx.Err()
}

func (c *cloud) runtime() ingest.Runtime {
	return ingest.Runtime{
		Input: "test", HTTP: http.DefaultTransport, Registerer: prometheus.NewRegistry(),
		Log: slog.New(slog.NewTextHandler(&c.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now: c.clock, Wait: c.wait,
	}
}

// put stores an object with records and returns its key.
func (c *cloud) put(key string, records ...string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	fmt.Fprintf(z, `{"Records":[%s]}`, strings.Join(records, ","))
	if err := z.Close(); err != nil {
		c.t.Fatal(err)
	}
	c.putRaw(key, b.Bytes())
	return key
}

func (c *cloud) putRaw(key string, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects["trail/"+key] = data
}

// send puts a message into the queue.
func (c *cloud) send(body string) *message {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &message{id: fmt.Sprintf("message-%d", len(c.messages)), body: body}
	c.messages = append(c.messages, m)
	return m
}

// created is what a bucket tells of new objects.
func created(keys ...string) string {
	var records []string
	for _, key := range keys {
		key = strings.NewReplacer("=", "%3D", " ", "+").Replace(key)
		records = append(records, fmt.Sprintf(`{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"trail"},"object":{"key":%q,"size":1,"eTag":"x"}}}`, key))
	}
	return `{"Records":[` + strings.Join(records, ",") + `]}`
}

// viaSNS wraps a message as SNS does.
func viaSNS(body string) string {
	b, _ := json.Marshal(body)
	return `{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:us-east-1:111122223333:trail","Message":` + string(b) + `,"Timestamp":"2026-03-02T09:00:00.000Z"}`
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op := r.Header.Get("X-Amz-Target")
	if op == "" {
		op = "GetObject"
	}
	op = strings.TrimPrefix(op, "AmazonSQS.")
	c.mu.Lock()
	c.requests[op]++
	fault := c.fault
	c.mu.Unlock()
	if fault != nil && fault(op, w, r) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="+keyID+"/") {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if op == "GetObject" {
		c.getObject(w, r)
		return
	}
	var in struct {
		QueueURL          string `json:"QueueUrl"`
		ReceiptHandle     string
		VisibilityTimeout int
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !strings.HasSuffix(in.QueueURL, "/111122223333/trail") {
		c.refuse(w, http.StatusBadRequest, "com.amazonaws.sqs#QueueDoesNotExist")
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	switch op {
	case "ReceiveMessage":
		for _, m := range c.messages {
			if m.deleted || c.now.Before(m.visible) {
				continue
			}
			m.received++
			m.receipt = m.id + "#" + strconv.Itoa(m.received)
			m.visible = c.now.Add(time.Duration(in.VisibilityTimeout) * time.Second)
			sum := md5.Sum([]byte(m.body))
			_ = json.NewEncoder(w).Encode(map[string]any{"Messages": []any{map[string]any{
				"MessageId": m.id, "ReceiptHandle": m.receipt, "MD5OfBody": hex.EncodeToString(sum[:]), "Body": m.body}}})
			return
		}
		fmt.Fprint(w, `{}`)
	case "ChangeMessageVisibility", "DeleteMessage":
		i := slices.IndexFunc(c.messages, func(m *message) bool { return m.receipt == in.ReceiptHandle && !m.deleted })
		if i < 0 {
			c.refuse(w, http.StatusBadRequest, "com.amazonaws.sqs#ReceiptHandleIsInvalid")
			return
		}
		if op == "DeleteMessage" {
			c.messages[i].deleted = true
		} else {
			c.kept++
			c.messages[i].visible = c.now.Add(time.Duration(in.VisibilityTimeout) * time.Second)
		}
		fmt.Fprint(w, `{}`)
	default:
		c.refuse(w, http.StatusBadRequest, "com.amazonaws.sqs#UnsupportedOperation")
	}
}

func (c *cloud) refuse(w http.ResponseWriter, status int, kind string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"__type":%q,"message":"synthetic"}`, kind)
}

func (c *cloud) getObject(w http.ResponseWriter, r *http.Request) {
	data, ok := c.objects[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>`)
		return
	}
	w.Header().Set("ETag", `"synthetic"`)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
}

func (c *cloud) set(fault func(op string, w http.ResponseWriter, r *http.Request) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = fault
}

// settings are those of an input over the fake at base.
func settings(t *testing.T, base string) *Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(secretKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Config{}
	c.SetDefaults()
	c.URL, c.QueueURL, c.Region = base, base+"/111122223333/trail", "us-east-1"
	c.AccessKey = AccessKey{ID: keyID, Secret: secret.FromFile(file)}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cloud) open() ingest.Source {
	c.t.Helper()
	sources, err := settings(c.t, c.server.URL).Open(c.runtime())
	if err != nil {
		c.t.Fatal(err)
	}
	s := sources[stream]
	if err := s.Seek(nil); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = s.Close() })
	return s
}
