package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
)

var (
	// ErrTooLarge is what Publish returns, as a *TooLargeError, for a record
	// above the limit. Retrying cannot help; the caller sets it aside.
	ErrTooLarge = errors.New("record is too large")
	// ErrAuth means that the brokers refused the credentials, or that this
	// side refused the brokers' certificate.
	ErrAuth = errors.New("authentication refused")
	// ErrNoTopic means that a topic does not exist.
	ErrNoTopic = errors.New("topic does not exist")
	// ErrLayout means that a topic's partitions are not what the
	// configuration says, so that keys would go to the wrong ones.
	ErrLayout = errors.New("topic layout differs from the configuration")
)

// TooLargeError says which records of a Publish were too large. It matches
// ErrTooLarge.
type TooLargeError struct {
	// Topic is where the records were to go.
	Topic string
	// Indexes are the positions of the records in the slice that was
	// published, ascending.
	Indexes []int
	// Size is the size of the first of them in bytes, Limit what is allowed.
	// Limit is 0 where a broker refused the record and did not say.
	Size, Limit int
}

func (e *TooLargeError) Error() string {
	if e.Limit == 0 {
		return fmt.Sprintf("publish to %s: a record of %d bytes is larger than the broker accepts", e.Topic, e.Size)
	}
	return fmt.Sprintf("publish to %s: a record of %d bytes is larger than %d", e.Topic, e.Size, e.Limit)
}

// Is makes errors.Is(err, ErrTooLarge) true.
func (e *TooLargeError) Is(target error) bool { return target == ErrTooLarge }

// explain adds our own meaning to an error of the client library.
func explain(err error) error {
	if err == nil || errors.Is(err, ErrAuth) {
		return err
	}
	var (
		unknownAuthority x509.UnknownAuthorityError
		hostname         x509.HostnameError
		invalid          x509.CertificateInvalidError
		verification     *tls.CertificateVerificationError
	)
	switch {
	case errors.Is(err, kafka.SASLAuthenticationFailed),
		errors.Is(err, kafka.UnsupportedSASLMechanism),
		errors.Is(err, kafka.IllegalSASLState),
		errors.Is(err, kafka.TopicAuthorizationFailed),
		errors.Is(err, kafka.GroupAuthorizationFailed),
		errors.Is(err, kafka.ClusterAuthorizationFailed),
		errors.As(err, &unknownAuthority),
		errors.As(err, &hostname),
		errors.As(err, &invalid),
		errors.As(err, &verification):
		return fmt.Errorf("%w: %w", ErrAuth, err)
	}
	return err
}

// hopeless reports whether trying again soon cannot mend err.
func hopeless(err error) bool {
	if errors.Is(err, ErrAuth) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrLayout) || errors.Is(err, context.Canceled) {
		return true
	}
	for _, code := range []kafka.Error{
		kafka.InvalidTopic, kafka.InvalidRecord, kafka.InvalidTimestamp, kafka.InvalidRequiredAcks,
		kafka.UnsupportedVersion, kafka.UnsupportedForMessageFormat, kafka.UnsupportedCompressionType,
		kafka.InvalidRequest, kafka.InvalidConfiguration, kafka.InvalidReplicationFactor,
		kafka.InvalidPartitionNumber, kafka.PolicyViolation, kafka.SecurityDisabled,
		kafka.OffsetOutOfRange, kafka.MessageSizeTooLarge, kafka.RecordListTooLarge,
	} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
