package ssf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"stepdown/ingest"
	"stepdown/ingest/lenient"
)

// The error codes of RFC 8935 §2.4, which RFC 8936 uses too.
const (
	codeRequest       = "invalid_request"
	codeKey           = "invalid_key"
	codeIssuer        = "invalid_issuer"
	codeAudience      = "invalid_audience"
	codeAuthenticated = "authentication_failed"
)

// refusal is why a token is not taken, in the words of the protocol.
type refusal struct {
	Code        string `json:"err"`
	Description string `json:"description"`
}

func (r *refusal) Error() string { return r.Code + ": " + r.Description }

func refuse(code, format string, args ...any) error {
	return &refusal{Code: code, Description: fmt.Sprintf(format, args...)}
}

// maxSkew is how far the issuer's clock may be ahead.
const maxSkew = 5 * time.Minute

// algorithms are those of public keys; a shared secret and none are not among them.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// verifier decides which tokens are taken.
type verifier struct {
	issuer   string
	audience []string
	maxAge   time.Duration
	keys     *keys
	rt       ingest.Runtime
}

func newVerifier(c *Config, k *keys, rt ingest.Runtime) *verifier {
	return &verifier{issuer: c.Issuer, audience: c.Audience, maxAge: c.MaxAge, keys: k, rt: rt}
}

// token is what of the claims decides whether it is taken.
type token struct {
	Issuer   string                     `json:"iss"`
	ID       string                     `json:"jti"`
	Audience lenient.Texts              `json:"aud"`
	Issued   lenient.Number             `json:"iat"`
	Expires  lenient.Number             `json:"exp"`
	Events   map[string]json.RawMessage `json:"events"`
	// claims are the bytes that were signed.
	claims []byte
}

// verify returns the token of a compact serialization. The error is a *refusal for
// one that is not taken, or errKeysAway.
func (v *verifier) verify(ctx context.Context, compact string) (*token, error) {
	signed, err := jose.ParseSignedCompact(strings.TrimSpace(compact), algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return nil, refuse(codeRequest, "is no JWT signed by an algorithm of public keys")
	}
	header := signed.Signatures[0].Protected
	// Without the type, another token of the issuer would do: an ID token.
	typ, _ := header.ExtraHeaders[jose.HeaderType].(string)
	if strings.TrimPrefix(strings.ToLower(typ), "application/") != "secevent+jwt" {
		return nil, refuse(codeRequest, "typ is %.40q, want secevent+jwt", typ)
	}
	candidates, err := v.keys.find(ctx, header.KeyID)
	if errors.Is(err, errUnknownKey) {
		return nil, refuse(codeKey, "%v", err)
	}
	if err != nil {
		return nil, err
	}
	t := token{}
	for _, key := range candidates {
		if key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		if t.claims, err = signed.Verify(key); err == nil {
			break
		}
	}
	if t.claims == nil {
		return nil, refuse(codeKey, "the signature does not hold")
	}
	if err := json.Unmarshal(t.claims, &t); err != nil {
		return nil, refuse(codeRequest, "claims are not those of a security event token")
	}
	return &t, v.judge(&t)
}

// judge reports why a token with a sound signature is not taken.
func (v *verifier) judge(t *token) error {
	now := v.rt.Now()
	switch {
	case t.Issuer != v.issuer:
		return refuse(codeIssuer, "iss is not the issuer of this stream")
	case !slices.ContainsFunc(t.Audience, func(a string) bool { return slices.Contains(v.audience, a) }):
		return refuse(codeAudience, "aud names somebody else")
	case t.ID == "":
		return refuse(codeRequest, "jti is not there")
	case len(t.Events) == 0:
		return refuse(codeRequest, "events is not there")
	case !t.Issued.Known:
		return refuse(codeRequest, "iat is not there")
	case time.Unix(t.Issued.N, 0).After(now.Add(maxSkew)):
		return refuse(codeRequest, "iat is in the future")
	case now.Sub(time.Unix(t.Issued.N, 0)) > v.maxAge:
		return refuse(codeRequest, "issued more than %s ago", v.maxAge)
	case t.Expires.Known && !now.Before(time.Unix(t.Expires.N, 0).Add(maxSkew)):
		return refuse(codeRequest, "expired")
	}
	return nil
}

// maxRemembered bounds the ids of tokens that are known to be durable.
const maxRemembered = 1 << 16

// remembered are the ids of the latest tokens, so that one that comes again is
// passed on once. It is safe for concurrent use.
type remembered struct {
	mu   sync.Mutex
	ids  map[string]struct{}
	ring []string
	next int
}

// has reports whether the token is durable.
func (r *remembered) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.ids[id]
	return ok
}

// add remembers a token, and forgets the oldest where there are too many.
func (r *remembered) add(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.ids[id]; ok {
		return
	}
	if r.ids == nil {
		r.ids = map[string]struct{}{}
	}
	r.ids[id] = struct{}{}
	if len(r.ring) < maxRemembered {
		r.ring = append(r.ring, id)
		return
	}
	delete(r.ids, r.ring[r.next])
	r.ring[r.next] = id
	r.next = (r.next + 1) % maxRemembered
}
