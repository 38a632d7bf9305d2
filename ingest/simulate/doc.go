// Package simulate is a company and its attackers, written as the logs that
// their identity providers would have kept: Okta's System Log (Identity Engine,
// and a Classic org of a company that was bought), Microsoft Entra sign-ins in
// the shape of the Event Hub, and Entra's audit log. `stepdown demo` shows the
// product on it, and tests run the whole pipeline over it.
//
// It owns the people, what they hold, where they are and what they do on which
// day ([Company]), the attacks planted among them and what is to be found of
// each ([Company.Plan]), the order in which the records arrive
// ([Company.Deliveries]), and their forms as a source ([Source]) and as log files
// ([Company.WriteFiles]). It refuses to know any normalizer, rule or detector:
// it writes what providers write, in their own words, so that what reads it is
// tested against them and not against itself. It is used by cmd/internal/app
// and by tests.
//
// Everything is synthetic: names are drawn from two short lists, domains are
// example.com and example.org, addresses and autonomous systems are from the
// ranges reserved for documentation (RFC 5737, RFC 3849, RFC 5398).
//
// # Design, 2026-11
//
// A company is a function of its [Config]. What spans days (who holds what since
// when, who travels, who loses a phone) is drawn once by [New]; a day of one
// person is then drawn from a generator of its own, seeded with the person and
// the day. So days can be made one after another and forgotten, a source can
// begin anywhere, and changing one habit leaves the others' days as they were.
//
// Ordinary life is made to be nearly right, which is what makes detection hard:
// passkey holders forget keys, phones are lost and replaced, people travel,
// mistype, tap the wrong button, and records arrive late, twice, out of order
// and half finished. It keeps one promise, which tests check: no holder of a
// phishing-resistant authenticator who is not attacked signs in with less from a
// device or a network that was not seen before.
package simulate
