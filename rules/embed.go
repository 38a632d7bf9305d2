package rules

import (
	"embed"
	"io/fs"
)

//go:embed */*.yaml
var files embed.FS

// Files returns the rule files.
func Files() fs.FS { return files }
