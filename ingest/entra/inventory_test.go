package entra

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

// directory is a fake of the APIs of the inventory. Its log is the report.
type directory struct {
	graph
	// refused are the paths, by their suffix, that the application may not read.
	refused []string
	// expired: the links of the report are no longer known.
	expired bool
	gone    string
	asked   []string
}

func (d *directory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const reportPage = 30
	if strings.HasSuffix(r.URL.Path, "/token") || r.Header.Get("Authorization") != "Bearer "+credential {
		d.graph.ServeHTTP(w, r)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, r.URL.Path)
	for _, path := range d.refused {
		if strings.HasSuffix(r.URL.Path, path) {
			refuse(w, http.StatusForbidden, "Authorization_RequestDenied")
			return
		}
	}
	q := r.URL.Query()
	switch path := r.URL.Path; {
	case path == "/"+reportPath:
		rows := d.log()
		from, _ := strconv.Atoi(q.Get("$skiptoken"))
		if q.Has("$skiptoken") && d.expired {
			refuse(w, http.StatusBadRequest, "BadRequest")
			return
		}
		to := min(from+reportPage, len(rows))
		answer := map[string]any{"value": append([]json.RawMessage{}, rows[from:to]...)}
		if to < len(rows) {
			answer["@odata.nextLink"] = fmt.Sprintf("http://%s%s?$skiptoken=%d", r.Host, path, to)
		}
		_ = json.NewEncoder(w).Encode(answer)
	case path == "/beta/users/"+d.gone+"/authentication/methods":
		refuse(w, http.StatusNotFound, "Request_ResourceNotFound")
	case strings.HasPrefix(path, "/beta/users/") && strings.HasSuffix(path, "/authentication/methods"):
		fmt.Fprintf(w, `{"value":%s}`, methodsOfEverybody)
	case path == "/v1.0/roleManagement/directory/roleDefinitions" && q.Get("$select") == "id,displayName,templateId":
		fmt.Fprint(w, `{"value":[{"id":"r1","displayName":"Global Administrator","templateId":"62e90394-69f5-4237-9190-012177145e10"},{"id":"r2","displayName":"Reports Reader","templateId":"t2"}]}`)
	case path == "/v1.0/roleManagement/directory/roleAssignments" && q.Get("$expand") == "principal":
		if !q.Has("$skiptoken") {
			fmt.Fprintf(w, `{"value":[{"principalId":"u0","roleDefinitionId":"r2","principal":{"@odata.type":"#microsoft.graph.user"}}],"@odata.nextLink":"http://%s%s?$expand=principal&$skiptoken=2"}`, r.Host, path)
			return
		}
		fmt.Fprint(w, `{"value":[{"principalId":"g1","roleDefinitionId":"r1","principal":{"@odata.type":"#microsoft.graph.group"}},{"principalId":"s1","roleDefinitionId":"r1","principal":{"@odata.type":"#microsoft.graph.servicePrincipal"}}]}`)
	case path == "/v1.0/groups/g1/transitiveMembers/microsoft.graph.user":
		fmt.Fprint(w, `{"value":[{"id":"u0"},{"id":"u2"}]}`)
	default:
		http.NotFound(w, r)
	}
}

const methodsOfEverybody = `[
{"@odata.type":"#microsoft.graph.passwordAuthenticationMethod","id":"28c10230-6103-485e-b985-444c60001490"},
{"@odata.type":"#microsoft.graph.fido2AuthenticationMethod","id":"key-1","displayName":"Example key","createdDateTime":"2025-02-03T10:00:00Z","aaGuid":"EE882879-721C-4913-9775-3DFCCE97072A","attestationLevel":"attested"},
{"@odata.type":"#microsoft.graph.phoneAuthenticationMethod","id":"3179e48a-750b-4051-897c-87b9720928f7","phoneNumber":"+1 XXX-XXX-0100","phoneType":"mobile"},
{"@odata.type":"#microsoft.graph.temporaryAccessPassAuthenticationMethod","id":"tap-1","isUsable":false}]`

func reportOf(n int) []json.RawMessage {
	var rows []json.RawMessage
	for i := range n {
		rows = append(rows, json.RawMessage(fmt.Sprintf(`{"id":"u%d","userPrincipalName":"person%d@example.com","userDisplayName":"Synthetic Person %d","isAdmin":false,"methodsRegistered":["passKeyDeviceBound","mobilePhone","securityQuestion"],"userType":"member"}`, i, i, i)))
	}
	return rows
}

func TestInventoryIsReadWholeAndGoesOnAfterARestart(t *testing.T) {
	ingesttest.Sweep(t, ingesttest.API{
		Records: reportOf(70), Now: start, Secret: credential, Throttle: throttle,
		Handler: func(log func() []json.RawMessage, _ func() time.Time) http.Handler {
			return &directory{graph: graph{log: log}}
		},
		Open: func(t *testing.T, base string, rt ingest.Runtime) ingest.Source {
			return openSource(t, base, rt, poll.StreamInventory, nil)
		},
	}, 24*time.Hour)
}

// sweep reads an inventory once and returns its records.
func sweep(t *testing.T, d *directory) []ingest.Record {
	t.Helper()
	return sweepLogged(t, d, slog.New(slog.DiscardHandler))
}

func sweepLogged(t *testing.T, d *directory, log *slog.Logger) []ingest.Record {
	t.Helper()
	srv := httptest.NewServer(d)
	defer srv.Close()
	rt := (&bench{now: start}).runtime()
	rt.Log = log
	s := openSource(t, srv.URL, rt, poll.StreamInventory, nil)
	var records []ingest.Record
	for range 50 {
		batch, err := s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, batch.Records...)
		var p struct {
			At struct {
				Done bool `json:"done"`
			} `json:"at"`
		}
		if batch.Cursor != nil && json.Unmarshal(batch.Cursor, &p) == nil && p.At.Done {
			return records
		}
	}
	t.Fatal("the sweep does not end")
	return nil
}

// told is what a rule can see of an inventory's record.
func told(t *testing.T, r ingest.Record) []string {
	t.Helper()
	events, err := New().Normalize(r)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range events {
		switch {
		case e.Snapshot != nil:
			out = append(out, fmt.Sprintf("%s complete %t", e.Subject.Name, e.Snapshot.Complete))
		case e.Role != nil:
			out = append(out, fmt.Sprintf("roles %v full %t privileged %t", e.Role.Roles, e.Role.Full, e.Role.Privileged))
		}
		for _, a := range e.Authenticators {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s%s", a.Method, a.ID, a.AAGUID, a.Address)))
		}
		out = append(out, e.Warnings...)
	}
	return out
}

func TestInventory(t *testing.T) {
	rows := reportOf(3)
	records := sweep(t, &directory{graph: graph{log: func() []json.RawMessage { return rows }}})
	if len(records) != 3 {
		t.Fatalf("%d records, want 3", len(records))
	}
	ingesttest.Normalizer(t, New(), records[:1])
	enrolled := []string{
		"passkey_device_bound key-1 ee882879-721c-4913-9775-3dfcce97072a",
		"sms 3179e48a-750b-4051-897c-87b9720928f7 +1 XXX-XXX-0100", "security_question",
	}
	for i, roles := range []string{"[Global Administrator Reports Reader] full true privileged true", "[] full true privileged false", "[Global Administrator] full true privileged true"} {
		want := append(append([]string{fmt.Sprintf("person%d@example.com complete true", i)}, enrolled...), "roles "+roles)
		if diff := cmp.Diff(want, told(t, records[i])); diff != "" {
			t.Errorf("person %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestInventoryWithoutPermissions(t *testing.T) {
	rows := reportOf(25)
	d := &directory{graph: graph{log: func() []json.RawMessage { return rows }}, refused: []string{"/authentication/methods", "/roleDefinitions"}}
	var logs bytes.Buffer
	records := sweepLogged(t, d, slog.New(slog.NewTextHandler(&logs, nil)))
	for _, said := range []string{"inventory goes without methods", "inventory goes without roles"} {
		if got := strings.Count(logs.String(), said); got != 1 {
			t.Errorf("%q was logged %d times, want once", said, got)
		}
	}
	if len(records) != len(rows) {
		t.Fatalf("%d records, want %d", len(records), len(rows))
	}
	want := []string{"person0@example.com complete false", "passkey_device_bound", "sms", "security_question"}
	if diff := cmp.Diff(want, told(t, records[0])); diff != "" {
		t.Errorf("person (-want +got):\n%s", diff)
	}
	if len(d.asked) > 6 {
		t.Errorf("%d requests, want few when methods are refused: %v", len(d.asked), d.asked)
	}
}

func TestInventoryLeavesOutWhoIsGone(t *testing.T) {
	rows := reportOf(5)
	if n := len(sweep(t, &directory{graph: graph{log: func() []json.RawMessage { return rows }}, gone: "u3"})); n != 4 {
		t.Errorf("%d records, want 4: one person was deleted after the report", n)
	}
}

func TestAnExpiredPageBeginsTheSweepAnewOnce(t *testing.T) {
	rows := reportOf(40)
	records := sweep(t, &directory{graph: graph{log: func() []json.RawMessage { return rows }}, expired: true})
	if n := len(records); n != 60 {
		t.Errorf("%d records, want the first 30 twice, and then the end", n)
	}
}

func TestRegisteredMethods(t *testing.T) {
	snapshot := func(report, methods string) ingest.Record {
		s := poll.Snapshot{ReadAt: start, User: json.RawMessage(`{"id":"u1","userPrincipalName":"person@example.com","userType":"guest","methodsRegistered":` + report + `}`)}
		if methods != "" {
			s.Authenticators, s.Complete = json.RawMessage(methods), true
		}
		r, err := s.Record(source, tenant, "test")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	of := func(types string) string {
		var list []string
		for name := range strings.FieldsSeq(types) {
			list = append(list, `{"@odata.type":"#microsoft.graph.`+name+`AuthenticationMethod","id":"`+name+`"}`)
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	for name, tc := range map[string]struct {
		report, methods string
		want            []event.Method
		warned          bool
	}{
		"every type of the api": {`[]`, of("fido2 windowsHelloForBusiness platformCredential x509Certificate microsoftAuthenticator passwordlessMicrosoftAuthenticator softwareOath hardwareOath phone email temporaryAccessPass qrCodePin external password"),
			[]event.Method{event.MethodPasskey, event.MethodPlatformCredential, event.MethodPlatformCredential, event.MethodCertificate, event.MethodPush, event.MethodPushNumberMatch,
				event.MethodTOTP, event.MethodOTPHardware, event.MethodVoice, event.MethodEmailCode, event.MethodTemporaryAccessPass, event.MethodQRPIN, event.MethodDelegated}, false},
		"a new type of the api": {`[]`, of("telepathy"), []event.Method{event.MethodUnknown}, true},
		"every word of the report": {`["fido2","fido2SecurityKey","windowsHelloForBusiness","passKeyDeviceBound","passKeySynced","macOsSecureEnclaveKey","certificateBasedAuthentication","email","mobilePhone","officePhone","securityQuestion","microsoftAuthenticatorPush","microsoftAuthenticatorPasswordless","softwareOneTimePasscode","hardwareOneTimePasscode","temporaryAccessPass","externalAuthMethod","appPassword","qrCode"]`, "",
			[]event.Method{event.MethodPasskey, event.MethodPlatformCredential, event.MethodPasskeyDeviceBound, event.MethodPasskeySynced, event.MethodCertificate, event.MethodEmailCode, event.MethodSMS,
				event.MethodVoice, event.MethodSecurityQuestion, event.MethodPush, event.MethodPushNumberMatch, event.MethodTOTP, event.MethodOTPHardware, event.MethodTemporaryAccessPass, event.MethodDelegated, event.MethodQRPIN}, false},
		"a new word of the report":    {`["telepathy"]`, "", []event.Method{event.MethodUnknown}, true},
		"synced, by the report":       {`["passKeySynced"]`, of("fido2"), []event.Method{event.MethodPasskeySynced}, false},
		"both kinds, by the report":   {`["passKeySynced","passKeyDeviceBound"]`, of("fido2"), []event.Method{event.MethodPasskey}, false},
		"bound, by the method":        {`["passKeySynced","passKeyDeviceBound"]`, `[{"@odata.type":"#microsoft.graph.fido2AuthenticationMethod","passkeyType":"deviceBound"}]`, []event.Method{event.MethodPasskeyDeviceBound}, false},
		"the report adds no twin":     {`["microsoftAuthenticatorPasswordless","mobilePhone"]`, of("passwordlessMicrosoftAuthenticator"), []event.Method{event.MethodPushNumberMatch}, false},
		"the report adds its own":     {`["hardwareOneTimePasscode"]`, of("email"), []event.Method{event.MethodEmailCode, event.MethodOTPHardware}, false},
		"nothing but a password":      {`[]`, of("password"), nil, false},
		"a report that is one string": {`"mobilePhone"`, "", []event.Method{event.MethodSMS}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := snapshot(tc.report, tc.methods)
			events, err := New().Normalize(r)
			if err != nil {
				t.Fatal(err)
			}
			var got []event.Method
			for _, a := range events[0].Authenticators {
				got = append(got, a.Method)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("methods (-want +got):\n%s", diff)
			}
			if warned := len(events[0].Warnings) > 0; warned != tc.warned {
				t.Errorf("warnings %v, want some: %t", events[0].Warnings, tc.warned)
			}
			if e := events[0]; len(events) != 1 || e.Subject.Type != "guest" || e.Snapshot.Complete != (tc.methods != "") {
				t.Errorf("%d events, subject %+v, snapshot %+v: no roles were read", len(events), e.Subject, e.Snapshot)
			}
		})
	}
}

// TestGraphAndEventHubAgree: whichever way a record comes, and if it comes both
// ways, it is the same event.
func TestGraphAndEventHubAgree(t *testing.T) {
	for _, tc := range []struct{ name, stream, category, operation, properties string }{
		{"sign-in", streamSignIn, "SignInLogs", "Sign-in activity", `{"id":"72f1f7a4-0000-4000-8000-0000000000e1","createdDateTime":"2026-03-02T09:00:00.1234567+00:00","userId":"72f1f7a4-0000-4000-8000-000000000001","userPrincipalName":"ada@example.com","userDisplayName":"Ada Example","userType":"member","appId":"app-1","appDisplayName":"Example Portal","ipAddress":"192.0.2.10","autonomousSystemNumber":64500,"correlationId":"72f1f7a4-0000-4000-8000-0000000000f1","sessionId":"s-1","isInteractive":true,"signInEventTypes":["interactiveUser"],"status":{"errorCode":0,"additionalDetails":"MFA completed in Azure AD"},"clientAppUsed":"Browser","authenticationDetails":[{"authenticationStepDateTime":"2026-03-02T09:00:00Z","authenticationMethod":"Passkey (synced)","succeeded":true}],"incomingTokenType":"none","tokenIssuerType":"AzureAD","location":{"city":"Berlin","countryOrRegion":"DE"}}`},
		{"non-interactive", streamNonInteractive, "NonInteractiveUserSignInLogs", "Sign-in activity", `{"id":"72f1f7a4-0000-4000-8000-0000000000e2","createdDateTime":"2026-03-02T09:00:00Z","userId":"72f1f7a4-0000-4000-8000-000000000001","userPrincipalName":"ada@example.com","appId":"app-1","ipAddress":"192.0.2.10","isInteractive":false,"signInEventTypes":["nonInteractiveUser"],"status":{"errorCode":0},"incomingTokenType":"primaryRefreshToken","authenticationDetails":[]}`},
		{"audit", streamAudit, "AuditLogs", "User registered security info", `{"id":"IAMUX_1","activityDateTime":"2026-03-02T09:00:00Z","activityDisplayName":"User registered security info","loggedByService":"Authentication Methods","result":"success","resultReason":"User registered Fido2 Authentication Method","correlationId":"c-1","initiatedBy":{"user":{"id":"u1","userPrincipalName":"ada@example.com","ipAddress":"192.0.2.10"}},"targetResources":[{"id":"u1","type":"User","userPrincipalName":"ada@example.com","modifiedProperties":[]}],"additionalDetails":[]}`},
		{"risk", streamRisk, "UserRiskEvents", "User Risk Detection", `{"id":"risk-1","requestId":"r-1","riskEventType":"anomalousToken","riskState":"atRisk","riskLevel":"high","activityDateTime":"2026-03-02T09:00:00Z","detectedDateTime":"2026-03-02T09:05:00Z","lastUpdatedDateTime":"2026-03-02T09:06:00Z","userId":"u1","userPrincipalName":"ada@example.com","ipAddress":"192.0.2.10"}`},
		{"risky user", streamRiskyUser, "RiskyUsers", "Risky user", `{"id":"u1","riskLevel":"high","riskState":"atRisk","riskDetail":"none","riskLastUpdatedDateTime":"2026-03-02T09:00:00Z","userPrincipalName":"ada@example.com"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			normalize := func(data string) event.Event {
				t.Helper()
				events, err := New().Normalize(ingest.Record{Source: source, Tenant: tenant, Data: []byte(data), Stream: tc.stream, Observed: start.Add(time.Hour)})
				if err != nil || len(events) != 1 {
					t.Fatalf("%d events, %v, want one", len(events), err)
				}
				e := events[0]
				e.Raw = nil
				return e
			}
			hub := fmt.Sprintf(`{"time":"2026-03-02T09:07:00Z","resourceId":"/tenants/%s/providers/Microsoft.aadiam","operationName":%q,"operationVersion":"1.0","category":%q,"tenantId":%q,"resultType":"0","resultSignature":"None","durationMs":0,"Level":4,"properties":%s}`,
				tenant, tc.operation, tc.category, tenant, tc.properties)
			if diff := cmp.Diff(normalize(tc.properties), normalize(hub)); diff != "" {
				t.Errorf("the two ways differ (-graph +event hub):\n%s", diff)
			}
		})
	}
}
