// Package geo says where an address is, and whose network it is in, for sources
// that do not.
//
// It owns the databases that the operator provides: files of MaxMind's format
// (GeoLite2 or GeoIP2 ASN, Country or City, or others of the same fields). It fills in
// what the provider left open and never changes what it said. It refuses to ship or
// fetch a database. The composition in cmd/internal/app puts it before the resolver of
// identities, so that what is stamped on an event at ingest is all that detection
// sees: a newer database changes no replay.
//
// The library is oschwald/maxminddb-golang, the reader that MaxMind's own clients
// use; its format is documented, its files are mapped into memory.
package geo
