package simulate

import (
	"strings"
	"time"
)

// workDay writes n visits of p from start on, and what else the day brings.
func (w *writer) workDay(p *person, d, n int, start time.Time) {
	c, on := w.c, p.on(d)
	here := scene{p.laptop, p.at(c, d)}
	t := start.Add(w.between(0, 10*time.Minute))
	if c.enrols(p, d) && !on(joins) {
		n = max(n, 2)
		w.rollOut(p, here)
	}
	for i := range n {
		first := i == 0
		apps := here
		if p.usesVPN && here.at == p.home && !on(forgottenKey) && w.rng.IntN(5) < 2 {
			apps.at = p.site.vpn.at(p.n)
		}
		if p.okta != nil {
			w.oktaVisit(p, here, apps, t, on, first)
		}
		if p.entra != nil {
			w.entraVisit(p, here, apps, t.Add(w.between(4*time.Minute, 20*time.Minute)), on, first && p.okta == nil)
		}
		t = t.Add(w.between(150*time.Minute, 220*time.Minute))
	}
	noon := start.Add(w.between(40*time.Minute, 80*time.Minute))
	for _, e := range []struct {
		kind episodeKind
		play func(*person, scene, time.Time)
	}{
		{newPhone, w.replacePhone}, {lostPhone, w.replaceLost}, {consent, w.consent}, {passwordChange, w.changePassword},
	} {
		if on(e.kind) {
			e.play(p, here, noon)
		}
	}
	if p.usesAzureCLI && (d == c.workday(0) || w.rng.IntN(2) == 0) {
		f := w.entra(p, here, noon.Add(w.between(20*time.Minute, 2*time.Hour)))
		f.deviceCode(azureCLI, step{method: "Previously satisfied", result: "First factor requirement satisfied by claim in the token"})
	}
}

// oktaVisit writes a sign-in at Okta and what the session reaches afterwards;
// apps may be behind the VPN by then.
func (w *writer) oktaVisit(p *person, here, apps scene, t time.Time, on func(episodeKind) bool, first bool) {
	f := w.okta(p, here, t)
	c := p.okta.with(t)
	if first && on(forgottenKey) {
		c = p.okta.weak
	}
	if !c.strong() && w.rng.IntN(50) == 0 {
		f.mistyped()
	}
	if first && on(misTap) {
		f.mistapped(c)
	} else {
		f.signIn(c, dashboard)
	}
	born := f.t
	f.scene = apps
	if p.admin && w.rng.IntN(5) < 3 {
		f.wait(time.Minute)
		f.adminApp()
		f.wait(time.Second)
		f.sso(oktaAdmin, c, born)
	}
	for range 1 + w.rng.IntN(4) {
		f.wait(w.between(2*time.Minute, 25*time.Minute))
		f.request = hexID(w.rng, 2)
		f.sso(oktaApps[w.rng.IntN(len(oktaApps))], c, born)
	}
	if w.rng.IntN(5) == 0 {
		f.wait(5 * time.Minute)
		f.account("user.session.end", nil)
	}
}

// mistapped writes a sign-in whose first push was refused by mistake.
func (f *oktaFlow) mistapped(c credential) {
	f.password()
	f.wait(400 * time.Millisecond)
	f.evaluate("CHALLENGE")
	f.wait(time.Second)
	f.prompt(c)
	f.wait(4 * time.Second)
	f.factor(c, "FAILURE", "INVALID_CREDENTIALS")
	f.wait(8 * time.Second)
	f.prompt(c)
	f.wait(4 * time.Second)
	f.factor(c, "SUCCESS", "")
	f.arrive(c, dashboard)
}

// entraVisit writes a sign-in at Entra and what its session does afterwards.
func (w *writer) entraVisit(p *person, here, apps scene, t time.Time, on func(episodeKind) bool, first bool) {
	f := w.entra(p, here, t)
	c := p.entra.with(t)
	if first && on(forgottenKey) {
		c = p.entra.weak
	}
	app := officeHome
	switch {
	case c.kind == windowsHello:
		app = windows
	case p.admin && w.rng.IntN(5) < 3:
		app = azurePortal
	}
	if !c.strong() && w.rng.IntN(50) == 0 {
		f.mistyped(app)
	}
	f.signIn(c, app)
	f.scene = apps
	f.wait(30 * time.Second)
	f.reach(officeHome)
	token := "refreshToken"
	if c.kind == windowsHello {
		token = "primaryRefreshToken"
	}
	for range 2 + w.rng.IntN(4) {
		f.wait(w.between(5*time.Minute, 20*time.Minute))
		f.refresh(dailyApps[w.rng.IntN(len(dailyApps))], token)
	}
}

// phoneDay writes what the phone does by itself, every day; on the last day late
// in the evening as well, so that the log does not end in the middle of one.
func (w *writer) phoneDay(p *person, d int) {
	here := scene{p.handset(d), p.mobileAt(d)}
	n := 1 + w.rng.IntN(3)
	for i := range n {
		t := w.c.dayStart(d).Add(w.between(time.Hour, 24*time.Hour))
		if i == 0 && d == w.c.cfg.Days-1 {
			t = w.c.dayStart(d).Add(w.between(21*time.Hour, 24*time.Hour))
		}
		if p.entra != nil {
			f := w.entra(p, here, t)
			f.session = here.dev.session
			f.wait(time.Second)
			f.refresh(dailyApps[w.rng.IntN(2)], "refreshToken")
			continue
		}
		f := w.okta(p, here, t)
		f.session = "idx" + strings.ReplaceAll(here.dev.session, "-", "")[:17]
		f.wait(time.Second)
		f.sso(oktaApps[w.rng.IntN(len(oktaApps))], p.okta.with(t.Add(-day)), t.Add(-day))
	}
}

// rollOut writes that p enrols the passkey, on the laptop, shortly after the
// first visit of the day.
func (w *writer) rollOut(p *person, here scene) {
	if p.okta != nil {
		f := w.okta(p, here, p.okta.strong.since.Add(-30*time.Second))
		f.enrol(p.okta.strong)
	}
	if p.entra != nil {
		w.entra(p, here, p.entra.strong.since.Add(-20*time.Second)).enrol(p.entra.strong)
	}
}

// replacePhone writes that p moves to a new phone: first the new, then the old.
func (w *writer) replacePhone(p *person, here scene, t time.Time) {
	if p.okta != nil {
		f := w.okta(p, here, t)
		c := p.okta.weak
		f.enrol(credential{kind: c.kind, id: oktaID(w.rng, c.id[:3])})
		f.wait(2 * time.Minute)
		f.remove(c)
	}
	if p.entra == nil {
		return
	}
	f := w.entra(p, here, t.Add(7*time.Minute))
	f.enrol(p.entra.weak)
	f.wait(2 * time.Minute)
	f.log(audit{service: methods, category: "UserManagement", activity: "User deleted security info", operation: "Delete",
		reason: "User deleted " + securityInfo(p.entra.weak.kind)})
	if p.entra.strong.kind == devicePasskey { // it lives in the phone's app
		f.wait(2 * time.Minute)
		f.enrol(p.entra.strong)
		f.wait(2 * time.Minute)
		f.log(audit{service: drs, category: "UserManagement", activity: "Delete Passkey (device-bound)", operation: "Delete",
			extra: []entraPair{{"AAGuid", authenticatorApp}}})
	}
}

// replaceLost writes that the help desk takes the lost phone's factor away and p
// enrols the new phone, having come in with the passkey.
func (w *writer) replaceLost(p *person, here scene, t time.Time) {
	h := w.helper(p)
	desk := scene{h.laptop, h.site.office.at(h.n)}
	if p.okta != nil {
		f := w.okta(h, desk, t)
		f.victim = p
		f.remove(p.okta.weak)
		own := w.okta(p, here, t.Add(w.between(20*time.Minute, 50*time.Minute)))
		own.enrol(credential{kind: p.okta.weak.kind, id: oktaID(w.rng, p.okta.weak.id[:3])})
	}
	if p.entra != nil {
		f := w.entra(h, desk, t.Add(time.Minute))
		f.victim = p
		f.log(audit{service: methods, category: "UserManagement", activity: "Admin deleted security info", operation: "Delete",
			reason: "Admin deleted " + securityInfo(p.entra.weak.kind) + " method for user"})
		w.entra(p, here, t.Add(w.between(20*time.Minute, 50*time.Minute))).enrol(p.entra.weak)
	}
}

// replaceAll writes that the help desk resets every factor of p, who then enrols
// the passkey anew on the laptop that is known.
func (w *writer) replaceAll(p *person, d int) {
	h := w.helper(p)
	t := p.morning(w.c, d)
	f := w.okta(h, scene{h.laptop, h.site.office.at(h.n)}, t)
	f.victim = p
	f.resetAll()
	own := w.okta(p, scene{p.laptop, p.at(w.c, d)}, t.Add(w.between(20*time.Minute, 60*time.Minute)))
	own.password()
	own.wait(time.Second)
	own.evaluate("CHALLENGE")
	own.wait(40 * time.Second)
	own.enrol(p.okta.renewed)
	own.wait(3 * time.Second)
	own.factor(p.okta.renewed, "SUCCESS", "")
	own.arrive(p.okta.renewed, dashboard)
}

func (w *writer) helper(p *person) *person { return w.c.desk[p.n%len(w.c.desk)] }

// consent writes that p lets a harmless app know who p is.
func (w *writer) consent(p *person, here scene, t time.Time) {
	f := w.entra(p, here, t)
	f.consent(consentApps[w.rng.IntN(len(consentApps))], "openid profile User.Read")
}

func (w *writer) changePassword(p *person, here scene, t time.Time) {
	if p.okta != nil {
		w.okta(p, here, t).account("user.account.update_password", nil)
		return
	}
	w.entra(p, here, t).log(audit{service: sspr, category: "UserManagement", activity: "Change password (self-service)", operation: "Update"})
}

// join writes the first morning of p: the help desk makes the account, p enrols
// the passkey in the office.
func (w *writer) join(p *person, d int) {
	h := w.helper(p)
	desk := scene{h.laptop, h.site.office.at(h.n)}
	here := scene{p.laptop, p.at(w.c, d)}
	t := p.morning(w.c, d)
	if p.okta != nil {
		f := w.okta(h, desk, t)
		f.victim = p
		f.account("user.lifecycle.create", nil)
		f.wait(30 * time.Second)
		f.account("user.lifecycle.activate", nil)
		own := w.okta(p, here, p.okta.strong.since.Add(-10*time.Minute))
		own.account("user.account.update_password", nil)
		own.wait(time.Minute)
		own.enrol(p.okta.strong)
		own.wait(5 * time.Second)
		own.factor(p.okta.strong, "SUCCESS", "")
		own.arrive(p.okta.strong, dashboard)
		return
	}
	f := w.entra(h, desk, t)
	f.victim = p
	f.log(audit{service: core, category: "UserManagement", activity: "Add user", operation: "Add"})
	f.wait(5 * time.Minute)
	f.log(audit{service: methods, category: "UserManagement", activity: "Admin registered security info", operation: "Add",
		reason: "Admin registered temporary access pass method for user", targets: []entraTarget{f.target(
			entraModified{"TemporaryAccessPass.LifetimeInMinutes", "", "60"},
			entraModified{"TemporaryAccessPass.AccessPassUsage", "", `"Once"`},
		)}})
	own := w.entra(p, here, p.entra.strong.since.Add(-10*time.Minute))
	own.row(signIn{app: officeHome, note: "MFA completed in Azure AD", steps: []step{{method: "Temporary Access Pass"}}})
	own.wait(2 * time.Minute)
	own.enrol(p.entra.strong)
}

// leave writes the last evening of p: the account is disabled, then its factors
// are taken away.
func (w *writer) leave(p *person, d int) {
	h := w.helper(p)
	desk := scene{h.laptop, h.site.office.at(h.n)}
	t := p.local(w.c, d, 17).Add(w.between(0, time.Hour))
	if p.okta != nil {
		f := w.okta(h, desk, t)
		f.victim = p
		f.account("user.lifecycle.deactivate", nil)
		f.wait(2 * time.Minute)
		f.account("user.session.clear", nil)
		f.wait(4 * time.Minute)
		f.resetAll()
	}
	if p.entra != nil {
		f := w.entra(h, desk, t.Add(5*time.Minute))
		f.victim = p
		f.log(audit{service: core, category: "UserManagement", activity: "Disable account", operation: "Update", targets: []entraTarget{
			f.target(entraModified{"AccountEnabled", "[true]", "[false]"}),
		}})
		f.wait(2 * time.Minute)
		f.log(audit{service: core, category: "UserManagement", activity: "Update StsRefreshTokenValidFrom Timestamp", operation: "Update"})
		f.wait(4 * time.Minute)
		f.log(audit{service: methods, category: "UserManagement", activity: "Admin deleted security info", operation: "Delete",
			reason: "Admin deleted Fido2 Authentication Method method for user"})
	}
}
