package rule

import "stepdown/ingest/event"

// plainMethod names a method so that "signed in with …" reads well.
func plainMethod(m string) string {
	switch event.Method(m) {
	case event.MethodSecurityKey:
		return "a security key"
	case event.MethodPasskeyDeviceBound:
		return "a device-bound passkey"
	case event.MethodPlatformCredential:
		return "the device's own sign-in (such as Windows Hello)"
	case event.MethodCertificate:
		return "a certificate"
	case event.MethodFastPassPR:
		return "Okta FastPass"
	case event.MethodPasskeySynced:
		return "a synced passkey"
	case event.MethodPasskey:
		return "a passkey"
	case event.MethodPasskeyHybrid:
		return "a passkey on another device"
	case event.MethodPushNumberMatch:
		return "a push with number matching"
	case event.MethodOTPHardware:
		return "a code from a hardware token"
	case event.MethodTOTP:
		return "a code from an authenticator app"
	case event.MethodPush:
		return "a push"
	case event.MethodSMS:
		return "a text message"
	case event.MethodVoice:
		return "a phone call"
	case event.MethodEmailCode:
		return "a code by e-mail"
	case event.MethodEmailLink:
		return "a link by e-mail"
	case event.MethodSecurityQuestion:
		return "a security question"
	case event.MethodQRPIN:
		return "a QR code with PIN"
	case event.MethodBackupCode:
		return "a backup code"
	case event.MethodBypassCode:
		return "a bypass code"
	case event.MethodTemporaryAccessPass:
		return "a temporary access pass"
	case event.MethodPassword:
		return "a password"
	case event.MethodMFABypassed:
		return "no second factor"
	case event.MethodPreviouslySatisfied, event.MethodRefreshToken, event.MethodPrimaryRefreshToken,
		event.MethodRememberedDevice, event.MethodExistingSession:
		return "an earlier sign-in"
	case event.MethodFederated, event.MethodDelegated:
		return "another provider"
	}
	return "an unknown method"
}
