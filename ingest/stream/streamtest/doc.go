// Package streamtest gives tests a [stream.Client] with its topics, on a broker
// of their own in the test process, or on a real one.
//
// If the environment variable STEPDOWN_TEST_KAFKA names brokers, the same tests
// run against them, with topic names that no other test uses. Tests of other
// packages use it; nothing else may.
package streamtest
