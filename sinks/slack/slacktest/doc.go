// Package slacktest is a Slack workspace in a process: the methods of the Web API
// that the sink calls, as Slack documents them, with one channel.
//
// It owns the checks that Slack makes (token, channel, limits of blocks) and the
// ways in which Slack fails. Tests of sinks/slack and of the whole program use
// it. It does not import slack-go, so that a mistake there is not repeated here.
package slacktest
