// Package enginetest gives tests a real ClickHouse engine.
//
// It owns the decision between skip and failure where the engine library is
// absent. It is used by tests only: those of the store, of the application and
// of the command line.
package enginetest
