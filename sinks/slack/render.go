package slack

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	slackgo "github.com/slack-go/slack"

	"stepdown/detect/alert"
	"stepdown/sinks"
)

// Limits of the parts of a message in characters. Together they stay below
// maxMessage, and each below the 2,800 that a section safely holds.
const (
	maxHeader     = 150
	maxTitle      = 700
	maxContext    = 350
	maxField      = 450 // times four
	maxHeld       = 1200
	maxConditions = 2000
	maxEvidence   = 2400
	maxSteps      = 1500
	maxHarmless   = 800
	maxLinks      = 700
	maxFallback   = 600

	maxSection = 2800
	maxMessage = 12000
)

// late is the delay of a source from which a message warns of it.
const late = 10 * time.Minute

// renderer makes messages. Text of an alert enters a message only through its
// methods text, code and authored.
type renderer struct {
	minimal          bool
	console, grafana string
}

// message is what is sent for one revision: the blocks, and a text for
// notifications, screen readers and clients that show no blocks.
type message struct {
	text   string
	blocks []slackgo.Block
}

// message renders a: first what happened to whom, then the records that show it
// and what to do, and last why the rule says so.
func (r *renderer) message(a *alert.Alert) message {
	withdrawn := a.State == alert.Withdrawn
	m := message{text: r.fallback(a)}
	m.header(r.headline(a))
	title := r.text(a.Title, maxTitle-200)
	if withdrawn {
		m.section("~" + title + "~\nLater records took the reason away. There is nothing to do, unless somebody has already acted on it.")
	} else {
		m.section("*" + title + "*")
	}
	m.context(r.circumstances(a))
	m.fields(r.who(a), r.from(a), r.app(a), "*Reason*\n"+sinks.ReasonWords(a.Reason))
	m.section(r.held(a))
	m.section(r.evidence(a))
	if !withdrawn {
		m.section(r.steps(a))
		m.section(r.harmless(a))
	}
	m.section(r.links(a))
	if !withdrawn {
		m.section(r.conditions(a))
	}
	m.context(r.footer(a))
	return m
}

// plainMessage is the message without blocks, for when Slack does not take them.
func (r *renderer) plainMessage(a *alert.Alert) message {
	text := r.fallback(a) + "\nSlack did not take the details of this message. Alert " + r.code(string(a.ID), 100)
	if l := r.links(a); l != "" {
		text += "\n" + l
	}
	return message{text: text}
}

func (m *message) section(mrkdwn string) {
	if mrkdwn != "" {
		m.blocks = append(m.blocks, slackgo.NewSectionBlock(markdown(mrkdwn), nil, nil))
	}
}

func (m *message) header(plain string) {
	m.blocks = append(m.blocks, slackgo.NewHeaderBlock(slackgo.NewTextBlockObject(slackgo.PlainTextType, plain, false, false)))
}

func (m *message) context(mrkdwn string) {
	m.blocks = append(m.blocks, slackgo.NewContextBlock("", markdown(mrkdwn)))
}

func (m *message) fields(mrkdwn ...string) {
	var fields []*slackgo.TextBlockObject
	for _, s := range mrkdwn {
		if s != "" {
			fields = append(fields, markdown(s))
		}
	}
	m.blocks = append(m.blocks, slackgo.NewSectionBlock(nil, fields, nil))
}

// markdown is verbatim: Slack makes no links or mentions of its own from it.
func markdown(s string) *slackgo.TextBlockObject {
	return slackgo.NewTextBlockObject(slackgo.MarkdownType, s, false, true)
}

// mark is a sign beside the word, never instead of it.
func mark(a *alert.Alert) string {
	if a.State == alert.Withdrawn {
		return "✅ Withdrawn, was " + sinks.SeverityWord(a.Severity)
	}
	word := sinks.SeverityWord(a.Severity)
	switch a.Severity {
	case alert.Critical:
		return "🔴 " + word
	case alert.High:
		return "🟠 " + word
	case alert.Medium:
		return "🟡 " + word
	case alert.Low:
		return "🔵 " + word
	}
	return "⚪ " + word
}

// headline is plain text, which Slack does not parse.
func (r *renderer) headline(a *alert.Alert) string {
	runes := []rune(mark(a) + ": " + r.plain(a.RuleTitle))
	return cut(len(runes), maxHeader, func(i int) string { return string(runes[i]) })
}

func (r *renderer) fallback(a *alert.Alert) string {
	return mark(a) + ": " + r.text(a.Title, maxFallback/2) + " (" + r.text(r.name(a), 100) + ", " + sinks.TierWords(a.Identity.Tier) + ")"
}

// raised is the reply below a message whose severity was another.
func (r *renderer) raised(a *alert.Alert, was alert.Severity) string {
	return mark(a) + ", was " + sinks.SeverityWord(was) + ": " + r.text(a.Title, maxFallback/2) + " (" + r.text(r.name(a), 100) + ", " + sinks.TierWords(a.Identity.Tier) + ")"
}

// circumstances says when, by whose word, how late and which amendment.
func (r *renderer) circumstances(a *alert.Alert) string {
	parts := []string{moment(a.Time, formatMoment), r.text(strings.TrimSpace(string(a.Source)+" "+a.Tenant), 100)}
	switch d := sinks.Delay(a); {
	case d >= late:
		parts = append(parts, "⚠️ *late: read "+sinks.DurationWords(d)+" after it happened*")
	case d > 0:
		parts = append(parts, "read "+sinks.DurationWords(d)+" after it happened")
	}
	if a.State == alert.Open && a.Revision > 1 {
		parts = append(parts, "amended, revision "+strconv.FormatUint(a.Revision, 10))
	}
	return strings.Join(parts, " · ")
}

// name is what to call the person.
func (r *renderer) name(a *alert.Alert) string {
	switch {
	case a.Identity.DisplayName != "":
		return a.Identity.DisplayName
	case a.Identity.Name != "":
		return a.Identity.Name
	}
	return string(a.Key)
}

func (r *renderer) who(a *alert.Alert) string {
	s := "*Who*\n" + r.text(r.name(a), 120)
	if login := a.Identity.Name; login != "" && login != r.name(a) && !r.minimal {
		s += ", " + r.text(login, 120)
	}
	s += "\n" + sinks.TierWords(a.Identity.Tier)
	if len(a.Identity.Populations) > 0 {
		s += "; " + r.text(strings.Join(a.Identity.Populations, ", "), 120)
	}
	return s
}

func (r *renderer) from(a *alert.Alert) string {
	var place []string
	if a.Endpoint.IP != "" && !r.minimal {
		place = append(place, r.code(a.Endpoint.IP, 60))
	}
	if n := sinks.Network(a.Endpoint); n != "" {
		place = append(place, r.text(n, 150))
	}
	lines := []string{"*From*"}
	if len(place) > 0 {
		lines = append(lines, strings.Join(place, " "))
	}
	if c := sinks.Client(a.UserAgent); c != "" {
		lines = append(lines, r.text(c, 150))
	}
	if len(lines) == 1 {
		return ""
	}
	return strings.Join(lines, "\n")
}

func (r *renderer) app(a *alert.Alert) string {
	if a.App == nil || a.App.Name == "" {
		return ""
	}
	s := "*App*\n" + r.text(a.App.Name, 200)
	if a.App.Admin {
		s += " (administration)"
	}
	return s
}

// held says what the person has enrolled and what was used instead.
func (r *renderer) held(a *alert.Alert) string {
	usual := -1
	for i, h := range a.Identity.Authenticators {
		if h.Method == a.Usual {
			usual = i
			break
		}
	}
	var lines []string
	switch {
	case usual >= 0:
		lines = append(lines, r.authenticator(a.Identity.Authenticators[usual])+r.used(a))
	case a.Usual != "":
		lines = append(lines, sinks.MethodWords(a.Usual)+r.used(a))
	case a.Method != "":
		lines = append(lines, "nothing strong is known"+r.used(a))
	}
	for i, h := range a.Identity.Authenticators {
		if i != usual {
			lines = append(lines, "• also "+r.authenticator(h))
		}
	}
	return part("*Holds → used*", lines, maxHeld, len(lines))
}

func (r *renderer) used(a *alert.Alert) string {
	if a.Method == "" {
		return ""
	}
	s := " → *" + sinks.MethodWords(a.Method) + "* at " + moment(a.Time, formatClock)
	if n := sinks.Network(a.Endpoint); n != "" {
		s += " from " + r.text(n, 150)
	}
	return s
}

func (r *renderer) authenticator(h alert.Authenticator) string {
	s := sinks.MethodWords(h.Method)
	if h.Name != "" && !r.minimal {
		s += " “" + r.text(h.Name, 80) + "”"
	}
	if !h.Since.IsZero() {
		s += " " + sinks.SinceWords(h) + " " + moment(h.Since, formatDay)
	}
	switch h.Uses {
	case 0:
		return s + ", no use seen"
	case 1:
		s += ", used once"
	default:
		s += fmt.Sprintf(", used %d times", h.Uses)
	}
	if h.LastUsed != nil {
		s += ", last " + moment(*h.LastUsed, formatDay)
	}
	return s
}

// conditions says why the rule fired: each condition with what it saw.
func (r *renderer) conditions(a *alert.Alert) string {
	var lines []string
	for _, c := range a.Conditions {
		line := "• " + r.text(strings.ReplaceAll(c.Name, "_", " "), 80) + ": " + r.code(c.Expr, 300)
		var facts []string
		for _, o := range c.Operands {
			if o.Value != "true" || o.Expr != c.Expr {
				facts = append(facts, r.code(o.Expr+" = "+o.Value, 160))
			}
		}
		if len(facts) > 6 {
			facts = append(facts[:6], fmt.Sprintf("… %d more", len(facts)-6))
		}
		if len(facts) > 0 {
			line += " with " + strings.Join(facts, ", ")
		}
		lines = append(lines, line)
	}
	return part("*Why it fired*", lines, maxConditions, len(lines))
}

// evidence lists the records in their order; when there are too many, the first
// two and the last ones are kept, since the last one completed the finding.
func (r *renderer) evidence(a *alert.Alert) string {
	var lines []string
	for _, e := range a.Evidence {
		what := e.Summary
		if what == "" {
			what = e.Action
		}
		format := formatLine
		if e.Time.Sub(a.Time).Abs() < 12*time.Hour {
			format = formatSeconds
		}
		lines = append(lines, "• "+moment(e.Time, format)+" "+r.text(string(e.Source), 20)+": "+r.text(what, 300))
	}
	return part("*Evidence*", lines, maxEvidence, 2)
}

func (r *renderer) steps(a *alert.Alert) string {
	var lines []string
	for i, s := range a.Runbook {
		lines = append(lines, strconv.Itoa(i+1)+". "+r.authored(s, 400))
	}
	return part("*What to do next*", lines, maxSteps, len(lines))
}

func (r *renderer) harmless(a *alert.Alert) string {
	var lines []string
	for _, s := range a.FalsePositives {
		lines = append(lines, "• "+r.authored(s, 300))
	}
	return part("*Harmless if*", lines, maxHarmless, len(lines))
}

// links leads to the console, to Grafana and to the first references.
func (r *renderer) links(a *alert.Alert) string {
	var links []string
	add := func(target, label string) {
		if size(target) < maxLinks/4 {
			links = append(links, "<"+target+"|"+label+">")
		}
	}
	fill := strings.NewReplacer("{id}", url.QueryEscape(string(a.ID)), "{key}", url.QueryEscape(string(a.Key)), "&", "&amp;")
	if r.console != "" {
		add(fill.Replace(r.console), "Open the alert")
	}
	if r.grafana != "" {
		add(fill.Replace(r.grafana), "See it in Grafana")
	}
	for _, ref := range a.References[:min(2, len(a.References))] {
		if target, ok := webAddress(ref); ok {
			u, _ := url.Parse(ref)
			add(target, "Read more at "+r.text(u.Hostname(), 60))
		}
	}
	return strings.Join(links, " · ")
}

// footer names the finding for those who look it up.
func (r *renderer) footer(a *alert.Alert) string {
	parts := []string{"rule " + r.code(a.RuleID, 80) + " version " + strconv.Itoa(a.RuleVersion), "alert " + r.code(string(a.ID), 40)}
	if len(a.Tags) > 0 {
		parts = append(parts, r.text(strings.Join(a.Tags, ", "), 120))
	}
	if r.minimal {
		parts = append(parts, "addresses and e-mail are left out in this channel")
	}
	return strings.Join(parts, " · ")
}

// part joins a heading and lines to at most limit characters. When they do not
// fit it keeps up to head lines from the start and as many as possible from the
// end, and says how many it left out. It is empty without lines.
func part(heading string, lines []string, limit, head int) string {
	if len(lines) == 0 {
		return ""
	}
	all := heading + "\n" + strings.Join(lines, "\n")
	if size(all) <= limit {
		return all
	}
	const note = "… %d more left out here"
	room := limit - size(heading) - len(note) - 10
	first, last := 0, len(lines)
	for first < min(head, len(lines)) && size(lines[first])+1 <= room {
		room -= size(lines[first]) + 1
		first++
	}
	for last > first && (head < len(lines)) && size(lines[last-1])+1 <= room {
		last--
		room -= size(lines[last]) + 1
	}
	kept := append([]string{heading}, lines[:first]...)
	if last > first {
		kept = append(kept, fmt.Sprintf(note, last-first))
	}
	return strings.Join(append(kept, lines[last:]...), "\n")
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// eventType is the type of the metadata of our messages.
const eventType = "stepdown_alert"

// metadata names the alert in a way that people do not see, so that the message
// can be found again.
func metadata(a *alert.Alert) slackgo.SlackMetadata {
	payload := map[string]any{"alert_id": string(a.ID), "revision": a.Revision}
	if a.State == alert.Open {
		payload["severity"] = string(a.Severity)
	}
	return slackgo.SlackMetadata{EventType: eventType, EventPayload: payload}
}
