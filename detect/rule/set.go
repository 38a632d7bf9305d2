package rule

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"stepdown/detect/rule/yamlpos"
	"stepdown/ingest/event"
)

// Set is the rules of a pack. It does not change and is safe for concurrent use.
type Set struct {
	vocabulary *vocabulary
	rules      []*Rule
	byKind     map[event.Kind][]*Rule
	// attempts are the rules that judge a sign-in as a whole.
	attempts []*Rule
}

// NewSet returns the set of rules. Two rules with one id are an error, and so is
// a rule that asks for the findings of one that is not there.
func NewSet(rules ...*Rule) (*Set, error) {
	s := &Set{vocabulary: newVocabulary(), rules: slices.Clone(rules), byKind: map[event.Kind][]*Rule{}}
	slices.SortStableFunc(s.rules, func(a, b *Rule) int { return cmp.Compare(a.ID, b.ID) })
	var errs []error
	for i, r := range s.rules {
		if i > 0 && s.rules[i-1].ID == r.ID {
			errs = append(errs, fmt.Errorf("%s: id %s is taken by %s", r.File, r.ID, s.rules[i-1].File))
		}
		for _, m := range r.mentioned {
			if !slices.ContainsFunc(s.rules, func(o *Rule) bool { return matchID(m.id, o.ID) }) {
				errs = append(errs, m.at.Errorf("found asks for %s, which is no rule here%s", m.id, yamlpos.DidYouMean(m.id, s.ids())))
			}
		}
		if r.Status == Deprecated {
			continue
		}
		if r.PerAttempt() && slices.Contains(r.On, event.SignIn) {
			s.attempts = append(s.attempts, r)
		}
		for _, k := range r.On {
			if !slices.Contains(s.byKind[k], r) {
				s.byKind[k] = append(s.byKind[k], r)
			}
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// ErrNone is returned by Load where there is no rule file: a pack without rules
// finds nothing and looks as if nothing had happened.
var ErrNone = errors.New("no rule file (*.yaml) here")

// Load reads every *.yaml file of fsys, at any depth, as one rule each. The error
// joins everything that is wrong in all of them.
func Load(fsys fs.FS) (*Set, error) {
	var rules []*Rule
	var errs []error
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".yaml" {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		r, err := Parse(name, data)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		rules = append(rules, r)
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("read rules: %w", err)
	case len(rules)+len(errs) == 0:
		return nil, ErrNone
	case len(errs) > 0:
		return nil, errors.Join(errs...)
	}
	return NewSet(rules...)
}

// For returns the rules that are asked about events of kind k, by id. Rules that
// build on the findings of others come after them when their id does.
func (s *Set) For(k event.Kind) []*Rule { return s.byKind[k] }

// Attempts returns those of For(event.SignIn) that judge a sign-in as a whole.
func (s *Set) Attempts() []*Rule { return s.attempts }

// All returns every rule by id, the deprecated ones too.
func (s *Set) All() []*Rule { return s.rules }

// Rule returns the rule with that id, nil when there is none.
func (s *Set) Rule(id string) *Rule {
	i := slices.IndexFunc(s.rules, func(r *Rule) bool { return r.ID == id })
	if i < 0 {
		return nil
	}
	return s.rules[i]
}

func (s *Set) ids() []string {
	ids := make([]string, len(s.rules))
	for i, r := range s.rules {
		ids[i] = r.ID
	}
	return ids
}
