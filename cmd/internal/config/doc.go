// Package config is the configuration file: one YAML file, decoded into one
// struct that is made of the packages' own Config types.
//
// It owns reading, strictness and the way errors are told: file, line, column
// and YAML path, and what would be right. It refuses to have settings of its own
// for anything that a package can say itself, and it never holds a secret:
// those are references (ingest/secret) that the packages read when they need
// them. cmd/internal/cli reads it, cmd/internal/app is built from it.
package config
