package webhook

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // an HMAC with it is sound, and some senders have nothing else
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"

	"stepdown/ingest/secret"
)

// The reasons to refuse a push.
var (
	errUnsigned = errors.New("not signed")
	errWrong    = errors.New("wrong secret or signature")
	errStale    = errors.New("signed too long ago, or in the future")
)

// verifier checks who pushes.
type verifier struct {
	preset
	secrets   []secret.Secret
	timestamp string // header of the signed time
}

func newVerifier(c *Config) *verifier {
	v := &verifier{preset: c.settled(), secrets: []secret.Secret{c.Secret}, timestamp: c.TimestampHeader}
	if !c.Previous.IsZero() {
		v.secrets = append(v.secrets, c.Previous)
	}
	return v
}

// verify looks at what can be known of a push before its body is read, and returns
// what says of the body whether one of the secrets vouches for it. Secrets are read
// each time, so that a renewed file is taken up; the error of one that cannot be read
// is none of the reasons above: it is ours, not the sender's.
func (v *verifier) verify(h http.Header, now time.Time) (vouched func(body []byte) error, err error) {
	given := h.Get(v.header)
	if given == "" {
		return nil, errUnsigned
	}
	var values []string
	for _, s := range v.secrets {
		value, err := s.Value()
		if err != nil {
			return nil, fmt.Errorf("webhook secret: %w", err)
		}
		values = append(values, value)
	}
	if !v.hmac {
		return func([]byte) error { return nil }, v.sameHeader(given, values)
	}
	prefix, signature := "", given
	switch {
	case v.pattern != "":
		var at string
		if at, signature = timeAndSignature(given); at == "" {
			return nil, errUnsigned
		}
		if err := v.recent(at, now); err != nil {
			return nil, err
		}
		prefix = at + "."
	case v.timestamp != "":
		at := h.Get(v.timestamp)
		if err := v.recent(at, now); err != nil {
			return nil, err
		}
		prefix = at + "."
	}
	signature, ok := strings.CutPrefix(signature, v.prefix)
	if !ok {
		return nil, errWrong
	}
	mac, err := v.decode(signature)
	if err != nil {
		return nil, errWrong
	}
	return func(body []byte) error {
		for _, value := range values {
			m := hmac.New(hashOf(v.algorithm), []byte(value))
			m.Write([]byte(prefix))
			m.Write(body)
			if hmac.Equal(m.Sum(nil), mac) {
				return nil
			}
		}
		return errWrong
	}, nil
}

// sameHeader compares in a time that tells nothing of the secret, its length
// included.
func (v *verifier) sameHeader(given string, values []string) error {
	got := sha256.Sum256([]byte(given))
	for _, value := range values {
		want := sha256.Sum256([]byte(v.prefix + value))
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			return nil
		}
	}
	return errWrong
}

// timeAndSignature reads "t=<time>, v1=<signature>".
func timeAndSignature(s string) (at, signature string) {
	for part := range strings.SplitSeq(s, ",") {
		switch k, value, _ := strings.Cut(strings.TrimSpace(part), "="); k {
		case "t":
			at = value
		case "v1":
			signature = value
		}
	}
	return at, signature
}

// recent checks a signed time, in seconds or milliseconds.
func (v *verifier) recent(at string, now time.Time) error {
	n, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return errUnsigned
	}
	t := time.Unix(n, 0)
	if n > 1e11 {
		t = time.UnixMilli(n)
	}
	if d := now.Sub(t); d > v.tolerance || d < -v.tolerance {
		return errStale
	}
	return nil
}

func (v *verifier) decode(signature string) ([]byte, error) {
	if v.encoding == "base64" {
		return base64.StdEncoding.DecodeString(signature)
	}
	return hex.DecodeString(signature)
}

func hashOf(algorithm string) func() hash.Hash {
	switch algorithm {
	case "sha1":
		return sha1.New
	case "sha256":
		return sha256.New
	case "sha512":
		return sha512.New
	}
	return nil
}
