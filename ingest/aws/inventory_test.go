package aws

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stepdown/ingest"
	"stepdown/ingest/event"
	"stepdown/ingest/ingesttest"
	"stepdown/ingest/poll"
)

// iamHandler speaks the Query protocol of IAM over users that have one FIDO device
// and one authenticator app each. Every third one has no console password. The last
// name of the log stands for the root user.
func fakeIAM(log func() []json.RawMessage, _ func() time.Time) http.Handler {
	escape := func(s string) string {
		var b strings.Builder
		_ = xml.EscapeText(&b, []byte(s))
		return b.String()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const size = 3
		w.Header().Set("Content-Type", "text/xml")
		if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="+keyID+"/") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if err := r.ParseForm(); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		action := r.Form.Get("Action")
		answer := func(result string) {
			fmt.Fprintf(w, `<%[1]sResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><%[1]sResult>%[2]s</%[1]sResult></%[1]sResponse>`, action, result)
		}
		name := r.Form.Get("UserName")
		switch {
		case action == "GetAccountAuthorizationDetails" && r.Form.Get("Filter.member.1") == "Group":
			answer(`<IsTruncated>false</IsTruncated><GroupDetailList><member><GroupName>Operators</GroupName><GroupPolicyList/><AttachedManagedPolicies><member><PolicyName>IAMFullAccess</PolicyName><PolicyArn>arn:aws:iam::aws:policy/IAMFullAccess</PolicyArn></member></AttachedManagedPolicies></member></GroupDetailList>`)
		case action == "GetAccountAuthorizationDetails":
			users := log()
			users = users[:max(0, len(users)-1)]
			from, _ := strconv.Atoi(r.Form.Get("Marker"))
			to := min(from+size, len(users))
			var list strings.Builder
			for _, raw := range users[from:to] {
				var name string
				_ = json.Unmarshal(raw, &name)
				fmt.Fprintf(&list, `<member><UserName>%[1]s</UserName><UserId>AIDA%[1]s</UserId><Arn>arn:aws:iam::111122223333:user/%[1]s</Arn><CreateDate>2025-01-02T03:04:05Z</CreateDate>
					<UserPolicyList><member><PolicyName>inline</PolicyName><PolicyDocument>%[2]s</PolicyDocument></member></UserPolicyList>
					<GroupList><member>Operators</member></GroupList>
					<AttachedManagedPolicies><member><PolicyName>ReadOnlyAccess</PolicyName><PolicyArn>arn:aws:iam::aws:policy/ReadOnlyAccess</PolicyArn></member></AttachedManagedPolicies></member>`,
					escape(name), "%7B%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22s3%3AGet%2A%22%7D%5D%7D")
			}
			more := ""
			if to < len(users) {
				more = "<Marker>" + strconv.Itoa(to) + "</Marker>"
			}
			answer(fmt.Sprintf(`<IsTruncated>%t</IsTruncated>%s<UserDetailList>%s</UserDetailList>`, more != "", more, list.String()))
		case action == "ListMFADevices":
			answer(fmt.Sprintf(`<IsTruncated>false</IsTruncated><MFADevices><member><UserName>%[1]s</UserName><SerialNumber>arn:aws:iam::111122223333:u2f/user/%[1]s/key-AAAA</SerialNumber><EnableDate>2025-02-03T10:00:00Z</EnableDate></member><member><UserName>%[1]s</UserName><SerialNumber>arn:aws:iam::111122223333:mfa/%[1]s</SerialNumber><EnableDate>2025-02-03T10:00:00Z</EnableDate></member></MFADevices>`, escape(name)))
		case action == "GetLoginProfile" && strings.HasSuffix(name, "2"):
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>Login Profile cannot be found.</Message></Error></ErrorResponse>`)
		case action == "GetLoginProfile":
			answer(`<LoginProfile><UserName>` + escape(name) + `</UserName><CreateDate>2025-01-02T03:04:05Z</CreateDate></LoginProfile>`)
		case action == "ListVirtualMFADevices" && r.Form.Get("AssignmentStatus") == "Assigned":
			answer(`<IsTruncated>false</IsTruncated><VirtualMFADevices><member><SerialNumber>arn:aws:iam::111122223333:mfa/person1</SerialNumber><User><Arn>arn:aws:iam::111122223333:user/person1</Arn></User></member><member><SerialNumber>arn:aws:iam::111122223333:mfa/root-account-mfa-device</SerialNumber><EnableDate>2025-02-03T10:00:00Z</EnableDate><User><Arn>arn:aws:iam::111122223333:root</Arn></User></member></VirtualMFADevices>`)
		default:
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>InvalidAction</Code></Error></ErrorResponse>`)
		}
	})
}

func inventoryOver(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
	t.Helper()
	sources, err := settings(t, base).Open(rt)
	if err != nil {
		t.Fatal(err)
	}
	return sources[poll.StreamInventory]
}

func people(n int) []json.RawMessage {
	var out []json.RawMessage
	for i := range n {
		out = append(out, json.RawMessage(fmt.Sprintf(`"person%d"`, i)))
	}
	return out
}

func TestInventoryIsReadWholeAndGoesOnAfterARestart(t *testing.T) {
	ingesttest.Sweep(t, ingesttest.API{
		Records: people(11), Now: start, Handler: fakeIAM, Secret: secretKey, Open: inventoryOver,
		Throttle: func(h http.Header, _ time.Time, d time.Duration) {
			h.Set("Retry-After", strconv.Itoa(int(d.Seconds())))
		},
	}, 24*time.Hour)
}

func TestSnapshotsBecomeEvents(t *testing.T) {
	c := newCloud(t)
	server := fakeIAM(func() []json.RawMessage { return people(4) }, c.clock)
	c.set(func(_ string, w http.ResponseWriter, r *http.Request) bool { server.ServeHTTP(w, r); return true })
	s := inventoryOver(t, c.server.URL, c.runtime())
	if err := s.Seek(nil); err != nil {
		t.Fatal(err)
	}
	var records []ingest.Record
	for range 3 {
		batch, err := s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, batch.Records...)
	}
	ingesttest.Normalizer(t, New(), []ingest.Record{records[0], records[len(records)-1]})
	var got []string
	for _, r := range records[2:] {
		events, err := New().Normalize(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			who := fmt.Sprintf("%s %s/%s", e.Kind, e.Tenant, e.Subject.Name)
			for _, a := range e.Authenticators {
				got = append(got, fmt.Sprintf("%s %s %s complete %t", who, a.Method, a.ID, e.Snapshot.Complete))
			}
			if e.Role != nil {
				got = append(got, fmt.Sprintf("%s %v full %t privileged %t", who, e.Role.Roles, e.Role.Full, e.Role.Privileged))
			}
		}
	}
	snapshot, roles := string(event.AuthenticatorSnapshot)+" 111122223333/", string(event.RoleChange)+" 111122223333/"
	want := []string{
		snapshot + "person2 passkey arn:aws:iam::111122223333:u2f/user/person2/key-AAAA complete true",
		snapshot + "person2 totp arn:aws:iam::111122223333:mfa/person2 complete true",
		roles + "person2 [ReadOnlyAccess inline group/Operators] full true privileged true",
		snapshot + "<root_account> totp arn:aws:iam::111122223333:mfa/root-account-mfa-device complete false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	first, err := New().Normalize(records[0])
	if err != nil {
		t.Fatal(err)
	}
	if m := first[0].Authenticators[0].Method; m != event.MethodPassword {
		t.Errorf("first authenticator of somebody with a login profile is %s, want the password", m)
	}
}

func TestSettings(t *testing.T) {
	good := settings(t, "https://example.com")
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no queue":            {func(c *Config) { c.QueueURL, c.Inventory.Every = "", 0 }, "queue_url: is not set"},
		"name of a queue":     {func(c *Config) { c.QueueURL = "trail" }, "queue_url: is no address"},
		"odd address":         {func(c *Config) { c.URL = "example" }, "url: is"},
		"plain http":          {func(c *Config) { c.URL = "http://s3.example.com" }, "url: is"},
		"no region":           {func(c *Config) { c.Region = "" }, "region: is not set"},
		"host for a region":   {func(c *Config) { c.Region = "s3.eu-central-1" }, "region: "},
		"key without secret":  {func(c *Config) { c.AccessKey = AccessKey{ID: "a"} }, "access_key.secret: "},
		"secret without key":  {func(c *Config) { c.AccessKey.ID = "" }, "access_key.id: "},
		"user for a role":     {func(c *Config) { c.RoleARN = "arn:aws:iam::111122223333:user/a" }, "role_arn: "},
		"external id alone":   {func(c *Config) { c.ExternalID = "a" }, "external_id: "},
		"no timeout":          {func(c *Config) { c.Timeout = 0 }, "timeout: "},
		"visible at once":     {func(c *Config) { c.Visibility = time.Second }, "visibility: "},
		"visible next week":   {func(c *Config) { c.Visibility = 200 * time.Hour }, "visibility: "},
		"inventory too often": {func(c *Config) { c.Inventory.Every = time.Second }, "inventory.every: "},
	} {
		t.Run(name, func(t *testing.T) {
			c := *good
			tc.change(&c)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Validate() = %v, want %q", err, tc.want)
			}
		})
	}
	t.Run("a role is assumed with the key", func(t *testing.T) {
		c := newCloud(t)
		assumed := false
		c.set(func(_ string, w http.ResponseWriter, r *http.Request) bool {
			_ = r.ParseForm()
			if r.Form.Get("Action") != "AssumeRole" {
				return false
			}
			assumed = r.Form.Get("RoleArn") == "arn:aws:iam::111122223333:role/reader" && r.Form.Get("ExternalId") == "x-1"
			w.Header().Set("Content-Type", "text/xml")
			fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>synthetic</SecretAccessKey><SessionToken>synthetic</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, keyID)
			return true
		})
		c.send(created(c.put("a", loginOf(0))))
		cfg := settings(t, c.server.URL)
		cfg.RoleARN, cfg.ExternalID = "arn:aws:iam::111122223333:role/reader", "x-1"
		sources, err := cfg.Open(c.runtime())
		if err != nil {
			t.Fatal(err)
		}
		var got seen
		if err := got.drain(t, sources[stream]); err != nil {
			t.Fatal(err)
		}
		got.want(t, 1, true)
		if !assumed {
			t.Error("the role was not assumed")
		}
	})
}
