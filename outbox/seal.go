package outbox

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// A seal encrypts what a job must not reveal, with AES-256-GCM. The keys are derived from
// Options.Secrets: the first one encrypts, and all of them decrypt.
type seal []cipher.AEAD

const minSecret = 16 // bytes, as for flowhook.Options.Secrets

var errUnsealed = errors.New("the email cannot be decrypted; put the secret that encrypted it back into " +
	"Options.Secrets")

func newSeal(secrets []string) (s seal, err error) {
	if len(secrets) == 0 {
		return nil, errors.New("outbox: no secret encrypts the emails; set Options.Secrets")
	}
	for i, secret := range secrets {
		if len(secret) < minSecret {
			return nil, fmt.Errorf("outbox: Options.Secrets[%d] has fewer than %d bytes; use a longer one", i, minSecret)
		}
		key, err := hkdf.Key(sha256.New, []byte(secret), nil, "flowhook outbox email", 32)
		if err != nil {
			return nil, fmt.Errorf("outbox: deriving a key: %w", err)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("outbox: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("outbox: %w", err)
		}
		s = append(s, aead)
	}
	return s, nil
}

// close encrypts content. Only open with the same id decrypts it.
func (s seal) close(id string, content []byte) []byte {
	return s[0].Seal(nil, nil, content, []byte(id))
}

// open decrypts what close has encrypted.
func (s seal) open(id string, sealed []byte) ([]byte, error) {
	for _, aead := range s {
		if content, err := aead.Open(nil, nil, sealed, []byte(id)); err == nil {
			return content, nil
		}
	}
	return nil, errUnsealed
}
