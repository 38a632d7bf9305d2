package simulate

import (
	"fmt"
	"time"

	"stepdown/ingest"
	"stepdown/ingest/event"
)

// castSpecial makes the accounts that are nobody's own.
func (c *Company) castSpecial() {
	r := c.rand(streamMore)
	add := func(n int, login, name string, tier event.Tier, entra bool) {
		p := &person{n: c.cfg.People + n, name: name, site: c.world.sites[0], leaves: c.cfg.Days}
		p.laptop = makeLaptop(r, 9000+n)
		if entra {
			p.entra = &account{id: guid(r), login: login, weak: credential{kind: totp}}
		} else {
			p.okta = &account{id: oktaID(r, "00u"), login: login, weak: credential{kind: totp, id: oktaID(r, "ost")}, password: oktaID(r, "lae")}
		}
		c.special = append(c.special, special{p, tier})
	}
	add(0, "break-glass-1@example.com", "Break Glass 1", event.TierBreakGlass, true)
	add(1, "break-glass-2@example.com", "Break Glass 2", event.TierBreakGlass, false)
	add(2, "svc-scanner@example.com", "Scanner", event.TierService, true)
	add(3, "svc-backup@example.com", "Backup", event.TierService, true)
	add(4, "svc-signage@example.com", "Signage", event.TierService, true)
	add(5, "reception@example.com", "Reception", event.TierShared, false)
}

// otherDay returns what happens on day d beside the people: services, the front
// desk, the providers' own records, and what cannot be read.
func (c *Company) otherDay(d int) []Delivery {
	w := &writer{c: c, rng: c.rand(streamMore + 1 + uint64(d))}
	for _, s := range c.special {
		p, here := s.person, scene{s.person.laptop, s.person.site.office.at(s.person.n)}
		switch s.tier {
		case event.TierService:
			for h := range 6 {
				f := w.entra(p, here, c.dayStart(d).Add(time.Duration(4*h)*time.Hour+w.between(0, 30*time.Minute)))
				f.row(signIn{app: outlook, single: true, refresh: false, steps: []step{passwordStep()}})
			}
		case event.TierShared:
			if !c.working(d) {
				continue
			}
			for _, h := range []float64{7.5, 13} {
				w.okta(p, here, p.local(c, d, h).Add(w.between(0, 20*time.Minute))).signIn(p.okta.weak, dashboard)
			}
		}
	}
	w.uninteresting(d)
	w.unreadable(d)
	return w.out
}

// uninteresting writes records that say nothing of how people prove themselves.
func (w *writer) uninteresting(d int) {
	at := w.c.dayStart(d).Add(w.between(6*time.Hour, 18*time.Hour))
	h := w.c.desk[d%len(w.c.desk)]
	desk := scene{h.laptop, h.site.office.at(h.n)}
	for range 4 {
		f := w.okta(h, desk, at)
		e := f.event("application.user_membership.add", "SUCCESS", "")
		e.DisplayMessage = "Add user to application membership"
		e.Target = append(e.Target, oktaApps[w.rng.IntN(len(oktaApps))].target())
		f.write(e)
		at = at.Add(w.between(time.Minute, time.Hour))

		g := w.entra(h, desk, at)
		g.log(audit{service: core, category: "Device", activity: "Update device", operation: "Update", byApp: "Device Registration Service",
			targets: []entraTarget{{ID: &h.laptop.entraID, DisplayName: h.laptop.name, Type: "Device", ModifiedProperties: []entraModified{}}}})

		id := guid(w.rng)
		w.add(event.Source("entra"), entraTenant, "", id, "", at, w.entraLag(), entraRecord{
			Time: at.Format(entraEnvelopeTime), ResourceID: "/tenants/" + entraTenant + "/providers/Microsoft.aadiam",
			OperationName: "Sign-in activity", OperationVersion: "1.0", Category: "ServicePrincipalSignInLogs", TenantID: entraTenant,
			ResultType: "0", ResultSignature: "None", CorrelationID: guid(w.rng), Level: 4,
			Properties: map[string]any{"id": id, "createdDateTime": at.Format(entraObjectTime), "servicePrincipalName": "Example Backup Job",
				"servicePrincipalId": "00000000-0000-4000-8000-00000000b100", "appId": "00000000-0000-4000-8000-00000000a100",
				"resourceDisplayName": "Microsoft Graph", "status": map[string]any{"errorCode": 0}},
		})
	}
}

// broken are lines as a full disk and a wrong exporter leave them.
func broken() []struct {
	day    int
	source event.Source
	stream string
	text   string
} {
	return []struct {
		day    int
		source event.Source
		stream string
		text   string
	}{
		{2, "okta", "system_log", `{"actor":{"id":"00u0example","type":"User","alternateId":"`},
		{6, "entra", "sign_in", `{"time":"2026-11-08T09:12:44.1200000Z","category":"SignInLogs","properties":{"id":`},
		{9, "okta", "system_log", `ERROR exporter: write okta.log: no space left on device`},
	}
}

func (w *writer) unreadable(d int) {
	for i, b := range broken() {
		if b.day != d {
			continue
		}
		at := w.c.dayStart(d).Add(w.between(9*time.Hour, 15*time.Hour))
		tenant := oktaHost
		if b.source == "entra" {
			tenant = entraTenant
		}
		w.out = append(w.out, Delivery{Time: at, Record: ingest.Record{
			Source: b.source, Tenant: tenant, Stream: b.stream, Data: []byte(b.text), Observed: at.Add(time.Minute),
			Origin: fmt.Sprintf("simulated, broken record %d", i+1),
		}})
	}
}
