// Package ingesttest holds the conformance suite of ingest.Normalizer: what the
// pipeline relies on and the type system cannot say.
//
// It owns the checks that are the same for every provider; what a provider's
// fields mean is tested beside its normalizer. The tests of the provider
// packages call it, nothing else does.
package ingesttest
