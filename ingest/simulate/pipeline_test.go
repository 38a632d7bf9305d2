package simulate_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/entra"
	"stepdown/ingest/event"
	"stepdown/ingest/identity"
	"stepdown/ingest/okta"
	"stepdown/ingest/simulate"
)

// life is a company as the normalizers read it.
type life struct {
	cfg    simulate.Config
	plan   map[string]simulate.Planted // by identity
	result ingest.Normalized
	// events of the last version of each record, by time.
	events []event.Event
}

func read(t *testing.T, cfg simulate.Config) life {
	t.Helper()
	c, err := simulate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), simulate.FileDirectory)
	if err := os.WriteFile(path, c.Directory(), 0o600); err != nil {
		t.Fatal(err)
	}
	resolver, err := identity.New(c.Identity(path))
	if err != nil {
		t.Fatal(err)
	}
	var records []ingest.Record
	for d := range c.Deliveries() {
		records = append(records, d.Record)
	}
	l := life{cfg: cfg, plan: map[string]simulate.Planted{}}
	for _, p := range c.Plan() {
		l.plan[p.Identity] = p
	}
	l.result = ingest.Normalize(records, map[event.Source]ingest.Normalizer{"okta": okta.New(), "entra": entra.New()}, resolver)
	last := map[string]int{}
	for _, e := range l.result.Events { // in the order of arrival
		id := string(e.Source) + e.ID
		if i, ok := last[id]; ok {
			l.events[i] = e
			continue
		}
		last[id] = len(l.events)
		l.events = append(l.events, e)
	}
	slices.SortStableFunc(l.events, func(a, b event.Event) int { return a.Time.Compare(b.Time) })
	return l
}

func TestDefaultCompany(t *testing.T) {
	l := read(t, simulate.DefaultConfig())
	t.Run("every record is read", func(t *testing.T) { everyRecordIsRead(t, l) })
	t.Run("ordinary life is quiet", func(t *testing.T) { quiet(t, l) })
	t.Run("attacks leave their traces", func(t *testing.T) { attacksLeaveTheirTraces(t, l) })
}

func everyRecordIsRead(t *testing.T, l life) {
	if n := len(l.result.Rejected); n != 3 {
		t.Errorf("%d records are rejected, want the 3 broken ones", n)
	}
	for _, r := range l.result.Rejected {
		if ingest.ReasonOf(r.Err) != ingest.MalformedSyntax {
			t.Errorf("%s: rejected as %v, want %s", r.Record.Origin, r.Err, ingest.MalformedSyntax)
		}
	}
	sum := ingest.Summary{}
	for _, c := range l.result.Summary {
		sum.Add(ingest.Summary{"": c})
	}
	total := sum[""]
	for reason, n := range total.Skipped {
		if reason != ingest.SkipIrrelevant && reason != ingest.SkipMachine || n > 200 {
			t.Errorf("%d records are skipped as %s", n, reason)
		}
	}
	for _, k := range []event.Kind{event.SignIn, event.FactorChallenge, event.AuthenticatorEnrolled, event.AuthenticatorRemoved,
		event.AuthenticatorsReset, event.PasswordChange, event.PasswordReset, event.RecoveryCredentialIssued, event.ConsentGrant,
		event.SessionActivity, event.SessionEnd, event.UserLifecycle} {
		if total.Events[k] == 0 {
			t.Errorf("no event of kind %s", k)
		}
	}
	tiers, people := map[event.Tier]map[event.Key]bool{}, map[event.Key]bool{}
	warned := map[string]int{}
	for _, e := range l.events {
		people[e.Key] = true
		if tiers[e.Tier] == nil {
			tiers[e.Tier] = map[event.Key]bool{}
		}
		tiers[e.Tier][e.Key] = true
		if !strings.Contains(string(e.Key), "@example.") || strings.Contains(string(e.Key), ":") {
			t.Errorf("event %s has the key %q, want a login of the company", e.ID, e.Key)
		}
		if e.Kind == event.SignIn && (e.Endpoint.IP == "" || e.Endpoint.ASN == 0 || len(e.Endpoint.Country) != 2 || e.UserAgent.OS == "") {
			t.Fatalf("sign-in %s lacks where it is from: %+v %+v", e.ID, e.Endpoint, e.UserAgent)
		}
		for _, w := range e.Warnings {
			warned[e.Action+": "+w]++
		}
		for _, f := range e.Factors {
			// What a session was born with is told without saying whether FastPass
			// resisted phishing.
			if f.Method == event.MethodUnknown && e.Action != "user.authentication.sso" {
				warned[e.Action+": unknown factor "+f.Detail]++
			}
		}
	}
	for w, n := range warned {
		t.Errorf("%d times: %s", n, w)
	}
	if n := len(people); n < 200 || n > 206 {
		t.Errorf("%d identities, want one for each of 200 people and the services", n)
	}
	if n := len(tiers[event.TierPrivileged]); n != 12 {
		t.Errorf("%d privileged identities, want 12", n)
	}
	if len(tiers[event.TierBreakGlass]) != 0 {
		t.Error("a break-glass account is touched")
	}
}

// TestOtherCompaniesAreQuiet: other seeds, sizes and first weekdays.
func TestOtherCompaniesAreQuiet(t *testing.T) {
	for _, cfg := range []simulate.Config{
		{Seed: 7, People: 60, Days: 12, Start: time.Date(2026, 11, 4, 0, 0, 0, 0, time.UTC)},
		{Seed: 8, People: 40, Days: 20, Start: time.Date(2026, 11, 7, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(cfg.Start.Format(time.DateOnly), func(t *testing.T) { quiet(t, read(t, cfg)) })
	}
}

// ground is what is known of one identity.
type ground struct {
	asns     map[uint32]bool
	addrs    map[string]bool
	devices  map[string]bool
	holder   bool
	code     bool
	rejected int
	sessions map[string]event.Event
}

// quiet checks what the package promises of everybody who is not attacked.
func quiet(t *testing.T, l life) {
	// A sign-in is as strong as its strongest step, which may be in a later record.
	strong := map[string]bool{}
	for _, e := range l.events {
		if best, ok := event.Strongest(e.Factors); ok && best.Class == event.PhishingResistant && e.Outcome == event.Success {
			strong[e.FlowID] = true
		}
	}
	known := map[event.Key]*ground{}
	weak, fallback := 0, map[event.Key]bool{}
	secondWeek := l.cfg.Start.AddDate(0, 0, 7)
	for _, e := range l.events {
		if _, attacked := l.plan[string(e.Key)]; attacked || e.Tier == event.TierService || e.Tier == event.TierShared {
			continue
		}
		g := known[e.Key]
		if g == nil {
			g = &ground{asns: map[uint32]bool{}, addrs: map[string]bool{}, devices: map[string]bool{}, sessions: map[string]event.Event{}}
			known[e.Key] = g
		}
		device := ""
		if e.Device != nil {
			if device = e.Device.Fingerprint; device == "" {
				device = e.Device.ID
			}
		}
		best, fresh := event.Strongest(e.Factors)
		resistant := fresh && best.Class == event.PhishingResistant
		if e.Outcome == event.Success && fresh && !resistant {
			weak++
			if g.holder && !strong[e.FlowID] {
				fallback[e.Key] = true
				if !g.asns[e.Endpoint.ASN] || !g.devices[device] {
					t.Errorf("%s holds a passkey and comes in with %s from AS %d and device %q, one of them new: %s at %s",
						e.Key, best.Method, e.Endpoint.ASN, device, e.ID, e.Time)
				}
				if e.Tier == event.TierPrivileged {
					t.Errorf("%s is privileged and comes in with %s", e.Key, best.Method)
				}
			}
		}
		for _, f := range e.Factors {
			if f.Result == event.Rejected {
				g.rejected++
			}
		}
		if g.rejected > 1 {
			t.Errorf("%s rejects %d prompts", e.Key, g.rejected)
		}
		if e.Protocol == event.ProtocolDeviceCode {
			if !g.code && e.Time.After(secondWeek) {
				t.Errorf("%s uses a device code for the first time at %s", e.Key, e.Time)
			}
			g.code = true
		}
		if e.Consent != nil && slices.ContainsFunc(e.Consent.Scopes, func(s string) bool {
			return strings.HasPrefix(s, "Mail.") || strings.HasPrefix(s, "Files.") || s == "offline_access"
		}) {
			t.Errorf("%s consents to %v", e.Key, e.Consent.Scopes)
		}
		if e.SessionID != "" && e.Kind == event.SignIn && e.Outcome == event.Success {
			born, ok := g.sessions[e.SessionID]
			if !ok {
				g.sessions[e.SessionID] = e
			} else if born.Endpoint.ASN != e.Endpoint.ASN && (born.UserAgent.OS != e.UserAgent.OS || born.UserAgent.Browser != e.UserAgent.Browser) {
				t.Errorf("session %s of %s moved from %+v to %+v", e.SessionID, e.Key, born.Endpoint, e.Endpoint)
			}
		}
		if e.Kind == event.AuthenticatorEnrolled && e.Time.After(secondWeek) && !g.addrs[e.Endpoint.IP] {
			t.Errorf("%s enrols from %s, which is new: %s", e.Key, e.Endpoint.IP, e.ID)
		}

		for _, a := range e.Authenticators {
			g.holder = g.holder || e.Kind == event.AuthenticatorEnrolled && a.Class == event.PhishingResistant
		}
		g.holder = g.holder || e.Outcome == event.Success && resistant
		if e.Kind == event.AuthenticatorsReset {
			g.holder = false
		}
		if e.Outcome == event.Success && !e.ByOther() && e.Endpoint.ASN != 0 {
			g.asns[e.Endpoint.ASN], g.addrs[e.Endpoint.IP] = true, true
			if device != "" {
				g.devices[device] = true
			}
		}
	}
	if weak < 2*l.cfg.People {
		t.Errorf("%d sign-ins with less than a passkey, want many: people without one", weak)
	}
	if len(fallback) == 0 {
		t.Error("no holder ever falls back: nothing is nearly an alert")
	}
	holders := 0
	for _, g := range known {
		if g.holder {
			holders++
		}
	}
	if holders*100 < len(known)*60 {
		t.Errorf("%d of %d hold a passkey, want most", holders, len(known))
	}
}

// attacksLeaveTheirTraces checks that each planted attack reads as its technique
// says.
func attacksLeaveTheirTraces(t *testing.T, l life) {
	byID := map[string]event.Event{}
	of := map[string][]event.Event{}
	for _, e := range l.events {
		byID[string(e.Source)+e.ID] = e
		of[string(e.Key)] = append(of[string(e.Key)], e)
	}
	// during returns the events of the attacked from the start of the attack on.
	during := func(p simulate.Planted, length time.Duration) []event.Event {
		return slices.DeleteFunc(slices.Clone(of[p.Identity]), func(e event.Event) bool {
			return e.Time.Before(p.Start) || e.Time.After(p.Start.Add(length))
		})
	}
	for login, p := range l.plan {
		t.Run(p.Name, func(t *testing.T) {
			d, ok := byID[string(p.Source)+p.RecordID]
			if !ok {
				t.Fatalf("no event %s", p.RecordID)
			}
			if string(d.Key) != login || !d.Time.Equal(p.Decisive) {
				t.Errorf("decisive event is of %s at %s, the plan says %s at %s", d.Key, d.Time, login, p.Decisive)
			}
			strong, networks := 0, map[uint32]bool{}
			for _, e := range of[login] {
				if best, ok := event.Strongest(e.Factors); ok && e.Time.Before(p.Start) && e.Outcome == event.Success {
					networks[e.Endpoint.ASN] = true
					if best.Class != event.PhishingResistant {
						t.Errorf("%s used %s before the attack", login, best.Method)
					}
					strong++
				}
			}
			if strong < 10 {
				t.Errorf("%d sign-ins with the passkey before the attack, want 10 to know the person by", strong)
			}
			count := func(match func(event.Event) bool) (n int) {
				for _, e := range during(p, time.Hour) {
					if match(e) {
						n++
					}
				}
				return n
			}
			best, fresh := event.Strongest(d.Factors)
			switch p.Name {
			case "relayed-downgrade":
				if !fresh || best.Method != event.MethodSMS || networks[d.Endpoint.ASN] || d.UserAgent.Browser != "Safari" || d.UserAgent.OS != "Windows" || d.Device.ID != "" {
					t.Errorf("decisive event: %+v %+v %+v", best, d.Endpoint, d.UserAgent)
				}
				if count(func(e event.Event) bool {
					return e.FlowID == d.FlowID && e.Time.Before(d.Time) && slices.ContainsFunc(e.Factors, func(f event.Factor) bool {
						return f.Class == event.PhishingResistant && f.Result == event.Failed
					})
				}) == 0 {
					t.Error("no failed passkey step in the same flow")
				}
			case "help-desk-reset":
				if d.Tier != event.TierPrivileged || networks[d.Endpoint.ASN] {
					t.Errorf("decisive event: tier %q, %+v", d.Tier, d.Endpoint)
				}
				for _, k := range []event.Kind{event.PasswordReset, event.AuthenticatorsReset, event.AuthenticatorEnrolled, event.SignIn, event.SessionActivity} {
					if count(func(e event.Event) bool { return e.Kind == k }) == 0 {
						t.Errorf("no event of kind %s", k)
					}
				}
				if count(func(e event.Event) bool { return e.Kind == event.AuthenticatorsReset && e.ByOther() }) == 0 {
					t.Error("the reset is not by somebody else")
				}
			case "push-bombing":
				refused := count(func(e event.Event) bool {
					return slices.ContainsFunc(e.Factors, func(f event.Factor) bool {
						return f.Method == event.MethodPush && (f.Result == event.Unanswered || f.Result == event.Rejected)
					})
				})
				if refused < 6 || !fresh || best.Method != event.MethodPush || networks[d.Endpoint.ASN] || p.Decisive.Sub(p.Start) > 10*time.Minute {
					t.Errorf("%d pushes not approved, then %+v after %s", refused, best, p.Decisive.Sub(p.Start))
				}
			case "consent-after-downgrade":
				if d.Kind != event.ConsentGrant || !slices.Contains(d.Consent.Scopes, "Mail.Read") || !slices.Contains(d.Consent.Scopes, "offline_access") ||
					!slices.Contains(d.Consent.Scopes, "Files.ReadWrite.All") || d.Consent.ByAdmin {
					t.Errorf("decisive event: %+v", d.Consent)
				}
				if count(func(e event.Event) bool {
					f, ok := event.Strongest(e.Factors)
					return ok && f.Class == event.Phishable && e.Outcome == event.Success && !networks[e.Endpoint.ASN] && e.Time.Before(d.Time)
				}) == 0 {
					t.Error("no downgrade before the consent")
				}
			case "device-code-phishing":
				if d.Protocol != event.ProtocolDeviceCode || d.App == nil || d.App.ID != "29d9ed98-a469-4536-ade2-f981bc1d605e" {
					t.Errorf("decisive event: protocol %q, app %+v", d.Protocol, d.App)
				}
				if count(func(e event.Event) bool { return e.Kind == event.AuthenticatorEnrolled }) == 0 {
					t.Error("no device is registered")
				}
				if count(func(e event.Event) bool {
					return !networks[e.Endpoint.ASN] && slices.ContainsFunc(e.Factors, func(f event.Factor) bool { return f.Method == event.MethodPrimaryRefreshToken })
				}) == 0 {
					t.Error("the primary refresh token is not used")
				}
			case "stolen-session":
				if count(func(e event.Event) bool {
					f, ok := event.Strongest(e.Factors)
					return e.SessionID == d.SessionID && ok && f.Class == event.PhishingResistant && e.Endpoint.ASN != d.Endpoint.ASN &&
						e.Endpoint.Country != d.Endpoint.Country
				}) == 0 {
					t.Error("the session was not born with a passkey elsewhere")
				}
				if networks[d.Endpoint.ASN] {
					t.Errorf("decisive event is from AS %d, which is known", d.Endpoint.ASN)
				}
			default:
				t.Errorf("attack %q is not tested", p.Name)
			}
		})
	}
}
