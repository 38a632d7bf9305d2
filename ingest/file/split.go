package file

import (
	"io"

	"stepdown/ingest"
)

// Split returns the records in data, a whole body of JSON: one value, an array, one
// value a line, an envelope of a provider. Each record is like, with its bytes; what
// cannot be read as one carries Err. A body without any value gives none.
func Split(data []byte, like ingest.Record) []ingest.Record {
	s := newSplitter(0, 1, inNothing, nil)
	s.write(data)
	var out []ingest.Record
	for {
		v, ok := s.next(io.EOF)
		if !ok {
			return out
		}
		values := [][]byte{v.data}
		if v.err == nil {
			values = unwrap(v.data)
		}
		for _, value := range values {
			r := like
			r.Data, r.Err = append([]byte(nil), value...), v.err
			out = append(out, r)
		}
	}
}
