package clickhouse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"stepdown/detect/alert"
	"stepdown/ingest/event"
	"stepdown/ingest/secret"
	"stepdown/sinks"
	"stepdown/sinks/clickhouse/engine"
	"stepdown/sinks/clickhouse/engine/enginetest"
	"stepdown/sinks/sinktest"
)

func TestMain(m *testing.M) {
	engine.Child()
	os.Exit(m.Run())
}

// configFor returns a configuration for the embedded engine e.
func configFor(e *engine.Engine) Config {
	cfg := DefaultConfig()
	cfg.Addresses = []string{e.Addr()}
	cfg.Username = engine.User
	cfg.Password = secret.FromFile(e.PasswordFile())
	return cfg
}

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// newStore returns a migrated store on an engine of its own.
func newStore(t testing.TB) *Store {
	t.Helper()
	s := open(t, configFor(enginetest.Start(t)))
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func number(t *testing.T, s *Store, query string, args ...any) uint64 {
	t.Helper()
	n, err := s.count(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// synthetic returns n small events of different people.
func synthetic(n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Second)
		name := fmt.Sprintf("person%d@example.com", i%500)
		id := fmt.Sprintf("event-%d", i)
		events[i] = event.Event{
			Schema: event.SchemaVersion, ID: id, Source: "okta", Tenant: "example.okta.com", Stream: "system_log",
			Kind: event.SignIn, Action: "user.session.start", Time: at, Observed: at.Add(20 * time.Second), Ingested: at.Add(21 * time.Second),
			Key: event.Key(name), Subject: event.Principal{ID: "00u" + strconv.Itoa(i%500), Name: name, Type: "user", Key: event.Key(name)},
			Outcome:   event.Success,
			Factors:   []event.Factor{event.NewFactor(event.MethodPassword, event.Verified), event.NewFactor(event.MethodTOTP, event.Verified)},
			Endpoint:  event.Endpoint{IP: fmt.Sprintf("198.51.100.%d", i%250), ASN: 64500, ASOrg: "Example Hosting", Country: "NL", City: "Amsterdam"},
			UserAgent: event.UserAgent{Raw: "Mozilla/5.0 (Windows NT 10.0; Win64; x64)", Browser: "Chrome", OS: "Windows"},
			App:       &event.App{ID: "0oa1", Name: "Example Mail", Client: "browser"},
			SessionID: "sess-" + strconv.Itoa(i), FlowID: "flow-" + strconv.Itoa(i), Protocol: event.ProtocolSAML,
			Raw: []byte(`{"uuid":"` + id + `","eventType":"user.session.start","actor":{"alternateId":"` + name + `"}}`),
		}
	}
	return events
}

func TestMigrateTwiceAndStatus(t *testing.T) {
	s := open(t, configFor(enginetest.Start(t)))
	before, err := s.status(t.Context(), migrationFiles)
	if err != nil {
		t.Fatal(err)
	}
	if len(before) < 2 || !before[0].applied.IsZero() {
		t.Fatalf("status before: %+v", before)
	}
	for range 2 {
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	after, err := s.status(t.Context(), migrationFiles)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range after {
		if step.applied.IsZero() {
			t.Errorf("%04d_%s is not applied", step.version, step.name)
		}
	}
	if got := number(t, s, "SELECT count() FROM {db}.schema_migrations"); got != uint64(len(after)) {
		t.Errorf("rows in schema_migrations = %d, want %d", got, len(after))
	}
	fresh := number(t, s, "SELECT countIf(create_table_query LIKE '%toIntervalDay(400)%') FROM system.tables WHERE database = ? AND name = 'events'", s.cfg.Database)
	if fresh != 1 {
		t.Error("events do not have the retention of the default configuration")
	}
}

func TestRetentionFollowsConfiguration(t *testing.T) {
	s := newStore(t)
	s.cfg.Retention.Events = 30 * day
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for table, days := range map[string]string{"events": "30", "alerts": "1100"} {
		got := number(t, s, "SELECT countIf(create_table_query LIKE ?) FROM system.tables WHERE database = ? AND name = ?",
			"%TTL%toIntervalDay("+days+")%", s.cfg.Database, table)
		if got != 1 {
			t.Errorf("%s are not kept for %s days", table, days)
		}
	}
}

func TestInterruptedMigrationIsResumed(t *testing.T) {
	s := open(t, configFor(enginetest.Start(t)))
	step := func(second string) fs.FS {
		return fstest.MapFS{
			"migrations/0001_one.sql": {Data: []byte("CREATE TABLE IF NOT EXISTS {db}.one (n UInt8) ENGINE = MergeTree ORDER BY n;\n" + second)},
		}
	}
	if err := s.migrate(t.Context(), step("CREATE TABLE IF NOT EXISTS {db}.two (n Uint9) ENGINE = MergeTree ORDER BY n;\n")); err == nil {
		t.Fatal("a broken step was applied")
	}
	steps, err := s.status(t.Context(), step(""))
	if err != nil || !steps[0].applied.IsZero() {
		t.Fatalf("status after the broken step = %+v, %v", steps, err)
	}
	err = s.migrate(t.Context(), step("CREATE TABLE IF NOT EXISTS {db}.two (n UInt8) ENGINE = MergeTree ORDER BY n;\n"))
	// The step is done; events and alerts are not among these migrations, so
	// their retention cannot be set.
	if err != nil && !strings.Contains(err.Error(), "retention") {
		t.Fatal(err)
	}
	if got := number(t, s, "SELECT count() FROM system.tables WHERE database = ? AND name IN ('one', 'two')", s.cfg.Database); got != 2 {
		t.Errorf("tables after the repeat = %d, want 2", got)
	}
}

func TestForeignSchemaIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name, values string
		newer        bool
	}{
		{"newer", "(9999, 'from_the_future', 'x', now64(3))", true},
		{"changed", "(1, 'events', 'another text', now64(3) + 10)", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStore(t)
			if err := s.execute(t.Context(), "INSERT INTO {db}.schema_migrations VALUES "+tc.values); err != nil {
				t.Fatal(err)
			}
			_, statusErr := s.status(t.Context(), migrationFiles)
			for _, err := range []error{s.Migrate(t.Context()), statusErr} {
				if err == nil || errors.Is(err, errNewerSchema) != tc.newer {
					t.Errorf("error = %v, errNewerSchema wanted: %v", err, tc.newer)
				}
			}
		})
	}
}

func TestReadMigrations(t *testing.T) {
	steps, err := readMigrations(migrationFiles)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		for _, statement := range step.statements {
			if !strings.Contains(statement, "{db}.") || !strings.Contains(statement, "IF NOT EXISTS") {
				t.Errorf("%04d_%s has a statement that names no {db} or cannot be repeated:\n%s", step.version, step.name, statement)
			}
		}
	}
	for name, files := range map[string]fstest.MapFS{
		"gap":     {"migrations/0001_a.sql": {}, "migrations/0003_b.sql": {}},
		"twice":   {"migrations/0001_a.sql": {}, "migrations/0001_b.sql": {}},
		"no name": {"migrations/0001.sql": {}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readMigrations(files); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestRetriedBatchIsNotDoubled(t *testing.T) {
	s := newStore(t)
	s.cfg.MaxRows = 40 // several blocks
	events := synthetic(100)
	// Merges would hide doubles.
	if err := s.execute(t.Context(), "SYSTEM STOP MERGES {db}.events"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		events []event.Event
		want   uint64 // stored rows, not collapsed
	}{
		{"first", events, 100},
		{"repeat", events, 100},
		{"repeat from another offset", events[1:], 199},
	} {
		if err := s.InsertEvents(t.Context(), tc.events); err != nil {
			t.Fatal(err)
		}
		if got := number(t, s, "SELECT count() FROM {db}.events"); got != tc.want {
			t.Errorf("%s: %d rows, want %d", tc.name, got, tc.want)
		}
	}
	if got, err := s.CountEvents(t.Context()); err != nil || got != 100 {
		t.Errorf("CountEvents() = %d, %v, want 100", got, err)
	}
}

func TestRewrittenEventCollapses(t *testing.T) {
	s := newStore(t)
	first := synthetic(1)
	rewritten := synthetic(1)
	rewritten[0].Observed = first[0].Observed.Add(time.Hour)
	rewritten[0].Outcome = event.Failure
	// The older one arrives last, as after a rewind of the collector.
	for _, batch := range [][]event.Event{rewritten, first} {
		if err := s.InsertEvents(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if got := number(t, s, "SELECT count() FROM {db}.events FINAL WHERE outcome = 'failure'"); got != 1 {
		t.Errorf("the newer observation is not the one that holds")
	}
	if got, err := s.CountEvents(t.Context()); err != nil || got != 1 {
		t.Errorf("CountEvents() = %d, %v, want 1", got, err)
	}
}

func TestEventColumns(t *testing.T) {
	s := newStore(t)
	yes, lat := true, 52.37
	e := synthetic(1)[0]
	e.Tier, e.Populations = event.TierPrivileged, []string{"finance"}
	e.Actor = event.Principal{ID: "00u9", Name: "helpdesk@example.com", Type: "admin", Key: "helpdesk@example.com"}
	e.Factors[1].AAGUID, e.Factors[1].Detail = "aaguid", "GOOGLE_OTP"
	e.Endpoint.Lat, e.Endpoint.Proxy = &lat, true
	e.AuthenticatorEndpoint = &event.Endpoint{IP: "2001:db8::1", ASN: 64501, Country: "DE"}
	e.Device = &event.Device{ID: "dev1", Managed: &yes}
	e.Authenticators = []event.Authenticator{event.NewAuthenticator(event.MethodPasskey)}
	e.Snapshot = &event.Snapshot{Complete: true}
	e.Recovery = &event.Recovery{Stage: event.RecoveryIssued, Method: event.MethodTemporaryAccessPass, Lifetime: time.Hour, Uses: -1}
	e.Contact = &event.Contact{Kind: "phone", Value: "+1 XXX-XXX-0142"}
	e.Consent = &event.Consent{AppName: "Example", Scopes: []string{"Mail.Read", "offline_access"}, TenantWide: true}
	e.Policy = &event.Policy{Name: "MFA", Weakened: []event.Weakening{event.WeakeningScope}, Before: "{}", After: `{"a":1}`}
	e.Role = &event.Role{Roles: []string{"SUPER_ADMIN"}, Granted: true, Privileged: true}
	e.Risk = &event.Risk{Type: "anomalousToken", Level: "high", SessionTheft: true}
	e.Report = &event.Report{EventID: "e0", IP: "192.0.2.1"}
	e.Warnings = []string{"method not understood"}
	bare := event.Event{Schema: 1, ID: "bare", Source: "duo", Kind: event.SignIn, Action: "x", Time: e.Time, Observed: e.Observed, Key: "b@example.com", Outcome: event.OutcomeUnknown}
	if err := s.InsertEvents(t.Context(), []event.Event{e, bare}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ expr, want, bare string }{
		{"source", "okta", "duo"},
		{"time", "2026-11-20 09:00:00.000", "2026-11-20 09:00:00.000"},
		{"ingested_at", "2026-11-20 09:00:21.000", "1970-01-01 00:00:00.000"},
		{"identity", "person0@example.com", "b@example.com"},
		{"tier", "privileged", ""},
		{"populations", "['finance']", "[]"},
		{"actor_name", "helpdesk@example.com", ""},
		{"by_other", "true", "false"},
		{"best_method", "totp", ""},
		{"best_class", "phishable", ""},
		{"best_rank", "30", "0"},
		{"factor_methods", "['password','totp']", "[]"},
		{"factor_ranks", "[10,30]", "[]"},
		{"factor_fresh", "[true,true]", "[]"},
		{"factor_aaguids", "['','aaguid']", "[]"},
		{"endpoint_asn", "64500", "0"},
		{"endpoint_lat", "52.37", "NULL"},
		{"endpoint_proxy", "true", "false"},
		{"authenticator_ip", "2001:db8::1", ""},
		{"device_managed", "true", "NULL"},
		{"device_compliant", "NULL", "NULL"},
		{"app_name", "Example Mail", ""},
		{"protocol", "saml", ""},
		{"enrolment_methods", "['passkey']", "[]"},
		{"snapshot_complete", "true", "NULL"},
		{"recovery_stage", "issued", ""},
		{"recovery_self_service", "false", "NULL"},
		{"recovery_lifetime_seconds", "3600", "0"},
		{"recovery_uses", "-1", "0"},
		{"contact_primary", "false", "NULL"},
		{"consent_scopes", "['Mail.Read','offline_access']", "[]"},
		{"policy_weakened", "['scope_narrowed']", "[]"},
		{"policy_after", `{"a":1}`, ""},
		{"roles", "['SUPER_ADMIN']", "[]"},
		{"risk_session_theft", "true", "false"},
		{"report_ip", "192.0.2.1", ""},
		{"raw", string(e.Raw), ""},
		{"warnings", "['method not understood']", "[]"},
	} {
		t.Run(tc.expr, func(t *testing.T) {
			for id, want := range map[string]string{e.ID: tc.want, "bare": tc.bare} {
				var got string
				err := s.conn.QueryRow(t.Context(), s.sql("SELECT ifNull(toString("+tc.expr+"), 'NULL') FROM {db}.events WHERE id = ?"), id).Scan(&got)
				if err != nil || got != want {
					t.Errorf("%s of %s = %q, %v, want %q", tc.expr, id, got, err, want)
				}
			}
		})
	}
}

// TestColumnsMatchTables finds a column that the schema has and the code does not fill.
func TestColumnsMatchTables(t *testing.T) {
	s := newStore(t)
	for table, filled := range map[string][]string{tableEvents: names(eventColumns()), tableAlerts: names(alertColumns())} {
		rows, err := s.conn.Query(t.Context(), "SELECT name FROM system.columns WHERE database = ? AND table = ? ORDER BY position", s.cfg.Database, table)
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				t.Fatal(err)
			}
			have = append(have, name)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(have, filled); diff != "" {
			t.Errorf("columns of %s (-table +code):\n%s", table, diff)
		}
	}
}

func names[R any](columns []column[R]) []string {
	var list []string
	for _, c := range columns {
		list = append(list, c.name)
	}
	return list
}

func TestRefusedRowsDoNotHoldTheOthers(t *testing.T) {
	s := newStore(t)
	s.cfg.MaxRows = 8
	events := synthetic(20)
	want := []int{0, 7, 8, 19}
	for _, i := range want {
		events[i].Key = ""
	}
	for range 2 { // a repeat says the same and doubles nothing
		err := s.InsertEvents(t.Context(), events)
		var bad *sinks.RefusedError
		if !errors.As(err, &bad) {
			t.Fatalf("InsertEvents() = %v, want a refusal", err)
		}
		if diff := cmp.Diff(want, bad.Indexes); diff != "" {
			t.Errorf("refused (-want +got):\n%s", diff)
		}
		if !strings.Contains(err.Error(), "has_identity") {
			t.Errorf("error %q does not name the constraint", err)
		}
		if got := number(t, s, "SELECT count() FROM {db}.events"); got != 16 {
			t.Errorf("rows = %d, want 16", got)
		}
	}
}

func TestMissingTableIsNoRefusal(t *testing.T) {
	s := open(t, configFor(enginetest.Start(t)))
	err := s.InsertEvents(t.Context(), synthetic(1))
	var bad *sinks.RefusedError
	if err == nil || errors.As(err, &bad) {
		t.Errorf("InsertEvents() without tables = %v, want an error of the moment", err)
	}
}

func TestManyMonthsAtOnce(t *testing.T) {
	s := newStore(t)
	events := synthetic(120) // the server allows 100 by default
	for i := range events {
		events[i].Time = time.Date(2005, time.Month(1+i), 1, 0, 0, 0, 0, time.UTC)
	}
	if err := s.InsertEvents(t.Context(), events); err != nil {
		t.Errorf("InsertEvents() over 120 months = %v", err)
	}
}

func TestBlocksAreBoundedInBytes(t *testing.T) {
	s := newStore(t)
	s.cfg.MaxBytes = 1 << 20
	events := synthetic(6)
	for i := range events {
		events[i].Raw = []byte(`"` + strings.Repeat("x", 400<<10) + `"`)
	}
	if err := s.InsertEvents(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if got := number(t, s, "SELECT sum(length(raw)) FROM {db}.events"); got != 6*(400<<10+2) {
		t.Errorf("bytes of raw = %d", got)
	}
	if got := number(t, s, "SELECT count() FROM system.parts WHERE database = ? AND table = 'events'", s.cfg.Database); got != 3 {
		t.Errorf("parts = %d, want 3 blocks of two events", got)
	}
}

func TestWriterRecoversFromAKilledServer(t *testing.T) {
	cfg := engine.DefaultConfig()
	cfg.DataDir = t.TempDir()
	e := enginetest.StartConfig(t, cfg)
	s := open(t, configFor(e))
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	events := synthetic(1000)
	if err := s.InsertEvents(t.Context(), events[:500]); err != nil {
		t.Fatal(err)
	}
	pid, err := os.ReadFile(filepath.Join(cfg.DataDir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-e.Done()
	if err := s.InsertEvents(t.Context(), events[500:]); err == nil {
		t.Fatal("inserted into a server that is gone")
	}

	_, port, _ := strings.Cut(e.Addr(), ":")
	if cfg.Port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	enginetest.StartConfig(t, cfg)
	if err := s.InsertEvents(t.Context(), events[500:]); err != nil {
		t.Fatalf("first insert after the restart: %v", err)
	}
	// The batch that was acknowledged before the kill is known over the restart.
	if err := s.InsertEvents(t.Context(), events[:500]); err != nil {
		t.Fatal(err)
	}
	if got := number(t, s, "SELECT count() FROM {db}.events"); got != 1000 {
		t.Errorf("rows = %d, want 1000", got)
	}
}

// TestConnectionsAreGivenBack runs more failing insertions than the pool has
// connections.
func TestConnectionsAreGivenBack(t *testing.T) {
	s := newStore(t)
	bad := target[event.Event]{tableEvents, []column[event.Event]{
		value("id", func(e *event.Event) string { return e.ID }),
		value("endpoint_asn", func(*event.Event) string { return "not a number" }),
	}, eventSize, eventVersion}
	for range 30 {
		if err := insert(t.Context(), s, bad, synthetic(2)); err == nil {
			t.Fatal("text went into a number")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.InsertEvents(ctx, synthetic(2)); !errors.Is(err, context.Canceled) {
			t.Fatalf("InsertEvents() = %v, want context.Canceled", err)
		}
	}
	if err := s.InsertEvents(t.Context(), synthetic(2)); err != nil {
		t.Errorf("InsertEvents() afterwards = %v", err)
	}
}

func TestOpen(t *testing.T) {
	e := enginetest.Start(t)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	closed := configFor(e)
	closed.Addresses = []string{"127.0.0.1:1"}
	closed.ConnectTimeout = 300 * time.Millisecond
	wrong := configFor(e)
	wrong.Password = secret.FromFile(file)
	missing := configFor(e)
	missing.Password = secret.FromFile(file + ".missing")
	missing.ConnectTimeout = 300 * time.Millisecond
	second := configFor(e)
	second.Addresses = []string{"127.0.0.1:1", e.Addr()}
	for _, tc := range []struct {
		name string
		cfg  Config
		want string
		max  time.Duration
	}{
		{"nobody listens", closed, "connection refused", 5 * time.Second},
		{"wrong password", wrong, "Authentication failed", 5 * time.Second},
		{"no password file", missing, "read secret", 5 * time.Second},
		{"the second address answers", second, "", 5 * time.Second},
		{"no address", DefaultConfig(), "addresses: is empty", time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			began := time.Now()
			s, err := Open(t.Context(), tc.cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			if err == nil {
				s.Close()
			}
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Open() = %v, want %q", err, tc.want)
			}
			if took := time.Since(began); took > tc.max {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestPasswordIsReadForEveryConnection(t *testing.T) {
	e := enginetest.Start(t)
	right, err := os.ReadFile(e.PasswordFile())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, right, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := configFor(e)
	cfg.Password = secret.FromFile(file)
	s := open(t, cfg)
	if err := os.WriteFile(file, []byte("rotated"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Two at a time need a second connection.
	rows, err := s.conn.Query(t.Context(), "SELECT number FROM numbers(10)")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var ex *clickhouse.Exception
	if err := s.Ping(t.Context()); !errors.As(err, &ex) || ex.Code != codeAuthenticationFailed {
		t.Errorf("Ping() with a rotated password = %v, want a failed authentication", err)
	}
}

func TestSinkContract(t *testing.T) {
	e := enginetest.Start(t)
	databases := 0
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		databases++
		cfg := configFor(e)
		cfg.Database = fmt.Sprintf("contract%d", databases)
		cfg.DialTimeout = time.Second
		reader := open(t, cfg)
		if err := reader.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		return sinktest.Destination{
			Open: func(t *testing.T) sinks.Sink { return open(t, cfg) },
			Shown: func(t *testing.T) []sinktest.Shown {
				alerts, err := reader.Alerts(t.Context(), AlertFilter{})
				if err != nil {
					t.Fatal(err)
				}
				var shown []sinktest.Shown
				for _, a := range alerts {
					shown = append(shown, sinktest.Shown{ID: a.ID, Revision: a.Revision})
				}
				return shown
			},
			Fail: func(t *testing.T) func() {
				if err := reader.execute(t.Context(), "RENAME TABLE {db}.alerts TO {db}.away"); err != nil {
					t.Fatal(err)
				}
				return func() {
					if err := reader.execute(t.Context(), "RENAME TABLE {db}.away TO {db}.alerts"); err != nil {
						t.Fatal(err)
					}
				}
			},
		}
	})
}

func TestAlertsFilter(t *testing.T) {
	s := newStore(t)
	full := sinktest.Sample()
	full.Revision = 2
	one, two := sinktest.Alert(1), sinktest.Alert(2)
	one.Severity = alert.Low
	two.State = alert.Withdrawn
	two.RuleID = "another-rule"
	first := sinktest.Sample()
	if err := s.Write(t.Context(), []alert.Alert{first, one, two, full}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		filter AlertFilter
		want   []alert.Alert
	}{
		{"all, newest first", AlertFilter{}, []alert.Alert{full, two, one}},
		{"identity", AlertFilter{Identity: one.Key}, []alert.Alert{one}},
		{"rule", AlertFilter{Rule: "another-rule"}, []alert.Alert{two}},
		{"state", AlertFilter{State: alert.Open}, []alert.Alert{full, one}},
		{"severity", AlertFilter{MinSeverity: alert.Medium}, []alert.Alert{full, two}},
		{"since", AlertFilter{Since: full.Time}, []alert.Alert{full}},
		{"until", AlertFilter{Until: two.Time}, []alert.Alert{one}},
		{"limit", AlertFilter{Limit: 2}, []alert.Alert{full, two}},
		{"nothing", AlertFilter{Identity: "' OR 1=1 --"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := s.Alerts(t.Context(), tc.filter)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Alerts() (-want +got):\n%s", diff)
			}
		})
	}

	got, err := s.AlertByID(t.Context(), full.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full, got); diff != "" {
		t.Errorf("AlertByID() (-want +got):\n%s", diff)
	}
	if _, err := s.AlertByID(t.Context(), "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("AlertByID(none) = %v, want ErrNotFound", err)
	}
	var ids []string
	if err := s.conn.QueryRow(t.Context(), s.sql("SELECT attack_ids FROM {db}.alerts FINAL WHERE id = ?"), string(full.ID)).Scan(&ids); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"T1556.006", "T1621"}, ids); diff != "" {
		t.Errorf("attack_ids (-want +got):\n%s", diff)
	}
}

func TestMetrics(t *testing.T) {
	e := enginetest.Start(t)
	reg := prometheus.NewRegistry()
	s, err := Open(t.Context(), configFor(e), slog.New(slog.DiscardHandler), reg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	events := synthetic(3)
	events[1].Key = ""
	_ = s.InsertEvents(t.Context(), events) // refused: the whole block, its second half, and the row itself
	got := map[string]float64{}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			key := f.GetName()
			for _, l := range m.Label {
				key += " " + l.GetValue()
			}
			if v := m.GetCounter().GetValue(); v > 0 {
				got[key] = v
			}
		}
	}
	want := map[string]float64{
		"stepdown_sinks_clickhouse_rows_inserted_total events":          2,
		"stepdown_sinks_clickhouse_inserts_failed_total refused events": 3,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
}

func TestEventsThatRetentionTakesAwayAreCounted(t *testing.T) {
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	cfg := configFor(enginetest.Start(t))
	s, err := Open(t.Context(), cfg, slog.New(slog.NewTextHandler(&log, nil)), reg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	events := synthetic(10)
	for i := range events {
		events[i].Time = time.Now().UTC()
	}
	for i := range events[:3] {
		events[i].Time = time.Now().Add(-cfg.Retention.Events - time.Hour).UTC()
	}
	for _, batch := range [][]event.Event{events[:5], events[2:]} {
		if err := s.InsertEvents(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := 0.0
	for _, f := range families {
		if f.GetName() == "stepdown_sinks_clickhouse_expired_events_total" {
			counted = f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if counted != 4 {
		t.Errorf("%v events are counted, want 3 and 1", counted)
	}
	if n := strings.Count(log.String(), "clickhouse.retention.events"); n != 1 {
		t.Errorf("%d log lines name the setting, want one:\n%s", n, &log)
	}
}

func TestValidate(t *testing.T) {
	good := DefaultConfig()
	good.Addresses = []string{"clickhouse.example.com:9440"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no address", func(c *Config) { c.Addresses = nil }, "addresses: is empty"},
		{"no port", func(c *Config) { c.Addresses = []string{"localhost"} }, "addresses[0]"},
		{"database", func(c *Config) { c.Database = "a; DROP" }, "database: is"},
		{"no user", func(c *Config) { c.Username = "" }, "username"},
		{"half a certificate", func(c *Config) { c.TLS.CertFile = "x" }, "only one of"},
		{"dial timeout", func(c *Config) { c.DialTimeout = 0 }, "dial_timeout"},
		{"rows", func(c *Config) { c.MaxRows = 0 }, "max_rows"},
		{"bytes", func(c *Config) { c.MaxBytes = 1 }, "max_bytes"},
		{"retention", func(c *Config) { c.Retention.Alerts = 36 * time.Hour }, "retention.alerts"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := good
			tc.change(&c)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Validate() = %v, want %q in it", err, tc.want)
			}
		})
	}
}

func BenchmarkInsertEvents(b *testing.B) {
	s := newStore(b)
	events := synthetic(10_000)
	b.ReportAllocs()
	for b.Loop() {
		for i := range events {
			events[i].Observed = events[i].Observed.Add(time.Second) // not a repeat
		}
		if err := s.InsertEvents(b.Context(), events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(events))/b.Elapsed().Seconds(), "events/s")
}
