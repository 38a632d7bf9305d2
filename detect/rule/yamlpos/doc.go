// Package yamlpos reads YAML that people write by hand, strictly: every value
// knows where it stands, so that an error names file, line and column, down to a
// character inside a text. It refuses what rule files do not need (anchors,
// aliases, tags, several documents). It knows no rules:
// detect/rule reads rule files with it, and detect/ruletest the tests in them.
package yamlpos
