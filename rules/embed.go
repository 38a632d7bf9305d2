// Package rules is the shipped rules: one YAML file each under its area, with its
// tests inside. It owns the files and nothing else; detect/rule reads them.
package rules

import (
	"embed"
	"io/fs"
)

//go:embed */*.yaml
var files embed.FS

// Files returns the rule files.
func Files() fs.FS { return files }
