package ssf

import _ "embed"

// example is a section of an input to start from, as Provider shows it.
//
//go:embed example.yaml
var example string
