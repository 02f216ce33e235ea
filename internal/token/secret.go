package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// SecretLength is the length of a secret.
var SecretLength = base64.RawURLEncoding.EncodedLen(32)

// NewSecret returns a secret of 256 random bits, encoded for a link.
func NewSecret() string {
	var secret [32]byte
	rand.Read(secret[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(secret[:])
}

// Hash returns the SHA-256 of a secret. It hashes the text and not the bytes that it encodes, so
// that a secret has only one spelling.
func Hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}
