package simulate

import (
	"bytes"
	"fmt"

	"stepdown/ingest/event"
	"stepdown/ingest/identity"
)

// Identity returns which names of the company mean one person; directory is
// where the bytes of Directory are kept.
func (c *Company) Identity(directory string) identity.Config {
	return identity.Config{
		Domains:   []identity.Domain{{Canonical: "example.com", Equivalent: []string{"corp.example.com"}}},
		Directory: directory,
	}
}

// Directory returns the company's directory in the YAML form of
// ingest/identity: who is privileged, who is no person, who works where, and
// the second logins that a domain does not explain.
func (c *Company) Directory() []byte {
	var b bytes.Buffer
	b.WriteString("# The simulated company: synthetic, made by stepdown.\nidentities:\n")
	for _, p := range c.people {
		tier := event.TierStandard
		if p.admin {
			tier = event.TierPrivileged
		}
		writeIdentity(&b, p, tier, p.team)
	}
	for _, s := range c.special {
		writeIdentity(&b, s.person, s.tier, "")
	}
	return b.Bytes()
}

func writeIdentity(b *bytes.Buffer, p *person, tier event.Tier, population string) {
	fmt.Fprintf(b, "  - identity: %s\n", p.login())
	if tier != event.TierStandard {
		fmt.Fprintf(b, "    tier: %s\n", tier)
	}
	if population != "" {
		fmt.Fprintf(b, "    populations: [%s]\n", population)
	}
	if p.alias != "" {
		fmt.Fprintf(b, "    aliases: [%s]\n", p.alias)
	}
	b.WriteString("    objects:\n")
	if p.okta != nil {
		fmt.Fprintf(b, "      - {source: okta, tenant: %s, id: %s}\n", p.oktaTenant(), p.okta.id)
	}
	if p.entra != nil {
		fmt.Fprintf(b, "      - {source: entra, tenant: %s, id: %s}\n", entraTenant, p.entra.id)
	}
}
