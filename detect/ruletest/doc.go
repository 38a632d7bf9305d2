// Package ruletest runs the tests that stand in rule files: timelines of one
// synthetic person, told in short forms, with the alerts that must come of them.
// The tests of package rules and the command line call it.
//
// It owns the short forms. It refuses to judge by itself: a timeline goes through
// the same engine as live events, with every rule of the pack loaded.
//
// # A timeline
//
//	tests:
//	  - name: a relay on a hosting network takes a text message instead
//	    given:
//	      tier: privileged
//	      passkey: {since: -30d}
//	      signed_in: {methods: [password, passkey], times: 20, from: home, with: laptop}
//	    events:
//	      - at: +5m
//	        sign_in: {methods: [password, sms], from: hosting, with: copied_browser}
//	    expect:
//	      - {rule: DG-01, severity: high, at: +5m, reason: other_ground, message: text message}
//
// Times are spans from noon of 2 March 2026, with a sign: -30d, +5m, +1h30m.
//
// given tells what was there before:
//
//	tier, populations  as on the event
//	privileged_role    the name of a role that is held
//	<method>           an enrolled authenticator: {since, name, source, id}
//	signed_in          earlier sign-ins, one a day up to the day before: a mapping
//	                   or a list of them, with times and what sign_in has
//
// An entry of events is at, then one kind of event with its fields, and times and
// every where it repeats (times: 6, every: 30s). Fields that every kind has, all
// optional:
//
//	source    "okta"
//	from      home (the default), office, mobile, hotel, vpn, hosting, or
//	          {ip, asn, country, proxy}; none for a source that does not say
//	with      laptop (the default), new_laptop, phone, new_phone; copied_browser is
//	          the laptop's browser without its device, kiosk another browser
//	          without a device; none for a source that does not say
//	outcome   success
//	methods   factors of a sign-in, or authenticators otherwise: a list of methods,
//	          each verified, or as {sms: failed} with its result
//	flow      ties records of one sign-in; each record is its own by default
//	session, protocol, action, reason, stream
//	by        who did it, where it was somebody else: a name
//	app       a name, or {id, name, admin, client, resource}
//	id        of the record; a record given twice with one id is a rewritten one
//
// and by kind: consent {app, app_id, scopes, publisher, verified, by_admin,
// tenant_wide}, recovery {stage, method, uses, lifetime}, contact {kind}, role
// {names, granted, privileged, eligible}, policy {name, type, change, weakened},
// risk {type, level, session_theft}.
//
// expect lists the alerts that stand at the end; severity, at, reason and message
// (a part of the title) are compared where they are given. The rule of the file
// must raise exactly those; other rules may say more, and must raise what is
// listed of them. An empty list means that the rule is quiet. at_most is the
// highest severity that any rule of the pack may reach in the timeline.
package ruletest
