package rest

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// ParseKey reads a private key: a JWK, or PEM in PKCS #8, PKCS #1 or SEC 1. PEM may
// have the key's certificate beside it, which [Sign] then names. The error never
// repeats what was read.
func ParseKey(text string) (*jose.JSONWebKey, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		var key jose.JSONWebKey
		if err := json.Unmarshal([]byte(text), &key); err != nil || key.IsPublic() || !key.Valid() {
			return nil, errors.New("read private key: it is no JWK of a private key")
		}
		return &key, nil
	}
	var key jose.JSONWebKey
	other := ""
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, errors.New("read private key: the certificate beside it cannot be read")
			}
			key.Certificates = append(key.Certificates, certificate)
		} else if key.Key = privateKey(block.Bytes); key.Key == nil {
			other = block.Type
		}
	}
	switch {
	case key.Key == nil && other != "":
		return nil, fmt.Errorf("read private key: PEM block %q is no private key that can be read; use PKCS #8 without a passphrase", other)
	case key.Key == nil && len(key.Certificates) > 0:
		return nil, errors.New("read private key: there is a certificate alone; put its private key beside it")
	case key.Key == nil:
		return nil, errors.New("read private key: it is neither a JWK nor PEM")
	}
	return &key, nil
}

// privateKey reads the forms of a private key; nil where it is none.
func privateKey(der []byte) any {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key
	}
	return nil
}

// Sign returns a compact JWT of claims. A key with a certificate is named by its
// thumbprint (x5t#S256).
func Sign(key *jose.JSONWebKey, algorithm string, claims any) (string, error) {
	options := (&jose.SignerOptions{}).WithType("JWT")
	if len(key.Certificates) > 0 {
		thumbprint := sha256.Sum256(key.Certificates[0].Raw)
		options.WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(thumbprint[:]))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: key}, options)
	if err != nil {
		return "", fmt.Errorf("sign assertion with %s: %w", algorithm, err)
	}
	signed, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign assertion with %s: %w", algorithm, err)
	}
	return signed, nil
}
