// Package rules is the rules that are shipped: one YAML file each under the area it
// belongs to, with its tests inside. It owns the files; it refuses to read them,
// which detect/rule does, or to choose among them, which is configuration. The
// application loads them, and the command line lists and tests them.
package rules
