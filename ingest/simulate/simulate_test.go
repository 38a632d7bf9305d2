package simulate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stepdown/ingest"
)

func company(t testing.TB, change func(*Config)) *Company {
	t.Helper()
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func small(cfg *Config) { cfg.People, cfg.Days = 40, 12 }

func digest(c *Company) string {
	h := sha256.New()
	for d := range c.Deliveries() {
		fmt.Fprintf(h, "%s %s %s %s %s %s\n", d.Record.Source, d.Record.Tenant, d.Record.Stream, d.Record.Observed, d.Time, d.ID)
		h.Write(d.Record.Data)
	}
	fmt.Fprintf(h, "%+v", c.Plan())
	h.Write(c.Directory())
	return hex.EncodeToString(h.Sum(nil))
}

func TestSameSeedSameBytes(t *testing.T) {
	a := company(t, small)
	first := digest(a)
	if again := digest(a); again != first {
		t.Error("ranging over the deliveries twice gives two logs")
	}
	if other := digest(company(t, small)); other != first {
		t.Error("the same configuration gives two companies")
	}
	if other := digest(company(t, func(c *Config) { small(c); c.Seed = 2 })); other == first {
		t.Error("another seed gives the same company")
	}
}

func TestConfigOutOfRange(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
	}{
		{"few people", func(c *Config) { c.People = 39 }},
		{"many people", func(c *Config) { c.People = 2001 }},
		{"few days", func(c *Config) { c.Days = 11 }},
		{"many days", func(c *Config) { c.Days = 61 }},
		{"no start", func(c *Config) { c.Start = time.Time{} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := DefaultConfig()
			tc.change(&cfg)
			if _, err := New(cfg); err == nil {
				t.Errorf("New(%+v) gives no error", cfg)
			}
		})
	}
}

// TestCompaniesCanBeMade: whatever the seed, the size and the first weekday.
func TestCompaniesCanBeMade(t *testing.T) {
	for seed := range uint64(40) {
		for _, people := range []int{40, 75, 200} {
			cfg := Config{Seed: seed, People: people, Days: 12 + int(seed%4), Start: DefaultConfig().Start.AddDate(0, 0, int(seed))}
			c, err := New(cfg)
			if err != nil {
				t.Errorf("New(%+v): %v", cfg, err)
				continue
			}
			victims := map[string]bool{}
			for _, p := range c.Plan() {
				victims[p.Identity] = true
			}
			if len(victims) != 6 {
				t.Errorf("New(%+v): %d attacked identities, want 6", cfg, len(victims))
			}
		}
	}
}

func TestRecordsAreInOrderOfArrival(t *testing.T) {
	var last time.Time
	late, reordered := 0, 0
	newest := map[string]time.Time{}
	for d := range company(t, nil).Deliveries() {
		r := d.Record
		if r.Observed.Before(last) {
			t.Fatalf("record %s arrived %s, the one before %s", d.ID, r.Observed, last)
		}
		last = r.Observed
		lag := r.Observed.Sub(d.Time)
		if lag <= 0 || lag > maxLateness {
			t.Errorf("record %s arrives %s after it happened, maxLateness is %s", d.ID, lag, maxLateness)
		}
		if lag > 25*time.Minute {
			late++
			if d.Attack != "" {
				t.Errorf("record %s of attack %s is %s late: attacks are found at the usual pace", d.ID, d.Attack, lag)
			}
		}
		if d.Time.Before(newest[d.Identity]) {
			reordered++
		}
		newest[d.Identity] = maxTime(newest[d.Identity], d.Time)
	}
	if late < 20 || late > 400 {
		t.Errorf("%d records are more than 25 minutes late, want some", late)
	}
	if reordered < 500 {
		t.Errorf("%d records arrive behind a later one of the same identity, want many", reordered)
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func TestRecordsAreWhatTheySay(t *testing.T) {
	var total, unreadable, twice, rewritten int
	seen := map[string][]byte{}
	streams := map[string]int{}
	for d := range company(t, nil).Deliveries() {
		total++
		r := d.Record
		streams[string(r.Source)+"/"+r.Stream]++
		if d.ID == "" {
			unreadable++
			if json.Valid(r.Data) {
				t.Errorf("%s is to be broken and is JSON: %s", r.Origin, r.Data)
			}
			continue
		}
		if !json.Valid(r.Data) {
			t.Fatalf("record %s is no JSON: %s", d.ID, r.Data)
		}
		if !bytes.Contains(r.Data, []byte(d.ID)) {
			t.Errorf("record %s does not hold its id: %s", d.ID, r.Data)
		}
		key := string(r.Source) + d.ID
		switch before, ok := seen[key]; {
		case !ok:
			seen[key] = r.Data
		case bytes.Equal(before, r.Data):
			twice++
		default:
			rewritten++
		}
	}
	if total < 25_000 || total > 45_000 {
		t.Errorf("%d records, want 25000 to 45000", total)
	}
	if unreadable != 3 {
		t.Errorf("%d records cannot be read, want 3", unreadable)
	}
	if twice < 40 || rewritten < 40 {
		t.Errorf("%d records came twice and %d were rewritten, want some of both", twice, rewritten)
	}
	for _, s := range []string{"okta/system_log", "entra/sign_in", "entra/sign_in_non_interactive", "entra/audit"} {
		if streams[s] < 50 {
			t.Errorf("stream %s has %d records", s, streams[s])
		}
	}
}

// TestAddressesAreDocumentation: RFC 5737, RFC 3849 and RFC 5398.
func TestAddressesAreDocumentation(t *testing.T) {
	w := newWorld()
	networks := w.hosting
	for _, s := range w.sites {
		networks = append(networks, s.office, s.vpn, s.mobile)
		networks = append(append(networks, s.homes...), s.trips...)
	}
	ranges := []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
		netip.MustParsePrefix("2001:db8::/32"),
	}
	owner := map[netip.Addr]string{}
	for _, n := range networks {
		if (n.asn < 64496 || n.asn > 64511) && (n.asn < 65536 || n.asn > 65551) {
			t.Errorf("AS %d of %s is not reserved for documentation", n.asn, n.org)
		}
		for _, i := range []int{0, n.span - 1} {
			ip, err := netip.ParseAddr(n.at(i).ip)
			if err != nil || ip.String() != n.at(i).ip {
				t.Errorf("%s: %q is no address in canonical form: %v", n.org, n.at(i).ip, err)
				continue
			}
			in := false
			for _, p := range ranges {
				in = in || p.Contains(ip)
			}
			if !in {
				t.Errorf("%s: %s is not reserved for documentation", n.org, ip)
			}
			name := fmt.Sprintf("%s %s", n.org, n.place.city)
			if before := owner[ip]; before != "" && before != name {
				t.Errorf("%s belongs to %s and to %s", ip, before, name)
			}
			owner[ip] = name
		}
	}
}

func TestPlan(t *testing.T) {
	c := company(t, nil)
	plan := c.Plan()
	if len(plan) != 6 {
		t.Fatalf("%d attacks, want 6", len(plan))
	}
	found := map[string]Delivery{}
	first := map[string]time.Time{}
	var end time.Time
	afterwards := map[string]bool{}
	last := plan[len(plan)-1].Decisive
	for d := range c.Deliveries() {
		found[string(d.Record.Source)+" "+d.ID] = d
		if d.Attack != "" && (first[d.Attack].IsZero() || d.Time.Before(first[d.Attack])) {
			first[d.Attack] = d.Time
		}
		end = maxTime(end, d.Time)
		if d.Attack == "" && d.Time.After(last.Add(3*time.Hour)) && d.Identity != "" {
			afterwards[d.Identity] = true
		}
	}
	victims := map[string]bool{}
	for _, p := range plan {
		d, ok := found[string(p.Source)+" "+p.RecordID]
		switch {
		case !ok:
			t.Errorf("%s: no record %s of %s", p.Name, p.RecordID, p.Source)
		case d.Identity != p.Identity || d.Attack != p.Name || !d.Time.Equal(p.Decisive):
			t.Errorf("%s: decisive record is of %s, attack %q, at %s; the plan says %+v", p.Name, d.Identity, d.Attack, d.Time, p)
		}
		if !first[p.Name].Equal(p.Start) {
			t.Errorf("%s starts %s, its first record is of %s", p.Name, p.Start, first[p.Name])
		}
		if p.Start.Before(c.cfg.Start.Add(7*day)) || p.Decisive.Before(p.Start) || p.Decisive.Sub(p.Start) > time.Hour {
			t.Errorf("%s: start %s and decisive record %s", p.Name, p.Start, p.Decisive)
		}
		if victims[p.Identity] {
			t.Errorf("%s: %s is attacked twice", p.Name, p.Identity)
		}
		victims[p.Identity] = true
	}
	if len(afterwards) < 190 {
		t.Errorf("%d identities have records later than 3 hours after the last attack, want nearly all", len(afterwards))
	}
}

func TestSourceGoesOnAtItsCursor(t *testing.T) {
	c := company(t, small)
	var want []string
	for d := range c.Deliveries() {
		want = append(want, d.Record.Observed.String()+string(d.Record.Data))
	}
	var got []string
	var cursor json.RawMessage
	for restart := 0; ; restart++ { // a new source every three batches
		s := NewSource(c, 700, nil)
		if err := s.Seek(cursor); err != nil {
			t.Fatal(err)
		}
		var err error
		for range 3 {
			var b ingest.Batch
			if b, err = s.Poll(t.Context()); err != nil {
				break
			}
			if len(b.Records) > 700 {
				t.Fatalf("batch of %d records", len(b.Records))
			}
			for _, r := range b.Records {
				got = append(got, r.Observed.String()+string(r.Data))
			}
			cursor = b.Cursor
		}
		if closeErr := s.Close(); closeErr != nil {
			t.Fatal(closeErr)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("record %d differs:\n got %s\nwant %s", i, got[i], want[i])
		}
	}
}

func TestSourceKeepsWhatPaceInterrupted(t *testing.T) {
	c := company(t, small)
	var asked []time.Time
	stop := errors.New("stop")
	s := NewSource(c, 10, func(_ context.Context, until time.Time) error {
		asked = append(asked, until)
		if len(asked) == 1 {
			return stop
		}
		return nil
	})
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.Poll(t.Context()); err == nil {
		t.Error("a poll before the seek gives no error")
	}
	if err := s.Seek(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Poll(t.Context()); !errors.Is(err, stop) {
		t.Fatalf("got error %v, want that of pace", err)
	}
	b, err := s.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for d := range c.Deliveries() {
		if !bytes.Equal(d.Record.Data, b.Records[0].Data) {
			t.Error("the batch that pace interrupted is lost")
		}
		break
	}
	if last := b.Records[len(b.Records)-1].Observed; !asked[1].Equal(last) {
		t.Errorf("pace was asked for %s, the batch ends %s", asked[1], last)
	}
}

func TestSourceRefusesABrokenCursor(t *testing.T) {
	s := NewSource(company(t, small), 10, nil)
	if err := s.Seek(json.RawMessage(`{"delivered":"many"}`)); err == nil {
		t.Error("no error")
	}
}

func TestWriteFiles(t *testing.T) {
	c := company(t, small)
	dir := t.TempDir()
	if err := c.WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, name := range []string{FileOkta, FileEntraSignIns, FileEntraAudit} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		n := bytes.Count(data, []byte("\n"))
		if n < 30 {
			t.Errorf("%s has %d lines", name, n)
		}
		lines += n
	}
	want := 0
	for range c.Deliveries() {
		want++
	}
	if lines != want {
		t.Errorf("%d lines, want %d", lines, want)
	}
	if err := c.WriteFiles(filepath.Join(dir, "missing")); err == nil {
		t.Error("a folder that is not there gives no error")
	}
}

func BenchmarkDeliveries(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		c := company(b, nil)
		n, size := 0, 0
		for d := range c.Deliveries() {
			n, size = n+1, size+len(d.Record.Data)
		}
		b.ReportMetric(float64(n), "records")
		b.ReportMetric(float64(size)/float64(n), "bytes/record")
	}
}
