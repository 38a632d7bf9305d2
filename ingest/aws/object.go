package aws

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// object is one in a bucket.
type object struct{ bucket, key, version string }

func (o object) String() string { return "s3://" + o.bucket + "/" + o.key }

// isTrail reports whether o holds records: digests of the objects and the findings
// of CloudTrail Insights lie beside them.
func (o object) isTrail() bool {
	return !strings.Contains("/"+o.key, "/CloudTrail-")
}

// objectsOf reads a message of the queue: an event of the bucket, as it is or
// within a notification of SNS or an event of EventBridge, or CloudTrail's own
// notification. A message that tells of nothing to read has none.
func objectsOf(body string) ([]object, error) {
	var m struct {
		Type    string `json:"Type"`
		Message string `json:"Message"`
		Event   string `json:"Event"`
		Records []struct {
			EventName string `json:"eventName"`
			S3        struct {
				Bucket struct {
					Name string `json:"name"`
				} `json:"bucket"`
				Object struct {
					Key       string `json:"key"`
					VersionID string `json:"versionId"`
				} `json:"object"`
			} `json:"s3"`
		} `json:"Records"`
		Bucket     string   `json:"s3Bucket"`
		Keys       []string `json:"s3ObjectKey"`
		DetailType string   `json:"detail-type"`
		Detail     struct {
			Bucket struct {
				Name string `json:"name"`
			} `json:"bucket"`
			Object struct {
				Key       string `json:"key"`
				VersionID string `json:"version-id"`
			} `json:"object"`
		} `json:"detail"`
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		return nil, fmt.Errorf("message is no JSON object: %w", err)
	}
	var out []object
	add := func(o object) error {
		switch {
		case o.bucket == "" || o.key == "":
			return errors.New("message names an object without bucket or key")
		case o.isTrail():
			out = append(out, o)
		}
		return nil
	}
	switch {
	case m.Type == "Notification" && m.Message != "":
		return objectsOf(m.Message)
	case m.Event == "s3:TestEvent":
		return nil, nil
	case m.Records != nil:
		for _, r := range m.Records {
			if !strings.Contains(r.EventName, "ObjectCreated:") {
				continue
			}
			key, err := url.QueryUnescape(r.S3.Object.Key) // that of the event is encoded, as in a form
			if err != nil {
				return nil, fmt.Errorf("key of an object: %w", err)
			}
			if err := add(object{r.S3.Bucket.Name, key, r.S3.Object.VersionID}); err != nil {
				return nil, err
			}
		}
		return out, nil
	case m.Keys != nil:
		for _, key := range m.Keys {
			if err := add(object{m.Bucket, key, ""}); err != nil {
				return nil, err
			}
		}
		return out, nil
	case m.DetailType == "Object Created":
		err := add(object{m.Detail.Bucket.Name, m.Detail.Object.Key, m.Detail.Object.VersionID})
		return out, err
	case m.DetailType != "":
		return nil, nil
	}
	return nil, errors.New("message is no notification of an object")
}

// errEnd is the end of an object.
var errEnd = errors.New("end of object")

// maxRecord bounds one record; CloudTrail's own are below 1 MiB.
const maxRecord = 16 << 20

// objectReader reads the records of an object one by one, so that its size does
// not matter.
type objectReader struct {
	body   *watchedBody
	cancel context.CancelFunc
	meter  *meter
	dec    *json.Decoder
	// inside is true within the list of records.
	inside bool
	// read counts the records.
	read int
}

func newObjectReader(body io.ReadCloser, cancel context.CancelFunc) *objectReader {
	return &objectReader{body: &watchedBody{ReadCloser: body}, cancel: cancel}
}

// watchedBody remembers that reading failed, to tell that from a wrong content.
type watchedBody struct {
	io.ReadCloser
	failed bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed = true
	}
	return n, err
}

// meter is a reader that ends a value which is too large.
type meter struct {
	r    io.Reader
	left int
}

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, fmt.Errorf("a record is larger than %d bytes", maxRecord)
	}
	n, err := m.r.Read(p[:min(len(p), m.left)])
	m.left -= n
	return n, err
}

// broke reports whether the connection failed, and not the content.
func (r *objectReader) broke() bool { return r.body.failed }

// limit ends reading after d; the function it returns takes the limit off.
func (r *objectReader) limit(d time.Duration) (stop func()) {
	t := time.AfterFunc(d, r.cancel)
	return func() { t.Stop() }
}

// Close ends reading.
func (r *objectReader) Close() {
	r.cancel()
	_ = r.body.Close()
}

// next returns the next record, errEnd after the last one.
func (r *objectReader) next() (json.RawMessage, error) {
	if r.dec == nil {
		if err := r.begin(); err != nil {
			return nil, err
		}
	}
	for {
		r.meter.left = maxRecord
		if r.inside {
			if r.dec.More() {
				var record json.RawMessage
				if err := r.dec.Decode(&record); err != nil {
					return nil, err
				}
				r.read++
				return record, nil
			}
			if _, err := r.dec.Token(); err != nil {
				return nil, err
			}
			r.inside = false
		}
		t, err := r.dec.Token()
		if err != nil {
			return nil, err
		}
		switch t {
		case json.Delim('}'):
			// The checksum of gzip comes with its end.
			if _, err := io.Copy(io.Discard, io.MultiReader(r.dec.Buffered(), r.meter.r)); err != nil {
				return nil, err
			}
			return nil, errEnd
		case "Records":
			if t, err = r.dec.Token(); err != nil {
				return nil, err
			}
			if t != json.Delim('[') {
				return nil, errors.New("records are no list")
			}
			r.inside = true
		default:
			var other json.RawMessage
			if err := r.dec.Decode(&other); err != nil {
				return nil, err
			}
		}
	}
}

// begin finds out whether the object is compressed, and opens its outer object.
func (r *objectReader) begin() error {
	buffered := bufio.NewReaderSize(r.body, 64<<10)
	magic, err := buffered.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var content io.Reader = buffered
	if bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		if content, err = gzip.NewReader(buffered); err != nil {
			return err
		}
	}
	r.meter = &meter{r: content, left: maxRecord}
	r.dec = json.NewDecoder(r.meter)
	t, err := r.dec.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return errors.New("content is no JSON object")
	}
	return nil
}
