package rest

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// ParseKey reads a private key: a JWK, or PEM in PKCS #8, PKCS #1 or SEC 1. The
// error never repeats what was read.
func ParseKey(text string) (*jose.JSONWebKey, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		var key jose.JSONWebKey
		if err := json.Unmarshal([]byte(text), &key); err != nil || key.IsPublic() || !key.Valid() {
			return nil, errors.New("read private key: it is no JWK of a private key")
		}
		return &key, nil
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("read private key: it is neither a JWK nor PEM")
	}
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		return &jose.JSONWebKey{Key: key}, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return &jose.JSONWebKey{Key: key}, nil
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return &jose.JSONWebKey{Key: key}, nil
	}
	return nil, fmt.Errorf("read private key: PEM block %q is no private key that can be read; use PKCS #8 without a passphrase", block.Type)
}

// Sign returns a compact JWT of claims.
func Sign(key *jose.JSONWebKey, algorithm string, claims any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("sign assertion with %s: %w", algorithm, err)
	}
	signed, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign assertion with %s: %w", algorithm, err)
	}
	return signed, nil
}
