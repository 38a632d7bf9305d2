package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"stepdown/ingest"
	"stepdown/ingest/poll"
	"stepdown/ingest/rest"
	"stepdown/ingest/secret"
)

// Config is one trail that is read live, and the account whose IAM users are read.
// The trail takes sqs:ReceiveMessage, sqs:ChangeMessageVisibility and sqs:DeleteMessage
// on its queue, s3:GetObject on its objects, and kms:Decrypt where they are encrypted
// with a key of one's own.
type Config struct {
	// QueueURL is the SQS queue that is told of new objects of the trail; nothing
	// else reads from it. Without one only the inventory is read.
	QueueURL string `yaml:"queue_url,omitempty"`
	// Region of the queue and the bucket: "eu-central-1".
	Region string `yaml:"region"`
	// URL is another address of all services: a private endpoint, a fake.
	URL string `yaml:"url,omitempty"`
	// AccessKey is a key with its secret. Without one the usual chain applies: the
	// environment, the shared files, the role of the container, instance or cluster.
	AccessKey AccessKey `yaml:"access_key,omitempty"`
	// RoleARN is assumed with those credentials; ExternalID goes with it.
	RoleARN    string `yaml:"role_arn,omitempty"`
	ExternalID string `yaml:"external_id,omitempty"`
	// Tenant names the input's account where a record has none.
	Tenant string `yaml:"tenant,omitempty"`
	// Timeout is for one request; the body of an object may take longer.
	Timeout time.Duration `yaml:"timeout"`
	// Visibility is how long the queue keeps a message that is being worked on from
	// others; it is renewed with each batch.
	Visibility time.Duration `yaml:"visibility"`
	// Inventory reads the IAM users of the account of the credentials.
	Inventory poll.SweepConfig `yaml:"inventory"`
}

// AccessKey is a long-lived key. A role is better where there can be one.
type AccessKey struct {
	ID     string        `yaml:"id"`
	Secret secret.Secret `yaml:"secret"`
}

var _ ingest.Settings = (*Config)(nil)

// SetDefaults implements ingest.Settings.
func (c *Config) SetDefaults() {
	*c = Config{Timeout: time.Minute, Visibility: 5 * time.Minute, Inventory: poll.DefaultSweepConfig()}
}

// maxVisibility is what SQS allows.
const maxVisibility = 12 * time.Hour

// Validate implements ingest.Settings.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if u, err := url.Parse(c.QueueURL); c.QueueURL != "" && (err != nil || u.Host == "" || strings.Count(u.Path, "/") < 2) {
		wrong("queue_url: is no address of a queue; use one such as https://sqs.eu-central-1.amazonaws.com/111122223333/trail")
	}
	if err := rest.ValidateBase(c.URL); c.URL != "" && err != nil {
		wrong("url: %w", err)
	}
	switch {
	case c.Region == "":
		wrong("region: is not set; use that of the bucket, such as eu-central-1")
	case strings.ContainsAny(c.Region, "/.: "):
		wrong("region: %q is no name of a region", c.Region)
	}
	switch key := c.AccessKey; {
	case key.ID == "" && !key.Secret.IsZero():
		wrong("access_key.id: is not set beside access_key.secret")
	case key.ID != "" && key.Secret.IsZero():
		wrong("access_key.secret: is not set beside access_key.id")
	}
	if c.RoleARN != "" && !strings.HasPrefix(resourceOf(c.RoleARN), "role/") {
		wrong("role_arn: is no role; use one such as arn:aws:iam::111122223333:role/stepdown")
	}
	if c.ExternalID != "" && c.RoleARN == "" {
		wrong("external_id: is set without role_arn")
	}
	if c.Timeout < time.Second {
		wrong("timeout: is %s; use a second or more", c.Timeout)
	}
	if c.Visibility < 30*time.Second || c.Visibility > maxVisibility {
		wrong("visibility: is %s; use 30s to %s", c.Visibility, maxVisibility)
	}
	if err := c.Inventory.Validate(); err != nil {
		wrong("inventory.%w", err)
	}
	if c.QueueURL == "" && c.Inventory.Every == 0 {
		wrong("queue_url: is not set, and there is no inventory to read instead")
	}
	return errors.Join(errs...)
}

// Provider implements ingest.Settings.
func (*Config) Provider() ingest.Provider { return Provider() }

// Open implements ingest.Settings.
func (c *Config) Open(rt ingest.Runtime) (map[string]ingest.Source, error) {
	cfg, err := c.sdk(rt)
	if err != nil {
		return nil, err
	}
	caller := caller{rt: rt, timeout: c.Timeout}
	sources := map[string]ingest.Source{}
	if c.QueueURL != "" {
		sources[stream] = &trail{
			caller: caller, url: c.QueueURL, tenant: c.Tenant, visibility: c.Visibility,
			queue: sqs.NewFromConfig(cfg), bucket: s3.NewFromConfig(cfg, func(o *s3.Options) {
				o.UsePathStyle = c.URL != ""
				// Objects of a trail have no checksums; the log need not say so each time.
				o.DisableLogOutputChecksumValidationSkipped = true
			}),
		}
	}
	if c.Inventory.Every > 0 {
		sources[poll.StreamInventory] = (&users{caller: caller, tenant: c.Tenant, api: iam.NewFromConfig(cfg)}).source(c.Inventory)
	}
	return sources, nil
}

// sdk returns the configuration of the service clients. It opens no connection.
func (c *Config) sdk(rt ingest.Runtime) (aws.Config, error) {
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithRegion(c.Region),
		// caller repeats what failed for the moment, on the runtime's clock.
		awsconfig.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		awsconfig.WithAppID("stepdown"),
	}
	if c.URL != "" {
		options = append(options, awsconfig.WithBaseEndpoint(c.URL))
	}
	if c.AccessKey.ID != "" {
		options = append(options, awsconfig.WithCredentialsProvider(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			value, err := c.AccessKey.Secret.Value()
			if err != nil {
				return aws.Credentials{}, &ingest.CredentialError{Err: err}
			}
			// Read again every so often, so that a renewed file is taken up.
			return aws.Credentials{AccessKeyID: c.AccessKey.ID, SecretAccessKey: value, CanExpire: true, Expires: rt.Now().Add(time.Minute)}, nil
		})))
	}
	cfg, err := awsconfig.LoadDefaultConfig(context.Background(), options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("load aws configuration: %w", err)
	}
	if rt.HTTP != http.DefaultTransport {
		cfg.HTTPClient = &http.Client{Transport: rt.HTTP}
	} // else the SDK's own, which knows AWS_CA_BUNDLE
	if c.RoleARN != "" {
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), c.RoleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "stepdown"
			if c.ExternalID != "" {
				o.ExternalID = aws.String(c.ExternalID)
			}
		}))
	}
	return cfg, nil
}
