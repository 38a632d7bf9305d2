package ssf

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"stepdown/ingest"
	"stepdown/ingest/rest"
)

// How long keys are used without asking again, how long while asking fails, and how
// often is asked at most.
const (
	keysFresh = time.Hour
	keysStale = 24 * time.Hour
	keysPause = 30 * time.Second
	// keysTimeout is shorter than what a push waits.
	keysTimeout = 7 * time.Second
)

// The bounds of what an issuer publishes.
const (
	maxKeySet = 1 << 20
	maxKeys   = 100
)

var (
	// errKeysAway: our trouble, not the sender's.
	errKeysAway   = errors.New("keys of the issuer cannot be fetched")
	errUnknownKey = errors.New("signed by a key that the issuer does not publish")
)

// keys are those of the issuer. It is safe for concurrent use.
type keys struct {
	client *rest.Client
	ref    string
	rt     ingest.Runtime

	mu    sync.Mutex
	known []jose.JSONWebKey
	// fetched is when known was; asked is when that was tried last, and failed what
	// came of it.
	fetched, asked time.Time
	failed         error
}

func newKeys(address string, budget rest.Budget, rt ingest.Runtime) (*keys, error) {
	base, ref := splitAddress(address)
	client, err := rest.New(budget, rest.Options{Base: base, MaxBody: maxKeySet, Accept: "application/jwk-set+json, application/json"}, rt)
	if err != nil {
		return nil, err
	}
	return &keys{client: client, ref: ref, rt: rt}, nil
}

// splitAddress cuts an address before its last element, so that no slash is put
// behind it.
func splitAddress(address string) (base, ref string) {
	i := strings.LastIndexByte(address, '/')
	if i < 1 || address[i-1] == '/' {
		return address, ""
	}
	return address[:i], "./" + address[i+1:]
}

// find returns the keys that may have signed a token: those of that id, or all where
// the token names none. Requests are bounded whatever ids are asked for; while none
// is allowed, an unknown id is our trouble, so that nobody gives a token up for it.
func (k *keys) find(ctx context.Context, id string) ([]jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.rt.Now()
	found := k.named(id)
	old := now.Sub(k.fetched) >= keysFresh
	current := false
	if (old || len(found) == 0) && (k.asked.IsZero() || now.Sub(k.asked) >= keysPause) {
		k.asked = now
		// A sender that hangs up must not cost the others their keys.
		fetching, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout)
		defer cancel()
		if k.failed = k.fetch(fetching); k.failed != nil {
			k.rt.Log.WarnContext(ctx, "fetch keys of the issuer", slog.Any("error", k.failed))
		} else {
			k.fetched, current = now, true
		}
		found = k.named(id)
	}
	switch {
	case now.Sub(k.fetched) >= keysStale, len(found) == 0 && !current:
		return nil, errKeysAway
	case len(found) == 0:
		return nil, errUnknownKey
	}
	return found, nil
}

func (k *keys) named(id string) []jose.JSONWebKey {
	if id == "" {
		return k.known
	}
	var out []jose.JSONWebKey
	for _, key := range k.known {
		if key.KeyID == id {
			out = append(out, key)
		}
	}
	return out
}

func (k *keys) fetch(ctx context.Context) error {
	resp, err := k.client.Get(ctx, k.ref, nil)
	if err != nil {
		return err
	}
	var set jose.JSONWebKeySet
	if err := resp.JSON(&set); err != nil {
		return err
	}
	var sound []jose.JSONWebKey
	for _, key := range set.Keys {
		// A published secret would let everybody sign.
		if key.Valid() && key.IsPublic() && key.Use != "enc" && len(sound) < maxKeys {
			sound = append(sound, key)
		}
	}
	if len(sound) == 0 {
		return errors.New("the issuer publishes no key for signatures")
	}
	k.known = sound
	return nil
}
