package token

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"unicode"
)

// CodeLength is the number of digits of a code.
const CodeLength = 6

// NewCode returns six random digits.
func NewCode() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return fmt.Sprintf("%06d", n)
}

// CleanCode returns a code as a user may have typed it without its white space. ok reports whether
// the rest is six digits.
func CleanCode(typed string) (code string, ok bool) {
	if len(typed) > 64 {
		return "", false
	}
	code = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, typed)
	return code, len(code) == CodeLength && strings.Trim(code, "0123456789") == ""
}

// A CodeKey is a key for the hashes of codes. It is derived from a session secret.
type CodeKey []byte

// NewCodeKey returns the key of a secret.
func NewCodeKey(secret string) (CodeKey, error) {
	return hkdf.Key(sha256.New, []byte(secret), nil, "flowhook code", sha256.Size)
}

// Hash returns the HMAC-SHA256 of a code. Without the key, it does not reveal the code: the SHA-256
// of six digits could be guessed. salt is what the code is for; each part counts as a whole.
func (k CodeKey) Hash(code string, salt ...string) []byte {
	mac := hmac.New(sha256.New, k)
	for _, part := range append(salt, code) {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write([]byte(part))
	}
	return mac.Sum(nil)
}
