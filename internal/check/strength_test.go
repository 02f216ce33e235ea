package check

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	mathrand "math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// source returns reproducible random bytes, so that the number of false alarms is always the same.
func source(seed byte) *mathrand.ChaCha8 { return mathrand.NewChaCha8([32]byte{seed}) }

func bytesOf(src *mathrand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	_, _ = src.Read(b)
	return b
}

func textOf(src *mathrand.ChaCha8, letters string, n int) string {
	r := mathrand.New(src)
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}

// encoded returns a function that encodes 32 random bytes.
func encoded(e interface{ EncodeToString([]byte) string }) func(src *mathrand.ChaCha8) string {
	return func(src *mathrand.ChaCha8) string { return e.EncodeToString(bytesOf(src, 32)) }
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// By chance, 32 random bytes may look weaker than they are, because of a run or a repetition. At most
// five in ten thousand may do so, in each encoding.
func TestStrength_RandomSecretsPass(t *testing.T) {
	for name, secret := range map[string]func(src *mathrand.ChaCha8) string{
		"hex": func(s *mathrand.ChaCha8) string { return hex.EncodeToString(bytesOf(s, 32)) },
		"upper-case hex": func(s *mathrand.ChaCha8) string {
			return strings.ToUpper(hex.EncodeToString(bytesOf(s, 32)))
		},
		"base64":                   encoded(base64.StdEncoding),
		"base64 without padding":   encoded(base64.RawStdEncoding),
		"base64url":                encoded(base64.URLEncoding),
		"base64url, no padding":    encoded(base64.RawURLEncoding),
		"base32":                   encoded(base32.StdEncoding),
		"43 letters and digits":    func(s *mathrand.ChaCha8) string { return textOf(s, alphanumeric, 43) },
		"64 letters and digits":    func(s *mathrand.ChaCha8) string { return textOf(s, alphanumeric, 64) },
		"50 lower-case and digits": func(s *mathrand.ChaCha8) string { return textOf(s, alphanumeric[26:], 50) },
		"40 printable": func(s *mathrand.ChaCha8) string {
			return textOf(s, alphanumeric+"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", 40)
		},
	} {
		t.Run(name, func(t *testing.T) {
			src, alarms := source(1), 0
			for range 10_000 {
				if text := secret(src); strength(text) < 32 || example(text) {
					alarms++
				}
			}
			t.Logf("%d of 10,000", alarms)
			assert.LessOrEqual(t, alarms, 5)
		})
	}
}

// The hint of weak-secret suggests 32 random bytes in hex. A false alarm is rare, and two in a hundred
// never happen.
func TestStrength_SuggestedSecretsPass(t *testing.T) {
	alarms := 0
	for range 100 {
		if strength(hex.EncodeToString(randomBytes(32))) < 32 {
			alarms++
		}
	}
	assert.Less(t, alarms, 2)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func TestStrength_WeakSecretsFail(t *testing.T) {
	src := source(2)
	weak := map[string]string{
		"130 random bits":              rand.Text(),
		"16 bytes in hex":              hex.EncodeToString(bytesOf(src, 16)),
		"24 bytes in base64":           base64.StdEncoding.EncodeToString(bytesOf(src, 24)),
		"32 letters and digits":        textOf(src, alphanumeric, 32),
		"a UUID":                       "8eaef023-2b34-4da1-9baa-8bc8c9d6a490",
		"words":                        "correct-horse-battery-staple",
		"many words":                   "correct horse battery staple under the old bridge by the river",
		"words without spaces":         "thisisaverylongsecretthatnobodywilleverguesssowedonotcare",
		"a sentence":                   "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.",
		"capitals":                     "THE-QUICK-BROWN-FOX-JUMPS-OVER-THE-LAZY-DOG-AND-THE-DOG-DOES-NOT-MIND",
		"words with a year":            "production-session-signing-secret-of-the-auth-service-in-europe-2026",
		"one letter":                   strings.Repeat("a", 64),
		"a row":                        "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789",
		"digits":                       strings.Repeat("0123456789", 8),
		"hex digits in their order":    strings.Repeat("0123456789abcdef", 4),
		"a repeated word":              strings.Repeat("Passw0rd", 8),
		"16 random bytes twice":        strings.Repeat(hex.EncodeToString(bytesOf(src, 16)), 2),
		"a random text with an ending": textOf(src, alphanumeric, 20) + strings.Repeat("=", 44),
		"digits only, 60":              textOf(src, "0123456789", 60),
		"two letters in turn":          strings.Repeat("ab", 40),
		"spaces":                       strings.Repeat(" ", 64),
		"nothing":                      "",
	}
	for name, text := range weak {
		assert.Less(t, strength(text), 32, name)
	}
}

func TestStrength_CountsBitsOfTheAlphabet(t *testing.T) {
	for _, row := range []struct {
		text string
		want int // bits per character, times characters, divided by eight, rounded up
	}{
		{"7", 1},                    // 3.3 bits
		{"8f3a", 2},                 // 4 x 4
		{"8F3A9C01", 4},             // 8 x 4
		{"k9x", 2},                  // 3 x 5.2
		{"Rk", 2},                   // 2 x 6.0: digits may be missing by chance
		{"R9-_", 3},                 // 4 x 5.3, no lower case
		{"Rk9+/", 4},                // 5 x 6.0
		{"Rk9+/!", 5},               // 6 x 6.6
		{"Rk9\xc3\xa4", 5},          // bytes beyond ASCII count as punctuation
		{"a b c d e f g h", 4},      // 15 x 2: words
		{"aaaaaaaa", 1},             // 4 x 2: a run from the fifth character on
		{"abcdefgh", 1},             // an ascending run
		{"hgfedcba", 1},             // a descending run
		{"4d9f2a4d9f2a4d9f2a", 6},   // hex: 11 of 18 count; the rest repeats six characters
		{"97531xe97531xe97531x", 8}, // 12 of 20 x 5.2; a step of two is not a run
	} {
		assert.Equal(t, row.want, strength(row.text), "%q", row.text)
	}
}

// A secret may be as long as the file. Only its beginning is examined.
func TestStrength_LongSecret(t *testing.T) {
	assert.GreaterOrEqual(t, strength(textOf(source(3), alphanumeric, 1<<18)), 32)
	assert.Less(t, strength(strings.Repeat("ab", 1<<17)), 32)
}

func TestExample(t *testing.T) {
	for _, text := range []string{
		"something-super-secret", "SOMETHING SUPER SECRET", "old-session-secret", "older-session-secret",
		"ancient-session-secret", "PLEASE-CHANGE-ME-I-AM-VERY-INSECURE", "please_change_me_now",
		"32-LONG-SECRET-NOT-SECURE-AT-ALL", "CHANGE-ME-32-CHAR-SECRET-KEY!!!",
		"only-for-this-example", "xx-changeme-" + strings.Repeat("9f", 32),
	} {
		assert.True(t, example(text), text)
	}
	for _, text := range []string{
		"", "interchange-of-secrets", hex.EncodeToString(bytesOf(source(4), 32)), "correct-horse-battery-staple",
	} {
		assert.False(t, example(text), text)
	}
}
