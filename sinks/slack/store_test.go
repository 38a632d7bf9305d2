package slack

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"stepdown/detect/alert"
)

func openStore(t *testing.T, path string) *FileStore {
	t.Helper()
	s, err := OpenFileStore(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func put(t *testing.T, s *FileStore, id alert.ID, m Message) {
	t.Helper()
	if err := s.Put(id, m); err != nil {
		t.Fatal(err)
	}
}

func TestStoreRemembersAcrossACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages.jsonl")
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	s := openStore(t, path)
	want := Message{Channel: testChannel, TS: "1.000001", Revision: 2, At: at}
	put(t, s, "a", Message{At: at})
	put(t, s, "a", want)
	put(t, s, "b", Message{At: at})

	// The process dies in the middle of a line and closes nothing.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"id":"c","ts":"9.`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	again := openStore(t, path)
	if m, ok := again.Get("a"); !ok || gocmp.Diff(want, m) != "" {
		t.Errorf("Get(a) = %+v, %v; want %+v", m, ok, want)
	}
	if m, ok := again.Get("b"); !ok || m.TS != "" {
		t.Errorf("Get(b) = %+v, %v; want the intent", m, ok)
	}
	if _, ok := again.Get("c"); ok {
		t.Error("Get(c) knows a line that was torn")
	}
}

func TestStoreIsCompacted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages.jsonl")
	s := openStore(t, path)
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	// Most lines are written at once: what is tested is what is kept of them.
	var data []byte
	for i := range 2*kept + 1000 {
		id := alert.ID(fmt.Sprintf("id%05d", i%(kept+10)))
		data = fmt.Appendf(data, `{"id":%q,"channel":%q,"ts":"%d.000001","revision":%d,"at":%q}`+"\n", id, testChannel, i, i, at.Add(time.Duration(i)*time.Second).Format(time.RFC3339))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, path)
	put(t, s, "newest", Message{TS: "7.000001", At: at.Add(1000 * time.Hour)})

	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(got, []byte("\n")); n != kept {
		t.Errorf("the file has %d lines after it was compacted, want %d", n, kept)
	}
	put(t, s, "later", Message{TS: "8.000001", At: at.Add(1001 * time.Hour)})
	again := openStore(t, path)
	for _, id := range []alert.ID{"newest", "later"} {
		if m, ok := again.Get(id); !ok || m.TS == "" {
			t.Errorf("Get(%s) = %+v, %v after the file was compacted", id, m, ok)
		}
	}
	// The first 980 ids have a line of a third round; the others, one of the second.
	if _, ok := again.Get("id00980"); ok {
		t.Error("the oldest alert is still remembered")
	}
	if m, ok := again.Get("id00500"); !ok || m.Revision != 2*(kept+10)+500 {
		t.Errorf("Get(id00500) = %+v, %v; want its latest line", m, ok)
	}
}
