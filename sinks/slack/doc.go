// Package slack is the sink that shows alerts in a Slack channel: one Block Kit
// message per alert, edited in place when the alert is amended or withdrawn.
//
// It owns the layout of the message, the pace of the channel, and the memory of
// which message shows which alert. It is the only home of slack-go. It refuses
// buttons and commands: it writes and, in doubt, reads the channel's history.
// cmd/internal/app makes it and runs it behind a sinks.Runner.
//
// The app needs the bot scopes chat:write and, to look into the history,
// channels:history or groups:history (im:history for a direct message), and
// has to be a member of the channel.
//
// # Design, 2026-11
//
// Posting is not idempotent, and an answer that never came does not say whether
// the message is there. So the intent to post is put into the [Store] before the
// call, and the message's ts after it. Whoever finds an intent without a ts looks
// into conversations.history for a message whose metadata names the alert before
// posting again. The same is done for an amendment of an alert that the store
// does not know, as after a lost disk or when another replica posted it.
//
// The retries of slack-go stay off: sinks.Runner retries, and it must come back
// through the look into the history. The pace is ours, one message a second with
// bursts of three, which is what Slack allows per channel. A Retry-After is
// honoured. A 429 without it is the message limit of the workspace, which
// knocking does not lift: the sink comes back after minutes.
//
// Nobody is told of an edit. So an edit that raises the severity is followed by a
// reply below the message, which is shown in the channel as well from high
// upwards. An alert that is withdrawn before anybody saw it is not shown: while
// history is read, findings come and go within seconds.
//
// A message that Slack will not take for its blocks or length is sent once more
// as plain text: an alert must not be hidden by its decoration.
//
// What an attacker may have chosen reaches Slack only through renderer.text and
// renderer.code, which leave nothing that Slack would obey: no mention, link,
// emoji, emphasis or line end. The limits of the parts of a message add up to
// less than Slack's limit, so that no message has to be measured as a whole.
package slack
