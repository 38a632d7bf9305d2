package clickhouse

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"stepdown/ingest/event"
)

// InsertEvents writes events. The same batch inserted again is not written
// twice, nor are events that are there in another batch counted twice. It
// returns *sinks.RefusedError for events that the server will never take; any
// other error is of the moment, and nothing is promised of the batch until it
// was inserted again.
func (s *Store) InsertEvents(ctx context.Context, events []event.Event) error {
	err := insert(ctx, s, target[event.Event]{tableEvents, eventColumns(), eventSize, eventVersion}, events)
	if err == nil {
		s.countExpired(events, time.Now())
	}
	return err
}

// countExpired counts the events that the retention takes away again.
func (s *Store) countExpired(events []event.Event, now time.Time) {
	oldest := now.Add(-s.cfg.Retention.Events)
	expired := 0
	for i := range events {
		if events[i].Time.Before(oldest) {
			expired++
		}
	}
	if expired == 0 {
		return
	}
	s.metrics.expired.Add(float64(expired))
	s.sayExpired.Do(func() {
		s.log.Warn("events are older than clickhouse.retention.events and are not kept", slog.Int("events", expired),
			slog.Duration("retention", s.cfg.Retention.Events))
	})
}

// eventVersion names one observation of one event.
func eventVersion(h io.Writer, e *event.Event) {
	fmt.Fprintf(h, "%q %q %q %d\n", e.Source, e.Tenant, e.ID, e.Observed.UnixNano())
}

// CountEvents returns the number of events, each counted once.
func (s *Store) CountEvents(ctx context.Context) (uint64, error) {
	return s.count(ctx, "SELECT count() FROM {db}."+tableEvents+" FINAL")
}

// eventSize is roughly the text of an event; all but the raw record is small.
func eventSize(e *event.Event) int { return len(e.Raw) + len(e.UserAgent.Raw) + 1024 }

// part returns what p points at, or the zero value.
func part[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// each returns one value per factor of the event.
func each[V any](get func(*event.Factor) V) func(*event.Event) []V {
	return func(e *event.Event) []V {
		values := make([]V, len(e.Factors))
		for i := range e.Factors {
			values[i] = get(&e.Factors[i])
		}
		return values
	}
}

// eachEnrolled returns one value per authenticator of the event.
func eachEnrolled(get func(*event.Authenticator) string) func(*event.Event) []string {
	return func(e *event.Event) []string {
		values := make([]string, len(e.Authenticators))
		for i := range e.Authenticators {
			values[i] = get(&e.Authenticators[i])
		}
		return values
	}
}

// texts returns strings for values of a string type, which the driver does not know.
func texts[T ~string](values []T) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = string(v)
	}
	return list
}

// eventColumns are those of the table events, in its order.
func eventColumns() []column[event.Event] {
	type e = event.Event
	best := func(x *e) event.Factor { f, _ := event.Strongest(x.Factors); return f }
	return []column[e]{
		value("id", func(x *e) string { return x.ID }),
		value("source", func(x *e) string { return string(x.Source) }),
		value("tenant", func(x *e) string { return x.Tenant }),
		value("stream", func(x *e) string { return x.Stream }),
		value("kind", func(x *e) string { return string(x.Kind) }),
		value("action", func(x *e) string { return x.Action }),
		value("time", func(x *e) time.Time { return x.Time }),
		value("observed_at", func(x *e) time.Time { return x.Observed }),
		value("ingested_at", func(x *e) time.Time { return x.Ingested }),

		value("identity", func(x *e) string { return string(x.Key) }),
		value("tier", func(x *e) string { return string(x.Tier) }),
		list("populations", func(x *e) []string { return x.Populations }),
		value("subject_id", func(x *e) string { return x.Subject.ID }),
		value("subject_name", func(x *e) string { return x.Subject.Name }),
		value("subject_display_name", func(x *e) string { return x.Subject.DisplayName }),
		value("subject_type", func(x *e) string { return x.Subject.Type }),
		value("actor_identity", func(x *e) string { return string(x.Actor.Key) }),
		value("actor_id", func(x *e) string { return x.Actor.ID }),
		value("actor_name", func(x *e) string { return x.Actor.Name }),
		value("actor_display_name", func(x *e) string { return x.Actor.DisplayName }),
		value("actor_type", func(x *e) string { return x.Actor.Type }),
		value("by_other", func(x *e) bool { return x.ByOther() }),

		value("outcome", func(x *e) string { return string(x.Outcome) }),
		value("reason", func(x *e) string { return x.Reason }),
		value("best_method", func(x *e) string { return string(best(x).Method) }),
		value("best_class", func(x *e) string { return string(best(x).Class) }),
		value("best_rank", func(x *e) uint8 { return uint8(best(x).Rank) }),
		list("factor_methods", each(func(f *event.Factor) string { return string(f.Method) })),
		list("factor_classes", each(func(f *event.Factor) string { return string(f.Class) })),
		list("factor_ranks", each(func(f *event.Factor) uint8 { return uint8(f.Rank) })),
		list("factor_results", each(func(f *event.Factor) string { return string(f.Result) })),
		list("factor_steps", each(func(f *event.Factor) string { return string(f.Step) })),
		list("factor_fresh", each(func(f *event.Factor) bool { return f.Fresh })),
		list("factor_credential_ids", each(func(f *event.Factor) string { return f.CredentialID })),
		list("factor_aaguids", each(func(f *event.Factor) string { return f.AAGUID })),
		list("factor_details", each(func(f *event.Factor) string { return f.Detail })),

		value("endpoint_ip", func(x *e) string { return x.Endpoint.IP }),
		value("endpoint_asn", func(x *e) uint32 { return x.Endpoint.ASN }),
		value("endpoint_as_org", func(x *e) string { return x.Endpoint.ASOrg }),
		value("endpoint_country", func(x *e) string { return x.Endpoint.Country }),
		value("endpoint_region", func(x *e) string { return x.Endpoint.Region }),
		value("endpoint_city", func(x *e) string { return x.Endpoint.City }),
		value("endpoint_lat", func(x *e) *float64 { return x.Endpoint.Lat }),
		value("endpoint_lon", func(x *e) *float64 { return x.Endpoint.Lon }),
		value("endpoint_proxy", func(x *e) bool { return x.Endpoint.Proxy }),
		value("authenticator_ip", func(x *e) string { return part(x.AuthenticatorEndpoint).IP }),
		value("authenticator_asn", func(x *e) uint32 { return part(x.AuthenticatorEndpoint).ASN }),
		value("authenticator_country", func(x *e) string { return part(x.AuthenticatorEndpoint).Country }),
		value("authenticator_city", func(x *e) string { return part(x.AuthenticatorEndpoint).City }),
		value("user_agent", func(x *e) string { return x.UserAgent.Raw }),
		value("browser", func(x *e) string { return x.UserAgent.Browser }),
		value("os", func(x *e) string { return x.UserAgent.OS }),

		value("device_id", func(x *e) string { return part(x.Device).ID }),
		value("device_name", func(x *e) string { return part(x.Device).Name }),
		value("device_os", func(x *e) string { return part(x.Device).OS }),
		value("device_managed", func(x *e) *bool { return part(x.Device).Managed }),
		value("device_compliant", func(x *e) *bool { return part(x.Device).Compliant }),
		value("device_registered", func(x *e) *bool { return part(x.Device).Registered }),
		value("device_trust_type", func(x *e) string { return part(x.Device).TrustType }),
		value("device_fingerprint", func(x *e) string { return part(x.Device).Fingerprint }),
		value("app_id", func(x *e) string { return part(x.App).ID }),
		value("app_name", func(x *e) string { return part(x.App).Name }),
		value("app_resource_id", func(x *e) string { return part(x.App).ResourceID }),
		value("app_resource_name", func(x *e) string { return part(x.App).ResourceName }),
		value("app_client", func(x *e) string { return part(x.App).Client }),
		value("app_admin", func(x *e) bool { return part(x.App).Admin }),
		value("session_id", func(x *e) string { return x.SessionID }),
		value("flow_id", func(x *e) string { return x.FlowID }),
		value("protocol", func(x *e) string { return string(x.Protocol) }),

		list("enrolment_ids", eachEnrolled(func(a *event.Authenticator) string { return a.ID })),
		list("enrolment_methods", eachEnrolled(func(a *event.Authenticator) string { return string(a.Method) })),
		list("enrolment_names", eachEnrolled(func(a *event.Authenticator) string { return a.Name })),
		list("enrolment_aaguids", eachEnrolled(func(a *event.Authenticator) string { return a.AAGUID })),
		value("snapshot_complete", func(x *e) *bool {
			if x.Snapshot == nil {
				return nil
			}
			return &x.Snapshot.Complete
		}),
		value("recovery_stage", func(x *e) string { return string(part(x.Recovery).Stage) }),
		value("recovery_method", func(x *e) string { return string(part(x.Recovery).Method) }),
		value("recovery_self_service", func(x *e) *bool {
			if x.Recovery == nil {
				return nil
			}
			return &x.Recovery.SelfService
		}),
		value("recovery_lifetime_seconds", func(x *e) uint32 { return uint32(part(x.Recovery).Lifetime / time.Second) }),
		value("recovery_uses", func(x *e) int32 { return int32(part(x.Recovery).Uses) }),
		value("contact_kind", func(x *e) string { return part(x.Contact).Kind }),
		value("contact_primary", func(x *e) *bool {
			if x.Contact == nil {
				return nil
			}
			return &x.Contact.Primary
		}),
		value("contact_value", func(x *e) string { return part(x.Contact).Value }),
		value("consent_app_id", func(x *e) string { return part(x.Consent).AppID }),
		value("consent_app_name", func(x *e) string { return part(x.Consent).AppName }),
		value("consent_publisher", func(x *e) string { return part(x.Consent).Publisher }),
		value("consent_verified", func(x *e) *bool { return part(x.Consent).Verified }),
		list("consent_scopes", func(x *e) []string { return part(x.Consent).Scopes }),
		value("consent_by_admin", func(x *e) bool { return part(x.Consent).ByAdmin }),
		value("consent_tenant_wide", func(x *e) bool { return part(x.Consent).TenantWide }),
		value("consent_resource", func(x *e) string { return part(x.Consent).Resource }),
		value("consent_grant_id", func(x *e) string { return part(x.Consent).GrantID }),
		value("policy_id", func(x *e) string { return part(x.Policy).ID }),
		value("policy_name", func(x *e) string { return part(x.Policy).Name }),
		value("policy_type", func(x *e) string { return part(x.Policy).Type }),
		value("policy_change", func(x *e) string { return part(x.Policy).Change }),
		list("policy_weakened", func(x *e) []string { return texts(part(x.Policy).Weakened) }),
		value("policy_before", func(x *e) string { return part(x.Policy).Before }),
		value("policy_after", func(x *e) string { return part(x.Policy).After }),
		list("roles", func(x *e) []string { return part(x.Role).Roles }),
		value("role_full", func(x *e) bool { return part(x.Role).Full }),
		value("role_granted", func(x *e) bool { return part(x.Role).Granted }),
		value("role_privileged", func(x *e) bool { return part(x.Role).Privileged }),
		value("role_eligible", func(x *e) bool { return part(x.Role).Eligible }),
		value("risk_type", func(x *e) string { return part(x.Risk).Type }),
		value("risk_level", func(x *e) string { return part(x.Risk).Level }),
		value("risk_state", func(x *e) string { return part(x.Risk).State }),
		value("risk_session_theft", func(x *e) bool { return part(x.Risk).SessionTheft }),
		value("risk_detail", func(x *e) string { return part(x.Risk).Detail }),
		value("risk_event_id", func(x *e) string { return part(x.Risk).EventID }),
		value("report_event_id", func(x *e) string { return part(x.Report).EventID }),
		value("report_event_type", func(x *e) string { return part(x.Report).EventType }),
		value("report_ip", func(x *e) string { return part(x.Report).IP }),

		value("raw", func(x *e) []byte { return x.Raw }),
		list("warnings", func(x *e) []string { return x.Warnings }),
	}
}
