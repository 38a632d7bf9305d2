package identity

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"stepdown/ingest/event"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func resolver(t *testing.T, cfg Config) *Resolver {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var testConfig = Config{
	Domains: []Domain{
		{Canonical: "example.com", Equivalent: []string{"example.org", "corp.example.com", "CORP", "münchen.example"}},
	},
	BareLogins: []BareLogin{
		{Source: "duo", Domain: "example.org"},
		{Source: "duo", Tenant: "api-2.example.net", Domain: "example.net"},
	},
	Aliases: []Alias{
		{Identity: "ana@example.com", Logins: []string{"a.perez@example.org", "ana-admin", "github::ana-p", "okta:dev.example.com:00uDev"}},
	},
	Objects: []Object{
		{Source: "okta", Tenant: "acme.example.com", ID: "00uAbC", Identity: "ana@example.com"},
		{Source: "entra", ID: "6F9619FF-8B86-D011-B42D-00C04FC964FF", Identity: "ben@example.org"},
	},
}

func TestResolveNames(t *testing.T) {
	for _, tt := range []struct {
		name    string
		subject event.Principal
		source  event.Source
		tenant  string
		want    event.Key
	}{
		{name: "plain", subject: event.Principal{Name: "ana@example.com"}, want: "ana@example.com"},
		{name: "case and space", subject: event.Principal{Name: "  Ana@Example.COM\t"}, want: "ana@example.com"},
		{name: "equivalent domain", subject: event.Principal{Name: "zoe@example.org"}, want: "zoe@example.com"},
		{name: "other domain", subject: event.Principal{Name: "zoe@example.net"}, want: "zoe@example.net"},
		{name: "subdomain is not its parent", subject: event.Principal{Name: "zoe@x.example.com"}, want: "zoe@x.example.com"},
		{name: "trailing dot", subject: event.Principal{Name: "zoe@example.com."}, want: "zoe@example.com"},
		{name: "full width", subject: event.Principal{Name: "ｚｏｅ＠ｅｘａｍｐｌｅ．ｃｏｍ"}, want: "zoe@example.com"},
		{name: "decomposed accent", subject: event.Principal{Name: "zoe\u0301@example.com"}, want: "zoé@example.com"},
		{name: "composed accent", subject: event.Principal{Name: "ZOÉ@example.com"}, want: "zoé@example.com"},
		{name: "zero width", subject: event.Principal{Name: "z\u200boe@example.com"}, want: "zoe@example.com"},
		{name: "look-alike stays apart", subject: event.Principal{Name: "zо\u0435@example.com"}, want: "zо\u0435@example.com"},
		{name: "unicode domain", subject: event.Principal{Name: "zoe@bücher.example"}, want: "zoe@xn--bcher-kva.example"},
		{name: "ascii domain", subject: event.Principal{Name: "zoe@XN--BCHER-KVA.example"}, want: "zoe@xn--bcher-kva.example"},
		{name: "equivalent unicode domain", subject: event.Principal{Name: "zoe@xn--mnchen-3ya.example"}, want: "zoe@example.com"},
		{name: "entra guest", subject: event.Principal{Name: "zoe_smith_example.net#EXT#@tenant.onmicrosoft.com"}, want: "zoe_smith@example.net"},
		{name: "entra guest of an equivalent domain", subject: event.Principal{Name: "zoe_example.org#EXT#@tenant.onmicrosoft.com"}, want: "zoe@example.com"},
		{name: "guest mark without a domain", subject: event.Principal{Name: "zoe#EXT#@tenant.example.net"}, want: "zoe#ext#@tenant.example.net"},
		{name: "domain backslash user", subject: event.Principal{Name: `CORP\Zoe`}, want: "zoe@example.com"},
		{name: "unknown netbios domain", subject: event.Principal{Name: `LAB\Zoe`}, want: "zoe@lab"},
		{name: "alias", subject: event.Principal{Name: "A.Perez@example.org"}, want: "ana@example.com"},
		{name: "alias by equivalent domain", subject: event.Principal{Name: "a.perez@corp.example.com"}, want: "ana@example.com"},
		{name: "bare alias of any source", subject: event.Principal{Name: "ANA-Admin"}, source: "aws", want: "ana@example.com"},
		{name: "scoped alias", subject: event.Principal{Name: "ana-p"}, source: "github", want: "ana@example.com"},
		{name: "scoped alias is not of another source", subject: event.Principal{Name: "ana-p"}, source: "aws", want: "aws::ana-p"},
		{name: "scoped alias of an id", subject: event.Principal{ID: "00uDev"}, tenant: "dev.example.com", want: "ana@example.com"},
		{name: "bare login", subject: event.Principal{Name: "Octocat"}, source: "github", tenant: "Acme", want: "github:acme:octocat"},
		{name: "bare login that is completed", subject: event.Principal{Name: "Zoe"}, source: "duo", tenant: "api-1", want: "zoe@example.com"},
		{name: "bare login of the tenant", subject: event.Principal{Name: "zoe"}, source: "duo", tenant: "API-2.example.net", want: "zoe@example.net"},
		{name: "object id", subject: event.Principal{ID: "00uZ"}, tenant: "acme.example.com", want: "okta:acme.example.com:00uZ"},
		{name: "object id of a guid", subject: event.Principal{ID: "AAAAAAAA-8B86-D011-B42D-00C04FC964FF"}, source: "entra", tenant: "t", want: "entra:t:aaaaaaaa-8b86-d011-b42d-00c04fc964ff"},
		{name: "known object id", subject: event.Principal{ID: "00uAbC"}, tenant: "ACME.example.com", want: "ana@example.com"},
		{name: "known object id wins over the name", subject: event.Principal{ID: "00uAbC", Name: "renamed@example.com"}, tenant: "acme.example.com", want: "ana@example.com"},
		{name: "known object id of another tenant", subject: event.Principal{ID: "00uAbC"}, tenant: "else", want: "okta:else:00uAbC"},
		{name: "known object id of any tenant", subject: event.Principal{ID: "6f9619ff-8b86-d011-b42d-00c04fc964ff"}, source: "entra", tenant: "t", want: "ben@example.com"},
		{name: "name unknown, id given", subject: event.Principal{ID: "00uZ", Name: "unknown"}, tenant: "t", want: "okta:t:00uZ"},
		{name: "id unknown, name given", subject: event.Principal{ID: "unknown", Name: "zoe@example.com"}, want: "zoe@example.com"},
		{name: "nobody", subject: event.Principal{ID: "unknown", Name: " "}},
		{name: "null guid", subject: event.Principal{ID: "00000000-0000-0000-0000-000000000000"}},
		{name: "nothing"},
		{name: "absurdly long", subject: event.Principal{Name: strings.Repeat("x", 1000) + "@example.com"}},
		{name: "only at signs", subject: event.Principal{Name: "@@"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.source == "" {
				tt.source = "okta"
			}
			e := event.Event{Source: tt.source, Tenant: tt.tenant, Kind: event.SignIn, Subject: tt.subject}
			err := resolver(t, testConfig).Resolve(&e)
			if (tt.want == "") != errors.Is(err, errNoIdentity) || tt.want != "" && err != nil {
				t.Errorf("error %v for key %q", err, tt.want)
			}
			if e.Key != tt.want || e.Subject.Key != tt.want {
				t.Errorf("key %q, subject %q, want %q", e.Key, e.Subject.Key, tt.want)
			}
			if e.Subject.Name != tt.subject.Name || e.Subject.ID != tt.subject.ID {
				t.Errorf("what was logged has changed: %+v", e.Subject)
			}
		})
	}
}

func TestResolveSubjectAndActor(t *testing.T) {
	ana, ben := event.Principal{Name: "Ana@example.com"}, event.Principal{Name: "Ben@example.com"}
	app := event.Principal{ID: "app1", Type: "service"}
	for _, tt := range []struct {
		name           string
		kind           event.Kind
		subject, actor event.Principal
		want, actorKey event.Key
	}{
		{name: "the subject, not the help desk", kind: event.AuthenticatorsReset, subject: ana, actor: ben, want: "ana@example.com", actorKey: "ben@example.com"},
		{name: "only an actor", kind: event.AuthenticatorsReset, actor: ben, actorKey: "ben@example.com"},
		{name: "policy of nobody", kind: event.PolicyChange, want: "tenant:okta:acme"},
		{name: "policy by an actor", kind: event.PolicyChange, actor: ben, want: "ben@example.com", actorKey: "ben@example.com"},
		{name: "policy about a user", kind: event.PolicyChange, subject: ana, actor: ben, want: "ana@example.com", actorKey: "ben@example.com"},
		{name: "credential of an app", kind: event.AppCredential, subject: app, actor: ben, want: "ben@example.com", actorKey: "ben@example.com"},
		{name: "credential of an app by nobody", kind: event.AppCredential, subject: app, want: "tenant:okta:acme"},
		{name: "trust", kind: event.TrustChange, want: "tenant:okta:acme"},
		{name: "logging", kind: event.LoggingChange, want: "tenant:okta:acme"},
		{name: "app", kind: event.AppChange, want: "tenant:okta:acme"},
		{name: "service signs in", kind: event.SignIn, subject: app, want: "okta:acme:app1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := event.Event{Source: "okta", Tenant: "Acme", Kind: tt.kind, Subject: tt.subject, Actor: tt.actor}
			if err := resolver(t, Config{}).Resolve(&e); (err != nil) != (tt.want == "") {
				t.Errorf("Resolve: %v", err)
			}
			if e.Key != tt.want || e.Actor.Key != tt.actorKey {
				t.Errorf("key %q, actor %q, want %q, %q", e.Key, e.Actor.Key, tt.want, tt.actorKey)
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"domain without canonical", Config{Domains: []Domain{{Equivalent: []string{"a.example"}}}}, "domains[0].canonical: is empty"},
		{"domain without equivalents", Config{Domains: []Domain{{Canonical: "a.example"}}}, "domains[0].equivalent: is empty"},
		{"domain that means itself", Config{Domains: []Domain{{Canonical: "a.example", Equivalent: []string{"A.example"}}}}, "domains[0].equivalent[0]: a.example is its own"},
		{"domain that means two", Config{Domains: []Domain{{"a.example", []string{"c.example"}}, {"b.example", []string{"c.example"}}}}, "domains[1].equivalent[0]: c.example means a.example already"},
		{"domains in a chain", Config{Domains: []Domain{{"a.example", []string{"b.example"}}, {"b.example", []string{"c.example"}}}}, "c.example means b.example, which means a.example"},
		{"bare login without domain", Config{BareLogins: []BareLogin{{Source: "duo"}}}, "bare_logins[0]: want a source and a domain"},
		{"bare login with two domains", Config{BareLogins: []BareLogin{{Source: "duo", Domain: "a.example"}, {Source: "duo", Domain: "b.example"}}}, "bare_logins[1]: duo is given the domains"},
		{"alias of nobody", Config{Aliases: []Alias{{Logins: []string{"x@a.example"}}}}, `aliases[0].identity: "" names nobody`},
		{"alias without logins", Config{Aliases: []Alias{{Identity: "x@a.example"}}}, "aliases[0].logins: is empty"},
		{"alias of two", Config{Aliases: []Alias{{"x@a.example", []string{"z@a.example"}}, {"y@a.example", []string{"Z@a.example"}}}}, "aliases[1].logins[0]: z@a.example is a login of x@a.example already (aliases[0].logins[0])"},
		{"aliases in a chain", Config{Aliases: []Alias{{"x@a.example", []string{"y@a.example"}}, {"y@a.example", []string{"z@a.example"}}}}, "z@a.example is a login of y@a.example, which is a login of x@a.example"},
		{"object without id", Config{Objects: []Object{{Source: "okta", Identity: "x@a.example"}}}, "objects[0]: want a source and an id"},
		{"object of two", Config{Objects: []Object{{"okta", "", "1", "x@a.example"}, {"okta", "", "1", "y@a.example"}}}, "objects[1]: id 1 is of x@a.example already (objects[0])"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.cfg.Validate()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Validate = %v, want %q in it", err, tt.want)
			}
			if _, err := New(tt.cfg); err == nil {
				t.Error("New accepts it")
			}
		})
	}
	if err := testConfig.Validate(); err != nil {
		t.Errorf("the sound configuration: %v", err)
	}
}

const directoryYAML = `
identities:
  - identity: Ana@example.com
    tier: privileged
    populations: [finance, admins, finance]
    aliases: [a.perez@example.com]
    objects:
      - {source: okta, tenant: acme, id: 00uAna}
  - identity: emergency@example.com
    tier: break_glass
  - identity: ben@example.com
`

const directoryCSV = "\ufeffidentity,tier,populations,aliases,objects\r\n" +
	"Ana@example.com,privileged,finance; admins;finance,a.perez@example.com,okta:acme:00uAna\r\n" +
	"# the two below are synthetic too\r\n" +
	"emergency@example.com,break_glass,,,\r\n" +
	"\"ben@example.com\",,,,\r\n"

func TestDirectory(t *testing.T) {
	for name, text := range map[string]string{"directory.yaml": directoryYAML, "directory.csv": directoryCSV} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			write(t, path, text)
			r := resolver(t, Config{Directory: path})
			for _, tt := range []struct {
				subject     event.Principal
				key         event.Key
				tier        event.Tier
				populations []string
			}{
				{event.Principal{Name: "ana@example.com"}, "ana@example.com", event.TierPrivileged, []string{"admins", "finance"}},
				{event.Principal{Name: "a.perez@example.com"}, "ana@example.com", event.TierPrivileged, []string{"admins", "finance"}},
				{event.Principal{ID: "00uAna"}, "ana@example.com", event.TierPrivileged, []string{"admins", "finance"}},
				{event.Principal{Name: "emergency@example.com"}, "emergency@example.com", event.TierBreakGlass, nil},
				{event.Principal{Name: "ben@example.com"}, "ben@example.com", "", nil},
				{event.Principal{Name: "else@example.com"}, "else@example.com", "", nil},
			} {
				e := event.Event{Source: "okta", Tenant: "acme", Kind: event.SignIn, Subject: tt.subject, Tier: "shared", Populations: []string{"old"}}
				if err := r.Resolve(&e); err != nil {
					t.Errorf("%+v: %v", tt.subject, err)
				}
				if e.Key != tt.key || e.Tier != tt.tier || !cmp.Equal(e.Populations, tt.populations) {
					t.Errorf("%+v: key %q, tier %q, populations %q", tt.subject, e.Key, e.Tier, e.Populations)
				}
			}
		})
	}
}

func TestDirectoryErrors(t *testing.T) {
	for _, tt := range []struct {
		name, file, text string
		want             []string
	}{
		{"unknown key", "d.yaml", "identities:\n  - identity: a@example.com\n    teir: privileged\n", []string{"d.yaml:3:5: unknown field \"teir\""}},
		{"broken yaml", "d.yaml", "identities:\n  - identity: [a\n", []string{"d.yaml:"}},
		{"unknown tier", "d.yaml", "identities:\n  - identity: a@example.com\n  - identity: b@example.com\n    tier: boss\n", []string{`d.yaml:4: tier: "boss" is not a tier; want privileged, break_glass, service, shared`}},
		{"nobody", "d.yaml", "identities:\n  - tier: privileged\n", []string{`d.yaml:2: identity: "" names nobody`}},
		{"listed twice", "d.yaml", "identities:\n  - identity: a@example.com\n  - identity: A@example.com\n", []string{"d.yaml:3: identity: a@example.com is listed twice"}},
		{"alias of two", "d.yaml", "identities:\n  - identity: a@example.com\n    aliases: [x@example.com]\n  - identity: b@example.com\n    aliases: [x@example.com]\n", []string{"d.yaml:5: aliases: x@example.com is a login of a@example.com already (", "d.yaml:3: aliases)"}},
		{"listed and alias", "d.yaml", "identities:\n  - identity: a@example.com\n    aliases: [b@example.com]\n  - identity: b@example.com\n", []string{"b@example.com is listed, and is a login of a@example.com"}},
		{"unknown extension", "d.json", "{}", []string{`d.json: ends in ".json"; want .yaml, .yml or .csv`}},
		{"unknown column", "d.csv", "identity,teir\n", []string{`d.csv:1: column "teir" is unknown; want identity, tier, populations, aliases, objects`}},
		{"no identity column", "d.csv", "tier\n", []string{"d.csv:1: no column identity"}},
		{"empty csv", "d.csv", "", []string{"d.csv: read the line of column names"}},
		{"several rows", "d.csv", "identity,tier\na@example.com,boss\nb@example.com\n,shared\n", []string{
			`d.csv:2: tier: "boss" is not a tier`, "d.csv:3: wrong number of fields", `d.csv:4: identity: "" names nobody`}},
		{"quote", "d.csv", "identity\n\"a@example.com\n", []string{"d.csv:"}},
		{"object", "d.csv", "identity,objects\na@example.com,00u1\n", []string{`d.csv:2: objects: "00u1"; want source:tenant:id`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), tt.file)
			write(t, path, tt.text)
			_, err := New(Config{Directory: path})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q, want %q in it", err, want)
				}
			}
		})
	}
	if _, err := New(Config{Directory: filepath.Join(t.TempDir(), "none.yaml")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is missing: %v", err)
	}
}

func TestDirectoryErrorsAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.csv")
	write(t, path, "identity,tier\n"+strings.Repeat("x@example.com,boss\n", 1000))
	_, err := New(Config{Directory: path})
	if err == nil || strings.Count(err.Error(), "\n") > maxErrors || !strings.Contains(err.Error(), "more") {
		t.Errorf("error %v", err)
	}
}

func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.csv")
	write(t, path, "identity,tier\nana@example.com,privileged\n")
	r := resolver(t, Config{Directory: path})
	tier := func() event.Tier {
		e := event.Event{Source: "okta", Kind: event.SignIn, Subject: event.Principal{Name: "ana@example.com"}}
		if err := r.Resolve(&e); err != nil {
			t.Fatal(err)
		}
		return e.Tier
	}
	for _, step := range []struct {
		name    string
		text    string
		remove  bool
		changed bool
		err     bool
		want    event.Tier
	}{
		{name: "the same", text: "identity,tier\nana@example.com,privileged\n", want: event.TierPrivileged},
		{name: "new", text: "identity,tier\nana@example.com,break_glass\n", changed: true, want: event.TierBreakGlass},
		{name: "broken", text: "identity,tier\nana@example.com,boss\n", err: true, want: event.TierBreakGlass},
		{name: "still broken", text: "identity,tier\nana@example.com,boss\n", err: true, want: event.TierBreakGlass},
		{name: "gone", remove: true, err: true, want: event.TierBreakGlass},
		{name: "back", text: "identity,tier\nana@example.com,break_glass\n", want: event.TierBreakGlass},
		{name: "without", text: "identity\nben@example.com\n", changed: true, want: event.TierStandard},
	} {
		if step.remove {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		} else {
			write(t, path, step.text)
		}
		changed, err := r.Reload()
		if changed != step.changed || (err != nil) != step.err {
			t.Errorf("%s: Reload = %v, %v", step.name, changed, err)
		}
		if got := tier(); got != step.want {
			t.Errorf("%s: tier %q, want %q", step.name, got, step.want)
		}
	}
}

func TestReloadWhileResolving(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.csv")
	texts := []string{
		"identity,tier,populations\nana@example.com,privileged,privileged\n",
		"identity,tier,populations\nana@example.com,shared,shared\n",
	}
	write(t, path, texts[0])
	r := resolver(t, Config{Directory: path})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				e := event.Event{Source: "okta", Kind: event.SignIn, Subject: event.Principal{Name: "ana@example.com"}}
				if err := r.Resolve(&e); err != nil || len(e.Populations) != 1 || e.Populations[0] != string(e.Tier) {
					t.Errorf("tier %q with populations %q: %v", e.Tier, e.Populations, err)
					return
				}
			}
		})
	}
	for i := range 50 {
		write(t, path+".new", texts[i%2])
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Reload(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}

// names draws logins in the forms that sources write, and noise.
func names() *rapid.Generator[string] {
	letters := []rune("abzABZ0._-+éÉßΣσςЖж@\\ #'\u200b\u00a0ｅ")
	return rapid.OneOf(
		rapid.String(),
		rapid.StringOfN(rapid.SampledFrom(letters), 0, 20, -1),
		rapid.Custom(func(t *rapid.T) string {
			user := rapid.StringOfN(rapid.SampledFrom([]rune("abAB_é")), 1, 6, -1).Draw(t, "user")
			domain := rapid.SampledFrom([]string{"example.com", "EXAMPLE.org", "Corp", "münchen.example", "x.example.", ""}).Draw(t, "domain")
			switch rapid.IntRange(0, 3).Draw(t, "form") {
			case 0:
				return user + "@" + domain
			case 1:
				return domain + `\` + user
			case 2:
				return user + "_" + domain + "#EXT#@tenant.example.net"
			}
			return user
		}),
	)
}

func TestCanonicalIsIdempotent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := names().Draw(rt, "name")
		once := canonicalName(name)
		if twice := canonicalName(once); twice != once {
			rt.Fatalf("%q → %q → %q", name, once, twice)
		}
	})
}

func TestKeyIgnoresCaseAndSpace(t *testing.T) {
	r := resolver(t, testConfig)
	rapid.Check(t, func(rt *rapid.T) {
		name := names().Draw(rt, "name")
		if strings.ContainsAny(name, "İıſKÅ") || strings.ToLower(strings.ToUpper(name)) != strings.ToLower(name) { //nolint:staticcheck // EqualFold would equate what ToLower tells apart
			return // letters whose upper case is another letter's
		}
		key := func(name string) event.Key {
			e := event.Event{Source: "duo", Tenant: "t", Kind: event.SignIn, Subject: event.Principal{Name: name}}
			_ = r.Resolve(&e) // nobody is a key of its own: ""
			return e.Key
		}
		want := key(name)
		for _, other := range []string{strings.ToUpper(name), strings.ToLower(name), " " + name + "\n"} {
			if got := key(other); got != want {
				rt.Fatalf("%q has key %q, %q has %q", name, want, other, got)
			}
		}
	})
}

// What is resolved once, and what is resolved again under its own key, keeps
// its key: re-keying a topic is safe.
func TestResolveIsIdempotent(t *testing.T) {
	r := resolver(t, testConfig)
	rapid.Check(t, func(rt *rapid.T) {
		e := event.Event{
			Source:  rapid.SampledFrom([]event.Source{"okta", "duo", "github"}).Draw(rt, "source"),
			Tenant:  rapid.SampledFrom([]string{"", "Acme.example.com"}).Draw(rt, "tenant"),
			Kind:    rapid.SampledFrom(event.Kinds()).Draw(rt, "kind"),
			Subject: event.Principal{Name: names().Draw(rt, "name"), ID: rapid.SampledFrom([]string{"", "unknown", "00uAbC", "x"}).Draw(rt, "id")},
			Actor:   event.Principal{Name: rapid.SampledFrom([]string{"", "ben@example.org"}).Draw(rt, "actor")},
		}
		errOnce := r.Resolve(&e)
		once := e
		errTwice := r.Resolve(&e)
		if diff := cmp.Diff(once, e); diff != "" || (errOnce == nil) != (errTwice == nil) {
			rt.Fatalf("errors %v, %v; events (-once +twice):\n%s", errOnce, errTwice, diff)
		}
		if (e.Key == "") != (errOnce != nil) {
			rt.Fatalf("key %q with error %v", e.Key, errOnce)
		}
		if len(e.Key) > event.MaxIDLen {
			rt.Fatalf("key of %d bytes", len(e.Key))
		}
		if strings.Contains(string(once.Subject.Key), "@") {
			again := event.Event{Source: "okta", Kind: event.SignIn, Subject: event.Principal{Name: string(once.Subject.Key)}}
			if err := r.Resolve(&again); err != nil || again.Key != once.Subject.Key {
				rt.Fatalf("key %q has the key %q: %v", once.Subject.Key, again.Key, err)
			}
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	path := filepath.Join(b.TempDir(), "d.csv")
	var text strings.Builder
	text.WriteString("identity,tier,populations\n")
	for i := range 10_000 {
		fmt.Fprintf(&text, "user%d@example.com,privileged,finance\n", i)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg := testConfig
	cfg.Directory = path
	r, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	for _, bb := range []struct{ name, login string }{
		{"canonical", "user5000@example.com"},
		{"upper_case", "User5000@Example.com"},
		{"equivalent_domain", "user5000@example.org"},
		{"unicode", "zoé@example.com"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			e := event.Event{Source: "okta", Tenant: "acme.example.com", Kind: event.SignIn,
				Subject: event.Principal{ID: "00u1", Name: bb.login}, Actor: event.Principal{ID: "00u1", Name: bb.login}}
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Resolve(&e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The work of reading a directory grows as the directory does.
func TestALargeDirectoryIsReadInLinearWork(t *testing.T) {
	allocations := func(people int) float64 {
		var yaml strings.Builder
		yaml.WriteString("identities:\n")
		for i := range people {
			fmt.Fprintf(&yaml, "  - identity: user%d@example.com\n    aliases: [u%d@example.com]\n    objects: [{source: okta, tenant: example.okta.com, id: 00u%d}]\n", i, i, i)
		}
		path := filepath.Join(t.TempDir(), "directory.yaml")
		if err := os.WriteFile(path, []byte(yaml.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return testing.AllocsPerRun(1, func() {
			if _, err := New(Config{Directory: path}); err != nil {
				t.Fatal(err)
			}
		})
	}
	if small, large := allocations(50), allocations(400); large > 16*small {
		t.Errorf("8 times the people take %.0f times the allocations", large/small)
	}
}
