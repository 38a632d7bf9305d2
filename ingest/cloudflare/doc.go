// Package cloudflare reads the authentication log of Cloudflare Access.
//
// It owns what the fields of one record mean, of the REST API and of the Logpush
// dataset access_requests, and how the API is read by time. It refuses to know who
// a person is across sources (ingest/identity) and whether anything is wrong
// (detect). The composition in cmd/internal/app calls [Provider] and opens a
// [Config]; what Logpush writes is read by ingest/file.
//
// # What is verified
//
// The fields of both shapes, the parameters since, until, limit and direction, and
// that the log keeps six months (refusals a week) are from Cloudflare's
// documentation and clients. Unverified are: the values of connection beside
// onetimepin, user_id and app_name of the API, how late a record may be shown, and
// the header Ratelimit. No live account was met; the source was tested against a
// fake of the documented API.
//
// # Design, 2026-11
//
// A connection is the identity provider that proved the person: another source's
// affair, so the sign-in is federated. Only the one-time PIN is Cloudflare's own, a
// code by mail. The log does not tell a PIN that was typed from an app that was
// opened later in the same session of Access, so each such record counts as a
// proof. What the log cannot tell at all is which factor an identity provider
// asked for, and that a valid session went on: absence is no sign of anything.
//
// A record that is not allowed means that a policy said no, whatever was proved; its
// factor stays pending. Records without an e-mail address matched a policy that
// asks for no identity (a service token, an address, a certificate) and are no
// people's.
//
// The API and Logpush give a record the same id: ray, action and second. Rays come
// again over long times, and Logpush leaves out fractions of the second and, at
// times, the word login.
//
// The API has no cursor. It is walked by time, the oldest first, from a little
// before the newest record that was seen; a look ends when it brings nothing newer,
// so that no limit of the server's own can be taken for the end.
package cloudflare
