package simulate

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"stepdown/ingest/event"
)

// The names of the files that WriteFiles makes.
const (
	FileOkta         = "okta.ndjson"
	FileEntraSignIns = "entra-signins.ndjson"
	FileEntraAudit   = "entra-audit.ndjson"
	FileDirectory    = "directory.yaml"
)

// WriteFiles writes the records as log files into dir, which must be there: one
// file for each log, one record a line, in the order of arrival; and the
// directory of the company beside them.
func (c *Company) WriteFiles(dir string) (err error) {
	files := map[string]*bufio.Writer{}
	for _, name := range []string{FileOkta, FileEntraSignIns, FileEntraAudit} {
		f, openErr := os.Create(filepath.Join(dir, name)) // the caller names the folder
		if openErr != nil {
			return fmt.Errorf("create log file: %w", openErr)
		}
		w := bufio.NewWriterSize(f, 1<<20)
		files[name] = w
		defer func() { err = errors.Join(err, w.Flush(), f.Close()) }()
	}
	for d := range c.Deliveries() {
		w := files[fileOf(d)]
		if _, err := w.Write(d.Record.Data); err != nil {
			return fmt.Errorf("write %s: %w", fileOf(d), err)
		}
		if err := w.WriteByte('\n'); err != nil {
			return fmt.Errorf("write %s: %w", fileOf(d), err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, FileDirectory), c.Directory(), 0o600); err != nil {
		return fmt.Errorf("write directory: %w", err)
	}
	return nil
}

func fileOf(d Delivery) string {
	switch {
	case d.Record.Source == event.Source("okta"):
		return FileOkta
	case d.Record.Stream == "audit":
		return FileEntraAudit
	}
	return FileEntraSignIns
}
