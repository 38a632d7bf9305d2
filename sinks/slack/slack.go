package slack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	slackgo "github.com/slack-go/slack"
	"golang.org/x/time/rate"

	"stepdown/detect/alert"
	"stepdown/sinks"
)

const (
	// timeout of one call; when it passes, what became of the call is not known.
	timeout = 15 * time.Second
	// skew is by how much Slack's clock and ours, or a source's, may differ.
	skew = 10 * time.Minute
	// historyPages and historyLimit bound a look into the history.
	historyPages = 50
	historyLimit = 100
)

// Sink shows alerts in a channel. It implements sinks.Sink and sinks.Holder.
type Sink struct {
	cfg      Config
	render   renderer
	store    Store
	http     *http.Client
	messages *rate.Limiter
	lookups  *rate.Limiter
	metrics  *metrics
}

// New returns a sink that remembers its messages in store, which it closes. Two
// sinks need two registerers, as prometheus.WrapRegistererWith makes them.
func New(cfg Config, store Store, reg prometheus.Registerer) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("slack sink: %w", err)
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("slack sink: register metrics: %w", err)
	}
	return &Sink{
		cfg:      cfg,
		render:   renderer{minimal: cfg.Details == Minimal, console: cfg.ConsoleURL, grafana: cfg.GrafanaURL},
		store:    store,
		http:     &http.Client{Timeout: timeout},
		messages: rate.NewLimiter(1, 3),
		lookups:  rate.NewLimiter(rate.Every(1500*time.Millisecond), 10),
		metrics:  m,
	}, nil
}

// Check reports what would keep alerts from being shown: a token that is not
// accepted, a missing scope, a channel that the app cannot read.
func (s *Sink) Check(ctx context.Context) error {
	err := s.call(ctx, "auth.test", func(api *slackgo.Client) error {
		_, err := api.AuthTestContext(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return s.call(ctx, "conversations.history", func(api *slackgo.Client) error {
		_, err := api.GetConversationHistoryContext(ctx, &slackgo.GetConversationHistoryParameters{ChannelID: s.cfg.Channel, Limit: 1})
		return err
	})
}

// Write shows the latest revision of each of alerts. One that is withdrawn before
// it was shown is not shown.
func (s *Sink) Write(ctx context.Context, alerts []alert.Alert) error {
	latest := make(map[alert.ID]int, len(alerts))
	for i := range alerts {
		if j, ok := latest[alerts[i].ID]; !ok || alerts[i].Revision >= alerts[j].Revision {
			latest[alerts[i].ID] = i
		}
	}
	for i := range alerts {
		a := &alerts[i]
		if latest[a.ID] != i {
			continue
		}
		err := s.show(ctx, a)
		if errors.Is(err, errRefused) || errors.Is(err, errContent) {
			return &sinks.RefusedError{Indexes: indexes(alerts, a.ID), Err: err}
		}
		if err != nil {
			return fmt.Errorf("show alert %s: %w", a.ID, err)
		}
	}
	return nil
}

func indexes(alerts []alert.Alert, id alert.ID) []int {
	var all []int
	for i := range alerts {
		if alerts[i].ID == id {
			all = append(all, i)
		}
	}
	return all
}

// Holds reports whether a message shows some revision of the alert.
func (s *Sink) Holds(id alert.ID) bool {
	m, ok := s.store.Get(id)
	return ok && m.TS != ""
}

// Close closes the store.
func (s *Sink) Close() error {
	s.http.CloseIdleConnections()
	return s.store.Close()
}

// show brings the message of a to its revision.
func (s *Sink) show(ctx context.Context, a *alert.Alert) error {
	m, known := s.store.Get(a.ID)
	if m.TS == "" && (known || a.Revision > 1) {
		// It may be there: an earlier attempt did not learn its end, or somebody else
		// posted an earlier revision.
		since := m.At
		if !known {
			since = a.Time
			if !a.First.IsZero() && a.First.Before(since) {
				since = a.First
			}
		}
		found, err := s.find(ctx, a.ID, since.Add(-skew))
		if err != nil {
			return err
		}
		if found.TS != "" {
			if err := s.store.Put(a.ID, found); err != nil {
				return err
			}
			m = found
		}
	}
	switch {
	case m.TS == "" && a.State == alert.Withdrawn:
		return nil // nobody has seen it
	case m.TS == "":
		return s.post(ctx, a, known)
	case m.Revision >= a.Revision:
		return nil
	}
	err := s.send(ctx, "chat.update", a, &m, slackgo.MsgOptionUpdate(m.TS))
	if errors.Is(err, errGone) {
		// Somebody deleted it, or it is another app's. What holds has to be seen.
		if err := s.store.Put(a.ID, Message{At: time.Now().UTC()}); err != nil {
			return err
		}
		return s.post(ctx, a, true)
	}
	return err
}

// post posts a new message. The intent is remembered first, unless it is already.
func (s *Sink) post(ctx context.Context, a *alert.Alert, intended bool) error {
	m := Message{At: time.Now().UTC()}
	if !intended {
		if err := s.store.Put(a.ID, m); err != nil {
			return err
		}
	}
	m.Channel = s.cfg.Channel
	return s.send(ctx, "chat.postMessage", a, &m, slackgo.MsgOptionPost())
}

// send posts or edits the message m and remembers it. Blocks that Slack does not
// take are sent again as plain text.
func (s *Sink) send(ctx context.Context, method string, a *alert.Alert, m *Message, how slackgo.MsgOption) error {
	err := s.try(ctx, method, a, s.render.message(a), m, how)
	if errors.Is(err, errContent) {
		s.metrics.plain.Inc()
		err = s.try(ctx, method, a, s.render.plainMessage(a), m, how)
	}
	if err != nil {
		return err
	}
	if m.Revision > 0 && a.State == alert.Open && m.Severity != "" && a.Severity.Rank() > m.Severity.Rank() {
		// Before the revision is remembered: whoever dies in between says it twice.
		if err := s.raise(ctx, a, *m); err != nil {
			return err
		}
	}
	m.Revision, m.Severity = a.Revision, a.Severity
	if a.State == alert.Withdrawn {
		m.Severity = ""
	}
	return s.store.Put(a.ID, *m)
}

// raise says below the message m that its severity has risen, since nobody is
// told of an edit; in the channel too when it is high now. A channel that takes
// no replies has the edit.
func (s *Sink) raise(ctx context.Context, a *alert.Alert, m Message) error {
	if err := s.messages.Wait(ctx); err != nil {
		return err
	}
	options := []slackgo.MsgOption{
		slackgo.MsgOptionPost(),
		slackgo.MsgOptionTS(m.TS),
		slackgo.MsgOptionText(s.render.raised(a, m.Severity), false),
		slackgo.MsgOptionParse(false),
		slackgo.MsgOptionDisableLinkUnfurl(),
		slackgo.MsgOptionDisableMediaUnfurl(),
	}
	if a.Severity.Rank() >= alert.High.Rank() {
		options = append(options, slackgo.MsgOptionBroadcast())
	}
	err := s.call(ctx, "chat.postMessage", func(api *slackgo.Client) error {
		_, _, _, err := api.SendMessageContext(ctx, m.Channel, options...)
		return err
	})
	if errors.Is(err, errRefused) || errors.Is(err, errContent) {
		return nil // it is counted
	}
	return err
}

func (s *Sink) try(ctx context.Context, method string, a *alert.Alert, content message, m *Message, how slackgo.MsgOption) error {
	if err := s.messages.Wait(ctx); err != nil {
		return err
	}
	return s.call(ctx, method, func(api *slackgo.Client) error {
		channel, ts, _, err := api.SendMessageContext(ctx, m.Channel,
			how,
			slackgo.MsgOptionText(content.text, false),
			slackgo.MsgOptionBlocks(content.blocks...),
			slackgo.MsgOptionMetadata(metadata(a)),
			slackgo.MsgOptionParse(false),
			slackgo.MsgOptionDisableLinkUnfurl(),
			slackgo.MsgOptionDisableMediaUnfurl(),
		)
		if err == nil {
			m.Channel, m.TS = channel, ts
		}
		return err
	})
}

// find looks for the message of the alert among those posted after since. The
// message is zero when there is none.
func (s *Sink) find(ctx context.Context, id alert.ID, since time.Time) (Message, error) {
	params := slackgo.GetConversationHistoryParameters{
		ChannelID: s.cfg.Channel, Limit: historyLimit, IncludeAllMetadata: true,
		Oldest: strconv.FormatInt(since.Unix(), 10) + ".000000",
	}
	for range historyPages {
		if err := s.lookups.Wait(ctx); err != nil {
			return Message{}, err
		}
		var page *slackgo.GetConversationHistoryResponse
		err := s.call(ctx, "conversations.history", func(api *slackgo.Client) (err error) {
			page, err = api.GetConversationHistoryContext(ctx, &params)
			return err
		})
		if err != nil {
			return Message{}, err
		}
		for _, m := range page.Messages {
			if m.Metadata.EventType != eventType || m.Metadata.EventPayload["alert_id"] != string(id) {
				continue
			}
			revision, _ := m.Metadata.EventPayload["revision"].(float64)
			severity, _ := m.Metadata.EventPayload["severity"].(string)
			return Message{Channel: s.cfg.Channel, TS: m.Timestamp, Revision: uint64(max(0, revision)), Severity: alert.Severity(severity), At: time.Now().UTC()}, nil
		}
		params.Cursor = page.ResponseMetaData.NextCursor
		if !page.HasMore || params.Cursor == "" {
			break
		}
	}
	return Message{}, nil
}

// call makes one call with the token of the moment, counts and classifies it.
func (s *Sink) call(ctx context.Context, method string, do func(api *slackgo.Client) error) error {
	token, err := s.cfg.Token.Value()
	if err != nil {
		s.metrics.calls.WithLabelValues(method, resultAuth).Inc()
		return err
	}
	err = do(slackgo.New(token, slackgo.OptionHTTPClient(s.http), slackgo.OptionAPIURL(s.cfg.APIURL)))
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
	result, err := s.classify(method, err)
	s.metrics.calls.WithLabelValues(method, result).Inc()
	return err
}
