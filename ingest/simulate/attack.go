package simulate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"stepdown/ingest/event"
)

// Planted is an attack that the records hold, and what is to be found of it.
type Planted struct {
	// Name of the attack, as in Delivery.Attack.
	Name string
	// Identity is the login of the attacked.
	Identity string
	// Technique says in one sentence what the attacker does.
	Technique string
	// Start is when the first record of it happened, Decisive when that did
	// after which it can be told from ordinary life.
	Start, Decisive time.Time
	// Source and RecordID name the decisive record.
	Source   event.Source
	RecordID string
	// Rules of which at least one must fire, for Identity, at Severity or above.
	Rules    []string
	Severity string
}

// attack is one with its records.
type attack struct {
	Planted
	records []Delivery
}

// Plan returns what is planted, in the order of the decisive records.
func (c *Company) Plan() []Planted {
	var out []Planted
	for _, a := range c.attacks {
		out = append(out, a.Planted)
	}
	slices.SortFunc(out, func(a, b Planted) int { return a.Decisive.Compare(b.Decisive) })
	return out
}

// script is one attack before it has a time.
type script struct {
	name, technique string
	rules           []string
	// fits says who may be attacked; team is where the victim then works, holds
	// the passkey that the victim has had for long.
	fits  func(*person) bool
	team  string
	holds kind
	// hour of the victim's day.
	hour float64
	// play writes the records from t on and returns the id and time of the
	// decisive one.
	play func(w *writer, p *person, t time.Time, from *network) (id string, at time.Time)
}

// castVictims picks somebody for each script, and gives them what it is about.
func (c *Company) castVictims(r *rand.Rand) ([]*person, error) {
	var out []*person
	order := r.Perm(len(c.people))
	for _, s := range scripts() {
		i := slices.IndexFunc(order, func(n int) bool {
			p := c.people[n]
			return !p.attacked && !p.helpDesk && !p.classic && s.fits(p)
		})
		if i < 0 {
			return nil, fmt.Errorf("nobody to play the victim of %s: use more people or another seed", s.name)
		}
		p := c.people[order[i]]
		p.attacked, p.team, p.usesAzureCLI = true, s.team, false
		if p.okta != nil {
			p.okta.strong = c.oktaCredential(r, p, s.holds)
			p.okta.strong.since = time.Time{}
		}
		if p.entra != nil {
			p.entra.strong = credential{kind: s.holds}
		}
		out = append(out, p)
	}
	return out, nil
}

// planAttacks plays the scripts, on the working days of the second half, the
// last day left out.
func (c *Company) planAttacks(victims []*person) {
	var days []int
	for d := max(7, c.cfg.Days/2); d < c.cfg.Days-1; d++ {
		if c.working(d) {
			days = append(days, d)
		}
	}
	for i, s := range scripts() {
		p := victims[i]
		w := &writer{c: c, rng: c.rand(streamHack + uint64(i)), attack: s.name}
		id, at := s.play(w, p, p.local(c, days[i*len(days)/len(victims)], s.hour), c.world.hosting[i])
		a := attack{records: w.out, Planted: Planted{
			Name: s.name, Identity: p.login(), Technique: s.technique, Start: w.out[0].Time, Decisive: at,
			Source: w.out[0].Record.Source, RecordID: id, Rules: s.rules, Severity: "high",
		}}
		c.attacks = append(c.attacks, a)
	}
}

func onlyEntra(p *person) bool { return !p.admin && p.okta == nil }
func onlyOkta(p *person) bool  { return !p.admin && p.entra == nil }

const (
	agentSafariWindows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15"
	agentChromeWindows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36"
	agentChromeLinux   = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
	agentFirefoxLinux  = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
)

func scripts() []script {
	return []script{
		{
			name:      "relayed-downgrade",
			technique: "A phishing page relays the sign-in and claims a browser without passkeys (Safari on Windows), so that Entra falls back to a text message, which the victim types in.",
			rules:     []string{"DG-01", "DG-03", "DG-04", "DG-05"},
			fits:      onlyEntra, team: "Finance", holds: devicePasskey, hour: 10.2, play: relayedDowngrade,
		},
		{
			name:      "help-desk-reset",
			technique: "The help desk is talked into resetting an administrator's password and factors; the caller enrols a phone of their own and signs in from elsewhere.",
			rules:     []string{"RC-02", "RC-03", "RC-14", "RC-01"},
			fits:      func(p *person) bool { return p.admin && p.okta != nil && p.entra == nil }, team: "IT", holds: securityKey, hour: 11.5, play: helpDeskReset,
		},
		{
			name:      "push-bombing",
			technique: "Push after push is sent to the phone of a FastPass user until one is approved.",
			rules:     []string{"PF-02", "DG-01", "DG-05"},
			fits:      onlyOkta, team: "Engineering", holds: fastPass, hour: 13.1, play: pushBombing,
		},
		{
			name:      "consent-after-downgrade",
			technique: "A relayed sign-in ends with a push instead of the passkey; from that session an app nobody knows is granted mail and files, with offline access.",
			rules:     []string{"OA-06", "OA-04"},
			fits:      onlyEntra, team: "Sales", holds: syncedPasskey, hour: 10.8, play: consentAfterDowngrade,
		},
		{
			name:      "device-code-phishing",
			technique: "The victim types the attacker's device code and proves it with the passkey; the attacker's machine registers itself and gets a primary refresh token.",
			rules:     []string{"OA-01", "OA-02"},
			fits:      onlyEntra, team: "Legal", holds: devicePasskey, hour: 14.3, play: deviceCodePhishing,
		},
		{
			name:      "stolen-session",
			technique: "A session born with a passkey is used minutes later with its cookie from another network, country, browser and system.",
			rules:     []string{"SE-01"},
			fits:      onlyOkta, team: "Finance", holds: fastPass, hour: 9.8, play: stolenSession,
		},
	}
}

func relayedDowngrade(w *writer, p *person, t time.Time, from *network) (string, time.Time) {
	relay := scene{stranger(w.rng, osWindows, "Safari 17.4", agentSafariWindows), from.at(3)}
	f := w.entra(p, relay, t)
	f.interrupted(officeHome)
	f.wait(8 * time.Second)
	passkey, _ := methodStep(p.entra.strong)
	passkey.failed, passkey.result = true, "Authentication failed"
	f.row(signIn{app: officeHome, code: 500121, steps: []step{passwordStep(), passkey}})
	f.wait(25 * time.Second)
	text, _ := methodStep(credential{kind: sms})
	id := f.row(signIn{app: officeHome, steps: []step{passwordStep(), text}, note: "MFA completed in Azure AD", again: true})
	at := f.t
	f.wait(40 * time.Second)
	f.reach(entraApp{"00000002-0000-0ff1-ce00-000000000000", "Office 365 Exchange Online", exchange, "Office 365 Exchange Online", browserClient})
	for range 3 {
		f.wait(20 * time.Minute)
		f.refresh(officeHome, "refreshToken")
	}
	return id, at
}

func helpDeskReset(w *writer, p *person, t time.Time, from *network) (string, time.Time) {
	h := w.helper(p)
	desk := w.okta(h, scene{h.laptop, h.site.office.at(h.n)}, t)
	desk.victim = p
	p.silencedFrom = t
	desk.account("user.account.reset_password", map[string]string{"isSelfInitiated": "false", "tempPasswordSet": "true"})
	desk.wait(3 * time.Minute)
	desk.resetAll()

	caller := scene{stranger(w.rng, osWindows, "Chrome 129.0.0", agentChromeWindows), from.at(5)}
	phone := credential{kind: sms, id: oktaID(w.rng, "sms")}
	f := w.okta(p, caller, desk.t.Add(6*time.Minute))
	f.password()
	f.wait(time.Second)
	f.evaluate("CHALLENGE")
	f.wait(30 * time.Second)
	f.account("user.account.update_password", nil)
	f.wait(40 * time.Second)
	f.enrol(phone)
	f.wait(50 * time.Second)
	f.enrol(credential{kind: push, id: oktaID(w.rng, "opf")})

	f = w.okta(p, caller, f.t.Add(3*time.Minute))
	f.password()
	f.wait(time.Second)
	f.evaluate("CHALLENGE")
	f.wait(time.Second)
	f.prompt(phone)
	f.wait(9 * time.Second)
	f.factor(phone, "SUCCESS", "")
	born := f.t
	f.wait(150 * time.Millisecond)
	f.evaluate("ALLOW")
	f.wait(50 * time.Millisecond)
	id, at := f.start(), f.t
	f.wait(time.Second)
	f.sso(dashboard, phone, born)
	f.wait(30 * time.Second)
	f.adminApp()
	f.wait(time.Second)
	f.sso(oktaAdmin, phone, born)
	for range 3 {
		f.wait(time.Hour)
		f.sso(oktaApps[w.rng.IntN(len(oktaApps))], phone, born)
	}
	return id, at
}

func pushBombing(w *writer, p *person, t time.Time, from *network) (string, time.Time) {
	f := w.okta(p, scene{stranger(w.rng, osLinux, "Firefox 128.0", agentFirefoxLinux), from.at(7)}, t)
	c := credential{kind: push, id: oktaID(w.rng, "opf")}
	f.password()
	f.wait(time.Second)
	f.evaluate("CHALLENGE")
	for i := range 7 {
		f.wait(2 * time.Second)
		f.prompt(c)
		f.wait(28 * time.Second)
		if i%3 == 1 {
			f.factor(c, "FAILURE", "INVALID_CREDENTIALS")
		} else {
			f.factor(c, "UNANSWERED", "")
		}
	}
	f.wait(2 * time.Second)
	f.prompt(c)
	f.wait(6 * time.Second)
	id, at := f.factor(c, "SUCCESS", ""), f.t
	f.arrive(c, dashboard)
	for range 3 {
		f.wait(8 * time.Minute)
		f.sso(oktaApps[w.rng.IntN(len(oktaApps))], c, at)
	}
	return id, at
}

func consentAfterDowngrade(w *writer, p *person, t time.Time, from *network) (string, time.Time) {
	f := w.entra(p, scene{stranger(w.rng, osLinux, "Chrome 131.0.0", agentChromeLinux), from.at(9)}, t)
	f.interrupted(officeHome)
	f.wait(12 * time.Second)
	c, _ := methodStep(credential{kind: push})
	f.row(signIn{app: officeHome, steps: []step{passwordStep(), c}, note: "MFA completed in Azure AD", again: true})
	f.wait(12 * time.Minute)
	app := thirdParty{"00000000-0000-4000-8000-00000000a0ff", "00000000-0000-4000-8000-00000000b0ff", "Example Mail Archiver"}
	f.correlation = guid(w.rng)
	f.reach(entraApp{app.id, app.name, graph, "Microsoft Graph", browserClient})
	f.wait(20 * time.Second)
	id := f.consent(app, "openid offline_access User.Read Mail.Read Files.ReadWrite.All")
	at := f.t
	for range 3 {
		f.wait(25 * time.Minute)
		f.refresh(entraApp{app.id, app.name, graph, "Microsoft Graph", browserClient}, "refreshToken")
	}
	return id, at
}

func deviceCodePhishing(w *writer, p *person, t time.Time, from *network) (string, time.Time) {
	d := w.c.dayOf(t)
	f := w.entra(p, scene{p.laptop, p.at(w.c, d)}, t)
	proof, _ := methodStep(p.entra.strong)
	proof.after, proof.result = 0, ""
	id := f.deviceCode(broker, proof, step{method: "Other", result: "MFA requirement satisfied by multi-factor device"})
	at := f.t

	machine := stranger(w.rng, osWindows, "Edge 131.0.0", agentChromeWindows+" Edg/129.0.0.0")
	f.scene = scene{machine, from.at(11)}
	f.wait(40 * time.Second)
	f.row(signIn{app: broker, single: true, refresh: true, token: "none", protocol: "deviceCode", transfer: "deviceCodeFlow",
		note: "MFA requirement satisfied by claim in the token"})
	f.wait(time.Minute)
	machine.entraID, machine.name = guid(w.rng), "DESKTOP-"+oktaID(w.rng, "")[:7]
	f.log(audit{service: drs, category: "Device", activity: "Register device", operation: "Add",
		targets: []entraTarget{{ID: &machine.entraID, DisplayName: machine.name, Type: "Device", ModifiedProperties: []entraModified{
			{"DeviceTrustType", "[]", `["Workplace"]`}, {"DeviceOSType", "[]", `["Windows"]`},
		}}},
		extra: []entraPair{{"Device Id", machine.entraID}, {"Device OS", "Windows"}, {"Device Trust Type", "Workplace"}, {"User-Agent", agentChromeWindows}}})
	f.wait(2 * time.Minute)
	for _, app := range []entraApp{outlook, oneDrive, teamsClient, outlook} {
		f.row(signIn{app: app, single: true, refresh: true, token: "primaryRefreshToken", transfer: "deviceCodeFlow",
			note: "MFA requirement satisfied by claim in the token"})
		f.wait(15 * time.Minute)
	}
	return id, at
}

func stolenSession(w *writer, p *person, t time.Time, from *network) (string, time.Time) {
	d := w.c.dayOf(t)
	f := w.okta(p, scene{p.laptop, p.at(w.c, d)}, t)
	f.signIn(p.okta.strong, dashboard)
	born := f.t
	f.wait(2 * time.Minute)
	f.sso(oktaApps[0], p.okta.strong, born)

	thief := stranger(w.rng, osLinux, "Firefox 128.0", agentFirefoxLinux)
	thief.dtHash = p.laptop.dtHash // the cookie came along
	f.scene = scene{thief, from.at(4)}
	f.wait(6 * time.Minute)
	f.request = hexID(w.rng, 2)
	id, at := f.sso(oktaApps[2], p.okta.strong, born), f.t
	for range 4 {
		f.wait(5 * time.Minute)
		f.request = hexID(w.rng, 2)
		f.sso(oktaApps[w.rng.IntN(len(oktaApps))], p.okta.strong, born)
	}
	return id, at
}
