package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"stepdown/ingest/event"
)

// directoryFile is the YAML form of the directory.
//
// A CSV file has the same fields as columns, named in its first line; identity
// is required, the others may be left out. Lists are separated by ";", an object
// is written source:tenant:id.
type directoryFile struct {
	Identities []person `yaml:"identities"`
}

// person is one identity of the directory.
type person struct {
	// Identity is the login that becomes the key.
	Identity string `yaml:"identity"`
	// Tier is privileged, break_glass, service, shared, or empty.
	Tier event.Tier `yaml:"tier"`
	// Populations are groups that rules and dashboards select by.
	Populations []string `yaml:"populations"`
	// Aliases are further logins.
	Aliases []string `yaml:"aliases"`
	// Objects are object ids; their identity is this one.
	Objects []personObject `yaml:"objects"`
}

// personObject is an object id of a person. An empty tenant stands for all.
type personObject struct {
	Source event.Source `yaml:"source"`
	Tenant string       `yaml:"tenant"`
	ID     string       `yaml:"id"`
}

type digest [sha256.Size]byte

// Reload reads the directory again and reports whether it differs from what was
// in use. After an error the old one stays in use. Events that are resolved
// meanwhile see the old one or the new one, never a mixture.
func (r *Resolver) Reload() (changed bool, err error) {
	r.turn.Lock()
	defer r.turn.Unlock()
	old := r.snapshot.Load()
	next, err := read(old.cfg, old)
	if err != nil || next == old {
		return false, err
	}
	r.snapshot.Store(next)
	return true, nil
}

// read returns what cfg and the directory that it names mean; old, which may be
// nil, where that is the same.
func read(cfg Config, old *snapshot) (*snapshot, error) {
	b := newBuilder()
	b.cfg = cfg
	b.config(cfg)
	if path := cfg.Directory; path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read directory: %w", err)
		}
		b.directory = sha256.Sum256(data)
		if old != nil && old.directory == b.directory {
			return old, nil
		}
		b.readDirectory(path, data)
	} else if old != nil {
		return old, nil
	}
	if len(b.errs) > 0 {
		return nil, fmt.Errorf("read directory: %w", errors.Join(cut(b.errs)...))
	}
	return &b.snapshot, nil
}

// maxErrors bounds what a reader has to look at: a file of the wrong kind is
// wrong in every line.
const maxErrors = 10

func cut(errs []error) []error {
	if len(errs) <= maxErrors {
		return errs
	}
	return append(slices.Clone(errs[:maxErrors]), fmt.Errorf("and %d more", len(errs)-maxErrors))
}

func (b *builder) readDirectory(path string, data []byte) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".csv":
		b.readCSV(path, data)
	case ".yaml", ".yml":
		b.readYAML(path, data)
	default:
		b.wrong("%s: ends in %q; want .yaml, .yml or .csv", path, ext)
	}
	if len(b.errs) == 0 {
		b.checkChains(path)
	}
}

// add adds p to the snapshot; at returns where one of its fields stands.
func (b *builder) add(p person, at func(field string) place) {
	key := b.identity(at("identity"), p.Identity)
	if key == "" {
		return
	}
	if _, ok := b.entries[key]; ok {
		b.wrong("%s: %s is listed twice", at("identity"), key)
		return
	}
	if !p.Tier.Valid() {
		b.wrong("%s: %q is not a tier; want %s, %s, %s, %s or nothing", at("tier"), p.Tier,
			event.TierPrivileged, event.TierBreakGlass, event.TierService, event.TierShared)
	}
	populations := make([]string, 0, len(p.Populations))
	for _, name := range p.Populations {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(populations, name) {
			populations = append(populations, name)
		}
	}
	slices.Sort(populations)
	if len(populations) == 0 {
		populations = nil
	}
	b.entries[key] = entry{tier: p.Tier, populations: slices.Clip(populations)}
	for _, login := range p.Aliases {
		b.alias(at("aliases"), login, key)
	}
	for _, o := range p.Objects {
		b.object(at("objects"), Object{Source: o.Source, Tenant: o.Tenant, ID: o.ID}, key)
	}
}

func (b *builder) readYAML(path string, data []byte) {
	var dir directoryFile
	if err := yaml.UnmarshalWithOptions(data, &dir, yaml.Strict()); err != nil && !errors.Is(err, io.EOF) {
		b.wrong("%s%s", path, yamlPosition(err))
		return
	}
	parsed := sync.OnceValue(func() *ast.File {
		file, err := parser.ParseBytes(data, 0)
		if err != nil {
			return &ast.File{}
		}
		return file
	})
	for i, p := range dir.Identities {
		b.add(p, func(field string) place {
			return func() string { return yamlLine(path, parsed(), i, field) }
		})
	}
}

// yamlPosition turns the decoder's "[3:5] message\n source" into ":3:5: message".
func yamlPosition(err error) string {
	if at, ok := errors.AsType[yaml.Error](err); ok {
		if pos := at.GetToken().Position; pos != nil {
			return fmt.Sprintf(":%d:%d: %s", pos.Line, pos.Column, at.GetMessage())
		}
	}
	return ": " + err.Error()
}

// yamlLine finds the line of a field of the i-th identity, of the identity where it
// has none.
func yamlLine(path string, file *ast.File, i int, field string) string {
	for _, expr := range []string{fmt.Sprintf("$.identities[%d].%s", i, field), fmt.Sprintf("$.identities[%d]", i)} {
		p, err := yaml.PathString(expr)
		if err != nil {
			continue
		}
		if node, err := p.FilterFile(file); err == nil && node != nil {
			return fmt.Sprintf("%s:%d: %s", path, node.GetToken().Position.Line, field)
		}
	}
	return path
}

// csvColumns are the columns of a CSV directory.
var csvColumns = [...]string{"identity", "tier", "populations", "aliases", "objects"}

func (b *builder) readCSV(path string, data []byte) {
	r := csv.NewReader(bytes.NewReader(data))
	r.TrimLeadingSpace = true
	r.Comment = '#'
	header, err := r.Read()
	if err != nil {
		b.wrong("%s: read the line of column names: %w", path, err)
		return
	}
	column := map[string]int{}
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		if !slices.Contains(csvColumns[:], name) {
			b.wrong("%s:1: column %q is unknown; want %s", path, name, strings.Join(csvColumns[:], ", "))
		}
		if _, ok := column[name]; ok {
			b.wrong("%s:1: column %q is there twice", path, name)
		}
		column[name] = i
	}
	if _, ok := column["identity"]; !ok {
		b.wrong("%s:1: no column identity", path)
	}
	if len(b.errs) > 0 {
		return
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			if at, ok := errors.AsType[*csv.ParseError](err); ok {
				b.wrong("%s:%d: %w", path, at.Line, at.Err)
			} else {
				b.wrong("%s: %w", path, err)
			}
			if errors.Is(err, csv.ErrFieldCount) {
				continue // the reader stands at the next row
			}
			return
		}
		line, _ := r.FieldPos(0)
		at := func(field string) place { return literally(fmt.Sprintf("%s:%d: %s", path, line, field)) }
		get := func(name string) string {
			if i, ok := column[name]; ok {
				return strings.TrimSpace(row[i])
			}
			return ""
		}
		p := person{
			Identity:    get("identity"),
			Tier:        event.Tier(strings.ToLower(get("tier"))),
			Populations: list(get("populations")),
			Aliases:     list(get("aliases")),
		}
		for _, s := range list(get("objects")) {
			first, last := strings.IndexByte(s, ':'), strings.LastIndexByte(s, ':')
			if first == last {
				b.wrong("%s: %q; want source:tenant:id", at("objects"), s)
				continue
			}
			p.Objects = append(p.Objects, personObject{Source: event.Source(s[:first]), Tenant: s[first+1 : last], ID: s[last+1:]})
		}
		b.add(p, at)
	}
}

// list splits the list in one CSV field.
func list(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ";") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
