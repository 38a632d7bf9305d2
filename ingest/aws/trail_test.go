package aws

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"stepdown/ingest"
)

// loginOf is a synthetic record.
func loginOf(n int) string {
	return fmt.Sprintf(`{"eventVersion":"1.09","eventID":"synthetic-%d","eventTime":"2026-03-02T09:00:00Z","eventSource":"signin.amazonaws.com","eventName":"ConsoleLogin","userIdentity":{"type":"IAMUser","userName":"person%d","accountId":"111122223333"},"responseElements":{"ConsoleLogin":"Success"},"additionalEventData":{"MFAUsed":"No"}}`, n, n)
}

func logins(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, loginOf(i))
	}
	return out
}

const folder = "AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/02/"

// seen counts what a source handed on.
type seen struct {
	records map[string]int
	broken  []ingest.Record
	bytes   int
}

// drain polls until the queue is empty, durable at once; errors are returned.
func (s *seen) drain(t *testing.T, source ingest.Source) error {
	t.Helper()
	for range 1000 {
		batch, err := source.Poll(t.Context())
		if err != nil {
			if strings.Contains(err.Error(), secretKey) {
				t.Errorf("error holds the secret: %v", err)
			}
			return err
		}
		s.take(batch)
		if batch.Durable != nil {
			batch.Durable(t.Context())
		}
		if batch.Cursor != nil {
			t.Error("there is a cursor beside the queue's own")
		}
		if !batch.Through.IsZero() {
			return nil
		}
	}
	t.Fatal("the queue is never empty")
	return nil
}

func (s *seen) take(batch ingest.Batch) {
	if s.records == nil {
		s.records = map[string]int{}
	}
	for _, r := range batch.Records {
		if r.Err != nil {
			s.broken = append(s.broken, r)
			continue
		}
		s.records[string(r.Data)]++
		s.bytes += len(r.Data)
	}
}

func (s *seen) want(t *testing.T, n int, once bool) {
	t.Helper()
	for i := range n {
		switch got := s.records[loginOf(i)]; {
		case got == 0:
			t.Errorf("record %d is lost", i)
		case got > 1 && once:
			t.Errorf("record %d came %d times", i, got)
		}
	}
	if len(s.records) != n {
		t.Errorf("%d different records, want %d", len(s.records), n)
	}
}

// filled has 2700 records in five objects, told of in every way there is.
func filled(t *testing.T) *cloud {
	c := newCloud(t)
	c.send(created(c.put(folder+"a=1 b.json.gz", logins(0, 10)...), c.put(folder+"big.json.gz", logins(10, 2610)...)))
	c.send(viaSNS(created(c.put(folder+"sns.json.gz", logins(2610, 2640)...))))
	c.send(viaSNS(`{"s3Bucket":"trail","s3ObjectKey":["` + c.put(folder+"own.json.gz", logins(2640, 2670)...) + `"]}`))
	c.send(`{"version":"0","detail-type":"Object Created","source":"aws.s3","detail":{"bucket":{"name":"trail"},"object":{"key":"` + c.put(folder+"bus.json.gz", logins(2670, 2700)...) + `"}}}`)
	return c
}

func TestEveryRecordOnceAndEveryMessageDeleted(t *testing.T) {
	c := filled(t)
	var got seen
	if err := got.drain(t, c.open()); err != nil {
		t.Fatal(err)
	}
	got.want(t, 2700, true)
	if len(got.broken) > 0 {
		t.Errorf("%d records set aside: %v", len(got.broken), got.broken[0].Err)
	}
	for _, m := range c.messages {
		if !m.deleted || m.received != 1 {
			t.Errorf("%s: deleted %t after %d deliveries", m.id, m.deleted, m.received)
		}
	}
	if c.kept == 0 {
		t.Error("the visibility of the message with the big object was not renewed")
	}
}

func TestMessagesAreDeletedOnlyWhenAllOfThemIsDurable(t *testing.T) {
	c := newCloud(t)
	m := c.send(created(c.put(folder+"a.json.gz", logins(0, 2500)...), c.put(folder+"b.json.gz", logins(2500, 2505)...)))
	s := c.open()
	var got seen
	var last func(context.Context)
	for last == nil {
		batch, err := s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got.take(batch)
		last = batch.Durable
	}
	got.want(t, 2505, true)
	if m.deleted {
		t.Fatal("deleted before its records are durable")
	}
	last(t.Context())
	if !m.deleted {
		t.Fatal("not deleted though its records are durable")
	}
}

// TestKilledAnywhere: a process dies before each batch is durable; the next one
// gets the message when the queue thinks that nobody has it.
func TestKilledAnywhere(t *testing.T) {
	for _, polls := range []int{1, 2, 3, 4} {
		t.Run(fmt.Sprintf("in batch %d", polls), func(t *testing.T) {
			c := filled(t)
			dying := c.open()
			for range polls {
				if _, err := dying.Poll(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			var got seen
			s := c.open()
			if err := got.drain(t, s); err != nil {
				t.Fatal(err)
			}
			if err := c.wait(t.Context(), 6*time.Minute); err != nil {
				t.Fatal(err)
			}
			if err := got.drain(t, s); err != nil {
				t.Fatal(err)
			}
			got.want(t, 2700, true)
			for _, m := range c.messages {
				if !m.deleted {
					t.Errorf("%s is left", m.id)
				}
			}
		})
	}
}

func TestErrorsOfTheMomentLoseAndDoubleNothing(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter){
		"500":        func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
		"502 html":   func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway); _, _ = w.Write([]byte("<html>")) },
		"no service": func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>maintenance</html>")) },
		"cut off": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"cut":`))
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := filled(t)
			n := 0
			c.set(func(op string, w http.ResponseWriter, _ *http.Request) bool {
				if n++; n%2 == 0 || op == "DeleteMessage" {
					return false
				}
				answer(w)
				return true
			})
			var got seen
			s := c.open()
			for tries := 0; got.drain(t, s) != nil; tries++ {
				if tries == 50 {
					t.Fatal("the source does not recover")
				}
			}
			got.want(t, 2700, true)
		})
	}
	t.Run("in the middle of an object", func(t *testing.T) {
		c := newCloud(t)
		key := c.put(folder+"a.json.gz", logins(0, 2500)...)
		c.send(created(key))
		cuts := 0
		c.set(func(op string, w http.ResponseWriter, _ *http.Request) bool {
			if op != "GetObject" || cuts == 3 {
				return false
			}
			cuts++
			data := c.objects["trail/"+key]
			w.Header().Set("ETag", `"synthetic"`)
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			_, _ = w.Write(data[:len(data)*cuts/4])
			panic(http.ErrAbortHandler)
		})
		var got seen
		s := c.open()
		for tries := 0; got.drain(t, s) != nil; tries++ {
			if tries == 10 {
				t.Fatal("the source does not recover")
			}
		}
		got.want(t, 2500, true)
		if cuts != 3 || len(got.broken) > 0 {
			t.Errorf("%d cuts, %d records set aside: want 3 and none", cuts, len(got.broken))
		}
	})
}

func TestAnObjectThatCannotBeReadHoldsNobodyUp(t *testing.T) {
	c := newCloud(t)
	bad, good := c.send(created(c.put(folder+"bad.json.gz", logins(0, 10)...))), c.send(created(c.put(folder+"good.json.gz", logins(10, 20)...)))
	c.set(func(op string, w http.ResponseWriter, r *http.Request) bool {
		if op != "GetObject" || !strings.Contains(r.URL.Path, "bad") {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>no</Message></Error>`)
		return true
	})
	var got seen
	s := c.open()
	failed := 0
	for got.drain(t, s) != nil {
		if failed++; failed > 20 {
			t.Fatal("the source does not go on")
		}
	}
	if failed != maxFailures || !good.deleted || bad.deleted || len(got.records) != 10 {
		t.Errorf("%d failures, good deleted %t, bad deleted %t, %d records", failed, good.deleted, bad.deleted, len(got.records))
	}
	c.set(nil)
	_ = c.wait(t.Context(), 6*time.Minute)
	if err := got.drain(t, s); err != nil {
		t.Fatal(err)
	}
	got.want(t, 20, true)
}

func TestWhatIsNoTrailIsSetAsideOrLeftOut(t *testing.T) {
	gz := func(text string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(text))
		_ = z.Close()
		return b.Bytes()
	}
	whole := gz(`{"Records":[` + loginOf(0) + `]}`)
	for name, tc := range map[string]struct {
		body    string
		object  []byte
		records int
		broken  string
	}{
		"test event":           {body: `{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"trail"}`},
		"removal":              {body: strings.Replace(created("x"), "ObjectCreated:Put", "ObjectRemoved:Delete", 1)},
		"digest":               {body: created("AWSLogs/111122223333/CloudTrail-Digest/us-east-1/x.json.gz")},
		"no notification":      {body: `{"hello":"world"}`, broken: "no notification"},
		"no json":              {body: `hello`, broken: "no JSON"},
		"object is gone":       {body: created("gone"), broken: "not there"},
		"not compressed":       {body: created("o"), object: []byte(`{"Records":[` + loginOf(0) + `],"other":{"a":[1]}}`), records: 1},
		"empty list":           {body: created("o"), object: gz(`{"Records":[]}`)},
		"no object":            {body: created("o"), object: gz(`[1]`), broken: "no JSON object"},
		"no list":              {body: created("o"), object: gz(`{"Records":7}`), broken: "no list"},
		"cut json":             {body: created("o"), object: gz(`{"Records":[` + loginOf(0) + `,{"a":`), records: 1, broken: "unexpected EOF"},
		"cut gzip":             {body: created("o"), object: whole[:len(whole)-9], records: 1, broken: "unexpected EOF"},
		"wrong checksum":       {body: created("o"), object: append(whole[:len(whole)-8:len(whole)-8], make([]byte, 8)...), records: 1, broken: "checksum"},
		"empty":                {body: created("o"), object: []byte{}, broken: "EOF"},
		"record out of bounds": {body: created("o"), object: gz(`{"Records":["` + strings.Repeat("x", maxRecord+maxRecord/8) + `"]}`), broken: "larger"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			if tc.object != nil {
				c.putRaw("o", tc.object)
			}
			m := c.send(tc.body)
			var got seen
			if err := got.drain(t, c.open()); err != nil {
				t.Fatal(err)
			}
			if len(got.records) != tc.records {
				t.Errorf("%d records, want %d", len(got.records), tc.records)
			}
			switch {
			case tc.broken == "" && len(got.broken) == 0:
			case tc.broken != "" && len(got.broken) == 1 && strings.Contains(got.broken[0].Err.Error(), tc.broken):
			default:
				t.Errorf("set aside %v, want %q", got.broken, tc.broken)
			}
			if !m.deleted {
				t.Error("the message is left: it would come for ever")
			}
		})
	}
}

func TestThrottledCallsWait(t *testing.T) {
	c := filled(t)
	n := map[string]int{}
	c.set(func(op string, w http.ResponseWriter, _ *http.Request) bool {
		if n[op]++; n[op] > 6 {
			return false
		}
		if op == "GetObject" {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>`)
			return true
		}
		c.refuse(w, http.StatusBadRequest, "com.amazonaws.sqs#RequestThrottled")
		return true
	})
	var got seen
	if err := got.drain(t, c.open()); err != nil {
		t.Fatal(err)
	}
	got.want(t, 2700, true)
	if c.waited < 5*time.Second {
		t.Errorf("waited %s over 24 refusals", c.waited)
	}
}

func TestARefusedCredentialSaysSo(t *testing.T) {
	for name, answer := range map[string]func(c *cloud, w http.ResponseWriter){
		"sqs access denied": func(c *cloud, w http.ResponseWriter) {
			c.refuse(w, 403, "com.amazon.coral.service#AccessDeniedException")
		},
		"sqs expired token": func(c *cloud, w http.ResponseWriter) {
			c.refuse(w, 403, "com.amazon.coral.service#ExpiredTokenException")
		},
		"unknown key": func(c *cloud, w http.ResponseWriter) {
			c.refuse(w, 403, "com.amazon.coral.service#UnrecognizedClientException")
		},
		"no such queue":  func(c *cloud, w http.ResponseWriter) { c.refuse(w, 400, "com.amazonaws.sqs#QueueDoesNotExist") },
		"401 of a proxy": func(_ *cloud, w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) },
	} {
		t.Run(name, func(t *testing.T) {
			c := filled(t)
			c.set(func(_ string, w http.ResponseWriter, _ *http.Request) bool { answer(c, w); return true })
			var got seen
			s := c.open()
			err := got.drain(t, s)
			if _, ok := errors.AsType[*ingest.CredentialError](err); !ok {
				t.Errorf("error = %v, want *ingest.CredentialError: only an operator can help", err)
			}
			c.set(nil)
			if err := got.drain(t, s); err != nil {
				t.Fatal(err)
			}
			got.want(t, 2700, true)
		})
	}
}

func TestACancelledPollReturns(t *testing.T) {
	for _, in := range []string{"ReceiveMessage", "GetObject"} {
		t.Run(in, func(t *testing.T) {
			c := filled(t)
			reached := make(chan struct{}, 1)
			c.set(func(op string, _ http.ResponseWriter, r *http.Request) bool {
				if op != in {
					return false
				}
				select {
				case reached <- struct{}{}:
				default:
				}
				_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client goes
				<-r.Context().Done()
				return true
			})
			s := c.open()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := s.Poll(ctx)
				done <- err
			}()
			<-reached
			cancel()
			select {
			case err := <-done:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("error = %v, want that of the context", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("a cancelled poll does not return")
			}
		})
	}
}

// TestABigObjectIsReadInLittleMemory: 90 MB of records, in an object of which no
// more than a batch is in memory.
func TestABigObjectIsReadInLittleMemory(t *testing.T) {
	const n = 60_000
	c := newCloud(t)
	pad := strings.Repeat("x", 1100)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	fmt.Fprint(z, `{"Records":[`)
	for i := range n {
		if i > 0 {
			fmt.Fprint(z, ",")
		}
		fmt.Fprintf(z, `{"pad":%q,"record":%s}`, pad, loginOf(i))
	}
	fmt.Fprint(z, `]}`)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	c.putRaw("big", b.Bytes())
	c.send(created("big"))
	s := c.open()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, peak, records, size, polls := m.HeapAlloc, uint64(0), 0, 0, 0
	for {
		batch, err := s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range batch.Records {
			size += len(r.Data)
		}
		records += len(batch.Records)
		if polls++; polls%4 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
		if batch.Durable != nil {
			break
		}
	}
	used := int64(peak) - int64(before)
	t.Logf("%d records of %d MB, %d KiB in the bucket, %d KiB in memory at most", records, size>>20, b.Len()>>10, used>>10)
	if records != n || used > 16<<20 {
		t.Errorf("%d records in %d polls and %d bytes of memory, want %d and no more than 16 MiB", records, polls, used, n)
	}
}

func BenchmarkObject(b *testing.B) {
	var raw bytes.Buffer
	z := gzip.NewWriter(&raw)
	text := `{"Records":[` + strings.Join(logins(0, 5000), ",") + `]}`
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r := newObjectReader(nopCloser{bytes.NewReader(raw.Bytes())}, func() {})
		n := 0
		for {
			if _, err := r.next(); err != nil {
				if !errors.Is(err, errEnd) {
					b.Fatal(err)
				}
				break
			}
			n++
		}
		if n != 5000 {
			b.Fatalf("%d records", n)
		}
	}
}

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }
