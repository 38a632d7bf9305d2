// Package lenient reads the JSON of providers as it comes: numbers in strings,
// booleans in words, JSON within strings, five spellings of a time.
//
// It owns what has no provider's name on it: types that never fail to decode, so
// that one odd member costs that member alone, and the few helpers every
// normalizer needs (times, addresses, digests). It refuses to know any field; the
// packages of the providers do. They are its only callers.
package lenient
