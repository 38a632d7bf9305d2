package okta

import (
	"slices"
	"strings"

	"github.com/goccy/go-json"

	"stepdown/ingest/event"
	"stepdown/ingest/lenient"
)

func (b *build) sessionEnd() error {
	b.e.Kind = event.SessionEnd
	b.e.SessionID = lenient.Known(b.debug().EndedSessionID)
	if b.e.Reason == "" {
		b.e.Reason = lenient.Known(b.debug().TerminationReason)
	}
	return nil
}

func (b *build) adminConsole() error {
	b.e.Kind = event.SessionActivity
	b.e.App = b.app()
	if b.e.App == nil {
		b.e.App = &event.App{Name: "Okta Admin Console"}
	}
	b.e.App.Admin = true
	return nil
}

// sessionAnomaly: the session is used elsewhere than it was made.
func (b *build) sessionAnomaly() error {
	b.e.Kind = event.SessionAnomaly
	d := b.debug()
	b.e.SessionID = d.ExternalSessionID
	b.e.Risk = b.risk()
	if d.PreviousIP != "" || d.Causes != "" {
		if b.e.Risk == nil {
			b.e.Risk = &event.Risk{}
		}
		b.e.Risk.Type = strings.Trim(string(d.Causes), "[]{}")
		b.e.Risk.Detail = join(b.e.Risk.Detail, lenient.Known(d.PreviousIP)+" → "+lenient.Known(d.NewIP))
	}
	return nil
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

func (b *build) impersonation() error {
	b.e.Kind = event.Impersonation
	if c := lenient.Known(string(b.debug().CaseNumber)); c != "" {
		b.e.Reason = join(b.e.Reason, "case "+c)
	}
	return nil
}

// report is a person who says that it was not them.
func (b *build) report() error {
	b.e.Kind = event.UserReport
	d := b.debug()
	b.e.Report = &event.Report{EventID: lenient.Known(d.SuspiciousEventID), EventType: lenient.Known(d.SuspiciousEventType), IP: lenient.Known(d.SuspiciousEventIP)}
	return nil
}

func (b *build) riskDetected() error {
	b.e.Kind = event.RiskDetection
	b.e.Risk = b.risk()
	if b.e.Risk == nil {
		b.e.Risk = &event.Risk{}
	}
	r := b.e.Risk
	r.Type = b.in.EventType
	if p := b.debug().ProviderReportedRisk; p != "" {
		r.Detail = join(r.Detail, string(p))
	}
	if r.Detail == "" {
		r.Detail = b.e.Reason
	}
	if strings.Contains(r.Detail, "suspected to be hijacked") {
		r.SessionTheft = true
		b.e.Kind = event.SessionAnomaly
		b.e.SessionID = b.debug().ExternalSessionID
	}
	return nil
}

// risk reads Okta's verdict on the request and the behaviours it found new; nil
// where there is none.
func (b *build) risk() *event.Risk {
	d := b.debug()
	level, reasons := string(b.in.SecurityContext.Risk.Level), strings.Trim(string(b.in.SecurityContext.Risk.Reasons), "[]")
	for k, v := range javaMap(string(d.Risk)) {
		switch k {
		case "level":
			level = v
		case "reasons":
			reasons = v
		}
	}
	behaviors := d.Behaviors
	if d.LogOnlySecurityData != "" {
		var data struct {
			Risk struct {
				Level   lenient.Text `json:"level"`
				Reasons lenient.Text `json:"reasons"`
			} `json:"risk"`
			Behaviors lenient.Text `json:"behaviors"`
		}
		if err := json.Unmarshal([]byte(d.LogOnlySecurityData), &data); err != nil {
			b.warn("left out logOnlySecurityData: no JSON object")
		}
		if level == "" {
			level, reasons = string(data.Risk.Level), string(data.Risk.Reasons)
		}
		if behaviors == "" {
			behaviors = data.Behaviors
		}
	}
	var found []string
	if reasons = lenient.Known(reasons); reasons != "" {
		found = append(found, reasons)
	}
	for name := range positive(behaviors) {
		found = append(found, name)
	}
	for _, u := range b.in.SecurityContext.UserBehaviors {
		if u.Result == "POSITIVE" && !slices.Contains(found, u.Name) {
			found = append(found, u.Name)
		}
	}
	r := event.Risk{Level: riskLevel(level), Detail: strings.Join(found, ", ")}
	if d.ThreatSuspected == lenient.True {
		r.Type = "threat_suspected"
	}
	if r == (event.Risk{}) {
		return nil
	}
	return &r
}

func riskLevel(s string) string {
	switch l := strings.ToLower(strings.TrimSpace(s)); l {
	case "low", "medium", "high", "none":
		return l
	}
	return ""
}
