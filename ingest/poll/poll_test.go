package poll

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stepdown/ingest"
)

var start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// row is a record of the tests: an id at a minute, in a version.
func row(id, minute, version int) ingest.Record {
	return ingest.Record{Data: []byte(fmt.Sprintf("%d %d %d", id, minute, version))}
}

func when(data []byte) time.Time {
	var id, minute, version int
	if n, _ := fmt.Sscan(string(data), &id, &minute, &version); n != 3 {
		return time.Time{}
	}
	return start.Add(time.Duration(minute) * time.Minute)
}

// rolling is a log that shows everything at each look.
func rolling(rows *[]ingest.Record, overlap time.Duration, waits *int) Log[int] {
	return Log[int]{
		Runtime: ingest.Runtime{Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return start.Add(24 * time.Hour) },
			Wait: func(ctx context.Context, _ time.Duration) error { *waits++; return ctx.Err() }},
		Interval: time.Minute, Overlap: overlap, When: when,
		Fetch: func(_ context.Context, at int) (Page[int], error) {
			return Page[int]{Records: *rows, Next: at + 1}, nil
		},
	}
}

func poll(t *testing.T, s ingest.Source) (rows []string, cursor json.RawMessage) {
	t.Helper()
	batch, err := s.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range batch.Records {
		rows = append(rows, string(r.Data))
	}
	return rows, batch.Cursor
}

func TestAnOverlapGivesOnlyWhatIsNewOrRewritten(t *testing.T) {
	waits := 0
	rows := []ingest.Record{row(1, 0, 1), row(2, 5, 1)}
	s := Source(rolling(&rows, time.Hour, &waits))
	got, cursor := poll(t, s)
	if diff := cmp.Diff([]string{"1 0 1", "2 5 1"}, got); diff != "" {
		t.Errorf("first look (-want +got):\n%s", diff)
	}
	// A restart remembers as well.
	s = Source(rolling(&rows, time.Hour, &waits))
	if err := s.Seek(cursor); err != nil {
		t.Fatal(err)
	}
	rows = []ingest.Record{row(1, 0, 2), row(2, 5, 1), row(3, 2, 1)}
	if got, _ = poll(t, s); cmp.Diff([]string{"1 0 2", "3 2 1"}, got) != "" {
		t.Errorf("second look gave %v, want the rewritten and the late record", got)
	}
	if got, _ = poll(t, s); len(got) != 0 {
		t.Errorf("third look gave %v, want nothing", got)
	}
	if waits != 1 {
		t.Errorf("%d pauses, want one before the third look: a fresh start does not wait", waits)
	}
}

func TestSeenIsForgottenAfterTheOverlapAndBounded(t *testing.T) {
	waits := 0
	rows := []ingest.Record{row(1, 0, 1)}
	s := Source(rolling(&rows, 30*time.Minute, &waits)).(*source[int])
	poll(t, s)
	rows = []ingest.Record{row(2, 29, 1)}
	poll(t, s)
	if len(s.seen.minutes) != 2 {
		t.Errorf("%d records remembered within the overlap, want 2", len(s.seen.minutes))
	}
	rows = []ingest.Record{row(3, 40, 1)}
	poll(t, s)
	if len(s.seen.minutes) != 2 {
		t.Errorf("%d records remembered, want 2: the first is past the overlap", len(s.seen.minutes))
	}
	rows = nil
	for i := range maxSeen + 100 {
		rows = append(rows, row(i, 41, 7))
	}
	_, cursor := poll(t, s)
	if len(s.seen.minutes) != maxSeen {
		t.Errorf("%d records remembered, want the bound %d", len(s.seen.minutes), maxSeen)
	}
	if len(cursor) > 700<<10 {
		t.Errorf("position has %d bytes, too much for a message", len(cursor))
	}
	var again position[int]
	if err := json.Unmarshal(cursor, &again); err != nil || cmp.Diff(s.seen.minutes, again.Seen.minutes) != "" {
		t.Errorf("position is not read back as it was: %v", err)
	}
}

func TestAPositionThatCannotBeReadIsAnError(t *testing.T) {
	waits := 0
	var rows []ingest.Record
	for _, cursor := range []string{`{`, `{"at":"x"}`, `{"at":1,"seen":"AAA"}`, `{"at":1,"seen":7}`} {
		if err := Source(rolling(&rows, time.Hour, &waits)).Seek(json.RawMessage(cursor)); err == nil {
			t.Errorf("Seek(%s) = nil: the input would begin anew in silence", cursor)
		}
	}
}

func TestACursorIsSavedOnlyWhenItMoved(t *testing.T) {
	waits := 0
	var rows []ingest.Record
	l := rolling(&rows, 0, &waits)
	l.Fetch = func(_ context.Context, at int) (Page[int], error) { return Page[int]{Next: at}, nil }
	s := Source(l)
	if _, cursor := poll(t, s); cursor == nil {
		t.Error("the first position is not saved: a restart would begin elsewhere")
	}
	if _, cursor := poll(t, s); cursor != nil {
		t.Errorf("cursor %s saved again", cursor)
	}
}

func TestSnapshotRoundTrip(t *testing.T) {
	s := Snapshot{ReadAt: start, User: json.RawMessage(`{"id":"u1"}`), Authenticators: json.RawMessage(`[]`), Complete: true}
	r, err := s.Record("okta", "example", "test")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadSnapshot(r.Data)
	if err != nil || !IsSnapshot(r.Data) {
		t.Fatalf("ReadSnapshot(%s) = %v", r.Data, err)
	}
	if diff := cmp.Diff(&s, got); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
	for _, data := range []string{`{"stepdown_inventory":`, `{"stepdown_inventory":null}`, `{"stepdown_inventory":{"user":{}}}`, `{"stepdown_inventory":{"read_at":"2026-03-02T09:00:00Z"}}`} {
		if _, err := ReadSnapshot([]byte(data)); err == nil {
			t.Errorf("ReadSnapshot(%s) = nil", data)
		}
	}
}

func TestARecordOfTheFutureForgetsNothing(t *testing.T) {
	waits := 0
	rows := []ingest.Record{row(1, 24*60-5, 1), row(2, 9_000_000, 1)}
	s := Source(rolling(&rows, time.Hour, &waits))
	poll(t, s)
	if got, _ := poll(t, s); len(got) != 0 {
		t.Errorf("second look gave %v again, because of a clock that is ahead", got)
	}
}

// gone is an answer that a page is not known any more.
type gone struct{}

func (gone) Error() string   { return "410" }
func (gone) HTTPStatus() int { return 410 }

func TestASweepWhosePageIsGoneBeginsAnew(t *testing.T) {
	waits, fetched := 0, []int{}
	s := SweepSource(Sweep[int]{Every: 24 * time.Hour,
		Runtime: ingest.Runtime{Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return start }, Wait: func(ctx context.Context, _ time.Duration) error { waits++; return ctx.Err() }},
		Fetch: func(_ context.Context, at int) (Page[int], error) {
			fetched = append(fetched, at)
			if at == 1 && len(fetched) == 2 {
				return Page[int]{}, gone{}
			}
			return Page[int]{Records: []ingest.Record{row(at, 0, 1)}, Next: at + 1, More: at < 2}, nil
		}})
	for range 4 {
		poll(t, s)
	}
	if diff := cmp.Diff([]int{0, 1, 0, 1, 2}, fetched); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}
