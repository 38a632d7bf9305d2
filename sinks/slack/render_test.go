package slack

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"

	"stepdown/detect/alert"
	"stepdown/ingest/event"
	"stepdown/sinks/sinktest"
	"stepdown/sinks/slack/slacktest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func full() *renderer {
	return &renderer{console: "https://stepdown.example.com/alerts/{id}", grafana: "https://grafana.example.com/d/identity?var-key={key}&from=now-7d"}
}

func minimal() *renderer {
	return &renderer{minimal: true, console: "https://stepdown.example.com/alerts/{id}"}
}

func blocksOf(t *testing.T, m message) []byte {
	t.Helper()
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(m.blocks); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// block is what the tests read of a block.
type block struct {
	Type string `json:"type"`
	Text *struct {
		Type     string `json:"type"`
		Text     string `json:"text"`
		Verbatim bool   `json:"verbatim"`
	} `json:"text"`
	Fields, Elements []struct {
		Text     string `json:"text"`
		Verbatim bool   `json:"verbatim"`
	}
}

func parse(t *testing.T, data []byte) []block {
	t.Helper()
	var blocks []block
	if err := json.Unmarshal(data, &blocks); err != nil {
		t.Fatal(err)
	}
	return blocks
}

var (
	dateToken = regexp.MustCompile(`<!date\^\d+\^[^|>]*\|([^>]*)>`)
	linkToken = regexp.MustCompile(`<(https?://[^|>]*)\|([^>]*)>`)
	bareToken = regexp.MustCompile(`<(https?://[^|>]*)>`)
)

// asRead turns blocks into what a person reads, with times in UTC.
func asRead(t *testing.T, m message) string {
	t.Helper()
	read := func(s string) string {
		s = dateToken.ReplaceAllString(s, "$1")
		s = linkToken.ReplaceAllString(s, "[$2]($1)")
		s = bareToken.ReplaceAllString(s, "$1")
		return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(s)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "notification: %s\n\n", read(m.text))
	for _, block := range parse(t, blocksOf(t, m)) {
		switch block.Type {
		case "header":
			fmt.Fprintf(&b, "## %s\n\n", block.Text.Text)
		case "section":
			if block.Text != nil {
				fmt.Fprintf(&b, "%s\n\n", read(block.Text.Text))
			}
			for _, f := range block.Fields {
				fmt.Fprintf(&b, "| %s\n", strings.ReplaceAll(read(f.Text), "\n", "\n|   "))
			}
			if len(block.Fields) > 0 {
				b.WriteByte('\n')
			}
		case "context":
			fmt.Fprintf(&b, "   %s\n\n", read(block.Elements[0].Text))
		}
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	amended := sinktest.Revised(sinktest.Sample(), 2)
	amended.Severity, amended.Observed = alert.Critical, amended.Time.Add(22*time.Minute)
	amended.Title = "Alice Example, who holds a passkey, signed in with SMS from a network never seen before and enrolled a new authenticator"
	withdrawn := sinktest.Revised(sinktest.Sample(), 3)
	withdrawn.State = alert.Withdrawn
	long := sinktest.Sample()
	for i := range 60 {
		e := long.Evidence[1]
		e.Time = e.Time.Add(time.Duration(i) * time.Second / 2)
		e.Summary = fmt.Sprintf("push %d not answered on Alice's phone from 198.51.100.7 (AS64500 Example Hosting, NL)", i+1)
		long.Evidence = append(long.Evidence[:len(long.Evidence)-1:len(long.Evidence)-1], e, long.Evidence[len(long.Evidence)-1])
	}
	consent := sinktest.Alert(1)
	consent.RuleID, consent.RuleTitle, consent.Reason = "consent-after-phish", "Consent to an unverified app", alert.ReasonConsent
	consent.Title = "person1@example.com let the unverified app “Mail <Backup> & Sync” read all mail"
	consent.App = &event.App{Name: "Mail <Backup> & Sync"}
	for _, row := range []struct {
		name   string
		render *renderer
		alert  alert.Alert
	}{
		{"full", full(), sinktest.Sample()},
		{"minimal", minimal(), sinktest.Sample()},
		{"amended", full(), amended},
		{"withdrawn", full(), withdrawn},
		{"long", full(), long},
		{"bare", &renderer{}, consent},
		{"hostile", full(), sinktest.Hostile("<!channel> @here *x* _y_ ~z~ `c` :fire: https://evil.example/\u202e\n> ")},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := row.render.message(&row.alert)
			golden(t, row.name+".golden.json", blocksOf(t, m))
			golden(t, row.name+".golden.txt", []byte(asRead(t, m)))
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestEscaping(t *testing.T) {
	const b = breaker
	for _, row := range []struct{ name, in, want string }{
		{"control characters", "a & <b> c", "a &amp; &lt;b&gt; c"},
		{"mention of all", "<!channel>", "&lt;!channel&gt;"},
		{"mention of a person", "<@U0123456789>", "&lt;@" + b + "U0123456789&gt;"},
		{"plain mention", "@here look", "@" + b + "here look"},
		{"e-mail stays", "alice@example.com", "alice@example.com"},
		{"link with another label", "<https://evil.example|okta.com>", "&lt;https[:]//evil.example|okta.com&gt;"},
		{"bare link", "see https://evil.example/x", "see https[:]//evil.example/x"},
		{"emphasis", "*bold* _it_ ~gone~ `code`", "∗bold∗ ＿it＿ ∼gone∼ 'code'"},
		{"names with underscores stay", "svc_backup_eu", "svc_backup_eu"},
		{"emoji name", ":white_check_mark: fine", ":" + b + "white_check_mark: fine"},
		{"time of day stays", "09:14:03", "09:14:03"},
		{"quote on a line of its own", "a\n> b", "a &gt; b"},
		{"direction override", "a\u202eb", `a\u202eb`},
		{"escaped already", "&lt;!here&gt;", "&amp;lt;!here&amp;gt;"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := full().text(row.in, 500); got != row.want {
				t.Errorf("text(%q) = %q, want %q", row.in, got, row.want)
			}
		})
	}
}

func TestCodeStaysInItsSpan(t *testing.T) {
	for _, row := range []struct {
		name, in, want string
		limit          int
	}{
		{"plain", "a_b * c", "`a_b * c`", 100},
		{"leaves", "a` *b* `c", "`a' *b* 'c`", 100},
		{"control characters", "a < b && c", "`a &lt; b &amp;&amp; c`", 100},
		{"empty", "", "` `", 100},
		{"long", "abcdefgh", "`abc…`", 6},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := full().code(row.in, row.limit); got != row.want {
				t.Errorf("code(%q) = %q, want %q", row.in, got, row.want)
			}
		})
	}
}

func TestCutNeverSplitsAnEntity(t *testing.T) {
	in := "a<b>&🔑c" + strings.Repeat("&", 10)
	for limit := 1; limit < 40; limit++ {
		got := full().text(in, limit)
		if size(got) > limit {
			t.Errorf("text of limit %d has %d characters: %q", limit, size(got), got)
		}
		if strings.Count(got, "&") != strings.Count(got, ";") || !utf8.ValidString(got) {
			t.Errorf("text of limit %d is broken: %q", limit, got)
		}
	}
}

func TestAuthoredTextHasLinks(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"link", "Follow https://wiki.example.com/runbook?a=1&b=2.", "Follow <https://wiki.example.com/runbook?a=1&amp;b=2>."},
		{"not https", "see http://x.example", "see http[:]//x.example"},
		{"a link that would end early", "https://x.example/a|b", "https[:]//x.example/a|b"},
		{"mention", "tell @here", "tell @" + breaker + "here"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := full().authored(row.in, 200); got != row.want {
				t.Errorf("authored(%q) = %q, want %q", row.in, got, row.want)
			}
		})
	}
}

func TestMinimalDetails(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"e-mail", "reset by help.desk+1@example.com today", "reset by (e-mail) today"},
		{"masked e-mail", "a***e@example.com", "(e-mail)"},
		{"quoted e-mail", "user=alice%40example.com", "user=(e-mail)"},
		{"IPv4", "from 198.51.100.7.", "from (address)."},
		{"IPv4 and port", "198.51.100.7:443", "(address):443"},
		{"IPv4 network", "198.51.100.0/24", "(address)/24"},
		{"IPv6", "from 2001:db8::1, NL", "from (address), NL"},
		{"IPv6 in brackets", "[2001:db8::1]:443", "[(address)]:443"},
		{"IPv6 after a label", "ip:2001:db8:0:0:0:0:0:1", "ip:(address)"},
		{"IPv6 at the end of a clause", "2001:db8::1: reset", "(address): reset"},
		{"time of day stays", "at 09:14:03", "at 09:14:03"},
		{"words stay", "bad: feed cafe", "bad: feed cafe"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := minimal().plain(row.in); got != row.want {
				t.Errorf("plain(%q) = %q, want %q", row.in, got, row.want)
			}
		})
	}

	a := sinktest.Hostile("bob@example.org 203.0.113.9 2001:db8::9 ")
	m := minimal().message(&a)
	all := m.text + string(blocksOf(t, m))
	for _, secret := range []string{"example.org", "203.0.113.9", "2001:db8", "alice@", "198.51.100.7", "192.0.2.10", "helpdesk@"} {
		if strings.Contains(all, secret) {
			t.Errorf("a message with minimal details shows %q", secret)
		}
	}
}

// Nothing in an alert may become a mention, a link, an emoji or a line of its own.
func TestHostileTextIsInert(t *testing.T) {
	const hostile = "<!channel> <@U0123456789> <https://evil.example|x> :fire: *b* _i_ ~s~ `c` https://evil.example @here\n> q\u202e"
	clean, dirty := sinktest.Sample(), sinktest.Hostile(hostile)
	// These are the rule's own.
	dirty.Runbook, dirty.FalsePositives, dirty.References = clean.Runbook, clean.FalsePositives, clean.References
	if got, want := len(parse(t, blocksOf(t, full().message(&dirty)))), len(parse(t, blocksOf(t, full().message(&clean)))); got != want {
		t.Errorf("hostile text makes %d blocks, want %d", got, want)
	}
	token := regexp.MustCompile(`<[^>]*>`)
	ours := regexp.MustCompile(`^<(!date\^|https://(stepdown|grafana)\.example\.com/|https://attack\.mitre\.org/)`)
	code := regexp.MustCompile("`[^`]*`")
	check := func(where, s string) {
		for _, found := range token.FindAllString(s, -1) {
			if !ours.MatchString(found) {
				t.Errorf("%s has the token %s", where, found)
			}
		}
		if strings.Count(s, "`")%2 != 0 {
			t.Errorf("%s has an open code span: %q", where, s)
		}
		prose := code.ReplaceAllString(token.ReplaceAllString(s, ""), "")
		for _, bad := range []string{":fire:", "https://evil", "*b*", "_i_", "~s~", "@here", "\n&gt;", "\u202e"} {
			if strings.Contains(prose, bad) {
				t.Errorf("%s has %q in %q", where, bad, prose)
			}
		}
	}
	for _, r := range []*renderer{full(), minimal()} {
		m := r.message(&dirty)
		check("fallback", m.text)
		check("plain message", r.plainMessage(&dirty).text)
		for _, b := range parse(t, blocksOf(t, m)) {
			if b.Text != nil && b.Type != "header" {
				check(b.Type, b.Text.Text)
			}
			for _, f := range append(b.Fields, b.Elements...) {
				check(b.Type, f.Text)
			}
		}
	}
}

func TestTextObjectsAreVerbatim(t *testing.T) {
	a := sinktest.Sample()
	for _, b := range parse(t, blocksOf(t, full().message(&a))) {
		if b.Type == "header" {
			continue
		}
		if b.Text != nil && !b.Text.Verbatim {
			t.Errorf("%s is not verbatim", b.Type)
		}
		for _, f := range append(b.Fields, b.Elements...) {
			if !f.Verbatim {
				t.Errorf("a field of %s is not verbatim", b.Type)
			}
		}
	}
}

// The worst alert that can come: every text endless, every list endless.
func TestBudget(t *testing.T) {
	if sum := maxHeader + maxTitle + 2*maxContext + 4*maxField + maxHeld + maxConditions + maxEvidence + maxSteps + maxHarmless + maxLinks; sum > maxMessage {
		t.Fatalf("the limits of the parts add up to %d, more than %d", sum, maxMessage)
	}
	for _, row := range []struct{ name, text string }{
		{"entities", strings.Repeat("&", 5000)},
		{"words", strings.Repeat("word ", 1000)},
		{"emoji", strings.Repeat("🔑", 3000)},
		{"links", strings.Repeat("https://wiki.example.com/ ", 300)},
		{"short", "x"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := sinktest.Hostile(row.text)
			for range 5 {
				a.Evidence = append(a.Evidence, a.Evidence...)
				a.Conditions = append(a.Conditions, a.Conditions...)
				a.Runbook = append(a.Runbook, a.Runbook...)
				a.FalsePositives = append(a.FalsePositives, a.FalsePositives...)
				a.References = append(a.References, a.References...)
				a.Tags = append(a.Tags, a.Tags...)
				a.Identity.Populations = append(a.Identity.Populations, a.Identity.Populations...)
				a.Identity.Authenticators = append(a.Identity.Authenticators, a.Identity.Authenticators...)
				a.Conditions[0].Operands = append(a.Conditions[0].Operands, a.Conditions[0].Operands...)
			}
			for _, state := range []alert.State{alert.Open, alert.Withdrawn} {
				a.State = state
				m := full().message(&a)
				total, blocks := 0, parse(t, blocksOf(t, m))
				if len(blocks) > 50 {
					t.Errorf("%d blocks, at most 50", len(blocks))
				}
				take := func(kind, s string, limit int) {
					total += size(s)
					if n := size(s); n > limit {
						t.Errorf("%s has %d characters, at most %d: %.60s…", kind, n, limit, s)
					}
				}
				for _, b := range blocks {
					switch {
					case b.Type == "header":
						take(b.Type, b.Text.Text, maxHeader)
					case b.Text != nil:
						take(b.Type, b.Text.Text, maxSection)
					}
					for _, f := range b.Fields {
						take("field", f.Text, maxField)
					}
					for _, e := range b.Elements {
						take("context", e.Text, maxContext)
					}
				}
				if total > maxMessage {
					t.Errorf("%d characters in all, at most %d", total, maxMessage)
				}
				if n := size(m.text); n > maxFallback {
					t.Errorf("fallback has %d characters, at most %d", n, maxFallback)
				}
				if state == alert.Open && !strings.Contains(string(blocksOf(t, m)), "more left out here") {
					t.Error("the message does not say that something was left out")
				}
			}
		})
	}
}

// What the workspace checks is what Slack documents; the worst message passes.
func TestWorkspaceTakesTheWorstMessage(t *testing.T) {
	b := newBench(t)
	s := b.process(t)
	a := sinktest.Hostile(strings.Repeat("<&>", 2000))
	for range 6 {
		a.Evidence = append(a.Evidence, a.Evidence...)
		a.Conditions = append(a.Conditions, a.Conditions...)
		a.Runbook = append(a.Runbook, a.Runbook...)
	}
	write(t, s, a)
	if m := b.only(t); m.Blocks == nil {
		t.Error("Slack did not take the blocks")
	}
}

func TestWorkspaceRefusesWhatSlackRefuses(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	section := func(n int) string {
		return fmt.Sprintf(`{"type":"section","text":{"type":"mrkdwn","text":%q}}`, long(n))
	}
	for _, row := range []struct{ name, blocks, want string }{
		{"good", "[" + section(3000) + "]", ""},
		{"long section", "[" + section(3001) + "]", "invalid_blocks"},
		{"empty section", "[" + section(0) + "]", "invalid_blocks"},
		{"51 blocks", "[" + strings.TrimSuffix(strings.Repeat(section(1)+",", 51), ",") + "]", "invalid_blocks"},
		{"long in all", "[" + strings.TrimSuffix(strings.Repeat(section(2900)+",", 5), ",") + "]", "msg_blocks_too_long"},
		{"long header", fmt.Sprintf(`[{"type":"header","text":{"type":"plain_text","text":%q}}]`, long(151)), "invalid_blocks"},
		{"mrkdwn header", `[{"type":"header","text":{"type":"mrkdwn","text":"x"}}]`, "invalid_blocks"},
		{"new agent block", `[{"type":"card"}]`, "invalid_blocks"},
		{"no JSON", `[`, "invalid_blocks_format"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := slacktest.CheckBlocks([]byte(row.blocks)); got != row.want {
				t.Errorf("CheckBlocks = %q, want %q", got, row.want)
			}
		})
	}
}
