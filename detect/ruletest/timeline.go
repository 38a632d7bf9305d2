package ruletest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"stepdown/detect/alert"
	"stepdown/detect/rule"
	"stepdown/detect/rule/yamlpos"
	"stepdown/ingest/event"
)

const (
	key       event.Key    = "ada@example.com"
	oktaTest  event.Source = "okta"
	maxEvents              = 2000
)

// origin is the time that the spans of a timeline count from.
func origin() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }

// timeline is one test of a rule file.
type timeline struct {
	name   string
	at     yamlpos.Node
	events []event.Event
	expect []expectation
	atMost alert.Severity
}

type expectation struct {
	at       yamlpos.Node
	rule     string
	severity alert.Severity
	reason   alert.Reason
	time     time.Time
	message  string
}

// reader reads a timeline. It keeps the first error and goes on, so that its
// callers need not look after every field.
type reader struct {
	err         error
	n           int // of events made
	tier        event.Tier
	populations []string
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) text(n yamlpos.Node) string {
	s, err := n.Text()
	if err != nil {
		r.fail(err)
	}
	return strings.TrimSpace(s)
}

func (r *reader) one(n yamlpos.Node, known []string) string {
	s := r.text(n)
	if !slices.Contains(known, s) {
		r.fail(n.Errorf("%q is not possible here%s", s, yamlpos.DidYouMean(s, known)))
	}
	return s
}

func (r *reader) number(n yamlpos.Node) int {
	v, err := strconv.Atoi(r.text(n))
	if err != nil || v < -1 || v > maxEvents {
		r.fail(n.Errorf("must be a number up to %d", maxEvents))
		return 0
	}
	return v
}

func (r *reader) yes(n yamlpos.Node) bool {
	return r.one(n, []string{"true", "false"}) == "true"
}

func (r *reader) span(n yamlpos.Node) time.Duration {
	d, err := rule.ParseDuration(r.text(n))
	if err != nil {
		r.fail(n.Errorf("%v", err))
	}
	return d
}

// moment reads a signed span from origin.
func (r *reader) moment(n yamlpos.Node) time.Time {
	s := r.text(n)
	sign := time.Duration(1)
	switch {
	case strings.HasPrefix(s, "-"):
		sign = -1
	case !strings.HasPrefix(s, "+"):
		r.fail(n.Errorf("%q is not a time: write it with a sign, as in +5m or -30d", s))
		return origin()
	}
	d, err := rule.ParseDuration(s[1:])
	if err != nil {
		r.fail(n.Errorf("%q is not a time: write it like +5m or -30d", s))
	}
	return origin().Add(sign * d)
}

func (r *reader) list(n yamlpos.Node, what string) []yamlpos.Node {
	nodes, err := n.List(what)
	if err != nil {
		r.fail(err)
	}
	return nodes
}

func (r *reader) texts(n yamlpos.Node, what string) []string {
	var out []string
	for _, m := range r.list(n, what) {
		out = append(out, r.text(m))
	}
	return out
}

// fields reads a mapping by a table of its keys.
func (r *reader) fields(n yamlpos.Node, what string, table map[string]func(yamlpos.Node)) {
	pairs, err := n.Map(what)
	if err != nil {
		r.fail(err)
		return
	}
	for _, p := range pairs {
		read, ok := table[p.Key]
		switch {
		case !ok:
			r.fail(p.Unknown(slices.Sorted(maps.Keys(table))))
		case p.Value.IsZero():
			r.fail(p.Name.Errorf("%s is empty", p.Key))
		default:
			read(p.Value)
		}
	}
}

// readTimelines reads what stands under tests.
func readTimelines(n yamlpos.Node) ([]timeline, error) {
	nodes, err := n.List("tests")
	if err != nil {
		return nil, err
	}
	var out []timeline
	for _, m := range nodes {
		r := &reader{}
		t := timeline{at: m}
		expected := false
		r.fields(m, "a test", map[string]func(yamlpos.Node){
			"name":    func(n yamlpos.Node) { t.name = r.text(n) },
			"given":   func(n yamlpos.Node) { t.events = append(t.events, r.given(n)...) },
			"events":  func(n yamlpos.Node) { t.events = append(t.events, r.timeline(n)...) },
			"expect":  func(n yamlpos.Node) { expected = true; t.expect = r.expectations(n) },
			"at_most": func(n yamlpos.Node) { t.atMost = r.severity(n) },
		})
		switch {
		case t.name == "":
			r.fail(m.Errorf("name is missing: say what happens in the timeline"))
		case !expected:
			r.fail(m.Errorf("expect is missing: list the alerts, or [] for none"))
		}
		if r.err != nil {
			return nil, r.err
		}
		for i := range t.events {
			e := &t.events[i]
			e.Tier, e.Populations = r.tier, r.populations
			if err := e.Validate(); err != nil {
				return nil, m.Errorf("test %q: %v", t.name, err)
			}
		}
		slices.SortStableFunc(t.events, func(a, b event.Event) int { return a.Time.Compare(b.Time) })
		out = append(out, t)
	}
	return out, nil
}

func (r *reader) severity(n yamlpos.Node) alert.Severity {
	s, err := alert.ParseSeverity(r.text(n))
	if err != nil {
		r.fail(n.Errorf("%v", err))
	}
	return s
}

func (r *reader) expectations(n yamlpos.Node) []expectation {
	var out []expectation
	for _, m := range r.list(n, "expect") {
		x := expectation{at: m}
		r.fields(m, "an expected alert", map[string]func(yamlpos.Node){
			"rule":     func(n yamlpos.Node) { x.rule = r.text(n) },
			"severity": func(n yamlpos.Node) { x.severity = r.severity(n) },
			"at":       func(n yamlpos.Node) { x.time = r.moment(n) },
			"message":  func(n yamlpos.Node) { x.message = r.text(n) },
			"reason": func(n yamlpos.Node) {
				if x.reason = alert.Reason(r.text(n)); !x.reason.Valid() {
					r.fail(n.Errorf("%q is not a reason: use one of %v", x.reason, alert.Reasons()))
				}
			},
		})
		if x.rule == "" {
			r.fail(m.Errorf("rule is missing: name the rule that raises the alert"))
		}
		out = append(out, x)
	}
	return out
}

// given turns what was there before into the events that tell of it.
func (r *reader) given(n yamlpos.Node) []event.Event {
	var out []event.Event
	table := map[string]func(yamlpos.Node){
		"tier": func(n yamlpos.Node) {
			r.tier = event.Tier(r.text(n))
			if !r.tier.Valid() {
				r.fail(n.Errorf("%q is not a tier", r.tier))
			}
		},
		"populations": func(n yamlpos.Node) { r.populations = r.texts(n, "populations") },
		"privileged_role": func(n yamlpos.Node) {
			e := r.event(event.RoleChange, origin().AddDate(0, 0, -90))
			e.Role = &event.Role{Roles: []string{r.text(n)}, Granted: true, Privileged: true}
			out = append(out, e)
		},
		"signed_in": func(n yamlpos.Node) {
			list := []yamlpos.Node{n}
			if n.IsList() {
				list = r.list(n, "signed_in")
			}
			for _, m := range list {
				out = append(out, r.signedIn(m)...)
			}
		},
	}
	for _, m := range event.Methods() {
		table[string(m)] = func(n yamlpos.Node) {
			e := r.event(event.AuthenticatorEnrolled, origin().AddDate(0, 0, -60))
			a := event.NewAuthenticator(m)
			r.fields(n, "an authenticator", map[string]func(yamlpos.Node){
				"since":  func(n yamlpos.Node) { e.Time = r.moment(n) },
				"name":   func(n yamlpos.Node) { a.Name = r.text(n) },
				"id":     func(n yamlpos.Node) { a.ID = r.text(n) },
				"source": func(n yamlpos.Node) { e.Source = event.Source(r.text(n)) },
			})
			e.Authenticators = []event.Authenticator{a}
			e.Observed = e.Time.Add(time.Minute)
			out = append(out, e)
		}
	}
	r.fields(n, "given", table)
	return out
}

// signedIn makes one sign-in a day up to the day before the timeline.
func (r *reader) signedIn(n yamlpos.Node) []event.Event {
	times := 1
	e := r.event(event.SignIn, origin())
	table := r.common(&e)
	table["times"] = func(n yamlpos.Node) { times = r.number(n) }
	r.fields(n, "signed_in", table)
	var out []event.Event
	for day := times; day >= 1; day-- {
		one := e
		at := e.Time.AddDate(0, 0, -day)
		one.ID, one.FlowID = fmt.Sprintf("%s-day%d", e.ID, day), fmt.Sprintf("%s-day%d", e.FlowID, day)
		if e.SessionID != "" {
			one.SessionID = fmt.Sprintf("%s-day%d", e.SessionID, day)
		}
		one.Time, one.Observed = at, at.Add(time.Minute)
		out = append(out, one)
	}
	return out
}

// timeline reads the events of a test.
func (r *reader) timeline(n yamlpos.Node) []event.Event {
	var out []event.Event
	kinds := event.Kinds()
	for _, m := range r.list(n, "events") {
		pairs, err := m.Map("an event")
		if err != nil {
			r.fail(err)
			return nil
		}
		var at time.Time
		times, every := 1, time.Minute
		var kind event.Kind
		var body yamlpos.Node
		for _, p := range pairs {
			switch {
			case p.Key == "at":
				at = r.moment(p.Value)
			case p.Key == "times":
				times = r.number(p.Value)
			case p.Key == "every":
				every = r.span(p.Value)
			case !event.Kind(p.Key).Valid():
				known := []string{"at", "times", "every"}
				for _, k := range kinds {
					known = append(known, string(k))
				}
				r.fail(p.Unknown(known))
			case kind != "":
				r.fail(p.Name.Errorf("an event is of one kind, this one is %s already", kind))
			default:
				kind, body = event.Kind(p.Key), p.Value
			}
		}
		if r.err != nil {
			return nil
		}
		if at.IsZero() || kind == "" {
			r.fail(m.Errorf("an event needs a time (at: +5m) and a kind (sign_in: {…})"))
			return nil
		}
		for i := range times {
			e := r.event(kind, at.Add(time.Duration(i)*every))
			if !body.IsZero() {
				r.fields(body, string(kind), r.common(&e))
			}
			if times > 1 && i > 0 {
				e.ID += "-" + strconv.Itoa(i)
			}
			out = append(out, e)
		}
	}
	return out
}

// event returns an event of the person at home with the laptop.
func (r *reader) event(kind event.Kind, at time.Time) event.Event {
	r.n++
	if r.n > maxEvents {
		r.fail(fmt.Errorf("a timeline has more than %d events", maxEvents))
	}
	e := event.Event{
		Schema: event.SchemaVersion, ID: fmt.Sprintf("e%d", r.n), Source: oktaTest, Tenant: "example.okta.com",
		Kind: kind, Action: "test." + string(kind), Time: at, Observed: at.Add(time.Minute), Key: key,
		Subject: event.Principal{ID: "u1", Name: string(key), Type: "user", Key: key},
		Outcome: event.Success,
	}
	e.Actor = e.Subject
	switch kind {
	case event.SignIn, event.FactorChallenge, event.SessionStart:
		e.FlowID = fmt.Sprintf("f%d", r.n)
	case event.AuthenticatorSnapshot:
		e.Snapshot = &event.Snapshot{Complete: true}
	case event.RecoveryActivity:
		e.Recovery = &event.Recovery{Stage: event.RecoveryCompleted, SelfService: true}
	case event.RecoveryCredentialIssued:
		e.Recovery = &event.Recovery{Stage: event.RecoveryIssued}
	case event.ContactChange:
		e.Contact = &event.Contact{Kind: "phone"}
	case event.ConsentGrant, event.ConsentRevoke:
		e.Consent = &event.Consent{}
	case event.PolicyChange, event.TrustChange, event.LoggingChange:
		e.Policy = &event.Policy{}
	case event.RoleChange:
		e.Role = &event.Role{Granted: true}
	case event.RiskDetection:
		e.Risk = &event.Risk{}
	}
	home(&e)
	laptop(&e)
	return e
}

// common is the table of the fields of an event.
func (r *reader) common(e *event.Event) map[string]func(yamlpos.Node) {
	return map[string]func(yamlpos.Node){
		"id":       func(n yamlpos.Node) { e.ID = r.text(n) },
		"source":   func(n yamlpos.Node) { e.Source = event.Source(r.text(n)) },
		"from":     func(n yamlpos.Node) { r.from(e, n) },
		"with":     func(n yamlpos.Node) { r.with(e, n) },
		"outcome":  func(n yamlpos.Node) { e.Outcome = event.Outcome(r.text(n)) },
		"methods":  func(n yamlpos.Node) { r.methods(e, n) },
		"flow":     func(n yamlpos.Node) { e.FlowID = r.text(n) },
		"session":  func(n yamlpos.Node) { e.SessionID = r.text(n) },
		"protocol": func(n yamlpos.Node) { e.Protocol = event.Protocol(r.text(n)) },
		"action":   func(n yamlpos.Node) { e.Action = r.text(n) },
		"reason":   func(n yamlpos.Node) { e.Reason = r.text(n) },
		"stream":   func(n yamlpos.Node) { e.Stream = r.text(n) },
		"by": func(n yamlpos.Node) {
			name := r.text(n)
			if !strings.Contains(name, "@") {
				name += "@example.com"
			}
			e.Actor = event.Principal{ID: name, Name: name, Type: "admin", Key: event.Key(name)}
			if e.Recovery != nil {
				e.Recovery.SelfService = false
			}
		},
		"app": func(n yamlpos.Node) {
			e.App = &event.App{}
			if n.IsText() {
				e.App.Name, e.App.ID = r.text(n), r.text(n)
				return
			}
			r.fields(n, "app", map[string]func(yamlpos.Node){
				"id":       func(n yamlpos.Node) { e.App.ID = r.text(n) },
				"name":     func(n yamlpos.Node) { e.App.Name = r.text(n) },
				"admin":    func(n yamlpos.Node) { e.App.Admin = r.yes(n) },
				"client":   func(n yamlpos.Node) { e.App.Client = r.text(n) },
				"resource": func(n yamlpos.Node) { e.App.ResourceName = r.text(n) },
			})
		},
		"consent": func(n yamlpos.Node) {
			c := &event.Consent{}
			e.Consent = c
			r.fields(n, "consent", map[string]func(yamlpos.Node){
				"app":       func(n yamlpos.Node) { c.AppName = r.text(n) },
				"app_id":    func(n yamlpos.Node) { c.AppID = r.text(n) },
				"scopes":    func(n yamlpos.Node) { c.Scopes = r.texts(n, "scopes") },
				"publisher": func(n yamlpos.Node) { c.Publisher = r.text(n) },
				"verified": func(n yamlpos.Node) {
					v := r.yes(n)
					c.Verified = &v
				},
				"by_admin":    func(n yamlpos.Node) { c.ByAdmin = r.yes(n) },
				"tenant_wide": func(n yamlpos.Node) { c.TenantWide = r.yes(n) },
			})
		},
		"recovery": func(n yamlpos.Node) {
			v := &event.Recovery{SelfService: !e.ByOther()}
			e.Recovery = v
			r.fields(n, "recovery", map[string]func(yamlpos.Node){
				"stage":    func(n yamlpos.Node) { v.Stage = event.RecoveryStage(r.text(n)) },
				"method":   func(n yamlpos.Node) { v.Method = event.Method(r.text(n)) },
				"uses":     func(n yamlpos.Node) { v.Uses = r.number(n) },
				"lifetime": func(n yamlpos.Node) { v.Lifetime = r.span(n) },
			})
		},
		"contact": func(n yamlpos.Node) {
			r.fields(n, "contact", map[string]func(yamlpos.Node){
				"kind": func(n yamlpos.Node) { e.Contact = &event.Contact{Kind: r.one(n, []string{"email", "phone"})} },
			})
		},
		"role": func(n yamlpos.Node) {
			v := &event.Role{Granted: true}
			e.Role = v
			r.fields(n, "role", map[string]func(yamlpos.Node){
				"names":      func(n yamlpos.Node) { v.Roles = r.texts(n, "names") },
				"granted":    func(n yamlpos.Node) { v.Granted = r.yes(n) },
				"privileged": func(n yamlpos.Node) { v.Privileged = r.yes(n) },
				"eligible":   func(n yamlpos.Node) { v.Eligible = r.yes(n) },
			})
		},
		"policy": func(n yamlpos.Node) {
			v := &event.Policy{}
			e.Policy = v
			r.fields(n, "policy", map[string]func(yamlpos.Node){
				"name":   func(n yamlpos.Node) { v.Name = r.text(n) },
				"type":   func(n yamlpos.Node) { v.Type = r.text(n) },
				"change": func(n yamlpos.Node) { v.Change = r.text(n) },
				"weakened": func(n yamlpos.Node) {
					for _, s := range r.texts(n, "weakened") {
						v.Weakened = append(v.Weakened, event.Weakening(s))
					}
				},
			})
		},
		"risk": func(n yamlpos.Node) {
			v := &event.Risk{}
			e.Risk = v
			r.fields(n, "risk", map[string]func(yamlpos.Node){
				"type":          func(n yamlpos.Node) { v.Type = r.text(n) },
				"level":         func(n yamlpos.Node) { v.Level = r.text(n) },
				"session_theft": func(n yamlpos.Node) { v.SessionTheft = r.yes(n) },
			})
		},
	}
}

// methods reads factors of a sign-in, or authenticators.
func (r *reader) methods(e *event.Event, n yamlpos.Node) {
	known := make([]string, 0, len(event.Methods()))
	for _, m := range event.Methods() {
		known = append(known, string(m))
	}
	signIn := e.Kind == event.SignIn || e.Kind == event.FactorChallenge || e.Kind == event.SessionStart
	e.Factors, e.Authenticators = nil, nil
	add := func(name string, result event.Result) {
		m := event.Method(name)
		if signIn {
			e.Factors = append(e.Factors, event.NewFactor(m, result))
		} else {
			e.Authenticators = append(e.Authenticators, event.NewAuthenticator(m))
		}
	}
	for _, m := range r.list(n, "methods") {
		if !m.IsMap() {
			add(r.one(m, known), event.Verified)
			continue
		}
		pairs, err := m.Map("a method")
		if err != nil {
			r.fail(err)
			return
		}
		for _, p := range pairs {
			result := r.one(p.Value, []string{"verified", "failed", "rejected", "unanswered", "pending"})
			add(r.one(p.Name, known), event.Result(result))
		}
	}
}

// from reads where the browser is. The addresses are those set aside for
// documentation, the networks those of RFC 5398.
func (r *reader) from(e *event.Event, n yamlpos.Node) {
	if n.IsMap() {
		p := event.Endpoint{}
		r.fields(n, "from", map[string]func(yamlpos.Node){
			"ip":      func(n yamlpos.Node) { p.IP = r.text(n) },
			"asn":     func(n yamlpos.Node) { p.ASN = uint32(max(0, r.asn(n))) },
			"country": func(n yamlpos.Node) { p.Country = r.text(n) },
			"proxy":   func(n yamlpos.Node) { p.Proxy = r.yes(n) },
		})
		e.Endpoint = p
		return
	}
	switch r.one(n, []string{"home", "office", "mobile", "hotel", "vpn", "hosting", "none"}) {
	case "home":
		home(e)
	case "office":
		e.Endpoint = event.Endpoint{IP: "192.0.2.130", ASN: 64497, ASOrg: "Example Office", Country: "NL"}
	case "mobile":
		e.Endpoint = event.Endpoint{IP: "198.51.100.20", ASN: 64498, ASOrg: "Example Mobile", Country: "NL"}
	case "hotel":
		e.Endpoint = event.Endpoint{IP: "198.51.100.130", ASN: 64499, ASOrg: "Example Hotels", Country: "DE"}
	case "vpn":
		e.Endpoint = event.Endpoint{IP: "203.0.113.20", ASN: 64500, ASOrg: "Example VPN", Country: "NL"}
	case "hosting":
		e.Endpoint = event.Endpoint{IP: "203.0.113.130", ASN: 64501, ASOrg: "Example Hosting", Country: "US"}
	case "none":
		e.Endpoint = event.Endpoint{}
	}
}

func (r *reader) asn(n yamlpos.Node) int {
	v, err := strconv.Atoi(r.text(n))
	if err != nil {
		r.fail(n.Errorf("must be a number"))
	}
	return v
}

func home(e *event.Event) {
	e.Endpoint = event.Endpoint{IP: "192.0.2.10", ASN: 64496, ASOrg: "Example Broadband", Country: "NL"}
}

// with reads what the person holds.
func (r *reader) with(e *event.Event, n yamlpos.Node) {
	managed, private := true, false
	switch r.one(n, []string{"laptop", "new_laptop", "phone", "new_phone", "copied_browser", "kiosk", "none"}) {
	case "laptop":
		laptop(e)
	case "new_laptop":
		e.UserAgent = event.UserAgent{Browser: "Edge", OS: "Windows"}
		e.Device = &event.Device{ID: "d-new-laptop", Managed: &managed}
	case "phone":
		e.UserAgent = event.UserAgent{Browser: "Safari", OS: "iOS"}
		e.Device = &event.Device{ID: "d-phone", Managed: &private}
	case "new_phone":
		e.UserAgent = event.UserAgent{Browser: "Safari", OS: "iOS"}
		e.Device = &event.Device{ID: "d-new-phone", Managed: &private}
	case "copied_browser":
		e.UserAgent, e.Device = event.UserAgent{Browser: "Chrome", OS: "Windows"}, nil
	case "kiosk":
		e.UserAgent, e.Device = event.UserAgent{Browser: "Firefox", OS: "Linux"}, nil
	case "none":
		e.UserAgent, e.Device = event.UserAgent{}, nil
	}
}

func laptop(e *event.Event) {
	managed := true
	e.UserAgent = event.UserAgent{Browser: "Chrome", OS: "Windows"}
	e.Device = &event.Device{ID: "d-laptop", Managed: &managed}
}
