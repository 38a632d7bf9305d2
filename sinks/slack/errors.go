package slack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	slackgo "github.com/slack-go/slack"

	"stepdown/sinks"
)

// Waits where Slack does not say how long.
const (
	// pause is for a rate limit that is told in the body.
	pause = 30 * time.Second
	// park is for the message limit of the workspace.
	park = 5 * time.Minute
)

// Errors that decide what is done next.
var (
	// errRefused: Slack will never take this message.
	errRefused = errors.New("refused by Slack")
	// errContent: Slack will never take the message as it is rendered.
	errContent = errors.New("content not taken by Slack")
	// errGone: the message to edit is not there, or not ours.
	errGone = errors.New("message cannot be edited")
)

// classify returns err, from a call of method, with what it means for the caller,
// and the result for the metric.
func (s *Sink) classify(method string, err error) (string, error) {
	if err == nil {
		return resultOK, nil
	}
	if limited, ok := errors.AsType[*slackgo.RateLimitedError](err); ok {
		return resultLimited, &sinks.LaterError{After: limited.RetryAfter, Err: fmt.Errorf("%s: Slack's rate limit is reached", method)}
	}
	if status, ok := errors.AsType[slackgo.StatusCodeError](err); ok {
		if status.Code == http.StatusTooManyRequests {
			return resultWorkspace, &sinks.LaterError{After: park, Err: fmt.Errorf("%s: Slack answers 429 without Retry-After: the message limit of the workspace is reached", method)}
		}
		return resultMoment, fmt.Errorf("%s: Slack answers %s", method, status.Status)
	}
	answer, ok := errors.AsType[slackgo.SlackErrorResponse](err)
	if !ok {
		if errors.Is(err, context.DeadlineExceeded) {
			return resultMoment, fmt.Errorf("%s: no answer from Slack in time: %w", method, err)
		}
		return resultMoment, fmt.Errorf("%s: %w", method, err)
	}
	code := answer.Err
	switch code {
	case "ratelimited", "rate_limited":
		return resultLimited, &sinks.LaterError{After: pause, Err: fmt.Errorf("%s: Slack's rate limit is reached", method)}
	case "message_limit_exceeded":
		return resultWorkspace, &sinks.LaterError{After: park, Err: fmt.Errorf("%s: the message limit of the workspace is reached", method)}
	case "missing_scope":
		return resultAuth, fmt.Errorf("%s: the Slack app lacks the scope %s: add it and install the app again", method, answer.Needed)
	case "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission", "not_allowed_token_type",
		"access_denied", "org_login_required", "team_access_not_granted", "ekm_access_denied", "two_factor_setup_required":
		return resultAuth, fmt.Errorf("%s: Slack does not accept the token (%s): put a valid bot token into %s; it is read again at the next attempt", method, code, s.cfg.Token)
	case "invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long":
		return resultRefused, fmt.Errorf("%s: %w: %s %q", method, errContent, code, answer.ResponseMetadata.Messages)
	case "message_not_found", "cant_update_message", "edit_window_closed":
		return resultGone, fmt.Errorf("%s: %w: %s", method, errGone, code)
	case "channel_not_found", "not_in_channel", "is_archived":
		// Not a refusal: the app is invited or the channel mended, and what was
		// raised meanwhile has to come.
		return resultMoment, fmt.Errorf("%s: Slack answers %s: channel %s has to exist and the app has to be a member (/invite it)", method, code, s.cfg.Channel)
	case "restricted_action", "restricted_action_read_only_channel", "restricted_action_non_threadable_channel", "restricted_action_thread_only_channel",
		"no_text", "invalid_arguments", "invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large", "metadata_must_be_sent_from_app":
		return resultRefused, fmt.Errorf("%s: %w: %s", method, errRefused, code)
	}
	return resultMoment, fmt.Errorf("%s: Slack answers %s", method, code)
}
