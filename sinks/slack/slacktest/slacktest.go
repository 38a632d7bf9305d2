package slacktest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// Message is one message in the channel.
type Message struct {
	TS   string
	Text string
	// Blocks is the JSON of the blocks, as sent.
	Blocks json.RawMessage
	// AlertID and Revision are from the metadata.
	AlertID  string
	Revision uint64
	// Thread is the TS of the message that it replies to, empty for none;
	// Broadcast says that the reply is in the channel, too.
	Thread    string
	Broadcast bool
	// Edits is how often it was updated.
	Edits int
	// At is when it was posted.
	At time.Time

	metadata json.RawMessage
	foreign  bool
}

// Failure is one call that does not go as it should.
type Failure struct {
	// Carried is true for a call that is carried out before it fails.
	Carried bool
	// Hang leaves the caller without an answer until it gives up.
	Hang bool
	// Status and RetryAfter, in seconds, make a HTTP answer.
	Status     int
	RetryAfter int
	// Error is the code in an answer that is not ok; Needed goes with
	// missing_scope.
	Error, Needed string
}

// Server is the workspace.
type Server struct {
	// URL of the API, with a slash at its end.
	URL string

	mu       sync.Mutex
	http     *httptest.Server
	token    string
	channel  string
	messages []Message
	failures map[string][]Failure
	down     *Failure
	calls    map[string]int
	serial   int
	gone     chan struct{}
}

// New starts a workspace with one channel that accepts token; it stops with the
// test.
func New(t testing.TB, token, channel string) *Server {
	t.Helper()
	s := &Server{token: token, channel: channel, failures: map[string][]Failure{}, calls: map[string]int{}, gone: make(chan struct{})}
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL + "/api/"
	t.Cleanup(func() {
		close(s.gone)
		s.http.Close()
	})
	return s
}

// SetToken changes the token that is accepted.
func (s *Server) SetToken(token string) { s.mu.Lock(); defer s.mu.Unlock(); s.token = token }

// SetChannel changes the id of the channel.
func (s *Server) SetChannel(id string) { s.mu.Lock(); defer s.mu.Unlock(); s.channel = id }

// Fail makes the next calls of method fail, one failure each.
func (s *Server) Fail(method string, failures ...Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures[method] = append(s.failures[method], failures...)
}

// Down makes every call fail until it is called with nil.
func (s *Server) Down(f *Failure) { s.mu.Lock(); defer s.mu.Unlock(); s.down = f }

// Messages returns the messages in the order in which they were posted.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.messages...)
}

// Calls returns how often method was called.
func (s *Server) Calls(method string) int { s.mu.Lock(); defer s.mu.Unlock(); return s.calls[method] }

// Chatter puts n messages of people into the channel.
func (s *Server) Chatter(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.messages = append(s.messages, Message{TS: s.nextTS(), Text: "hello", At: time.Now(), foreign: true})
	}
}

// Delete removes a message.
func (s *Server) Delete(ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.messages {
		if s.messages[i].TS == ts {
			s.messages = append(s.messages[:i], s.messages[i+1:]...)
			return
		}
	}
}

// nextTS returns a new id, which is a time in microseconds.
func (s *Server) nextTS() string {
	s.serial++
	return fmt.Sprintf("%d.%06d", time.Now().Unix(), s.serial)
}

// ServeHTTP answers a call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := strings.TrimPrefix(r.URL.Path, "/api/")
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, failure := s.call(method, r)
	if failure != nil {
		switch {
		case failure.Hang:
			select {
			case <-r.Context().Done():
			case <-s.gone:
			}
			return
		case failure.Error != "":
			answer = refusal(failure.Error)
			if failure.Needed != "" {
				answer["needed"] = failure.Needed
			}
		case failure.Status != 0:
			if failure.RetryAfter > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(failure.RetryAfter))
			}
			http.Error(w, "<html>"+http.StatusText(failure.Status)+"</html>", failure.Status)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(answer) // the caller may be gone
}

type object = map[string]any

func refusal(code string) object { return object{"ok": false, "error": code} }

func (s *Server) call(method string, r *http.Request) (object, *Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[method]++
	failure := s.down
	if list := s.failures[method]; failure == nil && len(list) > 0 {
		failure, s.failures[method] = &list[0], list[1:]
	}
	if failure != nil && !failure.Carried {
		return nil, failure
	}
	return s.perform(method, r), failure
}

func (s *Server) perform(method string, r *http.Request) object {
	token := r.Form.Get("token")
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		token = bearer
	}
	switch token {
	case s.token:
	case "":
		return refusal("not_authed")
	default:
		return refusal("invalid_auth")
	}
	if method == "auth.test" {
		return object{"ok": true, "url": "https://example.slack.com/", "team": "Example", "user": "stepdown", "team_id": "T00000001", "user_id": "U00000001", "bot_id": "B00000001"}
	}
	if r.Form.Get("channel") != s.channel {
		return refusal("channel_not_found")
	}
	switch method {
	case "chat.postMessage":
		return s.post(r)
	case "chat.update":
		return s.update(r)
	case "conversations.history":
		return s.history(r)
	}
	return refusal("unknown_method")
}

func (s *Server) post(r *http.Request) object {
	m := Message{TS: s.nextTS(), At: time.Now(), Thread: r.Form.Get("thread_ts"), Broadcast: r.Form.Get("reply_broadcast") == "true"}
	if code, why := m.take(r); code != "" {
		return rejected(code, why)
	}
	s.messages = append(s.messages, m)
	return object{"ok": true, "channel": s.channel, "ts": m.TS, "message": m.object()}
}

func (s *Server) update(r *http.Request) object {
	for i := range s.messages {
		m := &s.messages[i]
		if m.TS != r.Form.Get("ts") {
			continue
		}
		if m.foreign {
			return refusal("cant_update_message")
		}
		next := *m
		if code, why := next.take(r); code != "" {
			return rejected(code, why)
		}
		next.Edits++
		*m = next
		return object{"ok": true, "channel": s.channel, "ts": m.TS, "text": m.Text, "message": m.object()}
	}
	return refusal("message_not_found")
}

func rejected(code, why string) object {
	o := refusal(code)
	if why != "" {
		o["response_metadata"] = object{"messages": []string{"[ERROR] " + why}}
	}
	return o
}

// history returns a page, the newest message first.
func (s *Server) history(r *http.Request) object {
	limit, _ := strconv.Atoi(r.Form.Get("limit"))
	if limit <= 0 {
		limit = 100
	}
	skip, _ := strconv.Atoi(r.Form.Get("cursor"))
	page := []object{}
	more, index := false, 0
	for _, m := range slices.Backward(s.messages) {
		if m.TS <= r.Form.Get("oldest") || m.Thread != "" && !m.Broadcast {
			continue
		}
		if index++; index <= skip {
			continue
		}
		if len(page) == limit {
			more = true
			break
		}
		o := m.object()
		if r.Form.Get("include_all_metadata") != "1" {
			delete(o, "metadata")
		}
		page = append(page, o)
	}
	answer := object{"ok": true, "messages": page, "has_more": more}
	if more {
		answer["response_metadata"] = object{"next_cursor": strconv.Itoa(skip + len(page))}
	}
	return answer
}

func (m *Message) object() object {
	o := object{"type": "message", "ts": m.TS, "text": m.Text}
	if len(m.Blocks) > 0 {
		o["blocks"] = m.Blocks
	}
	if len(m.metadata) > 0 {
		o["metadata"] = m.metadata
	}
	return o
}

// take fills m from the form, or says why Slack would not take it.
func (m *Message) take(r *http.Request) (code, why string) {
	m.Text, m.Blocks = r.Form.Get("text"), nil
	if b := r.Form.Get("blocks"); b != "" && b != "[]" {
		m.Blocks = json.RawMessage(b)
		if code, why := checkBlocks(m.Blocks); code != "" {
			return code, why
		}
	}
	switch {
	case m.Text == "" && m.Blocks == nil:
		return "no_text", ""
	case utf8.RuneCountInString(m.Text) > 40_000:
		return "msg_too_long", ""
	}
	m.metadata = nil
	if raw := r.Form.Get("metadata"); raw != "" {
		var meta struct {
			EventType string `json:"event_type"`
			Payload   struct {
				AlertID  string `json:"alert_id"`
				Revision uint64 `json:"revision"`
			} `json:"event_payload"`
		}
		if err := json.Unmarshal([]byte(raw), &meta); err != nil || meta.EventType == "" {
			return "invalid_metadata_format", ""
		}
		m.metadata = json.RawMessage(raw)
		m.AlertID, m.Revision = meta.Payload.AlertID, meta.Payload.Revision
	}
	return "", ""
}

// text is a text object of Block Kit.
type text struct {
	Type  string `json:"type"`
	Text  string `json:"text"`
	Emoji *bool  `json:"emoji"`
}

func (t *text) check(limit int, types ...string) string {
	allowed := false
	for _, want := range types {
		allowed = allowed || t.Type == want
	}
	switch n := utf8.RuneCountInString(t.Text); {
	case !allowed:
		return "text of type " + t.Type
	case n == 0:
		return "must be more than 0 characters"
	case n > limit:
		return fmt.Sprintf("must be less than %d characters", limit+1)
	case t.Type == "mrkdwn" && t.Emoji != nil:
		return "emoji in mrkdwn"
	}
	return ""
}

// CheckBlocks returns the error code with which Slack would refuse blocks, which
// are JSON; empty for blocks that it takes.
func CheckBlocks(blocks []byte) string {
	code, _ := checkBlocks(blocks)
	return code
}

// checkBlocks makes the checks of Slack's reference: 50 blocks; 150 characters in
// a header, 3,000 in a section, 2,000 in each of 10 fields, 10 elements in a
// context; and, not documented, about 13,000 characters together.
func checkBlocks(data json.RawMessage) (code, why string) {
	var blocks []struct {
		Type     string `json:"type"`
		Text     *text  `json:"text"`
		Fields   []text `json:"fields"`
		Elements []text `json:"elements"`
	}
	if err := json.Unmarshal(data, &blocks); err != nil {
		return "invalid_blocks_format", err.Error()
	}
	if len(blocks) > 50 {
		return "invalid_blocks", "no more than 50 items allowed"
	}
	total := 0
	for i, b := range blocks {
		problem := ""
		note := func(p string) {
			if problem == "" {
				problem = p
			}
		}
		switch b.Type {
		case "header":
			if b.Text == nil {
				note("no text")
				break
			}
			note(b.Text.check(150, "plain_text"))
		case "section":
			if b.Text == nil && len(b.Fields) == 0 {
				note("neither text nor fields")
			}
			if b.Text != nil {
				note(b.Text.check(3000, "mrkdwn", "plain_text"))
			}
			if len(b.Fields) > 10 {
				note("no more than 10 fields allowed")
			}
			for _, f := range b.Fields {
				note(f.check(2000, "mrkdwn", "plain_text"))
				total += utf8.RuneCountInString(f.Text)
			}
		case "context":
			if len(b.Elements) == 0 || len(b.Elements) > 10 {
				note("1 to 10 elements allowed")
			}
			for _, e := range b.Elements {
				note(e.check(3000, "mrkdwn", "plain_text"))
				total += utf8.RuneCountInString(e.Text)
			}
		case "divider":
		default:
			note("unsupported type: " + b.Type)
		}
		if problem != "" {
			return "invalid_blocks", fmt.Sprintf("%s [json-pointer:/blocks/%d]", problem, i)
		}
		if b.Text != nil {
			total += utf8.RuneCountInString(b.Text.Text)
		}
	}
	if total > 13_000 {
		return "msg_blocks_too_long", ""
	}
	return "", ""
}
