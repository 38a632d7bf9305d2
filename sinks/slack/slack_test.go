package slack

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"stepdown/detect/alert"
	"stepdown/ingest/secret"
	"stepdown/sinks"
	"stepdown/sinks/sinktest"
	"stepdown/sinks/slack/slacktest"
)

const (
	testToken   = "xoxb-synthetic"
	testChannel = "C0123456789"
)

// bench is a workspace and what a process keeps on its disk.
type bench struct {
	*slacktest.Server
	dir string
	reg *prometheus.Registry
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{Server: slacktest.New(t, testToken, testChannel), dir: t.TempDir()}
	b.putToken(t, testToken)
	return b
}

func (b *bench) putToken(t *testing.T, token string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, "token"), []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// open starts a process: the pace is off, and a call is given up early.
func (b *bench) open(t *testing.T) *Sink {
	t.Helper()
	store, err := OpenFileStore(filepath.Join(b.dir, "messages.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Token, cfg.Channel, cfg.APIURL = secret.FromFile(filepath.Join(b.dir, "token")), testChannel, b.URL
	b.reg = prometheus.NewRegistry()
	s, err := New(cfg, store, b.reg)
	if err != nil {
		t.Fatal(err)
	}
	s.messages, s.lookups = rate.NewLimiter(rate.Inf, 1), rate.NewLimiter(rate.Inf, 1)
	return s
}

// process is open for a test with one process.
func (b *bench) process(t *testing.T) *Sink {
	t.Helper()
	s := b.open(t)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (b *bench) shown() []sinktest.Shown {
	var all []sinktest.Shown
	for _, m := range b.Messages() {
		if m.AlertID != "" {
			all = append(all, sinktest.Shown{ID: alert.ID(m.AlertID), Revision: m.Revision})
		}
	}
	return all
}

// only checks that the channel has one message of an alert, and returns it.
func (b *bench) only(t *testing.T) slacktest.Message {
	t.Helper()
	var found []slacktest.Message
	for _, m := range b.Messages() {
		if m.AlertID != "" {
			found = append(found, m)
		}
	}
	if len(found) != 1 {
		t.Fatalf("the channel has %d messages of alerts, want 1", len(found))
	}
	return found[0]
}

func (b *bench) counted(t *testing.T, method, result string) float64 {
	t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == "stepdown_sinks_slack_calls_total" && labels["method"] == method && labels["result"] == result {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func write(t *testing.T, s *Sink, alerts ...alert.Alert) {
	t.Helper()
	if err := s.Write(t.Context(), alerts); err != nil {
		t.Fatal(err)
	}
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		b := newBench(t)
		return sinktest.Destination{
			Open:  func(t *testing.T) sinks.Sink { return b.open(t) },
			Shown: func(t *testing.T) []sinktest.Shown { return b.shown() },
			Fail: func(t *testing.T) func() {
				b.Down(&slacktest.Failure{Status: 503})
				return func() { b.Down(nil) }
			},
		}
	})
}

func TestOneMessagePerAlertEditedInPlace(t *testing.T) {
	b := newBench(t)
	s := b.process(t)
	write(t, s, sinktest.Sample())
	first := b.only(t)
	write(t, s, sinktest.Revised(sinktest.Sample(), 2))
	gone := sinktest.Revised(sinktest.Sample(), 3)
	gone.State = alert.Withdrawn
	write(t, s, gone)
	last := b.only(t)
	if last.TS != first.TS || last.Edits != 2 || last.Revision != 3 {
		t.Errorf("message %+v, want the first one edited twice to revision 3", last)
	}
	if !strings.HasPrefix(last.Text, "✅ Withdrawn, was High") {
		t.Errorf("text is %q, want it to say that the alert is withdrawn", last.Text)
	}
	if n := b.Calls("conversations.history"); n != 0 {
		t.Errorf("looked into the history %d times; nothing was in doubt", n)
	}
}

// The call was carried out and its answer lost. The alert must not appear twice,
// whatever way the answer was lost and whether or not the process lives on.
func TestAmbiguousPostIsShownOnce(t *testing.T) {
	for _, row := range []struct {
		name    string
		failure slacktest.Failure
		restart bool
	}{
		{"timeout", slacktest.Failure{Carried: true, Hang: true}, false},
		{"timeout, then a restart", slacktest.Failure{Carried: true, Hang: true}, true},
		{"502", slacktest.Failure{Carried: true, Status: 502}, false},
		{"429 though posted", slacktest.Failure{Carried: true, Status: 429, RetryAfter: 1}, false},
		{"429 without Retry-After though posted", slacktest.Failure{Carried: true, Status: 429}, false},
		{"internal_error though posted", slacktest.Failure{Carried: true, Error: "internal_error"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			s := b.open(t)
			s.http.Timeout = 150 * time.Millisecond
			b.Fail("chat.postMessage", row.failure)
			if err := s.Write(t.Context(), []alert.Alert{sinktest.Sample()}); err == nil {
				t.Fatal("Write succeeded without an answer")
			}
			b.Chatter(250) // more than two pages of the history
			if row.restart {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = b.open(t)
			}
			write(t, s, sinktest.Sample())
			if m := b.only(t); m.Edits != 0 {
				t.Errorf("message %+v, want the one that was posted, as it was", m)
			}
			write(t, s, sinktest.Revised(sinktest.Sample(), 2))
			if m := b.only(t); m.Revision != 2 || m.Edits != 1 {
				t.Errorf("message %+v, want the one that was posted, edited", m)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestFailedPostIsPostedAgain(t *testing.T) {
	b := newBench(t)
	s := b.process(t)
	s.http.Timeout = 150 * time.Millisecond
	b.Fail("chat.postMessage", slacktest.Failure{Hang: true}, slacktest.Failure{Status: 500})
	for range 2 {
		if err := s.Write(t.Context(), []alert.Alert{sinktest.Sample()}); err == nil {
			t.Fatal("Write succeeded although nothing was posted")
		}
	}
	write(t, s, sinktest.Sample())
	b.only(t)
}

// Another process posted it, or the disk was lost: the channel knows.
func TestAmendmentFindsAMessageThatTheStoreDoesNotKnow(t *testing.T) {
	b := newBench(t)
	old := sinktest.Sample()
	old.Time, old.First = time.Now().Add(-time.Hour), time.Now().Add(-time.Hour)
	s := b.open(t)
	write(t, s, old)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(b.dir, "messages.jsonl")); err != nil {
		t.Fatal(err)
	}
	write(t, b.process(t), sinktest.Revised(old, 2))
	if m := b.only(t); m.Revision != 2 {
		t.Errorf("message shows revision %d, want 2", m.Revision)
	}
}

func TestRestartDoesNotDouble(t *testing.T) {
	b := newBench(t)
	for range 3 {
		s := b.open(t)
		write(t, s, sinktest.Alert(1), sinktest.Alert(2), sinktest.Revised(sinktest.Alert(2), 2))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.shown(); len(got) != 2 {
		t.Errorf("the channel shows %v, want two alerts", got)
	}
	if n := b.Calls("chat.postMessage") + b.Calls("chat.update"); n != 2 {
		t.Errorf("%d calls, want the 2 of the first process", n)
	}
}

func TestRateLimits(t *testing.T) {
	for _, row := range []struct {
		name    string
		failure slacktest.Failure
		after   time.Duration
		result  string
	}{
		{"429 with Retry-After", slacktest.Failure{Status: 429, RetryAfter: 37}, 37 * time.Second, resultLimited},
		{"429 without Retry-After", slacktest.Failure{Status: 429}, park, resultWorkspace},
		{"ratelimited in the body", slacktest.Failure{Error: "ratelimited"}, pause, resultLimited},
		{"message limit in the body", slacktest.Failure{Error: "message_limit_exceeded"}, park, resultWorkspace},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			s := b.process(t)
			b.Fail("chat.postMessage", row.failure)
			err := s.Write(t.Context(), []alert.Alert{sinktest.Sample()})
			var later *sinks.LaterError
			if !errors.As(err, &later) || later.After != row.after {
				t.Fatalf("Write = %v, want to come again after %s", err, row.after)
			}
			if n := b.counted(t, "chat.postMessage", row.result); n != 1 {
				t.Errorf("counted %v calls as %s, want 1", n, row.result)
			}
			write(t, s, sinktest.Sample())
			b.only(t)
		})
	}
}

func TestPaceOfTheChannel(t *testing.T) {
	b := newBench(t)
	s := b.process(t)
	cfg := s.cfg
	fresh, err := New(cfg, s.store, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	write(t, fresh, sinktest.Alert(1), sinktest.Alert(2), sinktest.Alert(3), sinktest.Alert(4))
	m := b.Messages()
	if burst := m[2].At.Sub(m[0].At); burst > 900*time.Millisecond {
		t.Errorf("the first three took %s, want a burst", burst)
	}
	if d := m[3].At.Sub(m[0].At); d < 900*time.Millisecond {
		t.Errorf("the fourth followed after %s, want a second", d)
	}
}

func TestRefusals(t *testing.T) {
	for _, row := range []struct {
		name string
		code string
		want string
	}{
		{"restricted_action", "restricted_action", "restricted_action"},
		{"no_text", "no_text", "no_text"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			s := b.process(t)
			write(t, s, sinktest.Alert(1))
			b.Fail("chat.postMessage", slacktest.Failure{Error: row.code})
			batch := []alert.Alert{sinktest.Alert(1), sinktest.Alert(2), sinktest.Alert(3), sinktest.Revised(sinktest.Alert(2), 2)}
			err := s.Write(t.Context(), batch[:2])
			var refused *sinks.RefusedError
			if !errors.As(err, &refused) || !slices.Equal(refused.Indexes, []int{1}) {
				t.Fatalf("Write = %v, want alert 1 refused", err)
			}
			if !strings.Contains(err.Error(), row.want) {
				t.Errorf("refusal %q does not say %q", err, row.want)
			}
			// The latest revision is what is shown, and all of them are refused with it.
			b.Fail("chat.postMessage", slacktest.Failure{Carried: true}, slacktest.Failure{Error: row.code})
			err = s.Write(t.Context(), batch)
			if !errors.As(err, &refused) || !slices.Equal(refused.Indexes, []int{1, 3}) {
				t.Fatalf("Write = %v, want both revisions of one alert refused", err)
			}
		})
	}
}

// TestChannelProblemsAreOfTheMoment: what was raised before the app was invited
// has to come afterwards.
func TestChannelProblemsAreOfTheMoment(t *testing.T) {
	for _, code := range []string{"channel_not_found", "not_in_channel", "is_archived"} {
		t.Run(code, func(t *testing.T) {
			b := newBench(t)
			s := b.process(t)
			b.Fail("chat.postMessage", slacktest.Failure{Error: code})
			err := s.Write(t.Context(), []alert.Alert{sinktest.Sample()})
			var refused *sinks.RefusedError
			if err == nil || errors.As(err, &refused) {
				t.Fatalf("Write = %v, want an error of the moment", err)
			}
			if !strings.Contains(err.Error(), "/invite") {
				t.Errorf("error %q does not say what to do", err)
			}
			write(t, s, sinktest.Sample())
			b.only(t)
		})
	}
}

func TestTokenIsReadAgain(t *testing.T) {
	b := newBench(t)
	s := b.process(t)
	b.SetToken("xoxb-rotated")
	err := s.Write(t.Context(), []alert.Alert{sinktest.Sample()})
	var refused *sinks.RefusedError
	if err == nil || errors.As(err, &refused) {
		t.Fatalf("Write with an old token = %v, want an error of the moment", err)
	}
	if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, "invalid_auth") || !strings.Contains(text, "<secret file:") || strings.Contains(text, testToken) {
		t.Errorf("error %q: want one line that names the place of the token and not the token", text)
	}
	if n := b.counted(t, "chat.postMessage", resultAuth); n != 1 {
		t.Errorf("counted %v calls as auth, want 1", n)
	}
	b.putToken(t, "xoxb-rotated")
	write(t, s, sinktest.Sample())
	b.only(t)
}

func TestAuthProblemsAreOfTheMoment(t *testing.T) {
	for _, code := range []string{"token_revoked", "account_inactive", "missing_scope", "token_expired"} {
		t.Run(code, func(t *testing.T) {
			b := newBench(t)
			s := b.process(t)
			b.Fail("chat.postMessage", slacktest.Failure{Error: code, Needed: "chat:write"})
			err := s.Write(t.Context(), []alert.Alert{sinktest.Sample()})
			var refused *sinks.RefusedError
			if err == nil || errors.As(err, &refused) {
				t.Fatalf("Write = %v, want an error of the moment", err)
			}
			if code == "missing_scope" && !strings.Contains(err.Error(), "chat:write") {
				t.Errorf("error %q does not name the scope", err)
			}
			write(t, s, sinktest.Sample())
			b.only(t)
		})
	}
}

func TestUnknownErrorsLoseNothing(t *testing.T) {
	b := newBench(t)
	s := b.process(t)
	b.Fail("chat.postMessage", slacktest.Failure{Error: "some_error_of_next_year"})
	err := s.Write(t.Context(), []alert.Alert{sinktest.Sample()})
	var refused *sinks.RefusedError
	if err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), "some_error_of_next_year") {
		t.Fatalf("Write = %v, want an error of the moment with the code", err)
	}
}

// An alert must not be hidden by its decoration.
func TestBlocksThatSlackDoesNotTakeBecomeText(t *testing.T) {
	for _, method := range []string{"chat.postMessage", "chat.update"} {
		t.Run(method, func(t *testing.T) {
			b := newBench(t)
			s := b.process(t)
			a := sinktest.Sample()
			if method == "chat.update" {
				write(t, s, a)
				a.Revision = 2
			}
			b.Fail(method, slacktest.Failure{Error: "invalid_blocks"})
			write(t, s, a)
			m := b.only(t)
			if m.Blocks != nil || !strings.Contains(m.Text, "Alice Example") || !strings.Contains(m.Text, string(a.ID)) {
				t.Errorf("message %+v, want the alert as plain text", m)
			}

			a.Revision = 3
			b.Fail("chat.update", slacktest.Failure{Error: "msg_too_long"}, slacktest.Failure{Error: "msg_too_long"})
			err := s.Write(t.Context(), []alert.Alert{sinktest.Alert(1), a})
			var refused *sinks.RefusedError
			if !errors.As(err, &refused) || len(refused.Indexes) != 1 || refused.Indexes[0] != 1 {
				t.Fatalf("Write = %v, want the second alert refused when Slack takes not even its text", err)
			}
		})
	}
}

func TestAMessageThatIsGoneIsPostedAgain(t *testing.T) {
	for _, row := range []struct {
		name string
		lose func(b *bench, ts string)
	}{
		{"deleted", func(b *bench, ts string) { b.Delete(ts) }},
		{"of another app", func(b *bench, _ string) {
			b.Fail("chat.update", slacktest.Failure{Error: "cant_update_message"})
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			s := b.process(t)
			write(t, s, sinktest.Sample())
			row.lose(b, b.only(t).TS)
			write(t, s, sinktest.Revised(sinktest.Sample(), 2))
			shown := b.shown()
			if last := shown[len(shown)-1]; last.Revision != 2 {
				t.Errorf("the channel shows %v, want revision 2 last", shown)
			}
			write(t, s, sinktest.Revised(sinktest.Sample(), 3))
			if n := b.Calls("chat.postMessage"); n != 2 {
				t.Errorf("posted %d times, want 2: once, and once again", n)
			}
		})
	}
}

func TestAmbiguousPostAfterADeletionIsShownOnce(t *testing.T) {
	b := newBench(t)
	s := b.process(t)
	write(t, s, sinktest.Sample())
	b.Delete(b.only(t).TS)
	b.Fail("chat.postMessage", slacktest.Failure{Carried: true, Status: 502})
	if err := s.Write(t.Context(), []alert.Alert{sinktest.Revised(sinktest.Sample(), 2)}); err == nil {
		t.Fatal("Write succeeded without an answer")
	}
	write(t, s, sinktest.Revised(sinktest.Sample(), 2))
	if m := b.only(t); m.Revision != 2 {
		t.Errorf("message %+v, want revision 2", m)
	}
}

// Failures in the middle of a batch, by way of the runner: nothing is lost, nothing is doubled.
func TestFailuresThroughTheRunner(t *testing.T) {
	b := newBench(t)
	s := b.process(t)
	dead := func(context.Context, *alert.Alert, error) error {
		t.Error("a failure of the moment made a dead letter")
		return nil
	}
	r, err := sinks.NewRunner("slack", s, alert.Medium, dead, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	b.Fail("chat.postMessage", slacktest.Failure{Carried: true}, slacktest.Failure{Carried: true, Status: 502}, slacktest.Failure{Status: 503})
	var batch []alert.Alert
	for n := range 5 {
		batch = append(batch, sinktest.Alert(n), sinktest.Revised(sinktest.Alert(n), 2))
	}
	if err := r.Handle(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	shown := map[sinktest.Shown]int{}
	for _, m := range b.shown() {
		shown[m]++
	}
	for n := range 5 {
		if got := shown[sinktest.Shown{ID: sinktest.Alert(n).ID, Revision: 2}]; got != 1 {
			t.Errorf("alert %d is shown %d times, want once", n, got)
		}
	}
}

func TestCheck(t *testing.T) {
	b := newBench(t)
	s := b.process(t)
	if err := s.Check(t.Context()); err != nil {
		t.Fatalf("Check() = %v", err)
	}
	b.SetChannel("C9999999999")
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), testChannel) {
		t.Errorf("Check() = %v, want an error that names the channel", err)
	}
	b.SetToken("other")
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("Check() = %v, want an error about the token", err)
	}
}

func TestWriteStopsWithItsContext(t *testing.T) {
	b := newBench(t)
	s := b.process(t)
	b.Fail("chat.postMessage", slacktest.Failure{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Write(ctx, []alert.Alert{sinktest.Sample()}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Write = %v, want the context's error", err)
	}
}

func TestValidate(t *testing.T) {
	good := DefaultConfig()
	good.Token, good.Channel = secret.FromEnv("SLACK_TOKEN"), testChannel
	if err := good.Validate(); err != nil {
		t.Fatalf("Validate() = %v for a good configuration", err)
	}
	err := Config{}.Validate()
	for _, path := range []string{"token", "channel", "min_severity", "details", "api_url"} {
		if !strings.Contains(err.Error(), path+": is ") {
			t.Errorf("Validate() of nothing = %v, want %s in it", err, path)
		}
	}
	for _, row := range []struct {
		name   string
		change func(c *Config)
		want   string
	}{
		{"no token", func(c *Config) { c.Token = secret.Secret{} }, "bot token"},
		{"no channel", func(c *Config) { c.Channel = "" }, "C0123456789"},
		{"channel by name", func(c *Config) { c.Channel = "#alerts" }, "not its name"},
		{"channel by bare name", func(c *Config) { c.Channel = "security" }, "not its name"},
		{"a person", func(c *Config) { c.Channel = "U0123456789" }, "C…, G… or D…"},
		{"severity", func(c *Config) { c.MinSeverity = "urgent" }, "critical"},
		{"details", func(c *Config) { c.Details = "some" }, "full or minimal"},
		{"token over plain http", func(c *Config) { c.APIURL = "http://slack.example.com/api/" }, "https"},
		{"no slash", func(c *Config) { c.APIURL = "https://slack.com/api" }, "end in /"},
		{"console", func(c *Config) { c.ConsoleURL = "javascript:alert(1)" }, "console_url"},
		{"identity in a link of a public channel", func(c *Config) {
			c.Details, c.GrafanaURL = Minimal, "https://grafana.example.com/d/x?var-key={key}"
		}, "{id}"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := good
			row.change(&c)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("Validate() = %v, want what would be right: %q", err, row.want)
			}
		})
	}
}

func TestRaisedSeverityIsAReply(t *testing.T) {
	severity := func(revision uint64, s alert.Severity) alert.Alert {
		a := sinktest.Revised(sinktest.Alert(1), revision)
		a.Severity = s
		return a
	}
	for _, c := range []struct {
		name      string
		from, to  alert.Severity
		reply     string // how it begins; empty for none
		broadcast bool
	}{
		{"to medium", alert.Low, alert.Medium, "🟡 Medium, was Low: ", false},
		{"to high", alert.Medium, alert.High, "🟠 High, was Medium: ", true},
		{"to critical", alert.High, alert.Critical, "🔴 Critical, was High: ", true},
		{"lower", alert.High, alert.Medium, "", false},
		{"the same", alert.High, alert.High, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			s := b.process(t)
			write(t, s, severity(1, c.from))
			write(t, s, severity(2, c.to))
			write(t, s, severity(2, c.to)) // again
			m := b.only(t)
			var replies []slacktest.Message
			for _, r := range b.Messages() {
				if r.TS != m.TS {
					replies = append(replies, r)
				}
			}
			if m.Revision != 2 {
				t.Errorf("the message shows revision %d, want 2", m.Revision)
			}
			if c.reply == "" {
				if len(replies) != 0 {
					t.Errorf("got %d replies, want none", len(replies))
				}
				return
			}
			if len(replies) != 1 || replies[0].Thread != m.TS || replies[0].Broadcast != c.broadcast || !strings.HasPrefix(replies[0].Text, c.reply) {
				t.Errorf("got replies %+v, want one below %s that begins %q, broadcast %v", replies, m.TS, c.reply, c.broadcast)
			}
		})
	}
}

func TestReplyThatFails(t *testing.T) {
	low, high := sinktest.Alert(1), sinktest.Revised(sinktest.Alert(1), 2)
	low.Severity, high.Severity = alert.Low, alert.High
	for _, c := range []struct {
		name    string
		failure slacktest.Failure
		errs    bool
		replies int // after one try more
	}{
		{"for the moment", slacktest.Failure{Status: 503}, true, 1},
		{"in a channel without threads", slacktest.Failure{Error: "restricted_action_non_threadable_channel"}, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			s := b.process(t)
			write(t, s, low)
			b.Fail("chat.postMessage", c.failure)
			if err := s.Write(t.Context(), []alert.Alert{high}); (err != nil) != c.errs {
				t.Errorf("Write = %v, want an error: %v", err, c.errs)
			}
			write(t, s, high)
			if got := len(b.Messages()) - 1; got != c.replies || b.only(t).Revision != 2 {
				t.Errorf("got %d replies and revision %d, want %d and 2", got, b.only(t).Revision, c.replies)
			}
		})
	}
}

func TestWithdrawnBeforeItWasShown(t *testing.T) {
	b := newBench(t)
	s := b.process(t)
	gone := sinktest.Revised(sinktest.Alert(1), 2)
	gone.State = alert.Withdrawn
	write(t, s, gone)
	if got := b.Messages(); len(got) != 0 {
		t.Fatalf("the channel has %d messages, want none", len(got))
	}
	if s.Holds(gone.ID) {
		t.Error("the sink holds what it has not shown")
	}
	write(t, s, sinktest.Revised(sinktest.Alert(1), 3)) // stands after all
	if got := b.only(t); got.Revision != 3 {
		t.Errorf("the message shows revision %d, want 3", got.Revision)
	}
	// What was shown by a process whose memory is lost is found and marked.
	if err := os.Remove(filepath.Join(b.dir, "messages.jsonl")); err != nil {
		t.Fatal(err)
	}
	gone.Revision = 4
	write(t, b.process(t), gone)
	if got := b.only(t); !strings.HasPrefix(got.Text, "✅ Withdrawn") {
		t.Errorf("the message says %q, want it marked", got.Text)
	}
}
