package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stepdown/ingest/event"
)

// Provider is what one folder beneath ingest offers to the others.
type Provider struct {
	// Source names it in events, in files' settings and in metrics.
	Source event.Source
	// Title for people: "Okta System Log".
	Title      string
	Normalizer Normalizer
	// Example is a YAML section to start from, with what the credential needs in
	// comments.
	Example string
	// Shows says what its logs can and cannot tell, as the documents of the
	// vendor have it.
	Shows []Capability
}

// Fact is something that a source may or may not tell. The list is closed.
type Fact string

// The facts, in the order in which they are printed.
const (
	// FactFactor: the exact method, on the record of the sign-in itself.
	FactFactor Fact = "factor of a sign-in"
	// FactPasskeyKind: device-bound or synced.
	FactPasskeyKind Fact = "kind of a passkey"
	// FactEnrolment: enrolment and removal of authenticators, as they happen.
	FactEnrolment Fact = "enrolment events"
	// FactInventory: what was enrolled before the first event.
	FactInventory  Fact = "enrolment inventory"
	FactRecovery   Fact = "recovery and resets"
	FactConsent    Fact = "consent to apps"
	FactPolicy     Fact = "policy changes"
	FactRole       Fact = "administrative roles"
	FactSession    Fact = "session identifier"
	FactDevice     Fact = "device"
	FactUserAgent  Fact = "user agent"
	FactCountry    Fact = "country"
	FactASN        Fact = "network (ASN)"
	FactHelpDesk   Fact = "who acted for whom"
	FactSignedPush Fact = "signed push"
)

// Facts lists them.
func Facts() []Fact {
	return []Fact{FactFactor, FactPasskeyKind, FactEnrolment, FactInventory, FactRecovery, FactConsent, FactPolicy,
		FactRole, FactSession, FactDevice, FactUserAgent, FactCountry, FactASN, FactHelpDesk, FactSignedPush}
}

// Extent is how far a source tells a fact.
type Extent string

// The extents.
const (
	Fully  Extent = "yes"
	Partly Extent = "partly"
	Never  Extent = "no"
)

// Capability says how far a source tells a fact; Note says what to know about
// it, and "unverified" where no vendor's document was seen to say so.
type Capability struct {
	Fact   Fact
	Extent Extent
	Note   string
}

// Settings are those of one live input. The pointer to a provider's Config
// implements it, and its YAML section decodes over what SetDefaults put there.
type Settings interface {
	SetDefaults()
	// Validate reports everything that is wrong, by the section's YAML path.
	Validate() error
	// Provider is what the settings belong to.
	Provider() Provider
	// Open returns the input's sources by stream. It opens no connection.
	Open(rt Runtime) (map[string]Source, error)
}

// Pushed is implemented by Settings whose provider pushes records.
type Pushed interface {
	// PushPath is where on the receiver it does; empty where it is polled.
	PushPath() string
}

// Receiver is a source to which records are pushed at a path of the receiver. Every
// collector that listens has one, so it is under no lease, and saves no position.
type Receiver interface {
	Source
	http.Handler
	Path() string
}

// Consumer is a Source that takes records away from where they are, as from a
// queue: it has no position, and nobody may look at it beside its collector.
type Consumer interface {
	Source
	// Consumes says from what, for people: "an SQS queue".
	Consumes() string
}

// Runtime is what a live source is given.
type Runtime struct {
	// Input names it in logs and metrics.
	Input string
	// Since is where a source without a cursor begins.
	Since time.Time
	Log   *slog.Logger
	// HTTP carries its requests.
	HTTP       http.RoundTripper
	Registerer prometheus.Registerer
	Now        func() time.Time
	// Wait returns after d, or with ctx's error when it ends before.
	Wait func(ctx context.Context, d time.Duration) error
}

// NewRuntime returns the runtime of a process: real time, Go's default transport.
func NewRuntime(input string, since time.Time, log *slog.Logger, reg prometheus.Registerer) Runtime {
	return Runtime{Input: input, Since: since, Log: log, HTTP: http.DefaultTransport, Registerer: reg, Now: time.Now, Wait: sleep}
}

// CredentialError says that a provider does not accept the credential, or not
// for what is asked: expired, revoked, without the scope. Waiting does not cure it.
type CredentialError struct {
	// Cure says what to do: "grant the scope okta.logs.read".
	Cure string
	Err  error
}

func (e *CredentialError) Error() string {
	if e.Cure == "" {
		return fmt.Sprintf("credential refused: %v", e.Err)
	}
	return fmt.Sprintf("credential refused: %v; %s", e.Err, e.Cure)
}

// Unwrap returns the cause.
func (e *CredentialError) Unwrap() error { return e.Err }
