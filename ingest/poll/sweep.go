package poll

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
)

// Sweep reads a whole inventory every so often. C is a position within one sweep;
// its zero value is the beginning.
type Sweep[C any] struct {
	Runtime ingest.Runtime
	Every   time.Duration
	// Fetch returns the page at a position; More is false on the last one.
	Fetch func(ctx context.Context, at C) (Page[C], error)
}

// sweepAt is where a sweep is.
type sweepAt[C any] struct {
	// Started is when it began; zero before the first.
	Started time.Time `json:"started,omitzero"`
	Done    bool      `json:"done"`
	At      C         `json:"at"`
	Pages   int       `json:"pages,omitempty"`
	Records int       `json:"records,omitempty"`
}

// sweepInterval is how often a sweep that is done is looked at.
const sweepInterval = 30 * time.Second

// SweepSource returns s as a source: a sweep that a restart broke off goes on
// where it was. Finished sweeps are logged with their size.
func SweepSource[C any](s Sweep[C]) ingest.Source {
	return Source(Log[sweepAt[C]]{Runtime: s.Runtime, Interval: min(s.Every, sweepInterval),
		Fetch: func(ctx context.Context, at sweepAt[C]) (Page[sweepAt[C]], error) {
			now := s.Runtime.Now()
			if at.Done && now.Sub(at.Started) < s.Every {
				return Page[sweepAt[C]]{Next: at}, nil
			}
			if at.Started.IsZero() || at.Done {
				at = sweepAt[C]{Started: now.UTC()}
			}
			page, err := s.Fetch(ctx, at.At)
			if lost(err) && at.Pages > 0 {
				s.Runtime.Log.WarnContext(ctx, "position within the inventory is no longer known to the provider, reading it from the beginning", slog.Any("error", err))
				at = sweepAt[C]{Started: at.Started}
				page, err = s.Fetch(ctx, at.At)
			}
			if err != nil {
				return Page[sweepAt[C]]{}, err
			}
			at.At, at.Done, at.Pages, at.Records = page.Next, !page.More, at.Pages+1, at.Records+len(page.Records)
			if at.Done {
				var start C
				at.At = start
				s.Runtime.Log.InfoContext(ctx, "inventory read", slog.Int("records", at.Records), slog.Duration("took", now.Sub(at.Started).Round(time.Second)))
			}
			return Page[sweepAt[C]]{Records: page.Records, Next: at, More: page.More}, nil
		}})
}

// lost reports whether an answer says that what was asked for is not, or no longer,
// there: a page that was handed out hours ago.
func lost(err error) bool {
	var answer interface{ HTTPStatus() int }
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.HTTPStatus() {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusGone, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// Snapshot is the record that a sweep makes of what a provider says of one
// person; the provider's normalizer reads it with [ReadSnapshot]. The parts are
// the API's own JSON.
type Snapshot struct {
	// ReadAt is when the API said so: the time of the event.
	ReadAt         time.Time       `json:"read_at"`
	User           json.RawMessage `json:"user"`
	Authenticators json.RawMessage `json:"authenticators,omitempty"`
	Roles          json.RawMessage `json:"roles,omitempty"`
	// Complete: an authenticator that is not listed does not exist.
	Complete bool `json:"complete"`
}

// StreamInventory is the stream of snapshots, of every provider.
const StreamInventory = "inventory"

// inventoryRecord marks a snapshot, so that it is told from the provider's own
// records also in a file.
type inventoryRecord struct {
	Snapshot *Snapshot `json:"stepdown_inventory"`
}

// Record makes a record of s.
func (s Snapshot) Record(source event.Source, tenant, origin string) (ingest.Record, error) {
	s.ReadAt = s.ReadAt.UTC().Truncate(time.Millisecond)
	data, err := json.Marshal(inventoryRecord{&s})
	if err != nil {
		return ingest.Record{}, fmt.Errorf("encode snapshot: %w", err)
	}
	return ingest.Record{Source: source, Tenant: tenant, Stream: StreamInventory, Data: data, Observed: s.ReadAt, Origin: origin}, nil
}

// inventoryPrefix begins every record of a snapshot.
var inventoryPrefix = []byte(`{"stepdown_inventory":`)

// IsSnapshot reports whether data is a record of a snapshot.
func IsSnapshot(data []byte) bool {
	return bytes.HasPrefix(data, inventoryPrefix)
}

// ReadSnapshot reads a record that Record made.
func ReadSnapshot(data []byte) (*Snapshot, error) {
	var r inventoryRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, ingest.Malformed(ingest.MalformedSyntax, "decode snapshot: %w", err)
	}
	switch {
	case r.Snapshot == nil || len(r.Snapshot.User) == 0:
		return nil, ingest.Malformed(ingest.MalformedMissing, "snapshot names no user")
	case r.Snapshot.ReadAt.Year() < 2000:
		return nil, ingest.Malformed(ingest.MalformedTime, "snapshot has no time")
	}
	return r.Snapshot, nil
}
