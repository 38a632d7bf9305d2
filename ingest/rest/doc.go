// Package rest calls the HTTP APIs of providers the way their operators wish to
// be called.
//
// It owns credentials on requests, the budget of requests, the providers' rate
// limits (429, Retry-After and their own headers), repetition of what failed for
// the moment, limits of time and size, and errors that name the request without
// any secret in it: queries, credentials and bodies are never part of one. It
// refuses to know any provider and to keep a position; ingest/poll and the
// packages of the providers do. They are its callers.
//
// # Design, 2026-11
//
// A throttled request waits here, as the provider says: it is in the middle of a
// page, and to hand the error up would only make the collector wait by a rule of its
// own. Where that comes to more than ten minutes it is an error all the same, so that
// an input that stands still is not silent. Anything else is tried three times and then handed up, where
// it is logged and seen on /-/ready. Waiting goes through [ingest.Runtime], so
// that tests see it and do not wait.
//
// golang.org/x/oauth2 (token exchange and refresh) and go-jose (signed assertions)
// are the libraries that Go's ecosystem keeps for these; golang.org/x/time/rate is
// the budget.
package rest
